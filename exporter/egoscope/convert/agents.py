"""Conversion of Kagura's database: executions in, in time order; spans, log records and points of agents out.

Everything an execution used is counted at the moment it ended (decision 0020): its row is final then, and no sooner.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from egoscope.convert import catalogue as c
from egoscope.convert import logs
from egoscope.convert import semconv as s
from egoscope.convert.pairing import Outcome
from egoscope.convert.row_conversion import DatabaseConversion, Labels, RowState, RunningGauges, end_of, values_of
from egoscope.model.telemetry import Constants, Span, SpanKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from egoscope.convert.ids import Ids
    from egoscope.convert.series import SeriesRow
    from egoscope.model.record import RowRecord
    from egoscope.model.telemetry import Attribute

MAX_AGENTS: Final = 64
MAX_MODELS: Final = 64
MAX_TOOLS: Final = 256
MAX_OPERATIONS: Final = 64
"""Values an instance may use as labels; unbounded values never become labels."""

_LOGGER: Final = "kagura"
_OUTCOMES: Final = {"completed": Outcome.OK, "failed": Outcome.ERROR, "running": Outcome.UNFINISHED}
"""By status of a final row. One that ended and still reads `running` was cancelled."""

_USD_DECIMALS: Final = c.COST.decimals


class AgentState(RowState):
    """What a restart needs of one database: what runs, and what this month cost so far."""

    month_ends_ns: int = 0
    month_usd: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    """By agent, as its label reads."""


class AgentConversion(DatabaseConversion[AgentState]):
    """Turns the executions of one database into telemetry."""

    def __init__(self, ids: Ids, state: AgentState, series: list[SeriesRow]) -> None:
        super().__init__(ids, state, series, RunningGauges(c.RUNNING, c.RUNNING_OLDEST, s.AGENT))
        self._agents = Labels(MAX_AGENTS, values_of(self._series, s.AGENT, c.EXECUTIONS, c.RUNNING))
        self._models = Labels(MAX_MODELS, values_of(self._series, s.GEN_AI_REQUEST_MODEL, c.MODEL_DURATION))
        self._tools = Labels(MAX_TOOLS, values_of(self._series, s.GEN_AI_TOOL_NAME, c.TOOL_DURATION))
        self._operations = Labels(MAX_OPERATIONS, values_of(self._series, s.OPERATION, c.MEMORY_OPERATIONS))

    def _running_as(self, record: RowRecord) -> str:
        return self._agents[_agent(record)]

    def _time_passes(self, time_ns: int) -> None:
        if time_ns < self._state.month_ends_ns:
            return
        begins_ns, self._state.month_ends_ns = _month(time_ns)
        for label in self._state.month_usd:
            self._note(c.COST_MONTH, begins_ns, 0.0, (s.AGENT, label))
        self._state.month_usd = {}

    def _finished(self, record: RowRecord, *, expired: bool) -> None:
        outcome, error = (Outcome.UNFINISHED, "timeout") if expired else _outcome(record.values)
        agent, ids, end_ns = _agent(record), self._ids.row(record.key), end_of(record)
        about = ((s.GEN_AI_AGENT_NAME, agent), (s.AGENT_OUTCOME, outcome.value))
        if error:
            about = (*about, (s.ERROR_TYPE, error))
        used = self._used(record)
        span = Span(
            *ids,
            f"{s.OPERATION_INVOKE_AGENT} {agent}",
            record.start_ns,
            end_ns,
            _constants(((s.GEN_AI_OPERATION_NAME, s.OPERATION_INVOKE_AGENT), *about)),
            used,
            None,
            failed=outcome is not Outcome.OK,
            kind=SpanKind.INTERNAL,
        )
        self._spans.append(span)
        self._log(logs.of_row(_LOGGER, agent, outcome, (record.start_ns, end_ns), ids, about))
        label = self._agents[agent]
        self._note(c.EXECUTIONS, end_ns, 1, (s.AGENT, label), (s.LABEL_OUTCOME, outcome.value))
        if not expired:
            self._note(c.EXECUTION_DURATION, end_ns, (end_ns - record.start_ns) / 1e9, (s.AGENT, label))

    def _used(self, record: RowRecord) -> list[Attribute]:
        """Tell of everything within an execution; return the totals, as attributes of its span."""
        agent, end_ns = _agent(record), end_of(record)
        label = self._agents[agent]
        varying: list[Attribute] = list(record.values.get("added", ()))
        calls = [event for event in record.values.get("events", ()) if event["type"] == "llm_call"]
        for part, event in enumerate(record.values.get("events", ()), 1):
            match event["type"]:
                case "llm_call":
                    self._model_call(record, part, event, label)
                case "tool_call":
                    tool = event.get("tool_name", s.OTHER)
                    about = ((s.GEN_AI_OPERATION_NAME, s.OPERATION_EXECUTE_TOOL), (s.GEN_AI_TOOL_NAME, tool))
                    self._child(record, part, event, f"{s.OPERATION_EXECUTE_TOOL} {tool}", about)
                    by = ((s.GEN_AI_TOOL_NAME, self._tools[tool]), (s.GEN_AI_AGENT_NAME, label))
                    self._note(c.TOOL_DURATION, end_ns, _seconds(event), *by)
                case _:
                    operation = event.get("operation", s.OTHER)
                    about = ((s.AGENT_MEMORY_OPERATION, operation),)
                    self._child(record, part, event, f"{s.SPAN_MEMORY} {operation}", about)
                    by = ((s.AGENT, label), (s.OPERATION, self._operations[operation]))
                    self._note(c.MEMORY_OPERATIONS, end_ns, 1, *by)
        if not calls:
            return varying
        varying += _tokens(
            sum(event.get("prompt_tokens", 0) for event in calls),
            sum(event.get("completion_tokens", 0) for event in calls),
        )
        cost = round(sum(event.get("cost", 0.0) for event in calls), _USD_DECIMALS)
        if all("cost" in event for event in calls):
            varying.append((s.AGENT_COST_USD, cost))
        if any("cost" in event for event in calls) and _month(end_ns)[1] == self._state.month_ends_ns:
            month_usd = self._state.month_usd
            month_usd[label] = round(month_usd.get(label, 0.0) + cost, _USD_DECIMALS)
            self._note(c.COST_MONTH, end_ns, month_usd[label], (s.AGENT, label))
        return varying

    def _model_call(self, record: RowRecord, part: int, event: Mapping[str, Any], label: str) -> None:
        model, provider = event.get("model", s.OTHER), event["provider"]
        given, taken = event.get("prompt_tokens"), event.get("completion_tokens")
        cost = event.get("cost")
        kind, by_provider = (s.GEN_AI_OPERATION_NAME, s.OPERATION_CHAT), (s.GEN_AI_PROVIDER_NAME, provider)
        varying = _tokens(given, taken)
        if cost is not None:
            varying.append((s.AGENT_COST_USD, cost))
        about = (kind, by_provider, (s.GEN_AI_REQUEST_MODEL, model))
        self._child(record, part, event, f"{s.OPERATION_CHAT} {model}", about, varying, SpanKind.CLIENT)
        end_ns, model = end_of(record), self._models[model]
        by = (kind, by_provider, (s.GEN_AI_REQUEST_MODEL, model))
        by_agent = (s.GEN_AI_AGENT_NAME, label)
        self._note(c.MODEL_DURATION, end_ns, _seconds(event), *by, by_agent)
        for type_, tokens in ((s.INPUT, given), (s.OUTPUT, taken)):
            if tokens is not None:
                self._note(c.TOKENS, end_ns, float(tokens), *by, (s.GEN_AI_TOKEN_TYPE, type_), by_agent)
        metric, amount = (c.COST_UNKNOWN, 1) if cost is None else (c.COST, cost)
        self._note(metric, end_ns, amount, (s.AGENT, label), (s.MODEL, model))

    def _child(
        self,
        record: RowRecord,
        part: int,
        event: Mapping[str, Any],
        name: str,
        about: tuple[Attribute, ...],
        varying: list[Attribute] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        """Tell of one event as a span of its own. It is recorded when it is over: its time is its end."""
        trace_id, span_id = self._ids.row(record.key, part)
        end_ns = event["time_ns"]
        span = Span(
            trace_id,
            span_id,
            name,
            max(0, end_ns - round(_seconds(event) * 1e9)),
            end_ns,
            _constants((*about, (s.GEN_AI_AGENT_NAME, _agent(record)))),
            [*(varying or ()), *event.get("added", ())],
            None,
            kind=kind,
            parent_id=self._ids.row(record.key)[1],
        )
        self._spans.append(span)


def _agent(record: RowRecord) -> str:
    return record.values.get("agent_name", s.OTHER)


def _outcome(values: Mapping[str, Any]) -> tuple[Outcome, str]:
    """Return how an execution ended and `error.type`, empty where all went well."""
    outcome = _OUTCOMES.get(values.get("status", ""))
    if outcome is None:  # a status of another version
        outcome = Outcome.ERROR if "error" in values else Outcome.OK
    return outcome, "" if outcome is Outcome.OK else values.get("error", s.OTHER)


def _seconds(event: Mapping[str, Any]) -> float:
    """Return how long something took; nothing where it does not say, for it happened all the same."""
    return event.get("duration", 0.0)


def _tokens(given: float | None, taken: float | None) -> list[Attribute]:
    named = ((s.GEN_AI_USAGE_INPUT_TOKENS, given), (s.GEN_AI_USAGE_OUTPUT_TOKENS, taken))
    return [(name, int(tokens)) for name, tokens in named if tokens is not None]


def _month(time_ns: int) -> tuple[int, int]:
    """Return when the month of this time began and ends in UTC."""
    begins = datetime.fromtimestamp(time_ns // 10**9, UTC).replace(day=1, hour=0, minute=0, second=0)
    ends = begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
    return int(begins.timestamp()) * 10**9, int(ends.timestamp()) * 10**9


@lru_cache(maxsize=4096)
def _constants(attributes: tuple[Attribute, ...]) -> Constants:
    return Constants(attributes)
