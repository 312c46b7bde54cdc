"""One table while its database is followed: where it was read to, which rows are known, and which of them run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.sources.row_checkpoint import LANDMARKS, Landmark, OpenRow, TablePosition
from egoscope.sources.row_format import UnreadableRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.sources.row_format import Table, Times
    from egoscope.sources.row_pages import Layout, Snapshot


_SURELY_READ_NS: Final = 2 * 10**9
"""Times of whole seconds can lie before a look that did not see them; so new, a row is known by its digest."""

NOT_LOOKED_AT: Final = -1
"""Since the start."""


class Running:
    """A row that was told as running, or may change though it ended, and what it said when it was last looked at.

    `state`, `holder`: what was told of its state last. `since_ns`: when it changed last, as far as was seen. `due_ns`:
    when it ends or changes next, if that is known. `version`: that of the database then. `looked_ns`: when that was.
    `missing`: it was not in its place; it may have another rowid, among those not read yet. `is_flawed`: it could not
    be read, and that was told. `settled_ns`: since when it runs no more, as far as is known; 0: it does. One that could
    never be read has the `start_ns` 0. `imprint`: of the row then, where what it says depends on no clock; else 0.
    """

    __slots__ = (
        "digest",
        "due_ns",
        "holder",
        "imprint",
        "is_flawed",
        "looked_ns",
        "missing",
        "rowid",
        "settled_ns",
        "since_ns",
        "start_ns",
        "state",
        "version",
    )

    def __init__(
        self,
        rowid: int,
        digest: bytes,
        start_ns: int,
        state: str = "",
        since_ns: int = 0,
        holder: str = "",
        settled_ns: int = 0,
        *,
        is_flawed: bool = False,
    ) -> None:
        self.rowid, self.digest, self.start_ns = rowid, digest, start_ns
        self.state, self.since_ns, self.holder, self.settled_ns = state, since_ns, holder, settled_ns
        self.due_ns: int | None = None
        self.version, self.looked_ns = NOT_LOOKED_AT, 0
        self.missing, self.is_flawed, self.imprint = False, is_flawed or not start_ns, 0

    def looked_at(
        self, due_ns: int | None, *, version: int, now_ns: int, missing: bool = False, imprint: int = 0
    ) -> None:
        """Take note of what it says now."""
        self.due_ns, self.version, self.looked_ns, self.missing = due_ns, version, now_ns, missing
        self.imprint = imprint


class FollowedTable:
    """The position in one table. Rows are known by their digests, whatever their rowids have become."""

    def __init__(self, table: Table, start: TablePosition | None = None) -> None:
        self.table = table
        self.rowid = start.rowid if start else 0
        self.rows = start.rows if start else 0
        self.complete_ns = start.complete_ns if start else 0
        self.passed_ns = start.passed_ns if start else 0
        self.schema_version = start.schema_version if start else 0
        self.landmarks = {one.digest: one.rowid for one in start.landmarks} if start else {}
        self.strays = dict.fromkeys(start.strays) if start else {}
        self.running = {one.digest: Running(**msgspec.structs.asdict(one)) for one in start.open} if start else {}

    @property
    def position(self) -> TablePosition:
        """What is to be kept of it."""
        return TablePosition(
            self.table.name,
            self.rowid,
            self.rows,
            [Landmark(rowid, digest) for digest, rowid in self.landmarks.items()],
            list(self.strays),
            [
                OpenRow(
                    one.rowid,
                    one.digest,
                    one.start_ns,
                    one.state,
                    one.since_ns,
                    one.holder,
                    one.settled_ns,
                    one.is_flawed,
                )
                for one in self.running.values()
            ],
            self.complete_ns,
            self.passed_ns,
            self.schema_version,
        )

    @property
    def knows_everything(self) -> bool:
        """Whether all rows that were read would be known again: then nothing is missed from 0, nor read twice."""
        return self.rows <= len(self.landmarks) + len(self.strays)

    def knows(self, digest: bytes) -> bool:
        """Whether this row was read, as far as can be told."""
        return digest in self.landmarks or digest in self.strays or digest in self.running

    def has_told(self, times: Times | UnreadableRow) -> bool:
        """Whether a row that is not known was told all the same: it ended long before what is read anew now."""
        if isinstance(times, UnreadableRow):
            return self.passed_ns >= self.complete_ns > 0
        return times.end_ns is not None and times.end_ns <= self.passed_ns

    def completed(self, now_ns: int) -> None:
        """Take note that all rows were read. Where there are none now, those that were may come back."""
        self.complete_ns = now_ns - _SURELY_READ_NS
        if self.rowid:
            self.passed_ns = 0

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
        gone = [one for one in self.running.values() if not one.settled_ns]
        if self.knows_everything:
            self.rowid = 0
            for one in gone:
                self.forget(one.digest)
        self.running.clear()
        return gone

    def forget(self, digest: bytes) -> None:
        """Know a row no more that ran and is nowhere: should it be there again, it runs anew."""
        self.rows -= digest in self.landmarks or digest in self.strays
        self.landmarks.pop(digest, None)
        self.strays.pop(digest, None)

    def start_again(self, *, goes_on: bool) -> None:
        """Read from the beginning: none of the rows that were read last is there any more.

        `goes_on`: older ones may be. What had ended when all was read last was told then, and is passed over.
        """
        if goes_on:
            self.passed_ns = max(self.passed_ns, self.complete_ns)
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
