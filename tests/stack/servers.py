"""The servers of the stack, as plain processes or in containers, with the repository's own configuration files.

with Stack.on(tmp_path) as stack:
    stack.loki.kill()
    stack.prometheus.query("sum(ego_calls_total)")
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.stack.alertmanager import Alertmanager
from tests.stack.backends import LOKI_PAGE, REPOSITORY, Entry, Loki, Prometheus, Sample, Tempo, get_json
from tests.stack.collector import Collector, CollectorPorts
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import PROCESSES, MissingServerError, Server, Way, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path


def program(name: str) -> Path:
    """Return a server's program on this machine, or raise MissingServerError."""
    return PROCESSES.program(name)


@dataclass(frozen=True, slots=True)
class Stack:
    """All servers together. Each can be stopped, killed and restarted on its own. `directory` holds logs and data."""

    directory: Path
    prometheus: Prometheus
    loki: Loki
    tempo: FakeTempo
    collector: Collector

    @classmethod
    @contextlib.contextmanager
    def on(
        cls,
        directory: Path,
        way: Way = PROCESSES,
        *,
        also_scraped: Mapping[str, list[str]] | None = None,
        edit_rules: Callable[[Path], None] | None = None,
    ) -> Generator[Stack]:
        """Start everything with its data under `directory`; MissingServerError names what is not there.

        `also_scraped`: job to addresses. `edit_rules` gets the directory of Prometheus' configuration, a copy.
        """
        prometheus, loki, loki_grpc, tempo, *rest = free_ports(8)
        ports = CollectorPorts(*rest)
        scraped = {
            "otelcol": [f"127.0.0.1:{ports.metrics}", f"127.0.0.1:{ports.own}"],
            "prometheus": [f"127.0.0.1:{prometheus}"],
            "loki": [f"127.0.0.1:{loki}"],
            **(also_scraped or {}),
        }
        stack = cls(
            directory,
            Prometheus(directory, prometheus, scraped, edit=edit_rules, way=way),
            Loki(directory, loki, loki_grpc, way=way),
            FakeTempo(tempo),
            Collector(
                directory,
                ports=ports,
                prometheus_url=f"http://127.0.0.1:{prometheus}",
                loki_url=f"http://127.0.0.1:{loki}",
                tempo_port=tempo,
                way=way,
            ),
        )
        try:
            for server in stack.servers:
                server.start()
            yield stack
        finally:
            for server in reversed(stack.servers):
                server.stop()

    @property
    def servers(self) -> tuple[Server | FakeTempo, ...]:
        """All servers in the order of their start."""
        return (self.prometheus, self.loki, self.tempo, self.collector)

    def start_stopped(self) -> None:
        """Start what a test has stopped or killed, so that the next one finds everything running."""
        for server in self.servers:
            if not server.running:
                server.start()

    def log_tails(self) -> str:
        """Return the ends of all logs, to be shown where a test fails."""
        return "\n".join(server.log_tail() for server in self.servers)


__all__ = [
    "LOKI_PAGE",
    "REPOSITORY",
    "Alertmanager",
    "Collector",
    "CollectorPorts",
    "Entry",
    "Loki",
    "MissingServerError",
    "Prometheus",
    "Sample",
    "Stack",
    "Tempo",
    "get_json",
    "program",
    "wait_for",
]
