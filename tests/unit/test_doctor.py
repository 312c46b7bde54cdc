"""`egoscope doctor`: each situation has its mark and its sentence, nothing is written, nothing private is shown."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import grpc
import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rich.console import Console

from egoscope.cli import doctor as command
from egoscope.config import Settings, load_settings
from egoscope.delivery.state import StateFile
from egoscope.doctor import backends, clock, collector, local, places, readonly, state, store, web
from egoscope.doctor.finding import Finding, Mark, fail, in_bytes, in_time, ok
from egoscope.errors import StateError
from egoscope.sources import roster
from egoscope.sources.discovery import Discovery, Problem, Reason
from egoscope.wiring import Sidecar
from tests.other_user import as_nobody
from tests.stack.processes import free_ports
from tests.this_thread import replace_here

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from egoscope.delivery.ledger import LedgerKey

CANARY = "canary-8f1c20d7"
NOW = datetime.now(UTC)
PATIENT_S = 60.0
FLAGS = {
    "web.enable-otlp-receiver": "true",
    "enable-feature": "exemplar-storage,promql-extended-range-selectors",
}
PROMETHEUS_YAML = "storage:\n  tsdb:\n    outofordertimewindow: 1\n    out_of_order_time_window: 10y\notlp:\n  x: 1\n"
LOKI_YAML = """\
target: all
ingester:
  lifecycler:
    max_chunk_age: 1s
  max_chunk_age: 2h0m0s
pattern_ingester:
  max_chunk_age: 1m0s
limits_config:
  reject_old_samples: false
  reject_old_samples_max_age: 1w
  allow_structured_metadata: true
"""


# --- what the situations are made of -------------------------------------------------------------------------------


def line(when: datetime = NOW, **more: object) -> bytes:
    """One line of a log, with a private word in it."""
    fields = {"timestamp": when.isoformat(), "level": "INFO", "logger": "ego_mcp.server", "message": CANARY, **more}
    return orjson.dumps(fields) + b"\n"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """A server that answers is waited for on a slow machine, too: longer than a user would wait for doctor."""
    assert web.get.__kwdefaults__
    monkeypatch.setitem(web.get.__kwdefaults__, "timeout_s", PATIENT_S)
    monkeypatch.setattr(collector, "REQUEST_S", PATIENT_S)
    monkeypatch.setattr(command, "NETWORK_S", PATIENT_S)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory, closed to others, with one log just written."""
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o700)
    (folder / "ego-mcp-2026-01-01.log").write_bytes(line())
    return folder


@pytest.fixture
def settings(tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings for the embedded store, apart from this machine's."""
    for name in [name for name in os.environ if name.startswith(("EGOSCOPE_", "EGO_MCP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return load_settings(
        EGO_MCP_LOG_PATH=str(logs), state_dir=tmp_path / "state", backend="embedded", telemetry=False, health_port=0
    )


def live(settings: Settings) -> None:
    """Let a sidecar read and send all there is, and end."""
    sidecar = Sidecar(settings)
    sidecar.drain()
    sidecar.close()


def the_one(findings: Iterable[Finding], mark: Mark, *, about: str = "") -> Finding:
    """Return the one finding of this mark about a subject; all of them are shown where it is not one."""
    found = list(findings)
    marked = [one for one in found if one.mark is mark and about in one.subject]
    assert len(marked) == 1, "\n".join(f"{one.mark} {one.subject}: {one.sentence}" for one in found)
    return marked[0]


def everything(settings: Settings) -> list[Finding]:
    """Return all findings."""
    return [finding for _, findings in command.examine(settings, time.time()) for finding in findings]


def said(findings: Iterable[Finding]) -> str:
    """Return all that a user would read."""
    return "\n".join(f"{one.mark} {one.subject}: {one.sentence} {one.remedy}" for one in findings)


def always(*_: object) -> bool:
    """Stand in for a question to the operating system: yes."""
    return True


def never(*_: object) -> bool:
    """Stand in for a question to the operating system: no."""
    return False


def another_file(path: Path) -> None:
    """Put something else in a file's place."""
    path.write_bytes(b"no database at all" * 99)


def cut_short(path: Path) -> None:
    """Leave a file's beginning."""
    os.truncate(path, 20_000)


def zeroed(path: Path) -> None:
    """Leave a file's first page, and its length."""
    size = path.stat().st_size
    os.truncate(path, 16_384)
    os.truncate(path, size)


def free_port() -> int:
    """Return a loopback port that nobody listens on, nor will before it is used."""
    (port,) = free_ports(1)
    return port


Pages = dict[str, tuple[int, bytes]]


@contextlib.contextmanager
def web_server(pages: Mapping[str, tuple[int, bytes]], *, date: datetime | None = None) -> Generator[str]:
    """Serve pages by path; the Date header says `date`. Gives the address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = pages.get(self.path, pages.get(self.path.partition("?")[0], (404, b"no such page")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(timestamp) if date is None else format_datetime(date, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name http.server calls)
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(data: object) -> tuple[int, bytes]:
    """Return a page of Prometheus' API."""
    return 200, orjson.dumps({"status": "success", "data": data})


def vector(*samples: tuple[Mapping[str, str], float]) -> tuple[int, bytes]:
    """Return the answer to an instant query."""
    return answer({"resultType": "vector", "result": [{"metric": m, "value": [0, str(v)]} for m, v in samples]})


@contextlib.contextmanager
def otlp_server(code: grpc.StatusCode | None, *, services: str = "TraceMetricsLogs") -> Generator[str]:
    """Run a gRPC server that accepts every export, or ends each with `code`. Gives host:port."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            found = re.search(r"\.(Trace|Metrics|Logs)Service/Export$", handler_call_details.method)
            if found is None or found[1] not in services:
                return None
            return grpc.unary_unary_rpc_method_handler(self._export)

        def _export(self, request: bytes, context: grpc.ServicerContext) -> bytes:
            assert request == b"", "only an empty request leaves nothing behind"
            if code is not None:
                context.abort(code, CANARY)
            return ExportTraceServiceResponse().SerializeToString()

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


# --- the log places ------------------------------------------------------------------------------------------------


def test_a_directory_that_does_not_exist_fails_and_says_which_option_to_set(tmp_path: Path) -> None:
    finding = the_one(places.check_places([str(tmp_path / "gone")], 0), Mark.FAIL)
    assert finding.sentence == f"{tmp_path / 'gone'} does not exist"
    assert "EGO_MCP_LOG_DIR" in finding.remedy


@pytest.mark.parametrize(
    ("pattern", "mark", "sentence"),
    [
        pytest.param(
            "", Mark.WARN, "no file in it is named ego-mcp-*.log", id="a directory without a log waits for one"
        ),
        pytest.param("/x*.log", Mark.WARN, "no file has such a name now", id="a glob may find something later"),
        pytest.param("/no/*/x*", Mark.FAIL, "/no does not exist", id="a glob below a directory that is not there"),
        pytest.param("/one.log", Mark.FAIL, "/one.log does not exist", id="a file that is not there"),
    ],
)
def test_a_pattern_without_a_file_is_told_apart(tmp_path: Path, pattern: str, mark: Mark, sentence: str) -> None:
    assert sentence in the_one(places.check_places([f"{tmp_path}{pattern}"], 0), mark).sentence


def test_a_log_just_written_is_ok_and_one_of_last_week_is_not(logs: Path) -> None:
    now = time.time()
    assert the_one(places.check_places([str(logs)], now), Mark.OK).sentence.startswith("1 file, last written")
    old = the_one(places.check_places([str(logs)], now + 7 * 86400), Mark.WARN)
    assert old.sentence == "1 file, but nothing was written for 7 d"


@pytest.mark.parametrize(
    ("reason", "mark", "words"),
    [
        pytest.param(Reason.DENIED, Mark.FAIL, "is not allowed to read it", id="no permission"),
        pytest.param(Reason.UNREADABLE, Mark.FAIL, "the mount answers with an error", id="an I/O error"),
        pytest.param(Reason.DANGLING, Mark.WARN, "symlink to nothing", id="a dangling symlink"),
        pytest.param(Reason.NOT_A_FILE, Mark.WARN, "not a regular file", id="a FIFO"),
        pytest.param(Reason.COPY, Mark.SKIP, "not read a second time", id="a copy is as it should be"),
    ],
)
def test_what_tailing_meets_is_said_in_words(reason: Reason, mark: Mark, words: str) -> None:
    assert words in the_one(places.check_problems([Problem("x.log", reason)]), mark, about="x.log").sentence


def test_a_file_without_permission_fails_in_the_whole(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_path: str, _key: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(roster, "open_regular", deny)  # tests may run as root, whom no mode keeps out
    finding = the_one(everything(settings), Mark.FAIL)
    assert finding.subject.endswith("ego-mcp-2026-01-01.log")
    assert "chmod" in finding.remedy


def test_a_log_that_every_user_can_read_is_worth_a_warning(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (logs / "ego-mcp-2026-01-01.log").chmod(0o644)
    assert "every user" not in said(places.check_places([str(logs)], time.time())), "its directory is closed"
    monkeypatch.setattr(places, "_reachable_by_all", always)
    assert f"chmod 700 {logs}" in the_one(places.check_places([str(logs)], time.time()), Mark.WARN).remedy
    logs.chmod(0o1777)
    assert "chmod" not in the_one(places.check_places([str(logs)], time.time()), Mark.WARN).remedy, "never close /tmp"


# --- clocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "mark", "sentence"),
    [
        pytest.param(timedelta(0), Mark.OK, "agrees with", id="equal"),
        pytest.param(timedelta(seconds=20), Mark.WARN, "s behind http", id="20 s are noticed"),
        pytest.param(timedelta(hours=2, seconds=30), Mark.FAIL, "this machine is 2 h behind", id="2 h are wrong"),
        pytest.param(timedelta(minutes=-5, seconds=-30), Mark.FAIL, "this machine is 5 min ahead of", id="other way"),
    ],
)
def test_the_clock_is_compared_with_the_date_header(ahead: timedelta, mark: Mark, sentence: str) -> None:
    with web_server({"/": (200, b"")}, date=datetime.now(UTC) + ahead) as url:
        assert sentence in the_one(clock.check_clock([f"http://127.0.0.1:{free_port()}", url]), mark).sentence


@pytest.mark.parametrize(
    ("ahead", "mark", "sentence"),
    [
        pytest.param(timedelta(0), Mark.OK, "the newest line is from", id="now"),
        pytest.param(
            timedelta(hours=9), Mark.WARN, "times are 9 h ahead of UTC", id="a local time that says it is UTC"
        ),
        pytest.param(timedelta(hours=-3, minutes=-30), Mark.WARN, "3.5 h behind UTC", id="an offset of half an hour"),
        pytest.param(timedelta(minutes=3), Mark.WARN, "min in the future", id="a clock ahead"),
        pytest.param(timedelta(minutes=17), Mark.FAIL, "counts as unreadable", id="too far ahead for the back ends"),
    ],
)
def test_the_newest_lines_time_is_looked_at(logs: Path, ahead: timedelta, mark: Mark, sentence: str) -> None:
    log, now = logs / "ego-mcp-2026-01-01.log", datetime.now(UTC)
    log.write_bytes(line(now - timedelta(days=9)) + line(now + ahead) + b"no time\n" + b'{"timestamp": "half a li')
    seen = list(Discovery([str(logs)]).look().files.values())
    finding = the_one(clock.check_newest_line(seen, now.timestamp()), mark)
    assert sentence in finding.sentence
    assert CANARY not in said([finding])


# --- the state directory, the key, the sidecar ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "mode", "mark", "words"),
    [
        pytest.param(32, 0o600, Mark.OK, "closed to other users", id="as it is made"),
        pytest.param(32, 0o640, Mark.FAIL, "mode 0640", id="open to the group"),
        pytest.param(31, 0o600, Mark.FAIL, "holds 31 bytes instead of 32", id="cut short"),
        pytest.param(None, 0, Mark.FAIL, "is gone, but there is state made with it", id="gone"),
    ],
)
def test_the_key_is_whole_and_closed(tmp_path: Path, size: int | None, mode: int, mark: Mark, words: str) -> None:
    path = tmp_path / "key"
    if size is not None:
        path.write_bytes(b"k" * size)
        path.chmod(mode)
    finding = local.check_key(path, state_exists=True)
    assert (finding.mark, words in finding.sentence) == (mark, True), finding


def test_a_key_that_is_not_made_yet_is_no_problem(tmp_path: Path) -> None:
    assert local.check_key(tmp_path / "key", state_exists=False).mark is Mark.SKIP


def test_a_first_start_that_was_killed_left_nothing_to_put_back(tmp_path: Path) -> None:
    """A state file in which nothing is kept was made with no key: the next start makes one."""
    of = load_settings(EGO_MCP_LOG_PATH=str(tmp_path / "logs"), state_dir=tmp_path / "state", backend="embedded")
    StateFile(of.state_dir / "state.db").close()
    findings = [one for _, section in command.examine(of, time.time()) for one in section]
    (key,) = [one for one in findings if one.subject == "pseudonym key"]
    assert key.mark is Mark.SKIP


def test_a_state_directory_open_to_others_gets_the_command_that_closes_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "state.db").touch(0o644)
    found = list(local.check_state_dir(tmp_path, outbox_limit_bytes=0))
    remedies = [one.remedy for one in found if one.mark is Mark.WARN]
    assert remedies == [f"run chmod 700 {tmp_path}", f"run chmod 600 {tmp_path / 'state.db'}"]


def test_a_state_directory_that_cannot_be_written_to_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_here(monkeypatch, os, "access", never)
    finding = the_one(local.check_state_dir(tmp_path / "new", outbox_limit_bytes=0), Mark.FAIL)
    assert finding.sentence == f"{tmp_path} cannot be written to"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_places_are_findings_and_no_traceback(settings: Settings, tmp_path: Path) -> None:
    live(settings)
    tmp_path.chmod(0o700)
    with as_nobody():
        found = everything(settings)
    failed = {one.subject for one in found if one.mark is Mark.FAIL}
    assert {*settings.patterns, "state directory", "state file", "pseudonym key"} <= failed, said(found)


def test_a_disk_without_room_for_a_full_outbox_is_worth_a_warning(tmp_path: Path) -> None:
    finding = the_one(local.check_state_dir(tmp_path, outbox_limit_bytes=1 << 60), Mark.WARN, about="disk")
    assert "less than a full outbox takes" in finding.sentence


def test_who_holds_the_lock_is_found_without_taking_it(tmp_path: Path) -> None:
    lock = tmp_path / "state.lock"
    assert local.lock_owner(lock) is None
    held = StateFile(tmp_path / "state.db")
    assert local.lock_owner(lock) == os.getpid()
    held.close()
    assert local.lock_owner(lock) is None, "a process id left in the file is no lock"


def test_what_a_running_sidecar_says_of_itself_is_shown() -> None:
    page = orjson.dumps({"status": "not ready", "state": "the state file cannot be written"})
    with web_server({"/readyz": (503, page)}) as url:
        finding = the_one(local.check_sidecar(7, f"{url}/readyz"), Mark.WARN)
    assert finding.sentence == "process 7 says of itself: the state file cannot be written"


# --- the state file ------------------------------------------------------------------------------------------------


def test_what_reading_has_met_is_told_by_reason(settings: Settings, logs: Path) -> None:
    with (logs / "ego-mcp-2026-01-01.log").open("ab") as log:
        log.write(f"{CANARY}\n[]\n[1]\n".encode())
    live(settings)
    found = everything(settings)
    sentences = [one.sentence for one in found if one.subject == "lines"]
    assert sentences == ["2 lines were JSON, but no object", "1 line was not JSON"]
    assert the_one(found, Mark.OK, about="lag").sentence == "1 file followed, all read to the end"


def test_unread_bytes_are_told_by_file(settings: Settings, logs: Path) -> None:
    live(settings)
    with (logs / "ego-mcp-2026-01-01.log").open("ab") as log:
        log.write(b"half a line")
    found = everything(settings)
    assert the_one(found, Mark.WARN, about="lag").sentence == "11 bytes in 1 file not read yet"
    assert the_one(found, Mark.SKIP, about="ego-mcp-2026-01-01.log").sentence.startswith("11 bytes behind byte")


@pytest.mark.parametrize(
    ("size", "age_s", "mark", "words"),
    [
        pytest.param(0, 0, Mark.OK, "empty", id="empty"),
        pytest.param(
            10, 5, Mark.OK, "on its way: 1 request (10 bytes of 100 bytes), the oldest for 5 s", id="a moment"
        ),
        pytest.param(10, 7200, Mark.WARN, "the oldest for 2 h", id="waiting for hours"),
        pytest.param(80, 5, Mark.WARN, "old lines are not read on", id="nearly full"),
        pytest.param(100, 5, Mark.FAIL, "full, so reading has stopped", id="full"),
    ],
)
def test_the_outbox_is_judged_by_size_and_age(size: int, age_s: int, mark: Mark, words: str) -> None:
    view = state.StateView([], {}, [], 1 if size else 0, size, int((1e6 - age_s) * 1e9))
    assert words in the_one(state.check_outbox(view, limit_bytes=100, now_s=1e6), mark).sentence


def test_what_back_ends_refused_is_added_up_by_signal_and_reason() -> None:
    totals: dict[LedgerKey, int] = {("egoscope.rejected", (("signal", "logs"), ("reason", "too_large"))): 2}
    view = state.StateView([], totals, [("logs", "too_large", 3)], 0, 0, None)
    finding = the_one(state.check_reading(view), Mark.WARN, about="refused")
    assert finding.sentence == "5 items of logs refused for good by a back end (too_large)"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(another_file, id="another file"),
        pytest.param(cut_short, id="cut short"),
        pytest.param(zeroed, id="zeroed"),
    ],
)
def test_a_damaged_state_file_fails_and_stays_as_it_is(settings: Settings, damage: Callable[[Path], object]) -> None:
    live(settings)
    path = settings.state_dir / "state.db"
    damage(path)
    before = path.read_bytes()
    finding = the_one(everything(settings), Mark.FAIL, about="state file")
    assert finding.sentence == f"{path} is damaged, or no state file"
    assert "move it away" in finding.remedy
    assert path.read_bytes() == before


def test_a_state_file_of_a_newer_egoscope_is_not_called_damaged(settings: Settings) -> None:
    live(settings)
    with contextlib.closing(sqlite3.connect(settings.state_dir / "state.db")) as db:
        db.execute("PRAGMA user_version = 99")
    assert "has schema 99" in the_one(everything(settings), Mark.FAIL, about="state file").sentence


def test_reading_only_sees_what_a_running_owner_has_committed_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "some.db"

    def rows() -> int:
        return readonly.read_only(path, lambda db: db.execute("SELECT count(*) FROM t").fetchone()[0])

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("PRAGMA journal_mode = WAL")
        owner.execute("CREATE TABLE t (x)")
        for number in range(3):
            owner.execute("INSERT INTO t VALUES (1)")
            assert rows() == number + 1
    assert rows() == 3
    assert [one.name for one in tmp_path.iterdir()] == ["some.db"]


def test_a_question_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "some.db").close()
    (tmp_path / "some.db").touch()
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(StateError, match="too large"):
        readonly.read_only(tmp_path / "some.db", lambda db: db.execute(endless).fetchone(), within_s=0.05)


# --- the Collector -------------------------------------------------------------------------------------------------


def ask_collector(endpoint: str) -> list[Finding]:
    """Ask without TLS and token."""
    return list(collector.check_collector(endpoint, tls=False, ca_file=None, token_file=None))


def test_an_absent_collector_fails() -> None:
    finding = the_one(ask_collector(f"127.0.0.1:{free_port()}"), Mark.FAIL)
    assert "nothing listens there" in finding.sentence
    assert "EGOSCOPE_COLLECTOR_ENDPOINT" in finding.remedy


def test_a_collector_that_takes_all_three_signals_is_ok() -> None:
    with otlp_server(None) as endpoint:
        the_one(ask_collector(endpoint), Mark.OK)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param(grpc.StatusCode.UNAUTHENTICATED, "token is missing or wrong", id="no token"),
        pytest.param(grpc.StatusCode.UNAVAILABLE, "gave no OTLP gRPC answer (unavailable)", id="not now"),
        pytest.param(grpc.StatusCode.RESOURCE_EXHAUSTED, "short of memory", id="memory limiter"),
        pytest.param(grpc.StatusCode.INVALID_ARGUMENT, "did not take an empty request of traces", id="refused"),
    ],
)
def test_a_refusing_collector_fails_with_its_reason_and_without_its_words(code: grpc.StatusCode, words: str) -> None:
    with otlp_server(code) as endpoint:
        finding = the_one(ask_collector(endpoint), Mark.FAIL)
    assert words in finding.sentence
    assert CANARY not in said([finding])


def test_a_collector_without_a_pipeline_for_logs_fails_by_that_name() -> None:
    with otlp_server(None, services="TraceMetrics") as endpoint:
        assert "takes no logs" in the_one(ask_collector(endpoint), Mark.FAIL).sentence


def test_a_web_server_is_not_taken_for_a_collector() -> None:
    with web_server({}) as url:
        assert "OTLP gRPC" in the_one(ask_collector(url.removeprefix("http://")), Mark.FAIL).sentence


def test_token_and_ca_are_looked_at_and_never_shown(tmp_path: Path) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text(CANARY)
    token.chmod(0o644)
    authority.write_text(CANARY)
    found = list(collector.check_secrets("far.example:4317", tls=False, ca_file=None, token_file=token))
    assert [one.sentence.partition(" ")[2] or one.sentence for one in found if one.mark is Mark.WARN] == [
        "is open to every user (mode 0644)",
        "token goes over the network in the clear",
    ]
    found += collector.check_secrets("127.0.0.1:4317", tls=True, ca_file=authority, token_file=tmp_path / "gone")
    assert [one.subject for one in found if one.mark is Mark.FAIL] == ["Collector CA", "Collector token"]
    assert CANARY not in said(found)


# --- the back ends -------------------------------------------------------------------------------------------------

PROMETHEUS: Pages = {
    "/-/ready": (200, b"ready"),
    "/api/v1/status/flags": answer(FLAGS),
    "/api/v1/status/config": answer({"yaml": PROMETHEUS_YAML}),
    "/api/v1/query": vector(({}, 0)),
}


def test_prometheus_as_ours_is_ok() -> None:
    with web_server(PROMETHEUS) as url:
        assert {one.mark for one in backends.check_prometheus(url)} == {Mark.OK}


@pytest.mark.parametrize(
    ("pages", "mark", "words"),
    [
        pytest.param(
            {"/api/v1/status/config": answer({"yaml": "storage:\n  tsdb:\n    x: 1\n"})},
            Mark.FAIL,
            "logs of yesterday would be refused",
            id="no out-of-order window",
        ),
        pytest.param(
            {"/api/v1/status/config": answer({"yaml": "  tsdb:\n    out_of_order_time_window: 0s\n"})},
            Mark.FAIL,
            "logs of yesterday would be refused",
            id="an out-of-order window of nothing",
        ),
        pytest.param(
            {"/api/v1/status/flags": answer({**FLAGS, "web.enable-otlp-receiver": "false"})},
            Mark.FAIL,
            "takes no metrics over OTLP",
            id="no OTLP receiver",
        ),
        pytest.param(
            {"/api/v1/status/flags": answer({**FLAGS, "enable-feature": "exemplar-storage"})},
            Mark.WARN,
            "promql-extended-range-selectors",
            id="a feature is off",
        ),
        pytest.param({"/-/ready": (503, b"")}, Mark.FAIL, "not ready yet", id="still starting"),
        pytest.param({"/-/ready": (404, b"")}, Mark.FAIL, "has no /-/ready page", id="something else"),
        pytest.param({"/api/v1/status/flags": (200, b"{")}, Mark.SKIP, "flags cannot be read", id="an odd answer"),
    ],
)
def test_prometheus_set_up_otherwise_is_found_out(pages: Pages, mark: Mark, words: str) -> None:
    with web_server({**PROMETHEUS, **pages}) as url:
        assert words in the_one(backends.check_prometheus(url), mark).sentence


@pytest.mark.parametrize(
    ("removed", "scraped", "mark", "words"),
    [
        pytest.param([({"signal": "logs", "place": "name"}, 3.0)], True, Mark.FAIL, "3 values in logs", id="removed"),
        pytest.param([({"signal": CANARY, "place": CANARY}, 1.0)], True, Mark.FAIL, "place: unknown", id="odd labels"),
        pytest.param([({"signal": "logs", "place": "name"}, 0.0)], True, Mark.OK, "never had to", id="counted as 0"),
        pytest.param([], True, Mark.OK, "never had to", id="nothing removed"),
        pytest.param([], False, Mark.WARN, "a removal would not be seen", id="not scraped, so nobody would know"),
    ],
)
def test_a_removal_by_the_second_layer_is_an_alarm(
    removed: list[tuple[dict[str, str], float]], mark: Mark, words: str, *, scraped: bool
) -> None:
    questions = {  # as Prometheus 3.15 was seen to understand them
        'count(up{job="otelcol"} == 1)': vector(({}, 2.0)) if scraped else vector(),
        "max by (signal, place) (max_over_time("
        'egoscope_second_layer_removals_total{signal!="", place!=""}[30d]))': vector(*removed),
    }
    pages = {f"/api/v1/query?{urlencode({'query': promql})}": page for promql, page in questions.items()}
    with web_server(pages) as url:
        finding = the_one(backends.check_second_layer(url), mark)
    assert words in finding.sentence
    assert CANARY not in said([finding])


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        pytest.param("samples: false", "samples: true", "refuses lines older than 1w", id="old lines"),
        pytest.param("metadata: true", "metadata: false", "refuses lines with attributes", id="attributes"),
        pytest.param("age: 2h0m0s", "age: 15m0s", "more than half of 15m0s behind", id="late lines"),
    ],
)
def test_limits_of_loki_that_lose_lines_fail(was: str, becomes: str, words: str) -> None:
    pages = {"/ready": (200, b""), "/config": (200, LOKI_YAML.replace(was, becomes).encode())}
    with web_server(pages) as url:
        assert words in the_one(backends.check_loki(url), Mark.FAIL).sentence


def test_loki_as_ours_is_ok() -> None:
    with web_server({"/ready": (200, b""), "/config": (200, LOKI_YAML.encode())}) as url:
        assert {one.mark for one in backends.check_loki(url)} == {Mark.OK}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("ftp://127.0.0.1", "no address of the form", id="another scheme"),
        pytest.param("file:///etc/hostname", "no address of the form", id="a file is never opened"),
        pytest.param(f"http://me:{CANARY}@127.0.0.1:1", "", id="a password in the address"),
        pytest.param("http://127.0.0.1:99999", "", id="no such port"),
        pytest.param("http://[", "", id="no address at all"),
    ],
)
def test_an_odd_address_is_a_finding_and_shows_no_password(url: str, words: str) -> None:
    finding = the_one(backends.check_tempo(url), Mark.FAIL)
    assert words in finding.sentence
    assert CANARY not in said([finding])


def test_a_server_that_never_answers_costs_no_more_than_the_limit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "NETWORK_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        urls = dict.fromkeys(("prometheus_url", "loki_url", "tempo_url", "collector_health_url"), f"http://{where}")
        started = time.monotonic()
        found = everything(settings.model_copy(update={"backend": "collector", "collector_endpoint": where, **urls}))
        assert time.monotonic() - started < PATIENT_S / 2, "half of what one server may take"
    assert "no further answer within" in said(found)


# --- the embedded store, and the whole -----------------------------------------------------------------------------


def test_the_embedded_store_stands_in_for_the_servers(settings: Settings) -> None:
    assert the_one(store.check_store(settings.store_path, 0), Mark.SKIP).sentence.endswith("when egoscope first runs")
    live(settings)
    found = everything(settings)
    assert "the newest line from" in the_one(found, Mark.OK, about="embedded store").sentence
    assert "not asked" in the_one(found, Mark.SKIP, about="Prometheus").sentence
    another_file(settings.store_path)
    assert "damaged" in the_one(everything(settings), Mark.FAIL).sentence


@pytest.fixture
def unset(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Return what reads the settings of who set the log's and the state's place only; no server is at its address."""
    for name, field in Settings.model_fields.items():
        if name.endswith(("_url", "_endpoint")) and isinstance(field.default, str):
            scheme = "http://" if "://" in field.default else ""
            monkeypatch.setattr(field, "default", f"{scheme}127.0.0.1:{free_port()}")
    Settings.model_rebuild(force=True)

    def load(**more: object) -> Settings:
        return load_settings(EGO_MCP_LOG_PATH=settings.patterns[0], state_dir=settings.state_dir, **more)

    return load


@pytest.fixture(autouse=True, scope="module")
def _defaults_again() -> Generator[None]:
    """Undo what `unset` did to the class."""
    yield
    Settings.model_rebuild(force=True)


def test_who_only_runs_start_is_told_of_no_server_as_wrong(
    settings: Settings, unset: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the embedded store is, no server is named and none is there: it is what is judged."""
    live(settings)
    assert command.run_doctor(unset()) == 0
    shown = capsys.readouterr().out
    assert "FAIL" not in shown
    assert "docker compose" not in shown
    assert re.search(r"^  ok    embedded store: .*the newest line from", shown, re.MULTILINE)
    assert len(re.findall(r"Collector|Prometheus|Loki|Tempo", shown.partition("\nservers\n")[2])) == 4, "one line"
    assert "run egoscope start (shown in the terminal) or egoscope serve" in shown


def test_a_server_that_is_named_is_missed(settings: Settings, unset: Callable[..., Settings]) -> None:
    live(settings)
    for named in ({"loki_url": f"http://127.0.0.1:{free_port()}"}, {"backend": "collector"}):
        found = everything(unset(**named))
        assert [one.mark for one in found].count(Mark.FAIL) == 4, said(found)


def test_one_server_that_answers_lets_the_others_be_missed(
    settings: Settings, unset: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is well or not; but another program at its port is none."""
    live(settings)
    for status, missed in ((200, 3), (503, 4), (404, 0)):
        with web_server({"/ready": (status, b"")}) as url:
            monkeypatch.setattr(Settings.model_fields["tempo_url"], "default", url)
            Settings.model_rebuild(force=True)
            found = everything(unset())
        assert [one.mark for one in found].count(Mark.FAIL) == missed, said(found)


def test_without_a_store_or_a_server_it_is_said_what_needs_none(unset: Callable[..., Settings]) -> None:
    found = everything(unset())
    assert [one.mark for one in found].count(Mark.FAIL) == 4
    assert "egoscope start" in the_one(found, Mark.SKIP, about="Prometheus").sentence


def test_a_start_that_runs_serves_no_page_and_is_well(settings: Settings, unset: Callable[..., Settings]) -> None:
    sidecar = Sidecar(settings)
    sidecar.drain()
    try:
        found = everything(unset(health_port=free_port()))
    finally:
        sidecar.close()
    assert f"process {os.getpid()} is running" in the_one(found, Mark.OK, about="sidecar").sentence
    assert [one.subject for one in found if one.mark is Mark.FAIL] == []


def test_the_demo_that_start_plays_is_found(settings: Settings, unset: Callable[..., Settings]) -> None:
    """Its state is its own, below the state directory."""
    sidecar = Sidecar(settings.model_copy(update={"state_dir": settings.state_dir / "demo"}))
    sidecar.drain()
    try:
        found = everything(unset(health_port=free_port()))
    finally:
        sidecar.close()
    assert f"process {os.getpid()} is running" in the_one(found, Mark.OK, about="sidecar").sentence
    assert str(settings.state_dir / "demo") in the_one(found, Mark.SKIP, about="demo").sentence
    assert the_one(found, Mark.OK, about="embedded store")
    assert [one.subject for one in found if one.mark is Mark.FAIL] == []


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return what would show that something was written: names, sizes, times, modes.

    But not the times of `-shm`: there every reader of a database that is open leaves its mark, and none in a file.
    """
    seen = {path: path.lstat() for path in [folder, *folder.rglob("*")]}
    return {
        str(path): (found.st_size, 0 if path.name.endswith("-shm") else found.st_mtime_ns, found.st_mode)
        for path, found in seen.items()
    }


@pytest.mark.parametrize("running", [pytest.param(True, id="sidecar runs"), pytest.param(False, id="none runs")])
def test_nothing_is_written_and_no_private_word_is_shown(
    settings: Settings, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, running: bool
) -> None:
    (logs / "ego-mcp-2026-01-02.log").write_bytes(f'{CANARY}\n{{"timestamp":"{CANARY}"}}\n{CANARY}'.encode())
    sidecar = Sidecar(settings)
    sidecar.drain()
    if not running:
        sidecar.close()
    before = snapshot(tmp_path)
    assert command.run_doctor(settings) == 0
    assert snapshot(tmp_path) == before
    shown = capsys.readouterr()
    assert CANARY not in shown.out + shown.err
    assert (f"process {os.getpid()} is running" in shown.out) is running
    if running:
        sidecar.close()


def test_before_the_first_start_nothing_is_made(settings: Settings, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    assert command.run_doctor(settings) == 0
    assert snapshot(tmp_path) == before


def test_without_a_terminal_each_finding_is_one_plain_line(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run_doctor(settings.model_copy(update={"log_path": (f"/gone/{'x' * 200}/\x1b[31m",)})) == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"(  (ok  |warn|FAIL|skip)  [^:]+: .+|[a-z]+|.*\.)$", one) for one in lines), lines
    assert any("FAIL" in one and "does not exist → " in one for one in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[-1].startswith("1 thing is wrong, ")


def test_in_a_narrow_terminal_no_letter_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=40, force_terminal=True, color_system=None)
    finding = fail("some server", "is not there, and that for quite a while", "start it with the command below")
    command.show([("servers", [finding, ok("it", "is")])], console)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    words = re.sub(r"\s+", " ", screen.getvalue())
    assert f"FAIL some server: {finding.sentence} " in words
    assert finding.remedy in words


def test_an_output_of_plain_ascii_takes_every_finding() -> None:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True))
    command.show([("logs", [fail("/l\u00f6gs", "are gone", "look")])], console)
    written = console.file
    written.seek(0)
    assert "FAIL  /l?gs: are gone -> look\n" in written.read()


def test_sizes_and_times_are_said_in_their_largest_unit() -> None:
    assert [in_bytes(n) for n in (1, 1023, 1536, 5 << 20, 3 << 40)] == [
        "1 byte",
        "1023 bytes",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]
    assert [in_time(s) for s in (-5, 0.4, 59, 3600, 200_000)] == ["0 s", "0 s", "59 s", "1 h", "2 d"]
