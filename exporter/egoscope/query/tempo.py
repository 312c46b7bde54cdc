"""Traces from Tempo: found by TraceQL, read by their ids. Nothing is counted here: a span may stand there twice."""

from __future__ import annotations

import base64
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from egoscope.convert import semconv as s
from egoscope.query.prometheus import quoted
from egoscope.query.times import EPOCH, MICROSECOND
from egoscope.query.traces import ReadSpan, build_trace

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping

    from egoscope.query.answers import Trace, Value
    from egoscope.query.http import Server
    from egoscope.query.times import Range

FEWEST: Final = 1000
"""A search asks for no fewer traces than this: the newest by their start are not the newest by their end."""
_SPANS_A_TRACE: Final = 100
"""What a stock Tempo gives at most (`max_spans_per_span_set`)."""
_AT_ONCE: Final = 8
_KEPT: Final = 2048
_ERROR: Final = ("STATUS_CODE_ERROR", 2)


class Found(msgspec.Struct, frozen=True):
    """One span that a search found."""

    trace_id: str
    span_id: str
    end_ns: int
    duration_ns: int


class Tempo:
    """What is asked of Tempo."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._kept: OrderedDict[str, Trace] = OrderedDict()

    def search(self, conditions: Iterable[str], within: Range, limit: int) -> list[Found]:
        """Return the spans that meet all conditions in traces that touch the range, each span once, newest end first.

        At most `limit` traces are looked at (no fewer than `FEWEST`), those that began last.
        """
        parameters = [
            ("q", f"{{ {' && '.join(conditions)} }} with (most_recent=true)"),
            ("start", max(1, (within.since - EPOCH) // (10**6 * MICROSECOND))),
            ("end", ceil((within.until - EPOCH).total_seconds()) + 1),
            ("limit", max(limit, FEWEST)),
            ("spss", _SPANS_A_TRACE),
        ]
        answer: Any = self._server.get("/api/search", parameters) or {}
        found: dict[tuple[str, str], Found] = {}
        for trace in answer.get("traces", ()):
            trace_id = str(trace["traceID"]).rjust(32, "0")  # leading zeros are left out
            for span_set in trace.get("spanSets") or [trace["spanSet"]]:
                for span in span_set["spans"]:
                    span_id = str(span["spanID"]).rjust(16, "0")
                    start_ns, duration_ns = int(span["startTimeUnixNano"]), int(span.get("durationNanos", 0))
                    found[trace_id, span_id] = Found(trace_id, span_id, start_ns + duration_ns, duration_ns)
        return sorted(found.values(), key=lambda one: (-one.end_ns, one.span_id))

    def traces(self, trace_ids: Iterable[str], final_before: dt.datetime) -> dict[str, Trace]:
        """Return traces by their ids, several at once; those that ended before `final_before` are kept."""
        wanted = dict.fromkeys(trace_ids)
        missing = [trace_id for trace_id in wanted if trace_id not in self._kept]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="egoscope-query") as pool:
            read = {trace.trace_id: trace for trace in pool.map(self.trace, missing) if trace is not None}
        found = read | {trace_id: self._kept[trace_id] for trace_id in wanted if trace_id in self._kept}
        for trace_id, trace in found.items():
            if max(span.end for span in trace.spans) < final_before:
                self._kept[trace_id] = trace
                self._kept.move_to_end(trace_id)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def trace(self, trace_id: str) -> Trace | None:
        """Return one trace as it is now."""
        answer: Any = self._server.get(f"/api/v2/traces/{trace_id}") or {}
        return build_trace(trace_id, _spans(answer.get("trace") or {}))


def tag_condition(tag: str) -> str:
    """Return what TraceQL calls a tag: `key`, or `key=value` of whatever type."""
    key, equals, wanted = tag.partition("=")
    name = f"span.{quoted(s.TAG_PREFIX + key)}"
    if not equals:
        return f"{name} != nil"
    values = [quoted(wanted)]
    if wanted in ("true", "false") or wanted.removeprefix("-").replace(".", "", 1).isdecimal():
        values.append(wanted)
    return f"({' || '.join(f'{name} = {value}' for value in values)})"


def equals(attribute: str, value: str) -> str:
    """Return the condition that an attribute of a span has a value."""
    return f"span.{attribute} = {quoted(value)}"


def _spans(trace: Mapping[str, Any]) -> Iterator[ReadSpan]:
    for group in trace.get("resourceSpans", ()):
        resource = _attributes(group.get("resource", {}).get("attributes", ()))
        for span in (span for scope in group.get("scopeSpans", ()) for span in scope.get("spans", ())):
            yield ReadSpan(
                span_id=_hex(span["spanId"]),
                parent_id=_hex(span.get("parentSpanId", "")) or None,
                name=span.get("name", ""),
                start_ns=int(span["startTimeUnixNano"]),
                end_ns=int(span["endTimeUnixNano"]),
                failed=span.get("status", {}).get("code") in _ERROR,
                service=str(resource.get(s.SERVICE_NAME, "")),
                attributes=_attributes(span.get("attributes", ())),
                events=[
                    (int(event["timeUnixNano"]), event.get("name", ""), _attributes(event.get("attributes", ())))
                    for event in span.get("events", ())
                ],
            )


def _hex(encoded: str) -> str:
    return base64.b64decode(encoded).hex()


def _attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Value]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in pairs}


def _value(value: Mapping[str, Any]) -> Value:
    for kind, told in value.items():
        match kind:
            case "intValue":
                return int(told)
            case "doubleValue":
                return float(told)
            case "arrayValue":
                return [_value(one) for one in told.get("values", ())]
            case "kvlistValue":
                return _attributes(told.get("values", ()))
            case _:
                return cast("Value", told)
    return None
