"""A sidecar that Koubou's WebSocket wakes looks sooner, and tells the same; doctor says whether it can be woken."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from converted import Sent
from kept import Scripted
from socket_servers import CANARY, free_port, raw_server, until, websocket_server
from websockets.protocol import State

from egoscope.cli import doctor
from egoscope.cli.demo import KOUBOU_FILE
from egoscope.config import load_settings
from egoscope.convert import catalogue as c
from egoscope.demo import DatabaseSettings, koubou_canaries, write_koubou_history
from egoscope.doctor import koubou
from egoscope.doctor.finding import Mark
from egoscope.wiring import Sidecar
from tests.planted import found

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator
    from pathlib import Path

    from websockets.sync.server import ServerConnection

    from egoscope.config import Settings
    from egoscope.doctor.finding import Finding

CREATE: Final = "INSERT INTO task_master (task_id, content, priority, created_by) VALUES (?, ?, 5, 'cli')"
FAR_APART_S: Final = 3600.0
"""Between two looks without a reason: nothing that a test waits for comes by them."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """What a Koubou did until a moment ago."""
    now = datetime.now(UTC)
    settings = DatabaseSettings(start=now - timedelta(hours=3), rhythm=False)
    return write_koubou_history(tmp_path / KOUBOU_FILE, settings, until=now).path


@pytest.fixture(autouse=True)
def _no_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a mount that tells nothing of changes."""

    def watch(*_paths: str, **_options: object) -> None:
        raise OSError

    monkeypatch.setattr("egoscope.wiring.watch", watch)


def settings(state_dir: Path, database: Path, url: str | None) -> Settings:
    base: dict[str, Any] = {"EGO_MCP_LOG_PATH": str(database.parent / "none"), "state_dir": state_dir}
    base |= {"backend": "embedded", "health_port": 0, "telemetry": False, "koubou_path": str(database)}
    # One key for all, so that pseudonyms can be compared.
    base["key_file"] = database.with_name("pseudonym.key")
    return load_settings(**base, koubou_url=url)


@contextmanager
def running(of: Settings) -> Generator[Scripted]:
    exporter = Scripted()
    sidecar = Sidecar(of, exporter=exporter)
    thread = threading.Thread(target=sidecar.run)
    thread.start()
    try:
        yield exporter
    finally:
        sidecar.stop()
        thread.join()


def told(exporter: Scripted) -> Sent:
    sent = Sent()
    for signal, data in list(exporter.accepted):
        sent.add(signal, data)
    return sent


def create(database: Path, task_id: str) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(CREATE, (task_id, CANARY))


def test_a_change_is_looked_at_when_a_message_comes_and_not_before(tmp_path: Path, database: Path) -> None:
    say = threading.Event()
    going = threading.Event()

    def koubou(connection: ServerConnection) -> None:
        while connection.state is State.OPEN:
            if say.wait(0.05):
                say.clear()
                connection.send(json.dumps({"type": "task_update", "task_id": CANARY}))
            elif going.is_set():
                connection.send("")

    with websocket_server(koubou) as server:
        of = settings(tmp_path / "state", database, server.url).model_copy(update={"poll_s": FAR_APART_S})
        with running(of) as exporter:
            until(lambda: server.connections and told(exporter).bodies(), "what was there is told")
            for number in range(3):
                # Whatever was said is over when nothing more is told.
                before = -1
                while before != len(exporter.accepted):
                    before = len(exporter.accepted)
                    threading.Event().wait(1.5)
                task_id = f"task_0000{number}"
                create(database, task_id)
                threading.Event().wait(0.5)
                assert f"{task_id} created" not in told(exporter).bodies()
                say.set()
                until(lambda task_id=task_id: f"{task_id} created" in told(exporter).bodies(), "the new task is told")
            # A sidecar ends within poll_s: here, with the next message.
            going.set()
        assert CANARY.encode() not in told(exporter).raw


def test_without_a_socket_that_answers_everything_is_polled_as_ever(tmp_path: Path, database: Path) -> None:
    of = settings(tmp_path / "state", database, f"ws://127.0.0.1:{free_port()}")
    with running(of) as exporter:
        until(lambda: told(exporter).bodies(), "what was there is told")
        create(database, "task_00000")
        until(lambda: "task_00000 created" in told(exporter).bodies(), "the new task is told")


def test_what_a_lying_socket_says_is_in_no_count(tmp_path: Path, database: Path) -> None:
    """It tells of tasks and workers that do not exist, in every form of the real one's messages."""
    lies = [
        {"type": "task_update", "task_id": "task_99999", "status": "completed", "details": {"summary": CANARY}},
        {"type": "worker_update", "worker_id": "worker_99", "status": "busy", "details": {"current_task": CANARY}},
        {"type": "periodic_stats", "data": {"tasks": {"failed": 10**6}, "workers": {"total_workers": 99}}},
    ]
    lied = [0]

    def koubou(connection: ServerConnection) -> None:
        while True:
            for lie in lies:
                connection.send(json.dumps(lie))
                lied[0] += 1

    with websocket_server(koubou) as server:
        with running(settings(tmp_path / "lied-to", database, server.url)) as exporter:
            until(lambda: lied[0] > 100 and told(exporter).bodies(), "lies and what was there")
            create(database, "task_00000")
            until(lambda: "task_00000 created" in told(exporter).bodies(), "the new task is told")
        lied_to = told(exporter)
    with running(settings(tmp_path / "alone", database, None)) as exporter:
        until(lambda: "task_00000 created" in told(exporter).bodies(), "the new task is told")
    alone = told(exporter)
    for metric in (c.TASKS_CREATED, c.TASKS_STARTED, c.TASKS_ENDED, c.TASKS_RETURNED):
        assert lied_to.total(metric.name) == alone.total(metric.name)
    with closing(sqlite3.connect(database)) as db:
        (created,) = db.execute("SELECT count(*) FROM task_master").fetchone()
        (ended,) = db.execute(
            "SELECT count(*) FROM task_master WHERE status NOT IN ('pending', 'in_progress')"
        ).fetchone()
    assert (lied_to.total(c.TASKS_CREATED.name), lied_to.total(c.TASKS_ENDED.name)) == (created, ended)
    assert sorted(lied_to.bodies()) == sorted(alone.bodies())
    assert not found(["task_99999", "worker_99", CANARY, *koubou_canaries(DatabaseSettings())], lied_to.raw)


def test_a_sidecar_that_is_told_to_stop_does_not_wait_for_a_socket(tmp_path: Path, database: Path) -> None:
    """Though it is amid a handshake that never ends."""

    def hang(connection: socket.socket) -> None:
        connection.recv(1)

    with raw_server(hang) as server:
        with running(settings(tmp_path / "state", database, server.url)) as exporter:
            until(lambda: server.connections and told(exporter).bodies(), "a handshake")
            began = time.monotonic()
        assert time.monotonic() - began < 8, "a handshake may take ten seconds"


def about_the_socket(of: Settings) -> list[Finding]:
    with pytest.MonkeyPatch.context() as patient:  # a slow machine is: longer than a user would wait for doctor
        patient.setattr(koubou, "REQUEST_S", 60.0)
        patient.setattr(doctor, "NETWORK_S", 60.0)
        findings = [finding for _, section in doctor.examine(of, time.time()) for finding in section]
    return [finding for finding in findings if "WebSocket" in finding.subject]


def test_doctor_says_that_a_socket_answers(tmp_path: Path, database: Path) -> None:
    def speak(connection: ServerConnection) -> None:
        """And stay: one that hangs up at once may not be heard."""
        connection.send(CANARY)
        for _ in connection:
            pass

    with websocket_server(speak) as server:
        (finding,) = about_the_socket(settings(tmp_path / "state", database, f"{server.url}/?token={CANARY}"))
    assert (finding.mark, finding.sentence) == (Mark.OK, "answers: it says when to look")
    assert CANARY not in str(finding)
    assert about_the_socket(settings(tmp_path / "state", database, None)) == []


def test_doctor_says_that_nothing_answers_and_what_to_do(tmp_path: Path, database: Path) -> None:
    (finding,) = about_the_socket(settings(tmp_path / "state", database, f"ws://127.0.0.1:{free_port()}"))
    assert finding.mark is Mark.WARN
    assert finding.sentence == "is refused: nothing listens there; its database is only polled"
    assert "websocket_server.py" in finding.remedy
    assert "EGOSCOPE_KOUBOU_URL" in finding.remedy


def test_doctor_says_that_something_else_answers(tmp_path: Path, database: Path) -> None:
    page = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CANARY)}\r\n\r\n{CANARY}".encode()
    with raw_server(lambda connection: connection.sendall(page)) as server:
        (finding,) = about_the_socket(settings(tmp_path / "state", database, server.url))
        assert finding.sentence == "something answers, but it speaks no WebSocket; its database is only polled"
        (finding,) = about_the_socket(settings(tmp_path / "state", database, f"wss://127.0.0.1:{server.port}"))
        assert finding.mark is Mark.WARN
        assert "TLS" in finding.sentence


def test_doctor_says_that_a_socket_wakes_nobody_where_no_database_is_followed(tmp_path: Path, database: Path) -> None:
    with websocket_server(lambda _connection: None) as server:
        of = settings(tmp_path / "state", database, server.url).model_copy(update={"koubou_path": ()})
        first, second = about_the_socket(of)
    assert "EGOSCOPE_KOUBOU_PATH" in first.remedy
    assert second.mark is Mark.OK
