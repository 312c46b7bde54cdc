"""What a day of a stated load takes on disk: `python -m bench.disk`, with Prometheus, Loki and Tempo.

Histories of one and of two days are read in and the smaller is taken from the larger, so that what is there anyway
cancels out. Loki is told to write its chunks, as it does within two hours by itself. Prometheus' samples are counted,
and its bytes a sample are measured in the block (a snapshot) of what it scraped of the servers for two minutes.
Write-ahead logs are no part of a day: they are cut after some hours.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from egoscope.demo import (
    DatabaseSettings,
    DemoSettings,
    write_history,
    write_illumo_history,
    write_kagura_history,
    write_koubou_history,
)
from tests.stack.backends import Prometheus
from tests.stack.processes import PROCESSES, free_ports, wait_for
from tests.stack.servers import Collector, CollectorPorts, Loki, Tempo
from tests.stack.sidecar import SidecarProcess, sidecar_on

_DAYS: Final = (1.0, 2.0)
_DAY_S: Final = 86400
_SCRAPE_S: Final = 10
"""As in prometheus/prometheus.yml; here every second, for so many samples of each series in less time."""
_WALS: Final = (("prometheus", "wal"), ("prometheus", "wbl"), ("loki", "wal"))
_OURS: Final = '{job=~"ego-mcp|kagura|illumo|koubou|egoscope"}'
_HOST: Final = '{job="host"}'
_HOST_S: Final = 10
_SCRAPED_S: Final = 120.0
_WITHIN_S: Final = 400.0
_SETTLES_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """What an agent does, around the clock."""

    calls_a_minute: float
    executions_an_hour: float


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes on disk by place."""

    bytes_by: dict[str, int]

    def a_day(self, fewer: Used, days: float) -> dict[str, float]:
        """Return the growth a day over a shorter history."""
        return {name: (size - fewer.bytes_by[name]) / days for name, size in self.bytes_by.items()}


class _Servers:
    """The back ends and a sidecar; Prometheus may be told to write a block."""

    def __init__(self, directory: Path, until_the_end: contextlib.ExitStack) -> None:
        self.directory = directory
        directory.mkdir()
        port, loki, loki_grpc, spans, tempo, tempo_grpc, *rest = free_ports(10)
        ports = CollectorPorts(*rest)
        self.scraped = {
            "prometheus": [f"127.0.0.1:{port}"],
            "loki": [f"127.0.0.1:{loki}"],
            "tempo": [f"127.0.0.1:{tempo}"],
            "otelcol": [f"127.0.0.1:{ports.metrics}", f"127.0.0.1:{ports.own}"],
        }
        self.prometheus = _Snapshots(directory, port, self.scraped)
        self.loki = Loki(directory, loki, loki_grpc)
        self.tempo = Tempo(directory, spans, tempo, tempo_grpc)
        self.collector = Collector(
            directory,
            ports=ports,
            prometheus_url=self.prometheus.url,
            loki_url=self.loki.url,
            tempo_port=spans,
            overlays=("host.yaml",),
            environment={"EGOSCOPE_HOST_NAME": "measured", "EGOSCOPE_HOST_INTERVAL": "1s"},
            way=PROCESSES,
        )
        for server in (self.prometheus, self.loki, self.tempo, self.collector):
            until_the_end.callback(server.stop)
            server.start()
        wait_for(lambda: self.prometheus.query("up"), what="Prometheus has scraped something")
        self.sidecar: SidecarProcess = until_the_end.enter_context(
            sidecar_on(
                directory,
                self.collector.endpoint,
                kagura_path=str(directory / "telemetry.db"),
                illumo_path=str(directory / "illumo_trace.db"),
                koubou_path=str(directory / "koubou.db"),
            )
        )


class _Snapshots(Prometheus):
    """A Prometheus that can be told to write all it holds as a block."""

    def __init__(self, directory: Path, port: int, targets: dict[str, list[str]]) -> None:
        super().__init__(directory, port, targets)
        self._command = [*self._command, "--web.enable-admin-api"]

    def samples_of(self, selector: str, days: float) -> float:
        """Return how many samples of the last days its series have; asked name by name, for counting drops the name."""
        names = {one["__name__"] for one in self.series(selector)}
        counts = (f"sum(count_over_time({name}{selector}[{days:g}d]))" for name in sorted(names))
        return sum(self.value(count) or 0 for count in counts)

    def block_bytes(self) -> int:
        """Return the size of blocks with everything. Samples that came out of order are not in them."""
        _post(f"{self.url}/api/v1/admin/tsdb/snapshot")
        newest = max(
            (self._directory / "prometheus-data" / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime
        )
        return _size(newest)


def fill(directory: Path, load: Load, days: float, sample_bytes: float) -> Used:
    """Read a history of so many days in and return what it takes."""
    with contextlib.ExitStack() as until_the_end:
        there = _Servers(directory, until_the_end)
        now = datetime.now(UTC)
        start = now - timedelta(days=days)
        write_history(there.sidecar.logs, DemoSettings(start=start, calls_per_minute=load.calls_a_minute), until=now)
        rows = DatabaseSettings(start=start, per_hour=load.executions_an_hour)
        write_kagura_history(directory / "telemetry.db", rows, until=now)
        write_illumo_history(directory / "illumo_trace.db", rows, until=now)
        write_koubou_history(directory / "koubou.db", rows, until=now)
        logs = sum(_size(path) for path in (there.sidecar.logs, *directory.glob("*.db")))
        there.sidecar.start()
        there.sidecar.wait_until_drained(_WITHIN_S)
        _settle(there)
        _post(f"{there.loki.url}/flush")
        _settle(there)
        samples = there.prometheus.samples_of(_OURS, days + 1)
        there.sidecar.terminate()
        state = _size(there.sidecar.state_dir) - _size(there.sidecar.state_dir / "state.reserve")
        for server in (there.collector, there.tempo, there.loki):
            server.stop()
        data = {name: directory / f"{name}-data" for name in ("loki", "tempo", "prometheus")}
        return Used(
            {
                "logs and databases as written": logs,
                "Prometheus, of them": round(samples * sample_bytes),
                "Loki": _size(data["loki"] / "chunks"),
                "Tempo": _size(data["tempo"] / "blocks"),
                "state file": state,
                "(write-ahead logs)": sum(_size(data[name] / wal) for name, wal in _WALS),
            }
        )


def scraped(directory: Path) -> tuple[float, float, float]:
    """Return samples a day that are scraped of the servers, those of the host, and bytes a sample in a block."""
    with contextlib.ExitStack() as until_the_end:
        there = _Servers(directory, until_the_end)
        threading.Event().wait(_SCRAPED_S)
        series = there.prometheus.value("sum(scrape_samples_post_metric_relabeling)") or 0
        appended = there.prometheus.value("sum(prometheus_tsdb_head_samples_appended_total)") or 1
        host = len(there.prometheus.query(_HOST))
        return series * _DAY_S / _SCRAPE_S, host * _DAY_S / _HOST_S, there.prometheus.block_bytes() / appended


def _settle(there: _Servers) -> None:
    """Return when Loki, Tempo and the outbox have had time to write what they hold."""
    wait_for(lambda: not there.sidecar.waiting_requests(), within_s=_WITHIN_S, what="everything is sent")
    blocks = there.directory / "tempo-data" / "blocks"
    deadline = time.monotonic() + _SETTLES_S
    before = -1
    while time.monotonic() < deadline or _size(blocks) != before:
        before = _size(blocks)
        threading.Event().wait(3)


def _size(path: Path) -> int:
    """Return the bytes of a file or of all files under a directory."""
    files = [path] if path.is_file() else path.rglob("*")
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _post(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60):  # noqa: S310 (loopback)
        pass


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="bench.disk", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls-a-minute", type=float, default=6.0)
    parser.add_argument(
        "--executions-an-hour", type=float, default=40.0, help="of Kagura, and as many of illumo and Koubou"
    )
    options = parser.parse_args()
    load = Load(options.calls_a_minute, options.executions_an_hour)
    with tempfile.TemporaryDirectory(prefix="egoscope-disk-") as scratch:
        samples, of_host, sample_bytes = scraped(Path(scratch, "scraped"))
        few, many = (fill(Path(scratch, f"days-{days:g}"), load, days, sample_bytes) for days in _DAYS)
    print(f"{load.calls_a_minute:g} calls a minute, {load.executions_an_hour:g} executions, runs and tasks an hour")
    for name, size in many.a_day(few, _DAYS[1] - _DAYS[0]).items():
        print(f"{name:<34}{size / 1e6:>9.2f} MB a day{few.bytes_by[name] / 1e6:>11.2f} MB after {_DAYS[0]:g} day")
    print(
        f"{'Prometheus, of the servers':<34}{samples * sample_bytes / 1e6:>9.2f} MB a day"
        f"  ({samples / 1e6:.1f} million samples of {sample_bytes:.2f} bytes)"
    )
    print(
        f"{'Prometheus, of the host':<34}{of_host * sample_bytes / 1e6:>9.2f} MB a day  ({of_host / 1e6:.1f} million)"
    )


if __name__ == "__main__":
    main()
