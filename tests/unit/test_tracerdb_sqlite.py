"""The file of `SQLiteTracerDB`: its tables, its writers, and what a crash leaves."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from egoscope.errors import DeliveryError, StateError
from egoscope.tracerdb import EventData, SpanData, SQLiteTracerDB
from egoscope.tracerdb import schema as file_schema

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def span(number: int, **values: Any) -> SpanData:
    given: dict[str, Any] = {"trace_id": "t", "span_id": f"{number:016x}", "name": f"n{number}"}
    given |= {"start": number, "end": number + 1}
    return SpanData(**{**given, **values})


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_the_newest_spans_are_asked_for_as_the_page_says(tmp_path: Path) -> None:
    with SQLiteTracerDB(tmp_path / "t.db") as db:
        for number in range(20):
            db.record_span(span(number, attributes={"model": "m", "tokens": number}))
    rows = ask(tmp_path / "t.db", "SELECT * FROM spans ORDER BY start DESC LIMIT 10")
    assert [row[3] for row in rows] == [f"n{number}" for number in range(19, 9, -1)]
    assert rows[0] == ("0" * 14 + "13", "t", None, "n19", 19, 20, "UNSET", '{"model":"m","tokens":19}')


def test_columns_are_as_promised_and_attributes_are_json(tmp_path: Path) -> None:
    with SQLiteTracerDB(tmp_path / "t.db") as db:
        db.record_span(span(1, end=None, attributes={"nan": float("nan"), "tokens": 5}))
        db.record_event("unknown", EventData(name="e", timestamp=7))
    columns = {
        table: [row[1] for row in ask(tmp_path / "t.db", f"PRAGMA table_info({table})")]
        for table in ("spans", "events")
    }
    assert columns == {
        "spans": ["span_id", "trace_id", "parent_id", "name", "start", "end", "status", "attributes"],
        "events": ["id", "span_id", "name", "timestamp", "attributes"],
    }
    assert ask(tmp_path / "t.db", "SELECT end, attributes ->> 'tokens', attributes ->> 'nan' FROM spans") == [
        (None, 5, None)
    ]
    assert ask(tmp_path / "t.db", "SELECT * FROM events") == [(1, "unknown", "e", 7, "{}")]


def test_it_is_wal_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.db"
    with SQLiteTracerDB(path) as db:
        db.record_span(span(1))
        db.flush()
        assert ask(path, "PRAGMA journal_mode") == [("wal",)]
        assert {one.stat().st_mode & 0o077 for one in path.parent.iterdir()} == {0}


def test_a_batch_is_written_by_itself(tmp_path: Path) -> None:
    with SQLiteTracerDB(tmp_path / "t.db", batch_size=10, interval_s=3600) as db:
        for number in range(15):
            db.record_span(span(number))
        assert ask(tmp_path / "t.db", "SELECT count(*) FROM spans") == [(10,)]


def test_what_waited_for_the_interval_is_written_with_the_next(tmp_path: Path) -> None:
    with SQLiteTracerDB(tmp_path / "t.db", interval_s=0) as db:
        db.record_span(span(1))
        assert ask(tmp_path / "t.db", "SELECT count(*) FROM spans") == [(1,)]


def test_several_writers_share_a_file(tmp_path: Path) -> None:
    """Processes, each with transactions of its own."""
    path = tmp_path / "t.db"
    code = """
import sys
from egoscope.tracerdb import SQLiteTracerDB, SpanData
first = int(sys.argv[2])
with SQLiteTracerDB(sys.argv[1], batch_size=7) as db:
    for number in range(first, first + 200):
        db.record_span(SpanData(trace_id="t", span_id=str(number), name="n", start=number))
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(first)]) for first in (0, 1000, 2000)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert ask(path, "SELECT count(*) FROM spans") == [(600,)]


def test_what_was_flushed_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    code = """
import os, sys
from egoscope.tracerdb import EventData, SQLiteTracerDB, SpanData
db = SQLiteTracerDB(sys.argv[1], interval_s=3600)
db.connect()
for number in range(100):
    db.record_span(SpanData(trace_id="t", span_id=str(number), name="n", start=number))
    db.record_event(str(number), EventData(name="e", timestamp=number))
db.flush()
db.record_span(SpanData(trace_id="t", span_id="unflushed", name="n", start=0))
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "SELECT (SELECT count(*) FROM spans), (SELECT count(*) FROM events)") == [(100, 100)]


def test_what_is_still_connected_is_closed_when_the_interpreter_ends(tmp_path: Path) -> None:
    code = """
import sys
from egoscope.tracerdb import SQLiteTracerDB, SpanData
db = SQLiteTracerDB(sys.argv[1])
db.connect()
db.record_span(SpanData(trace_id="t", span_id="s", name="n", start=1))
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.db")], check=True)
    assert ask(tmp_path / "t.db", "SELECT span_id FROM spans") == [("s",)]


def test_a_lock_does_not_hold_up_recording_and_too_many_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with SQLiteTracerDB(path, batch_size=50, max_pending=100) as db:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(250):
                db.record_span(span(number))
        with pytest.raises(DeliveryError, match="150 were dropped because more than 100 waited"):
            db.flush()
        db.flush()  # told once
    assert ask(path, "SELECT min(start), count(*) FROM spans") == [(150, 100)]


class Interrupted(SQLiteTracerDB):
    """Another thread records a newer span while the disk fails."""

    failed = False

    @contextmanager
    def _transaction(self, patience_ms: int) -> Generator[sqlite3.Connection]:
        if not self.failed:
            self.failed = True
            self.record_span(span(1, name="newer"))
            raise sqlite3.OperationalError
        with super()._transaction(patience_ms) as db:
            yield db


def test_what_is_put_back_after_a_failure_does_not_replace_what_came_meanwhile(tmp_path: Path) -> None:
    with Interrupted(tmp_path / "t.db") as db:
        db.record_span(span(1, name="older"))
        with pytest.raises(DeliveryError):
            db.flush()
    assert ask(tmp_path / "t.db", "SELECT name FROM spans") == [("newer",)]


def test_an_older_file_is_migrated_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as db:
        for statement in file_schema.STEPS[0]:
            db.execute(statement)
        db.execute("INSERT INTO spans VALUES ('s', 't', NULL, 'n', 1, 2, 'OK', '{}')")
        db.execute(f"PRAGMA application_id = {file_schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    with SQLiteTracerDB(path):
        pass
    assert ask(path, "PRAGMA user_version") == [(file_schema.VERSION,)]
    assert ask(path, "SELECT span_id FROM spans INDEXED BY spans_by_start WHERE start > 0") == [("s",)]


def test_a_step_that_fails_leaves_the_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    with SQLiteTracerDB(path) as db:
        db.record_span(span(1))
    monkeypatch.setattr(file_schema, "STEPS", (*file_schema.STEPS, ("CREATE TABLE more (a)", "no SQL")))
    monkeypatch.setattr(file_schema, "VERSION", file_schema.VERSION + 1)
    with pytest.raises(StateError):
        SQLiteTracerDB(path).connect()
    assert ask(path, "PRAGMA user_version") == [(2,)]
    assert ask(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'more'") == [(0,)]


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        pytest.param("CREATE TABLE spans (span_id)", "none of egoscope's traces", id="somebody else's database"),
        pytest.param(
            f"PRAGMA application_id = {file_schema.APPLICATION_ID}; PRAGMA user_version = 99; CREATE TABLE t (a)",
            "newer egoscope",
            id="a newer version",
        ),
    ],
)
def test_another_database_is_refused_and_left_as_it_is(tmp_path: Path, prepare: str, says: str) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(prepare)
    before = path.read_bytes()
    with pytest.raises(StateError, match=says):
        SQLiteTracerDB(path).connect()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(b"not a database at all, but long enough to look at" * 10)
    with pytest.raises(StateError, match="no SQLite database"):
        SQLiteTracerDB(path).connect()
    assert path.read_bytes().startswith(b"not a database")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateError, match=r"t\.db"):
        SQLiteTracerDB(tmp_path / "t.db").connect()
