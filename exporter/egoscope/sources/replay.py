"""Replaying time: from the rows of a database, in the order of their rowids, to what happened, in the order of time."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from egoscope.convert.conversion import ROW_EXPIRES_NS
from egoscope.sources.base import AHEAD_NS, EARLIEST_NS
from egoscope.sources.row_format import Times, UnreadableRow
from egoscope.sources.row_pages import TOO_LONG
from egoscope.sources.row_table import Running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.sources.row_format import RowFormat
    from egoscope.sources.row_pages import Page, RawRow
    from egoscope.sources.row_table import FollowedTable

MOST_RUNNING: Final = 10_000
"""So many rows are looked at again; of more the oldest are given up."""
_LAST: Final = 1 << 63


class Happened(IntEnum):
    """What a step tells; of one moment the lesser comes first."""

    UNPARSABLE = 0
    STARTED = 1
    ENDED = 2
    GONE = 3


class Step(msgspec.Struct, frozen=True):
    """One thing that happened to a row. `row` holds content: never log, store or raise it."""

    happened: Happened
    table: str
    rowid: int
    digest: bytes
    row: Mapping[str, Any] = {}
    times: Times = Times(0, None)
    reason: str = ""

    def __repr__(self) -> str:
        return f"Step({self.happened.name}, {self.table}@{self.rowid})"


def read_times(row_format: RowFormat, table: str, row: RawRow, now_ns: int) -> Times | UnreadableRow:
    """Return a row's times, or why it is no record; `end_ns` is None also of one that ran for longer than it may.

    A time far ahead is no usable time, nor is one before any agent was: time never goes back within a series, so one
    row from the future would drag all later ones with it.
    """
    if row.values is None:
        return UnreadableRow(TOO_LONG)
    times = row_format.times(table, row.values)
    if isinstance(times, UnreadableRow):
        return times
    start_ns, end_ns = times.start_ns, times.end_ns
    if max(start_ns, end_ns or 0) > now_ns + AHEAD_NS:
        return UnreadableRow("time_in_future")
    if start_ns < EARLIEST_NS:
        return UnreadableRow("no_time")
    # What ran for so long was given up as unfinished while it ran.
    if end_ns is None or end_ns - start_ns >= ROW_EXPIRES_NS:
        return Times(start_ns, None)
    return Times(start_ns, max(start_ns, end_ns))


class TimedPage(msgspec.Struct, frozen=True):
    """A page of one table with the times of its rows."""

    table: FollowedTable
    page: Page
    times: Sequence[Times | UnreadableRow]

    @property
    def reaches_ns(self) -> int | None:
        """The moment up to which the page tells all that began; None where it is the table's end."""
        if not self.page.more:
            return None
        return max((times.start_ns for times in self.times if isinstance(times, Times)), default=0)

    def until(self, moment_ns: int | None) -> TimedPage:
        """Return the rows before the first one that began after this moment."""
        if moment_ns is None:
            return self
        for at, times in enumerate(self.times):
            if isinstance(times, Times) and times.start_ns > moment_ns:
                page = msgspec.structs.replace(self.page, rows=self.page.rows[:at], more=True)
                return TimedPage(self.table, page, self.times[:at])
        return self


class Replay:
    """Tells what happened up to a moment (None: up to now), and takes note of it in the tables."""

    def __init__(self, row_format: RowFormat, moment_ns: int | None, now_ns: int, version: int) -> None:
        self._format, self._moment_ns, self._now_ns, self._version = row_format, moment_ns, now_ns, version
        self._steps: list[tuple[tuple[int, int, int, int], Step]] = []
        self._first_table = row_format.tables[0].name

    def take(self, timed: TimedPage) -> None:
        """Take new rows. One that was told as running and has another rowid now is known by its digest."""
        table = timed.table
        before_ns = 0
        for row, times in zip(timed.page.rows, timed.times, strict=True):
            running, known = table.running.get(row.digest), table.knows(row.digest)
            table.pass_over(row.rowid, row.digest)
            if running is not None:
                running.rowid = row.rowid
                self._again(table, running, row, times)
            elif not known:
                self._first(table, row, times, before_ns)
            if isinstance(times, Times):
                before_ns = times.start_ns

    def look_again(self, table: FollowedTable, running: Running, row: RawRow | None, *, at_end: bool) -> None:
        """Take note of what stands at the rowid of a running row now.

        `at_end`: no row of the table is unread, so one that is not there any more is nowhere.
        """
        if row is not None and row.digest == running.digest:
            self._again(table, running, row, read_times(self._format, table.table.name, row, self._now_ns))
            return
        self._note(running, None, missing=True)
        if at_end:
            self._give_up(table, running)

    def give_up_oldest(self, tables: Sequence[FollowedTable]) -> None:
        """Keep the number of running rows bounded."""
        many = sum(len(table.running) for table in tables) - MOST_RUNNING
        if many > 0:
            every = [(running.start_ns, running, table) for table in tables for running in table.running.values()]
            for _, running, table in sorted(every, key=lambda one: one[0])[:many]:
                self._give_up(table, running)

    def forget_expired(self, tables: Sequence[FollowedTable]) -> None:
        """Look no more at what has run for too long by now: the conversion gave it up, and counts it as unfinished."""
        moment_ns = self._now_ns if self._moment_ns is None else self._moment_ns
        for table in tables:
            for digest in [
                running.digest
                for running in table.running.values()
                if running.end_ns is None and moment_ns - running.start_ns >= ROW_EXPIRES_NS
            ]:
                del table.running[digest]

    @property
    def steps(self) -> list[Step]:
        """Everything that happened, in the order of time."""
        return [step for _, step in sorted(self._steps, key=lambda one: one[0])]

    def _first(self, table: FollowedTable, row: RawRow, times: Times | UnreadableRow, before_ns: int) -> None:
        if isinstance(times, UnreadableRow):
            self._unparsable(table, row, times, before_ns)
        elif self._is_over(times):
            self._ended(table, row, times)
        else:
            name = table.table.name
            step = Step(Happened.STARTED, name, row.rowid, row.digest, row.values or {}, Times(times.start_ns, None))
            self._steps.append(((times.start_ns, Happened.STARTED, 0, row.rowid), step))
            table.running[row.digest] = running = Running(row.rowid, row.digest, times.start_ns)
            self._note(running, times.end_ns)

    def _again(self, table: FollowedTable, running: Running, row: RawRow, times: Times | UnreadableRow) -> None:
        if isinstance(times, UnreadableRow):
            self._give_up(table, running)
            self._unparsable(table, row, times, running.start_ns)
        elif self._is_over(times):
            del table.running[running.digest]
            self._ended(table, row, times)
        else:
            self._note(running, times.end_ns)

    def _note(self, running: Running, end_ns: int | None, *, missing: bool = False) -> None:
        running.looked_at(end_ns, version=self._version, now_ns=self._now_ns, missing=missing)

    def _is_over(self, times: Times) -> bool:
        return times.end_ns is not None and (self._moment_ns is None or times.end_ns <= self._moment_ns)

    def _ended(self, table: FollowedTable, row: RawRow, times: Times) -> None:
        """Place the end of a row: events of a moment before it, and what began later before what began earlier."""
        name = table.table.name
        step = Step(Happened.ENDED, name, row.rowid, row.digest, row.values or {}, times)
        place = (-times.start_ns, -row.rowid) if name == self._first_table else (-_LAST, row.rowid)
        self._steps.append(((times.end_ns or 0, Happened.ENDED, place[0], place[1]), step))

    def _unparsable(self, table: FollowedTable, row: RawRow, why: UnreadableRow, before_ns: int) -> None:
        step = Step(Happened.UNPARSABLE, table.table.name, row.rowid, row.digest, reason=why.reason)
        self._steps.append(((before_ns, Happened.UNPARSABLE, 0, row.rowid), step))

    def _give_up(self, table: FollowedTable, running: Running) -> None:
        del table.running[running.digest]
        step = Step(Happened.GONE, table.table.name, running.rowid, running.digest)
        self._steps.append(((_LAST, Happened.GONE, 0, running.rowid), step))
