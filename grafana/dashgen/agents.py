"""Agents: what runs, what ended and how, how long it took, and with which models and tools. Kagura's executions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashgen import frame, grids, runs
from dashgen.colours import ERROR, GOOD, WARNING, steps
from dashgen.grids import USD, grid
from dashgen.kinds import EXECUTIONS
from dashgen.panels import at, bars, heading, legend, link, set_by, words
from dashgen.queries import CHOSEN_AGENT, DATABASE, FAILED, counted, label, metric, of, quantile_of, relabelled
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table, timeseries
    from grafana_foundation_sdk.builders.dashboard import Row
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

AGENT_OF: Final = label(s.GEN_AI_AGENT_NAME)
MODEL_OF: Final = label(s.GEN_AI_REQUEST_MODEL)
TOOL_OF: Final = label(s.GEN_AI_TOOL_NAME)
TYPE_OF: Final = label(s.GEN_AI_TOKEN_TYPE)
# ego-mcp tells of its tools by the same metric.
BY_AGENT: Final = f'{EXECUTIONS.job}, {AGENT_OF}=~"$agent"'

COST: Final = of(c.COST, DATABASE, CHOSEN_AGENT)
MODEL_CALLS: Final = of(f"{c.MODEL_DURATION.prometheus}_count", DATABASE, BY_AGENT)
TOOL_CALLS: Final = of(f"{c.TOOL_DURATION.prometheus}_count", DATABASE, BY_AGENT)
WHAT_TO_DO: Final = """
**Nothing above?** This page shows Kagura's executions. Set `EGOSCOPE_KAGURA_PATH` to its `telemetry.db`, and
`egoscope doctor` tells whether it can be read. What agents cost stands on **Cost**, flows of illumo on **Flows**.
"""


def tokens(kind: str, *, by: str) -> str:
    """Return the tokens of the chosen time; `kind`: input or output."""
    return counted(of(f"{c.TOKENS.prometheus}_sum", DATABASE, BY_AGENT, f'{TYPE_OF}="{kind}"'), by=by)


def in_numbers() -> list[Builder[Panel]]:
    """Return the first row: is all well, and how much is there."""
    kind = EXECUTIONS
    errors = runs.number(
        "Failed",
        "Executions that ended with an error or never ended (given up a day after their start)",
        counted(kind.ends(FAILED)),
        ((None, GOOD), (1, WARNING)),
    )
    spent = (
        runs.number("Cost", "What the executions of the chosen time cost, where prices are known", counted(COST))
        .unit("currencyUSD")
        .decimals(2)
        .data_links([link("What costs how much", frame.COST, keep=("database", "agent"))])
    )
    return [
        at(0, 0, 4, 4, runs.verdict(kind, "Are they well?")),
        at(4, 0, 3, 4, runs.running(kind)),
        at(7, 0, 3, 4, runs.number("Executions", "Executions that ended, exactly", counted(kind.ends()))),
        at(10, 0, 2, 4, errors),
        at(12, 0, 3, 4, runs.success(kind)),
        at(15, 0, 4, 4, runs.latency(kind)),
        at(19, 0, 3, 4, runs.last_event(kind)),
        at(22, 0, 2, 4, spent),
    ]


def when() -> list[Builder[Panel]]:
    """Return executions over time, and one by one."""
    kind = EXECUTIONS
    return [
        at(0, 4, 14, 8, runs.over_time(kind, "Executions over time")),
        at(14, 4, 10, 8, runs.durations(kind, "Durations of executions")),
        at(0, 12, 12, 9, runs.slow_ones(kind, "Slow executions", "Agent")),
        at(12, 12, 12, 9, runs.failed_ones(kind, "Failed executions", "Agent")),
    ]


def each_agent() -> table.Panel:
    """Return a row for each agent."""
    kind = EXECUTIONS
    every = f"{counted(kind.ends(), by=s.AGENT)} > 0"
    good = kind.ends(f'{s.LABEL_OUTCOME}="ok"')
    named = {s.AGENT: AGENT_OF}
    unpriced = counted(of(c.COST_UNKNOWN, DATABASE, CHOSEN_AGENT), by=s.AGENT)
    questions = {
        "Executions": every,
        "Failed": f"{counted(kind.ends(FAILED), by=s.AGENT)} or 0 * ({every})",
        "Success": f"({counted(good, by=s.AGENT)} or 0 * ({every})) / ({every})",
        "p50": kind.quantile(0.5, by=s.AGENT),
        "p95": kind.quantile(0.95, by=s.AGENT),
        "Running": f"sum by ({s.AGENT}) ({kind.of(kind.running)}) or 0 * ({every})",
        "Model calls": relabelled(counted(MODEL_CALLS, by=AGENT_OF), **named),
        "Tool calls": relabelled(counted(TOOL_CALLS, by=AGENT_OF), **named),
        "Tokens in": relabelled(tokens(s.INPUT, by=AGENT_OF), **named),
        "Tokens out": relabelled(tokens(s.OUTPUT, by=AGENT_OF), **named),
        # Where a price is unknown and nothing else was spent there is no cost, else it is what it is or nothing.
        "Cost": f"{counted(COST, by=s.AGENT)} > 0 or 0 * (({every}) unless {unpriced} > 0)",
    }
    only_it = link("This agent alone", frame.AGENTS, variables="var-agent=${__value.text}", keep=("database",))
    its_cost = link("What this agent costs", frame.COST, variables="var-agent=${__value.text}", keep=("database",))
    well = steps((None, ERROR), (1 - runs.FAILING, WARNING), (0.95, "text")).build()
    return grid(
        "Each agent",
        "Executions of the chosen time by agent, exactly as many as the database has, and what they used",
        {s.AGENT: "Agent"},
        questions,
        [
            set_by("byName", "Agent", links=[only_it.build(), its_cost.build()], custom__minWidth=165),
            set_by(
                "byName", "Success", unit="percentunit", decimals=1, thresholds=well, custom__displayMode="color-text"
            ),
            set_by("byRegexp", "/^p[0-9]+$/", **grids.seconds(60)),
            set_by("byRegexp", "/^(Model calls|Tool calls|Tokens in|Tokens out)$/", unit="locale", custom__minWidth=95),
            set_by("byName", "Executions", custom__minWidth=110),
            set_by("byName", "Cost", noValue="price unknown", custom__minWidth=125, **USD),
        ],
        empty=EXECUTIONS.empty,
    )


def models() -> table.Panel:
    """Return a row for each model."""
    buckets = of(f"{c.MODEL_DURATION.prometheus}_bucket", DATABASE, BY_AGENT)
    calls = f"{counted(MODEL_CALLS, by=MODEL_OF)} > 0"
    dear = relabelled(counted(COST, by=s.MODEL), **{MODEL_OF: s.MODEL})
    return grid(
        "Models",
        "Which models were called, how often, how long a slow call took, and how many tokens go in and out a call",
        {MODEL_OF: "Model"},
        {
            "Calls": calls,
            "Share": f"({calls}) / scalar({counted(MODEL_CALLS)})",
            "p95": quantile_of(0.95, buckets, by=MODEL_OF),
            "In": f"{tokens(s.INPUT, by=MODEL_OF)} / ({calls})",
            "Out": f"{tokens(s.OUTPUT, by=MODEL_OF)} / ({calls})",
            "Cost": f"{dear} > 0",
        },
        [
            set_by("byName", "Model", custom__minWidth=225),
            set_by("byName", "Share", **grids.SHARE),
            set_by("byRegexp", "/^p[0-9]+$/", **grids.seconds(60)),
            set_by("byRegexp", "/^(In|Out)$/", unit="locale"),
            set_by("byName", "Cost", noValue="price unknown", custom__minWidth=125, **USD),
        ],
        empty=EXECUTIONS.empty,
    )


def tools() -> table.Panel:
    """Return a row for each tool."""
    buckets = of(f"{c.TOOL_DURATION.prometheus}_bucket", DATABASE, BY_AGENT)
    calls = f"{counted(TOOL_CALLS, by=TOOL_OF)} > 0"
    took = counted(of(f"{c.TOOL_DURATION.prometheus}_sum", DATABASE, BY_AGENT), by=TOOL_OF)
    return grid(
        "Tools",
        "Which tools were used, how often, and how much of the time they took",
        {TOOL_OF: "Tool"},
        {
            "Calls": calls,
            "Share": f"({calls}) / scalar({counted(TOOL_CALLS)})",
            "p95": quantile_of(0.95, buckets, by=TOOL_OF),
            "In all": took,
        },
        [
            set_by("byName", "Tool", custom__minWidth=125),
            set_by("byName", "Share", **grids.SHARE),
            set_by("byRegexp", "/^p[0-9]+$/", **grids.seconds(20)),
            set_by("byName", "In all", unit="s", decimals=1),
        ],
        empty=EXECUTIONS.empty,
    )


def memory() -> timeseries.Panel:
    """Return memory operations over time."""
    operations = counted(of(c.MEMORY_OPERATIONS, DATABASE, CHOSEN_AGENT), "$__interval", by=s.OPERATION)
    return (
        bars(
            "Memory operations",
            "What agents did with their memory, when; a bar is 15 seconds or more",
            metric(f"{operations} > 0", legend=f"{{{{{s.OPERATION}}}}}"),
            points=60,
        )
        .legend(legend())
        .no_value("none in this time")
    )


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    panels: list[Builder[Panel] | Row] = [
        *in_numbers(),
        *when(),
        heading(21, "Who, and with what"),
        at(0, 22, 24, 7, each_agent()),
        at(0, 29, 15, 7, models()),
        at(15, 29, 9, 7, tools()),
        heading(36, "Last activity"),
        at(0, 37, 16, 9, runs.activity(EXECUTIONS, "What was said")),
        at(16, 37, 8, 9, memory()),
        at(0, 46, 24, 2, words("", WHAT_TO_DO)),
    ]
    return frame.dashboard(
        frame.AGENTS,
        "Agents",
        "What agents do, whether it works, how long it takes, and with which models and tools.",
        panels,
        variables=[*runs.variables(EXECUTIONS, "Agent"), runs.slower(EXECUTIONS)],
        since="now-6h",
        refresh="10s",
        annotated=False,
    )
