"""Tasks of Koubou that change after they had ended, or could not be read at first: each thing is told once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from koubou_rows import START_S, Koubou, Watching

from egoscope.sources import replay
from egoscope.sources.koubou import SETTLES_NS

if TYPE_CHECKING:
    from pathlib import Path

SETTLES_S = SETTLES_NS // 10**9


@pytest.fixture
def koubou(tmp_path: Path) -> Koubou:
    return Koubou(tmp_path / "koubou.db")


def tasks(watching: Watching) -> list[str]:
    return [body.partition(" ")[2] for body in watching.bodies() if body.startswith("task_1 ")]


@pytest.fixture(params=[False, True], ids=["followed", "restarted"])
def restart(request: pytest.FixtureRequest) -> bool:
    return request.param


def looked(watching: Watching, *, restart: bool) -> Watching:
    """Look; before that the sidecar may have been killed."""
    return (watching.restarted() if restart else watching).look()


def test_an_end_that_becomes_another_one_counts_in_both(koubou: Koubou, *, restart: bool) -> None:
    """Somebody cancels a task that a worker has, and the worker completes it. Its trace is that of the first end."""
    koubou.create("task_1")
    koubou.take("task_1")
    watching = Watching(koubou).look()
    koubou.now += 1
    koubou.end("task_1", "cancelled")
    watching = looked(watching, restart=restart)
    koubou.now += 30
    koubou.end("task_1", "completed")
    watching = looked(looked(watching, restart=restart), restart=restart)
    assert tasks(watching) == [
        "created",
        "started by worker_0",
        "cancelled after 1000 ms",
        "completed in 31000 ms",
    ]
    assert watching.some("task.ended", "outcome") == {("cancelled",): 1, ("ok",): 1}
    assert watching.some("task.duration", "outcome") == {("cancelled",): (1, 1), ("ok",): (31, 1)}
    assert watching.some("task.worker.tasks", "worker", "outcome") == {
        ("worker_0", "cancelled"): 1,
        ("worker_0", "ok"): 1,
    }
    assert watching.some("task.created", "priority") == watching.some("task.started", "priority") == {("5",): 1}
    assert watching.some("task.returned") == {}
    assert [(s.end_time_unix_nano // 10**9) - START_S for s in watching.sent.spans] == [1]


def test_what_had_ended_and_is_open_again_was_returned_and_ends_once_more(koubou: Koubou, *, restart: bool) -> None:
    """Koubou tries a task that failed again, under its own id."""
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.take("task_1")
    koubou.now += 2
    koubou.end("task_1", "failed")
    watching = looked(watching, restart=restart)
    koubou.now += 3
    koubou.put("task_1", status="pending", assigned_to=None, updated_at=koubou.stamp)
    watching = looked(watching, restart=restart)
    assert watching.some("task.open", "state") == {("pending",): 1}
    koubou.now += 4
    koubou.take("task_1", "worker_1")
    watching = looked(watching, restart=restart)
    koubou.now += 5
    koubou.end("task_1")
    watching = looked(looked(watching, restart=restart), restart=restart)
    assert tasks(watching) == [
        "created",
        "failed after 2000 ms",
        "returned to the queue",
        "started by worker_1",
        "completed in 14000 ms",
    ]
    assert watching.some("task.ended", "outcome") == {("error",): 1, ("ok",): 1}
    assert watching.some("task.created", "priority") == watching.some("task.started", "priority") == {("5",): 1}
    assert watching.some("task.returned", "priority") == {("5",): 1}
    assert watching.sent.series("task.returned", priority="5")[-1][0] == (START_S + 5) * 1000
    assert len(watching.sent.spans) == 1


def test_what_is_worked_on_again_went_through_the_queue(koubou: Koubou) -> None:
    """It had never started before: it starts now, and how long it waited is known."""
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 1
    koubou.end("task_1", "cancelled")
    watching.look()
    koubou.now += 2
    koubou.take("task_1")
    watching.look()
    assert tasks(watching)[2:] == ["returned to the queue", "started by worker_0"]
    assert watching.some("task.started", "priority") == {("5",): 1}
    assert watching.some("task.wait.duration") == {(): (3, 1)}


def test_an_end_that_is_written_again_is_the_same_end(koubou: Koubou, *, restart: bool) -> None:
    koubou.create("task_1")
    koubou.end("task_1")
    watching = Watching(koubou).look()
    koubou.now += 5
    koubou.end("task_1")
    koubou.put("task_1", priority=9)
    watching = looked(watching, restart=restart)
    assert tasks(watching) == ["created", "completed in 0 ms"]


def test_what_ended_long_ago_is_looked_at_no_more(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.end("task_1", "failed")
    watching = Watching(koubou).look()
    koubou.now += SETTLES_S
    koubou.create("task_2")
    watching.look()
    koubou.end("task_1")
    watching.look()
    assert watching.some("task.ended", "outcome") == {("error",): 1}


def test_of_too_many_that_ended_the_latest_are_looked_at(koubou: Koubou, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST_SETTLED", 2)
    for number in range(3):
        koubou.create(f"task_{number}")
        koubou.end(f"task_{number}", "failed")
        koubou.now += 1
    watching = Watching(koubou).look()
    for number in range(3):
        koubou.end(f"task_{number}")
    watching.look()
    assert watching.some("task.ended", "outcome") == {("error",): 3, ("ok",): 2}


def test_a_task_that_ended_and_was_deleted_changes_nothing(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.end("task_1")
    koubou.create("task_2")
    watching = Watching(koubou).look()
    koubou.run("DELETE FROM task_master WHERE task_id = 'task_1'")
    watching.look().restarted().look()
    assert tasks(watching) == ["created", "completed in 0 ms"]


def test_a_task_whose_times_lie_too_far_ahead_is_told_when_they_do_not(koubou: Koubou, *, restart: bool) -> None:
    """The clock of the sidecar's machine is behind."""
    koubou.now += 400
    koubou.create("task_1")
    koubou.now -= 400
    watching = Watching(koubou).look()
    watching = looked(watching, restart=restart)
    assert watching.unparsable.get("time_in_future", 0) == (not restart)
    assert watching.some("task.created") == {}
    koubou.now += 500
    koubou.take("task_1")
    watching = looked(watching, restart=restart)
    koubou.now += 1
    koubou.end("task_1")
    watching = looked(watching, restart=restart)
    assert tasks(watching) == ["created", "started by worker_0", "completed in 101000 ms"]
    assert watching.some("task.created", "priority") == watching.some("task.started", "priority") == {("5",): 1}


@pytest.mark.parametrize("page_rows", [1, 500])
def test_a_task_whose_time_is_none_at_first_is_told_when_it_is_one(koubou: Koubou, page_rows: int) -> None:
    koubou.create("task_1", updated_at="")
    koubou.create("task_2")
    watching = Watching(koubou, page_rows=page_rows).look()
    koubou.now += 2 * SETTLES_S
    koubou.create("task_3")
    koubou.end("task_1")
    watching.look().look()
    assert tasks(watching) == ["created", "completed in 1800000 ms"]
    assert watching.unparsable == {"no_time": 1}
    assert watching.some("task.created") == {(): 3}


def test_that_a_task_cannot_be_read_any_more_is_told_once(koubou: Koubou, *, restart: bool) -> None:
    """Whether it is open or had ended."""
    koubou.create("task_1")
    koubou.create("task_2")
    koubou.end("task_2")
    watching = Watching(koubou).look()
    koubou.put("task_1", updated_at="soon")
    koubou.put("task_2", updated_at="soon")
    watching.look()
    assert watching.unparsable == {"no_time": 2}
    koubou.register("worker_0")
    watching = looked(watching, restart=restart)
    assert watching.bodies().count("REDACTED") == 2
    koubou.now += 1
    koubou.end("task_1")
    watching = looked(watching, restart=restart)
    assert watching.some("task.ended", "outcome") == {("ok",): 2}


def test_an_open_task_that_was_deleted_and_is_made_again_is_a_new_one(koubou: Koubou, *, restart: bool) -> None:
    koubou.create("task_0")
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 5
    koubou.run("DELETE FROM task_master WHERE task_id = 'task_1'")
    watching = looked(watching, restart=restart)
    koubou.now += 5
    koubou.create("task_1")
    watching = looked(watching, restart=restart)
    koubou.take("task_1")
    koubou.now += 5
    koubou.end("task_1")
    watching = looked(watching, restart=restart)
    assert tasks(watching) == ["created", "created", "completed in 5000 ms"]
    assert watching.some("task.ended", "outcome") == {("ok",): 1}
    assert len(watching.sent.spans) == 1


@pytest.mark.parametrize("number", [3, 100])
def test_open_tasks_that_come_back_with_a_backup_end_each_once(koubou: Koubou, number: int, *, restart: bool) -> None:
    """All were deleted by mistake; those that had ended were told."""
    for one in range(number):
        koubou.create(f"task_{one}")
    koubou.end("task_1")
    koubou.now += 5
    watching = Watching(koubou).look()
    with closing(sqlite3.connect(koubou.path)) as db, closing(sqlite3.connect(":memory:")) as backup:
        db.backup(backup)
        koubou.now += 5
        koubou.run("DELETE FROM task_master")
        watching = looked(watching, restart=restart)
        backup.backup(db)
    koubou.now += 5
    watching = looked(watching, restart=restart)
    koubou.now += 5
    koubou.run(("UPDATE task_master SET status = 'completed', updated_at = ? WHERE status = 'pending'", [koubou.stamp]))
    watching = looked(watching, restart=restart)
    assert watching.some("task.ended", "outcome") == {("ok",): number}
    assert len({span.trace_id for span in watching.sent.spans}) == len(watching.sent.spans) == number


def test_the_first_task_after_all_were_deleted_is_told_though_it_cannot_be_read_at_first(
    koubou: Koubou, *, restart: bool
) -> None:
    koubou.create("task_0")
    koubou.end("task_0")
    watching = Watching(koubou).look()
    koubou.now += 5
    koubou.run("DELETE FROM task_master")
    watching = looked(watching, restart=restart)
    koubou.now += 5
    koubou.create("task_1", updated_at="soon")
    watching = looked(watching, restart=restart)
    assert watching.unparsable == {"no_time": 1}
    koubou.end("task_1")
    watching = looked(watching, restart=restart)
    assert tasks(watching) == ["created", "completed in 0 ms"]
