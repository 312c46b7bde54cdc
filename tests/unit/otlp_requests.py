"""OTLP export requests as the sidecar sends them, for tests of whatever takes them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 1_000_000_000
T0 = 1_795_000_000 * SECOND


def attributes(**values: str | float) -> list[KeyValue]:
    """Attributes with `__` for the dot in their names."""
    return [KeyValue(key=name.replace("__", "."), value=_value(value)) for name, value in values.items()]


def _value(value: str | float) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)


def agent(instance: str, service: str = "ego-mcp") -> Resource:
    """Return the resource of one log file."""
    return Resource(attributes=attributes(service__name=service, service__instance__id=instance))


RESOURCE = agent("i1")


def trace_request(spans: Sequence[Span], resource: Resource = RESOURCE) -> bytes:
    """One trace request of one resource."""
    groups = [ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])]
    return ExportTraceServiceRequest(resource_spans=groups).SerializeToString()


def log_request(records: Sequence[LogRecord], resource: Resource = RESOURCE) -> bytes:
    """One log request of one resource."""
    groups = [ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=records)])]
    return ExportLogsServiceRequest(resource_logs=groups).SerializeToString()


def metric_request(metrics: Sequence[Metric], resource: Resource = RESOURCE) -> bytes:
    """One metric request of one resource."""
    groups = [ResourceMetrics(resource=resource, scope_metrics=[ScopeMetrics(metrics=metrics)])]
    return ExportMetricsServiceRequest(resource_metrics=groups).SerializeToString()


def span(
    number: int,
    *,
    end: int = T0,
    seconds: float = 0.04,
    tool: str = "remember",
    failed: bool = False,
    said: dict[str, str | float] | None = None,
) -> Span:
    """One call that ended at `end`; `said` are more attributes."""
    return Span(
        span_id=number.to_bytes(8, "big"),
        trace_id=number.to_bytes(16, "big"),
        name=f"tools/call {tool}",
        start_time_unix_nano=end - round(seconds * SECOND),
        end_time_unix_nano=end,
        status=Status(code=Status.STATUS_CODE_ERROR) if failed else None,
        attributes=attributes(gen_ai__tool__name=tool, **(said or {})),
        events=[Span.Event(name="log", time_unix_nano=end - 1)],
    )


def record(
    offset: int | None, *, time: int = T0, body: str = "remember completed in 40 ms", severity: str = "INFO"
) -> LogRecord:
    """One line of the log."""
    place = {} if offset is None else {"log__file__record_offset": offset}
    return LogRecord(
        time_unix_nano=time,
        severity_text=severity,
        severity_number=9,  # pyright: ignore[reportArgumentType] -- the stub wants the enum's own type
        body=AnyValue(string_value=body),
        attributes=attributes(ego__logger="ego_mcp.server", **place),
    )


def calls(value: int, *, time: int = T0) -> Metric:
    """One point of the counter of calls."""
    point = NumberDataPoint(time_unix_nano=time, as_int=value, attributes=attributes(tool="remember", outcome="ok"))
    return Metric(name="ego.calls", unit="{call}", sum=Sum(data_points=[point], is_monotonic=True))


def gauge(name: str, value: float, *, time: int = T0, **labels: str) -> Metric:
    """One point of a gauge."""
    point = NumberDataPoint(time_unix_nano=time, as_double=value, attributes=attributes(**labels))
    return Metric(name=name, gauge=Gauge(data_points=[point]))


def durations(*, time: int = T0) -> Metric:
    """One point of a histogram."""
    point = HistogramDataPoint(
        time_unix_nano=time, count=3, sum=0.5, explicit_bounds=[0.1, 1.0], bucket_counts=[1, 2, 0]
    )
    return Metric(name="gen_ai.execute_tool.duration", unit="s", histogram=Histogram(data_points=[point]))
