"""A Collector in this process that takes every request, remembers it, and can be told to be away."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SERVICES: Final[dict[str, tuple[str, Any]]] = {
    "traces": ("trace.v1.TraceService", trace.ExportTraceServiceRequest),
    "metrics": ("metrics.v1.MetricsService", metrics.ExportMetricsServiceRequest),
    "logs": ("logs.v1.LogsService", logs.ExportLogsServiceRequest),
}
_ANSWERS: Final[dict[str, Any]] = {
    "traces": trace.ExportTraceServiceResponse,
    "metrics": metrics.ExportMetricsServiceResponse,
    "logs": logs.ExportLogsServiceResponse,
}


class Capture:
    """Takes OTLP over gRPC at `endpoint`."""

    def __init__(self) -> None:
        self.away = False
        """Whether every request is answered with UNAVAILABLE, and not kept."""
        self.requests: list[tuple[str, bytes]] = []
        """Signal and bytes, in the order in which they came."""
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=4), options=[("grpc.so_reuseport", 0)])
        for signal, (path, _) in _SERVICES.items():
            handlers: dict[str, Any] = {"Export": grpc.unary_unary_rpc_method_handler(self._taker(signal))}
            name = f"opentelemetry.proto.collector.{path}"
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()

    def _taker(self, signal: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def take(request: bytes, context: grpc.ServicerContext) -> bytes:
            if self.away:
                context.abort(grpc.StatusCode.UNAVAILABLE, "told to")
            with self._lock:
                self.requests.append((signal, request))
            return _ANSWERS[signal]().SerializeToString()

        return take

    def _resources(self, signal: str, service: str) -> Iterator[Any]:
        with self._lock:
            taken = [data for one, data in self.requests if one == signal]
        for data in taken:
            request = _SERVICES[signal][1].FromString(data)
            for resource in getattr(request, request.DESCRIPTOR.fields[0].name):
                if _value(resource.resource.attributes, "service.name") == service:
                    yield resource

    def records(self, service: str) -> Counter[str]:
        """Return how often each log record was taken, by its place in a file or, of a row, by time and sentence."""
        return Counter(
            _value(record.attributes, "log.file.record_offset") or f"{record.time_unix_nano} {record.body.string_value}"
            for resource in self._resources("logs", service)
            for scope in resource.scope_logs
            for record in scope.log_records
        )

    def spans(self, service: str) -> Counter[str]:
        """Return how often each span was taken, by its id in hex."""
        return Counter(
            span.span_id.hex()
            for resource in self._resources("traces", service)
            for scope in resource.scope_spans
            for span in scope.spans
        )

    def totals(self, service: str, metric: str) -> dict[tuple[str, ...], list[int]]:
        """Return the values of a counter, oldest request first, by instance and values of labels."""
        found: dict[tuple[str, ...], list[int]] = {}
        for resource in self._resources("metrics", service):
            instance = _value(resource.resource.attributes, "service.instance.id")
            for scope in resource.scope_metrics:
                for one in (each for each in scope.metrics if each.name == metric):
                    for point in one.sum.data_points:
                        labels = sorted((label.key, label.value.string_value) for label in point.attributes)
                        key = (instance, *(value for _, value in labels))
                        found.setdefault(key, []).append(point.as_int)
        return found


def _value(attributes: Any, key: str) -> str:
    return next((str(getattr(one.value, one.value.WhichOneof("value"))) for one in attributes if one.key == key), "")
