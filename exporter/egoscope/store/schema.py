"""The embedded store's tables, its version, and the two ways to open it.

One file, readable with the sqlite3 shell: times are nanoseconds since the Unix epoch, ids are lower-case hex,
attributes are JSON objects under their OpenTelemetry names.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from egoscope.errors import StateError
from egoscope.store.migration import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

VERSION: Final = 2

# "EgoS": lets `file` and this module tell the store from any other SQLite database.
APPLICATION_ID: Final = 0x45676F53

# How long a writer waits for another writer (a prune, a sqlite3 shell) before it reports the store as locked.
BUSY_TIMEOUT_S: Final = 1.0

TABLES: Final = """
CREATE TABLE instances (
    instance TEXT PRIMARY KEY, service TEXT NOT NULL, attributes TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE spans (
    span_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    duration_ns INTEGER,       -- NULL where one end was only assumed: an unfinished call, one whose start is missing
    status TEXT NOT NULL,      -- UNSET, OK, ERROR
    tool TEXT, outcome TEXT,   -- tool: of an MCP call; outcome: ok, error, unfinished
    emotion TEXT, time_phase TEXT,
    attributes TEXT NOT NULL, events TEXT, instance TEXT NOT NULL,
    kind TEXT,                 -- agent, model, tool, memory; flow, node; task; NULL for all else
    agent TEXT, subject TEXT,  -- the agent, flow or worker; the model, tool, memory operation, node or task
    counted_ns INTEGER,        -- the moment it belongs to: of what an execution used, the end of the execution
    input_tokens INTEGER, output_tokens INTEGER,
    cost_nano INTEGER          -- billionths of a US dollar, which add up exactly; NULL where the price is not known
);
-- Holds all that is asked about a tool's calls in a window, so that the table itself is never touched.
CREATE INDEX spans_by_tool ON spans (tool, end_ns, outcome, duration_ns) WHERE tool IS NOT NULL;
CREATE INDEX spans_by_end ON spans (end_ns) WHERE tool IS NOT NULL;
CREATE INDEX spans_by_emotion ON spans (end_ns) WHERE emotion IS NOT NULL;
CREATE INDEX spans_by_phase ON spans (end_ns) WHERE time_phase IS NOT NULL;
CREATE INDEX spans_by_trace ON spans (trace_id);
-- As spans_by_tool: all that is asked about agents, flows and tasks in a window.
CREATE INDEX spans_by_kind ON spans (
    kind, counted_ns, agent, subject, outcome, duration_ns, input_tokens, output_tokens, cost_nano
) WHERE kind IS NOT NULL;

CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL, time_ns INTEGER NOT NULL,
    identity TEXT NOT NULL,    -- tells records of one instant apart: byte offset, else a digest of the record
    "offset" INTEGER,          -- of the line in the source; NULL for records that are no line of a source
    severity TEXT NOT NULL, severity_number INTEGER NOT NULL,
    logger TEXT, tool TEXT, body TEXT NOT NULL, trace_id TEXT, span_id TEXT, attributes TEXT NOT NULL,
    agent TEXT,                -- the agent, flow or worker it is about
    UNIQUE (instance, time_ns, identity)
);
CREATE INDEX logs_by_time ON logs (time_ns, "offset");
CREATE INDEX logs_by_agent ON logs (agent, time_ns) WHERE agent IS NOT NULL;

CREATE TABLE series (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, unit TEXT NOT NULL,
    attributes TEXT NOT NULL, instance TEXT NOT NULL,
    bounds TEXT NOT NULL DEFAULT '',  -- of a histogram: JSON list of upper bounds
    UNIQUE (name, instance, attributes, bounds)
);

CREATE TABLE points (
    series INTEGER NOT NULL REFERENCES series (id), time_ns INTEGER NOT NULL, start_ns INTEGER,
    value NUMERIC,                                 -- of a counter or gauge
    count INTEGER, sum REAL, buckets TEXT,         -- of a histogram; buckets: JSON list of counts
    PRIMARY KEY (series, time_ns)
) WITHOUT ROWID;
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the store for writing, creating it when missing; usable from several threads under the caller's lock.

    Raises `StateError` for a file that is no store, is damaged, or was written by a newer egoscope. Such a file is
    left as it is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Feelings are nobody else's business: readable by the owner alone. -wal and -shm take over the mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        reason = error.strerror
    else:
        return _open(path, _connect_writer)
    msg = f"{path}: cannot be created or written ({reason}); choose another place for the embedded store"
    raise StateError(msg)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open an existing store read-only, while another process may be writing to it.

    Raises `StateError` for a missing file and as `open_writer` does.
    """
    if not path.exists():
        msg = f"{path}: no such embedded store; `egoscope start` makes it"
        raise StateError(msg)
    return _open(path, _connect_reader)


def _connect_writer(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
    with _closed_on_error(db):
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only heeded before the first table; lets prune give back room
        if _is_empty(db):
            db.execute("PRAGMA journal_mode = WAL")
            _create(db)
        if _check_version(db, path) < VERSION:
            migrate(db)
        db.execute("PRAGMA journal_mode = WAL")
        # The outbox forgets a request once it was accepted here, so accepted has to mean on disk.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
    return db


def _connect_reader(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
        isolation_level=None,
    )
    with _closed_on_error(db):
        if _check_version(db, path) < VERSION:
            msg = f"{path}: written by an older egoscope; it is brought up to date when `egoscope start` next runs"
            raise StateError(msg)
    return db


@contextlib.contextmanager
def _closed_on_error(db: sqlite3.Connection) -> Generator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise


def _open(path: Path, connect: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
    try:
        return connect(path)
    except sqlite3.Error as error:
        reason = getattr(error, "sqlite_errorname", type(error).__name__)
    if reason in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
        msg = f"{path}: damaged or no SQLite database ({reason}); move it away, and a new store is made"
    else:
        msg = f"{path}: the embedded store cannot be opened ({reason}); check the directory's permissions and room"
    raise StateError(msg)


def _check_version(db: sqlite3.Connection, path: Path) -> int:
    application_id = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        msg = f"{path}: a database, but no embedded store of egoscope; name another file"
        raise StateError(msg)
    if version > VERSION:
        msg = f"{path}: written by a newer egoscope (tables of version {version}, this one knows {VERSION}); upgrade"
        raise StateError(msg)
    return int(version)


def _is_empty(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0


def _create(db: sqlite3.Connection) -> None:
    # One transaction: a second process that starts at the same time finds no tables or all of them.
    db.execute("BEGIN IMMEDIATE")
    if _is_empty(db):
        for statement in TABLES.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")
