"""What agents cost: summaries by UTC day, agent and model, and what a month will cost. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

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
