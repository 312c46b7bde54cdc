"""A stack with a week of the demo's life in it, and life going on: what dashboards are tried and pictured on.

with filled(tmp_path) as there:
    there.prometheus.value("sum(ego_calls_total)")
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from egoscope.demo import (
    DatabaseSettings,
    DemoSettings,
    write_history,
    write_illumo_history,
    write_illumo_live,
    write_kagura_history,
    write_kagura_live,
    write_koubou_history,
    write_koubou_live,
    write_live,
)
from tests.stack.alertmanager import Alertmanager
from tests.stack.fake_tempo import FakeTempo
from tests.stack.host_history import write_host_history
from tests.stack.processes import PATIENCE_S, PROCESSES, Server, Way, free_ports, wait_for
from tests.stack.row_truth import ended_rows
from tests.stack.servers import Collector, CollectorPorts, Loki, MissingServerError, Prometheus, Tempo
from tests.stack.sidecar import SidecarProcess, sidecar_on
from tests.stack.task_truth import counted
from tests.stack.truth import Truth, truth_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

DAYS: Final = 8.0
"""Longer than the longest range asked for, so that no window begins before the first line."""
FILL_S: Final = 4 * PATIENCE_S
RECENT: Final = timedelta(minutes=40)
WEEK: Final = DemoSettings(calls_per_minute=2.0)
# Whatever the hour, the last minutes are busy; an agent that is well, for it is in the pictures too.
LATELY: Final = replace(WEEK, seed=8, calls_per_minute=5.0, failure_rate=0.01, rhythm=False)
LIVE: Final = replace(WEEK, seed=9, calls_per_minute=8.0, failure_rate=0.01, rhythm=False)
# Agents and flows are rarer: a row of a database is a dozen spans.
DATABASES_WEEK: Final = DatabaseSettings(per_hour=12.0)
# Of agents no more than costs a dollar an hour, which would be a surge.
AGENTS_LATELY: Final = replace(DATABASES_WEEK, seed=8, per_hour=20.0, rhythm=False)
AGENTS_LIVE: Final = replace(AGENTS_LATELY, seed=9)
FLOWS_LATELY: Final = replace(AGENTS_LATELY, per_hour=60.0)
FLOWS_LIVE: Final = replace(AGENTS_LIVE, per_hour=120.0)
TASKS_WEEK: Final = replace(DATABASES_WEEK, failure_rate=0.06, killed_rate=0.004)
TASKS_LATELY: Final = replace(TASKS_WEEK, seed=8, per_hour=60.0, rhythm=False)
TASKS_LIVE: Final = replace(TASKS_LATELY, seed=9, per_hour=150.0)
HOST_NAME: Final = "studio"
BUDGET_USD: Final = 250.0
"""For a month; a week of the demo costs some 100."""
ENDED: Final = (
    f"sum(last_over_time(agent_executions_total[{DAYS + 1:g}d])) "
    f"+ sum(last_over_time(agent_flow_runs_total[{DAYS + 1:g}d])) "
    f"+ sum(last_over_time(agent_flow_node_runs_total[{DAYS + 1:g}d])) "
    f"+ sum(last_over_time(task_ended_total[{DAYS + 1:g}d]))"
)


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

    @property
    def kagura(self) -> Path:
        """The database that Kagura writes."""
        return self.directory / "telemetry.db"

    @property
    def illumo(self) -> Path:
        """The database that illumo writes."""
        return self.directory / "illumo_trace.db"

    @property
    def koubou(self) -> Path:
        """The database that Koubou writes."""
        return self.directory / "koubou.db"

    @contextlib.contextmanager
    def alive(self, tasks: DatabaseSettings = TASKS_LIVE) -> Generator[None]:
        """Let the agents live on: each line and each row is written when its time comes."""
        stop = threading.Event()
        lives = (
            threading.Thread(target=write_live, args=(self.sidecar.logs, LIVE), kwargs={"stop": stop}, daemon=True),
            *(
                threading.Thread(target=write, args=(path, settings), kwargs={"stop": stop}, daemon=True)
                for write, path, settings in (
                    (write_kagura_live, self.kagura, AGENTS_LIVE),
                    (write_illumo_live, self.illumo, FLOWS_LIVE),
                    (write_koubou_live, self.koubou, tasks),
                )
            ),
        )
        for life in lives:
            life.start()
        try:
            yield
        finally:
            stop.set()
            for life in lives:
                life.join()

    def wait_until_read(self, within_s: float) -> None:
        """Return when everything in the log and in the databases is read and sent."""
        self.sidecar.wait_until_drained(within_s)
        ended = ended_rows(self.kagura, self.illumo) + counted(self.koubou)["task_ended_total"].total()
        wait_for(
            lambda: self.prometheus.value(ENDED) == ended and not self.sidecar.waiting_requests(),
            within_s=within_s,
            what="every row that ended is counted",
        )


@contextlib.contextmanager
def filled(directory: Path, way: Way = PROCESSES, *, days: float = DAYS) -> Generator[Filled]:
    """Start everything and fill it; MissingServerError names what is not there."""
    with contextlib.ExitStack() as until_the_end:
        there = _servers(directory, way, until_the_end)
        _write_log(there.sidecar.logs, days)
        _write_databases(there, days)
        _name_processes(directory)
        there.sidecar.start()
        there.wait_until_read(FILL_S)
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
        overlays=("host.yaml",),
        environment={"EGOSCOPE_HOST_NAME": HOST_NAME},
        way=way,
    )
    servers: list[Server | FakeTempo] = [prometheus, loki, spans, collector, *filter(None, [alertmanager])]
    began_s = time.time()
    for server in servers:
        until_the_end.callback(server.stop)
        server.start()
    # Seen once with 3.15.0: the very first request of a fresh Prometheus was hours old; what it held from before its
    # newest line was gone, one call of 20,000 with it. Not proved, but read in its code: the first scrape makes such a
    # head compact at once, from the first sample that was appended on. Old samples after a scrape go another way.
    wait_for(lambda: prometheus.query("up"), what="Prometheus has scraped something")
    write_host_history(prometheus, began_s)
    return Filled(
        directory,
        prometheus,
        loki,
        spans if isinstance(spans, Tempo) else None,
        collector,
        until_the_end.enter_context(_sidecar(directory, collector.endpoint)),
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


def _sidecar(directory: Path, endpoint: str) -> contextlib.AbstractContextManager[SidecarProcess]:
    """Return the sidecar; for where the databases are see Filled."""
    return sidecar_on(
        directory,
        endpoint,
        state_dir=None,
        kagura_path=str(directory / "telemetry.db"),
        illumo_path=str(directory / "illumo_trace.db"),
        koubou_path=str(directory / "koubou.db"),
        host_name=HOST_NAME,
        worker_pid_files=f"editors={directory}/*.pid",
        budget_usd=str(BUDGET_USD),
    )


def _write_databases(there: Filled, days: float) -> None:
    now = datetime.now(UTC)
    lately = now - RECENT
    week = replace(DATABASES_WEEK, start=now - timedelta(days=days))
    write_kagura_history(there.kagura, week, until=lately)
    write_kagura_history(there.kagura, replace(AGENTS_LATELY, start=lately), until=now)
    write_illumo_history(there.illumo, week, until=lately)
    write_illumo_history(there.illumo, replace(FLOWS_LATELY, start=lately), until=now)
    write_koubou_history(there.koubou, replace(TASKS_WEEK, start=now - timedelta(days=days)), until=lately)
    write_koubou_history(there.koubou, replace(TASKS_LATELY, start=lately), until=now)


def _name_processes(directory: Path) -> None:
    """Have two workers of another program: any processes that are there as long as this one."""
    (directory / "editor-1.pid").write_text(f"{os.getpid()}\n")
    (directory / "editor-2.pid").write_text(f"{os.getppid()}\n")
