"""Prometheus, Loki, the Collector and, where there is one, Tempo, holding what a `StackQuery` is asked about."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from egoscope.otlp.client import Accepted
from egoscope.otlp.grpc_client import GrpcExporter
from egoscope.query.stack import StackQuery
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import ANSWER_S, PATIENCE_S, MissingServerError, free_ports, wait_for
from tests.stack.servers import Collector, CollectorPorts, Loki, Prometheus, Tempo
from tools import stack as programs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from egoscope.otlp.requests import Request
    from tests.stack.processes import Server

SEARCHABLE_S: Final = 2 * PATIENCE_S
"""Old traces are found by a search when Tempo has looked at its blocks anew."""


@dataclass(frozen=True, slots=True)
class QueryStack:
    """The servers. `tempo` is None where there is no real one; then something takes the spans and forgets them."""

    prometheus: Prometheus
    loki: Loki
    tempo: Tempo | None
    collector: Collector

    def send(self, requests: Iterable[Request]) -> None:
        """Send through the Collector."""
        _send(self.collector.endpoint, requests)

    def send_spans(self, requests: Iterable[Request]) -> None:
        """Send to Tempo itself, as an application with instrumentation of its own does."""
        if self.tempo is not None:
            _send(f"127.0.0.1:{self.tempo.port}", requests)

    def query(self, now: Callable[[], dt.datetime]) -> StackQuery:
        """Return a query over the servers."""
        tempo_url = self.tempo.url if self.tempo else "http://127.0.0.1:9"
        return StackQuery(prometheus_url=self.prometheus.url, tempo_url=tempo_url, loki_url=self.loki.url, now=now)

    def wait_until_searchable(self, executions: int) -> None:
        """Return when so many executions are found by a search; at once where there is no Tempo."""
        if self.tempo is None:
            return
        with self.query(lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=1)) as query:
            wait_for(
                lambda: len(query.get_executions(limit=executions + 1)) == executions,
                within_s=SEARCHABLE_S,
                what="Tempo finds every execution by a search",
            )


@contextlib.contextmanager
def query_stack(directory: Path) -> Generator[QueryStack]:
    """Start the servers with their data under `directory`; MissingServerError names what is not there."""
    prometheus_port, loki_port, loki_grpc, spans_port, tempo_http, tempo_grpc, *rest = free_ports(10)
    ports = CollectorPorts(*rest)
    try:
        spans: Tempo | FakeTempo = Tempo(directory, spans_port, tempo_http, tempo_grpc)
    except MissingServerError:
        spans = FakeTempo(spans_port)
    scraped = {"prometheus": [f"127.0.0.1:{prometheus_port}"]}
    prometheus = Prometheus(directory, prometheus_port, scraped)
    loki = Loki(directory, loki_port, loki_grpc)
    collector = Collector(
        directory, ports=ports, prometheus_url=prometheus.url, loki_url=loki.url, tempo_port=spans_port
    )
    servers: list[Server | FakeTempo] = [prometheus, loki, spans, collector]
    with contextlib.ExitStack() as until_the_end:
        for server in servers:
            until_the_end.callback(server.stop)
            server.start()
        # As in tests/stack/filled.py: not before the first scrape.
        wait_for(lambda: prometheus.query("up"), what="Prometheus has scraped something")
        yield QueryStack(prometheus, loki, spans if isinstance(spans, Tempo) else None, collector)


def why_no_tempo() -> str:
    """Say why there is no Tempo."""
    return f"tempo is missing: {programs.why_missing(programs.SERVERS['tempo'])}"


def _send(endpoint: str, requests: Iterable[Request]) -> None:
    exporter = GrpcExporter(endpoint, timeout_s=ANSWER_S)
    try:
        for request in requests:
            assert exporter.send(request.signal, request.data) == Accepted()
    finally:
        exporter.close()
