"""OTLP export requests as rows of the embedded store. Pure: no clock, no I/O.

Every function takes one serialised request and raises `google.protobuf.message.DecodeError` where it is none.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec
import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from egoscope.convert import semconv as s
from egoscope.convert.pairing import Outcome, Pairing
from egoscope.store.kinds import outcome_of, subject_of, subject_of_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

# The JSON-like values an attribute can have.
Value = str | bool | int | float | None | list["Value"] | dict[str, "Value"]

STATUS: Final = ("UNSET", "OK", "ERROR")


class InstanceRow(msgspec.Struct, frozen=True):
    """Whose telemetry it is: a resource with its service and instance id."""

    instance: str
    service: str
    attributes: str


class SpanRow(msgspec.Struct, frozen=True):
    """One row of `spans`, in the order of its columns."""

    span_id: str
    trace_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    duration_ns: int | None
    status: str
    tool: str | None
    outcome: str | None
    emotion: str | None
    time_phase: str | None
    attributes: str
    events: str | None
    instance: str
    kind: str | None = None
    agent: str | None = None
    subject: str | None = None
    counted_ns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nano: int | None = None


class LogRow(msgspec.Struct, frozen=True):
    """One row of `logs`, in the order of its columns without the row id."""

    instance: str
    time_ns: int
    identity: str
    offset: int | None
    severity: str
    severity_number: int
    logger: str | None
    tool: str | None
    body: str
    trace_id: str | None
    span_id: str | None
    attributes: str
    agent: str | None


class SeriesRow(msgspec.Struct, frozen=True):
    """One row of `series`, in the order of its columns without the id. Hashable: its own key."""

    name: str
    kind: str
    unit: str
    attributes: str
    instance: str
    bounds: str = ""


class PointRow(msgspec.Struct, frozen=True):
    """One row of `points`, in the order of its columns without the series."""

    time_ns: int
    start_ns: int | None
    value: float | None = None
    count: int | None = None
    sum: float | None = None
    buckets: str | None = None


class Spans(msgspec.Struct, frozen=True):
    """What one trace request holds."""

    instances: list[InstanceRow]
    rows: list[SpanRow]


class Logs(msgspec.Struct, frozen=True):
    """What one log request holds."""

    instances: list[InstanceRow]
    rows: list[LogRow]


class Points(msgspec.Struct, frozen=True):
    """What one metric request holds. `unsupported` counts points of kinds that the store has no columns for."""

    instances: list[InstanceRow]
    rows: list[tuple[SeriesRow, PointRow]]
    unsupported: int


def decode_spans(request: bytes) -> Spans:
    """Decode an `ExportTraceServiceRequest`."""
    instances: list[InstanceRow] = []
    rows: list[SpanRow] = []
    for group in ExportTraceServiceRequest.FromString(request).resource_spans:
        instances.append(_instance(group.resource))
        rows += (_span(span, instances[-1].instance) for scope in group.scope_spans for span in scope.spans)
    return Spans(instances, rows)


def decode_logs(request: bytes) -> Logs:
    """Decode an `ExportLogsServiceRequest`."""
    instances: list[InstanceRow] = []
    rows: list[LogRow] = []
    for group in ExportLogsServiceRequest.FromString(request).resource_logs:
        instances.append(_instance(group.resource))
        rows += (_log(record, instances[-1].instance) for scope in group.scope_logs for record in scope.log_records)
    return Logs(instances, rows)


def decode_points(request: bytes) -> Points:
    """Decode an `ExportMetricsServiceRequest`: sums, gauges and histograms with explicit bounds."""
    instances: list[InstanceRow] = []
    rows: list[tuple[SeriesRow, PointRow]] = []
    unsupported = 0
    for group in ExportMetricsServiceRequest.FromString(request).resource_metrics:
        instances.append(_instance(group.resource))
        for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
            rows += _points(metric, instances[-1].instance)
            unsupported += len(metric.exponential_histogram.data_points) + len(metric.summary.data_points)
    return Points(instances, rows, unsupported)


def _instance(resource: Resource) -> InstanceRow:
    attributes = _mapping(resource.attributes)
    return InstanceRow(
        instance=str(attributes.get(s.SERVICE_INSTANCE_ID, "")),
        service=str(attributes.get(s.SERVICE_NAME, "")),
        attributes=_json(attributes),
    )


def _span(span: Span, instance: str) -> SpanRow:
    attributes = _mapping(span.attributes)
    failed = span.status.code == span.status.STATUS_CODE_ERROR
    about = subject_of(attributes, failed=failed)
    tool = None if about else attributes.get(s.GEN_AI_TOOL_NAME)
    outcome = about.outcome if about else outcome_of(attributes, failed=failed)
    ends_known = (
        about.end_known
        if about
        else outcome != Outcome.UNFINISHED and attributes.get(s.PAIRING) != Pairing.START_MISSING
    )
    events: list[Value] = [
        {"name": event.name, "time_ns": event.time_unix_nano, "attributes": _mapping(event.attributes)}
        for event in span.events
    ]
    return SpanRow(
        span_id=span.span_id.hex(),
        trace_id=span.trace_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        duration_ns=span.end_time_unix_nano - span.start_time_unix_nano if ends_known else None,
        status=STATUS[span.status.code] if 0 <= span.status.code < len(STATUS) else STATUS[0],
        tool=_text(tool),
        outcome=None if tool is None and about is None else str(outcome),
        emotion=_text(attributes.get(s.EMOTION_PRIMARY)),
        time_phase=_text(attributes.get(s.TIME_PHASE)),
        attributes=_json(attributes),
        events=_json(events) if events else None,
        instance=instance,
        kind=about.kind if about else None,
        agent=about.agent if about else None,
        subject=about.subject if about else None,
        # What an execution used is counted where the execution ended; the store sets that when it has the execution.
        counted_ns=span.end_time_unix_nano if about else None,
        input_tokens=about.input_tokens if about else None,
        output_tokens=about.output_tokens if about else None,
        cost_nano=about.cost_nano if about else None,
    )


def _log(record: LogRecord, instance: str) -> LogRow:
    attributes = _mapping(record.attributes)
    offset = attributes.get(s.LOG_FILE_RECORD_OFFSET)
    if isinstance(offset, int):
        identity = f"{record.event_name}@{offset}"
    else:
        # Two equal records of one instant are one: that is how a repeated request is known.
        identity = blake2b(record.SerializeToString(deterministic=True), digest_size=16).hexdigest()
    body = _value(record.body)
    return LogRow(
        instance=instance,
        time_ns=record.time_unix_nano or record.observed_time_unix_nano,
        identity=identity,
        offset=offset if isinstance(offset, int) else None,
        severity=record.severity_text,
        severity_number=record.severity_number,
        logger=_text(attributes.get(s.LOGGER)),
        tool=_text(attributes.get(s.GEN_AI_TOOL_NAME)),
        body=body if isinstance(body, str) else _json(body),
        trace_id=record.trace_id.hex() or None,
        span_id=record.span_id.hex() or None,
        attributes=_json(attributes),
        agent=subject_of_line(attributes),
    )


def _points(metric: Metric, instance: str) -> Iterator[tuple[SeriesRow, PointRow]]:
    kind = metric.WhichOneof("data") or ""
    for point in (*metric.sum.data_points, *metric.gauge.data_points):
        labels = _json(_mapping(point.attributes))
        yield SeriesRow(metric.name, kind, metric.unit, labels, instance), _number(point)
    for point in metric.histogram.data_points:
        labels = _json(_mapping(point.attributes))
        bounds = orjson.dumps(list(point.explicit_bounds)).decode()
        yield SeriesRow(metric.name, kind, metric.unit, labels, instance, bounds), _histogram(point)


def _number(point: NumberDataPoint) -> PointRow:
    value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    recorded = not point.flags & 1  # DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    return PointRow(point.time_unix_nano, point.start_time_unix_nano or None, value if recorded else None)


def _histogram(point: HistogramDataPoint) -> PointRow:
    return PointRow(
        point.time_unix_nano,
        point.start_time_unix_nano or None,
        count=point.count,
        sum=point.sum,
        buckets=orjson.dumps(list(point.bucket_counts)).decode(),
    )


def _mapping(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    match kind:
        case "array_value":
            return [_value(element) for element in value.array_value.values]
        case "kvlist_value":
            return _mapping(value.kvlist_value.values)
        case "bytes_value":
            return value.bytes_value.hex()
        case "string_value" | "bool_value" | "int_value" | "double_value":
            scalar: Value = getattr(value, kind)
            return scalar
        case _:  # no value, or of a kind that a later OTLP adds
            return None


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def _json(value: Value) -> str:
    # Sorted: equal sets of attributes are equal text, whatever order they came in.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
