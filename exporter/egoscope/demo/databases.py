"""Writes a demo database: all of a past at once, or row by row as time goes on."""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import msgspec

from egoscope.demo.settings import microseconds, moment
from egoscope.errors import ConfigError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from egoscope.demo.settings import DatabaseSettings

_ROWS_A_TRANSACTION: Final = 500
_LOCKED_S: Final = 30
_LATE_US: Final = 5_000_000
_WORTH_WAITING_US: Final = 500


class Write(NamedTuple):
    """One statement a program runs at a time, microseconds since the epoch."""

    us: int
    statement: str
    parameters: tuple[str | float | None, ...]


class Run(NamedTuple):
    """One execution or flow run: what is written about it, oldest first. `outcome`: ok, error or unfinished."""

    start_us: int
    key: str
    name: str
    outcome: str
    writes: Sequence[Write]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that keeps a database.

    `runs`: what it runs, in order of their starts, for ever. `stopped`: what it writes about the run of a key that
    was open when the program was told to end, at a time in microseconds.
    """

    schema: tuple[str, ...]
    runs: Callable[[DatabaseSettings], Iterator[Run]]
    stopped: Callable[[str, int], Write]
    canaries: tuple[str, ...]


class DatabaseSummary(msgspec.Struct, frozen=True):
    """What was written. `runs`: those whose last row was written, by (agent, flow or worker, outcome).

    `canaries`: every token that may have been planted.
    """

    path: Path
    runs: Mapping[tuple[str, str], int]
    canaries: tuple[str, ...]


def write_past(path: Path, program: Program, settings: DatabaseSettings, *, until: datetime) -> DatabaseSummary:
    """Write all runs that started from `settings.start` on and ended by `until`.

    What still ran at `until` is left out, for no one would ever end it.
    """
    until_us = microseconds(until)
    begun = takewhile(lambda run: run.start_us < until_us, program.runs(settings))
    timeline = _Timeline(run for run in begun if not run.writes or run.writes[-1].us <= until_us)
    with Database(path, program.schema, program.canaries) as database:
        database.begin()
        for rows, (run, place) in enumerate(timeline, 1):
            database.write(run, place)
            if rows % _ROWS_A_TRANSACTION == 0:
                database.commit()
                database.begin()
        database.commit()
    return database.summary()


def write_present(
    path: Path,
    program: Program,
    settings: DatabaseSettings,
    *,
    stop: threading.Event,
    now_ns: Callable[[], int] = time.time_ns,
    wait: Callable[[float], bool] | None = None,
) -> DatabaseSummary:
    """Write each row when its time comes, and commit it, until `stop` is set; `settings.start` is not used.

    What is open then is ended as by a program that is told to end. After a long sleep of the machine, or a step forward
    of its clock, that happens too, and a new life begins: no row is stamped more than 5 s before it is written.
    `now_ns` and `wait` (seconds; true when `stop` was set) are there for tests.
    """
    waiting = Waiting(stop, now_ns, wait)
    with Database(path, program.schema, program.canaries) as database:
        while not stop.is_set():
            start = moment(waiting.now_us())
            timeline = _Timeline(program.runs(replace(settings, start=start)))
            for run, place in timeline:
                if not waiting.until(run.writes[place].us):
                    break
                database.write(run, place)
            for key in timeline.open_keys():
                database.execute(program.stopped(key, waiting.now_us()))
    return database.summary()


class Waiting:
    """Waits for the time of what is written live. `now_ns` and `wait` stand for the clock and for `stop.wait`."""

    def __init__(
        self, stop: threading.Event, now_ns: Callable[[], int], wait: Callable[[float], bool] | None = None
    ) -> None:
        self._stop = stop
        self._now_ns = now_ns
        self._wait = stop.wait if wait is None else wait

    def now_us(self) -> int:
        """Return microseconds since the epoch."""
        return self._now_ns() // 1000

    def until(self, due_us: int) -> bool:
        """Return when it is time; false where `stop` was set, or where it is more than 5 s too late."""
        while (ahead_us := due_us - self.now_us()) > _WORTH_WAITING_US and not self._wait(min(ahead_us / 1e6, 3600)):
            pass
        return not self._stop.is_set() and self.now_us() - due_us <= _LATE_US


class _Timeline:
    """Writes of runs that overlap, in the order of their times: as runs, and places in their writes."""

    def __init__(self, runs: Iterator[Run]) -> None:
        self._runs = runs
        self._waiting: list[tuple[int, int, int, Run]] = []
        """Time and place of each run's next write; a number keeps runs themselves from being compared."""

    def __iter__(self) -> Iterator[tuple[Run, int]]:
        waiting = self._waiting
        started = 0
        upcoming = next(self._runs, None)
        while waiting or upcoming is not None:
            while upcoming is not None and (not waiting or upcoming.start_us <= waiting[0][0]):
                if upcoming.writes:
                    started += 1
                    heapq.heappush(waiting, (upcoming.writes[0].us, started, 0, upcoming))
                upcoming = next(self._runs, None)
            if not waiting:
                return
            _, number, place, run = waiting[0]
            yield run, place
            if place + 1 < len(run.writes):
                heapq.heapreplace(waiting, (run.writes[place + 1].us, number, place + 1, run))
            else:
                heapq.heappop(waiting)

    def open_keys(self) -> list[str]:
        """Return the keys of the runs of which something was written, but not yet all."""
        return [run.key for _, _, place, run in self._waiting if place]


def write_some_past(
    write: Callable[[DatabaseSettings], DatabaseSummary], settings: DatabaseSettings, *, until: datetime
) -> DatabaseSummary:
    """Let `write` write the past from `settings.start` to `until`, and in it at least one run if it has a length.

    Where nothing ended in it, because it is short and the hour a quiet one, it begins earlier, twice as long before
    `until` each time: as a real program's database holds its last run, however long ago that was. `write` has to leave
    nothing behind where it returns no run.
    """
    while not (summary := write(settings)).runs and settings.start < until:
        settings = replace(settings, start=until - 2 * (until - settings.start))
    return summary


class Database:
    """The database being written, and the counts of what went into it."""

    def __init__(self, path: Path, schema: Sequence[str], canaries: tuple[str, ...]) -> None:
        self._path = path
        self._schema = schema
        self._canaries = canaries
        self._runs: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Self:
        reason = ""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=_LOCKED_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            reason = type(error).__name__
        if reason:
            raise ConfigError(f"{self._path}: no database can be made there ({reason}); name another directory")
        try:
            for statement in self._schema:
                self._connection.execute(statement)
        except sqlite3.Error as error:
            self.__exit__(type(error), error)
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, *_traceback: object) -> None:
        self._connection.close()
        if isinstance(error, sqlite3.Error):
            # The reason's name: what SQLite says beyond it can quote a row.
            reason = getattr(error, "sqlite_errorname", type(error).__name__)
            raise ConfigError(f"{self._path}: cannot be written to as a database ({reason})") from None

    def begin(self) -> None:
        """Begin a transaction."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """End the transaction: what was written since it began stands there at once."""
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """End the transaction as if it had never begun."""
        self._connection.execute("ROLLBACK")

    def write(self, run: Run, place: int) -> None:
        """Run one statement, and count its run with the last one, unless no row was changed."""
        if self.execute(run.writes[place]) and place + 1 == len(run.writes):
            self.count(run.name, run.outcome)

    def count(self, name: str, outcome: str) -> None:
        """Count one run that was written to its end."""
        self._runs[name, outcome] += 1

    def execute(self, write: Write) -> int:
        """Run a statement outside any run's count; return how many rows it changed."""
        return self._connection.execute(write.statement, write.parameters).rowcount

    def fetch(self, statement: str, *parameters: str | float) -> tuple[Any, ...] | None:
        """Return the first row of an answer, if there is one."""
        return self._connection.execute(statement, parameters).fetchone()

    def fetch_all(self, statement: str, *parameters: str | float) -> list[tuple[Any, ...]]:
        """Return all rows of an answer."""
        return self._connection.execute(statement, parameters).fetchall()

    def summary(self) -> DatabaseSummary:
        """Return the counts so far."""
        return DatabaseSummary(path=self._path, runs=dict(self._runs), canaries=self._canaries)
