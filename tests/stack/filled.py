"""A stack with a week of the demo's life in it, and life going on: what dashboards are tried and pictured on.

with filled(tmp_path) as there:
    there.prometheus.value("sum(ego_calls_total)")
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from egoscope.demo import DemoSettings, write_history, write_live
from tests.stack.alertmanager import Alertmanager
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import PROCESSES, Server, Way, free_ports, wait_for
from tests.stack.servers import Collector, CollectorPorts, Loki, MissingServerError, Prometheus, Tempo
from tests.stack.sidecar import SidecarProcess, sidecar_on
from tests.stack.truth import Truth, truth_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

DAYS: Final = 8.0
"""Longer than the longest range asked for, so that no window begins before the first line."""
FILL_S: Final = 240.0
RECENT: Final = timedelta(minutes=40)
WEEK: Final = DemoSettings(calls_per_minute=2.0)
# Whatever the hour, the last minutes are busy; an agent that is well, for it is in the pictures too.
LATELY: Final = replace(WEEK, seed=8, calls_per_minute=5.0, failure_rate=0.01, rhythm=False)
LIVE: Final = replace(WEEK, seed=9, calls_per_minute=8.0, failure_rate=0.01, rhythm=False)


@dataclass(frozen=True, slots=True)
class Filled:
    """All servers, and the sidecar that follows the log. `tempo` is None where there is no real one."""

    directory: Path
    prometheus: Prometheus
    loki: Loki
    tempo: Tempo | None
    collector: Collector
    sidecar: SidecarProcess
    alertmanager: Alertmanager | None
    spans: FakeTempo | Tempo
    """What takes the spans: Tempo, or what stands in for it."""

    @property
    def urls(self) -> dict[str, str]:
        """The addresses that Grafana's data sources read from the environment."""
        tempo = self.tempo.url if self.tempo else f"http://127.0.0.1:{self.spans.port}"
        return {
            "EGOSCOPE_PROMETHEUS_URL": self.prometheus.url,
            "EGOSCOPE_LOKI_URL": self.loki.url,
            "EGOSCOPE_TEMPO_URL": tempo,
            # Where there is none, Grafana asks one that does not answer; what fires is asked of Prometheus.
            "EGOSCOPE_ALERTMANAGER_URL": self.alertmanager.url if self.alertmanager else "http://127.0.0.1:9",
        }

    @property
    def log(self) -> Path:
        """The file that is written to at this moment."""
        return max(self.sidecar.files(), key=lambda path: path.stat().st_mtime)

    def truth(self) -> Truth:
        """Return what the log holds so far, by plain reading."""
        return truth_of(*(path.read_bytes().rpartition(b"\n")[0] + b"\n" for path in self.sidecar.files()))

    @contextlib.contextmanager
    def alive(self) -> Generator[None]:
        """Let the agent live on: each line is written when its time comes."""
        stop = threading.Event()
        life = threading.Thread(target=write_live, args=(self.sidecar.logs, LIVE), kwargs={"stop": stop}, daemon=True)
        life.start()
        try:
            yield
        finally:
            stop.set()
            life.join()


@contextlib.contextmanager
def filled(directory: Path, way: Way = PROCESSES, *, days: float = DAYS) -> Generator[Filled]:
    """Start everything and fill it; MissingServerError names what is not there."""
    with contextlib.ExitStack() as until_the_end:
        there = _servers(directory, way, until_the_end)
        _write_log(there.sidecar.logs, days)
        there.sidecar.start()
        there.sidecar.wait_until_drained(FILL_S)
        yield there


def _servers(directory: Path, way: Way, until_the_end: contextlib.ExitStack) -> Filled:
    prometheus_port, loki_port, loki_grpc, spans_port, tempo_http, tempo_grpc, alerts_port, *rest = free_ports(11)
    ports = CollectorPorts(*rest)
    spans = _tempo(directory, spans_port, tempo_http, tempo_grpc, way)
    alertmanager = _alertmanager(directory, alerts_port, way)
    scraped = {
        "otelcol": [f"127.0.0.1:{ports.metrics}", f"127.0.0.1:{ports.own}"],
        "prometheus": [f"127.0.0.1:{prometheus_port}"],
        "loki": [f"127.0.0.1:{loki_port}"],
        **({"tempo": [f"127.0.0.1:{tempo_http}"]} if isinstance(spans, Tempo) else {}),
        **({"alertmanager": [f"127.0.0.1:{alerts_port}"]} if alertmanager else {}),
    }
    prometheus = Prometheus(directory, prometheus_port, scraped, way=way)
    loki = Loki(directory, loki_port, loki_grpc, way=way)
    collector = Collector(
        directory,
        ports=ports,
        prometheus_url=prometheus.url,
        loki_url=loki.url,
        tempo_port=spans_port,
        way=way,
    )
    servers: list[Server | FakeTempo] = [prometheus, loki, spans, collector, *filter(None, [alertmanager])]
    for server in servers:
        until_the_end.callback(server.stop)
        server.start()
    # Seen once with 3.15.0: the very first request of a fresh Prometheus was hours old; what it held from before its
    # newest line was gone, one call of 20,000 with it. Not proved, but read in its code: the first scrape makes such a
    # head compact at once, from the first sample that was appended on. Old samples after a scrape go another way.
    wait_for(lambda: prometheus.query("up"), what="Prometheus has scraped something")
    return Filled(
        directory,
        prometheus,
        loki,
        spans if isinstance(spans, Tempo) else None,
        collector,
        until_the_end.enter_context(sidecar_on(directory, collector.endpoint)),
        alertmanager,
        spans,
    )


def _tempo(directory: Path, port: int, http_port: int, grpc_port: int, way: Way) -> Tempo | FakeTempo:
    try:
        return Tempo(directory, port, http_port, grpc_port, way=way)
    except MissingServerError:
        return FakeTempo(port)


def _alertmanager(directory: Path, port: int, way: Way) -> Alertmanager | None:
    """Return one that only shows alerts: no receiver is switched on."""
    secrets = directory / "no-secrets"
    secrets.mkdir(exist_ok=True)
    try:
        return Alertmanager(directory, port, {}, secrets, way=way)
    except MissingServerError:
        return None


def _write_log(logs: Path, days: float) -> None:
    now = datetime.now(UTC)
    lately = now - RECENT
    write_history(logs, replace(WEEK, start=now - timedelta(days=days)), until=lately)
    write_history(logs, replace(LATELY, start=lately), until=now)
