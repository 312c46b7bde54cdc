"""Who is who: decides for every file that a scan found whether it is known, new, or a copy of a known one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from egoscope.sources.base import FileCheckpoint
from egoscope.sources.departed import Departed, fingerprint_of
from egoscope.sources.discovery import Key, Problem, Reason, printable, reason_of
from egoscope.sources.followed import Bounds, FollowedFile, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from egoscope.sources.astray import Astray
    from egoscope.sources.discovery import Sighting, Survey
    from egoscope.sources.fingerprint import Fingerprint, Fingerprints


class _Copy(NamedTuple):
    """A file that is set aside, as it and its original were when they were compared."""

    source: str
    original_followed: bool
    size: int
    mtime_ns: int


class _Originals:
    """Finds what a newcomer may be a copy of, by what it begins with.

    Fewer than `evidence_bytes` equal bytes are no evidence: two logs can begin with the same short line.
    """

    def __init__(self, evidence_bytes: int, fingerprints: Fingerprints) -> None:
        self._evidence_bytes = evidence_bytes
        self._fingerprints = fingerprints
        self._found: dict[Fingerprint, list[FollowedFile | FileCheckpoint]] = {}
        self._lengths: set[int] = set()

    def add(self, fingerprint: Fingerprint, original: FollowedFile | FileCheckpoint) -> None:
        if fingerprint.length >= self._evidence_bytes:
            self._lengths.add(fingerprint.length)
            self._found.setdefault(fingerprint, []).append(original)

    def of(self, head: bytes) -> Sequence[FollowedFile | FileCheckpoint]:
        lengths = [length for length in self._lengths if length <= len(head)]
        return [o for length in lengths for o in self._found.get(self._fingerprints.of(head[:length]), ())]


class Roster:
    """All files: followed, set aside as copies, or departed. `update` brings it in line with what a scan found."""

    def __init__(
        self,
        departed: Departed,
        astray: Astray,
        *,
        derive_id: Callable[[int, int, bytes], str],
        fingerprints: Fingerprints,
        bounds: Bounds,
        copy_evidence_bytes: int,
        max_open_files: int,
    ) -> None:
        self._departed = departed
        self._astray = astray
        self._derive_id = derive_id
        self._fingerprints = fingerprints
        self._bounds = bounds
        self._copy_evidence_bytes = min(copy_evidence_bytes, fingerprints.length)
        self._max_open_files = max_open_files
        self._files: dict[Key, FollowedFile] = {}
        self._sources: set[str] = set()  # of the files followed
        self._copies: dict[Key, _Copy] = {}
        self._problems: list[Problem] = []
        self._gone_unread: dict[str, Problem] = {}
        self._spare_handles = 0

    def __iter__(self) -> Iterator[FollowedFile]:
        # A copy: the thread that watches the directories looks while the one that scans adds and removes.
        return iter(list(self._files.values()))

    def update(self, survey: Survey, now: float) -> Sequence[Problem]:
        """Follow what is new, let go of what is over; return what could not be opened or read, or is set aside."""
        self._problems = []
        newcomers: list[Sighting] = []
        for key, seen in survey.files.items():
            file = self._files.get(key)
            if file is None:
                newcomers.append(seen)
            else:
                file.look(seen, now)
        for key, file in list(self._files.items()):
            seen = survey.files.get(key)
            if seen is None:
                file.look_through_handle(now)
            if file.over:
                self._retire(file, now)
                if seen is not None:
                    newcomers.append(seen)
        for key in self._copies.keys() - survey.files.keys():
            del self._copies[key]
        # Whoever kept device and inode comes first: only then is it known which originals are gone.
        strangers = self._recognise(newcomers, now) if newcomers else ()
        self._pursue(survey, now)
        if strangers:
            self._admit(strangers, now)
        self._close_spare_handles()
        if self._gone_unread:
            self._gone_unread = {s: problem for s, problem in self._gone_unread.items() if s in self._departed}
        return [*self._problems, *self._gone_unread.values()]

    def has_copy_of(self, source: str) -> bool:
        """Whether a file is set aside because it is a copy of this source."""
        return any(copy.source == source for copy in self._copies.values())

    def close(self) -> None:
        """Let go of every handle."""
        for file in self:
            file.release()

    # --- newcomers -------------------------------------------------------------------------------------------------

    def _recognise(self, newcomers: Sequence[Sighting], now: float) -> Sequence[Sighting]:
        """Follow again those whose device and inode are known; return of whom they tell nothing."""
        self._spare_handles = self._max_open_files - sum(file.is_open for file in self)
        return [
            seen
            for seen in newcomers
            if not self._is_idle(seen)
            and not (self._departed.at(seen.key) and self._decide(seen, lambda s, fd: self._resume(s, fd, now)))
        ]

    def _pursue(self, survey: Survey, now: float) -> None:
        """Follow files that left the patterns unseen, as if they had been open; no more than can be held open."""
        self._astray.search(survey, self._departed)
        if not self._astray.found:
            return
        found, self._astray.found = self._astray.found, []
        self._spare_handles = self._max_open_files - sum(file.is_open and file.is_unlisted for file in self)
        for seen in found:
            if seen.key in self._files:
                continue  # it got a matching name while it waited
            problems = len(self._problems)
            wait = self._spare_handles <= 0
            if not wait:
                self._decide(seen, lambda s, fd: self._resume(s, fd, now, listed=False))
            if wait or len(self._problems) > problems:
                self._astray.found.append(seen)  # tried again by the next scan

    def _admit(self, strangers: Sequence[Sighting], now: float) -> None:
        self._spare_handles = self._max_open_files - sum(file.is_open for file in self)
        originals = _Originals(self._copy_evidence_bytes, self._fingerprints)
        for known in self._departed:
            originals.add(fingerprint_of(known), known)
        for file in self:
            originals.add(file.fingerprint, file)
        # The longest first, so that an original is met before an older copy of it.
        for stranger in sorted(strangers, key=lambda seen: (-seen.stat.st_size, seen.path)):
            self._decide(stranger, lambda s, fd: self._meet(s, fd, originals, now))

    def _is_idle(self, seen: Sighting) -> bool:
        """Whether there is nothing to find out: the file is empty, or a copy that is as it was, and its original."""
        copy = self._copies.pop(seen.key, None)
        if copy and copy == self._as_copy(seen, copy.source):
            self._set_aside(seen, copy.source)
            return True
        return seen.stat.st_size == 0

    def _decide(self, seen: Sighting, decide: Callable[[Sighting, int], bool]) -> bool:
        """Open a newcomer for `decide`; return its answer, or True if the file can't be opened or has vanished."""
        try:
            fd = open_regular(seen.path, seen.key)
        except OSError as error:
            self._problems.append(Problem(printable(seen.path), reason_of(error)))
            return True
        if fd is None:
            return True
        try:
            return decide(seen, fd)
        except OSError as error:
            self._problems.append(Problem(printable(seen.path), reason_of(error)))
            return True
        finally:
            os.close(fd)

    def _resume(self, seen: Sighting, fd: int, now: float, *, listed: bool = True) -> bool:
        """Follow again what was known under this device and inode, if it is still that; return whether it was.

        A file that is not listed keeps the path under which it last was: there the next start asks for it again.
        """
        for known in self._departed.at(seen.key):
            if self._fingerprints.fits(fd, fingerprint_of(known), known.offset):
                self._departed.remove(known.source)
                file = self._follow(known, seen if listed else seen._replace(path=known.path), fd, now)
                if not listed:
                    file.look_through_handle(now)
                return True
        return False

    def _meet(self, seen: Sighting, fd: int, originals: _Originals, now: float) -> bool:
        """Decide about a file of which device and inode tell nothing: it is a copy, or new."""
        head = self._fingerprints.head(fd)
        if not head:
            return True
        same = originals.of(head)
        for original in same:
            if isinstance(original, FollowedFile) and original.agrees_with(fd, seen.stat.st_size):
                if seen.stat.st_size > original.size:
                    self._move(original, seen, fd)
                else:
                    self._set_aside(seen, original.source)
                return True
        for original in same:
            if isinstance(original, FollowedFile) or original.source not in self._departed:
                continue
            if self._fingerprints.fits(fd, fingerprint_of(original), original.offset):
                self._departed.remove(original.source)
                file = self._follow(original, seen, fd, now)
                originals.add(file.fingerprint, file)
                return True
            if seen.stat.st_size < original.offset and seen.key != (original.device, original.inode):
                self._set_aside(seen, original.source)  # an older copy: all that it holds was read
                return True
        digest, length = self._fingerprints.of(head)
        start = FileCheckpoint(self._new_source(*seen.key, head), "", *seen.key, digest, length, 0)
        file = self._follow(start, seen, fd, now)
        originals.add(file.fingerprint, file)
        return True

    def _new_source(self, device: int, inode: int, head: bytes) -> str:
        """Derive an id; one that stands for another life of the same file already is not given again."""
        source, again = self._derive_id(device, inode, head), 0
        while source in self._sources or source in self._departed:
            again += 1
            source = self._derive_id(device, inode, head + b"\0%d" % again)
        return source

    # --- changes ---------------------------------------------------------------------------------------------------

    def _follow(self, start: FileCheckpoint, seen: Sighting, fd: int, now: float) -> FollowedFile:
        file = FollowedFile(start, seen, fingerprints=self._fingerprints, bounds=self._bounds, now=now)
        self._files[seen.key] = file
        self._sources.add(file.source)
        self._spare_handles -= 1
        if self._spare_handles >= 0:
            file.hold(fd)
        return file

    def _move(self, file: FollowedFile, seen: Sighting, fd: int) -> None:
        """Follow a file in its longer copy; the shorter one is met, and set aside, by the next scan."""
        del self._files[file.key]
        file.move_to(seen)
        file.hold(fd)
        self._files[file.key] = file

    def _as_copy(self, seen: Sighting, source: str) -> _Copy:
        return _Copy(source, source in self._sources, seen.stat.st_size, seen.stat.st_mtime_ns)

    def _set_aside(self, seen: Sighting, source: str) -> None:
        self._copies[seen.key] = self._as_copy(seen, source)
        self._problems.append(Problem(printable(seen.path), Reason.COPY))

    def _retire(self, file: FollowedFile, now: float) -> None:
        was_open = file.is_open
        file.release()
        del self._files[file.key]
        self._sources.remove(file.source)
        self._departed.add(file.checkpoint, now)
        if not file.is_unlisted:
            return
        if not was_open:
            self._astray.add(file.checkpoint)
        if file.may_have_lines:
            self._gone_unread[file.source] = Problem(file.checkpoint.path, Reason.GONE_UNREAD)

    def _close_spare_handles(self) -> None:
        held = [file for file in self if file.is_open]
        for file in held:
            if file.rests:
                file.release()
        if len(held) > self._max_open_files:
            held = sorted((file for file in held if file.is_open), key=lambda file: file.handle_worth)
            for file in held[: max(0, len(held) - self._max_open_files)]:
                file.release()
