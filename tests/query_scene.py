"""A few executions and runs whose truth is known, as the telemetry that the conversions make of them.

Everything lies on the three whole UTC days before `today`, away from midnights and from one another by more than the
second in which points of histograms are joined.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.convert.conversion import CATALOGUE, Telemetry
from egoscope.convert.series import SeriesSet
from egoscope.model.telemetry import Constants, LogRecord, Span, SpanEvent, SpanKind
from egoscope.otlp.requests import encode_telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from egoscope.model.telemetry import Attribute
    from egoscope.otlp.requests import Request

DAY: Final = 86_400 * 10**9
HOUR: Final = 3_600 * 10**9
MINUTE: Final = 60 * 10**9
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
Tag = str | bool | int | float


@dataclass(frozen=True, slots=True)
class Call:
    """A model call; `cost` in billionths of a US dollar, None: of unknown price."""

    model: str
    input_tokens: int
    output_tokens: int
    cost: int | None
    seconds: float = 1.0
    provider: str = "anthropic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One execution that ended `at` nanoseconds after the scene began."""

    agent: str
    at: int
    seconds: float = 10.0
    outcome: str = "ok"
    calls: tuple[Call, ...] = ()
    tools: tuple[tuple[str, float], ...] = ()
    memory: tuple[str, ...] = ()
    tags: dict[str, Tag] = field(default_factory=dict[str, Tag])

    @property
    def cost(self) -> int | None:
        """None where the price of one call is not known."""
        costs = [call.cost for call in self.calls]
        return None if None in costs else sum(cost or 0 for cost in costs)


SONNET: Final = "claude-sonnet"
LOCAL: Final = "house-model"

EXECUTIONS: Final = (
    Ran(agent="writer", at=1 * HOUR, calls=(Call(SONNET, 1000, 200, 6_000_001), Call(SONNET, 500, 100, 3_000_002))),
    Ran(
        agent="writer",
        at=2 * HOUR,
        seconds=40,
        outcome="error",
        calls=(Call(SONNET, 70, 7, 1),),
        tools=(("search", 3),),
    ),
    Ran(agent="writer", at=5 * HOUR, seconds=0.5, tools=(("search", 0.2), ("file_read", 0.1)), memory=("lookup",)),
    Ran(agent="critic", at=6 * HOUR, calls=(Call(LOCAL, 300, 30, None, provider="_OTHER"), Call(SONNET, 10, 20, 333))),
    Ran(agent="critic", at=23 * HOUR, seconds=86_400, outcome="unfinished"),
    Ran(
        agent="writer",
        at=DAY + 3 * HOUR,
        seconds=120,
        calls=(Call(SONNET, 9_999, 1, 29_997_015, 90.0),),
        tools=(("search", 25.0),),
        tags={"language": "fr", "draft": True},
    ),
    Ran(agent="writer", at=DAY + 4 * HOUR, tags={"language": "de"}),
    Ran(agent="critic", at=2 * DAY + 1 * HOUR, calls=(Call(SONNET, 1, 1, 18),), tools=(("search", 1.0),)),
    Ran(agent="critic", at=2 * DAY + 7 * HOUR, outcome="error"),
)
RUNNING_SINCE: Final = 2 * DAY + 23 * HOUR
RUNNING: Final = {"writer": 2}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a flow that ended `at`; nodes as (name, outcome, seconds), each after the one before it."""

    flow: str
    at: int
    outcome: str
    nodes: tuple[tuple[str, str, float], ...]


RUNS: Final = (
    Run("triage", 8 * HOUR, "ok", (("read", "ok", 1.0), ("decide", "ok", 2.0))),
    Run("triage", DAY + 8 * HOUR, "error", (("read", "ok", 3.0), ("decide", "error", 4.0))),
)


class Scene:
    """The executions and runs, with their times, ids and telemetry."""

    def __init__(self, today: dt.date) -> None:
        midnight = dt.datetime(today.year, today.month, today.day, tzinfo=dt.UTC)
        self.start = midnight - dt.timedelta(days=3)
        self.now = midnight + dt.timedelta(minutes=1)
        self._start_ns = int(self.start.timestamp()) * 10**9

    def time(self, after_ns: int) -> dt.datetime:
        """Return the moment so long after the scene began."""
        return self.start + dt.timedelta(microseconds=after_ns // 1000)

    def trace_id(self, ran: Ran | Run) -> str:
        """Return the trace id of an execution or a run."""
        return _id(ran, "trace", 16).hex()

    def span_id(self, ran: Ran | Run) -> str:
        """Return the span id of an execution or a run."""
        return _id(ran, "root", 8).hex()

    def requests(self) -> list[Request]:
        """Return all export requests but `tagged`, oldest first."""
        return [*self._of("kagura", self._executions()), *self._of("illumo", self._runs())]

    def tagged(self) -> list[Request]:
        """Return the traces of what has tags: code that is instrumented, which does not send through the Collector."""
        spans = [span for ran in EXECUTIONS if ran.tags for span in self._spans(ran, self._start_ns + ran.at)]
        return self._of("kagura", Telemetry(spans, [], [], []))

    def _of(self, service: str, telemetry: Telemetry) -> list[Request]:
        resource = (
            (s.SERVICE_NAME, service),
            (s.SERVICE_INSTANCE_ID, sha256(service.encode()).hexdigest()[:32]),
            (s.SOURCE, service),
        )
        return encode_telemetry(telemetry, resource)

    def _executions(self) -> Telemetry:
        spans: list[Span] = []
        logs: list[LogRecord] = []
        series = SeriesSet(CATALOGUE, [])
        month: defaultdict[str, float] = defaultdict(float)
        for ran in EXECUTIONS:
            end_ns = self._start_ns + ran.at
            at_ms = end_ns // 10**6
            if not ran.tags:
                spans += self._spans(ran, end_ns)
            logs.append(self._log(ran, end_ns))
            agent = (s.AGENT, ran.agent)
            note = _Note(series, at_ms)
            note(c.EXECUTIONS, 1, agent, (s.LABEL_OUTCOME, ran.outcome))
            if ran.outcome != "unfinished":
                note(c.EXECUTION_DURATION, ran.seconds, agent)
            for call in ran.calls:
                about = (
                    (s.GEN_AI_OPERATION_NAME, s.OPERATION_CHAT),
                    (s.GEN_AI_PROVIDER_NAME, call.provider),
                    (s.GEN_AI_REQUEST_MODEL, call.model),
                )
                name = (s.GEN_AI_AGENT_NAME, ran.agent)
                note(c.MODEL_DURATION, call.seconds, *about, name)
                note(c.TOKENS, call.input_tokens, *about, (s.GEN_AI_TOKEN_TYPE, s.INPUT), name)
                note(c.TOKENS, call.output_tokens, *about, (s.GEN_AI_TOKEN_TYPE, s.OUTPUT), name)
                if call.cost is None:
                    note(c.COST_UNKNOWN, 1, agent, (s.MODEL, call.model))
                else:
                    note(c.COST, call.cost / 1e9, agent, (s.MODEL, call.model))
                    month[ran.agent] += call.cost / 1e9
            for tool, seconds in ran.tools:
                note(c.TOOL_DURATION, seconds, (s.GEN_AI_TOOL_NAME, tool), (s.GEN_AI_AGENT_NAME, ran.agent))
            for operation in ran.memory:
                note(c.MEMORY_OPERATIONS, 1, agent, (s.OPERATION, operation))
            note(c.COST_MONTH, round(month[ran.agent], 9), agent)
        note = _Note(series, int(self.now.timestamp() * 1000) - 10_000)
        for name in ("writer", "critic"):
            count = RUNNING.get(name, 0)
            note(c.RUNNING, count, (s.AGENT, name))
            note(c.RUNNING_OLDEST, (self._start_ns + RUNNING_SINCE) / 1e9 if count else 0, (s.AGENT, name))
        # Series live on to the present.
        series.keep_alive(int(self.now.timestamp() * 1000))
        return Telemetry(spans, logs, *series.drain())

    def _spans(self, ran: Ran, end_ns: int) -> Iterable[Span]:
        trace_id, root_id = _id(ran, "trace", 16), _id(ran, "root", 8)
        start_ns = end_ns - round(ran.seconds * 1e9)
        name = (s.GEN_AI_AGENT_NAME, ran.agent)

        def child(number: int, kind: SpanKind, span_name: str, seconds: float, *attributes: Attribute) -> Span:
            return Span(
                trace_id=trace_id,
                span_id=_id(ran, f"child {number}", 8),
                name=span_name,
                start_ns=start_ns + number * 10**6,
                end_ns=start_ns + number * 10**6 + round(seconds * 1e9),
                constants=Constants((*attributes, name)),
                varying=(),
                offset=None,
                kind=kind,
                parent_id=root_id,
            )

        number = 0
        for call in ran.calls:
            number += 1
            attributes: list[Attribute] = [
                (s.GEN_AI_OPERATION_NAME, s.OPERATION_CHAT),
                (s.GEN_AI_PROVIDER_NAME, call.provider),
                (s.GEN_AI_REQUEST_MODEL, call.model),
                (s.GEN_AI_USAGE_INPUT_TOKENS, call.input_tokens),
                (s.GEN_AI_USAGE_OUTPUT_TOKENS, call.output_tokens),
            ]
            if call.cost is not None:
                attributes.append((s.AGENT_COST_USD, call.cost / 1e9))
            yield child(number, SpanKind.CLIENT, f"{s.OPERATION_CHAT} {call.model}", call.seconds, *attributes)
        for tool, seconds in ran.tools:
            number += 1
            about = ((s.GEN_AI_OPERATION_NAME, s.OPERATION_EXECUTE_TOOL), (s.GEN_AI_TOOL_NAME, tool))
            yield child(number, SpanKind.INTERNAL, f"{s.OPERATION_EXECUTE_TOOL} {tool}", seconds, *about)
        for operation in ran.memory:
            number += 1
            yield child(
                number, SpanKind.INTERNAL, f"{s.SPAN_MEMORY} {operation}", 0.1, (s.AGENT_MEMORY_OPERATION, operation)
            )
        root: list[Attribute] = [
            (s.GEN_AI_OPERATION_NAME, s.OPERATION_INVOKE_AGENT),
            name,
            (s.AGENT_OUTCOME, ran.outcome),
            (s.GEN_AI_USAGE_INPUT_TOKENS, sum(call.input_tokens for call in ran.calls)),
            (s.GEN_AI_USAGE_OUTPUT_TOKENS, sum(call.output_tokens for call in ran.calls)),
            *((s.TAG_PREFIX + key, value) for key, value in ran.tags.items()),
        ]
        if ran.outcome != "ok":
            root.append((s.ERROR_TYPE, "timeout" if ran.outcome == "unfinished" else s.OTHER))
        if ran.cost is not None:
            root.append((s.AGENT_COST_USD, ran.cost / 1e9))
        yield Span(
            trace_id=trace_id,
            span_id=root_id,
            name=f"{s.OPERATION_INVOKE_AGENT} {ran.agent}",
            start_ns=start_ns,
            end_ns=end_ns,
            constants=Constants(tuple(root)),
            varying=(),
            offset=None,
            failed=ran.outcome == "error",
            kind=SpanKind.INTERNAL,
        )

    def _log(self, ran: Ran, end_ns: int) -> LogRecord:
        took = f"{ran.seconds * 1000:.0f} ms"
        words = {"ok": f"completed in {took}", "error": f"failed after {took}", "unfinished": "unfinished"}
        return LogRecord(
            time_ns=end_ns,
            observed_ns=end_ns,
            severity="ERROR" if ran.outcome == "error" else "INFO",
            body=f"{ran.agent} {words[ran.outcome]}",
            constants=Constants(((s.GEN_AI_AGENT_NAME, ran.agent), (s.AGENT_OUTCOME, ran.outcome)), "kagura"),
            varying=(),
            offset=None,
            trace_id=_id(ran, "trace", 16),
            span_id=_id(ran, "root", 8),
        )

    def _runs(self) -> Telemetry:
        spans: list[Span] = []
        logs: list[LogRecord] = []
        series = SeriesSet(CATALOGUE, [])
        for run in RUNS:
            end_ns = self._start_ns + run.at
            start_ns = end_ns - 2 * MINUTE
            trace_id, root_id = _id(run, "trace", 16), _id(run, "root", 8)
            flow = (s.FLOW, run.flow)
            at_ns = start_ns
            for node, outcome, seconds in run.nodes:
                begin_ns, at_ns = at_ns, at_ns + round(seconds * 1e9)
                about = (
                    (s.FLOW_KIND, "node"),
                    (s.FLOW_NAME, run.flow),
                    (s.FLOW_NODE, node),
                    (s.AGENT_OUTCOME, outcome),
                )
                event = SpanEvent(begin_ns + 1, "agent_instruction", ((s.LEVEL, "INFO"),))
                spans.append(
                    Span(
                        trace_id=trace_id,
                        span_id=_id(run, node, 8),
                        name=node,
                        start_ns=begin_ns,
                        end_ns=at_ns,
                        constants=Constants(about),
                        varying=(),
                        offset=None,
                        events=(event,),
                        failed=outcome == "error",
                        kind=SpanKind.INTERNAL,
                        parent_id=root_id,
                    )
                )
                note = _Note(series, at_ns // 10**6)
                note(c.NODE_RUNS, 1, flow, (s.NODE, node), (s.LABEL_OUTCOME, outcome))
                note(c.NODE_DURATION, seconds, flow, (s.NODE, node))
            note = _Note(series, end_ns // 10**6)
            note(c.FLOW_RUNS, 1, flow, (s.LABEL_OUTCOME, run.outcome))
            note(c.FLOW_DURATION, 120.0, flow)
            about = ((s.FLOW_KIND, "flow"), (s.FLOW_NAME, run.flow), (s.AGENT_OUTCOME, run.outcome))
            spans.append(
                Span(
                    trace_id=trace_id,
                    span_id=root_id,
                    name=run.flow,
                    start_ns=start_ns,
                    end_ns=end_ns,
                    constants=Constants(about),
                    varying=(),
                    offset=None,
                    failed=run.outcome == "error",
                    kind=SpanKind.INTERNAL,
                )
            )
            logs.append(
                LogRecord(
                    time_ns=end_ns,
                    observed_ns=end_ns,
                    severity="INFO",
                    body=f"{run.flow} {'completed in' if run.outcome == 'ok' else 'failed after'} 120000 ms",
                    constants=Constants(((s.FLOW_NAME, run.flow), (s.AGENT_OUTCOME, run.outcome)), "illumo"),
                    varying=(),
                    offset=None,
                    trace_id=trace_id,
                    span_id=root_id,
                )
            )
        series.keep_alive(int(self.now.timestamp() * 1000))
        return Telemetry(spans, logs, *series.drain())


class _Note:
    """Notes what happened at one time."""

    def __init__(self, series: SeriesSet, at_ms: int) -> None:
        self._series, self._at_ms = series, at_ms

    def __call__(self, metric: c.Metric, amount: float, *attributes: Attribute) -> None:
        self._series[metric, attributes].note((self._at_ms, amount))


def _id(of: object, what: str, size: int) -> bytes:
    return sha256(f"{of} {what}".encode()).digest()[:size]


def calls_of(executions: Sequence[Ran]) -> list[tuple[Ran, Call]]:
    """Return every model call with its execution."""
    return [(ran, call) for ran in executions for call in ran.calls]
