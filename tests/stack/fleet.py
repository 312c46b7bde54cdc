"""Machines with agents that send to one gateway: each a Collector and a sidecar of its own, as docs/scaling.md says."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.stack.collector import Collector, CollectorPorts
from tests.stack.processes import free_ports
from tests.stack.sidecar import SidecarProcess, sidecar_on

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from tests.stack.processes import Way
    from tests.stack.servers import Stack

HOSTS: Final = ("machine-a", "machine-b")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: its Collector, and the sidecar that sends to it."""

    name: str
    collector: Collector
    sidecar: SidecarProcess


@dataclass(frozen=True, slots=True)
class Fleet:
    """A gateway in front of the stack's back ends, and the machines that send to it."""

    gateway: Collector
    machines: Mapping[str, Machine]

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """The gateway, and the Collector of each machine."""
        return (self.gateway, *(machine.collector for machine in self.machines.values()))

    def removals(self) -> dict[tuple[str, str], float]:
        """Return all that any Collector's second layer removed so far."""
        counts: dict[tuple[str, str], float] = {}
        for collector in self.collectors:
            for place, count in collector.removals().items():
                counts[place] = counts.get(place, 0) + count
        return counts

    @classmethod
    @contextlib.contextmanager
    def on(cls, stack: Stack, directory: Path, way: Way) -> Generator[Fleet]:
        """Start gateway and Collectors; the sidecars are not running yet. At the end all are stopped."""
        with contextlib.ExitStack() as until_the_end:
            gateway = collector_of(stack, directory / "gateway", way, "gateway.yaml")
            until_the_end.callback(gateway.stop)
            gateway.start()
            machines: dict[str, Machine] = {}
            for name in HOSTS:
                collector = agent_collector(stack, directory / name, way, gateway.endpoint)
                until_the_end.callback(collector.stop)
                collector.start()
                sidecar = until_the_end.enter_context(
                    sidecar_on(directory / name, collector.endpoint, host_name=name, batch_kib="32")
                )
                machines[name] = Machine(name, collector, sidecar)
            yield cls(gateway, machines)


def collector_of(stack: Stack, directory: Path, way: Way, *overlays: str, **environment: str) -> Collector:
    """Return a Collector in front of the stack's back ends, not running yet."""
    directory.mkdir(exist_ok=True)
    return Collector(
        directory,
        ports=CollectorPorts(*free_ports(4)),
        prometheus_url=stack.prometheus.url,
        loki_url=stack.loki.url,
        tempo_port=stack.tempo.port,
        overlays=overlays,
        environment=environment,
        way=way,
    )


def agent_collector(stack: Stack, directory: Path, way: Way, gateway: str, *, host: str = "") -> Collector:
    """Return a Collector of a machine that sends to a gateway, not running yet; loopback needs no TLS.

    With a name for its `host` it tells of the machine as well.
    """
    overlays = ("host.yaml", "agent.yaml", "agent-host.yaml") if host else ("agent.yaml",)
    environment = {
        "EGOSCOPE_GATEWAY_ENDPOINT": gateway,
        "EGOSCOPE_GATEWAY_INSECURE": "true",
        "EGOSCOPE_HOST_NAME": host,
    }
    return collector_of(stack, directory, way, *overlays, **environment, EGOSCOPE_HOST_INTERVAL="1s")
