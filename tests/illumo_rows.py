"""illumo's database as its SQLiteTracer writes it, and its rows through format and conversion as a feed tells them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from converted import KEY, Sent

from egoscope.convert.flows import FlowConversion, FlowState
from egoscope.convert.ids import Ids
from egoscope.otlp.requests import encode_telemetry
from egoscope.policies import load_policy
from egoscope.sources.illumo import SOURCE, SOURCE_EVENTS, IllumoFormat
from egoscope.sources.row_format import UnreadableRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from egoscope.convert.conversion import Telemetry
    from egoscope.convert.series import SeriesRow
    from egoscope.model.record import RowRecord

RESOURCE: Final = (("service.name", "illumo"), ("service.instance.id", "i1"))
START: Final = datetime(2026, 11, 20, 4, 17, 8, tzinfo=UTC)
START_NS: Final = int(START.timestamp()) * 10**9
SECOND_NS: Final = 10**9
SCHEMA: Final = """
CREATE TABLE spans (span_id TEXT PRIMARY KEY, trace_id TEXT, parent_span_id TEXT, service_name TEXT, kind TEXT,
    name TEXT, attributes TEXT, status TEXT, error TEXT, start_time TEXT, end_time TEXT, policy_snapshot TEXT,
    timeout INTEGER DEFAULT 0);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT, span_id TEXT, event_type TEXT, level TEXT,
    message TEXT, attributes TEXT, timestamp TEXT);
"""

Row = tuple[str, int, dict[str, Any]]
"""Table, rowid, columns."""


def stamp(seconds: float) -> str:
    """Return what illumo writes that long after START."""
    return (START + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def hex_id(text: str) -> str:
    """Return an id of illumo's form."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def span(
    name: str,
    start: float,
    end: float | None,
    *,
    parent: str | None = None,
    kind: str = "node",
    trace: str = "t",
    **columns: Any,
) -> dict[str, Any]:
    """Return a row of `spans`; `name` also names its id. Times are seconds after START."""
    own = {
        "span_id": hex_id(columns.pop("id", name)),
        "trace_id": hex_id(trace),
        "parent_span_id": None if parent is None else hex_id(parent),
        "kind": kind,
        "name": name,
        "attributes": "{'node_type': 'Node'}" if kind == "node" else "{}",
        "status": None if end is None else "OK",
        "error": None,
        "start_time": stamp(start),
        "end_time": None if end is None else stamp(end),
        "policy_snapshot": None,
        "timeout": 0,
    }
    return own | columns


def event(of: str, at: float, kind: str = "agent_response", **columns: Any) -> dict[str, Any]:
    """Return a row of `events` of the span of that name, so many seconds after START."""
    own = {"span_id": hex_id(of), "trace_id": hex_id("t"), "event_type": kind, "level": "info", "attributes": "{}"}
    return own | {"timestamp": stamp(at)} | columns


def rows_of(path: Path, illumo: IllumoFormat) -> list[Row]:
    """Return the rows of a database as they are selected: known columns only, in the order of their rowids."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    found: list[Row] = []
    for table in illumo.tables:
        columns = ", ".join(table.columns)
        selected = db.execute(f"SELECT rowid AS row, {columns} FROM {table.name} ORDER BY rowid")
        found += [(table.name, row["row"], {name: row[name] for name in table.columns}) for row in selected]
    db.close()
    return found


class Telling:
    """One database being converted, as a feed does it: what was read up to some moment, in time order."""

    def __init__(self, state: FlowState | None = None, series: Sequence[SeriesRow] = ()) -> None:
        self.format = illumo_format()
        self.conversion = FlowConversion(Ids(KEY, "i1"), state or FlowState(), list(series))
        self.series = {(one.metric, one.attributes): one for one in series}
        self.sent = Sent()
        self.unparsable: Counter[str] = Counter()
        self.records: list[RowRecord] = []
        self.running: set[str] = set()
        """Keys of what was told to run."""

    def tell(self, rows: Iterable[Row], until_ns: int = 2**62) -> Telemetry:
        """Convert and encode what these rows say of the time up to `until_ns`."""
        told: list[tuple[int, int, RowRecord | None, str]] = []
        for table, rowid, row in rows:
            times = self.format.times(table, row)
            if isinstance(times, UnreadableRow):
                self.unparsable[times.reason] += 1
                told.append((0, rowid, None, times.reason))
                continue
            key = blake2b(f"{table}:{row.get('span_id')}:{rowid}".encode(), digest_size=16).hexdigest()
            if times.end_ns is not None and times.end_ns <= until_ns:
                told.append((times.end_ns, rowid, self.format.ended(table, rowid, key, row, times), table))
            elif times.start_ns <= until_ns and key not in self.running:
                self.running.add(key)
                told.append((times.start_ns, rowid, self.format.begun(table, rowid, key, row, times), table))
        for _, rowid, record, word in sorted(told, key=lambda one: one[:2]):
            if record is None:
                self.conversion.unparsable("spans", rowid, word, self.conversion.newest_ns or START_NS)
                continue
            self.records.append(record)
            if record.end_ns is None:
                self.conversion.started(record)
            else:
                self.running.discard(record.key)
                self.conversion.ended(record)
        return self.drain()

    def drain(self) -> Telemetry:
        """Encode what is there."""
        telemetry = self.conversion.drain()
        for request in encode_telemetry(telemetry, RESOURCE):
            assert self.sent.add(request.signal, request.data) == request.count
        self.series |= {(one.metric, one.attributes): one for one in telemetry.series}
        return telemetry


def illumo_format() -> IllumoFormat:
    """Return the format with the packaged policies."""
    return IllumoFormat(load_policy(SOURCE, key=KEY), load_policy(SOURCE_EVENTS, key=KEY), key=KEY)


def rows(*, spans: Sequence[Mapping[str, Any]] = (), events: Sequence[Mapping[str, Any]] = ()) -> list[Row]:
    """Number rows as they would be inserted."""
    of_spans = [("spans", number, dict(row)) for number, row in enumerate(spans, 1)]
    return of_spans + [("events", number, dict(row)) for number, row in enumerate(events, 1)]
