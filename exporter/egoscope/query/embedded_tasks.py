"""Tasks and workers in the embedded store. Counts and what stands now are the points', single tasks the spans'."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

import orjson

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.model.standing import PENDING
from egoscope.query import embedded_sql as sql
from egoscope.query.base import DEFAULT_LIMIT, check_limit, check_outcome, check_points
from egoscope.query.embedded_reader import STALE_NS, EmbeddedReader
from egoscope.query.task_answers import QueueDepth, Task, TaskOverview, Worker
from egoscope.query.tasks import SPAN_OUTCOMES, moments, open_tasks, outcome_of_task, process_groups, worker_of
from egoscope.query.times import from_ns, from_s, to_ns
from egoscope.store.queries import percentile

if TYPE_CHECKING:
    import datetime as dt

_PER_S: Final = 1e9


class EmbeddedTasks(EmbeddedReader):
    """The questions about tasks and workers."""

    def get_task_overview(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> TaskOverview:
        """See `Query.get_task_overview`."""
        within = self._range(since, until)
        with self._reading():
            created, started, returned = (
                sum(count for _, _, count in self._increases(metric, within))
                for metric in (c.TASKS_CREATED, c.TASKS_STARTED, c.TASKS_RETURNED)
            )
            ended = Counter[str]()
            for labels, _, count in self._increases(c.TASKS_ENDED, within):
                ended[labels.get(s.LABEL_OUTCOME, "")] += count
            rows = self._db.execute(sql.TASK_DURATIONS, {"since": within.since_ns, "until": within.until_ns})
            durations_s = sorted(row[0] / _PER_S for row in rows)
            waited = self._distribution(c.TASK_WAIT, within)
            opened, workers = list(self._gauge(c.TASKS_OPEN)), list(self._gauge(c.WORKERS))
            stored = list(self._gauge(c.TASKS_STORED))
            oldest = [one.value for one in self._gauge(c.TASKS_OLDEST) if one.labels.get(s.STATE) == PENDING]
            expected = [round(one.value) for one in self._gauge(c.WORKERS_EXPECTED)]
            processes = list(self._gauge(c.WORKER_PROCESSES))
        by_state = Counter[str]()
        for one in workers:
            by_state[one.labels.get(s.STATE, s.OTHER)] += round(one.value)
        of_now = Counter[tuple[str, str]]()
        for one in opened:
            of_now[one.labels.get(s.STATE, s.OTHER), str(one.labels.get(s.PRIORITY, s.OTHER))] += round(one.value)
        newest_ns = max((one.time_ns for one in stored), default=None)
        return TaskOverview(
            created=created,
            started=started,
            returned=returned,
            completed=ended["ok"],
            failed=ended["error"],
            cancelled=ended["cancelled"],
            avg_s=sum(durations_s) / len(durations_s) if durations_s else None,
            p50_s=percentile(durations_s, 0.50),
            p95_s=percentile(durations_s, 0.95),
            wait_avg_s=waited.avg,
            wait_p50_s=waited.quantile(0.50),
            wait_p95_s=waited.quantile(0.95),
            open=open_tasks(of_now),
            oldest_waiting=from_s(min(since_s for since_s in oldest if since_s)) if any(oldest) else None,
            workers={state: count for state, count in sorted(by_state.items()) if count},
            processes=process_groups(
                {(one.labels.get(s.GROUP, s.OTHER), one.labels.get(s.STATE, s.OTHER)): one.value for one in processes}
            ),
            workers_expected=sum(expected) if expected else None,
            as_of=None if newest_ns is None else from_ns(newest_ns),
        )

    def get_queue_history(
        self, since: dt.datetime, until: dt.datetime | None = None, points: int = 60
    ) -> list[QueueDepth]:
        """See `Query.get_queue_history`."""
        check_points(points)
        times = moments(self._range(since, until), points)
        with self._reading():
            series = [
                number
                for number, attributes in self._db.execute(sql.SERIES, (c.TASKS_STORED.name,))
                if orjson.loads(attributes).get(s.STATE) == PENDING
            ]
            told = [
                [self._db.execute(sql.DEPTH, (number, to_ns(time), STALE_NS)).fetchone()[0] for number in series]
                for time in times
            ]
        return [
            QueueDepth(
                time=time, waiting=round(sum(known)) if (known := [x for x in values if x is not None]) else None
            )
            for time, values in zip(times, told, strict=True)
        ]

    def get_workers(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[Worker]:
        """See `Query.get_workers`."""
        within = self._range(since, until)
        now_ns = to_ns(self._now()) + 999
        with self._reading():
            states = {
                (one.labels.get(s.WORKER, s.OTHER), one.instance): str(one.labels.get(s.STATE, s.OTHER))
                for one in self._gauge(c.WORKER_STATE)
                if one.value
            }
            beats = {
                (one.labels.get(s.WORKER, s.OTHER), one.instance): one.value for one in self._gauge(c.WORKER_HEARTBEAT)
            }
            ended: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
            for labels, instance, count in self._increases(c.WORKER_TASKS, within):
                ended[labels.get(s.WORKER, s.OTHER), instance][labels.get(s.LABEL_OUTCOME, "")] += count
            lines: dict[tuple[str, str], dict[str, Any]] = {}
            for key in {*states, *ended}:
                row = self._db.execute(sql.STATE_OF_WORKER, (*key, now_ns)).fetchone()
                lines[key] = orjson.loads(row[0]) if row else {}
        return [
            worker_of(
                key,
                states.get(key),
                since_s=lines[key].get(s.TASK_WORKER_SINCE),
                task_id=lines[key].get(s.TASK_ID),
                heartbeat_s=beats.get(key),
                ended=ended.get(key, Counter()),
            )
            for key in sorted(lines)
        ]

    def get_tasks(
        self,
        worker: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        outcome: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Task]:
        """See `Query.get_tasks`."""
        check_outcome(outcome)
        check_limit(limit)
        within = self._range(since, until)
        values = {
            "since": within.since_ns,
            "until": within.until_ns,
            "worker": worker,
            "outcome": SPAN_OUTCOMES.get(outcome or "", outcome),
            "limit": limit,
        }
        with self._reading():
            rows = self._db.execute(sql.TASKS, values).fetchall()
        return [_task(*row) for row in rows]


def _task(trace_id: str, start_ns: int, end_ns: int, attributes: str) -> Task:
    read: dict[str, Any] = orjson.loads(attributes)
    return Task(
        task_id=read.get(s.TASK_ID, s.OTHER),
        trace_id=trace_id,
        worker=read.get(s.TASK_WORKER),
        priority=read.get(s.TASK_PRIORITY),
        outcome=outcome_of_task(read.get(s.TASK_OUTCOME)),
        created=from_ns(start_ns),
        ended=from_ns(end_ns),
        duration_s=(end_ns - start_ns) / _PER_S,
    )
