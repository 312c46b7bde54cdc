"""The real sidecar as a child process, against the stack, with its own state and log directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.stack.processes import ANSWER_S, PATIENCE_S, answers, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SERVE: Final = (sys.executable, "-c", "from egoscope.cli import app; app()", "serve")
LOG_TAIL_LINES: Final = 30


class SidecarProcess:
    """One state directory and one log directory; the process on them can be started, killed and started again.

    `settings`: EGOSCOPE_* variables without the prefix, in small letters.
    """

    def __init__(
        self,
        directory: Path,
        collector: str,
        *,
        state_dir: Path | None = None,
        **settings: str,
    ) -> None:
        self.logs = directory / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.state_dir = state_dir or directory / "state"
        self._directory = directory
        self._said = directory / "sidecar.stderr"
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        own = {
            "state_dir": str(self.state_dir),
            "collector_endpoint": collector,
            "health_port": str(port),
            **settings,
        }
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_"))
        }
        self._environment = {
            **inherited,
            **{f"EGOSCOPE_{name.upper()}": value for name, value in own.items()},
            "EGO_MCP_LOG_PATH": str(self.logs),
            "PYTHONPATH": str(REPOSITORY),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; it must have been launched."""
        return self._running().pid

    def launch(self, command: Sequence[str] = SERVE) -> None:
        """Start it, and do not wait for anything."""
        assert self._process is None or self._process.poll() is not None, "it is still running"
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                command, env=self._environment, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    def start(self) -> None:
        """Start it and return when its health page answers."""
        self.launch()
        wait_for(lambda: not self.alive or answers(f"{self.url}/healthz"), what="/healthz answers")
        assert self.alive, f"the sidecar exited instead of starting\n{self.said()}"

    @property
    def up(self) -> bool:
        """Whether its health page answers."""
        return answers(f"{self.url}/healthz")

    @property
    def alive(self) -> bool:
        """Whether it has been launched and has not exited."""
        return self._process is not None and self._process.poll() is None

    def ended(self, within_s: float = PATIENCE_S) -> int | None:
        """Return the exit status as soon as it has ended by itself, None where it has not in time."""
        try:
            return self._running().wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it without a chance to tidy up. Harmless when it is not running."""
        if self.alive:
            self._running().kill()
            self._running().wait()

    def terminate(self, within_s: float = PATIENCE_S) -> int:
        """Send SIGTERM and return the exit status; AssertionError where it does not end in time."""
        self._running().send_signal(signal.SIGTERM)
        status = self.ended(within_s)
        assert status is not None, f"still running {within_s} s after SIGTERM\n{self.said()}"
        return status

    def page(self, path: str) -> tuple[int, dict[str, str]]:
        """Return status and answer of a health page."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=ANSWER_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def said(self) -> str:
        """Return everything it wrote to standard error, all its lives together."""
        return self._said.read_text(errors="replace") if self._said.exists() else ""

    def log_tail(self) -> str:
        """Return the end of what it said, to be shown where a test fails."""
        return "\n".join(["--- sidecar ---", *self.said().splitlines()[-LOG_TAIL_LINES:]])

    def files(self) -> list[Path]:
        """Return the log files that are there now."""
        return sorted(self.logs.glob("ego-mcp-*.log"))

    def positions(self) -> dict[str, tuple[Path, int]]:
        """Return name last seen and committed position of every file it has ever read, by instance id."""
        with self._state() as db:
            rows = [json.loads(row[0]) for row in db.execute("SELECT checkpoint FROM instances WHERE feed = 'ego_mcp'")]
        return {row["source"]: (Path(row["path"]), row["offset"]) for row in rows}

    def position(self, path: Path) -> int:
        """Return the committed position in a file; 0 where nothing of it is."""
        return max((offset for name, offset in self.positions().values() if name == path), default=0)

    def instances(self) -> dict[Path, str]:
        """Return the instance id of every file it has ever read; no two may have had one name."""
        return {path: source for source, (path, _) in self.positions().items()}

    def databases(self, feed: str) -> list[str]:
        """Return the instance id of every database of one kind that it has ever read."""
        with self._state() as db:
            return [one for (one,) in db.execute("SELECT source FROM instances WHERE feed = ?", (feed,))]

    def outbox_bytes(self) -> int:
        """Return how many bytes of requests wait."""
        with self._state() as db:
            return int(db.execute("SELECT coalesce(sum(size), 0) FROM outbox").fetchone()[0])

    def waiting_requests(self) -> int:
        """Return how many requests wait."""
        with self._state() as db:
            return int(db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def has_read(self, *files: Path) -> bool:
        """Whether every complete line of these files (default: all that are there) is committed."""
        known = set(self.positions().values())
        return all((path, complete_bytes(path)) in known for path in files or self.files())

    def drained(self) -> bool:
        """Whether everything is read and everything was answered for good."""
        return self.has_read() and not self.waiting_requests()

    def wait_until_drained(self, within_s: float = PATIENCE_S) -> None:
        """Return when nothing is left to read or to send; AssertionError with what it said otherwise."""
        try:
            wait_for(self.drained, within_s=within_s, what="everything is read and sent")
        except AssertionError as error:
            error.add_note(self.log_tail())
            raise

    def wait_until_sent(self) -> None:
        """Return when all that stands in the log now is sent; somebody may go on writing, so something always waits."""
        written = {path: complete_bytes(path) for path in self.files()}
        wait_for(lambda: all(self.position(path) >= end for path, end in written.items()), what="it is read")
        newest = self._waiting("max")
        wait_for(lambda: (self._waiting("min") or newest + 1) > newest, what="it is sent")

    def _waiting(self, which: str) -> int:
        """Return the number of the newest or the oldest request that waits; 0 where none does. Numbers only grow."""
        with self._state() as db:
            return int(db.execute(f"SELECT coalesce({which}(id), 0) FROM outbox").fetchone()[0])

    def state_bytes(self) -> bytes:
        """Return everything in its state directory, to search for what must not be there."""
        return b"".join(path.read_bytes() for path in sorted(self.state_dir.rglob("*")) if path.is_file())

    @contextlib.contextmanager
    def _state(self) -> Generator[sqlite3.Connection]:
        path = self.state_dir / "state.db"
        if not path.exists() or not path.stat().st_size:  # not started yet: nothing is known
            with contextlib.closing(sqlite3.connect(":memory:")) as db:
                db.executescript("CREATE TABLE instances (source, feed, checkpoint); CREATE TABLE outbox (id, size);")
                yield db
            return
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=ANSWER_S)) as db:
            wait_for(lambda: db.execute("PRAGMA user_version").fetchone()[0], what="the state file has its tables")
            yield db

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never launched"
        return self._process


def complete_bytes(path: Path) -> int:
    """Return the size of a file up to the end of its last complete line."""
    return path.read_bytes().rfind(b"\n") + 1


@contextlib.contextmanager
def sidecar_on(
    directory: Path, collector: str, *, state_dir: Path | None = None, **settings: str
) -> Generator[SidecarProcess]:
    """Yield a sidecar that is not running yet; at the end it is killed if it still runs."""
    made = SidecarProcess(directory, collector, state_dir=state_dir, **settings)
    try:
        yield made
    except BaseException as error:
        error.add_note(made.log_tail())
        raise
    finally:
        made.kill()


def now_line(message: str = "Tool invocation", *, ahead_s: float = 0.0, **fields: object) -> bytes:
    """Return a line as ego-mcp would write it at this moment."""
    at = time.time() + ahead_s
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}Z"
    head = {"timestamp": stamp, "level": "INFO", "logger": "ego_mcp.server", "message": message}
    return json.dumps({**head, **fields}).encode() + b"\n"


def append(path: Path, *lines: bytes) -> None:
    """Append lines to a file, as one write."""
    with path.open("ab") as file:
        file.write(b"".join(lines))


def call(tool: str = "recall") -> tuple[bytes, bytes]:
    """Return the two lines of a call that takes no time, now."""
    return now_line(tool_name=tool, tool_args={}), now_line("Tool execution completed", tool_name=tool)


def begin(sidecar: SidecarProcess) -> tuple[Path, str]:
    """Start with one call in a live file and everything sent; return the file and its instance id."""
    log = sidecar.logs / "ego-mcp-live.log"
    append(log, now_line("Logging initialized"), *call())
    sidecar.start()
    sidecar.wait_until_drained()
    return log, sidecar.instances()[log]
