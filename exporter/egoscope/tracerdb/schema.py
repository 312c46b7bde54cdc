"""The file of `SQLiteTracerDB`: its tables, and how an older file becomes a newer one.

Times are nanoseconds since the Unix epoch; `"end"` is NULL while a span is running; attributes are JSON objects.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

from egoscope.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

# "EgoT": lets `file` and this module tell the file from any other SQLite database.
APPLICATION_ID: Final = 0x45676F54

# Each step makes the next version of the file; a step that was released is never changed.
STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE spans (
            span_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL,
            start INTEGER NOT NULL, "end" INTEGER, status TEXT NOT NULL, attributes JSON NOT NULL
        )""",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY, span_id TEXT NOT NULL, name TEXT NOT NULL, timestamp INTEGER NOT NULL,
            attributes JSON NOT NULL
        )""",
    ),
    (
        "CREATE INDEX spans_by_start ON spans (start)",
        "CREATE INDEX spans_by_trace ON spans (trace_id)",
        "CREATE INDEX events_by_span ON events (span_id)",
    ),
)
VERSION: Final = len(STEPS)


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file, making or migrating it; for use by several threads under the caller's lock.

    Raises `StateError` for a file that is another database's, is damaged, or was written by a newer egoscope. Such a
    file is left as it is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What agents did is nobody else's business: readable by the owner alone. -wal and -shm take over the mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        return _connect(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except sqlite3.Error as error:
        reason = getattr(error, "sqlite_errorname", type(error).__name__)
    if reason in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
        raise StateError(f"{path}: damaged or no SQLite database ({reason}); move it away, and a new one is made")
    raise StateError(f"{path}: cannot be opened or written ({reason}); check the directory's permissions and room")


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        db.execute("PRAGMA busy_timeout = 5000")
        _check(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # what was flushed survives a power cut too
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> int:
    """Return the file's version, 0 for an empty one."""
    empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if empty and version == 0:
        return 0
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StateError(f"{path}: a database, but none of egoscope's traces; name another file")
    if version > VERSION:
        raise StateError(
            f"{path}: written by a newer egoscope (tables of version {version}, this one knows {VERSION}); upgrade"
        )
    return version


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    if _check(db, path) == VERSION:
        return
    # One transaction: whoever opens the file at the same time finds the old version or the new one.
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in STEPS[_check(db, path) :]:
            for statement in step:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
