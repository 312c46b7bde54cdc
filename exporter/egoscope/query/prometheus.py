"""Counts, sums and distributions from Prometheus: `increase(x[range] anchored)`, which is exact on these series."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any, Final

import msgspec

from egoscope.convert import semconv as s
from egoscope.query.cost import CostRow, usd
from egoscope.query.times import DAY, EPOCH, MICROSECOND, Range, from_ns

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from egoscope.convert.catalogue import Metric
    from egoscope.query.http import Server

Key = tuple[str, ...]
_MOST_DAYS: Final = 10_000
"""Prometheus answers with at most 11,000 points a series."""


class Distribution(msgspec.Struct, frozen=True):
    """A histogram in a range: what it counted, added up and how that lies in its buckets (bound, count up to it)."""

    sum: float = 0.0
    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> int:
        """How many values there are."""
        return round(self.buckets[-1][1]) if self.buckets else 0

    @property
    def avg(self) -> float | None:
        """Their mean, exact."""
        return self.sum / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """Estimate a quantile as `histogram_quantile` does: evenly spread within its bucket."""
        if not self.count:
            return None
        rank = share * self.buckets[-1][1]
        for (lower, below), (upper, up_to) in pairwise(((0.0, 0.0), *self.buckets)):
            if up_to >= rank and up_to > below:
                return lower if upper == inf else lower + (upper - lower) * max(0.0, rank - below) / (up_to - below)
        return None

    def at_least(self, count: int) -> float:
        """Return the highest bound that so many values lie above; 0 where there are fewer of them in all."""
        above = [bound for bound, up_to in self.buckets if bound != inf and self.count - round(up_to) >= count]
        return max(above, default=0.0)


class Prometheus:
    """What is asked of Prometheus. Every answer is by the values of `by`, labels in Prometheus' names."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def counts(self, metric: str, by: Sequence[str], within: Range, matchers: str) -> dict[Key, int]:
        """Return how much counters went up, those that did."""
        found = {key: round(value) for key, value in self.sums(metric, by, within, matchers).items()}
        return {key: value for key, value in found.items() if value}

    def sums(self, metric: str, by: Sequence[str], within: Range, matchers: str) -> dict[Key, float]:
        """As `counts`, of counters of fractions."""
        length = _ms(within.until) - _ms(within.since)
        if length <= 0:
            return {}
        query = f"sum by ({', '.join(by)}) (increase({metric}{{{matchers}}}[{length}ms] anchored))"
        return self._instant(query, by, within.until)

    def costs(self, metric: Metric, by: Sequence[str], within: Range, matchers: str) -> dict[Key, float]:
        """As `sums`, in US dollars. Each series is rounded first, so that the sum is the same in any order."""
        labels = ("instance", *by, s.MODEL)
        amounts: defaultdict[Key, list[float]] = defaultdict(list)
        for key, value in self.sums(metric.prometheus, labels, within, matchers).items():
            amounts[key[1 : len(by) + 1]].append(value)
        return {key: usd(values) for key, values in amounts.items()}

    def distributions(self, metric: Metric, by: Sequence[str], within: Range, matchers: str) -> dict[Key, Distribution]:
        """Return how histograms grew, those that did."""
        buckets: defaultdict[Key, list[tuple[float, float]]] = defaultdict(list)
        for key, value in self.sums(f"{metric.prometheus}_bucket", (*by, "le"), within, matchers).items():
            buckets[key[:-1]].append((float(key[-1]), value))
        sums = self.sums(f"{metric.prometheus}_sum", by, within, matchers)
        found = {key: Distribution(sums.get(key, 0.0), tuple(sorted(of))) for key, of in buckets.items()}
        return {key: of for key, of in found.items() if of.count}

    def gauge(self, query: str, by: Sequence[str], at: dt.datetime) -> dict[Key, float]:
        """Return an instant query's values."""
        return self._instant(query, by, at)

    def history(self, query: str, times: Sequence[dt.datetime]) -> dict[dt.datetime, float]:
        """Return the value of a query without labels at moments of equal distance, where it has one."""
        step_s = (times[1] - times[0]).total_seconds() if len(times) > 1 else 1.0
        parameters = [("query", query), ("start", _ms(times[0]) / 1000), ("end", _ms(times[-1]) / 1000)]
        answer = self._ask("/api/v1/query_range", [*parameters, ("step", step_s)])
        values = {round(time_s * 1000): float(value) for one in answer for time_s, value in one["values"]}
        return {time: values[_ms(time)] for time in times if _ms(time) in values}

    def daily(self, metric: str, by: Sequence[str], within: Range, matchers: str) -> dict[tuple[dt.date, Key], float]:
        """Return `sums` by UTC day; a day has its first midnight, and of a day that the range cuts only what is in it.

        Whole days are one question, whatever their number; further back than 27 years nothing is looked for.
        """
        within = Range(max(within.since, within.until - _MOST_DAYS * DAY), within.until)
        found: dict[tuple[dt.date, Key], float] = {}
        whole: list[Range] = []
        for day, part in within.days():
            if part.until - part.since == DAY:
                whole.append(part)
            else:
                found |= {(day, key): value for key, value in self.sums(metric, by, part, matchers).items()}
        if whole:
            query = f"sum by ({', '.join(by)}) (increase({metric}{{{matchers}}}[1d] anchored))"
            parameters = [("query", query), ("start", _ms(whole[0].until) / 1000), ("end", _ms(whole[-1].until) / 1000)]
            answer = self._ask("/api/v1/query_range", [*parameters, ("step", 86_400)])
            for one in answer:
                for time_s, value in one["values"]:
                    found[from_ns(round(time_s * 1e3) * 10**6).date(), _key(one["metric"], by)] = float(value)
        return found

    def _instant(self, query: str, by: Sequence[str], at: dt.datetime) -> dict[Key, float]:
        answer = self._ask("/api/v1/query", [("query", query), ("time", _ms(at) / 1000)])
        return {_key(one["metric"], by): float(one["value"][1]) for one in answer}

    def _ask(self, path: str, parameters: list[tuple[str, str | float]]) -> list[dict[str, Any]]:
        answer: Any = self._server.get(path, [(name, _plain(value)) for name, value in parameters])
        return answer["data"]["result"] if answer else []


def cost_rows(
    calls: Mapping[tuple[dt.date, Key], float],
    tokens: Mapping[tuple[dt.date, Key], float],
    costs: Mapping[tuple[dt.date, Key], float],
    unpriced: Mapping[tuple[dt.date, Key], float],
) -> Iterable[CostRow]:
    """Join what `daily` told of model calls, by agent and model; `tokens` also by type, `costs` by instance."""
    amounts: defaultdict[tuple[dt.date, Key], list[float]] = defaultdict(list)
    for (day, (agent, model, _)), value in costs.items():
        amounts[day, (agent, model)].append(value)
    for (day, key), count in sorted(calls.items()):
        if round(count):
            agent, model = key
            yield CostRow(
                day=day,
                agent=agent,
                model=model,
                calls=round(count),
                input_tokens=round(tokens.get((day, (agent, model, s.INPUT)), 0)),
                output_tokens=round(tokens.get((day, (agent, model, s.OUTPUT)), 0)),
                cost_usd=usd(amounts.get((day, key), ())),
                calls_of_unknown_price=round(unpriced.get((day, key), 0)),
            )


def label(attribute: str) -> str:
    """Return the label that Prometheus and Loki make of an attribute's name."""
    return attribute.replace(".", "_")


def matcher(name: str, value: str | None) -> str:
    """Return the matcher of one label: a value, or any that is not empty."""
    return f'{label(name)}!=""' if value is None else f"{label(name)}={quoted(value)}"


def quoted(value: str) -> str:
    """Return a string of PromQL, LogQL or TraceQL."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _key(labels: Mapping[str, str], by: Sequence[str]) -> Key:
    return tuple(labels.get(name, "") for name in by)


def _ms(when: dt.datetime) -> int:
    return (when - EPOCH) // (1000 * MICROSECOND)


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"
