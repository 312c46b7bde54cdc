"""The log that is measured: recorded runs of the real program, one after another with the time going on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from egoscope.demo import DemoSettings, write_history

if TYPE_CHECKING:
    from collections.abc import Iterable

RECORDED: Final = Path(__file__).parents[2] / "shared" / "data"
"""Where the recorded runs are, beside the repository; where they are not, the demo's log takes their place."""
_RUNS: Final = ("ego-mcp-sequential", "ego-mcp-concurrent")
_DEMO_BYTES: Final = 900_000
_BEFORE: Final = b'{"timestamp": "'
_PAUSE: Final = timedelta(seconds=5)
_DIGITS: Final = 27  # 2026-11-20T04:09:09.953878Z


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the program: each line's time since the run's first, and what follows its timestamp."""

    lines: tuple[tuple[timedelta, bytes], ...]
    duration: timedelta


@dataclass(frozen=True, slots=True)
class Template:
    """What a log of any length is made of. `origin` says in words where it is from."""

    origin: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A log that was written."""

    path: Path
    lines: int
    size: int
    end: datetime


def template(scratch: Path) -> Template:
    """Return the recorded runs, or a demo log (written to `scratch`) where they are missing."""
    logs = [log for run in _RUNS for log in sorted((RECORDED / run).glob("ego-mcp-*.log"))]
    if logs:
        return Template("recorded runs of ego-mcp, repeated", tuple(_run(log.read_bytes()) for log in logs))
    made = write_history(scratch, DemoSettings(), max_bytes=_DEMO_BYTES)
    data = b"".join(path.read_bytes() for path in made.files)
    return Template("the demo's log, repeated (no recorded run is beside the repository)", (_run(data),))


def write(path: Path, made_of: Template, *, start: datetime, size: int, extra: Iterable[bytes] = ()) -> Written:
    """Write at least `size` bytes of whole runs; `extra` are whole lines put in after the first runs."""
    now, lines, written = start, 0, 0
    with path.open("wb") as file:
        while written < size:
            for run in made_of.runs:
                chunk = b"".join(_BEFORE + stamp(now + since) + rest for since, rest in run.lines)
                file.write(chunk)
                written += len(chunk)
                lines += len(run.lines)
                now += run.duration + _PAUSE
            for line in extra:
                file.write(line + b"\n")
                written += len(line) + 1
                lines += 1
            extra = ()
    return Written(path, lines, written, now)


def stamp(moment: datetime) -> bytes:
    """Return a moment as ego-mcp writes it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()


def calls_of(paths: Iterable[Path]) -> Counter[tuple[str, str]]:
    """Count the ends of calls in logs by tool and outcome, with no code of egoscope's."""
    outcomes = {"Tool execution completed": "ok", "Tool execution failed": "error"}
    counts: Counter[tuple[str, str]] = Counter()
    for path in paths:
        with path.open("rb") as file:
            for line in file:
                fields = orjson.loads(line)
                if (outcome := outcomes.get(fields["message"])) and "tool_name" in fields:
                    counts[fields["tool_name"], outcome] += 1
    return counts


def _run(data: bytes) -> Run:
    timed: list[tuple[datetime, bytes]] = []
    for line in data.splitlines(keepends=True):
        # A line that begins otherwise would be no line of ego-mcp's.
        time, rest = line[len(_BEFORE) :][:_DIGITS], line[len(_BEFORE) + _DIGITS :]
        timed.append((datetime.fromisoformat(time.decode()), rest))
    first = timed[0][0]
    lines = tuple((time - first, rest) for time, rest in timed)
    return Run(lines, max(since for since, _ in lines))
