"""`Query`: what agents and workers did, used and cost, asked of whatever keeps it. One contract, two implementations.

**Time.** `since` and `until` are aware datetimes (a naive one is a `ConfigError`); a range is half open, `(since,
until]`, so that ranges side by side count everything once. `since=None`: all that is kept; `until=None`: now. An
execution or a run belongs to the moment it ended, and everything it used belongs to that moment too: its model calls,
tokens, costs, tools and memory operations. A UTC day is the range from its midnight to the next one's.

**Names.** `agent_name=None` is all agents together. An agent nobody knows is no error: it has done nothing.

**Exactness.** Counts, token sums and costs are exact in both. What the implementation over the stack stands on:

- Prometheus counts with `increase(x[range] anchored)`, which takes the counter at both ends as it was; the series begin
  with an explicit zero and are cumulative at the time of the event, so the difference is the count (design, section 1).
  Its points are of milliseconds, and a histogram's (tokens, calls of models and tools, durations) join the events of
  one second (decision 0001): an end of a range that cuts through such a second moves what happened in it to one side.
- Durations there are buckets: percentiles and the longest are estimates within a bucket (`percentiles_estimated`), and
  what lies above a histogram's highest bound is told as that bound. Averages and sums are exact. Of an execution that
  was given up no duration is known: it is in none of these.
- Tempo finds traces by TraceQL, but may hold a span twice that was sent again, and answers with at most so many traces
  in no promised order: nothing is counted from it. Lists of executions, slow requests and traces come from it, every
  span id once. A search finds a trace some seconds after it was sent; by its id it is there at once.
- Loki has the log lines, and with each its structured metadata: ids and names. Lists of tasks and of runs of flows come
  from it, and since when a worker is as it is: there they are found at once, with a Tempo or without.

**Errors.** A wrong argument is a `ConfigError` whose sentence says what would be right; what cannot be read just now is
a `QueryError`. Content is in neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, get_args

from egoscope.errors import ConfigError
from egoscope.query.answers import OUTCOMES
from egoscope.query.task_answers import TASK_OUTCOMES

if TYPE_CHECKING:
    import datetime as dt
    from types import TracebackType

    from egoscope.query.answers import (
        Activity,
        AgentOverview,
        Execution,
        FlowRun,
        FlowUse,
        ModelUse,
        Running,
        SlowRequests,
        ToolUse,
        Trace,
    )
    from egoscope.query.cost import CostSummary, Projection
    from egoscope.query.task_answers import QueueDepth, Task, TaskOverview, Worker

MetricType = Literal[
    "executions",
    "duration",
    "model_calls",
    "model_duration",
    "tool_calls",
    "tool_duration",
    "tokens",
    "input_tokens",
    "output_tokens",
    "cost",
]
Aggregation = Literal["count", "success_rate", "sum", "avg", "max", "p50", "p95", "p99"]

_DISTRIBUTION: Final = ("count", "sum", "avg", "max", "p50", "p95", "p99")
AGGREGATIONS: Final[dict[str, tuple[str, ...]]] = {
    "executions": ("count", "success_rate"),
    "duration": _DISTRIBUTION,
    "model_calls": ("count", "avg"),
    "model_duration": _DISTRIBUTION,
    "tool_calls": ("count", "avg"),
    "tool_duration": _DISTRIBUTION,
    "tokens": ("sum", "avg"),
    "input_tokens": _DISTRIBUTION,
    "output_tokens": _DISTRIBUTION,
    "cost": ("sum", "avg"),
}
"""What `get_metrics` can tell of each metric type."""

DEFAULT_LIMIT: Final = 100
MOST_POINTS: Final = 1000


class Query(Protocol):
    """Reads; changes nothing. Usable as a context manager, which closes it. One thread at a time."""

    @property
    def percentiles_estimated(self) -> bool:
        """Whether percentiles and `max` are estimates within a histogram's bucket, and not of the values themselves."""
        ...

    def get_executions(
        self,
        agent_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        tag: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Execution]:
        """Return executions that ended in the range, newest end first, at most `limit`.

        `status` is ok, error or unfinished; what still runs has no trace yet, so `running` tells of it and
        `status="running"` is a `ConfigError`. `tag` is `key` (has it) or `key=value` (as text; `true` and `false` for
        booleans) and matches what `egoscope.instrument.add_tag` set on the execution.
        """
        ...

    def get_metrics(
        self,
        agent_name: str | None,
        metric_type: str,
        aggregation: str,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> float | None:
        """Return one number; None where there is nothing to take it from (`count` and `sum` of nothing are 0).

        `AGGREGATIONS` has the possible pairs; another is a `ConfigError` that lists them. Units: seconds, tokens, US
        dollars. `success_rate` is the share of the executions that ended which ended ok, 0 to 1.

        - `executions`: those that ended. `duration`: theirs, each one a value.
        - `model_calls`, `tool_calls`: `avg` is calls an execution.
        - `model_duration`, `tool_duration`: each call a value.
        - `input_tokens`, `output_tokens`: each model call a value. `tokens`: both together, `avg` a model call.
        - `cost`: of the calls whose price is known; `avg` an execution.
        """
        ...

    def get_cost_summary(
        self,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        *,
        date: dt.date | None = None,
    ) -> CostSummary:
        """Return what model calls cost by UTC day, agent and model: of the range, or of one UTC day `date`.

        Both a range and a `date` is a `ConfigError`. Of a day that the range cuts, only what is in the range counts.
        """
        ...

    def project_month(self, now: dt.datetime | None = None) -> Projection:
        """Return what the UTC month of `now` will cost: its cost so far, plus the days that remain as recent days were.

        Stands on the last 28 complete UTC days since the first model call, and needs 7 of them; `Projection.method`
        says what was done, in a sentence to show.
        """
        ...

    def slow_requests(
        self,
        agent_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int = 10,
    ) -> SlowRequests:
        """Return the model calls and tools that took longest, and the executions above p95; of each at most `limit`."""
        ...

    def tools_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ToolUse]:
        """Return the tools that agents' executions called, most called first."""
        ...

    def models_used(
        self, agent_name: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[ModelUse]:
        """Return the models that agents' executions called, most called first."""
        ...

    def agents(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[AgentOverview]:
        """Return every agent that had an execution in the range or runs now, by name."""
        ...

    def running(self, agent_name: str | None = None) -> list[Running]:
        """Return the agents that run now, by name; those of which nothing runs are left out."""
        ...

    def get_trace(self, trace_id: str) -> Trace | None:
        """Return a trace by its id (32 hex digits, else a `ConfigError`); None where there is none."""
        ...

    def flows(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[FlowUse]:
        """Return every flow that ran in the range, by name. A node's runs count at the moment they ended themselves."""
        ...

    def get_flow_runs(
        self,
        flow_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[FlowRun]:
        """Return runs of flows that ended in the range, newest end first, at most `limit`; `flows` counts them.

        `status` is as in `get_executions`. What still runs is in no list.
        """
        ...

    def recent_activity(
        self,
        limit: int = 20,
        agent_name: str | None = None,
        *,
        service: str | None = None,
        since: dt.datetime | None = None,
    ) -> list[Activity]:
        """Return the newest log lines of agents, flows, tasks and ego-mcp, newest first, at most `limit`.

        With `agent_name` those of one agent, flow or worker, with `service` those of one service, with `since` those
        that are later. The sidecar's own are left out.
        """
        ...

    def get_task_overview(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> TaskOverview:
        """Return how many tasks were created, started and ended in the range, and what is open and who works now.

        A task was created, started and ended at the moments that its database tells; all of a range's are counted,
        whatever became of them later.
        """
        ...

    def get_queue_history(
        self, since: dt.datetime, until: dt.datetime | None = None, points: int = 60
    ) -> list[QueueDepth]:
        """Return how many tasks waited at so many moments of the range, oldest first; the last is its end."""
        ...

    def get_workers(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[Worker]:
        """Return the workers that are there now, and those that ended tasks in the range, by name and instance."""
        ...

    def get_tasks(
        self,
        worker: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        outcome: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Task]:
        """Return tasks that ended in the range, newest end first, at most `limit`.

        `outcome` is ok, error or cancelled. What is open is in no list: `get_task_overview` counts it, and
        `get_workers` says who has what. Of one that ended again, in another way or after it was open again, the
        embedded store knows its first end, as its trace tells it, and the stack the last one that is asked for.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; nothing when repeated."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        ...


def check_pair(metric_type: str, aggregation: str) -> None:
    """Raise a `ConfigError` that lists what is possible unless `get_metrics` knows the pair."""
    possible = AGGREGATIONS.get(metric_type)
    if possible is None:
        raise ConfigError(f"metric_type: one of {', '.join(AGGREGATIONS)}")
    if aggregation not in possible:
        raise ConfigError(f"aggregation: of {metric_type} there is {', '.join(possible)}")


def check_status(status: str | None) -> None:
    """Raise a `ConfigError` unless `get_executions` and `get_flow_runs` know the status."""
    if status == "running":
        raise ConfigError("status: what runs has no trace yet; ask running()")
    if status is not None and status not in OUTCOMES:
        raise ConfigError("status: ok, error or unfinished")


def check_outcome(outcome: str | None) -> None:
    """Raise a `ConfigError` unless `get_tasks` knows the outcome."""
    if outcome is not None and outcome not in TASK_OUTCOMES:
        raise ConfigError("outcome: ok, error or cancelled")


def check_points(points: int) -> None:
    """Raise a `ConfigError` for a number of moments that nobody answers."""
    if not 1 <= points <= MOST_POINTS:
        raise ConfigError(f"points: 1 to {MOST_POINTS}")


def check_limit(limit: int) -> None:
    """Raise a `ConfigError` for a limit that is none."""
    if limit < 1:
        raise ConfigError("limit: 1 or more")


assert set(AGGREGATIONS) == set(get_args(MetricType))  # noqa: S101
