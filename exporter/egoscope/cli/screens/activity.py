"""The newest log lines, one line each, for every screen that shows some. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import plain
from egoscope.cli.screens.columns import MARK, seen
from egoscope.cli.screens.frame import FRAME_COLUMNS, FRAME_ROWS, one_line, panel, when
from egoscope.cli.screens.screen import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.panel import Panel

    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Looking
    from egoscope.query import Activity

SEVERITY_NAMES = {"WARNING": "WARN", "CRITICAL": "CRIT", "INFORMATION": "INFO"}


def activity_keys(activity: Sequence[Activity]) -> list[str]:
    """Return a key for each line, which stays the same when newer ones come."""
    seen_before: dict[str, int] = {}
    keys: list[str] = []
    for line in reversed(activity):
        key = f"{line.time.isoformat()} {line.body} {line.trace_id}"
        seen_before[key] = seen_before.get(key, 0) + 1
        keys.append(f"{key} {seen_before[key]}")
    return keys[::-1]


def wanted_activity(activity: Sequence[Activity], looking: Looking) -> list[Activity]:
    """Return the lines that the filter lets through."""
    return [line for line in activity if looking.matches(line.body, line.agent, line.service)]


def trace_of(line: Activity) -> Target | str:
    """Return the trace that a line is of, or why there is none to open."""
    return Target(kind="trace", name=line.trace_id) if line.trace_id else "this line belongs to no trace"


def activity_panel(
    activity: Sequence[Activity],
    frame: Frame,
    *,
    rows: int | None,
    selected: int | None = None,
    selectable: bool,
    wanted: str = "",
) -> Panel:
    """Draw the newest lines first, as far as `rows` have room with the border."""
    room = len(activity) if rows is None else rows - FRAME_ROWS
    first, until = seen(len(activity), selected, room)
    width = frame.width - FRAME_COLUMNS
    lines: list[Text] = []
    for number in range(first, until):
        line = _line(activity[number], frame)
        if selectable:
            line = Text.assemble(MARK if number == selected else " " * len(MARK), line)
        one_line(line, frame, width)
        if number == selected:
            line.stylize("reverse")
        lines.append(line)
    title = "recent activity"
    said = "the filter lets no line through" if wanted else "no lines yet"
    return panel(title, Group(*lines) if lines else Text(said, "dim"), rows)


def _line(line: Activity, frame: Frame) -> Text:
    severity = line.severity.upper()
    text = Text.assemble((f"{when(line.time, frame.now):<8}"[:11], "dim"), " ")
    named = SEVERITY_NAMES.get(severity, plain(severity))[:5]
    text.append(f"{named:<5} ", palette.SEVERITIES.get(severity, ""))
    if frame.wide:
        text.append(f"{plain(line.service)[:10]:<10} ", "dim")
    if line.agent and line.agent not in line.body:  # a node of a flow
        text.append(f"{plain(line.agent)}: ", "dim")
    return text.append(plain(line.body), "dim" if line.body == "REDACTED" else "")
