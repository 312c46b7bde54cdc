"""Which files the patterns name right now. Looks at directories and inodes only; opens nothing.

It runs many times a second, so paths are strings here: a `Path` for each entry would cost more than the look itself.
"""
# ruff: noqa: PTH114, PTH116, PTH118, PTH206

from __future__ import annotations

import fnmatch
import os
import re
import stat
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Key = tuple[int, int]  # a file's device and inode

_MAGIC = re.compile(r"[*?[]")

DEFAULT_GLOB: Final = "ego-mcp-*.log"
"""What is read of a directory that is named as a whole."""


class Reason(StrEnum):
    """Why a path is not read, or not completely. The text is fit to be shown to a user and to be counted."""

    NO_MATCH = "names no file"
    DENIED = "permission denied"
    DANGLING = "is a symlink to nothing"
    NOT_A_FILE = "is not a regular file"
    UNREADABLE = "cannot be read"
    COPY = "is a copy of a file that is being followed"
    GONE_UNREAD = "is gone, and was not read to its end"
    LOCKED = "is locked by its writer"
    HOT_JOURNAL = "was left amid a change: the program that writes it must open it once"
    NOT_A_DATABASE = "is no SQLite database"
    DAMAGED = "is damaged"
    MISSING_TABLE = "has no table of this name"
    MISSING_COLUMN = "has no column of this name"


class Problem(msgspec.Struct, frozen=True):
    """Something about a path that a user may want to mend. It never holds content.

    `detail` names the table or the column that is missing; it is one that egoscope knows.
    """

    path: str
    reason: Reason
    detail: str = ""


class Sighting(NamedTuple):
    """A regular file as one look found it; `stat` is the target's where the path is a symlink."""

    path: str
    stat: os.stat_result

    @property
    def key(self) -> Key:
        """The file's device and inode."""
        return self.stat.st_dev, self.stat.st_ino


def printable(path: str) -> str:
    """Return the path as text that any database or terminal takes, also where its name is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def reason_of(error: OSError) -> Reason:
    """Return the constant that stands for an error of the operating system."""
    return Reason.DENIED if isinstance(error, PermissionError) else Reason.UNREADABLE


class Survey:
    """One look at all patterns: files by (device, inode), the directories listed, and what was wrong."""

    def __init__(self, patterns: Iterable[str], default_glob: str) -> None:
        self.files: dict[Key, Sighting] = {}
        self.directories: set[str] = set()
        self.problems: list[Problem] = []
        self._default_glob = default_glob
        for pattern in patterns:
            known_problems = len(self.problems)
            if not self._look_at(pattern) and len(self.problems) == known_problems:
                self.problems.append(Problem(printable(pattern), Reason.NO_MATCH))

    def _look_at(self, pattern: str) -> bool:
        """Add what one pattern names; return whether that is any file."""
        folder, name = os.path.split(pattern)
        try:
            found = os.stat(pattern)  # first of all, so that a name with brackets in it can be given as it is
        except (FileNotFoundError, NotADirectoryError):
            fixed, parts = _split(pattern)
            if parts:
                return self._expand(fixed, parts)
            self.directories.add(folder)
            if os.path.islink(pattern):
                self._complain(pattern, Reason.DANGLING)
            return False
        except OSError as error:
            self._complain(pattern, reason_of(error))
            return False
        if stat.S_ISDIR(found.st_mode):
            return self._list(pattern, self._default_glob)
        self.directories.add(folder)
        return self._add(os.path.join(folder, name), found)

    def _expand(self, folder: str, parts: Sequence[str]) -> bool:
        """Add what matches `parts`, of which each but the last names directories below `folder`."""
        part, rest = parts[0], parts[1:]
        if part == "**":
            below = self._folders(folder, "*", follow_symlinks=False)
            return self._expand(folder, rest or ["*"]) + sum(self._expand(deeper, parts) for deeper in below) > 0
        if not rest:
            return self._list(folder, part)
        if not _MAGIC.search(part):
            return self._expand(os.path.join(folder, part), rest)
        return sum(self._expand(deeper, rest) for deeper in self._folders(folder, part)) > 0

    def _folders(self, folder: str, glob: str, *, follow_symlinks: bool = True) -> list[str]:
        """Return the directories in `folder` whose name matches, sorted."""
        self.directories.add(folder)
        matches = _matcher(glob)
        try:
            with os.scandir(folder) as entries:
                names = [e.path for e in entries if matches(e.name) and e.is_dir(follow_symlinks=follow_symlinks)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._complain(folder, reason_of(error))
            return []
        return sorted(names)

    def _list(self, folder: str, glob: str) -> bool:
        """Add the files in `folder` whose name matches; return whether there is one."""
        matches = _matcher(glob)
        any_file = False
        try:
            with os.scandir(folder) as entries:
                self.directories.add(folder)
                for entry in entries:
                    if matches(entry.name):
                        any_file |= self._add_entry(entry)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self._complain(folder, reason_of(error))
        return any_file

    def _add_entry(self, entry: os.DirEntry[str]) -> bool:
        try:
            found = entry.stat()
        except FileNotFoundError:
            if entry.is_symlink():
                self._complain(entry.path, Reason.DANGLING)
            return False  # else it vanished since the directory was listed: that is how rotation looks
        except OSError as error:
            self._complain(entry.path, reason_of(error))
            return False
        return not stat.S_ISDIR(found.st_mode) and self._add(entry.path, found)

    def _add(self, path: str, found: os.stat_result) -> bool:
        if not stat.S_ISREG(found.st_mode):
            self._complain(path, Reason.NOT_A_FILE)
            return False
        # One file under two names is one file. The lesser name is taken, so that it is the same at each look.
        key = found.st_dev, found.st_ino
        seen = self.files.get(key)
        if seen is None or path < seen.path:
            self.files[key] = Sighting(path, found)
        return True

    def _complain(self, path: str, reason: Reason) -> None:
        problem = Problem(printable(path), reason)
        if problem not in self.problems:
            self.problems.append(problem)


class Discovery:
    """Expands patterns: a file, a directory (then `default_glob` inside it), or a glob with `*`, `?`, `[…]`, `**`."""

    def __init__(self, patterns: Iterable[str], default_glob: str = DEFAULT_GLOB) -> None:
        self._patterns = [str(Path(pattern).expanduser().absolute()) for pattern in patterns]
        self._default_glob = default_glob

    def look(self) -> Survey:
        """Return what is there now. What is wrong is in the answer, never raised."""
        return Survey(self._patterns, self._default_glob)

    def names(self, path: str) -> bool:
        """Whether a file of this path would be found if it were there."""
        folder, name = os.path.split(path)
        return any(
            path == pattern
            or (folder == pattern and _matcher(self._default_glob)(name) is not None)
            or _fits(pattern.split(os.sep), path.split(os.sep))
            for pattern in self._patterns
        )


def _split(pattern: str) -> tuple[str, list[str]]:
    """Split a pattern before its first part that has a wildcard; without one the second half is empty."""
    parts = pattern.split(os.sep)
    for at, part in enumerate(parts):
        if _MAGIC.search(part):
            return os.sep.join(parts[:at]) or os.sep, parts[at:]
    return pattern, []


def _fits(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a path's names match a pattern's parts, one for one but for `**`."""
    if not parts or not names:
        return not parts and not names
    part, rest = parts[0], parts[1:]
    if part == "**":
        deeper = len(names) > 1 and _matcher("*")(names[0]) is not None and _fits(parts, names[1:])
        return deeper or _fits(rest or ["*"], names)
    same = _matcher(part)(names[0]) is not None if _MAGIC.search(part) else part == names[0]
    return same and _fits(rest, names[1:])


@cache
def _matcher(glob: str) -> Callable[[str], object]:
    """Return what tells whether a name matches. As in a shell, a hidden name matches only a pattern with the dot."""
    hidden = "" if glob.startswith(".") else r"(?!\.)"
    return re.compile(hidden + fnmatch.translate(glob)).match
