"""Traces: which calls were slow, which failed, and the way from each to its trace and its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders.dashboard import QueryVariable, Row
from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    GridPos,
    Panel,
    RegexMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
)

from dashgen import frame, speed
from dashgen.colours import ERROR, GOOD, WARNING, steps
from dashgen.panels import (
    at,
    columns,
    link,
    log_lines,
    most_first,
    overriding,
    rows,
    set_by,
    transformed,
)
from dashgen.queries import (
    AGENTS_LINES,
    PROMETHEUS,
    SERVED_TOOL,
    TEMPO,
    counted,
    logs,
    quantile,
    traces,
)
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, RowPanel

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
    rare = f"scalar(clamp_min(1 - {SLOWEST} / {counted(speed.DURATIONS)}, 0))"
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
        [*speed.how_fast(), *which_calls(), *speed.by_tool(), one_call()],
        variables=[frame.instance(), frame.tool(), slower(), frame.trace()],
        since="now-1h",
        refresh="30s",
        annotated=False,
    )
