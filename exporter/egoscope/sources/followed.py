"""One log file while it is followed: its handle, its position, its complete lines."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import msgspec

from egoscope.sources.base import FileCheckpoint
from egoscope.sources.cutting import Cutter
from egoscope.sources.discovery import Key, Problem, Reason, Sighting, printable, reason_of
from egoscope.sources.fingerprint import Fingerprint, Fingerprints

if TYPE_CHECKING:
    from egoscope.sources.base import Lines

# A writer can change a file twice within one tick of the file system's clock (up to 2 s on FAT), so that size and
# time look the same although the content is another. A file touched this recently is always compared anew.
COARSE_CLOCK_S = 2.0
# How much content must agree, besides their beginnings, before two files are taken for copies of each other.
AGREEMENT_BYTES = 4096

_DATE = re.compile(r"(\d{4})-?([01]\d)-?([0-3]\d)")


class Bounds(msgspec.Struct, frozen=True):
    """What following a file may cost, and when it ends. Times in seconds."""

    max_line_bytes: int
    live_s: float
    linger_s: float
    rest_s: float


def open_regular(path: str, key: Key) -> int | None:
    """Open the file of this device and inode; None if the path leads nowhere, or to another file, by now.

    Never waits, also where the path has become a FIFO since it was looked at. Raises OSError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    found = os.fstat(fd)
    if (found.st_dev, found.st_ino) == key:
        return fd
    os.close(fd)
    return None


class FollowedFile:
    """One life of one log file: from its first bytes until it is truncated, or is gone and read to its end.

    It keeps a `TailedFile`'s promises. Its source id, once given, goes with it through renames and into a copy that
    takes the file's place.
    """

    def __init__(
        self, start: FileCheckpoint, seen: Sighting, *, fingerprints: Fingerprints, bounds: Bounds, now: float
    ) -> None:
        self.source = start.source
        self.key = seen.key
        self.over = False
        self._bounds = bounds
        self._fingerprints = fingerprints
        self._fingerprint = Fingerprint(start.fingerprint, start.fingerprint_bytes)
        self._cutter = Cutter(start.offset, bounds.max_line_bytes)
        self._path = seen.path
        self._fd = -1
        self._size: int = seen.stat.st_size
        self._mtime_ns: int = seen.stat.st_mtime_ns
        # What was written before now is a backlog, unless it was just before now.
        self._grew_at = min(now, seen.stat.st_mtime)
        self._looked_at = now
        self._unlisted_at: float | None = None
        self._reason: Reason | None = None

    def __repr__(self) -> str:
        return f"FollowedFile({printable(self._path)!r}, {self.source}@{self._cutter.offset})"

    @property
    def checkpoint(self) -> FileCheckpoint:
        """The file's identity with the end of the last line that `read` returned."""
        device, inode = self.key
        digest, length = self._fingerprint
        return FileCheckpoint(self.source, printable(self._path), device, inode, digest, length, self._cutter.offset)

    @property
    def path(self) -> str:
        """Where the file was last seen."""
        return self._path

    @property
    def fingerprint(self) -> Fingerprint:
        """What the file begins with; it covers at least what was read, up to its full length."""
        return self._fingerprint

    @property
    def live(self) -> bool:
        """Whether the file grew just before the last scan."""
        return self._looked_at - self._grew_at <= self._bounds.live_s

    @property
    def size(self) -> int:
        """The file's size as of the last scan."""
        return self._size

    @property
    def unread_bytes(self) -> int:
        """Bytes behind the last line read, half a line included, as of the last scan."""
        return max(0, self._size - self._cutter.offset)

    @property
    def may_have_lines(self) -> bool:
        """Whether there are bytes in which no line's end was looked for yet."""
        return self._size > self._cutter.searched

    @property
    def is_unlisted(self) -> bool:
        """Whether no pattern named the file at the last scan."""
        return self._unlisted_at is not None

    @property
    def is_open(self) -> bool:
        """Whether a handle is held."""
        return self._fd >= 0

    @property
    def problem(self) -> Problem | None:
        """Why the last attempt to read or compare the file failed."""
        return Problem(printable(self._path), self._reason) if self._reason else None

    @property
    def backlog_order(self) -> tuple[date, int, str]:
        """Sorts the oldest file first: the day in its name, which a copy keeps, else the day it was last written."""
        for year, month, day in _DATE.findall(self._path.rpartition(os.sep)[2]):
            try:
                return date(int(year), int(month), int(day)), self._mtime_ns, self._path
            except ValueError:
                continue
        return datetime.fromtimestamp(self._mtime_ns / 1e9, UTC).date(), self._mtime_ns, self._path

    # --- looking ---------------------------------------------------------------------------------------------------

    def look(self, seen: Sighting, now: float) -> None:
        """Take note of what a scan saw under one of the patterns; sets `over` if the content is another now."""
        self._unlisted_at = None
        self._path = seen.path
        self._note(seen.stat, now)

    def look_through_handle(self, now: float) -> None:
        """Take note of a file that no pattern names any more; sets `over` once it has nothing more to give."""
        if self._unlisted_at is None:
            self._unlisted_at = now
        if self._fd < 0:
            self.over = True
            return
        try:
            self._note(os.fstat(self._fd), now)
        except OSError as error:
            self._reason = reason_of(error)
        quiet_s = now - max(self._grew_at, self._unlisted_at)
        if quiet_s > self._bounds.linger_s and (self._reason or not self.may_have_lines):
            self.over = True

    def _note(self, found: os.stat_result, now: float) -> None:
        unsettled = self._looked_at - self._mtime_ns / 1e9 < COARSE_CLOCK_S
        self._looked_at = now
        if found.st_size == self._size and found.st_mtime_ns == self._mtime_ns and not unsettled:
            return
        try:
            if not self._open():
                return
            self.over = not self._fingerprints.fits(self._fd, self._fingerprint, self._cutter.offset)
        except OSError as error:
            self._reason = reason_of(error)
            return
        self._reason = None
        if found.st_size > self._size:
            self._grew_at = now
        elif found.st_size < self._cutter.searched:
            self._cutter.forget_search()  # what is cut off was not read yet
        self._size, self._mtime_ns = found.st_size, found.st_mtime_ns

    def move_to(self, seen: Sighting) -> None:
        """Go on in a copy of the same content, at the same position."""
        self.release()
        self.key, self._path = seen.key, seen.path
        self._size, self._mtime_ns = seen.stat.st_size, seen.stat.st_mtime_ns
        self._cutter.forget_search()
        self._grew_at = max(self._grew_at, min(self._looked_at, seen.stat.st_mtime))
        self._unlisted_at = None

    def agrees_with(self, fd: int, size: int) -> bool:
        """Whether another file with this fingerprint has the same content where the shorter of the two ends."""
        end = min(self._size, size)
        start = max(0, end - AGREEMENT_BYTES)
        try:
            mine = os.pread(self._fd, end - start, start) if self._open() else b""
            # If this file has just been truncated nothing more can be told; the fingerprints are equal.
            return len(mine) < end - start or mine == os.pread(fd, end - start, start)
        except OSError:
            return True

    # --- the handle ------------------------------------------------------------------------------------------------

    def _open(self) -> bool:
        """Make sure of a handle on this very file; False if its path leads to another one by now."""
        if self._fd >= 0:
            return True
        fd = open_regular(self._path, self.key)
        self._fd = -1 if fd is None else fd
        return fd is not None

    def hold(self, fd: int) -> None:
        """Keep a handle of one's own on the file behind `fd`."""
        self._fd = os.dup(fd)

    def release(self) -> None:
        """Close the handle; it is opened again when it is needed and the path still leads here."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def rests(self) -> bool:
        """Whether the file is read and has not grown for so long that a handle on it is a waste."""
        quiet_s = self._looked_at - self._grew_at
        return not self.is_unlisted and not self.may_have_lines and quiet_s > self._bounds.rest_s

    @property
    def handle_worth(self) -> tuple[bool, bool, bool, float]:
        """Sorts the file first whose handle is missed least; one that no path leads to can't be opened again."""
        return self.is_unlisted, self.live, self.may_have_lines, self._grew_at

    # --- reading ---------------------------------------------------------------------------------------------------

    def read(self, limit_bytes: int) -> Lines | None:
        """Return the next complete lines, about `limit_bytes` of them, or None; an error is kept as a `problem`."""
        try:
            if self.over or not self._open():
                return None
            cut = self._cutter.next(self._fd, limit_bytes)
            if cut is None:
                return None
            # Compared after reading, so that nothing written after a truncation is taken for the old content's rest.
            if not self._still_begins_the_same(cut.lines.start, cut.block):
                self.over = True
                return None
        except OSError as error:
            self._reason = reason_of(error)
            return None
        self._cutter.accept(cut.lines)
        return cut.lines

    def _still_begins_the_same(self, start: int, block: bytes) -> bool:
        """Compare the file with its fingerprint, and let the fingerprint grow over what was just read."""
        full = self._fingerprints.length
        if self._fingerprint.length >= full:
            return self._fingerprints.fits(self._fd, self._fingerprint, start)
        head = self._fingerprints.head(self._fd)
        same = (
            self._fingerprints.of(head[: self._fingerprint.length]) == self._fingerprint
            and head[start : start + len(block)] == block[: max(0, len(head) - start)]
        )
        if same:
            self._fingerprint = self._fingerprints.of(head)
        return same
