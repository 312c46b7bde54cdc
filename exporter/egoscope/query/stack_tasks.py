"""Tasks and workers in the stack: counts and what stands now from Prometheus, single tasks and since when from Loki."""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.model.standing import PENDING
from egoscope.query.base import DEFAULT_LIMIT, check_limit, check_outcome, check_points
from egoscope.query.loki import MOST_LINES
from egoscope.query.prometheus import Distribution, label, matcher, quoted
from egoscope.query.stack_servers import StackServers
from egoscope.query.task_answers import QueueDepth, Task, TaskOverview, Worker
from egoscope.query.tasks import moments, open_tasks, outcome_of_task, process_groups, took_s, worker_of
from egoscope.query.times import Range, from_ns, from_s
from egoscope.sources.koubou import SERVICE

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

_INSTANCE: Final = "instance"
_LOKI_INSTANCE, _WORKER, _STATE, _SINCE, _TASK, _OUTCOME, _PRIORITY = map(
    label,
    (
        s.SERVICE_INSTANCE_ID,
        s.TASK_WORKER,
        s.TASK_WORKER_STATE,
        s.TASK_WORKER_SINCE,
        s.TASK_ID,
        s.TASK_OUTCOME,
        s.TASK_PRIORITY,
    ),
)
# Told also where nothing waits.
_WAITING: Final = f"{c.TASKS_STORED.prometheus}{{{s.STATE}={quoted(PENDING)}}}"
# Of one worker several lines can be of one second, the resolution of Koubou's times: so many are looked at.
_TIES: Final = 4
_AT_ONCE: Final = 8
_STATES: Final = (
    f"topk by ({_LOKI_INSTANCE}, {_WORKER}) ({_TIES}, max by ({_LOKI_INSTANCE}, {_WORKER}, {_STATE}, {_TASK}) ("
    f'last_over_time({{service_name={quoted(SERVICE)}}} | {_SINCE}!="" | unwrap {_SINCE} [24h])))'
)
_NONE: Final = Distribution()


class StackTasks(StackServers):
    """The questions about tasks and workers."""

    def get_task_overview(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> TaskOverview:
        """See `Query.get_task_overview`."""
        within, ask, at = self._range(since, until), self._prometheus, self._now()
        by = (s.STATE, s.PRIORITY)
        # All at once: one behind the other they would be too slow for a screen that is live.
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="egoscope-query") as pool:
            created, started, returned = (
                pool.submit(ask.counts, metric.prometheus, (), within, "")
                for metric in (c.TASKS_CREATED, c.TASKS_STARTED, c.TASKS_RETURNED)
            )
            ending = pool.submit(ask.counts, c.TASKS_ENDED.prometheus, (s.LABEL_OUTCOME,), within, "")
            taking = pool.submit(ask.distributions, c.TASK_DURATION, (), within, "")
            waiting = pool.submit(ask.distributions, c.TASK_WAIT, (), within, "")
            opened = pool.submit(ask.gauge, f"sum by ({', '.join(by)}) ({c.TASKS_OPEN.prometheus})", by, at)
            working = pool.submit(ask.gauge, f"sum by ({s.STATE}) ({c.WORKERS.prometheus})", (s.STATE,), at)
            running = pool.submit(
                ask.gauge,
                f"sum by ({s.GROUP}, {s.STATE}) ({c.WORKER_PROCESSES.prometheus})",
                (s.GROUP, s.STATE),
                at,
            )
            oldest, expected, told = (
                pool.submit(ask.gauge, query, (), at)
                for query in (
                    f"min({c.TASKS_OLDEST.prometheus}{{{s.STATE}={quoted(PENDING)}}} > 0)",
                    f"sum({c.WORKERS_EXPECTED.prometheus})",
                    f"max(timestamp({c.TASKS_STORED.prometheus}))",
                )
            )
        ended, workers = ending.result(), working.result()
        took, waited = taking.result().get((), _NONE), waiting.result().get((), _NONE)
        oldest_s, expected_workers, told_s = (asked.result().get(()) for asked in (oldest, expected, told))
        return TaskOverview(
            created=created.result().get((), 0),
            started=started.result().get((), 0),
            returned=returned.result().get((), 0),
            completed=ended.get(("ok",), 0),
            failed=ended.get(("error",), 0),
            cancelled=ended.get(("cancelled",), 0),
            avg_s=took.avg,
            p50_s=took.quantile(0.50),
            p95_s=took.quantile(0.95),
            wait_avg_s=waited.avg,
            wait_p50_s=waited.quantile(0.50),
            wait_p95_s=waited.quantile(0.95),
            open=open_tasks({(state, priority): round(count) for (state, priority), count in opened.result().items()}),
            oldest_waiting=None if oldest_s is None else from_s(oldest_s),
            workers={state: round(count) for (state,), count in sorted(workers.items()) if count},
            processes=process_groups({(group, state): found for (group, state), found in running.result().items()}),
            workers_expected=None if expected_workers is None else round(expected_workers),
            as_of=None if told_s is None else from_ns(round(told_s * 1e3) * 10**6),
        )

    def get_queue_history(
        self, since: dt.datetime, until: dt.datetime | None = None, points: int = 60
    ) -> list[QueueDepth]:
        """See `Query.get_queue_history`."""
        check_points(points)
        times = moments(self._range(since, until), points)
        told = self._prometheus.history(f"sum({_WAITING})", times)
        return [QueueDepth(time=time, waiting=round(told[time]) if time in told else None) for time in times]

    def get_workers(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[Worker]:
        """See `Query.get_workers`."""
        within, ask, at = self._range(since, until), self._prometheus, self._now()
        key = (s.WORKER, _INSTANCE)
        by = ", ".join(key)
        states = {
            (name, instance): state
            for name, instance, state in ask.gauge(
                f"max by ({by}, {s.STATE}) ({c.WORKER_STATE.prometheus}) == 1", (*key, s.STATE), at
            )
        }
        beats = ask.gauge(f"max by ({by}) ({c.WORKER_HEARTBEAT.prometheus})", key, at)
        ended: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for (*of, outcome), count in ask.counts(c.WORKER_TASKS.prometheus, (*key, s.LABEL_OUTCOME), within, "").items():
            ended[tuple(of)][outcome] += count
        lines = self._states_of_workers(states, at) if states or ended else {}
        found: list[Worker] = []
        for name, instance in sorted({*states, *((name, instance) for name, instance in ended)}):
            since_s, task_id = lines.get((name, instance), (None, None))
            found.append(
                worker_of(
                    (name, instance),
                    states.get((name, instance)),
                    since_s=since_s,
                    task_id=task_id,
                    heartbeat_s=beats.get((name, instance)),
                    ended=ended.get((name, instance), Counter()),
                )
            )
        return found

    def get_tasks(
        self,
        worker: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        outcome: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Task]:
        """See `Query.get_tasks`. No more than 5000."""
        check_outcome(outcome)
        check_limit(limit)
        query = f'{{service_name={quoted(SERVICE)}}} | {_TASK}!="" | {matcher(s.TASK_OUTCOME, outcome)}'
        if worker is not None:
            query += f" | {_WORKER}={quoted(worker)}"
        return list(self._tasks(query, self._range(since, until), limit))[:limit]

    def _tasks(self, query: str, within: Range, limit: int) -> Iterator[Task]:
        seen: set[str] = set()
        # A line that was sent again can stand there twice.
        for time_ns, line, labels in self._loki.last(query, within, min(2 * limit, MOST_LINES)):
            trace_id = labels.get("trace_id", "")
            if trace_id in seen:
                continue
            seen.add(trace_id)
            duration_s = took_s(line) or 0.0
            priority = labels.get(_PRIORITY, "")
            yield Task(
                task_id=labels[_TASK],
                trace_id=trace_id,
                worker=labels.get(_WORKER) or None,
                priority=int(priority) if priority.removeprefix("-").isdecimal() else None,
                outcome=outcome_of_task(labels.get(_OUTCOME)),
                created=from_ns(time_ns - round(duration_s * 1e9)),
                ended=from_ns(time_ns),
                duration_s=duration_s,
            )

    def _states_of_workers(
        self, states: dict[tuple[str, str], str], at: dt.datetime
    ) -> dict[tuple[str, str], tuple[float, str | None]]:
        """Return since when each worker is as it is, and its task: of its newest line, of several the one that fits."""
        newest: dict[tuple[str, str], tuple[float, bool, str | None]] = {}
        for labels, since_s in self._loki.instant(_STATES, at):
            key = labels.get(_WORKER, ""), labels.get(_LOKI_INSTANCE, "")
            told = since_s, labels.get(_STATE) == states.get(key), labels.get(_TASK) or None
            if key not in newest or told[:2] > newest[key][:2]:
                newest[key] = told
        return {key: (since_s, task_id) for key, (since_s, _, task_id) in newest.items()}
