"""A month's cost against its budget. Pure."""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import cost, money, percent
from egoscope.cli.screens.frame import one_line, words_lines

if TYPE_CHECKING:
    from egoscope.cli.screens.frame import Frame
    from egoscope.query import CostSummary, Projection

CHART_ROWS: Final = 6
LABEL_COLUMNS: Final = 18


def projection_lines(
    projection: Projection, budget_usd: float | None, frame: Frame, *, with_method: bool = True
) -> list[Text]:
    """Say what the month has cost, what it will, how that is reckoned, and how it stands to the budget."""
    unknown = projection.calls_of_unknown_price
    first = Text.assemble(
        f" {projection.month:%B %Y}: ", (cost(projection.so_far_usd, unknown), "bold"), " so far, expected "
    )
    if projection.expected_usd is None:
        first.append("not known yet", palette.WARNING)
    else:
        first.append(money(projection.expected_usd), "bold")
        if projection.low_usd is not None and projection.high_usd is not None:
            first.append(f" ({money(projection.low_usd)} to {money(projection.high_usd)})", "dim")
    lines = [one_line(first, frame)]
    if with_method:
        lines += [line for line in words_lines(projection.method, frame, 5) if line.plain.strip()]
    if budget_usd is not None:
        lines.append(one_line(_against(projection, budget_usd), frame))
    return lines


def _against(projection: Projection, budget_usd: float) -> Text:
    spent = projection.so_far_usd / budget_usd
    text = Text.assemble(" budget ", (money(budget_usd), "bold"), f": {_part(spent)} spent")
    if projection.expected_usd is None:
        return text
    expected = projection.expected_usd / budget_usd
    text.append(f", {_part(expected)} expected at its end")
    if spent <= 1 < expected:
        text.append("; it will not last", f"bold {palette.ERROR}")
    elif spent > 1:
        text.append("; it is spent", f"bold {palette.ERROR}")
    return text


def _part(share: float) -> str:
    return percent(share) if share <= 1 else f"{share:.0%}"


@dataclass(frozen=True, slots=True)
class _Scale:
    most_usd: float

    def rows(self, usd: float) -> float:
        """Return how many rows high an amount is."""
        return usd / self.most_usd * CHART_ROWS if self.most_usd else 0.0


def budget_chart(month: CostSummary, projection: Projection, budget_usd: float, frame: Frame) -> list[Text]:
    """Draw the month's cost as it adds up day by day, as far as it is to be expected, and the budget as a line."""
    days = calendar.monthrange(projection.month.year, projection.month.month)[1]
    by_day = {day: summary.cost_usd for day, summary in month.by_day().items()}
    today = projection.as_of.date()
    spent = list(accumulate(by_day.get(projection.month + dt.timedelta(days=n), 0.0) for n in range(today.day)))
    expected = projection.expected_usd
    ahead: list[float] = []
    if expected is not None and days > today.day:
        step = (expected - spent[-1]) / (days - today.day)
        ahead = [spent[-1] + step * n for n in range(1, days - today.day + 1)]
    most = max(budget_usd, *spent, *ahead)
    scale = _Scale(most * 1.02)
    cell = 2 if frame.width >= days * 2 + LABEL_COLUMNS + 4 else 1
    budget_row = min(CHART_ROWS - 1, int(scale.rows(budget_usd)))
    end = ahead[-1] if ahead else spent[-1]
    lines: list[Text] = []
    for row in range(CHART_ROWS - 1, -1, -1):
        line = Text()
        for number in range(days):
            usd = spent[number] if number < len(spent) else ahead[number - len(spent)] if ahead else 0.0
            line.append_text(
                _cell(scale.rows(usd) - row, cell, frame, known=number < len(spent), line=row == budget_row)
            )
        if row == budget_row:
            line.append(f" {money(budget_usd)} budget", palette.WARNING)
        elif row == min(CHART_ROWS - 1, int(scale.rows(end))):
            line.append(f" {money(end)} {'expected' if ahead else 'spent'}", "dim")
        lines.append(one_line(line, frame, frame.width - 4))
    lines.append(axis(days, cell, today, frame))
    return lines


def _cell(height: float, width: int, frame: Frame, *, known: bool, line: bool) -> Text:
    """Draw one day's part of one row; `height` in rows above the row's foot."""
    ascii_only = frame.glyphs.spark.isascii()
    if height <= 0.06:
        return Text(("-" if ascii_only else "─") * width, palette.WARNING) if line else Text(" " * width)
    if not known:
        return Text((":" if ascii_only else "░") * width, "dim")
    if ascii_only:
        return Text("#" * width, palette.ACCENT)
    spark = frame.glyphs.spark
    glyph = spark[min(len(spark) - 1, max(0, round(height * len(spark)) - 1))]
    return Text(glyph * width, palette.ACCENT)


def axis(days: int, cell: int, today: dt.date, frame: Frame) -> Text:
    """Name today, the last day and the first, as far as they are apart: two that touch would be read as one number."""
    marks = [" "] * (days * cell + 1)
    for day in (today.day, days, 1):
        begin = (day - 1) * cell
        end = begin + len(str(day))
        if "".join(marks[max(0, begin - 1) : end + 1]).isspace():
            marks[begin:end] = str(day)
    return one_line(Text("".join(marks), "dim"), frame, frame.width - 4)
