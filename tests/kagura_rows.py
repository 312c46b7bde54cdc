"""Rows of Kagura's database made up for tests, and an instance that is converted from them as the pipeline does it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from converted import KEY, RESOURCE, Sent

from egoscope.convert.agents import AgentConversion, AgentState
from egoscope.convert.ids import Ids
from egoscope.convert.series import SeriesRow
from egoscope.otlp.requests import encode_telemetry
from egoscope.policies import load_policy
from egoscope.prices import load_prices
from egoscope.sources.kagura import EXECUTIONS, SOURCE, SOURCE_EVENTS, KaguraFormat
from egoscope.sources.row_format import Times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.convert.conversion import Telemetry
    from egoscope.model.record import RowRecord
    from egoscope.model.telemetry import Attribute
    from egoscope.prices import Prices

START_S: Final = 1_795_000_000.0
"""2026-11-18 in the morning."""
DAY_S: Final = 86_400.0

FOLDER: Final = Path(__file__).parents[2] / "shared" / "data" / "kagura"


def recorded() -> Path:
    """Return the recorded database; skips the test where it is not."""
    path = FOLDER / "telemetry.db"
    if not path.exists():
        pytest.skip("the recorded database of Kagura is not beside the repository")
    return path


def canaries() -> list[str]:
    """Return the secrets that were planted in it."""
    recorded()
    return json.loads((FOLDER / "canaries.json").read_text(encoding="utf-8"))


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every row with its rowid."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        for row in db.execute("SELECT rowid, * FROM executions ORDER BY rowid"):
            columns = dict(row)
            yield columns.pop("rowid"), columns


def build_format(prices: Prices | None = None, policies: Path | None = None) -> KaguraFormat:
    """Return the format with the packaged policies, extended by those of a folder."""
    return KaguraFormat(
        load_policy(SOURCE, key=KEY, extension_dir=policies),
        load_policy(SOURCE_EVENTS, key=KEY, extension_dir=policies),
        prices or load_prices(),
    )


def model_call(at_s: float = 1.0, model: Any = "gpt-4o", **data: Any) -> dict[str, Any]:
    """Return a model call that ended so many seconds after START_S."""
    told = {"model": model, "prompt_tokens": 100, "completion_tokens": 10, "duration": 0.5, "cost": 0.001}
    return {"type": "llm_call", "timestamp": START_S + at_s, "data": told | data}


def tool_call(at_s: float = 1.0, tool: Any = "search_tool", **data: Any) -> dict[str, Any]:
    """Return a call of a tool that ended so many seconds after START_S."""
    told = {"tool_name": tool, "duration": 0.25, "kwargs": {"query": "private"}}
    return {"type": "tool_call", "timestamp": START_S + at_s, "data": told | data}


def memory_operation(at_s: float = 1.0, operation: Any = "lookup", **data: Any) -> dict[str, Any]:
    """Return a memory operation that ended so many seconds after START_S."""
    told = {"operation": operation, "duration": 0.125, "kwargs": {"count": 3}}
    return {"type": "memory_operation", "timestamp": START_S + at_s, "data": told | data}


def execution(start_s: float = 0.0, end_s: float | None = 2.0, *events: Any, **columns: Any) -> dict[str, Any]:
    """Return a row; times are seconds after START_S, `end_s` None: it runs."""
    row: dict[str, Any] = {
        "id": f"exec_{start_s}",
        "agent_name": "my_agent",
        "started_at": START_S + start_s,
        "ended_at": None if end_s is None else START_S + end_s,
        "duration": None if end_s is None else end_s - start_s,
        "status": "running" if end_s is None else "completed",
        "error": None,
        "kwargs": '{"query": "private"}',
        "events": json.dumps(events),
        "metrics": "{}",
    }
    return row | columns


class Executing:
    """A database being converted, batch by batch, as the pipeline does it."""

    def __init__(
        self, state: AgentState | None = None, series: list[SeriesRow] | None = None, *, prices: Prices | None = None
    ) -> None:
        """Of a new database, or as it was left."""
        self.format = build_format(prices)
        self.conversion = AgentConversion(Ids(KEY, "i1"), state or AgentState(), series or [])
        self.sent = Sent()
        self.rowid = 0
        self.series: dict[tuple[str, tuple[Attribute, ...]], SeriesRow] = {}

    def record(self, row: dict[str, Any]) -> RowRecord:
        """Return the redacted record of a row, as it runs or as it ended."""
        self.rowid += 1
        times = self.format.times(EXECUTIONS, row)
        assert isinstance(times, Times)
        read = self.format.begun if times.end_ns is None else self.format.ended
        return read(EXECUTIONS, self.rowid, str(row["id"]).encode().hex(), row, times)

    def started(self, row: dict[str, Any]) -> RowRecord:
        """Tell of a row that runs."""
        record = self.record(row | {"ended_at": None, "status": "running"})
        self.conversion.started(record)
        return record

    def ended(self, row: dict[str, Any]) -> RowRecord:
        """Tell of a row that is final."""
        record = self.record(row)
        self.conversion.ended(record)
        return record

    def expire(self, at_s: float) -> None:
        """Let time come to so many seconds after START_S."""
        self.conversion.expire(round((START_S + at_s) * 1e9))

    def keep_alive(self, at_s: float) -> None:
        """Say that everything was read up to so many seconds after START_S."""
        self.conversion.keep_alive(round((START_S + at_s) * 1e9))

    def drain(self) -> Telemetry:
        """Encode what is there."""
        telemetry = self.conversion.drain()
        self.series |= {(row.metric, row.attributes): row for row in telemetry.series}
        for request in encode_telemetry(telemetry, RESOURCE):
            assert self.sent.add(request.signal, request.data) == request.count
        return telemetry

    def kept(self) -> bytes:
        """Return what the state file keeps."""
        return msgspec.json.encode((self.conversion.state, list(self.series.values())))

    def restarted(self) -> Executing:
        """Return what goes on from what the state file keeps, and has sent what was sent."""
        state, rows = msgspec.json.decode(self.kept(), type=tuple[AgentState, list[SeriesRow]])
        again = Executing(state, rows)
        again.sent, again.rowid, again.series = self.sent, self.rowid, dict(self.series)
        return again


def converted(*rows: dict[str, Any], prices: Prices | None = None) -> Sent:
    """Convert final rows of a new database, and return all that a back end would be told."""
    executing = Executing(prices=prices)
    for row in rows:
        executing.ended(row)
    executing.drain()
    return executing.sent
