"""What all questions to the embedded store share: the file, moments of reading, counters and gauges."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import orjson

from egoscope.errors import QueryError
from egoscope.query import embedded_sql as sql
from egoscope.query.prometheus import Distribution
from egoscope.query.times import Range, checked_range, to_ns, utc_now
from egoscope.store import schema
from egoscope.store.kinds import NANO

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path
    from types import TracebackType

    from egoscope.convert.catalogue import Metric

STALE_NS: Final = 300 * NANO
"""What was not told for so long is not known: as in Prometheus."""
_INFINITE: Final = float("inf")


class Told(NamedTuple):
    """The newest point of one series of a gauge."""

    labels: dict[str, Any]
    instance: str
    value: float
    time_ns: int


class EmbeddedReader:
    """An open store. Reads beside whoever writes, and waits for nobody; each answer is of one moment."""

    def __init__(self, path: Path, *, now: Callable[[], dt.datetime] = utc_now) -> None:
        """Open the store. Raises `StateError` where it is missing, damaged, or of another version."""
        self._db = schema.open_reader(path)
        self._now = now

    def close(self) -> None:
        """See `Query.close`."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _range(self, since: dt.datetime | None, until: dt.datetime | None) -> Range:
        return checked_range(since, until, self._now())

    def _ask(
        self,
        statement: str,
        kind: str,
        within: Range,
        agent: str | None,
        *,
        outcome: str | None = None,
        limit: int = -1,
    ) -> sqlite3.Cursor:
        values = {
            "kind": kind,
            "since": within.since_ns,
            "until": within.until_ns,
            "agent": agent,
            "outcome": outcome,
            "limit": limit,
        }
        return self._db.execute(
            statement.replace("{within}", sql.ANY_AGENT if agent is None else sql.ONE_AGENT), values
        )

    def _gauge(self, metric: Metric) -> Iterator[Told]:
        """Return what each series of a gauge was last told, unless that is too long ago."""
        after_ns = to_ns(self._now()) - STALE_NS
        for attributes, instance, value, time_ns in self._db.execute(sql.LATEST_POINTS, (metric.name, after_ns)):
            if value is not None:
                yield Told(orjson.loads(attributes), instance, value, time_ns)

    def _increases(self, metric: Metric, within: Range) -> Iterator[tuple[dict[str, Any], str, int]]:
        """Return how much each series of a counter went up, those that did: (labels, instance, how much).

        As `increase(… anchored)` of Prometheus does, without its resets: totals outlive restarts.
        """
        values = {"name": metric.name, "since": within.since_ns, "until": within.until_ns}
        for attributes, instance, increase in self._db.execute(sql.INCREASES, values):
            if increase is not None and increase > 0:
                yield orjson.loads(attributes), instance, round(increase)

    def _distribution(self, metric: Metric, within: Range) -> Distribution:
        """Return how a histogram grew, all its series together."""
        total, counts = 0.0, [0] * (len(metric.bounds) + 1)
        ends = {"name": metric.name, "since": within.since_ns, "until": within.until_ns}
        for until_sum, until_buckets, since_sum, since_buckets in self._db.execute(sql.GROWTH, ends):
            if until_buckets is None or since_buckets is None:
                continue
            total += until_sum - since_sum
            grown = zip(orjson.loads(until_buckets), orjson.loads(since_buckets), strict=True)
            for place, (until, since) in enumerate(grown):
                counts[place] += until - since
        below = 0
        buckets: list[tuple[float, float]] = []
        for bound, count in zip((*metric.bounds, _INFINITE), counts, strict=True):
            below += count
            buckets.append((bound, below))
        return Distribution(total, tuple(buckets))

    @contextlib.contextmanager
    def _reading(self) -> Generator[None]:
        """Read of one moment, whatever is written meanwhile."""
        try:
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            reason = getattr(error, "sqlite_errorname", type(error).__name__)
        else:
            return
        raise QueryError(f"the embedded store cannot be read just now ({reason})")
