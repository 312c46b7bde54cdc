"""`SQLiteTracerDB`: spans and events in one file, to be asked with SQL."""

from __future__ import annotations

import atexit
import contextlib
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from egoscope.errors import DeliveryError, NotConnectedError
from egoscope.tracerdb import schema
from egoscope.tracerdb.base import Scoped

if TYPE_CHECKING:
    from collections.abc import Generator

    from egoscope.tracerdb.base import EventData, SpanData

_PUT_SPAN: Final = (
    "INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (span_id) DO UPDATE SET"
    " trace_id = excluded.trace_id, parent_id = excluded.parent_id, name = excluded.name, start = excluded.start,"
    ' "end" = excluded."end", status = excluded.status, attributes = excluded.attributes'
)
_PUT_EVENT: Final = "INSERT INTO events (span_id, name, timestamp, attributes) VALUES (?, ?, ?, ?)"

# How long another writer is waited for: by `flush`, and by a `record_…` that has a full batch to write.
_PATIENT_MS: Final = 5000
_HASTY_MS: Final = 50


class SQLiteTracerDB(Scoped):
    """A `TracerDB` in a SQLite file (WAL), which other processes may write and read at the same time.

    A batch is one transaction. What was flushed is on disk, through kill -9 and power cuts; what was not is lost with
    the process, at most the last `batch_size` spans and events or, of a program that keeps recording, those of the
    last `interval_s` seconds. NaN and the infinities, which JSON does not have, are stored as null.
    """

    def __init__(
        self,
        db_path: str | Path = "traces.db",
        *,
        batch_size: int = 512,
        interval_s: float = 1.0,
        max_pending: int = 50_000,
    ) -> None:
        """Name the file, made with its directories by `connect`; nothing is opened yet.

        `max_pending`: how many spans and events are kept while the file cannot be written (a full disk, a lock).
        """
        self._path = Path(db_path)
        self._batch_size, self._interval_s, self._max_pending = batch_size, interval_s, max_pending
        self._db: sqlite3.Connection | None = None
        self._writing = threading.RLock()  # held for as long as a transaction takes; before `_lock` where both are
        self._lock = threading.Lock()  # guards what follows; never held while waiting for the disk
        self._spans: dict[str, SpanData] = {}
        self._events: deque[tuple[str, EventData]] = deque()
        self._due = float("inf")
        self._lost = 0

    def connect(self) -> None:
        """See `TracerDB.connect`. Raises `StateError` for a file that cannot be used; it is left as it is."""
        with self._writing:
            if self._db is None:
                self._db = schema.open_file(self._path)
                atexit.register(self._close_quietly)

    def record_span(self, span: SpanData) -> None:
        """See `TracerDB.record_span`."""
        with self._lock:
            self._check_connected()
            self._spans[span.span_id] = span
            full = self._added()
        if full:
            self._write_if_free()

    def record_event(self, span_id: str, event: EventData) -> None:
        """See `TracerDB.record_event`. An event whose span never comes stands in `events` all the same."""
        with self._lock:
            self._check_connected()
            self._events.append((span_id, event))
            full = self._added()
        if full:
            self._write_if_free()

    def flush(self) -> None:
        """See `TracerDB.flush`: commit."""
        with self._writing:
            self._check_connected()
            self._commit("wait for the next flush")

    def close(self) -> None:
        """See `TracerDB.close`."""
        with self._writing:
            if self._db is None:
                return
            atexit.unregister(self._close_quietly)
            try:
                self._commit("are lost")
            finally:
                with self._lock:
                    db, self._db = self._db, None
                    self._spans, self._events, self._due = {}, deque(), float("inf")
                db.close()

    def _commit(self, otherwise: str) -> None:
        """Write all; raise `DeliveryError` with what happens to the rest, and with what was dropped since."""
        reason = self._write(_PATIENT_MS)
        with self._lock:
            pending, lost, self._lost = len(self._spans) + len(self._events), self._lost, 0
        sentences: list[str] = []
        if reason:
            sentences.append(f"{pending} spans and events could not be written ({reason}) and {otherwise}")
        if lost:
            sentences.append(f"{lost} were dropped because more than {self._max_pending} waited")
        if sentences:
            raise DeliveryError(f"{self._path}: {'; '.join(sentences)}")

    def _check_connected(self) -> None:
        if self._db is None:
            raise NotConnectedError(f"{self._path}: not connected; call connect() first, or use it in a with statement")

    def _added(self) -> bool:
        """Keep within the limit; tell whether it is time to write."""
        waiting = len(self._spans) + len(self._events)
        if waiting > self._max_pending:
            self._drop(waiting - self._max_pending)
        now = time.monotonic()
        if self._due == float("inf"):
            self._due = now + self._interval_s
        return now >= self._due or waiting == self._batch_size

    def _drop(self, count: int) -> None:
        for _ in range(count):
            if len(self._events) > len(self._spans):
                self._events.popleft()
            else:
                del self._spans[next(iter(self._spans))]
        self._lost += count

    def _write_if_free(self) -> None:
        """Write unless another thread is at it; what fails here is tried again, and told by `flush`."""
        if self._writing.acquire(blocking=False):
            try:
                if self._db is not None:
                    self._write(_HASTY_MS)
            finally:
                self._writing.release()

    def _write(self, patience_ms: int) -> str | None:
        """Write what is pending; return the reason if it could not be, and keep it then."""
        with self._lock:
            spans, self._spans = self._spans, {}
            events, self._events = self._events, deque()
            self._due = float("inf")
        if not spans and not events:
            return None
        try:
            with self._transaction(patience_ms) as db:
                db.executemany(_PUT_SPAN, map(_span_row, spans.values()))
                db.executemany(_PUT_EVENT, (_event_row(span_id, event) for span_id, event in events))
        except sqlite3.Error as error:
            reason: str = getattr(error, "sqlite_errorname", type(error).__name__)
        else:
            return None
        with self._lock:  # what came meanwhile is newer
            self._spans = {**spans, **self._spans}
            self._events.extendleft(reversed(events))
            self._due = time.monotonic() + self._interval_s
        return reason

    @contextlib.contextmanager
    def _transaction(self, patience_ms: int) -> Generator[sqlite3.Connection]:
        db = self._db
        if db is None:
            raise NotConnectedError(f"{self._path}: not connected")
        db.execute(f"PRAGMA busy_timeout = {patience_ms}")
        db.execute("BEGIN IMMEDIATE")  # a lock held by somebody else shows here, not half way
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # a full disk or I/O error may have rolled back already
                db.execute("ROLLBACK")
            raise


def _span_row(span: SpanData) -> tuple[str | int | None, ...]:
    attributes = orjson.dumps(dict(span.attributes)).decode()
    return (
        *(span.span_id, span.trace_id, span.parent_id, span.name),
        *(span.start, span.end, span.status, attributes),
    )


def _event_row(span_id: str, event: EventData) -> tuple[str | int, ...]:
    return span_id, event.name, event.timestamp, orjson.dumps(dict(event.attributes)).decode()
