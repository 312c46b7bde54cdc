"""Writers in other processes are held up by no more than a page, and nothing they write is lost."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from row_scene import RUNS, SECRET, T0, Follower, run, write

from egoscope.sources.followed_database import PAGE_ROWS

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import sqlite3, sys
path, name, rows, t0 = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
db = sqlite3.connect(path, isolation_level=None, timeout=60)
db.execute("PRAGMA synchronous = OFF")
for at in range(rows):
    start = t0 + at * 1_000_000
    key = f"{name}-{at}"
    if at % 3 == 0:
        db.execute("INSERT INTO runs VALUES (?,?,?,?)", (key, start, start + 500_000, "x" * 300))
    else:
        db.execute("INSERT INTO runs VALUES (?,?,NULL,?)", (key, start, "x" * 300))
        verb = "UPDATE runs SET stop = ? WHERE id = ?"
        if at % 3 == 1:
            db.execute(verb, (start + 500_000, key))
        else:
            db.execute("INSERT OR REPLACE INTO runs VALUES (?,?,?,?)", (key, start, start + 500_000, "y" * 300))
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_two_writers_at_full_speed_lose_nothing_and_are_not_held_up(tmp_path: Path, journal: str) -> None:
    """Neither fails, and each of their rows is told once, however they and the reader meet."""
    path, rows = tmp_path / "a.db", 1500
    write(path, RUNS, journal=journal)
    write(path, *(run(f"history{at}", -at, 0) for at in range(5000)), journal=journal)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(rows), str(T0)]) for name in ("one", "two")
    ]
    follower = Follower(path, page_rows=100)
    while any(writer.poll() is None for writer in writers):
        follower.once()
    assert [writer.returncode for writer in writers] == [0, 0]
    follower.everything()
    assert len(follower.story.times("ended")) == 5000 + 2 * rows
    assert follower.story.running == set()
    assert set(follower.feed.drain_problems()) <= {"locked"}


def test_no_transaction_reads_more_than_a_page(tmp_path: Path) -> None:
    """In rows, and in bytes but for the last row: what a writer waits for is bounded by both."""
    path = tmp_path / "a.db"
    write(path, RUNS, *(run(f"r{at}", at, at + 0.5) for at in range(3000)))
    (unit,) = Follower(path).feed.scan()
    page = unit.read(1 << 30)
    assert page is not None
    assert page.count == PAGE_ROWS
    write(path, ("UPDATE runs SET secret = ?", (SECRET * 50,)))
    (unit,) = Follower(path).feed.scan()
    page = unit.read(10 * len(SECRET) * 50)
    assert page is not None
    assert page.count <= 10
