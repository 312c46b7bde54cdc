"""Tasks and workers from what was read, wherever that was. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from egoscope.model.standing import GONE
from egoscope.query.task_answers import OpenTasks, ProcessGroup, TaskOutcome, Worker
from egoscope.query.times import MICROSECOND, Range, from_s
from egoscope.sources.worker_processes import Health

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

SPAN_OUTCOMES: Final = {"cancelled": "unfinished"}
"""How a task's outcome is called among the outcomes of all spans, where that differs."""

_TOOK: Final = re.compile(r" (?:in|after) (\d+) ms$")


def open_tasks(counts: Mapping[tuple[str, str], int]) -> tuple[OpenTasks, ...]:
    """Return what is open by state and priority, in this order; priorities as the numbers that they mostly are."""

    def order(key: tuple[str, str]) -> tuple[str, int, str]:
        state, priority = key
        return state, int(priority) if priority.isdecimal() else 1000, priority

    return tuple(
        OpenTasks(state=state, priority=priority, count=counts[state, priority])
        for state, priority in sorted(counts, key=order)
        if counts[state, priority]
    )


def process_groups(counts: Mapping[tuple[str, str], float]) -> tuple[ProcessGroup, ...]:
    """Return the groups of worker processes by name, from how many there are by group and state."""
    return tuple(
        ProcessGroup(
            group=group,
            alive=round(counts.get((group, Health.ALIVE), 0)),
            unhealthy=round(counts.get((group, Health.UNHEALTHY), 0)),
        )
        for group in sorted({group for group, _ in counts})
    )


def outcome_of_task(told: object) -> TaskOutcome:
    """Return how a task ended."""
    match told:
        case "ok":
            return "ok"
        case "cancelled":
            return "cancelled"
        case _:
            return "error"


def took_s(body: str) -> float | None:
    """Return the duration that the log line of a task's end, or of a flow's, tells; None where it tells none."""
    found = _TOOK.search(body)
    return int(found[1]) / 1000 if found else None


def worker_of(
    key: tuple[str, str],
    state: str | None,
    *,
    since_s: float | None,
    task_id: str | None,
    heartbeat_s: float | None,
    ended: Mapping[str, int],
) -> Worker:
    """Return a worker by its name and instance; one without a state is gone."""
    counts = Counter(ended)
    return Worker(
        name=key[0],
        instance=key[1],
        state=state or GONE,
        since=None if since_s is None else from_s(since_s),
        task_id=None if state is None else task_id,
        last_heartbeat=from_s(heartbeat_s) if heartbeat_s else None,
        completed=counts["ok"],
        failed=counts["error"],
        cancelled=counts["cancelled"],
    )


def moments(within: Range, points: int) -> list[dt.datetime]:
    """Return moments at equal distances, of whole milliseconds, oldest first; the last is the end of the range."""
    step = (within.until - within.since) / points
    milliseconds = max(1, step // (1000 * MICROSECOND))
    return [within.until - back * milliseconds * 1000 * MICROSECOND for back in range(points - 1, -1, -1)]
