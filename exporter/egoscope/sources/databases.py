"""Opening another program's SQLite database: read-only, for one short transaction, leaving nothing behind.

Nothing is held between two looks but a descriptor of the file: an open connection would keep the writer, when it closes
the database, from clearing up its write-ahead log. What is never done: wait for a lock, recover a journal, create
`-wal` and `-shm` files, which would belong to whoever runs egoscope and could lock the writer out.
"""
# ruff: noqa: PTH110, PTH116

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from egoscope.errors import SourceError
from egoscope.sources.discovery import Key, Reason, reason_of
from egoscope.sources.row_pages import Snapshot

if TYPE_CHECKING:
    from collections.abc import Generator

    from egoscope.sources.row_checkpoint import RowDigests
    from egoscope.sources.row_format import RowFormat
    from egoscope.sources.row_pages import Layout

COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database; never a database itself."""

_HEADER_BYTES: Final = 100
_WAL_VERSION: Final = 2
_SCHEMA_BYTES: Final = 1024 * 1024
"""The limit of a value's length holds for what SQLite reads itself, too."""
_NEVER_WAITED_S: Final = 0.0
_AS_EFFECTIVE_USER: Final = os.access in os.supports_effective_ids
_BESIDE_WRITERS: Final = "mode=ro&readonly_shm=1"


class UnreadableDatabaseError(SourceError):
    """A database cannot be read just now. `detail` names the table or column that is missing."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}{detail and ': '}{detail}")
        self.reason, self.detail = reason, detail


class Signature(NamedTuple):
    """What tells cheaply whether a database changed: sizes and times of its file and of its write-ahead log."""

    size: int
    mtime_ns: int
    wal_size: int
    wal_mtime_ns: int

    @property
    def bytes(self) -> int:
        """Bytes in both files."""
        return self.size + self.wal_size

    @property
    def changed_ns(self) -> int:
        """When either was last written."""
        return max(self.mtime_ns, self.wal_mtime_ns)


class DatabaseFile:
    """One database file, by path, device and inode."""

    def __init__(self, path: str, key: Key, digests: RowDigests, max_row_bytes: int) -> None:
        self.key = key
        self._digests, self._max_row_bytes = digests, max_row_bytes
        # SQLite follows symlinks before it looks for the write-ahead log.
        self._path = os.path.realpath(path)
        self._fd = -1

    def move_to(self, path: str) -> None:
        """Take note of another name of the same file."""
        self._path = os.path.realpath(path)

    def signature(self, found: os.stat_result) -> Signature:
        """Return the state of both files, of which the first was just found like this."""
        wal = self._wal()
        if wal is None:
            return Signature(found.st_size, found.st_mtime_ns, 0, 0)
        return Signature(found.st_size, found.st_mtime_ns, wal.st_size, wal.st_mtime_ns)

    @contextmanager
    def snapshot(self, busy_s: float = _NEVER_WAITED_S) -> Generator[Snapshot]:
        """Open one read transaction. What was read counts only when this was left without an error.

        `busy_s`: how long a lock is waited for. Raises UnreadableDatabaseError, also for the errors of sqlite3 within.
        """
        trouble: UnreadableDatabaseError | None = None
        query = ""
        db: sqlite3.Connection | None = None
        try:
            before = os.stat(self._path)
            query, alone = self._access(before)
            uri = f"file:{quote(os.fsencode(self._path))}?{query}"
            db = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False)
            _restrict(db, self._max_row_bytes)
            db.execute("BEGIN")
            yield Snapshot(db, self._digests, self._max_row_bytes)
            after = os.stat(self._path)
            if (after.st_dev, after.st_ino) != self.key or (alone and self._has_changed(before, after)):
                trouble = UnreadableDatabaseError(Reason.LOCKED)
        except OSError as error:
            trouble = UnreadableDatabaseError(reason_of(error))
        except sqlite3.Error as error:
            trouble = UnreadableDatabaseError(self._reason_of(error, query))
        finally:
            if db is not None:
                with suppress(sqlite3.Error):
                    db.close()
        if trouble is not None:
            raise trouble

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _access(self, found: os.stat_result) -> tuple[str, bool]:
        """Return how to open the file so that SQLite creates nothing, and whether nobody else may have it open.

        With a write-ahead log but none beside it nobody has it open: then it is read as one that cannot change, and
        whether it did is looked at afterwards.
        """
        wal = self._wal()
        if wal is None or (wal.st_size == 0 and not os.path.exists(self._path + "-shm")):
            return ("mode=ro&immutable=1", True) if self._has_wal_header() else ("mode=ro", False)
        if os.path.exists(self._path + "-shm"):
            return _BESIDE_WRITERS, False
        if os.geteuid() in (0, found.st_uid):
            return "mode=ro", False  # the index of the log is made anew, as the owner's own
        raise UnreadableDatabaseError(Reason.UNREADABLE)

    def _has_changed(self, before: os.stat_result, after: os.stat_result) -> bool:
        same = before.st_size == after.st_size and before.st_mtime_ns == after.st_mtime_ns
        wal = self._wal()
        return not same or (wal is not None and wal.st_size > 0)

    def _wal(self) -> os.stat_result | None:
        try:
            return os.stat(self._path + "-wal")
        except OSError:
            return None

    def _has_wal_header(self) -> bool:
        """Whether the file says that it is written through a write-ahead log.

        The descriptor is kept: closing one would release the locks of a writer in this very process.
        """
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        found = os.fstat(self._fd)
        if (found.st_dev, found.st_ino) != self.key or not stat.S_ISREG(found.st_mode):
            self.close()
            raise UnreadableDatabaseError(Reason.LOCKED)  # the path leads to another file by now
        header = os.pread(self._fd, _HEADER_BYTES, 0)
        return len(header) == _HEADER_BYTES and _WAL_VERSION in (header[18], header[19])

    def _reason_of(self, error: sqlite3.Error, query: str) -> Reason:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code == sqlite3.SQLITE_READONLY_ROLLBACK:
            return Reason.HOT_JOURNAL
        primary = code & 0xFF
        if primary in _LOCKED:
            return Reason.LOCKED
        if primary == sqlite3.SQLITE_NOTADB:
            return Reason.NOT_A_DATABASE
        if primary == sqlite3.SQLITE_CORRUPT:
            return Reason.DAMAGED
        return self._reason_against_opening(query)

    def _reason_against_opening(self, query: str) -> Reason:
        for name in (self._path, *(self._path + companion for companion in COMPANIONS)):
            if os.path.exists(name) and not os.access(name, os.R_OK, effective_ids=_AS_EFFECTIVE_USER):
                return Reason.DENIED
        # The last writer clears up the log's index; it was there just before.
        return Reason.LOCKED if query == _BESIDE_WRITERS else Reason.UNREADABLE


_LOCKED: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY}
)


def _restrict(db: sqlite3.Connection, max_row_bytes: int) -> None:
    """Let the connection neither write, nor run what a schema contains, nor load values beyond the limit."""
    db.execute("PRAGMA query_only = ON")
    db.execute("PRAGMA trusted_schema = OFF")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(max_row_bytes, _SCHEMA_BYTES))
    db.text_factory = _text


def _text(raw: bytes) -> str:
    """Text need not be UTF-8, whatever its database says."""
    return raw.decode("utf-8", "replace")


def layouts_of(snapshot: Snapshot, row_format: RowFormat) -> dict[str, Layout]:
    """Return how each table is selected. Raises UnreadableDatabaseError where what must be there is not."""
    layouts: dict[str, Layout] = {}
    for at, table in enumerate(row_format.tables):
        layout = snapshot.layout(table)
        if layout is None:
            if at == 0:
                raise UnreadableDatabaseError(Reason.MISSING_TABLE, table.name)
            continue
        if layout.missing:
            raise UnreadableDatabaseError(Reason.MISSING_COLUMN, f"{table.name}.{layout.missing[0]}")
        layouts[table.name] = layout
    return layouts
