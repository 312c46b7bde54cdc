"""Lines per CPU-second: the sidecar, the Collector's filelog receiver and bare parsing, on one file, in turns."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.programs import Filelog, Sidecar, Sink, cpu_seconds
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.log import Written
    from tests.stack.processes import Server

_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Turn:
    """CPU seconds from the file's appearance until all of it was acknowledged; `floor`: of the parsing alone."""

    sidecar: float
    filelog: float
    floor: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """All turns over one log."""

    log: Written
    turns: Sequence[Turn]

    def lines_a_second(self, cpu: Callable[[Turn], float]) -> float:
        """Return the median of lines per CPU-second."""
        return median(self.log.lines / cpu(turn) for turn in self.turns)

    @property
    def against_filelog(self) -> float:
        """How many times as many lines as filelog; the median of the turns' ratios, for a noisy machine slows both."""
        return median(turn.filelog / turn.sidecar for turn in self.turns)

    @property
    def against_floor(self) -> float:
        """How many times the CPU time of bare parsing."""
        return median(turn.sidecar / turn.floor for turn in self.turns)


def measure(scratch: Path, log: Written, turns: int) -> Throughput:
    """Run everything in turns (A B C A B C …). Each program is ready before its file appears."""
    sink = Sink(scratch)
    sink.start()
    try:
        return Throughput(log, [_turn(scratch / f"turn-{number}", log, sink) for number in range(turns)])
    finally:
        sink.stop()


def _turn(directory: Path, log: Written, sink: Sink) -> Turn:
    logs = [directory / "sidecar-logs", directory / "filelog-logs"]
    for one in logs:
        one.mkdir(parents=True)
    sidecar = Sidecar(directory, logs[0], sink.endpoint)
    cpu_sidecar = _cpu(sidecar, log, logs[0], lambda: sidecar.has_sent(log.size))
    before = sink.log_records()
    filelog = Filelog(directory, logs[1], sink)
    cpu_filelog = _cpu(filelog, log, logs[1], lambda: sink.log_records() - before >= log.lines)
    answer = subprocess.run(
        [sys.executable, Path(__file__).parent / "floor.py", log.path], check=True, capture_output=True, text=True
    )
    return Turn(cpu_sidecar, cpu_filelog, float(answer.stdout))


def _cpu(server: Server, log: Written, logs: Path, done: Callable[[], bool]) -> float:
    server.start()
    try:
        before = cpu_seconds(server.pid)
        os.link(log.path, logs / log.path.name)
        wait_for(done, within_s=_WITHIN_S, what=f"{server.name} has sent the log")
        return cpu_seconds(server.pid) - before
    except AssertionError as error:
        error.add_note(server.log_tail())
        raise
    finally:
        server.stop()
