"""Real servers as child processes on free loopback ports, and waiting for conditions instead of sleeping."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import itertools
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from tools import stack as programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")

POLL_S: Final = 0.02
PATIENCE_S: Final = 180.0
"""How long anything may take on a slow machine that has other work to do: it tells "late" from "never".

What has to be quick says within what time.
"""
ANSWER_S: Final = 60.0
"""How long a request may take there."""
STOP_S: Final = 60.0
LOG_TAIL_LINES: Final = 40
CHECK_S: Final = 900.0
"""A case of days that promtool plays minute by minute takes half a minute where others work too: far above that."""
PORTS_A_BLOCK: Final = 64


class MissingServerError(Exception):
    """A server is not to be had here; the text names it and the reason."""


def wait_for(condition: Callable[[], T], *, within_s: float = PATIENCE_S, what: str) -> T:
    """Return the condition's first true value; AssertionError saying `what` did not come true in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            message = f"after {within_s:.0f} s still not true: {what}"
            raise AssertionError(message)
        time.sleep(POLL_S)  # between two looks at the condition, never instead of one
    return value


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody listens on, none of them twice in a run of the tests.

    They lie below those that the kernel hands out for outgoing connections: of these, one may be taken by somebody's
    request before the server that it is meant for has started.
    """
    found: list[int] = []
    while len(found) < count:
        port = next(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found


def _ports() -> Iterator[int]:
    """Yield ports for servers, of blocks that no other run of the tests has: a port may be free for a restart only."""
    kernels = Path("/proc/sys/net/ipv4/ip_local_port_range")
    end = int(kernels.read_text().split()[0]) if kernels.exists() else 32768
    blocks = list(range(max(1024, end - 16384), end - PORTS_A_BLOCK + 1, PORTS_A_BLOCK))
    first = os.getpid() % len(blocks)
    locks = Path(tempfile.gettempdir()) / f"egoscope-test-ports-{os.getuid()}"
    locks.mkdir(exist_ok=True)
    own: list[int] = []
    with contextlib.ExitStack() as until_the_end:
        for block in blocks[first:] + blocks[:first]:
            lock = (locks / f"{block}").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            until_the_end.callback(lock.close)
            own += range(block, block + PORTS_A_BLOCK)
            yield from own[-PORTS_A_BLOCK:]
        yield from itertools.cycle(own)


_PORTS: Final = _ports()


def answers(url: str) -> bool:
    """Whether a GET of this address succeeds right now."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return bool(200 <= response.status < 300)
    except (OSError, http.client.HTTPException):  # the latter where it ends amid its answer
        return False


class Running(Protocol):
    """One life of a server, from its start to its end."""

    @property
    def pid(self) -> int:
        """The process id, as this machine counts."""
        ...

    def has_exited(self) -> bool:
        """Whether it has ended, whoever ended it."""
        ...

    def end(self, signal_number: signal.Signals) -> None:
        """Send this signal and return when it has ended, by SIGKILL after STOP_S; nothing but its files is left."""
        ...


class Way(Protocol):
    """How servers are run: as child processes (here), or in containers (containers.py).

    Either way a server sees the same ports of this machine's loopback and the same files under the same paths: the
    repository's, to read, and those of the `directory` it is given. No other file may be counted on.
    """

    def program(self, name: str) -> Path:
        """Return where a program (tools/stack.py knows the names) is for those who run it this way.

        It is there when this returns; MissingServerError says why it cannot be. May fetch it, which takes minutes.
        """
        ...

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path
    ) -> Running:
        """Start a command that begins with what `program` returned; all it says goes to `directory`/`name`.log."""
        ...

    def check(self, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path) -> tuple[int, str]:
        """Run such a command to its end, with no other environment; return its exit status and what it said."""
        ...


class Process:
    """A server as a child process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def end(self, signal_number: signal.Signals) -> None:
        self._process.send_signal(signal_number)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Processes:
    """The programs that tools/stack.py has built or found, as child processes."""

    def program(self, name: str) -> Path:
        found = programs.find(name)
        if found is None:
            server = programs.SERVERS.get(name)
            reason = programs.why_missing(server) if server else "see tools/stack.py"
            raise MissingServerError(f"{name} is missing: {reason}")
        return found

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path
    ) -> Process:
        with log_of(name, directory).open("ab") as log:
            return Process(
                subprocess.Popen(
                    command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )

    def check(self, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path) -> tuple[int, str]:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CHECK_S, check=False)
        return done.returncode, done.stdout + done.stderr


PROCESSES: Final = Processes()


def log_of(name: str, directory: Path) -> Path:
    """Return the file that takes what a server says."""
    return directory / f"{name}.log"


class Server:
    """One server. Its ports and its data stay the same through stop, kill and restart."""

    name: str
    ready_url: str

    def __init__(
        self, command: Sequence[str | Path], directory: Path, environment: Mapping[str, str], *, way: Way = PROCESSES
    ) -> None:
        self._command = command
        self._environment = environment
        self._directory = directory
        self._way = way
        self._life: Running | None = None

    def with_options(self, *arguments: str, **environment: str) -> None:
        """Add arguments, of which a server takes the last, and variables; for its next start."""
        self._command = [*self._command, *arguments]
        self._environment = {**self._environment, **environment}

    @property
    def directory(self) -> Path:
        """Where its log and its data are."""
        return self._directory

    @property
    def pid(self) -> int:
        """The process id; the server must be running."""
        if self._life is None:
            message = f"{self.name} is not running"
            raise AssertionError(message)
        return self._life.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return not self._has_exited()

    def start(self) -> None:
        """Start it and return when it is ready."""
        self._life = self._way.start(self.name, self._command, self._environment, self._directory)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when it answers; AssertionError with the end of its log if it exits or takes too long."""

        def ready_or_gone() -> bool:
            return self._has_exited() or answers(self.ready_url)

        try:
            wait_for(ready_or_gone, what=f"{self.name} is ready")
            if self._has_exited():
                message = f"{self.name} exited instead of starting"
                raise AssertionError(message)
        except AssertionError as error:
            error.add_note(self.log_tail())
            raise

    def stop(self) -> None:
        """Ask it to end, and wait for that. Harmless when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to tidy up. Harmless when it is not running."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again with the same ports and data."""
        self.stop()
        self.start()

    def log_tail(self) -> str:
        """Return the end of its log, to be shown where a test fails."""
        log = log_of(self.name, self._directory)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"--- {self.name} ---", *lines[-LOG_TAIL_LINES:]])

    def _has_exited(self) -> bool:
        return self._life is None or self._life.has_exited()

    def _end(self, signal_number: signal.Signals) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.end(signal_number)
