"""Tasks and the workers that do them: who works on what, what waits, how it went, live."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from rich.console import Group
from rich.text import Text

from egoscope.cli.screens.activity import activity_keys, activity_panel, trace_of, wanted_activity
from egoscope.cli.screens.frame import FRAME_ROWS, TILE_ROWS, columns, page
from egoscope.cli.screens.looking import WIDENING, Looking, widened
from egoscope.cli.screens.screen import Deed, Screen, Target
from egoscope.cli.screens.task_tables import (
    SORTS,
    task_keys,
    tasks_panel,
    wanted_tasks,
    worker_keys,
    worker_rows,
    workers_panel,
)
from egoscope.cli.screens.task_tiles import processes_line, queue_line, task_tiles, work_text
from egoscope.query.times import DAY
from egoscope.sources.koubou import SERVICE

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Window
    from egoscope.query import Activity, Query, QueueDepth, Task, TaskOverview, Worker

TASKS: Final = 100
LINES: Final = 100
ROWS_ONCE: Final = 10
POINTS: Final = 120
MOST_HISTORY: Final = 30 * DAY
SIDE_BY_SIDE: Final = 150
LEAST_ROWS: Final = FRAME_ROWS + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersAnswers:
    """What the screen of tasks and workers shows."""

    window: Window
    overview: TaskOverview
    queue: tuple[QueueDepth, ...]
    workers: tuple[Worker, ...]
    tasks: tuple[Task, ...]
    activity: tuple[Activity, ...]


def ask_workers(query: Query, looking: Looking, now: dt.datetime) -> WorkersAnswers:
    """Ask all that the screen shows; in a wider window where nothing ended lately and none was chosen."""
    window, overview = widened(
        looking,
        WIDENING,
        lambda window: query.get_task_overview(window.since(now)),
        lambda found: found.ended,
    )
    after = window.since(now)
    return WorkersAnswers(
        window=window,
        overview=overview,
        queue=tuple(query.get_queue_history(max(after or now - MOST_HISTORY, now - MOST_HISTORY), now, POINTS)),
        workers=tuple(query.get_workers(after)),
        tasks=tuple(query.get_tasks(looking.wanted if looking.whole else None, since=after, limit=TASKS)),
        activity=tuple(query.recent_activity(LINES, service=SERVICE, since=after)),
    )


def draw_workers(answers: WorkersAnswers, expected: int | None, looking: Looking, frame: Frame) -> RenderableType:
    """Draw tiles, the queue, workers, the tasks that ended last and the newest log lines."""
    expected = expected if answers.overview.workers_expected is None else answers.overview.workers_expected
    rows = worker_rows(answers.workers, looking)
    tasks = wanted_tasks(answers.tasks, looking)
    lines = wanted_activity(answers.activity, looking)
    if frame.height is None:
        tasks, lines = tasks[:ROWS_ONCE], lines[:ROWS_ONCE]
    room = frame.room
    parts: list[RenderableType] = []
    if frame.has_tiles:
        parts += [
            task_tiles(answers.overview, expected, answers.window.name, frame),
            queue_line(answers.queue, answers.overview, frame),
        ]
        if answers.overview.processes:
            parts.append(processes_line(answers.overview.processes, frame))
        room = None if room is None else room - TILE_ROWS - len(parts) + 1
    beside = frame.width >= SIDE_BY_SIDE
    heights = _share(room, len(rows), len(tasks), looking.tab, beside=beside)
    at: list[int | None] = [None, None, None]
    if frame.live:
        keys = (worker_keys(rows), task_keys(tasks), activity_keys(lines))[looking.tab]
        at[looking.tab] = looking.at(keys)
    nothing_told = answers.overview.as_of is None and not answers.overview.processes
    half = frame.width // 2
    left = replace(frame, width=half) if beside else frame
    right = replace(frame, width=frame.width - half) if beside else frame
    boxes: list[RenderableType] = []
    if _has_room(heights[0]):
        parts.append(workers_panel(rows, looking, frame, at[0], heights[0], nothing_told=nothing_told))
    if _has_room(heights[1]):
        boxes.append(tasks_panel(tasks, looking, left, at[1], heights[1]))
    if _has_room(heights[2]):
        boxes.append(
            activity_panel(lines, right, rows=heights[2], selected=at[2], selectable=frame.live, wanted=looking.wanted)
        )
    if beside and len(boxes) > 1:
        parts.append(columns(boxes, [half, None]))
    elif boxes:
        parts.append(Group(*boxes))
    heading = Text.assemble("tasks and workers  ", work_text(answers.overview, frame))
    return page(frame, heading.append(f" {frame.glyphs.separator} {answers.window.name}"), parts, looking)


def _has_room(height: int | None) -> bool:
    return height is None or height > FRAME_ROWS


def _share(
    room: int | None, workers: int, tasks: int, tab: int, *, beside: bool
) -> tuple[int | None, int | None, int | None]:
    """Share the rows: workers as many as there are, up to half; of the rest tasks most; the log takes what is left.

    Where there is no room for three the list that keys move about in has all of it.
    """
    if room is None:
        return None, None, None
    if room < 3 * (LEAST_ROWS + 1):
        alone = [0, 0, 0]
        alone[tab] = room
        return alone[0], alone[1], alone[2]
    most = max(LEAST_ROWS, room // 2)
    of_workers = min(max(workers, 1) + 1 + FRAME_ROWS, most)
    if beside:
        return of_workers, room - of_workers, room - of_workers
    of_tasks = max(LEAST_ROWS, min(max(tasks, 1) + 1 + FRAME_ROWS, most, room - of_workers - LEAST_ROWS))
    return of_workers, of_tasks, room - of_workers - of_tasks


class WorkersScreen(Screen):
    """Tasks and workers."""

    sorts: ClassVar = SORTS
    tabs: ClassVar = ("workers", "tasks", "recent activity")
    footer: ClassVar = "q quit  esc back  enter open  tab list  / filter  s sort  w window  ? keys"
    nothing: ClassVar = "No tasks and no workers yet."
    refresh_s: ClassVar = 0.5
    rests: ClassVar = 3

    def __init__(self, expected: int | None = None, looking: Looking | None = None) -> None:
        """`expected`: how many workers there should be, where the sidecar does not tell it."""
        super().__init__(looking or Looking())
        self._expected = expected
        self._answers: WorkersAnswers | None = None

    def ask(self, query: Query, now: dt.datetime) -> Callable[[], None]:
        """Ask for counts, the queue, workers, tasks and lines."""
        answers = ask_workers(query, self.looking, now)
        return lambda: self._take(answers)

    def _take(self, answers: WorkersAnswers) -> None:
        self._answers = answers
        self.keep_window(answers.window, found=bool(answers.overview.ended))

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was found."""
        answers = self._answers
        return answers is None or (
            answers.overview.is_nothing and not (answers.workers or answers.tasks or answers.activity)
        )

    def draw(self, frame: Frame) -> RenderableType:
        """Draw what was answered."""
        assert self._answers is not None  # noqa: S101 (drawn only when asked)
        return draw_workers(self._answers, self._expected, self.looking, frame)

    def row_keys(self) -> Sequence[str]:
        """Return workers, tasks or lines."""
        if self._answers is None:
            return ()
        match self.looking.tab:
            case 0:
                return worker_keys(worker_rows(self._answers.workers, self.looking))
            case 1:
                return task_keys(wanted_tasks(self._answers.tasks, self.looking))
            case _:
                return activity_keys(wanted_activity(self._answers.activity, self.looking))

    def own_key(self, key: str) -> Deed | None:
        """On a worker, enter shows the tasks that ended with it."""
        at = self.looking.at(self.row_keys())
        if self.looking.tab or at is None or self._answers is None or key not in ("enter", "right"):
            return None
        name = worker_rows(self._answers.workers, self.looking)[at].name
        self.looking = replace(self.looking, tab=1, wanted=name, whole=True, selected=None, place=0)
        return Deed.NOTHING

    def opened(self) -> Target | str:
        """Return the trace of the task or the line."""
        at = self.looking.at(self.row_keys())
        if self._answers is None or at is None or not self.looking.tab:
            return ""
        if self.looking.tab == 1:
            return Target(kind="trace", name=wanted_tasks(self._answers.tasks, self.looking)[at].trace_id)
        line = wanted_activity(self._answers.activity, self.looking)[at]
        target = trace_of(line)
        if isinstance(target, Target) and any(task.trace_id == line.trace_id for task in self._answers.tasks):
            return target
        return target if isinstance(target, str) else "a task has a trace when it has ended"
