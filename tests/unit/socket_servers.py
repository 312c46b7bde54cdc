"""Servers on loopback that a WebSocket client may meet: good ones, and those that misbehave."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from websockets.sync.server import serve

from tests.stack.processes import free_ports

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator

    from websockets.sync.server import ServerConnection

CANARY: Final = "CANARY-SOCKET-5b1d0f7c"
"""Stands in everything these servers say."""
_MUTE: Final = logging.Logger("mute", logging.CRITICAL + 1)  # noqa: LOG001 (what a server under test logs is no matter)
_PATIENCE_S: Final = 180.0


def until(condition: Callable[[], object], what: str, *, within_s: float = _PATIENCE_S) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        threading.Event().wait(0.005)


class Server:
    """A server's address, and how many connections it was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0
        self.asked = b""
        """What was sent to a raw server, of all connections together."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@contextlib.contextmanager
def websocket_server(
    talk: Callable[[ServerConnection], None], *, tls: ssl.SSLContext | None = None, port: int = 0
) -> Generator[Server]:
    """Run a real WebSocket server that talks so with each client."""

    def handle(connection: ServerConnection) -> None:
        server.connections += 1
        # However a client leaves: that is no failure of the server's.
        with contextlib.suppress(Exception):
            talk(connection)

    with serve(handle, "127.0.0.1", port, ssl=tls, logger=_MUTE, close_timeout=0.2, ping_interval=None) as running:
        server = Server(running.socket.getsockname()[1])
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            # It waits for all who are talked to; their clients have gone by now.
            running.shutdown()
            thread.join()


@contextlib.contextmanager
def raw_server(answer: Callable[[socket.socket], None], *, port: int = 0) -> Generator[Server]:
    """Run a TCP server that reads a request, does as it is told, and hangs up."""
    listening = socket.create_server(("127.0.0.1", port))
    server = Server(listening.getsockname()[1])
    open_ones: list[socket.socket] = []

    def serve_one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            server.asked += connection.recv(65536)
            answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                server.connections += 1
                open_ones.append(connection)
                threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server
    finally:
        # A blocked accept ends by it, and so does whoever is answered still.
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


def free_port() -> int:
    """Return a port on which nothing listens, nor will before it is used."""
    (port,) = free_ports(1)
    return port
