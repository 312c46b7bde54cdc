"""A database of a program that does not exist, its format, and what a pipeline does with it: for tests of `rows.py`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from egoscope.convert.conversion import ROW_EXPIRES_NS, Telemetry
from egoscope.model.record import RowRecord
from egoscope.sources.row_format import Table, Times, UnreadableRow
from egoscope.sources.rows import RowFeed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from egoscope.convert.ids import Ids
    from egoscope.convert.series import SeriesRow
    from egoscope.redaction import Policy
    from egoscope.sources.database_roster import AwaitedDatabase
    from egoscope.sources.followed_database import FollowedDatabase
    from egoscope.sources.row_checkpoint import DatabaseCheckpoint
    from egoscope.sources.row_pages import Snapshot

KEY: Final = b"k" * 32
NOW_S: Final = 1_700_000_000.0
S: Final = 10**9
T0: Final = int(NOW_S) * S - 3600 * S
"""An hour before now, nanoseconds."""

RUNS: Final = "CREATE TABLE runs (id TEXT PRIMARY KEY, start INTEGER, stop INTEGER, secret TEXT)"
PHASES: Final = "CREATE TABLE runs (id TEXT PRIMARY KEY, start INTEGER, stop INTEGER, phase TEXT, since INTEGER)"
"""Runs that pass through phases; see `RunsFormat(phases=True)`."""
MARKS: Final = "CREATE TABLE marks (id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT, at INTEGER)"
SECRET: Final = "a secret that stands in every row"


class RunsFormat:
    """Rows of `runs` begin and end; rows of `marks` happen at one moment. Times are nanoseconds; a text is none.

    With `phases` a start is told of every run, a run that has not ended is in a phase, nothing expires, and beside the
    rows stands how many are in which phase.
    """

    source = service = "kagura"
    policies: Sequence[Policy] = ()
    beside: Sequence[Table] = ()

    def __init__(self, *, marks: bool = False, phases: bool = False) -> None:
        self._phases = phases
        runs = Table(
            name="runs",
            key="id",
            required=("start",),
            optional=("stop", "phase", "since") if phases else ("stop", "secret"),
            tells_starts=phases,
            expires_ns=1 << 63 if phases else ROW_EXPIRES_NS,
        )
        of_marks = Table(name="marks", key="id", required=("at",), optional=("run",))
        self.tables: Sequence[Table] = (runs, of_marks) if marks else (runs,)
        self.unknown: dict[str, int] = {}
        self.rows: list[Mapping[str, Any]] = []

    def times(self, table: str, row: Mapping[str, Any]) -> Times | UnreadableRow:
        if table == "marks":
            at = row["at"]
            return Times(at, at) if isinstance(at, int) else UnreadableRow("no_time")
        start, stop = row["start"], row.get("stop")
        if not isinstance(start, int) or not isinstance(stop, int | None):
            return UnreadableRow("no_time")
        return Times(start, stop, row.get("phase") or "", row.get("since") or 0)

    def look(self, snapshot: Snapshot) -> object | None:
        layout = snapshot.layout(self.tables[0]) if self._phases else None
        return dict(snapshot.tally(layout, "phase")) if layout else None

    def standing(self, found: Any) -> Any:
        return found

    def begun(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        return RowRecord(table, rowid, key, times.start_ns, None, {})

    def ended(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        self.rows.append(row)
        return RowRecord(table, rowid, key, times.start_ns, times.end_ns, {})

    def note_unread_columns(self, table: str, rows: int, columns: Sequence[str]) -> None:
        self.unknown[table] = self.unknown.get(table, 0) + rows * len(columns)


class Runs(msgspec.Struct):
    """The state of `Story`."""

    newest_ns: int = 0


class Told(msgspec.Struct, frozen=True):
    """One call of a conversion."""

    what: str
    key: str
    time_ns: int = 0
    table: str = ""
    reason: str = ""


class Story:
    """A conversion that only remembers what it was told, and that it was told so in order."""

    tells_what_stands: ClassVar[bool] = False

    def __init__(self, told: Iterable[Told] = ()) -> None:
        self.told = list(told)
        self.ended_keys = {one.key for one in self.told if one.what == "ended"}
        over = self.ended_keys | {one.key for one in self.told if one.what == "gone"}
        self.running = {one.key for one in self.told if one.what == "started"} - over
        self.stood: list[tuple[int, Any]] = []
        self.newest_ns = 0
        self.state = Runs()
        self.waits = self.has_new = False

    @classmethod
    def new(cls, _ids: Ids, _state: Runs, _series: list[SeriesRow]) -> Story:
        return cls()

    def expire(self, now_ns: int) -> None: ...

    def keep_alive(self, now_ns: int) -> None: ...

    def drain(self) -> Telemetry:
        return Telemetry([], [], [], [])

    def started(self, record: RowRecord) -> None:
        assert record.end_ns is None
        assert record.key not in self.running
        assert record.key not in self.ended_keys
        self.running.add(record.key)
        self._tell("started", record.key, record.start_ns, record.table)

    def changed(self, record: RowRecord, state: str, time_ns: int) -> None:
        assert record.key in self.running
        self._tell("changed", record.key, time_ns, state)

    def standing(self, found: Any, time_ns: int) -> None:
        self.stood.append((time_ns, found))

    def ended(self, record: RowRecord) -> None:
        assert record.end_ns is not None
        assert record.key not in self.ended_keys
        self.running.discard(record.key)
        self.ended_keys.add(record.key)
        self._tell("ended", record.key, record.end_ns, record.table)

    def gone(self, key: str) -> None:
        self.running.remove(key)
        self.told.append(Told("gone", key))

    def unparsable(self, table: str, rowid: int, reason: str, time_ns: int) -> None:
        self.told.append(Told("unparsable", str(rowid), time_ns, table, reason))

    def _tell(self, what: str, key: str, time_ns: int, table: str) -> None:
        self.told.append(Told(what, key, time_ns, table))
        self.newest_ns = max(self.newest_ns, time_ns)

    def times(self, what: str, table: str = "runs") -> list[int]:
        """Return the times of what was told of this kind, in the order in which it was told."""
        return [one.time_ns for one in self.told if one.what == what and one.table == table]

    @property
    def kinds(self) -> list[str]:
        return [one.what for one in self.told]


class Follower:
    """A feed with a conversion for each instance, as a pipeline has them."""

    def __init__(
        self,
        *patterns: Path | str,
        row_format: RunsFormat | None = None,
        clock: Callable[[], float] = lambda: NOW_S,
        known: Iterable[DatabaseCheckpoint] = (),
        stories: Mapping[str, Sequence[Told]] | None = None,
        page_rows: int = 500,
        max_row_bytes: int = 1 << 24,
        portable: bool = False,
    ) -> None:
        self.format = row_format or RunsFormat()
        self.clock = clock
        self.stories = {source: Story(told) for source, told in (stories or {}).items()}
        self.unparsable: dict[str, int] = {}
        self.feed = RowFeed(
            [str(pattern) for pattern in patterns],
            self.format,
            new_conversion=Story.new,
            state_type=Runs,
            key=KEY,
            known=known,
            clock=clock,
            page_rows=page_rows,
            max_row_bytes=max_row_bytes,
            portable=portable,
        )

    def read(self, unit: FollowedDatabase | AwaitedDatabase, limit_bytes: int = 1 << 20) -> bool:
        """Read and convert once; return whether there was something."""
        page = unit.read(limit_bytes)
        if page is None:
            return False
        assert SECRET not in repr(page)
        story = self.stories.setdefault(unit.checkpoint.source, Story())
        counted: Counter[str] = self.feed.convert(story, page, now_ns=int(self.clock() * S))
        for reason, count in counted.items():
            self.unparsable[reason] = self.unparsable.get(reason, 0) + count
        return True

    def once(self, limit_bytes: int = 1 << 20) -> bool:
        """Scan, and read one page of each database; return whether there was anything."""
        return sum(self.read(unit, limit_bytes) for unit in self.feed.scan()) > 0

    def everything(self) -> Follower:
        """Scan and read until there is nothing more."""
        while self.once():
            pass
        return self

    @property
    def story(self) -> Story:
        """The only instance's."""
        (story,) = self.stories.values()
        return story

    @property
    def unit(self) -> FollowedDatabase:
        """The only database that is followed."""
        (unit,) = self.feed.units()
        return unit

    def reasons(self) -> list[str]:
        """What is wrong now."""
        return [problem.reason.name for problem in self.feed.problems()]


def write(path: Path, *statements: str | tuple[str, Sequence[Any]], journal: str = "delete") -> None:
    """Run statements in one transaction, on a connection of its own."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {journal}")
        db.execute("PRAGMA synchronous = OFF")  # no power fails here, and disks are slow
        db.execute("BEGIN")
        for one in statements:
            statement, values = (one, ()) if isinstance(one, str) else one
            db.execute(statement, values)
        db.execute("COMMIT")


def run(name: str, start_s: float, stop_s: float | None = None, *, verb: str = "INSERT") -> tuple[str, Sequence[Any]]:
    """Return the statement that writes a run; times in seconds after T0."""
    stop = None if stop_s is None else T0 + round(stop_s * S)
    return f"{verb} INTO runs (id, start, stop, secret) VALUES (?,?,?,?)", (name, T0 + round(start_s * S), stop, SECRET)


def stop(name: str, stop_s: float) -> tuple[str, Sequence[Any]]:
    """Return the statement that ends a run where it stands."""
    return "UPDATE runs SET stop = ? WHERE id = ?", (T0 + round(stop_s * S), name)


def mark(run_id: str, at_s: float) -> tuple[str, Sequence[Any]]:
    """Return the statement that writes what happened within a run."""
    return "INSERT INTO marks (run, at) VALUES (?,?)", (run_id, T0 + round(at_s * S))


RENUMBER: Final = (
    "CREATE TABLE other AS SELECT * FROM runs ORDER BY rowid",
    "DELETE FROM runs",
    "INSERT INTO runs SELECT * FROM other ORDER BY rowid",
    "DROP TABLE other",
)
"""Give rows new rowids, one after the other from 1, as restoring a dump does, and as `VACUUM` may.

This SQLite's `VACUUM` does so only in a table without any index.
"""


def vacuum(path: Path) -> None:
    """Give rows new rowids, and room back."""
    write(path, *RENUMBER)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("VACUUM")
