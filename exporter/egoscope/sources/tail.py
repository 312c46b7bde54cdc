"""Tailing: follows every file that some patterns name, through every kind of rotation.

A file is its device, its inode and its fingerprint (a digest of what it begins with); its name is only where to look.
What happens to a file, and what follows from it:

- *renamed*: device, inode and fingerprint are the same, so it is the same file. If no pattern names it any more, it is
  read through the handle until it has not grown for `linger_s`. *Deleted* is the same. If no handle was held, because
  the program was stopped or the file rested, it is looked for once, under any name, in the directory where it last was.
- *truncated, replaced in place, inode reused*: the fingerprint is another, or the position is past the end or not
  behind a newline. That life of the file is over; the inode is a new file with a new id, read from 0.
- *copied*: another inode with the same fingerprint. While the original is there the copy is set aside. When the
  original is truncated or gone, its copy goes on under the original's id from the original's position; a copy that
  ends before that position stays aside, for all it holds was read. Of an original and its copy the longer one is
  followed.
- *empty*: no identity yet. It gets one with its first bytes, and its fingerprint grows until it is full; it always
  covers what was read.

Nothing here is durable. The pipeline commits checkpoints; after a restart reading goes on at the committed ones.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from egoscope.sources.astray import Astray
from egoscope.sources.departed import Departed
from egoscope.sources.discovery import DEFAULT_GLOB, Discovery, Problem
from egoscope.sources.fingerprint import Fingerprints
from egoscope.sources.followed import Bounds
from egoscope.sources.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from egoscope.sources.base import FileCheckpoint, TailedFile


class Tail:
    """Follows every file that the patterns name: files, directories (`default_glob` inside them) or globs.

    `derive_id(device, inode, head)` is asked once at a file's first sight; it gets the file's first bytes, at most
    `fingerprint_bytes`, and must give the same answer for the same arguments. `known` are the committed checkpoints.
    `fingerprint_key` keeps the fingerprints in the state file from telling anything about content.

    Times in seconds of `clock`, which must be comparable with files' times: a file is live for `live_s` after it
    grew; a file no pattern names is given up when it has not grown for `linger_s`; a handle on a file that is read is
    closed when it has not grown for `rest_s`; a checkpoint is offered by `forgotten` when its file has been gone for
    `forget_s`. At most some `max_open_files` handles are held between scans. `copy_evidence_bytes`: with fewer equal
    bytes at its beginning a file is not taken for another one's copy.

    Not safe for use by several threads at once.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        derive_id: Callable[[int, int, bytes], str],
        known: Iterable[FileCheckpoint] = (),
        fingerprint_bytes: int = 1024,
        fingerprint_key: bytes = b"",
        max_line_bytes: int = 16 * 1024 * 1024,
        default_glob: str = DEFAULT_GLOB,
        live_s: float = 5.0,
        linger_s: float = 300.0,
        rest_s: float = 300.0,
        forget_s: float = 7 * 86400.0,
        max_open_files: int = 256,
        copy_evidence_bytes: int = 128,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._discovery = Discovery(patterns, default_glob)
        self._clock = clock
        self._forget_s = forget_s
        known = tuple(known)
        self._departed = Departed(known, clock())
        self._roster = Roster(
            self._departed,
            Astray(known, self._discovery.names),
            derive_id=derive_id,
            fingerprints=Fingerprints(fingerprint_bytes, fingerprint_key),
            bounds=Bounds(max_line_bytes=max_line_bytes, live_s=live_s, linger_s=linger_s, rest_s=rest_s),
            copy_evidence_bytes=copy_evidence_bytes,
            max_open_files=max_open_files,
        )
        self._problems: Sequence[Problem] = ()
        self._directories: frozenset[str] = frozenset()

    def scan(self) -> Sequence[TailedFile]:
        """Look at the patterns again; return the files in which there may be unread lines, in the order to read them.

        Live files come first, the one with the least to read before the others, so that no backlog holds up a live
        line; then the backlog, oldest first. A file stays the same object from scan to scan. Never raises an OSError:
        what is wrong is in `problems`.
        """
        now = self._clock()
        survey = self._discovery.look()
        refused = self._roster.update(survey, now)
        self._problems = [*survey.problems, *refused]
        self._directories = frozenset(survey.directories)
        unread = [file for file in self._roster if file.may_have_lines]
        live = sorted((file for file in unread if file.live), key=lambda file: file.unread_bytes)
        backlog = sorted((file for file in unread if not file.live), key=lambda file: file.backlog_order)
        return [*live, *backlog]

    def files(self) -> Sequence[TailedFile]:
        """Return every file that is followed now, also those with nothing to read: their lag is zero."""
        return list(self._roster)

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong as of the last scan and the reads since; a problem that is mended is not in it."""
        return [*self._problems, *(file.problem for file in self._roster if file.problem)]

    def watch_paths(self) -> Sequence[str]:
        """Return the directories in which a change means that `scan` may find something, sorted.

        A notification only says when to look: on some mounts none comes, so poll as well. Ask again after a scan, for
        patterns can come to name new directories and symlinks can lead to others.
        """
        links = [path for path in (Path(file.path) for file in self._roster) if path.is_symlink()]
        folders = {Path(folder) for folder in self._directories} | {link.resolve().parent for link in links}
        return sorted(str(folder) for folder in folders if folder.is_dir())

    def forgotten(self) -> Sequence[str]:
        """Return the sources whose file has been gone for `forget_s`, and forget them: each is returned once.

        Their rows in the state file can be deleted. A source that is still in `known` at the next start is offered
        again after as long a time.
        """
        old = self._departed.older_than(self._clock() - self._forget_s)
        sources = [source for source in old if not self._roster.has_copy_of(source)]  # else the copy would be read
        for source in sources:
            self._departed.remove(source)
        return sources

    def close(self) -> None:
        """Let go of every handle. Nothing is lost: the checkpoints are the pipeline's."""
        self._roster.close()
