"""Reading a database's next page: how far time comes with it, and which running rows are to be looked at for that."""

from __future__ import annotations

from itertools import groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.sources.replay import Replay, Step, TimedPage, read_times
from egoscope.sources.row_pages import Page
from egoscope.sources.row_table import NOT_LOOKED_AT, FollowedTable, Running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.sources.row_format import RowFormat
    from egoscope.sources.row_pages import Layout, RawRow, Snapshot

PAGE_ROWS: Final = 500
"""One read transaction reads no more rows of a table than this."""
_FEWEST_ROWS: Final = 16


class RowPage(msgspec.Struct, frozen=True):
    """What happened next, in the order of time. It holds content.

    `rows`: how many rows were passed. `left`: by table, the columns that are never selected.
    """

    steps: Sequence[Step]
    rows: int
    left: Mapping[str, Sequence[str]]

    @property
    def count(self) -> int:
        """Rows that were passed, or of which something is told."""
        return max(self.rows, len({(step.table, step.digest) for step in self.steps if step.digest}))

    def __repr__(self) -> str:
        return f"RowPage({self.rows} rows, {len(self.steps)} steps)"


class Reading(msgspec.Struct, frozen=True):
    """What one transaction read: new rows, and what stands where rows ran.

    `moment_ns`: time comes to here, None: to now. `more`: there is more to read. `unread`: which share of the rows is.
    `found`: what stands beside them, if all was read. `version`: what was written up to it was looked at then.
    """

    timed: Sequence[TimedPage] = ()
    moment_ns: int | None = None
    looks: Sequence[tuple[FollowedTable, Running, RawRow | None]] = ()
    more: bool = True
    unread: float = 1.0
    left: Mapping[str, Sequence[str]] = {}
    found: object = None
    version: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the database was read to its end."""
        return self.moment_ns is None and not self.more


class RowReader:
    """Reads the tables of one database, and replays them."""

    def __init__(self, row_format: RowFormat, tables: Sequence[FollowedTable], page_rows: int) -> None:
        self._format, self._tables, self._page_rows = row_format, tables, page_rows
        self._wanted = {table.table.name: page_rows for table in tables}
        self._found: object = None
        self._round = 0
        """The version of the database at which all running rows began to be looked at again."""

    def read(
        self, snapshot: Snapshot, layouts: Mapping[str, Layout], limit_bytes: int, *, now_ns: int, version: int
    ) -> Reading:
        """Read what comes next, changing nothing. `version`: changes whenever the database may have."""
        running = [(table, one) for table in self._tables for one in table.running.values()]
        if unlooked := [(table, one) for table, one in running if one.version == NOT_LOOKED_AT]:
            # When they end must be known before time goes on.
            return Reading(moment_ns=0, looks=self._look_at(snapshot, layouts, unlooked, limit_bytes))
        # A round goes on through several transactions, whatever is written meanwhile: else many rows would never be
        # looked at to the last one while somebody writes.
        if all(one.version >= self._round or one.due_ns is not None for _, one in running):
            self._round = version
        timed = [self._timed_page(snapshot, layouts, table, limit_bytes, now_ns) for table in self._tables]
        reaches = [page.reaches_ns for page in timed]
        moment_ns = min((one for one in reaches if one is not None), default=None)
        timed = [page.until(moment_ns) for page in timed]
        again = {row.digest for page in timed for row in page.page.rows}
        running = [(table, one) for table, one in running if one.digest not in again]
        asked = [(table, one) for table, one in running if _may_have_changed(one, moment_ns, self._round)]
        looks = self._look_at(snapshot, layouts, asked, limit_bytes)
        if len(looks) < len(asked):
            return Reading(moment_ns=0, looks=looks)
        nexts = sorted(
            ((one.due_ns, table, one) for table, one in running if one.due_ns is not None), key=lambda one: one[0]
        )
        due = [(table, one) for due_ns, table, one in nexts if moment_ns is None or due_ns <= moment_ns]
        looked = self._look_at(snapshot, layouts, due, limit_bytes)
        looks += looked
        more = any(page.page.more for page in timed)
        if len(looked) < len(due):  # time goes on no further than to the last of them
            moment_ns, more = looked[-1][1].due_ns, True
            timed = [page.until(moment_ns) for page in timed]
        elif moment_ns is None:
            missing = [(table, one) for table, one in running if one.missing and one.version >= self._round]
            looks += self._look_at(snapshot, layouts, missing, limit_bytes)
            more = len(looks) < len(asked) + len(due) + len(missing)
        left = {name: layout.left for name, layout in layouts.items() if layout.left}
        if more:
            return Reading(timed, moment_ns, looks, more, _share(snapshot, layouts, timed), left)
        found = self._format.look(snapshot) if moment_ns is None else None
        return Reading(timed, moment_ns, looks, more, 0.0, left, found, self._round)

    def _timed_page(
        self, snapshot: Snapshot, layouts: Mapping[str, Layout], table: FollowedTable, limit_bytes: int, now_ns: int
    ) -> TimedPage:
        name = table.table.name
        layout = layouts.get(name)
        page = snapshot.page(layout, table.rowid, self._wanted[name], limit_bytes) if layout else Page()
        return TimedPage(table, page, [read_times(self._format, table.table, row, now_ns) for row in page.rows])

    def _look_at(
        self,
        snapshot: Snapshot,
        layouts: Mapping[str, Layout],
        due: Sequence[tuple[FollowedTable, Running]],
        limit_bytes: int,
    ) -> list[tuple[FollowedTable, Running, RawRow | None]]:
        looks: list[tuple[FollowedTable, Running, RawRow | None]] = []
        size = 0
        for table, asked in groupby(due[: self._page_rows], key=itemgetter(0)):
            layout = layouts.get(table.table.name)
            ones = [one for _, one in asked]
            rowids, imprints = [one.rowid for one in ones], [one.imprint for one in ones]
            rows = snapshot.rows_at(layout, rowids, imprints) if layout else repeat(None)
            for one, row in zip(ones, rows, strict=False):
                looks.append((table, one, row))
                size += row.size if row else 0
                if size >= limit_bytes:
                    return looks
        return looks

    def replay(self, reading: Reading, *, now_ns: int, version: int) -> RowPage | None:
        """Take note of what was read, and tell what happened; None if nothing did."""
        at_end = reading.moment_ns is None
        replay = Replay(self._format, reading.moment_ns, now_ns, version)
        for table, running, row in reading.looks:
            replay.look_again(table, running, row, at_end=at_end)
        for timed in reading.timed:
            replay.take(timed)
            name = timed.table.table.name
            taken = len(timed.page.rows)
            self._wanted[name] = (
                min(self._page_rows, max(_FEWEST_ROWS, 2 * taken)) if timed.page.more else self._page_rows
            )
        if reading.timed:
            replay.forget_expired(self._tables)
        replay.give_up_oldest(self._tables)
        if reading.found is not None and reading.found != self._found:
            self._found = reading.found
            replay.stands(reading.found)
        steps, rows = replay.steps, sum(len(timed.page.rows) for timed in reading.timed)
        return RowPage(steps, rows, reading.left) if steps or rows else None


def _may_have_changed(running: Running, moment_ns: int | None, version: int) -> bool:
    """Whether a running row is to be looked at before time comes to this moment, for it may end or change by then."""
    changed = running.due_ns is None and running.version < version
    return changed and (moment_ns is None or running.looked_ns < moment_ns)


def _share(snapshot: Snapshot, layouts: Mapping[str, Layout], timed: Sequence[TimedPage]) -> float:
    """Return which share of the rows will not have been read."""
    unread = total = 0
    for one in timed:
        layout = layouts.get(one.table.table.name)
        ends = snapshot.rowids(layout) if layout else None
        if ends is not None:
            rows = one.page.rows
            unread += max(0, ends[1] - (rows[-1].rowid if rows else one.table.rowid))
            total += ends[1] - ends[0] + 1
    return min(1.0, unread / max(1, total))
