"""The projection of a month, and the UTC days of a range."""

from __future__ import annotations

import datetime as dt
import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egoscope.query.cost import CostRow, CostSummary, month_of, project, recent_range, usd
from egoscope.query.times import DAY, MICROSECOND, Range, midnight

TODAY: Final = dt.date(2026, 11, 21)
NOW: Final = midnight(TODAY) + DAY / 2


def costs(by_day: dict[dt.date, float], unknown: int = 0) -> CostSummary:
    return CostSummary(tuple(_row(day, cost, unknown) for day, cost in by_day.items()))


def _row(day: dt.date, cost: float, unknown: int = 0) -> CostRow:
    return CostRow(
        day=day,
        agent="a",
        model="m",
        calls=1,
        input_tokens=1,
        output_tokens=1,
        cost_usd=cost,
        calls_of_unknown_price=unknown,
    )


def back(days: int, cost: float = 2.0) -> dict[dt.date, float]:
    """Costs of the days before today."""
    return {TODAY - number * DAY: cost for number in range(1, days + 1)}


class TestProjection:
    def test_equal_days_go_on_and_leave_no_doubt(self) -> None:
        told = project(NOW, costs({TODAY: 30.0}), costs(back(29)))
        assert (told.days_used, told.so_far_usd) == (28, 30.0)
        assert told.expected_usd == told.low_usd == told.high_usd == 30 + 9.5 * 2
        assert "30.00 USD, plus 9.5 days at 2.00 USD, the mean of the last 28 complete UTC days" in told.method

    def test_days_without_a_call_are_days_of_nothing(self) -> None:
        told = project(NOW, costs({}), costs({TODAY - 29 * DAY: 5.0, TODAY - 1 * DAY: 28.0}))
        assert told.expected_usd == pytest.approx(9.5)

    def test_the_day_of_the_first_call_was_no_complete_one(self) -> None:
        assert project(NOW, costs({}), costs(back(8))).days_used == 7
        assert project(NOW, costs({}), costs(back(7))).expected_usd is None

    def test_too_little_is_said_and_never_guessed(self) -> None:
        told = project(NOW, costs({TODAY: 1.0}), costs({}))
        assert (told.expected_usd, told.low_usd, told.high_usd, told.so_far_usd) == (None, None, None, 1.0)
        assert told.method == "Too little to project from: 0 complete days since the first model call, 7 are needed."

    def test_what_is_in_no_cost_is_said(self) -> None:
        told = project(NOW, costs({TODAY: 1.0}, unknown=3), costs(back(29)))
        assert told.calls_of_unknown_price == 3
        assert told.method.endswith("3 model calls of unknown price are in none of it.")

    def test_the_interval_never_ends_below_what_was_spent(self) -> None:
        told = project(NOW, costs({TODAY: 30.0}), costs({TODAY - 29 * DAY: 0.0, TODAY - 3 * DAY: 1000.0}))
        assert told.low_usd == 30.0

    @pytest.mark.parametrize("days", [8, 15, 29])
    def test_the_interval_holds_nine_of_ten_months(self, days: int) -> None:
        """Days drawn at random: the month's end lies within in 90 % of cases."""
        chance = random.Random(days)
        held = 0
        for _ in range(2000):
            recent = {day: chance.gauss(10, 2) for day in back(days)}
            told = project(midnight(TODAY), costs({}), costs(recent))
            end = sum(chance.gauss(10, 2) for _ in range(10))
            assert told.low_usd is not None
            assert told.high_usd is not None
            held += told.low_usd <= end <= told.high_usd
        assert 0.88 < held / 2000 < 0.92

    def test_of_december_the_next_month_is_in_another_year(self) -> None:
        first, following = month_of(dt.datetime(2026, 12, 31, 23, 59, tzinfo=dt.UTC))
        assert (first.date(), following.date()) == (dt.date(2026, 12, 1), dt.date(2027, 1, 1))

    def test_it_looks_at_one_day_more_than_it_uses(self) -> None:
        days = recent_range(NOW).days()
        assert (days[0][0], days[-1][0]) == (TODAY - 29 * DAY, TODAY - DAY)


class TestDays:
    @given(st.integers(0, 10**6), st.integers(0, 10**6))
    def test_parts_of_days_make_up_the_range(self, start_s: int, length_s: int) -> None:
        since = midnight(TODAY) + dt.timedelta(seconds=start_s) - (start_s % 2) * MICROSECOND
        within = Range(since, since + dt.timedelta(seconds=length_s))
        parts = within.days()
        assert sum((part.until - part.since for _, part in parts), dt.timedelta()) == within.until - within.since
        assert all((part.since + MICROSECOND).date() == day == part.until.date() for day, part in parts)

    def test_a_day_has_its_first_midnight_and_not_its_last(self) -> None:
        ((first, _), (second, part)) = Range(midnight(TODAY) - DAY, midnight(TODAY)).days()
        assert (first, second) == (TODAY - DAY, TODAY)
        assert part == Range(midnight(TODAY) - MICROSECOND, midnight(TODAY))


@given(st.lists(st.integers(0, 10**12), max_size=50), st.randoms())
def test_the_same_amounts_are_the_same_sum_in_any_order(nano: list[int], chance: random.Random) -> None:
    amounts = [one / 1e9 for one in nano]
    chance.shuffle(amounts)
    assert usd(amounts) == sum(nano) / 1e9
