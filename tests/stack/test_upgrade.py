"""What earlier versions left is gone on with: nothing is lost and nothing counted twice, from every earlier schema.

The dumps in tests/upgrade were made by those versions themselves (tests/upgrade/record.py); needs no server.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from egoscope.convert.catalogue import CALLS, EXECUTIONS, LOG_LINES
from egoscope.delivery import state
from egoscope.otlp.client import Accepted, Signal
from egoscope.store import schema
from egoscope.store.sqlite import EmbeddedStore
from tests.otlp_capture import Capture
from tests.stack.processes import wait_for
from tests.stack.sidecar import sidecar_on
from tests.stack.truth import Truth, truth_of
from tests.upgrade import record

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

STATES: Final = sorted(record.HERE.glob("state-*.sql"))
STORES: Final = sorted(record.HERE.glob("store-*.sql"))
EGO_MCP: Final = "ego-mcp"
KAGURA: Final = "kagura"


def number(path: Path) -> int:
    return int(re.sub(r"\D", "", path.stem))


@pytest.mark.parametrize(
    ("found", "newest"),
    [
        pytest.param(STATES, state.SCHEMA_VERSION, id="state file"),
        pytest.param(STORES, schema.VERSION, id="embedded store"),
    ],
)
def test_there_is_a_dump_of_every_earlier_version(found: list[Path], newest: int) -> None:
    """Whoever raises the number records what the version before it makes."""
    assert {number(path) for path in found} >= set(range(1, newest))


def restore(dump: Path, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(dump.read_text(encoding="utf-8"))


@contextlib.contextmanager
def gone_on(dump: Path, directory: Path) -> Generator[tuple[Capture, Truth, int]]:
    """Let today's sidecar go on from a dump with all the rest of the log, and of the database where there was one.

    Yield what it sent, what the log holds, and how many executions the database holds.
    """
    before: dict[str, Any] = json.loads(dump.with_suffix(".json").read_text(encoding="utf-8"))
    content = record.log()
    database = directory / "telemetry.db"
    directory.mkdir(parents=True, exist_ok=True)
    key = directory / "key"
    shutil.copyfile(record.KEY, key)
    key.chmod(0o600)  # git keeps no modes
    with (
        Capture() as collector,
        sidecar_on(directory, collector.endpoint, kagura_path=str(database), key_file=str(key)) as sidecar,
    ):
        sidecar.state_dir.mkdir(mode=0o700)
        restore(dump, sidecar.state_dir / "state.db")
        (sidecar.logs / record.LOG_NAME).write_bytes(content)
        rows = executions(database) if before["rows"] else 0
        sidecar.start()
        whole, sent = truth_of(content), before["sent"]

        def all_told() -> bool:
            spans = len(collector.spans(EGO_MCP)) + len(sent[EGO_MCP]["spans"])
            records = len(collector.records(KAGURA)) + len(sent[KAGURA]["records"])
            return spans >= len(whole.ends) + whole.unfinished and records >= rows and sidecar.drained()

        wait_for(all_told, what="every call and every execution is told")
        assert sidecar.terminate() == 0
        with contextlib.closing(sqlite3.connect(sidecar.state_dir / "state.db")) as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] == state.SCHEMA_VERSION
        yield collector, whole, rows


def executions(path: Path) -> int:
    """Write the whole database, and return how many executions it holds."""
    record.write_rows(path, [one for part in record.parts_of_rows() for one in part])
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT count(*) FROM executions").fetchone()[0]


@pytest.mark.parametrize("dump", [pytest.param(path, id=f"schema {number(path)}") for path in STATES])
def test_a_state_file_is_gone_on_with(dump: Path, tmp_path: Path) -> None:
    """What was acknowledged is not sent again, what waited is sent, and what is new is read: each exactly once."""
    sent = json.loads(dump.with_suffix(".json").read_text(encoding="utf-8"))["sent"]
    with gone_on(dump, tmp_path) as (collector, whole, rows):
        once(sent[EGO_MCP]["records"], collector.records(EGO_MCP), [str(offset) for offset in whole.offsets])
        once(sent[EGO_MCP]["spans"], collector.spans(EGO_MCP), len(whole.ends) + whole.unfinished)
        assert told(collector, sent, CALLS.name) == len(whole.ends)
        assert told(collector, sent, LOG_LINES.name) == len(whole.lines)
        if rows:  # one log record an execution
            once(sent[KAGURA]["records"], collector.records(KAGURA), rows)
            once(sent[KAGURA]["spans"], collector.spans(KAGURA), None)
            assert told(collector, sent, EXECUTIONS.name, KAGURA) == rows


def once(before: list[str], after: Counter[str], expected: Iterable[str] | int | None) -> None:
    """Check that all that was sent, by the older and by today's, is what is expected, each once."""
    together = Counter(before) + after
    assert after, "today's had nothing to send: nothing was tried"
    assert set(together.values()) == {1}
    if isinstance(expected, int):
        assert len(together) == expected
    elif expected is not None:
        assert together == Counter(expected)


def told(collector: Capture, before: dict[str, Any], metric: str, service: str = EGO_MCP) -> int:
    """Return the newest total of a counter over all its series, given up calls left out; none may ever have gone back.

    A series that had nothing new since is not sent again: its total is what the older version sent last.
    """
    totals = collector.totals(service, metric)
    for name, *key, value in before[service]["totals"]:
        if name == metric:
            totals[tuple(key)] = [value, *totals.get(tuple(key), [])]
    assert len({key[0] for key in totals}) == 1, "the instance is the one it was"
    for values in totals.values():
        assert values == sorted(values), "a total went back"
    return sum(values[-1] for key, values in totals.items() if "unfinished" not in key)


@pytest.mark.parametrize("dump", [pytest.param(path, id=f"version {number(path)}") for path in STORES])
def test_an_embedded_store_is_gone_on_with(dump: Path, tmp_path: Path) -> None:
    """With all that today's sidecar still has to send, sent twice: every call, line and execution stands once."""
    path = tmp_path / "store.db"
    restore(dump, path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        kept = {what: rows_of(db, what) for what in (SPANS, RECORDS)}
    (by_the_same,) = (
        one for one in STATES if json.loads(one.with_suffix(".json").read_text())["store"] == number(dump)
    )
    with gone_on(by_the_same, tmp_path / "sidecar") as (collector, whole, rows), EmbeddedStore(path) as store:
        for signal, data in collector.requests * 2:
            assert store.send(Signal(signal), data) == Accepted()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
        for what, found in kept.items():
            assert found
            assert found <= rows_of(db, what)
        calls = "SELECT count(*), sum(outcome != 'unfinished') FROM spans WHERE tool IS NOT NULL"
        assert db.execute(calls).fetchone() == (len(whole.ends) + whole.unfinished, len(whole.ends))
        assert rows_of(db, RECORDS) == Counter(whole.offsets)
        assert db.execute("SELECT count(*) FROM spans WHERE kind = 'agent'").fetchone()[0] == rows


SPANS: Final = "span_id FROM spans"
RECORDS: Final = """"offset" FROM logs WHERE instance IN (SELECT instance FROM instances WHERE service = 'ego-mcp')"""


def rows_of(db: sqlite3.Connection, what: str) -> Counter[Any]:
    return Counter(value for (value,) in db.execute(f"SELECT {what}") if value is not None)
