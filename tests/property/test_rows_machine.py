"""Whatever happens to a database, every row of it that is final is told exactly once.

In time order, too, as long as rows stand in the order in which they began or ended: one that is saved once more after
it had ended stands behind what ended later.

A row may be missed only where it was deleted before it was read as final, though a backup may bring it back. Rows are
known by the last `LANDMARKS` rows that were read of a table. As long as no more were read nothing is ever told twice,
with more only where all of these were deleted or replaced between two looks, which the second machine does not do.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from row_scene import KEY, MARKS, NOW_S, RENUMBER, RUNS, SECRET, Follower, RunsFormat, S, Told

from egoscope.sources import row_table
from egoscope.sources.row_checkpoint import LANDMARKS, DatabaseCheckpoint, RowDigests

if TYPE_CHECKING:
    from collections.abc import Iterable

picks = st.integers(0, 1000)
looks = st.sampled_from([0, 1, 2, 3, 30])
"""How often the sidecar looks before the program goes on."""
DIGESTS = RowDigests(KEY)


def key_of(name: str) -> str:
    return DIGESTS.of("runs", 0, name).hex()


class Databases(RuleBasedStateMachine):
    """A program's database, what it wrote, a feed, and what a pipeline would have made durable."""

    landmarks = LANDMARKS
    most_moved = LANDMARKS

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "data"
        self.folder.mkdir()
        self.path = self.folder / "a.db"
        self.now = NOW_S
        self.serial = 0
        self.in_order = True
        self.moved = 0  # rows deleted or replaced since what was read is durable
        self.writer: sqlite3.Connection | None = None
        self.before = row_table.LANDMARKS
        row_table.__dict__["LANDMARKS"] = self.landmarks

    @initialize(
        journal=st.sampled_from(["wal", "delete"]),
        marks=st.booleans(),
        rows=st.integers(1, 3),
        stays=st.booleans(),
        history=st.integers(0, 20),
    )
    def start(self, journal: str, rows: int, history: int, *, marks: bool, stays: bool) -> None:
        self.journal, self.marks, self.page_rows, self.stays = journal, marks, rows, stays
        self.known: dict[str, DatabaseCheckpoint] = {}
        self.durable: dict[str, list[Told]] = {}
        self.backup: Path | None = None
        self.follower = self.new_follower()
        self.write(RUNS, *([MARKS] if marks else []))
        self.begin(history, 0, ends=True, took_s=1)

    def teardown(self) -> None:
        try:
            if hasattr(self, "follower"):
                self.follower.everything()
                self.check_everything()
        finally:
            row_table.__dict__["LANDMARKS"] = self.before
            self.let_go()
            if hasattr(self, "follower"):
                self.follower.feed.close()
            shutil.rmtree(self.root)

    # --- the sidecar -----------------------------------------------------------------------------------------------

    def new_follower(self) -> Follower:
        return Follower(
            self.folder,
            row_format=RunsFormat(marks=self.marks),
            clock=lambda: self.now,
            known=self.known.values(),
            stories=self.durable,
            page_rows=self.page_rows,
        )

    def look(self, times: int) -> None:
        for _ in range(times):
            self.follower.once()

    @rule()
    def read_all(self) -> None:
        self.follower.everything()
        self.check_running()

    @rule()
    def commit(self) -> None:
        """What was read is durable, with the state of what it became."""
        if self.most_moved < LANDMARKS:
            self.follower.everything()
            self.moved = 0
        for unit in self.follower.feed.units():
            source = unit.checkpoint.source
            if source in self.follower.stories:
                data = msgspec.json.encode(unit.checkpoint)
                assert SECRET.encode() not in data
                assert not any(name.encode() in data for name in self.names())
                self.known[source] = msgspec.json.decode(data, type=DatabaseCheckpoint)
                self.durable[source] = list(self.follower.stories[source].told)

    @rule()
    def kill(self) -> None:
        self.follower.feed.close()
        self.follower = self.new_follower()

    # --- the program -----------------------------------------------------------------------------------------------

    def write(self, *statements: str | tuple[str, Iterable[object]]) -> None:
        self.now += 1
        if self.writer is None:
            self.writer = sqlite3.connect(self.path, isolation_level=None)
            self.writer.execute(f"PRAGMA journal_mode = {self.journal}")
            self.writer.execute("PRAGMA synchronous = OFF")  # no power fails here, and disks are slow
        for one in statements:
            if isinstance(one, str):
                self.writer.execute(one)
            else:
                self.writer.execute(one[0], tuple(one[1]))  # pyright: ignore[reportArgumentType]
        if not self.stays:
            self.let_go()

    def let_go(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def rows(self, where: str = "1") -> list[tuple[str, int, int | None]]:
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(f"SELECT id, start, stop FROM runs WHERE {where} ORDER BY rowid").fetchall()

    def names(self) -> list[str]:
        return [name for name, *_ in self.rows()]

    def may_move(self, count: int) -> bool:
        """Whether so many rows may be deleted or replaced and enough of those that are remembered stay."""
        if self.most_moved < LANDMARKS:
            self.moved += count
        return self.moved <= self.most_moved

    @property
    def now_ns(self) -> int:
        return int(self.now) * S

    def new_name(self) -> str:
        self.serial += 1
        return f"name-of-run-{self.serial:06}"

    @rule(reads=looks, count=st.integers(1, 9), ends=st.booleans(), took_s=st.integers(0, 5))
    def begin(self, count: int, reads: int, *, ends: bool, took_s: int) -> None:
        self.look(reads)
        if self.most_moved == LANDMARKS and self.serial + count > LANDMARKS:
            return
        for _ in range(count):
            self.now += 1
            name, stop = self.new_name(), self.now_ns if ends else None
            start = self.now_ns - took_s * S if ends else self.now_ns
            self.write(("INSERT INTO runs VALUES (?,?,?,?)", (name, start, stop, SECRET)))
            if self.marks:
                self.write(("INSERT INTO marks (run, at) VALUES (?,?)", (name, self.now_ns)))

    @rule(reads=looks, pick=picks, replace=st.booleans(), ends=st.booleans())
    def end(self, pick: int, reads: int, *, replace: bool, ends: bool) -> None:
        self.look(reads)
        running = self.rows("stop IS NULL")
        if not running:
            return
        self.now += 1
        name, start, _ = running[pick % len(running)]
        stop = self.now_ns if ends else None
        if replace and self.may_move(1):
            self.write(("INSERT OR REPLACE INTO runs VALUES (?,?,?,?)", (name, start, stop, SECRET)))
        else:
            self.write(("UPDATE runs SET stop = ? WHERE id = ?", (stop, name)))

    @rule(reads=looks, pick=picks)
    def replace_final(self, pick: int, reads: int) -> None:
        """A program may save what ended once more."""
        self.look(reads)
        final = self.rows("stop IS NOT NULL")
        if final and self.most_moved == LANDMARKS:
            self.in_order = False
            row = final[pick % len(final)]
            self.write(("INSERT OR REPLACE INTO runs VALUES (?,?,?,?)", (*row, SECRET)))

    @rule(reads=looks, pick=picks)
    def delete_one(self, pick: int, reads: int) -> None:
        self.look(reads)
        names = self.names()
        if names and self.may_move(1):
            self.write(("DELETE FROM runs WHERE id = ?", (names[pick % len(names)],)))

    @rule(reads=looks, count=st.integers(1, 4))
    def delete_newest(self, count: int, reads: int) -> None:
        self.look(reads)
        if self.may_move(count):
            self.write(("DELETE FROM runs WHERE id IN (SELECT id FROM runs ORDER BY rowid DESC LIMIT ?)", (count,)))

    @rule(reads=looks, count=st.integers(1, 3))
    def delete_oldest(self, count: int, reads: int) -> None:
        self.look(reads)
        if self.may_move(count):
            self.write(("DELETE FROM runs WHERE id IN (SELECT id FROM runs ORDER BY rowid LIMIT ?)", (count,)))

    @rule(reads=looks, chance=st.integers(0, 3))
    def clear(self, reads: int, chance: int) -> None:
        """All rows are deleted, now and then: else there would hardly be any."""
        self.look(reads)
        if chance:
            return
        self.write("DELETE FROM runs")
        if self.marks:
            self.write("DELETE FROM marks", "DELETE FROM sqlite_sequence")

    @rule(reads=looks, renumber=st.booleans())
    def vacuum(self, reads: int, *, renumber: bool) -> None:
        self.look(reads)
        if renumber:
            self.write("BEGIN", *RENUMBER, "COMMIT")
        else:
            self.write("VACUUM")

    # --- the file --------------------------------------------------------------------------------------------------

    @rule(reads=looks, name=st.sampled_from(["a.db", "b.db"]))
    def rename(self, name: str, reads: int) -> None:
        self.look(reads)
        self.let_go()
        for suffix in ("", "-wal", "-shm"):
            old = Path(f"{self.path}{suffix}")
            if old.exists():
                old.rename(f"{self.folder / name}{suffix}")
        self.path = self.folder / name

    @rule(reads=looks)
    def back_up(self, reads: int) -> None:
        self.look(reads)
        self.let_go()
        self.backup = self.root / "backup"
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(self.root / "new")) as copy:
            source.backup(copy)
        (self.root / "new").replace(self.backup)
        self.lives_then = self.lives()

    @precondition(lambda self: self.backup is not None)
    @rule(reads=looks)
    def restore(self, reads: int) -> None:
        """The backup is moved into the place of the database, as another inode.

        Not one with rows that were deleted before they were read, which nobody can tell from rows that were read; nor
        one of an earlier life than the last, whose rows would be there together with those of the last.
        """
        self.look(reads)
        assert self.backup is not None
        if self.most_moved < LANDMARKS or self.holds_unread_rows(self.backup) or self.lives() - self.lives_then:
            return
        self.let_go()
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.backup.replace(self.path)
        self.backup = None

    def lives(self) -> set[str]:
        return {*self.follower.stories, *(unit.source for unit in self.follower.feed.units())}

    def holds_unread_rows(self, backup: Path) -> bool:
        with closing(sqlite3.connect(backup)) as db:
            rows = db.execute("SELECT rowid, id FROM runs").fetchall()
        return any(
            rowid <= unit.tables[0].rowid and not unit.tables[0].knows(DIGESTS.of("runs", rowid, name))
            for unit in self.follower.feed.units()
            for rowid, name in rows
        )

    # --- the promise -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_of_a_writer_is_left_behind(self) -> None:
        """Where nobody has the database open, no log or index of a log lies beside it."""
        if self.writer is None:
            assert [path.name for path in self.folder.iterdir() if path.suffix != ".db"] == []

    def check_running(self) -> None:
        """What was read to its end is told as it stands there: what runs, what ended."""
        units = self.follower.feed.units()
        if not units:
            assert self.names() == []
            return
        (unit,) = units
        story = self.follower.stories.get(unit.checkpoint.source)
        told = set[str]() if story is None else story.running
        ended = {key for one in self.follower.stories.values() for key in one.ended_keys}
        # What was deleted while it ran is gone, though a backup may bring it back.
        gone = {one.key for story in self.follower.stories.values() for one in story.told if one.what == "gone"}
        assert told == {key_of(name) for name, _, stop in self.rows() if stop is None} - ended - (gone - told)

    def check_everything(self) -> None:
        self.check_running()
        ended = [one for story in self.follower.stories.values() for one in story.told if one.what == "ended"]
        runs = [one.key for one in ended if one.table == "runs"]
        assert len(runs) == len(set(runs))
        gone = {one.key for story in self.follower.stories.values() for one in story.told if one.what == "gone"}
        assert {key_of(name) for name, *_ in self.rows("stop IS NOT NULL")} <= {*runs, *gone}
        for story in self.follower.stories.values():
            times = story.times("ended")
            assert not self.in_order or times == sorted(times)
        assert self.follower.unparsable == {}
        assert set(self.follower.reasons()) <= {"GONE_UNREAD"}


class FewLandmarks(Databases):
    """As above, but far more rows are read than are remembered."""

    landmarks = 8
    most_moved = 6


TestDatabases = Databases.TestCase
TestDatabases.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestFewLandmarks = FewLandmarks.TestCase
TestFewLandmarks.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
