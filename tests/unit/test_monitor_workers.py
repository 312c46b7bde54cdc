"""What stands on the screen of tasks and workers, and what keys do there."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pytest
from drawn_screens import asked, drawn
from fake_query import (
    NOTHING_OF_TASKS,
    NOW,
    SECOND,
    TRACE_ID,
    FakeQuery,
    empty_query,
    koubou_query,
    line,
    task,
    task_line,
    task_overview,
    worker,
)

from egoscope.cli.screens.looking import Looking
from egoscope.cli.screens.overview import OverviewScreen
from egoscope.cli.screens.screen import Deed, Target
from egoscope.cli.screens.workers import WorkersScreen
from egoscope.query import ProcessGroup

if TYPE_CHECKING:
    from egoscope.cli.screens.screen import Screen
    from egoscope.query import TaskOverview

NOBODY: Final[MappingProxyType[str, int]] = MappingProxyType({})


@pytest.mark.parametrize(
    "figure",
    [
        pytest.param("tasks and workers  ● 2 running · 24 h", id="how many are worked on, in which window"),
        pytest.param("workers 3 of 3", id="workers there against those expected"),
        pytest.param("2 busy  1 idle", id="busy and idle"),
        pytest.param("1 lost of 4", id="lost and total"),
        pytest.param("12 waiting", id="the queue"),
        pytest.param("oldest 4 min", id="the oldest waiting"),
        pytest.param("93.2%  of 121", id="success rate: of what completed or failed"),
        pytest.param("8 failed 3 canc.", id="failures, and what was called off"),
        pytest.param("17.5 s  64.2 s", id="durations"),
        pytest.param("wait ~p95 33.0 s", id="waiting, an estimate"),
        pytest.param("█ now 12, at most 31", id="the queue as a sparkline"),
        pytest.param("> worker_3             lost       1 h task_00042", id="who is lost stands first"),
        pytest.param("gemini_worker_77     busy      42 s task_20250901_073337_489974", id="current task, since when"),
        pytest.param("task_00001                            5 worker_1 failed    20.0 s 14:03:09", id="a task"),
        pytest.param("14:03:10 INFO  worker_1: task_00000 completed in 20000 ms", id="the log"),
    ],
)
@pytest.mark.usefixtures("utc")
def test_stands_at_80_by_24_without_colour(figure: str) -> None:
    assert figure in drawn(WorkersScreen(3), koubou_query())


class TestWorkersTile:
    @pytest.mark.parametrize(
        ("workers", "expected", "told", "said"),
        [
            pytest.param({"busy": 1, "lost": 2}, 3, None, ["workers 1 of 3", "2 lost of 3"], id="lost are not there"),
            pytest.param({"busy": 1, "idle": 1}, 3, None, ["workers 2 of 3", "1 too few"], id="too few"),
            pytest.param({"idle": 4}, 3, None, ["workers 4 of 3", "none lost of 4"], id="more than enough"),
            pytest.param({"idle": 4}, None, None, ["─ workers ─", "none lost of 4"], id="nobody expects any"),
            pytest.param({"idle": 4}, 3, 6, ["workers 4 of 6", "2 too few"], id="what the sidecar tells holds"),
            pytest.param({}, 3, None, ["workers 0 of 3", "3 too few"], id="none at all"),
        ],
    )
    def test_against_what_is_expected(
        self, workers: dict[str, int], expected: int | None, told: int | None, said: list[str]
    ) -> None:
        overview = task_overview(workers=MappingProxyType(workers), workers_expected=told)
        text = drawn(WorkersScreen(expected), koubou_query(task_overview=overview))
        for words in said:
            assert words in text

    def test_what_nobody_told_for_long_is_not_shown_as_now(self) -> None:
        overview = task_overview(as_of=None, open=(), workers=NOBODY, oldest_waiting=None)
        text = drawn(WorkersScreen(3), koubou_query(task_overview=overview, workers=[]))
        assert "not told for five minutes" in text
        assert "nobody told of workers for five minutes; is egoscope running?" in text
        assert text.count("not known") == 2
        assert "0 of 3" not in text
        assert "now 0" not in text
        assert "93.2%" in text


class TestProcesses:
    """Workers that no database tells of, counted by the sidecar."""

    @pytest.mark.parametrize(
        ("alive", "unhealthy", "expected", "said"),
        [
            pytest.param(4, 0, 3, ["● 4 alive", "workers 4 of 3", "none unhealthy"], id="all there"),
            pytest.param(2, 0, 3, ["workers 2 of 3", "1 too few"], id="too few"),
            pytest.param(2, 1, 3, ["workers 2 of 3", "1 unhealthy"], id="one is stopped"),
            pytest.param(2, 0, None, ["─ workers ─", "none unhealthy"], id="nobody expects any"),
        ],
    )
    def test_alone(self, alive: int, unhealthy: int, expected: int | None, said: list[str]) -> None:
        """Nothing is said of a queue or of workers that nobody follows."""
        there = (ProcessGroup(group="build", alive=alive, unhealthy=unhealthy),)
        query = koubou_query(task_overview=replace(NOTHING_OF_TASKS, processes=there), workers=[], tasks=[], queue=[])
        text = drawn(WorkersScreen(expected), query)
        for words in (*said, f"processes  build {alive} alive", "no database tells of a worker"):
            assert words in text
        assert "egoscope running?" not in text
        assert "No tasks and no workers yet." not in text

    def test_beside_a_database(self) -> None:
        """They count among those that are expected; the group with something wrong comes first."""
        there = (
            ProcessGroup(group="build", alive=3, unhealthy=0),
            ProcessGroup(group="mail", alive=1, unhealthy=2),
        )
        text = drawn(WorkersScreen(8), koubou_query(task_overview=task_overview(processes=there)))
        assert "workers 7 of 8" in text
        assert "2 busy  1 idle" in text
        assert "processes  mail 1 alive 2 unhealthy  build 3 alive" in text
        assert all(len(row) <= 80 for row in text.splitlines())
        assert len(text.splitlines()) <= 24

    def test_all_of_them_processes_beside_tasks(self) -> None:
        """As where a database of tasks has no table of workers."""
        there = (ProcessGroup(group="build", alive=3, unhealthy=1),)
        text = drawn(WorkersScreen(3), koubou_query(task_overview=task_overview(workers=NOBODY, processes=there)))
        for words in ("workers 3 of 3", "3 alive", "1 unhealthy"):
            assert words in text
        assert "0 busy" not in text

    def test_in_the_overview_of_everything(self) -> None:
        there = (ProcessGroup(group="build", alive=1, unhealthy=2),)
        for overview, said in (
            (task_overview(processes=there), "3 of 4 workers, 1 lost; 1 process alive, 2 unhealthy"),
            (replace(NOTHING_OF_TASKS, processes=there), " workers: 1 process alive, 2 unhealthy  t"),
        ):
            assert said in drawn(OverviewScreen(), koubou_query(task_overview=overview), width=120)


class TestQueueLine:
    @pytest.mark.parametrize(
        ("queue", "drawing"),
        [
            pytest.param([5] * 120, "█" * 36 + " now 12, at most 5", id="always alike"),
            pytest.param([0] * 120, "▁" * 36 + " now 12, at most 0", id="never any"),
            pytest.param([None] * 60 + [0] * 30 + [9] * 30, " " * 18 + "▁" * 9 + "█" * 9, id="not told at first"),
            pytest.param([0] * 119 + [7], "▁" * 35 + "█", id="the newest is the last"),
            pytest.param([0, 0, 99] + [1] * 117, "█" + "▂" * 35 + " now 12, at most 99", id="no peak is lost"),
            pytest.param([None], "nobody told of it in this window", id="nothing known"),
        ],
    )
    def test_is_drawn_over_the_window(self, queue: list[int | None], drawing: str) -> None:
        assert drawing in drawn(WorkersScreen(3), koubou_query(queue=queue))


class TestTables:
    def test_one_database_needs_no_name_and_several_do(self) -> None:
        query = koubou_query()
        assert "database" not in drawn(WorkersScreen(3), query, width=160)
        query.workers = [*query.workers, worker(instance="fedcba98" * 4)]
        text = drawn(WorkersScreen(3), query, width=160, height=50)
        assert "database" in text
        assert "fedcba98 " in text

    @pytest.mark.parametrize(
        ("order", "first"), [("state", "gone_first"), ("tasks", "busy"), ("failures", "broken"), ("name", "a")]
    )
    def test_sorts_by_what_it_says(self, order: str, first: str) -> None:
        workers = [
            worker("gone_first", state="lost", completed=0, failed=0),
            worker("busy", completed=500, failed=0),
            worker("broken", completed=0, failed=60),
            worker("a", state="idle", completed=0, failed=0),
        ]
        query = koubou_query(workers=workers)
        screen = asked(WorkersScreen(3), query)
        while f"by {order}" not in drawn(screen, query):
            screen.obey("s")
        assert f"> {first}" in drawn(screen, query)

    def test_hundreds_of_workers_scroll_and_say_where_one_is(self) -> None:
        query = koubou_query(workers=[worker(f"worker_{number:03}") for number in range(300)])
        screen = asked(WorkersScreen(3), query)
        for _ in range(10):
            screen.obey("page down")
        text = drawn(screen, query)
        assert "> worker_100" in text
        assert "of 300" in text

    def test_the_filter_finds_a_worker_its_tasks_and_its_lines(self) -> None:
        query = koubou_query()
        query.tasks = [task(1), task(2, worker="gemini_worker_77")]
        query.lines = [task_line(1), replace(task_line(2), agent="gemini_worker_77")]
        screen = asked(WorkersScreen(3), query)
        for key in ("/", *"gemini", "enter"):
            screen.obey(key)
        text = drawn(screen, query, width=100)
        assert "worker_1 " not in text
        assert text.count("gemini_worker_77") == 3


class TestKeys:
    def test_enter_on_a_worker_shows_its_tasks_and_escape_all_again(self) -> None:
        query = koubou_query(tasks=[task(1), task(2, worker="gemini_worker_77")])
        screen = asked(WorkersScreen(3), query)
        screen.obey("down")
        assert screen.obey("enter") is Deed.NOTHING
        assert screen.row_keys() == [f"{2:032x}"]
        assert "filter: gemini_worker_77" in drawn(screen, query)
        screen.obey("escape")
        assert len(screen.row_keys()) == 2

    def test_it_shows_the_tasks_of_no_other_worker_however_alike_it_is_called(self) -> None:
        """And all of them, though many others ended since."""
        others = [task(number, worker="worker_10") for number in range(2, 150)]
        query = koubou_query(tasks=[*others, task(1, worker="worker_1")])
        query.workers = [worker(name="worker_1")]
        screen = asked(WorkersScreen(3), query)
        screen.obey("enter")
        assert asked(screen, query).row_keys() == [f"{1:032x}"]
        screen.obey("escape")
        assert len(asked(screen, query).row_keys()) == 100

    def test_enter_on_a_task_opens_its_trace(self) -> None:
        screen = asked(WorkersScreen(3), koubou_query())
        screen.obey("tab")
        assert screen.obey("enter") == Target(kind="trace", name=TRACE_ID)

    def test_a_line_of_a_task_that_has_not_ended_has_no_trace_yet(self) -> None:
        query = koubou_query(lines=[task_line(0), replace(task_line(1), body="task_00099 created", trace_id="9" * 32)])
        screen = asked(WorkersScreen(3), query)
        for key in ("tab", "tab"):
            screen.obey(key)
        assert screen.obey("enter") == Target(kind="trace", name=TRACE_ID)
        screen.obey("down")
        assert screen.obey("enter") == "a task has a trace when it has ended"

    @pytest.mark.parametrize(("tabs", "list_of"), [(0, "workers"), (1, "tasks"), (2, "recent activity")])
    def test_a_low_terminal_gives_all_room_to_the_list_that_keys_move_about_in(self, tabs: int, list_of: str) -> None:
        screen = asked(WorkersScreen(3), koubou_query())
        for _ in range(tabs):
            screen.obey("tab")
        text = drawn(screen, koubou_query(), height=14)
        assert f"╭─ {list_of} " in text
        assert text.count("╭─") == 1


def test_where_nothing_was_done_lately_a_wider_window_is_shown() -> None:
    query = koubou_query(since=NOW - dt.timedelta(days=3))
    query.task_overview = task_overview(open=())
    assert "success 7 d" in drawn(WorkersScreen(3), query)
    chosen = WorkersScreen(3, Looking(widen=False))
    assert "success 24 h" in drawn(chosen, query)
    assert "no task ended here; w widens the window" in drawn(chosen, query)


@pytest.mark.parametrize(
    ("screen", "said"),
    [
        pytest.param(WorkersScreen(3), "success 7 d", id="tasks and workers"),
        pytest.param(OverviewScreen(), "tasks: 12 waiting (4 min), 121 ended, 93.2% ok", id="the overview of all"),
    ],
)
def test_what_waits_now_is_no_reason_to_show_a_window_in_which_nothing_ended(screen: Screen, said: str) -> None:
    """Both screens would say another thing of the same tasks."""
    text = drawn(screen, AllWaiting(all_agents=[], all_flows=[], task_overview=task_overview()))
    assert said in text
    assert "· 7 d" in text.splitlines()[0]


def test_where_no_task_ever_ended_the_window_stays() -> None:
    overview = task_overview(completed=0, failed=0, cancelled=0)
    assert "success 24 h" in drawn(WorkersScreen(3), koubou_query(task_overview=overview))


class AllWaiting(FakeQuery):
    """Of all tasks some wait now, and others ended three days ago."""

    def get_task_overview(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> TaskOverview:
        found = super().get_task_overview(since, until)
        ended_lately = since is not None and since > NOW - dt.timedelta(days=3)
        return replace(found, completed=0, failed=0, cancelled=0) if ended_lately else found


def test_nothing_at_all_says_what_to_set() -> None:
    text = drawn(WorkersScreen(3), empty_query(), hint="EGOSCOPE_KOUBOU_PATH says where.")
    assert "No tasks and no workers yet." in text
    assert "EGOSCOPE_KOUBOU_PATH says where." in text


class TestOverview:
    """The line about tasks on the overview of agents and flows."""

    def test_stands_there_where_there_are_any(self) -> None:
        said = "tasks: 12 waiting (4 min), 121 ended, 93.2% ok; 3 of 4 workers, 1 lost  t"
        assert said in drawn(OverviewScreen(), FakeQuery(task_overview=task_overview()))
        assert "tasks:" not in drawn(OverviewScreen())

    def test_of_what_nobody_tells_it_says_only_what_was(self) -> None:
        overview = task_overview(as_of=None, open=(), workers=NOBODY)
        assert "tasks: 121 ended, 93.2% ok  t" in drawn(OverviewScreen(), FakeQuery(task_overview=overview))

    def test_lines_of_tasks_make_room_for_those_of_agents(self) -> None:
        query = FakeQuery(task_overview=task_overview(), lines=[task_line(number) for number in range(200)] + [line(9)])
        text = drawn(OverviewScreen(), query)
        assert "task_00001 completed" not in text
        assert "support_agent completed in 33 ms" in text

    def test_tasks_alone_are_something(self) -> None:
        query = empty_query()
        hint = "EGOSCOPE_KAGURA_PATH says where."
        assert hint in drawn(OverviewScreen(), query, hint=hint)
        query.task_overview = replace(NOTHING_OF_TASKS, created=1, as_of=NOW - SECOND)
        assert hint not in drawn(OverviewScreen(), query, hint=hint)
