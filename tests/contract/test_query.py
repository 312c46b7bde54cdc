"""What every `Query` promises, over the embedded store and over the real servers."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter, defaultdict
from math import inf
from typing import TYPE_CHECKING

import pytest

from egoscope.cli.export import flow_run_pages, pages
from egoscope.convert.catalogue import EXECUTION_DURATION, MODEL_DURATION, TOKENS, TOOL_DURATION
from egoscope.errors import ConfigError
from egoscope.query.base import AGGREGATIONS
from egoscope.query.embedded import EmbeddedQuery
from egoscope.query.stack import StackQuery
from egoscope.query.times import EPOCH
from egoscope.store.kinds import NANO
from egoscope.store.queries import percentile
from egoscope.store.sqlite import EmbeddedStore
from tests.query_scene import (
    DAY,
    EXECUTIONS,
    HOUR,
    LOCAL,
    MINUTE,
    RUNNING,
    RUNNING_SINCE,
    RUNS,
    SONNET,
    Ran,
    Scene,
    calls_of,
)
from tests.query_stack import query_stack, why_no_tempo
from tests.stack.conftest import missing
from tests.stack.processes import MissingServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.convert.catalogue import Metric
    from egoscope.query import Execution, Query
    from tests.query_stack import QueryStack

AGENTS = (None, "writer", "critic", "nobody")
# In nanoseconds after the scene began: all; a part of a day; across a midnight; nothing.
RANGES = (
    (0, 3 * DAY),
    (90 * MINUTE, 5 * HOUR + 30 * MINUTE),
    (5 * HOUR + 30 * MINUTE, DAY + 3 * HOUR + 30 * MINUTE),
    (2 * DAY + 2 * HOUR, 2 * DAY + 3 * HOUR),
)
CASES = [
    pytest.param(agent, since, until, id=f"{agent or 'all'}, {since / HOUR:g} h to {until / HOUR:g} h")
    for agent in AGENTS
    for since, until in RANGES
]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """What happened."""
    return Scene(dt.datetime.now(dt.UTC).date())


@pytest.fixture(scope="module", params=["embedded", "stack"])
def query(request: pytest.FixtureRequest) -> Query:
    """A query over one of the two, which holds the scene."""
    return request.getfixturevalue(f"{request.param}_query")


@pytest.fixture(scope="module")
def embedded_query(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Over a store that took the scene's requests."""
    path = tmp_path_factory.mktemp("embedded") / "store.db"
    with EmbeddedStore(path) as store:
        for request in [*scene.requests(), *scene.tagged()]:
            store.send(request.signal, request.data)
    with EmbeddedQuery(path, now=lambda: scene.now) as made:
        yield made


@pytest.fixture(scope="module")
def servers(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryStack]:
    """The real servers, which took the scene's requests through the Collector."""
    try:
        with query_stack(tmp_path_factory.mktemp("stack")) as started:
            started.send(scene.requests())
            started.send_spans(scene.tagged())
            started.wait_until_searchable(len(EXECUTIONS))
            yield started
    except MissingServerError as error:
        missing(str(error))


@pytest.fixture(scope="module")
def stack_query(scene: Scene, servers: QueryStack) -> Iterator[Query]:
    """Over the servers."""
    with servers.query(lambda: scene.now) as made:
        yield made


@pytest.fixture
def traces(query: Query, request: pytest.FixtureRequest) -> None:
    """Skip by name and reason what asks Tempo where there is none."""
    if isinstance(query, StackQuery) and request.getfixturevalue("servers").tempo is None:
        pytest.skip(why_no_tempo())


def within(agent: str | None, since: int, until: int) -> list[Ran]:
    """The executions of an agent that ended in a range."""
    return [ran for ran in EXECUTIONS if agent in (None, ran.agent) and since < ran.at <= until]


class TestMetrics:
    @pytest.mark.parametrize(("agent", "since", "until"), CASES)
    def test_counts_tokens_and_costs_are_exact(
        self, query: Query, scene: Scene, agent: str | None, since: int, until: int
    ) -> None:
        truth = within(agent, since, until)
        calls = [call for _, call in calls_of(truth)]
        tools = [tool for ran in truth for tool in ran.tools]
        known = [call.cost for call in calls if call.cost is not None]
        cost = sum(known) / NANO
        tokens_in, tokens_out = sum(call.input_tokens for call in calls), sum(call.output_tokens for call in calls)
        expected = {
            ("executions", "count"): len(truth),
            ("executions", "success_rate"): ratio(sum(ran.outcome == "ok" for ran in truth), len(truth)),
            ("duration", "count"): sum(ran.outcome != "unfinished" for ran in truth),
            ("model_calls", "count"): len(calls),
            ("model_calls", "avg"): ratio(len(calls), len(truth)),
            ("tool_calls", "count"): len(tools),
            ("tool_calls", "avg"): ratio(len(tools), len(truth)),
            ("tool_duration", "count"): len(tools),
            ("tokens", "sum"): tokens_in + tokens_out,
            ("tokens", "avg"): ratio(tokens_in + tokens_out, len(calls)),
            ("input_tokens", "sum"): tokens_in,
            ("input_tokens", "avg"): ratio(tokens_in, len(calls)),
            ("output_tokens", "sum"): tokens_out,
            ("output_tokens", "count"): len(calls),
            ("cost", "sum"): cost,
            ("cost", "avg"): ratio(cost, len(truth)),
        }
        asked = {pair: query.get_metrics(agent, *pair, scene.time(since), scene.time(until)) for pair in expected}
        assert asked == expected

    @pytest.mark.parametrize(
        ("metric_type", "kind", "metric"),
        [
            ("duration", "agent", EXECUTION_DURATION),
            ("model_duration", "model", MODEL_DURATION),
            ("tool_duration", "tool", TOOL_DURATION),
            ("input_tokens", "tokens", TOKENS),
        ],
    )
    @pytest.mark.parametrize("agent", [None, "writer"])
    def test_percentiles_are_the_values_own_or_within_their_bucket(
        self, query: Query, scene: Scene, metric_type: str, kind: str, metric: Metric, agent: str | None
    ) -> None:
        truth = within(agent, 0, 3 * DAY)
        values = sorted(
            {
                "agent": [ran.seconds for ran in truth if ran.outcome != "unfinished"],
                "model": [call.seconds for _, call in calls_of(truth)],
                "tool": [seconds for ran in truth for _, seconds in ran.tools],
                "tokens": [float(call.input_tokens) for _, call in calls_of(truth)],
            }[kind]
        )
        whole = (agent, scene.start, scene.time(3 * DAY))
        assert query.get_metrics(agent, metric_type, "avg", *whole[1:]) == pytest.approx(sum(values) / len(values))
        assert query.get_metrics(agent, metric_type, "sum", *whole[1:]) == pytest.approx(sum(values))
        for aggregation, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            told = query.get_metrics(agent, metric_type, aggregation, *whole[1:])
            exact = percentile(values, share)
            assert told is not None
            assert exact is not None
            if query.percentiles_estimated:
                # A histogram's quantile is the value of rank share*n, one of the two that the exact one lies between.
                place = share * (len(values) - 1)
                near = values[max(0, int(place) - 1) : int(place) + 2]
                bounds = (0.0, *metric.bounds, inf)
                lower = max(bound for bound in bounds if bound < min(near))
                upper = min(bound for bound in bounds if bound >= max(near))
                assert lower <= told <= upper
            else:
                assert told == pytest.approx(exact)

    def test_nothing_has_no_average_and_a_count_of_zero(self, query: Query, scene: Scene) -> None:
        for metric_type, aggregations in AGGREGATIONS.items():
            for aggregation in aggregations:
                told = query.get_metrics("nobody", metric_type, aggregation, scene.start, scene.now)
                assert told == (0 if aggregation in ("count", "sum") else None), (metric_type, aggregation)

    def test_ranges_side_by_side_count_everything_once(self, query: Query, scene: Scene) -> None:
        """Also where an execution ended exactly between the two: it is in the first."""
        ends = [scene.start, *(scene.time(ran.at) for ran in EXECUTIONS), scene.now]
        counts = [
            query.get_metrics(None, "executions", "count", since, until) for since, until in itertools.pairwise(ends)
        ]
        assert counts == [1] * len(EXECUTIONS) + [0]

    @pytest.mark.parametrize(
        ("metric_type", "aggregation", "said"),
        [
            ("duration", "success_rate", "of duration there is count, sum, avg, max, p50, p95, p99"),
            ("executions", "p95", "of executions there is count, success_rate"),
            ("speed", "avg", "one of executions, duration"),
        ],
    )
    def test_an_impossible_pair_is_told_what_is_possible(
        self, query: Query, metric_type: str, aggregation: str, said: str
    ) -> None:
        with pytest.raises(ConfigError, match=said):
            query.get_metrics(None, metric_type, aggregation)


@pytest.mark.usefixtures("traces")
class TestExecutions:
    def test_all_come_newest_first_with_their_numbers(self, query: Query, scene: Scene) -> None:
        told = query.get_executions(since=scene.start)
        assert [numbers(one) for one in told] == [expected(ran, scene) for ran in reversed(EXECUTIONS)]

    def test_the_newest_are_kept_where_there_are_more_than_the_limit(self, query: Query, scene: Scene) -> None:
        assert ends(query.get_executions(limit=3), scene) == [ran.at for ran in reversed(EXECUTIONS[-3:])]

    @pytest.mark.parametrize("status", ["ok", "error", "unfinished"])
    @pytest.mark.parametrize("agent", AGENTS)
    def test_by_agent_and_status(self, query: Query, scene: Scene, agent: str | None, status: str) -> None:
        told = query.get_executions(agent, status=status)
        assert ends(told, scene) == [ran.at for ran in reversed(within(agent, 0, 3 * DAY)) if ran.outcome == status]

    @pytest.mark.parametrize(
        ("tag", "times"),
        [
            ("language", [DAY + 4 * HOUR, DAY + 3 * HOUR]),
            ("language=fr", [DAY + 3 * HOUR]),
            ("draft=true", [DAY + 3 * HOUR]),
            ("language=", []),
            ("country", []),
        ],
    )
    def test_by_tag(self, query: Query, scene: Scene, tag: str, times: list[int]) -> None:
        assert ends(query.get_executions(tag=tag), scene) == times

    def test_by_the_moment_they_ended(self, query: Query, scene: Scene) -> None:
        """The range has its end, not its beginning; one that began long before it is in it."""
        one = EXECUTIONS[4]
        for since, until in ((one.at - MINUTE, one.at), (one.at - 1000, one.at)):
            assert ends(query.get_executions(since=scene.time(since), until=scene.time(until)), scene) == [one.at]
        assert query.get_executions(since=scene.time(one.at), until=scene.time(one.at + MINUTE)) == []

    @pytest.mark.parametrize("page", [2, 100])
    def test_all_can_be_exported_page_by_page(self, query: Query, scene: Scene, page: int) -> None:
        told = [one for some in pages(query, None, EPOCH, scene.now, page) for one in some]
        assert ends(told, scene) == [ran.at for ran in EXECUTIONS]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"status": "running"}, "status: what runs has no trace yet; ask running"),
            ({"status": "completed"}, "status: ok, error or unfinished"),
            ({"limit": 0}, "limit: 1 or more"),
            ({"since": dt.datetime(2026, 1, 1)}, "since: a time without a time zone"),  # noqa: DTZ001
            (
                {"since": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "until": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
                "until: is before since",
            ),
        ],
    )
    def test_a_wrong_argument_is_named(self, query: Query, arguments: dict[str, object], said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            query.get_executions(**arguments)  # type: ignore[arg-type]


class TestCost:
    @pytest.mark.parametrize(("since", "until"), RANGES)
    def test_rows_by_day_agent_and_model_are_exact(self, query: Query, scene: Scene, since: int, until: int) -> None:
        truth: defaultdict[tuple[dt.date, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        for ran, call in calls_of(within(None, since, until)):
            sums = truth[scene.time(ran.at).date(), ran.agent, call.model]
            for place, amount in enumerate(
                (1, call.input_tokens, call.output_tokens, call.cost or 0, call.cost is None)
            ):
                sums[place] += amount
        told = query.get_cost_summary(scene.time(since), scene.time(until))
        assert [
            (row.day, row.agent, row.model, row.calls, row.input_tokens, row.output_tokens, row.cost_usd,
             row.calls_of_unknown_price)
            for row in told.rows
        ] == [(*key, *sums[:3], sums[3] / NANO, sums[4]) for key, sums in sorted(truth.items())]  # fmt: skip
        assert told.cost_usd == sum(sums[3] for sums in truth.values()) / NANO

    def test_one_day_by_its_date(self, query: Query, scene: Scene) -> None:
        day = scene.time(DAY).date()
        told = query.get_cost_summary(date=day)
        assert {row.day for row in told.rows} == {day}
        assert told.cost_usd == 29_997_015 / NANO

    def test_summaries_by_agent_and_model_add_up(self, query: Query) -> None:
        told = query.get_cost_summary()
        assert list(told.by_agent()) == ["critic", "writer"]
        assert list(told.by_model()) == [SONNET, LOCAL]
        assert told.by_model()[LOCAL].calls_of_unknown_price == 1
        assert told.by_model()[LOCAL].cost_usd == 0

    def test_a_projection_without_a_week_of_days_says_so(self, query: Query) -> None:
        told = query.project_month()
        assert told.expected_usd is None
        assert "Too little to project from: 2 complete days" in told.method

    def test_a_date_and_a_range_at_once_is_refused(self, query: Query, scene: Scene) -> None:
        with pytest.raises(ConfigError, match="give a date, or since and until"):
            query.get_cost_summary(scene.start, date=scene.start.date())


class TestUse:
    @pytest.mark.parametrize(("agent", "since", "until"), CASES)
    def test_tools_with_their_shares(
        self, query: Query, scene: Scene, agent: str | None, since: int, until: int
    ) -> None:
        calls = Counter(tool for ran in within(agent, since, until) for tool, _ in ran.tools)
        told = query.tools_used(agent, scene.time(since), scene.time(until))
        assert [(one.tool, one.calls, one.share, one.errors) for one in told] == [
            (tool, count, count / calls.total(), 0)
            for tool, count in sorted(calls.items(), key=lambda kept: (-kept[1], kept[0]))
        ]

    @pytest.mark.parametrize(("agent", "since", "until"), CASES)
    def test_models_with_tokens_and_cost(
        self, query: Query, scene: Scene, agent: str | None, since: int, until: int
    ) -> None:
        calls = [call for _, call in calls_of(within(agent, since, until))]
        told = query.models_used(agent, scene.time(since), scene.time(until))
        assert {one.model for one in told} == {call.model for call in calls}
        for one in told:
            of = [call for call in calls if call.model == one.model]
            assert one.provider == of[0].provider
            assert (one.calls, one.share) == (len(of), len(of) / len(calls))
            assert one.input_tokens == sum(call.input_tokens for call in of)
            assert one.avg_output_tokens == sum(call.output_tokens for call in of) / len(of)
            assert one.cost_usd == sum(call.cost or 0 for call in of) / NANO
            assert one.calls_of_unknown_price == sum(call.cost is None for call in of)
            assert one.avg_s == pytest.approx(sum(call.seconds for call in of) / len(of))

    @pytest.mark.parametrize(("since", "until"), RANGES)
    def test_an_overview_of_every_agent(self, query: Query, scene: Scene, since: int, until: int) -> None:
        told = {one.agent: one for one in query.agents(scene.time(since), scene.time(until))}
        truth = {agent: within(agent, since, until) for agent in ("critic", "writer")}
        assert list(told) == [agent for agent, ran in truth.items() if ran or agent in RUNNING]
        for agent, one in told.items():
            of = truth[agent]
            calls = [call for _, call in calls_of(of)]
            assert one.running == RUNNING.get(agent, 0)
            assert one.executions == len(of)
            assert one.errors == sum(ran.outcome == "error" for ran in of)
            assert one.unfinished == sum(ran.outcome == "unfinished" for ran in of)
            assert one.success_rate == ratio(sum(ran.outcome == "ok" for ran in of), len(of))
            assert (one.model_calls, one.tool_calls) == (len(calls), sum(len(ran.tools) for ran in of))
            assert one.input_tokens == sum(call.input_tokens for call in calls)
            assert one.output_tokens == sum(call.output_tokens for call in calls)
            assert one.cost_usd == sum(call.cost or 0 for call in calls) / NANO
            assert one.calls_of_unknown_price == sum(call.cost is None for call in calls)
            assert one.last_end == (scene.time(of[-1].at) if of else None)

    def test_what_runs_with_the_longest_runnings_start(self, query: Query, scene: Scene) -> None:
        (one,) = query.running()
        assert (one.agent, one.count, one.oldest_start) == ("writer", 2, scene.time(RUNNING_SINCE))
        assert scene.now - one.as_of <= dt.timedelta(seconds=30)
        assert query.running("critic") == []

    @pytest.mark.parametrize(("since", "until"), RANGES)
    def test_flows_and_their_nodes(self, query: Query, scene: Scene, since: int, until: int) -> None:
        runs = [run for run in RUNS if since < run.at <= until]
        told = query.flows(scene.time(since), scene.time(until))
        assert [(one.flow, one.runs, one.errors) for one in told] == (
            [("triage", len(runs), sum(run.outcome == "error" for run in runs))] if runs else []
        )
        for flow in told:
            for node in flow.nodes:
                of = [outcome for run in runs for name, outcome, _ in run.nodes if name == node.node]
                assert (node.runs, node.errors) == (len(of), of.count("error"))
            assert [node.node for node in flow.nodes] == ["decide", "read"]


@pytest.mark.usefixtures("traces")
class TestTraces:
    def test_a_trace_has_its_tree_and_a_summary_by_kind(self, query: Query, scene: Scene) -> None:
        ran = EXECUTIONS[1]
        trace = query.get_trace(scene.trace_id(ran))
        assert trace is not None
        root, model, tool = trace.spans
        assert (root.kind, root.name, root.outcome, root.parent_id) == ("agent", "invoke_agent writer", "error", None)
        assert root.error_type == "_OTHER"
        assert (model.kind, model.parent_id, model.input_tokens, model.cost_usd) == (
            "model",
            root.span_id,
            70,
            1 / NANO,
        )
        assert (tool.kind, tool.parent_id, tool.cost_usd) == ("tool", root.span_id, None)
        assert (model.offset_s, tool.offset_s) == (0.001, 0.002)
        assert (root.duration_s, tool.duration_s, trace.duration_s) == (40, 3, 40)
        assert root.service == "kagura"
        assert [(one.kind, one.spans, one.errors, one.cost_usd) for one in trace.summary] == [
            ("agent", 1, 1, 1 / NANO),
            ("model", 1, 0, 1 / NANO),
            ("tool", 1, 0, 0),
        ]

    def test_a_run_of_a_flow_has_its_events(self, query: Query, scene: Scene) -> None:
        trace = query.get_trace(scene.trace_id(RUNS[1]).upper())
        assert trace is not None
        assert [(span.kind, span.name, span.outcome) for span in trace.spans] == [
            ("flow", "triage", "error"),
            ("node", "read", "ok"),
            ("node", "decide", "error"),
        ]
        (event,) = trace.spans[1].events
        assert event.name == "agent_instruction"

    def test_an_unknown_trace_is_none_and_a_wrong_id_is_named(self, query: Query) -> None:
        assert query.get_trace("0" * 31 + "1") is None
        with pytest.raises(ConfigError, match="trace_id: 32 hex digits"):
            query.get_trace("abc")

    def test_slow_requests_are_longest_first(self, query: Query, scene: Scene) -> None:
        told = query.slow_requests(limit=2)
        longest = told.model_calls[0]
        assert (longest.name, longest.agent, longest.duration_s) == (SONNET, "writer", 90.0)
        assert [(one.name, one.duration_s) for one in told.tool_calls] == [("search", 25.0), ("search", 3.0)]
        assert told.model_calls[0].trace_id == scene.trace_id(EXECUTIONS[5])
        assert [one.duration_s for one in told.executions] == [120.0]
        assert told.p95_s is not None

    def test_slow_requests_of_one_agent_and_range(self, query: Query, scene: Scene) -> None:
        told = query.slow_requests("critic", scene.time(2 * DAY), scene.now)
        assert [(one.name, one.agent) for one in told.tool_calls] == [("search", "critic")]
        assert told.tool_calls[0].start == scene.time(2 * DAY + HOUR) - dt.timedelta(seconds=10, microseconds=-2000)


class TestFlowRuns:
    @pytest.mark.parametrize(("since", "until"), RANGES)
    @pytest.mark.parametrize("flow", [None, "triage", "nobody"])
    def test_runs_are_those_that_ended_in_the_range_newest_first(
        self, query: Query, scene: Scene, since: int, until: int, flow: str | None
    ) -> None:
        told = query.get_flow_runs(flow, scene.time(since), scene.time(until))
        assert [(one.trace_id, one.span_id, one.flow, one.end, one.outcome) for one in told] == [
            (scene.trace_id(run), scene.span_id(run), run.flow, scene.time(run.at), run.outcome)
            for run in reversed(RUNS)
            if flow in (None, run.flow) and since < run.at <= until
        ]
        for one in told:
            assert (one.duration_s, one.end - one.start) == (120, dt.timedelta(minutes=2))

    def test_by_outcome_and_no_more_than_asked_for(self, query: Query, scene: Scene) -> None:
        assert [one.trace_id for one in query.get_flow_runs(limit=1)] == [scene.trace_id(RUNS[1])]
        assert [one.trace_id for one in query.get_flow_runs(status="ok", limit=1)] == [scene.trace_id(RUNS[0])]
        assert query.get_flow_runs(status="unfinished") == []
        with pytest.raises(ConfigError, match="status: ok, error or unfinished"):
            query.get_flow_runs(status="completed")
        with pytest.raises(ConfigError, match="limit: 1 or more"):
            query.get_flow_runs(limit=0)

    @pytest.mark.parametrize("page", [1, 2, 100])
    def test_all_come_page_by_page(self, query: Query, scene: Scene, page: int) -> None:
        told = [one for some in flow_run_pages(query, None, scene.start, scene.now, page) for one in some]
        assert [one.trace_id for one in told] == [scene.trace_id(run) for run in RUNS]


class TestActivity:
    def test_the_newest_lines_come_first(self, query: Query, scene: Scene) -> None:
        told = query.recent_activity(3)
        assert [(one.service, one.agent, one.body) for one in told] == [
            ("kagura", "critic", "critic failed after 10000 ms"),
            ("kagura", "critic", "critic completed in 10000 ms"),
            ("illumo", "triage", "triage failed after 120000 ms"),
        ]
        assert told[0].severity == "ERROR"
        assert told[0].time == scene.time(EXECUTIONS[-1].at)
        assert told[0].trace_id == scene.trace_id(EXECUTIONS[-1])

    @pytest.mark.parametrize(("name", "lines"), [("writer", 5), ("triage", 2), ("nobody", 0)])
    def test_of_one_agent_or_flow(self, query: Query, name: str, lines: int) -> None:
        told = query.recent_activity(100, name)
        assert [one.agent for one in told] == [name] * lines


def ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def ends(told: list[Execution], scene: Scene) -> list[int]:
    return [round((one.end - scene.start) / dt.timedelta(microseconds=1)) * 1000 for one in told]


def numbers(one: Execution) -> tuple[object, ...]:
    return (
        one.trace_id,
        one.span_id,
        one.agent,
        one.start,
        one.end,
        one.duration_s,
        one.outcome,
        one.error_type,
        one.input_tokens,
        one.output_tokens,
        one.cost_usd,
        one.model_calls,
        one.tool_calls,
        dict(one.tags),
    )


def expected(ran: Ran, scene: Scene) -> tuple[object, ...]:
    return (
        scene.trace_id(ran),
        scene.span_id(ran),
        ran.agent,
        scene.time(ran.at) - dt.timedelta(seconds=ran.seconds),
        scene.time(ran.at),
        None if ran.outcome == "unfinished" else ran.seconds,
        ran.outcome,
        {"ok": None, "error": "_OTHER", "unfinished": "timeout"}[ran.outcome],
        sum(call.input_tokens for call in ran.calls),
        sum(call.output_tokens for call in ran.calls),
        None if ran.cost is None else ran.cost / NANO,
        len(ran.calls),
        len(ran.tools),
        ran.tags,
    )
