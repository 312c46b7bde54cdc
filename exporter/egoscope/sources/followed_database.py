"""One database while it is followed: what changed in it since it was read, and what happened in it next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.sources.databases import Signature, UnreadableDatabaseError
from egoscope.sources.discovery import Problem, Reason, printable
from egoscope.sources.followed import COARSE_CLOCK_S
from egoscope.sources.replay import Happened, Replay, Step, TimedPage, read_times
from egoscope.sources.row_checkpoint import DatabaseCheckpoint
from egoscope.sources.row_pages import Page
from egoscope.sources.row_table import NOT_LOOKED_AT, FollowedTable, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from egoscope.sources.databases import DatabaseFile
    from egoscope.sources.discovery import Key
    from egoscope.sources.row_format import RowFormat, Table
    from egoscope.sources.row_pages import Layout, RawRow, Snapshot
    from egoscope.sources.row_table import Running

PAGE_ROWS: Final = 500
"""One read transaction reads no more rows of a table than this."""
_FEWEST_ROWS: Final = 16
_SEARCH_KEYS: Final = 2000
_SEARCH_S: Final = 0.5
"""While a database's rows are looked for by their digests, everything else waits for no longer than this."""
_BUSY_S: Final = 0.05


class RowPage(msgspec.Struct, frozen=True):
    """What happened next, in the order of time. It holds content.

    `rows`: how many rows were passed. `unknown`: by table, how many columns no policy knows.
    """

    steps: Sequence[Step]
    rows: int
    unknown: Mapping[str, int]

    @property
    def count(self) -> int:
        """Rows that were passed or looked at again."""
        return max(self.rows, len(self.steps))

    def __repr__(self) -> str:
        return f"RowPage({self.rows} rows, {len(self.steps)} steps)"


class _Plan(msgspec.Struct):
    """What one transaction read."""

    timed: Sequence[TimedPage] = ()
    moment_ns: int | None = None
    looks: Sequence[tuple[FollowedTable, Running, RawRow | None]] = ()
    more: bool = True
    unread: float = 1.0
    unknown: Mapping[str, int] = {}


class FollowedDatabase:
    """One life of one database: as long as rows that were read are in it. It keeps a `Unit`'s promises."""

    def __init__(
        self,
        start: DatabaseCheckpoint,
        file: DatabaseFile,
        path: str,
        signature: Signature,
        *,
        row_format: RowFormat,
        clock: Callable[[], float],
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.source, self.head = start.source, start.head
        self.file, self.path = file, path
        self.over = False
        self.live = False
        self.problem: Problem | None = None
        self._format, self._clock, self._page_rows = row_format, clock, page_rows
        known = {one.name: one for one in start.tables}
        self.tables = [FollowedTable(table, known.get(table.name)) for table in row_format.tables]
        self._wanted = {table.name: page_rows for table in row_format.tables}
        self._searches: dict[str, Search] = {}
        self._signature, self._looked_at = signature, clock()
        self._version, self._drained_version = 1, 0
        self._drained_signature: Signature | None = None
        self._unread = 1.0
        self._busy_s = _BUSY_S
        self._checkpoint: DatabaseCheckpoint | None = None

    def __repr__(self) -> str:
        return f"FollowedDatabase({printable(self.path)!r}, {self.source})"

    @property
    def key(self) -> Key:
        """The file's device and inode."""
        return self.file.key

    @property
    def checkpoint(self) -> DatabaseCheckpoint:
        """The database's identity with the position of the last `read`."""
        if self._checkpoint is None:
            tables = [table.position for table in self.tables]
            self._checkpoint = DatabaseCheckpoint(self.source, printable(self.path), *self.key, self.head, tables)
        return self._checkpoint

    @property
    def may_have_rows(self) -> bool:
        """Whether there is something that was not looked at yet."""
        return not self.over and self._version != self._drained_version

    @property
    def unread_bytes(self) -> int:
        """An estimate: the size of the file times the share of rows that were not read."""
        if self.over or self._signature == self._drained_signature:
            return 0
        return max(1, int(self._signature.bytes * self._unread))

    @property
    def changed_ns(self) -> int:
        """When the database was last written."""
        return self._signature.changed_ns

    def look(self, path: str, signature: Signature) -> None:
        """Take note of what a scan saw."""
        if path != self.path:
            self.path, self._checkpoint = path, None
            self.file.move_to(path)
        now = self._clock()
        unsettled = self._looked_at - self._signature.changed_ns / 1e9 < COARSE_CLOCK_S
        self._looked_at = now
        if signature != self._signature or unsettled:
            self._version += 1
            self._signature = signature

    def holds(self, table: Table, rowid: int, digest: bytes) -> bool:
        """Whether this very row stands here, too. Raises UnreadableDatabaseError."""
        with self.file.snapshot() as snapshot:
            layout = snapshot.layout(table)
            return layout is not None and not layout.missing and snapshot.digest_at(layout, rowid) == digest

    def read(self, limit_bytes: int) -> RowPage | None:
        """Return what happened next, or None; what is wrong is kept as `problem`. Never waits for a lock."""
        give_up = time.monotonic() + _SEARCH_S
        while self.may_have_rows:
            try:
                page = self._read_once(limit_bytes)
            except UnreadableDatabaseError as error:
                self.problem = Problem(printable(self.path), error.reason, error.detail)
                self._busy_s = 0.0  # it was waited for once
                return None
            self.problem, self._busy_s = None, _BUSY_S
            if page is not None:
                self._checkpoint = None
                return page
            if time.monotonic() > give_up:
                return None
        return None

    def _read_once(self, limit_bytes: int) -> RowPage | None:
        """Read one page in one transaction; None where it only led a step further, or there is nothing."""
        now_ns = int(self._clock() * 1e9)
        searched: dict[str, bool] = {}
        plan = _Plan()
        with self.file.snapshot(self._busy_s) as snapshot:
            layouts = self.layouts(snapshot, self._format)
            lost = [table for table in self.tables if not self._stands(snapshot, layouts.get(table.table.name), table)]
            if lost:
                for table in lost:
                    search = self._searches.setdefault(table.table.name, Search(table))
                    searched[table.table.name] = search.step(snapshot, layouts[table.table.name], _SEARCH_KEYS)
            else:
                self._searches.clear()
                plan = self._plan(snapshot, layouts, limit_bytes, now_ns)
        # Only here is it sure that all of it was one state of this very file.
        if searched:
            return self._find_place([name for name, done in searched.items() if done])
        return self._replay(plan, now_ns)

    @staticmethod
    def layouts(snapshot: Snapshot, row_format: RowFormat) -> dict[str, Layout]:
        """Return how each table is selected. Raises UnreadableDatabaseError where what must be there is not."""
        layouts: dict[str, Layout] = {}
        for at, table in enumerate(row_format.tables):
            layout = snapshot.layout(table)
            if layout is None:
                if at == 0:
                    raise UnreadableDatabaseError(Reason.MISSING_TABLE, table.name)
                continue
            if layout.missing:
                raise UnreadableDatabaseError(Reason.MISSING_COLUMN, f"{table.name}.{layout.missing[0]}")
            layouts[table.name] = layout
        return layouts

    # --- the place -------------------------------------------------------------------------------------------------

    def _stands(self, snapshot: Snapshot, layout: Layout | None, table: FollowedTable) -> bool:
        """Whether the position still means what it did; it goes back where the newest rows are gone."""
        if layout is None or not table.landmarks:
            return True
        rowid = table.standing_landmark(snapshot, layout)
        if rowid is None:
            return False
        if rowid != table.rowid:
            table.fall_back(rowid)
            self._checkpoint = None
        return True

    def _find_place(self, finished: Sequence[str]) -> RowPage | None:
        identity = next(table for table in self.tables if table.rows)
        for table in self.tables:
            if table.table.name not in finished:
                continue
            self._checkpoint = None
            if table.relocate(self._searches.pop(table.table.name).found):
                continue
            if table is identity:
                return self._end()
            table.start_again()
        return None

    def _end(self) -> RowPage:
        """Nothing that was read is there any more: this life is over, and with it what ran.

        The page is returned though it may tell nothing: whoever reads is to scan again for the next life.
        """
        self.over = True
        steps = [
            Step(Happened.GONE, table.table.name, running.rowid, running.digest)
            for table in self.tables
            for running in table.running.values()
        ]
        for table in self.tables:
            table.running.clear()
        return RowPage(steps, 0, {})

    # --- the rows --------------------------------------------------------------------------------------------------

    def _plan(self, snapshot: Snapshot, layouts: Mapping[str, Layout], limit_bytes: int, now_ns: int) -> _Plan:
        running = [(table, one) for table in self.tables for one in table.running.values()]
        if unlooked := [(table, one) for table, one in running if one.version == NOT_LOOKED_AT]:
            # When they end must be known before time goes on.
            return _Plan(moment_ns=0, looks=self._look_at(snapshot, layouts, unlooked, limit_bytes))
        timed = [self._timed_page(snapshot, layouts, table, limit_bytes, now_ns) for table in self.tables]
        reaches = [page.reaches_ns for page in timed]
        moment_ns = min((one for one in reaches if one is not None), default=None)
        timed = [page.until(moment_ns) for page in timed]
        again = {row.digest for page in timed for row in page.page.rows}
        running = [(table, one) for table, one in running if one.digest not in again]
        asked = [(table, one) for table, one in running if self._may_have_ended(one, moment_ns)]
        looks = self._look_at(snapshot, layouts, asked, limit_bytes)
        if len(looks) < len(asked):
            return _Plan(moment_ns=0, looks=looks)
        ends = sorted(
            ((one.end_ns, table, one) for table, one in running if one.end_ns is not None), key=lambda one: one[0]
        )
        due = [(table, one) for end_ns, table, one in ends if moment_ns is None or end_ns <= moment_ns]
        ended = self._look_at(snapshot, layouts, due, limit_bytes)
        looks += ended
        more = any(page.page.more for page in timed)
        if len(ended) < len(due):  # time goes on no further than to the last of them
            moment_ns, more = ended[-1][1].end_ns, True
            timed = [page.until(moment_ns) for page in timed]
        elif moment_ns is None:
            missing = [(table, one) for table, one in running if one.missing and one.version == self._version]
            looks += self._look_at(snapshot, layouts, missing, limit_bytes)
            more = len(looks) < len(asked) + len(due) + len(missing)
        unknown = {name: layout.unknown for name, layout in layouts.items() if layout.unknown}
        return _Plan(timed, moment_ns, looks, more, self._share(snapshot, layouts, timed) if more else 0.0, unknown)

    def _may_have_ended(self, running: Running, moment_ns: int | None) -> bool:
        """Whether a running row is to be looked at before time comes to this moment, for it may end by then."""
        changed = running.end_ns is None and running.version != self._version
        return changed and (moment_ns is None or running.looked_ns < moment_ns)

    def _timed_page(
        self, snapshot: Snapshot, layouts: Mapping[str, Layout], table: FollowedTable, limit_bytes: int, now_ns: int
    ) -> TimedPage:
        name = table.table.name
        layout = layouts.get(name)
        page = snapshot.page(layout, table.rowid, self._wanted[name], limit_bytes) if layout else Page()
        return TimedPage(table, page, [read_times(self._format, name, row, now_ns) for row in page.rows])

    def _look_at(
        self,
        snapshot: Snapshot,
        layouts: Mapping[str, Layout],
        due: Sequence[tuple[FollowedTable, Running]],
        limit_bytes: int,
    ) -> list[tuple[FollowedTable, Running, RawRow | None]]:
        looks: list[tuple[FollowedTable, Running, RawRow | None]] = []
        size = 0
        for table, running in due[: self._page_rows]:
            layout = layouts.get(table.table.name)
            row = snapshot.row_at(layout, running.rowid) if layout else None
            looks.append((table, running, row))
            size += row.size if row else 0
            if size >= limit_bytes:
                break
        return looks

    def _share(self, snapshot: Snapshot, layouts: Mapping[str, Layout], timed: Sequence[TimedPage]) -> float:
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

    def _replay(self, plan: _Plan, now_ns: int) -> RowPage | None:
        version, signature = self._version, self._signature
        at_end = plan.moment_ns is None
        replay = Replay(self._format, plan.moment_ns, now_ns, version)
        for table, running, row in plan.looks:
            replay.look_again(table, running, row, at_end=at_end)
        for timed in plan.timed:
            replay.take(timed)
            name = timed.table.table.name
            taken = len(timed.page.rows)
            self._wanted[name] = (
                min(self._page_rows, max(_FEWEST_ROWS, 2 * taken)) if timed.page.more else self._page_rows
            )
        if plan.timed:
            replay.forget_expired(self.tables)
        replay.give_up_oldest(self.tables)
        self._unread = plan.unread
        if at_end and not plan.more:
            self._drained_version, self._drained_signature, self.live = version, signature, True
        steps, rows = replay.steps, sum(len(timed.page.rows) for timed in plan.timed)
        return RowPage(steps, rows, plan.unknown) if steps or rows else None
