"""Writes a demo log to files: all of a past at once, or line by line as time goes on."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, BinaryIO, Final, Self

import msgspec

from egoscope.demo.canaries import canaries
from egoscope.demo.life import generate
from egoscope.demo.lines import date_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from egoscope.demo.lines import DemoLine, LineKind
    from egoscope.demo.settings import DemoSettings

_CHUNK_LINES: Final = 1000
_TIME: Final = attrgetter("time_ns")
_KIND: Final = attrgetter("kind")
_PROCESS: Final = attrgetter("process_ns")
_LATE_NS: Final = 5_000_000_000
_WORTH_WAITING_S: Final = 0.0005


class Summary(msgspec.Struct, frozen=True):
    """What was written, counted while writing.

    `calls`: by (tool, outcome), outcome being started, ok, error or unfinished (started, and no line ends it). `lines`:
    by (level, logger); both "" in the documented format, which has neither. `files`: in order of their first line.
    `processes`: how many wrote at least one line. `first_ns`, `last_ns`: times of the first and last line, 0 if none.
    `canaries`: every token that may have been planted.
    """

    calls: Mapping[tuple[str, str], int]
    lines: Mapping[tuple[str, str], int]
    total_lines: int
    total_bytes: int
    processes: int
    files: tuple[Path, ...]
    first_ns: int
    last_ns: int
    canaries: tuple[str, ...]


def write_history(
    directory: Path,
    settings: DemoSettings,
    *,
    days: float | None = None,
    until: datetime | None = None,
    max_bytes: int | None = None,
) -> Summary:
    """Write the log from `settings.start` on, for `days`, up to `until`, or `max_bytes` long (whichever comes first).

    Files are named and appended to as ego-mcp does: by the UTC date on which the process started. The last line is
    whole; with `max_bytes` it is the one that reaches the bound. Without any bound, one day is written.
    """
    bounds = [until] if until is not None else []
    if days is not None or (until is None and max_bytes is None):
        bounds.append(settings.start + timedelta(days=1 if days is None else days))
    # Whole microseconds, as the lines' times are.
    end_ns = min(((bound - settings.start) // timedelta(microseconds=1) for bound in bounds), default=None)
    last_ns = None if end_ns is None else (settings.start_us + end_ns) * 1000
    lines = generate(settings)
    with _Files(directory, settings) as files:
        whole = True
        while whole:
            chunk = list(islice(lines, _CHUNK_LINES))
            fit = len(chunk) if last_ns is None else bisect_left(chunk, last_ns, key=_TIME)
            if max_bytes is not None:
                sizes = list(accumulate(len(line.line) + 1 for line in chunk))
                fit = min(fit, bisect_left(sizes, max_bytes - files.written) + 1)
            whole = fit >= len(chunk)
            files.append(chunk[:fit])
    return files.summary()


def write_live(
    directory: Path,
    settings: DemoSettings,
    *,
    stop: threading.Event,
    now_ns: Callable[[], int] = time.time_ns,
    wait: Callable[[float], bool] | None = None,
) -> Summary:
    """Append each line when its time comes, and flush it, until `stop` is set; `settings.start` is not used.

    A run goes on in what an earlier one left, as a new process does. After a long sleep of the machine, or a step
    forward of its clock, a new process starts as well, so that no line is stamped more than 5 s before it is written.
    `now_ns` and `wait` (seconds; true when `stop` was set) are there for tests.
    """
    pause = stop.wait if wait is None else wait
    with _Files(directory, settings) as files:
        while not stop.is_set():
            started_ns = now_ns()
            begun = replace(
                settings, start=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=started_ns // 1000)
            )
            for line in generate(begun, first_start=not any(directory.glob("ego-mcp-*.log"))):
                while (ahead_s := (line.time_ns - now_ns()) / 1e9) > _WORTH_WAITING_S and not pause(min(ahead_s, 3600)):
                    pass
                if stop.is_set() or now_ns() - line.time_ns > _LATE_NS:
                    break
                files.append([line])
    return files.summary()


class _Files:
    """The files being written, and the counts of what went into them."""

    def __init__(self, directory: Path, settings: DemoSettings) -> None:
        self._directory = directory
        self._canaries = canaries(settings)
        self._kinds: Counter[LineKind] = Counter()
        self._paths: dict[Path, None] = {}
        self._file: BinaryIO | None = None
        self._process_ns = -1
        self._processes = 0
        self._first_ns = 0
        self._last_ns = 0
        self.written = 0

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, lines: Sequence[DemoLine]) -> None:
        """Hand lines to the operating system, each in the file of its process."""
        for process_ns, group in groupby(lines, key=_PROCESS):
            own = list(group)
            if process_ns != self._process_ns or self._file is None:
                self._file = self._turn_to(own[0])
            joined = b"\n".join([line.line for line in own]) + b"\n"
            self._file.write(joined)
            self._file.flush()
            self.written += len(joined)
            self._kinds.update(map(_KIND, own))
            self._last_ns = own[-1].time_ns

    def summary(self) -> Summary:
        """Return the counts so far."""
        calls: Counter[tuple[str, str]] = Counter()
        lines: Counter[tuple[str, str]] = Counter()
        for kind, count in self._kinds.items():
            lines[kind.level, kind.logger] += count
            if kind.outcome:
                calls[kind.tool, kind.outcome] += count
        for (tool, outcome), count in list(calls.items()):
            if outcome == "started" and (open_calls := count - calls[tool, "ok"] - calls[tool, "error"]):
                calls[tool, "unfinished"] = open_calls
        return Summary(
            calls={key: count for key, count in calls.items() if count},
            lines=dict(lines),
            total_lines=sum(self._kinds.values()),
            total_bytes=self.written,
            processes=self._processes,
            files=tuple(self._paths),
            first_ns=self._first_ns,
            last_ns=self._last_ns,
            canaries=self._canaries,
        )

    def _turn_to(self, line: DemoLine) -> BinaryIO:
        if self._file is not None:
            self._file.close()
        path = self._directory / f"ego-mcp-{date_of(line.process_ns // 1000)}.log"
        self._paths[path] = None
        self._first_ns = self._first_ns or line.time_ns
        self._process_ns = line.process_ns
        self._processes += 1
        return path.open("ab")
