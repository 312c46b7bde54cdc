"""Tables of one line a row that fit any width. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from egoscope.cli.monitor_text import Glyphs

LEAST_NAME: Final = 24
"""Other columns go before the first one is cut shorter than this."""
LEAST_CUT: Final = 8
MARK: Final = "> "


@dataclass(frozen=True, slots=True)
class Column:
    """One column; the first of a table takes the room that the others leave."""

    heading: str
    width: int = 0
    """At least so many cells, so that a table does not jump about while its figures change."""
    rank: int = 0
    """Where there is too little room those of the highest rank go first; those of rank 0 stay."""
    left: bool = False
    middle: bool = False
    """Whether what is too long loses its middle: names that begin the same often end differently."""


Cell = Text | str


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    width: int,
    glyphs: Glyphs,
    *,
    selected: int | None = None,
    selectable: bool = False,
) -> list[Text]:
    """Return a line of headings and a line for each of `rows`, each `width` cells wide.

    Where rows can be selected each begins with room for a mark, so that the selected one is seen without colour.
    """
    texts = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    room = width - (len(MARK) if selectable else 0)
    widths = [
        max(cell_len(column.heading), column.width, *(row[n].cell_len for row in texts), 0)
        for n, column in enumerate(columns)
    ]
    shown = _shown(columns, widths, room)
    widths[0] = max(1, room - sum(widths[n] + 1 for n in shown[1:]))
    heading = _line([Text(column.heading, "dim") for column in columns], columns, widths, shown, glyphs)
    lines = [_line(row, columns, widths, shown, glyphs) for row in texts]
    if selectable:
        heading = Text.assemble(" " * len(MARK), heading)
        lines = [
            Text.assemble(MARK if number == selected else " " * len(MARK), line) for number, line in enumerate(lines)
        ]
    for line in (heading, *lines):
        line.no_wrap, line.overflow = True, "crop"
        line.truncate(max(width, 0), overflow="crop", pad=True)
    if selected is not None and selected < len(lines):
        lines[selected].stylize("reverse")
    return [heading, *lines]


def _shown(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    shown = [n for n in range(len(columns)) if widths[n] or not n]
    least = min(widths[0], LEAST_NAME)
    while sum(widths[n] + 1 for n in shown[1:]) + least > room:
        droppable = [n for n in shown[1:] if columns[n].rank]
        if not droppable:
            break
        shown.remove(max(droppable, key=lambda n: (columns[n].rank, n)))
    return shown


def _line(
    cells: Sequence[Text], columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], glyphs: Glyphs
) -> Text:
    line = Text()
    for n in shown:
        cell = cells[n].copy()
        if columns[n].middle:
            cell = without_middle(cell, widths[n], glyphs)
        cell.truncate(widths[n], overflow=glyphs.overflow)
        padding = " " * (widths[n] - cell.cell_len)
        if n:
            line.append(" ")
        if n and not columns[n].left:
            line.append(padding).append_text(cell)
        else:
            line.append_text(cell).append(padding)
    return line


def without_middle(text: Text, width: int, glyphs: Glyphs) -> Text:
    """Cut what is too long in its middle: both ends stay."""
    if text.cell_len <= width or width < LEAST_CUT or len(text) != text.cell_len:
        return text
    mark = ".." if glyphs.overflow == "crop" else "…"
    tail = width // 3
    return Text.assemble(text[: width - len(mark) - tail], mark, text[-tail:])


def seen(count: int, selected: int | None, room: int) -> tuple[int, int]:
    """Return which of `count` rows, from and up to, are shown in `room` lines: those around the selected one."""
    if room >= count or selected is None:
        return 0, min(count, max(room, 0))
    first = min(max(0, selected - room // 2), count - max(room, 0))
    return first, first + max(room, 0)
