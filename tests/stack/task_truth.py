"""What databases of Koubou hold, by plain SQL, and what the back ends say: both must agree exactly.

What tasks went through is in counters; how the database stands at a moment is in gauges.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.stack.row_truth import Sums, entries_in_loki, in_prometheus, reading
from tests.stack.truth import span_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.stack.servers import Stack

LOST_S: Final = 60.0
_OWN_ID: Final = re.compile(r"(retry_)*(mcp-)?task[-_][0-9][0-9a-f_-]*")
_OUTCOME: Final = "CASE status WHEN 'completed' THEN 'ok' WHEN 'failed' THEN 'error' ELSE status END"
_FINAL: Final = "status IN ('completed', 'failed', 'cancelled')"
_BEGUN: Final = f"(status IN ('in_progress', 'processing') OR {_FINAL} AND assigned_to IS NOT NULL)"
_SINCE: Final = "CASE status WHEN 'pending' THEN created_at ELSE updated_at END"
_SECONDS: Final = "CAST(strftime('%s', {}) AS INTEGER)"
_WORKER_STATE: Final = """
    CASE WHEN status = 'offline' THEN 'offline' WHEN {heartbeat} < {now} - {lost} THEN 'lost'
    WHEN status IN ('busy', 'processing', 'working') THEN 'busy' WHEN status = 'idle' THEN 'idle' ELSE '_OTHER' END
"""
COUNTERS: Final = {
    "task_created_total": "SELECT priority, count(*) FROM task_master GROUP BY 1",
    "task_started_total": f"SELECT priority, count(*) FROM task_master WHERE {_BEGUN} GROUP BY 1",
    "task_ended_total": f"SELECT {_OUTCOME}, priority, count(*) FROM task_master WHERE {_FINAL} GROUP BY 1, 2",
    "task_duration_seconds_count": f"SELECT {_OUTCOME}, count(*) FROM task_master WHERE {_FINAL} GROUP BY 1",
    "task_duration_seconds_sum": f"""
        SELECT {_OUTCOME}, sum({_SECONDS.format("updated_at")} - {_SECONDS.format("created_at")})
        FROM task_master WHERE {_FINAL} GROUP BY 1""",
    "task_worker_tasks_total": f"""
        SELECT {_OUTCOME}, assigned_to, count(*) FROM task_master
        WHERE {_FINAL} AND assigned_to IS NOT NULL GROUP BY 1, 2""",
}
"""What each counter holds, of tasks that are all still in the database; the labels in order of their names."""
GAUGES: Final = {
    "task_open": ("priority", "state"),
    "task_open_oldest_seconds": ("state",),
    "task_stored": ("state",),
    "task_workers": ("state",),
    "task_worker_state": ("state", "worker"),
    "task_worker_heartbeat_time_seconds": ("worker",),
}
"""What each gauge is told by."""


def counted(path: Path) -> dict[str, Sums]:
    """Return what every counter has to hold of one database."""
    with reading(path) as db:
        return {metric: _sums(db.execute(query)) for metric, query in COUNTERS.items()}


def standing(path: Path, now_s: float, lost_s: float = LOST_S) -> dict[str, Sums]:
    """Return what every gauge has to say of a database at a moment. What is 0 is left out."""
    heartbeat = _SECONDS.format("last_heartbeat")
    state = _WORKER_STATE.format(heartbeat=heartbeat, now=now_s, lost=lost_s)
    open_ = f"FROM task_master WHERE NOT {_FINAL} GROUP BY"
    queries = {
        "task_open": f"SELECT priority, status, count(*) {open_} 1, 2",
        "task_open_oldest_seconds": f"SELECT status, min({_SECONDS.format(_SINCE)}) {open_} 1",
        "task_stored": "SELECT status, count(*) FROM task_master GROUP BY 1",
        "task_workers": f"SELECT {state}, count(*) FROM workers GROUP BY 1",
        "task_worker_state": f"SELECT {state}, worker_id, 1 FROM workers",
        "task_worker_heartbeat_time_seconds": f"SELECT worker_id, {heartbeat} FROM workers",
    }
    with reading(path) as db:
        return {metric: _sums(db.execute(query)) for metric, query in queries.items()}


def told_standing(stack: Stack, instance: str) -> dict[str, Sums]:
    """Return what every gauge says now. What is 0 is left out."""
    found: dict[str, Sums] = {}
    for metric, labels in GAUGES.items():
        samples = stack.prometheus.query(f'{metric}{{instance="{instance}"}}', at=time.time() + 1)
        values = ((tuple(one.labels.get(name, "") for name in labels), round(one.value)) for one in samples)
        found[metric] = Counter({by: value for by, value in values if value})
    return found


def check_tasks_exact(
    stack: Stack, paths: Iterable[Path], instances: Sequence[str], *, spans_once: bool = False
) -> None:
    """Compare everything that counts with what stands in the databases; no task may have been deleted."""
    truth: dict[str, Sums] = {metric: Counter() for metric in COUNTERS}
    lines: Counter[str] = Counter()
    ended = 0
    for path in paths:
        for metric, sums in counted(path).items():
            truth[metric] += sums
        with reading(path) as db:
            rows = db.execute(f"SELECT task_id, {_FINAL} FROM task_master").fetchall()
        ended += sum(final for _, final in rows)
        lines += Counter(f"{name_of(task_id)} created" for task_id, _ in rows)
        lines += Counter(f"{name_of(task_id)} ended" for task_id, final in rows if final)
    for metric, sums in truth.items():
        assert in_prometheus(stack, metric, instances) == sums, metric
    said = told_of_tasks(stack, instances)
    returned = said.pop("returned", 0)
    assert said == lines, "log records in Loki"
    assert in_prometheus(stack, "task_returned_total", instances).total() == returned, "tasks that were returned"
    spans = span_ids(stack, instances)
    assert len(spans) == ended, "spans in Tempo"
    if spans_once:
        assert set(spans.values()) <= {1}, "a span stands twice in Tempo"


def told_of_tasks(stack: Stack, instances: Iterable[str]) -> Counter[str]:
    """Return how often Loki holds that each task was created, that it ended, in whichever way, and all returns."""
    said: Counter[str] = Counter()
    for instance in instances:
        for line in entries_in_loki(stack, instance):
            match line.split():
                case [task_id, "created"]:
                    said[f"{name_of(task_id)} created"] += 1
                case [task_id, "completed" | "failed" | "cancelled", *_]:
                    said[f"{name_of(task_id)} ended"] += 1
                case [_, "returned", *_]:
                    said["returned"] += 1
                case _:
                    pass
    return said


def check_workers_log(stack: Stack, instance: str) -> None:
    """Each record of a worker says something new, is newer than the one before, and the last one says how it is."""
    now_s = time.time()
    query = f'{{service_instance_id="{instance}"}} | ego_logger="koubou.workers"'
    said: dict[str, list[tuple[str, float]]] = {}
    for entry in stack.loki.entries(query, now_s - 3600, now_s + 60):
        since_s = float(entry.labels["task_worker_since"])
        said.setdefault(entry.labels["task_worker"], []).append((entry.line, since_s))
    for records in said.values():
        for (line, since_s), (next_line, next_s) in itertools.pairwise(records):
            assert line != next_line, "the same is told twice"
            assert since_s < next_s, f"{next_line} is no later than {line}"
    is_now = {worker: state for state, worker in told_standing(stack, instance)["task_worker_state"]}
    assert {worker: records[-1][0].split()[1] for worker, records in said.items() if not _gone(records)} == is_now


def _gone(records: Sequence[tuple[str, float]]) -> bool:
    return records[-1][0].endswith(" gone")


def name_of(task_id: str) -> str:
    """Return a task's id where it is one of Koubou's own; what somebody chose cannot be told from its digest."""
    return task_id if _OWN_ID.fullmatch(task_id) else "chosen"


def times(path: Path, column: str) -> list[tuple[str, int]]:
    """Return the priority of each task and when it was created, or last updated where it ended: whole seconds."""
    where = "1" if column == "created_at" else _FINAL
    with reading(path) as db:
        rows = db.execute(f"SELECT priority, {_SECONDS.format(column)} FROM task_master WHERE {where}").fetchall()
    return [(str(priority), at) for priority, at in rows]


def _sums(rows: Iterable[tuple[object, ...]]) -> Sums:
    found: Sums = Counter()
    for *labels, amount in rows:
        assert isinstance(amount, int)
        if amount:
            found[tuple(str(label) for label in labels)] += amount
    return found
