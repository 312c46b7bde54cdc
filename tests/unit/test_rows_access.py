"""Databases are opened read-only, without waiting, leaving nothing behind; what cannot be read is tried again."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from open_handles import open_handles
from row_scene import NOW_S, RUNS, T0, Follower, S, run, stop, write

from egoscope.sources.databases import DatabaseFile
from egoscope.sources.row_checkpoint import RowDigests
from tests.other_user import as_nobody

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNALS = pytest.mark.parametrize("journal", ["delete", "truncate", "persist", "wal"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may look into."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def leave_by_a_crash(path: Path, crashed: Path) -> None:
    """Write a database with a row in its write-ahead log, and copy it as a crash of its writer would leave it."""
    write(path, RUNS, run("a", 1, 2), journal="wal")
    crashed.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(*run("b", 3, 4))
        for name in ("a.db", "a.db-wal", "a.db-shm"):
            shutil.copy(path.parent / name, crashed / name)


def files(path: Path) -> set[str]:
    return {one.name for one in path.parent.iterdir()}


@JOURNALS
def test_every_kind_of_journal_is_read_with_its_writer_there_and_without(path: Path, journal: str) -> None:
    write(path, RUNS, run("a", 1, 2), journal=journal)
    follower = Follower(path).everything()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(*run("b", 3, 4))
        follower.everything()
        db.execute(*run("c", 5, 6))
        follower.everything()
    write(path, run("d", 7, 8), journal=journal)
    assert follower.everything().story.times("ended") == [T0 + at * S for at in (2, 4, 6, 8)]
    assert follower.reasons() == []


@JOURNALS
def test_nothing_is_left_behind_beside_a_database(path: Path, journal: str) -> None:
    """Files of a log made by egoscope would belong to whoever runs it, and could lock the writer out."""
    write(path, RUNS, run("a", 1, 2), journal=journal)
    before, content = files(path), path.read_bytes()
    follower = Follower(path).everything()
    assert files(path) == before
    assert path.read_bytes() == content
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(*run("b", 3, 4))
        follower.everything()
    assert files(path) - before <= {"a.db-journal"}  # which this writer makes, and keeps


@JOURNALS
def test_what_is_not_committed_is_not_read(path: Path, journal: str) -> None:
    write(path, RUNS, run("a", 1, 2), journal=journal)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute(*run("b", 3, 4))
        follower = Follower(path).everything()
        assert follower.story.times("ended") == [T0 + 2 * S]
        db.execute("COMMIT")
    assert len(follower.everything().story.times("ended")) == 2


@JOURNALS
def test_no_lock_is_held_between_two_pages(path: Path, journal: str) -> None:
    write(path, RUNS, *(run(f"r{at}", at, at + 0.5) for at in range(20)), journal=journal)
    follower = Follower(path, page_rows=3)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as db:
        for at in range(5):
            assert follower.once()
            db.execute("BEGIN EXCLUSIVE")
            db.execute(*run(f"new{at}", 30 + at, 30.5 + at))
            db.execute("COMMIT")
        follower.everything()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert len(follower.story.times("ended")) == 25


def test_a_database_that_is_locked_is_not_waited_for_and_read_later(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = NOW_S
    write(path, RUNS, run("a", 1, 2))
    follower = Follower(path, clock=lambda: now).everything()
    write(path, run("b", 3, 4))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        began = time.perf_counter()
        for _ in range(20):
            now += 0.5
            assert not follower.once()
        # Each look would have waited, sqlite3's five seconds or what else was set; a busy machine is slow without that.
        assert time.perf_counter() - began < 50
        assert follower.reasons() == ["LOCKED"]
        assert follower.unit.unread_bytes > 0
        db.execute("COMMIT")
    follower.everything().everything()
    assert follower.story.times("ended") == [T0 + 2 * S, T0 + 4 * S]
    assert follower.reasons() == []
    assert 15 <= follower.feed.drain_problems()["locked"] <= 20
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["a database cannot be read", "a database can be read again"]


def test_a_lock_that_is_soon_over_is_counted_and_not_talked_about(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write(path, RUNS, run("a", 1, 2))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        follower = Follower(path).everything()
        assert follower.reasons() == ["LOCKED"]
        db.execute("COMMIT")
    assert follower.everything().everything().story.kinds == ["ended"]
    assert caplog.records == []


def test_a_database_left_amid_a_change_is_not_read_before_its_program_has_undone_it(path: Path, tmp_path: Path) -> None:
    """A copy of both files, taken while a transaction has written into the database: what a crash leaves."""
    write(path, RUNS, *(run(f"r{at}", at, at + 0.5) for at in range(100)))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute("UPDATE runs SET stop = start, secret = hex(randomblob(500))")
        (tmp_path / "crashed").mkdir()
        for name in ("a.db", "a.db-journal"):
            shutil.copy(tmp_path / name, tmp_path / "crashed" / name)
        db.execute("ROLLBACK")
    crashed = tmp_path / "crashed" / "a.db"
    before = files(crashed)
    follower = Follower(crashed).everything()
    assert follower.reasons() == ["HOT_JOURNAL"]
    assert set(follower.feed.drain_problems()) == {"locked"}
    assert files(crashed) == before
    write(crashed, run("next", 200, 201))
    follower.everything()
    assert follower.reasons() == []
    assert follower.story.times("ended") == [*(T0 + at * S + S // 2 for at in range(100)), T0 + 201 * S]


def test_a_write_ahead_log_left_by_a_crash_is_read(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    leave_by_a_crash(path, crashed)
    before = {one: one.read_bytes() for one in crashed.iterdir()}
    assert len(Follower(crashed).everything().story.times("ended")) == 2
    assert {one: one.read_bytes() for one in crashed.iterdir()} == before  # its program is to recover it, not we
    (crashed / "a.db-shm").unlink()
    assert len(Follower(crashed).everything().story.times("ended")) == 2


@JOURNALS
def test_in_a_directory_that_cannot_be_written_everything_is_read(public: Path, journal: str) -> None:
    path = public / "a.db"
    write(path, RUNS, run("a", 1, 2), journal=journal)
    with as_nobody():
        follower = Follower(path).everything()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(*run("b", 3, 4))
        with as_nobody():
            follower.everything()
        db.execute(*stop("b", 5))
    write(path, run("c", 5, 6), journal=journal)
    with as_nobody():
        follower.everything()
    assert follower.story.times("ended") == [T0 + at * S for at in (2, 4, 6)]
    assert follower.reasons() == []


def test_a_log_whose_index_would_have_to_be_made_for_another_user_is_not_read(public: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    leave_by_a_crash(public / "a.db", public / "crashed")
    (public / "crashed" / "a.db-shm").unlink()
    (public / "crashed").chmod(0o777)
    with as_nobody():
        follower = Follower(public / "crashed").everything()
    assert follower.reasons() == ["UNREADABLE"]
    assert files(public / "crashed" / "a.db") == {"a.db", "a.db-wal"}


def test_a_database_without_permission_is_read_when_it_has_it(public: Path) -> None:
    path = public / "a.db"
    write(path, RUNS, run("a", 1, 2))
    path.chmod(0)
    with as_nobody():
        follower = Follower(path).everything()
    assert follower.reasons() == ["DENIED"]
    assert follower.feed.drain_problems() == {"unreadable": 1}
    path.chmod(0o644)
    with as_nobody():
        follower.everything()
    assert follower.story.kinds == ["ended"]


def test_a_database_that_is_damaged_is_read_as_far_as_it_can_be(path: Path) -> None:
    write(path, RUNS, *(run(f"r{at}", at, at + 0.5) for at in range(2000)))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8192)
    follower = Follower(path, page_rows=50).everything()
    assert follower.reasons() == ["DAMAGED"]
    assert 100 < len(follower.story.times("ended")) < 2000
    follower.everything()
    assert follower.feed.drain_problems() == {"unreadable": 1}


def test_what_was_read_of_a_file_that_was_another_by_the_end_does_not_count(path: Path, tmp_path: Path) -> None:
    """Between a scan and the read the database was replaced."""
    write(path, RUNS, run("a", 1, 2))
    follower = Follower(path)
    (unit,) = follower.feed.scan()
    write(tmp_path / "other", RUNS, run("other", 5, 6))
    (tmp_path / "other").rename(path)
    assert unit.read(1 << 20) is None
    assert follower.everything().story.times("ended") == [T0 + 6 * S]


def test_a_folder_on_the_way_that_is_renamed_with_its_symlink_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to("v1")
    path = tmp_path / "current" / "a.db"
    write(path, RUNS, run("a", 1, 2))
    follower = Follower(path).everything()
    (tmp_path / "v1").rename(tmp_path / "v2")
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("v2")
    write(path, run("b", 3, 4))
    follower.everything().everything()
    assert follower.story.times("ended") == [T0 + 2 * S, T0 + 4 * S]
    assert follower.reasons() == []


def test_a_log_that_may_not_be_read_is_denied(public: Path) -> None:
    leave_by_a_crash(public / "a.db", public / "crashed")
    (public / "crashed" / "a.db-shm").chmod(0)
    with as_nobody():
        assert Follower(public / "crashed").everything().reasons() == ["DENIED"]


def test_a_closed_write_ahead_log_that_is_written_meanwhile_does_not_count(path: Path) -> None:
    write(path, RUNS, run("a", 1, 2), journal="wal")
    found = path.stat()
    file = DatabaseFile(str(path), (found.st_dev, found.st_ino), RowDigests(b"k" * 32), 1 << 20)
    with pytest.raises(Exception, match="is locked"), file.snapshot():
        write(path, run("b", 3, 4), journal="wal")
    file.close()


def test_the_schema_of_a_database_runs_nothing(path: Path) -> None:
    """A view in the place of a table is no table, nor is one that a module makes up."""
    write(path, "CREATE VIEW runs AS SELECT 'a' AS id, 1 AS start, 2 AS stop")
    follower = Follower(path).everything()
    assert follower.reasons() == ["MISSING_TABLE"]
    write(path, "DROP VIEW runs", "CREATE VIRTUAL TABLE runs USING fts5(id, start, stop)")
    assert follower.everything().reasons() == ["MISSING_TABLE"]


def test_every_handle_is_let_go_of(path: Path, tmp_path: Path) -> None:
    write(path, RUNS, run("a", 1, 2), journal="wal")
    write(tmp_path / "b.db", RUNS)
    follower = Follower(tmp_path).everything()
    write(path, "DELETE FROM runs", journal="wal")
    follower.everything()
    path.unlink()
    follower.everything()
    assert open_handles(tmp_path) > 0
    follower.feed.close()
    assert open_handles(tmp_path) == 0
