"""Agents, flows, traces and costs in the terminal: which screen is shown, when it asks, and what keys do."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Final

from egoscope.cli.following import nothing_hinders
from egoscope.cli.screens.asking import Asker
from egoscope.cli.screens.cost import CostScreen
from egoscope.cli.screens.opening import screen_of
from egoscope.cli.screens.overview import OverviewScreen
from egoscope.cli.screens.picture import Picture, keys_picture
from egoscope.cli.screens.screen import Deed, Screen, Target
from egoscope.cli.screens.trace import TraceScreen
from egoscope.cli.screens.workers import WorkersScreen

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.live import Live

    from egoscope.cli.monitor_keys import Keys
    from egoscope.query import Query

# From here on it is said that an answer is waited for; below, it would only flicker.
SLOW_S: Final = 0.6
POLL_S: Final = 0.05
MOST_WAIT_S: Final = 0.5
REDRAW_S: Final = 5.0
PLACES: Final = {"a": Target(kind="agents"), "c": Target(kind="cost"), "t": Target(kind="workers")}
"""Where keys lead from every screen."""


class Browser:
    """Screens on top of one another, the last one shown."""

    def __init__(
        self,
        query: Query,
        first: Target,
        console: Console,
        *,
        budget_usd: float | None = None,
        chart: bool = False,
        has_life: bool = False,
        hint: str = "",
        workers_expected: int | None = None,
        workers_hint: str = "",
        mark: str = "",
        hindrances: Callable[[], tuple[str, ...]] = nothing_hinders,
        refresh_s: float | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Begin with a screen. `hint`, `workers_hint`: where data would come from, said while there is none.

        `mark`: what each header says of all that is shown. `hindrances`: what is in the way of it, a sentence each.
        `refresh_s`: after how long a screen is asked anew, instead of what it says itself.
        """
        self._query = query
        self._console = console
        self._budget_usd = budget_usd
        self._chart = chart
        self._has_life = has_life
        self._hint = hint
        self._workers_expected = workers_expected
        self._workers_hint = workers_hint
        self._mark = mark
        self._hindrances = hindrances
        self._refresh_s = refresh_s
        self._clock = clock
        self._screens = [self._screen_of(first)]
        self._asker: Asker | None = None
        self._paused = False
        self._notice = ""
        self._failed = False
        self._listing_keys = False
        self._again = True
        self._next_s = 0.0
        self._drawn: tuple[object, ...] | None = None
        self._drawn_s = 0.0
        self._changes = 0

    @property
    def screen(self) -> Screen:
        """The screen that is shown."""
        return self._screens[-1]

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is waited for, or a question is to be asked."""
        return self._again or (self._asker is not None and self._asker.is_busy)

    def print_once(self) -> None:
        """Ask, and print one picture."""
        now = self._clock()
        self.screen.ask(self._query, now)()
        self.screen.asked = now
        picture = Picture(
            self.screen,
            now=now,
            query=self._query,
            hint=self._where_from(),
            mark=self._mark,
            hindrances=self._hindrances(),
        )
        self._console.print(picture, end="")

    def run(self, keyboard: Keys, live: Live) -> str | None:
        """Show screens until one is left for ego-mcp's life ("life"), or for good (None)."""
        self._asker = self._asker or Asker(self._query)
        self._drawn = None
        while True:
            self._take_answer(self._asker)
            self._ask_where_due(self._asker)
            self._draw(live, self._asker)
            due_s = self._next_s - time.monotonic()
            key = keyboard.wait(POLL_S if self._asker.is_busy else min(MOST_WAIT_S, max(POLL_S, due_s)))
            if not key:
                continue
            self._changes += 1
            if not self.screen.looking.typing and not self._listing_keys:
                if key == "q":
                    return None
                if self._leaves_for_life(key):
                    return "life"
            self.obey(key)

    def close(self) -> None:
        """Let go of the query."""
        if self._asker is None:
            self._query.close()
        else:
            self._asker.close()

    def obey(self, key: str) -> None:
        """Do what a key says, apart from leaving."""
        self._changes += 1
        if not self._failed:
            self._notice = ""
        if self._listing_keys:
            self._listing_keys = False
            return
        if not self.screen.looking.typing:
            match key:
                case "p" | " ":
                    self._paused = not self._paused
                    return
                case "r":
                    self._again = True
                    return
                case "?":
                    self._listing_keys = True
                    return
                case "a" | "c" | "t":
                    self._go(PLACES[key])
                    return
                case "b" if not isinstance(self.screen, CostScreen):
                    self._go(PLACES["c"])
                    if not self._chart:  # else it is drawn already
                        self._follow(self.screen.obey(key))
                    return
                case _:
                    pass
        self._follow(self.screen.obey(key))

    def lead(self, key: str) -> None:
        """Show what a key leads to from ego-mcp's life, whatever was shown before that."""
        self._listing_keys = False
        self._go(PLACES["a"])
        self.obey(key)

    def _leaves_for_life(self, key: str) -> bool:
        if not self._has_life:
            return False
        looking = self.screen.looking
        at_first = len(self._screens) == 1 and not looking.wanted and not looking.opened
        return key == "e" or (key == "escape" and at_first and isinstance(self.screen, OverviewScreen))

    def _follow(self, said: Deed | Target | str) -> None:
        match said:
            case Deed.ASK:
                self._again = True
            case Deed.BACK:
                self._back()
            case Deed.NOTHING:
                pass
            case str():
                self._notice = self._notice if self._failed else said
            case _:
                self._go(said)

    def _back(self) -> None:
        if len(self._screens) > 1:
            self._screens.pop()
        elif not isinstance(self.screen, OverviewScreen):  # began with an agent or a trace: up is the overview
            self._screens = [self._screen_of(Target(kind="agents"))]
        self._again = True

    def _go(self, target: Target) -> None:
        if target.kind == "agents":
            kept = self._screens[0] if isinstance(self._screens[0], OverviewScreen) else None
            self._screens = [kept or self._screen_of(target)]
        elif target.kind not in ("cost", "workers") or type(self.screen) is not type(self._screen_of(target)):
            self._screens.append(self._screen_of(target))
        self._again = True

    def _screen_of(self, target: Target) -> Screen:
        return screen_of(target, self._budget_usd, chart=self._chart, workers_expected=self._workers_expected)

    def _where_from(self) -> str:
        return self._workers_hint if isinstance(self.screen, WorkersScreen) else self._hint

    def _rest_s(self, screen: Screen) -> float:
        return screen.refresh_s if self._refresh_s is None else self._refresh_s

    def _take_answer(self, asker: Asker) -> None:
        answered = asker.answer()
        if answered is None:
            return
        self._next_s = time.monotonic() + max(self._rest_s(answered.screen), answered.screen.rests * answered.took_s)
        self._changes += 1
        if answered.take is None:
            # What was known stays, with the reason why it is not newer.
            self._failed, self._notice = True, str(answered.error)
            return
        if self._failed:
            self._failed, self._notice = False, ""
        answered.take()
        answered.screen.asked = answered.now

    def _ask_where_due(self, asker: Asker) -> None:
        if asker.is_busy:
            return
        screen = self.screen
        stays = self._paused or (isinstance(screen, TraceScreen) and screen.is_found)
        due = time.monotonic() >= self._next_s and not (stays and screen.asked is not None)
        if self._again or due:
            self._again = False
            asker.ask(screen, self._clock())

    def _draw(self, live: Live, asker: Asker) -> None:
        waits = asker.asked_s is not None and time.monotonic() - asker.asked_s > SLOW_S
        hindrances = self._hindrances()
        looks = (self._changes, waits, self._console.size, hindrances)
        if looks == self._drawn and time.monotonic() - self._drawn_s < REDRAW_S:
            return
        self._drawn, self._drawn_s = looks, time.monotonic()
        picture = Picture(
            self.screen,
            now=(self.screen.asked or self._clock()) if self._paused else self._clock(),
            query=self._query,
            hint=self._where_from(),
            height=self._console.height,
            live=True,
            paused=self._paused,
            asking=waits,
            notice=self._notice,
            mark=self._mark,
            hindrances=hindrances,
        )
        if self._listing_keys:
            windows = [window.name for window in self.screen.windows]
            live.update(keys_picture(windows, self.screen.sorts), refresh=True)
        else:
            live.update(picture, refresh=True)
