"""A screen: what it asks, how the answer looks, and what keys do to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from egoscope.cli.screens.looking import WINDOWS, Looking

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from egoscope.cli.screens.frame import Frame
    from egoscope.cli.screens.looking import Window
    from egoscope.query import Query

PAGE_ROWS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A screen to go to: of an agent, a flow or a trace by its name or id, or of all of its kind."""

    kind: Literal["agents", "agent", "flow", "trace", "cost", "workers"]
    name: str = ""
    window: Window | None = None
    """The window to begin with."""
    widen: bool = True
    """Whether that may be widened by itself."""


class Deed(Enum):
    """What is to be done after a key, besides drawing."""

    NOTHING = auto()
    ASK = auto()
    BACK = auto()


class Screen(ABC):
    """One screen. Its answers are taken over and drawn in one thread; asking may be done in another."""

    windows: ClassVar[tuple[Window, ...]] = WINDOWS
    sorts: ClassVar[tuple[str, ...]] = ()
    tabs: ClassVar[tuple[str, ...]] = ("",)
    footer: ClassVar[str] = "q quit  esc back  / filter  s sort  w window  p pause  r refresh  ? keys"
    nothing: ClassVar[str] = ""
    """What is said where there is nothing at all."""
    refresh_s: ClassVar[float] = 2.0
    """After how long it is asked anew."""
    rests: ClassVar[int] = 9
    """An answer that took long is not asked for again before so many times as long: a tenth of the time in asking."""

    def __init__(self, looking: Looking) -> None:
        """Look at what `looking` says; nothing is asked yet."""
        self.looking: Looking = looking
        self.asked: dt.datetime | None = None
        """When what is shown was asked for; None: there is no answer yet."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all, so that it is said where data would come from."""
        return False

    @abstractmethod
    def ask(self, query: Query, now: dt.datetime) -> Callable[[], None]:
        """Ask, in whatever thread; return what takes the answers over. Raises `QueryError`, `ConfigError`."""

    @abstractmethod
    def draw(self, frame: Frame) -> RenderableType:
        """Draw the answers; only called when there are some."""

    @abstractmethod
    def row_keys(self) -> Sequence[str]:
        """Return the keys of the rows one can move about in, in the order in which they are shown."""

    def keep_window(self, window: Window, *, found: bool) -> None:
        """Keep the window that was widened to; once something is found in it, no wider one is looked for."""
        if self.looking.widen:
            self.looking = replace(self.looking, window=window, widen=not found)

    def opened(self) -> Target | str:
        """Return what is behind the selected row, or a sentence that says why there is none."""
        return ""

    def own_key(self, key: str) -> Deed | str | None:
        """Obey a key that only this screen knows; None where it knows it not."""
        del key
        return None

    def obey(self, key: str) -> Deed | Target | str:
        """Obey a key; return what is to be done then, where to go, or a sentence to say."""
        if self.looking.typing:
            self._type(key)
            return Deed.NOTHING
        own = self.own_key(key)
        if own is not None:
            return own
        look = self.looking
        match key:
            case "enter" | "right":
                return self.opened() if self.asked else Deed.NOTHING
            case "escape" | "left" | "backspace":
                return self._back()
            case "/":
                self.looking = replace(look, typing=True, opened=False)
            case "s" if self.sorts:
                self.looking = replace(look, sort=(look.sort + 1) % len(self.sorts))
            case "tab" | "back tab" if len(self.tabs) > 1:
                step = 1 if key == "tab" else -1
                self.looking = replace(look, tab=(look.tab + step) % len(self.tabs), selected=None, place=0)
            case "w" if len(self.windows) > 1:
                place = self.windows.index(look.window) if look.window in self.windows else -1
                window = self.windows[(place + 1) % len(self.windows)]
                self.looking = replace(look, window=window, widen=False)
                return Deed.ASK
            case _:
                self._move(key)
        return Deed.NOTHING

    def _move(self, key: str) -> None:
        keys = self.row_keys() if self.asked else ()
        at = self.looking.at(keys)
        if at is None:
            return
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE_ROWS, "page down": PAGE_ROWS}
        if key in steps:
            self.looking = self.looking.moved(keys, at + steps[key])
        elif key in ("home", "end"):
            self.looking = self.looking.moved(keys, 0 if key == "home" else len(keys) - 1)

    def _back(self) -> Deed:
        if self.looking.opened:
            self.looking = replace(self.looking, opened=False)
            return Deed.NOTHING
        if self.looking.wanted:
            self.looking = replace(self.looking, wanted="", whole=False)
            return Deed.NOTHING
        return Deed.BACK

    def _type(self, key: str) -> None:
        look = self.looking
        match key:
            case "enter":
                self.looking = replace(look, typing=False)
            case "escape":
                self.looking = replace(look, typing=False, wanted="", whole=False)
            case "backspace":
                self.looking = replace(look, wanted=look.wanted[:-1], whole=False)
            case _ if len(key) == 1:
                self.looking = replace(look, wanted=(look.wanted + key)[:40], whole=False)
            case _:
                self._move(key)
