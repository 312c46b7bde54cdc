"""Koubou's database: a raw row of `task_master` in, a redacted RowRecord out; and what stands in it beside that.

Tasks are followed as rows, from their creation to their end. How many of them are in which state, and who the workers
are, has no history there: it is read as it stands whenever all rows were read. `content`, `result` and `created_by` are
never selected.
"""

from __future__ import annotations

import hmac
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import msgspec

from egoscope.convert.conversion import NEVER_NS
from egoscope.convert.semconv import OTHER
from egoscope.model.record import RowRecord
from egoscope.model.standing import (
    BUSY,
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    PENDING,
    PROCESSING,
    StandingTasks,
    StandingWorker,
)
from egoscope.redaction import AuditKey
from egoscope.rules import Action, RefusedValueError
from egoscope.sources.row_format import Table, Times, UnreadableRow
from egoscope.sources.timestamps import written_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.redaction import Policy
    from egoscope.sources.row_pages import Layout, Snapshot

SOURCE: Final = "koubou"
SOURCE_WORKERS: Final = "koubou_workers"
SERVICE: Final = "koubou"

TASKS: Final = "task_master"
WORKERS: Final = "workers"
NO_TIME: Final = "no_time"
SETTLES_NS: Final = 15 * 60 * 10**9
"""Whoever has a task may end it after somebody else did, and what failed may be tried again: within this time."""

_FINAL: Final = frozenset({COMPLETED, FAILED, CANCELLED})
_OPEN: Final = frozenset({PENDING, IN_PROGRESS, PROCESSING})
_BUSY: Final = frozenset({BUSY, "processing", "working"})

_STATES: Final = _OPEN | _FINAL

_MOST_WORKERS: Final = 10_000
_MOST_CHARACTERS: Final = 256
"""So much is kept of each column of a worker: no name, state or time that may leave is longer."""
_PAGE_ROWS: Final = 500
_PAGE_BYTES: Final = 1 << 20

_FLAWED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR})


class FoundWorker(msgspec.Struct, frozen=True):
    """The row of a worker, the beginning of each value. Never log, store or raise it.

    `task`: the id of its task as it may leave, of the whole of it. Where its heartbeat is no time `heartbeat_ns` is 0,
    and `heartbeat_digest` shows whether it changes.
    """

    digest: bytes
    fields: Mapping[str, Any]
    task: str | None = None
    heartbeat_ns: int = 0
    heartbeat_digest: str = ""

    def __repr__(self) -> str:
        return f"FoundWorker({len(self.fields)} fields)"


class Found(msgspec.Struct, frozen=True):
    """What stands in a database. Its workers are unredacted: never log, store or raise it.

    `stored`: tasks by state. `open`: by state and priority. `oldest_s`: by state, since when the longest open one is in
    it, Unix seconds. `workers` is None where there is no such table, or none that can be read.
    """

    stored: Mapping[str, int]
    open: Mapping[tuple[str, int | None], int]
    oldest_s: Mapping[str, int]
    workers: Sequence[FoundWorker] | None

    def __repr__(self) -> str:
        return f"Found({len(self.stored)} states)"


class KoubouFormat:
    """Reads tasks and workers, each redacted by its own policy before anything else sees it."""

    source = SOURCE
    service = SERVICE

    def __init__(self, policy: Policy, worker_policy: Policy, *, key: bytes) -> None:
        """`key`: secret bytes, for pseudonyms of tasks whose ids are none of Koubou's own."""
        self.policies: Sequence[Policy] = (policy, worker_policy)
        self.tables: Sequence[Table] = (
            Table(
                name=TASKS,
                key="task_id",
                required=("task_id", "status", "created_at"),
                optional=("updated_at", "priority", "assigned_to", *policy.added),
                tells_starts=True,
                expires_ns=NEVER_NS,
                settles_ns=SETTLES_NS,
            ),
        )
        self.beside: Sequence[Table] = (
            Table(
                name=WORKERS,
                key="worker_id",
                required=("worker_id", "status"),
                optional=("current_task", "last_heartbeat", *worker_policy.added),
            ),
        )
        self._policy, self._worker_policy, self._key = policy, worker_policy, key
        self._said: dict[bytes, tuple[str, StandingWorker]] = {}

    def times(self, table: str, row: Mapping[str, Any]) -> Times | UnreadableRow:  # noqa: ARG002 (there is but one)
        """Return when a task was created and ended, or in which state it is since it was last changed."""
        created_ns = written_time(row.get("created_at"))
        written = row.get("updated_at")
        changed_ns = created_ns if written is None else written_time(written)
        if created_ns is None or changed_ns is None:
            return UnreadableRow(NO_TIME)
        status = row.get("status")
        if _is_in(status, _FINAL):
            return Times(created_ns, changed_ns, _known(status, _FINAL))
        return Times(created_ns, None, _known(status, _OPEN), changed_ns, self._holder(row))

    def begun(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """See `RowFormat.begun`: its id, its priority, and who has it."""
        values: dict[str, Any] = {}
        if (task := self._task(self._policy, "task_id", row.get("task_id"))) is not None:
            values["task_id"] = task
        if (priority := self._priority(row.get("priority"))) is not None:
            values["priority"] = priority
        rule, worker = self._policy.rules.get("assigned_to"), row.get("assigned_to")
        if rule is not None and worker:
            try:
                values["assigned_to"] = rule.apply(worker)
            except (RefusedValueError, TypeError):
                values["assigned_to"] = OTHER
        values["holder"] = times.holder
        return RowRecord(table, rowid, key, times.start_ns, None, values)

    def ended(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """See `RowFormat.ended`."""
        fields = {name: value for name, value in row.items() if value is not None and value != ""}
        task = self._task(self._policy, "task_id", fields.get("task_id"))
        if task is not None and task != fields.get("task_id"):
            del fields["task_id"]
            self._policy.note(AuditKey("task_id", Action.PSEUDONYMISED, ""))
        values = self._policy.redact(fields)
        if task is not None:
            values["task_id"] = task
        values.pop("priority", None)
        if (priority := self._priority(fields.get("priority"))) is not None:
            values["priority"] = priority
        if "assigned_to" in fields and "assigned_to" in self._policy.rules:
            values.setdefault("assigned_to", OTHER)
        if self._policy.added:
            values["added"] = self._policy.added_attributes(values)
        values["holder"] = self._holder(row)
        return RowRecord(table, rowid, key, times.start_ns, times.end_ns, values)

    def look(self, snapshot: Snapshot) -> Found | None:
        """See `RowFormat.look`. Of tasks that ended no row is read, only the index by state.

        However many different values there are: what is told alike is one from here on.
        """
        tasks, workers = snapshot.layout(self.tables[0]), snapshot.layout(self.beside[0])
        if tasks is None:
            return None
        stored: dict[str, int] = {}
        for status, number in snapshot.tally(tasks, "status"):
            state = _known(status, _STATES)
            stored[state] = stored.get(state, 0) + number
        by_priority: dict[tuple[str, int | None], int] = {}
        oldest_s: dict[str, int] = {}
        for state in (one for one in stored if one not in _FINAL):
            # What is done to a task that waits changes it, too; it waits since it was created.
            since = ("created_at" if state == PENDING else "updated_at",)
            if state == OTHER:
                found = snapshot.tally(tasks, "priority", oldest=since, unless=("status", sorted(_STATES)))
            else:
                found = snapshot.tally(tasks, "priority", oldest=since, where=("status", state))
            for value, number, since_s in found:
                by = state, self._priority(value)
                by_priority[by] = by_priority.get(by, 0) + number
                if since_s is not None:
                    oldest_s[state] = min(oldest_s.get(state, since_s), since_s)
        return Found(stored, by_priority, oldest_s, self._workers(snapshot, workers))

    def standing(self, found: Found) -> StandingTasks:
        """See `RowFormat.standing`. What redaction did with a worker is counted when its row says something new."""
        oldest_ns = {state: since_s * 10**9 for state, since_s in found.oldest_s.items()}
        if found.workers is None:
            return StandingTasks(found.stored, found.open, oldest_ns)
        self._said = {worker.digest: self._worker(worker) for worker in found.workers}
        return StandingTasks(found.stored, found.open, oldest_ns, [worker for _, worker in self._said.values()])

    def note_unread_columns(self, table: str, rows: int, columns: Sequence[str]) -> None:  # noqa: ARG002 (there is but one)
        """Count columns that were not read."""
        self._policy.note_unread(columns, rows)

    def worker_of(self, digest: bytes, row: Mapping[str, Any]) -> FoundWorker:
        """Return what is kept of a row of `workers`."""
        heartbeat = row.get("last_heartbeat")
        heartbeat_ns, heartbeat_digest = written_time(heartbeat) or 0, ""
        if not heartbeat_ns and "last_heartbeat" in row:
            heartbeat_digest = self._digest(heartbeat)[:16]
        fields = {
            name: value[:_MOST_CHARACTERS] if isinstance(value, (str, bytes)) else value
            for name, value in row.items()
            if value is not None and name != "last_heartbeat"
        }
        task = self._task(self._worker_policy, "current_task", row.get("current_task"))
        return FoundWorker(digest, fields, task, heartbeat_ns, heartbeat_digest)

    def _workers(self, snapshot: Snapshot, layout: Layout | None) -> Sequence[FoundWorker] | None:
        """Return the rows of workers. That they cannot be read is no reason not to tell of tasks."""
        if layout is None or layout.missing:
            return None
        workers: list[FoundWorker] = []
        after, more = -(1 << 63), True
        try:
            while more and len(workers) < _MOST_WORKERS:
                page = snapshot.page(layout, after, _PAGE_ROWS, _PAGE_BYTES)
                workers += [self.worker_of(row.digest, row.values or {}) for row in page.rows]
                after, more = page.rows[-1].rowid if page.rows else after, page.more
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in _FLAWED:
                raise  # it may be read another time
            return None
        return workers

    def _worker(self, found: FoundWorker) -> tuple[str, StandingWorker]:
        fields, task = found.fields, found.task
        now = self._digest(repr((fields, task)))
        said = self._said.get(found.digest)
        if said is not None and said[0] == now:
            return now, msgspec.structs.replace(
                said[1], heartbeat_ns=found.heartbeat_ns, heartbeat_digest=found.heartbeat_digest
            )
        policy = self._worker_policy
        asked = dict(fields)
        if task is not None and task != fields.get("current_task"):
            del asked["current_task"]
            policy.note(AuditKey("current_task", Action.PSEUDONYMISED, ""))
        kept = policy.redact(asked)
        status = kept.get("status", OTHER)
        return now, StandingWorker(
            found.digest.hex(),
            kept.get("worker_id", OTHER),
            BUSY if status in _BUSY else status,
            task or "",
            found.heartbeat_ns,
            found.heartbeat_digest,
            policy.added_attributes(kept) if policy.added else (),
        )

    def _holder(self, row: Mapping[str, Any]) -> str:
        """Return a digest of who has a task: it tells two workers apart that may have no name outside."""
        worker = row.get("assigned_to")
        return "" if worker is None or worker == "" else self._digest(worker)[:8]

    def _task(self, policy: Policy, field: str, value: object) -> str | None:
        """Return a task's id as it may leave; None where it has none, or a policy takes it away."""
        rule = policy.rules.get(field)
        if rule is None or value is None or value == "":
            return None
        try:
            return rule.apply(value)
        except (RefusedValueError, TypeError):
            return self._pseudonym(value)

    def _pseudonym(self, value: object) -> str:
        return f"t-{self._digest(value)[:16]}"

    def _digest(self, value: object) -> str:
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, raw, "sha256").hex()

    def _priority(self, value: object) -> int | None:
        rule = self._policy.rules.get("priority")
        if rule is None:
            return None
        try:
            number = rule.apply(value)
        except (RefusedValueError, TypeError):
            return None
        return int(number) if number == int(number) else None


def _known(status: object, states: frozenset[str]) -> str:
    return status if isinstance(status, str) and status in states else OTHER


def _is_in(status: object, states: frozenset[str]) -> bool:
    return isinstance(status, str) and status in states
