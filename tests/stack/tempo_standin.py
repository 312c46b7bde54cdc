"""A stand-in for Tempo where it cannot be had: takes spans over OTLP and tells how many. Runs in the sidecar's image.

GET :3200/ready answers 200; GET :3200/spans answers the number of different span ids taken so far.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as stubs

if TYPE_CHECKING:
    from typing import Any

taken: set[bytes] = set()


class Traces(stubs.TraceServiceServicer):
    """Accepts every span."""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 (the stub's)
        """Take the spans of one request."""
        taken.update(s.span_id for r in request.resource_spans for scope in r.scope_spans for s in scope.spans)
        return wire.ExportTraceServiceResponse()


class Answers(BaseHTTPRequestHandler):
    """Answers like Tempo where the stack asks it."""

    def do_GET(self) -> None:
        """Answer one of the two pages."""
        known = {"/ready": "ready", "/spans": str(len(taken))}
        path = self.path.partition("?")[0]
        self.send_response(200 if path in known else 404)
        self.end_headers()
        self.wfile.write(known.get(path, "").encode())


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    stubs.add_TraceServiceServicer_to_server(Traces(), server)  # pyright: ignore[reportUnknownMemberType]
    server.add_insecure_port("0.0.0.0:4317")
    server.start()
    ThreadingHTTPServer(("0.0.0.0", 3200), Answers).serve_forever()  # noqa: S104 (inside the test's network)
