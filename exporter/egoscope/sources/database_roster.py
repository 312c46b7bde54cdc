"""Who is who: decides for every database that a scan found whether it is known, new, or a copy of a known one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from egoscope.sources.databases import COMPANIONS, DatabaseFile, Signature, UnreadableDatabaseError, layouts_of
from egoscope.sources.discovery import Key, Problem, Reason, Sighting, printable
from egoscope.sources.followed_database import FollowedDatabase
from egoscope.sources.row_checkpoint import DatabaseCheckpoint
from egoscope.sources.row_table import FollowedTable, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from egoscope.sources.discovery import Survey
    from egoscope.sources.row_checkpoint import RowDigests, TablePosition
    from egoscope.sources.row_format import RowFormat, Table
    from egoscope.sources.row_pages import Layout, Snapshot

_SEARCH_KEYS: Final = 2000
_SEARCH_S: Final = 0.5


class _Copy(NamedTuple):
    """A database that is set aside, as it and its original were when they were compared."""

    source: str
    original_followed: bool
    signature: Signature


_Start: TypeAlias = DatabaseCheckpoint | _Copy
"""What a newcomer is: one to follow, from there, or one to set aside."""


class AwaitedDatabase:
    """A known database that is there, and cannot be read yet. Until it is, its rows are unread."""

    live = False

    def __init__(self, checkpoint: DatabaseCheckpoint, unread_bytes: int) -> None:
        self.checkpoint, self.unread_bytes = checkpoint, unread_bytes

    def read(self, limit_bytes: int) -> None:
        """Return that there is nothing."""


class DatabaseRoster:
    """All databases: followed, set aside as copies, or departed. `update` brings it in line with what a scan found.

    `derive_id(device, inode, head)` names a new one. `awaited`: known ones that could not be recognised just now.
    """

    def __init__(
        self,
        known: Iterable[DatabaseCheckpoint],
        *,
        row_format: RowFormat,
        derive_id: Callable[[int, int, bytes], str],
        digests: RowDigests,
        max_row_bytes: int,
        page_rows: int,
        clock: Callable[[], float],
    ) -> None:
        self._format, self._derive_id, self._digests = row_format, derive_id, digests
        self._max_row_bytes, self._page_rows, self._clock = max_row_bytes, page_rows, clock
        self._departed = {one.source: one for one in known}
        self._since = dict.fromkeys(self._departed, clock())
        self._units: dict[Key, FollowedDatabase] = {}
        self._files: dict[Key, DatabaseFile] = {}  # of those that are not followed
        self._copies: dict[Key, _Copy] = {}
        self._searched: dict[Key, dict[str, Search]] = {}  # of newcomers, for rows of those that were known there
        self.awaited: list[AwaitedDatabase] = []
        self._problems: list[Problem] = []
        self._gone_unread: dict[str, Problem] = {}

    def __iter__(self) -> Iterator[FollowedDatabase]:
        # A copy: the thread that watches the directories looks while the one that scans adds and removes.
        return iter(list(self._units.values()))

    def update(self, survey: Survey) -> Sequence[Problem]:
        """Follow what is new, let go of what is over; return what could not be read, or is set aside."""
        self._problems, self.awaited = [], []
        now = self._clock()
        seen = {key: one for key, one in survey.files.items() if not one.path.endswith(COMPANIONS)}
        for key, unit in list(self._units.items()):
            if key in seen:
                unit.look(seen[key].path, unit.file.signature(seen[key].stat))
            if key not in seen or unit.over:
                self._retire(unit, now)
        for key in (self._files.keys() | self._copies.keys()) - seen.keys():
            self._copies.pop(key, None)
            self._searched.pop(key, None)
            if key in self._files:
                self._files.pop(key).close()
        newcomers = [one for key, one in seen.items() if key not in self._units]
        for one in sorted(newcomers, key=self._order):
            self._meet(one)
        self._gone_unread = {source: one for source, one in self._gone_unread.items() if source in self._departed}
        return [*self._problems, *self._gone_unread.values()]

    def forgotten(self, forget_s: float) -> Sequence[str]:
        """Return what has not been followed for so long, each once; a copy's original is not forgotten."""
        when = self._clock() - forget_s
        aside = {copy.source for copy in self._copies.values()}
        old = [source for source, since in self._since.items() if since < when and source not in aside]
        for source in old:
            del self._since[source], self._departed[source]
        return old

    def close(self) -> None:
        """Let go of every handle."""
        for unit in self:
            unit.file.close()
        for file in self._files.values():
            file.close()

    # --- newcomers -------------------------------------------------------------------------------------------------

    def _order(self, seen: Sighting) -> tuple[bool, bool, int, str]:
        """Sort first what was known under this inode, then what was under this path; of others the largest."""
        keys = {(one.device, one.inode) for one in self._departed.values()}
        paths = {one.path for one in self._departed.values()}
        return seen.key not in keys, printable(seen.path) not in paths, -seen.stat.st_size, seen.path

    def _meet(self, seen: Sighting) -> None:
        file = self._files.get(seen.key)
        if file is None:
            file = self._files[seen.key] = DatabaseFile(seen.path, seen.key, self._digests, self._max_row_bytes)
        else:
            file.move_to(seen.path)
        signature = file.signature(seen.stat)
        if not signature.bytes:
            return  # nothing was written yet: it has no identity
        copy = self._copies.pop(seen.key, None)
        if copy and copy == _Copy(copy.source, self._is_followed(copy.source), signature):
            self._set_aside(seen, copy)
            return
        try:
            start = self._recognise(seen, file, signature)
        except UnreadableDatabaseError as error:
            self._problems.append(Problem(printable(seen.path), error.reason, error.detail))
            start = Reason.UNREADABLE
        if isinstance(start, _Copy):
            self._set_aside(seen, start)
        elif isinstance(start, DatabaseCheckpoint):
            self._follow(start, seen, file, signature)
        elif start is not None:
            self.awaited += [AwaitedDatabase(one, signature.bytes) for one in self._known_here(seen)]

    def _recognise(self, seen: Sighting, file: DatabaseFile, signature: Signature) -> _Start | Search | None:
        """Return what a database is; None as long as it has no rows, a search while that is not over."""
        give_up = time.monotonic() + _SEARCH_S
        searched = self._searched.setdefault(seen.key, {})
        while True:
            with file.snapshot() as snapshot:
                start = self._compare(seen, signature, snapshot, searched)
            if not isinstance(start, Search):
                del self._searched[seen.key]
                return start
            if time.monotonic() > give_up:
                return start

    def _compare(
        self, seen: Sighting, signature: Signature, snapshot: Snapshot, searched: dict[str, Search]
    ) -> _Start | Search | None:
        """Return what a database is, or the search that leads a step further; None if it has no rows."""
        layouts = layouts_of(snapshot, self._format)
        edges = ((layout, snapshot.edge(layout)) for layout in layouts.values())
        layout, first = next(((layout, edge) for layout, edge in edges if edge), (None, None))
        if layout is None or first is None:
            return self._by_place(seen, b"") if self._format.beside else None
        last = snapshot.edge(layout, last=True) or first
        here = self._known_here(seen)
        # Of several lives whose rows are there, because a backup was restored, the one that was read furthest goes on.
        standing = [(_standing(snapshot, layouts, known), known) for known in self._departed.values()]
        furthest, known = max(standing, key=lambda one: (one[0], one[1] in here), default=(0, None))
        if known is not None and furthest:
            return known
        for unit in self:
            if (
                unit.head == first[1]
                or _standing(snapshot, layouts, unit.checkpoint)
                or unit.holds(layout.table, *last)
            ):
                return _Copy(unit.source, original_followed=True, signature=signature)
        elsewhere = [known for known in self._departed.values() if known not in here]
        for known in (*here, *elsewhere):
            search = self._search(snapshot, layouts, known, searched)
            if search is not None:
                return search if not search.over else known
        for known in elsewhere:
            if known.head == first[1] and last[0] <= _position(known, layout.table):
                return _Copy(known.source, original_followed=False, signature=signature)
        return self._by_place(seen, first[1])

    def _by_place(self, seen: Sighting, head: bytes) -> DatabaseCheckpoint:
        """Return what a database is of which no row is known: a new one.

        Where something stands beside the rows it is the one that was there: two lives of one place would tell it twice.
        """
        here = self._known_here(seen) if self._format.beside else []
        return here[0] if here else DatabaseCheckpoint(self._new_source(*seen.key, head), "", *seen.key, head, [])

    def _search(
        self, snapshot: Snapshot, layouts: Mapping[str, Layout], known: DatabaseCheckpoint, searched: dict[str, Search]
    ) -> Search | None:
        """Look further for any row that was read last: `VACUUM` may have moved them all. None: it is not that one."""
        position = _identity(known, layouts)
        if position is None:
            return None
        layout = layouts[position.name]
        search = searched.get(known.source) or Search(FollowedTable(layout.table, position))
        searched[known.source] = search
        if not search.over:
            search.step(snapshot, layout, _SEARCH_KEYS)
        return search if not search.over or FollowedTable(layout.table, position).relocate(search.found) else None

    def _known_here(self, seen: Sighting) -> list[DatabaseCheckpoint]:
        """Return what was known under this inode, or else under this path, and is not followed."""
        key, path = seen.key, printable(seen.path)
        known = [one for one in self._departed.values() if key == (one.device, one.inode) or path == one.path]
        return sorted(known, key=lambda one: key != (one.device, one.inode))

    def _new_source(self, device: int, inode: int, head: bytes) -> str:
        """Derive an id; one that stands for another life of the same database already is not given again."""
        source, again = self._derive_id(device, inode, head), 0
        while self._is_followed(source) or source in self._departed:
            again += 1
            source = self._derive_id(device, inode, head + b"\0%d" % again)
        return source

    def _is_followed(self, source: str) -> bool:
        return any(unit.source == source for unit in self._units.values())

    # --- changes ---------------------------------------------------------------------------------------------------

    def _follow(self, start: DatabaseCheckpoint, seen: Sighting, file: DatabaseFile, signature: Signature) -> None:
        self._departed.pop(start.source, None)
        self._since.pop(start.source, None)
        del self._files[seen.key]
        self._units[seen.key] = FollowedDatabase(
            start,
            file,
            seen.path,
            signature,
            row_format=self._format,
            clock=self._clock,
            page_rows=self._page_rows,
        )

    def _set_aside(self, seen: Sighting, copy: _Copy) -> None:
        self._copies[seen.key] = copy
        self._problems.append(Problem(printable(seen.path), Reason.COPY))

    def _retire(self, unit: FollowedDatabase, now: float) -> None:
        unit.file.close()
        del self._units[unit.key]
        self._departed[unit.source] = unit.checkpoint
        self._since[unit.source] = now
        if not unit.over and unit.unread_bytes:
            self._gone_unread[unit.source] = Problem(unit.checkpoint.path, Reason.GONE_UNREAD)


def _identity(known: DatabaseCheckpoint, layouts: Mapping[str, Layout]) -> TablePosition | None:
    """Return the table by which a database is recognised: the first one of which rows were read."""
    by_name = {one.name: one for one in known.tables}
    return next((by_name[name] for name in layouts if name in by_name and by_name[name].rows), None)


def _position(known: DatabaseCheckpoint, table: Table) -> int:
    """Return up to which rowid a table was read."""
    return next((one.rowid for one in known.tables if one.name == table.name), 0)


def _standing(snapshot: Snapshot, layouts: Mapping[str, Layout], known: DatabaseCheckpoint) -> int:
    """Return the rowid of the last row read that stands where it stood; 0 if there is none."""
    position = _identity(known, layouts)
    if position is None:
        return 0
    layout = layouts[position.name]
    return FollowedTable(layout.table, position).standing_landmark(snapshot, layout) or 0
