"""The embedded store: where requests go when there is no Collector."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING, Final, Self

import msgspec
from google.protobuf.message import DecodeError

from egoscope.errors import StateError
from egoscope.otlp.client import Accepted, Outcome, Refused, Rejected, Signal, Unavailable
from egoscope.store import decode, schema

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from types import TracebackType

# Rows deleted in one transaction: `send` never waits for longer than this many.
PRUNE_ROWS: Final = 5000

INSERT_INSTANCE: Final = "INSERT INTO instances VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
# A span that is sent again is either the same bytes or a newer look at it (a row updated at its source): latest wins.
INSERT_SPAN: Final = (
    "INSERT OR REPLACE INTO spans (span_id, trace_id, parent_id, name, start_ns, end_ns, duration_ns, status, tool,"
    " outcome, emotion, time_phase, attributes, events, instance, kind, agent, subject, counted_ns, input_tokens,"
    " output_tokens, cost_nano) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# What an execution used belongs to the moment it ended. The two may come in either order, in one request or in two.
COUNT_WHERE_EXECUTION_ENDED: Final = """
    UPDATE spans SET counted_ns = ?3, agent = coalesce(agent, ?4)
    WHERE trace_id = ?1 AND parent_id = ?2 AND kind IN ('model', 'tool', 'memory') AND counted_ns IS NOT ?3
"""
FIND_EXECUTION: Final = "SELECT end_ns, agent FROM spans WHERE span_id = ? AND trace_id = ? AND kind = 'agent'"
INSERT_LOG: Final = (
    'INSERT INTO logs (instance, time_ns, identity, "offset", severity, severity_number, logger, tool, body,'
    " trace_id, span_id, attributes, agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
INSERT_SERIES: Final = (
    "INSERT INTO series (name, kind, unit, attributes, instance, bounds) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
FIND_SERIES: Final = "SELECT id FROM series WHERE name = ? AND instance = ? AND attributes = ? AND bounds = ?"
INSERT_POINT: Final = "INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
DELETE_POINTS: Final = "DELETE FROM points WHERE series = ? AND time_ns < ?"
DELETE_EMPTY_SERIES: Final = "DELETE FROM series WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM points WHERE series = ?1)"


class EmbeddedStore:
    """An `Exporter` that keeps everything in one SQLite file.

    A request is stored whole or not at all, and durably before it is `Accepted`. Storing the same bytes again changes
    nothing, so a crash between storing and acknowledging loses and doubles nothing. May be used from several threads;
    each call is one short transaction. Readers, also in other processes, never wait for it.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the store. Raises `StateError` for a file that is no store, damaged, or too new."""
        self._lock = threading.Lock()
        self._db = schema.open_writer(path)

    def send(self, signal: Signal, request: bytes) -> Outcome:
        """Store one serialised export request.

        `Unavailable` while the file is locked, the disk is full or fails; `Refused` for bytes that are no such request
        or hold a time that SQLite cannot; `Rejected` counts points of kinds that the store has no columns for.
        """
        try:
            match signal:
                case Signal.TRACES:
                    return self._store_spans(decode.decode_spans(request))
                case Signal.LOGS:
                    return self._store_logs(decode.decode_logs(request))
                case Signal.METRICS:
                    return self._store_points(decode.decode_points(request))
        except DecodeError:
            return Refused("INVALID_ARGUMENT")
        except (OverflowError, sqlite3.DataError):  # a time or count beyond 63 bits, a text beyond SQLite's limit
            return Refused("OUT_OF_RANGE")
        except sqlite3.Error as error:
            return Unavailable(getattr(error, "sqlite_errorname", type(error).__name__))

    def prune(self, older_than_ns: int) -> int:
        """Forget all spans, log records and points older than `older_than_ns` (Unix time); return how many.

        Gives the room back to the file system. Raises `StateError` when the file is locked or the disk fails; what was
        deleted until then stays deleted, and the next call goes on.
        """
        try:
            return self._prune(older_than_ns)
        except sqlite3.Error as error:
            reason = getattr(error, "sqlite_errorname", type(error).__name__)
        msg = f"embedded store: old rows could not be deleted ({reason}); they will be at the next try"
        raise StateError(msg)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def _store_spans(self, spans: decode.Spans) -> Outcome:
        with self._transaction():
            self._store_instances(spans.instances)
            self._db.executemany(INSERT_SPAN, map(msgspec.structs.astuple, spans.rows))
            self._count_where_executions_ended([row for row in spans.rows if row.kind is not None])
        return Accepted()

    def _store_logs(self, logs: decode.Logs) -> Outcome:
        with self._transaction():
            self._store_instances(logs.instances)
            self._db.executemany(INSERT_LOG, map(msgspec.structs.astuple, logs.rows))
        return Accepted()

    def _store_points(self, points: decode.Points) -> Outcome:
        with self._transaction():
            self._store_instances(points.instances)
            ids = {series: self._series_id(series) for series in dict.fromkeys(series for series, _ in points.rows)}
            rows = ((ids[series], *msgspec.structs.astuple(point)) for series, point in points.rows)
            self._db.executemany(INSERT_POINT, rows)
        return Rejected(points.unsupported) if points.unsupported else Accepted()

    def _count_where_executions_ended(self, rows: list[decode.SpanRow]) -> None:
        """Move what executions used to the moment they ended, whichever of the two came first."""
        executions = {(row.trace_id, row.span_id): (row.end_ns, row.agent) for row in rows if row.kind == "agent"}
        for key in dict.fromkeys(
            (row.trace_id, row.parent_id) for row in rows if row.kind in ("model", "tool", "memory")
        ):
            trace_id, parent_id = key
            if parent_id is not None and (trace_id, parent_id) not in executions:
                found = self._db.execute(FIND_EXECUTION, (parent_id, trace_id)).fetchone()
                if found is not None:
                    executions[trace_id, parent_id] = found
        self._db.executemany(COUNT_WHERE_EXECUTION_ENDED, ((*key, *execution) for key, execution in executions.items()))

    def _store_instances(self, instances: list[decode.InstanceRow]) -> None:
        self._db.executemany(INSERT_INSTANCE, map(msgspec.structs.astuple, instances))

    def _series_id(self, series: decode.SeriesRow) -> int:
        key = (series.name, series.instance, series.attributes, series.bounds)
        row = self._db.execute(FIND_SERIES, key).fetchone()
        if row is None:
            self._db.execute(INSERT_SERIES, msgspec.structs.astuple(series))
            row = self._db.execute(FIND_SERIES, key).fetchone()
        return int(row[0])

    def _prune(self, older_than_ns: int) -> int:
        deleted = self._delete_in_steps("spans", "end_ns < ?", older_than_ns)
        deleted += self._delete_in_steps("logs", "time_ns < ?", older_than_ns)
        with self._lock:
            series_ids = [int(row[0]) for row in self._db.execute("SELECT id FROM series")]
        for series in series_ids:
            with self._transaction():
                deleted += self._db.execute(DELETE_POINTS, (series, older_than_ns)).rowcount
                self._db.execute(DELETE_EMPTY_SERIES, (series,))
        with self._lock:
            self._db.execute("PRAGMA incremental_vacuum").fetchall()
        return deleted

    def _delete_in_steps(self, table: str, old: str, older_than_ns: int) -> int:
        statement = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {old} LIMIT {PRUNE_ROWS})"  # noqa: S608 (names of this module)
        total = 0
        while True:
            with self._transaction():
                deleted = self._db.execute(statement, (older_than_ns,)).rowcount
            total += deleted
            if deleted < PRUNE_ROWS:
                return total

    @contextlib.contextmanager
    def _transaction(self) -> Generator[None]:
        """Commit all or nothing. IMMEDIATE: a lock held by somebody else shows at the start, not half way."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk or I/O error may have rolled back already, and must not hide behind a second error.
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
