"""The processes of a machine at one moment: number, start, name, command line, what they use, and whether each is well.

On Linux the kernel's own files are read, two for each process; psutil reads more of them and wraps each in objects,
which took eight times as long for the same (docs/host.md). Elsewhere psutil is asked.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNWELL_LETTERS: Final = b"ZXxTt"  # ended and not waited for, dead, stopped, stopped by a debugger: proc_pid_stat(5)
_UNWELL: Final = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
_COMMAND_BYTES: Final = 4096
"""Of a command line; somebody's pattern with several `.*` takes minutes over a long one, and holds up everything."""
_STAT_BYTES: Final = 2048
_LINUX: Final = sys.platform == "linux"


class Process(NamedTuple):
    """One process. Its name and command line are for patterns alone: they are never stored, logged or sent."""

    pid: int
    started_s: float
    """Unix time, to a second."""
    healthy: bool
    name: str
    command: str
    """Empty for one that ended and was not waited for, and for the kernel's own."""
    cpu_s: float
    """CPU time since its start, user and system, of all its threads; without its children's."""
    memory_bytes: int
    """Resident now, shared pages among them."""


def processes(proc: Path) -> Iterator[Process]:
    """Return all processes that this user may see, but for the one that asks. Raises OSError.

    `proc` is where the kernel tells of them.
    """
    own = _own_pid(proc)
    for pid in map(int, filter(str.isdecimal, os.listdir(proc))) if _LINUX else psutil.pids():  # noqa: PTH208 (names)
        if pid != own and (found := process(proc, pid)) is not None:
            yield found


def process(proc: Path, pid: int) -> Process | None:
    """Return one process, None where there is none of this number, or none that this user may see. Raises OSError."""
    return _of_kernel(str(proc), pid, _boot_s(str(proc))) if _LINUX else of_psutil(pid)


def of_psutil(pid: int) -> Process | None:
    """Return one process as psutil tells of it."""
    try:
        one = psutil.Process(pid)
        with one.oneshot():
            command = ""
            with contextlib.suppress(psutil.ZombieProcess, psutil.AccessDenied):
                command = " ".join(one.cmdline())
            times, memory = one.cpu_times(), one.memory_info()
            return Process(
                pid,
                one.create_time(),
                one.status() not in _UNWELL,
                one.name(),
                command,
                times.user + times.system,
                memory.rss,
            )
    except (psutil.Error, OSError, OverflowError):
        return None


def _of_kernel(proc: str, pid: int, booted_s: int) -> Process | None:
    try:
        told = _beginning(f"{proc}/{pid}/stat", _STAT_BYTES)
        # A name can hold blanks and brackets of its own; what follows its last bracket are numbers and a letter.
        name, fields = told[told.index(b"(") + 1 : told.rindex(b")")], told[told.rindex(b")") + 2 :].split()
        started_s = booted_s + int(fields[19]) / _ticks_a_second()
        cpu_s = (int(fields[11]) + int(fields[12])) / _ticks_a_second()
        memory_bytes = int(fields[21]) * _page_bytes()
        command = _beginning(f"{proc}/{pid}/cmdline", _COMMAND_BYTES).rstrip(b"\0").replace(b"\0", b" ")
    except (OSError, ValueError, IndexError):
        return None
    healthy = fields[0] not in _UNWELL_LETTERS
    said = name.decode(errors="replace"), command.decode(errors="replace")
    return Process(pid, started_s, healthy, *said, cpu_s, memory_bytes)


def _beginning(path: str, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


@functools.cache
def _boot_s(proc: str) -> int:
    """Return when the machine was started; raises OSError. It is kept, so that a process's start stays what it was."""
    told = re.search(rb"^btime ([0-9]+)$", Path(proc, "stat").read_bytes(), re.MULTILINE)
    if told is None:
        raise OSError(errno.ENODATA, "the kernel does not tell there when it was started")
    return int(told[1])


@functools.cache
def _ticks_a_second() -> int:
    return os.sysconf("SC_CLK_TCK")


@functools.cache
def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")


def _own_pid(proc: Path) -> int:
    """Return this process's number as `proc` counts: its own command line can hold every pattern."""
    try:
        return int((proc / "self").readlink().name)
    except (OSError, ValueError):
        return os.getpid()
