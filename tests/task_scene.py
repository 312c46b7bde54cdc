"""A few tasks and workers whose truth is known, as the telemetry that is made of Koubou's databases.

Two databases, on the two days before an hour of `today`, UTC. All that happened did so at whole seconds, as Koubou has
it, and further apart than the second in which points of histograms are joined.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.convert.conversion import CATALOGUE, Telemetry
from egoscope.convert.series import SeriesSet
from egoscope.model.telemetry import Constants, LogRecord, Span, SpanEvent, SpanKind
from egoscope.otlp.requests import encode_telemetry
from egoscope.sources.koubou import SERVICE

if TYPE_CHECKING:
    from egoscope.model.telemetry import Attribute
    from egoscope.otlp.requests import Request

SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MAIN, OTHER = "main.db", "other.db"
WORDS: Final = {"ok": "completed in", "error": "failed after", "cancelled": "cancelled after"}
WORKER_STATES: Final = ("idle", "busy", "lost", "offline", s.OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One task; times in nanoseconds after the scene began, None: not yet, or never."""

    id: str
    created: int
    started: int | None = None
    returned: int | None = None
    ended: int | None = None
    outcome: str = "ok"
    worker: str | None = None
    priority: int = 5
    database: str = MAIN

    @property
    def seconds(self) -> float:
        """From creation to end."""
        return ((self.ended or 0) - self.created) / SECOND


TASKS: Final = (
    Done(id="task_00001", created=1 * HOUR, started=1 * HOUR + 5 * SECOND, ended=1 * HOUR + 20 * SECOND,
         worker="worker_1"),
    Done(id="task_00002", created=2 * HOUR, started=2 * HOUR + 60 * SECOND, ended=2 * HOUR + 600 * SECOND,
         outcome="error", worker="worker_1", priority=1),
    Done(id="task_00003", created=3 * HOUR, started=3 * HOUR + 2 * SECOND, returned=4 * HOUR, ended=DAY + 2 * HOUR,
         worker="worker_2"),
    # Ended without a worker; called off; of an id that somebody chose.
    Done(id="task_00004", created=5 * HOUR, ended=5 * HOUR + 3 * SECOND),
    Done(id="task_00005", created=6 * HOUR, ended=7 * HOUR, outcome="cancelled", priority=9),
    Done(id="t-0123456789abcdef", created=DAY + HOUR, started=DAY + HOUR + 30 * SECOND, ended=DAY + HOUR + 90 * SECOND,
         worker="gemini_worker_77"),
    Done(id="task_00001", created=DAY + 3 * HOUR, started=DAY + 3 * HOUR + 10 * SECOND,
         ended=DAY + 3 * HOUR + 11 * SECOND, worker="worker_1", database=OTHER),
    # Open: one is done, three wait.
    Done(id="task_00010", created=2 * DAY - 40 * MINUTE, started=2 * DAY - 30 * MINUTE, worker="worker_1"),
    Done(id="task_00011", created=2 * DAY - 20 * MINUTE),
    Done(id="task_00012", created=2 * DAY - 15 * MINUTE),
    Done(id="task_00013", created=2 * DAY - 10 * MINUTE, priority=1, database=OTHER),
)  # fmt: skip
"""In order of creation."""


@dataclass(frozen=True, slots=True)
class Change:
    """A worker's state from a moment on."""

    database: str
    worker: str
    at: int
    state: str
    task: str | None = None


CHANGES: Final = (
    Change(MAIN, "worker_1", 30 * MINUTE, "idle"),
    Change(MAIN, "worker_2", 30 * MINUTE, "idle"),
    Change(OTHER, "worker_1", 40 * MINUTE, "idle"),
    Change(MAIN, "worker_1", 1 * HOUR + 5 * SECOND, "busy", "task_00001"),
    Change(MAIN, "worker_1", 1 * HOUR + 20 * SECOND, "idle"),
    Change(MAIN, "gemini_worker_77", DAY + 30 * MINUTE, "busy", "t-0123456789abcdef"),
    Change(MAIN, "gemini_worker_77", DAY + HOUR + 90 * SECOND, "idle"),
    Change(MAIN, "gemini_worker_77", DAY + 2 * HOUR, "gone"),
    # Two changes of one second: the gauge says which was the later one.
    Change(MAIN, "worker_1", 2 * DAY - 30 * MINUTE, "idle"),
    Change(MAIN, "worker_1", 2 * DAY - 30 * MINUTE, "busy", "task_00010"),
    Change(MAIN, "worker_2", 2 * DAY - 25 * MINUTE, "lost", "task_00009"),
)
PROCESSES: Final = (("build", "alive", 3), ("build", "unhealthy", 0), ("mail", "alive", 0), ("mail", "unhealthy", 1))
EXPECTED: Final = {"sidecar": 4, "another sidecar": 2}
"""How many workers there should be, as each sidecar says; of neither the machine has a name."""
BEATS: Final = {
    (MAIN, "worker_1"): 2 * DAY - 5 * SECOND,
    (MAIN, "worker_2"): 2 * DAY - 26 * MINUTE,
    (OTHER, "worker_1"): 2 * DAY - 8 * SECOND,
}


class TaskScene:
    """The tasks and workers, with their times, ids and telemetry."""

    def __init__(self, today: dt.date, *, hour: int = 0) -> None:
        end = dt.datetime(today.year, today.month, today.day, hour, tzinfo=dt.UTC)
        self.start = end - dt.timedelta(days=2)
        self.now = end + dt.timedelta(minutes=1)
        self._start_ns = int(self.start.timestamp()) * SECOND

    def time(self, after_ns: int) -> dt.datetime:
        """Return the moment so long after the scene began."""
        return self.start + dt.timedelta(microseconds=after_ns // 1000)

    def trace_id(self, task: Done) -> str:
        """Return a task's trace id."""
        return _id(task, "trace", 16).hex()

    def instance(self, database: str) -> str:
        """Return a database's `service.instance.id`."""
        return sha256(database.encode()).hexdigest()[:32]

    def requests(self) -> list[Request]:
        """Return all export requests, oldest first."""
        made: list[Request] = []
        for database in (MAIN, OTHER):
            resource = (
                (s.SERVICE_NAME, SERVICE),
                (s.SERVICE_INSTANCE_ID, self.instance(database)),
                (s.SOURCE, SERVICE),
            )
            made += encode_telemetry(self._of(database), resource)
        for sidecar, expected in EXPECTED.items():
            resource = ((s.SERVICE_NAME, "egoscope"), (s.SERVICE_INSTANCE_ID, self.instance(sidecar)))
            processes = PROCESSES if sidecar == "sidecar" else ()
            made += encode_telemetry(self._of_a_sidecar(processes, expected), resource)
        return made

    def _of_a_sidecar(self, processes: tuple[tuple[str, str, int], ...], expected: int) -> Telemetry:
        """Tell of worker processes that no database tells of, and of how many workers there should be."""
        series = SeriesSet(CATALOGUE, [])
        told_ms = int(self.now.timestamp() * 1000) - 10_000
        for group, state, number in processes:
            series[c.WORKER_PROCESSES, ((s.GROUP, group), (s.STATE, state))].note((told_ms, number))
        series[c.WORKERS_EXPECTED, ()].note((told_ms, expected))
        return Telemetry([], [], *series.drain())

    def _of(self, database: str) -> Telemetry:
        tasks = [task for task in TASKS if task.database == database]
        changes = [change for change in CHANGES if change.database == database]
        series = SeriesSet(CATALOGUE, [])
        now_ms = int(self.now.timestamp() * 1000)
        logs = [log for task in tasks for log in self._logs(task)] + [self._change(change) for change in changes]
        noted: list[tuple[int, c.Metric, float, tuple[Attribute, ...]]] = []
        for task in tasks:
            noted += _counted(task)
        noted += _depth(tasks)
        for at, metric, amount, attributes in sorted(noted, key=lambda one: one[0]):
            series[metric, attributes].note(((self._start_ns + at) // 10**6, amount))
        for metric, amount, attributes in self._standing(database, tasks, changes):
            series[metric, attributes].note((now_ms - 10_000, amount))
        spans = [self._span(task) for task in tasks if task.ended is not None]
        return Telemetry(spans, sorted(logs, key=lambda log: log.time_ns), *series.drain())

    def _standing(
        self, database: str, tasks: list[Done], changes: list[Change]
    ) -> list[tuple[c.Metric, float, tuple[Attribute, ...]]]:
        waiting = [task.created for task in tasks if task.started is None and task.ended is None]
        oldest = (self._start_ns + min(waiting)) / SECOND if waiting else 0
        now = {(metric, attributes): (metric, amount, attributes) for _, metric, amount, attributes in _depth(tasks)}
        found: list[tuple[c.Metric, float, tuple[Attribute, ...]]] = [
            *now.values(),
            (c.TASKS_OLDEST, oldest, ((s.STATE, "pending"),)),
            (c.TASKS_OLDEST, 0, ((s.STATE, "in_progress"),)),
        ]
        states = {change.worker: change.state for change in changes}
        there = {worker: state for worker, state in states.items() if state != "gone"}
        for state in WORKER_STATES:
            found.append((c.WORKERS, list(there.values()).count(state), ((s.STATE, state),)))
            found += [
                (c.WORKER_STATE, float(state == now), ((s.WORKER, worker), (s.STATE, state)))
                for worker, now in states.items()
            ]
        found += [
            (c.WORKER_HEARTBEAT, (self._start_ns + at) / SECOND, ((s.WORKER, worker),))
            for (of, worker), at in BEATS.items()
            if of == database
        ]
        return found

    def _span(self, task: Done) -> Span:
        about: list[Attribute] = [
            (s.TASK_ID, task.id),
            (s.TASK_PRIORITY, task.priority),
            (s.TASK_OUTCOME, task.outcome),
        ]
        if task.worker is not None:
            about.append((s.TASK_WORKER, task.worker))
        if task.outcome == "error":
            about.append((s.ERROR_TYPE, s.OTHER))
        events: list[SpanEvent] = []
        if task.started is not None:
            events.append(
                SpanEvent(self._start_ns + task.started, s.EVENT_TASK_STARTED, ((s.TASK_WORKER, task.worker or ""),))
            )
        if task.returned is not None:
            events.append(SpanEvent(self._start_ns + task.returned, s.EVENT_TASK_RETURNED, ()))
        return Span(
            trace_id=_id(task, "trace", 16),
            span_id=_id(task, "root", 8),
            name=s.SPAN_TASK,
            start_ns=self._start_ns + task.created,
            end_ns=self._start_ns + (task.ended or 0),
            constants=Constants(()),
            varying=about,
            offset=None,
            events=events,
            failed=task.outcome == "error",
            kind=SpanKind.INTERNAL,
        )

    def _logs(self, task: Done) -> list[LogRecord]:
        about: list[Attribute] = [(s.TASK_ID, task.id), (s.TASK_PRIORITY, task.priority)]
        worker: list[Attribute] = [(s.TASK_WORKER, task.worker)] if task.worker else []

        def line(at: int, said: str, *more: Attribute, severity: str = "INFO") -> LogRecord:
            return LogRecord(
                time_ns=self._start_ns + at,
                observed_ns=self._start_ns + at,
                severity=severity,
                body=f"{task.id} {said}",
                constants=Constants(((s.LOGGER, "koubou.tasks"),), "koubou.tasks"),
                varying=[*about, *more],
                offset=None,
                trace_id=_id(task, "trace", 16),
                span_id=_id(task, "root", 8),
            )

        found = [line(task.created, "created")]
        if task.started is not None:
            found.append(line(task.started, f"started by {task.worker}", *worker))
        if task.returned is not None:
            found.append(line(task.returned, "returned to the queue"))
        if task.ended is not None:
            said = f"{WORDS[task.outcome]} {task.seconds * 1000:.0f} ms"
            severity = "ERROR" if task.outcome == "error" else "INFO"
            found.append(line(task.ended, said, *worker, (s.TASK_OUTCOME, task.outcome), severity=severity))
        return found

    def _change(self, change: Change) -> LogRecord:
        at_ns = self._start_ns + change.at
        about: list[Attribute] = [
            (s.TASK_WORKER, change.worker),
            (s.TASK_WORKER_STATE, change.state),
            (s.TASK_WORKER_SINCE, at_ns / SECOND),
        ]
        if change.task:
            about.append((s.TASK_ID, change.task))
        return LogRecord(
            time_ns=at_ns,
            observed_ns=at_ns,
            severity="WARNING" if change.state == "lost" else "INFO",
            body=f"{change.worker} {change.state}" + (f" with {change.task}" if change.state == "busy" else ""),
            constants=Constants(((s.LOGGER, "koubou.workers"),), "koubou.workers"),
            varying=about,
            offset=None,
        )


def _counted(task: Done) -> list[tuple[int, c.Metric, float, tuple[Attribute, ...]]]:
    priority = (s.PRIORITY, str(task.priority))
    found: list[tuple[int, c.Metric, float, tuple[Attribute, ...]]] = [(task.created, c.TASKS_CREATED, 1, (priority,))]
    if task.started is not None:
        found.append((task.started, c.TASKS_STARTED, 1, (priority,)))
        found.append((task.started, c.TASK_WAIT, (task.started - task.created) / SECOND, ()))
    if task.returned is not None:
        found.append((task.returned, c.TASKS_RETURNED, 1, (priority,)))
    if task.ended is not None:
        outcome = (s.LABEL_OUTCOME, task.outcome)
        found.append((task.ended, c.TASKS_ENDED, 1, (priority, outcome)))
        found.append((task.ended, c.TASK_DURATION, task.seconds, (outcome,)))
        if task.worker is not None:
            found.append((task.ended, c.WORKER_TASKS, 1, ((s.WORKER, task.worker), outcome)))
    return found


def _depth(tasks: list[Done]) -> list[tuple[int, c.Metric, float, tuple[Attribute, ...]]]:
    """Return how many tasks were open by state and priority, at each change."""
    steps: list[tuple[int, str, str, int]] = []
    for task in tasks:
        priority = str(task.priority)
        steps.append((task.created, "pending", priority, 1))
        left = [time for time in (task.started, task.ended) if time is not None]
        if left:
            steps.append((left[0], "pending", priority, -1))
        if task.started is not None:
            steps.append((task.started, "in_progress", priority, 1))
            until = task.ended if task.returned is None else task.returned
            if until is not None:
                steps.append((until, "in_progress", priority, -1))
        if task.returned is not None and task.ended is not None:
            steps += [(task.returned, "pending", priority, 1), (task.ended, "pending", priority, -1)]
    depth: defaultdict[tuple[str, str], int] = defaultdict(int)
    found: list[tuple[int, c.Metric, float, tuple[Attribute, ...]]] = []
    for at, state, priority, step in sorted(steps):
        depth[state, priority] += step
        found.append((at, c.TASKS_OPEN, depth[state, priority], ((s.STATE, state), (s.PRIORITY, priority))))
        in_state = sum(number for (other, _), number in depth.items() if other == state)
        found.append((at, c.TASKS_STORED, in_state, ((s.STATE, state),)))
    return found


def _id(task: Done, what: str, size: int) -> bytes:
    return sha256(f"{task.database} {task.id} {what}".encode()).digest()[:size]
