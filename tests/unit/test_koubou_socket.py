"""Koubou's WebSocket says when to look; nothing it does or leaves undone changes anything else."""

from __future__ import annotations

import json
import logging
import re
import shutil
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from socket_servers import CANARY, free_port, raw_server, until, websocket_server
from websockets.protocol import State
from websockets.utils import accept_key

from egoscope.errors import ConfigError
from egoscope.sources.koubou_socket import KoubouSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator
    from pathlib import Path

    from websockets.sync.server import ServerConnection

ANSWERS: Final = "the WebSocket of Koubou answers: it says when to look"
OUT_OF_REACH: Final = "the WebSocket of Koubou is out of reach: polling only"
SAID: Final = json.dumps({"type": "task_update", "task_id": CANARY, "details": {"summary": CANARY}})
ANSWER_S: Final = 20.0
HANDSHAKE: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class Looks(threading.Event):
    """The event that wakes the reading thread, and how often it was set."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def set(self) -> None:
        self.count += 1
        super().set()


@contextmanager
def listening(url: str, *, answer_s: float = ANSWER_S, silence_s: float = 3600.0) -> Generator[Looks]:
    """Listen at an address; at the end it is let go at once, and the thread is gone."""
    looks = Looks()
    koubou = KoubouSocket(url, answer_s=answer_s, silence_s=silence_s)
    koubou.start(looks)
    try:
        yield looks
    finally:
        began = time.monotonic()
        koubou.stop()
        assert time.monotonic() - began < ANSWER_S / 2, "nobody is waited for"
        until(lambda: "koubou-socket" not in {thread.name for thread in threading.enumerate()}, "the thread's end")


@pytest.fixture(autouse=True)
def _all_is_logged(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Whatever happens, and however much is logged: constant sentences, and nothing that was received."""
    caplog.set_level(logging.DEBUG)
    yield
    assert {record.getMessage() for record in caplog.records} <= {ANSWERS, OUT_OF_REACH}
    assert all(record.exc_info is None for record in caplog.records)
    assert CANARY not in caplog.text


def sentences(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_it_subscribes_to_everything_and_each_message_is_a_reason_to_look(caplog: pytest.LogCaptureFixture) -> None:
    subscribed: list[object] = []
    say = threading.Event()

    def koubou(connection: ServerConnection) -> None:
        connection.send(json.dumps({"type": "initial_state", "data": CANARY}))
        for _ in range(3):
            command = json.loads(connection.recv())
            subscribed.append(command)
            connection.send(json.dumps({"type": "subscribed", "channel": command["channel"]}))
        while connection.state is State.OPEN:
            if say.wait(0.05):
                say.clear()
                connection.send(SAID)

    with websocket_server(koubou) as server, listening(server.url) as looks:
        until(lambda: len(subscribed) == 3, "three subscriptions")
        assert subscribed == [{"command": "subscribe", "channel": name} for name in ("task", "worker", "system")]
        for _ in range(3):
            # What was said before is over: then only the next message can set it.
            quiet = -1
            while quiet != looks.count:
                quiet = looks.count
                threading.Event().wait(0.4)
            looks.clear()
            say.set()
            assert looks.wait(180)
        assert sentences(caplog) == [ANSWERS]


def stay(connection: ServerConnection) -> None:
    """Listen until the client goes."""
    for _ in connection:
        pass


def speak(connection: ServerConnection) -> None:
    """Say something, and stay: one that hangs up at once may not be heard."""
    connection.send(SAID)
    stay(connection)


def hang(connection: socket.socket) -> None:
    connection.recv(1)


def drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"H")
        threading.Event().wait(0.02)


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.sendall(answer)

    return act


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(HANDSHAKE)
    while True:
        connection.sendall(f"X-{CANARY}: {CANARY}\r\n".encode() * 100)


def endless_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(CANARY.encode() * 1000)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(says(b""), id="closes at once"),
        pytest.param(hang, id="hangs in the handshake"),
        pytest.param(drip, id="answers a byte at a time"),
        pytest.param(says(b"\x00\xff\xfe" * 5000), id="answers in binary"),
        pytest.param(says(f"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{CANARY}".encode()), id="is a web server"),
        pytest.param(says(f"HTTP/1.1 503 {CANARY}\r\nContent-Length: 0\r\n\r\n".encode()), id="is overloaded"),
        pytest.param(says(HANDSHAKE + b"Sec-WebSocket-Accept: bm9uc2Vuc2U=\r\n\r\n"), id="accepts another key"),
        pytest.param(endless_headers, id="sends headers without end"),
        pytest.param(endless_body, id="sends a page without end"),
    ],
)
def test_what_does_not_shake_hands_is_tried_again_and_told_once(
    answer: Callable[[socket.socket], None], caplog: pytest.LogCaptureFixture
) -> None:
    with raw_server(answer) as server, listening(server.url, answer_s=0.4) as looks:
        until(lambda: server.connections >= 3, "a third attempt")
        assert looks.count == 0
        assert sentences(caplog) == [OUT_OF_REACH]


def test_a_redirect_is_not_followed() -> None:
    """Nor is what came before it sent elsewhere."""
    with raw_server(hang) as elsewhere:
        for status in (b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"):
            moved = b"HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, elsewhere.url.encode())
            with raw_server(says(moved)) as server, listening(server.url, answer_s=0.4):
                until(lambda server=server: server.connections >= 2, "a second attempt")
        assert elsewhere.connections == 0


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(hang) as proxy, websocket_server(speak) as server:
        for name in ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "all_proxy", "socks_proxy"):
            for spelled in (name, name.upper()):
                monkeypatch.setenv(spelled, f"http://127.0.0.1:{proxy.port}")
        with listening(server.url) as looks:
            assert looks.wait(180)
        assert proxy.connections == 0


@pytest.mark.parametrize("where", [None, "no-such-host.invalid"], ids=["nothing listens", "the name is of nothing"])
def test_where_nothing_is_it_is_tried_again_and_told_once(where: str | None, caplog: pytest.LogCaptureFixture) -> None:
    with listening(f"ws://{where or '127.0.0.1'}:{free_port()}", answer_s=0.4) as looks:
        until(lambda: sentences(caplog), "a sentence")
        assert not looks.wait(1.5)
    assert sentences(caplog) == [OUT_OF_REACH]


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    about = ["-x509", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *about, *made], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with websocket_server(speak, tls=tls) as server:
        with listening(f"wss://127.0.0.1:{server.port}", answer_s=2.0) as looks:
            until(lambda: sentences(caplog), "a sentence")
            assert looks.count == server.connections == 0
        assert sentences(caplog) == [OUT_OF_REACH]
        caplog.clear()
        # It is the certificate that was refused: where it is known, the same server is listened to.
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(certificate))
            with listening(f"wss://127.0.0.1:{server.port}") as looks:
                assert looks.wait(180)
    # A server without TLS is none with a bad certificate.
    with (
        websocket_server(speak) as server,
        listening(f"wss://127.0.0.1:{server.port}", answer_s=2.0) as looks,
    ):
        assert not looks.wait(1.0)


def raw(frames: bytes) -> Callable[[ServerConnection], None]:
    def talk(connection: ServerConnection) -> None:
        connection.socket.sendall(frames)
        stay(connection)

    return talk


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x81\x7f" + (100 * 1024 * 1024).to_bytes(8) + b"x" * 1000, id="a message of 100 MB"),
        pytest.param(b"\x81\x7f" + (2**62).to_bytes(8), id="a message of exabytes"),
        pytest.param(b"\xc1\x05" + b"x" * 5, id="compressed, though nobody asked for it"),
        pytest.param(b"\x81\x85abcd" + b"x" * 5, id="masked, as only clients do"),
        pytest.param(b"\x83\x00", id="of a kind that does not exist"),
        pytest.param(b"\x89\x7e\x01\x00" + b"x" * 256, id="a ping that is too long"),
        pytest.param(b"\x80\x05" + b"x" * 5, id="the end of what never began"),
        pytest.param(b"\x88" + bytes([len(CANARY) + 2]) + b"\x03\xe8" + CANARY.encode(), id="a farewell"),
        pytest.param(b"\x88\x01x", id="half a farewell"),
    ],
)
def test_frames_of_nonsense_end_the_connection_and_the_next_one_is_as_good(
    frames: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with websocket_server(raw(frames)) as server, listening(server.url) as looks:
        until(lambda: server.connections >= 2, "a second connection")
        # A look for each connection, for something may have been missed; none for what was in it.
        until(lambda: looks.count <= server.connections, "no more looks than connections")
        assert OUT_OF_REACH in sentences(caplog)


def test_messages_that_nobody_could_read_are_messages() -> None:
    """They are not read: binary, no UTF-8, no JSON, in pieces; the connection stays."""
    frames = (
        b"\x82\x04\x00\xff\x00\xff",
        b"\x81\x03\xff\xfe\xfd",
        b"\x81\x04{{{{",
        b"\x01\x02ab\x00\x02cd\x80\x00",
        b"\x81\x00",
    )
    looked: list[int] = []

    def talk(connection: ServerConnection) -> None:
        for frame in frames:
            before = looks.count
            connection.socket.sendall(frame)
            until(lambda before=before: looks.count > before, "a look")
            looked.append(looks.count)
        stay(connection)

    with websocket_server(talk) as server, listening(server.url) as looks:
        until(lambda: len(looked) == len(frames), "a look for each")
        assert server.connections == 1


def until_it_works(clock: int) -> None:
    """Return when a thread that rested begins to work: from one such moment to another it has rested as it should."""
    busy, since = time.clock_gettime(clock), time.monotonic()
    while time.monotonic() - since < 0.05:
        time.sleep(0.005)
        if (now := time.clock_gettime(clock)) != busy:
            busy, since = now, time.monotonic()
    until(lambda: time.clock_gettime(clock) != busy, "the thread works again")


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"\x81\x7e" + len(SAID).to_bytes(2) + SAID.encode(), id="messages"),
        pytest.param(b"\x81\x00", id="messages of nothing"),
        pytest.param(b"\x82\x7f" + (900 * 1024).to_bytes(8) + b"x" * (900 * 1024), id="messages just below the bound"),
        pytest.param(b"\x89\x7d" + b"p" * 125, id="pings"),
    ],
)
def test_a_flood_waits_at_its_sender_and_costs_next_to_nothing(flood: bytes) -> None:
    """Looks are bounded, and so are the thread's CPU time and what it takes in."""
    sent = [0]
    burst = flood * max(1, 65536 // len(flood))

    def talk(connection: ServerConnection) -> None:
        while True:
            connection.socket.sendall(burst)
            sent[0] += len(burst)

    with websocket_server(talk) as server, listening(server.url) as looks:
        until(lambda: sent[0] > 65536, "the flood")
        (thread,) = (one for one in threading.enumerate() if one.name == "koubou-socket")
        assert thread.ident is not None
        clock = time.pthread_getcpuclockid(thread.ident)
        until_it_works(clock)
        began, busy, count = time.monotonic(), time.clock_gettime(clock), looks.count
        while time.monotonic() - began < 3.0:
            until_it_works(clock)
        took = time.monotonic() - began
        assert looks.count - count <= took * 10 + 1
        assert (time.clock_gettime(clock) - busy) / took < 0.1
        # Beside what was read, only what the kernel's buffers hold.
        assert sent[0] < 32 * 1024 * 1024
        assert server.connections == 1


def test_a_server_that_is_silent_for_hours_is_asked_whether_it_is_there_and_kept() -> None:
    pings = [0]

    def talk(connection: ServerConnection) -> None:
        # The library answers pings while it waits; only how many came is of interest.
        received = connection.protocol.recv_frame

        def counted(frame: object) -> None:
            pings[0] += getattr(frame, "opcode", None) == 9
            received(frame)  # type: ignore[arg-type]

        connection.protocol.recv_frame = counted  # type: ignore[method-assign]
        stay(connection)

    with websocket_server(talk) as server, listening(server.url, silence_s=0.05) as looks:
        until(lambda: pings[0] > 5, "six pings")
        assert (server.connections, looks.count) == (1, 1)


def test_one_that_does_not_answer_when_asked_is_left_for_a_new_connection(caplog: pytest.LogCaptureFixture) -> None:
    def shake_hands_and_hang(connection: socket.socket) -> None:
        key = re.findall(rb"Sec-WebSocket-Key: (\S+)", server.asked)[-1].decode()
        connection.sendall(HANDSHAKE + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())
        while server.connections < 2:
            threading.Event().wait(0.01)

    with raw_server(shake_hands_and_hang) as server, listening(server.url, answer_s=2.0, silence_s=0.05):
        until(lambda: server.connections >= 2, "a second connection")
        assert sentences(caplog)[:2] == [ANSWERS, OUT_OF_REACH]


def test_it_says_once_that_koubou_went_and_once_that_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    going = threading.Event()

    def talk(connection: ServerConnection) -> None:
        while connection.state is State.OPEN and not going.wait(0.01):
            pass

    with listening(f"ws://127.0.0.1:{port}", answer_s=0.2):
        until(lambda: sentences(caplog) == [OUT_OF_REACH], "that nobody answers")
        with websocket_server(talk, port=port):
            until(lambda: sentences(caplog) == [OUT_OF_REACH, ANSWERS], "that it answers")
            going.set()
            until(lambda: len(caplog.records) > 2, "that it went")
        with raw_server(hang, port=port) as nobody:
            until(lambda: nobody.connections >= 2, "two attempts")
        said = sentences(caplog)
        # In turn, however many attempts there were.
        assert said == [OUT_OF_REACH, ANSWERS] * (len(said) // 2) + [OUT_OF_REACH]


@pytest.mark.parametrize(
    "url", ["ws://", "ws://127.0.0.1:port", "ws://127.0.0.1:99999", "ws://[::1", "ws://host/#part"]
)
def test_an_address_that_can_be_none_is_refused_by_the_options_name(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^EGOSCOPE_KOUBOU_URL: is no address of a WebSocket"):
        KoubouSocket(url)
