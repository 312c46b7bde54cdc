"""A database is the rows that it holds; its name and its inode are only where to look."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from row_scene import MARKS, NOW_S, RENUMBER, RUNS, T0, Follower, RunsFormat, S, mark, run, stop, vacuum, write

from egoscope.sources import database_roster, followed_database
from tests.this_thread import replace_here

if TYPE_CHECKING:
    from pathlib import Path

MANY = 200
"""More than are remembered."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with many runs that ended and one that runs, fifty before the last."""
    path = tmp_path / "a.db"
    names = [run(f"r{at}", at, at + 0.5) for at in range(MANY)]
    names.insert(MANY - 50, run("runs", MANY - 50))
    write(path, RUNS, *names)
    return path


def ends(follower: Follower) -> list[float]:
    """Return the ends told, of all instances, seconds after T0."""
    return [(at - T0) / S for story in follower.stories.values() for at in story.times("ended")]


ALL = [at + 0.5 for at in range(MANY)]


def restarted(follower: Follower, *patterns: Path) -> Follower:
    """Return a new process that goes on from what the other one read."""
    return Follower(
        *patterns,
        known=[unit.checkpoint for unit in follower.feed.units()],
        stories={source: story.told for source, story in follower.stories.items()},
        clock=follower.clock,
    )


@pytest.mark.parametrize("restart", [False, True], ids=["while it runs", "while it is stopped"])
@pytest.mark.parametrize("rows", [1, 7, 500])
def test_vacuum_gives_rows_other_rowids_and_they_are_the_same_rows(path: Path, rows: int, *, restart: bool) -> None:
    follower = Follower(path, page_rows=rows).everything()
    write(path, "DELETE FROM runs WHERE id = 'r3'", run("new", MANY, MANY + 0.5))
    vacuum(path)
    if restart:
        follower = restarted(follower, path)
    follower.everything()
    write(path, stop("runs", MANY + 2))
    follower.everything()
    assert ends(follower) == [*ALL, MANY + 0.5, MANY + 2]
    assert len(follower.stories) == 1


@pytest.mark.parametrize("restart", [False, True], ids=["while it runs", "while it is stopped"])
@pytest.mark.parametrize("newer", [0, 1])
def test_a_row_that_is_replaced_and_comes_back_to_its_rowid_hides_no_other(
    path: Path, newer: int, *, restart: bool
) -> None:
    """The only row that seems to stand where it stood has moved twice, and all others once."""
    write(path, "DELETE FROM runs WHERE id = 'r3'")
    follower = Follower(path).everything()
    last = MANY - 2 + newer
    write(
        path,
        *(run(f"new{at}", MANY, MANY + 0.5) for at in range(newer)),
        run(f"r{last}", last, last + 0.5, verb="REPLACE"),
    )
    vacuum(path)
    if restart:
        follower = restarted(follower, path)
    follower.everything()
    write(path, stop("runs", MANY + 2))
    follower.everything()
    told = [one for one in ALL if one != 3.5]
    assert ends(follower) == [*told, *[MANY + 0.5] * newer, MANY + 2]
    assert follower.story.kinds.count("gone") == 0


def test_vacuum_amid_the_backlog_loses_nothing(path: Path) -> None:
    follower = Follower(path, page_rows=20)
    for _ in range(5):
        follower.once()
    write(path, "DELETE FROM runs WHERE id = 'r3'")
    vacuum(path)
    follower.everything()
    assert ends(follower) == ALL


@pytest.mark.parametrize("count", [1, 5, 49])
@pytest.mark.parametrize("with_vacuum", [False, True])
def test_after_the_newest_rows_were_deleted_new_ones_are_read_under_their_rowids(
    path: Path, count: int, *, with_vacuum: bool
) -> None:
    follower = Follower(path).everything()
    write(path, ("DELETE FROM runs WHERE rowid > (SELECT max(rowid) FROM runs) - ?", (count,)))
    write(path, *(run(f"new{at}", MANY + at, MANY + at + 0.5) for at in range(count + 3)))
    if with_vacuum:
        vacuum(path)
    follower.everything()
    assert ends(follower) == [*ALL, *(MANY + at + 0.5 for at in range(count + 3))]
    assert len(follower.stories) == 1


def test_however_many_rows_are_deleted_one_look_after_the_other_the_rest_is_known(path: Path) -> None:
    follower = Follower(path).everything()
    for _ in range(4):
        write(path, "DELETE FROM runs WHERE rowid > (SELECT max(rowid) FROM runs) - 45")
        follower.everything()
    write(path, run("new", MANY, MANY + 0.5))
    follower.everything()
    assert ends(follower) == [*ALL, MANY + 0.5]
    assert len(follower.stories) == 1


def test_old_rows_that_are_deleted_change_nothing(path: Path) -> None:
    follower = Follower(path).everything()
    write(path, "DELETE FROM runs WHERE start < (SELECT max(start) FROM runs)", run("new", MANY, MANY + 0.5))
    follower.everything()
    assert ends(follower) == [*ALL, MANY + 0.5]
    assert len(follower.stories) == 1


@pytest.mark.parametrize("at_once", [False, True], ids=["seen empty", "filled again before the next look"])
def test_after_all_rows_were_deleted_the_next_ones_are_a_new_life(path: Path, *, at_once: bool) -> None:
    follower = Follower(path).everything()
    first = follower.unit.source
    write(path, "DELETE FROM runs")
    if not at_once:
        follower.everything()
        assert follower.feed.units() == []
    write(path, *(run(f"new{at}", MANY + at, MANY + at + 0.5) for at in range(5)))
    follower.everything()
    assert follower.unit.source != first
    assert follower.stories[first].kinds[-1] == "gone"
    assert follower.stories[follower.unit.source].times("ended") == [T0 + int((MANY + at + 0.5) * S) for at in range(5)]


def test_lives_of_one_database_have_ids_of_their_own_though_it_begins_with_the_same_row(path: Path) -> None:
    follower = Follower(path)
    for _ in range(3):
        follower.everything()
        write(path, "DELETE FROM runs")
        follower.everything()
        write(path, run("r0", 0, 0.5))
    follower.everything()
    assert len(follower.stories) >= 2
    assert len({unit.source for unit in follower.feed.units()} | set(follower.stories)) == len(follower.stories)


def test_another_database_in_its_place_is_another_instance_and_the_first_one_goes_on_elsewhere(
    path: Path, tmp_path: Path
) -> None:
    follower = Follower(tmp_path).everything()
    first = follower.unit.source
    path.rename(tmp_path / "old.db")
    write(path, RUNS, run("other", 1, 2))
    write(tmp_path / "old.db", stop("runs", MANY + 1))
    follower.everything()
    assert sorted(unit.path.rpartition("/")[2] for unit in follower.feed.units()) == ["a.db", "old.db"]
    assert follower.stories[first].times("ended")[-1] == T0 + (MANY + 1) * S
    assert "gone" not in follower.stories[first].kinds
    (other,) = [story for source, story in follower.stories.items() if source != first]
    assert other.times("ended") == [T0 + 2 * S]


def test_another_databases_rows_written_into_the_same_file_are_another_instance(path: Path, tmp_path: Path) -> None:
    follower = Follower(path).everything()
    write(tmp_path / "other", RUNS, run("other", 1, 2))
    path.write_bytes((tmp_path / "other").read_bytes())  # the same inode
    follower.everything()
    assert sorted(story.kinds[-1] for story in follower.stories.values()) == ["ended", "gone"]


@pytest.mark.parametrize("restart", [False, True], ids=["while it runs", "while it is stopped"])
@pytest.mark.parametrize("how", ["renamed", "copied and deleted", "restored into its place"])
def test_a_database_that_moved_goes_on_where_it_was(path: Path, tmp_path: Path, how: str, *, restart: bool) -> None:
    follower = Follower(tmp_path).everything()
    to = path if how == "restored into its place" else tmp_path / "moved.db"
    if how == "renamed":
        path.rename(to)
    else:
        shutil.copy(path, tmp_path / "copy")
        path.unlink()
        (tmp_path / "copy").rename(to)
    if restart:
        follower = restarted(follower, tmp_path)
    write(to, stop("runs", MANY + 1), run("new", MANY, MANY + 0.5))
    follower.everything()
    assert ends(follower) == [*ALL, MANY + 0.5, MANY + 1]
    assert follower.unit.path == str(to)


def test_a_database_that_was_dumped_and_restored_elsewhere_goes_on_where_it_was(path: Path, tmp_path: Path) -> None:
    """Its path, its inode and its rowids are others, and its first row is gone."""
    follower = Follower(tmp_path).everything()
    shutil.copy(path, tmp_path / "b.db")
    path.unlink()
    write(tmp_path / "b.db", "DELETE FROM runs WHERE id IN ('r0', 'r7')", *RENUMBER, run("new", MANY, MANY + 0.5))
    follower = restarted(follower, tmp_path).everything()
    assert ends(follower) == [*ALL, MANY + 0.5]
    assert len(follower.stories) == 1


def test_a_backup_that_is_a_little_older_goes_on_and_repeats_nothing(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "backup")
    follower = Follower(path).everything()
    write(path, *(run(f"late{at}", MANY + at, MANY + at + 0.5) for at in range(20)))
    follower.everything()
    (tmp_path / "backup").rename(path)
    write(path, run("after", MANY + 30, MANY + 31))
    follower.everything()
    assert ends(follower) == [*ALL, *(MANY + at + 0.5 for at in range(20)), MANY + 31]
    assert len(follower.stories) == 1


@pytest.mark.parametrize("rows", [30, MANY])
def test_a_backup_of_a_database_that_was_cleared_goes_on_in_its_old_life(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.db"
    write(path, RUNS, *(run(f"r{at}", at, at + 0.5) for at in range(rows)), run("runs", MANY))
    follower = Follower(path).everything()
    first = follower.unit.source
    shutil.copy(path, tmp_path / "backup")
    write(path, "DELETE FROM runs")
    follower.everything()
    write(path, run("new", MANY + 1, MANY + 2))
    follower.everything()
    (tmp_path / "backup").rename(path)
    write(path, run("newer", MANY + 3, MANY + 4))
    follower.everything()
    assert follower.unit.source == first
    assert len(ends(follower)) == rows + 2
    assert follower.stories[first].kinds.count("started") == (2 if rows == 30 else 1)


# --- copies ----------------------------------------------------------------------------------------------------------


def test_of_two_databases_with_the_same_rows_the_second_is_set_aside(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "b.db")
    follower = Follower(tmp_path).everything()
    assert ends(follower) == ALL
    assert [(one.path, one.reason.name) for one in follower.feed.problems()] == [(str(tmp_path / "b.db"), "COPY")]


def test_a_copy_made_later_is_set_aside_also_when_its_original_goes_on(path: Path, tmp_path: Path) -> None:
    follower = Follower(tmp_path).everything()
    shutil.copy(path, tmp_path / "backup.db")
    write(path, "DELETE FROM runs WHERE start < (SELECT max(start) FROM runs) - 1000000000")
    write(path, *(run(f"late{at}", MANY + at, MANY + at + 0.5) for at in range(100)))
    follower.everything()
    assert len(ends(follower)) == MANY + 100
    assert follower.reasons() == ["COPY"]


def test_an_old_backup_is_set_aside_though_nothing_read_lately_is_in_it(path: Path, tmp_path: Path) -> None:
    follower = Follower(tmp_path).everything()
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(tmp_path / "backup")) as copy:
        db.backup(copy)
    write(path, "DELETE FROM runs WHERE id IN ('r0', 'r1')")
    write(path, *(run(f"late{at}", MANY + at, MANY + at + 0.5) for at in range(100)))
    follower.everything()
    (tmp_path / "backup").rename(tmp_path / "backup.db")
    follower.everything()
    assert len(ends(follower)) == MANY + 100
    assert follower.reasons() == ["COPY"]


def test_an_old_backup_of_what_was_pruned_before_is_set_aside(path: Path, tmp_path: Path) -> None:
    """Neither its first row nor its last ones are among those that are remembered; but they are in the original."""
    follower = Follower(tmp_path).everything()
    write(path, "DELETE FROM runs WHERE id IN ('r0', 'r1')")
    shutil.copy(path, tmp_path / "backup")
    write(path, *(run(f"late{at}", MANY + at, MANY + at + 0.5) for at in range(100)))
    follower.everything()
    (tmp_path / "backup").rename(tmp_path / "backup.db")
    follower.everything()
    assert len(ends(follower)) == MANY + 100
    assert follower.reasons() == ["COPY"]


def test_a_copy_goes_on_when_its_original_is_gone(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "b.db")
    follower = Follower(tmp_path).everything()
    path.unlink()
    write(tmp_path / "b.db", run("new", MANY, MANY + 0.5))
    follower.everything()
    assert ends(follower) == [*ALL, MANY + 0.5]
    assert len(follower.stories) == 1
    assert follower.reasons() == []


def test_a_copy_that_was_set_aside_is_not_opened_again_while_nothing_changes(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(path, tmp_path / "b.db")
    follower = Follower(tmp_path).everything()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    replace_here(monkeypatch, sqlite3, "connect", refuse)
    follower.feed.scan()
    assert follower.reasons() == ["COPY"]


def test_a_database_with_one_name_more_is_one_database(path: Path, tmp_path: Path) -> None:
    (tmp_path / "b.db").symlink_to(path)
    (tmp_path / "c.db").hardlink_to(path)
    follower = Follower(tmp_path).everything()
    assert ends(follower) == ALL
    assert follower.reasons() == []


# --- several tables --------------------------------------------------------------------------------------------------


def test_numbers_that_every_database_has_do_not_make_two_databases_one(tmp_path: Path) -> None:
    """The keys of events count from 1 everywhere."""
    for name in ("a", "b"):
        write(tmp_path / f"{name}.db", RUNS, MARKS, run(name, 1, 2), mark(name, 1), mark(name, 2))
    follower = Follower(tmp_path, row_format=RunsFormat(marks=True)).everything()
    assert len(follower.stories) == 2
    assert len(follower.feed.units()) == 2


def test_events_that_were_all_deleted_begin_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    write(path, RUNS, MARKS, run("a", 1), mark("a", 2), mark("a", 3))
    follower = Follower(path, row_format=RunsFormat(marks=True)).everything()
    write(path, "DELETE FROM marks", mark("a", 4), mark("a", 5))
    follower.everything()
    assert follower.story.times("ended", "marks") == [T0 + at * S for at in (2, 3, 4, 5)]


# --- restarts --------------------------------------------------------------------------------------------------------


def test_a_database_that_is_not_there_at_the_start_goes_on_when_it_is_back(path: Path, tmp_path: Path) -> None:
    follower = Follower(path).everything()
    path.rename(tmp_path / "away")
    follower = restarted(follower, path).everything()
    assert follower.feed.units() == []
    (tmp_path / "away").rename(path)
    write(path, run("new", MANY, MANY + 0.5))
    follower.everything()
    assert ends(follower) == [*ALL, MANY + 0.5]


def test_a_known_database_that_is_locked_at_the_start_has_unread_rows_and_nothing_else(path: Path) -> None:
    """So nothing of it expires, and its series are not kept alive beyond what was read."""
    follower = Follower(path).everything()
    source = follower.unit.source
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        follower = restarted(follower, path)
        (awaited,) = follower.feed.scan()
        assert (awaited.checkpoint.source, awaited.live, awaited.unread_bytes > 0) == (source, False, True)
        assert awaited.read(1) is None
        assert follower.reasons() == ["LOCKED"]
    follower.everything()
    assert follower.feed.scan() in ([], follower.feed.units())
    assert follower.reasons() == []
    write(path, "DELETE FROM runs")
    follower.everything()
    assert follower.feed.scan() == []  # without rows there is nothing to wait for


def test_a_long_search_is_cut_into_steps_and_nothing_is_decided_before_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(path).everything()
    write(path, "DELETE FROM runs WHERE id = 'r3'", *(run(f"new{at}", MANY, MANY + at) for at in range(50)))
    vacuum(path)
    assert ends(follower) == ALL
    for module in (database_roster, followed_database):
        monkeypatch.setattr(module, "_SEARCH_KEYS", 10)
        monkeypatch.setattr(module, "_SEARCH_S", 0)
    follower = restarted(follower, path)
    steps = 0
    while not follower.feed.units():
        assert len(follower.feed.scan()) == 1
        steps += 1
    assert steps > 10  # the rows that were read last stand behind fifty new ones
    for _ in range(20):
        follower.once()
    assert ends(follower) == [*ALL, *(MANY + at for at in range(50))]
    assert len(follower.stories) == 1


def test_a_known_database_is_recognised_before_its_copy(path: Path, tmp_path: Path) -> None:
    follower = Follower(path).everything()
    shutil.copy(path, tmp_path / "0.db")
    write(tmp_path / "0.db", run("more", 1, 2))  # it is larger, and its name is lesser
    follower = restarted(follower, tmp_path).everything()
    assert [one.path for one in follower.feed.problems()] == [str(tmp_path / "0.db")]
    assert ends(follower) == ALL
    assert follower.clock() == NOW_S
