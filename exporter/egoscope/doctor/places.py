"""The log places: whether each pattern names files, who can read them, and whether they are still written."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from egoscope.doctor.finding import counted, fail, in_time, ok, skip, warn
from egoscope.sources.discovery import DEFAULT_GLOB, Discovery, Reason, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from egoscope.doctor.finding import Finding
    from egoscope.sources.discovery import Problem, Sighting, Survey

_QUIET_S: Final = 86_400
_MOST_PROBLEMS: Final = 10
_MAGIC: Final = re.compile(r"[*?[]")
_OWN_PLACE: Final = "give ego-mcp a directory of its own (EGO_MCP_LOG_DIR)"
_DEFAULT_HINT: Final = "set EGO_MCP_LOG_DIR or EGO_MCP_LOG_PATH to where ego-mcp writes"


def check_places(patterns: Sequence[str], now_s: float) -> Iterator[Finding]:
    """Look at each pattern on its own; `now_s` is Unix time."""
    for pattern in patterns:
        survey = Discovery([pattern], DEFAULT_GLOB).look()
        if survey.files:
            yield _found(pattern, survey, now_s)
            yield from check_open_to_others(pattern, survey.files.values(), _OWN_PLACE)
        elif all(problem.reason is Reason.NO_MATCH for problem in survey.problems):
            yield _nothing(pattern)


def check_problems(problems: Sequence[Problem]) -> Iterator[Finding]:
    """Say in words what `Tail.problems()` holds, but for patterns without a file: those are `check_places`'s."""
    told = sorted({(one.path, one.reason) for one in problems if one.reason is not Reason.NO_MATCH})
    for path, reason in told[:_MOST_PROBLEMS]:
        yield _problem(path, reason)
    if len(told) > _MOST_PROBLEMS:
        yield warn("log files", f"{counted(len(told) - _MOST_PROBLEMS, 'more path')} with a problem like these")


def _found(pattern: str, survey: Survey, now_s: float) -> Finding:
    newest_s = max(seen.stat.st_mtime for seen in survey.files.values())
    quiet_s = now_s - newest_s
    files = counted(len(survey.files), "file")
    if quiet_s > _QUIET_S:
        sentence = f"{files}, but nothing was written for {in_time(quiet_s)}"
        return warn(printable(pattern), sentence, f"if ego-mcp is running, {_DEFAULT_HINT}")
    return ok(printable(pattern), f"{files}, last written {in_time(quiet_s)} ago")


def _nothing(pattern: str) -> Finding:
    name = printable(pattern)
    path = Path(pattern).expanduser().absolute()
    if path.is_dir():
        sentence = f"the directory is there, but no file in it is named {DEFAULT_GLOB}"
        return warn(name, sentence, f"start ego-mcp, or {_DEFAULT_HINT}")
    fixed = path
    while _MAGIC.search(str(fixed)):
        fixed = fixed.parent
    if fixed != path and fixed.is_dir():
        return warn(name, "no file has such a name now", f"start ego-mcp, or {_DEFAULT_HINT}")
    missing = fixed if fixed != path else path
    return fail(name, f"{printable(str(missing))} does not exist", f"start ego-mcp once, or {_DEFAULT_HINT}")


def _problem(path: str, reason: Reason) -> Finding:
    match reason:
        case Reason.DENIED:
            who = f"this user (uid {os.geteuid()})"
            remedy = f"let {who} read it (chmod, setfacl), or run as its owner"
            finding = fail(path, f"{who} is not allowed to read it", remedy)
        case Reason.UNREADABLE:
            finding = fail(
                path, "cannot be read: the disk or the mount answers with an error", "look at mount and dmesg"
            )
        case Reason.DANGLING:
            finding = warn(path, "is a symlink to nothing", "mend the link or remove it")
        case Reason.NOT_A_FILE:
            finding = warn(path, "is not a regular file, so it is not read", "name only files, or take it out of there")
        case Reason.GONE_UNREAD:
            finding = warn(
                path, "is gone, and was not read to its end", "keep rotated logs uncompressed until they are read"
            )
        case Reason.COPY:
            finding = skip(path, "is a copy of a file that is being followed, so it is not read a second time")
        case Reason.NO_MATCH:
            finding = _nothing(path)
        case _:  # what only a database can be
            finding = fail(path, reason, "see the findings about databases")
    return finding


def check_open_to_others(pattern: str, files: Iterable[Sighting], own_place: str) -> Iterator[Finding]:
    """Say when every user of this machine can read a log or database: private words stand in it.

    `own_place`: the remedy where its directory is open to all and is to stay so.
    """
    open_files = [seen.path for seen in files if seen.stat.st_mode & stat.S_IROTH and _reachable_by_all(seen.path)]
    if not open_files:
        return
    name = printable(open_files[0]) if len(open_files) == 1 else f"{len(open_files)} files"
    sentence = f"{name} can be read by every user of this machine, and private words stand in it"
    folder = Path(open_files[0]).parent
    if folder.stat().st_mode & stat.S_IWOTH:  # a place of all, as /tmp is: to close it would break others
        yield warn(printable(pattern), sentence, f"{own_place}, with mode 0700")
    else:
        yield warn(printable(pattern), sentence, f"run chmod 700 {printable(str(folder))}")


def _reachable_by_all(path: str) -> bool:
    """Whether no directory on the way keeps other users out."""
    try:
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in Path(path).absolute().parents)
    except OSError:
        return False
