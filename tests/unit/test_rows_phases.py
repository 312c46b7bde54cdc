"""Rows that pass through states before they end, and what stands beside the rows of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from row_scene import NOW_S, PHASES, T0, Follower, RunsFormat, S, write

from egoscope.sources import followed_database

if TYPE_CHECKING:
    from pathlib import Path

NOW: Final = round(NOW_S - T0 / S)
"""Now, in seconds after T0."""


def row(name: str, start: float, stop: float | None = None, phase: str = "", since: float | None = None) -> str:
    """Return SQL that inserts a row; times are seconds after T0."""

    def at(seconds: float | None) -> str:
        return "NULL" if seconds is None else str(T0 + round(seconds * S))

    return f"INSERT INTO runs VALUES ('{name}', {at(start)}, {at(stop)}, '{phase}', {at(since)})"


def put(name: str, phase: str, since: float) -> str:
    """Return SQL that puts a row into a phase."""
    return f"UPDATE runs SET phase = '{phase}', since = {T0 + round(since * S)} WHERE id = '{name}'"


def end(name: str, stop: float) -> str:
    """Return SQL that ends a row."""
    return f"UPDATE runs SET stop = {T0 + round(stop * S)} WHERE id = '{name}'"


def follow(path: Path, page_rows: int = 500) -> Follower:
    return Follower(path, row_format=RunsFormat(phases=True), page_rows=page_rows)


def seconds(follower: Follower) -> list[tuple[str, str, float]]:
    """Return what was told: what, the phase, seconds after T0."""
    return [
        (one.what, one.table if one.what == "changed" else "", (one.time_ns - T0) / S) for one in follower.story.told
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_a_start_is_told_of_rows_that_ended_before_anybody_looked(path: Path, rows: int) -> None:
    write(path, PHASES, row("a", 1, 5), row("b", 2, 3), row("c", 4))
    told = seconds(follow(path, rows).everything())
    assert [(what, at) for what, _, at in told] == [
        ("started", 1),
        ("started", 2),
        ("ended", 3),
        ("started", 4),
        ("ended", 5),
    ]


def test_each_phase_that_was_seen_is_told_once_where_it_began(path: Path) -> None:
    write(path, PHASES, row("a", 1, phase="waits", since=1))
    follower = follow(path).everything()
    write(path, put("a", "works", 7))
    follower.everything().everything()
    write(path, "UPDATE runs SET since = since + 1000000000 WHERE id = 'a'")
    follower.everything()
    write(path, end("a", 9))
    follower.everything()
    assert seconds(follower) == [("started", "", 1), ("changed", "waits", 1), ("changed", "works", 7), ("ended", "", 9)]


def test_a_phase_that_nobody_saw_is_not_told(path: Path) -> None:
    write(path, PHASES, row("a", 1, phase="waits", since=1))
    follower = follow(path).everything()
    write(path, put("a", "works", 7), end("a", 9))
    follower.everything()
    assert [what for what, _, _ in seconds(follower)] == ["started", "changed", "ended"]


def test_a_row_that_goes_back_without_saying_when_was_where_it_was_until_it_was_looked_at(path: Path) -> None:
    write(path, PHASES, row("a", 1, phase="works", since=7))
    follower = follow(path).everything()
    write(path, "UPDATE runs SET phase = 'waits' WHERE id = 'a'")
    follower.everything()
    assert seconds(follower)[1:] == [("changed", "works", 7), ("changed", "waits", NOW)]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_phase_that_began_behind_the_page_is_told_when_time_comes_there(path: Path, rows: int) -> None:
    write(path, PHASES, row("a", 1, phase="works", since=6), row("b", 2, 3), row("c", 4, 5), row("d", 8, 9))
    told = seconds(follow(path, rows).everything())
    assert [at for _, _, at in told] == sorted(at for _, _, at in told)
    assert ("changed", "works", 6) in told


def test_a_phase_that_says_it_began_before_the_row_or_after_now_began_within(path: Path) -> None:
    write(path, PHASES, row("a", 5, phase="works", since=2), row("b", 5, phase="works", since=NOW + 50))
    assert [at for what, _, at in seconds(follow(path).everything()) if what == "changed"] == [5, NOW]


def test_a_restart_tells_no_phase_twice(path: Path) -> None:
    write(path, PHASES, row("a", 1, phase="works", since=7))
    first = follow(path).everything()
    known = [unit.checkpoint for unit in first.feed.units()]
    stories = {source: story.told for source, story in first.stories.items()}
    follower = Follower(path, row_format=RunsFormat(phases=True), known=known, stories=stories).everything()
    write(path, put("a", "waits", 8))
    follower.everything()
    assert seconds(follower) == [
        ("started", "", 1),
        ("changed", "works", 7),
        ("changed", "waits", 8),
    ]


def test_what_never_expires_is_looked_at_after_years(path: Path) -> None:
    write(path, PHASES, row("a", -9e7, phase="waits", since=-9e7))
    follower = follow(path).everything()
    write(path, end("a", 1))
    assert seconds(follower.everything())[-1] == ("ended", "", 1)


def test_what_stands_is_told_as_of_now_whenever_all_was_read_and_something_changed(path: Path) -> None:
    write(path, PHASES, row("a", 1, phase="waits"), row("b", 2, phase="waits"), row("c", 3, phase="works"))
    follower = follow(path, 1).everything()
    assert follower.story.stood == [(round(NOW_S * S), {"waits": 2, "works": 1})]
    follower.everything()
    assert len(follower.story.stood) == 1
    write(path, "DELETE FROM runs WHERE id = 'a'")
    assert follower.everything().story.stood[1:] == [(round(NOW_S * S), {"waits": 1, "works": 1})]


def test_a_clock_that_is_ahead_puts_nothing_before_its_row(path: Path) -> None:
    write(path, PHASES, row("a", NOW + 5, phase="works", since=NOW + 5), row("b", NOW + 9, phase="waits", since=1))
    follower = follow(path).everything()
    write(path, "UPDATE runs SET phase = 'waits' WHERE id = 'a'")
    follower.everything()
    assert seconds(follower) == [
        ("started", "", NOW + 5),
        ("changed", "works", NOW + 5),
        ("started", "", NOW + 9),
        ("changed", "waits", NOW + 9),
        ("changed", "waits", NOW + 5),
    ]


@pytest.mark.parametrize("rows", [1, 16, 500])
def test_what_had_ended_is_not_told_anew_where_the_rows_read_last_are_all_gone(path: Path, rows: int) -> None:
    """An older row has ended lately and stays; all that came after it were cleared."""
    ended = [row(f"e{number:03}", 100 + number, 200 + number) for number in range(80)]
    write(path, PHASES, row("old", 1, 50), row("open", 2, phase="waits", since=2), *ended)
    follower = follow(path, rows)
    follower.format.beside = follower.format.tables  # a database with something beside its rows is known by its place
    follower.everything()
    told = len(follower.story.told)
    write(path, "DELETE FROM runs WHERE id LIKE 'e%'")
    follower.everything()
    assert len(follower.story.told) == told
    write(path, row("new", 300, 400), end("open", 500))
    follower.everything()
    assert [(what, at) for what, _, at in seconds(follower)[told:]] == [
        ("started", 300),
        ("ended", 400),
        ("ended", 500),
    ]


def test_all_rows_are_looked_at_again_while_somebody_writes_all_the_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look has time for some rows only, and finds the database changed."""
    write(path, PHASES, *(row(f"r{number:02}", number, phase="waits", since=number) for number in range(30)))
    follower = follow(path, 4).everything()
    write(path, put("r29", "works", 100))
    monkeypatch.setattr(followed_database, "_SEARCH_S", -1.0)
    for number in range(40):
        write(path, f"UPDATE runs SET since = since WHERE id = 'r{number % 29:02}'")
        follower.once()
    assert ("changed", "works", 100) in seconds(follower)
