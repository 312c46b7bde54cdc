"""How long a task waited, and since when it is worked on: what is not known is not told as nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from koubou_rows import START_S, Koubou, Watching

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def koubou(tmp_path: Path) -> Koubou:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.register("worker_0")
    return koubou


@pytest.fixture(params=[False, True], ids=["followed", "restarted"])
def restart(request: pytest.FixtureRequest) -> bool:
    return request.param


def assign(koubou: Koubou, task: str) -> None:
    """Give a task to a worker as Koubou's enhanced pool does: it does not say when."""
    koubou.put(task, status="in_progress", assigned_to="worker_0")


def test_a_wait_that_nobody_saw_and_no_row_tells_is_not_known(koubou: Koubou) -> None:
    """Not 0 s."""
    koubou.create("task_1")
    koubou.now += 40
    assign(koubou, "task_1")
    watching = Watching(koubou).look()
    assert watching.some("task.started", "priority") == {("5",): 1}
    assert watching.some("task.wait.duration") == {}
    koubou.now += 2
    koubou.end("task_1")
    watching.look()
    assert watching.some("task.started", "priority") == {("5",): 1}
    assert watching.some("task.wait.duration") == {}


def test_a_wait_that_was_seen_is_known_though_no_row_tells_it(koubou: Koubou) -> None:
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 40
    assign(koubou, "task_1")
    watching.look()
    assert watching.some("task.wait.duration") == {(): (40, 1)}


def test_a_wait_that_a_row_tells_is_known_though_nobody_saw_it(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.now += 40
    koubou.take("task_1")
    assert Watching(koubou).look().some("task.wait.duration") == {(): (40, 1)}


def test_what_was_done_to_a_task_that_waited_is_no_time_at_which_it_was_taken(koubou: Koubou, *, restart: bool) -> None:
    """Somebody puts it elsewhere in the queue, and that is when its row was changed last."""
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 10
    koubou.put("task_1", priority=9, updated_at=koubou.stamp)
    watching = (watching.restarted() if restart else watching).look()
    koubou.now += 30
    assign(koubou, "task_1")
    watching = (watching.restarted() if restart else watching).look()
    assert watching.some("task.wait.duration") == {(): (40, 1)}


def test_a_task_is_returned_when_that_was_seen_whatever_was_done_to_it_before(koubou: Koubou) -> None:
    """Koubou's clean-up does not say when."""
    koubou.create("task_1")
    koubou.take("task_1")
    watching = Watching(koubou).look()
    koubou.now += 10
    koubou.put("task_1", priority=9, updated_at=koubou.stamp)
    watching.look()
    koubou.now += 300
    koubou.clean_up()
    watching.look()
    assert watching.sent.series("task.returned", priority="9")[-1][0] == koubou.now * 1000


def test_workers_whose_tasks_have_no_name_outside_are_busy_each_since_its_own_time(tmp_path: Path) -> None:
    """A policy may take the names away; then a worker's heartbeat says since when."""
    for source, field in (("koubou", "task_id"), ("koubou_workers", "current_task")):
        policy = f'source = "{source}"\nschema = 1\n[drop]\nfields = ["{field}"]\n'
        (tmp_path / f"{source}.toml").write_text(policy)
    koubou = Koubou(tmp_path / "koubou.db")
    for number in range(2):
        koubou.register(f"worker_{number}")
        koubou.create(f"task_{number}")
    watching = Watching(koubou, policies=tmp_path).look()
    for number in range(2):
        koubou.now += 10
        koubou.take(f"task_{number}", f"worker_{number}")
    watching.look()
    busy = [log for log in watching.sent.logs if log.body.string_value.endswith("busy")]
    since = [one.value.double_value for log in busy for one in log.attributes if one.key == "task.worker.since"]
    assert since == [START_S + 10, START_S + 20]
