"""What happens to tasks and workers of Koubou, look by look, and what is told of it: each thing once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from converted import scalars
from koubou_rows import LOST_S, START_S, Koubou, Watching, stamp

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def koubou(tmp_path: Path) -> Koubou:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.register("worker_0")
    return koubou


def points(watching: Watching, metric: str, **labels: str) -> list[tuple[float, object]]:
    """Return the points of one series: seconds after START_S, value."""
    return [((time_ms - START_S * 1000) / 1000, value) for time_ms, value in watching.sent.series(metric, **labels)]


def test_a_task_that_is_seen_in_each_state_is_counted_once_in_each_where_it_was(koubou: Koubou) -> None:
    koubou.create("task_1", 7)
    watching = Watching(koubou).look()
    koubou.now += 4
    koubou.take("task_1")
    watching.look().look()
    koubou.now += 8
    koubou.end("task_1")
    watching.look().look()
    assert points(watching, "task.created", priority="7") == [(-0.001, 0), (0, 1)]
    assert points(watching, "task.started", priority="7") == [(3.999, 0), (4, 1)]
    assert points(watching, "task.ended", priority="7", outcome="ok") == [(11.999, 0), (12, 1)]
    assert watching.some("task.wait.duration") == {(): (4, 1)}
    assert watching.some("task.duration", "outcome") == {("ok",): (12, 1)}
    assert watching.some("task.worker.tasks", "worker", "outcome") == {("worker_0", "ok"): 1}
    assert watching.some("task.returned") == {}


def test_the_log_tells_a_task_in_sentences_and_its_trace_in_events(koubou: Koubou) -> None:
    koubou.create("task_1", 7)
    watching = Watching(koubou).look()
    koubou.now += 4
    koubou.take("task_1")
    watching.look()
    koubou.now += 8
    koubou.end("task_1", "failed")
    watching.look()
    assert [body for body in watching.bodies() if body.startswith("task")] == [
        "task_1 created",
        "task_1 started by worker_0",
        "task_1 failed after 12000 ms",
    ]
    assert [body for body in watching.bodies() if body.startswith("worker")] == [
        "worker_0 idle",
        "worker_0 busy with task_1",
        "worker_0 idle",
    ]
    (span,) = watching.sent.spans
    assert (span.name, span.kind, span.status.code) == ("task", 1, 2)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 12 * 10**9
    assert scalars(span.attributes) == {
        "task.id": "task_1",
        "task.priority": 7,
        "task.outcome": "error",
        "task.worker": "worker_0",
        "error.type": "_OTHER",
    }
    assert [(event.name, scalars(event.attributes)) for event in span.events] == [
        ("task.started", {"task.worker": "worker_0"})
    ]
    ended = next(log for log in watching.sent.logs if "failed" in log.body.string_value)
    assert (ended.severity_text, ended.trace_id, ended.span_id) == ("ERROR", span.trace_id, span.span_id)
    assert scalars(ended.attributes) == scalars(span.attributes) | {"ego.logger": "koubou.tasks"}


def test_a_task_that_was_ended_directly_never_started(koubou: Koubou) -> None:
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 2
    koubou.put("task_1", status="completed", updated_at=koubou.stamp)
    watching.look()
    assert watching.some("task.started") == {}
    assert watching.some("task.worker.tasks") == {}
    assert watching.some("task.ended", "outcome") == {("ok",): 1}


def test_a_task_that_ended_with_a_worker_before_anybody_saw_it_started_at_its_end(koubou: Koubou) -> None:
    """How long it waited nobody knows."""
    koubou.create("task_1", 2)
    watching = Watching(koubou).look()
    koubou.take("task_1")
    koubou.now += 3
    koubou.end("task_1")
    watching.look()
    assert points(watching, "task.started", priority="2") == [(2.999, 0), (3, 1)]
    assert watching.some("task.wait.duration") == {}
    assert watching.sent.spans[0].events == []


def test_a_task_that_goes_back_and_is_taken_again_started_once_and_was_returned_once(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.now += 1
    koubou.take("task_1")
    watching = Watching(koubou).look()
    koubou.now += 200
    koubou.clean_up()
    koubou.register("worker_1")
    watching.look()
    koubou.now += 5
    koubou.take("task_1", "worker_1")
    watching.look()
    koubou.now += 5
    koubou.end("task_1")
    watching.look()
    assert watching.last("task.started", "priority") == {("5",): 1}
    assert points(watching, "task.returned", priority="5") == [(200.999, 0), (201, 1)]
    assert [body for body in watching.bodies() if body.startswith("task")] == [
        "task_1 created",
        "task_1 started by worker_0",
        "task_1 returned to the queue",
        "task_1 started by worker_1",
        "task_1 completed in 211000 ms",
    ]
    (span,) = watching.sent.spans
    assert [event.name for event in span.events] == ["task.started", "task.returned", "task.started"]


def test_a_task_that_another_worker_has_now_was_given_back_in_between(koubou: Koubou) -> None:
    """Nobody saw it in the queue again, but there it must have been; by the same worker nothing can be known."""
    for task in ("task_1", "task_2", "task_3"):
        koubou.create(task)
        koubou.take(task)
    watching = Watching(koubou).look()
    koubou.now += 5
    for worker, task in (("worker_1", "task_1"), ("worker_0", "task_2")):
        koubou.put(task, status="pending", assigned_to=None)
        koubou.take(task, worker)
    koubou.put("task_3", status="in_progress", assigned_to="worker_1")
    koubou.end("task_3")
    watching.look()
    assert watching.last("task.returned", "priority") == {("5",): 2}
    assert watching.last("task.started", "priority") == {("5",): 3}
    assert [body for body in watching.bodies() if body.startswith("task_1")] == [
        "task_1 created",
        "task_1 started by worker_0",
        "task_1 returned to the queue",
        "task_1 started by worker_1",
    ]
    assert watching.restarted().look().last("task.returned", "priority") == {("5",): 2}, "a restart adds nothing"


def test_a_task_taken_without_a_word_of_when_was_taken_when_it_was_seen(koubou: Koubou) -> None:
    """One of Koubou's programs leaves `updated_at` as it is."""
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 4
    koubou.put("task_1", status="in_progress", assigned_to="worker_0")
    watching.look()
    assert points(watching, "task.started", priority="5") == [(3.999, 0), (4, 1)]


def test_processing_is_being_worked_on_and_no_second_start(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.now += 1
    koubou.take("task_1")
    watching = Watching(koubou).look()
    koubou.now += 1
    koubou.put("task_1", status="processing", updated_at=koubou.stamp)
    watching.look()
    assert watching.last("task.started", "priority") == {("5",): 1}
    assert watching.some("task.open", "state") == {("processing",): 1}


def test_a_task_of_an_unknown_status_is_open_and_reads_other(koubou: Koubou) -> None:
    koubou.create("task_1", status="paused")
    koubou.create("task_2", status=None)
    koubou.create("task_3", status=7)
    watching = Watching(koubou).look()
    assert watching.some("task.open", "state", "priority") == {("_OTHER", "5"): 3}
    assert watching.some("task.stored", "state") == {("_OTHER",): 3}
    assert watching.sent.spans == []
    koubou.now += 1
    koubou.end("task_1", "cancelled")
    watching.look()
    assert watching.some("task.ended", "outcome") == {("cancelled",): 1}
    assert "task_1 cancelled after 1000 ms" in watching.bodies()


def test_what_is_open_no_more_falls_to_nothing(koubou: Koubou) -> None:
    koubou.create("task_1", 3)
    watching = Watching(koubou).look()
    assert watching.some("task.open", "state", "priority") == {("pending", "3"): 1}
    assert watching.some("task.open.oldest", "state") == {("pending",): START_S}
    koubou.now += 1
    koubou.put("task_1", priority=9, updated_at=koubou.stamp)
    watching.look()
    assert watching.last("task.open", "state", "priority") == {("pending", "3"): 0, ("pending", "9"): 1}
    koubou.now += 1
    koubou.run("DELETE FROM task_master")
    watching.look()
    assert watching.some("task.open", "state", "priority") == {}
    assert watching.some("task.open.oldest", "state") == {}
    assert watching.some("task.ended") == {}
    assert points(watching, "task.open", state="pending", priority="9")[-1] == (2, 0)


def test_what_waits_waits_since_it_was_created_and_what_is_worked_on_since_it_changed(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.create("task_2")
    koubou.now += 3
    koubou.put("task_1", priority=9, updated_at=koubou.stamp)
    koubou.take("task_2")
    watching = Watching(koubou).look()
    assert watching.some("task.open.oldest", "state") == {("pending",): START_S, ("in_progress",): START_S + 3}


def test_gauges_are_of_the_moment_of_the_look_and_counters_of_the_event(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.now += 7.5
    watching = Watching(koubou).look()
    assert points(watching, "task.created", priority="5")[-1] == (0, 1)
    assert points(watching, "task.open", state="pending", priority="5") == [(7.5, 1)]
    assert points(watching, "task.workers", state="idle") == [(7.5, 1)]


def test_a_priority_that_is_no_number_within_bounds_reads_other(koubou: Koubou) -> None:
    for number, priority in enumerate([None, "urgent", 5.5, -1, 10**18, b"x"]):
        koubou.create(f"task_{number}", priority)
    watching = Watching(koubou).look()
    assert watching.last("task.created", "priority") == {("_OTHER",): 6}
    assert watching.some("task.open", "priority") == {("_OTHER",): 6}


def test_more_priorities_than_labels_may_have_read_other(koubou: Koubou) -> None:
    for number in range(70):
        koubou.create(f"task_{number}", number)
    watching = Watching(koubou).look()
    assert len(watching.some("task.created", "priority")) == 65
    assert watching.last("task.created", "priority")["_OTHER",] == 6


# --- workers ---------------------------------------------------------------------------------------------------------


def workers(watching: Watching) -> dict[str, str]:
    """Return the state that the state set tells of each worker, and that the counts agree with it."""
    states = {by[0]: by[1] for by in watching.some("task.worker.state", "worker", "state")}
    told = watching.some("task.workers", "state")
    assert {state: list(states.values()).count(state) for state in states.values()} == {
        state: count for (state,), count in told.items()
    }
    return states


def test_a_worker_is_lost_by_time_alone_and_found_again_by_its_next_heartbeat(koubou: Koubou) -> None:
    koubou.register("worker_1")
    koubou.run("UPDATE workers SET status = 'offline' WHERE worker_id = 'worker_1'")
    watching = Watching(koubou).look().wait(LOST_S)
    assert workers(watching) == {"worker_0": "idle", "worker_1": "offline"}
    watching.wait(2)
    assert workers(watching) == {"worker_0": "lost", "worker_1": "offline"}
    assert points(watching, "task.workers", state="lost")[-1][1] == 1
    (lost,) = [log for log in watching.sent.logs if log.body.string_value == "worker_0 lost"]
    assert lost.severity_text == "WARNING"
    assert scalars(lost.attributes)["task.worker.since"] == START_S + LOST_S
    koubou.heartbeat("worker_0")
    watching.look()
    assert workers(watching) == {"worker_0": "idle", "worker_1": "offline"}
    assert watching.bodies() == ["worker_0 idle", "worker_1 offline", "worker_0 lost", "worker_0 idle"]


def test_a_worker_that_is_lost_at_first_sight_is_lost_since_its_heartbeat_was_too_old(koubou: Koubou) -> None:
    koubou.now += 1000
    watching = Watching(koubou).look()
    assert workers(watching) == {"worker_0": "lost"}
    assert scalars(watching.sent.logs[-1].attributes)["task.worker.since"] == START_S + LOST_S


def test_a_look_after_a_pause_calls_nobody_lost_whose_heartbeat_it_reads(koubou: Koubou) -> None:
    """Tasks of the time in between are told before the workers are looked at."""
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 500
    koubou.create("task_2")
    koubou.heartbeat("worker_0")
    watching.look()
    assert "worker_0 lost" not in watching.bodies()


def test_a_worker_that_is_deleted_is_gone_and_counted_no_more(koubou: Koubou) -> None:
    watching = Watching(koubou).look()
    koubou.now += 3
    koubou.run("DELETE FROM workers")
    watching.look()
    assert workers(watching) == {}
    assert watching.bodies() == ["worker_0 idle", "worker_0 gone"]
    assert watching.last("task.worker.heartbeat.time", "worker") == {("worker_0",): 0}
    watching.wait(LOST_S * 2)
    assert watching.bodies()[2:] == []


def test_a_worker_whose_row_is_replaced_is_the_same_one(koubou: Koubou) -> None:
    koubou.register("worker_1")
    watching = Watching(koubou).look()
    koubou.now += 3
    koubou.register("worker_0")
    watching.look()
    assert watching.bodies() == ["worker_0 idle", "worker_1 idle"]
    assert watching.last("task.worker.heartbeat.time", "worker")["worker_0",] == START_S + 3


@pytest.mark.parametrize("status", ["busy", "processing", "working"])
def test_each_word_for_work_is_busy_since_the_task_was_taken(koubou: Koubou, status: str) -> None:
    koubou.create("task_1")
    koubou.now += 2
    koubou.take("task_1", busy=status)
    koubou.now += 9
    koubou.heartbeat("worker_0")
    watching = Watching(koubou).look()
    assert workers(watching) == {"worker_0": "busy"}
    assert scalars(watching.sent.logs[-1].attributes) == {
        "ego.logger": "koubou.workers",
        "task.worker": "worker_0",
        "task.worker.state": "busy",
        "task.id": "task_1",
        "task.worker.since": START_S + 2,
    }


def test_of_two_states_of_one_worker_the_later_has_the_later_since(koubou: Koubou) -> None:
    """Also within one second: what holds now is found by the greatest."""
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.take("task_1")
    watching.look()
    koubou.end("task_1")
    watching.look()
    since = [
        scalars(log.attributes)["task.worker.since"]
        for log in watching.sent.logs
        if "worker" in log.body.string_value[:6]
    ]
    assert len(since) == 3
    assert since == sorted(set(since))


def test_a_worker_with_the_next_task_is_told_though_it_is_busy_still(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.create("task_2")
    koubou.take("task_1")
    watching = Watching(koubou).look()
    koubou.now += 1
    koubou.end("task_1")
    koubou.take("task_2")
    watching.look()
    assert [body for body in watching.bodies() if "busy" in body] == [
        "worker_0 busy with task_1",
        "worker_0 busy with task_2",
    ]


def test_a_worker_of_an_unknown_status_is_other(koubou: Koubou) -> None:
    koubou.run("UPDATE workers SET status = 'odd'")
    assert workers(Watching(koubou).look()) == {"worker_0": "_OTHER"}


@pytest.mark.parametrize(
    ("heartbeat", "next_one"),
    [
        pytest.param(None, "soon", id="none"),
        pytest.param("soon", "now", id="no time"),
        pytest.param(START_S + 0.25, START_S + 10.5, id="Unix time with a fraction"),
        pytest.param(START_S, START_S + 10, id="Unix time"),
        pytest.param(stamp(START_S + 400), stamp(START_S + 410), id="a time ahead"),
        pytest.param(stamp(START_S + 10**7), stamp(START_S + 10**7 + 10), id="a time far ahead"),
    ],
)
def test_a_heartbeat_that_cannot_be_believed_ages_from_when_it_was_first_seen(
    koubou: Koubou, heartbeat: object, next_one: object
) -> None:
    """Whatever it is: a worker that goes on writing changes it. A restart forgets nothing."""
    beat = "UPDATE workers SET last_heartbeat = ?"
    koubou.run((beat, (heartbeat,)))
    watching = Watching(koubou).look()
    koubou.now += LOST_S - 1
    watching.tick()
    koubou.run((beat, (next_one,)))
    watching.look().restarted()
    koubou.now += LOST_S
    koubou.create("task_1")  # its row is looked at again, and says nothing new
    watching = watching.restarted().look().tick()
    assert workers(watching) == {"worker_0": "idle"}
    koubou.now += 1
    watching.tick()
    assert workers(watching) == {"worker_0": "lost"}
    (lost,) = [log for log in watching.sent.logs if log.body.string_value == "worker_0 lost"]
    assert scalars(lost.attributes)["task.worker.since"] == START_S + 2 * LOST_S - 1
    koubou.now += 400
    koubou.put("task_1", priority=6)
    assert workers(watching.look().tick()) == {"worker_0": "lost"}, "what was ahead is not believed later"
    told = points(watching, "task.worker.heartbeat.time", worker="worker_0")
    assert told
    assert all(float(str(heartbeat)) <= START_S + at_s for at_s, heartbeat in told), "none lies ahead"
    koubou.heartbeat("worker_0")
    assert workers(watching.look()) == {"worker_0": "idle"}


def test_where_no_heartbeat_is_ever_written_nobody_is_lost(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "old.db", workers=False)
    koubou.run("CREATE TABLE workers (worker_id TEXT PRIMARY KEY, status TEXT)")
    koubou.run("INSERT INTO workers VALUES ('worker_0', 'idle')")
    koubou.create("task_1")
    assert workers(Watching(koubou).look().wait(LOST_S * 2)) == {"worker_0": "idle"}


def test_names_that_are_none_and_names_beyond_256_read_other_and_are_counted_all_the_same(koubou: Koubou) -> None:
    for number in range(260):
        koubou.register(f"w{number}")
    koubou.register("Zoë's laptop")
    watching = Watching(koubou).look()
    assert watching.some("task.workers", "state") == {("idle",): 262}
    names = {worker for worker, _ in watching.last("task.worker.state", "worker", "state")}
    assert len(names) == 257
    assert "_OTHER" in names
    assert "_OTHER idle" in watching.bodies()
    assert "w259 idle" in watching.bodies(), "a log record may have any number of names"


def test_a_database_without_a_table_of_workers_is_a_database(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "old.db", workers=False)
    koubou.create("task_1")
    watching = Watching(koubou).look()
    assert watching.some("task.created", "priority") == {("5",): 1}
    assert watching.last("task.workers", "state") == {}


def test_workers_are_told_before_the_first_task_and_after_the_last_one_was_cleared(koubou: Koubou) -> None:
    """And it is the same database all the while, also for a sidecar that starts when it is empty."""
    watching = Watching(koubou).look()
    assert workers(watching) == {"worker_0": "idle"}
    koubou.create("task_1")
    watching.look()
    koubou.now += 1
    koubou.end("task_1")
    watching.look()
    koubou.run("DELETE FROM task_master")
    koubou.now += 1
    koubou.heartbeat("worker_0")
    watching.look()
    assert workers(watching) == {"worker_0": "idle"}
    assert watching.some("task.stored") == {}
    watching = watching.restarted().look()
    koubou.now += 1
    koubou.create("task_2")
    watching.look()
    assert len(watching.sents) == 1
    assert watching.last("task.created", "priority") == {("5",): 2}
    assert workers(watching) == {"worker_0": "idle"}


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("replaced", [False, True])
def test_another_database_in_its_place_goes_on_for_it(koubou: Koubou, *, restarted: bool, replaced: bool) -> None:
    """Its workers would be told twice else: as they were in the old one, and as they are."""
    koubou.create("task_1")
    koubou.take("task_1")
    watching = Watching(koubou).look()
    if restarted:
        watching = watching.restarted()
    if replaced:
        koubou.path.rename(koubou.path.with_suffix(".old"))
        Koubou(koubou.path).register("worker_0")
    else:
        koubou.run("DELETE FROM task_master")
    koubou.create("task_9")
    koubou.now += 1
    watching.look()
    assert len(watching.sents) == 1
    assert workers(watching) == {"worker_0": "idle" if replaced else "busy"}
    assert watching.some("task.open", "state") == {("pending",): 1}
    assert watching.some("task.created", "priority") == {("5",): 2}


def test_a_restart_goes_on_where_it_was(koubou: Koubou) -> None:
    koubou.create("task_1")
    koubou.now += 1
    koubou.take("task_1")
    watching = Watching(koubou).look().restarted().look()
    koubou.now += 1
    koubou.end("task_1")
    watching.look().restarted().look()
    assert watching.last("task.created", "priority") == watching.last("task.started", "priority") == {("5",): 1}
    assert watching.bodies() == [
        "task_1 created",
        "task_1 started by worker_0",
        "worker_0 busy with task_1",
        "task_1 completed in 2000 ms",
        "worker_0 idle",
    ]
    assert [event.name for event in watching.sent.spans[0].events] == ["task.started"]


def test_a_task_may_stay_open_for_years(koubou: Koubou) -> None:
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.now += 3 * 365 * 86_400
    watching.look().wait(3)
    assert watching.some("task.ended") == {}
    koubou.end("task_1")
    watching.look()
    assert watching.some("task.ended", "outcome") == {("ok",): 1}


def test_a_worker_that_is_at_the_same_for_long_is_told_of_again(koubou: Koubou) -> None:
    """Who asks the log who is there looks back a day; since when a worker is so stays what it was."""
    koubou.register("worker_0")
    watching = Watching(koubou).look()
    koubou.now += LOST_S + 1
    watching.tick()
    for seconds in (12 * 3600 - 2, 1, 1):
        koubou.now += seconds
        watching.tick()
    assert watching.bodies() == ["worker_0 idle", "worker_0 lost", "worker_0 lost"]
    lost = [scalars(log.attributes)["task.worker.since"] for log in watching.sent.logs[1:]]
    assert lost == [START_S + LOST_S] * 2


def test_what_koubou_clears_is_not_counted_again(koubou: Koubou) -> None:
    """It deletes what ended long ago: here all tasks that were read last. An older one that ended lately stays."""
    for number in range(71):
        koubou.create(f"task_{number:05}")
        koubou.take(f"task_{number:05}")
    koubou.now += 60
    for number in range(1, 71):
        koubou.end(f"task_{number:05}")
    koubou.now += 3600
    koubou.end("task_00000")
    koubou.now += 60
    watching = Watching(koubou).look()
    koubou.run("DELETE FROM task_master WHERE task_id <> 'task_00000'")
    watching.look()
    koubou.create("task_00071")
    watching.look()
    assert watching.last("task.created", "priority") == {("5",): 72}
    assert watching.last("task.ended", "priority", "outcome") == {("5", "ok"): 71}
    assert watching.some("task.stored", "state") == {("completed",): 1, ("pending",): 1}
