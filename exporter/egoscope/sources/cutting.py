"""Cuts complete lines out of an open file, one read at a time, with bounded memory."""

from __future__ import annotations

import os
from typing import NamedTuple

from egoscope.sources.base import Lines

# While a line's end is missing, at most this much of it is read again when the file grows; behind that only the
# new bytes are searched, and the line is read as a whole once its end is there.
REREAD_BYTES = 64 * 1024
SEARCH_CHUNK_BYTES = 256 * 1024
# One call searches this far for a line's end, so that a line of gigabytes does not hold up other files.
SEARCH_BYTES_PER_CALL = 16 * 1024 * 1024


class Cut(NamedTuple):
    """Complete lines, and the block they were cut from (empty for an oversized line, which is not kept)."""

    lines: Lines
    block: bytes


class Cutter:
    """A place in a file and what is known about the bytes behind it.

    `offset` stands at the start of a line. No line ends between `offset` and `searched`.
    """

    __slots__ = ("_max_line_bytes", "offset", "searched")

    def __init__(self, offset: int, max_line_bytes: int) -> None:
        self.offset = offset
        self.searched = offset
        self._max_line_bytes = max_line_bytes

    def next(self, fd: int, limit_bytes: int) -> Cut | None:
        """Return the lines behind `offset`, which stays where it is until `accept`; None if no line is complete."""
        start = self.offset
        if self.searched - start < REREAD_BYTES:
            # No line in a block of this size can be longer than the limit, so no line needs to be measured.
            block = os.pread(fd, min(max(limit_bytes, 1), self._max_line_bytes + 1), start)
            lines = block.split(b"\n")
            rest = lines.pop()
            self.searched = max(self.searched, start + len(block))
            if lines:
                return Cut(Lines(start, start + len(block) - len(rest), lines), block)
            if not block:
                return None
        return self._next_long(fd)

    def accept(self, lines: Lines) -> None:
        """Go on behind `lines`."""
        self.offset = lines.end
        self.searched = max(self.searched, lines.end)

    def forget_search(self) -> None:
        """Search again from `offset`: the bytes behind it are others now."""
        self.searched = self.offset

    def _next_long(self, fd: int) -> Cut | None:
        """Find the end of a line without keeping it; then return it alone, or passed over if it is oversized."""
        start = self.offset
        give_up = self.searched + SEARCH_BYTES_PER_CALL
        while self.searched < give_up:
            chunk = os.pread(fd, SEARCH_CHUNK_BYTES, self.searched)
            if not chunk:
                break
            at = chunk.find(b"\n")
            if at < 0:
                self.searched += len(chunk)
                continue
            end = self.searched + at + 1
            length = end - start - 1
            if length > self._max_line_bytes:
                return Cut(Lines(start, end, (), oversized=True), b"")
            line = os.pread(fd, length, start)
            return Cut(Lines(start, end, (line,)), line) if len(line) == length else None
        return None
