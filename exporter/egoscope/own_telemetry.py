"""The sidecar about itself: metrics and logs through the OpenTelemetry SDK, to wherever the agents' data goes.

Losing one of these is no loss of data, so the SDK's batching is good enough here; agents' data never goes this way.
The SDK's OTLP exporters are not used: they have a retry loop of their own and would not see a rotated token.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.otlp.client import Accepted, Rejected, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData

    from egoscope.model.telemetry import Attribute
    from egoscope.otlp.client import Exporter

EXPORT_EVERY_MS: Final = 15_000


class LabelledValue(NamedTuple):
    """A value of a gauge that has labels."""

    labels: Mapping[str, str]
    value: float


if TYPE_CHECKING:
    Gauge: TypeAlias = Callable[[], float | Iterable[LabelledValue]]
    """What to ask for the value now of a gauge or of a counter, or for all its values where it has labels."""


class _Metrics(MetricExporter):
    def __init__(self, exporter: Exporter) -> None:
        super().__init__()
        self._exporter = exporter

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        request = encode_metrics(metrics_data).SerializeToString()
        sent = isinstance(self._exporter.send(Signal.METRICS, request), Accepted | Rejected)
        return MetricExportResult.SUCCESS if sent else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        pass


class _Logs(LogRecordExporter):
    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        outcome = self._exporter.send(Signal.LOGS, encode_logs(batch).SerializeToString())
        sent = isinstance(outcome, Accepted | Rejected)
        return LogRecordExportResult.SUCCESS if sent else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True

    def shutdown(self) -> None:
        pass


class OwnTelemetry:
    """Meter and logger of the sidecar. `gauges`: metric of the catalogue -> what to ask for its value."""

    def __init__(
        self,
        exporter: Exporter,
        resource: Sequence[Attribute],
        gauges: Mapping[c.Metric, Gauge],
    ) -> None:
        described = Resource(dict(resource), s.SCHEMA_URL)
        reader = PeriodicExportingMetricReader(_Metrics(exporter), export_interval_millis=EXPORT_EVERY_MS)
        self._meters = MeterProvider(metric_readers=[reader], resource=described, shutdown_on_exit=False)
        meter = self._meters.get_meter(s.SCOPE_NAME)
        for metric, ask in gauges.items():
            is_counter = metric.kind is c.Kind.COUNTER
            create = meter.create_observable_counter if is_counter else meter.create_observable_gauge
            create(metric.name, [_observe(ask)], metric.unit, metric.description)
        self._sends = meter.create_counter(c.SENDS.name, c.SENDS.unit, c.SENDS.description)
        self._loggers = LoggerProvider(resource=described, shutdown_on_exit=False)
        self._loggers.add_log_record_processor(BatchLogRecordProcessor(_Logs(exporter)))
        self._handler = LoggingHandler(logging.INFO, self._loggers)
        self._handler.addFilter(lambda record: record.exc_info is None)  # a traceback can quote content
        logging.getLogger("egoscope").addHandler(self._handler)

    def sent(self, signal: Signal, outcome: str) -> None:
        """Count one answer to a request."""
        self._sends.add(1, {s.SIGNAL: signal.value, s.LABEL_OUTCOME: outcome})

    def close(self) -> None:
        """Send what is left and stop."""
        logging.getLogger("egoscope").removeHandler(self._handler)
        self._loggers.shutdown()
        self._meters.shutdown()


def _observe(ask: Gauge) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_options: CallbackOptions) -> Iterable[Observation]:
        answer = ask()
        if isinstance(answer, float | int):
            yield Observation(answer)
        else:
            yield from (Observation(one.value, one.labels) for one in answer)

    return callback
