"""Traces: which calls were slow, which failed, and the way from each to its trace and its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders.dashboard import QueryVariable, Row
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    GridPos,
    Panel,
    RegexMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
)

from dashgen import frame
from dashgen.colours import ERROR, GOOD, SERIES, WARNING, steps
from dashgen.panels import (
    at,
    bars,
    columns,
    lines,
    link,
    log_lines,
    most_first,
    overriding,
    rows,
    set_by,
    tile,
    transformed,
)
from dashgen.queries import (
    AGENTS_LINES,
    CHOSEN,
    CHOSEN_TOOL,
    FAILED,
    PROMETHEUS,
    SERVED_TOOL,
    TEMPO,
    counted,
    label,
    logs,
    metric,
    of,
    quantile,
    share,
    traces,
)
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, RowPanel

CALLS: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL)
FAILURES: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL, FAILED)
DURATIONS: Final = of(f"{c.OPERATION_DURATION.prometheus}_count", CHOSEN, SERVED_TOOL)
BY_TOOL: Final = label(s.GEN_AI_TOOL_NAME)
ERROR_TYPE: Final = label(s.ERROR_TYPE)

SLOWEST: Final = 50
LISTED: Final = 200
CHOSEN_SPANS: Final = (
    f'resource.{s.SERVICE_INSTANCE_ID} =~ "${{instance:regex}}" && span.{s.GEN_AI_TOOL_NAME} =~ "${{tool:regex}}"'
)
# Calls that never ended are no slow ones: their duration is how long they were waited for.
ENDED: Final = f'span.{s.OUTCOME} != "unfinished"'
NEWEST_FIRST: Final = "with (most_recent=true)"
SLOW_SPANS: Final = f"{{ {CHOSEN_SPANS} && {ENDED} && duration > ${{slower}}s }} {NEWEST_FIRST}"
# Fields by their own names: so those of each trace's spans, which 9.4 would fold in below, are left out.
RAW: Final = ["startTime", "traceName", "traceDuration", "traceID"]
# 9.4 puts the service's name before the span's, newer ones do not.
TOOL_ALONE: Final = RegexMap(
    options=DashboardRegexMapOptions(
        pattern=f"/^.*{s.METHOD_TOOLS_CALL} (.*)$/", result=ValueMappingResult(text="$1", index=0)
    )
)
FAILED_SPANS: Final = f"{{ {CHOSEN_SPANS} && status = error }} {NEWEST_FIRST}"


def slower() -> QueryVariable:
    """Return the choice of what is slow, as seconds asked of the histogram: TraceQL itself can't sort."""
    rare = f"scalar(clamp_min(1 - {SLOWEST} / {counted(DURATIONS)}, 0))"
    choices = {
        f"the {SLOWEST} slowest": f"0.8 * {quantile(rare, '$__range', SERVED_TOOL)}",
        "1 of 100": quantile(0.99, "$__range", SERVED_TOOL),
        "1 of 20": quantile(0.95, "$__range", SERVED_TOOL),
        "1 of 2": quantile(0.5, "$__range", SERVED_TOOL),
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


def how_fast() -> list[Builder[Panel]]:
    """Return calls in numbers."""
    slowest = quantile(0.95, "$__range", SERVED_TOOL, by=BY_TOOL).replace(" anchored", " anchored @ end()")
    return [
        at(
            0,
            0,
            3,
            3,
            tile("Calls", "Calls that ended in the chosen time", metric(f"{counted(CALLS)} or vector(0)", instant=True))
            .unit("locale")
            .decimals(0)
            .thresholds(steps((None, SERIES[0]))),
        ),
        at(
            3,
            0,
            3,
            3,
            tile(
                "Failed",
                "Share of them that failed or never ended",
                metric(share(FAILURES, CALLS), instant=True),
            )
            .unit("percentunit")
            .decimals(1)
            .no_value("no calls")
            .thresholds(steps((None, GOOD), (0.05, WARNING), (0.2, ERROR))),
        ),
        at(
            0,
            3,
            3,
            3,
            tile(
                "p50",
                "Half of the calls took less",
                metric(quantile(0.5, "$__range", SERVED_TOOL), instant=True),
            )
            .unit("s")
            .decimals(1)
            .no_value("no calls")
            .thresholds(steps((None, GOOD), (5, WARNING), (15, ERROR))),
        ),
        at(
            3,
            3,
            3,
            3,
            tile(
                "p95",
                "19 of 20 calls took less",
                metric(quantile(0.95, "$__range", SERVED_TOOL), instant=True),
            )
            .unit("s")
            .decimals(1)
            .no_value("no calls")
            .thresholds(steps((None, GOOD), (5, WARNING), (15, ERROR))),
        ),
        at(
            6,
            0,
            10,
            6,
            lines(
                "The slowest tools",
                "p95 of five minutes each, of the five tools that were slowest in the chosen time: 19 of 20 calls took "
                "less. The table below has all tools",
                metric(
                    f"{quantile(0.95, '5m', SERVED_TOOL, by=BY_TOOL)} and on ({BY_TOOL}) topk(5, {slowest} > 0)",
                    legend=f"{{{{{BY_TOOL}}}}}",
                ),
            )
            .unit("s")
            .min(0)
            .max_data_points(200)
            .show_points(common.VisibilityMode.AUTO)
            .no_value("no calls"),
        ),
        at(
            16,
            0,
            8,
            6,
            bars(
                "Failed calls by tool",
                "Calls that failed or never ended, when. A bar is at least 15 seconds",
                metric(f"{counted(FAILURES, '$__interval', by=s.TOOL)} > 0", legend=f"{{{{{s.TOOL}}}}}"),
                points=60,
            ).no_value("none failed"),
        ),
    ]


def _found(title: str, text: str, traceql: str, sorted_by: str) -> table.Panel:
    to_lines = link(
        "The lines of this call", frame.LOGS, variables="var-trace=${__data.fields.traceID}", keep=["instance"]
    )
    to_trace = link(
        "The trace of this call",
        frame.TRACES,
        variables=f"{frame.ONE_TRACE}${{__data.fields.traceID}}",
        keep=["instance", "tool"],
    )
    # Steps of a transformation go by the names that are shown.
    shown = {"Start time": "Start", "Name": "Tool", "Duration": "Duration", "Trace ID": "Trace"}
    return overriding(
        rows(title, text, traces(traceql, limit=LISTED))
        .datasource(TEMPO)
        .no_value("no such call in this time")
        .with_transformation(transformed("filterFieldsByName", include={"names": RAW}))
        .with_transformation(most_first(sorted_by))
        .with_transformation(columns(shown)),
        [
            set_by("byName", "Start", custom__width=160),
            set_by("byName", "Tool", links=[to_trace.build(), to_lines.build()], mappings=[TOOL_ALONE]),
            set_by(
                "byName",
                "Duration",
                custom__width=110,
                unit="ms",
                noValue="below 1 ms",
                custom__displayMode="color-text",
                thresholds=steps((None, GOOD), (5000, WARNING), (15000, ERROR)).build(),
            ),
            set_by("byName", "Trace", custom__width=120),
        ],
    )


def which_calls() -> list[Builder[Panel]]:
    """Return calls one by one."""
    return [
        at(
            0,
            6,
            12,
            11,
            _found(
                "Slow calls",
                f"At most {LISTED} calls that took longer than what is chosen above as slow, slowest first. A click on "
                "the call leads to its trace or its lines; a click on the trace opens Explore",
                SLOW_SPANS,
                "Duration",
            ),
        ),
        at(
            12,
            6,
            12,
            11,
            _found(
                "Failed calls",
                f"At most {LISTED} calls that failed or never ended, newest first; with the same links",
                FAILED_SPANS,
                "Start time",
            ),
        ),
    ]


def by_tool() -> list[Builder[Panel]]:
    """Return the same tool by tool, and why calls fail."""
    tool = "${__data.fields.tool}"
    to_history = link("History of this tool", frame.HISTORY, variables=f"var-tool={tool}", keep=["instance"])
    only_it = link("Calls of this tool", frame.TRACES, variables=f"var-tool={tool}", keep=["instance"])
    named = f'label_replace({{}}, "{s.TOOL}", "$1", "{BY_TOOL}", "(.*)")'

    def slow(fraction: float) -> str:
        found = quantile(fraction, "$__range", SERVED_TOOL, by=BY_TOOL)
        return f"max by ({s.TOOL}) ({named.format(found)})"

    shown = {
        s.TOOL: "Tool",
        "Value #A": "Calls",
        "Value #B": "Failed",
        "Value #C": "Share failed",
        "Value #D": "p50",
        "Value #E": "p95",
    }
    failed = f"{counted(FAILURES, by=s.TOOL)}"
    calls = f"({counted(CALLS, by=s.TOOL)} > 0)"
    latency = {"unit": "s", "decimals": 1, "custom__width": 90, "noValue": "-"}
    return [
        at(
            0,
            17,
            14,
            11,
            overriding(
                rows(
                    "By tool",
                    "How often each tool was called, failed, and how long it took; a click leads on",
                    metric(calls, table=True, instant=True),
                    metric(f"{failed} > 0", table=True, instant=True, ref="B"),
                    metric(f"{failed} / {calls} > 0", table=True, instant=True, ref="C"),
                    metric(slow(0.5), table=True, instant=True, ref="D"),
                    metric(slow(0.95), table=True, instant=True, ref="E"),
                )
                .no_value("no calls in this time; where nothing was ever read, `egoscope doctor` tells why")
                .with_transformation(transformed("merge"))
                .with_transformation(most_first("Value #A"))
                .with_transformation(columns(shown))
                .unit("locale")
                .decimals(0),
                [
                    set_by("byName", "Tool", links=[only_it.build(), to_history.build()]),
                    set_by("byName", "Calls", custom__displayMode="gradient-gauge", min=0),
                    set_by("byName", "Failed", custom__width=80, noValue="-"),
                    set_by(
                        "byName",
                        "Share failed",
                        custom__width=100,
                        unit="percentunit",
                        decimals=1,
                        noValue="-",
                        custom__displayMode="color-text",
                        thresholds=steps((None, GOOD), (0.05, WARNING), (0.2, ERROR)).build(),
                    ),
                    set_by("byName", "p50", **latency),
                    set_by("byName", "p95", **latency),
                ],
            ),
        ),
        at(
            14,
            17,
            10,
            11,
            overriding(
                rows(
                    "Why calls fail",
                    "What kind of error ended the calls of each tool: the exception's type, never its text. Calls "
                    "that never ended are not counted here",
                    metric(
                        counted(
                            of(f"{c.OPERATION_DURATION.prometheus}_count", CHOSEN, SERVED_TOOL, f'{ERROR_TYPE}!=""'),
                            by=f"{BY_TOOL}, {ERROR_TYPE}",
                        )
                        + " > 0",
                        table=True,
                        instant=True,
                    ),
                )
                .with_transformation(most_first())
                .with_transformation(columns({ERROR_TYPE: "Error", BY_TOOL: "Tool", "Value": "Calls"}))
                .no_value("none failed")
                .unit("locale")
                .decimals(0),
                [set_by("byName", "Calls", custom__width=80)],
            ),
        ),
    ]


def one_call() -> Builder[RowPanel]:
    """Return what is shown of one call; folded up, for without an id there is nothing to ask for."""
    trace = Panel(
        id_val=frame.TRACE_PANEL,
        type_val="traces",
        title="Trace",
        description="One call as a trace: its span with the feeling at its end, and the lines written meanwhile",
        datasource=TEMPO,
        targets=[traces("$trace").build()],
        grid_pos=GridPos(x=0, y=29, w=24, h=12),
    )
    said = at(
        0,
        41,
        24,
        8,
        log_lines(
            "Its lines",
            "The lines of this call",
            logs(f"{AGENTS_LINES} | trace_id=~`0*${{trace:regex}}`", limit=200),
        )
        .no_value("no line has this trace id in the chosen time")
        .id(frame.TRACE_PANEL + 1),
    )
    row = Row("The call whose id stands above under Trace").grid_pos(GridPos(x=0, y=28, w=24, h=1)).with_panel(said)
    row.build().panels.insert(0, trace)
    return row


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return frame.dashboard(
        frame.TRACES,
        "Traces",
        "Which calls were slow, which failed and why, and the way to their traces and lines.",
        [*how_fast(), *which_calls(), *by_tool(), one_call()],
        variables=[frame.instance(), frame.tool(), slower(), frame.trace()],
        since="now-1h",
        refresh="30s",
        annotated=False,
    )
