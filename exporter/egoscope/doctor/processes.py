"""Worker processes of other programs: whether each pattern matches any, and what each pid file names.

Of a process nothing is shown, and of a pattern only its group: a command line can hold a secret, and what is looked for
in it as well.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from egoscope.doctor.finding import counted, fail, ok, skip, warn
from egoscope.sources.discovery import printable
from egoscope.sources.worker_processes import Health, PidFile, WorkerProcesses

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from egoscope.doctor.finding import Finding

_BY_NAME: Final = "EGOSCOPE_WORKER_PROCESSES"
_BY_FILE: Final = "EGOSCOPE_WORKER_PID_FILES"
_MOST_FILES: Final = 20


def check_processes(
    patterns: Sequence[tuple[str, str]], pid_files: Sequence[tuple[str, str]], proc: Path, least: int | None
) -> Iterator[Finding]:
    """Look once, as the sidecar does; `least`: how many workers there should be."""
    try:
        look = WorkerProcesses(patterns, pid_files, proc=proc).look()
        for one in pid_files:
            yield from _files_of(*one, proc)
    except OSError as error:
        yield fail(
            "worker processes",
            f"{proc} cannot be looked into ({error.strerror})",
            "set EGOSCOPE_PROC_PATH to where /proc is mounted",
        )
        return
    for number, ((group, _), matches) in enumerate(zip(patterns, look.matches, strict=True), 1):
        if not matches:
            sentence = f"no process that this user (uid {os.geteuid()}) sees matches pattern {number} of {_BY_NAME}"
            remedy = "start one, or compare the pattern with `ps -eo args`; in a container see docs/host.md"
            yield warn(group, sentence, remedy)
    for group, healths in look.counts.items():
        alive, unhealthy = healths[Health.ALIVE], healths[Health.UNHEALTHY]
        if unhealthy:
            remedy = "see its log, and start it again"
            yield warn(group, f"{counted(alive, 'process', 'processes')} alive, {unhealthy} unhealthy", remedy)
        elif alive:
            yield ok(group, f"{counted(alive, 'process', 'processes')} alive")
    if least is not None:
        yield skip(
            "worker processes", f"there should be at least {counted(least, 'worker')} (EGOSCOPE_WORKERS_EXPECTED)"
        )


def _files_of(group: str, pattern: str, proc: Path) -> Iterator[Finding]:
    """Say what the pid files of one entry name."""
    found = WorkerProcesses((), [(group, pattern)], proc=proc).look().pid_files
    if not found:
        remedy = f"start one, or set {_BY_FILE} to where its program writes it"
        yield warn(
            printable(pattern), f"{PidFile.MISSING}: {group} does not run, or writes its pid file elsewhere", remedy
        )
    wrong = [(path, became) for path, became in found if became is not PidFile.RUNNING]
    for path, became in wrong[:_MOST_FILES]:
        match became:
            case PidFile.UNREADABLE:
                remedy = f"let this user (uid {os.geteuid()}) read it, or run as its owner"
                yield fail(printable(path), f"{became}: what it names counts as unhealthy", remedy)
            case PidFile.NO_NUMBER:
                yield fail(printable(path), f"{became}: is it a pid file?", f"name pid files alone in {_BY_FILE}")
            case _:
                yield warn(printable(path), became, f"start {group} again; in a container see docs/host.md")
    if len(wrong) > _MOST_FILES:
        yield skip(printable(pattern), f"{counted(len(wrong) - _MOST_FILES, 'more pid file')} like these")
