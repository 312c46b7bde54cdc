"""What stands on the screens, of agents and flows above all: at every size, without colour, from answers alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import pytest
from drawn_screens import SIZES, asked, drawn
from fake_query import (
    NOW,
    PROJECTION,
    SECOND,
    TRACE_ID,
    FakeQuery,
    agent,
    costs,
    empty_query,
    execution,
    flow,
    koubou_query,
    line,
    model,
    slow,
    span,
    task,
    tool,
    trace,
    worker,
)

from egoscope.cli import monitor_text
from egoscope.cli.monitor_text import ASCII, UNICODE
from egoscope.cli.screens import budget
from egoscope.cli.screens.agent import AgentScreen
from egoscope.cli.screens.columns import Column, seen, table
from egoscope.cli.screens.cost import CostScreen
from egoscope.cli.screens.flow import FlowScreen
from egoscope.cli.screens.frame import Frame
from egoscope.cli.screens.looking import Looking
from egoscope.cli.screens.overview import OverviewScreen
from egoscope.cli.screens.trace import TraceScreen
from egoscope.cli.screens.trace_tree import tree
from egoscope.cli.screens.words import Times, what_takes_flow_time, what_takes_time
from egoscope.cli.screens.workers import WorkersScreen
from egoscope.query import SpanEvent, TraceSpan

if TYPE_CHECKING:
    from collections.abc import Callable

    from egoscope.cli.screens.screen import Screen

BUDGET_USD: Final = 60.0
SCREENS: Final[dict[str, Callable[[], Screen]]] = {
    "overview": OverviewScreen,
    "agent": lambda: AgentScreen("support_agent"),
    "flow": lambda: FlowScreen("chat_bot"),
    "trace": lambda: TraceScreen(TRACE_ID),
    "cost": lambda: CostScreen(BUDGET_USD),
    "budget": lambda: CostScreen(BUDGET_USD, chart=True),
    "workers": lambda: WorkersScreen(3),
}
QUERIES: Final[dict[str, Callable[[], FakeQuery]]] = {"workers": koubou_query}


def query_of(screen: str) -> FakeQuery:
    """Return what a screen of `SCREENS` has to show."""
    return QUERIES.get(screen, FakeQuery)()


@pytest.mark.parametrize(
    ("screen", "figure"),
    [
        pytest.param("overview", "runs 24 h", id="overview: the window"),
        pytest.param("overview", "● 5 running", id="overview: how many run, flows too"),
        pytest.param("overview", "oldest: 1 min", id="overview: how long the oldest runs"),
        pytest.param("overview", "94.6%", id="overview: success rate of all"),
        pytest.param("overview", "16 not ok", id="overview: what went wrong"),
        pytest.param("overview", "4.20 s  12.3 s", id="overview: average and p95"),
        pytest.param("overview", "930 model calls", id="overview: calls"),
        pytest.param("overview", "$0.2468+?", id="overview: cost, with what is unknown"),
        pytest.param("overview", "? 41 unknown", id="overview: a word for unknown costs"),
        pytest.param(
            "overview", "support_agent     agent   2   120    6  95.0% 4.20 s 12.3 s", id="overview: an agent"
        ),
        pytest.param("overview", "chat_bot          flow    1    40    4  90.0% 5.10 s 9.90 s", id="overview: a flow"),
        pytest.param("overview", "INFO  support_agent completed in 24 ms", id="overview: recent activity"),
        pytest.param("agent", "support_agent  ● 2 running, the oldest for 1 min", id="agent: status"),
        pytest.param("agent", "today (UTC)", id="agent: calls today"),
        pytest.param("agent", "450 calls", id="agent: model and tool calls today"),
        pytest.param("agent", "gpt-4o           100  1391   202", id="agent: average prompt and completion tokens"),
        pytest.param("agent", "search_tool     100   70%", id="agent: tools with shares"),
        pytest.param("agent", "slow requests · longest first", id="agent: slow requests"),
        pytest.param("agent", "model 9.80 s    ok   1500 $0.0100 13:53:20", id="agent: a slow request"),
        pytest.param("agent", "Model calls take 65% of the time", id="agent: in words what takes the time"),
        pytest.param("flow", "chat_bot  flow  ● 1 running", id="flow: status"),
        pytest.param("flow", "greet", id="flow: nodes"),
        pytest.param("flow", "Of the nodes' time: answer", id="flow: in words what takes the time"),
        pytest.param("trace", f"trace {TRACE_ID}", id="trace: its id in full"),
        pytest.param("trace", "├─ memory lookup", id="trace: a child"),
        pytest.param("trace", "└─ chat house-model", id="trace: the last child"),
        pytest.param("trace", "+2.00 s 1.00 s 1200+300 $0.0042 ok", id="trace: offset, time, tokens, cost"),
        pytest.param("trace", "TimeoutError", id="trace: the error's type"),
        pytest.param("trace", "$0.0042+? (1 call unknown)", id="trace: a sum says what is not in it"),
        pytest.param(
            "trace",
            "2    0 2.00 s 33.3%  2400+600 $0.0042+?",
            id="trace: summary by kind",
        ),
        pytest.param("cost", "$46.25+? so far, expected $67.50 ($61.00 to $74.00)", id="cost: projection"),
        pytest.param("cost", "the mean of the last 20 complete", id="cost: the projection's method"),
        pytest.param("cost", "2026-11-21", id="cost: a day"),
        pytest.param("cost", "$3.62+?", id="cost: a day's cost"),
        pytest.param("cost", "▁▄▄▄▅▅▅▅▆▆▆▆▇▇▇▇█████ 11-21", id="cost: sparkline"),
        pytest.param("cost", "77.1% spent, 112% expected at its end; it will not last", id="cost: budget"),
        pytest.param("budget", "░ $60.00 budget", id="budget: the budget as a line"),
        pytest.param("budget", "expected", id="budget: what is to be expected"),
    ],
)
@pytest.mark.usefixtures("utc")
def test_stands_at_80_by_24_without_colour(screen: str, figure: str) -> None:
    assert figure in drawn(SCREENS[screen](), query_of(screen))


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_fills_the_terminal_and_no_more(screen: str, width: int, height: int) -> None:
    lines = drawn(SCREENS[screen](), query_of(screen), width=width, height=height).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    if height >= 18 and screen != "budget":
        assert len(lines) == height


@pytest.mark.parametrize("screen", SCREENS)
def test_the_keys_of_the_footer_are_read_in_full_at_80_columns(screen: str) -> None:
    assert drawn(SCREENS[screen](), query_of(screen)).splitlines()[-1].rstrip().endswith("? keys")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_without_unicode_is_sent_ascii_alone(screen: str, width: int) -> None:
    """The encoder of the output raises for anything else."""
    assert "egoscope" in drawn(SCREENS[screen](), query_of(screen), width=width, height=40, encoding="ascii")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("height", [24, None])
def test_nothing_known_is_drawn_without_figures(screen: str, height: int | None) -> None:
    text = drawn(SCREENS[screen](), empty_query(), height=height)
    assert "Traceback" not in text
    assert "nan" not in text


@pytest.mark.parametrize("screen", SCREENS)
def test_a_picture_printed_once_has_no_keys_and_no_mark(screen: str) -> None:
    text = drawn(SCREENS[screen](), query_of(screen), height=None)
    assert "q quit" not in text
    assert "│ >" not in text


@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_an_answer_says_is_obeyed_by_the_terminal(screen: str) -> None:
    """Names are plain identifiers where they leave; a store that somebody else wrote may hold anything."""
    bad = "\x1b]0;title\x07[red]x[/red]\r\n"
    query = FakeQuery(
        all_agents=[agent(bad), agent()],
        all_flows=[flow(bad), flow()],
        models=[model(bad, 1.0)],
        tools=[tool(bad, 1.0)],
        lines=[replace(line(), body=bad, severity=bad, service=bad)],
        traces={TRACE_ID: trace(span(0, "other", bad, None, service=bad, error_type=bad, outcome="error"))},
    )
    query.slow = replace(query.slow, model_calls=(slow("model", bad, 9.0),))
    query.task_overview, query.tasks = koubou_query().task_overview, [task(task_id=bad, worker=bad)]
    query.workers = [worker(bad, state=bad, task_id=bad, instance=bad), worker(instance="0")]
    text = drawn(SCREENS[screen](), query, width=160, height=50)
    assert not set(text) & {"\x1b", "\x07", "\r", "\x9b"}


class TestOverview:
    """All agents and flows."""

    def test_hundreds_of_agents_scroll_and_say_where_one_is(self) -> None:
        query = FakeQuery(all_agents=[agent(f"agent_{n:03}", executions=1000 - n) for n in range(400)])
        screen = asked(OverviewScreen(), query)
        assert "1-8 of 401" in drawn(screen, query)
        for _ in range(20):
            screen.obey("page down")
        text = drawn(screen, query)
        assert "> agent_200" in text
        assert "of 401" in text

    def test_the_selected_row_stays_selected_when_it_moves(self) -> None:
        query = FakeQuery()
        screen = asked(OverviewScreen(), query)
        screen.obey("end")
        marked = next(row for row in drawn(screen, query).splitlines() if "│ >" in row).split()[2]
        query.all_agents = [replace(one, executions=9999) if one.agent == marked else one for one in query.all_agents]
        asked(screen, query)
        assert f"> {marked}" in drawn(screen, query)

    @pytest.mark.parametrize(
        ("order", "first"),
        [("runs", "busy"), ("cost", "dear"), ("failures", "broken"), ("p95", "slow"), ("last", "fresh"), ("name", "a")],
    )
    def test_sorts_by_what_it_says(self, order: str, first: str) -> None:
        names = {
            "busy": agent("busy", executions=500),
            "dear": agent("dear", cost_usd=9.0),
            "broken": agent("broken", errors=60),
            "slow": agent("slow", p95_s=900.0),
            "fresh": agent("fresh", last_end=NOW),
            "a": agent("a"),
        }
        query = FakeQuery(all_agents=list(names.values()), all_flows=[])
        screen = asked(OverviewScreen(), query)
        while f"by {order}" not in drawn(screen, query):
            screen.obey("s")
        assert f"> {first}" in drawn(screen, query)

    def test_an_unknown_cost_is_never_nothing(self) -> None:
        text = drawn(OverviewScreen(), FakeQuery(all_agents=[agent(cost_usd=0.0, calls_of_unknown_price=3)]))
        assert "$0" not in text
        assert "? 3 unknown" in text

    def test_percentiles_that_are_estimates_say_so(self) -> None:
        assert "~p95" in drawn(OverviewScreen(), FakeQuery(percentiles_estimated=True))
        assert "~p95" not in drawn(OverviewScreen())

    def test_where_nothing_happened_lately_a_wider_window_is_shown(self) -> None:
        query = FakeQuery(since=NOW - dt.timedelta(days=3))
        assert "runs 7 d" in drawn(OverviewScreen(), query)
        chosen = OverviewScreen(Looking(widen=False))
        assert "runs 24 h" in drawn(chosen, query)
        assert "nothing ended here; w widens the window" in drawn(chosen, query)

    def test_ego_mcps_own_lines_make_room_for_those_of_agents(self) -> None:
        chatter = [replace(line(number), agent=None, body="Processing request") for number in range(50)]
        for much in (1, 10):  # so much that not one of the newest lines is an agent's
            text = drawn(OverviewScreen(), FakeQuery(lines=[*chatter * much, line(60)]))
            assert "Processing request" not in text
            assert "support_agent completed in 84 ms" in text
        assert "Processing request" in drawn(OverviewScreen(), FakeQuery(lines=chatter))

    def test_a_nodes_line_names_its_flow(self) -> None:
        node = replace(line(), body="greet completed in 3 ms", agent="chat_bot")
        assert "chat_bot: greet completed in 3 ms" in drawn(OverviewScreen(), FakeQuery(lines=[node]))

    def test_flows_alone_have_times_too(self) -> None:
        text = drawn(OverviewScreen(), FakeQuery(all_agents=[], metrics={}, runs=[]))
        assert "5.10 s  9.90 s" in text

    def test_nothing_at_all_says_where_data_would_come_from(self) -> None:
        text = drawn(OverviewScreen(), empty_query(), hint="EGOSCOPE_KAGURA_PATH says where.")
        assert "No executions and no flows yet." in text
        assert "EGOSCOPE_KAGURA_PATH" in text


class TestAgent:
    """One agent."""

    def test_idle_says_when_its_last_execution_ended(self) -> None:
        query = FakeQuery(all_agents=[agent(running=0)], runs=[])
        assert "none running, last ended 12 s ago" in drawn(AgentScreen("support_agent"), query)

    def test_a_figure_of_what_runs_that_is_old_says_so(self) -> None:
        query = FakeQuery()
        query.runs = [replace(query.runs[0], as_of=NOW - dt.timedelta(hours=3))]
        assert "as of 3 h ago" in drawn(AgentScreen("support_agent"), query, width=120)

    @pytest.mark.parametrize(
        ("tabs", "said"),
        [
            (0, "slow requests · longest first"),
            (1, "slow executions · above p95 of 12.3 s · longest first"),
            (2, "executions · newest first"),
            (3, "recent activity"),
        ],
    )
    def test_tab_leads_through_the_lists(self, tabs: int, said: str) -> None:
        screen = asked(AgentScreen("support_agent"))
        for _ in range(tabs):
            screen.obey("tab")
        assert said in drawn(screen)

    def test_a_slow_model_call_of_unknown_price_costs_a_question_mark_and_a_tool_costs_nothing(self) -> None:
        rows = drawn(AgentScreen("support_agent")).splitlines()
        (called,) = [row for row in rows if " model 5.50 s" in row]
        (tool_call,) = [row for row in rows if " tool  7.70 s" in row]
        assert called.split()[-3] == "?"
        assert "?" not in tool_call
        assert "$" not in tool_call

    def test_the_filter_finds_what_failed(self) -> None:
        screen = asked(AgentScreen("support_agent"))
        for key in ("tab", "tab", "/", *"timeout", "enter"):
            screen.obey(key)
        assert len(screen.row_keys()) == 2
        assert "TimeoutError" in drawn(screen, width=120)


class TestFlow:
    """One flow."""

    def test_nodes_can_be_sorted_by_failures(self) -> None:
        screen = asked(FlowScreen("chat_bot"))
        before = drawn(screen)
        screen.obey("s")
        after = drawn(screen)
        assert before.index("│   answer") < before.index("│   greet")
        assert "by failures" in after
        assert after.index("│   greet") < after.index("│   answer")


class TestTrace:
    """One trace."""

    def test_two_hundred_spans_scroll(self) -> None:
        deep = [span(0, "agent", "invoke_agent a", None, duration_s=300.0)]
        deep += [span(n, "tool", f"execute_tool t{n}", parent=n - 1 if n < 60 else 0) for n in range(1, 201)]
        query = FakeQuery(traces={TRACE_ID: trace(*deep)})
        screen = asked(TraceScreen(TRACE_ID), query)
        assert "of 201" in drawn(screen, query)
        screen.obey("end")
        text = drawn(screen, query)
        assert "execute_tool t200" in text
        assert max(map(len, text.splitlines())) <= 80
        assert len(drawn(screen, query, height=None).splitlines()) > 200

    def test_enter_opens_all_that_a_span_says_of_itself(self) -> None:
        screen = asked(TraceScreen(TRACE_ID))
        for key in ("end", "enter"):
            screen.obey(key)
        text = drawn(screen, height=40)
        assert "0000000000000004" in text
        assert "agent_response agent.flow.tokens=12" in text
        screen.obey("escape")
        assert "by kind" in drawn(screen)

    def test_the_filter_keeps_what_is_above_what_it_finds(self) -> None:
        screen = asked(TraceScreen(TRACE_ID))
        for key in ("/", *"search", "enter"):
            screen.obey(key)
        text = drawn(screen)
        assert "└─ execute_tool search_tool" in text
        assert "invoke_agent support_agent" in text
        assert "memory lookup" not in text

    def test_a_wide_terminal_shows_when_each_span_was(self) -> None:
        row = next(row for row in drawn(TraceScreen(TRACE_ID), width=140).splitlines() if "search_tool" in row)
        assert "   ━━━━━" in row

    def test_by_duration_the_longest_sibling_stands_first(self) -> None:
        spans = [span(0, "agent", "a", None), span(1, "tool", "short"), span(2, "tool", "long", duration_s=9.0)]
        names = [branch.span.name for branch in tree(trace(*spans), longest_first=True)]
        assert names == ["a", "long", "short"]

    def test_spans_without_a_known_parent_stand_at_the_top(self) -> None:
        spans = [span(1, "node", "orphan", parent=99), span(2, "node", "child", parent=1)]
        assert [(branch.span.name, branch.depth) for branch in tree(trace(*spans))] == [("orphan", 0), ("child", 1)]

    def test_parents_in_a_circle_lose_no_span(self) -> None:
        spans = [span(1, "node", "a", parent=2), span(2, "node", "b", parent=1), span(3, "node", "c", parent=3)]
        assert sorted(branch.span.name for branch in tree(trace(*spans))) == ["a", "b", "c"]

    def test_a_trace_deeper_than_python_recurses_is_drawn(self) -> None:
        spans = [span(n, "other", f"s{n}", parent=n - 1 if n else None) for n in range(3000)]
        assert [branch.depth for branch in tree(trace(*spans))][-1] == 2999

    def test_a_span_far_down_still_shows_its_name(self) -> None:
        spans = [span(n, "tool", f"execute_tool t{n}", parent=n - 1 if n else None) for n in range(40)]
        query = FakeQuery(traces={TRACE_ID: trace(*spans)})
        screen = asked(TraceScreen(TRACE_ID), query)
        screen.obey("end")
        assert "39:     └─ execute_tool t39" in drawn(screen, query)

    def test_what_a_policy_did_stands_beside_how_a_node_ended(self) -> None:
        """A node whose last failure was handled is no error; that it failed is to be seen all the same."""

        def node(number: int, *names: str, outcome: Literal["ok", "error"] = "ok") -> TraceSpan:
            events = tuple(SpanEvent(time=NOW, name=name) for name in names)
            return span(number, "node", f"n{number}", None, outcome=outcome, events=events)

        spans = (
            node(0, "node.retry", "node.retry", "node.error"),
            node(1, "node.retry"),
            node(2, "node.error", outcome="error"),
            node(3),
        )
        query = FakeQuery(traces={TRACE_ID: trace(*spans)})
        names = {one.name for one in spans}
        rows = [row for row in drawn(TraceScreen(TRACE_ID), query).splitlines() if row.strip("│> ")[:2] in names]
        assert [row.strip("│ ").split("  ")[-1].strip() for row in rows] == [
            "ok · 2 retries · gave up",
            "ok · 1 retry",
            "error",
            "ok",
        ]

    def test_a_trace_that_is_not_there_says_so(self) -> None:
        assert "not there" in drawn(TraceScreen("0" * 32))

    def test_every_spans_line_ends_where_its_parents_do(self) -> None:
        spans = [
            span(0, "flow", "root", None),
            span(1, "node", "first"),
            span(2, "node", "inner", parent=1),
            span(3, "node", "last"),
            span(4, "node", "deepest", parent=3),
        ]
        leads = [branch.lead(UNICODE) + branch.span.name for branch in tree(trace(*spans))]
        assert leads == ["root", "├─ first", "│ └─ inner", "└─ last", "  └─ deepest"]
        assert tree(trace(*spans))[2].lead(ASCII) == "| `- "


class TestCost:
    """What agents cost."""

    def test_tab_groups_by_agent_and_by_model(self) -> None:
        screen = asked(CostScreen(None))
        screen.obey("tab")
        assert "notes_agent" in drawn(screen)
        row = next(row for row in drawn(screen).splitlines() if "notes_agent" in row)
        assert "? 140" in row
        assert "$0" not in row
        screen.obey("tab")
        assert "house-model" in drawn(screen)

    def test_enter_on_a_day_says_who_spent_it_on_what(self) -> None:
        screen = asked(CostScreen(None))
        screen.obey("enter")
        text = drawn(screen)
        assert "support_agent" in text
        assert "gpt-4o" in text

    def test_the_filter_adds_up_what_it_lets_through(self) -> None:
        screen = asked(CostScreen(None))
        for key in ("/", *"house", "enter"):
            screen.obey(key)
        assert "$3.62" not in drawn(screen)

    def test_days_without_a_call_are_on_the_sparkline(self) -> None:
        query = FakeQuery(costs=replace(costs(1), rows=costs(1).rows))
        assert f"10-23 {'▁' * 29}█ 11-21" in drawn(CostScreen(None), query)

    @pytest.mark.parametrize(
        ("so_far", "expected", "said"),
        [
            pytest.param(10.0, 50.0, "83.3% expected at its end", id="within"),
            pytest.param(10.0, 70.0, "it will not last", id="on the way beyond"),
            pytest.param(61.0, 70.0, "it is spent", id="beyond"),
            pytest.param(10.0, None, "expected not known yet", id="too little to tell"),
        ],
    )
    def test_the_budget_in_words(self, so_far: float, expected: float | None, said: str) -> None:
        projection = replace(PROJECTION, so_far_usd=so_far, expected_usd=expected, low_usd=None, high_usd=None)
        assert said in drawn(CostScreen(BUDGET_USD), FakeQuery(projection=projection))

    @pytest.mark.parametrize("day", [1, 15, 30])
    @pytest.mark.parametrize("budget_usd", [0.5, 60.0, 100_000.0])
    @pytest.mark.parametrize("width", [80, 40])
    def test_the_budget_is_drawn_on_every_day_of_a_month(self, day: int, budget_usd: float, width: int) -> None:
        now = NOW.replace(day=day)
        query = FakeQuery(projection=replace(PROJECTION, as_of=now))
        screen = CostScreen(budget_usd, chart=True)
        screen.ask(query, now)()
        screen.asked = now
        text = drawn(screen, query, height=40, width=width)
        assert "budget" in text
        assert max(map(len, text.splitlines())) <= width

    @pytest.mark.parametrize(
        ("day", "cell", "named"),
        [
            pytest.param(1, 1, ["1", "30"], id="the first"),
            pytest.param(2, 1, ["2", "30"], id="beside the first"),
            pytest.param(3, 1, ["1", "3", "30"], id="apart from both"),
            pytest.param(28, 1, ["1", "28"], id="close to the last"),
            pytest.param(29, 1, ["1", "29"], id="beside the last"),
            pytest.param(29, 2, ["1", "29"], id="beside the last, where days are wider"),
            pytest.param(30, 1, ["1", "30"], id="the last"),
        ],
    )
    def test_days_of_the_axis_never_run_into_one_another(self, day: int, cell: int, named: list[str]) -> None:
        """29 and 30 would be read as 2930, or as 230. Today is named always."""
        axis = budget.axis(30, cell, dt.date(2026, 11, day), Frame(width=80, height=24, now=NOW)).plain
        assert axis.split() == named
        assert all(axis[(int(name) - 1) * cell :].startswith(name) for name in named)

    def test_without_a_budget_its_key_says_what_to_set(self) -> None:
        assert asked(CostScreen(None)).obey("b") == "no budget is set: EGOSCOPE_BUDGET_USD"


class TestWords:
    """In words what takes the time."""

    @pytest.mark.parametrize(
        ("times", "said"),
        [
            pytest.param(
                Times(executions_s=400, model_s=300, tool_s=60),
                "Model calls take 75% of the time (gpt-4o), tools take 15% of the time (search_tool),"
                " 10% is memory, waiting and its own work.",
                id="models most",
            ),
            pytest.param(
                Times(executions_s=100, model_s=0, tool_s=50),
                "Tools take 50% of the time (search_tool), 50% is memory, waiting and its own work.",
                id="tools alone",
            ),
            pytest.param(
                Times(executions_s=100, model_s=0, tool_s=0),
                "All of the time is the agent's own: no model and no tool was called.",
                id="nothing called",
            ),
            pytest.param(
                Times(executions_s=100, model_s=150, tool_s=50),
                "Calls run side by side: 2m30s of model calls (gpt-4o) and 50.0 s of tools (search_tool)"
                " within 1m40s of executions.",
                id="calls that overlap are no shares",
            ),
            pytest.param(
                Times(executions_s=None, model_s=None, tool_s=None),
                "No execution ended in this window, so there is no time to share out.",
                id="nothing ended",
            ),
        ],
    )
    def test_agents(self, times: Times, said: str) -> None:
        assert what_takes_time(times, [model("gpt-4o", 1.0)], [tool("search_tool", 1.0)], None) == said

    def test_the_slowest_is_named(self) -> None:
        times = Times(executions_s=100, model_s=100, tool_s=0)
        words = what_takes_time(times, [model("gpt-4o", 1.0)], [], slow("model", "gpt-4o", 185.0))
        assert words.endswith("Slowest was a call of gpt-4o with 3m05s.")

    def test_flows(self) -> None:
        assert what_takes_flow_time(flow().nodes) == (
            "Of the nodes' time: answer 89%, greet 11%. greet fails most often: 3 of 40 runs."
        )
        assert "no time" in what_takes_flow_time([])


class TestColumns:
    """Tables of one line a row."""

    COLUMNS: Final = (Column("name"), Column("a", 6, 2), Column("b", 6, 1), Column("c", 6))

    @pytest.mark.parametrize(
        ("width", "headings"),
        [(60, "name a b c"), (39, "name a b c"), (38, "name b c"), (32, "name b c"), (31, "name c"), (12, "name c")],
    )
    def test_the_least_important_goes_first(self, width: int, headings: str) -> None:
        lines = table(self.COLUMNS, [("a_rather_long_name", "1", "2", "3")], width, UNICODE)
        assert {line.cell_len for line in lines} == {width}
        assert lines[0].plain.split() == headings.split()

    def test_a_name_that_is_too_long_loses_its_middle(self) -> None:
        """Hundreds of agents may begin alike."""
        columns = (Column("name", left=True, middle=True), Column("c", 6))
        names = [f"agent_of_a_rather_large_family_{number:03}" for number in range(3)]
        for glyphs in (UNICODE, ASCII):
            lines = [line.plain for line in table(columns, [(name, "1") for name in names], 30, glyphs)]
            assert len(set(lines[1:])) == 3
            assert all(line.startswith("agent_of") for line in lines[1:])

    def test_wide_characters_take_their_cells(self) -> None:
        lines = table(self.COLUMNS, [("翻訳エージェント翻訳エージェント", "1", "2", "3")], 30, UNICODE)
        assert {line.cell_len for line in lines} == {30}

    @pytest.mark.parametrize(
        ("count", "selected", "room", "expected"),
        [
            pytest.param(5, 0, 10, (0, 5), id="all have room"),
            pytest.param(100, 0, 10, (0, 10), id="at the top"),
            pytest.param(100, 50, 10, (45, 55), id="in the middle"),
            pytest.param(100, 99, 10, (90, 100), id="at the end"),
            pytest.param(100, None, 10, (0, 10), id="nothing selected"),
            pytest.param(100, 7, 0, (7, 7), id="no room"),
        ],
    )
    def test_what_is_selected_is_seen(
        self, count: int, selected: int | None, room: int, expected: tuple[int, int]
    ) -> None:
        assert seen(count, selected, room) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(monitor_text.money(None), "?", id="unknown"),
        pytest.param(monitor_text.money(0), "$0", id="nothing"),
        pytest.param(monitor_text.money(0.00001), "<$0.0001", id="next to nothing"),
        pytest.param(monitor_text.money(0.04237), "$0.0424", id="less than a cent is seen"),
        pytest.param(monitor_text.money(12.345), "$12.35", id="dollars"),
        pytest.param(monitor_text.money(123_456.0), "$123.5k", id="thousands"),
        pytest.param(monitor_text.cost(0, 3), "?", id="only unknown"),
        pytest.param(monitor_text.cost(1.5, 3), "$1.50+?", id="partly unknown"),
        pytest.param(monitor_text.percent(None), "-", id="share of nothing"),
        pytest.param(monitor_text.percent(0.99999), "99.9%", id="nearly all is not all"),
        pytest.param(monitor_text.percent(0.00001), "0.1%", id="nearly nothing is not nothing"),
        pytest.param(monitor_text.percent(1), "100%", id="all"),
        pytest.param(monitor_text.took(99.9), "99.9 s", id="seconds"),
        pytest.param(monitor_text.took(185.4), "3m05s", id="minutes to the second"),
        pytest.param(monitor_text.took(7620), "2h07m", id="hours to the minute"),
        pytest.param(monitor_text.took(5999), "99m59s", id="nearly a hundred minutes"),
        pytest.param(monitor_text.took(400_000), "4d15h", id="days to the hour"),
    ],
)
def test_figures_as_text(said: str, expected: str) -> None:
    assert said == expected


def test_only_what_was_answered_is_shown() -> None:
    """Every name on a screen is one of the answers', so that what does not leave cannot be shown."""
    words = {"worker_1", "worker_2", "worker_3", "gemini_worker_77", "task_20250901_073337_489974", "task_00042"}
    words |= {f"task_{number:05d}" for number in range(20)}
    words |= {"support_agent", "chat_bot", "gpt-4o", "house-model", "search_tool", "file_read", "TimeoutError"}
    everything = "".join(drawn(SCREENS[screen](), query_of(screen), height=None, width=160) for screen in SCREENS)
    identifiers = {word.strip(".,:()") for word in everything.split() if "_" in word}
    assert identifiers <= words | {"research_agent", "notes_agent", "invoke_agent", "execute_tool"}


def test_executions_without_a_known_end_have_no_duration() -> None:
    unfinished = replace(execution(), duration_s=None, outcome="unfinished")
    screen = asked(AgentScreen("support_agent"), FakeQuery(executions=[unfinished]))
    for key in ("tab", "tab"):
        screen.obey(key)
    assert "unfinished" in drawn(screen)
    assert (NOW - SECOND).tzinfo is dt.UTC
