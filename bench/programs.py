"""The programs that are measured or stand behind them, as processes on loopback."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from tests.stack.processes import Server, free_ports
from tests.stack.servers import program

if TYPE_CHECKING:
    from collections.abc import Generator

_HERE: Final = Path(__file__).parent
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Sink(Server):
    """A Collector that takes everything and forgets it."""

    name = "sink"

    def __init__(self, directory: Path) -> None:
        self.port, health, metrics = free_ports(3)
        self.endpoint = f"127.0.0.1:{self.port}"
        self.ready_url = f"http://127.0.0.1:{health}/"
        self._metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        environment = {
            "BENCH_OTLP_LISTEN": self.endpoint,
            "BENCH_HEALTH_LISTEN": f"127.0.0.1:{health}",
            "BENCH_METRICS_PORT": str(metrics),
        }
        super().__init__([program("collector"), f"--config={_HERE / 'sink.yaml'}"], directory, environment)

    def log_records(self) -> int:
        """Return how many log records it has taken."""
        with urllib.request.urlopen(self._metrics_url, timeout=10) as response:  # noqa: S310 (loopback)
            lines = response.read().decode().splitlines()
        name = "otelcol_receiver_accepted_log_records"
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)))


class Filelog(Server):
    """The Collector's filelog receiver, following `logs`."""

    name = "filelog"

    def __init__(self, directory: Path, logs: Path, sink: Sink) -> None:
        (health,) = free_ports(1)
        self.ready_url = f"http://127.0.0.1:{health}/"
        environment = {
            "BENCH_LOGS": str(logs),
            "BENCH_SINK": sink.endpoint,
            "BENCH_HEALTH_LISTEN": f"127.0.0.1:{health}",
        }
        super().__init__([program("collector"), f"--config={_HERE / 'filelog.yaml'}"], directory, environment)


class Sidecar(Server):
    """`egoscope serve`, following `logs`, with its own telemetry on as users have it."""

    name = "sidecar"

    def __init__(self, directory: Path, logs: Path, endpoint: str) -> None:
        (health,) = free_ports(1)
        self.ready_url = f"http://127.0.0.1:{health}/healthz"
        state = directory / "state"
        self._state_path = state / "state.db"
        environment = {
            "EGO_MCP_LOG_PATH": str(logs),
            "EGOSCOPE_STATE_DIR": str(state),
            "EGOSCOPE_COLLECTOR_ENDPOINT": endpoint,
            "EGOSCOPE_HEALTH_PORT": str(health),
            "EGOSCOPE_LOG_LEVEL": "WARNING",
        }
        super().__init__([Path(sys.executable).parent / "egoscope", "serve"], directory, environment)

    def read_bytes(self) -> int:
        """Return how many bytes of all files are safely committed."""
        with self._state() as state:
            rows = state.execute("SELECT checkpoint FROM instances WHERE feed = 'ego_mcp'").fetchall()
        return sum(orjson.loads(data)["offset"] for (data,) in rows)

    def waiting(self) -> int:
        """Return how many requests about log files wait for their acknowledgement."""
        with self._state() as state:
            return state.execute("SELECT count(*) FROM outbox WHERE source NOT LIKE '\\_%' ESCAPE '\\'").fetchone()[0]

    def has_sent(self, size: int) -> bool:
        """Whether this many bytes were read, and all they became was acknowledged."""
        return self.read_bytes() >= size and self.waiting() == 0

    @contextlib.contextmanager
    def _state(self) -> Generator[sqlite3.Connection]:
        state = sqlite3.connect(f"file:{self._state_path}?mode=ro", uri=True, timeout=5)
        try:
            yield state
        finally:
            state.close()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, of a process and of its children that have ended (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_A_SECOND


def memory_mib(pid: int) -> tuple[float, float]:
    """Return resident memory of a process: now, and its peak so far (proc(5), status)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    values = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in status) if rest.split()}
    return int(values["VmRSS"]) / 1024, int(values["VmHWM"]) / 1024
