"""What several machines cost, and what gives first: `python -m bench.scaling`. The page is docs/scaling.md.

One run, three parts. *Chain*: one log through the sidecar, its machine's Collector and a gateway, in turns with the
same log through one Collector; CPU of each process. *Stores*: two machines through one gateway into real back ends; CPU
of each process. *Load*: requests that a sidecar made, sent to one gateway over more and more connections at once.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from bench import log
from bench.programs import Sidecar, cpu_seconds, memory_mib
from egoscope.otlp.client import Accepted, Refused, Signal, Unavailable
from egoscope.otlp.grpc_client import GrpcExporter
from tests.otlp_capture import Capture
from tests.stack.backends import Loki, Prometheus, Tempo
from tests.stack.collector import Collector, CollectorPorts
from tests.stack.processes import MissingServerError, Server, free_ports, wait_for
from tests.stack.servers import program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HERE: Final = Path(__file__).parent
_MB: Final = 1_000_000
_WITHIN_S: Final = 600.0
_COMPRESSIONS: Final = ("none", "gzip", "snappy", "zstd")
_CONNECTIONS: Final = (1, 4, 16, 64, 128, 256)
_LOAD_S: Final = 10.0


class _Sink(Server):
    """Takes what a Collector sends to Tempo, Loki and Prometheus, and forgets it."""

    name = "sink"

    def __init__(self, directory: Path) -> None:
        self.grpc, http, health = free_ports(3)
        self.url = f"http://127.0.0.1:{http}"
        self.ready_url = f"http://127.0.0.1:{health}/"
        environment = {
            "BENCH_OTLP_LISTEN": f"127.0.0.1:{self.grpc}",
            "BENCH_HTTP_LISTEN": f"127.0.0.1:{http}",
            "BENCH_HEALTH_LISTEN": f"127.0.0.1:{health}",
        }
        super().__init__([program("collector"), f"--config={_HERE / 'scaling-sink.yaml'}"], directory, environment)


@dataclass(frozen=True, slots=True)
class _BackEnds:
    """Where a Collector sends to."""

    prometheus: str
    loki: str
    tempo: int

    def collector(self, directory: Path, *overlays: str, **environment: str) -> Collector:
        directory.mkdir(parents=True)
        return Collector(
            directory,
            ports=CollectorPorts(*free_ports(4)),
            prometheus_url=self.prometheus,
            loki_url=self.loki,
            tempo_port=self.tempo,
            overlays=overlays,
            environment=environment,
        )


def _towards(gateway: Collector, compression: str = "gzip") -> dict[str, str]:
    return {
        "EGOSCOPE_GATEWAY_ENDPOINT": gateway.endpoint,
        "EGOSCOPE_GATEWAY_INSECURE": "true",
        "EGOSCOPE_GATEWAY_COMPRESSION": compression,
    }


def _read_all(
    sidecars: Mapping[Sidecar, tuple[log.Written, Path]], measured: Mapping[str, Server]
) -> tuple[float, dict[str, float]]:
    """Let each sidecar find its log, and send it; return seconds, and the CPU seconds of each process meanwhile."""
    for sidecar in sidecars:
        sidecar.start()
    every = {**measured, **{f"sidecar {number}": sidecar for number, sidecar in enumerate(sidecars)}}
    before = {name: cpu_seconds(server.pid) for name, server in every.items()}
    begun = time.monotonic()
    for written, logs in sidecars.values():
        written.path.rename(logs / written.path.name)
    wait_for(
        lambda: all(one.has_sent(written.size) for one, (written, _) in sidecars.items()),
        within_s=_WITHIN_S,
        what="all is sent",
    )
    took = time.monotonic() - begun
    spent = {name: cpu_seconds(server.pid) - before[name] for name, server in every.items()}
    of_sidecars = sum(spent.pop(f"sidecar {number}") for number in range(len(sidecars)))
    return took, {**spent, "sidecar": of_sidecars}


def _show(title: str, lines: int, took: float, cpu: Mapping[str, float], memory: Mapping[str, float]) -> None:
    print(f"{title}: {lines:,} lines in {took:.1f} s, {lines / took:,.0f} a second")
    for name, seconds in cpu.items():
        share = f"{seconds / cpu['sidecar']:>6.2f} of the sidecar's"
        mib = f"{memory[name]:>6.0f} MiB at most" if name in memory else ""
        print(
            f"    {name:<22}{seconds / lines * 1e6:>8.1f} us a line {share} {lines / seconds:>9,.0f} lines/CPU-s {mib}"
        )


def chain(scratch: Path, made_of: log.Template, size: int) -> None:
    """One log by both ways, with every compression between the two Collectors."""
    with contextlib.ExitStack() as until_the_end:
        sink = _Sink(scratch)
        _up(until_the_end, sink)
        back = _BackEnds(sink.url, sink.url, sink.grpc)
        for turn in ("direct", *_COMPRESSIONS):
            with contextlib.ExitStack() as while_measured:
                where = scratch / f"chain-{turn}"
                logs = where / "logs"
                logs.mkdir(parents=True)
                written = log.write(where / "ego-mcp-a.log", made_of, start=_days_ago(2), size=size)
                gateway = back.collector(where / "gateway", *([] if turn == "direct" else ["gateway.yaml"]))
                _up(while_measured, gateway)
                measured: dict[str, Server] = {"collector" if turn == "direct" else "gateway": gateway}
                near = gateway
                if turn != "direct":
                    near = back.collector(where / "agent", "agent.yaml", **_towards(gateway, turn))
                    _up(while_measured, near)
                    measured["machine's collector"] = near
                sidecar = Sidecar(where, logs, near.endpoint)
                while_measured.callback(sidecar.stop)
                took, cpu = _read_all({sidecar: (written, logs)}, measured)
                memory = {name: memory_mib(server.pid)[1] for name, server in measured.items()}
                _show(f"chain, {turn}", written.lines, took, cpu, memory)


def stores(scratch: Path, made_of: log.Template, size: int) -> None:
    """Two machines, one gateway, real back ends."""
    with contextlib.ExitStack() as until_the_end:
        port, loki_port, loki_grpc, spans, tempo_http, tempo_grpc = free_ports(6)
        prometheus = Prometheus(scratch, port, {"prometheus": [f"127.0.0.1:{port}"]})
        loki = Loki(scratch, loki_port, loki_grpc)
        measured: dict[str, Server] = {"Prometheus": prometheus, "Loki": loki}
        try:
            measured["Tempo"] = Tempo(scratch, spans, tempo_http, tempo_grpc)
        except MissingServerError as error:
            sink = _Sink(scratch)
            _up(until_the_end, sink)
            spans = sink.grpc
            print(f"without Tempo: {error}")
        for server in measured.values():
            _up(until_the_end, server)
        back = _BackEnds(prometheus.url, loki.url, spans)
        gateway = back.collector(scratch / "gateway", "gateway.yaml")
        _up(until_the_end, gateway)
        sidecars: dict[Sidecar, tuple[log.Written, Path]] = {}
        lines = 0
        for name in ("a", "b"):
            agent = back.collector(scratch / name, "agent.yaml", **_towards(gateway))
            _up(until_the_end, agent)
            measured[f"machine {name}'s collector"] = agent
            logs = scratch / name / "logs"
            logs.mkdir()
            written = log.write(scratch / name / f"ego-mcp-{name}.log", made_of, start=_days_ago(2), size=size)
            sidecar = Sidecar(scratch / name, logs, agent.endpoint)
            until_the_end.callback(sidecar.stop)
            sidecars[sidecar] = (written, logs)
            lines += written.lines
        measured["gateway"] = gateway
        took, cpu = _read_all(sidecars, measured)
        _show("stores", lines, took, cpu, {name: memory_mib(server.pid)[1] for name, server in measured.items()})
        for job in ("ego-mcp", "egoscope"):
            series = prometheus.series(f'{{job="{job}"}}')
            instances = {one["instance"] for one in series if "instance" in one}
            print(f"    series of {job}: {len(series)} of {len(instances)} instances")
        tools = {one.get("tool") for one in prometheus.series("ego_calls_total")}
        print(f"    tools: {len(tools)}")


def load(scratch: Path, made_of: log.Template, size: int) -> None:
    """One gateway in front of a sink, asked over more and more connections at once."""
    with contextlib.ExitStack() as until_the_end:
        logs = scratch / "recorded" / "logs"
        logs.mkdir(parents=True)
        written = log.write(logs / "ego-mcp-a.log", made_of, start=_days_ago(2), size=size)
        with Capture() as capture:
            sidecar = Sidecar(scratch / "recorded", logs, capture.endpoint)
            sidecar.start()
            wait_for(lambda: sidecar.has_sent(written.size), within_s=_WITHIN_S, what="the log is recorded")
            sidecar.stop()
        requests = [(Signal(signal), data) for signal, data in capture.requests]
        largest = max(len(data) for _, data in requests)
        print(f"load: {len(requests)} requests of {written.lines:,} lines, the largest {largest / 1024:,.0f} KiB")
        sink = _Sink(scratch)
        _up(until_the_end, sink)
        for connections in _CONNECTIONS:
            with contextlib.ExitStack() as while_measured:
                back = _BackEnds(sink.url, sink.url, sink.grpc)
                gateway = back.collector(scratch / f"load-{connections}", "gateway.yaml")
                _up(while_measured, gateway)
                _send(gateway, requests, connections, written.lines)


def _send(gateway: Collector, requests: Sequence[tuple[Signal, bytes]], connections: int, lines: int) -> None:
    stop = threading.Event()
    taken: list[float] = []
    refused: Counter[str] = Counter()

    def send(first: int) -> None:
        exporter = GrpcExporter(gateway.endpoint)
        place = first * len(requests) // connections
        while not stop.is_set():
            signal, data = requests[place % len(requests)]
            begun = time.monotonic()
            match exporter.send(signal, data):
                case Accepted():
                    taken.append(time.monotonic() - begun)
                    place += 1
                case Unavailable(reason=reason) | Refused(reason=reason):
                    refused[reason] += 1
                    stop.wait(0.25)  # the sidecar's own first pause
                case _:
                    refused["partly"] += 1
        exporter.close()

    senders = [threading.Thread(target=send, args=(number,)) for number in range(connections)]
    before, begun = cpu_seconds(gateway.pid), time.monotonic()
    for sender in senders:
        sender.start()
    stop.wait(_LOAD_S)
    stop.set()
    for sender in senders:
        sender.join()
    took, cpu = time.monotonic() - begun, cpu_seconds(gateway.pid) - before
    share = len(taken) / len(requests)
    slow = quantiles(taken, n=20)[-1] if len(taken) > 1 else float("nan")
    print(
        f"    {connections:>3} connections: {lines * share / took:>9,.0f} lines/s, 95 of 100 answered within"
        f" {slow * 1000:>6.0f} ms, {cpu / took:.2f} cores, {memory_mib(gateway.pid)[1]:>4.0f} MiB at most,"
        f" refused: {dict(refused) or 'none'}"
    )


def _up(stack: contextlib.ExitStack, server: Server) -> None:
    stack.callback(server.stop)
    server.start()


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


PARTS: Final = {"chain": chain, "stores": stores, "load": load}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.scaling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log-mb", type=int, default=30, help="size of each log")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; default: all")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="egoscope-scaling-") as scratch:
        made_of = log.template(Path(scratch, "template"))
        for name in options.parts or PARTS:
            directory = Path(scratch, name)
            directory.mkdir()
            PARTS[name](directory, made_of, options.log_mb * _MB)


if __name__ == "__main__":
    main()
