"""The models and tools that an agent called. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from egoscope.cli.monitor_text import count, plain, took
from egoscope.cli.screens.columns import Column, table
from egoscope.cli.screens.figures import cost_text, failed_text
from egoscope.cli.screens.frame import FRAME_COLUMNS, FRAME_ROWS, NARROW, columns, listing, panel

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel

    from egoscope.cli.screens.agent import AgentAnswers
    from egoscope.cli.screens.frame import Frame


def calls_tables(answers: AgentAnswers, frame: Frame, rows: int | None) -> RenderableType:
    """Draw models and tools, side by side where there is room, each `rows` high."""
    if frame.width < NARROW:
        return Group(_models(answers, frame, frame.width, rows), _tools(answers, frame, frame.width, rows))
    left = frame.width * 11 // 20
    if rows is None:
        rows = max(len(answers.models), len(answers.tools), 1) + 1 + FRAME_ROWS
    return columns(
        [_models(answers, frame, left, rows), _tools(answers, frame, frame.width - left, rows)], [left, None]
    )


def _models(answers: AgentAnswers, frame: Frame, width: int, rows: int | None) -> Panel:
    specification = (
        Column("model", left=True),
        Column("calls", 5),
        Column("share", 5, 6),
        Column("in", 5),
        Column("out", 5),
        Column("avg", 6, 4),
        Column(frame.p95, 6, 5),
        Column("cost", 6),
    )
    cells = [
        (
            plain(use.model),
            count(use.calls),
            f"{use.share:.0%}",
            _tokens(use.avg_input_tokens),
            _tokens(use.avg_output_tokens),
            took(use.avg_s),
            took(use.p95_s),
            cost_text(use.cost_usd, use.calls_of_unknown_price),
        )
        for use in answers.models
    ]
    title = f"models {frame.glyphs.separator} tokens a call, prompt and completion"
    short = f"models {frame.glyphs.separator} tokens a call"
    if not cells:
        return panel("models", Text("no model was called", "dim"), rows)
    lines = table(specification, cells, width - FRAME_COLUMNS, frame.glyphs)
    shown, which = listing(lines, None, None if rows is None else rows - FRAME_ROWS)
    title = title if len(title) + 8 < width else short
    return panel(f"{title} {which}".strip(), shown, rows)


def _tokens(average: float | None) -> str:
    return "-" if average is None else count(round(average))


def _tools(answers: AgentAnswers, frame: Frame, width: int, rows: int | None) -> Panel:
    specification = (
        Column("tool", left=True),
        Column("calls", 5),
        Column("share", 5),
        Column("fail", 4, 4),
        Column("avg", 6, 3),
        Column(frame.p95, 6),
    )
    cells = [
        (
            plain(use.tool),
            count(use.calls),
            f"{use.share:.0%}",
            failed_text(use.errors, 0),
            took(use.avg_s),
            took(use.p95_s),
        )
        for use in answers.tools
    ]
    if not cells:
        return panel("tools", Text("no tool was called", "dim"), rows)
    lines = table(specification, cells, width - FRAME_COLUMNS, frame.glyphs)
    shown, which = listing(lines, None, None if rows is None else rows - FRAME_ROWS)
    return panel(f"tools {which}".strip(), shown, rows)
