"""Sending over gRPC with the generated service's paths; `partial_success` is read, nothing is retried here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from egoscope.errors import ConfigError
from egoscope.otlp.client import Accepted, Outcome, Refused, Rejected, Signal, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)

_SERVICES: Final[dict[Signal, tuple[str, Any, str]]] = {
    Signal.TRACES: ("trace.v1.TraceService", ExportTraceServiceResponse, "rejected_spans"),
    Signal.METRICS: ("metrics.v1.MetricsService", ExportMetricsServiceResponse, "rejected_data_points"),
    Signal.LOGS: ("logs.v1.LogsService", ExportLogsServiceResponse, "rejected_log_records"),
}

# Permanent by the OTLP specification ("Failures", v1.7): all else but these may be tried again.
_PERMANENT: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),  # the Collector is near; a proxy meant for the web must not swallow it
    ("grpc.enable_retries", 0),  # the outbox has the only retry loop
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.keepalive_time_ms", 30_000),
)


class GrpcExporter:
    """Sends to an OTLP gRPC endpoint, usually the Collector. Thread-safe."""

    def __init__(
        self,
        endpoint: str,
        *,
        timeout_s: float = 30.0,
        token_file: Path | None = None,
        tls: bool = False,
        ca_file: Path | None = None,
    ) -> None:
        """`endpoint` is host:port. The token file is read at each call, so that a token can be rotated."""
        self._timeout_s, self._token_file = timeout_s, token_file
        if tls or ca_file:
            credentials = grpc.ssl_channel_credentials(_read(ca_file, "EGOSCOPE_COLLECTOR_CA_FILE"))
            self._channel = grpc.secure_channel(endpoint, credentials, options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(endpoint, options=_OPTIONS)
        self._calls = {
            signal: cast(
                "Callable[..., Any]",
                self._channel.unary_unary(
                    f"/opentelemetry.proto.collector.{path}/Export",
                    request_serializer=None,  # bytes go as they stand
                    response_deserializer=response.FromString,
                ),
            )
            for signal, (path, response, _) in _SERVICES.items()
        }

    def send(self, signal: Signal, request: bytes) -> Outcome:
        """See `Exporter.send`."""
        try:
            metadata = self._metadata()
        except OSError:
            return Unavailable("TOKEN_FILE")
        try:
            response = self._calls[signal](request, timeout=self._timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            return outcome_of(cast("grpc.Call", error))
        rejected = getattr(response.partial_success, _SERVICES[signal][2])
        return Rejected(rejected) if rejected else Accepted()

    def close(self) -> None:
        """See `Exporter.close`."""
        self._channel.close()

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._token_file is None:
            return ()
        return (("authorization", f"Bearer {self._token_file.read_text().strip()}"),)


def outcome_of(error: grpc.Call) -> Refused | Unavailable:
    """Tell what a failed call means: permanent by the OTLP specification, or to be tried again."""
    code = error.code()
    if code in _PERMANENT:
        return Refused(code.name)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _too_large(error):
        return Refused("TOO_LARGE")
    return Unavailable(code.name)


def _too_large(error: grpc.Call) -> bool:
    """Tell a request above the server's limit, which halves will pass, from a server that is busy."""
    return "larger than max" in (error.details() or "")


def _read(path: Path | None, option: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}: cannot read {path} ({error.strerror}): name a readable PEM file") from None
