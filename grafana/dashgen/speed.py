"""How often and how fast, tool by tool, and why calls fail: the numbers of Traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models import common

from dashgen import frame
from dashgen.colours import ERROR, GOOD, SERIES, TOOLS, WARNING, by_name, steps
from dashgen.panels import at, bars, columns, lines, link, most_first, overriding, rows, set_by, tile, transformed
from dashgen.queries import (
    CHOSEN,
    CHOSEN_TOOL,
    FAILED,
    SERVED_TOOL,
    counted,
    label,
    metric,
    of,
    quantile,
    share,
)
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Panel

CALLS: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL)
FAILURES: Final = of(c.CALLS, CHOSEN, CHOSEN_TOOL, FAILED)
DURATIONS: Final = of(f"{c.OPERATION_DURATION.prometheus}_count", CHOSEN, SERVED_TOOL)
BY_TOOL: Final = label(s.GEN_AI_TOOL_NAME)
ERROR_TYPE: Final = label(s.ERROR_TYPE)


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
            overriding(
                lines(
                    "The slowest tools",
                    "p95 of five minutes each, of the five tools that were slowest in the chosen time: 19 of 20 calls "
                    "took less. The table below has all tools",
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
                by_name(TOOLS),
            ),
        ),
        at(
            16,
            0,
            8,
            6,
            overriding(
                bars(
                    "Failed calls by tool",
                    "Calls that failed or never ended, when. A bar is at least 15 seconds",
                    metric(f"{counted(FAILURES, '$__interval', by=s.TOOL)} > 0", legend=f"{{{{{s.TOOL}}}}}"),
                    points=60,
                ).no_value("none failed"),
                by_name(TOOLS),
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
