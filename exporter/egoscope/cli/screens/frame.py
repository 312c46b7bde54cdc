"""What every screen has around it, and the parts that screens are made of. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import UNICODE, Glyphs, age, clock, plain, time_of_day
from egoscope.cli.screens.columns import seen, without_middle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from egoscope.cli.screens.looking import Looking

# Border and padding of a panel, both sides together.
FRAME_COLUMNS: Final = 4
FRAME_ROWS: Final = 2
TILE_ROWS: Final = 4
WIDE: Final = 110
TINY: Final = 40
NARROW: Final = 76
# Below this height tiles give their room to what can be moved about in.
LOW: Final = 16
LEAST_PLACE: Final = 24
"""A path is not cut shorter than this."""
SECOND_NS: Final = 1_000_000_000

GOOD: Final = palette.EMOTIONS["contentment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How a screen is drawn, apart from what is on it."""

    width: int
    height: int | None
    """Rows to fill; None: as many as the content wants (for printing once)."""
    glyphs: Glyphs = UNICODE
    now: dt.datetime
    asked: dt.datetime | None = None
    """When what is shown was asked for."""
    paused: bool = False
    asking: bool = False
    """Whether an answer has been waited for long enough to say so."""
    notice: str = ""
    keys: str = ""
    """What the footer says; empty: no footer, nothing can be typed."""
    estimated: bool = field(default=False)
    """Whether percentiles are estimates."""
    mark: str = ""
    """What the header says of all that is shown, such as that it is invented."""
    hindrances: tuple[str, ...] = ()
    """What is in the way of something that is to be followed, a sentence each."""

    @property
    def live(self) -> bool:
        """Whether keys are obeyed."""
        return bool(self.keys)

    @property
    def wide(self) -> bool:
        """Whether there is room for what is not needed at once."""
        return self.width >= WIDE

    @property
    def p95(self) -> str:
        """How the percentile is called: one that is estimated says so."""
        return "~p95" if self.estimated else "p95"

    @property
    def room(self) -> int | None:
        """Rows between header and footer."""
        around = 1 + bool(self.keys) + bool(self.hindrances)
        return None if self.height is None else max(0, self.height - around)

    @property
    def has_tiles(self) -> bool:
        """Whether there is room for tiles."""
        return self.width >= TINY and (self.height is None or self.height >= LOW)


def page(frame: Frame, heading: Text, parts: Sequence[RenderableType], looking: Looking) -> RenderableType:
    """Put header and footer around the parts of a screen."""
    everything = [_header(frame, heading), *parts]
    if frame.hindrances:
        everything.insert(1, hindrance_line(frame.hindrances, frame.width, frame.glyphs))
    if frame.live:
        everything.append(_footer(frame, looking))
    return Group(*everything)


def _header(frame: Frame, heading: Text) -> RenderableType:
    left = Text.assemble(title_text(frame.mark), "  ", heading)
    if frame.paused:
        left.append("  ").append(" PAUSED ", "reverse")
    asked = frame.asked or frame.now
    right = Text(clock(nanoseconds(asked))[:5], "dim")
    if frame.asking:
        right = Text("asking", palette.WARNING)
    left.truncate(max(1, frame.width - right.cell_len - 1), overflow=frame.glyphs.overflow)
    return columns([left, right], [None, right.cell_len])


def title_text(mark: str) -> Text:
    """Begin a header; with a mark, such as that all of it is invented, where no width cuts it off."""
    title = Text("egoscope", f"bold {palette.ACCENT}")
    return Text.assemble(title, "  ", (f" {mark} ", "reverse")) if mark else title


def hindrance_line(hindrances: Sequence[str], width: int, glyphs: Glyphs) -> Text:
    """Say in one line what is in the way; a path that is too long loses its middle."""
    place, colon, sentence = plain(hindrances[0]).partition(": ")
    more = f" (and {len(hindrances) - 1} more: egoscope doctor)" if len(hindrances) > 1 else ""
    after = f"{colon}{sentence}{more}"
    line = Text.assemble(" ! ", without_middle(Text(place), max(LEAST_PLACE, width - 3 - len(after)), glyphs), after)
    line.stylize(palette.WARNING)
    line.truncate(max(1, width), overflow=glyphs.overflow)
    line.no_wrap, line.overflow = True, "crop"
    return line


def _footer(frame: Frame, looking: Looking) -> RenderableType:
    if looking.typing:
        text = Text.assemble(("filter: ", f"bold {palette.ACCENT}"), plain(looking.wanted), ("_", "blink"))
        return one_line(text.append("   enter keeps it, escape clears it", "dim"), frame)
    if frame.notice:
        return one_line(Text(plain(frame.notice), palette.WARNING), frame)
    keys = Text(frame.keys, "dim")
    if looking.wanted:
        keys = Text.assemble((f"filter: {plain(looking.wanted)} ", palette.ACCENT), keys)
    return one_line(keys, frame)


def one_line(text: Text, frame: Frame, width: int | None = None) -> Text:
    """Cut a text so that it is one line of the frame's width, or of another."""
    text.truncate(max(1, frame.width if width is None else width), overflow=frame.glyphs.overflow)
    text.no_wrap, text.overflow = True, "crop"
    return text


def panel(title: str | Text, content: RenderableType, rows: int | None = None) -> Panel:
    """Draw a box with a title; `rows` with its border."""
    heading = title if isinstance(title, Text) else Text(title, "bold")
    return Panel(content, title=heading, title_align="left", box=box.ROUNDED, border_style="dim", height=rows)


def tile(title: str, first: Text, second: Text, width: int, frame: Frame) -> Panel:
    """Draw a figure in a box `width` wide: what matters, and a line about it."""
    inner = max(1, width - FRAME_COLUMNS)
    lines = [one_line(line, frame, inner) for line in (first, second)]
    return panel(title, Group(*lines), TILE_ROWS)


def tiles(frame: Frame, figures: Sequence[tuple[str, Text, Text]]) -> RenderableType:
    """Draw figures side by side: title, what matters, a line about it."""
    widths = [frame.width // len(figures)] * len(figures)
    widths[-1] += frame.width - sum(widths)
    boxes = [tile(*figure, width, frame) for figure, width in zip(figures, widths, strict=True)]
    return columns(boxes, widths)


def listing(lines: Sequence[Text], selected: int | None, rows: int | None) -> tuple[Group, str]:
    """Return a table's lines as far as `rows` lines have room, around the selected one, and which they are.

    The first of `lines` is the headings'. Nothing is said where all have room.
    """
    count = len(lines) - 1
    if rows is None or rows > count:
        return Group(*lines), ""
    first, until = seen(count, selected, rows - 1)
    shown = [*lines[:1], *lines[1 + first : 1 + until]] if rows > 0 else []
    return Group(*shown), f"{first + 1}-{until} of {count}" if until > first else f"0 of {count}"


def columns(cells: Sequence[RenderableType], widths: Sequence[int | None]) -> Table:
    """Put parts side by side; None is the width that is left."""
    grid = Table.grid(expand=True)
    for width in widths:
        grid.add_column(width=width, ratio=1 if width is None else None, no_wrap=True)
    grid.add_row(*cells)
    return grid


def nanoseconds(time: dt.datetime) -> int:
    """Return nanoseconds since the Unix epoch."""
    return (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 1000


def since(then: dt.datetime | None, now: dt.datetime) -> str:
    """Write how long ago; a dash for never."""
    return "-" if then is None else age((now - then).total_seconds() * SECOND_NS)


def when(time: dt.datetime, now: dt.datetime) -> str:
    """Write the local time of day; of another day its date, too."""
    return time_of_day(nanoseconds(time), nanoseconds(now))


def words_lines(said: str, frame: Frame, most: int = 4) -> list[Text]:
    """Break a sentence into lines of the frame's width, at most so many."""
    lines = wrap(said, max(10, frame.width - 2))
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [one_line(Text(f" {line}"), frame) for line in lines]
