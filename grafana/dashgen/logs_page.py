"""Logs: the log as it comes, what is in it by level and logger, and from a line to its trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models import common

from dashgen import frame
from dashgen.colours import ERROR, LEVELS, QUIET, SERIES, WARNING, by_name, mapped, steps
from dashgen.panels import (
    at,
    bars,
    columns,
    link,
    log_lines,
    meters,
    most_first,
    overriding,
    rows,
    set_by,
    tile,
    transformed,
    words,
)
from dashgen.queries import AGENTS_LINES, CHOSEN, LOKI, counted, label, logs, metric, of
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

CHOSEN_LEVEL: Final = f'{s.LABEL_LEVEL}=~"$level"'
CHOSEN_LOGGER: Final = f'{s.LABEL_LOGGER}=~"$logger"'
LINES: Final = of(c.LOG_LINES, CHOSEN, CHOSEN_LEVEL, CHOSEN_LOGGER)

# A line that could not be read has no level; the counters call that one _OTHER, so it can be chosen here too.
SEVERITY: Final = f'label_format severity_text=`{{{{ or .severity_text "{s.OTHER}" }}}}`'
LEVEL_CHOSEN: Final = 'severity_text=~"$level"'
# A level of this very name is what Grafana 9.4 colours lines by; newer ones take it too.
LEVEL: Final = f"label_format {s.LEVEL}=severity_text"
LOGGER_CHOSEN: Final = f'{label(s.LOGGER)}=~"$logger"'
# In backquotes nothing that is typed needs a backslash but what means something in a pattern.
FOUND: Final = "|~ `(?i)${search:regex}`"
# Tempo writes ids without their leading zeros.
TRACE_CHOSEN: Final = "trace_id=~`0*${trace:regex}.*`"
TAIL: Final = f"{AGENTS_LINES} {FOUND} | {LOGGER_CHOSEN} | {TRACE_CHOSEN} | {SEVERITY} | {LEVEL_CHOSEN} | {LEVEL}"

EMPTY: Final = """
**Nothing above?** Widen the time or the filters. Where nothing was ever read, `egoscope doctor` tells why (with Docker:
`docker compose exec sidecar egoscope doctor`), and `make demo` plays a log to look at.
"""
SHOWN: Final = {
    "Time": "Time",
    s.LEVEL: "Level",
    label(s.GEN_AI_TOOL_NAME): "Tool",
    label(s.OUTCOME): "Outcome",
    "Line": "Line",
    "trace_id": "Trace",
}


def how_much() -> list[Builder[Panel]]:
    """Return counts: exact, for they come from counters."""

    def of_levels(levels: str) -> str:
        selector = of(c.LOG_LINES, CHOSEN, CHOSEN_LEVEL, CHOSEN_LOGGER, f'{s.LABEL_LEVEL}=~"{levels}"')
        return f"{counted(selector)} or vector(0)"

    minute = f"{counted(LINES, '1m')} or vector(0)"
    return [
        at(
            0,
            0,
            3,
            3,
            tile(
                "Lines",
                "Lines of the chosen log files, levels and loggers in the chosen time, exactly; rows of databases, "
                "which stand among the lines below too, are counted on Agents, Flows and Workers",
                metric(f"{counted(LINES)} or vector(0)", instant=True),
            )
            .unit("locale")
            .decimals(0)
            .thresholds(steps((None, SERIES[0]))),
        ),
        at(
            3,
            0,
            3,
            3,
            tile("Lines a minute", "Lines of the last minute", metric(minute))
            .unit("locale")
            .decimals(0)
            .graph_mode(common.BigValueGraphMode.AREA)
            .thresholds(steps((None, SERIES[0]))),
        ),
        at(
            0,
            3,
            3,
            3,
            tile(
                "Warnings",
                "Lines of level WARNING in the chosen time",
                metric(of_levels("WARN|WARNING"), instant=True),
            )
            .unit("locale")
            .decimals(0)
            .thresholds(steps((None, QUIET), (1, WARNING))),
        ),
        at(
            3,
            3,
            3,
            3,
            tile(
                "Errors",
                "Lines of level ERROR or CRITICAL in the chosen time",
                metric(of_levels("ERROR|CRITICAL|FATAL"), instant=True),
            )
            .unit("locale")
            .decimals(0)
            .thresholds(steps((None, QUIET), (1, ERROR))),
        ),
        at(
            6,
            0,
            11,
            6,
            overriding(
                bars(
                    "By level",
                    "How many lines were written when, by level. A bar is at least 15 seconds",
                    metric(f"{counted(LINES, '$__interval', by=s.LABEL_LEVEL)} > 0", legend=f"{{{{{s.LABEL_LEVEL}}}}}"),
                ).no_value("no lines"),
                by_name(LEVELS),
            ),
        ),
        at(
            17,
            0,
            7,
            6,
            meters(
                "By logger",
                "Which part of the agent wrote how many lines in the chosen time: the seven with the most",
                metric(
                    f"sort_desc(topk(7, {counted(LINES, by=s.LABEL_LOGGER)} > 0))",
                    legend=f"{{{{{s.LABEL_LOGGER}}}}}",
                    instant=True,
                ),
            )
            .unit("locale")
            .decimals(0)
            .min(0)
            .no_value("no lines")
            .thresholds(steps((None, SERIES[0]))),
        ),
    ]


def what_was_said() -> list[Builder[Panel]]:
    """Return the lines, and what to do where there are none: the logs panel itself can't say it."""
    to_trace = link(
        "The trace of this call", frame.TRACES, variables=f"{frame.ONE_TRACE}${{__value.raw}}", keep=["instance"]
    )
    return [
        at(
            0,
            6,
            24,
            15,
            log_lines(
                "Live",
                "Every line as it comes, newest first. Private lines, and all that no rule allows, read REDACTED: the "
                "words never left the agent's machine. Open a line for its attributes and the way to its trace",
                logs(TAIL, limit=300),
            ),
        ),
        at(
            0,
            21,
            24,
            12,
            overriding(
                rows(
                    "Lines of calls",
                    "The newest lines that belong to a call, with what the call was; a click on the trace leads to it",
                    logs(f'{TAIL} | trace_id!=""', limit=200),
                )
                .datasource(LOKI)
                .with_transformation(transformed("extractFields", source="labels"))
                .with_transformation(transformed("filterFieldsByName", include={"names": list(SHOWN)}))
                .with_transformation(most_first("Time"))
                .with_transformation(columns(SHOWN)),
                [
                    set_by("byName", "Time", custom__width=170, unit="dateTimeAsIso"),
                    set_by(
                        "byName",
                        "Level",
                        custom__width=90,
                        custom__displayMode="color-text",
                        mappings=[mapped(LEVELS)],
                    ),
                    set_by("byName", "Tool", custom__width=160),
                    set_by("byName", "Outcome", custom__width=90),
                    set_by("byName", "Trace", custom__width=280, links=[to_trace.build()]),
                ],
            ),
        ),
        at(0, 33, 24, 2, words("", EMPTY)),
    ]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return frame.dashboard(
        frame.LOGS,
        "Logs",
        "What was written: live, searched, by level and logger, and the way to the trace.",
        [*how_much(), *what_was_said()],
        variables=[frame.host(), frame.instance(), frame.level(), frame.logger(), frame.search(), frame.trace()],
        since="now-15m",
        refresh="1s",
        annotated=False,
    )
