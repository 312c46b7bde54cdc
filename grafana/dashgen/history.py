"""History: what the agent used, how fast that was, what it felt and wanted, and how it stands with people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import heatmap as heatmap_builders
from grafana_foundation_sdk.builders import piechart as piechart_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.piechart import PieChartLegendValues

from dashgen import frame
from dashgen.colours import ERROR, GOOD, OUTCOMES, SERIES, TOOLS, WARNING, by_name, steps
from dashgen.history_feeling import desires, feeling, people
from dashgen.panels import (
    at,
    bars,
    heading,
    heat,
    legend,
    lines,
    link,
    overriding,
    pie,
    rows,
    set_by,
    tile,
    transformed,
)
from dashgen.queries import (
    CHOSEN,
    CHOSEN_TOOL,
    FAILED,
    SERVED_TOOL,
    SPAN_DURATION,
    counted,
    label,
    metric,
    of,
    quantile,
    share,
)
from dashgen.states import whole_range
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table
    from grafana_foundation_sdk.builders.dashboard import DashboardLink, Row
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

CALLS: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL)
FAILURES: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL, FAILED)
ERRED: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL, f'{s.LABEL_OUTCOME}="error"')
LOST: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL, f'{s.LABEL_OUTCOME}="unfinished"')
SERVED_BY: Final = label(s.GEN_AI_TOOL_NAME)
BY_TOOL: Final = f"{{{{{s.TOOL}}}}}"
BY_OUTCOME: Final = f"{{{{{s.LABEL_OUTCOME}}}}}"
SLOW_S: Final = 5
BLUE: Final = ((None, SERIES[0]),)
QUANTILES: Final = {"p50": SERIES[0], "p95": SERIES[1], "p99": SERIES[6]}
EMPTY: Final = "No calls in this time: choose a longer one. Whether the log is read at all, Pipeline tells."
RATHER_NONE: Final = ((None, GOOD), (1, WARNING))


def _calls_of(tool: str) -> DashboardLink:
    return link("The calls of this tool", frame.TRACES, variables=f"var-tool=${{{tool}}}", keep=("instance",))


def _total(title: str, text: str, expression: str, steps_: tuple[tuple[float | None, str], ...] = BLUE) -> stat.Panel:
    return (
        tile(title, text, metric(f"{expression} or vector(0)", instant=True))
        .unit("none")  # a count is shown as it is, not as 3 K
        .decimals(0)
        .thresholds(steps(*steps_))
    )


def totals(y: int) -> list[Builder[Panel]]:
    """Return the counts of the whole range."""
    starts = counted(of(c.PROCESS_STARTS, CHOSEN))
    erring = (
        tile("Errors", "Share of the calls that failed or never ended", metric(share(FAILURES, CALLS), instant=True))
        .unit("percentunit")
        .decimals(1)
        .no_value("no calls")
        .thresholds(steps((None, GOOD), (0.05, WARNING), (0.2, ERROR)))
        .data_links([link("The failed calls", frame.TRACES)])
    )
    tiles = (
        _total("Calls", "Calls that ended in the chosen time: exactly as many as the log has", counted(CALLS)),
        _total("Failed", "Calls that ended with an error", counted(ERRED), RATHER_NONE),
        _total("Never ended", "Calls without an end 15 minutes after they began", counted(LOST), RATHER_NONE),
        erring,
        _total("Tools used", "How many different tools were called", f"count({counted(CALLS, by=s.TOOL)} > 0)"),
        _total("Process starts", "How often the agent's process was started", starts),
    )
    return [at(4 * place, y, 4, 3, one) for place, one in enumerate(tiles)]


def use(y: int) -> list[Builder[Panel]]:
    """Return what was used: in numbers, over time, by tool."""
    return [*totals(y), *tools(y + 3)]


def tools(y: int) -> list[Builder[Panel]]:
    """Return which tools were used when, and how often."""
    used = bars(
        "Tool usage",
        "Calls by tool over time, one upon the other, coloured as in the ring beside; exact counts stand below",
        metric(f"{counted(CALLS, '$__interval', by=s.TOOL)} > 0", legend=BY_TOOL),
        points=120,
    )
    shares = pie(
        "Share by tool",
        "Each tool's share of all calls of the chosen time",
        metric(f"sort_desc({counted(CALLS, by=s.TOOL)} > 0)", legend=BY_TOOL, instant=True),
    )
    percents = (
        piechart_builders.PieChartLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.RIGHT)
        .values([PieChartLegendValues.PERCENT])
    )
    endings = bars(
        "How calls ended",
        "Calls that failed (error) or had no end within 15 minutes (unfinished), over time",
        metric(f"{counted(FAILURES, '$__interval', by=s.LABEL_OUTCOME)} > 0", legend=BY_OUTCOME),
        points=80,
    )
    coloured = by_name(TOOLS)
    linked = _calls_of("__field.labels.tool")
    return [
        at(0, y, 16, 9, overriding(used.legend(legend(shown=False)).data_links([linked]), coloured)),
        at(
            16,
            y,
            8,
            9,
            overriding(
                shares.unit("short").decimals(0).no_value("no calls").legend(percents).data_links([linked]),
                coloured,
            ),
        ),
        at(0, y + 9, 16, 10, each_tool()),
        at(16, y + 9, 8, 10, overriding(endings.legend(legend()), by_name(OUTCOMES))),
    ]


def _by_tool(fraction: float) -> str:
    """Return a quantile of durations by tool, under the label that counts of calls have."""
    durations = quantile(fraction, "$__range", SERVED_TOOL, by=SERVED_BY)
    return f'max by ({s.TOOL}) (label_replace({durations}, "{s.TOOL}", "$1", "{SERVED_BY}", "(.*)"))'


def each_tool() -> table.Panel:
    """Return a table of the whole range: one row a tool."""
    every = f"{counted(CALLS, by=s.TOOL)} > 0"
    columns = {
        "Calls": every,
        "Failed": f"{counted(ERRED, by=s.TOOL)} or 0 * ({every})",
        "Never ended": f"{counted(LOST, by=s.TOOL)} or 0 * ({every})",
        "Errors": f"({counted(FAILURES, by=s.TOOL)} or 0 * ({every})) / ({every})",
        "Share": f"({every}) / scalar({counted(CALLS)})",
        "p50": _by_tool(0.5),
        "p95": _by_tool(0.95),
    }
    letters = dict(zip("ABCDEFG", columns, strict=True))
    places = {s.TOOL: 0} | {f"Value #{letter}": place for place, letter in enumerate(letters, start=1)}
    names = {s.TOOL: "Tool"} | {f"Value #{letter}": name for letter, name in letters.items()}
    panel = rows(
        "Each tool",
        "Calls of the chosen time by tool, exactly as many as the log has; p50: half were faster, p95: 95 of 100 were",
        *(metric(columns[name], ref=letter, instant=True, table=True) for letter, name in letters.items()),
    )
    slow = {"mode": "absolute", "steps": [{"color": "text", "value": None}, {"color": WARNING, "value": SLOW_S}]}
    erring = {"mode": "absolute", "steps": [{"color": "text", "value": None}, {"color": ERROR, "value": 0.2}]}
    overrides = [
        set_by("byName", "Tool", links=[_calls_of("__value.text").build()], custom__minWidth=165),
        set_by("byName", "Errors", unit="percentunit", decimals=1, thresholds=erring, custom__displayMode="color-text"),
        set_by("byName", "Never ended", custom__minWidth=110),
        set_by(
            "byName",
            "Share",
            unit="percentunit",
            decimals=1,
            min=0,
            max=1,
            thresholds={"mode": "absolute", "steps": [{"color": SERIES[0], "value": None}]},
            custom__displayMode="basic",
            custom__minWidth=115,
        ),
        set_by(
            "byRegexp",
            "/^p[0-9]+$/",
            custom__minWidth=85,
            noValue="-",
            unit="s",
            decimals=1,
            thresholds=slow,
            custom__displayMode="color-text",
        ),
    ]
    return overriding(
        panel.unit("none")
        .decimals(0)
        .min_width(60)
        .no_value(EMPTY)
        .with_transformation(transformed("merge"))
        .with_transformation(
            transformed("organize", excludeByName={"Time": True}, indexByName=places, renameByName=names)
        )
        .sort_by([common_builders.TableSortByFieldState().display_name("Calls").desc(True)]),
        overrides,
    )


def speed(y: int) -> list[Builder[Panel]]:
    """Return how long calls took."""
    buckets = counted(of(f"{c.OPERATION_DURATION.prometheus}_bucket", CHOSEN, SERVED_TOOL), "$__interval", by="le")
    # An exemplar is drawn in the bucket of its own `le`, and what is scraped says 1.0 where OTLP says 1.
    buckets = f'label_replace({buckets}, "le", "$1.0", "le", "([0-9]+)")'
    # Asked for its exemplars only: below zero it has no series of its own. A call that never ended took no time.
    ended = f'{label(s.ERROR_TYPE)}!="timeout"'
    # The agents' and flows' spans are no calls.
    served = f'span_name=~"{s.METHOD_TOOLS_CALL} .+"'
    traced = f"{of(f'{SPAN_DURATION}_bucket', served, SERVED_TOOL, ended)} < 0"
    heatmap = (
        heat(
            "Durations of calls",
            "The brighter, the more calls took that long; each dot is one call and leads to its trace",
            metric(buckets, legend="{{le}}", heatmap=True),
            metric(traced, legend="one call", exemplars=True, ref="B"),
        )
        .unit("short")
        .decimals(0)
        .max_data_points(160)
        .y_axis(heatmap_builders.YAxisConfig().unit("s"))
        .cell_values(heatmap_builders.CellValues().unit("short"))
        .filter_values(heatmap_builders.FilterValueRange().le(1e-9))
        .exemplars_color("#FFFFFF")
    )
    fractions = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    quantiles = (
        lines(
            "Slow and usual calls",
            "Half of the calls were faster than p50, 95 of 100 faster than p95, 99 of 100 faster than p99",
            *(
                metric(quantile(fraction, "$__rate_interval", SERVED_TOOL), legend=name, ref=letter)
                for letter, (name, fraction) in zip("ABC", fractions.items(), strict=True)
            ),
        )
        .unit("s")
        .min(0)
        .max_data_points(160)
        .fill_opacity(0)
        .data_links([link("The slowest calls", frame.TRACES)])
    )
    return [at(0, y, 14, 9, heatmap), at(14, y, 10, 9, overriding(quantiles, by_name(QUANTILES)))]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    panels: list[Builder[Panel] | Row] = []
    y = 0
    for title, part in (
        ("Use", use),
        ("Speed", speed),
        ("Feeling", feeling),
        ("Desires", desires),
        ("People", people),
    ):
        drawn = part(y + 1)
        panels += [heading(y, title), *drawn]
        y = max(place.y + place.h for one in drawn if (place := one.build().grid_pos))
    return frame.dashboard(
        frame.HISTORY,
        "History",
        "What the agent used, how fast that was, what it felt and wanted, over any range.",
        panels,
        variables=[frame.host(), frame.instance(), frame.tool(), frame.person(), frame.utc_offset(), *whole_range()],
        since="now-24h",
        refresh="30s",
    )
