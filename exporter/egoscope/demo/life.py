"""When the demo's agent does what: processes that come and go, sessions, parallel calls, delays, failures."""

from __future__ import annotations

from bisect import bisect_right
from math import log
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from egoscope.demo import words
from egoscope.demo.canaries import plant
from egoscope.demo.documented import DocumentedFormat
from egoscope.demo.lines import Call, DemoLine
from egoscope.demo.real import RealFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from egoscope.demo.lines import Entry
    from egoscope.demo.settings import DemoSettings

_HOUR_US: Final = 3_600_000_000
_SECOND_US: Final = 1_000_000
_USUAL_GAP_US: Final = 10 * _SECOND_US
_TIME: Final = itemgetter(0)
_LATENCIES: Final = 1024
_BURST_STARTS: Final = 1 / 400
_BURST_ENDS: Final = 1 / 15
_BURST_SHARE: Final = _BURST_STARTS / (_BURST_STARTS + _BURST_ENDS)
"""The share of calls that fall into a burst of failures."""


class Format(Protocol):
    """How processes and calls look in a log; entries are times in microseconds, text and kind, oldest first."""

    def process_start(self, us: int, *, first: bool) -> Iterable[Entry]:
        """Return what a starting process writes; `first`: on this machine, so that data is migrated."""
        ...

    def call(self, call: Call) -> Iterable[Entry]:
        """Return the lines of one call, none of them later than its end."""
        ...

    def crash(self, us: int) -> Iterable[Entry]:
        """Return the last words of a process that dies of an exception."""
        ...


def generate(settings: DemoSettings, *, first_start: bool = True) -> Iterator[DemoLine]:
    """Yield lines for ever, in the order in which they were written; times never step back.

    `first_start=False` goes on where other processes have run before. Nothing but the arguments decides any byte.
    """
    # Not for secrets: a demo has to be the same each time.
    rng = Random(f"{settings.seed}/{settings.start_us}")  # noqa: S311
    planted = plant(settings.seed)
    spelled: Format = (
        DocumentedFormat(rng, planted, settings) if settings.documented_format else RealFormat(rng, planted, settings)
    )
    return _live(settings, rng, spelled, first=first_start)


def _live(settings: DemoSettings, rng: Random, spelled: Format, *, first: bool) -> Iterator[DemoLine]:
    plan = _Plan(settings, rng)
    us = settings.start_us
    while True:
        entries = _process(plan, rng, spelled, us, first=first)
        born_ns = us * 1000
        for at, text, kind in entries:
            yield DemoLine(at * 1000, text.encode(), kind, born_ns)
        us = plan.ended_us + int((2 + 40 * rng.random()) * plan.unhurried * _SECOND_US)
        first = False


def _process(plan: _Plan, rng: Random, spelled: Format, us: int, *, first: bool) -> Iterator[Entry]:
    """Yield what one process writes, from its start at `us` to its end at `plan.ended_us`."""
    rand = rng.random
    for entry in spelled.process_start(us, first=first):
        yield entry
        us = entry[0]
    us += 20_000 + int(200_000 * rand())
    calls_left = 1 + int(700 * rand())
    latest_us = us + int((0.5 + 19 * rand()) * _HOUR_US)
    open_until_us = us
    waiting: list[Entry] = []
    alive = True
    while alive:
        for call in plan.next_calls(us):
            calls_left -= 1
            waiting += spelled.call(call)
            open_until_us = call.us + int(call.latency_us * rand())
        alive = calls_left > 0 and us < latest_us
        # Killed amid a call, more often than not: what is open then stays open, for no line will ever end it.
        us = plan.next_start(us) if alive or rand() < 0.4 else open_until_us
        # Stable, and quick on what is nearly in order: lines of one instant stay in the order of their calls.
        waiting.sort(key=_TIME)
        written = bisect_right(waiting, us, key=_TIME)
        yield from waiting[:written]
        del waiting[:written]
    if rand() < 0.25:
        for entry in spelled.crash(us):
            yield entry
            us = entry[0]
    plan.ended_us = us


class _Plan:
    """Chooses which calls come next, and when.

    `ended_us`: when the latest process ended. `unhurried`: 1 for a life as most have it; where more calls are asked
    for, processes pass by faster, and so have to follow each other faster, or the mean would not be reached.
    """

    def __init__(self, settings: DemoSettings, rng: Random) -> None:
        self._random = rng.random
        self._gap_us = 60 * _SECOND_US / settings.calls_per_minute
        self.unhurried = min(1.0, self._gap_us / _USUAL_GAP_US)
        self._rhythm = settings.rhythm
        self._steps = tuple(tool for tool, weight in words.STEPS.items() for _ in range(weight))
        self._latencies = {
            tool: [
                int(1000 * min(max(rng.lognormvariate(log(median), sigma), 10), 900)) + rng.randrange(1000)
                for _ in range(_LATENCIES)
            ]
            for tool, (median, sigma) in words.LATENCY.items()
        }
        rate = settings.failure_rate
        self._burst_rate = max(rate, min(0.9, 15 * rate))
        self._calm_rate = max(0.0, (rate - _BURST_SHARE * self._burst_rate) / (1 - _BURST_SHARE))
        self._in_burst = False
        self.ended_us = 0
        self._session: list[str] = []
        self._batch = 1
        self._debt_us = 0.0
        """What the gaps so far fell short of the mean; paid back by the pause after a session."""

    def next_calls(self, us: int) -> list[Call]:
        """Return one call that starts at `us`, or some that the agent sends at once."""
        rand = self._random
        if not self._session:
            self._session = self._script(us)
        self._batch = 1
        if len(self._session) > 3 and rand() < 0.09:
            self._batch = 2 + int(2.5 * rand())
        calls: list[Call] = []
        for _ in range(min(self._batch, len(self._session))):
            calls.append(self._call(self._session.pop(), us))
            us += 300 + int(5000 * rand())
        return calls

    def next_start(self, us: int) -> int:
        """Return when the calls after those at `us` come."""
        rand = self._random
        due = self._gap_us * self._batch
        if not self._rhythm:
            return us + 1 + int(-due * log(1 - rand()))
        due /= words.HOURS[us // _HOUR_US % 24]
        self._debt_us += due
        gap = -0.35 * due * log(1 - rand()) if self._session else max(0.0, self._debt_us) * (0.5 + rand())
        self._debt_us -= gap
        us += 1 + int(gap)
        # Now and then on the second, where isoformat leaves the fraction out.
        return us if rand() > 0.004 else -(-us // _SECOND_US) * _SECOND_US

    def _script(self, us: int) -> list[str]:
        """Return a session's tools, last first: waking, looking inward, then whatever the day brings."""
        rand = self._random
        steps = self._steps
        script = ["wake_up", "attune" if rand() < 0.7 else "introspect"]
        script += [steps[int(rand() * len(steps))] for _ in range(4 + int(16 * rand()))]
        if rand() < 0.06 or (us // _HOUR_US % 24 in {3, 22} and rand() < 0.5):
            script.append("consolidate")
        script.reverse()
        return script

    def _call(self, tool: str, us: int) -> Call:
        rand = self._random
        latency_us = self._latencies[tool][int(rand() * _LATENCIES)]
        chance = rand()
        if chance < 0.008:
            latency_us = min(int(latency_us * (8 + 22 * rand())), 30 * _SECOND_US)
        self._in_burst = rand() >= _BURST_ENDS if self._in_burst else rand() < _BURST_STARTS
        if rand() < (self._burst_rate if self._in_burst else self._calm_rate):
            outcome = "error"
        elif 0.5 < chance < 0.503:
            outcome = "unfinished"
        elif 0.6 < chance < 0.608:
            outcome = "refused"
        else:
            outcome = "ok"
        return Call(tool, us, latency_us, outcome)
