"""A screen as one picture that fits the terminal, and the list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import ASCII, UNICODE, plain
from egoscope.cli.screens.frame import Frame, panel, title_text

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from egoscope.cli.screens.screen import Screen
    from egoscope.query import Query

KEYS: Final = (
    ("q", "quit"),
    ("up down, j k", "move; page up, page down, home, end"),
    ("enter", "open what is selected: an agent, a flow, a worker's tasks, a trace, details"),
    ("esc", "back; a filter goes first"),
    ("tab", "to the next list of the screen"),
    ("/", "filter: type a part of a name, an outcome, an error"),
    ("s", "sort by something else"),
    ("w", "another window of time"),
    ("p", "pause: nothing changes by itself"),
    ("r", "refresh now"),
    ("a", "all agents and flows"),
    ("c", "costs"),
    ("b", "costs, with the month drawn against its budget, or without"),
    ("t", "tasks and workers"),
    ("e", "ego-mcp's life, where there is one"),
)


class Picture:
    """A screen with all that decides how it is drawn; rich renders it to fit the terminal."""

    def __init__(
        self,
        screen: Screen,
        *,
        now: dt.datetime,
        query: Query,
        hint: str = "",
        height: int | None = None,
        live: bool = False,
        paused: bool = False,
        asking: bool = False,
        notice: str = "",
        mark: str = "",
        hindrances: tuple[str, ...] = (),
    ) -> None:
        """Keep what is to be drawn; without `height` it is as high as the content wants."""
        self._mark = mark
        self._hindrances = hindrances
        self._screen = screen
        self._hint = hint
        self._estimated = query.percentiles_estimated
        self._now = now
        self._height = height
        self._live = live
        self._paused = paused
        self._asking = asking
        self._notice = notice

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the screen, no wider and no higher than the terminal."""
        frame = Frame(
            width=options.max_width,
            height=self._height,
            glyphs=ASCII if options.ascii_only else UNICODE,
            now=self._now,
            asked=self._screen.asked,
            paused=self._paused,
            asking=self._asking,
            notice=self._notice,
            keys=self._screen.footer if self._live else "",
            estimated=self._estimated,
            mark=self._mark,
            hindrances=self._hindrances,
        )
        drawn = self._drawn(frame)
        lines = console.render_lines(drawn, options.update(height=None), pad=False)
        for number, line in enumerate(lines[: self._height]):
            yield from line
            if self._height is None or number + 1 < min(self._height, len(lines)):
                yield Segment.line()

    def _drawn(self, frame: Frame) -> RenderableType:
        screen = self._screen
        if screen.asked is None:
            return Text(self._notice or "asking ...")
        if screen.nothing and screen.is_empty and self._hint:
            said = Text.assemble((f"{screen.nothing}\n\n", "bold"), self._hint)
            for sentence in frame.hindrances:
                said.append(f"\n\n{plain(sentence)}", palette.WARNING)
            said.append(f"\n\n{frame.keys}" if frame.live else "", "dim")
            if frame.notice:
                said.append(f"\n{frame.notice}")
            return panel(title_text(frame.mark), said)
        return screen.draw(frame)


def keys_picture(
    windows: Sequence[str], sorts: Sequence[str] = (), keys: Sequence[tuple[str, str]] = KEYS
) -> RenderableType:
    """Draw the list of keys, and what they choose from on a screen."""
    table = Table.grid(padding=(0, 2, 0, 1))
    for key, meaning in keys:
        table.add_row(Text(key, "bold"), Text(meaning))
    about: Sequence[str] = (
        f"sorts: {', '.join(sorts)}" if sorts else "",
        f"windows: {', '.join(windows)}" if len(windows) > 1 else "",
        "A question mark is a cost that is not known: a model whose price nobody told. It is never zero.",
        "any key closes this",
    )
    return panel("keys", Group(table, Text(), *(Text(line, "dim") for line in about if line)))
