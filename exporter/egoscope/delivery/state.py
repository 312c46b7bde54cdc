"""The state file: positions, conversion state, series totals and the outbox, so that what must agree commits together.

SQLite in WAL mode with `synchronous=FULL`: after a crash at any instruction all four are old, or all four are new.
Only redacted values and encoded requests are in it; never a raw line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

import msgspec

from egoscope.convert.series import SeriesRow
from egoscope.delivery.ledger import LedgerKey
from egoscope.delivery.reserve import Reserve
from egoscope.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from egoscope.otlp.requests import Request
    from egoscope.sources.feed import Checkpoint

C = TypeVar("C")
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

SCHEMA_VERSION: Final = 2
_VACUUM_PAGES: Final = 64

_TABLES: Final = """
CREATE TABLE instances (
    source TEXT PRIMARY KEY,
    feed TEXT NOT NULL,          -- the kind of source it belongs to, which knows the types of the next two
    checkpoint BLOB NOT NULL,    -- FileCheckpoint or DatabaseCheckpoint, JSON
    conversion BLOB NOT NULL     -- the conversion's state, JSON
) WITHOUT ROWID;
CREATE TABLE series (
    source TEXT NOT NULL,
    key BLOB NOT NULL,           -- metric name and attributes, JSON
    row BLOB NOT NULL,           -- SeriesRow, JSON
    PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    signal TEXT NOT NULL,
    lane INTEGER NOT NULL,       -- 0: live, 1: backlog; lower first
    source TEXT NOT NULL,
    items INTEGER NOT NULL,
    size INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    data BLOB NOT NULL           -- the encoded OTLP request, sent as it stands
);
CREATE INDEX outbox_order ON outbox (signal, lane, id, source, size);
CREATE TABLE ledger (
    key BLOB PRIMARY KEY,        -- metric name and attributes, JSON
    total INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE refused (           -- items a back end refused for good, until the ledger has taken them over
    id INTEGER PRIMARY KEY,
    signal TEXT NOT NULL,
    reason TEXT NOT NULL,
    items INTEGER NOT NULL
);
"""

_MIGRATIONS: Final = {
    # Until then there were log files of ego-mcp only.
    1: """
CREATE TABLE instances (
    source TEXT PRIMARY KEY, feed TEXT NOT NULL, checkpoint BLOB NOT NULL, conversion BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO instances SELECT source, 'ego_mcp', checkpoint, conversion FROM files WHERE source != '_sidecar';
DROP TABLE files;
""",
}
"""What leads from each earlier schema to the next one."""


class SourceRows(msgspec.Struct, frozen=True):
    """What one batch changes of one source. `checkpoint` is None for the sidecar's own ledger."""

    source: str
    feed: str
    checkpoint: Checkpoint | None
    conversion: msgspec.Struct
    series: Sequence[SeriesRow]


class Batch(msgspec.Struct, frozen=True):
    """What must agree: one source's rows, the requests its lines became, and the ledger that counts them."""

    source: SourceRows
    requests: Sequence[Request]
    ledger: Sequence[tuple[LedgerKey, int]] = ()
    refused_taken: Sequence[int] = ()


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether a state file keeps nothing, so that nothing was made with any key."""
    tables = ("instances", "series", "outbox", "ledger", "refused")
    return not any(db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)  # noqa: S608


def make_state_dir(path: Path) -> None:
    """Make a directory that is open to its owner alone. Raises StateError where there is none to write to."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = "" if os.access(path, os.W_OK | os.X_OK) else "this user may not write to it"
    except FileExistsError:
        reason = "it is no directory"
    except OSError as error:
        reason = f"it cannot be made: {error.strerror}"
    if reason:
        raise StateError(
            f"{path}: no state can be kept there ({reason}); name another directory with EGOSCOPE_STATE_DIR, "
            "or with the option --state-dir of `egoscope start`"
        )


class StateFile:
    """The one state file of a sidecar. Thread-safe; a second sidecar on the same file is refused."""

    def __init__(self, path: Path) -> None:
        """Open or create it. Raises StateError that says what to do; nothing is ever overwritten."""
        self.path = path
        make_state_dir(path.parent)
        self._lock_file = _lock(path.with_suffix(".lock"))
        self.lock = threading.RLock()
        self._reserve = Reserve(path.with_suffix(".reserve"))
        try:
            self.db = self._open()
        except BaseException:
            self._lock_file.close()
            raise

    def _open(self) -> sqlite3.Connection:
        new = not self.path.exists() or self.path.stat().st_size == 0
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        os.close(descriptor)
        db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=5)
        try:
            if new:
                db.execute("PRAGMA page_size = 16384")
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StateError(
                    f"state file {self.path} is a database of another program. Nothing was changed. "
                    "Give egoscope another EGOSCOPE_STATE_DIR"
                )
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA wal_autocheckpoint = 256")  # pages: 4 MiB; see reserve.py
            db.execute("PRAGMA journal_size_limit = 67108864")
            if version == 0:
                db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            elif version > SCHEMA_VERSION:
                raise StateError(
                    f"state file {self.path} has schema {version}, this egoscope reads up to {SCHEMA_VERSION}: "
                    "use the egoscope that wrote it, or a newer one"
                )
            elif (damage := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(damage)
            for earlier in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
                db.executescript(
                    f"BEGIN IMMEDIATE; {_MIGRATIONS[earlier]} PRAGMA user_version = {earlier + 1}; COMMIT;"
                )
        except sqlite3.OperationalError as error:
            db.close()
            raise StateError(
                f"state file {self.path} cannot be opened ({error}): is the disk full, or the directory not writable?"
            ) from None
        except sqlite3.DatabaseError as error:
            db.close()
            raise StateError(
                f"state file {self.path} is damaged ({type(error).__name__}). Nothing was changed. Move it away to "
                "start anew, which reads the logs again from their beginning, or restore it from a backup"
            ) from None
        except StateError:
            db.close()
            raise
        return db

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept in it."""
        with self.lock:
            return is_empty(self.db)

    def close(self) -> None:
        """Close the file and let another sidecar have it."""
        with self.lock:
            self.db.close()
            self._reserve.release()
            self._lock_file.close()

    @contextlib.contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """One transaction; on any error all of it is undone."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    def shrink(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run a change that makes the content smaller in a transaction; on a full disk it may use the reserve."""
        with contextlib.suppress(sqlite3.OperationalError), self.transaction() as db:
            return change(db)
        with self.lock:
            self._reserve.release()
            with contextlib.suppress(sqlite3.OperationalError):
                self._checkpoint()
        with self.transaction() as db:
            return change(db)

    def commit(self, batch: Batch, *, lane: int, now_ns: int) -> None:
        """Commit positions, open calls, totals and requests in one transaction. Raises sqlite3.OperationalError."""
        with self.lock:
            if not self._reserve.take():
                self._compact()
                if not self._reserve.take():
                    raise sqlite3.OperationalError("no room for the reserve")
            try:
                self._append(batch, lane=lane, now_ns=now_ns)
            except sqlite3.OperationalError:
                self._compact()  # the next try may find room
                raise

    def _append(self, batch: Batch, *, lane: int, now_ns: int) -> None:
        with self.transaction() as db:
            self._write_source(db, batch.source)
            db.executemany(
                "INSERT INTO ledger VALUES (?,?) ON CONFLICT (key) DO UPDATE SET total = excluded.total",
                [(msgspec.json.encode(key), total) for key, total in batch.ledger],
            )
            db.executemany("DELETE FROM refused WHERE id = ?", [(one,) for one in batch.refused_taken])
            source = batch.source.source
            db.executemany(
                "INSERT INTO outbox (signal, lane, source, items, size, created_ns, data) VALUES (?,?,?,?,?,?,?)",
                [
                    (request.signal, lane, source, request.count, len(request.data), now_ns, request.data)
                    for request in batch.requests
                ],
            )

    def _compact(self) -> None:
        """Give back the room of the write-ahead log and of what deletions left empty, as far as possible."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._checkpoint()
            empty, before = self._empty_pages(), sys.maxsize
            while 0 < empty < before:  # in small steps, for each needs room in the log
                self.db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")  # execute() would stop at one page
                self._checkpoint()
                empty, before = self._empty_pages(), empty

    def _empty_pages(self) -> int:
        return self.db.execute("PRAGMA freelist_count").fetchone()[0]

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the database and give its room back."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _write_source(self, db: sqlite3.Connection, row: SourceRows) -> None:
        db.execute(
            "INSERT INTO instances VALUES (?,?,?,?) ON CONFLICT (source) DO UPDATE"
            " SET checkpoint = excluded.checkpoint, conversion = excluded.conversion",
            (row.source, row.feed, msgspec.json.encode(row.checkpoint), msgspec.json.encode(row.conversion)),
        )
        db.executemany(
            "INSERT INTO series VALUES (?,?,?) ON CONFLICT (source, key) DO UPDATE SET row = excluded.row",
            [
                (row.source, msgspec.json.encode((one.metric, one.attributes)), msgspec.json.encode(one))
                for one in row.series
            ],
        )

    def checkpoints(self, feed: str, kept_as: type[C]) -> list[C]:
        """Return the checkpoints of all known instances of one kind of source."""
        with self.lock:
            found = self.db.execute("SELECT checkpoint FROM instances WHERE feed = ?", (feed,)).fetchall()
        return [msgspec.json.decode(data, type=kept_as) for (data,) in found]

    def source(self, source: str, kept_as: type[S]) -> tuple[S, list[SeriesRow]]:
        """Return the conversion's state and the series of one source; empty ones for a new source."""
        with self.lock:
            found = self.db.execute("SELECT conversion FROM instances WHERE source = ?", (source,)).fetchone()
            rows = self.db.execute("SELECT row FROM series WHERE source = ?", (source,)).fetchall()
        state = msgspec.json.decode(found[0], type=kept_as) if found else kept_as()
        return state, [msgspec.json.decode(data, type=SeriesRow) for (data,) in rows]

    def ledger(self) -> dict[LedgerKey, int]:
        """Return the totals of the sidecar's ledger."""
        with self.lock:
            rows = self.db.execute("SELECT key, total FROM ledger").fetchall()
        return {msgspec.json.decode(key, type=LedgerKey): total for key, total in rows}

    def refused(self) -> list[tuple[int, str, str, int]]:
        """Return what was refused for good and is not in the ledger yet: id, signal, reason, items."""
        with self.lock:
            return self.db.execute("SELECT id, signal, reason, items FROM refused").fetchall()

    def forget(self, sources: Sequence[str]) -> None:
        """Delete what is known of instances that are gone for good."""
        with self.transaction() as db:
            db.executemany("DELETE FROM instances WHERE source = ?", [(source,) for source in sources])
            db.executemany("DELETE FROM series WHERE source = ?", [(source,) for source in sources])


def _lock(path: Path) -> TextIO:
    lock_file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock_file.seek(0)
        owner = lock_file.read().strip() or "unknown"
        lock_file.close()
        raise StateError(
            f"{path.with_suffix('.db')} is in use by another egoscope (process {owner}): stop it first, "
            "or give this one another EGOSCOPE_STATE_DIR"
        ) from None
    with contextlib.suppress(OSError):  # the disk is full: then the other is unknown, but locked out all the same
        lock_file.truncate(0)
        lock_file.write(str(os.getpid()))
        lock_file.flush()
    return lock_file
