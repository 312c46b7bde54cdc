"""One table while its database is followed: where it was read to, which rows are known, and which of them run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.sources.row_checkpoint import LANDMARKS, Landmark, OpenRow, TablePosition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.sources.row_format import Table
    from egoscope.sources.row_pages import Layout, Snapshot


NOT_LOOKED_AT: Final = -1
"""Since the start."""


class Running:
    """A row that was told as running, and what it said when it was last looked at.

    `end_ns`: when it ends, if that is known. `version`: that of the database then. `looked_ns`: when that was.
    `missing`: it was not in its place; it may have another rowid, among those not read yet.
    """

    __slots__ = ("digest", "end_ns", "looked_ns", "missing", "rowid", "start_ns", "version")

    def __init__(self, rowid: int, digest: bytes, start_ns: int) -> None:
        self.rowid, self.digest, self.start_ns = rowid, digest, start_ns
        self.end_ns: int | None = None
        self.version, self.looked_ns = NOT_LOOKED_AT, 0
        self.missing = False

    def looked_at(self, end_ns: int | None, *, version: int, now_ns: int, missing: bool = False) -> None:
        """Take note of what it says now."""
        self.end_ns, self.version, self.looked_ns, self.missing = end_ns, version, now_ns, missing


class FollowedTable:
    """The position in one table. Rows are known by their digests, whatever their rowids have become."""

    def __init__(self, table: Table, start: TablePosition | None = None) -> None:
        self.table = table
        self.rowid = start.rowid if start else 0
        self.rows = start.rows if start else 0
        self.landmarks = {one.digest: one.rowid for one in start.landmarks} if start else {}
        self.strays = dict.fromkeys(start.strays) if start else {}
        self.running = {one.digest: Running(one.rowid, one.digest, one.start_ns) for one in start.open} if start else {}

    @property
    def position(self) -> TablePosition:
        """What is to be kept of it."""
        return TablePosition(
            self.table.name,
            self.rowid,
            self.rows,
            [Landmark(rowid, digest) for digest, rowid in self.landmarks.items()],
            list(self.strays),
            [OpenRow(one.rowid, one.digest, one.start_ns) for one in self.running.values()],
        )

    @property
    def knows_everything(self) -> bool:
        """Whether all rows that were read would be known again: then nothing is missed from 0, nor read twice."""
        return self.rows <= len(self.landmarks) + len(self.strays)

    def knows(self, digest: bytes) -> bool:
        """Whether this row was read, as far as can be told."""
        return digest in self.landmarks or digest in self.strays or digest in self.running

    def pass_over(self, rowid: int, digest: bytes) -> None:
        """Go on behind a row; it is the newest landmark now."""
        if not self.knows(digest):
            self.rows += 1
        self.landmarks.pop(digest, None)
        self.strays.pop(digest, None)
        self.landmarks[digest] = self.rowid = rowid
        if len(self.landmarks) > LANDMARKS:
            del self.landmarks[next(iter(self.landmarks))]

    @property
    def is_short_of_landmarks(self) -> bool:
        """Whether other rows that were read could be landmarks, too: newer ones were deleted."""
        return len(self.landmarks) < LANDMARKS and not self.knows_everything

    def restock(self, last: Sequence[tuple[int, bytes]]) -> None:
        """Take the table's last rows for landmarks, too, of which all were read; the very last one comes first."""
        older = {digest: rowid for rowid, digest in reversed(last) if not self.knows(digest)}
        kept = list({**older, **self.landmarks}.items())[-LANDMARKS:]
        self.landmarks = dict(kept)

    def standing_landmark(self, snapshot: Snapshot, layout: Layout) -> int | None:
        """Return the rowid of the newest landmark that is still in its place, None if there is none."""
        for digest, rowid in reversed(self.landmarks.items()):
            if snapshot.digest_at(layout, rowid) == digest:
                return rowid
        return None

    def fall_back(self, rowid: int) -> None:
        """Read again from behind an older landmark: newer rows were deleted or moved. What comes again is known."""
        lost = [digest for digest, at in self.landmarks.items() if at > rowid]
        self._stray(lost)
        self.rowid = rowid

    def relocate(self, found: Mapping[bytes, int]) -> bool:
        """Find one's place again by where rows stand now; return whether any known row was found at all.

        All that was read must be in front of the new position, or known: all that is behind it is read again. A row
        whose rowid has grown was replaced, and tells nothing about others; `VACUUM` makes them smaller.
        """
        moved = sorted((found[digest], was, digest) for digest, was in self.landmarks.items() if digest in found)
        if not (moved or (self.knows_everything and found)):
            return False
        anchors = [now for now, was, _ in moved if now <= was] or [now for now, *_ in moved]
        self.rowid = 0 if self.knows_everything else anchors[0]
        self._stray([digest for digest in self.landmarks if digest not in found])
        self.landmarks = {digest: now for now, _, digest in moved}
        for digest, running in self.running.items():
            running.rowid = found.get(digest, running.rowid)
        return True

    def end(self) -> list[Running]:
        """Return what ran; nothing that was read is there any more.

        Should it be there again one day, because a backup was restored, what ran then runs anew.
        """
        gone = list(self.running.values())
        if self.knows_everything:
            self.rowid = 0
            for digest in self.running:
                self.rows -= digest in self.landmarks or digest in self.strays
                self.landmarks.pop(digest, None)
                self.strays.pop(digest, None)
        self.running.clear()
        return gone

    def start_again(self) -> None:
        """Read from the beginning: nothing that was read is there any more."""
        self._stray(list(self.landmarks))
        self.rowid = 0

    def _stray(self, digests: list[bytes]) -> None:
        for digest in digests:
            del self.landmarks[digest]
            self.strays[digest] = None
        while len(self.strays) > LANDMARKS:
            del self.strays[next(iter(self.strays))]


class Search:
    """Looks for known rows of one table by their digests, from its end, some keys in each transaction."""

    def __init__(self, table: FollowedTable) -> None:
        self._wanted = set(table.landmarks) | set(table.running)
        self._also = set(table.strays)
        self._below: int | None = None
        self.over = False
        self.found: dict[bytes, int] = {}

    def step(self, snapshot: Snapshot, layout: Layout, keys: int) -> bool:
        """Look at so many more rows; return whether the search is `over`."""
        rows = snapshot.keys_below(layout, self._below, keys)
        for rowid, digest in rows:
            if digest in self._wanted or digest in self._also:
                self.found.setdefault(digest, rowid)
                self._wanted.discard(digest)
            self._below = rowid
        self.over = len(rows) < keys or not self._wanted
        return self.over
