"""Over a range: which value a string parameter had and for how long, and gauges as the newest log file tells them.

A value holds until another is told. A living series has a point every 15 s, one that was read in later only where
something was told: so a value is taken to hold for `HELD`, and of several log files the newest is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    FieldColorModeId,
    ValueMap,
    ValueMappingResult,
)

from dashgen.colours import mapped
from dashgen.panels import lanes, meters, overriding, rows, set_by, transformed
from dashgen.queries import CHOSEN, metric, of
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.builders import bargauge, statetimeline, table

    from egoscope.convert.catalogue import Metric

HELD: Final = "1h"
NAME: Final = f"{{{{{s.VALUE}}}}}"

SAMPLES: Final = 3000
"""In how many places a range is looked at to tell how long something lasted: one a minute up to two days."""
LOOK_EVERY: Final = "1m"

HOUR: Final = "hour"
HOURS: Final = tuple(f"{hour:02}" for hour in range(24))
# One series whose label is the hour of the day, by the clock of the agent's machine.
CLOCK: Final = (
    f'label_replace(count_values("{HOUR}", hour(vector(time() + $utc_offset))), "{HOUR}", "0$1", "{HOUR}", "(.)")'
)


def held(selector: str, window: str = HELD) -> str:
    """Return the value that was told last, as long as it is taken to hold."""
    return f"last_over_time({selector}[{window}])"


LAST: Final = held(of(c.LAST_EVENT, CHOSEN))
NEWEST: Final = f"and on (instance) topk(1, {LAST})"


def felt(gauge: Metric) -> str:
    """Return a gauge of one value, from the log file that was written last."""
    return f"max({held(of(gauge, CHOSEN))} {NEWEST})"


def newest(gauge: Metric, *matchers: str, by: str, window: str = HELD) -> str:
    """Return a gauge's values by a label, each from the log file that was written last of those that know it."""
    values, last = held(of(gauge, CHOSEN, *matchers), window), held(of(c.LAST_EVENT, CHOSEN), window)
    known = f"0 * {values} + on (instance) group_left () {last}"
    return f"max by ({by}) ({values} and on (instance, {by}) topk by ({by}) (1, {known}))"


def state(parameter: str) -> str:
    """Return 1 for the value that a string parameter has, by value: at any time one at most."""
    return f"max by ({s.VALUE}) ({held(_states(parameter))} == 1 {NEWEST})"


def _states(parameter: str) -> str:
    return of(c.STATE, f'{s.PARAMETER}="{parameter}"', CHOSEN)


def seconds_in(parameter: str) -> str:
    """Return how long a string parameter had each of its values within the range, in seconds."""
    return f"sum_over_time({state(parameter)}[$__range:$__interval]) * $__interval_ms / 1000"


def share_by_hour(parameter: str) -> str:
    """Return how much of what is known of each hour of the day had which value, in percent; 0 where it never had."""
    looks = f"sum_over_time(({state(parameter)} * on () group_left ({HOUR}) {CLOCK})[$__range:$__interval])"
    # All values seen, once for each hour of a day: the steps of this subquery are the 24 hours.
    seen = f"max by ({s.VALUE}) (max_over_time({_states(parameter)}[$__range] @ end())) > 0"
    every = f"last_over_time((0 * ({seen}) * on () group_left ({HOUR}) {CLOCK})[1d:1h])"
    return f"100 * {looks} / on ({HOUR}) group_left () sum by ({HOUR}) ({looks}) or {every}"


def timeline(title: str, text: str, parameter: str) -> statetimeline.Panel:
    """Return a lane for each value of a string parameter."""
    return lanes(title, text, metric(state(parameter), legend=NAME)).max_data_points(600).no_value("nothing told")


def durations(title: str, text: str, parameter: str) -> bargauge.Panel:
    """Return a bar for each value of a string parameter: how long it had it."""
    return (
        meters(title, text, metric(f"sort_desc({seconds_in(parameter)})", legend=NAME, instant=True))
        .interval(LOOK_EVERY)
        .max_data_points(SAMPLES)
        .unit("s")
        .decimals(1)
        .min(0)
        .no_value("nothing told")
    )


def by_hour(
    title: str, text: str, parameter: str, name: str, colours: Mapping[str, str], *, order: Sequence[str] = ()
) -> table.Panel:
    """Return a table with a row for each value of a string parameter and a column for each hour of the day.

    A heatmap panel knows a time axis only, so the cells of a table are coloured. `name`: of the values. `order`: of
    the rows, else what there was most of comes first.
    """
    nothing = ValueMap(options={"0": ValueMappingResult(text=" ", index=0)})
    expression = _numbered(share_by_hour(parameter), order) if order else share_by_hour(parameter)
    return overriding(
        rows(title, text, metric(expression, legend=NAME, instant=True, table=True))
        .interval(LOOK_EVERY)
        .max_data_points(SAMPLES)
        .unit("none")
        .decimals(0)
        .min(0)
        .max(100)
        .mappings([nothing])
        .min_width(30)
        .align(common.FieldTextAlignment.CENTER)
        .display_mode(common.TableCellDisplayMode.COLOR_BACKGROUND_SOLID)
        .color_scheme(FieldColor().mode(FieldColorModeId.CONTINUOUS_BLUES))
        .transformations(_matrix(name, ordered=bool(order))),
        [
            set_by(
                "byName",
                name,
                custom__width=130,
                custom__align="left",
                custom__displayMode="color-text",
                mappings=[mapped(dict(colours))],
            )
        ],
    )


def _numbered(expression: str, order: Sequence[str]) -> str:
    """Give each value a label `row` that sorts as in `order`; what is not among them comes last."""
    expression = f'label_replace({expression}, "row", "99", "", "")'
    for place, value in enumerate(order):
        expression = f'label_replace({expression}, "row", "{place:02}", "{s.VALUE}", "{value}")'
    return expression


def _matrix(name: str, *, ordered: bool) -> list[DataTransformerConfig]:
    """Return what makes of rows (value, hour, share) a row a value, with a column an hour."""
    corner, total = f"{s.VALUE}\\{HOUR}", "Total"
    places = {column: place for place, column in enumerate((corner, *HOURS))}
    first = [transformed("sortBy", fields={}, sort=[{"field": "row"}])] if ordered else []
    last = (
        []
        if ordered
        else [
            transformed("calculateField", mode="reduceRow", reduce={"reducer": "sum", "include": []}, alias=total),
            transformed("sortBy", fields={}, sort=[{"field": total, "desc": True}]),
        ]
    )
    return [
        *first,
        transformed("sortBy", fields={}, sort=[{"field": HOUR}]),
        transformed("groupingToMatrix", rowField=s.VALUE, columnField=HOUR, valueField="Value", emptyValue="null"),
        *last,
        transformed("organize", excludeByName={total: True}, indexByName=places, renameByName={corner: name}),
    ]
