"""What agents cost: summaries by UTC day, agent and model, and what a month will cost. Pure."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Final

from egoscope.query.times import DAY, MICROSECOND, Range, checked_range, cost_range, midnight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

USD_DECIMALS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Model calls of one UTC day, agent and model, by the moment their executions ended."""

    day: dt.date
    agent: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """Of the calls whose price is known."""
    calls_of_unknown_price: int


@dataclass(frozen=True, slots=True)
class CostSummary:
    """What a range of time cost: rows by day, agent and model, in this order; days without a call have none."""

    rows: tuple[CostRow, ...]

    @property
    def cost_usd(self) -> float:
        """Of the calls whose price is known."""
        return usd(row.cost_usd for row in self.rows)

    @property
    def calls_of_unknown_price(self) -> int:
        """Model calls that are in no cost."""
        return sum(row.calls_of_unknown_price for row in self.rows)

    @property
    def calls(self) -> int:
        """Model calls."""
        return sum(row.calls for row in self.rows)

    @property
    def input_tokens(self) -> int:
        """Of all model calls."""
        return sum(row.input_tokens for row in self.rows)

    @property
    def output_tokens(self) -> int:
        """Of all model calls."""
        return sum(row.output_tokens for row in self.rows)

    def by_day(self) -> dict[dt.date, CostSummary]:
        """One summary a day, oldest first."""
        groups: defaultdict[dt.date, list[CostRow]] = defaultdict(list)
        for row in self.rows:
            groups[row.day].append(row)
        return {name: CostSummary(tuple(rows)) for name, rows in sorted(groups.items())}

    def by_agent(self) -> dict[str, CostSummary]:
        """One summary an agent, by name."""
        groups: defaultdict[str, list[CostRow]] = defaultdict(list)
        for row in self.rows:
            groups[row.agent].append(row)
        return {name: CostSummary(tuple(rows)) for name, rows in sorted(groups.items())}

    def by_model(self) -> dict[str, CostSummary]:
        """One summary a model, by name."""
        groups: defaultdict[str, list[CostRow]] = defaultdict(list)
        for row in self.rows:
            groups[row.model].append(row)
        return {name: CostSummary(tuple(rows)) for name, rows in sorted(groups.items())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What the month of `as_of` (UTC) will cost, and how sure that is."""

    as_of: dt.datetime
    month: dt.date
    """Its first day."""
    so_far_usd: float
    expected_usd: float | None
    """None where there is too little to tell from; `method` says so."""
    low_usd: float | None
    high_usd: float | None
    """The ends of an interval that holds the month's cost in 9 of 10 cases, if days to come are as days were."""
    days_used: int
    """How many complete days the projection stands on."""
    calls_of_unknown_price: int
    """Model calls of the month that are in no cost: with any, all amounts are lower bounds."""
    method: str
    """A sentence: how it was reckoned, and how its uncertainty was."""


def usd(amounts: Iterable[float]) -> float:
    """Add amounts of US dollars so that the same amounts are the same sum in any order."""
    return round(sum(round(amount * 10**USD_DECIMALS) for amount in amounts) / 10**USD_DECIMALS, USD_DECIMALS)


# How many complete days a projection looks back to, and how few are too few.
MOST_DAYS: Final = 28
FEWEST_DAYS: Final = 7
# Student's t distribution, 0.95 quantile, for 6 to 27 degrees of freedom: 9 of 10 lie within that many deviations.
_T_95: Final = (
    *(1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753, 1.746),
    *(1.740, 1.734, 1.729, 1.725, 1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703),
)


def month_of(now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return when the UTC month of `now` begins and when the next one does."""
    first = midnight(now.astimezone(dt.UTC).date().replace(day=1))
    return first, midnight((first.date() + 31 * DAY).replace(day=1))


def recent_range(now: dt.datetime) -> Range:
    """Return the complete days that a projection needs: one more than it uses, to see where calls began."""
    today = midnight(now.astimezone(dt.UTC).date())
    return Range(today - (MOST_DAYS + 1) * DAY - MICROSECOND, today - MICROSECOND)


def project(now: dt.datetime, month: CostSummary, recent: CostSummary) -> Projection:
    """Project the month of `now` from its cost so far and the costs of `recent_range`.

    Each day that remains costs what recent days did on average. A sum of r such days has the variance s²·(r + r²/n)
    around r times the mean of the n days looked at, s being their standard deviation: the first part is the days' own
    spread, the second that the mean is not known exactly. Days are taken as independent and alike; a week's rhythm is
    in the spread.
    """
    first, following = month_of(now)
    so_far = month.cost_usd
    days = _complete_days(now, recent)
    unknown = month.calls_of_unknown_price
    known: dict[str, Any] = {
        "as_of": now.astimezone(dt.UTC),
        "month": first.date(),
        "so_far_usd": so_far,
        "days_used": len(days),
        "calls_of_unknown_price": unknown,
    }
    note = f" {unknown} model calls of unknown price are in none of it." if unknown else ""
    if len(days) < FEWEST_DAYS:
        method = (
            f"Too little to project from: {len(days)} complete days since the first model call,"
            f" {FEWEST_DAYS} are needed.{note}"
        )
        return Projection(**known, expected_usd=None, low_usd=None, high_usd=None, method=method)
    remaining = (following - now) / DAY
    mean, spread = fmean(days), stdev(days)
    expected = so_far + remaining * mean
    half = _T_95[len(days) - FEWEST_DAYS] * spread * sqrt(remaining + remaining**2 / len(days))
    method = (
        f"The month so far, {so_far:.2f} USD, plus {remaining:.1f} days at {mean:.2f} USD, the mean of the last"
        f" {len(days)} complete UTC days; the interval holds 9 of 10 months if days to come spread as those did"
        f" (standard deviation {spread:.2f} USD, Student's t).{note}"
    )
    return Projection(
        **known,
        expected_usd=round(expected, USD_DECIMALS),
        low_usd=round(max(so_far, expected - half), USD_DECIMALS),
        high_usd=round(expected + half, USD_DECIMALS),
        method=method,
    )


def _complete_days(now: dt.datetime, recent: CostSummary) -> list[float]:
    """Return the costs of the last complete days; the day of the first call was none, unless it lies further back."""
    costs = {day: summary.cost_usd for day, summary in recent.by_day().items()}
    today = now.astimezone(dt.UTC).date()
    if not costs:
        return []
    first = min(costs)
    days = [today - back * DAY for back in range(MOST_DAYS, 0, -1)]
    return [costs.get(day, 0.0) for day in days if day > first]


class CostsByDay(ABC):
    """The questions about cost, for every implementation that can tell a range's costs by day, agent and model."""

    _now: Callable[[], dt.datetime]

    @abstractmethod
    def _costs(self, within: Range) -> CostSummary:
        """Return what model calls cost in a range."""

    def get_cost_summary(
        self,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        *,
        date: dt.date | None = None,
    ) -> CostSummary:
        """See `Query.get_cost_summary`."""
        return self._costs(cost_range(since, until, date, self._now()))

    def project_month(self, now: dt.datetime | None = None) -> Projection:
        """See `Query.project_month`. An embedded store that forgets after 30 days has no 31st: see `prune_days`."""
        at = checked_range(None, now, self._now()).until
        first, _ = month_of(at)
        return project(at, self._costs(Range(first - MICROSECOND, at)), self._costs(recent_range(at)))
