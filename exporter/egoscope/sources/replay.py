"""Replaying time: from the rows of a database, in the order of their rowids, to what happened, in the order of time."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from egoscope.model.record import AHEAD_NS, EARLIEST_NS
from egoscope.sources.row_format import Times, UnreadableRow
from egoscope.sources.row_pages import TOO_LONG, UNCHANGED
from egoscope.sources.row_table import Running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.sources.row_format import RowFormat, Table
    from egoscope.sources.row_pages import Page, RawRow
    from egoscope.sources.row_table import FollowedTable

MOST_RUNNING: Final = 10_000
"""So many rows that run are looked at again; of more the oldest are given up."""
MOST_SETTLED: Final = 1000
"""And so many that ended, or could not be read; of more those that did so first are looked at no more."""
_LAST: Final = 1 << 63


class Happened(IntEnum):
    """What a step tells; of one moment the lesser comes first."""

    UNPARSABLE = 0
    STARTED = 1
    CHANGED = 2
    ENDED = 3
    GONE = 4
    STANDING = 5


class Step(msgspec.Struct, frozen=True):
    """One thing that happened to a row. `row` and `found` hold content: never log, store or raise them.

    `time_ns`: when a row changed, or since when it stands as `found`; for starts and ends see `times`.
    """

    happened: Happened
    table: str
    rowid: int
    digest: bytes
    row: Mapping[str, Any] = {}
    times: Times = Times(0, None)
    reason: str = ""
    time_ns: int = 0
    found: object = None

    def __repr__(self) -> str:
        return f"Step({self.happened.name}, {self.table}@{self.rowid})"


def read_times(row_format: RowFormat, table: Table, row: RawRow, now_ns: int) -> Times | UnreadableRow:
    """Return a row's times, or why it is no record; `end_ns` is None also of one that ran for longer than it may.

    A time far ahead is no usable time, nor is one before any agent was: time never goes back within a series, so one
    row from the future would drag all later ones with it.
    """
    if row.values is None:
        return UnreadableRow(TOO_LONG)
    times = row_format.times(table.name, row.values)
    if isinstance(times, UnreadableRow):
        return times
    start_ns, end_ns = times.start_ns, times.end_ns
    if max(start_ns, end_ns or 0) > now_ns + AHEAD_NS:
        return UnreadableRow("time_in_future")
    if start_ns < EARLIEST_NS:
        return UnreadableRow("no_time")
    # What ran for so long was given up as unfinished while it ran.
    if end_ns is None or end_ns - start_ns >= table.expires_ns:
        # A clock that is ahead: what happens to a row comes after its start all the same.
        return Times(start_ns, None, times.state, max(start_ns, min(times.since_ns, now_ns)), times.holder)
    # A clock that stepped back while it ran: it counts when it ended, and lasted no time.
    return Times(min(start_ns, end_ns), end_ns, times.state)


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
            elif not known and not table.has_told(times):
                self._first(table, row, times, before_ns)
            if isinstance(times, Times):
                before_ns = times.start_ns

    def look_again(self, table: FollowedTable, running: Running, row: RawRow | None, *, at_end: bool) -> None:
        """Take note of what stands at the rowid of a running row now.

        `at_end`: no row of the table is unread, so one that is not there any more is nowhere.
        """
        if row is UNCHANGED:
            running.looked_at(None, version=self._version, now_ns=self._now_ns, imprint=running.imprint)
            return
        if row is not None and row.digest == running.digest:
            self._again(table, running, row, read_times(self._format, table.table, row, self._now_ns))
            # What has a time to come, or none, says something else at another moment.
            running.imprint = 0 if running.is_flawed or running.due_ns is not None else row.imprint
            return
        self._note(running, None, missing=True)
        if at_end:
            self._give_up(table, running)
            if not running.settled_ns:
                table.forget(running.digest)

    def give_up_oldest(self, tables: Sequence[FollowedTable]) -> None:
        """Keep the number of rows that are looked at again bounded."""
        every = [(running, table) for table in tables for running in table.running.values()]
        settled = [one for one in every if one[0].settled_ns]
        if len(every) - len(settled) > MOST_RUNNING:
            running = sorted((one for one in every if not one[0].settled_ns), key=lambda one: one[0].start_ns)
            for one, table in running[:-MOST_RUNNING]:
                self._give_up(table, one)
        for one, table in sorted(settled, key=lambda one: one[0].settled_ns)[:-MOST_SETTLED]:
            self._give_up(table, one)

    def forget_expired(self, tables: Sequence[FollowedTable]) -> None:
        """Look no more at what has run for too long by now: the conversion gave it up, and counts it as unfinished.

        Nor at what ended long enough ago.
        """
        moment_ns = self._now_ns if self._moment_ns is None else self._moment_ns
        for table in tables:
            for digest in [
                running.digest
                for running in table.running.values()
                if running.due_ns is None
                and (
                    not self._may_change(table, running)
                    if running.settled_ns
                    else moment_ns - running.start_ns >= table.table.expires_ns
                )
            ]:
                del table.running[digest]

    def stands(self, found: object) -> None:
        """Take what stands beside the followed rows, as of now."""
        step = Step(Happened.STANDING, self._first_table, 0, b"", time_ns=self._now_ns, found=found)
        self._steps.append(((_LAST, Happened.STANDING, 0, 0), step))

    @property
    def steps(self) -> list[Step]:
        """Everything that happened, in the order of time."""
        return [step for _, step in sorted(self._steps, key=lambda one: one[0])]

    def _first(self, table: FollowedTable, row: RawRow, times: Times | UnreadableRow, before_ns: int) -> None:
        if isinstance(times, UnreadableRow):
            self._unparsable(table, row, times, before_ns)
            if table.table.settles_ns and row.values is not None:
                table.running[row.digest] = running = Running(row.rowid, row.digest, 0, settled_ns=self._now_ns)
                self._note(running, None)
        elif self._is_over(times):
            if table.table.tells_starts:
                self._started(table, row, times)
            self._ended(table, row, times)
            self._settle(table, Running(row.rowid, row.digest, times.start_ns), times, times.end_ns or 0)
        else:
            self._started(table, row, times)
            table.running[row.digest] = running = Running(row.rowid, row.digest, times.start_ns)
            self._goes_on(table, running, row, times)

    def _again(self, table: FollowedTable, running: Running, row: RawRow, times: Times | UnreadableRow) -> None:
        if isinstance(times, UnreadableRow):
            # It may be readable again when it is changed next; that it is not is told once.
            if not running.is_flawed:
                self._unparsable(table, row, times, running.start_ns)
            running.is_flawed = True
            self._note(running, None)
        elif not running.start_ns:
            self._at_last(table, running, row, times)
        elif running.settled_ns and times.end_ns is not None and times.state == running.state:
            running.is_flawed = False
            self._note(running, None)
        elif self._is_over(times):
            self._ended(table, row, times)
            # What was not known to end was seen to run until now.
            ended_ns = self._now_ns if running.due_ns is None else times.end_ns or 0
            self._settle(table, running, times, ended_ns)
        else:
            self._goes_on(table, running, row, times)

    def _at_last(self, table: FollowedTable, running: Running, row: RawRow, times: Times) -> None:
        """Tell a row that can be read for the first time, once time comes to its start."""
        if self._moment_ns is not None and times.start_ns > self._moment_ns:
            self._note(running, times.start_ns)
        else:
            del table.running[running.digest]
            self._first(table, row, times, 0)

    def _settle(self, table: FollowedTable, running: Running, times: Times, ended_ns: int) -> None:
        """Go on looking at a row that ended, where it may change for some time."""
        running.state, running.since_ns, running.holder = times.state, times.end_ns or 0, ""
        running.settled_ns, running.is_flawed = min(ended_ns, self._now_ns), False
        self._note(running, None)
        if self._may_change(table, running):
            table.running[running.digest] = running
        else:
            table.running.pop(running.digest, None)

    def _may_change(self, table: FollowedTable, running: Running) -> bool:
        return not running.start_ns or self._now_ns - running.settled_ns < table.table.settles_ns

    def _goes_on(self, table: FollowedTable, running: Running, row: RawRow, times: Times) -> None:
        """Take note of a row that is not over by the moment, and in which state it is."""
        due_ns = times.end_ns
        if due_ns is None and (times.state, times.holder) != (running.state, running.holder):
            # A row that went back does not say when: it was in the other state until it was looked at.
            now_ns = max(self._now_ns, times.start_ns)
            time_ns = times.since_ns if times.since_ns > running.since_ns else now_ns
            if self._moment_ns is not None and time_ns > self._moment_ns:
                due_ns = time_ns
            else:
                running.state, running.since_ns, running.holder = times.state, time_ns, times.holder
                running.settled_ns = 0
                told = Step(
                    Happened.CHANGED, table.table.name, row.rowid, row.digest, row.values or {}, times, time_ns=time_ns
                )
                self._steps.append(((time_ns, Happened.CHANGED, 0, row.rowid), told))
        elif due_ns is None:
            running.since_ns = max(running.since_ns, times.since_ns)  # something else was done to it then
        running.is_flawed = False
        self._note(running, due_ns)

    def _note(self, running: Running, due_ns: int | None, *, missing: bool = False) -> None:
        running.looked_at(due_ns, version=self._version, now_ns=self._now_ns, missing=missing)

    def _is_over(self, times: Times) -> bool:
        return times.end_ns is not None and (self._moment_ns is None or times.end_ns <= self._moment_ns)

    def _started(self, table: FollowedTable, row: RawRow, times: Times) -> None:
        begun = Times(times.start_ns, None)
        step = Step(Happened.STARTED, table.table.name, row.rowid, row.digest, row.values or {}, begun)
        self._steps.append(((times.start_ns, Happened.STARTED, 0, row.rowid), step))

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
        if running.settled_ns:
            return
        step = Step(Happened.GONE, table.table.name, running.rowid, running.digest)
        self._steps.append(((_LAST, Happened.GONE, 0, running.rowid), step))
