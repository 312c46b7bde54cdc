"""One database while it is followed: what changed in it since it was read, and what happened in it next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from egoscope.sources.databases import Signature, UnreadableDatabaseError, layouts_of
from egoscope.sources.discovery import Problem, printable
from egoscope.sources.followed import COARSE_CLOCK_S
from egoscope.sources.replay import Happened, Step
from egoscope.sources.row_checkpoint import LANDMARKS, DatabaseCheckpoint
from egoscope.sources.row_reader import PAGE_ROWS, Reading, RowPage, RowReader
from egoscope.sources.row_table import FollowedTable, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from egoscope.sources.databases import DatabaseFile
    from egoscope.sources.discovery import Key
    from egoscope.sources.row_format import RowFormat, Table
    from egoscope.sources.row_pages import Layout, Snapshot

_SEARCH_KEYS: Final = 2000
_SEARCH_S: Final = 0.5
"""While a database's rows are looked for by their digests, everything else waits for no longer than this."""
_BUSY_S: Final = 0.05
_UNKNOWN: Final = 0
"""A schema version that no database with tables has."""


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
        self._format, self._clock = row_format, clock
        known = {one.name: one for one in start.tables}
        self.tables = [FollowedTable(table, known.get(table.name)) for table in row_format.tables]
        if (start.device, start.inode) != file.key:
            for table in self.tables:
                table.schema_version = _UNKNOWN  # a dump that was restored has the same one, and other rowids
        self._reader = RowReader(row_format, self.tables, page_rows)
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
        elif self.problem:
            self.file.move_to(path)  # a symlink on the way may lead elsewhere
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
        reading, last = Reading(), list[tuple[FollowedTable, list[tuple[int, bytes]]]]()
        with self.file.snapshot(self._busy_s) as snapshot:
            layouts, schema_version = layouts_of(snapshot, self._format), snapshot.schema_version
            lost = [table for table in self.tables if not self._stands(snapshot, layouts.get(table.table.name), table)]
            if lost:
                for table in lost:
                    search = self._searches.setdefault(table.table.name, Search(table))
                    searched[table.table.name] = search.step(snapshot, layouts[table.table.name], _SEARCH_KEYS)
            else:
                self._searches.clear()
                reading = self._reader.read(snapshot, layouts, limit_bytes, now_ns=now_ns, version=self._version)
                if reading.is_complete:
                    short = [table for table in self.tables if table.is_short_of_landmarks]
                    last = [(table, snapshot.keys_below(layouts[table.table.name], None, LANDMARKS)) for table in short]
        # Only here is it sure that all of it was one state of this very file.
        if searched:
            return self._find_place([name for name, done in searched.items() if done], schema_version)
        self._trust_rowids(self.tables, schema_version)
        if reading.is_complete:
            self._drained_version, self._drained_signature, self.live = reading.version, self._signature, True
        self._unread = reading.unread
        page = self._reader.replay(reading, now_ns=now_ns, version=self._version)
        if reading.is_complete:
            for table in self.tables:
                table.completed(now_ns)
        for table, rows in last:
            table.restock(rows)
            self._checkpoint = None
        return page

    # --- the place -------------------------------------------------------------------------------------------------

    def _stands(self, snapshot: Snapshot, layout: Layout | None, table: FollowedTable) -> bool:
        """Whether the position still means what it did; it goes back where the newest rows are gone."""
        if layout is None or not table.landmarks:
            return True
        if table.schema_version != snapshot.schema_version:
            return False  # a row may stand where it stood by chance, while others moved
        rowid = table.standing_landmark(snapshot, layout)
        if rowid is None:
            return False
        if rowid < table.rowid:
            table.fall_back(rowid)
            self._checkpoint = None
        return True

    def _trust_rowids(self, tables: Sequence[FollowedTable], schema_version: int) -> None:
        for table in tables:
            if table.schema_version != schema_version:
                table.schema_version, self._checkpoint = schema_version, None

    def _find_place(self, names: Sequence[str], schema_version: int) -> RowPage | None:
        identity = next(table for table in self.tables if table.rows)
        finished = [table for table in self.tables if table.table.name in names]
        self._trust_rowids(finished, schema_version)
        for table in finished:
            self._checkpoint = None
            if table.relocate(self._searches.pop(table.table.name).found):
                continue
            if table is identity and not self._format.beside:
                return self._end()
            table.start_again(goes_on=table is identity)
        return None

    def _end(self) -> RowPage:
        """Nothing that was read is there any more: this life is over, and with it what ran.

        The page is returned though it may tell nothing: whoever reads is to scan again for the next life.
        """
        self.over = True
        steps = [
            Step(Happened.GONE, table.table.name, running.rowid, running.digest)
            for table in self.tables
            for running in table.end()
        ]
        return RowPage(steps, 0, {})
