"""The list on an agent's screen: slow requests, executions or log lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from egoscope.cli.monitor_text import count, money, plain, took
from egoscope.cli.screens.activity import activity_keys, activity_panel, wanted_activity
from egoscope.cli.screens.columns import Column, table
from egoscope.cli.screens.figures import outcome_text
from egoscope.cli.screens.frame import FRAME_COLUMNS, FRAME_ROWS, listing, panel, when
from egoscope.query import Activity, Execution, SlowRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.panel import Panel

    from egoscope.cli.screens.agent import AgentAnswers
    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Looking

TABS: Final = ("slow requests", "slow executions", "executions", "recent activity")

ListRow = SlowRequest | Execution | Activity


def list_rows(answers: AgentAnswers, looking: Looking) -> Sequence[ListRow]:
    """Return the rows of the tab that is shown: filtered and in order."""
    by_time = _by_time(looking)
    match looking.tab:
        case 0 | 1:
            slow = answers.slow
            requests = slow.executions if looking.tab else (*slow.model_calls, *slow.tool_calls)
            wanted = [one for one in requests if looking.matches(one.name, one.kind, one.outcome)]
            wanted.sort(key=lambda one: -one.start.timestamp() if by_time else -one.duration_s)
            return wanted
        case 2:
            runs = [one for one in answers.executions if looking.matches(one.outcome, one.error_type, one.trace_id)]
            runs.sort(key=lambda one: -one.end.timestamp() if by_time else -(one.duration_s or 0))
            return runs
        case _:
            return wanted_activity(answers.activity, looking)


def _by_time(looking: Looking) -> bool:
    """Slow requests begin with the longest, executions with the newest; `s` turns that around."""
    return (looking.sort == 1) is (looking.tab < 2)


def list_keys(rows: Sequence[ListRow]) -> list[str]:
    """Return a key for each row that stays the same when others come."""
    lines = [row for row in rows if isinstance(row, Activity)]
    if lines:
        return activity_keys(lines)
    return [f"{row.trace_id} {row.span_id}" for row in rows if not isinstance(row, Activity)]


def list_panel(
    rows: Sequence[ListRow], answers: AgentAnswers, looking: Looking, frame: Frame, height: int | None
) -> Panel:
    """Draw the tab that is shown."""
    at = looking.at(list_keys(rows)) if frame.live else None
    if looking.tab == 3:
        lines = [row for row in rows if isinstance(row, Activity)]
        return activity_panel(lines, frame, rows=height, selected=at, selectable=frame.live, wanted=looking.wanted)
    width = frame.width - FRAME_COLUMNS
    if looking.tab == 2:
        specification, cells = _executions([row for row in rows if isinstance(row, Execution)], frame)
    else:
        specification, cells = _slow([row for row in rows if isinstance(row, SlowRequest)], frame)
    lines = table(specification, cells, width, frame.glyphs, selected=at, selectable=frame.live)
    shown, which = listing(lines, at, None if height is None else height - FRAME_ROWS)
    words = [TABS[looking.tab], "newest first" if _by_time(looking) else "longest first", which]
    if looking.tab == 1 and answers.slow.p95_s is not None:
        words.insert(1, f"above {frame.p95} of {took(answers.slow.p95_s)}")
    title = f" {frame.glyphs.separator} ".join(word for word in words if word)
    return panel(title, shown if rows else Text("none", "dim"), height)


def _slow(rows: Sequence[SlowRequest], frame: Frame) -> tuple[tuple[Column, ...], list[tuple[Text | str, ...]]]:
    specification = (
        Column("what", left=True, middle=True),
        Column("", 5, left=True),
        Column("took", 6),
        Column("ended", 5, 4),
        Column("tokens", 6, 3),
        Column("cost", 7, 2),
        Column("began", 8, 1),
    )
    return specification, [
        (
            plain(row.name),
            Text(row.kind, "dim"),
            took(row.duration_s),
            outcome_text(row.outcome),
            _tokens(row.input_tokens, row.output_tokens),
            "" if row.kind == "tool" else money(row.cost_usd),
            Text(when(row.start, frame.now), "dim"),
        )
        for row in rows
    ]


def _executions(rows: Sequence[Execution], frame: Frame) -> tuple[tuple[Column, ...], list[tuple[Text | str, ...]]]:
    specification = (
        Column("trace", left=True),
        Column("took", 6),
        Column("how", 5, left=True),
        Column("calls", 5, 3),
        Column("tools", 5, 3),
        Column("tokens", 6, 2),
        Column("cost", 7),
        Column("ended", 8),
    )
    return specification, [
        (
            row.trace_id,
            took(row.duration_s),
            outcome_text(row.outcome, row.error_type),
            count(row.model_calls),
            count(row.tool_calls),
            count(row.tokens),
            money(row.cost_usd),
            Text(when(row.end, frame.now), "dim"),
        )
        for row in rows
    ]


def _tokens(input_tokens: int | None, output_tokens: int | None) -> str:
    return "" if input_tokens is None and output_tokens is None else count((input_tokens or 0) + (output_tokens or 0))
