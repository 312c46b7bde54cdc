"""Koubou's WebSocket, which says when to look at its database, and nothing else.

Whatever a message says stays unread: that it came is all that is taken from it. So a socket that lies, floods, hangs or
speaks nonsense changes nothing but how soon a row is looked at, and one that is out of reach not even that: databases
are looked at every `poll_s`, with this or without. On a local disk the notification of the write-ahead log comes first;
the socket is for where none comes, as through a container's mount or over a network.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger(__name__)

_CHANNELS: Final = ("task", "worker", "system")
_MESSAGES: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_MOST_BYTES: Final = 1024 * 1024
"""A message beyond it is refused at its header. What a real Koubou tells first has 100 characters of each open task."""
_READ_BYTES: Final = 16 * 1024
_LOOK_EVERY_S: Final = 0.1
"""However many messages come, nobody is woken more often; the rest waits at the sender's side, by TCP's own means."""
_REST: Final = 19
"""How many times as long as it worked a reading rests, at least: so it takes 5 % of a core, whatever is sent."""
_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 60.0
_STEADY_S: Final = 60.0
"""A connection that lasted so long was a good one: the next is tried for at once when it ends."""
_LEAVE_S: Final = 0.5

# The library tells its log what it reads. This one belongs to nobody, and writes nothing.
_SILENCE: Final = logging.Logger("silence", logging.CRITICAL + 1)  # noqa: LOG001 (nobody else is to find it)


class NoWebSocketError(Exception):
    """What answered speaks no WebSocket, or nothing came in time."""


class KoubouSocket:
    """A thread that listens, and sets an event when a message has come. `url` is a `ws:` or `wss:` address.

    Raises ConfigError where the address can be none. No redirect is followed, no proxy of the environment used, and a
    certificate that does not fit refused. `answer_s` is waited for a connection and for the server's part of the
    handshake; after `silence_s` without a byte it is asked whether it is still there.
    """

    def __init__(self, url: str, *, answer_s: float = 10.0, silence_s: float = 30.0) -> None:
        self._line = _Line(url, answer_s)
        self._silence_s = silence_s
        self._stop = threading.Event()
        self._jitter = random.Random()  # noqa: S311 (spreads retries, guards nothing)
        self._answering: bool | None = None
        self._thread: threading.Thread | None = None

    def start(self, changed: threading.Event) -> None:
        """Listen from now on, and set `changed` with each message, at most ten times a second."""
        self._thread = threading.Thread(target=self._run, args=(changed,), name="koubou-socket", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hang up. A name server that does not answer is not waited for."""
        self._stop.set()
        self._line.cut()
        if self._thread:
            self._thread.join(_LEAVE_S)

    def _run(self, changed: threading.Event) -> None:
        failures = 0
        while not self._stop.is_set():
            began_s = time.monotonic()
            # Whatever goes wrong, it is one connection less; and no error may tell what was sent.
            with contextlib.suppress(Exception), self._line.open() as protocol:
                self._listen(protocol, changed)
            self._say(answering=False)
            failures = 0 if time.monotonic() - began_s > _STEADY_S else failures + 1
            retry_s = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2 ** min(failures, 16))
            self._stop.wait(retry_s * self._jitter.uniform(0.5, 1.0))

    def _listen(self, protocol: ClientProtocol, changed: threading.Event) -> None:
        for channel in _CHANNELS:
            protocol.send_text(b'{"command": "subscribe", "channel": "%s"}' % channel.encode())
        self._line.flush(protocol)
        self._say(answering=True)
        # While nobody listened something may have been missed.
        changed.set()
        asked = False
        while protocol.state is State.OPEN and not self._stop.is_set():
            try:
                received = self._line.receive(self._silence_s)
            except TimeoutError:
                if asked:
                    return
                asked = True
                protocol.send_ping(b"")
                self._line.flush(protocol)
                continue
            if not received:
                return
            asked = False
            began_s = time.thread_time()
            protocol.receive_data(received)
            if any(isinstance(event, Frame) and event.opcode in _MESSAGES for event in protocol.events_received()):
                changed.set()
            self._line.flush(protocol)
            self._stop.wait(max(_LOOK_EVERY_S, (time.thread_time() - began_s) * _REST))

    def _say(self, *, answering: bool) -> None:
        if answering is not self._answering and not self._stop.is_set():
            self._answering = answering
            if answering:
                logger.info("the WebSocket of Koubou answers: it says when to look")
            else:
                logger.warning("the WebSocket of Koubou is out of reach: polling only")


def knock(url: str, *, within_s: float) -> None:
    """Open a connection and close it again.

    Raises ConfigError where the address can be none, OSError where nothing answers in time or its certificate does not
    fit, and NoWebSocketError where what answers speaks no WebSocket.
    """
    line = _Line(url, within_s)
    with line.open() as protocol:
        if protocol.state is State.OPEN:
            protocol.send_close(CloseCode.NORMAL_CLOSURE)
            line.flush(protocol)


class _Line:
    """One connection at a time, which another thread may cut."""

    def __init__(self, url: str, answer_s: float) -> None:
        reason = ""
        try:
            self._address = parse_uri(url)
        except (InvalidURI, ValueError):
            reason = "is no address of a WebSocket; ws://127.0.0.1:8766 would be one"
        if reason:
            raise ConfigError(f"EGOSCOPE_KOUBOU_URL: {reason}")
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    @contextlib.contextmanager
    def open(self) -> Generator[ClientProtocol]:
        """Connect and shake hands; hang up in the end."""
        until_s = time.monotonic() + self._answer_s
        address = self._address
        connected = socket.create_connection((address.host, address.port), self._answer_s)
        try:
            if address.secure:
                context = ssl.create_default_context()
                connected = context.wrap_socket(connected, server_hostname=address.host, do_handshake_on_connect=False)
            self._take(connected)
            if isinstance(connected, ssl.SSLSocket):
                connected.settimeout(_left(until_s))
                connected.do_handshake()
            yield self._shake_hands(until_s)
        finally:
            self._take(None)
            connected.close()

    def receive(self, within_s: float) -> bytes:
        """Return some of what was sent, nothing where the other end hung up; TimeoutError where nothing came."""
        connected = self._connected()
        connected.settimeout(within_s)
        return connected.recv(_READ_BYTES)

    def flush(self, protocol: ClientProtocol) -> None:
        """Send what the protocol has to say: subscriptions, and answers to pings."""
        connected = self._connected()
        connected.settimeout(self._answer_s)
        for sent in protocol.data_to_send():
            if sent:
                connected.sendall(sent)

    def cut(self) -> None:
        """End the connection for good, whatever the other thread waits for."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _take(self, connected: socket.socket | None) -> None:
        with self._lock:
            self._socket = connected
            if self._is_cut and connected is not None:
                raise ConnectionAbortedError

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionAbortedError
        return self._socket

    def _shake_hands(self, until_s: float) -> ClientProtocol:
        # Without extensions: what is not decompressed cannot swell.
        protocol = ClientProtocol(self._address, max_size=_MOST_BYTES, logger=_SILENCE)
        protocol.send_request(protocol.connect())
        self.flush(protocol)
        while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
            received = self.receive(_left(until_s))
            if received:
                protocol.receive_data(received)
            else:
                protocol.receive_eof()
        if protocol.handshake_exc is not None:
            raise NoWebSocketError
        return protocol


def _left(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
