"""What a demo is made from. Equal settings give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from egoscope.errors import ConfigError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LINES_PER_CALL: Final = 3.05
"""How many lines of ego-mcp's own format a call comes to, other loggers' lines included: for a rate in lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Settings of a demo log; a wrong one raises ConfigError by its name.

    `start`: time of the first process start, UTC. `calls_per_minute`: the mean over a day. `failure_rate` and
    `private_rate`: shares of all calls, and of all `remember` calls. `rhythm`: nights are quiet, mornings and evenings
    busy, and calls come in sessions; without it calls come evenly spread around the clock. `documented_format`: one
    line a call, as ego-mcp documents its log, in place of what it really writes.
    """

    seed: int = 7
    start: datetime = datetime(2026, 11, 2, 6, 40, tzinfo=UTC)
    calls_per_minute: float = 6.0
    failure_rate: float = 0.03
    private_rate: float = 0.15
    rhythm: bool = True
    documented_format: bool = False

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            reason = "start: a time zone is missing; UTC would be right"
        elif not 0 < self.calls_per_minute <= 600_000:
            reason = "calls_per_minute: must be above 0 and at most 600000"
        elif not 0 <= self.failure_rate <= 1:
            reason = "failure_rate: must be from 0 to 1"
        elif not 0 <= self.private_rate <= 1:
            reason = "private_rate: must be from 0 to 1"
        else:
            return
        raise ConfigError(reason)

    @property
    def start_us(self) -> int:
        """Microseconds since the Unix epoch at which the first process starts."""
        return microseconds(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Settings of a demo database; a wrong one raises ConfigError by its name.

    `start`: before it nothing runs. `per_hour`: executions, flow runs or tasks, the mean over a week. `failure_rate`
    and `killed_rate`: shares of them that fail, and whose process dies amid them, so that nothing ever ends them; where
    it is a worker that dies of a task, another one takes it. `rhythm`: nights and weekends are quiet; without it runs
    come evenly spread.
    """

    seed: int = 7
    start: datetime = datetime(2026, 11, 2, 6, 40, tzinfo=UTC)
    per_hour: float = 40.0
    failure_rate: float = 0.04
    killed_rate: float = 0.0
    rhythm: bool = True

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            reason = "start: a time zone is missing; UTC would be right"
        elif not 0 < self.per_hour <= 1_000_000:
            reason = "per_hour: must be above 0 and at most 1000000"
        elif not 0 <= self.failure_rate <= 1:
            reason = "failure_rate: must be from 0 to 1"
        elif not 0 <= self.killed_rate < 1:
            reason = "killed_rate: must be from 0 to below 1"
        else:
            return
        raise ConfigError(reason)

    @property
    def start_us(self) -> int:
        """Microseconds since the Unix epoch before which nothing runs."""
        return microseconds(self.start)


def microseconds(at: datetime) -> int:
    """Return whole microseconds since the Unix epoch."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Return a time in microseconds since the Unix epoch as a date in UTC."""
    return _EPOCH + timedelta(microseconds=us)
