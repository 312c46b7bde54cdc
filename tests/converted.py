"""Conversion from lines to what a back end would read: every request is parsed back with opentelemetry-proto."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from egoscope.convert.ids import Ids
from egoscope.convert.instance import InstanceConversion, InstanceState
from egoscope.feeds import build_format
from egoscope.otlp.client import Signal
from egoscope.otlp.requests import encode_telemetry
from egoscope.sources.base import Lines
from egoscope.sources.lines import convert_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from egoscope.convert.conversion import Telemetry
    from egoscope.convert.series import SeriesRow
    from egoscope.sources.ego_mcp import EgoMcpFormat

KEY: Final = bytes(range(32))
RESOURCE: Final = (("service.name", "ego-mcp"), ("service.instance.id", "i1"))
LATER_NS: Final = 4_102_444_800 * 10**9  # 2100: no line is in the future

Scalar = str | bool | int | float
SeriesKey = tuple[str, tuple[tuple[str, Scalar], ...]]
Value = int | float | tuple[float, tuple[int, ...]]
"""Of a counter or gauge the number, of a histogram the sum and the counts by bucket."""


def scalars(attributes: Iterable[KeyValue]) -> dict[str, Scalar]:
    """Return attributes by name; a key that stands twice is an error."""
    pairs = [(one.key, getattr(one.value, str(one.value.WhichOneof("value")))) for one in attributes]
    assert len(dict(pairs)) == len(pairs), "an attribute stands twice"
    return dict(pairs)


@dataclass
class Sent:
    """What a back end was told, signal by signal, in the order it was told."""

    sizes: list[int] = field(default_factory=list[int])
    spans: list[Span] = field(default_factory=list["Span"])
    logs: list[LogRecord] = field(default_factory=list["LogRecord"])
    points: defaultdict[SeriesKey, list[tuple[int, Value]]] = field(
        default_factory=lambda: defaultdict[SeriesKey, list[tuple[int, Value]]](list)
    )
    raw: bytes = b""

    def add(self, signal: Signal, data: bytes) -> int:
        """Read one request; return how many items are in it."""
        self.sizes.append(len(data))
        self.raw += data
        before = len(self.spans) + len(self.logs) + sum(map(len, self.points.values()))
        match signal:
            case Signal.TRACES:
                traces = ExportTraceServiceRequest.FromString(data)
                self.spans += [span for one in traces.resource_spans for two in one.scope_spans for span in two.spans]
            case Signal.LOGS:
                logs = ExportLogsServiceRequest.FromString(data)
                self.logs += [log for one in logs.resource_logs for two in one.scope_logs for log in two.log_records]
            case Signal.METRICS:
                metrics = ExportMetricsServiceRequest.FromString(data)
                for metric in (m for one in metrics.resource_metrics for two in one.scope_metrics for m in two.metrics):
                    self._add_metric(metric)
        return len(self.spans) + len(self.logs) + sum(map(len, self.points.values())) - before

    def _add_metric(self, metric: Metric) -> None:
        for point in points_of(metric):
            attributes = tuple(sorted(scalars(point.attributes).items()))
            self.points[metric.name, attributes].append((point.time_unix_nano // 1_000_000, value_of(point)))

    def series(self, metric: str, **attributes: str) -> list[tuple[int, Value]]:
        """Return the points of one series; attributes' names without dots."""
        return self.points.get((metric, tuple(sorted(attributes.items()))), [])

    def total(self, metric: str) -> float:
        """Return the sum over all series of a counter of what each says last."""
        last = [points[-1][1] for (name, _), points in self.points.items() if name == metric]
        return sum(value for value in last if not isinstance(value, tuple))

    def bodies(self) -> list[str]:
        """Return the bodies of all log records."""
        return [log.body.string_value for log in self.logs]


def points_of(metric: Metric) -> Iterator[NumberDataPoint | HistogramDataPoint]:
    """Yield the points of a metric of whatever kind."""
    match metric.WhichOneof("data"):
        case "gauge":
            yield from metric.gauge.data_points
        case "sum":
            yield from metric.sum.data_points
        case "histogram":
            yield from metric.histogram.data_points
        case other:
            raise AssertionError(other)


def value_of(point: NumberDataPoint | HistogramDataPoint) -> Value:
    """Return what a point says."""
    if not hasattr(point, "bucket_counts"):
        return getattr(point, str(point.WhichOneof("value")))  # type: ignore[arg-type]
    return point.sum, tuple(point.bucket_counts)  # type: ignore[union-attr]


class Converting:
    """One instance being converted, batch by batch, as the pipeline does it."""

    def __init__(
        self,
        state: InstanceState | None = None,
        series: list[SeriesRow] | None = None,
        *,
        log_format: EgoMcpFormat | None = None,
        offset: int = 0,
    ) -> None:
        """`offset`: where the next line starts."""
        self.format = log_format or build_format(KEY, None)
        self.conversion = InstanceConversion(Ids(KEY, "i1"), state or InstanceState(), series or [])
        self.sent = Sent()
        self.unparsable: Counter[str] = Counter()
        self.offset = offset

    def batch(self, lines: Sequence[bytes], *, now_ns: int = LATER_NS) -> Telemetry:
        """Convert and encode complete lines."""
        end = self.offset + sum(len(line) + 1 for line in lines)
        self.unparsable += convert_lines(self.format, self.conversion, Lines(self.offset, end, lines), now_ns=now_ns)
        self.offset = end
        return self.drain()

    def drain(self) -> Telemetry:
        """Encode what is there."""
        telemetry = self.conversion.drain()
        for request in encode_telemetry(telemetry, RESOURCE):
            assert self.sent.add(request.signal, request.data) == request.count
        return telemetry


def convert(*batches: Sequence[bytes], now_ns: int = LATER_NS) -> Sent:
    """Convert batches of lines of a new file and return all that a back end would be told."""
    converting = Converting()
    for lines in batches:
        converting.batch(lines, now_ns=now_ns)
    return converting.sent
