"""A trace back end in this process: takes what Tempo would take, remembers it, and answers as it is told to.

A real Tempo cannot be made to refuse, to accept partly or to hang on demand; where none is installed this stands in.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as stubs

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Answer(Enum):
    """What it says to the next requests; only `ACCEPT` and `PARTIAL` remember the spans."""

    ACCEPT = "accept"
    PARTIAL = "partial"
    """Accepts, and says that one span was rejected."""
    UNAVAILABLE = "unavailable"
    INVALID = "invalid"
    EXHAUSTED = "exhausted"
    NEVER = "never"
    """Does not answer as long as this is set."""


class FakeTempo(stubs.TraceServiceServicer):
    """The same interface as `servers.Tempo`; data survives stop and start."""

    name = "tempo"

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer = Answer.ACCEPT
        self._requests: list[wire.ExportTraceServiceRequest] = []
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def start(self) -> None:
        """Listen."""
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=8, thread_name_prefix="fake-tempo"),
            options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)],
        )
        stubs.add_TraceServiceServicer_to_server(self, self._server)  # pyright: ignore[reportUnknownMemberType]
        if self._server.add_insecure_port(f"127.0.0.1:{self.port}") != self.port:
            message = f"port {self.port} is taken"
            raise AssertionError(message)
        self._server.start()

    def stop(self) -> None:
        """Stop listening; what was taken is kept. Harmless when it is not running."""
        server, self._server = self._server, None
        if server is not None:
            self.answer = Answer.ACCEPT if self.answer is Answer.NEVER else self.answer
            server.stop(grace=None).wait()

    kill = stop

    def restart(self) -> None:
        """Stop and start again with the same port and data."""
        self.stop()
        self.start()

    def clear(self) -> None:
        """Forget everything taken so far."""
        with self._lock:
            self._requests.clear()

    def log_tail(self) -> str:
        """How much it has taken."""
        return f"--- {self.name} (fake) ---\n{len(self._requests)} requests taken"

    def raw(self) -> bytes:
        """Every byte taken so far, to search for what must not be there."""
        with self._lock:
            return b"".join(request.SerializeToString() for request in self._requests)

    def requests(self) -> list[wire.ExportTraceServiceRequest]:
        """Return the requests taken so far."""
        with self._lock:
            return list(self._requests)

    def spans(self) -> list[Span]:
        """Return the spans taken so far, one sent twice standing twice."""
        return [
            span
            for request in self.requests()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def Export(  # noqa: N802 (the name gRPC calls)
        self, request: wire.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> wire.ExportTraceServiceResponse:
        """Answer one request."""
        response: Any = wire.ExportTraceServiceResponse()
        match self.answer:
            case Answer.UNAVAILABLE:
                context.abort(grpc.StatusCode.UNAVAILABLE, "told to")
            case Answer.INVALID:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "told to")
            case Answer.EXHAUSTED:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "told to")
            case Answer.NEVER:
                left = threading.Event()
                context.add_callback(left.set)
                while self.answer is Answer.NEVER and not left.wait(0.05):
                    pass
                context.abort(grpc.StatusCode.CANCELLED, "told to")
            case Answer.PARTIAL:
                response.partial_success.rejected_spans = 1
                response.partial_success.error_message = "told to"
            case Answer.ACCEPT:
                pass
        with self._lock:
            self._requests.append(request)
        return response
