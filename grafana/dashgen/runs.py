"""Executions of agents and runs of flows: what is asked and shown of both alike. agents.py and flows.py say the rest.

Both end with an outcome, take a time, run for a while, and are a trace and a line of log each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import heatmap as heatmap_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMappingResult,
)

from dashgen import frame, searches
from dashgen.colours import CALM, CRITICAL, ERROR, GOOD, QUIET, SERIES, WARNING, fixed, steps
from dashgen.panels import bars, heat, link, log_lines, overriding, set_by, tile
from dashgen.queries import DATABASE, FAILED, HOST, counted, logs, metric, of, share
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries
    from grafana_foundation_sdk.builders import logs as log_builders
    from grafana_foundation_sdk.builders.dashboard import QueryVariable

    from dashgen.kinds import Kind

STUCK_S: Final = 1800
FEWEST: Final = 10
FAILING: Final = 0.2
"""These three as the alerts have them: prometheus/rules/agents.yml."""

ERRED: Final = f'{s.LABEL_OUTCOME}="error"'
LOST: Final = f'{s.LABEL_OUTCOME}="unfinished"'
ENDED_SPANS: Final = f'span.{s.AGENT_OUTCOME} != "unfinished"'
FAILED_SPANS: Final = "status = error"
BLUE: Final = ((None, SERIES[0]),)
TITLES: Final = common_builders.VizTextDisplayOptions().title_size(13).value_size(18)
"""Two numbers in one tile, each with its name."""


NONE_ENDED: Final = SpecialValueMap(
    options=DashboardSpecialValueMapOptions(
        match=SpecialValueMatch.NULL, result=ValueMappingResult(text="none ended", color=QUIET, index=0)
    )
)


def variables(kind: Kind, title: str) -> list[QueryVariable]:
    """Return what can be chosen at the top; a database is an instance, with series and streams of its own."""
    known = f"label_values({of(c.AGENT_LAST_EVENT, kind.job, HOST)}, instance)"
    named = f"label_values({of(kind.ended, DATABASE)}, {kind.name})"
    return [
        frame.host(),
        frame.chosen_from("database", "Database", "Every database is an instance", known),
        frame.chosen_from(kind.name, title, f"Of whose {kind.noun}s any ended in the chosen time", named),
    ]


def slower(kind: Kind) -> QueryVariable:
    """Return from how many seconds on one is slow."""
    return searches.slowest(kind.of(f"{kind.duration.prometheus}_count"), kind.quantile)


def verdict(kind: Kind, title: str) -> stat.Panel:
    """Return the first that holds: stuck, failing, at work, idle, none seen."""
    words = {
        "0": ("none yet", QUIET),
        "1": ("idle", CALM),
        "2": ("at work", "#2E7D9A"),
        "3": ("failing", WARNING),
        "4": ("stuck", CRITICAL),
    }
    failing = (
        f"({share(kind.ends(FAILED), kind.ends(), '1h')} > {FAILING}) and {counted(kind.ends(), '1h')} >= {FEWEST}"
    )
    number = f"""(max(time() - ({kind.of(kind.oldest)} > 0)) > {STUCK_S}) * 0 + 4
  or ({failing}) * 0 + 3
  or (sum({kind.of(kind.running)}) > 0) * 0 + 2
  or ({kind.last} > 0) * 0 + 1
  or vector(0)"""
    mapped = ValueMap(
        options={
            at: ValueMappingResult(text=text, color=colour, index=place)
            for place, (at, (text, colour)) in enumerate(words.items())
        }
    )
    return (
        tile(
            title,
            f"The first of these that holds: stuck (one has been running for over half an hour); failing (more than a "
            f"fifth of the {kind.noun}s of the last hour, of at least {FEWEST}); at work; idle",
            metric(number, instant=True),
        )
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .mappings([mapped])
        .unit("none")
        .data_links([link("What was said last", frame.LOGS, keep=())])
    )


def number(title: str, text: str, expression: str, colours: tuple[tuple[float | None, str], ...] = BLUE) -> stat.Panel:
    """Return a tile with a count as it is, not as 3 K."""
    counts = metric(f"{expression} or vector(0)", instant=True)
    return tile(title, text, counts).unit("none").decimals(0).thresholds(steps(*colours))


def success(kind: Kind) -> stat.Panel:
    """Return the share of what ended well."""
    good = f'{s.LABEL_OUTCOME}="ok"'
    return (
        tile(
            "Success",
            f"Share of the {kind.noun}s of the chosen time that ended well",
            metric(share(kind.ends(good), kind.ends()), instant=True),
        )
        .unit("percentunit")
        .decimals(1)
        .no_value("none ended")
        .mappings([NONE_ENDED])
        .thresholds(steps((None, ERROR), (1 - FAILING, WARNING), (0.95, GOOD)))
    )


def latency(kind: Kind) -> stat.Panel:
    """Return how long the usual one takes, and a slow one."""
    return (
        tile(
            "Duration",
            f"Half of the {kind.noun}s in the chosen time were faster than p50, 95 of 100 faster than p95",
            metric(kind.quantile(0.5), legend="p50", instant=True),
            metric(kind.quantile(0.95), legend="p95", instant=True, ref="B"),
        )
        .unit("s")
        .decimals(1)
        .no_value("none ended")
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(TITLES)
        .thresholds(steps(*BLUE))
    )


def running(kind: Kind) -> stat.Panel:
    """Return how many run now, and for how long the oldest has."""
    oldest = f"time() - min({kind.of(kind.oldest)} > 0)"
    return overriding(
        tile(
            "Running now",
            f"How many {kind.noun}s run, and for how long the oldest of them has been running: one that stays is stuck",
            metric(f"sum({kind.of(kind.running)}) or vector(0)", legend="running", instant=True),
            metric(f"{oldest} or vector(0)", legend="oldest", instant=True, ref="B"),
        )
        .unit("none")
        .decimals(0)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(TITLES)
        .thresholds(steps(*BLUE)),
        [
            set_by(
                "byName",
                "oldest",
                unit="s",
                decimals=0,
                thresholds=steps((None, SERIES[0]), (STUCK_S / 3, WARNING), (STUCK_S, ERROR)).build(),
            )
        ],
    )


def last_event(kind: Kind) -> stat.Panel:
    """Return how long ago anything was written."""
    return (
        tile(
            "Last event",
            "Time since the newest row of any database: what has stopped shows here first",
            metric(f"floor(time() - {kind.last})", instant=True),
        )
        .unit("dtdurations")
        .decimals(0)
        .no_value("none in 7 days")
        .thresholds(steps((None, GOOD), (3600, CALM), (86_400, WARNING)))
    )


def over_time(kind: Kind, title: str) -> timeseries.Panel:
    """Return what ended when, whose and how: exact counts, stacked; what did not end well stands out."""
    ended = counted(kind.ends(), "$__interval", by=f"{kind.name}, {s.LABEL_OUTCOME}")
    shown = bars(
        title,
        f"How many {kind.noun}s ended when, whose they were and how they ended: well upwards, else downwards. A bar is "
        "15 seconds or more",
        metric(f"{ended} > 0", legend=f"{{{{{kind.name}}}}} {{{{{s.LABEL_OUTCOME}}}}}"),
        points=80,
        downwards=True,
    )
    colours = {"error": ERROR, "unfinished": WARNING}
    return overriding(
        shown.no_value(kind.empty),
        [
            set_by("byRegexp", f"/ {outcome}$/", color=fixed(colour).value, custom__transform="negative-Y")
            for outcome, colour in colours.items()
        ],
    )


def durations(kind: Kind, title: str) -> heatmap.Panel:
    """Return a heatmap of how long they took."""
    buckets = counted(kind.of(f"{kind.duration.prometheus}_bucket"), "$__interval", by="le")
    return (
        heat(
            title,
            f"The brighter, the more {kind.noun}s took that long",
            metric(buckets, legend="{{le}}", heatmap=True),
        )
        .unit("short")
        .decimals(0)
        .max_data_points(100)
        .y_axis(heatmap_builders.YAxisConfig().unit("s"))
        .cell_values(heatmap_builders.CellValues().unit("short"))
        .filter_values(heatmap_builders.FilterValueRange().le(1e-9))
        .no_value("none ended in this time")
    )


def slow_ones(kind: Kind, title: str, column: str) -> table.Panel:
    """Return the slowest, a row each."""
    return searches.found(
        title,
        f"The {kind.noun}s of the chosen time that took longest, some {searches.SLOWEST} of them. A click on the name "
        "leads to its trace or its lines; a click on the trace opens Explore",
        kind.spans(ENDED_SPANS, "duration > ${slower}s"),
        sorted_by=searches.DURATION,
        what=kind.noun,
        column=column,
        named=kind.title,
        slow_ms=(60_000, 600_000),
    )


def failed_ones(kind: Kind, title: str, column: str) -> table.Panel:
    """Return those that failed, a row each."""
    return searches.found(
        title,
        f"At most {searches.LISTED} {kind.noun}s that failed or never ended, newest first; with the same links",
        kind.spans(FAILED_SPANS),
        sorted_by=searches.START,
        what=kind.noun,
        column=column,
        named=kind.title,
        slow_ms=(60_000, 600_000),
    )


def activity(kind: Kind, title: str) -> log_builders.Panel:
    """Return the newest lines."""
    return log_lines(
        title,
        f"Every {kind.noun} that ended, as it comes, without private words; open a line for the way to its trace",
        logs(kind.lines, limit=100),
    )
