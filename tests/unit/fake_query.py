"""A `Query` that answers what a test wants, for pictures and keys; and believable answers to begin with."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from egoscope.query import (
    Activity,
    AgentOverview,
    CostRow,
    CostSummary,
    Execution,
    FlowRun,
    FlowUse,
    KindSummary,
    ModelUse,
    NodeUse,
    OpenTasks,
    Projection,
    QueueDepth,
    Running,
    SlowRequest,
    SlowRequests,
    SpanEvent,
    Task,
    TaskOverview,
    ToolUse,
    Trace,
    TraceSpan,
    Worker,
)
from egoscope.query.traces import check_trace_id

if TYPE_CHECKING:
    from types import TracebackType

    from egoscope.query.answers import SpanKind

NOW: Final = dt.datetime(2026, 11, 21, 14, 3, 20, tzinfo=dt.UTC)
TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SECOND: Final = dt.timedelta(seconds=1)


def agent(name: str = "support_agent", **changes: object) -> AgentOverview:
    """Return an agent with believable figures."""
    figures: dict[str, object] = {
        "running": 2,
        "executions": 120,
        "errors": 5,
        "unfinished": 1,
        "avg_s": 4.2,
        "p95_s": 12.3,
        "model_calls": 310,
        "tool_calls": 140,
        "input_tokens": 400_000,
        "output_tokens": 62_000,
        "cost_usd": 0.1234,
        "calls_of_unknown_price": 0,
        "last_end": NOW - 12 * SECOND,
    }
    return AgentOverview(agent=name, **(figures | changes))  # pyright: ignore[reportArgumentType]


def flow(name: str = "chat_bot", runs: int = 40) -> FlowUse:
    """Return a flow with two nodes."""
    nodes = (
        NodeUse(node="greet", runs=40, errors=3, unfinished=0, avg_s=0.5, p95_s=0.9),
        NodeUse(node="answer", runs=36, errors=0, unfinished=1, avg_s=4.5, p95_s=9.1),
    )
    return FlowUse(flow=name, running=1, runs=runs, errors=3, unfinished=1, avg_s=5.1, p95_s=9.9, nodes=nodes)


def model(name: str, share: float, cost_usd: float = 0.05, unknown: int = 0, avg_s: float = 1.0) -> ModelUse:
    """Return a model of a hundred calls."""
    return ModelUse(
        model=name,
        provider=None,
        calls=100,
        share=share,
        input_tokens=139_100,
        output_tokens=20_250,
        cost_usd=cost_usd,
        calls_of_unknown_price=unknown,
        avg_s=avg_s,
        p50_s=avg_s,
        p95_s=2 * avg_s,
    )


def tool(name: str, share: float, avg_s: float = 0.5) -> ToolUse:
    """Return a tool of a hundred calls."""
    return ToolUse(tool=name, calls=100, share=share, errors=4, avg_s=avg_s, p50_s=avg_s, p95_s=2 * avg_s)


def slow(kind: SpanKind, name: str, seconds: float, cost_usd: float | None = 0.01) -> SlowRequest:
    """Return a slow request."""
    return SlowRequest(
        kind=kind,
        name=name,
        agent="support_agent",
        trace_id=TRACE_ID,
        span_id=f"{abs(hash((kind, name, seconds))) % 16**16:016x}",
        start=NOW - 600 * SECOND,
        duration_s=seconds,
        outcome="ok",
        input_tokens=None if kind == "tool" else 1200,
        output_tokens=None if kind == "tool" else 300,
        cost_usd=None if kind == "tool" else cost_usd,
    )


def execution(number: int = 0, cost_usd: float | None = 0.0123) -> Execution:
    """Return an execution that ended a while ago."""
    return Execution(
        trace_id=TRACE_ID if not number else f"{number:032x}",
        span_id=f"{number:016x}",
        agent="support_agent",
        start=NOW - (number + 20) * SECOND,
        end=NOW - (number + 16) * SECOND,
        duration_s=4.0,
        outcome="error" if number % 5 == 4 else "ok",
        error_type="TimeoutError" if number % 5 == 4 else None,
        input_tokens=3000,
        output_tokens=400,
        cost_usd=cost_usd,
        model_calls=3,
        tool_calls=1,
    )


def line(number: int = 0, agent_name: str | None = "support_agent", trace_id: str | None = TRACE_ID) -> Activity:
    """Return a log line."""
    return Activity(
        time=NOW - number * SECOND,
        severity="ERROR" if number % 7 == 6 else "INFO",
        service="kagura",
        body=f"support_agent completed in {24 + number} ms",
        agent=agent_name,
        trace_id=trace_id,
    )


def span(number: int, kind: SpanKind, name: str, parent: int | None = 0, **changes: object) -> TraceSpan:
    """Return a span that began `number` seconds after the trace and took one."""
    offset = float(changes.pop("offset_s", number))  # pyright: ignore[reportArgumentType]
    seconds = float(changes.pop("duration_s", 1.0))  # pyright: ignore[reportArgumentType]
    start = NOW - 60 * SECOND + offset * SECOND
    figures: dict[str, object] = {
        "outcome": "ok",
        "error_type": None,
        "input_tokens": 1200 if kind == "model" else None,
        "output_tokens": 300 if kind == "model" else None,
        "cost_usd": 0.0042 if kind == "model" else None,
        "service": "kagura",
    }
    return TraceSpan(
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        kind=kind,
        name=name,
        start=start,
        end=start + seconds * SECOND,
        offset_s=offset,
        duration_s=seconds,
        **(figures | changes),  # pyright: ignore[reportArgumentType]
    )


def trace(*spans: TraceSpan) -> Trace:
    """Return a trace of these spans; without any, of a believable execution."""
    root = span(0, "agent", "invoke_agent support_agent", None, duration_s=6.0, input_tokens=2400, output_tokens=600)
    told = spans or (
        root,
        span(1, "memory", "memory lookup", duration_s=0.07),
        span(2, "model", "chat gpt-4o", attributes=MappingProxyType({"gen_ai.request.model": "gpt-4o"})),
        span(3, "tool", "execute_tool search_tool", outcome="error", error_type="TimeoutError"),
        span(
            4,
            "model",
            "chat house-model",
            cost_usd=None,
            events=(SpanEvent(time=NOW - 56 * SECOND, name="agent_response", attributes={"agent.flow.tokens": 12}),),
        ),
    )
    kinds: dict[SpanKind, list[TraceSpan]] = {}
    for one in told:
        kinds.setdefault(one.kind, []).append(one)
    summary = tuple(
        KindSummary(
            kind=kind,
            spans=len(found),
            errors=sum(one.outcome == "error" for one in found),
            duration_s=sum(one.duration_s for one in found),
            input_tokens=sum(one.input_tokens or 0 for one in found),
            output_tokens=sum(one.output_tokens or 0 for one in found),
            cost_usd=sum(one.cost_usd or 0 for one in found),
        )
        for kind, found in kinds.items()
    )
    return Trace(trace_id=TRACE_ID, spans=told, summary=summary)


def costs(days: int = 20, usd: float = 1.25) -> CostSummary:
    """Return costs of so many days up to now: of two agents, the second one's price is not known."""
    rows: list[CostRow] = []
    for number in range(days):
        day = NOW.date() - dt.timedelta(days=days - 1 - number)
        for name, used, unknown in (("support_agent", "gpt-4o", 0), ("notes_agent", "house-model", 7)):
            rows.append(
                CostRow(
                    day=day,
                    agent=name,
                    model=used,
                    calls=100 if not unknown else 7,
                    input_tokens=139_100,
                    output_tokens=20_250,
                    cost_usd=0.0 if unknown else usd * (1 + number / 10),
                    calls_of_unknown_price=unknown,
                )
            )
    return CostSummary(tuple(rows))


def task_overview(**changes: object) -> TaskOverview:
    """Return believable figures of tasks and workers."""
    figures: dict[str, object] = {
        "created": 130,
        "started": 121,
        "returned": 2,
        "completed": 110,
        "failed": 8,
        "cancelled": 3,
        "avg_s": 21.0,
        "p50_s": 17.5,
        "p95_s": 64.2,
        "wait_avg_s": 8.0,
        "wait_p50_s": 4.0,
        "wait_p95_s": 33.0,
        "open": (
            OpenTasks(state="in_progress", priority="5", count=2),
            OpenTasks(state="pending", priority="1", count=3),
            OpenTasks(state="pending", priority="5", count=9),
        ),
        "oldest_waiting": NOW - 250 * SECOND,
        "workers": MappingProxyType({"busy": 2, "idle": 1, "lost": 1}),
        "workers_expected": None,
        "as_of": NOW - SECOND,
    }
    return TaskOverview(**(figures | changes))  # pyright: ignore[reportArgumentType]


NOTHING_OF_TASKS: Final = TaskOverview(
    created=0,
    started=0,
    returned=0,
    completed=0,
    failed=0,
    cancelled=0,
    avg_s=None,
    p50_s=None,
    p95_s=None,
    wait_avg_s=None,
    wait_p50_s=None,
    wait_p95_s=None,
    open=(),
    oldest_waiting=None,
    as_of=None,
)


def worker(name: str = "worker_1", **changes: object) -> Worker:
    """Return a worker that is busy."""
    figures: dict[str, object] = {
        "instance": "0123456789abcdef0123456789abcdef",
        "state": "busy",
        "since": NOW - 42 * SECOND,
        "task_id": "task_00042",
        "last_heartbeat": NOW - 3 * SECOND,
        "completed": 50,
        "failed": 4,
        "cancelled": 1,
    }
    return Worker(name=name, **(figures | changes))  # pyright: ignore[reportArgumentType]


def task(number: int = 0, **changes: object) -> Task:
    """Return a task that ended a while ago."""
    figures: dict[str, object] = {
        "task_id": f"task_{number:05d}",
        "trace_id": TRACE_ID if not number else f"{number:032x}",
        "worker": "worker_1",
        "priority": 5,
        "outcome": ("ok", "error", "cancelled")[number % 3],
        "created": NOW - (number + 30) * SECOND,
        "ended": NOW - (number + 10) * SECOND,
        "duration_s": 20.0,
    }
    return Task(**(figures | changes))  # pyright: ignore[reportArgumentType]


def workers() -> list[Worker]:
    """Return one worker of each state."""
    return [
        worker(),
        worker("worker_2", state="idle", task_id=None, since=NOW - 600 * SECOND, failed=0),
        worker("gemini_worker_77", task_id="task_20250901_073337_489974"),
        worker("worker_3", state="lost", since=NOW - 3700 * SECOND, last_heartbeat=NOW - 3760 * SECOND),
    ]


def task_line(number: int = 0) -> Activity:
    """Return a log line about a task."""
    return Activity(
        time=NOW - (number + 10) * SECOND,
        severity="INFO",
        service="koubou",
        body=f"task_{number:05d} completed in 20000 ms",
        agent="worker_1",
        trace_id=TRACE_ID if not number else f"{number:032x}",
    )


PROJECTION: Final = Projection(
    as_of=NOW,
    month=dt.date(2026, 11, 1),
    so_far_usd=46.25,
    expected_usd=67.5,
    low_usd=61.0,
    high_usd=74.0,
    days_used=20,
    calls_of_unknown_price=140,
    method="The month so far, plus 9.4 days at 2.25 USD, the mean of the last 20 complete UTC days.",
)


@dataclass
class FakeQuery:
    """Answers what it was given; `asked` are the calls, by name."""

    all_agents: list[AgentOverview] = field(default_factory=lambda: [agent(), _notes(), agent("research_agent")])
    all_flows: list[FlowUse] = field(default_factory=lambda: [flow()])
    runs: list[Running] = field(
        default_factory=lambda: [
            Running(agent="support_agent", count=2, oldest_start=NOW - 75 * SECOND, as_of=NOW - 3 * SECOND)
        ]
    )
    executions: list[Execution] = field(default_factory=lambda: [execution(number) for number in range(12)])
    models: list[ModelUse] = field(default_factory=lambda: [model("gpt-4o", 0.6), model("house-model", 0.4, 0, 100)])
    tools: list[ToolUse] = field(default_factory=lambda: [tool("search_tool", 0.7), tool("file_read", 0.3, 0.02)])
    slow: SlowRequests = field(
        default_factory=lambda: SlowRequests(
            model_calls=(slow("model", "gpt-4o", 9.8), slow("model", "house-model", 5.5, None)),
            tool_calls=(slow("tool", "search_tool", 7.7),),
            executions=(slow("agent", "support_agent", 185.0),),
            p95_s=12.3,
        )
    )
    lines: list[Activity] = field(default_factory=lambda: [line(number) for number in range(30)])
    traces: dict[str, Trace] = field(default_factory=lambda: {TRACE_ID: trace()})
    costs: CostSummary = field(default_factory=costs)
    projection: Projection = PROJECTION
    metrics: dict[tuple[str, str], float] = field(
        default_factory=lambda: {
            ("duration", "avg"): 4.2,
            ("duration", "p95"): 12.3,
            ("duration", "sum"): 400.0,
            ("model_duration", "sum"): 260.0,
            ("tool_duration", "sum"): 100.0,
        }
    )
    task_overview: TaskOverview = NOTHING_OF_TASKS
    workers: list[Worker] = field(default_factory=list[Worker])
    tasks: list[Task] = field(default_factory=list[Task])
    queue: list[int | None] = field(default_factory=list[int | None])
    percentiles_estimated: bool = False
    since: dt.datetime | None = None
    """Everything ended before this moment; None: just now."""
    error: Exception | None = None
    asked: list[str] = field(default_factory=list[str])
    closed: bool = False

    def get_executions(
        self,
        agent_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        tag: str | None = None,
        limit: int = 100,
    ) -> list[Execution]:
        self._ask("get_executions")
        return self.executions[:limit]

    def get_metrics(
        self,
        agent_name: str | None,
        metric_type: str,
        aggregation: str,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> float | None:
        self._ask("get_metrics")
        return self.metrics.get((metric_type, aggregation))

    def get_cost_summary(
        self, since: dt.datetime | None = None, until: dt.datetime | None = None, *, date: dt.date | None = None
    ) -> CostSummary:
        self._ask("get_cost_summary")
        return CostSummary(tuple(row for row in self.costs.rows if since is None or row.day >= since.date()))

    def project_month(self, now: dt.datetime | None = None) -> Projection:
        self._ask("project_month")
        return self.projection

    def slow_requests(
        self,
        agent_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int = 10,
    ) -> SlowRequests:
        self._ask("slow_requests")
        return self.slow

    def tools_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ToolUse]:
        self._ask("tools_used")
        return self.tools

    def models_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ModelUse]:
        self._ask("models_used")
        return self.models

    def agents(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[AgentOverview]:
        self._ask("agents")
        return self.all_agents if self._is_within(since) else []

    def running(self, agent_name: str | None = None) -> list[Running]:
        self._ask("running")
        return [one for one in self.runs if agent_name in (None, one.agent)]

    def get_trace(self, trace_id: str) -> Trace | None:
        self._ask("get_trace")
        check_trace_id(trace_id)
        return self.traces.get(trace_id)

    def flows(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[FlowUse]:
        self._ask("flows")
        return self.all_flows if self._is_within(since) else []

    def get_flow_runs(
        self,
        flow_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        limit: int = 100,
    ) -> list[FlowRun]:
        self._ask("get_flow_runs")
        return []

    def recent_activity(
        self,
        limit: int = 20,
        agent_name: str | None = None,
        *,
        service: str | None = None,
        since: dt.datetime | None = None,
    ) -> list[Activity]:
        self._ask("recent_activity")
        found = [one for one in self.lines if agent_name in (None, one.agent) and service in (None, one.service)]
        return found[:limit]

    def get_task_overview(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> TaskOverview:
        self._ask("get_task_overview")
        return self.task_overview if self._is_within(since) else NOTHING_OF_TASKS

    def get_queue_history(
        self, since: dt.datetime, until: dt.datetime | None = None, points: int = 60
    ) -> list[QueueDepth]:
        self._ask("get_queue_history")
        waited = (self.queue or [None]) * points
        return [QueueDepth(time=NOW, waiting=depth) for depth in waited[-points:]]

    def get_workers(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[Worker]:
        self._ask("get_workers")
        return self.workers

    def get_tasks(
        self,
        worker: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        outcome: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        self._ask("get_tasks")
        tasks = [task for task in self.tasks if worker in (None, task.worker)]
        return tasks[:limit] if self._is_within(since) else []

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if self.error is not None:
            raise self.error

    def _is_within(self, since: dt.datetime | None) -> bool:
        return self.since is None or since is None or since < self.since


def koubou_query(**changes: object) -> FakeQuery:
    """Return a query that knows of tasks and workers alone."""
    query = empty_query()
    query.task_overview = task_overview()
    query.workers = workers()
    query.tasks = [task(number) for number in range(12)]
    query.queue = [0, 1, 4, 9, 31, 12]
    query.lines = [task_line(number) for number in range(20)]
    for name, value in changes.items():
        setattr(query, name, value)
    return query


def empty_query() -> FakeQuery:
    """Return a query that knows nothing."""
    unknown = Projection(
        as_of=NOW,
        month=dt.date(2026, 11, 1),
        so_far_usd=0.0,
        expected_usd=None,
        low_usd=None,
        high_usd=None,
        days_used=0,
        calls_of_unknown_price=0,
        method="Too little to project from.",
    )
    nothing = SlowRequests(model_calls=(), tool_calls=(), executions=(), p95_s=None)
    return FakeQuery(
        all_agents=[],
        all_flows=[],
        runs=[],
        executions=[],
        models=[],
        tools=[],
        slow=nothing,
        lines=[],
        traces={},
        costs=CostSummary(()),
        projection=unknown,
        metrics={},
    )


def _notes() -> AgentOverview:
    return agent(
        "notes_agent", running=0, executions=14, errors=0, unfinished=0, cost_usd=0.0, calls_of_unknown_price=41
    )
