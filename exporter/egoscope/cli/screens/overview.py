"""All agents and flows at a glance: what runs, what was called, how well it went, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import bar, count, percent, plain, took
from egoscope.cli.screens.activity import activity_keys, activity_panel, trace_of, wanted_activity
from egoscope.cli.screens.columns import Column, table
from egoscope.cli.screens.figures import cost_text, failed_text, outcome_line, running_text, total_usd
from egoscope.cli.screens.frame import FRAME_COLUMNS, FRAME_ROWS, TILE_ROWS, listing, page, panel, since, tiles
from egoscope.cli.screens.looking import WIDENING, Looking, widened
from egoscope.cli.screens.overview_rows import SORTS, Row, overview_rows
from egoscope.cli.screens.screen import Screen, Target
from egoscope.cli.screens.task_tiles import tasks_sentence
from egoscope.query.answers import success_rate
from egoscope.sources.koubou import SERVICE

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from rich.panel import Panel

    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Window
    from egoscope.query import Activity, AgentOverview, FlowUse, Query, Running, TaskOverview

ACTIVITY_LINES: Final = 100
# A busy ego-mcp leaves no line to others: then the agents' own are asked for, of so many of them.
ASKED_BY_NAME: Final = 20
LINES_BY_NAME: Final = 15
ACTIVITY_LINES_ONCE: Final = 12
LEAST_ACTIVITY_ROWS: Final = 6
BARS_FROM: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the overview shows."""

    window: Window
    agents: tuple[AgentOverview, ...]
    flows: tuple[FlowUse, ...]
    running: tuple[Running, ...]
    avg_s: float | None
    p95_s: float | None
    activity: tuple[Activity, ...]
    tasks: TaskOverview


def ask_overview(query: Query, looking: Looking, now: dt.datetime) -> Overview:
    """Ask all that the overview shows; in a wider window where nothing ended lately and none was chosen.

    Where there are no agents and no flows tasks choose it, as on their own screen.
    """
    window, (agents, flows) = widened(
        looking,
        WIDENING,
        lambda window: (tuple(query.agents(window.since(now))), tuple(query.flows(window.since(now)))),
        lambda found: any(agent.executions for agent in found[0]) or any(flow.runs for flow in found[1]),
    )
    tasks = query.get_task_overview(window.since(now))
    if not (agents or flows):
        window, tasks = widened(
            looking,
            WIDENING,
            lambda window: query.get_task_overview(window.since(now)),
            lambda found: found.ended,
        )
    after = window.since(now)
    return Overview(
        window=window,
        agents=agents,
        flows=flows,
        running=tuple(query.running()),
        avg_s=query.get_metrics(None, "duration", "avg", after),
        p95_s=query.get_metrics(None, "duration", "p95", after),
        activity=_activity(query, [*(agent.agent for agent in agents), *(flow.flow for flow in flows)]),
        tasks=tasks,
    )


def _activity(query: Query, names: Sequence[str]) -> tuple[Activity, ...]:
    """Return the newest lines, of ego-mcp and of tasks only where there are no others: these have their own screens."""
    lines = query.recent_activity(ACTIVITY_LINES)
    own = [line for line in lines if line.agent and line.service != SERVICE]
    if len(own) < LINES_BY_NAME and len(lines) == ACTIVITY_LINES:
        own = [line for name in names[:ASKED_BY_NAME] for line in query.recent_activity(LINES_BY_NAME, name)]
        own.sort(key=lambda line: line.time, reverse=True)
    return tuple(own or lines)


def draw_overview(answers: Overview, looking: Looking, frame: Frame) -> RenderableType:
    """Draw tiles, the table of agents and flows, and the newest log lines."""
    rows = overview_rows(answers.agents, answers.flows, looking)
    lines = wanted_activity(answers.activity, looking)
    if frame.height is None:
        lines = lines[:ACTIVITY_LINES_ONCE]
    in_table = frame.live and looking.tab == 0
    in_activity = frame.live and looking.tab == 1
    parts: list[RenderableType] = []
    room = frame.room
    if frame.has_tiles:
        parts.append(_tiles(answers, frame))
        room = None if room is None else room - TILE_ROWS
        if not answers.tasks.is_nothing:
            parts.append(tasks_sentence(answers.tasks, frame))
            room = None if room is None else room - 1
    table_rows, activity_rows = _share(room, len(rows), len(lines), in_activity=in_activity)
    if table_rows is None or table_rows > 0:
        at = looking.at([row.key for row in rows]) if in_table else None
        parts.append(_table(rows, looking, frame, at, table_rows))
    if activity_rows is None or activity_rows > FRAME_ROWS:
        at = looking.at(activity_keys(lines)) if in_activity else None
        parts.append(
            activity_panel(lines, frame, rows=activity_rows, selected=at, selectable=frame.live, wanted=looking.wanted)
        )
    heading = Text.assemble("agents and flows  ", _state(answers, frame), f" {frame.glyphs.separator} ")
    return page(frame, heading.append(answers.window.name), parts, looking)


def _share(room: int | None, rows: int, lines: int, *, in_activity: bool) -> tuple[int | None, int | None]:
    """Share the rows: the table takes what it needs, and leaves two fifths to the activity where it needs more."""
    if room is None:
        return None, None if lines else 0
    wanted = max(rows, 1) + 1 + FRAME_ROWS
    if room < LEAST_ACTIVITY_ROWS + FRAME_ROWS + 2:
        return (0, room) if in_activity else (room, 0)
    in_table = min(wanted, room - max(LEAST_ACTIVITY_ROWS, room * 2 // 5))
    return in_table, room - in_table


def _state(answers: Overview, frame: Frame) -> Text:
    running = sum(agent.running for agent in answers.agents) + sum(flow.running for flow in answers.flows)
    return running_text(running, frame)


def _tiles(answers: Overview, frame: Frame) -> RenderableType:
    inner = frame.width // 4 - FRAME_COLUMNS
    agents, flows, window = answers.agents, answers.flows, answers.window.name
    runs = sum(agent.executions for agent in agents) + sum(flow.runs for flow in flows)
    errors = sum(agent.errors for agent in agents) + sum(flow.errors for flow in flows)
    unfinished = sum(agent.unfinished for agent in agents) + sum(flow.unfinished for flow in flows)
    of_flows = sum(flow.runs for flow in flows)
    starts = [one.oldest_start for one in answers.running if one.oldest_start is not None]
    oldest = f"oldest: {since(min(starts), frame.now)}" if starts else ""
    second = oldest or (f"{count(of_flows)} of flows" if of_flows else "none running")
    calls = sum(agent.model_calls for agent in agents)
    tokens = sum(agent.input_tokens + agent.output_tokens for agent in agents)
    unknown = sum(agent.calls_of_unknown_price for agent in agents)
    usd = total_usd(agent.cost_usd for agent in agents)
    rate = success_rate(runs, errors + unfinished)
    avg_s, p95_s, of_what = answers.avg_s, answers.p95_s, f"{count(calls)} model calls"
    if not agents and flows:
        ended = [(flow.avg_s, flow.runs - flow.unfinished) for flow in flows if flow.avg_s is not None]
        weight = sum(number for _, number in ended)
        avg_s = sum(average * number for average, number in ended) / weight if weight else None
        p95_s, of_what = max((flow.p95_s for flow in flows if flow.p95_s is not None), default=None), "slowest flow's"
    return tiles(
        frame,
        [
            (f"runs {window}", Text(count(runs), "bold"), Text(second, "dim")),
            ("success", Text(percent(rate), "bold"), outcome_line(errors, unfinished, inner)),
            (
                f"avg {frame.glyphs.separator} {frame.p95}",
                Text.assemble((took(avg_s), "bold"), "  ", (took(p95_s), "bold")),
                Text(of_what, "dim"),
            ),
            (
                f"cost {window}",
                cost_text(usd, unknown, style="bold"),
                Text(f"? {count(unknown)} unknown", palette.WARNING)
                if unknown
                else Text(f"{count(tokens)} tokens", "dim"),
            ),
        ],
    )


def _table(rows: Sequence[Row], looking: Looking, frame: Frame, at: int | None, height: int | None) -> Panel:
    bars = max(0, min(60, frame.width - BARS_FROM))
    most = max((row.runs for row in rows), default=0) or 1
    specification = (
        Column("agent or flow", left=True, middle=True),
        Column("", 5, 4, left=True),
        Column("", bars, 9, left=True),
        Column("now", 3),
        Column("runs", 5),
        Column("fail", 4),
        Column("ok", 6, 3),
        Column("avg", 6, 5),
        Column(frame.p95, 6),
        Column("calls", 5, 7),
        Column("tokens", 6, 6),
        Column("cost", 7),
        Column("last", 6, 2),
    )
    cells = [
        (
            Text(plain(row.name), "bold" if row.running else ""),
            Text(row.kind, "dim"),
            Text(bar(row.runs / most, bars, frame.glyphs) if bars else "", palette.ACCENT),
            Text(count(row.running), f"bold {palette.ACCENT}") if row.running else Text("-", "dim"),
            count(row.runs),
            failed_text(row.errors, row.unfinished),
            percent(success_rate(row.runs, row.errors + row.unfinished)),
            took(row.avg_s),
            took(row.p95_s),
            "" if row.calls is None else count(row.calls),
            "" if row.tokens is None else count(row.tokens),
            Text() if row.cost_usd is None else cost_text(row.cost_usd, row.unknown),
            "" if row.last is None else since(row.last, frame.now),
        )
        for row in rows
    ]
    lines = table(specification, cells, frame.width - FRAME_COLUMNS, frame.glyphs, selected=at, selectable=frame.live)
    shown, which = listing(lines, at, None if height is None else height - FRAME_ROWS)
    dot = f" {frame.glyphs.separator} "
    title = dot.join(word for word in ("agents and flows", f"by {SORTS[looking.sort]}", which) if word)
    if not rows:
        said = "nothing is called so" if looking.wanted else "nothing ended here; w widens the window"
        return panel(title, Text(said, "dim"), height)
    return panel(title, shown, height)


class OverviewScreen(Screen):
    """All agents and flows."""

    sorts: ClassVar = SORTS
    tabs: ClassVar = ("agents and flows", "recent activity")
    nothing: ClassVar = "No executions and no flows yet."
    footer: ClassVar = "q quit  esc back  enter open  / filter  s sort  w window  p pause  ? keys"

    def __init__(self, looking: Looking | None = None) -> None:
        """Begin with the window of a day, or a wider one where nothing happened in it."""
        super().__init__(looking or Looking())
        self._answers: Overview | None = None

    def ask(self, query: Query, now: dt.datetime) -> Callable[[], None]:
        """Ask for agents, flows, what runs and the newest lines."""
        answers = ask_overview(query, self.looking, now)
        return lambda: self._take(answers)

    def _take(self, answers: Overview) -> None:
        self._answers = answers
        self.keep_window(answers.window, found=bool(answers.agents or answers.flows))

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was found."""
        answers = self._answers
        return answers is None or not (
            answers.agents or answers.flows or answers.activity or not answers.tasks.is_nothing
        )

    def draw(self, frame: Frame) -> RenderableType:
        """Draw what was answered."""
        assert self._answers is not None  # noqa: S101 (drawn only when asked)
        return draw_overview(self._answers, self.looking, frame)

    def _rows(self) -> list[Row]:
        answers = self._answers
        return [] if answers is None else overview_rows(answers.agents, answers.flows, self.looking)

    def row_keys(self) -> Sequence[str]:
        """Return agents and flows, or the lines."""
        if self._answers is None:
            return ()
        if self.looking.tab:
            return activity_keys(wanted_activity(self._answers.activity, self.looking))
        return [row.key for row in self._rows()]

    def opened(self) -> Target | str:
        """Return the agent, the flow, or the trace of the line."""
        at = self.looking.at(self.row_keys())
        if self._answers is None or at is None:
            return ""
        if self.looking.tab:
            return trace_of(wanted_activity(self._answers.activity, self.looking)[at])
        row = self._rows()[at]
        return Target(kind=row.kind, name=row.name, window=self.looking.window)
