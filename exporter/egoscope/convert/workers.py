"""The workers of one database as they stand: who is idle, busy, offline, or was not heard of for too long.

Rows of workers have no history: each look tells how they are, and time alone makes one lost.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.convert.row_conversion import Labels, values_of
from egoscope.model.standing import BUSY, GONE, IDLE, LOST, OFFLINE
from egoscope.model.telemetry import Attribute, Constants, LogRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from egoscope.convert.series import SeriesSet
    from egoscope.model.standing import StandingWorker

MAX_WORKERS: Final = 256
"""Names that labels of one instance may have; `_OTHER` stands for more. Log records and spans have every name."""

STATES: Final = (IDLE, BUSY, LOST, OFFLINE)

LOGGER: Final = "koubou.workers"
TOLD_AGAIN_NS: Final = 12 * 3600 * 10**9
"""Who asks the log how workers are looks back a day; one that is at the same for longer is told of again."""
_ONE_LATER_NS: Final = 1_000_000
_STEP_NS: Final = 10**9
"""Who is lost within one second is told in one step: it takes time and memory for every worker there is."""


class KnownWorker(msgspec.Struct):
    """A worker as it was told last. `status`: as its row says. `state`: also whether it is lost.

    `heartbeat_ns`: no later than it was seen; 0 where its row holds no time.
    """

    name: str
    status: str
    state: str
    task: str
    since_ns: int
    heartbeat_ns: int
    told_ns: int = 0
    """When its log record was written last."""
    heartbeat: str = ""
    """What its row says of its heartbeat, to see it change; "" where it has no place for one."""
    heard_ns: int = 0
    """When it was last heard of: its heartbeat, or where that is no time, or one ahead, when it was first seen."""


class Workers:
    """Tells of the workers of one database. `known`: by key, kept by the caller."""

    def __init__(self, series: SeriesSet, known: dict[str, KnownWorker], lost_after_ns: int) -> None:
        self._series, self._known, self._lost_after_ns = series, known, lost_after_ns
        self.labels = Labels(MAX_WORKERS, values_of(series, s.WORKER, c.WORKER_STATE, c.WORKER_TASKS))

    def look(self, workers: Sequence[StandingWorker], time_ns: int, taken_ns: dict[str, int]) -> Iterable[LogRecord]:
        """Take what the rows say at a time, and yield what is new. `taken_ns`: by task, when a worker took it up."""
        there = {worker.key for worker in workers}
        for key in [key for key in self._known if key not in there]:
            gone = self._known.pop(key)
            yield _log(gone.name, GONE, "", max(time_ns, gone.since_ns + _ONE_LATER_NS), time_ns)
        for worker in workers:
            before = self._known.get(worker.key)
            now = self._known[worker.key] = self._as_of(worker, before, time_ns, taken_ns.get(worker.task, 0))
            now.told_ns = time_ns if before is None else before.told_ns
            if before is None or (before.name, before.state, before.task) != (now.name, now.state, now.task):
                now.told_ns = time_ns
                yield _log(now.name, now.state, now.task, now.since_ns, time_ns, worker.added)
        self._tell(time_ns)

    def time_passes(self, now_ns: int) -> Iterable[LogRecord]:
        """Yield who is lost by now, and who is as before for long, though no row says anything new."""
        due = [one for one in self._known.values() if one.state != LOST and self._is_lost(one, now_ns)]
        due.sort(key=self._lost_at)
        for _, together in groupby(due, key=lambda one: self._lost_at(one) // _STEP_NS):
            told_ns = 0
            for worker in together:
                worker.state, worker.since_ns = LOST, max(self._lost_at(worker), worker.since_ns + _ONE_LATER_NS)
                worker.told_ns = worker.since_ns
                yield _log(worker.name, LOST, worker.task, worker.since_ns, worker.since_ns)
                told_ns = max(told_ns, worker.since_ns)
            self._tell(told_ns)
        for worker in self._known.values():
            if now_ns - worker.told_ns >= TOLD_AGAIN_NS:
                worker.told_ns = now_ns
                yield _log(worker.name, worker.state, worker.task, worker.since_ns, now_ns)

    def _as_of(self, worker: StandingWorker, before: KnownWorker | None, time_ns: int, taken_ns: int) -> KnownWorker:
        task = worker.task if worker.status == BUSY else ""
        now = KnownWorker(worker.name, worker.status, worker.status, task, 0, 0)
        now.heartbeat = worker.heartbeat_digest or (str(worker.heartbeat_ns) if worker.heartbeat_ns else "")
        if before is not None and before.heartbeat == now.heartbeat:
            now.heard_ns = before.heard_ns
        elif now.heartbeat:
            now.heard_ns = min(worker.heartbeat_ns or time_ns, time_ns)
        now.heartbeat_ns = min(worker.heartbeat_ns, now.heard_ns)
        if self._is_lost(now, time_ns):
            now.state = LOST
        if before is not None and (before.state, before.task) == (now.state, now.task):
            now.since_ns = before.since_ns
            return now
        if now.state == LOST:
            since_ns = self._lost_at(now)
        else:
            since_ns = (taken_ns if now.state == BUSY else 0) or now.heartbeat_ns
        # Of two states of one worker the later one is the newer, also where whole seconds do not tell them apart.
        now.since_ns = max(since_ns or time_ns, 0 if before is None else before.since_ns + _ONE_LATER_NS)
        return now

    def _is_lost(self, worker: KnownWorker, now_ns: int) -> bool:
        return worker.heard_ns > 0 and worker.status != OFFLINE and now_ns > self._lost_at(worker)

    def _lost_at(self, worker: KnownWorker) -> int:
        return worker.heard_ns + self._lost_after_ns

    def _tell(self, time_ns: int) -> None:
        """Set every gauge to what the workers are now; of several that share a label, each state that one is in."""
        number: dict[tuple[Attribute, ...], float] = {((s.STATE, state),): 0 for state in STATES}
        states: dict[tuple[Attribute, ...], float] = {}
        heartbeats: dict[tuple[Attribute, ...], float] = {}
        for worker in self._known.values():
            label: Attribute = (s.WORKER, self.labels[worker.name])
            state: Attribute = (s.STATE, worker.state)
            number[state,] = number.get((state,), 0) + 1
            for one in STATES:
                states.setdefault((label, (s.STATE, one)), 0)
            states[label, state] = 1
            heartbeats[label,] = max(heartbeats.get((label,), 0), worker.heartbeat_ns / 1e9)
        time_ms = time_ns // 1_000_000
        self._series.stand(c.WORKERS, time_ms, number)
        self._series.stand(c.WORKER_STATE, time_ms, states)
        self._series.stand(c.WORKER_HEARTBEAT, time_ms, heartbeats)


def _log(worker: str, state: str, task: str, since_ns: int, time_ns: int, added: Sequence[Attribute] = ()) -> LogRecord:
    body = f"{worker} {state} with {task}" if task and state == BUSY else f"{worker} {state}"
    about: list[Attribute] = [(s.TASK_WORKER, worker), (s.TASK_WORKER_STATE, state)]
    if task:
        about.append((s.TASK_ID, task))
    about += [(s.TASK_WORKER_SINCE, since_ns / 1e9), *added]
    return LogRecord(time_ns, time_ns, "WARNING" if state == LOST else "INFO", body, _CONSTANTS, about, None)


_CONSTANTS: Final = Constants(((s.LOGGER, LOGGER),), LOGGER)
