"""When runs of a demo database start, and when many of them fail."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from egoscope.demo import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from egoscope.demo.settings import DatabaseSettings

_HOUR_US: Final = 3_600_000_000
_FIRST_WEEKDAY: Final = 3
"""1970 began on a Thursday."""
_OUTAGE_SHARE: Final = 1 / 36
"""The share of hours in which a provider is down, so that failures come in bursts."""

# Against the mean: of a day's hours, and of a week's days, Monday first.
DAYTIME: Final = words.HOURS
NIGHTLY: Final = (*words.HOURS[12:], *words.HOURS[:12])
EVEN: Final = (1.0,) * 24
_WEEK: Final = (1.2, 1.2, 1.2, 1.2, 1.2, 0.5, 0.5)


def starts(settings: DatabaseSettings, rng: Random, per_hour: float, hours: Sequence[float]) -> Iterator[int]:
    """Yield when runs start, in microseconds: a Poisson process whose rate follows the hour and the day."""
    hours, week = (hours, _WEEK) if settings.rhythm else (EVEN, (1.0,) * 7)
    peak = max(hours) * max(week)
    gap = rng.expovariate
    at = float(settings.start_us)
    while True:
        at += gap(peak * per_hour) * _HOUR_US
        hour = int(at) // _HOUR_US
        if rng.random() * peak < hours[hour % 24] * week[(hour // 24 + _FIRST_WEEKDAY) % 7]:
            yield int(at)


def failure_rate(settings: DatabaseSettings, us: int) -> float:
    """Return the chance that a run started at `us` fails; its mean over time is the settings' rate."""
    rate = settings.failure_rate
    in_outage = max(rate, min(0.9, 8 * rate))
    # Not for secrets: hours of trouble have to be the same in the past and live.
    if Random(f"{settings.seed}/outage/{us // _HOUR_US}").random() < _OUTAGE_SHARE:  # noqa: S311
        return in_outage
    return max(0.0, (rate - _OUTAGE_SHARE * in_outage) / (1 - _OUTAGE_SHARE))
