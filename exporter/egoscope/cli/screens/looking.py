"""What one looks at: the window of time, the order, the filter, and which row. Values; a key makes a new one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from egoscope.cli.monitor_text import plain
from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Answer = TypeVar("Answer")
Chosen = TypeVar("Chosen")


@dataclass(frozen=True, slots=True)
class Window:
    """A range of time that ends now."""

    name: str
    back: dt.timedelta | None
    """How far back it begins; None: all that is kept."""

    def since(self, now: dt.datetime) -> dt.datetime | None:
        """Return where it begins; None: at the beginning."""
        return None if self.back is None else now - self.back


WINDOWS: Final = (
    Window("24 h", dt.timedelta(hours=24)),
    Window("7 d", dt.timedelta(days=7)),
    Window("30 d", dt.timedelta(days=30)),
    Window("all", None),
    Window("1 h", dt.timedelta(hours=1)),
)
WIDENING: Final = WINDOWS[:4]
"""Where nothing happened lately, the first of these in which something did is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What is looked at on one screen."""

    window: Window = WINDOWS[0]
    widen: bool = True
    """Whether the window may still be widened by itself: until one is chosen."""
    sort: int = 0
    tab: int = 0
    wanted: str = ""
    """Only rows in which this is found."""
    whole: bool = False
    """Whether a text has to be that, and not only to hold it."""
    typing: bool = False
    """Whether keys are for `wanted`."""
    selected: str | None = None
    """The row's key: it stays selected wherever a refresh moves it."""
    place: int = 0
    """Where it was, for when it is gone."""
    opened: bool = False
    """Whether details of the selected row are shown."""

    def matches(self, *texts: str | None) -> bool:
        """Whether any of a row's texts has what is wanted, in whatever case."""
        if self.whole:
            return self.wanted in texts
        wanted = self.wanted.lower()
        return not wanted or any(wanted in text.lower() for text in texts if text)

    def at(self, keys: Sequence[str]) -> int | None:
        """Return which of the rows, by their keys, is selected; None without rows."""
        if not keys:
            return None
        if self.selected in keys:
            return keys.index(self.selected)
        return min(self.place, len(keys) - 1)

    def moved(self, keys: Sequence[str], to: int) -> Looking:
        """Select the row at `to`, or the nearest."""
        if not keys:
            return self
        place = min(max(to, 0), len(keys) - 1)
        return replace(self, selected=keys[place], place=place)


def widened(
    looking: Looking,
    windows: Sequence[Window],
    ask: Callable[[Window], Answer],
    is_something: Callable[[Answer], object],
) -> tuple[Window, Answer]:
    """Ask in the window that is looked at; return it with the answer.

    Where it may be widened, ask in wider `windows` until there is something; where there never is, the first stays.
    """
    first = ask(looking.window)
    if is_something(first) or not looking.widen or looking.window != windows[0]:
        return looking.window, first
    for window in windows[1:]:
        answer = ask(window)
        if is_something(answer):
            return window, answer
    return looking.window, first


def window_named(text: str, windows: Mapping[str, Chosen]) -> Chosen:
    """Return the window of a name, with or without its space. Raises `ConfigError`, which says which there are."""
    known = {_compact(name): window for name, window in windows.items()}
    if _compact(text) not in known:
        raise ConfigError(f"--window {plain(text)}: here there is {', '.join(known)}")
    return known[_compact(text)]


def by_name(windows: Sequence[Window]) -> dict[str, Window]:
    """Return windows by their names, the shortest first."""
    return {window.name: window for window in sorted(windows, key=lambda one: one.back or dt.timedelta.max)}


def _compact(name: str) -> str:
    return name.replace(" ", "").lower()


def start_of_day(now: dt.datetime) -> dt.datetime:
    """Return the last midnight in UTC."""
    return now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
