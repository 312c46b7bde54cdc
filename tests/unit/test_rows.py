"""Databases as a feed: which are found, what is read of them, what is told of them, what is kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import pytest
from row_scene import (
    KEY,
    MARKS,
    NOW_S,
    RUNS,
    SECRET,
    T0,
    Follower,
    Runs,
    RunsFormat,
    S,
    Story,
    mark,
    run,
    stop,
    write,
)

from egoscope.convert import semconv as s
from egoscope.sources.row_checkpoint import DatabaseCheckpoint
from egoscope.sources.rows import RowFeed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with two runs."""
    path = tmp_path / "a.db"
    write(path, RUNS, run("one", 1, 2), run("two", 3))
    return path


# --- patterns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("a.db", ["a.db"], id="a file"),
        pytest.param("", ["a.db", "b.db"], id="a directory: what ends in .db"),
        pytest.param("b*", ["b.db"], id="a glob"),
        pytest.param("*", ["a.db", "b.db", "c.sqlite"], id="a glob that names logs and journals too: they are none"),
    ],
)
def test_patterns_name_files_directories_and_globs(tmp_path: Path, pattern: str, found: list[str]) -> None:
    for name in ("a.db", "b.db", "c.sqlite"):
        write(tmp_path / name, RUNS, run(name, 1, 2))
    for companion in ("a.db-wal", "a.db-shm", "b.db-journal"):
        (tmp_path / companion).touch()
    follower = Follower(tmp_path / pattern).everything()
    assert sorted(unit.path.rpartition("/")[2] for unit in follower.feed.units()) == found
    assert follower.reasons() == []


def test_a_database_that_appears_late_is_found_by_the_next_scan(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "late.db").everything()
    assert follower.reasons() == ["NO_MATCH"]
    write(tmp_path / "late.db", RUNS, run("one", 1, 2))
    assert follower.everything().story.times("ended") == [T0 + 2 * S]
    assert follower.reasons() == []


def test_its_directory_is_watched_also_before_it_is_there(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "late.db")
    follower.feed.scan()
    assert follower.feed.watch_paths() == [str(tmp_path)]
    (tmp_path / "real").mkdir()
    write(tmp_path / "real" / "b.db", RUNS, run("one", 1, 2))
    (tmp_path / "late.db").symlink_to(tmp_path / "real" / "b.db")
    follower.everything()
    assert follower.feed.watch_paths() == [str(tmp_path), str(tmp_path / "real")]


def test_a_database_without_rows_is_no_instance_yet(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    follower = Follower(tmp_path).everything()
    write(tmp_path / "a.db", RUNS)
    follower.everything()
    assert follower.feed.units() == []
    assert follower.reasons() == []


# --- what a unit tells of itself -------------------------------------------------------------------------------------


def test_a_database_is_live_once_it_was_read_to_its_end(tmp_path: Path) -> None:
    write(tmp_path / "a.db", RUNS, *(run(f"r{at}", at, at + 1) for at in range(4)))
    follower = Follower(tmp_path, page_rows=2)
    (unit,) = follower.feed.scan()
    assert not unit.live
    follower.read(unit)
    assert not unit.live
    follower.everything()
    assert unit.live


def test_unread_bytes_are_nothing_only_where_nothing_is_unread(path: Path) -> None:
    write(path, *(run(f"r{at}", at, at + 1) for at in range(20)))
    follower = Follower(path, page_rows=2)
    follower.feed.scan()
    told = [follower.unit.unread_bytes]
    while follower.once():
        told.append(follower.unit.unread_bytes)
    assert told == sorted(told, reverse=True)
    assert told[0] == path.stat().st_size
    assert told[-1] == 0
    assert all(told[:-1])
    write(path, run("new", 100, 101))
    follower.feed.scan()
    assert follower.unit.unread_bytes > 0


def test_live_databases_come_before_backlog_and_older_backlog_first(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    write(tmp_path / "c.db", RUNS, run("c", 1, 2))
    follower.everything()
    for name in ("b", "a"):
        write(tmp_path / f"{name}.db", RUNS, run(name, 1, 2))
    write(tmp_path / "c.db", run("d", 1, 2))
    assert [unit.checkpoint.path.rpartition("/")[2] for unit in follower.feed.scan()] == ["c.db", "b.db", "a.db"]


def test_nothing_is_read_again_while_nothing_changed(path: Path) -> None:
    """Two seconds after a change the file system's clock must have moved on."""
    now = path.stat().st_mtime
    follower = Follower(path, clock=lambda: now)
    follower.everything()
    now += 3
    follower.everything()
    now += 3
    assert follower.feed.scan() == []
    write(path, stop("two", 4))
    assert len(follower.feed.scan()) == 1


# --- what is told ----------------------------------------------------------------------------------------------------


def test_a_row_is_told_as_running_and_when_it_is_final_as_ended(path: Path) -> None:
    follower = Follower(path).everything()
    assert [(one.what, one.time_ns) for one in follower.story.told] == [("ended", T0 + 2 * S), ("started", T0 + 3 * S)]
    write(path, stop("two", 4))
    follower.everything()
    assert follower.story.kinds == ["ended", "started", "ended"]
    assert follower.story.running == set()


def test_columns_that_are_not_known_are_counted_and_not_read(path: Path) -> None:
    write(path, "ALTER TABLE runs ADD COLUMN more TEXT", f"UPDATE runs SET more = '{SECRET}'")
    follower = Follower(path).everything()
    assert follower.format.unknown == {"runs": 1}  # of the row that is final
    assert all("more" not in row for row in follower.format.rows)


def test_a_column_that_appears_while_the_database_is_followed_is_noticed(path: Path) -> None:
    follower = Follower(path).everything()
    write(path, "ALTER TABLE runs ADD COLUMN more TEXT", run("three", 5, 6))
    follower.everything()
    assert follower.format.unknown == {"runs": 1}


def test_an_optional_column_that_is_missing_reads_as_null(tmp_path: Path) -> None:
    write(tmp_path / "a.db", "CREATE TABLE runs (id TEXT PRIMARY KEY, start INTEGER)")
    write(tmp_path / "a.db", ("INSERT INTO runs VALUES ('one', ?)", (T0,)))
    assert Follower(tmp_path).everything().story.kinds == ["started"]


def test_names_of_columns_have_no_case(tmp_path: Path) -> None:
    write(tmp_path / "a.db", "CREATE TABLE RUNS (ID TEXT PRIMARY KEY, Start INTEGER, STOP INTEGER)")
    write(tmp_path / "a.db", ("INSERT INTO runs VALUES ('one', ?, ?)", (T0, T0 + S)))
    follower = Follower(tmp_path).everything()
    assert follower.story.kinds == ["ended"]
    assert follower.format.unknown == {}


def test_a_second_table_may_be_missing_and_come_later(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    write(path, RUNS, run("one", 1, 2))
    follower = Follower(path, row_format=RunsFormat(marks=True)).everything()
    assert follower.reasons() == []
    write(path, MARKS, mark("one", 3))
    assert follower.everything().story.times("ended", "marks") == [T0 + 3 * S]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(("bad", "yesterday", None), "no_time", id="the format cannot read it"),
        pytest.param(("bad", 0, 1), "no_time", id="before 2020"),
        pytest.param(("bad", int((NOW_S + 301) * S), None), "time_in_future", id="it begins in the future"),
        pytest.param(("bad", T0, int((NOW_S + 301) * S)), "time_in_future", id="it ends in the future"),
    ],
)
def test_a_row_without_a_usable_time_is_unparsable(tmp_path: Path, row: tuple[object, ...], reason: str) -> None:
    write(tmp_path / "a.db", RUNS, run("one", 1, 2), ("INSERT INTO runs (id, start, stop) VALUES (?,?,?)", row))
    write(tmp_path / "a.db", run("two", 3, 4))
    follower = Follower(tmp_path).everything()
    assert follower.story.kinds.count("ended") == 2
    (told,) = [one for one in follower.story.told if one.what == "unparsable"]
    assert (told.table, told.key, told.reason) == ("runs", "2", reason)
    assert follower.unparsable == {reason: 1}


def test_a_running_row_that_becomes_unreadable_says_so_once_and_ends_when_it_can_be_read(path: Path) -> None:
    follower = Follower(path).everything()
    write(path, "UPDATE runs SET stop = 'never' WHERE id = 'two'")
    follower.everything()
    write(path, "UPDATE runs SET secret = 'other' WHERE id = 'two'")
    follower.everything()
    assert follower.story.kinds == ["ended", "started", "unparsable"]
    write(path, stop("two", 9))
    follower.everything()
    assert follower.story.kinds == ["ended", "started", "unparsable", "ended"]


@pytest.mark.parametrize("size", [pytest.param(2_000_000, id="SQLite refuses it"), pytest.param(950_000, id="we do")])
def test_a_row_that_is_too_long_is_passed_over_and_counted(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.db"
    write(path, RUNS, run("one", 1, 2), run("two", 3, 4), run("three", 5, 6))
    write(path, ("UPDATE runs SET secret = ? WHERE id = 'two'", ("x" * size,)))
    follower = Follower(path, max_row_bytes=900_000).everything()
    assert follower.story.times("ended") == [T0 + 2 * S, T0 + 6 * S]
    assert follower.unparsable == {"too_long": 1}


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("long", [0, 1, 2, 3])
def test_rows_around_one_that_is_too_long_are_read_whatever_the_page(tmp_path: Path, rows: int, long: int) -> None:
    path = tmp_path / "a.db"
    write(path, RUNS, *(run(f"r{at}", at, at + 1) for at in range(4)))
    write(path, ("UPDATE runs SET secret = ? WHERE id = ?", ("x" * 2_000_000, f"r{long}")))
    follower = Follower(path, max_row_bytes=1_000_000, page_rows=rows).everything()
    assert follower.story.times("ended") == [T0 + (at + 1) * S for at in range(4) if at != long]
    assert follower.unparsable == {"too_long": 1}


def test_a_page_holds_about_so_many_bytes_and_at_least_one_row(tmp_path: Path) -> None:
    write(tmp_path / "a.db", RUNS, *(run(f"r{at}", at, at + 1) for at in range(10)))
    write(tmp_path / "a.db", ("UPDATE runs SET secret = ?", ("x" * 1000,)))
    follower = Follower(tmp_path)
    (unit,) = follower.feed.scan()
    sizes = [page.rows for limit in (1, 2500, 10**6) if (page := unit.read(limit))]
    assert sizes == [1, 3, 6]


def test_text_that_is_not_utf_8_is_read_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.db", RUNS, "INSERT INTO runs VALUES (CAST(x'ff31' AS TEXT), 'x', NULL, CAST(x'c328' AS TEXT))")
    write(tmp_path / "a.db", ("INSERT INTO runs VALUES (x'00ff', ?, ?, x'ff')", (T0, T0 + S)))
    follower = Follower(tmp_path).everything()
    assert sorted(follower.story.kinds) == ["ended", "unparsable"]


def test_a_row_without_a_name_is_known_by_its_rowid(tmp_path: Path) -> None:
    write(tmp_path / "a.db", RUNS, *(("INSERT INTO runs VALUES (NULL,?,?,'')", (T0, T0 + at * S)) for at in (1, 2)))
    assert len(Follower(tmp_path).everything().everything().story.times("ended")) == 2


# --- the feed --------------------------------------------------------------------------------------------------------


def test_the_resource_is_the_programs_service_and_one_instance(path: Path) -> None:
    feed = RowFeed(
        [str(path)], RunsFormat(), new_conversion=Story.new, state_type=Runs, key=KEY, resource=[("host.name", "h")]
    )
    (unit,) = feed.scan()
    assert feed.resource(unit.checkpoint) == (
        (s.SERVICE_NAME, "kagura"),
        (s.SERVICE_INSTANCE_ID, unit.checkpoint.source),
        (s.SOURCE, "kagura"),
        ("host.name", "h"),
    )


def test_an_instance_id_that_is_portable_does_not_depend_on_the_place(tmp_path: Path) -> None:
    ids: dict[bool, set[str]] = {True: set(), False: set()}
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.db", RUNS, run("one", 1, 2))
        for portable, found in ids.items():
            found.add(Follower(tmp_path / name, portable=portable).everything().unit.source)
    assert len(ids[True]) == 1
    assert len(ids[False]) == 2


def test_a_checkpoint_holds_nothing_of_the_rows(path: Path) -> None:
    data = msgspec.json.encode(Follower(path).everything().unit.checkpoint)
    assert not any(text in data for text in (b"one", b"two", SECRET.encode()))


def test_an_unknown_number_of_restarts_tells_everything_once(tmp_path: Path) -> None:
    """Each page is committed, and the process killed behind it."""
    path = tmp_path / "a.db"
    write(path, RUNS, *(run(f"r{at}", at, at + 7) for at in range(20)), run("last", 30))
    follower = Follower(path, page_rows=3)
    while follower.once():
        data = msgspec.json.encode(follower.unit.checkpoint)
        known = [msgspec.json.decode(data, type=DatabaseCheckpoint)]
        stories = {source: list(story.told) for source, story in follower.stories.items()}
        follower.feed.close()
        follower = Follower(path, page_rows=3, known=known, stories=stories)
    assert follower.story.times("ended") == [T0 + (at + 7) * S for at in range(20)]
    assert len(follower.story.running) == 1


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_a_missing_column_and_a_missing_table_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.db", "CREATE TABLE runs (id TEXT PRIMARY KEY, began INTEGER)")
    write(tmp_path / "b.db", "CREATE TABLE other (id TEXT PRIMARY KEY)")
    feed = Follower(tmp_path).everything().feed
    assert sorted((one.reason.name, one.detail) for one in feed.problems()) == [
        ("MISSING_COLUMN", "runs.start"),
        ("MISSING_TABLE", "runs"),
    ]
    assert set(feed.drain_problems()) == {"missing_column", "missing_table"}


def test_a_database_whose_columns_come_later_is_read_then(tmp_path: Path) -> None:
    write(tmp_path / "a.db", "CREATE TABLE runs (id TEXT PRIMARY KEY)", "INSERT INTO runs VALUES ('one')")
    follower = Follower(tmp_path).everything()
    write(tmp_path / "a.db", "ALTER TABLE runs ADD COLUMN start INTEGER", ("UPDATE runs SET start = ?", (T0,)))
    assert follower.everything().story.kinds == ["started"]
    assert follower.reasons() == []


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database, but longer than a header of SQLite, which has a hundred bytes" * 99)
    follower = Follower(tmp_path).everything()
    assert follower.reasons() == ["NOT_A_DATABASE"]
    assert follower.feed.drain_problems() == {"not_a_database": 1}
    assert follower.feed.drain_problems() == {}


def test_failed_looks_are_counted_a_few_times_a_second(tmp_path: Path) -> None:
    now = NOW_S
    follower = Follower(tmp_path / "none.db", clock=lambda: now)
    for _ in range(100):
        now += 0.01
        follower.feed.scan()
    assert 3 <= follower.feed.drain_problems()["no_file"] <= 5


def test_the_log_says_once_that_a_database_cannot_be_read_and_once_that_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write(tmp_path / "a.db", "CREATE TABLE other (id TEXT)")
    follower = Follower(tmp_path).everything().everything()
    write(tmp_path / "a.db", RUNS, run("one", 1, 2))
    follower.everything().everything()
    assert [record.getMessage() for record in caplog.records] == [
        "a database cannot be read",
        "a database can be read again",
    ]


def test_a_database_that_is_gone_before_it_was_read_is_a_problem_until_it_is_back(path: Path, tmp_path: Path) -> None:
    follower = Follower(tmp_path, page_rows=1)
    follower.once()
    path.rename(tmp_path / "elsewhere")
    follower.everything()
    assert follower.reasons() == ["NO_MATCH", "GONE_UNREAD"]
    (tmp_path / "elsewhere").rename(path)
    follower.everything()
    assert follower.reasons() == []
    assert follower.story.kinds[-1] == "started"


def test_an_instance_is_forgotten_when_its_database_has_been_gone_for_long(path: Path) -> None:
    now = NOW_S
    follower = Follower(path, clock=lambda: now).everything()
    source = follower.unit.source
    path.unlink()
    follower.feed.scan()
    now += 7 * 86400
    assert follower.feed.forgotten() == []
    now += 1
    assert follower.feed.forgotten() == [source]
    assert follower.feed.forgotten() == []
