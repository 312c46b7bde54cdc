"""Rows are told in the order in which things happened, as if the sidecar had been there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from row_scene import MARKS, NOW_S, RUNS, T0, Follower, RunsFormat, S, mark, run, stop, write

from egoscope.convert.conversion import ROW_EXPIRES_NS
from egoscope.sources import replay

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = ROW_EXPIRES_NS // S


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


def seconds(follower: Follower, *, marks: bool = False) -> list[tuple[str, float]]:
    """Return what was told, with seconds after T0."""
    return [
        (one.what + ("*" if one.table == "marks" else ""), (one.time_ns - T0) / S)
        for one in follower.story.told
        if marks or one.table != "marks"
    ]


@pytest.mark.parametrize("rows", [1, 2, 3, 500])
def test_ends_come_in_their_order_whatever_the_order_of_the_rows_and_the_pages(path: Path, rows: int) -> None:
    write(path, RUNS, run("a", 1, 9), run("b", 2, 3), run("c", 4, 8), run("d", 5, 6), run("e", 7, 7.5))
    follower = Follower(path, page_rows=rows).everything()
    assert [at for what, at in seconds(follower) if what == "ended"] == [3, 6, 7.5, 8, 9]
    assert follower.story.running == set()


def test_a_row_that_ended_before_it_began_lasted_no_time_and_counts_where_it_ended(path: Path) -> None:
    """A clock stepped back while it ran: time goes on from where the row ended."""
    write(path, RUNS, run("a", 5, 3), run("b", 1, 4))
    follower = Follower(path).everything()
    assert seconds(follower) == [("ended", 3), ("ended", 4)]


def test_a_row_that_ends_behind_the_page_runs_until_time_comes_to_its_end(path: Path) -> None:
    write(path, RUNS, run("a", 1, 9), run("b", 2, 3), run("c", 4, 5), run("d", 10, 11))
    follower = Follower(path, page_rows=2)
    follower.once()
    assert seconds(follower) == [("started", 1), ("started", 2)]  # time is 2: the greatest start
    follower.once()
    assert seconds(follower)[2:] == [("ended", 3), ("ended", 5), ("ended", 9), ("ended", 11)]


def test_what_is_not_final_runs_and_is_told_once(path: Path) -> None:
    write(path, RUNS, run("a", 1), run("b", 2, 3))
    follower = Follower(path).everything()
    assert seconds(follower) == [("started", 1), ("ended", 3)]
    write(path, "UPDATE runs SET secret = 'other' WHERE id = 'a'")
    write(path, run("c", 4, 5))
    follower.everything()
    write(path, stop("a", 6))
    follower.everything()
    assert seconds(follower)[2:] == [("ended", 5), ("ended", 6)]


def test_a_final_row_that_changes_is_not_told_again(path: Path) -> None:
    write(path, RUNS, run("a", 1, 2))
    follower = Follower(path).everything()
    write(path, stop("a", 3))
    assert seconds(follower.everything()) == [("ended", 2)]


@pytest.mark.parametrize("others", [0, 1, 200])
def test_a_running_row_that_is_replaced_is_the_same_row_under_a_new_rowid(path: Path, others: int) -> None:
    write(path, RUNS, *(run(f"first{at}", 0, at / 1000) for at in range(others)), run("a", 1))
    follower = Follower(path, page_rows=50).everything()
    write(path, *(run(f"next{at}", 2, 2.5) for at in range(others)), run("a", 1, 3, verb="INSERT OR REPLACE"))
    write(path, run("last", 4, 5))
    follower.everything()
    assert len(follower.story.times("started")) >= 1
    assert seconds(follower)[-2:] == [("ended", 3), ("ended", 5)]
    assert len(follower.story.times("ended")) == 2 * others + 2
    assert len(follower.stories) == 1


def test_a_row_that_ran_and_was_deleted_is_gone(path: Path) -> None:
    write(path, RUNS, run("z", 0, 1), run("a", 1), run("b", 2))
    follower = Follower(path).everything()
    write(path, "DELETE FROM runs WHERE id = 'a'")
    follower.everything()
    assert seconds(follower)[-1][0] == "gone"
    assert len(follower.story.running) == 1


def test_a_deleted_row_is_not_called_gone_while_it_may_stand_among_unread_rows(path: Path) -> None:
    now = T0 / S + 2
    write(path, RUNS, run("z", 0, 1), run("a", 1))
    follower = Follower(path, page_rows=2, clock=lambda: now).everything()
    now += 3600
    write(path, *(run(f"r{at}", 2 + at, 2.5 + at) for at in range(9)), run("a", 1, 20, verb="INSERT OR REPLACE"))
    follower.everything()
    assert "gone" not in follower.story.kinds
    assert seconds(follower)[-1] == ("ended", 20)


def test_a_row_that_ends_during_a_burst_of_others_is_told_in_its_place(path: Path) -> None:
    now = T0 / S + 2
    write(path, RUNS, run("a", 1))
    follower = Follower(path, page_rows=3, clock=lambda: now).everything()
    now += 3600
    write(path, stop("a", 6), *(run(f"r{at}", 3 + at, 3.5 + at) for at in range(12)))
    follower.everything()
    ended = [at for what, at in seconds(follower) if what == "ended"]
    assert ended == sorted(ended)
    assert 6 in ended


# --- several tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 3, 500])
def test_events_come_in_their_place_among_starts_and_ends(path: Path, rows: int) -> None:
    write(path, RUNS, MARKS)
    for at in range(0, 40, 4):
        write(path, run(f"r{at}", at, at + 3), mark(f"r{at}", at + 1), mark(f"r{at}", at + 2))
    follower = Follower(path, row_format=RunsFormat(marks=True), page_rows=rows).everything()
    told = [one for one in seconds(follower, marks=True) if one[0] != "started"]
    assert told == sorted(told, key=lambda one: one[1])
    assert [at for what, at in told if what == "ended*"] == [at + more for at in range(0, 40, 4) for more in (1, 2)]
    assert [at for what, at in told if what == "ended"] == [at + 3 for at in range(0, 40, 4)]


def test_at_one_moment_a_start_comes_before_an_event_before_an_end(path: Path) -> None:
    write(path, RUNS, MARKS, run("a", 1, 5), run("b", 5), mark("a", 5), run("c", 5, 5))
    follower = Follower(path, row_format=RunsFormat(marks=True)).everything()
    assert seconds(follower, marks=True) == [("started", 5), ("ended*", 5), ("ended", 5), ("ended", 5)]


def test_of_rows_that_end_at_one_moment_what_began_last_comes_first(path: Path) -> None:
    """A node of a flow ends with it, and before it."""
    write(path, RUNS, run("flow", 1, 5), run("node", 2, 5), run("inner", 2, 5))
    follower = Follower(path).everything()
    rowids = [row["start"] for row in follower.format.rows]
    assert rowids == [T0 + 2 * S, T0 + 2 * S, T0 + S]


def test_an_event_behind_the_moment_is_not_consumed_yet(path: Path) -> None:
    write(
        path, RUNS, MARKS, *(mark("r", at) for at in range(10)), *(run(f"r{at}", at, at + 0.5) for at in range(5, 15))
    )
    follower = Follower(path, row_format=RunsFormat(marks=True), page_rows=4)
    follower.once()  # of runs nothing begins before 5, of events four happened up to 3
    assert seconds(follower, marks=True) == [("ended*", at) for at in range(4)]
    follower.everything()
    told = [at for what, at in seconds(follower, marks=True) if what != "started"]
    assert told == sorted(told)
    assert len(told) == 20


def test_events_of_what_runs_are_told_while_it_runs(path: Path) -> None:
    write(path, RUNS, MARKS, run("a", 1), mark("a", 2))
    follower = Follower(path, row_format=RunsFormat(marks=True)).everything()
    assert seconds(follower, marks=True) == [("started", 1), ("ended*", 2)]


# --- what runs for too long ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 500])
def test_a_row_that_ran_for_a_day_was_given_up_and_its_end_is_never_told(path: Path, rows: int) -> None:
    ago = -3 * DAY_S
    write(path, RUNS, run("a", ago, ago + DAY_S), run("b", ago, ago + DAY_S - 1), run("c", ago + 1), run("d", 1, 2))
    follower = Follower(path, page_rows=rows).everything()
    assert [at for what, at in seconds(follower) if what == "ended"] == [ago + DAY_S - 1, 2]
    assert [at for what, at in seconds(follower) if what == "started"][:1] == [ago]
    assert len(follower.story.running) == 2
    assert follower.unit.checkpoint.tables[0].open == []


def test_a_row_that_ended_in_time_is_told_though_it_is_read_late(path: Path) -> None:
    """The sidecar was stopped while it ended."""
    now = NOW_S
    write(path, RUNS, run("a", 1))
    follower = Follower(path, clock=lambda: now).everything()
    write(path, stop("a", 100))
    now += 3 * DAY_S
    follower.everything()
    assert seconds(follower) == [("started", 1), ("ended", 100)]


def test_of_too_many_running_rows_the_oldest_are_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST_RUNNING", 5)
    write(path, RUNS, *(run(f"r{at}", at) for at in range(8)))
    follower = Follower(path, page_rows=3).everything()
    assert follower.story.kinds.count("gone") == 3
    assert [one.start_ns for one in follower.unit.checkpoint.tables[0].open] == [T0 + at * S for at in range(3, 8)]
    write(path, *(stop(f"r{at}", 10 + at) for at in range(8)))
    follower.everything()
    assert follower.story.times("ended") == [T0 + (10 + at) * S for at in range(3, 8)]


def test_many_running_rows_are_looked_at_a_page_at_a_time_and_end_in_their_order(path: Path) -> None:
    write(path, RUNS, *(run(f"r{at}", at / 10) for at in range(100)))
    follower = Follower(path, page_rows=7).everything()
    write(path, *(stop(f"r{at}", 100 - at / 10) for at in range(100)), "DELETE FROM runs WHERE id LIKE '%5'")
    follower.everything()
    assert follower.story.running == set()
    assert follower.story.kinds.count("gone") == 10
    assert len(follower.story.times("ended")) == 90


def test_ends_that_were_open_when_the_process_was_killed_are_told_in_their_order(path: Path) -> None:
    write(path, RUNS, *(run(f"r{at}", at, 40 - at) for at in range(20)))
    follower = Follower(path, page_rows=4)
    for _ in range(3):
        follower.once()
    stories = {source: story.told for source, story in follower.stories.items()}
    again = Follower(path, page_rows=4, known=[follower.unit.checkpoint], stories=stories).everything()
    ended = again.story.times("ended")
    assert ended == sorted(ended)
    assert len(ended) == 20
