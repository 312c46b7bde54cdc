"""`egoscope monitor`: the embedded store, live in the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from rich import box
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.following import nothing_hinders
from egoscope.cli.monitor_keys import Keyboard
from egoscope.cli.monitor_text import plain
from egoscope.cli.monitor_view import View
from egoscope.cli.screens.frame import title_text
from egoscope.cli.screens.picture import KEYS as ALL_KEYS
from egoscope.cli.screens.picture import keys_picture
from egoscope.errors import ConfigError, StateError
from egoscope.store.queries import MINUTE_NS, Picture, StoreReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from egoscope.cli.monitor_keys import Keys

WINDOWS: Final = (
    ("1 h", 60 * MINUTE_NS),
    ("24 h", 1440 * MINUTE_NS),
    ("all", None),
    ("5 min", 5 * MINUTE_NS),
    ("15 min", 15 * MINUTE_NS),
)

# The sparkline's and the log tail's length, enough for the largest terminal.
MINUTES: Final = 120
LOG_LINES: Final = 100
LOG_LINES_ONCE: Final = 10

LEADING: Final = frozenset("actb")
"""Keys that lead to agents, tasks and costs, as they do from every other screen."""

# While nothing is stored the picture still ages: minutes pass. Looked at this often.
IDLE_REFRESH_S: Final = 5.0

KEYS: Final = "q quit  w window  p pause  r refresh"
KEYS_THAT_LEAD: Final = "q quit  a agents  t tasks  c costs  w window  p pause  r refresh  ? keys"
# Keys as in the list of all, apart from those for rows, of which there are none here.
LISTED: Final = ("q", "w", "p", "r", "a", "c", "b", "t")


def run_monitor(
    store_path: Path,
    *,
    once: bool,
    refresh_s: float = 1.0,
    console: Console | None = None,
    log_places: Sequence[str] = (),
) -> None:
    """Show ego-mcp's life until q or Ctrl-C; print one picture and return with `once` or where there is no terminal.

    `log_places` are the paths being followed, named to a user whose store is still empty. Raises `ConfigError` when
    there is no store at `store_path`, `StateError` when it cannot be read.
    """
    console = console or Console()
    with open_store(store_path) as reader:
        life = Life(reader, console, log_places, refresh_s=refresh_s)
        if once or not can_be_live(console):
            life.print_once()
            return
        watch(console, {"life": life}, "life")


def open_store(store_path: Path) -> StoreReader:
    """Open an embedded store. Raises `ConfigError` where there is none, `StateError` when it cannot be read."""
    if not store_path.is_file():
        msg = f"--store {store_path}: no such file; `egoscope start` makes one, or name another"
        raise ConfigError(msg)
    return StoreReader(store_path)


def can_be_live(console: Console) -> bool:
    """Whether a picture can be drawn anew in place: on a terminal that can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal


class Watched(Protocol):
    """What can be shown live."""

    def run(self, keyboard: Keys, live: Live) -> str | None:
        """Show it until it is left; return the name of what to show instead, None to end."""
        ...


def watch(console: Console, views: Mapping[str, Watched], first: str) -> None:
    """Show one view after another, beginning with `first`, until q or Ctrl-C."""
    at: str | None = first
    try:
        with Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
            while at is not None:
                at = views[at].run(keyboard, live)
    except KeyboardInterrupt:
        return


class Life:
    """ego-mcp's life: what is shown, and what a key changes about it."""

    def __init__(
        self,
        reader: StoreReader,
        console: Console,
        log_places: Sequence[str],
        *,
        refresh_s: float = 1.0,
        lead: Callable[[str], None] | None = None,
        mark: str = "",
        hindrances: Callable[[], tuple[str, ...]] = nothing_hinders,
        window: int = 0,
    ) -> None:
        """Show the store that `reader` reads. `lead` goes where a key leads among agents, tasks and costs.

        `mark`: what the header says of all that is shown. `hindrances`: what is in the way of it, a sentence each.
        `window`: which of `WINDOWS` to begin with.
        """
        self._reader = reader
        self._console = console
        self._log_places = log_places
        self._refresh_s = refresh_s
        self._lead = lead
        self._mark = mark
        self._hindrances = hindrances
        self._listing_keys = False
        self._window = window
        self._paused = False
        self._notice = ""
        self._catching_up = False
        self._picture: Picture | None = None
        self._version = -1
        self._read_at_s = 0.0
        self._picture_wall_ns = 0
        self._drawn_for: object = None

    def print_once(self) -> None:
        """Print one picture."""
        name, window_ns = WINDOWS[self._window]
        picture = self._reader.picture(
            wall_ns=time.time_ns(), window_ns=window_ns, minutes=MINUTES, log_lines=LOG_LINES_ONCE
        )
        view = View(
            picture=picture,
            wall_ns=time.time_ns(),
            window_name=name,
            mark=self._mark,
            hindrances=self._hindrances(),
        )
        self._console.print(_picture_or_hint(view, self._log_places))

    def run(self, keyboard: Keys, live: Live) -> str | None:
        """Refresh until q is typed, or a key leads elsewhere."""
        key = ""
        self._drawn_for = None
        while key != "q" or self._listing_keys:
            if self._lead is not None and key in LEADING and not self._listing_keys:
                self._lead(key)
                return "agents"
            self._obey(key)
            if not self._paused:
                self._read(fresh=bool(key))
            self._draw(live)
            key = keyboard.wait(self._refresh_s)
        return None

    def _obey(self, key: str) -> None:
        if self._listing_keys:
            self._listing_keys = not key
            return
        match key:
            case "?":
                self._listing_keys = True
            case "p" | " ":
                self._paused = not self._paused
            case "w":
                self._window = (self._window + 1) % len(WINDOWS)
                self._read(fresh=True)
            case "r":
                self._read(fresh=True)
            case _:
                pass

    def _read(self, *, fresh: bool) -> None:
        """Take a new picture where something was stored, or enough time passed, since the last one."""
        now_s = time.monotonic()
        try:
            version = self._reader.version()
            if not fresh and version == self._version and now_s - self._read_at_s < IDLE_REFRESH_S:
                return
            self._picture_wall_ns = time.time_ns()
            picture = self._reader.picture(
                wall_ns=self._picture_wall_ns,
                window_ns=WINDOWS[self._window][1],
                minutes=MINUTES,
                log_lines=LOG_LINES,
            )
        except StateError as error:  # locked or out of reach for a moment: the last picture stays, marked
            self._notice = str(error)
            return
        before, self._picture = self._picture, picture
        self._catching_up = before is not None and before.last_event_ns != picture.last_event_ns
        self._version, self._read_at_s, self._notice = version, now_s, ""

    def _draw(self, live: Live) -> None:
        if self._picture is None:
            live.update(Text(self._notice), refresh=True)
            return
        view = View(
            picture=self._picture,
            wall_ns=self._picture_wall_ns if self._paused else time.time_ns(),
            window_name=WINDOWS[self._window][0],
            height=self._console.height,
            catching_up=self._catching_up,
            paused=self._paused,
            notice=self._notice,
            keys=KEYS if self._lead is None else KEYS_THAT_LEAD,
            mark=self._mark,
            hindrances=self._hindrances(),
        )
        # Drawing costs milliseconds: what would look the same stays on the screen.
        looks = (view.looks(), self._console.size, self._listing_keys)
        if looks != self._drawn_for:
            self._drawn_for = looks
            shown = _list_of_keys() if self._listing_keys else _picture_or_hint(view, self._log_places)
            live.update(shown, refresh=True)


def _list_of_keys() -> RenderableType:
    return keys_picture([name for name, _ in WINDOWS], keys=[one for one in ALL_KEYS if one[0] in LISTED])


def _picture_or_hint(view: View, log_places: Sequence[str]) -> RenderableType:
    if view.picture.last_event_ns is not None:
        return view
    where = ", ".join(log_places) or "the paths in EGO_MCP_LOG_PATH or EGO_MCP_LOG_DIR"
    hint = Text.assemble(
        ("No events yet.\n\n", "bold"),
        f"egoscope follows {where}\nand shows the first call as soon as ego-mcp logs it.\n\n",
        "Nothing running? ",
        ("egoscope demo", "bold"),
        " writes a believable log to try it with;\n",
        ("egoscope doctor", "bold"),
        " says what is missing.",
    )
    for sentence in view.hindrances:
        hint.append(f"\n\n{plain(sentence)}", palette.WARNING)
    hint.append(f"\n\n{view.keys}" if view.keys else "", "dim")
    return Panel(hint, title=title_text(view.mark), title_align="left", box=box.ROUNDED, padding=(1, 2))
