"""The sidecar's own totals: what redaction did, what could not be read, what was refused. Never content.

Totals are committed with the lines they count, so they survive a restart; points are made of them now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from egoscope.convert import semconv as s
from egoscope.convert.catalogue import REDACTIONS, REJECTED, SOURCE_PROBLEMS, START_TIME, UNPARSABLE
from egoscope.convert.conversion import CATALOGUE, Telemetry
from egoscope.convert.logs import of_audit
from egoscope.convert.series import SILENCE_MS, SeriesSet
from egoscope.model.telemetry import Attribute
from egoscope.rules import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from egoscope.convert.catalogue import Metric
    from egoscope.convert.series import SeriesRow
    from egoscope.model.telemetry import LogRecord
    from egoscope.redaction import AuditKey

SIDECAR: Final = "_sidecar"
"""The ledger's name where sources have an id."""

POINT_EVERY_MS: Final = 5_000

LedgerKey = tuple[str, tuple[Attribute, ...]]


class Ledger:
    """Totals by metric and attributes. Used by the pipeline's thread only."""

    def __init__(self, totals: Mapping[LedgerKey, int], series: list[SeriesRow]) -> None:
        self.totals = dict(totals)
        self._changed: set[LedgerKey] = set()
        self._series = SeriesSet(CATALOGUE, series)
        self._unsent = bool(totals)
        self._unaudited = False
        self._last_point_ms = 0
        self._started_s: float | None = None

    @property
    def has_points(self) -> bool:
        """Whether `drain` would return any."""
        return bool(self.totals) or self._started_s is not None

    def started(self, now_ms: int) -> None:
        """Note when the sidecar started, to be told with everything else."""
        self._started_s = now_ms / 1000

    def redacted(self, source: str, audit: Mapping[AuditKey, int]) -> None:
        """Count what a policy did."""
        for key, count in audit.items():
            attributes = ((s.LABEL_SOURCE, source), (s.FIELD, key.field), (s.ACTION, key.action.value))
            self._add(REDACTIONS, (*attributes, (s.REASON, key.reason or "allowed")), count)
            self._unaudited = True

    def unparsable(self, source: str, reasons: Mapping[str, int]) -> None:
        """Count lines that were no records."""
        for reason, count in reasons.items():
            self._add(UNPARSABLE, ((s.LABEL_SOURCE, source), (s.REASON, reason)), count)

    def source_problems(self, source: str, reasons: Mapping[str, int]) -> None:
        """Count looks at a source that failed."""
        for reason, count in reasons.items():
            self._add(SOURCE_PROBLEMS, ((s.LABEL_SOURCE, source), (s.REASON, reason)), count)

    def rejected(self, refused: Iterable[tuple[str, str, int]]) -> None:
        """Count items refused for good: signal, reason, number."""
        for signal, reason, count in refused:
            self._add(REJECTED, ((s.SIGNAL, signal), (s.REASON, reason)), count)

    def changes(self) -> list[tuple[LedgerKey, int]]:
        """Return the totals that changed since the last call, to be committed."""
        changed, self._changed = self._changed, set()
        return [(key, self.totals[key]) for key in sorted(changed)]

    def due(self, now_ms: int) -> bool:
        """Whether it is time for points: soon after a change, and else often enough to keep the series alive."""
        since = now_ms - self._last_point_ms
        return self.has_points and (since >= SILENCE_MS or (self._unsent and since >= POINT_EVERY_MS))

    def drain(self, now_ms: int) -> Telemetry:
        """Return the totals as points of now, and one audit record where redaction had work since the last one."""
        for (metric, attributes), total in self.totals.items():
            series = self._series[CATALOGUE[metric], attributes]
            series.note((now_ms, total - cast("int", series.value)))
        if self._started_s is not None:
            self._series[START_TIME, ()].note((now_ms, self._started_s))
        self._unsent, self._last_point_ms = False, now_ms
        points, rows = self._series.drain()
        logs = [self._audit_record(now_ms * 1_000_000)] if self._unaudited else []
        self._unaudited = False
        return Telemetry([], logs, points, rows)

    def _add(self, metric: Metric, attributes: tuple[Attribute, ...], count: int) -> None:
        key = (metric.name, attributes)
        self.totals[key] = self.totals.get(key, 0) + count
        self._changed.add(key)
        self._unsent = True

    def _audit_record(self, time_ns: int) -> LogRecord:
        by_action: dict[str, int] = dict.fromkeys(Action, 0)
        for (metric, attributes), total in self.totals.items():
            if metric == REDACTIONS.name:
                by_action[str(dict(attributes)[s.ACTION])] += total
        body = "Redaction audit: " + ", ".join(f"{action} {total}" for action, total in by_action.items())
        return of_audit(time_ns, body)
