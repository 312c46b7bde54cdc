"""A Koubou at work: its workers take tasks from the database, finish or fail them, and now and then die of one.

What is to be done next is known here; what there is to do stands in the database alone, and is found with the
statements of Koubou's own `common/database.py`, its CURRENT_TIMESTAMP being the time that is played.
"""

from __future__ import annotations

from functools import lru_cache, partial
from heapq import heappop, heappush
from itertools import count
from math import log
from random import Random
from time import gmtime, strftime
from typing import TYPE_CHECKING, Final

from egoscope.demo import rhythm
from egoscope.demo.databases import Write
from egoscope.demo.koubou_life import kind_of, plant, result, retry, tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from egoscope.demo.databases import Database
    from egoscope.demo.koubou_life import Task
    from egoscope.demo.settings import DatabaseSettings

HEARTBEAT_S: Final = 10
_SPARSE_HEARTBEAT_S: Final = 60
DEAD_AFTER_S: Final = 150
"""Without a heartbeat for so long a worker is deleted: later than it counts as lost, so that this can be seen."""
_TEND_EVERY_S: Final = 30
_PROCESS: Final = "gemini_worker_{}"
"""A worker that is named after its process: another one each time."""
_STAFF: Final = ("worker_0", "worker_1", _PROCESS, "remote_lan_001")
"""Who is always there."""
_EXTRA: Final = ("worker_2", "worker_3")
"""Who comes where the queue is long, and goes when it has been drained."""
_SPEED: Final = {"remote_lan_001": 0.4}
_LONG_QUEUE: Final = 10
_USUAL_PER_HOUR: Final = 60.0
_SECOND_US: Final = 1_000_000

_CREATE: Final = (
    "INSERT OR IGNORE INTO task_master (task_id, content, priority, created_by, created_at, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_NEXT: Final = (
    "SELECT task_id, content, priority FROM task_master WHERE status = 'pending'"
    " ORDER BY priority DESC, created_at ASC LIMIT 1"
)
_ASSIGN: Final = (
    "UPDATE task_master SET status = 'in_progress', assigned_to = ?, updated_at = ?"
    " WHERE task_id = ? AND status = 'pending'"
)
_BUSY: Final = "UPDATE workers SET status = 'busy', current_task = ?, last_heartbeat = ? WHERE worker_id = ?"
_FINISH: Final = "UPDATE task_master SET status = ?, result = ?, updated_at = ? WHERE task_id = ? AND assigned_to = ?"
_FINISHED: Final = {
    "ok": (
        "UPDATE workers SET tasks_completed = tasks_completed + 1, status = 'idle', current_task = NULL,"
        " last_heartbeat = ? WHERE worker_id = ?"
    ),
    "error": (
        "UPDATE workers SET tasks_failed = tasks_failed + 1, status = 'idle', current_task = NULL,"
        " last_heartbeat = ? WHERE worker_id = ?"
    ),
}
_IS_PENDING: Final = "SELECT 1 FROM task_master WHERE task_id = ? AND status = 'pending'"
_SET_STATUS: Final = "UPDATE task_master SET status = ?, result = ?, updated_at = ? WHERE task_id = ?"
_CANCEL: Final = "UPDATE task_master SET status = 'cancelled', updated_at = ? WHERE task_id = ?"
_RAISE: Final = "UPDATE task_master SET priority = 10, updated_at = ? WHERE task_id = ?"
_FORGET_WORKER: Final = "DELETE FROM workers WHERE worker_id = ?"
_REGISTER: Final = "INSERT INTO workers (worker_id, status, last_heartbeat, created_at) VALUES (?1, 'idle', ?2, ?2)"
_SET_WORKER: Final = "UPDATE workers SET status = ?, current_task = ?, last_heartbeat = ? WHERE worker_id = ?"
_BEAT: Final = "UPDATE workers SET last_heartbeat = ? WHERE worker_id = ?"
_RELEASE: Final = (
    "UPDATE task_master SET status = 'pending', assigned_to = NULL WHERE assigned_to IN"
    " (SELECT worker_id FROM workers WHERE last_heartbeat <= ?) AND status = 'in_progress'"
)
_BURY: Final = "DELETE FROM workers WHERE last_heartbeat <= ?"
_LISTED: Final = "SELECT worker_id FROM workers"
_WAITING: Final = "SELECT count(*) FROM task_master WHERE status = 'pending'"


class _Worker:
    """A worker's process while it lives."""

    __slots__ = ("alive", "idle", "looking", "name", "place")

    def __init__(self, place: str, name: str) -> None:
        self.place = place
        self.name = name
        self.alive = True
        self.idle = True
        self.looking = False


class Workshop:
    """A Koubou from its start on, played act by act.

    It begins as Koubou does after a crash: whatever an earlier life left in progress goes back to the queue, and all
    workers register anew. `often_from_us`: from then on heartbeats come as often as the real ones; before, where nobody
    can have looked, only as often as is needed to stay alive.
    """

    def __init__(self, database: Database, settings: DatabaseSettings, *, often_from_us: int) -> None:
        self._database = database
        self._settings = settings
        self._often_from_us = often_from_us
        # Not for secrets: a demo has to be the same each time.
        self._rng = Random(f"{settings.seed}/{settings.start_us}/koubou")  # noqa: S311
        self._planted = plant(settings.seed)
        # However many tasks an hour are asked for, the queue swells and drains as usual.
        self._pace = min(1.0, _USUAL_PER_HOUR / settings.per_hour)
        self._tasks = tasks(settings)
        self._workers: list[_Worker] = []
        self._acts: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = count()
        self._at(settings.start_us, self._open)
        self._expect_task()

    @property
    def next_us(self) -> int:
        """When the next act is due, in microseconds since the epoch."""
        return self._acts[0][0]

    def act(self) -> None:
        """Do what is due next, as if it were then."""
        us, _, act = heappop(self._acts)
        act(us)

    def close(self, us: int) -> None:
        """Do what the workers do when they are told to end."""
        for worker in self._workers:
            if worker.alive:
                self._write(us, _SET_WORKER, "offline", None, _time(us), worker.name)

    def _open(self, us: int) -> None:
        self._clean(us, dead_after_s=0)
        for name in _STAFF:
            self._at(self._soon(us, 0.1, 2.0), partial(self._register, name))
        self._at(us + _TEND_EVERY_S * _SECOND_US, self._tend)

    # Tasks.

    def _expect_task(self) -> None:
        task = next(self._tasks)
        self._at(task.us, partial(self._arrive, task))

    def _arrive(self, task: Task, us: int) -> None:
        self._create(task, us)
        self._expect_task()

    def _create(self, task: Task, us: int) -> None:
        self._write(us, _CREATE, task.key, task.content, task.priority, task.client, _time(us), _time(us))
        if task.fate == "sync":
            self._at(self._soon(us, 0.3, 2.5), partial(self._do_directly, task))
        elif task.fate:
            self._at(self._soon(us, 5.0, 90.0), partial(self._reconsider, task))
        self._call_somebody(us)

    def _do_directly(self, task: Task, us: int) -> None:
        # A worker may have been quicker: then it is the worker's.
        if self._database.fetch(_IS_PENDING, task.key):
            told = result(self._rng, self._planted, task.content, succeeded=True)
            self._write(us, _SET_STATUS, "completed", told, _time(us), task.key)
            self._database.count("", "ok")

    def _reconsider(self, task: Task, us: int) -> None:
        if not self._database.fetch(_IS_PENDING, task.key):
            return
        if task.fate == "raised":
            self._write(us, _RAISE, _time(us), task.key)
        else:
            self._write(us, _CANCEL, _time(us), task.key)
            self._database.count("", "cancelled")

    # Workers.

    def _register(self, place: str, us: int) -> None:
        name = place.format(self._rng.randrange(2000, 60_000))
        worker = _Worker(place, name)
        self._write(us, _FORGET_WORKER, name)
        self._write(us, _REGISTER, name, _time(us))
        self._workers.append(worker)
        self._look_soon(worker, us)
        self._beat_soon(worker, us)

    def _beat_soon(self, worker: _Worker, us: int) -> None:
        every_s = HEARTBEAT_S if us >= self._often_from_us - _SPARSE_HEARTBEAT_S * _SECOND_US else _SPARSE_HEARTBEAT_S
        self._at(us + every_s * _SECOND_US, partial(self._beat, worker))

    def _beat(self, worker: _Worker, us: int) -> None:
        if worker.alive:
            self._write(us, _BEAT, _time(us), worker.name)
            self._beat_soon(worker, us)

    def _call_somebody(self, us: int) -> None:
        for worker in self._workers:
            if worker.alive and worker.idle and not worker.looking:
                self._look_soon(worker, us)
                return

    def _look_soon(self, worker: _Worker, us: int) -> None:
        worker.looking = True
        self._at(self._soon(us, 0.2, 1.5), partial(self._look, worker))

    def _look(self, worker: _Worker, us: int) -> None:
        worker.looking = False
        found = self._database.fetch(_NEXT) if worker.alive else None
        if found is None:
            return
        key, content, priority = found
        worker.idle = False
        self._write(us, _ASSIGN, worker.name, _time(us), key)
        self._write(us, _BUSY, key, _time(us), worker.name)
        self._at(self._soon(us, 0.05, 0.4), partial(self._begin, worker, key))
        rng = self._rng
        seconds = rng.lognormvariate(log(kind_of(content).seconds), 0.6) / _SPEED.get(worker.name, 1.0)
        fails = rng.random() < rhythm.failure_rate(self._settings, us)
        if rng.random() < self._settings.killed_rate:
            self._at(self._soon(us, 0.5, 0.5 + seconds), partial(self._die, worker))
        elif fails:
            # Some fail at once, and some after all the work.
            done_us = self._soon(us, 0.5, 0.5 + seconds)
            self._at(done_us, partial(self._finish, worker, key, content, priority, "error"))
        else:
            done_us = self._soon(us, 0.5 + seconds, 0.5 + seconds)
            self._at(done_us, partial(self._finish, worker, key, content, priority, "ok"))

    def _begin(self, worker: _Worker, key: str, us: int) -> None:
        self._write(us, _SET_WORKER, "processing", key, _time(us), worker.name)

    def _finish(self, worker: _Worker, key: str, content: str, priority: int, outcome: str, us: int) -> None:
        succeeded = outcome == "ok"
        told = result(self._rng, self._planted, content, succeeded=succeeded)
        status = "completed" if succeeded else "failed"
        if self._write(us, _FINISH, status, told, _time(us), key, worker.name):
            self._database.count(worker.name, outcome)
        self._write(us, _FINISHED[outcome], _time(us), worker.name)
        if not succeeded and not key.startswith("retry_") and self._rng.random() < 0.4:
            again_us = self._soon(us, 20.0, 200.0)
            again = retry(key, content, priority, again_us)
            self._at(again_us, partial(self._create, again))
        worker.idle = True
        self._look_soon(worker, us)

    def _die(self, worker: _Worker, _us: int) -> None:
        # Nobody writes it down: it is only silent from now on.
        worker.alive = False

    # The one who keeps them.

    def _tend(self, us: int) -> None:
        self._at(us + _TEND_EVERY_S * _SECOND_US, self._tend)
        self._clean(us, dead_after_s=DEAD_AFTER_S)
        waiting = self._database.fetch(_WAITING)
        wanted = (*_STAFF, *_EXTRA) if waiting is not None and waiting[0] > _LONG_QUEUE else _STAFF
        # Nobody comes back under a name that is still listed: what the dead one had in hand would be lost with its row.
        listed = {row[0] for row in self._database.fetch_all(_LISTED)}
        self._workers = [worker for worker in self._workers if worker.name in listed]
        here = {worker.place for worker in self._workers}
        for place in wanted:
            if place not in here:
                self._register(place, us)
        if wanted is _STAFF:
            for worker in self._workers:
                if worker.place in _EXTRA and worker.alive and worker.idle:
                    worker.alive = False
                    self._write(us, _SET_WORKER, "offline", None, _time(us), worker.name)

    def _clean(self, us: int, *, dead_after_s: int) -> None:
        """Delete workers that have been silent, and free their tasks."""
        limit = _time(us - dead_after_s * _SECOND_US)
        released = self._write(us, _RELEASE, limit)
        self._write(us, _BURY, limit)
        for _ in range(released):
            self._call_somebody(us)

    def _at(self, us: int, act: Callable[[int], None]) -> None:
        heappush(self._acts, (us, next(self._number), act))

    def _soon(self, us: int, least_s: float, most_s: float) -> int:
        return us + int((least_s + (most_s - least_s) * self._rng.random()) * self._pace * _SECOND_US)

    def _write(self, us: int, statement: str, *parameters: str | float | None) -> int:
        return self._database.execute(Write(us, statement, parameters))


def _time(us: int) -> str:
    """Return a time as SQLite's CURRENT_TIMESTAMP spells it."""
    return _second(us // _SECOND_US)


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return strftime("%Y-%m-%d %H:%M:%S", gmtime(second))
