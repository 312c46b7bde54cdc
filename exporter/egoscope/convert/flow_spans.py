"""Spans and log records of flows and their nodes: illumo's own ids, parents and names."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from egoscope.convert import logs
from egoscope.convert import semconv as s
from egoscope.convert.flow_tree import FLOW
from egoscope.convert.ids import otlp_id
from egoscope.convert.pairing import Outcome
from egoscope.model.telemetry import Constants, Span, SpanEvent, SpanKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from egoscope.convert.flow_tree import FlowEvent, Place
    from egoscope.convert.ids import Ids
    from egoscope.model.record import RowRecord
    from egoscope.model.telemetry import Attribute, LogRecord

LOGGER: Final = "illumo"
_TIMEOUT: Final = "timeout"
_GOOD: Final = frozenset({None, "OK", "UNSET"})
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8


def outcome_of(record: RowRecord, *, expired: bool) -> Outcome:
    """Return how a flow or node ended. Without a status it is well, unless there is the text of an error."""
    if expired:
        return Outcome.UNFINISHED
    status = record.values.get("status")
    good = status in _GOOD and (status == "OK" or "error" not in record.values)
    return Outcome.OK if good else Outcome.ERROR


def error_type(record: RowRecord, outcome: Outcome) -> str:
    """Return what `error.type` says: the class of the exception where it is told and well known; "" of what is well."""
    if outcome is Outcome.OK:
        return ""
    if outcome is Outcome.UNFINISHED:
        return _TIMEOUT
    told = record.values.get("attributes", {}).get("failure_type", s.OTHER)
    return told if told != s.OTHER else record.values.get("error", s.OTHER)


def ids_of(record: RowRecord, place: Place, ids: Ids) -> tuple[bytes, bytes]:
    """Return trace id and span id: illumo's own where it has them."""
    trace_id, span_id = ids.row(record.key)
    recorded = record.values.get("span_id")
    return (
        bytes.fromhex(otlp_id(place.trace_id, _TRACE_BYTES)) if place.trace_id else trace_id,
        bytes.fromhex(otlp_id(recorded, _SPAN_BYTES)) if recorded else span_id,
    )


def span_of(record: RowRecord, place: Place, ids: tuple[bytes, bytes], outcome: Outcome) -> Span:
    """Return the span of a flow or node that ended."""
    values = record.values
    parent_id = values.get("parent_span_id")
    return Span(
        *ids,
        place.node or place.flow,
        record.start_ns,
        record.start_ns if record.end_ns is None else record.end_ns,
        _constants(
            values.get("kind", s.OTHER),
            place.flow,
            place.node,
            values.get("attributes", {}).get("node_type"),
            outcome.value,
            error_type(record, outcome),
            *_policy(values),
            values.get("timeout"),
        ),
        _varying(record, ids),
        None,
        [_event(event) for event in place.events],
        place.events_left_out,
        outcome is not Outcome.OK,
        SpanKind.INTERNAL,
        bytes.fromhex(otlp_id(parent_id, _SPAN_BYTES)) if parent_id else b"",
    )


def log_of(record: RowRecord, place: Place, ids: tuple[bytes, bytes], outcome: Outcome) -> LogRecord:
    """Return the log record of a flow or node that ended."""
    error = error_type(record, outcome)
    named = (
        (s.FLOW_NAME, place.flow),
        (s.FLOW_NODE, place.node),
        (s.AGENT_OUTCOME, outcome.value),
        (s.ERROR_TYPE, error),
        (s.UNPARSABLE, record.flaws[0] if record.flaws else ""),
    )
    attributes = tuple((name, value) for name, value in named if value)
    times_ns = record.start_ns, record.start_ns if record.end_ns is None else record.end_ns
    return logs.of_row(LOGGER, place.node or place.flow, outcome, times_ns, ids, attributes)


def is_flow(record: RowRecord) -> bool:
    """Whether a span is a run of a flow; every other kind is a node of one."""
    return record.values.get("kind") == FLOW


def _policy(values: Mapping[str, Any]) -> tuple[bool | None, int | None]:
    """Return fail_fast and max_attempts, from the column of their own or, before it has them, from the attributes."""
    policy: dict[str, Any] = values.get("policy_snapshot") or values.get("attributes", {}).get("policy_snapshot") or {}
    attempts = policy.get("retry", {}).get("max_attempts")
    return policy.get("fail_fast"), None if attempts is None else int(attempts)


def _varying(record: RowRecord, ids: tuple[bytes, bytes]) -> list[Attribute]:
    """Return the ids that illumo wrote where OTLP has no room for them, and what a user's extension lets out."""
    found: list[Attribute] = [*record.values.get("added", ())]
    for column, name, sent in (
        ("trace_id", s.RECORDED_TRACE_ID, ids[0]),
        ("span_id", s.RECORDED_SPAN_ID, ids[1]),
    ):
        recorded = record.values.get(column)
        if recorded and recorded != sent.hex():
            found.append((name, recorded))
    return found


def _event(event: FlowEvent) -> SpanEvent:
    attributes: list[Attribute] = []
    if event.level:
        attributes.append((s.LEVEL, event.level))
    if event.model:
        attributes.append((s.GEN_AI_REQUEST_MODEL, event.model))
    if event.tokens is not None:
        attributes.append((s.FLOW_EVENT_TOKENS, event.tokens))
    return SpanEvent(event.time_ns, event.name, attributes)


@lru_cache(maxsize=4096)
def _constants(
    kind: str,
    flow: str,
    node: str,
    node_type: str | None,
    outcome: str,
    error: str,
    fail_fast: bool | None,  # noqa: FBT001
    max_attempts: int | None,
    timeout: bool | None,  # noqa: FBT001
) -> Constants:
    named: tuple[tuple[str, str | bool | int | None], ...] = (
        (s.FLOW_KIND, kind),
        (s.FLOW_NAME, flow),
        (s.FLOW_NODE, node or None),
        (s.FLOW_NODE_TYPE, node_type),
        (s.AGENT_OUTCOME, outcome),
        (s.ERROR_TYPE, error or None),
        (s.FLOW_FAIL_FAST, fail_fast),
        (s.FLOW_MAX_ATTEMPTS, max_attempts),
        (s.FLOW_TIMEOUT, timeout),
    )
    return Constants(tuple((name, value) for name, value in named if value is not None))
