"""Spans: one SERVER span a tool call, after the semantic conventions for MCP and GenAI."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from egoscope.convert import semconv as s
from egoscope.convert.logs import FEELING_NUMBERS
from egoscope.convert.pairing import LogLine, Operation, Outcome, Pairing
from egoscope.model.telemetry import Constants, Span, SpanEvent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from egoscope.model.telemetry import Attribute

_VARYING: Final = (
    *FEELING_NUMBERS,
    ("trust_level", s.TRUST_LEVEL),
    ("surfaced_person_ids", s.SURFACED_PERSONS),
    ("person_id", s.PERSON),
)
_OK: Final = Outcome.OK


def of_operation(operation: Operation, ids: tuple[bytes, bytes], values: Mapping[str, Any]) -> Span:
    """Return the span of one call. `values`: the redacted fields of its last line, empty where it was private."""
    outcome, tool = operation.outcome, operation.tool
    trace_id, span_id = ids
    varying: list[Attribute] = [(name, values[field]) for field, name in _VARYING if field in values]
    if operation.session:
        varying.append((s.SESSION_ID, operation.session))
    if "added" in values:
        varying += values["added"]
    return Span(
        trace_id,
        span_id,
        f"{s.METHOD_TOOLS_CALL} {tool}",
        operation.start_ns,
        operation.end_ns,
        _constants(
            tool,
            outcome,
            "" if outcome is _OK else error_type(operation, values),
            values.get("emotion_primary"),
            values.get("time_phase"),
            operation.private,
            operation.pairing,
        ),
        varying,
        operation.offset,
        [_event_of(line) for line in operation.lines] if operation.lines else (),
        operation.lines_left_out,
        outcome is not _OK,
    )


@lru_cache(maxsize=4096)
def _constants(
    tool: str,
    outcome: Outcome,
    error: str,
    emotion: str | None,
    time_phase: str | None,
    private: bool,  # noqa: FBT001
    pairing: Pairing,
) -> Constants:
    named: tuple[tuple[str, str | bool | None], ...] = (
        (s.MCP_METHOD_NAME, s.METHOD_TOOLS_CALL),
        (s.GEN_AI_OPERATION_NAME, s.OPERATION_EXECUTE_TOOL),
        (s.GEN_AI_TOOL_NAME, tool),
        (s.OUTCOME, outcome.value),
        (s.ERROR_TYPE, error or None),
        (s.EMOTION_PRIMARY, emotion),
        (s.TIME_PHASE, time_phase),
        (s.PRIVATE, True if private else None),
        (s.PAIRING, None if pairing is Pairing.EXACT else pairing.value),
    )
    return Constants(tuple((name, value) for name, value in named if value is not None))


def _event_of(line: LogLine) -> SpanEvent:
    attributes = ((s.LEVEL, line.level), (s.LOGGER, line.logger), (s.MESSAGE, line.message))
    return SpanEvent(line.time_ns, s.EVENT_LOG, attributes)


def error_type(operation: Operation, values: Mapping[str, Any]) -> str:
    """Return what `error.type` says of a call that did not succeed."""
    if operation.outcome is Outcome.UNFINISHED:
        return "timeout"
    return values.get("exception", s.OTHER)
