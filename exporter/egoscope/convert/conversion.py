"""What every conversion of an instance makes and promises, whatever the instance is: a log file or a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import msgspec

from egoscope.convert.catalogue import METRICS
from egoscope.convert.series import SILENCE_MS, PointBatch, SeriesRow
from egoscope.model.telemetry import LogRecord, Span  # noqa: TC001 (msgspec reads the annotations of Telemetry)

if TYPE_CHECKING:
    from egoscope.convert.catalogue import Metric

CATALOGUE: Final[dict[str, Metric]] = {metric.name: metric for metric in METRICS}

TELL_NEWEST_EVERY_NS: Final = SILENCE_MS * 10**6
"""A batch can hold days. Which of several instances was the newest is asked of any time in them."""

ROW_EXPIRES_NS: Final = 24 * 3600 * 10**9
"""A row that runs for longer is given up: what wrote it was killed, or it would have said how it ended."""

NEVER_NS: Final = 1 << 63
"""Of what may wait or run for years."""


class Telemetry(msgspec.Struct, frozen=True):
    """What one batch of records became."""

    spans: list[Span]
    logs: list[LogRecord]
    points: list[PointBatch]
    series: list[SeriesRow]


class Conversion(Protocol):
    """Turns what one instance tells into telemetry. Pure: no clock, no randomness, no I/O.

    What must survive a restart is in `state` and in the series' rows.
    """

    tells_what_stands: ClassVar[bool]
    """Whether its gauges say how things are, not only what happened: they hold as long as its instance is there."""

    @property
    def newest_ns(self) -> int:
        """The time of the newest record so far, nanoseconds since the Unix epoch; 0 if there was none."""
        ...

    @property
    def state(self) -> msgspec.Struct:
        """The state as of now, to be committed with what `drain` returned."""
        ...

    @property
    def waits(self) -> bool:
        """Whether something began that has not ended: it is to expire though nothing more comes."""
        ...

    @property
    def has_new(self) -> bool:
        """Whether `drain` would return anything."""
        ...

    def expire(self, now_ns: int) -> None:
        """Close as unfinished what should have ended by now."""
        ...

    def keep_alive(self, now_ns: int) -> None:
        """Give every series that was silent a point at this time; all up to it must have been converted."""
        ...

    def drain(self) -> Telemetry:
        """Return everything converted since the last call."""
        ...


def tell_newest_after(time_ns: int) -> int:
    """Return when the newest is to be told next: on a fixed grid, so that a restart changes nothing."""
    return (time_ns // TELL_NEWEST_EVERY_NS + 1) * TELL_NEWEST_EVERY_NS
