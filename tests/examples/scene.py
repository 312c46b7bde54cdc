"""What tests of the examples need: a tracer that remembers, models that answer as told, and servers on loopback."""

from __future__ import annotations

import json
import socketserver
import sqlite3
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from egoscope.tracerdb import SQLiteTracer
from examples.multi_agent.models import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

SECRET: Final = "words that nobody else may read"


class Scripted:
    """A model that answers in turn; an exception is raised, a callable is called with the prompt."""

    name = "scripted"

    def __init__(self, *answers: str | Exception | Callable[[str], str]) -> None:
        self._answers = list(answers)
        self.prompts: list[tuple[str, str]] = []

    def answer(self, role: str, prompt: str) -> Answer:
        self.prompts.append((role, prompt))
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(said, Exception):
            raise said
        return Answer(said if isinstance(said, str) else said(prompt), 7)


class Traces:
    """A tracer into a file, and what stands there."""

    def __init__(self, path: Path, capture: Sequence[str] = ()) -> None:
        self.path = path
        self.tracer = SQLiteTracer(db_path=path, capture=capture)

    def spans(self) -> list[tuple[str, str]]:
        """Return names and statuses in the order in which they began."""
        return [(name, status) for name, status in self._ask("SELECT name, status FROM spans ORDER BY start, rowid")]

    def nodes(self) -> list[str]:
        """Return the names of nodes in the order in which they ran."""
        return [name for name, _ in self.spans()][1:]

    def events(self, node: str) -> list[tuple[str, dict[str, Any]]]:
        """Return names and attributes of a node's events."""
        asked = (
            "SELECT events.name, events.attributes FROM events JOIN spans USING (span_id) "
            "WHERE spans.name = ? ORDER BY id"
        )
        return [(name, json.loads(attributes)) for name, attributes in self._ask(asked, node)]

    def holds(self, text: str) -> bool:
        """Return whether a text stands anywhere in the file."""
        self.tracer.flush()
        with closing(sqlite3.connect(self.path)) as db:
            return any(text in line for line in db.iterdump())

    def _ask(self, statement: str, *values: str) -> list[Any]:
        self.tracer.flush()
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(statement, values).fetchall()


class Asked(NamedTuple):
    """One request: its path, its headers, and the JSON in it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Server(ThreadingHTTPServer):
    """Answers every POST as told, on loopback, and remembers what it was asked; a GET is well with it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [200]
        """The first answers first; the last one repeats."""
        self.body, self.location = b"", ""
        self.asked: list[Asked] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def no_http() -> Generator[str]:
    """Return the URL of a server on loopback that answers everything with SECRET, which is no HTTP."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _NoHttp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


class _NoHttp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(64 * 1024)
        self.request.sendall(f"{SECRET}\r\n".encode())


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast("Server", self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(server.statuses.pop(0) if len(server.statuses) > 1 else server.statuses[0])
        if server.location:
            self.send_header("Location", server.location)
        self.end_headers()
        self.wfile.write(server.body)

    def do_GET(self) -> None:
        """A POST that was redirected comes as one."""
        cast("Server", self.server).asked.append(Asked(self.path, {}, {}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 (the standard library's name)
