"""Flows: illumo's flows and their nodes, how often, how well and how fast they run, and which follows which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashgen import frame, graph, grids, runs
from dashgen.colours import GOOD, SERIES, WARNING, steps
from dashgen.grids import grid
from dashgen.panels import at, bars, heading, lanes, legend, lines, link, meters, set_by, words
from dashgen.queries import FAILED, counted, metric, quantile_of
from dashgen.runs import Kind
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import nodegraph, statetimeline, table, timeseries
    from grafana_foundation_sdk.builders.dashboard import Row
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

RUNS: Final = Kind(
    service="illumo",
    name=s.FLOW,
    attribute=s.FLOW_NAME,
    root=f'span.{s.FLOW_KIND} = "flow"',
    noun="run",
    setting="EGOSCOPE_ILLUMO_PATH",
    ended=c.FLOW_RUNS,
    duration=c.FLOW_DURATION,
    running=c.FLOW_RUNNING,
    oldest=c.FLOW_RUNNING_OLDEST,
    title="^(?:illumo )?(.*)$",
)
NODE_RUNS: Final = RUNS.of(c.NODE_RUNS)
NODE_BUCKETS: Final = RUNS.of(f"{c.NODE_DURATION.prometheus}_bucket")
NODE: Final = f"{s.FLOW}, {s.NODE}"
EMPTY: Final = (
    "nothing in this time: choose a longer one; where nothing was ever read, set EGOSCOPE_ILLUMO_PATH and ask "
    "`egoscope doctor`"
)
WHAT_TO_DO: Final = """
**Nothing above?** This page shows the flows of illumo. Set `EGOSCOPE_ILLUMO_PATH` to its `illumo_trace.db`, and
`egoscope doctor` tells whether it can be read.
"""


def in_numbers() -> list[Builder[Panel]]:
    """Return the first row: is all well, and how much is there."""
    nodes = runs.number("Node runs", "Runs of nodes that ended in the chosen time, exactly", counted(NODE_RUNS))
    failed = runs.number(
        "Failed",
        "Runs of flows that ended with an error or never ended (given up a day after their start)",
        counted(RUNS.ends(FAILED)),
        ((None, GOOD), (1, WARNING)),
    )
    return [
        at(0, 0, 5, 4, runs.verdict(RUNS, "Do they run well?")),
        at(5, 0, 5, 4, runs.running(RUNS)),
        at(10, 0, 3, 4, runs.number("Runs", "Runs of flows that ended in the chosen time", counted(RUNS.ends()))),
        at(13, 0, 2, 4, failed),
        at(15, 0, 3, 4, runs.success(RUNS)),
        at(18, 0, 4, 2, runs.latency(RUNS)),
        at(18, 2, 4, 2, runs.last_event(RUNS)),
        at(22, 0, 2, 4, nodes),
    ]


def which_follows_which() -> nodegraph.Panel:
    """Return flows as graphs: how often each node ran, how slow it is, and how often one followed another."""
    ran = f"({counted(NODE_RUNS, by=NODE)} > 0)"
    failed = f"({counted(RUNS.of(c.NODE_RUNS, FAILED), by=NODE)} or 0 * {ran}) / {ran}"
    p95 = f"round(1000 * {quantile_of(0.95, NODE_BUCKETS, by=NODE)})"
    named = graph.copied(graph.joined(failed, "id", s.FLOW, s.NODE), title=s.NODE, subtitle=s.FLOW)
    nodes = (
        f"{named} * on ({NODE}) group_left (mainstat) {graph.written(ran, 'mainstat', NODE)}"
        f" * on ({NODE}) group_left (secondarystat) {graph.written(p95, 'secondarystat', NODE, ' ms')}"
    )
    step = f"{s.FLOW}, {s.FROM_NODE}, {s.TO_NODE}"
    followed = f"({counted(RUNS.of(c.FLOW_TRANSITIONS), by=step)} > 0)"
    edges = graph.joined(graph.written(followed, "mainstat", step), "id", s.FLOW, s.FROM_NODE, s.TO_NODE)
    for end, node in (("source", s.FROM_NODE), ("target", s.TO_NODE)):
        edges = f"{graph.joined(edges, end, s.FLOW, node)} and on ({end}) {graph.joined(ran, end, s.FLOW, s.NODE)}"
    only = link("This flow alone", frame.FLOWS, variables="var-flow=${__data.fields.flow}", keep=("database",))
    return graph.node_graph(
        "Nodes and their ways",
        "Each circle is a node: how often it ran, and its p95; the part of its rim that is orange failed. The arrows "
        "tell how often one node followed another. A click on a node leads to its flow alone, as the choice at the top",
        nodes,
        edges,
        [only],
    )


def each_node() -> table.Panel:
    """Return a row for each node."""
    every = f"{counted(NODE_RUNS, by=NODE)} > 0"
    failed = f"{counted(RUNS.of(c.NODE_RUNS, FAILED), by=NODE)} or 0 * ({every})"
    only = link("This flow alone", frame.FLOWS, variables="var-flow=${__value.text}", keep=("database",))
    return grid(
        "Each node",
        "Runs of nodes of the chosen time, exactly as many as the database has",
        {s.FLOW: "Flow", s.NODE: "Node"},
        {
            "Runs": every,
            "Failed": failed,
            "Share": f"({failed}) / ({every})",
            "p50": quantile_of(0.5, NODE_BUCKETS, by=NODE),
            "p95": quantile_of(0.95, NODE_BUCKETS, by=NODE),
            "Tokens": counted(RUNS.of(c.FLOW_TOKENS), by=NODE),
        },
        [
            set_by("byName", "Flow", links=[only.build()], custom__minWidth=110),
            set_by("byName", "Node", custom__minWidth=110),
            set_by("byName", "Share", **grids.rising(0.2)),
            set_by("byRegexp", "/^p[0-9]+$/", **grids.seconds(60)),
            set_by("byName", "Tokens", unit="locale"),
        ],
        empty=EMPTY,
    )


def how_long() -> timeseries.Panel:
    """Return p50 and p95 of each flow over time."""
    return (
        lines(
            "Durations over time",
            "p95 of each flow: 95 of 100 of its runs at that time took less",
            metric(RUNS.quantile(0.95, "$__rate_interval", by=s.FLOW), legend=f"{{{{{s.FLOW}}}}}"),
        )
        .unit("s")
        .min(0)
        .max_data_points(100)
        .span_nulls(3_600_000)
        .fill_opacity(0)
        .no_value("none ended in this time")
    )


def at_work() -> statetimeline.Panel:
    """Return a lane for each flow: when it ran."""
    busy = f"sum by ({s.FLOW}) ({RUNS.of(c.FLOW_RUNNING)}) > 0"
    return (
        lanes(
            "When each flow ran",
            "A lane is coloured while at least one run of the flow went on, the warmer the more at once",
            metric(busy, legend=f"{{{{{s.FLOW}}}}}"),
        )
        .max_data_points(400)
        .no_value("none ran")
        .thresholds(steps((None, SERIES[0]), (2, SERIES[4]), (5, SERIES[1]), (10, SERIES[6])))
    )


def told() -> list[Builder[Panel]]:
    """Return what nodes told while they ran."""
    events = counted(RUNS.of(c.FLOW_EVENTS), "$__interval", by=s.TYPE)
    tokens = counted(RUNS.of(c.FLOW_TOKENS), by=NODE)
    return [
        at(
            0,
            46,
            8,
            9,
            bars(
                "Events",
                "What nodes told, by kind: instructions to a model, its answers; never their words",
                metric(f"{events} > 0", legend=f"{{{{{s.TYPE}}}}}"),
                points=60,
            )
            .legend(legend())
            .no_value("none was told"),
        ),
        at(
            8,
            46,
            6,
            9,
            meters(
                "Tokens by node",
                "Tokens that nodes told of in the chosen time, input and output together",
                metric(f"sort_desc({tokens} > 0)", legend=f"{{{{{s.FLOW}}}}} / {{{{{s.NODE}}}}}", instant=True),
            )
            .unit("locale")
            .decimals(0)
            .min(0)
            .no_value("none were told")
            .thresholds(steps((None, SERIES[3]))),
        ),
        at(14, 46, 10, 9, runs.activity(RUNS, "What was said")),
    ]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    panels: list[Builder[Panel] | Row] = [
        *in_numbers(),
        at(0, 4, 14, 11, which_follows_which()),
        at(14, 4, 10, 11, each_node()),
        heading(15, "Runs"),
        at(0, 16, 12, 8, runs.over_time(RUNS, "Runs over time")),
        at(12, 16, 12, 8, runs.durations(RUNS, "Durations of runs")),
        at(0, 24, 12, 8, how_long()),
        at(12, 24, 12, 8, at_work()),
        heading(32, "One by one"),
        at(0, 33, 12, 12, runs.slow_ones(RUNS, "Slow runs", "Flow")),
        at(12, 33, 12, 12, runs.failed_ones(RUNS, "Failed runs", "Flow")),
        heading(45, "What nodes told"),
        *told(),
        at(0, 55, 24, 2, words("", WHAT_TO_DO)),
    ]
    return frame.dashboard(
        frame.FLOWS,
        "Flows",
        "Which flows and nodes run, how often, how well and how fast, and which follows which.",
        panels,
        variables=[*runs.variables(RUNS, "Flow"), runs.slower(RUNS)],
        since="now-6h",
        refresh="10s",
        annotated=False,
    )
