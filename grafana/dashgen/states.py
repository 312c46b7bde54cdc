"""Over a range: which value a string parameter had and for how long, and gauges as the newest log file tells them.

A value holds until another is told. A living series has a point every 15 s, one that was read in later only where
something was told: so a value is taken to hold for `HELD`, and of several log files the newest is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import heatmap as heatmap_builders

from dashgen.frame import hidden
from dashgen.panels import heat, lanes, meters
from dashgen.queries import CHOSEN, metric, of
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders import bargauge, statetimeline
    from grafana_foundation_sdk.builders.dashboard import QueryVariable

    from egoscope.convert.catalogue import Metric

HELD: Final = "1h"
NAME: Final = f"{{{{{s.VALUE}}}}}"

SAMPLES: Final = 3000
"""In how many places a range is looked at to tell how long something lasted: every 15 s up to half a day."""
LOOK_EVERY_S: Final = 15

HOUR: Final = "hour"
CELL: Final = "10m"
"""A cell's length: Grafana's range ends before midnight, so the last cell of a day is missing."""


def held(selector: str, window: str = HELD) -> str:
    """Return the value that was told last, as long as it is taken to hold."""
    return f"last_over_time({selector}[{window}])"


LAST: Final = held(of(c.LAST_EVENT, CHOSEN))


def _of_the_newest(values: str) -> str:
    """Return what leaves, of these values, those of the log file that was written last of those that know any.

    Not of the last one of all: in a day's first lines nothing is felt as yet.
    """
    return f"and on (instance) topk(1, {LAST} and on (instance) {values})"


def felt(gauge: Metric) -> str:
    """Return a gauge of one value, from the log file that was written last of those that know it."""
    values = held(of(gauge, CHOSEN))
    return f"max({values} {_of_the_newest(values)})"


def newest(gauge: Metric, *matchers: str, by: str, window: str = HELD) -> str:
    """Return a gauge's values by a label, each from the log file that was written last of those that know it."""
    values, last = held(of(gauge, CHOSEN, *matchers), window), held(of(c.LAST_EVENT, CHOSEN), window)
    known = f"0 * {values} + on (instance) group_left () {last}"
    return f"max by ({by}) ({values} and on (instance, {by}) topk by ({by}) (1, {known}))"


def state(parameter: str) -> str:
    """Return 1 for the value that a string parameter has, by value: at any time one at most."""
    values = held(_states(parameter))
    return f"max by ({s.VALUE}) ({values} == 1 {_of_the_newest(values)})"


def _states(parameter: str) -> str:
    return of(c.STATE, f'{s.PARAMETER}="{parameter}"', CHOSEN)


def seconds_in(parameter: str) -> str:
    """Return how long a string parameter had each of its values within the range, in seconds."""
    return f"sum_over_time({state(parameter)}[$__range:$__interval]) * $__interval_ms / 1000"


def share_by_hour(parameter: str, order: Sequence[str] = ()) -> str:
    """Return, at any time of a day, how much of that hour had which value over the dashboard's range, in percent."""
    known = f"{state(parameter)} * on () group_left ({HOUR}) {_clock()}"
    looks = f"sum_over_time(({known})[${{span}}s:${{look}}s] @ ${{until}})"
    shares = f"100 * {looks} / on ({HOUR}) group_left () sum by ({HOUR}) ({looks})"
    # A cell is drawn to the left of its time.
    return _numbered(f"sum by ({s.VALUE}) ({shares} and on ({HOUR}) {_clock(1)})", order)


def _clock(earlier_s: int = 0) -> str:
    """Return one series whose label is the hour of the day, by the clock of the agent's machine."""
    return f'count_values("{HOUR}", hour(vector(time() + $utc_offset - {earlier_s})))'


def _numbered(expression: str, order: Sequence[str]) -> str:
    """Give each value a label `row`, for series come sorted by their labels; what is not in `order` stays first."""
    for place, value in enumerate(order):
        expression = f'label_replace({expression}, "row", "{place:02}", "{s.VALUE}", "{value}")'
    return expression


def whole_range() -> list[QueryVariable]:
    """Return the dashboard's range as variables, for panels whose own range is a day: nothing else tells them."""
    every = LOOK_EVERY_S
    return [
        hidden("span", "Seconds that the chosen time is long", "vector($__range_s)"),
        hidden(
            "look",
            "Seconds between two looks at it",
            f"clamp_min(ceil(vector($__range_s) / {every * SAMPLES}) * {every}, {every})",
        ),
        hidden("until", "When it ends", "ceil(vector(time()) / 60) * 60"),
    ]


def timeline(title: str, text: str, parameter: str, *, order: Sequence[str] = ()) -> statetimeline.Panel:
    """Return a lane for each value of a string parameter. `order`: of the lanes, else by name."""
    return (
        lanes(title, text, metric(_numbered(state(parameter), order), legend=NAME))
        .max_data_points(600)
        .no_value("nothing told")
    )


def durations(title: str, text: str, parameter: str) -> bargauge.Panel:
    """Return a bar for each value of a string parameter: how long it had it."""
    return (
        meters(title, text, metric(f"sort_desc({seconds_in(parameter)})", legend=NAME, instant=True))
        .interval(f"{LOOK_EVERY_S}s")
        .max_data_points(SAMPLES)
        .unit("s")
        .decimals(1)
        .min(0)
        .text(common_builders.VizTextDisplayOptions().title_size(11).value_size(11))
        .no_value("nothing told")
    )


def by_hour(title: str, text: str, parameter: str, *, order: Sequence[str] = ()) -> heatmap_builders.Panel:
    """Return a heatmap: a row for each value of a string parameter, a day from left to right.

    A heatmap has a time axis, so the panel's own range is this day. `order`: of the rows, else by name.
    """
    return (
        heat(title, text, metric(share_by_hour(parameter, order), legend=NAME))
        .time_from("1m")
        .time_shift("0d/d")
        .hide_time_override(True)
        .interval(CELL)
        .max_data_points(400)
        .unit("percent")
        .decimals(0)
        .cell_gap(0)
        .cell_values(heatmap_builders.CellValues().unit("percent").decimals(0))
        .filter_values(heatmap_builders.FilterValueRange().le(1e-9))
        .y_axis(heatmap_builders.YAxisConfig().reverse(True))
    )
