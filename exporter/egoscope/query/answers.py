"""What the query API answers: frozen values. Their units hold for both implementations.

Times are aware datetimes in UTC, cut to microseconds. Durations are seconds, tokens are counts, costs US dollars
rounded to 9 decimals. `None` is "not known", never zero: a duration of which only one end was seen, a cost with a model
call whose price nobody knows, a share of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

Outcome = Literal["ok", "error", "unfinished"]
"""How it ended; `unfinished`: cancelled, or given up after 24 hours. Kagura's `completed` is ok, `failed` is error."""
OUTCOMES: Final = frozenset(get_args(Outcome))

SpanKind = Literal["agent", "model", "tool", "memory", "flow", "node", "task", "other"]

Value = str | bool | int | float | None | list["Value"] | dict[str, "Value"]

_NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of an agent that ended, with what it used."""

    trace_id: str
    """32 hex digits; what `get_trace` takes."""
    span_id: str
    """16 hex digits: a trace of instrumented code can hold several executions."""
    agent: str
    start: dt.datetime
    end: dt.datetime
    duration_s: float | None
    """None where it was given up: its end is only when that was."""
    outcome: Outcome
    error_type: str | None
    """The error's type, `_OTHER`, or `timeout` where it was given up; None where all went well."""
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """None where the price of one of its model calls is not known; 0 without model calls."""
    model_calls: int
    tool_calls: int
    tags: Mapping[str, Value] = field(default_factory=lambda: _NOTHING, hash=False)
    """What `add_tag` set, by its key."""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOverview:
    """One agent in a range of time. Executions and all they used count at the moment they ended."""

    agent: str
    running: int
    """Now, whatever the range."""
    executions: int
    errors: int
    unfinished: int
    avg_s: float | None
    p95_s: float | None
    model_calls: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """Of the calls whose price is known."""
    calls_of_unknown_price: int
    last_end: dt.datetime | None
    """When its newest execution in the range ended."""

    @property
    def success_rate(self) -> float | None:
        """Share of executions that ended well, 0 to 1; None without executions. Unfinished ones did not end well."""
        return success_rate(self.executions, self.errors + self.unfinished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The executions of one agent that run, as last told at `as_of`."""

    agent: str
    count: int
    oldest_start: dt.datetime | None
    """When the longest running of them began."""
    as_of: dt.datetime
    """Within the last five minutes: of what nobody told for longer it is not known whether it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRequest:
    """One model call, tool execution or execution of an agent that took long."""

    kind: SpanKind
    name: str
    """The model, the tool or the agent."""
    agent: str
    trace_id: str
    span_id: str
    start: dt.datetime
    duration_s: float
    outcome: Outcome
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRequests:
    """What took longest in a range of time; each list longest first."""

    model_calls: tuple[SlowRequest, ...]
    tool_calls: tuple[SlowRequest, ...]
    executions: tuple[SlowRequest, ...]
    """Those that took longer than `p95_s`."""
    p95_s: float | None
    """Of the executions in the range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """One tool in a range of time."""

    tool: str
    calls: int
    share: float
    """Of all tool calls in the answer, 0 to 1."""
    errors: int
    avg_s: float | None
    p50_s: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """One model in a range of time."""

    model: str
    provider: str | None
    calls: int
    share: float
    """Of all model calls in the answer, 0 to 1."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """Of the calls whose price is known."""
    calls_of_unknown_price: int
    avg_s: float | None
    p50_s: float | None
    p95_s: float | None

    @property
    def avg_input_tokens(self) -> float | None:
        """Prompt tokens of a call, on average."""
        return self.input_tokens / self.calls if self.calls else None

    @property
    def avg_output_tokens(self) -> float | None:
        """Completion tokens of a call, on average."""
        return self.output_tokens / self.calls if self.calls else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUse:
    """One node of a flow in a range of time."""

    node: str
    runs: int
    errors: int
    unfinished: int
    avg_s: float | None
    p95_s: float | None

    @property
    def success_rate(self) -> float | None:
        """As `AgentOverview.success_rate`."""
        return success_rate(self.runs, self.errors + self.unfinished)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowUse:
    """One flow in a range of time, with its nodes by name."""

    flow: str
    running: int
    """Now, whatever the range."""
    runs: int
    errors: int
    unfinished: int
    avg_s: float | None
    p95_s: float | None
    nodes: tuple[NodeUse, ...]

    @property
    def success_rate(self) -> float | None:
        """As `AgentOverview.success_rate`."""
        return success_rate(self.runs, self.errors + self.unfinished)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """One run of a flow that ended."""

    trace_id: str
    """32 hex digits; what `get_trace` takes."""
    span_id: str
    flow: str
    start: dt.datetime
    end: dt.datetime
    duration_s: float | None
    """None where it was given up: its end is only when that was."""
    outcome: Outcome
    error_type: str | None
    """As `Execution.error_type`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    """Something that happened within a span."""

    time: dt.datetime
    name: str
    attributes: Mapping[str, Value] = field(default_factory=lambda: _NOTHING, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpan:
    """One span of a trace."""

    span_id: str
    parent_id: str | None
    """None: the first. It can name a span that is not in the trace (yet): show such a span as a first one."""
    kind: SpanKind
    name: str
    """The span's own: `invoke_agent {agent}`, `chat {model}`, `execute_tool {tool}`, `memory {operation}`, a node."""
    start: dt.datetime
    end: dt.datetime
    offset_s: float
    """How long after the trace's first span it began; exact to nanoseconds, as `duration_s`."""
    duration_s: float
    outcome: Outcome
    error_type: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    service: str
    attributes: Mapping[str, Value] = field(default_factory=lambda: _NOTHING, hash=False)
    events: tuple[SpanEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSummary:
    """The spans of one kind in a trace."""

    kind: SpanKind
    spans: int
    errors: int
    duration_s: float
    """Added up: of spans that overlap more than passed on the clock."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """Of the spans whose cost is known. An agent's span has the cost of what it called: do not add the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One trace: its spans by start, a parent before its children where they began together."""

    trace_id: str
    spans: tuple[TraceSpan, ...]
    summary: tuple[KindSummary, ...]
    """By kind, in the order agent, model, tool, memory, flow, node, task, other; kinds that are not there left out."""

    @property
    def duration_s(self) -> float:
        """From its first start to its last end."""
        return max(span.offset_s + span.duration_s for span in self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One redacted log line."""

    time: dt.datetime
    severity: str
    service: str
    """Who wrote it: `kagura`, `illumo`, `koubou`, `ego-mcp`."""
    body: str
    agent: str | None
    """The agent, flow or worker it is about."""
    trace_id: str | None


def success_rate(ended: int, not_well: int) -> float | None:
    """Share of what ended that ended well, 0 to 1; None where nothing ended."""
    return (ended - not_well) / ended if ended else None
