"""One flow: its nodes, how they end and what takes the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from rich.console import Group
from rich.text import Text

from egoscope.cli.monitor_text import count, percent, plain, took
from egoscope.cli.screens.activity import activity_keys, activity_panel, trace_of, wanted_activity
from egoscope.cli.screens.columns import Column, table
from egoscope.cli.screens.figures import failed_text, outcome_line, running_text
from egoscope.cli.screens.frame import (
    FRAME_COLUMNS,
    FRAME_ROWS,
    TILE_ROWS,
    listing,
    page,
    panel,
    since,
    tiles,
    words_lines,
)
from egoscope.cli.screens.looking import WIDENING, Looking, start_of_day, widened
from egoscope.cli.screens.screen import Screen, Target
from egoscope.cli.screens.words import what_takes_flow_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from rich.panel import Panel

    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Window
    from egoscope.query import Activity, FlowUse, NodeUse, Query

ACTIVITY_LINES: Final = 100
ACTIVITY_LINES_ONCE: Final = 10
LEAST_ACTIVITY_ROWS: Final = 5
SORTS: Final = ("time", "failures", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowAnswers:
    """What a flow's screen shows."""

    name: str
    window: Window
    today: FlowUse | None
    whole: FlowUse | None
    """In the window."""
    activity: tuple[Activity, ...]


def ask_flow(query: Query, name: str, looking: Looking, now: dt.datetime) -> FlowAnswers:
    """Ask all that a flow's screen shows; in a wider window where it did not run lately and none was chosen."""
    window, whole = widened(
        looking,
        WIDENING,
        lambda window: _of(query.flows(window.since(now)), name),
        lambda found: found is not None and found.runs,
    )
    return FlowAnswers(
        name=name,
        window=window,
        today=_of(query.flows(start_of_day(now)), name),
        whole=whole,
        activity=tuple(query.recent_activity(ACTIVITY_LINES, name)),
    )


def _of(flows: Sequence[FlowUse], name: str) -> FlowUse | None:
    return next((flow for flow in flows if flow.flow == name), None)


def node_rows(answers: FlowAnswers, looking: Looking) -> list[NodeUse]:
    """Return the nodes as they are shown: filtered and in order."""
    nodes = answers.whole.nodes if answers.whole else ()
    wanted = [node for node in nodes if looking.matches(node.node)]
    match SORTS[looking.sort]:
        case "time":
            return sorted(wanted, key=lambda node: (-(node.avg_s or 0) * node.runs, node.node))
        case "failures":
            return sorted(wanted, key=lambda node: (-node.errors - node.unfinished, node.node))
        case _:
            return sorted(wanted, key=lambda node: node.node)


def draw_flow(answers: FlowAnswers, looking: Looking, frame: Frame) -> RenderableType:
    """Draw tiles, a sentence, the nodes and the newest log lines."""
    parts: list[RenderableType] = []
    room = frame.room
    if frame.has_tiles:
        parts.append(_tiles(answers, frame))
        room = None if room is None else room - TILE_ROWS
    nodes = node_rows(answers, looking)
    if answers.whole is not None and answers.whole.nodes:
        sentence = words_lines(what_takes_flow_time(answers.whole.nodes), frame, 2)
        if room is None or room > len(sentence) + LEAST_ACTIVITY_ROWS + FRAME_ROWS:
            parts.append(Group(*sentence))
            room = None if room is None else room - len(sentence)
    lines = wanted_activity(answers.activity, looking)
    on_nodes, on_lines = frame.live and looking.tab == 1, frame.live and looking.tab == 0
    node_height = None if room is None else min(max(len(nodes), 1) + 1 + FRAME_ROWS, room - LEAST_ACTIVITY_ROWS)
    if node_height is None or node_height > FRAME_ROWS:
        at = looking.at([node.node for node in nodes]) if on_nodes else None
        parts.append(_nodes(nodes, looking, frame, at, node_height))
        room = None if room is None else room - (node_height or 0)
    if frame.height is None:
        lines = lines[:ACTIVITY_LINES_ONCE]
    if room is None or room > FRAME_ROWS:
        at = looking.at(activity_keys(lines)) if on_lines else None
        parts.append(activity_panel(lines, frame, rows=room, selected=at, selectable=frame.live, wanted=looking.wanted))
    heading = Text.assemble((plain(answers.name), "bold"), "  flow  ")
    heading.append_text(running_text(answers.whole.running if answers.whole else 0, frame))
    newest = answers.activity[0].time if answers.activity else None
    if newest is not None:
        heading.append(f", last {since(newest, frame.now)} ago", "dim")
    return page(frame, heading.append(f" {frame.glyphs.separator} {answers.window.name}"), parts, looking)


def _tiles(answers: FlowAnswers, frame: Frame) -> RenderableType:
    today, whole, window = answers.today, answers.whole, answers.window.name
    inner = frame.width // 4 - FRAME_COLUMNS
    node_runs = sum(node.runs for node in whole.nodes) if whole else 0
    return tiles(
        frame,
        [
            (
                "today (UTC)",
                Text(count(today.runs if today else 0), "bold"),
                Text("none failed" if not today or not today.errors else f"{count(today.errors)} failed", "dim"),
            ),
            (
                f"success {window}",
                Text(percent(whole.success_rate if whole else None), "bold").append(
                    f"  of {count(whole.runs)}" if whole else "", "dim"
                ),
                outcome_line(whole.errors if whole else 0, whole.unfinished if whole else 0, inner),
            ),
            (
                f"avg {frame.glyphs.separator} {frame.p95}",
                Text.assemble(
                    (took(whole.avg_s if whole else None), "bold"),
                    "  ",
                    (took(whole.p95_s if whole else None), "bold"),
                ),
                Text("of a run", "dim"),
            ),
            (
                f"nodes {window}",
                Text(count(len(whole.nodes) if whole else 0), "bold"),
                Text(f"ran {count(node_runs)} times", "dim"),
            ),
        ],
    )


def _nodes(nodes: Sequence[NodeUse], looking: Looking, frame: Frame, at: int | None, height: int | None) -> Panel:
    specification = (
        Column("node", left=True, middle=True),
        Column("runs", 5),
        Column("fail", 4),
        Column("ok", 6, 2),
        Column("avg", 6, 1),
        Column(frame.p95, 6),
    )
    cells = [
        (
            plain(node.node),
            count(node.runs),
            failed_text(node.errors, node.unfinished),
            percent(node.success_rate),
            took(node.avg_s),
            took(node.p95_s),
        )
        for node in nodes
    ]
    lines = table(specification, cells, frame.width - FRAME_COLUMNS, frame.glyphs, selected=at, selectable=frame.live)
    shown, which = listing(lines, at, None if height is None else height - FRAME_ROWS)
    title = f" {frame.glyphs.separator} ".join(word for word in ("nodes", f"by {SORTS[looking.sort]}", which) if word)
    return panel(title, shown if nodes else Text("no node ended in this window", "dim"), height)


class FlowScreen(Screen):
    """One flow."""

    sorts: ClassVar = SORTS
    tabs: ClassVar = ("recent activity", "nodes")
    footer: ClassVar = "q quit  esc back  enter trace  tab nodes  / filter  s sort  w window  ? keys"

    def __init__(self, name: str, looking: Looking | None = None) -> None:
        """Look at the flow of that name."""
        super().__init__(looking or Looking())
        self.name = name
        self.answers: FlowAnswers | None = None

    def ask(self, query: Query, now: dt.datetime) -> Callable[[], None]:
        """Ask for all about the flow."""
        answers = ask_flow(query, self.name, self.looking, now)
        return lambda: self._take(answers)

    def _take(self, answers: FlowAnswers) -> None:
        self.answers = answers
        self.keep_window(answers.window, found=answers.whole is not None)

    def draw(self, frame: Frame) -> RenderableType:
        """Draw what was answered."""
        assert self.answers is not None  # noqa: S101 (drawn only when asked)
        return draw_flow(self.answers, self.looking, frame)

    def row_keys(self) -> Sequence[str]:
        """Return the log lines, or the nodes."""
        if self.answers is None:
            return ()
        if self.looking.tab:
            return [node.node for node in node_rows(self.answers, self.looking)]
        return activity_keys(wanted_activity(self.answers.activity, self.looking))

    def opened(self) -> Target | str:
        """Return the selected line's trace."""
        at = self.looking.at(self.row_keys())
        if self.answers is None or at is None:
            return ""
        if self.looking.tab:
            return "a node's traces are behind the lines of recent activity: tab"
        return trace_of(wanted_activity(self.answers.activity, self.looking)[at])
