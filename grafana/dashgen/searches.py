"""Searches in Tempo: what is slow, what failed, a row each, and from it the way to its trace and its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    RegexMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
)

from dashgen import frame
from dashgen.colours import ERROR, GOOD, WARNING, steps
from dashgen.panels import columns, link, most_first, overriding, rows, set_by, transformed
from dashgen.queries import PROMETHEUS, TEMPO, counted, traces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grafana_foundation_sdk.builders import table

SLOWEST: Final = 50
LISTED: Final = 200
NEWEST_FIRST: Final = "with (most_recent=true)"
DURATION: Final = "Duration"
START: Final = "Start time"
# Fields by their own names: so those of each trace's spans, which 9.4 would fold in below, are left out.
_RAW: Final = ["startTime", "traceName", "traceDuration", "traceID"]


def _rare(durations: str, quantile: Callable[[float | str], str]) -> str:
    """Return how long the slowest took, a little less: buckets tell it roughly. 0 where there are but these."""
    # The quantile 0 is no number where the first bucket is empty.
    return f"(0.8 * {quantile(f'scalar(clamp_min(1 - {SLOWEST} / {counted(durations)}, 0))')} >= 0 or vector(0))"


def slowest(durations: str, quantile: Callable[[float | str], str]) -> QueryVariable:
    """Return the seconds from which on one is among the slowest, for queries to use: TraceQL itself can't sort.

    `durations` counts them, `quantile` tells how long the one of that rank took.
    """
    found = f"round({_rare(durations, quantile)}, 0.001)"
    return frame.hidden("slower", f"Seconds that all but the {SLOWEST} slowest take", found).regex(r"/\} ([0-9.]+) /")


def slower(durations: str, quantile: Callable[[float | str], str]) -> QueryVariable:
    """Return the choice of what is slow, in seconds; see `slowest`."""
    choices = {
        f"the {SLOWEST} slowest": _rare(durations, quantile),
        "1 of 100": quantile(0.99),
        "1 of 20": quantile(0.95),
        "1 of 2": quantile(0.5),
        "any": "vector(0)",
    }
    named = (f'label_replace({value}, "slow", "{text}", "", "")' for text, value in choices.items())
    query = f"query_result(round({' or '.join(named)}, 0.001))"
    return (
        QueryVariable("slower")
        .label("Slow is")
        .description("How rare a duration has to be to be listed as slow")
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": "slower"})
        .definition(query)
        .regex(r'/slow="(?<text>[^"]+)"\} (?<value>[0-9.]+) /')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .current(VariableOption(selected=True, text=next(iter(choices)), value="0"))
    )


def found(
    title: str,
    text: str,
    traceql: str,
    *,
    sorted_by: str,
    what: str,
    column: str,
    named: str,
    keep: tuple[Sequence[str], Sequence[str]] = ((), ()),
    slow_ms: tuple[int, int] = (5000, 15000),
) -> table.Panel:
    """Return a table of what a search finds.

    `what` is found: a call, a run; `column` is what its name is. `named`: pattern of a trace's name, of which the first
    group is shown, for 9.4 puts the service's name before the span's and newer ones do not. `keep`: variables that go
    along to a trace, and to lines.
    """
    to_traces, to_logs = keep
    to_trace = link(
        f"The trace of this {what}",
        frame.TRACES,
        variables=f"{frame.ONE_TRACE}${{__data.fields.traceID}}",
        keep=to_traces,
    )
    to_lines = link(
        f"The lines of this {what}", frame.LOGS, variables="var-trace=${__data.fields.traceID}", keep=to_logs
    )
    # Steps of a transformation go by the names that are shown.
    shown = {START: "Start", "Name": column, DURATION: DURATION, "Trace ID": "Trace"}
    alone = RegexMap(
        options=DashboardRegexMapOptions(pattern=f"/{named}/", result=ValueMappingResult(text="$1", index=0))
    )
    warning, error = slow_ms
    return overriding(
        rows(title, text, traces(traceql, limit=LISTED))
        .datasource(TEMPO)
        .no_value(f"no such {what} in this time")
        .with_transformation(transformed("filterFieldsByName", include={"names": _RAW}))
        .with_transformation(most_first(sorted_by))
        .with_transformation(columns(shown)),
        [
            set_by("byName", "Start", custom__width=160),
            set_by("byName", column, links=[to_trace.build(), to_lines.build()], mappings=[alone]),
            set_by(
                "byName",
                DURATION,
                custom__width=110,
                unit="ms",
                noValue="below 1 ms",
                custom__displayMode="color-text",
                thresholds=steps((None, GOOD), (warning, WARNING), (error, ERROR)).build(),
            ),
            set_by("byName", "Trace", custom__width=120),
        ],
    )
