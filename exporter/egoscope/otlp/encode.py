"""One pure `encode_x` a message, with the names of opentelemetry-proto 1.x; bytes out."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

from egoscope.convert.semconv import LOG_FILE_RECORD_OFFSET, SCHEMA_URL, SCOPE_NAME
from egoscope.otlp.wire import IntAttribute, attribute, fixed64, message, string, tag, varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from egoscope.model.telemetry import Attribute, Constants, LogRecord, Span, SpanEvent

_KINDS = tuple(bytes((0x30, kind)) for kind in range(6))  # Span.kind
_STATUS_ERROR = b"\x7a\x02\x18\x02"  # Span.status.code = STATUS_CODE_ERROR
_SEVERITY_NUMBERS = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21}
_TIMES = Struct("<BQBQ").pack  # two fixed64 fields


def encode_attributes(field: int, attributes: Iterable[Attribute]) -> bytes:
    """Encode a repeated KeyValue field."""
    return b"".join([attribute(field, key, value) for key, value in attributes])


@lru_cache(maxsize=4096)
def _constants(field: int, constants: Constants) -> bytes:
    return encode_attributes(field, constants.attributes)


_strings = lru_cache(maxsize=1024)(string)
_span_offset = IntAttribute(9, LOG_FILE_RECORD_OFFSET).encode
_log_offset = IntAttribute(6, LOG_FILE_RECORD_OFFSET).encode


def encode_event(event: SpanEvent) -> bytes:
    """Encode Span.Event."""
    return fixed64(1, event.time_ns) + _strings(2, event.name) + encode_attributes(3, event.attributes)


def encode_span(span: Span) -> bytes:
    """Encode Span as the field `spans` of ScopeSpans."""
    content = (
        b"\x0a\x10"
        + span.trace_id
        + b"\x12\x08"
        + span.span_id
        + _strings(5, span.name)
        + _KINDS[span.kind]
        + _TIMES(0x39, span.start_ns, 0x41, span.end_ns)
        + _constants(9, span.constants)
    )
    if span.offset is not None:
        content += _span_offset(span.offset)
    if span.parent_id:
        content += b"\x22\x08" + span.parent_id
    if span.varying:
        content += b"".join([attribute(9, key, value) for key, value in span.varying])
    if span.events:
        content += b"".join([message(11, encode_event(event)) for event in span.events])
    if span.dropped_events:
        content += tag(12, 0) + varint(span.dropped_events)
    if span.failed:
        content += _STATUS_ERROR
    return b"\x12" + varint(len(content)) + content


def encode_log_record(record: LogRecord) -> bytes:
    """Encode LogRecord as the field `log_records` of ScopeLogs."""
    body = record.body.encode()
    content = _TIMES(0x09, record.time_ns, 0x59, record.observed_ns) + _severity(record.severity)
    if len(body) < _SHORT:
        content += _SHORT_BODIES[len(body)] + body + _constants(6, record.constants)
    else:
        content += message(5, message(1, body)) + _constants(6, record.constants)
    if record.offset is not None:
        content += _log_offset(record.offset)
    if record.varying:
        content += b"".join([attribute(6, key, value) for key, value in record.varying])
    if record.trace_id:
        content += b"\x4a\x10" + record.trace_id + b"\x52\x08" + record.span_id
    return b"\x12" + varint(len(content)) + content


@lru_cache(maxsize=64)
def _severity(severity: str) -> bytes:
    return tag(2, 0) + varint(_SEVERITY_NUMBERS.get(severity, 0)) + string(3, severity)


_SHORT = 0x7E  # bodies so short that both lengths around them are one byte
_SHORT_BODIES = tuple(bytes((0x2A, length + 2, 0x0A, length)) for length in range(_SHORT))


def encode_resource(attributes: Sequence[Attribute]) -> bytes:
    """Encode Resource as the first field of ResourceSpans, ResourceLogs or ResourceMetrics."""
    return message(1, encode_attributes(1, attributes))


_SCOPE = message(1, string(1, SCOPE_NAME))


def encode_request(resource: bytes, items: Iterable[bytes]) -> bytes:
    """Encode Export{Trace,Logs,Metrics}ServiceRequest, which have one shape, for one resource.

    `items` are encoded spans, log records or metrics, each as field 2 of its scope message.
    """
    scope = _SCOPE + b"".join(items) + string(3, SCHEMA_URL)
    return message(1, resource + message(2, scope) + string(3, SCHEMA_URL))
