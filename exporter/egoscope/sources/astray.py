"""Files that left the patterns while no handle was held on them: each is looked for once, where it was last seen.

It is how rotation looks to a program that was stopped meanwhile: `x.log` is `x.log.1` now, and no pattern names that.
Only the very file is looked for, by device and inode, under any name. A compressed or copied one is not found.
"""
# ruff: noqa: PTH114, PTH120

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from egoscope.sources.discovery import Key, Sighting

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from collections.abc import Set as AbstractSet

    from egoscope.sources.base import FileCheckpoint
    from egoscope.sources.discovery import Survey


class Astray:
    """What is still to be looked for, by directory, and what was found and waits to be opened.

    `names` tells whether the patterns name a path: a file that they do not ask for any more is not looked for.
    """

    def __init__(self, known: Iterable[FileCheckpoint], names: Callable[[str], bool]) -> None:
        self._names = names
        self._wanted: dict[str, list[FileCheckpoint]] = {}
        self.found: list[Sighting] = []
        for checkpoint in known:
            self.add(checkpoint)

    def add(self, checkpoint: FileCheckpoint) -> None:
        """Look for a file once its directory can be listed, unless it is followed again by then."""
        if self._names(checkpoint.path):
            self._wanted.setdefault(os.path.dirname(checkpoint.path), []).append(checkpoint)

    def search(self, survey: Survey, departed: Container[str]) -> None:
        """Look in the directories that are there now, for files of departed sources that the survey did not see.

        A directory that is not there yet, or can't be listed, is left for a later scan.
        """
        for folder in self._wanted.keys() & survey.directories:
            missing = [known for known in self._wanted[folder] if known.source in departed]
            keys = {(known.device, known.inode) for known in missing} - survey.files.keys()
            if keys:
                try:
                    self.found += _look_in(folder, keys)
                except OSError:
                    continue
                for target in _link_targets(missing) - {folder}:
                    with suppress(OSError):
                        self.found += _look_in(target, keys)
            del self._wanted[folder]


def _link_targets(missing: Iterable[FileCheckpoint]) -> AbstractSet[str]:
    """Return the directories to which symlinks under the files' names lead: one may have been switched."""
    links = (known.path for known in missing if os.path.islink(known.path))
    return {os.path.dirname(os.path.realpath(link)) for link in links}


def _look_in(folder: str, keys: AbstractSet[Key]) -> Iterable[Sighting]:
    """Return the regular files among a directory's entries that have one of these devices and inodes.

    Raises OSError when the directory cannot be listed.
    """
    found: list[Sighting] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                # Not `entry.inode()`: what a directory says is not what `stat` says on every file system.
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it vanished since the directory was listed
            if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) in keys:
                found.append(Sighting(entry.path, status))
    return found
