"""`Query` over the embedded store. Everything is exact, percentiles too: each value is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from egoscope.convert import catalogue
from egoscope.convert import semconv as s
from egoscope.query import embedded_sql as sql
from egoscope.query.answers import Activity, AgentOverview, FlowUse, NodeUse, Running
from egoscope.query.base import DEFAULT_LIMIT, check_limit, check_pair, check_status
from egoscope.query.cost import CostRow, CostsByDay, CostSummary
from egoscope.query.embedded_flows import EmbeddedFlowRuns
from egoscope.query.embedded_rows import (
    Groups,
    execution_row,
    metric_of,
    model_uses,
    slow_rows,
    span_row,
    tool_uses,
)
from egoscope.query.embedded_tasks import EmbeddedTasks
from egoscope.query.times import Range, from_ns, from_s
from egoscope.query.traces import build_trace, check_trace_id, has_tag
from egoscope.store.kinds import NANO

if TYPE_CHECKING:
    import datetime as dt

    from egoscope.query.answers import Execution, ModelUse, SlowRequests, ToolUse, Trace

COUNTED: Final = {"executions": "agent", "model_calls": "model", "tool_calls": "tool"}
DAY_NS: Final = 86_400 * NANO


class EmbeddedQuery(EmbeddedTasks, EmbeddedFlowRuns, CostsByDay):
    """See `Query`."""

    percentiles_estimated = False

    def get_executions(
        self,
        agent_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        tag: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Execution]:
        """See `Query.get_executions`."""
        check_status(status)
        check_limit(limit)
        found: list[Execution] = []
        with self._reading():
            rows = self._ask(sql.EXECUTIONS, "agent", self._range(since, until), agent_name, outcome=status)
            for row in rows:
                if tag is None or has_tag(orjson.loads(row[-1]), tag):
                    found.append(execution_row(row, self._db.execute(sql.USED, (row[1], row[0])).fetchall()))
                if len(found) == limit:
                    break
        return found

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
        within = self._range(since, until)
        with self._reading():
            if aggregation == "count" and metric_type in COUNTED:
                return float(self._ask(sql.COUNT, COUNTED[metric_type], within, agent_name).fetchone()[0])
            return metric_of(
                metric_type, aggregation, lambda kind: self._ask(sql.SUBJECTS, kind, within, agent_name).fetchall()
            )

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
        with self._reading():
            p95_s = metric_of(
                "duration", "p95", lambda kind: self._ask(sql.SUBJECTS, kind, within, agent_name).fetchall()
            )
            models, tools, executions = (
                self._ask(sql.LONGEST, kind, within, agent_name, limit=limit).fetchall()
                for kind in ("model", "tool", "agent")
            )
        return slow_rows(models, tools, executions, p95_s)

    def tools_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ToolUse]:
        """See `Query.tools_used`."""
        with self._reading():
            return tool_uses(self._ask(sql.SUBJECTS, "tool", self._range(since, until), agent_name).fetchall())

    def models_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ModelUse]:
        """See `Query.models_used`."""
        within = self._range(since, until)
        with self._reading():
            rows = self._ask(sql.SUBJECTS, "model", within, agent_name).fetchall()
            return model_uses(rows, dict(self._ask(sql.PROVIDERS, "model", within, agent_name).fetchall()))

    def agents(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[AgentOverview]:
        """See `Query.agents`."""
        within = self._range(since, until)
        with self._reading():
            running = {
                one.agent: one.count for one in self._running(catalogue.RUNNING, catalogue.RUNNING_OLDEST, s.AGENT)
            }
            ended = Groups.by_agent(self._ask(sql.SUBJECTS, "agent", within, None))
            called = {row[0]: row[1:] for row in self._ask(sql.TOTALS, "model", within, None)}
            did = {row[0]: row[1] for row in self._ask(sql.TOTALS, "tool", within, None)}
        overviews: list[AgentOverview] = []
        for agent in sorted({*ended.names, *running}):
            of = ended[agent]
            model_calls, input_tokens, output_tokens, cost_nano, unpriced = called.get(agent, (0, 0, 0, 0, 0))
            overviews.append(
                AgentOverview(
                    agent=agent,
                    running=running.get(agent, 0),
                    executions=of.count,
                    errors=of.errors,
                    unfinished=of.unfinished,
                    avg_s=of.avg_s,
                    p95_s=of.percentile_s(0.95),
                    model_calls=model_calls,
                    tool_calls=did.get(agent, 0),
                    input_tokens=input_tokens,
                    output_tokens=output_tokens,
                    cost_usd=cost_nano / NANO,
                    calls_of_unknown_price=unpriced,
                    last_end=from_ns(of.last_ns) if of.count else None,
                )
            )
        return overviews

    def running(self, agent_name: str | None = None) -> list[Running]:
        """See `Query.running`."""
        with self._reading():
            found = self._running(catalogue.RUNNING, catalogue.RUNNING_OLDEST, s.AGENT)
        return [one for one in found if agent_name is None or one.agent == agent_name]

    def get_trace(self, trace_id: str) -> Trace | None:
        """See `Query.get_trace`."""
        check_trace_id(trace_id)
        with self._reading():
            rows = self._db.execute(sql.TRACE, (trace_id.lower(),)).fetchall()
        return build_trace(trace_id.lower(), map(span_row, rows))

    def flows(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[FlowUse]:
        """See `Query.flows`."""
        within = self._range(since, until)
        with self._reading():
            going = self._running(catalogue.FLOW_RUNNING, catalogue.FLOW_RUNNING_OLDEST, s.FLOW)
            runs = Groups.by_agent(self._ask(sql.SUBJECTS, "flow", within, None))
            rows = self._ask(sql.SUBJECTS, "node", within, None).fetchall()
        running = {one.agent: one.count for one in going}
        of_nodes = {flow: Groups.by_subject(row for row in rows if row[0] == flow) for flow in {row[0] for row in rows}}
        return [
            FlowUse(
                flow=flow,
                running=running.get(flow, 0),
                runs=runs[flow].count,
                errors=runs[flow].errors,
                unfinished=runs[flow].unfinished,
                avg_s=runs[flow].avg_s,
                p95_s=runs[flow].percentile_s(0.95),
                nodes=_nodes(of_nodes.get(flow, Groups())),
            )
            for flow in sorted({*runs.names, *running, *of_nodes})
        ]

    def recent_activity(
        self,
        limit: int = 20,
        agent_name: str | None = None,
        *,
        service: str | None = None,
        since: dt.datetime | None = None,
    ) -> list[Activity]:
        """See `Query.recent_activity`."""
        check_limit(limit)
        values = {
            "own": s.SCOPE_NAME,
            "service": service,
            "agent": agent_name,
            "since": self._range(since, None).since_ns,
            "limit": limit,
        }
        of_one_agent = sql.ACTIVITY if agent_name is None else sql.ACTIVITY_OF_AGENT
        statement = of_one_agent if service is None else sql.ACTIVITY_OF_SERVICE
        with self._reading():
            rows = self._db.execute(statement, values).fetchall()
        return [
            Activity(
                time=from_ns(time_ns), severity=severity, service=service, body=body, agent=agent, trace_id=trace_id
            )
            for time_ns, severity, service, body, agent, trace_id in rows
        ]

    def _costs(self, within: Range) -> CostSummary:
        with self._reading():
            rows = self._ask(sql.COSTS, "model", within, None).fetchall()
        return CostSummary(
            tuple(
                CostRow(
                    day=from_ns(day * DAY_NS).date(),
                    agent=agent,
                    model=model,
                    calls=calls,
                    input_tokens=input_tokens,
                    output_tokens=output_tokens,
                    cost_usd=cost_nano / NANO,
                    calls_of_unknown_price=unpriced,
                )
                for day, agent, model, calls, input_tokens, output_tokens, cost_nano, unpriced in rows
            )
        )

    def _running(self, count: catalogue.Metric, oldest: catalogue.Metric, label: str) -> list[Running]:
        """Add up the gauges of all instances, each as it was last told."""
        starts: dict[str, float] = {}
        for one in self._gauge(oldest):
            if one.value:
                name = str(one.labels.get(label, ""))
                starts[name] = min(one.value, starts.get(name, one.value))
        counts: dict[str, tuple[int, int]] = {}
        for one in self._gauge(count):
            name = str(one.labels.get(label, ""))
            total, newest_ns = counts.get(name, (0, 0))
            counts[name] = total + int(one.value), max(newest_ns, one.time_ns)
        return [
            Running(
                agent=name,
                count=total,
                oldest_start=from_s(starts[name]) if name in starts else None,
                as_of=from_ns(newest_ns),
            )
            for name, (total, newest_ns) in sorted(counts.items())
            if total
        ]


def _nodes(groups: Groups) -> tuple[NodeUse, ...]:
    def use(node: str) -> NodeUse:
        of = groups[node]
        return NodeUse(
            node=node,
            runs=of.count,
            errors=of.errors,
            unfinished=of.unfinished,
            avg_s=of.avg_s,
            p95_s=of.percentile_s(0.95),
        )

    return tuple(map(use, sorted(groups.names)))
