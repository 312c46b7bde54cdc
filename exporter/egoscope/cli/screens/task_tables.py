"""Workers and tasks as tables. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import count, plain, took
from egoscope.cli.screens.columns import Column, table
from egoscope.cli.screens.figures import failed_text
from egoscope.cli.screens.frame import FRAME_COLUMNS, FRAME_ROWS, GOOD, listing, panel, since, when
from egoscope.model.standing import BUSY, GONE, IDLE, LOST, OFFLINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.panel import Panel

    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Looking
    from egoscope.query import Task, Worker
    from egoscope.query.task_answers import TaskOutcome

SORTS: Final = ("state", "tasks", "failures", "name")
INSTANCE_SHOWN: Final = 8
_ORDER: Final = (LOST, BUSY, IDLE, OFFLINE, GONE)
_STATES: Final = {LOST: f"bold {palette.WARNING}", BUSY: f"bold {GOOD}", IDLE: "", OFFLINE: "dim", GONE: "dim"}
_OUTCOMES: Final[dict[TaskOutcome, tuple[str, str]]] = {
    "ok": ("ok", "dim"),
    "error": ("failed", f"bold {palette.ERROR}"),
    "cancelled": ("cancelled", palette.WARNING),
}


def worker_rows(workers: Sequence[Worker], looking: Looking) -> list[Worker]:
    """Return the workers as they are shown: filtered and in order."""
    wanted = [worker for worker in workers if looking.matches(worker.name, worker.state, worker.task_id)]
    match SORTS[looking.sort]:
        case "tasks":
            return sorted(wanted, key=lambda one: (-one.completed - one.failed - one.cancelled, one.name, one.instance))
        case "failures":
            return sorted(wanted, key=lambda one: (-one.failed, one.name, one.instance))
        case "name":
            return sorted(wanted, key=lambda one: (one.name, one.instance))
        case _:
            return sorted(wanted, key=lambda one: (_place(one.state), one.name, one.instance))


def _place(state: str) -> int:
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)


def worker_keys(workers: Sequence[Worker]) -> list[str]:
    """Return a key for each row, which stays the same wherever it moves."""
    return [f"{worker.name} {worker.instance}" for worker in workers]


def wanted_tasks(tasks: Sequence[Task], looking: Looking) -> list[Task]:
    """Return the tasks that the filter lets through."""
    return [task for task in tasks if looking.matches(task.task_id, task.worker, _OUTCOMES[task.outcome][0])]


def task_keys(tasks: Sequence[Task]) -> list[str]:
    """Return a key for each row."""
    return [task.trace_id for task in tasks]


def workers_panel(
    workers: Sequence[Worker], looking: Looking, frame: Frame, at: int | None, height: int | None, *, nothing_told: bool
) -> Panel:
    """Draw the workers, each with its task and since when."""
    several = len({worker.instance for worker in workers}) > 1
    specification = (
        Column("worker", left=True, middle=True),
        Column("database" if several else "", left=True, rank=4),
        Column("state", 7, left=True),
        Column("for", 6),
        Column("task", 10, 1, left=True, middle=True),
        Column("heard", 6, 3),
        Column("ok", 5, 2),
        Column("fail", 4, 2),
    )
    cells = [
        (
            Text(plain(worker.name), "bold" if worker.state == BUSY else ""),
            Text(plain(worker.instance)[:INSTANCE_SHOWN] if several else "", "dim"),
            Text(plain(worker.state), _STATES.get(worker.state, "")),
            since(worker.since, frame.now),
            plain(worker.task_id or ""),
            since(worker.last_heartbeat, frame.now),
            count(worker.completed),
            failed_text(worker.failed, 0),
        )
        for worker in workers
    ]
    lines = table(specification, cells, frame.width - FRAME_COLUMNS, frame.glyphs, selected=at, selectable=frame.live)
    shown, which = listing(lines, at, None if height is None else height - FRAME_ROWS)
    title = _title(frame, "workers", f"by {SORTS[looking.sort]}", which)
    if workers:
        return panel(title, shown, height)
    said = "the filter lets no worker through" if looking.wanted else "no database tells of a worker"
    if nothing_told and not looking.wanted:
        said = "nobody told of workers for five minutes; is egoscope running?"
    return panel(title, Text(said, "dim"), height)


def tasks_panel(tasks: Sequence[Task], looking: Looking, frame: Frame, at: int | None, height: int | None) -> Panel:
    """Draw the tasks that ended last."""
    specification = (
        Column("task", left=True, middle=True),
        Column("prio", 4, 3),
        Column("worker", 8, 1, left=True, middle=True),
        Column("ended", 6, left=True),
        Column("took", 6),
        Column("when", 8),
    )
    cells = [
        (
            plain(task.task_id),
            Text("" if task.priority is None else str(task.priority), "dim"),
            Text(plain(task.worker or ""), "dim"),
            Text(*_OUTCOMES[task.outcome]),
            took(task.duration_s),
            Text(when(task.ended, frame.now), "dim"),
        )
        for task in tasks
    ]
    lines = table(specification, cells, frame.width - FRAME_COLUMNS, frame.glyphs, selected=at, selectable=frame.live)
    shown, which = listing(lines, at, None if height is None else height - FRAME_ROWS)
    title = _title(frame, "tasks", "newest first", which)
    if tasks:
        return panel(title, shown, height)
    said = "the filter lets no task through" if looking.wanted else "no task ended here; w widens the window"
    return panel(title, Text(said, "dim"), height)


def _title(frame: Frame, *words: str) -> str:
    return f" {frame.glyphs.separator} ".join(word for word in words if word)
