"""The table of tools, as wide as there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import Glyphs, age, bar, count, duration, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from egoscope.store.queries import Tool

# From this width on a tool also has a bar for its share of the calls, and the time of its last call.
SPACIOUS: Final = 64

# What the figures' columns take, each with a space before it.
FIGURE_COLUMNS: Final = (("calls", 5), ("err", 3), ("p50", 6), ("p95", 6))
LAST_COLUMNS: Final = 6


def tools_table(tools: Sequence[Tool], as_of_ns: int, width: int, glyphs: Glyphs) -> Table:
    """Draw one row for each of `tools` (busiest first, at least one) under a line of headings."""
    spacious = width >= SPACIOUS
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, header_style="dim")
    table.add_column("tool", ratio=None if spacious else 1, no_wrap=True, overflow=glyphs.overflow)
    if spacious:
        table.add_column("", ratio=1, no_wrap=True)
    for heading, columns in FIGURE_COLUMNS:
        table.add_column(heading, justify="right", min_width=columns, no_wrap=True)
    if spacious:
        table.add_column("last", justify="right", min_width=LAST_COLUMNS, no_wrap=True)

    names = [plain(tool.name) for tool in tools]
    figures_width = sum(columns + 1 for _, columns in FIGURE_COLUMNS) + LAST_COLUMNS + 1
    share_width = max(0, min(width - max(map(len, names)) - 1 - figures_width, width // 3))
    for name, tool in zip(names, tools, strict=True):
        failed = Text(count(tool.errors), f"bold {palette.ERROR}") if tool.errors else Text("0", "dim")
        label = Text(name, no_wrap=True, overflow=glyphs.overflow)
        figures = (count(tool.calls), failed, duration(tool.p50_s), duration(tool.p95_s))
        if spacious:
            share = Text(bar(tool.calls / tools[0].calls, share_width, glyphs), palette.ACCENT)
            table.add_row(label, share, *figures, age(as_of_ns - tool.last_ns))
        else:
            table.add_row(label, *figures)
    return table
