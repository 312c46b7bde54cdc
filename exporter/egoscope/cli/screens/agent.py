"""One agent: how it is, what it calls and what takes its time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from rich.console import Group
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import count, percent, plain, took
from egoscope.cli.screens.agent_lists import TABS, list_keys, list_panel, list_rows
from egoscope.cli.screens.agent_tables import calls_tables
from egoscope.cli.screens.figures import cost_text, outcome_line, running_text
from egoscope.cli.screens.frame import (
    FRAME_COLUMNS,
    FRAME_ROWS,
    NARROW,
    TILE_ROWS,
    page,
    since,
    tiles,
    words_lines,
)
from egoscope.cli.screens.looking import WIDENING, Looking, start_of_day, widened
from egoscope.cli.screens.screen import Screen, Target
from egoscope.cli.screens.words import Times, what_takes_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Window
    from egoscope.query import (
        Activity,
        AgentOverview,
        Execution,
        ModelUse,
        Query,
        Running,
        SlowRequest,
        SlowRequests,
        ToolUse,
    )

LIST_LIMIT: Final = 100
LIST_LIMIT_ONCE: Final = 10
ONCE_TABS: Final = (0, 1)
"""Which of the lists a picture on paper has: slow requests and slow executions."""
STALE_S: Final = 300
MOST_MIDDLE_ROWS: Final = 12
LEAST_LIST_ROWS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAnswers:
    """What an agent's screen shows."""

    name: str
    window: Window
    ever: bool
    """Whether the agent is known at all."""
    today: AgentOverview | None
    whole: AgentOverview | None
    """In the window."""
    running: Running | None
    times: Times
    models: tuple[ModelUse, ...]
    tools: tuple[ToolUse, ...]
    slow: SlowRequests
    executions: tuple[Execution, ...]
    activity: tuple[Activity, ...]


def ask_agent(query: Query, name: str, looking: Looking, now: dt.datetime) -> AgentAnswers:
    """Ask all that an agent's screen shows; in a wider window where it did nothing lately and none was chosen."""
    window, whole = widened(
        looking,
        WIDENING,
        lambda window: _of(query.agents(window.since(now)), name),
        lambda found: found is not None and found.executions,
    )
    after = window.since(now)
    return AgentAnswers(
        name=name,
        window=window,
        ever=whole is not None or _of(query.agents(), name) is not None,
        today=_of(query.agents(start_of_day(now)), name),
        whole=whole,
        running=next(iter(query.running(name)), None),
        times=Times(
            executions_s=query.get_metrics(name, "duration", "sum", after),
            model_s=query.get_metrics(name, "model_duration", "sum", after),
            tool_s=query.get_metrics(name, "tool_duration", "sum", after),
        ),
        models=tuple(query.models_used(name, after)),
        tools=tuple(query.tools_used(name, after)),
        slow=query.slow_requests(name, after, limit=20),
        executions=tuple(query.get_executions(name, after, limit=LIST_LIMIT)),
        activity=tuple(query.recent_activity(LIST_LIMIT, name)),
    )


def _of(agents: Sequence[AgentOverview], name: str) -> AgentOverview | None:
    return next((agent for agent in agents if agent.agent == name), None)


def draw_agent(answers: AgentAnswers, looking: Looking, frame: Frame) -> RenderableType:
    """Draw tiles, a sentence, models beside tools, and a list of slow requests, executions or log lines."""
    parts: list[RenderableType] = []
    room = frame.room
    if frame.has_tiles:
        parts.append(_tiles(answers, frame))
        room = None if room is None else room - TILE_ROWS
    said = what_takes_time(answers.times, answers.models, answers.tools, _slowest(answers.slow))
    sentence = words_lines(said, frame)
    if room is None or room >= len(sentence) + LEAST_LIST_ROWS:
        parts.append(Group(*sentence))
        room = None if room is None else room - len(sentence)
    middle = _middle_rows(answers, room, side_by_side=frame.width >= NARROW)
    if middle is None or middle > 0:
        parts.append(calls_tables(answers, frame, middle))
        if room is not None and middle is not None:
            room -= middle * (1 if frame.width >= NARROW else 2)
    if frame.height is None:
        for tab in ONCE_TABS:
            shown = replace(looking, tab=tab)
            parts.append(list_panel(list_rows(answers, shown)[:LIST_LIMIT_ONCE], answers, shown, frame, None))
    elif room is not None and room > FRAME_ROWS:
        parts.append(list_panel(list_rows(answers, looking), answers, looking, frame, room))
    heading = Text.assemble((plain(answers.name), "bold"), "  ", _status(answers, frame))
    return page(frame, heading.append(f" {frame.glyphs.separator} {answers.window.name}"), parts, looking)


def _slowest(slow: SlowRequests) -> SlowRequest | None:
    calls = (*slow.model_calls[:1], *slow.tool_calls[:1])
    return max(calls, key=lambda one: one.duration_s, default=None)


def _status(answers: AgentAnswers, frame: Frame) -> Text:
    running = answers.running
    if running is None or not running.count:
        last = answers.whole.last_end if answers.whole else None
        said = f", last ended {since(last, frame.now)} ago" if last else ""
        return running_text(0, frame).append(said, "dim")
    text = running_text(running.count, frame)
    if running.oldest_start is not None:
        text.append(f", {'it' if running.count == 1 else 'the oldest'} for {since(running.oldest_start, frame.now)}")
    if (frame.now - running.as_of).total_seconds() > STALE_S:
        text.append(f" as of {since(running.as_of, frame.now)} ago", palette.WARNING)
    return text


def _tiles(answers: AgentAnswers, frame: Frame) -> RenderableType:
    inner = frame.width // 4 - FRAME_COLUMNS
    today, whole, window = answers.today, answers.whole, answers.window.name
    unknown = whole.calls_of_unknown_price if whole else 0
    tokens = whole.input_tokens + whole.output_tokens if whole else 0
    calls = today.model_calls + today.tool_calls if today else 0
    rate = percent(whole.success_rate) if whole else "-"
    return tiles(
        frame,
        [
            (
                "today (UTC)",
                Text(count(today.executions if today else 0), "bold"),
                Text(f"{count(calls)} calls", "dim"),
            ),
            (
                f"success {window}",
                Text(rate, "bold").append(f"  of {count(whole.executions)}" if whole else "", "dim"),
                outcome_line(whole.errors if whole else 0, whole.unfinished if whole else 0, inner),
            ),
            (
                f"avg {frame.glyphs.separator} {frame.p95}",
                Text.assemble(
                    (took(whole.avg_s if whole else None), "bold"),
                    "  ",
                    (took(whole.p95_s if whole else None), "bold"),
                ),
                Text(f"{count(whole.model_calls if whole else 0)} model calls", "dim"),
            ),
            (
                f"cost {window}",
                cost_text(whole.cost_usd if whole else 0.0, unknown, style="bold"),
                Text(f"? {count(unknown)} unknown", palette.WARNING)
                if unknown
                else Text(f"{count(tokens)} tokens", "dim"),
            ),
        ],
    )


def _middle_rows(answers: AgentAnswers, room: int | None, *, side_by_side: bool) -> int | None:
    """How high models and tools are, each: what they need, but the list below keeps half of the room."""
    wanted = max(len(answers.models), len(answers.tools), 1) + 1 + FRAME_ROWS
    if room is None:
        return None
    most = min(wanted, MOST_MIDDLE_ROWS, max(room // 2, room - LEAST_LIST_ROWS - 4 if side_by_side else 0))
    if not side_by_side:
        most = min(wanted, MOST_MIDDLE_ROWS, room // 3)
    return most if most >= FRAME_ROWS + 2 and room - most >= LEAST_LIST_ROWS else 0


class AgentScreen(Screen):
    """One agent."""

    sorts: ClassVar = ("longest", "newest")
    tabs: ClassVar = TABS
    footer: ClassVar = "q quit  esc back  enter trace  tab list  / filter  s sort  w window  ? keys"

    def __init__(self, name: str, looking: Looking | None = None) -> None:
        """Look at the agent of that name."""
        super().__init__(looking or Looking())
        self.name = name
        self.answers: AgentAnswers | None = None

    def ask(self, query: Query, now: dt.datetime) -> Callable[[], None]:
        """Ask for all about the agent."""
        answers = ask_agent(query, self.name, self.looking, now)
        return lambda: self._take(answers)

    def _take(self, answers: AgentAnswers) -> None:
        self.answers = answers
        self.keep_window(answers.window, found=answers.whole is not None)

    def draw(self, frame: Frame) -> RenderableType:
        """Draw what was answered."""
        assert self.answers is not None  # noqa: S101 (drawn only when asked)
        return draw_agent(self.answers, self.looking, frame)

    def row_keys(self) -> Sequence[str]:
        """Return the rows of the list that is shown."""
        return list_keys(list_rows(self.answers, self.looking)) if self.answers else ()

    def opened(self) -> Target | str:
        """Return the selected row's trace."""
        at = self.looking.at(self.row_keys())
        if self.answers is None or at is None:
            return ""
        trace_id = list_rows(self.answers, self.looking)[at].trace_id
        return Target(kind="trace", name=trace_id) if trace_id else "this line belongs to no trace"
