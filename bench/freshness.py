"""Freshness: how long after its writing a line can be queried in Loki, Prometheus and, where there is one, Tempo."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

import orjson

from bench.log import stamp
from bench.programs import Sidecar, Sink
from bench.traces import TraceWatch
from tests.stack.processes import free_ports, wait_for
from tests.stack.servers import (
    Collector,
    CollectorPorts,
    Loki,
    MissingServerError,
    Prometheus,
    Tempo,
    get_json,
    program,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LINES_A_SECOND: Final = 50
LOOK_EVERY_S: Final = 0.02
"""Both answers are asked for this often, so a value is at most this (and the query's own time) too high."""
_WITHIN_S: Final = 120
_LIVE_NAME: Final = "ego-mcp-live.log"


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds from a line's write to its first sight."""

    seconds: Sequence[float]

    def percentile(self, percent: int) -> float:
        """Return a percentile in seconds."""
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


@dataclass(slots=True)
class Servers:
    """The whole stack, with a Tempo where one is found and a sink in its place elsewhere."""

    prometheus: Prometheus
    loki: Loki
    collector: Collector
    tempo: Tempo | None
    _exit: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def start(cls, directory: Path) -> Servers:
        """Start everything with its data under `directory`. Raises MissingServerError."""
        prometheus, loki, loki_grpc, tempo_port, tempo_http, tempo_grpc, *rest = free_ports(10)
        try:
            program("tempo")
            tempo = Tempo(directory, tempo_port, tempo_http, tempo_grpc)
        except MissingServerError:
            tempo = None
        traces = tempo or Sink(directory)
        servers = cls(
            Prometheus(directory, prometheus, {}),
            Loki(directory, loki, loki_grpc),
            Collector(
                directory,
                ports=CollectorPorts(*rest),
                prometheus_url=f"http://127.0.0.1:{prometheus}",
                loki_url=f"http://127.0.0.1:{loki}",
                tempo_port=traces.port,
            ),
            tempo,
        )
        with ExitStack() as started:
            for server in (servers.prometheus, servers.loki, traces, servers.collector):
                started.callback(server.stop)
                server.start()
            servers._exit = started.pop_all()
        return servers

    def stop(self) -> None:
        """Stop everything."""
        self._exit.close()


@dataclass(frozen=True, slots=True)
class Freshness:
    """What was seen. `unread_bytes` of backlog were left at the end of the writing: 0 means that it was too small.

    `by_id` and `by_search` are None where there is no Tempo.
    """

    lines: int
    loki: Delays
    prometheus: Delays
    unread_bytes: int
    by_id: Delays | None
    by_search: Delays | None


def measure(servers: Servers, sidecar: Sidecar, logs: Path, *, seconds: float, backlog: int = 0) -> Freshness:
    """Write a live log at a steady rate and watch it arrive. `backlog`: bytes of other files that are being read."""
    live = _Live(logs / _LIVE_NAME)
    stop = threading.Event()
    traces = TraceWatch(servers.tempo) if servers.tempo else None
    loki, prometheus = _LokiWatch(servers.loki, live, traces), _PrometheusWatch(servers.prometheus, live)
    watches = [watch for watch in (loki, prometheus, traces) if watch]
    threads = [threading.Thread(target=_again, args=(watch.look, stop)) for watch in watches]
    for thread in threads:
        thread.start()
    try:
        live.write(seconds)
        unread = max(0, backlog + live.size - sidecar.read_bytes())
        wait_for(
            lambda: loki.complete and prometheus.complete, within_s=_WITHIN_S, what="all live lines can be queried"
        )
        wait_for(lambda: not traces or traces.complete, within_s=_WITHIN_S, what="all traces can be found")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return Freshness(
        len(live.written),
        Delays(loki.delays()),
        Delays(prometheus.delays()),
        unread,
        Delays(traces.by_id) if traces else None,
        Delays(traces.by_search) if traces else None,
    )


def _again(look: Callable[[], None], stop: threading.Event) -> None:
    while not stop.wait(LOOK_EVERY_S):
        look()


class _Live:
    """A log that grows by calls of one tool, two lines each, at a steady rate."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.written: dict[int, float] = {}
        """Offset of each line -> when its write returned, in order."""
        self.started_s = time.time()

    def write(self, seconds: float) -> None:
        begun = time.monotonic()
        pause = threading.Event()
        with self.path.open("ab", buffering=0) as file:
            for number in range(round(seconds * LINES_A_SECOND)):
                ahead = begun + number / LINES_A_SECOND - time.monotonic()
                if ahead > 0:
                    pause.wait(ahead)
                line = _line(number)
                offset = self.size
                self.size += len(line)
                file.write(line)
                self.written[offset] = time.time()


def _line(number: int) -> bytes:
    fields: dict[str, object] = {"timestamp": stamp(datetime.now(UTC)).decode(), "level": "INFO"}
    fields |= {"logger": "ego_mcp.server", "tool_name": "remember", "time_phase": "morning"}
    if number % 2 == 0:
        fields |= {"message": "Tool invocation", "tool_args": {"content": "walked by the river"}}
    else:
        fields |= {"message": "Tool execution completed", "tool_output": "Saved. " * 40, "tool_output_chars": 280}
        fields |= {"emotion_primary": "curious", "emotion_intensity": 0.5, "valence": 0.25, "arousal": 0.5}
    return orjson.dumps(fields) + b"\n"


class _Watch:
    """When each line was first seen, by its offset."""

    def __init__(self, live: _Live) -> None:
        self._live = live
        self._seen: dict[int, float] = {}

    @property
    def complete(self) -> bool:
        return len(self._seen) >= len(self._live.written)

    def delays(self) -> list[float]:
        return [self._seen[offset] - written for offset, written in self._live.written.items()]


class _LokiWatch(_Watch):
    """Asks Loki for the entries since the oldest line not seen yet."""

    def __init__(self, loki: Loki, live: _Live, traces: TraceWatch | None) -> None:
        super().__init__(live)
        self._url = f"{loki.url}/loki/api/v1/query_range"
        self._traces = traces

    def look(self) -> None:
        unseen = next((at for offset, at in list(self._live.written.items()) if offset not in self._seen), None)
        if unseen is None:
            return
        begin = int((unseen - 1) * 1e9)
        window = {"start": begin, "end": begin + 3600 * 10**9}
        answer = get_json(self._url, query='{service_name="ego-mcp"}', limit=5000, direction="forward", **window)
        now = time.time()
        for stream in answer["data"]["result"]:
            labels: dict[str, Any] = stream["stream"]
            offset = int(labels["log_file_record_offset"])
            if offset in self._live.written and offset not in self._seen:
                self._seen[offset] = now
                if self._traces and "ego_outcome" in labels:
                    self._traces.note(labels["trace_id"], self._live.written[offset])


class _PrometheusWatch(_Watch):
    """Asks Prometheus how many lines there are; the n-th is visible once there are n."""

    def __init__(self, prometheus: Prometheus, live: _Live) -> None:
        super().__init__(live)
        self._prometheus = prometheus

    def look(self) -> None:
        # Series of a backlog ended more than five minutes ago, so an instant query does not see them.
        count = int(self._prometheus.value("sum(ego_log_lines_total)") or 0)
        now = time.time()
        for offset in list(self._live.written)[len(self._seen) : count]:
            self._seen[offset] = now
