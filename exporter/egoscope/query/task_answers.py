"""What the query API answers about tasks and the workers that do them: frozen values, units as in `answers`."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, get_args

from egoscope.convert import semconv as s
from egoscope.model.standing import BUSY, IDLE, PENDING
from egoscope.query.answers import success_rate

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

TaskOutcome = Literal["ok", "error", "cancelled"]
"""How a task ended: Koubou's `completed` is ok, `failed` is error."""
TASK_OUTCOMES: Final = frozenset(get_args(TaskOutcome))

_NONE: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTasks:
    """Tasks that have not ended, of one state and priority."""

    state: str
    """`pending`, `in_progress`, `processing` or `_OTHER`."""
    priority: str
    """As the database has it: 10 is the most urgent of Koubou's, 1 the least."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGroup:
    """Worker processes of one group, found by name or by pid file; of several machines all together."""

    group: str
    alive: int
    unhealthy: int
    """Stopped, ended without anybody's notice, or named by a pid file and not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOverview:
    """All tasks in a range of time, and how things stand now, whatever the range."""

    created: int
    started: int
    """Taken up by a worker for the first time."""
    returned: int
    """How often tasks went back to the queue, for instance because their worker was lost."""
    completed: int
    failed: int
    cancelled: int
    avg_s: float | None
    """From creation to end, of those that ended, however they did; so are the percentiles."""
    p50_s: float | None
    p95_s: float | None
    wait_avg_s: float | None
    """From creation until a worker took it up, of those that were taken up; so are the percentiles."""
    wait_p50_s: float | None
    """Percentiles of waiting are estimates within a histogram's bucket, whatever is asked."""
    wait_p95_s: float | None
    open: tuple[OpenTasks, ...]
    """Now, by state and priority; those without a task left out."""
    oldest_waiting: dt.datetime | None
    """Since when the task waits that waits longest of those that wait now."""
    workers: Mapping[str, int] = field(default_factory=lambda: _NONE, hash=False)
    """Now, by state: idle, busy, lost, offline, `_OTHER`; states without a worker left out."""
    processes: tuple[ProcessGroup, ...] = ()
    """Now, workers that no database tells of, by group; empty where none are looked for, or nobody told lately."""
    workers_expected: int | None = None
    """How many workers there should be at least, of both kinds together, where the sidecar tells it."""
    as_of: dt.datetime | None
    """When `open` and `workers` were last told; None: not within five minutes, so that nothing is known of now."""

    @property
    def ended(self) -> int:
        """Completed, failed and cancelled together."""
        return self.completed + self.failed + self.cancelled

    @property
    def success_rate(self) -> float | None:
        """Share that was completed of what was completed or failed, 0 to 1; what was cancelled is neither."""
        return success_rate(self.completed + self.failed, self.failed)

    @property
    def waiting(self) -> int:
        """Tasks in the queue now."""
        return sum(one.count for one in self.open if one.state == PENDING)

    @property
    def running(self) -> int:
        """Tasks that a worker has now."""
        return sum(one.count for one in self.open if one.state not in (PENDING, s.OTHER))

    @property
    def available(self) -> int:
        """Workers that work or could: busy and idle ones, and processes that are alive."""
        return self.workers.get(BUSY, 0) + self.workers.get(IDLE, 0) + self.processes_alive

    @property
    def processes_alive(self) -> int:
        """Worker processes of all groups that are alive."""
        return sum(group.alive for group in self.processes)

    @property
    def processes_unhealthy(self) -> int:
        """Worker processes of all groups that are not well."""
        return sum(group.unhealthy for group in self.processes)

    @property
    def is_nothing(self) -> bool:
        """Whether neither a task nor a worker is known of."""
        tasks = self.created or self.started or self.returned or self.ended or self.open
        return not (tasks or self.workers or self.processes)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """How many tasks waited at one moment."""

    time: dt.datetime
    waiting: int | None
    """None where nobody told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker: as it is now, and the tasks that ended with it in a range of time."""

    name: str
    instance: str
    """Which database it is of, by its `service.instance.id`: numbered workers are called alike everywhere."""
    state: str
    """`idle`, `busy`, `lost` (no heartbeat for too long), `offline` or `_OTHER`.

    `gone`: it ended tasks in the range, and is there no more."""
    since: dt.datetime | None
    """Since when it is so; None where that is not known, over the stack also where it is longer ago than a day."""
    task_id: str | None
    """The task it has now, or had when it was lost."""
    last_heartbeat: dt.datetime | None
    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task that ended."""

    task_id: str
    """Koubou's own, or a keyed pseudonym `t-…` where somebody chose another."""
    trace_id: str
    """32 hex digits; what `get_trace` takes."""
    worker: str | None
    """None where it ended without one."""
    priority: int | None
    outcome: TaskOutcome
    created: dt.datetime
    ended: dt.datetime
    duration_s: float
    """From creation to end."""
