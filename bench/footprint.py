"""What the sidecar takes: resident memory over a large log with one huge line, and CPU while nothing happens."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import linear_regression
from typing import TYPE_CHECKING, Final

from bench.log import Template, stamp, write
from bench.programs import Sidecar, Sink, cpu_seconds, memory_mib
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from pathlib import Path

_MIB: Final = 1024 * 1024
_LONG_LINE_BYTES: Final = 16 * _MIB
_SETTLED: Final = 0.3
"""The share of the log after which memory must stay flat: caches are full and the long line is behind."""
_LOOK_EVERY_S: Final = 0.25
_WITHIN_S: Final = 1800


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MiB; `slope_mib` is its growth over 100 MB of log once settled."""

    log_bytes: int
    at_start_mib: float
    peak_mib: float
    at_end_mib: float
    slope_mib: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Share of one core, 0 to 1, over `seconds` with one quiet file."""

    share: float
    seconds: float


def measure_memory(directory: Path, made_of: Template, *, size: int) -> Memory:
    """Let a sidecar read a log of this size with one line of 16 MiB near its beginning."""
    logs = directory / "logs"
    logs.mkdir(parents=True)
    log = write(directory / "big.log", made_of, start=_days_ago(20), size=size, extra=[_long_line()])
    sink = Sink(directory)
    sidecar = Sidecar(directory, logs, sink.endpoint)
    samples: list[tuple[float, float]] = []
    pause = threading.Event()
    try:
        sink.start()
        sidecar.start()
        at_start = memory_mib(sidecar.pid)[0]
        os.link(log.path, logs / "ego-mcp-big.log")

        def sent() -> bool:
            samples.append((sidecar.read_bytes() / 1e8, memory_mib(sidecar.pid)[0]))
            pause.wait(_LOOK_EVERY_S)
            return sidecar.has_sent(log.size)

        wait_for(sent, within_s=_WITHIN_S, what="the sidecar has sent the big log")
        now, peak = memory_mib(sidecar.pid)
    finally:
        sidecar.stop()
        sink.stop()
    settled = [one for one in samples if one[0] >= _SETTLED * log.size / 1e8]
    slope = linear_regression(*zip(*settled, strict=True)).slope if len(settled) > 2 else float("nan")
    return Memory(log.size, at_start, peak, now, slope)


def measure_idle(directory: Path, made_of: Template, *, seconds: float) -> Idle:
    """Let a sidecar follow one file that does not grow, with its series kept alive, and take its CPU time."""
    logs = directory / "logs"
    logs.mkdir(parents=True)
    log = write(logs / "ego-mcp-quiet.log", made_of, start=datetime.now(UTC) - timedelta(hours=1), size=1)
    sink = Sink(directory)
    sidecar = Sidecar(directory, logs, sink.endpoint)
    pause = threading.Event()
    try:
        sink.start()
        sidecar.start()
        wait_for(lambda: sidecar.has_sent(log.size), what="the quiet file is sent")
        pause.wait(_SETTLE_S)
        before = cpu_seconds(sidecar.pid)
        pause.wait(seconds)
        return Idle((cpu_seconds(sidecar.pid) - before) / seconds, seconds)
    finally:
        sidecar.stop()
        sink.stop()


_SETTLE_S: Final = 6.0
"""A file counts as growing for five seconds after it grew."""


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _long_line() -> bytes:
    """One line of exactly 16 MiB, which is the longest that is read: a call's end with a huge output."""
    moment = stamp(_days_ago(20)).decode()
    head = {"timestamp": moment, "level": "INFO", "logger": "ego_mcp.server", "message": "Tool execution completed"}
    line = json.dumps({**head, "tool_name": "recall", "tool_output": ""}).encode()
    return line[:-2] + b"x" * (_LONG_LINE_BYTES - len(line)) + line[-2:]
