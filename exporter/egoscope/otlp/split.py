"""Halving a refused request until the bad item stands alone. Rare, so it goes through the generated messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from egoscope.otlp.client import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUESTS: Final[dict[Signal, Callable[[], Any]]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}
"""The generated message of each signal's export request."""


def item_lists(signal: Signal, request: Any) -> Iterator[Any]:  # noqa: ANN401 (generated messages are untyped)
    """Yield each repeated field that holds the request's spans, log records or metric points."""
    match signal:
        case Signal.TRACES:
            yield from (scope.spans for resource in request.resource_spans for scope in resource.scope_spans)
        case Signal.LOGS:
            yield from (scope.log_records for resource in request.resource_logs for scope in resource.scope_logs)
        case Signal.METRICS:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield getattr(metric, metric.WhichOneof("data")).data_points


def split_request(signal: Signal, data: bytes) -> list[tuple[bytes, int]] | None:
    """Return two requests with the first and the second half of the items, or None where only one item is left.

    Order is kept: every item of the first half stands before every item of the second one.
    """
    whole = _parse(signal, data)
    total = sum(len(items) for items in item_lists(signal, whole))
    if total <= 1:
        return None
    middle = total // 2
    return [
        (_keep(signal, data, 0, middle), middle),
        (_keep(signal, data, middle, total), total - middle),
    ]


def _parse(signal: Signal, data: bytes) -> Any:  # noqa: ANN401
    request = REQUESTS[signal]()
    request.ParseFromString(data)
    return request


def _keep(signal: Signal, data: bytes, first: int, last: int) -> bytes:
    request = _parse(signal, data)
    seen = 0
    for items in item_lists(signal, request):
        count = len(items)
        low, high = max(first - seen, 0), min(last - seen, count)
        if low >= high:
            del items[:]
        else:
            del items[high:]
            del items[:low]
        seen += count
    if signal is Signal.METRICS:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for place in reversed(range(len(scope.metrics))):
                    metric = scope.metrics[place]
                    if not getattr(metric, metric.WhichOneof("data")).data_points:
                        del scope.metrics[place]
    return request.SerializeToString(deterministic=True)
