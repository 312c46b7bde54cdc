"""Traces: which calls were slow, which failed, and the way from each to its trace and its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders.dashboard import Row
from grafana_foundation_sdk.models.dashboard import GridPos, Panel

from dashgen import frame, searches, speed
from dashgen.panels import at, log_lines
from dashgen.queries import AGENTS_LINES, HOST_SPANS, SERVED_TOOL, TEMPO, logs, quantile, traces
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table
    from grafana_foundation_sdk.builders.dashboard import QueryVariable
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, RowPanel

# Calls by MCP only: agents and flows have pages of their own.
CHOSEN_SPANS: Final = (
    f'span.{s.MCP_METHOD_NAME} = "{s.METHOD_TOOLS_CALL}" && '
    f'resource.{s.SERVICE_INSTANCE_ID} =~ "${{instance:regex}}" && {HOST_SPANS} && '
    f"span.{s.GEN_AI_TOOL_NAME} =~ `${{tool:regex}}`"
)
# Calls that never ended are no slow ones: their duration is how long they were waited for.
ENDED: Final = f'span.{s.OUTCOME} != "unfinished"'
SLOW_SPANS: Final = f"{{ {CHOSEN_SPANS} && {ENDED} && duration > ${{slower}}s }} {searches.NEWEST_FIRST}"
FAILED_SPANS: Final = f"{{ {CHOSEN_SPANS} && status = error }} {searches.NEWEST_FIRST}"


def slower() -> QueryVariable:
    """Return the choice of what is a slow call."""
    return searches.slower(speed.DURATIONS, lambda rank: quantile(rank, "$__range", SERVED_TOOL))


def _found(title: str, text: str, traceql: str, sorted_by: str) -> table.Panel:
    return searches.found(
        title,
        text,
        traceql,
        sorted_by=sorted_by,
        what="call",
        column="Tool",
        named=f"^.*{s.METHOD_TOOLS_CALL} (.*)$",
        keep=(("instance", "tool"), ("instance",)),
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
                f"At most {searches.LISTED} calls that took longer than what is chosen above as slow, slowest first. A "
                "click on the call leads to its trace or its lines; a click on the trace opens Explore",
                SLOW_SPANS,
                searches.DURATION,
            ),
        ),
        at(
            12,
            6,
            12,
            11,
            _found(
                "Failed calls",
                f"At most {searches.LISTED} calls that failed or never ended, newest first; with the same links",
                FAILED_SPANS,
                searches.START,
            ),
        ),
    ]


def one_call() -> Builder[RowPanel]:
    """Return what is shown of one call; folded up, for without an id there is nothing to ask for."""
    trace = Panel(
        id_val=frame.TRACE_PANEL,
        type_val="traces",
        title="Trace",
        description="One call, execution or run as a trace; a call with the feeling at its end and its lines",
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
            "The lines of this trace",
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
        variables=[frame.host(), frame.instance(), frame.tool(), slower(), frame.trace()],
        since="now-1h",
        refresh="30s",
        annotated=False,
    )
