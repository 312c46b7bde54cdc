"""The demo's databases, as tests play and read them."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.recorded import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MONDAY: Final = datetime(2026, 11, 16, tzinfo=UTC)
NOON: Final = datetime(2026, 11, 18, 12, tzinfo=UTC)

Row = dict[str, Any]


def rows(path: Path, query: str) -> list[Row]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def dump(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def recorded(program: str, name: str) -> Path:
    path = FOLDER / program / name
    if not path.exists():
        pytest.skip(f"the recorded database of {program} is not beside the repository")
    return path


class Clock:
    """A clock that goes on only while somebody waits; it looks at the database each time, and stops after a while."""

    def __init__(self, hours: float, look: Callable[[float], None], *, sleep_at: float = 0.0) -> None:
        self.stop = threading.Event()
        self._now_us = int(NOON.timestamp()) * 1_000_000
        self._end_us = self._now_us + int(hours * 3600e6)
        self._sleep_us = self._now_us + int(sleep_at * 3600e6) if sleep_at else 0
        self._look = look

    def now_ns(self) -> int:
        return self._now_us * 1000

    def wait(self, seconds: float) -> bool:
        self._look(self._now_us / 1e6)
        self._now_us += int(seconds * 1e6) + 1
        if 0 < self._sleep_us <= self._now_us:
            self._now_us += 7200 * 1_000_000
            self._sleep_us = 0
            self._end_us = self._now_us + 3600 * 1_000_000
        if self._now_us >= self._end_us:
            self.stop.set()
        return self.stop.is_set()
