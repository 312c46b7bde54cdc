"""A believable Koubou `koubou.db`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from egoscope.demo.databases import Database, DatabaseSummary, Waiting
from egoscope.demo.koubou_life import plant
from egoscope.demo.koubou_workshop import Workshop
from egoscope.demo.settings import microseconds, moment

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from egoscope.demo.settings import DatabaseSettings

_ACTS_A_TRANSACTION: Final = 500
_SCHEMA: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA wal_autocheckpoint=1000",
    """
                CREATE TABLE IF NOT EXISTS task_master (
                    task_id TEXT PRIMARY KEY,
                    content TEXT,
                    status TEXT DEFAULT 'pending',
                    priority INTEGER DEFAULT 5,
                    result TEXT,
                    created_by TEXT,
                    assigned_to TEXT,
                    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
                )
            """,
    """
                CREATE TABLE IF NOT EXISTS workers (
                    worker_id TEXT PRIMARY KEY,
                    status TEXT DEFAULT 'idle',
                    current_task TEXT,
                    tasks_completed INTEGER DEFAULT 0,
                    tasks_failed INTEGER DEFAULT 0,
                    last_heartbeat TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
                )
            """,
    "CREATE INDEX IF NOT EXISTS idx_task_status ON task_master(status)",
    "CREATE INDEX IF NOT EXISTS idx_task_priority ON task_master(priority DESC)",
    "CREATE INDEX IF NOT EXISTS idx_worker_status ON workers(status)",
)


def koubou_canaries(settings: DatabaseSettings) -> tuple[str, ...]:
    """Return every token that a `koubou.db` made from `settings` can hold: none may ever leave the machine."""
    planted = plant(settings.seed)
    return (*planted.prompts, *planted.results, *planted.errors, *planted.names, *planted.clients)


def write_koubou_history(path: Path, settings: DatabaseSettings, *, until: datetime) -> DatabaseSummary:
    """Write what a Koubou did from `settings.start` to `until`, as one finds it then.

    Tasks wait or are in progress, and the workers' heartbeats are some seconds old: the next Koubou goes on from there.
    Where no task has ended by then nothing is written, so that a past can be tried that begins earlier.
    """
    until_us = microseconds(until)
    with Database(path, _SCHEMA, koubou_canaries(settings)) as database:
        workshop = Workshop(database, settings, often_from_us=until_us)
        database.begin()
        acts = 0
        while workshop.next_us < until_us:
            workshop.act()
            acts += 1
            if acts % _ACTS_A_TRANSACTION == 0 and database.summary().runs:
                database.commit()
                database.begin()
        if database.summary().runs:
            database.commit()
        else:
            database.roll_back()
    return database.summary()


def write_koubou_live(
    path: Path,
    settings: DatabaseSettings,
    *,
    stop: threading.Event,
    now_ns: Callable[[], int] = time.time_ns,
    wait: Callable[[float], bool] | None = None,
) -> DatabaseSummary:
    """Let a Koubou work until `stop` is set, from what stands in the database on; `settings.start` is not used.

    At the end its workers go offline. After a long sleep of the machine it begins anew, as a restarted Koubou.
    `now_ns` and `wait` are there for tests.
    """
    waiting = Waiting(stop, now_ns, wait)
    workshop = None
    with Database(path, _SCHEMA, koubou_canaries(settings)) as database:
        while not stop.is_set():
            now_us = waiting.now_us()
            workshop = Workshop(database, replace(settings, start=moment(now_us)), often_from_us=now_us)
            while waiting.until(workshop.next_us):
                database.begin()
                workshop.act()
                database.commit()
        if workshop is not None:
            database.begin()
            workshop.close(waiting.now_us())
            database.commit()
    return database.summary()
