"""Tasks and workers in figures: tiles, the queue as a line, and a sentence for other screens. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import count, percent, plain, sparkline, took
from egoscope.cli.screens.figures import outcome_line, running_text
from egoscope.cli.screens.frame import FRAME_COLUMNS, one_line, since, tiles
from egoscope.model.standing import BUSY, IDLE, LOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from egoscope.cli.screens.frame import Frame
    from egoscope.query import ProcessGroup, QueueDepth, TaskOverview

SPARKS_TAKE: Final = 44
"""Columns that the words beside the sparkline need."""


def work_text(overview: TaskOverview, frame: Frame) -> Text:
    """Say how many tasks are worked on, or that nobody knows."""
    if overview.as_of is None and overview.processes:
        alive = overview.processes_alive
        return Text(f"{frame.glyphs.dot} {alive} alive", "" if alive else palette.ERROR)
    if overview.as_of is None:
        return Text(f"{frame.glyphs.dot} not told for five minutes", palette.WARNING)
    return running_text(overview.running, frame)


def task_tiles(overview: TaskOverview, expected: int | None, window: str, frame: Frame) -> RenderableType:
    """Draw workers against those that are expected, the queue, how it went and how long it took."""
    inner = frame.width // 4 - FRAME_COLUMNS
    waited = took(overview.wait_p95_s)
    return tiles(
        frame,
        [
            (_workers_title(overview, expected), *_workers(overview, expected)),
            ("queue", *_queue(overview, frame)),
            (
                f"success {window}",
                Text(percent(overview.success_rate), "bold").append(f"  of {count(overview.ended)}", "dim"),
                _failures(overview.failed, overview.cancelled, inner),
            ),
            (
                f"p50 {frame.glyphs.separator} {frame.p95}",
                Text.assemble((took(overview.p50_s), "bold"), "  ", (took(overview.p95_s), "bold")),
                Text(f"wait ~p95 {waited}" if overview.wait_p95_s is not None else "of a task", "dim"),
            ),
        ],
    )


def _failures(failed: int, cancelled: int, width: int) -> Text:
    line = outcome_line(failed, 0, width)
    if not cancelled:
        return line
    short = Text(f"{count(failed)} fail", palette.ERROR) if failed else Text("none failed", "dim")
    for first, second in ((line, ", {} cancelled"), (line, ", {} canc."), (line, " {} canc."), (short, " {} canc.")):
        said = second.format(count(cancelled))
        if first.cell_len + len(said) <= width:
            return first.append(said, "dim")
    return line


def _workers_title(overview: TaskOverview, expected: int | None) -> str:
    if expected is None or (overview.as_of is None and not overview.processes):
        return "workers"
    return f"workers {overview.available} of {expected}"


def _workers(overview: TaskOverview, expected: int | None) -> tuple[Text, Text]:
    workers, total = overview.workers, sum(overview.workers.values())
    if overview.processes and not workers:
        said, wrong, well = f"{overview.processes_alive} alive", _unhealthy(overview), "none unhealthy"
    elif overview.as_of is not None:
        said = f"{workers.get(BUSY, 0)} busy  {workers.get(IDLE, 0)} idle"
        wrong = f"{workers[LOST]} lost of {total}" if workers.get(LOST) else _unhealthy(overview)
        well = f"none lost of {total}"
    else:
        return Text("-", "bold"), Text("not known", "dim")
    few = expected is not None and overview.available < expected
    first = Text(said, f"bold {palette.ERROR}" if few else "bold")
    if wrong:
        return first, Text(wrong, f"bold {palette.WARNING}")
    if few:
        return first, Text(f"{(expected or 0) - overview.available} too few", palette.ERROR)
    return first, Text(well, "dim")


def _unhealthy(overview: TaskOverview) -> str:
    return f"{overview.processes_unhealthy} unhealthy" if overview.processes_unhealthy else ""


def _queue(overview: TaskOverview, frame: Frame) -> tuple[Text, Text]:
    if overview.as_of is None:
        return Text("-", "bold"), Text("not known", "dim")
    oldest = overview.oldest_waiting
    second = "nothing waits" if oldest is None else f"oldest {since(oldest, frame.now)}"
    return Text.assemble((count(overview.waiting), "bold"), (" waiting", "dim")), Text(second, "dim")


def queue_line(queue: Sequence[QueueDepth], overview: TaskOverview, frame: Frame) -> Text:
    """Draw how many tasks waited over the window, as one line."""
    known = [one.waiting for one in queue if one.waiting is not None]
    if not known:
        return one_line(Text(" queue: nobody told of it in this window", "dim"), frame)
    width = max(8, min(len(queue), frame.width - SPARKS_TAKE))
    depths = _most_of(queue, width)
    line = Text(" queue ", "dim")
    for part in _runs(depths):
        if part[0] is None:
            line.append(" " * len(part))
        else:
            line.append(_spark(part, max(known), frame), palette.ACCENT)
    now = "" if overview.as_of is None else f"now {count(overview.waiting)}, "
    return one_line(line.append(f" {now}at most {count(max(known))}", "dim"), frame)


def processes_line(groups: Sequence[ProcessGroup], frame: Frame) -> Text:
    """Say how other programs' worker processes are, by group; what is wrong stands first."""
    line = Text(" processes", "dim")
    for group in sorted(groups, key=lambda group: (not group.unhealthy, group.alive > 0, group.group)):
        line.append(f"  {plain(group.group)} ")
        line.append(f"{group.alive} alive", "" if group.alive else palette.ERROR)
        if group.unhealthy:
            line.append(f" {group.unhealthy} unhealthy", f"bold {palette.WARNING}")
    return one_line(line, frame)


def _most_of(queue: Sequence[QueueDepth], width: int) -> list[int | None]:
    """Return the deepest of each part, so that no peak that was seen is lost."""
    parts = [queue[place * len(queue) // width : (place + 1) * len(queue) // width] for place in range(width)]
    told = [[one.waiting for one in part if one.waiting is not None] for part in parts]
    return [max(part, default=None) for part in told]


def _runs(depths: Sequence[int | None]) -> list[list[int | None]]:
    """Cut between what is known and what is not."""
    runs: list[list[int | None]] = []
    for depth in depths:
        if runs and (runs[-1][0] is None) == (depth is None):
            runs[-1].append(depth)
        else:
            runs.append([depth])
    return runs


def _spark(depths: Sequence[int | None], most: int, frame: Frame) -> str:
    # The highest of all decides the scale, wherever it is.
    values = [most, *(depth or 0 for depth in depths)]
    return sparkline(values, len(values), frame.glyphs)[1:]


def _said_of_processes(line: Text, overview: TaskOverview) -> Text:
    alive = overview.processes_alive
    line.append(f"{alive} {'process' if alive == 1 else 'processes'} alive")
    if wrong := _unhealthy(overview):
        line.append(f", {wrong}", palette.WARNING)
    return line


def tasks_sentence(overview: TaskOverview, frame: Frame) -> Text:
    """Say in one line how tasks and workers are, for the overview of everything."""
    line = Text(" tasks: ", "dim")
    if overview.processes and replace(overview, processes=()).is_nothing:
        return one_line(_said_of_processes(Text(" workers: ", "dim"), overview).append("  t", "dim"), frame)
    if overview.as_of is not None:
        line.append(f"{count(overview.waiting)} waiting", "bold" if overview.waiting else "")
        if overview.oldest_waiting is not None:
            line.append(f" ({since(overview.oldest_waiting, frame.now)})", "dim")
        line.append(", ")
    line.append(f"{count(overview.ended)} ended")
    if overview.success_rate is not None:
        line.append(f", {percent(overview.success_rate)} ok")
    if overview.workers:
        lost = overview.workers.get(LOST, 0)
        there = overview.workers.get(BUSY, 0) + overview.workers.get(IDLE, 0)
        line.append("; ").append(f"{there} of {sum(overview.workers.values())} workers")
        if lost:
            line.append(f", {lost} lost", palette.WARNING)
    if overview.processes:
        _said_of_processes(line.append("; "), overview)
    return one_line(line.append("  t", "dim"), frame)
