"""What a source of records promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class FileCheckpoint(msgspec.Struct, frozen=True):
    """The durable metadata of one log file: what a restart needs to go on, and nothing of its content.

    `source` is the instance id, derived once at first sight and kept through renames. `fingerprint` is a digest of the
    file's first `fingerprint_bytes` bytes; `offset` is the end of the last line whose records are safely committed.
    `path` is where the file was last seen.
    """

    source: str
    path: str
    device: int
    inode: int
    fingerprint: bytes
    fingerprint_bytes: int
    offset: int


class Lines(msgspec.Struct, frozen=True):
    """Complete lines of one file, in order, without their newline. `start` and `end` are byte offsets.

    Line i starts at `start + sum(len(line) + 1 for line in lines[:i])`; `end` is just behind the last newline.
    `oversized` says that the span start..end is one line longer than the limit, which was passed over unread
    (`lines` is then empty).
    """

    start: int
    end: int
    lines: Sequence[bytes]
    oversized: bool = False

    @property
    def count(self) -> int:
        """Lines, the one that was passed over included."""
        return len(self.lines) + self.oversized

    def __repr__(self) -> str:
        return f"Lines({self.start}..{self.end}, {len(self.lines)} lines)"


class TailedFile(Protocol):
    """One file being followed. Positions are byte offsets."""

    @property
    def checkpoint(self) -> FileCheckpoint:
        """The file's identity with the offset of the last `read` (not durable until the pipeline commits it)."""
        ...

    @property
    def live(self) -> bool:
        """Whether this file is growing now; live files are read and sent before any backlog."""
        ...

    @property
    def unread_bytes(self) -> int:
        """Bytes between the last read line's end and the file's size as of the last scan."""
        ...

    def read(self, limit_bytes: int) -> Lines | None:
        """Return the next complete lines, about `limit_bytes` of them, or None when there is no complete line.

        A line longer than `limit_bytes` but not oversized is returned alone. Half a line waits for its rest.
        """
        ...
