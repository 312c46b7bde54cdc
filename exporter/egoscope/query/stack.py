"""`Query` over Prometheus, Tempo and Loki: counts and sums are Prometheus', single executions and traces Tempo's.

`egoscope.query.base` says on which facts about the three this stands.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Final

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.query.answers import AgentOverview, FlowUse, ModelUse, NodeUse, Running, SlowRequests, ToolUse
from egoscope.query.base import DEFAULT_LIMIT, check_limit, check_pair, check_status
from egoscope.query.cost import CostsByDay, CostSummary
from egoscope.query.prometheus import Distribution, cost_rows, label, matcher
from egoscope.query.stack_flows import StackFlowRuns
from egoscope.query.stack_metrics import metric_of
from egoscope.query.stack_tasks import StackTasks
from egoscope.query.tempo import equals, tag_condition
from egoscope.query.times import DAY, Range, from_ns, from_s
from egoscope.query.traces import check_trace_id, execution_of, has_tag, slow_request_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from egoscope.query.answers import Activity, Execution, SlowRequest, Trace

AGENT: Final = label(s.GEN_AI_AGENT_NAME)
MODEL: Final = label(s.GEN_AI_REQUEST_MODEL)
PROVIDER: Final = label(s.GEN_AI_PROVIDER_NAME)
TOOL: Final = label(s.GEN_AI_TOOL_NAME)
TOKEN_TYPE: Final = label(s.GEN_AI_TOKEN_TYPE)
ERROR_TYPE: Final = label(s.ERROR_TYPE)

_NONE: Final = Distribution()
# What ended so long ago gets no more spans: its trace can be kept.
_SETTLED: Final = DAY / 24
_OF_STATUS: Final = {
    "ok": "status != error",
    "error": f'(span.{s.AGENT_OUTCOME} = "error" || status = error)',
    "unfinished": equals(s.AGENT_OUTCOME, "unfinished"),
}


class StackQuery(StackTasks, StackFlowRuns, CostsByDay):
    """See `Query`. Percentiles are estimates within a bucket; lists of executions are what Tempo finds."""

    percentiles_estimated = True

    def get_executions(
        self,
        agent_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        tag: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Execution]:
        """See `Query.get_executions`. Looks at the 1000 that began last (ten times `limit`, if that is more)."""
        check_status(status)
        check_limit(limit)
        within = self._range(since, until)
        conditions = [equals(s.GEN_AI_OPERATION_NAME, s.OPERATION_INVOKE_AGENT)]
        if agent_name is not None:
            conditions.append(equals(s.GEN_AI_AGENT_NAME, agent_name))
        if status is not None:
            conditions.append(_OF_STATUS[status])
        if tag is not None:
            conditions.append(tag_condition(tag))
        found = self._tempo.search(conditions, within, 10 * limit)
        ended = [one for one in found if within.since_ns < one.end_ns <= within.until_ns]
        executions: list[Execution] = []
        while ended and len(executions) < limit:
            some, ended = ended[:limit], ended[limit:]
            traces = self._tempo.traces((one.trace_id for one in some), self._now() - _SETTLED)
            for one in some:
                trace = traces.get(one.trace_id)
                execution = execution_of(trace, one.span_id) if trace else None
                if execution is None or trace is None or (status is not None and execution.outcome != status):
                    continue
                root = next(span for span in trace.spans if span.span_id == one.span_id)
                if tag is None or has_tag(root.attributes, tag):
                    executions.append(execution)
        return executions[:limit]

    def get_metrics(
        self,
        agent_name: str | None,
        metric_type: str,
        aggregation: str,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> float | None:
        """See `Query.get_metrics`."""
        check_pair(metric_type, aggregation)
        return metric_of(self._prometheus, metric_type, aggregation, self._range(since, until), agent_name)

    def slow_requests(
        self,
        agent_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int = 10,
    ) -> SlowRequests:
        """See `Query.slow_requests`."""
        check_limit(limit)
        within = self._range(since, until)
        of = partial(self._longest, within, agent_name, limit)
        executions = self._prometheus.distributions(c.EXECUTION_DURATION, (), within, matcher(s.AGENT, agent_name))
        p95_s = executions.get((), _NONE).quantile(0.95)
        return SlowRequests(
            model_calls=of(s.OPERATION_CHAT, self._threshold(c.MODEL_DURATION, within, agent_name, limit)),
            tool_calls=of(s.OPERATION_EXECUTE_TOOL, self._threshold(c.TOOL_DURATION, within, agent_name, limit)),
            executions=() if p95_s is None else of(s.OPERATION_INVOKE_AGENT, p95_s),
            p95_s=p95_s,
        )

    def tools_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ToolUse]:
        """See `Query.tools_used`."""
        within, of_agent = self._range(since, until), matcher(s.GEN_AI_AGENT_NAME, agent_name)
        told = self._prometheus.distributions(c.TOOL_DURATION, (TOOL,), within, of_agent)
        failed = self._prometheus.counts(
            f"{c.TOOL_DURATION.prometheus}_count", (TOOL,), within, f'{of_agent}, {ERROR_TYPE}!=""'
        )
        calls = sum(of.count for of in told.values())
        return [
            ToolUse(
                tool=tool,
                calls=of.count,
                share=of.count / calls,
                errors=failed.get((tool,), 0),
                avg_s=of.avg,
                p50_s=of.quantile(0.50),
                p95_s=of.quantile(0.95),
            )
            for (tool,), of in sorted(told.items(), key=lambda kept: (-kept[1].count, kept[0]))
        ]

    def models_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ModelUse]:
        """See `Query.models_used`."""
        within, of_agent = self._range(since, until), matcher(s.GEN_AI_AGENT_NAME, agent_name)
        ask = self._prometheus
        told = ask.distributions(c.MODEL_DURATION, (MODEL,), within, of_agent)
        providers = ask.counts(f"{c.MODEL_DURATION.prometheus}_count", (MODEL, PROVIDER), within, of_agent)
        tokens = ask.counts(f"{c.TOKENS.prometheus}_sum", (MODEL, TOKEN_TYPE), within, of_agent)
        by_label = matcher(s.AGENT, agent_name)
        costs = ask.costs(c.COST, (s.MODEL,), within, by_label)
        unpriced = ask.counts(c.COST_UNKNOWN.prometheus, (s.MODEL,), within, by_label)
        calls = sum(of.count for of in told.values())
        return [
            ModelUse(
                model=model,
                provider=max(
                    (provider for of_model, provider in providers if of_model == model and provider), default=None
                ),
                calls=of.count,
                share=of.count / calls,
                input_tokens=tokens.get((model, s.INPUT), 0),
                output_tokens=tokens.get((model, s.OUTPUT), 0),
                cost_usd=costs.get((model,), 0.0),
                calls_of_unknown_price=unpriced.get((model,), 0),
                avg_s=of.avg,
                p50_s=of.quantile(0.50),
                p95_s=of.quantile(0.95),
            )
            for (model,), of in sorted(told.items(), key=lambda kept: (-kept[1].count, kept[0]))
        ]

    def agents(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[AgentOverview]:
        """See `Query.agents`."""
        within, ask = self._range(since, until), self._prometheus
        any_agent, any_label = matcher(s.GEN_AI_AGENT_NAME, None), matcher(s.AGENT, None)
        ended = ask.counts(c.EXECUTIONS.prometheus, (s.AGENT, s.LABEL_OUTCOME), within, any_label)
        durations = ask.distributions(c.EXECUTION_DURATION, (s.AGENT,), within, any_label)
        calls = ask.counts(f"{c.MODEL_DURATION.prometheus}_count", (AGENT,), within, any_agent)
        tools = ask.counts(f"{c.TOOL_DURATION.prometheus}_count", (AGENT,), within, any_agent)
        tokens = ask.counts(f"{c.TOKENS.prometheus}_sum", (AGENT, TOKEN_TYPE), within, any_agent)
        costs = ask.costs(c.COST, (s.AGENT,), within, any_label)
        unpriced = ask.counts(c.COST_UNKNOWN.prometheus, (s.AGENT,), within, any_label)
        running = {one.agent: one.count for one in self.running()}
        executions = Counter[str]()
        for (agent, _), count in ended.items():
            executions[agent] += count
        return [
            AgentOverview(
                agent=agent,
                running=running.get(agent, 0),
                executions=executions[agent],
                errors=ended.get((agent, "error"), 0),
                unfinished=ended.get((agent, "unfinished"), 0),
                avg_s=durations.get((agent,), _NONE).avg,
                p95_s=durations.get((agent,), _NONE).quantile(0.95),
                model_calls=calls.get((agent,), 0),
                tool_calls=tools.get((agent,), 0),
                input_tokens=tokens.get((agent, s.INPUT), 0),
                output_tokens=tokens.get((agent, s.OUTPUT), 0),
                cost_usd=costs.get((agent,), 0.0),
                calls_of_unknown_price=unpriced.get((agent,), 0),
                last_end=self._loki.last_end(agent, within) if executions[agent] else None,
            )
            for agent in sorted({*executions, *running})
        ]

    def running(self, agent_name: str | None = None) -> list[Running]:
        """See `Query.running`."""
        found = self._running(c.RUNNING, c.RUNNING_OLDEST, s.AGENT)
        return [one for one in found if agent_name is None or one.agent == agent_name]

    def get_trace(self, trace_id: str) -> Trace | None:
        """See `Query.get_trace`."""
        check_trace_id(trace_id)
        return self._tempo.trace(trace_id.lower())

    def flows(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[FlowUse]:
        """See `Query.flows`."""
        within, ask, any_flow = self._range(since, until), self._prometheus, matcher(s.FLOW, None)
        runs = ask.counts(c.FLOW_RUNS.prometheus, (s.FLOW, s.LABEL_OUTCOME), within, any_flow)
        durations = ask.distributions(c.FLOW_DURATION, (s.FLOW,), within, any_flow)
        node_runs = ask.counts(c.NODE_RUNS.prometheus, (s.FLOW, s.NODE, s.LABEL_OUTCOME), within, any_flow)
        node_durations = ask.distributions(c.NODE_DURATION, (s.FLOW, s.NODE), within, any_flow)
        running = {one.agent: one.count for one in self._running(c.FLOW_RUNNING, c.FLOW_RUNNING_OLDEST, s.FLOW)}
        nodes: defaultdict[str, list[NodeUse]] = defaultdict(list)
        for flow, node in sorted({key[:2] for key in node_runs}):
            of, took = _outcomes(node_runs, (flow, node)), node_durations.get((flow, node), _NONE)
            use = NodeUse(
                node=node,
                runs=of.total(),
                errors=of["error"],
                unfinished=of["unfinished"],
                avg_s=took.avg,
                p95_s=took.quantile(0.95),
            )
            nodes[flow].append(use)
        made: list[FlowUse] = []
        for flow in sorted({*(flow for flow, _ in runs), *running, *nodes}):
            of, took = _outcomes(runs, (flow,)), durations.get((flow,), _NONE)
            made.append(
                FlowUse(
                    flow=flow,
                    running=running.get(flow, 0),
                    runs=of.total(),
                    errors=of["error"],
                    unfinished=of["unfinished"],
                    avg_s=took.avg,
                    p95_s=took.quantile(0.95),
                    nodes=tuple(nodes[flow]),
                )
            )
        return made

    def recent_activity(
        self,
        limit: int = 20,
        agent_name: str | None = None,
        *,
        service: str | None = None,
        since: dt.datetime | None = None,
    ) -> list[Activity]:
        """See `Query.recent_activity`. No more than 5000 lines, of the last 400 days."""
        check_limit(limit)
        return self._loki.newest(limit, agent_name, self._range(since, None), service)

    def _costs(self, within: Range) -> CostSummary:
        ask, by = self._prometheus.daily, (AGENT, MODEL)
        any_agent, any_label = matcher(s.GEN_AI_AGENT_NAME, None), matcher(s.AGENT, None)
        calls = ask(f"{c.MODEL_DURATION.prometheus}_count", by, within, any_agent)
        tokens = ask(f"{c.TOKENS.prometheus}_sum", (*by, TOKEN_TYPE), within, any_agent)
        costs = ask(c.COST.prometheus, (s.AGENT, s.MODEL, "instance"), within, any_label)
        unpriced = ask(c.COST_UNKNOWN.prometheus, (s.AGENT, s.MODEL), within, any_label)
        return CostSummary(tuple(cost_rows(calls, tokens, costs, unpriced)))

    def _running(self, number: c.Metric, oldest: c.Metric, by: str) -> list[Running]:
        """Add up the gauges of all instances; Prometheus forgets one that was not told for five minutes."""
        at, gauge, name = self._now(), self._prometheus.gauge, number.prometheus
        counts = gauge(f"sum by ({by}) ({name})", (by,), at)
        told = gauge(f"max by ({by}) (timestamp({name}))", (by,), at)
        starts = gauge(f"min by ({by}) ({oldest.prometheus} > 0)", (by,), at)
        return [
            Running(
                agent=agent,
                count=round(count),
                oldest_start=from_s(starts[agent,]) if (agent,) in starts else None,
                as_of=from_ns(round(told[agent,] * 1e3) * 10**6) if (agent,) in told else at,
            )
            for (agent,), count in sorted(counts.items())
            if count
        ]

    def _threshold(self, metric: c.Metric, within: Range, agent: str | None, limit: int) -> float:
        """Return how long something must take to be among the longest; there are that many, says Prometheus."""
        told = self._prometheus.distributions(metric, (), within, matcher(s.GEN_AI_AGENT_NAME, agent))
        return told.get((), _NONE).at_least(limit)

    def _longest(
        self, within: Range, agent: str | None, limit: int, operation: str, longer_than_s: float
    ) -> tuple[SlowRequest, ...]:
        conditions = [equals(s.GEN_AI_OPERATION_NAME, operation), f"span:duration > {round(longer_than_s * 1e9)}ns"]
        # ego-mcp's tools have no agent.
        conditions.append(f"span.{s.GEN_AI_AGENT_NAME} != nil" if agent is None else equals(s.GEN_AI_AGENT_NAME, agent))
        found = sorted(self._tempo.search(conditions, within, limit), key=lambda one: -one.duration_ns)
        longest: list[SlowRequest] = []
        while found and len(longest) < limit:
            some, found = found[:limit], found[limit:]
            traces = self._tempo.traces((one.trace_id for one in some), self._now() - _SETTLED)
            for one in some:
                request = slow_request_of(traces[one.trace_id], one.span_id) if one.trace_id in traces else None
                if request is not None and within.since < request[1] <= within.until:
                    longest.append(request[0])
        return tuple(longest[:limit])


def _outcomes(counts: dict[tuple[str, ...], int], of: Sequence[str]) -> Counter[str]:
    """Return counts by outcome, the last part of their keys."""
    return Counter({key[-1]: count for key, count in counts.items() if key[:-1] == tuple(of)})
