"""Conversion of Koubou's database: tasks in, in time order; traces, log records and counts of them out.

What happens to a task is counted when it happens; how many there are, and who works, is told as it stands (decision
0023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.convert.conversion import NEVER_NS
from egoscope.convert.row_conversion import DatabaseConversion, Labels, RowState, end_of, values_of
from egoscope.convert.task_spans import Taken, log_of, log_of_end, outcome_of, span_of
from egoscope.convert.workers import KnownWorker, Workers
from egoscope.model.record import AHEAD_NS
from egoscope.model.standing import CANCELLED, COMPLETED, FAILED, IN_PROGRESS, PENDING, PROCESSING

if TYPE_CHECKING:
    from egoscope.convert.ids import Ids
    from egoscope.convert.series import SeriesRow
    from egoscope.model.record import RowRecord
    from egoscope.model.standing import StandingTasks
    from egoscope.model.telemetry import Attribute

MAX_PRIORITIES: Final = 64
"""Values that labels of one instance may have; `_OTHER` stands for more."""

DEFAULT_LOST_NS: Final = 60 * 10**9

_WORKED_ON: Final = frozenset({IN_PROGRESS, PROCESSING})
_STORED: Final = (PENDING, IN_PROGRESS, COMPLETED, FAILED, CANCELLED)
_OPEN: Final = (PENDING, IN_PROGRESS)
"""States that are told also where no task is in them."""
_MOST_ENDED: Final = 2000
_REMEMBERED_NS: Final = 3600 * 10**9
"""Of tasks that ended it is known for so long that they had started; they may be open again (`Table.settles_ns`)."""


class TaskState(RowState):
    """What a restart needs of one database: also what became of open tasks, and how its workers were.

    `ended`: keys of tasks that ended lately and had started, and the newest time then.
    """

    taken: dict[str, Taken] = msgspec.field(default_factory=dict[str, Taken])
    ended: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    workers: dict[str, KnownWorker] = msgspec.field(default_factory=dict[str, KnownWorker])


class TaskConversion(DatabaseConversion[TaskState]):
    """Turns the tasks and workers of one database into telemetry."""

    expires_ns: ClassVar[int] = NEVER_NS
    tells_what_stands: ClassVar[bool] = True

    def __init__(
        self, ids: Ids, state: TaskState, series: list[SeriesRow], *, lost_after_ns: int = DEFAULT_LOST_NS
    ) -> None:
        """`lost_after_ns`: a worker that was not heard of for longer is lost."""
        super().__init__(ids, state, series)
        self._taken, self._ended = state.taken, state.ended
        self._workers = Workers(self._series, state.workers, lost_after_ns)
        self._priorities = Labels(MAX_PRIORITIES, values_of(self._series, s.PRIORITY, c.TASKS_CREATED, c.TASKS_OPEN))

    def started(self, record: RowRecord) -> None:
        """A task was created."""
        super().started(record)
        self._note(c.TASKS_CREATED, record.start_ns, 1, self._by_priority(record))
        self._log(log_of(record, record.start_ns, "created", self._ids.row(record.key), worker=""))

    def changed(self, record: RowRecord, state: str, time_ns: int) -> None:
        """A task is in another state, or in other hands: a worker took it up, or it went back to the queue.

        One that had ended and is open again was in the queue, whoever has it now.
        """
        self._reach(time_ns)
        taken = self._taken.get(record.key)
        if record.key not in self._running:
            self._running[record.key] = record
            self._taken[record.key] = taken = self._taken_before(record)
            self._gave_back(record, taken, time_ns)
        if taken is not None and taken.by_worker and (state == PENDING or _is_passed_on(record, taken)):
            self._gave_back(record, taken, time_ns)
        if state in _WORKED_ON and (taken is None or not taken.by_worker):
            self._took_up(record, taken or Taken(), time_ns)

    def ended(self, record: RowRecord) -> None:
        """A task ended; or it had ended, and its end is another one now."""
        if record.key not in self._running:
            self._taken[record.key] = self._taken_before(record)
        super().ended(record)

    def gone(self, key: str) -> None:
        """A task was deleted before it ended."""
        self._taken.pop(key, None)
        super().gone(key)

    def standing(self, found: StandingTasks, time_ns: int) -> None:
        """Tell how many tasks there are and how the workers are. `time_ns` 0: as of the newest that was told."""
        workers = found.workers or ()
        time_ns = time_ns or max((self._newest_ns, *(worker.heartbeat_ns for worker in workers)))
        if not time_ns:
            return
        self._reach(max((one.heartbeat_ns for one in workers if one.heartbeat_ns <= time_ns), default=0))
        time_ms = time_ns // 1_000_000
        stored: dict[str, int] = {**dict.fromkeys(_STORED, 0), **found.stored}
        self._series.stand(c.TASKS_STORED, time_ms, {((s.STATE, state),): n for state, n in stored.items()})
        self._series.stand(c.TASKS_OLDEST, time_ms, self._oldest(found, time_ns))
        self._series.stand(c.TASKS_OPEN, time_ms, self._open(found))
        if found.workers is not None or self._state.workers:
            for record in self._workers.look(workers, time_ns, self._taken_ns()):
                self._log(record)

    def keep_alive(self, now_ns: int) -> None:
        """Give every series that was silent a point at this time; tell of workers that are lost by then."""
        for record in self._workers.time_passes(now_ns):
            self._log(record)
        super().keep_alive(now_ns)

    def _finished(self, record: RowRecord, *, expired: bool) -> None:  # noqa: ARG002 (a task is never given up)
        taken, end_ns = self._taken.pop(record.key, None) or Taken(), end_of(record)
        if not taken.first_ns and "assigned_to" in record.values:  # nobody saw it being worked on, but somebody did
            taken.first_ns = end_ns
            self._note(c.TASKS_STARTED, end_ns, 1, self._by_priority(record))
        elif taken.by_worker and _is_passed_on(record, taken):
            self._gave_back(record, taken, end_ns)
        if taken.first_ns:
            self._remember(record.key)
        outcome = outcome_of(record)
        ids, how = self._ids.row(record.key), (s.LABEL_OUTCOME, outcome)
        if not taken.again:
            self._spans.append(span_of(record, taken, ids))
        self._log(log_of_end(record, ids))
        self._note(c.TASKS_ENDED, end_ns, 1, self._by_priority(record), how)
        self._note(c.TASK_DURATION, end_ns, (end_ns - record.start_ns) / 1e9, how)
        if "assigned_to" in record.values:
            self._note(c.WORKER_TASKS, end_ns, 1, (s.WORKER, self._workers.labels[record.values["assigned_to"]]), how)

    def _took_up(self, record: RowRecord, taken: Taken, time_ns: int) -> None:
        worker = record.values.get("assigned_to", "")
        if not taken.first_ns:
            taken.first_ns = time_ns
            self._note(c.TASKS_STARTED, time_ns, 1, self._by_priority(record))
            # One of Koubou's programs does not write when it gives a task away. Where nobody saw that the task waited,
            # the row has no other time than that of its creation, and how long it waited is not known.
            if time_ns != record.start_ns:
                self._note(c.TASK_WAIT, time_ns, (time_ns - record.start_ns) / 1e9)
        taken.by_worker, taken.since_ns, taken.holder = True, time_ns, record.values.get("holder", "")
        taken.note(time_ns, worker)
        self._taken[record.key] = taken
        self._log(log_of(record, time_ns, f"started by {worker or s.OTHER}", self._ids.row(record.key), worker=worker))

    def _gave_back(self, record: RowRecord, taken: Taken, time_ns: int) -> None:
        taken.by_worker = False
        taken.note(time_ns, None)
        self._note(c.TASKS_RETURNED, time_ns, 1, self._by_priority(record))
        self._log(log_of(record, time_ns, "returned to the queue", self._ids.row(record.key), worker=""))

    def _taken_before(self, record: RowRecord) -> Taken:
        """Return what is known of a task that had ended. Its trace was told then."""
        return Taken(first_ns=self._ended.pop(record.key, 0), again=True)

    def _remember(self, key: str) -> None:
        """Take note that a task ended which had started: that is counted once."""
        self._ended[key] = self._newest_ns
        oldest = next(iter(self._ended))
        while len(self._ended) > _MOST_ENDED or self._newest_ns - self._ended[oldest] > _REMEMBERED_NS:
            del self._ended[oldest]
            oldest = next(iter(self._ended))

    def _by_priority(self, record: RowRecord) -> Attribute:
        return s.PRIORITY, self._priority(record.values.get("priority"))

    def _priority(self, priority: int | None) -> str:
        return s.OTHER if priority is None else self._priorities[str(priority)]

    def _open(self, found: StandingTasks) -> dict[tuple[Attribute, ...], float]:
        numbers: dict[tuple[Attribute, ...], float] = {}
        for (state, priority), number in found.open.items():
            by: tuple[Attribute, ...] = ((s.STATE, state), (s.PRIORITY, self._priority(priority)))
            numbers[by] = numbers.get(by, 0) + number
        return numbers

    def _oldest(self, found: StandingTasks, time_ns: int) -> dict[tuple[Attribute, ...], float]:
        """Return since when the oldest task is in each state, as rows say. What lies far ahead is no time."""
        times = dict.fromkeys(_OPEN, 0)
        times |= {state: since_ns for state, since_ns in found.oldest_ns.items() if since_ns <= time_ns + AHEAD_NS}
        return {((s.STATE, state),): since_ns / 1e9 for state, since_ns in times.items()}

    def _taken_ns(self) -> dict[str, int]:
        """Return when each task that is worked on was taken, of those that have a name outside."""
        return {
            task: taken.since_ns
            for key, taken in self._taken.items()
            if taken.by_worker and key in self._running and (task := self._running[key].values.get("task_id"))
        }


def _is_passed_on(record: RowRecord, taken: Taken) -> bool:
    """Whether another worker has a task than was seen to have it: between the two it was nobody's."""
    holder = record.values.get("holder", "")
    return bool(holder and taken.holder and holder != taken.holder)
