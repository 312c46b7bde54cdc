"""However long, strange or damaged what stands in a Koubou is, what can be told of the rest is told."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from koubou_rows import KEY, LOST_S, START_S, Koubou, Watching, build_format

from egoscope.convert.series import SeriesSet
from egoscope.sources.databases import DatabaseFile
from egoscope.sources.discovery import Reason
from egoscope.sources.koubou import Found
from egoscope.sources.row_checkpoint import RowDigests

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.convert.catalogue import Metric

MIB = 1 << 20
TOO_LONG = "x" * (17 * MIB)
"""Longer than a row of which anything is read."""


@pytest.fixture
def koubou(tmp_path: Path) -> Koubou:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.register("worker_0")
    return koubou


def found_in(koubou: Koubou, max_row_bytes: int = 16 * MIB) -> Found:
    """Return what a look finds, with a limit of one's own."""
    stat = koubou.path.stat()
    file = DatabaseFile(str(koubou.path), (stat.st_dev, stat.st_ino), RowDigests(KEY), max_row_bytes)
    try:
        with file.snapshot() as snapshot:
            found = build_format().look(snapshot)
    finally:
        file.close()
    assert found is not None
    return found


@pytest.mark.parametrize("column", ["status", "priority", "created_at", "updated_at"])
@pytest.mark.parametrize("indexed", [True, False])
def test_one_value_that_is_too_long_freezes_nothing(koubou: Koubou, column: str, *, indexed: bool) -> None:
    if not indexed:
        koubou.run("DROP INDEX idx_task_status", "DROP INDEX idx_task_priority")
    koubou.create("task_1", 7)
    watching = Watching(koubou).look()
    koubou.create("task_long", **{column: TOO_LONG})  # type: ignore[arg-type]
    koubou.create("task_2", 7)
    koubou.register("worker_1")
    watching.look()
    state = "_OTHER" if column == "status" else "pending"
    priority = "_OTHER" if column == "priority" else "5"
    assert watching.some("task.open", "state", "priority") == {("pending", "7"): 2, (state, priority): 1}
    assert watching.some("task.stored", "state") == (
        {("pending",): 2, ("_OTHER",): 1} if state == "_OTHER" else {("pending",): 3}
    )
    assert watching.some("task.open.oldest", "state")["pending",] == START_S
    assert watching.some("task.workers", "state") == {("idle",): 2}
    assert watching.unparsable == {"too_long": 1}


def test_tasks_of_any_number_of_unknown_states_are_told_by_priority(koubou: Koubou) -> None:
    for number in range(40):
        koubou.create(f"task_{number}", number % 2, status=f"state {number}")
    koubou.create("task_40", 0, status=None)
    koubou.create("task_41", 0)
    watching = Watching(koubou).look()
    assert watching.some("task.open", "state", "priority") == {
        ("_OTHER", "0"): 21,
        ("_OTHER", "1"): 20,
        ("pending", "0"): 1,
    }
    assert watching.some("task.open.oldest", "state") == {("_OTHER",): START_S, ("pending",): START_S}


def test_what_a_look_keeps_does_not_grow_with_what_stands_in_rows(koubou: Koubou) -> None:
    """Neither with the lengths of values nor with the number of different ones."""
    for number in range(100):
        koubou.create(f"task_{number}", f"{number}" * 20_000, status=f"{number}" * 20_000)
    koubou.register("w" * 200_000)
    koubou.run(("UPDATE workers SET status = ?, current_task = ?, last_heartbeat = ?", ["s" * 200_000] * 3))
    found = found_in(koubou)
    assert len(msgspec.json.encode([found.stored, list(found.open.items()), found.oldest_s])) < 1000
    assert len(repr(msgspec.structs.astuple(found))) < 10_000
    told = build_format()
    told.standing(found)
    assert len(repr(vars(told)["_said"])) < 10_000


def test_of_a_row_of_a_worker_that_is_too_long_there_is_a_worker(koubou: Koubou) -> None:
    koubou.run(("UPDATE workers SET current_task = ?", [TOO_LONG]))
    watching = Watching(koubou).look()
    assert watching.some("task.workers", "state") == {("_OTHER",): 1}


def test_a_long_task_has_one_name_with_its_worker_and_in_the_log(koubou: Koubou) -> None:
    """And two whose ids begin alike have two."""
    names = ["task " * 100 + one for one in ("one", "two")]
    for name in names:
        koubou.create(name)
    watching = Watching(koubou).look()
    for name in names:
        koubou.now += 1
        koubou.take(name)
        watching.look()
    started = [body.split()[0] for body in watching.bodies() if "started by" in body]
    assert len(set(started)) == 2
    assert [body.split()[-1] for body in watching.bodies() if "busy with" in body] == started


def test_a_heartbeat_that_differs_only_far_behind_is_one_that_changed() -> None:
    told = build_format()
    digests: set[str] = set()
    for end in ("one", "two"):
        standing = told.standing(Found({}, {}, {}, [told.worker_of(b"0" * 16, {"last_heartbeat": "x" * 1000 + end})]))
        assert standing.workers is not None
        digests |= {worker.heartbeat_digest for worker in standing.workers}
    assert len(digests) == 2


@pytest.mark.parametrize(
    "written",
    ["09:30:00", "now", "9999-12-31 00:00:00", "1970-01-01 00:00:00", "0", "2460000.5", "2026-11-18", "+1 day", ""],
)
def test_a_time_that_is_none_makes_no_task_wait_since_then(koubou: Koubou, written: str) -> None:
    koubou.create("task_odd", created_at=written)
    watching = Watching(koubou).look()
    assert watching.some("task.open", "state") == {("pending",): 1}
    assert watching.some("task.open.oldest", "state") == {}
    koubou.create("task_1")
    watching.look()
    assert watching.some("task.open.oldest", "state") == {("pending",): START_S}, "nor hides one that does"


def test_a_clock_that_is_a_little_ahead_is_believed(koubou: Koubou) -> None:
    koubou.now += 60
    koubou.create("task_1")
    koubou.now -= 60
    assert Watching(koubou).look().some("task.open.oldest", "state") == {("pending",): START_S + 60}


WITHOUT_ROWID = "CREATE TABLE {} ({} TEXT PRIMARY KEY, status TEXT, created_at TEXT) WITHOUT ROWID"


def test_workers_without_rowids_are_no_workers_and_tasks_are_told(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db", workers=False)
    koubou.run(WITHOUT_ROWID.format("workers", "worker_id"), "INSERT INTO workers VALUES ('worker_0', 'idle', '')")
    koubou.create("task_1")
    watching = Watching(koubou).look()
    assert watching.some("task.open", "state") == {("pending",): 1}
    assert watching.some("task.workers", "state") == {}
    assert watching.feed.problems() == []


def test_tasks_without_rowids_are_a_problem_that_has_a_name(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.run("DROP TABLE task_master", WITHOUT_ROWID.format("task_master", "task_id"))
    watching = Watching(koubou).look()
    (problem,) = watching.feed.problems()
    assert (problem.reason, problem.detail) == (Reason.MISSING_COLUMN, "task_master._rowid_")


def test_damage_in_the_workers_leaves_the_tasks_readable(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.register("worker_0")
    koubou.create("task_1")
    ((page,), (size,)) = (
        koubou.ask("SELECT rootpage FROM sqlite_master WHERE name = 'workers'")[0],
        koubou.ask("PRAGMA page_size")[0],
    )
    koubou.run("PRAGMA journal_mode = DELETE")
    with koubou.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    watching = Watching(koubou).look()
    assert watching.feed.problems() == []
    assert watching.some("task.open", "state") == {("pending",): 1}


def test_what_is_only_locked_is_read_another_time(koubou: Koubou, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose row cannot be read just now is not gone."""
    watching = Watching(koubou).look()

    def locked(*_: Any, **__: Any) -> None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    koubou.create("task_1")
    koubou.register("worker_1")
    with monkeypatch.context() as patch:
        patch.setattr("egoscope.sources.koubou.KoubouFormat.worker_of", locked)
        watching.look()
    assert [problem.reason for problem in watching.feed.problems()] == [Reason.LOCKED]
    assert watching.some("task.workers", "state") == {("idle",): 1}
    watching.look()
    assert watching.some("task.workers", "state") == {("idle",): 2}


def test_open_tasks_are_looked_at_by_pages(koubou: Koubou, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred times as many take no more statements."""
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*arguments, **options)
        db.set_trace_callback(statements.append)
        return db

    def of_a_look() -> int:
        koubou.now += 1
        koubou.heartbeat("worker_0")
        statements.clear()
        with monkeypatch.context() as patch:
            patch.setattr("egoscope.sources.databases.sqlite3.connect", traced)
            watching.look()
        return len(statements)

    for number in range(3):
        koubou.create(f"task_{number}")
    watching = Watching(koubou).look()
    few = of_a_look()
    for number in range(3, 300):
        koubou.create(f"task_{number}")
    watching.look()
    assert of_a_look() == few
    koubou.take("task_150")
    watching.look()
    assert watching.some("task.open", "state") == {("pending",): 299, ("in_progress",): 1}
    assert watching.some("task.started") == {(): 1}


def test_an_open_task_that_becomes_too_long_hides_no_change_of_others(koubou: Koubou) -> None:
    for number in range(6):
        koubou.create(f"task_{number}")
    watching = Watching(koubou).look()
    koubou.now += 1
    for number in (0, 2, 3, 5):
        koubou.end(f"task_{number}")
    koubou.put("task_1", assigned_to=TOO_LONG)
    koubou.run("DELETE FROM task_master WHERE task_id = 'task_4'")
    watching.look()
    assert watching.some("task.ended", "outcome") == {("ok",): 4}
    assert watching.unparsable == {"too_long": 1}
    koubou.now += 1
    koubou.put("task_1", assigned_to="worker_0", status="in_progress")
    watching.look()
    assert "task_1 started by worker_0" in watching.bodies()


def test_workers_that_are_lost_at_once_are_told_in_one_step(koubou: Koubou, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a Koubou stops: one by one, each with all others, 3,000 of them took 23 s and 300 MB."""
    steps: list[str] = []
    stand = SeriesSet.stand

    def counted(series: SeriesSet, metric: Metric, *what: Any) -> None:
        steps.append(metric.name)
        stand(series, metric, *what)

    for number in range(1, 20):
        koubou.register(f"worker_{number}")
    watching = Watching(koubou).look().wait(LOST_S)
    monkeypatch.setattr(SeriesSet, "stand", counted)
    watching.wait(5)
    assert steps.count("task.workers") == 1
    assert watching.some("task.workers", "state") == {("lost",): 20}
    lost = [body for body in watching.bodies() if "lost" in body]
    assert sorted(lost) == sorted(f"worker_{number} lost" for number in range(20))
