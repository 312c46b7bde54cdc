"""Writers in other processes are never held up for longer than a page, and nothing they write is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

import pytest
from row_scene import RUNS, SECRET, T0, Follower, run, write

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import json, sqlite3, sys, time
path, name, rows, t0 = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
db = sqlite3.connect(path, isolation_level=None, timeout=5)
db.execute("PRAGMA synchronous = OFF")
longest = 0.0
for at in range(rows):
    began = time.perf_counter()
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
    longest = max(longest, time.perf_counter() - began)
print(json.dumps(longest))
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_two_writers_at_full_speed_lose_nothing_and_are_not_held_up(tmp_path: Path, journal: str) -> None:
    """Each page is one transaction; a writer waits for no more than one, and SQLite's own five seconds never pass."""
    path, rows = tmp_path / "a.db", 1500
    write(path, RUNS, journal=journal)
    write(path, *(run(f"history{at}", -at, 0) for at in range(5000)), journal=journal)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(rows), str(T0)], stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    follower = Follower(path, page_rows=100)
    while any(writer.poll() is None for writer in writers):
        follower.once()
    longest = [float(writer.communicate()[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert max(longest) < 2.5
    follower.everything()
    assert len(follower.story.times("ended")) == 5000 + 2 * rows
    assert follower.story.running == set()
    assert set(follower.feed.drain_problems()) <= {"locked"}


def test_a_page_is_read_in_a_time_that_a_writer_hardly_notices(tmp_path: Path) -> None:
    """A page of the default size and what becomes of it are far below a tenth of a second; it is some 5 ms."""
    path = tmp_path / "a.db"
    write(path, RUNS, *(run(f"r{at}", at, at + 0.5) for at in range(3000)))
    write(path, ("UPDATE runs SET secret = ?", (SECRET * 50,)))
    (unit,) = Follower(path).feed.scan()
    took: list[float] = []
    began = time.perf_counter()
    while unit.read(1 << 20):
        took.append(time.perf_counter() - began)
        began = time.perf_counter()
    assert len(took) >= 6
    assert median(took) < 0.1
