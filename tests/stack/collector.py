"""The Collector with the repository's own configuration, as a server of the tests."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.stack.processes import ANSWER_S, PROCESSES, Server, Way

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY: Final = Path(__file__).resolve().parents[2]


class Collector(Server):
    """The Collector with `collector.yaml` and any overlays, sending to the given back ends."""

    name = "collector"

    def __init__(
        self,
        directory: Path,
        *,
        ports: CollectorPorts,
        prometheus_url: str,
        loki_url: str,
        tempo_port: int,
        overlays: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        way: Way = PROCESSES,
    ) -> None:
        self.endpoint = f"127.0.0.1:{ports.otlp}"
        self.ready_url = f"http://127.0.0.1:{ports.health}/"
        self.metrics_urls = [f"http://127.0.0.1:{port}/metrics" for port in (ports.metrics, ports.own)]
        configuration = REPOSITORY / "collector-config"
        files = [configuration / name for name in ("collector.yaml", *overlays)]
        addresses = {
            "EGOSCOPE_OTLP_LISTEN": self.endpoint,
            "EGOSCOPE_COLLECTOR_HEALTH_LISTEN": f"127.0.0.1:{ports.health}",
            "EGOSCOPE_COLLECTOR_METRICS_HOST": "127.0.0.1",
            "EGOSCOPE_COLLECTOR_METRICS_PORT": str(ports.metrics),
            "EGOSCOPE_COLLECTOR_OWN_LISTEN": f"127.0.0.1:{ports.own}",
            "EGOSCOPE_PROMETHEUS_URL": prometheus_url,
            "EGOSCOPE_LOKI_URL": loki_url,
            "EGOSCOPE_TEMPO_ENDPOINT": f"127.0.0.1:{tempo_port}",
        }
        command = [way.program("collector"), *(f"--config={file}" for file in files)]
        super().__init__(command, directory, addresses | dict(environment or {}), way=way)

    def removals(self) -> dict[tuple[str, str], float]:
        """Return what the second layer removed so far, by signal and place, as the Collector itself says."""
        with urllib.request.urlopen(self.metrics_urls[1], timeout=ANSWER_S) as response:
            lines = response.read().decode().splitlines()
        counts: dict[tuple[str, str], float] = {}
        for line in lines:
            if line.startswith("egoscope_second_layer_removals_total"):
                labels, value = line.removeprefix("egoscope_second_layer_removals_total").rsplit(maxsplit=1)
                named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
                key = (named.get("signal", ""), named.get("place", ""))
                counts[key] = counts.get(key, 0) + float(value)
        return counts


@dataclass(frozen=True, slots=True)
class CollectorPorts:
    """Where a Collector listens."""

    otlp: int
    health: int
    metrics: int
    own: int
