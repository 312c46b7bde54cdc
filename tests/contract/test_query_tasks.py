"""What every `Query` promises about tasks and workers, over the embedded store and over the real servers."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from egoscope.convert.catalogue import TASK_DURATION, TASK_WAIT
from egoscope.errors import ConfigError
from egoscope.query.embedded import EmbeddedQuery
from egoscope.query.stack import StackQuery
from egoscope.store.queries import percentile
from egoscope.store.sqlite import EmbeddedStore
from tests.query_stack import query_stack, why_no_tempo
from tests.stack.conftest import missing
from tests.stack.processes import MissingServerError
from tests.task_scene import DAY, HOUR, MAIN, MINUTE, OTHER, SECOND, TASKS, Done, TaskScene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from egoscope.query import Query, Task
    from tests.query_stack import QueryStack

HALF = SECOND // 2
# In nanoseconds after the scene began, at half seconds: all; around single moments; across a midnight; nothing.
RANGES = (
    (-HALF, 2 * DAY + HALF),
    (HOUR - HALF, HOUR + HALF),
    (HOUR + HALF, HOUR + 20 * SECOND + HALF),
    (2 * HOUR + HALF, 4 * HOUR + HALF),
    (5 * HOUR - HALF, DAY + HOUR + HALF),
    (DAY + HALF, 2 * DAY - 15 * MINUTE + HALF),
    (9 * HOUR + HALF, 10 * HOUR + HALF),
)
IN_RANGE = pytest.mark.parametrize(
    ("since", "until"), [pytest.param(*ends, id=f"{ends[0] / HOUR:g} h to {ends[1] / HOUR:g} h") for ends in RANGES]
)


@pytest.fixture(scope="module")
def scene() -> TaskScene:
    """What happened."""
    return TaskScene(dt.datetime.now(dt.UTC).date())


@pytest.fixture(scope="module", params=["embedded", "stack"])
def query(request: pytest.FixtureRequest) -> Query:
    """A query over one of the two, which holds the scene."""
    return request.getfixturevalue(f"{request.param}_query")


@pytest.fixture(scope="module")
def embedded_query(scene: TaskScene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Over a store that took the scene's requests."""
    path = tmp_path_factory.mktemp("embedded") / "store.db"
    with EmbeddedStore(path) as store:
        for request in scene.requests():
            store.send(request.signal, request.data)
    with EmbeddedQuery(path, now=lambda: scene.now) as made:
        yield made


@pytest.fixture(scope="module")
def servers(scene: TaskScene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryStack]:
    """The real servers, which took the scene's requests through the Collector."""
    try:
        with query_stack(tmp_path_factory.mktemp("stack")) as started:
            started.send(scene.requests())
            yield started
    except MissingServerError as error:
        missing(str(error))


@pytest.fixture(scope="module")
def stack_query(scene: TaskScene, servers: QueryStack) -> Iterator[Query]:
    """Over the servers."""
    with servers.query(lambda: scene.now) as made:
        yield made


def within(since: int, until: int, moment: Callable[[Done], int | None]) -> list[Done]:
    """The tasks of which a moment lies in a range."""
    return [task for task in TASKS if (at := moment(task)) is not None and since < at <= until]


class TestOverview:
    @IN_RANGE
    def test_counts_are_exact(self, query: Query, scene: TaskScene, since: int, until: int) -> None:
        told = query.get_task_overview(scene.time(since), scene.time(until))
        ended = Counter(task.outcome for task in within(since, until, lambda task: task.ended))
        assert (told.created, told.started, told.returned) == (
            len(within(since, until, lambda task: task.created)),
            len(within(since, until, lambda task: task.started)),
            len(within(since, until, lambda task: task.returned)),
        )
        assert (told.completed, told.failed, told.cancelled) == (ended["ok"], ended["error"], ended["cancelled"])
        assert told.ended == ended.total()
        judged = ended["ok"] + ended["error"]
        assert told.success_rate == (ended["ok"] / judged if judged else None)

    def test_ranges_side_by_side_count_everything_once(self, query: Query, scene: TaskScene) -> None:
        """Also where a task ended exactly between the two: it is in the first."""
        times = sorted(task.ended for task in TASKS if task.ended is not None)
        ends = [scene.start, *map(scene.time, times), scene.now]
        told = [query.get_task_overview(since, until) for since, until in itertools.pairwise(ends)]
        assert [one.ended for one in told] == [1] * len(times) + [0]

    def test_durations_and_waiting(self, query: Query, scene: TaskScene) -> None:
        """Averages are exact; a percentile is the values' own or lies within its bucket."""
        told = query.get_task_overview(scene.start)
        took = sorted(task.seconds for task in TASKS if task.ended is not None)
        waited = sorted((task.started - task.created) / SECOND for task in TASKS if task.started is not None)
        assert told.avg_s == pytest.approx(sum(took) / len(took))
        assert told.wait_avg_s == pytest.approx(sum(waited) / len(waited))
        for answer, values, share, bounds, estimated in (
            (told.p50_s, took, 0.50, TASK_DURATION.bounds, query.percentiles_estimated),
            (told.p95_s, took, 0.95, TASK_DURATION.bounds, query.percentiles_estimated),
            (told.wait_p50_s, waited, 0.50, TASK_WAIT.bounds, True),
            (told.wait_p95_s, waited, 0.95, TASK_WAIT.bounds, True),
        ):
            assert answer is not None
            if not estimated:
                assert answer == pytest.approx(percentile(values, share))
                continue
            place = share * (len(values) - 1)
            near = values[max(0, int(place) - 1) : int(place) + 2]
            # What lies above the highest bound is told as that bound.
            assert max((bound for bound in (0.0, *bounds) if bound < min(near)), default=0.0) <= answer
            assert answer <= min((bound for bound in bounds if bound >= max(near)), default=bounds[-1])

    def test_what_is_open_now_whatever_the_range(self, query: Query, scene: TaskScene) -> None:
        for since, until in ((None, None), (scene.time(9 * HOUR), scene.time(10 * HOUR))):
            told = query.get_task_overview(since, until)
            assert [(one.state, one.priority, one.count) for one in told.open] == [
                ("in_progress", "5", 1),
                ("pending", "1", 1),
                ("pending", "5", 2),
            ]
            assert (told.waiting, told.running) == (3, 1)
            assert told.oldest_waiting == scene.time(2 * DAY - 20 * MINUTE)
            assert dict(told.workers) == {"busy": 1, "idle": 1, "lost": 1}
            assert [(one.group, one.alive, one.unhealthy) for one in told.processes] == [
                ("build", 3, 0),
                ("mail", 0, 1),
            ]
            assert (told.available, told.workers_expected) == (2 + 3, 6)
            assert told.as_of is not None
            assert scene.now - dt.timedelta(seconds=10) <= told.as_of <= scene.now

    def test_nothing_has_no_average_and_counts_of_zero(self, query: Query, scene: TaskScene) -> None:
        told = query.get_task_overview(scene.time(9 * HOUR), scene.time(10 * HOUR))
        assert (told.ended, told.created, told.success_rate) == (0, 0, None)
        assert (told.avg_s, told.p50_s, told.p95_s, told.wait_avg_s, told.wait_p95_s) == (None,) * 5

    def test_of_what_nobody_told_for_long_it_is_not_known_how_it_is_now(self, query: Query, scene: TaskScene) -> None:
        later = later_query(query, scene.now + dt.timedelta(minutes=6))
        told = later.get_task_overview()
        assert (told.as_of, told.open, dict(told.workers), told.oldest_waiting) == (None, (), {}, None)
        assert (told.processes, told.available, told.workers_expected) == ((), 0, None)
        assert told.ended == 7
        assert {worker.state for worker in later.get_workers()} == {"gone"}


class TestQueue:
    def test_how_many_waited_at_each_moment(self, query: Query, scene: TaskScene) -> None:
        """And nothing where nobody told for five minutes."""
        told = query.get_queue_history(scene.time(2 * DAY - 22 * MINUTE), scene.time(2 * DAY - 8 * MINUTE), 14)
        assert [one.time for one in told] == [scene.time(2 * DAY - minute * MINUTE) for minute in range(21, 7, -1)]
        assert [one.waiting for one in told] == [None, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 1, 1, 1]

    def test_the_last_moment_is_now(self, query: Query, scene: TaskScene) -> None:
        (one,) = query.get_queue_history(scene.now - dt.timedelta(minutes=1), points=1)
        assert (one.time, one.waiting) == (scene.now, 3)

    @pytest.mark.parametrize("points", [0, 1001])
    def test_a_number_of_moments_that_nobody_answers_is_refused(
        self, query: Query, scene: TaskScene, points: int
    ) -> None:
        with pytest.raises(ConfigError, match="points: 1 to 1000"):
            query.get_queue_history(scene.start, points=points)


class TestWorkers:
    def test_each_with_its_state_task_and_heartbeat(self, query: Query, scene: TaskScene) -> None:
        """Numbered alike in two databases, they are two; of two changes in one second the later one holds."""
        told = {(one.name, one.instance): one for one in query.get_workers()}
        expected = {
            ("worker_1", MAIN): ("busy", 2 * DAY - 30 * MINUTE, "task_00010", 2 * DAY - 5 * SECOND),
            ("worker_1", OTHER): ("idle", 40 * MINUTE, None, 2 * DAY - 8 * SECOND),
            ("worker_2", MAIN): ("lost", 2 * DAY - 25 * MINUTE, "task_00009", 2 * DAY - 26 * MINUTE),
            ("gemini_worker_77", MAIN): ("gone", DAY + 2 * HOUR, None, None),
        }
        assert set(told) == {(name, scene.instance(database)) for name, database in expected}
        for (name, database), (state, since, task, beat) in expected.items():
            one = told[name, scene.instance(database)]
            assert (one.state, one.task_id) == (state, task)
            assert one.last_heartbeat == (None if beat is None else scene.time(beat))
            longer_ago_than_a_day = 2 * DAY - since > DAY
            assert one.since == (None if longer_ago_than_a_day and isinstance(query, StackQuery) else scene.time(since))

    @IN_RANGE
    def test_tasks_that_ended_with_each(self, query: Query, scene: TaskScene, since: int, until: int) -> None:
        told = query.get_workers(scene.time(since), scene.time(until))
        truth = Counter(
            (task.worker, scene.instance(task.database), task.outcome)
            for task in within(since, until, lambda task: task.ended)
            if task.worker
        )
        counts = {
            (one.name, one.instance, outcome): count
            for one in told
            for outcome, count in (("ok", one.completed), ("error", one.failed), ("cancelled", one.cancelled))
        }
        assert Counter({key: count for key, count in counts.items() if count}) == truth
        assert [(one.name, one.instance) for one in told] == sorted((one.name, one.instance) for one in told)


class TestTasks:
    def test_all_that_ended_come_newest_first_with_their_numbers(self, query: Query, scene: TaskScene) -> None:
        told = query.get_tasks(since=scene.start)
        assert [numbers(one) for one in told] == [expected(task, scene) for task in ended_newest_first()]

    @pytest.mark.parametrize("outcome", ["ok", "error", "cancelled"])
    @pytest.mark.parametrize("worker", [None, "worker_1", "nobody"])
    def test_by_worker_and_outcome(self, query: Query, scene: TaskScene, worker: str | None, outcome: str) -> None:
        told = query.get_tasks(worker, outcome=outcome)
        assert [one.trace_id for one in told] == [
            scene.trace_id(task)
            for task in ended_newest_first()
            if task.outcome == outcome and worker in (None, task.worker)
        ]

    def test_the_newest_are_kept_where_there_are_more_than_the_limit(self, query: Query, scene: TaskScene) -> None:
        told = query.get_tasks(limit=2)
        assert [one.trace_id for one in told] == [scene.trace_id(task) for task in ended_newest_first()[:2]]

    @IN_RANGE
    def test_by_the_moment_they_ended(self, query: Query, scene: TaskScene, since: int, until: int) -> None:
        told = query.get_tasks(since=scene.time(since), until=scene.time(until))
        truth = {scene.trace_id(task) for task in within(since, until, lambda task: task.ended)}
        assert {one.trace_id for one in told} == truth

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [({"outcome": "completed"}, "outcome: ok, error or cancelled"), ({"limit": 0}, "limit: 1 or more")],
    )
    def test_a_wrong_argument_is_named(self, query: Query, arguments: dict[str, object], said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            query.get_tasks(**arguments)  # type: ignore[arg-type]

    def test_a_tasks_trace_has_what_was_seen_of_it(
        self, query: Query, scene: TaskScene, request: pytest.FixtureRequest
    ) -> None:
        if isinstance(query, StackQuery) and request.getfixturevalue("servers").tempo is None:
            pytest.skip(why_no_tempo())
        trace = query.get_trace(scene.trace_id(TASKS[2]))
        assert trace is not None
        (span,) = trace.spans
        assert (span.kind, span.name, span.outcome, span.service) == ("task", "task", "ok", "koubou")
        assert [event.name for event in span.events] == ["task.started", "task.returned"]
        assert [(one.kind, one.spans) for one in trace.summary] == [("task", 1)]

    def test_a_task_that_was_called_off_is_an_unfinished_span(
        self, query: Query, scene: TaskScene, request: pytest.FixtureRequest
    ) -> None:
        if isinstance(query, StackQuery) and request.getfixturevalue("servers").tempo is None:
            pytest.skip(why_no_tempo())
        trace = query.get_trace(scene.trace_id(TASKS[4]))
        assert trace is not None
        assert trace.spans[0].outcome == "unfinished"


class TestActivity:
    def test_lines_of_the_service_alone(self, query: Query) -> None:
        told = query.recent_activity(3, service="koubou")
        assert [(one.agent, one.body) for one in told] == [
            (None, "task_00013 created"),
            (None, "task_00012 created"),
            (None, "task_00011 created"),
        ]
        assert query.recent_activity(3, service="kagura") == []

    def test_lines_since_a_moment(self, query: Query, scene: TaskScene) -> None:
        since = scene.time(2 * DAY - 16 * MINUTE)
        for told in (query.recent_activity(9, since=since), query.recent_activity(9, service="koubou", since=since)):
            assert [one.body for one in told] == ["task_00013 created", "task_00012 created"]
        (lost,) = query.recent_activity(9, "worker_2", since=scene.time(2 * DAY - 26 * MINUTE))
        assert lost.body == "worker_2 lost"

    def test_lines_about_one_worker(self, query: Query) -> None:
        told = query.recent_activity(2, "worker_2")
        assert [(one.agent, one.severity, one.body) for one in told] == [
            ("worker_2", "WARNING", "worker_2 lost"),
            ("worker_2", "INFO", "task_00003 completed in 82800000 ms"),
        ]
        assert query.recent_activity(2, "worker_2", service="koubou") == told


def test_tasks_are_no_agents_and_no_flows(query: Query) -> None:
    assert query.agents() == []
    assert query.flows() == []
    assert query.get_metrics(None, "executions", "count") == 0


def later_query(query: Query, now: dt.datetime) -> Query:
    """The same back end, asked at another time."""
    query._now = lambda: now  # type: ignore[attr-defined]
    return query


@pytest.fixture(autouse=True)
def at_the_scenes_time(query: Query, scene: TaskScene) -> Iterator[None]:
    """Every test begins at the end of the scene."""
    later_query(query, scene.now)
    yield
    later_query(query, scene.now)


def ended_newest_first() -> list[Done]:
    return sorted((task for task in TASKS if task.ended is not None), key=lambda task: -(task.ended or 0))


def numbers(one: Task) -> tuple[object, ...]:
    return (
        one.task_id,
        one.trace_id,
        one.worker,
        one.priority,
        one.outcome,
        one.created,
        one.ended,
        one.duration_s,
    )


def expected(task: Done, scene: TaskScene) -> tuple[object, ...]:
    return (
        task.id,
        scene.trace_id(task),
        task.worker,
        task.priority,
        task.outcome,
        scene.time(task.created),
        scene.time(task.ended or 0),
        task.seconds,
    )
