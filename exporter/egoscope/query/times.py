"""Times of the query API: aware datetimes outside, whole numbers since the Unix epoch inside. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from egoscope.errors import ConfigError

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAY: Final = dt.timedelta(days=1)
MICROSECOND: Final = dt.timedelta(microseconds=1)


class Range(msgspec.Struct, frozen=True):
    """A range of time, open at its beginning and closed at its end."""

    since: dt.datetime
    until: dt.datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.until - self.since).total_seconds()

    @property
    def since_ns(self) -> int:
        """What is later than this is in it. A microsecond is one moment here: answers are cut to microseconds."""
        return to_ns(self.since) + 999

    @property
    def until_ns(self) -> int:
        """What is at this time or before is in it."""
        return to_ns(self.until) + 999

    def days(self) -> list[tuple[dt.date, Range]]:
        """Return the parts of it that lie in each UTC day, oldest first; a day has its first midnight."""
        parts: list[tuple[dt.date, Range]] = []
        last = midnight(self.until.date())
        start = midnight((self.since + MICROSECOND).date())
        while start <= last:
            end = start + DAY
            parts.append(
                (start.date(), Range(max(self.since, start - MICROSECOND), min(self.until, end - MICROSECOND)))
            )
            start = end
        return [(day, part) for day, part in parts if part.since < part.until]


def checked_range(since: dt.datetime | None, until: dt.datetime | None, now: dt.datetime) -> Range:
    """Return the range in UTC. Raises `ConfigError` for a naive time and for a range that ends before it begins."""
    begin = EPOCH if since is None else _utc("since", since)
    end = _utc("now", now) if until is None else _utc("until", until)
    if end < begin and until is not None:
        raise ConfigError("until: is before since")
    return Range(begin, max(begin, end))


def cost_range(since: dt.datetime | None, until: dt.datetime | None, date: dt.date | None, now: dt.datetime) -> Range:
    """Return the range of a cost summary: a UTC day, or from `since` to `until`. Raises `ConfigError` for both."""
    if date is None:
        return checked_range(since, until, now)
    if since is not None or until is not None:
        raise ConfigError("date: give a date, or since and until, not both")
    if isinstance(date, dt.datetime):
        raise ConfigError("date: a date without a time; for a range of times give since and until")
    start = midnight(date)
    return Range(start - MICROSECOND, start + DAY - MICROSECOND)


def midnight(day: dt.date) -> dt.datetime:
    """Return when a UTC day begins."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def to_ns(when: dt.datetime) -> int:
    """Return nanoseconds since the Unix epoch."""
    return (when - EPOCH) // MICROSECOND * 1000


def from_ns(time_ns: int) -> dt.datetime:
    """Return the time in UTC, cut to microseconds."""
    return EPOCH + dt.timedelta(microseconds=time_ns // 1000)


def from_s(time_s: float) -> dt.datetime:
    """Return the time of a gauge in seconds since the Unix epoch."""
    return from_ns(round(time_s * 1e6) * 1000)


def utc_now() -> dt.datetime:
    """Return the present."""
    return dt.datetime.now(dt.UTC)


def _utc(name: str, when: dt.datetime) -> dt.datetime:
    if when.tzinfo is None or when.utcoffset() is None:
        raise ConfigError(f"{name}: a time without a time zone; give one, as datetime.now(timezone.utc) has")
    return when.astimezone(dt.UTC)
