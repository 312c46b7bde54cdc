"""Worker processes that no database tells of: how many there are, how many of them are well, and what they use.

They are known by a regular expression that stands in their name or command line, or by a pid file. Both are looked at
here and never leave: what leaves are numbers for each group, which the settings named.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.sources.process_table import process, processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from egoscope.sources.process_table import Process

_PID_FILE_BYTES: Final = 64
_MOST_PID_FILES: Final = 1024
_START_TOLERANCE_S: Final = 2.0
"""The kernel tells a process's start by another clock than a file's, to a second; a program writes its file at once."""


class Health(StrEnum):
    """How a worker process is."""

    ALIVE = "alive"
    UNHEALTHY = "unhealthy"


class PidFile(StrEnum):
    """What became of a pid file. The text is fit to be shown to a user."""

    RUNNING = "names a running process"
    UNWELL = "names a process that is stopped, or ended and was not waited for"
    GONE = "names a process that is gone"
    REUSED = "is older than the process of its number: that is another one, unless the clock was set since"
    NO_NUMBER = "holds no process number"
    UNREADABLE = "cannot be read"
    MISSING = "is not there"


class Use(msgspec.Struct, frozen=True):
    """What the processes of a group use. `cpu_s`: since the first look; never less than before. `memory_bytes`: now."""

    cpu_s: float
    memory_bytes: int


class Look(msgspec.Struct, frozen=True):
    """What one look found. `matches`: how many processes each pattern matched, in the order of the settings."""

    counts: Mapping[str, Mapping[Health, int]]
    uses: Mapping[str, Use]
    matches: Sequence[int]
    pid_files: Sequence[tuple[str, PidFile]]


class WorkerProcesses:
    """Groups of processes, looked for anew each time. `proc` is where the kernel tells of processes.

    In a container that is a mount of the machine's own /proc; numbers in pid files are then the machine's.
    """

    def __init__(
        self, patterns: Sequence[tuple[str, str]], pid_files: Sequence[tuple[str, str]], *, proc: Path = Path("/proc")
    ) -> None:
        """Each a group and what belongs to it. Raises re.error; the settings have tried each pattern before."""
        self._patterns = [(group, re.compile(pattern)) for group, pattern in patterns]
        self._pid_files = pid_files
        self._groups = sorted({group for group, _ in (*patterns, *pid_files)})
        self._proc = proc
        # A process that ended and was not waited for has no command line any more: it is what it was.
        self._known: dict[tuple[int, float], tuple[int, ...]] = {}
        self._cpu = {group: _CpuTime() for group in self._groups}

    def look(self) -> Look:
        """Count all groups: one walk over the processes where there are patterns, else only those of pid files.

        A process that several patterns or files of a group name is counted once there. Raises OSError where the
        kernel does not tell of processes.
        """
        now_s = time.time()
        found: dict[str, dict[int, Process]] = {group: {} for group in self._groups}
        matches = [0] * len(self._patterns)
        for one, numbers in self._matching() if self._patterns else ():
            for number in numbers:
                matches[number] += 1
                found[self._patterns[number][0]][one.pid] = one
        pid_files: list[tuple[str, PidFile]] = []
        astray = dict.fromkeys(self._groups, 0)
        for group, path in self._named_files():
            became = _follow(path, self._proc)
            if became is PidFile.MISSING:
                continue
            if isinstance(became, PidFile):
                astray[group] += 1
                pid_files.append((path, became))
            else:
                found[group][became.pid] = became
                pid_files.append((path, PidFile.RUNNING if became.healthy else PidFile.UNWELL))
        counts: dict[str, Mapping[Health, int]] = {}
        uses: dict[str, Use] = {}
        for group, members in found.items():
            alive = sum(one.healthy for one in members.values())
            counts[group] = {Health.ALIVE: alive, Health.UNHEALTHY: len(members) - alive + astray[group]}
            used_s = self._cpu[group].after(members.values(), now_s)
            uses[group] = Use(used_s, sum(one.memory_bytes for one in members.values()))
        return Look(counts, uses, matches, pid_files)

    def _matching(self) -> Iterator[tuple[Process, tuple[int, ...]]]:
        """Return the processes that any pattern matches, each with the numbers of these patterns."""
        known, self._known = self._known, {}
        for one in processes(self._proc):
            identity = one.pid, one.started_s
            if numbers := self._numbers(one, known.get(identity, ())):
                self._known[identity] = numbers
                yield one, numbers

    def _numbers(self, one: Process, before: tuple[int, ...]) -> tuple[int, ...]:
        """Return the numbers of the patterns that match; `before`: those at the last look."""
        if not one.command and before:
            return before
        if not one.command and one.healthy:
            return ()  # the kernel's own: `kworker` is nobody's worker
        return tuple(
            number
            for number, (_, pattern) in enumerate(self._patterns)
            if pattern.search(one.command) or pattern.search(one.name)
        )

    def _named_files(self) -> Iterator[tuple[str, str]]:
        for group, pattern in self._pid_files:
            # One that is named itself is looked for there, and not in its directory, which may be closed to this user.
            named = sorted(glob.iglob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207 (an absolute pattern)
            yield from ((group, one) for one in named[:_MOST_PID_FILES])


class _CpuTime:
    """CPU time of a group whose processes come and go.

    What a process used before it could be seen is not counted: one that ran before the first look, or that a pid file
    named only later, begins at nought. The last moments of one that ends are not seen.
    """

    def __init__(self) -> None:
        self._total_s = 0.0
        self._used_s: dict[tuple[int, float], float] = {}
        self._looked_s = float("inf")

    def after(self, members: Iterable[Process], now_s: float) -> float:
        """Return what all have used by now, in seconds."""
        before, self._used_s = self._used_s, {}
        for one in members:
            identity = one.pid, one.started_s
            is_young = one.started_s >= self._looked_s - _START_TOLERANCE_S
            self._total_s += max(0.0, one.cpu_s - before.get(identity, 0.0 if is_young else one.cpu_s))
            self._used_s[identity] = one.cpu_s
        self._looked_s = now_s
        return self._total_s


def _follow(path: str, proc: Path) -> Process | PidFile:
    """Return the process that a pid file names; where it names none, what became of it."""
    try:
        # A pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            about = os.fstat(descriptor)
            beginning = os.read(descriptor, _PID_FILE_BYTES) if stat.S_ISREG(about.st_mode) else b""
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return PidFile.MISSING  # programs remove theirs when they end in good order
    except OSError:
        return PidFile.UNREADABLE
    number = re.match(rb"\s*([1-9][0-9]{0,9})\s", beginning + b"\n")
    if number is None:
        return PidFile.NO_NUMBER
    found = process(proc, int(number[1]))
    if found is None:
        return PidFile.GONE
    return PidFile.REUSED if found.started_s > about.st_mtime + _START_TOLERANCE_S else found
