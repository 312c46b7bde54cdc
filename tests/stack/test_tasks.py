"""Databases of Koubou, from their rows to the back ends: exact at each moment, once, private, fresh."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.convert import semconv as s
from egoscope.demo import DatabaseSettings, koubou_canaries, write_koubou_history
from tests.koubou_program import Koubou
from tests.recorded import FOLDER, canaries_of
from tests.stack.hardship import check_nothing_leaked
from tests.stack.row_truth import in_prometheus
from tests.stack.servers import wait_for
from tests.stack.sidecar import sidecar_on
from tests.stack.task_scene import RANGED, agree_with, check_ranges, following
from tests.stack.task_truth import check_tasks_exact, counted, standing, times, told_standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

ODD_TASKS: Final = 7
"""How many of those with private text all over can be told: two have no time."""
MOMENTS: Final = 3
FRESH_WITHIN_S: Final = 15.0
"""Far above the goal, which a slow and busy machine may miss; what it took is printed."""


@dataclass(frozen=True)
class Whole:
    """One run over the recorded database, a demo's days and one full of odd names, until nothing is left to send."""

    sidecar: SidecarProcess
    paths: tuple[Path, ...]
    """The recorded one and the demo's; they can be counted by SQL to the last label."""
    odd: Path
    instances: dict[Path, str]
    secrets: list[str]
    removals: Counter[tuple[str, str]]


@pytest.fixture(scope="module")
def whole(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Everything read and sent; the sidecar has ended by SIGTERM."""
    secrets = canaries_of("koubou")
    directory = tmp_path_factory.mktemp("whole-koubou")
    before = Counter(stack.collector.removals())
    recorded, demo, odd = (directory / f"{name}.db" for name in ("recorded", "demo", "odd"))
    shutil.copy(FOLDER / "koubou" / "koubou.db", recorded)
    recorded.chmod(0o644)
    settings = DatabaseSettings(start=datetime.now(UTC) - timedelta(days=2), per_hour=20.0)
    write_koubou_history(demo, settings, until=datetime.now(UTC) - timedelta(hours=6))
    secrets += koubou_canaries(settings) + tuple(write_oddities(odd))
    path = {"koubou_path": f"{recorded}:{demo}:{odd}"}
    with sidecar_on(directory, stack.collector.endpoint, state_dir=None, **path) as sidecar:
        sidecar.start()
        wait_for(lambda: len(sidecar.databases("koubou")) == 3, what="every database is followed")
        instances = {
            path: wait_for(lambda path=path: instance_of(stack, sidecar, path), what=f"{path.name} is told")
            for path in (recorded, demo)
        }
        (rest,) = set(sidecar.databases("koubou")) - set(instances.values())
        wait_for(
            lambda: in_prometheus(stack, "task_created_total", [rest]).total() == ODD_TASKS, what="odd ones are told"
        )
        for path_, instance in instances.items():
            agree_with(stack, path_, instance, lost_s=60.0)
        wait_for(lambda: not sidecar.waiting_requests(), what="everything is sent")
        assert sidecar.terminate() == 0
        removals = Counter(stack.collector.removals()) - before
        yield Whole(sidecar, (recorded, demo), odd, instances | {odd: rest}, secrets, removals)


def instance_of(stack: Stack, sidecar: SidecarProcess, path: Path) -> str:
    """Return which instance is that database, by what was created and ended in it; empty where none is as yet."""
    for instance in sidecar.databases("koubou"):
        if all(in_prometheus(stack, metric, [instance]) == counted(path)[metric] for metric in RANGED):
            return instance
    return ""


def write_oddities(path: Path) -> list[str]:
    """Write private text wherever a program may put some; return it."""
    koubou = Koubou(path)
    for column in ("status", "current_task"):
        koubou.register(koubou.secret("a worker"), **{column: koubou.secret(column)})
    koubou.register(koubou.secret("WORKER").replace("-", ".", 1) + " of hers")
    koubou.register("worker_0", location=koubou.secret("location"))
    for status in ("pending", "in_progress", "completed", "failed", "cancelled", koubou.secret("STATUS")):
        task_id = koubou.create(task_id=f"task_{koubou.secret('chosen')}")
        koubou.write("UPDATE task_master SET status = ? WHERE task_id = ?", status, task_id)
        koubou.write("UPDATE task_master SET assigned_to = ? WHERE task_id = ?", koubou.secret("one of hers"), task_id)
    for column in ("priority", "created_at", "updated_at"):
        task_id = koubou.create()
        koubou.write(f"UPDATE task_master SET {column} = ? WHERE task_id = ?", koubou.secret(column), task_id)
    koubou.close()
    return koubou.secrets


def test_what_is_counted_agrees_exactly_with_the_database(stack: Stack, whole: Whole) -> None:
    """Of the recorded one and of a fresh one; each task's creation and end once in Loki, its span once in Tempo."""
    check_tasks_exact(stack, whole.paths, [whole.instances[path] for path in whole.paths], spans_once=True)


def test_whatever_has_a_private_name_is_counted_all_the_same(stack: Stack, whole: Whole) -> None:
    """Tasks, states, priorities and workers: nothing is left out for what it is called."""
    told, truth = told_standing(stack, whole.instances[whole.odd]), standing(whole.odd, time.time(), lost_s=60.0)
    for metric in ("task_open", "task_stored", "task_workers"):
        assert told[metric].total() == truth[metric].total(), metric
    assert {state for (state,) in told["task_stored"]} == {
        "pending", "in_progress", "completed", "failed", "cancelled", "_OTHER",
    }  # fmt: skip
    assert {worker for _, worker in told["task_worker_state"]} == {"worker_0", "_OTHER"}


def test_counts_agree_exactly_for_ranges_of_any_length(stack: Stack, whole: Whole) -> None:
    """From a minute to two days, ending anywhere: what was created or ended in the range, by its own time."""
    instances = [whole.instances[path] for path in whole.paths]
    check_ranges(stack, whole.paths, instances, [60, 900, 3600, 6 * 3600, 2 * 86400])


def test_no_planted_secret_is_anywhere_and_the_second_layer_had_nothing_to_do(stack: Stack, whole: Whole) -> None:
    """Searched in every form, in the state directory, in the sidecar's log and in each back end."""
    sources = b"".join(path.read_bytes() for path in (*whole.paths, whole.odd))
    check_nothing_leaked(stack, whole.sidecar, whole.secrets, sources)
    assert not whole.removals


def test_every_count_agrees_with_the_database_at_each_moment(stack: Stack, tmp_path: Path) -> None:
    """While five threads write: whenever they pause, counters and gauges are what SQL says, and later each range is."""
    with following(stack, tmp_path) as scene:
        scene.sidecar.start()
        with scene.koubou.working() as pool:
            for moment in range(1, MOMENTS + 1):
                wait_for(lambda moment=moment: len(times(scene.path, "updated_at")) > moment * 20, what="tasks end")
                with pool.paused():
                    scene.settle()
                    for metric in ("task_created_total", "task_ended_total", "task_worker_tasks_total"):
                        assert in_prometheus(stack, metric, [scene.instance]) == counted(scene.path)[metric], metric
                    scene.check_standing()
        scene.check(spans_once=True)
        scene.check_standing()
        check_ranges(stack, [scene.path], [scene.instance], [1, 2, 5])


def test_each_state_that_can_be_known_is_counted_once(stack: Stack, tmp_path: Path) -> None:
    """A task that went back to the queue, one that nobody had, one that ended unseen; and what workers did."""
    with following(stack, tmp_path) as scene:
        koubou = scene.koubou
        scene.sidecar.start()
        koubou.register("worker_0")
        first, second, third = (koubou.create(priority) for priority in (9, 5, 1))

        def told(metric: str) -> int:
            return in_prometheus(stack, metric, [scene.instance]).total() if scene.sidecar.databases("koubou") else 0

        def seen(logger: str, line: str) -> None:
            wait_for(lambda: line in scene.lines(logger), what=f"it is told: {line}")

        wait_for(lambda: told("task_created_total") == 3, what="the tasks are told")
        koubou.take("worker_0")
        seen("koubou.tasks", f"{first} started by worker_0")
        seen("koubou.workers", f"worker_0 busy with {first}")
        koubou.clean_up("worker_0")
        seen("koubou.tasks", f"{first} returned to the queue")
        seen("koubou.workers", "worker_0 gone")
        koubou.register("worker_1")
        koubou.take("worker_1")
        seen("koubou.workers", f"worker_1 busy with {first}")
        koubou.finish(first, "worker_1", failed=True)
        seen("koubou.workers", "worker_1 idle")
        koubou.sync(second)
        wait_for(lambda: told("task_ended_total") == 2, what="both ends are told")
        with koubou.transaction() as db:
            db.execute(
                "UPDATE task_master SET status = 'in_progress', assigned_to = 'worker_1' WHERE task_id = ?", (third,)
            )
            db.execute("UPDATE task_master SET status = 'completed' WHERE task_id = ?", (third,))
        scene.check(spans_once=True)
        scene.check_standing()
        assert in_prometheus(stack, "task_returned_total", [scene.instance]) == {("9",): 1}
        assert in_prometheus(stack, "task_started_total", [scene.instance]) == {("9",): 1, ("1",): 1}
        started = [line for line in scene.lines("koubou.tasks") if line.startswith(f"{first} started")]
        assert started == [f"{first} started by worker_0", f"{first} started by worker_1"]
        told_events = [event_of(event) for event in spans_of(stack, scene.instance)[first].events]
        assert told_events == [("task.started", "worker_0"), ("task.returned", ""), ("task.started", "worker_1")]
        assert not spans_of(stack, scene.instance)[second].events


def spans_of(stack: Stack, instance: str) -> dict[str, Span]:
    """Return the spans of an instance, by the task that each tells of."""
    found_: dict[str, Span] = {}
    for request in stack.tempo.requests():
        for resource in request.resource_spans:
            if any(one.value.string_value == instance for one in resource.resource.attributes):
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    found_[next(one.value.string_value for one in span.attributes if one.key == s.TASK_ID)] = span
    return found_


def event_of(event: Span.Event) -> tuple[str, str]:
    """Return what a span event tells: its name, and which worker."""
    return event.name, "".join(one.value.string_value for one in event.attributes)


def test_what_is_written_can_be_seen_within_seconds(stack: Stack, tmp_path: Path) -> None:
    """From a commit to an answer of Prometheus and of Loki, though nobody sends a word over the WebSocket."""
    with following(stack, tmp_path) as scene:
        scene.koubou.create()
        scene.sidecar.start()
        scene.settle()
        took: list[tuple[float, float]] = []
        for number in range(2, 8):
            begun = time.monotonic()
            line = f"{scene.koubou.create()} created"
            seen: dict[str, float] = {}

            def look(
                number: int = number, line: str = line, begun: float = begun, seen: dict[str, float] = seen
            ) -> bool:
                if "loki" not in seen and line in scene.lines("koubou.tasks"):
                    seen["loki"] = time.monotonic() - begun
                told = in_prometheus(stack, "task_created_total", [scene.instance]).total()
                if "prometheus" not in seen and told == number:
                    seen["prometheus"] = time.monotonic() - begun
                return len(seen) == 2

            wait_for(look, within_s=FRESH_WITHIN_S, what="the task is in Loki and in Prometheus")
            took.append((seen["loki"], seen["prometheus"]))
    print(f"\ntask to Loki and Prometheus, s: {[(round(a, 3), round(b, 3)) for a, b in took]}")
