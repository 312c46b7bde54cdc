"""What agents cost: by day, agent or model, and what the month will cost."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from rich.console import Group
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import bar, cost, count, plain, sparkline
from egoscope.cli.screens.budget import CHART_ROWS, budget_chart, projection_lines
from egoscope.cli.screens.columns import Column, table
from egoscope.cli.screens.figures import cost_text
from egoscope.cli.screens.frame import FRAME_COLUMNS, FRAME_ROWS, listing, one_line, page, panel
from egoscope.cli.screens.looking import Looking, Window, start_of_day, widened
from egoscope.cli.screens.screen import Deed, Screen, Target
from egoscope.query.cost import USD_DECIMALS, CostSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from rich.panel import Panel

    from egoscope.cli.screens.frame import Frame
    from egoscope.query import CostRow, Projection, Query

DAY: Final = dt.timedelta(days=1)
WINDOWS: Final = (Window("30 d", 30 * DAY), Window("90 d", 90 * DAY), Window("all", None), Window("7 d", 7 * DAY))
TABS: Final = ("by day", "by agent", "by model")
SORTS: Final = ("as it is", "cost", "calls")
LEAST_TABLE_ROWS: Final = 6
ROOMY_ROWS: Final = 34
"""From here on there is room for the budget's chart, or details, beside all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAnswers:
    """What the cost screen shows; days are UTC days."""

    window: Window
    first: dt.date | None
    """The window's first day; None where it is everything."""
    today: dt.date
    summary: CostSummary
    month: CostSummary
    """From the month's first day on."""
    projection: Projection
    budget_usd: float | None


@dataclass(frozen=True, slots=True)
class CostLine:
    """One row of the table: a day, an agent, a model; or one of a day's agents and models."""

    name: str
    summary: CostSummary


def ask_cost(query: Query, looking: Looking, now: dt.datetime, budget_usd: float | None) -> CostAnswers:
    """Ask for what the window and the month cost, in whole UTC days; in a wider window where nothing was called."""
    midnight = start_of_day(now)
    window, summary = widened(
        looking,
        (WINDOWS[0], WINDOWS[2]),
        lambda window: query.get_cost_summary(_first(window, midnight)),
        lambda found: found.rows,
    )
    after = _first(window, midnight)
    return CostAnswers(
        window=window,
        first=after.date() if after else None,
        today=midnight.date(),
        summary=summary,
        month=query.get_cost_summary(midnight.replace(day=1)),
        projection=query.project_month(now),
        budget_usd=budget_usd,
    )


def _first(window: Window, midnight: dt.datetime) -> dt.datetime | None:
    return None if window.back is None else midnight - window.back + DAY


def cost_rows(answers: CostAnswers, looking: Looking) -> list[CostLine]:
    """Return the table's rows: what the filter lets through, grouped as the tab says, and in order."""
    summary = CostSummary(tuple(row for row in answers.summary.rows if looking.matches(row.agent, row.model)))
    if looking.tab == 0:
        groups = [CostLine(day.isoformat(), one) for day, one in summary.by_day().items()][::-1]
    else:
        by_name = summary.by_agent() if looking.tab == 1 else summary.by_model()
        groups = [CostLine(name, one) for name, one in by_name.items()]
    match SORTS[looking.sort]:
        case "cost":
            return sorted(groups, key=lambda one: (-one.summary.cost_usd, one.name))
        case "calls":
            return sorted(groups, key=lambda one: (-one.summary.calls, one.name))
        case _:
            return groups


def draw_cost(answers: CostAnswers, looking: Looking, frame: Frame, *, chart: bool) -> RenderableType:
    """Draw projection, sparkline, the budget where asked for, and the table."""
    parts: list[RenderableType] = []
    room = frame.room
    chart = chart and not looking.opened
    roomy = room is None or room >= ROOMY_ROWS or not (chart or looking.opened)
    month = projection_lines(answers.projection, answers.budget_usd, frame, with_method=roomy)
    spark = _spark(answers, looking, frame)
    above: list[RenderableType] = [*month, *spark]
    height = len(month) + len(spark)
    if room is None or room >= height + LEAST_TABLE_ROWS:
        parts.append(Group(*above))
        room = None if room is None else room - height
    if chart and answers.budget_usd is not None and (room is None or room >= CHART_ROWS + 1 + FRAME_ROWS):
        lines = budget_chart(answers.month, answers.projection, answers.budget_usd, frame)
        parts.append(panel("this month, added up", Group(*lines), CHART_ROWS + 1 + FRAME_ROWS))
        room = None if room is None else room - CHART_ROWS - 1 - FRAME_ROWS
    rows = cost_rows(answers, looking)
    at = looking.at([row.name for row in rows]) if frame.live else None
    details = looking.opened and at is not None
    if details and at is not None:
        inner = CostSummary(rows[at].summary.rows)
        lines = _detail_lines(inner.rows, frame)
        below = len(lines) + FRAME_ROWS if room is None else min(len(lines) + FRAME_ROWS, room * 3 // 5)
        if room is not None:
            room -= below
        parts.append(_table(rows, answers, looking, frame, at, room))
        parts.append(panel(plain(rows[at].name), Group(*lines[: max(0, below - FRAME_ROWS)]), below))
    elif room is None or room > FRAME_ROWS:
        parts.append(_table(rows, answers, looking, frame, at, room))
    heading = Text.assemble("cost  ", (cost(answers.summary.cost_usd, answers.summary.calls_of_unknown_price), "bold"))
    heading.append(f" in {answers.window.name} {frame.glyphs.separator} days are UTC")
    return page(frame, heading, parts, looking)


def _spark(answers: CostAnswers, looking: Looking, frame: Frame) -> list[Text]:
    rows = [row for row in answers.summary.rows if looking.matches(row.agent, row.model)]
    by_day = {day: summary.cost_usd for day, summary in CostSummary(tuple(rows)).by_day().items()}
    if not by_day:
        return []
    first = answers.first or min(by_day)
    days = [first + DAY * n for n in range(max(1, (answers.today - first).days + 1))]
    width = max(1, min(len(days), frame.width - 40))
    shown = days[-width:]
    values = [round(by_day.get(day, 0.0) * 10**USD_DECIMALS) for day in shown]
    text = Text.assemble(" ", (f"{shown[0]:%m-%d} ", "dim"))
    for value, glyph in zip(values, sparkline(values, width, frame.glyphs), strict=True):
        text.append(glyph, palette.ACCENT if value else "dim")
    most = max(by_day.values())
    text.append(f" {shown[-1]:%m-%d}", "dim").append(f"  a day, at most {cost(most, 0)}")
    return [one_line(text, frame)]


def _table(
    rows: Sequence[CostLine], answers: CostAnswers, looking: Looking, frame: Frame, at: int | None, height: int | None
) -> Panel:
    room = frame.width - FRAME_COLUMNS
    width = max(8, min(80, room - 62)) if room >= 70 else 0
    most = max((row.summary.cost_usd for row in rows), default=0.0)
    lines = table(
        _columns(TABS[looking.tab].removeprefix("by "), width),
        [
            (
                plain(row.name),
                Text(bar(row.summary.cost_usd / most if most else 0, width, frame.glyphs), palette.ACCENT),
                *_figures(row.summary),
            )
            for row in rows
        ],
        room,
        frame.glyphs,
        selected=at,
        selectable=frame.live,
    )
    listed, which = listing(lines, at, None if height is None else height - FRAME_ROWS)
    order = f"sorted by {SORTS[looking.sort]}" if looking.sort else ""
    title = f" {frame.glyphs.separator} ".join(word for word in (f"cost {TABS[looking.tab]}", order, which) if word)
    said = "nothing was called in this window; w widens it" if not answers.summary.rows else "nothing is called so"
    return panel(title, listed if rows else Text(said, "dim"), height)


def _columns(heading: str, width: int) -> tuple[Column, ...]:
    return (
        Column(heading, left=True, middle=True),
        Column("", width, 9, left=True),
        Column("cost", 9),
        Column("calls", 6),
        Column("prompt", 7, 3),
        Column("compl.", 7, 3),
        Column("price unknown", 6, 2),
    )


def _figures(summary: CostSummary) -> tuple[Text | str, ...]:
    unknown = summary.calls_of_unknown_price
    return (
        cost_text(summary.cost_usd, unknown),
        count(summary.calls),
        count(summary.input_tokens),
        count(summary.output_tokens),
        Text(f"? {count(unknown)}", palette.WARNING) if unknown else Text("-", "dim"),
    )


def _detail_lines(rows: Sequence[CostRow], frame: Frame) -> list[Text]:
    """Return who spent it on what: agents with their models, the dearest first."""
    groups: dict[tuple[str, str], list[CostRow]] = {}
    for row in rows:
        groups.setdefault((row.agent, row.model), []).append(row)
    summaries = sorted(
        ((name, CostSummary(tuple(found))) for name, found in groups.items()),
        key=lambda one: (-one[1].cost_usd, one[0]),
    )
    cells = [
        (plain(agent), plain(model), cost_text(one.cost_usd, one.calls_of_unknown_price), count(one.calls))
        for (agent, model), one in summaries
    ]
    specification = (
        Column("agent", left=True, middle=True),
        Column("model", left=True),
        Column("cost", 9),
        Column("calls", 6),
    )
    return table(specification, cells, frame.width - FRAME_COLUMNS, frame.glyphs)


class CostScreen(Screen):
    """What agents cost."""

    windows: ClassVar = WINDOWS
    sorts: ClassVar = SORTS
    tabs: ClassVar = TABS
    footer: ClassVar = "q quit  esc back  enter who  tab by ...  b budget  / filter  s sort  ? keys"

    def __init__(self, budget_usd: float | None, looking: Looking | None = None, *, chart: bool = False) -> None:
        """Begin with the last 30 days; with `chart` the budget is drawn."""
        super().__init__(looking or Looking(window=WINDOWS[0]))
        self._budget_usd = budget_usd
        self._chart = chart
        self.answers: CostAnswers | None = None

    def ask(self, query: Query, now: dt.datetime) -> Callable[[], None]:
        """Ask for costs and the projection."""
        answers = ask_cost(query, self.looking, now, self._budget_usd)
        return lambda: self._take(answers)

    def _take(self, answers: CostAnswers) -> None:
        self.answers = answers
        self.keep_window(answers.window, found=bool(answers.summary.rows))

    def draw(self, frame: Frame) -> RenderableType:
        """Draw what was answered."""
        assert self.answers is not None  # noqa: S101 (drawn only when asked)
        return draw_cost(self.answers, self.looking, frame, chart=self._chart)

    def row_keys(self) -> Sequence[str]:
        """Return days, agents or models."""
        return [row.name for row in cost_rows(self.answers, self.looking)] if self.answers else ()

    def opened(self) -> Target | str:
        """Return the agent of the selected row."""
        at = self.looking.at(self.row_keys())
        if at is None:
            return ""
        if self.looking.tab == 1:
            return Target(kind="agent", name=self.row_keys()[at])
        self.looking = replace(self.looking, opened=not self.looking.opened)
        return ""

    def own_key(self, key: str) -> Deed | str | None:
        """Switch the budget on and off."""
        if key != "b":
            return None
        if self._budget_usd is None:
            return "no budget is set: EGOSCOPE_BUDGET_USD"
        self._chart = not self._chart
        return Deed.NOTHING
