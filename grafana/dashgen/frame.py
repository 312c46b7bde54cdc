"""What all dashboards have in common: uid, links to the others, variables, annotations, refresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    QueryVariable,
    Row,
    TextBoxVariable,
    TimePicker,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard as BuiltDashboard,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashgen.colours import ERROR, GOOD, WARNING
from dashgen.queries import CHOSEN, FAILED, HOST, PROMETHEUS, counted, label, of, own
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import AnnotationQuery as BuiltAnnotation
    from grafana_foundation_sdk.models.dashboard import Panel, RowPanel, VariableModel

TAG: Final = "egoscope"
SCHEMA_VERSION: Final = 37
"""Grafana 9.4's: it shows a newer one as it is, without its migrations; Grafana 13 migrates this one."""

MOST_STARTS: Final = 20

# Grafana writes the refresh into the page's address and, when that is opened, takes one of these or the first: of its
# own list, which begins with 5 s, a page that refreshes every second would come back five times slower.
REFRESHES: Final = ("1s", "5s", "10s", "30s", "1m", "5m", "15m", "1h", "1d")

NOW: Final = "egoscope-now"
HISTORY: Final = "egoscope-history"
LOGS: Final = "egoscope-logs"
TRACES: Final = "egoscope-traces"
PRIVACY: Final = "egoscope-privacy"
PIPELINE: Final = "egoscope-pipeline"
AGENTS: Final = "egoscope-agents"
COST: Final = "egoscope-cost"
FLOWS: Final = "egoscope-flows"
WORKERS: Final = "egoscope-workers"
HOST_PAGE: Final = "egoscope-host"

TRACE_PANEL: Final = 100
"""Number of the panel on Traces that shows one trace: links open it alone."""
ONE_TRACE: Final = f"viewPanel={TRACE_PANEL}&var-trace="
"""What a link to Traces adds, before a trace's id."""


TARGETS: Final = "target_info"
"""Prometheus' own: a series for each instance that told anything, with all that its resource says."""


def chosen_from(name: str, label: str, text: str, definition: str) -> QueryVariable:
    """Return a choice of any of the values that a question gives, all of them at first."""
    return (
        QueryVariable(name)
        .label(label)
        .description(text)
        .datasource(PROMETHEUS)
        .query({"query": definition, "refId": name})
        .definition(definition)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def host() -> QueryVariable:
    """Return the choice of machines, the same everywhere: it goes along from one dashboard to the next."""
    query = f"label_values({TARGETS}, {label(s.HOST_NAME)})"
    return chosen_from("host", "Host", "Machines that have a name: see EGOSCOPE_HOST_NAME", query)


def instance() -> QueryVariable:
    """Return the choice of log files: each is an instance, with series and streams of its own."""
    query = f"label_values({of(c.LAST_EVENT, HOST)}, instance)"
    return chosen_from("instance", "Log file", "Every log file is an instance", query)


def tool() -> QueryVariable:
    """Return the choice of tools."""
    return chosen_from("tool", "Tool", "Tools that were called", f"label_values({of(c.CALLS, CHOSEN)}, {s.TOOL})")


def level() -> QueryVariable:
    """Return the choice of log levels."""
    query = f"label_values({of(c.LOG_LINES, CHOSEN)}, {s.LABEL_LEVEL})"
    return chosen_from("level", "Level", "Severity of a log line", query)


def logger() -> QueryVariable:
    """Return the choice of loggers."""
    query = f"label_values({of(c.LOG_LINES, CHOSEN)}, {s.LABEL_LOGGER})"
    return chosen_from("logger", "Logger", "What part of the agent wrote a line", query)


def person() -> QueryVariable:
    """Return the choice of people, by pseudonym."""
    query = f"label_values({of(c.TRUST, CHOSEN)}, {s.LABEL_PERSON})"
    return chosen_from("person", "Person", "Keyed pseudonyms: no name ever leaves the agent's machine", query)


def hidden(name: str, text: str, expression: str) -> QueryVariable:
    """Return a number that Prometheus is asked for at each choice of a time, for queries to use; never shown."""
    query = f"query_result({expression})"
    return (
        QueryVariable(name)
        .description(text)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": name})
        .definition(query)
        .regex(r"/\} (\d+)/")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(VariableHide.HIDE_VARIABLE)
    )


def utc_offset() -> QueryVariable:
    """Return the agent's distance from UTC in seconds, asked of the sidecar once; it can be negative."""
    ahead = "Seconds that the agent's local time is ahead of UTC"
    return (
        hidden("utc_offset", ahead, f"max({own(c.UTC_OFFSET)}) or vector(0)")
        .regex(r"/\} (-?\d+)/")
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .current(VariableOption(selected=True, text="0", value="0"))
    )


def search() -> TextBoxVariable:
    """Return a field for a text to search log lines for."""
    return (
        TextBoxVariable("search")
        .label("Contains")
        .description("Only lines that contain this, in any case")
        .default_value("")
    )


def trace() -> TextBoxVariable:
    """Return a field for a trace id: one call."""
    return TextBoxVariable("trace").label("Trace").description("Id of one call; links fill it in").default_value("")


def _annotation(name: str, colour: str, expression: str, title: str) -> AnnotationQuery:
    return (
        AnnotationQuery()
        .name(name)
        .datasource(PROMETHEUS)
        .enable(True)
        .hide(True)  # their switches would push the links to a second line, 1280 pixels being wide
        .icon_color(colour)
        .expr(expression)
        .step("15s")
        .title_format(title)
        .text_format("")
        .tag_keys("")
    )


def marks() -> list[Builder[BuiltAnnotation]]:
    """Return what is marked on every graph: starts of the process, bursts of failures, alerts."""
    started = of(c.PROCESS_STARTS, CHOSEN)
    starts = f"{counted(started, '$__interval')} > 0"
    # Where there are many, their lines would hide what they are drawn on.
    few = f"sum (increase({started}[$__range] anchored @ end())) <= {MOST_STARTS}"
    failed = of(c.CALLS, CHOSEN, FAILED)
    # Where they begin, not every step of them.
    fires = 'ALERTS{alertstate="firing"}'
    burst = f"{counted(failed, '5m')} >= 5 unless sum (increase({failed}[5m] anchored offset $__interval)) >= 5"
    return [
        _annotation("Process starts", GOOD, f"{starts} and on () ({few})", "The agent's process started"),
        _annotation("Failure bursts", WARNING, burst, "Five or more calls failed within five minutes"),
        _annotation("Alerts", ERROR, f"{fires} unless {fires} offset $__interval", "{{alertname}}"),
    ]


def dashboard(
    uid: str,
    title: str,
    text: str,
    panels: Sequence[Builder[Panel] | Builder[RowPanel]],
    *,
    variables: Sequence[Builder[VariableModel]] = (),
    since: str = "now-30m",
    refresh: str = "5s",
    annotated: bool = True,
) -> BuiltDashboard:
    """Return a whole dashboard; panels are numbered in the order given, a row is a panel among the others.

    Panels that a row has of its own are folded up with it and ask nothing until it is opened. They keep their numbers.
    """
    frame = (
        Dashboard(title)
        .uid(uid)
        .description(f"{text} Generated by grafana/dashgen: do not edit.")
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .timezone("browser")
        .time(since, "now")
        .refresh(refresh)
        .timepicker(TimePicker().refresh_intervals(list(REFRESHES)))
        .variables(list(variables))
        .annotations(marks() if annotated else [])
        .link(
            # One for all: side by side, 1280 pixels being wide, they would take a second line.
            DashboardLink("Dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for number, panel in enumerate(panels, start=1):
        built = panel.build()
        built.id_val = number
        if isinstance(panel, Row):
            frame.with_row(panel)
        else:
            frame.with_panel(cast("Builder[Panel]", panel))
    whole = frame.build()
    whole.schema_version = SCHEMA_VERSION
    return whole
