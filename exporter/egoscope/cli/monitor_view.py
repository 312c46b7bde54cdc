"""One picture of the agents for a terminal of any size. Pure: what to draw, not when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import (
    ASCII,
    SECOND_NS,
    UNICODE,
    Glyphs,
    age,
    bar,
    clock,
    count,
    date,
    date_and_clock,
    plain,
    short_name,
    sparkline,
    time_of_day,
)
from egoscope.cli.monitor_tools import tools_table
from egoscope.cli.screens.frame import (
    FRAME_COLUMNS,
    FRAME_ROWS,
    TILE_ROWS,
    TINY,
    WIDE,
    hindrance_line,
    title_text,
)
from egoscope.convert.semconv import EGO_MCP_SERVICE
from egoscope.store.queries import HISTORY_AFTER_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from egoscope.store.queries import LogLine, Picture

HEADER_ROWS: Final = 1
FOOTER_ROWS: Final = 1

LEAST_LOG_ROWS: Final = 6
NARROW: Final = 70
# A title's border on both sides.
TITLE_COLUMNS: Final = 6

ACTIVE_FOR_NS: Final = 60 * SECOND_NS
LOGGER_COLUMNS: Final = 24
STEP_NS: Final = 5 * SECOND_NS

SEVERITY_NAMES: Final = {"WARNING": "WARN", "CRITICAL": "CRIT"}
FEELING: Final = re.compile(r"\bfeeling (\w+)")


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with all that decides how it is drawn; rich renders it to fit the terminal."""

    picture: Picture
    wall_ns: int
    window_name: str
    height: int | None = None
    """Rows to fill; None: as many as the content wants (for printing once)."""
    catching_up: bool = False
    """Older events are arriving: what looks like history is on its way to now."""
    paused: bool = False
    notice: str = ""
    keys: str = ""
    mark: str = ""
    """What the header says of all that is shown, such as that it is invented."""
    hindrances: tuple[str, ...] = ()
    """What is in the way of something that is to be followed, a sentence each."""

    def looks(self) -> tuple[object, ...]:
        """Return all that can be seen of the view, apart from the terminal's size: equal looks need no redraw."""
        picture = self.picture
        shown = msgspec.structs.replace(picture, as_of_ns=0)
        status = (self.catching_up, self.paused, self.notice, self.hindrances)
        return shown, _ago(self), date(self.wall_ns), clock(picture.as_of_ns)[:5], self.window_name, status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw header, tiles, desires beside tools, and the log tail."""
        yield _Drawing(self, options.max_width, ASCII if options.ascii_only else UNICODE).everything()


class _Drawing:
    def __init__(self, view: View, width: int, glyphs: Glyphs) -> None:
        self._view = view
        self._picture = view.picture
        self._width = width
        self._glyphs = glyphs
        self._wide = width >= WIDE

    def everything(self) -> RenderableType:
        middle_rows, log_rows = self._rows()
        parts = [self._header()]
        if self._view.hindrances:
            parts.append(hindrance_line(self._view.hindrances, self._width, self._glyphs))
        if self._width >= TINY:
            parts.append(self._tiles())
        if middle_rows:
            parts.append(self._middle(middle_rows))
        if log_rows:
            parts.append(self._log(log_rows))
        if self._view.keys:
            parts.append(self._footer())
        return Group(*parts)

    def _rows(self) -> tuple[int, int]:
        """Share the rows between the middle and the log: the log keeps two fifths, the middle takes what it needs."""
        picture = self._picture
        wanted = max(len(picture.tools) + 1, len(picture.desires), 3) + FRAME_ROWS
        if self._view.height is None:
            return wanted, len(picture.log) + FRAME_ROWS
        room = self._view.height - HEADER_ROWS - (FOOTER_ROWS if self._view.keys else 0)
        room -= bool(self._view.hindrances)
        if self._width < TINY:
            return 0, max(room, 0)
        room -= TILE_ROWS
        if room < LEAST_LOG_ROWS + FRAME_ROWS + 3:
            return 0, max(room, 0)
        middle = min(wanted, room - max(LEAST_LOG_ROWS, room * 2 // 5))
        return middle, room - middle

    def _header(self) -> RenderableType:
        picture, glyphs = self._picture, self._glyphs
        left = Text.assemble(title_text(self._view.mark), "  ", self._state())
        for word in self._who():
            left.append(f" {glyphs.separator} {plain(word)}")
        paused = Text.assemble("  ", (" PAUSED ", "reverse")) if self._view.paused else Text()
        phase = f" {glyphs.separator} {plain(picture.time_phase)}" if picture.time_phase else ""
        right = Text(clock(picture.as_of_ns)[:5], "dim")
        if picture.history:
            as_of = f"as of {date_and_clock(picture.as_of_ns)}"
            if left.cell_len + len(phase) + paused.cell_len + len(as_of) >= self._width:
                as_of = f"as of {time_of_day(picture.as_of_ns, self._view.wall_ns)}"
            right = Text(as_of, f"bold {palette.WARNING}")
        if left.cell_len + len(phase) + paused.cell_len + right.cell_len < self._width:
            left.append(phase)
        left.append_text(paused)
        left.truncate(max(1, self._width - right.cell_len - 1), overflow=glyphs.overflow)
        return _columns([left, right], [None, right.cell_len])

    def _who(self) -> list[str]:
        """Name ego-mcp, whose state it is, with those of which the same is true; then the others with theirs."""
        silent = self._picture.history
        alike = [
            name
            for name in self._picture.services
            if name == EGO_MCP_SERVICE or (name in self._picture.active) != silent
        ]
        others = [name for name in self._picture.services if name not in alike]
        words = [", ".join(alike), f"{', '.join(others)} {'active' if silent else 'silent'}" if others else ""]
        return [word for word in words if word]

    def _state(self) -> Text:
        picture, dot = self._picture, self._glyphs.dot
        silence_ns = _silence_ns(self._view)
        if picture.history and self._view.catching_up:
            return Text(f"{dot} catching up", palette.ACCENT)
        if picture.history or silence_ns is None:
            return Text(f"{dot} silent", "dim")
        if picture.in_flight:
            return Text(f"{dot} working", f"bold {palette.EMOTIONS['contentment']}")
        if silence_ns < ACTIVE_FOR_NS:
            return Text(f"{dot} active", palette.EMOTIONS["contentment"])
        return Text(f"{dot} idle", palette.WARNING)

    def _tiles(self) -> RenderableType:
        fourth = self._width // 4
        widths = [fourth - 2, fourth - 1, fourth + 4, self._width - 3 * fourth - 1]
        title = f"errors {self._view.window_name}"
        title = title if len(title) + TITLE_COLUMNS <= widths[1] else "errors"
        tiles = [
            self._panel("calls/min", self._calls(widths[0] - FRAME_COLUMNS), TILE_ROWS),
            self._panel(title, self._errors(widths[1] - FRAME_COLUMNS), TILE_ROWS),
            self._panel(self._feeling_title(widths[2]), self._feeling(), TILE_ROWS),
            self._panel("last event", self._last_event(), TILE_ROWS),
        ]
        return _columns(tiles, widths)

    def _calls(self, width: int) -> Text:
        picture = self._picture
        shown = picture.calls_by_minute[-width:]
        drawn = sparkline(shown, width, self._glyphs)
        text = Text.assemble((str(picture.calls_a_minute), "bold"), (f"  peak {max(shown, default=0)}", "dim"), "\n")
        for value, glyph in zip(shown, drawn, strict=True):
            text.append(glyph, palette.ACCENT if value else "dim")
        return text

    def _errors(self, width: int) -> Text:
        picture, rate = self._picture, self._picture.error_rate
        if rate is None:
            return Text("-\nno calls", "dim")
        style = f"bold {palette.ERROR}" if picture.errors else "bold"
        text = Text.assemble((f"{rate:.1%}", style), "\n")
        text.append(f"{count(picture.errors)} of {count(picture.calls)}", "dim")
        unfinished = f", {count(picture.unfinished)} unfinished" if picture.unfinished else ""
        if len(text.plain.splitlines()[-1]) + len(unfinished) <= width:
            text.append(unfinished, palette.WARNING)
        return text

    def _feeling(self) -> Text:
        emotion = self._picture.emotion
        if emotion is None:
            return Text("-\nnothing said yet", "dim")
        text = Text.assemble(
            (f"{self._glyphs.dot} {plain(emotion.name)}", f"bold {palette.emotion_colour(emotion.name)}")
        )
        if emotion.intensity is not None:
            text.append(f" {emotion.intensity:.2f}")
        names = ("valence", "arousal") if self._wide else ("val", "aro")
        values = ((names[0], "+.2f", emotion.valence), (names[1], ".2f", emotion.arousal))
        said = [f"{name} {value:{form}}" for name, form, value in values if value is not None]
        return text.append("\n").append("  ".join(said), "dim")

    def _feeling_title(self, width: int) -> str:
        emotion = self._picture.emotion
        age_ns = 0 if emotion is None else self._picture.as_of_ns - emotion.time_ns
        title = f"feeling {age(age_ns)} ago"
        return title if age_ns > HISTORY_AFTER_NS and len(title) + TITLE_COLUMNS <= width else "feeling"

    def _last_event(self) -> Text:
        in_flight = self._picture.in_flight
        return Text.assemble(
            (_ago(self._view), "bold"), "\n", (f"{in_flight or 'none'} in flight", "" if in_flight else "dim")
        )

    def _middle(self, rows: int) -> RenderableType:
        if self._width < NARROW or not self._picture.desires:
            return self._tools(rows, self._width)
        desires = min(46, self._width * 2 // 5 + 1)
        return _columns([self._desires(rows, desires), self._tools(rows, self._width - desires)], [desires, None])

    def _desires(self, rows: int, width: int) -> RenderableType:
        table = Table.grid(padding=(0, 1, 0, 0))
        names = [plain(desire.name).replace("_", " ") for desire in self._picture.desires]
        name_width = min(max(map(len, names), default=0), 24)
        bar_width = max(2, width - FRAME_COLUMNS - name_width - 1 - 5)
        for name, desire in list(zip(names, self._picture.desires, strict=True))[: rows - FRAME_ROWS]:
            drawn = Text(bar(desire.level, bar_width, self._glyphs), palette.ACCENT)
            level = Text(f"{desire.level:.2f}")
            table.add_row(self._line(name), drawn, level)
        table.columns[0].width = name_width
        return self._panel("desires", table, rows)

    def _tools(self, rows: int, width: int) -> RenderableType:
        tools = self._picture.tools
        shown = tools[: max(0, rows - FRAME_ROWS - 1)]
        cut = f" {self._glyphs.separator} {len(shown)} of {len(tools)}" if len(shown) < len(tools) else ""
        title = f"tools {self._glyphs.separator} {self._view.window_name}{cut}"
        if not shown:
            return self._panel(title, Text("no calls in this window", "dim"), rows)
        table = tools_table(shown, self._picture.as_of_ns, width - FRAME_COLUMNS, self._glyphs)
        return self._panel(title, table, rows)

    def _log(self, rows: int) -> RenderableType:
        shown = self._picture.log[-max(0, rows - FRAME_ROWS) :] if rows > FRAME_ROWS else ()
        times = [time_of_day(line.time_ns, self._view.wall_ns) for line in shown]
        width = max(map(len, times), default=0)
        lines = Group(*(self._log_line(line, f"{time:<{width}}") for line, time in zip(shown, times, strict=True)))
        return self._panel("log", lines if shown else Text("no lines yet", "dim"), rows)

    def _log_line(self, line: LogLine, time: str) -> Text:
        severity = line.severity.upper()
        style = palette.SEVERITIES.get(severity, "")
        text = self._line("").append(time, "dim").append(" ")
        text.append(f"{SEVERITY_NAMES.get(severity, plain(severity))[:5]:<5} ", style)
        if self._wide:
            text.append(f"{short_name(plain(line.logger), LOGGER_COLUMNS):<{LOGGER_COLUMNS}} ", "dim")
        start = len(text)
        text.append(plain(line.body), "dim" if line.body == "REDACTED" else "")
        for found in FEELING.finditer(text.plain, start):
            text.stylize(palette.emotion_colour(found[1]), *found.span(1))
        return text

    def _footer(self) -> RenderableType:
        notice = Text(plain(self._view.notice), palette.WARNING)
        return _columns([Text(self._view.keys, "dim", no_wrap=True), notice], [None, notice.cell_len])

    def _line(self, text: str) -> Text:
        return Text(text, no_wrap=True, overflow=self._glyphs.overflow)

    def _panel(self, title: str, content: RenderableType, rows: int) -> Panel:
        heading = Text(title, "bold")
        return Panel(content, title=heading, title_align="left", box=box.ROUNDED, border_style="dim", height=rows)


def _silence_ns(view: View) -> int | None:
    last_ns = view.picture.last_event_ns
    return None if last_ns is None else max(0, view.wall_ns - last_ns)


def _ago(view: View) -> str:
    silence_ns = _silence_ns(view)
    if silence_ns is None:
        return "never"
    # Steps of 5 s from 10 s on: an idle picture need not be drawn every second.
    return f"{age(silence_ns if silence_ns < 10 * SECOND_NS else silence_ns // STEP_NS * STEP_NS)} ago"


def _columns(cells: Sequence[RenderableType], widths: Sequence[int | None]) -> Table:
    grid = Table.grid(expand=True)
    for width in widths:
        grid.add_column(width=width, ratio=1 if width is None else None, no_wrap=True)
    grid.add_row(*cells)
    return grid
