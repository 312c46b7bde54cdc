"""Series of points at event time: cumulative totals and gauges that Prometheus can count exactly.

Why each extra point stands there (measured; design, section 1):
- a new cumulative series begins with an explicit 0 one millisecond before its first value, for `increase()` misses the
  first value otherwise;
- after a silence the old value is repeated one millisecond before the new one, so that the step stands where it was;
- a gauge whose value stays is repeated only so often that it lives;
- within a series time never goes back: what is older than the newest point joins it while that point has not left yet,
  and is stamped one millisecond after it else. A lower value after a higher one would read as a reset.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from egoscope.convert.catalogue import Kind
from egoscope.model.telemetry import Attribute  # noqa: TC001 (msgspec reads the annotations of SeriesRow)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from egoscope.convert.catalogue import Metric

SILENCE_MS: Final = 15_000
"""A series that was silent for longer gets an edge point; a living one gets a point that often."""

HISTOGRAM_STEP_MS: Final = 1_000
"""Calls of one such step share one point of a histogram: it is 17 samples in Prometheus. Counters have no step."""

_NOTHING_MORE: Final = 0

Distribution = tuple[float, tuple[int, ...]]
Value = int | float | Distribution


class SeriesRow(msgspec.Struct, frozen=True, array_like=True):
    """A series as the state file keeps it, so that a restart goes on where it was."""

    metric: str
    attributes: tuple[Attribute, ...]
    start_ms: int
    last_ms: int
    value: Value


class PointBatch(msgspec.Struct, frozen=True):
    """New points of one series, in time order."""

    metric: Metric
    attributes: tuple[Attribute, ...]
    start_ms: int
    points: list[tuple[int, Value]]


class Series:
    """One series of one instance: it collects what happened, and makes points of it when it is drained."""

    __slots__ = ("attributes", "events", "last_ms", "metric", "note", "start_ms", "value")

    def __init__(self, metric: Metric, attributes: tuple[Attribute, ...], row: SeriesRow | None = None) -> None:
        self.metric, self.attributes = metric, attributes
        self.start_ms = row.start_ms if row else 0
        self.last_ms = row.last_ms if row else 0
        self.value: Value = row.value if row else _zero(metric)
        self.events: list[tuple[int, float]] = []
        self.note: Callable[[tuple[int, float]], None] = self.events.append
        """Take (time in ms, x): x more of a counter, the value x of a gauge, or the observation x of a histogram."""

    def keep_alive(self, now_ms: int) -> None:
        """Repeat the value if the series was silent for `SILENCE_MS`; one that never had a value has none."""
        if self.last_ms and not self.events and now_ms - self.last_ms >= SILENCE_MS:
            # A gauge is set to what it is; of the others nothing more is counted.
            self.note((now_ms, self.value if self.metric.kind is Kind.GAUGE else _NOTHING_MORE))  # type: ignore[arg-type]

    def drain(self) -> PointBatch:
        """Return what happened as points, and forget it."""
        settle = _settle_histogram if self.metric.kind is Kind.HISTOGRAM else _settle_number
        points = settle(self)
        self.events.clear()
        if points:
            self.last_ms, self.value = points[-1]
        return PointBatch(self.metric, self.attributes, self.start_ms, points)

    def row(self) -> SeriesRow:
        """Return what the state file keeps."""
        return SeriesRow(self.metric.name, self.attributes, self.start_ms, self.last_ms, self.value)


def _settle_number(series: Series) -> list[tuple[int, Value]]:
    points: list[tuple[int, Any]] = []
    value: Any = series.value
    last_ms, gauge = series.last_ms, series.metric.kind is Kind.GAUGE
    decimals = series.metric.decimals
    for time_ms, amount in series.events:
        if gauge:
            if amount == value and 0 <= time_ms - last_ms < SILENCE_MS and last_ms:
                continue  # nothing new, and the series lives
            new = amount
        else:
            new = value + amount if decimals is None else round(value + amount, decimals)
        if time_ms > last_ms:
            if time_ms - last_ms > SILENCE_MS:
                if last_ms:
                    points.append((time_ms - 1, value))
                elif not gauge:
                    series.start_ms = time_ms - 1
                    points.append((time_ms - 1, value))
            points.append((time_ms, new))
            last_ms = time_ms
        elif points:  # the newest point has not left yet: it takes the newer value
            points[-1] = (last_ms, new)
        else:
            last_ms += 1
            points.append((last_ms, new))
        value = new
    return points


def _settle_histogram(series: Series) -> list[tuple[int, Value]]:
    points: list[tuple[int, Value]] = []
    total, counts = cast("Distribution", series.value)
    bounds = series.metric.bounds
    new_counts = list(counts)
    last_ms = series.last_ms
    until_ms = 0  # up to when the newest point may still move
    for time_ms, observation in series.events:
        if observation is not _NOTHING_MORE:  # the very object: an observation of 0.0 s counts
            total += observation
            new_counts[bisect_left(bounds, observation)] += 1
        if time_ms < until_ms or (points and time_ms <= last_ms):
            points.pop()
            last_ms = max(time_ms, last_ms)
        else:
            if time_ms <= last_ms:
                time_ms = last_ms + 1  # noqa: PLW2901
            elif not last_ms:
                series.start_ms = time_ms - 1
                points.append((time_ms - 1, series.value))
            elif time_ms - last_ms > SILENCE_MS:
                points.append((time_ms - 1, points[-1][1] if points else series.value))
            until_ms = time_ms + HISTOGRAM_STEP_MS
            last_ms = time_ms
        points.append((last_ms, (total, tuple(new_counts))))
    return points


class SeriesSet:
    """All series of one instance, made as they are needed."""

    def __init__(self, catalogue: dict[str, Metric], rows: list[SeriesRow]) -> None:
        self._series: dict[tuple[str, tuple[Attribute, ...]], Series] = {}
        for row in rows:
            if row.metric in catalogue:  # a metric that an upgrade took away is forgotten
                metric = catalogue[row.metric]
                self._series[row.metric, row.attributes] = Series(metric, row.attributes, row)

    def __getitem__(self, key: tuple[Metric, tuple[Attribute, ...]]) -> Series:
        metric, attributes = key
        series = self._series.get((metric.name, attributes))
        if series is None:
            series = self._series[metric.name, attributes] = Series(metric, attributes)
        return series

    @property
    def has_new(self) -> bool:
        """Whether any series has new points."""
        return any(series.events for series in self._series.values())

    def of(self, metric: Metric) -> list[Series]:
        """Return the series of one metric that exist so far."""
        return [series for series in self._series.values() if series.metric is metric]

    def stand(self, metric: Metric, time_ms: int, values: Mapping[tuple[Attribute, ...], float]) -> None:
        """Set a gauge in all of its series: what has no value now is 0, else it would stay what it was."""
        for series in self.of(metric):
            if series.attributes not in values:
                series.note((time_ms, 0))
        for attributes, value in values.items():
            self[metric, attributes].note((time_ms, value))

    def keep_alive(self, now_ms: int) -> None:
        """Repeat every value that was silent for too long."""
        for series in self._series.values():
            series.keep_alive(now_ms)

    def drain(self) -> tuple[list[PointBatch], list[SeriesRow]]:
        """Return the new points by series, metric by metric, and the rows that changed."""
        changed = [series for series in self._series.values() if series.events]
        changed.sort(key=lambda series: series.metric.name)
        batches = [series.drain() for series in changed]
        told = [batch.points != [] for batch in batches]
        return list(compress(batches, told)), [series.row() for series in compress(changed, told)]


def _zero(metric: Metric) -> Value:
    return (0.0, (0,) * (len(metric.bounds) + 1)) if metric.kind is Kind.HISTOGRAM else 0
