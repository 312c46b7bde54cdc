"""The recorded database of the real Koubou: all that is told agrees with plain SQL, and no planted secret leaves."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from disk import left_by
from koubou_rows import Koubou, Watching, canaries, recorded
from planted import found

from egoscope.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTCOMES = {"completed": "ok", "failed": "error", "cancelled": "cancelled"}
RECORDED_S = 1_795_148_271
"""When all of it happened: within one second."""


class Recorded(Koubou):
    """A copy of the recorded database, in which more may happen."""

    def __init__(self, path: Path) -> None:
        shutil.copy(recorded(), path)
        self.path, self.now = path, RECORDED_S + 0.5


@pytest.fixture
def koubou(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "koubou.db")


def as_text(rows: list[tuple[Any, ...]]) -> dict[tuple[str, ...], Any]:
    """Return by all columns but the last what stands in that."""
    return {tuple(str(OUTCOMES.get(one, one)) for one in row[:-1]): row[-1] for row in rows}


@pytest.mark.parametrize("page_rows", [1, 7, 500])
@pytest.mark.parametrize("restarts", [False, True])
def test_counts_are_those_of_the_database(koubou: Recorded, page_rows: int, *, restarts: bool) -> None:
    """Exactly, whatever pages it is read in, and whenever the sidecar is started anew."""
    watching = Watching(koubou, page_rows=page_rows)
    for _ in range(100 if restarts else 0):
        watching.once()
        watching = watching.restarted()
    watching.look()
    ask, told = koubou.ask, watching.some
    final = "status IN ('completed', 'failed', 'cancelled')"
    by = "FROM task_master WHERE"
    assert told("task.created", "priority") == as_text(ask(f"SELECT priority, count(*) {by} 1 GROUP BY 1"))
    assert told("task.started", "priority") == as_text(
        ask(f"SELECT priority, count(*) {by} assigned_to IS NOT NULL GROUP BY 1")
    )
    assert told("task.ended", "priority", "outcome") == as_text(
        ask(f"SELECT priority, status, count(*) {by} {final} GROUP BY 1, 2")
    )
    assert told("task.worker.tasks", "worker", "outcome") == as_text(
        ask(f"SELECT assigned_to, status, count(*) {by} {final} GROUP BY 1, 2")
    )
    assert told("task.stored", "state") == {
        (state,): number for state, number in ask(f"SELECT status, count(*) {by} 1 GROUP BY 1")
    }
    assert told("task.open", "state", "priority") == as_text(
        ask(f"SELECT status, priority, count(*) {by} NOT {final} GROUP BY 1, 2")
    )
    assert told("task.workers", "state") == as_text(ask("SELECT status, count(*) FROM workers GROUP BY 1"))
    assert told("task.duration", "outcome") == {("ok",): (0, 51), ("error",): (0, 8)}
    assert told("task.returned", "priority") == {}
    assert watching.unparsable == {}


def test_a_worker_counted_what_koubou_counted_for_it(koubou: Recorded) -> None:
    """Its own counts stand in `workers`, which is not read for that."""
    watching = Watching(koubou).look()
    counted = koubou.ask("SELECT worker_id, tasks_completed, tasks_failed FROM workers")
    told = watching.last("task.worker.tasks", "worker", "outcome")
    assert {
        (name, how): number for name, well, not_well in counted for how, number in (("ok", well), ("error", not_well))
    } == told


def test_every_task_that_ended_is_one_trace_and_every_task_was_created_once(koubou: Recorded) -> None:
    watching = Watching(koubou).look()
    ((ended,),) = koubou.ask("SELECT count(*) FROM task_master WHERE status IN ('completed', 'failed')")
    assert len({span.trace_id for span in watching.sent.spans}) == len(watching.sent.spans) == ended
    assert sum(body.endswith(" created") for body in watching.bodies()) == 80
    assert sum(" started by " in body for body in watching.bodies()) == 5


def test_what_happens_in_it_next_is_told_and_nothing_again(koubou: Recorded) -> None:
    watching = Watching(koubou).look().restarted()
    before = len(watching.bodies())
    koubou.now += 10
    koubou.end("task_00006")
    koubou.take("task_00007", "worker_0")
    watching.look()
    koubou.now += 200
    koubou.clean_up()
    watching.look()
    assert watching.bodies()[before:] == [
        "task_00007 started by worker_0",
        "task_00006 completed in 10000 ms",
        "worker_0 busy with task_00007",
        "task_00007 returned to the queue",
        *(f"task_000{number} returned to the queue" for number in (20, 39, 70, 78)),
        "worker_0 gone",
        "worker_1 gone",
        "worker_2 gone",
    ]


def test_the_points_of_each_series_are_in_time_order(koubou: Recorded) -> None:
    points = Watching(koubou).look().wait(90).sent.points
    assert len(points) > 60
    assert [
        name for (name, _), one in points.items() if [time for time, _ in one] != sorted({time for time, _ in one})
    ] == []


def test_no_planted_secret_is_on_disk_or_in_the_own_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While requests wait, and after they are in the embedded store; the database itself is as it was."""
    caplog.set_level(logging.DEBUG)
    database = tmp_path / "koubou" / "koubou.db"
    database.parent.mkdir()
    shutil.copy(recorded(), database)
    before = database.read_bytes()
    state_dir, log = tmp_path / "state", tmp_path / "none.log"
    settings = load_settings(
        EGO_MCP_LOG_PATH=str(log), koubou_path=str(database), state_dir=state_dir, backend="embedded", health_port=0
    )
    outputs_ = [*left_by(settings), caplog.text.encode()]
    assert b"task_00006 started by worker_2" in outputs_[2], "the store was filled"
    assert found(canaries(), b"\n".join(outputs_)) == []
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == ["koubou.db"]


def outputs(watching: Watching) -> Iterator[bytes]:
    """Yield all that leaves or is kept."""
    yield watching.sent.raw
    yield from watching.kept.values()
    yield str([policy.drain_audit() for policy in watching.feed.policies]).encode()


def test_no_planted_secret_is_sent_or_kept(koubou: Recorded) -> None:
    """In any form."""
    watching = Watching(koubou, page_rows=7).look()
    planted = canaries()
    assert len(planted) > 100
    with closing(sqlite3.connect(f"file:{recorded()}?mode=ro&immutable=1", uri=True)) as db:
        everything = json.dumps(db.execute("SELECT * FROM task_master").fetchall()).encode()
    assert len(found(planted, everything)) > 100, "they are in the database"
    assert found(planted, b"\n".join(outputs(watching))) == []
