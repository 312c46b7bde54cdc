"""/healthz and /readyz on loopback: whether the sidecar is alive, and whether it does its work."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import orjson

from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class HealthServer:
    """Serves two pages. `ready`: what is not as it should be, by name; empty when all is well."""

    def __init__(self, host: str, port: int, ready: Callable[[], Mapping[str, str]]) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/healthz":
                    self._answer(200, {"status": "alive"})
                elif self.path == "/readyz":
                    problems = ready()
                    self._answer(503 if problems else 200, {"status": "not ready" if problems else "ready", **problems})
                else:
                    self._answer(404, {"status": "try /healthz or /readyz"})

            def _answer(self, status: int, body: Mapping[str, str]) -> None:
                data = orjson.dumps(body) + b"\n"
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing: a probe every few seconds is no news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Page)
        except OSError as error:
            raise ConfigError(
                f"EGOSCOPE_HEALTH_PORT: cannot listen on {host}:{port} ({error.strerror}): choose another port"
            ) from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
