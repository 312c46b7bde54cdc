"""A trace from its spans, wherever they were read. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert import semconv as s
from egoscope.errors import ConfigError
from egoscope.query.answers import Execution, KindSummary, SlowRequest, SpanEvent, Trace, TraceSpan, Value
from egoscope.query.cost import usd
from egoscope.query.times import from_ns
from egoscope.store.kinds import NANO, outcome_of, subject_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from egoscope.query.answers import SpanKind

_TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
KINDS: Final[tuple[SpanKind, ...]] = ("agent", "model", "tool", "memory", "flow", "node", "task", "other")


class ReadSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One span as it was read. Ids are hex, `parent_id` None for none; events are (time in ns, name, attributes)."""

    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    service: str
    attributes: Mapping[str, Value]
    events: Sequence[tuple[int, str, Mapping[str, Value]]] = ()


def build_trace(trace_id: str, read: Iterable[ReadSpan]) -> Trace | None:
    """Return the trace, each span id once; None without a span."""
    unique = {span.span_id: span for span in read}
    if not unique:
        return None
    first_ns = min(span.start_ns for span in unique.values())
    ordered = sorted(
        unique.values(), key=lambda span: (span.start_ns, _depth(span, unique), -span.end_ns, span.span_id)
    )
    spans = tuple(_span(span, first_ns) for span in ordered)
    return Trace(trace_id=trace_id, spans=spans, summary=_summary(spans))


def _depth(span: ReadSpan, spans: Mapping[str, ReadSpan]) -> int:
    seen: set[str] = set()
    above = spans.get(span.parent_id or "")
    while above is not None and above.span_id not in seen:  # ids that others made may run in a circle
        seen.add(above.span_id)
        above = spans.get(above.parent_id or "")
    return len(seen)


def _span(span: ReadSpan, first_ns: int) -> TraceSpan:
    about = subject_of(span.attributes, failed=span.failed)
    error_type = span.attributes.get(s.ERROR_TYPE)
    return TraceSpan(
        span_id=span.span_id,
        parent_id=span.parent_id,
        kind=about.kind if about else "other",
        name=span.name,
        start=from_ns(span.start_ns),
        end=from_ns(span.end_ns),
        offset_s=(span.start_ns - first_ns) / 1e9,
        duration_s=(span.end_ns - span.start_ns) / 1e9,
        outcome=outcome_of(span.attributes, failed=span.failed).value,
        error_type=error_type if isinstance(error_type, str) else None,
        input_tokens=about.input_tokens if about else None,
        output_tokens=about.output_tokens if about else None,
        cost_usd=about.cost_nano / NANO if about and about.cost_nano is not None else None,
        service=span.service,
        attributes=span.attributes,
        events=tuple(SpanEvent(time=from_ns(ns), name=name, attributes=of) for ns, name, of in span.events),
    )


def _summary(spans: Sequence[TraceSpan]) -> tuple[KindSummary, ...]:
    by_kind: dict[SpanKind, list[TraceSpan]] = {kind: [span for span in spans if span.kind == kind] for kind in KINDS}
    return tuple(
        KindSummary(
            kind=kind,
            spans=len(of_kind),
            errors=sum(span.outcome == "error" for span in of_kind),
            duration_s=sum(span.duration_s for span in of_kind),
            input_tokens=sum(span.input_tokens or 0 for span in of_kind),
            output_tokens=sum(span.output_tokens or 0 for span in of_kind),
            cost_usd=usd(span.cost_usd or 0.0 for span in of_kind),
        )
        for kind, of_kind in by_kind.items()
        if of_kind
    )


def execution_of(trace: Trace, span_id: str) -> Execution | None:
    """Return the execution that a span of a trace is, with what its children used; None where it is none."""
    root = next((span for span in trace.spans if span.span_id == span_id and span.kind == "agent"), None)
    if root is None:
        return None
    models = [span for span in trace.spans if span.parent_id == span_id and span.kind == "model"]
    about = subject_of(root.attributes, failed=root.outcome == "error")
    cost_usd = root.cost_usd
    if cost_usd is None and all(span.cost_usd is not None for span in models):
        cost_usd = usd(span.cost_usd or 0.0 for span in models)
    return Execution(
        trace_id=trace.trace_id,
        span_id=span_id,
        agent=about.agent or "" if about else "",
        start=root.start,
        end=root.end,
        duration_s=root.duration_s if about and about.end_known else None,
        outcome=root.outcome,
        error_type=root.error_type,
        input_tokens=_first(root.input_tokens, sum(span.input_tokens or 0 for span in models)),
        output_tokens=_first(root.output_tokens, sum(span.output_tokens or 0 for span in models)),
        cost_usd=cost_usd,
        model_calls=len(models),
        tool_calls=sum(span.parent_id == span_id and span.kind == "tool" for span in trace.spans),
        tags=tags_of(root.attributes),
    )


def slow_request_of(trace: Trace, span_id: str) -> tuple[SlowRequest, dt.datetime] | None:
    """Return a model call, tool or execution, and the moment it belongs to; None where the span is neither."""
    span = next((span for span in trace.spans if span.span_id == span_id), None)
    about = subject_of(span.attributes, failed=span.outcome == "error") if span else None
    if span is None or about is None or not about.end_known:
        return None
    execution = next((one for one in trace.spans if one.span_id == span.parent_id and one.kind == "agent"), None)
    above = subject_of(execution.attributes, failed=False) if execution else None
    agent = about.agent or (above.agent if above else None) or ""
    request = SlowRequest(
        kind=about.kind,
        name=agent if about.kind == "agent" else about.subject or s.OTHER,
        agent=agent,
        trace_id=trace.trace_id,
        span_id=span_id,
        start=span.start,
        duration_s=span.duration_s,
        outcome=span.outcome,
        input_tokens=span.input_tokens,
        output_tokens=span.output_tokens,
        cost_usd=span.cost_usd,
    )
    return request, execution.end if execution and about.is_called else span.end


def _first(told: int | None, reckoned: int) -> int:
    return reckoned if told is None else told


def tags_of(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Return what `add_tag` set, by its key."""
    return {
        name.removeprefix(s.TAG_PREFIX): value for name, value in attributes.items() if name.startswith(s.TAG_PREFIX)
    }


def has_tag(attributes: Mapping[str, Value], tag: str) -> bool:
    """Whether a span has a tag: `key`, or `key=value`."""
    key, equals, wanted = tag.partition("=")
    name = s.TAG_PREFIX + key
    return name in attributes and (not equals or value_text(attributes[name]) == wanted)


def value_text(value: Value) -> str:
    """Return how a tag's value is written in a query."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_trace_id(trace_id: str) -> None:
    """Raise a `ConfigError` unless it is a trace id in hex."""
    if not _TRACE_ID.fullmatch(trace_id):
        raise ConfigError("trace_id: 32 hex digits, as Execution.trace_id has them")
