"""The SDK's OTLP exporter with its answer read, and `SpanData` as the span it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from egoscope.convert import semconv as s
from egoscope.convert.ids import otlp_id
from egoscope.errors import ConfigError
from egoscope.otlp.client import Accepted, Outcome, Rejected
from egoscope.otlp.grpc_client import outcome_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.resources import Resource

    from egoscope.tracerdb.base import EventData, SpanData

_SCOPE: Final = InstrumentationScope(s.SCOPE_NAME, schema_url=s.SCHEMA_URL)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_STATUSES: Final = {"UNSET": Status(), "OK": Status(StatusCode.OK), "ERROR": Status(StatusCode.ERROR)}
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),  # the server is near; a proxy meant for the web must not swallow it
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),
)


class SpanSender(OTLPSpanExporter):
    """The SDK's exporter, one call at a time: `export` keeps retrying, and says nothing of what was rejected."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], timeout_s: float) -> None:
        # The options are declared as pairs of strings, and gRPC wants ints for these.
        super().__init__(
            endpoint,
            headers=dict(headers) or None,
            timeout=timeout_s,
            channel_options=cast("tuple[tuple[str, str]]", _OPTIONS),
        )
        self._request = ExportTraceServiceRequest()

    def send(self, spans: Sequence[ReadableSpan]) -> Outcome:
        """Make one call."""
        self._request = encode_spans(spans)
        return self.again()

    def again(self) -> Outcome:
        """Make the last call anew, with the very same spans."""
        client = cast("Any", self._client)  # pyright: ignore[reportUnknownMemberType]
        if client is None:  # shut down
            return Rejected(0)
        try:
            response = client.Export(self._request, metadata=self._headers, timeout=self._timeout)
        except grpc.RpcError as error:
            return outcome_of(cast("grpc.Call", error))
        rejected = response.partial_success.rejected_spans
        return Rejected(rejected) if rejected else Accepted()


def target_of(endpoint: str) -> str:
    """Return the endpoint with its scheme. Without one the SDK would speak TLS, which nobody means by `host:port`."""
    target = endpoint if "://" in endpoint else f"http://{endpoint}"
    try:
        parts = urlsplit(target)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 0) > 0
        good = good and parts.username is None  # it would stand in errors; tokens belong into headers
    except ValueError:
        good = False
    if not good:
        raise ConfigError("the endpoint of Tempo is no address: http://host:port, https://host:port or host:port")
    return target


def readable(span: SpanData, events: Sequence[EventData], resource: Resource) -> ReadableSpan:
    """Make a span of the SDK. An id that is none of OpenTelemetry's is derived, and kept as an attribute."""
    trace_id, span_id = otlp_id(span.trace_id, 16), otlp_id(span.span_id, 8)
    attributes = dict(span.attributes)
    if trace_id != span.trace_id:
        attributes[s.RECORDED_TRACE_ID] = span.trace_id
    if span_id != span.span_id:
        attributes[s.RECORDED_SPAN_ID] = span.span_id
    return ReadableSpan(
        span.name,
        context=_context(trace_id, span_id),
        parent=_context(trace_id, otlp_id(span.parent_id, 8)) if span.parent_id else None,
        resource=resource,
        attributes=attributes,
        events=[Event(event.name, event.attributes, event.timestamp) for event in events],
        kind=SpanKind.INTERNAL,
        status=_STATUSES[span.status],
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
