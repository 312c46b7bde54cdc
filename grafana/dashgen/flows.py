"""Flows: illumo's flows and their nodes, how often, how well and how fast they run, and which follows which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models.dashboard import FieldColorModeId

from dashgen import frame, graph, grids, runs
from dashgen.colours import GOOD, SERIES, WARNING, steps
from dashgen.grids import grid
from dashgen.kinds import RUNS
from dashgen.panels import at, bars, heading, lanes, legend, lines, link, meters, set_by, words
from dashgen.queries import FAILED, counted, metric, quantile_of
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import nodegraph, statetimeline, table, timeseries
    from grafana_foundation_sdk.builders.dashboard import Row
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

NODE_RUNS: Final = RUNS.of(c.NODE_RUNS)
NODE_BUCKETS: Final = RUNS.of(f"{c.NODE_DURATION.prometheus}_bucket")
NODE: Final = f"{s.FLOW}, {s.NODE}"
WHAT_TO_DO: Final = """
**Nothing above?** This page shows the flows of illumo. Set `EGOSCOPE_ILLUMO_PATH` to its `illumo_trace.db`, and
`egoscope doctor` tells whether it can be read.
"""


def in_numbers() -> list[Builder[Panel]]:
    """Return the first row: is all well, and how much is there."""
    nodes = runs.number("Nodes", "Runs of nodes that ended in the chosen time, exactly", counted(NODE_RUNS))
    failed = runs.number(
        "Failed",
        "Runs of flows that ended with an error or never ended (given up a day after their start)",
        counted(RUNS.ends(FAILED)),
        ((None, GOOD), (1, WARNING)),
    )
    return [
        at(0, 0, 4, 4, runs.verdict(RUNS, "Do they run well?")),
        at(4, 0, 3, 4, runs.running(RUNS)),
        at(7, 0, 3, 4, runs.number("Runs", "Runs of flows that ended in the chosen time", counted(RUNS.ends()))),
        at(10, 0, 2, 4, failed),
        at(12, 0, 3, 4, runs.success(RUNS)),
        at(15, 0, 4, 4, runs.latency(RUNS)),
        at(19, 0, 3, 4, runs.last_event(RUNS)),
        at(22, 0, 2, 4, nodes),
    ]


def which_follows_which() -> nodegraph.Panel:
    """Return flows as graphs: how often each node ran, how slow it is, and how often one followed another."""
    # One flow at a time: two of them are more than a panel holds.
    busiest = f"on ({s.FLOW}) topk(1, {counted(RUNS.ends(), by=s.FLOW)} > 0)"
    ran = f"({counted(NODE_RUNS, by=NODE)} > 0 and {busiest})"
    failed = f"({counted(RUNS.of(c.NODE_RUNS, FAILED), by=NODE)} or 0 * {ran}) / {ran}"
    p95 = f"round({quantile_of(0.95, NODE_BUCKETS, by=NODE)}, 0.01)"
    named = graph.copied(graph.joined(failed, "id", s.FLOW, s.NODE), title=s.NODE, subtitle=s.FLOW)
    nodes = (
        f"{named} * on ({NODE}) group_left (mainstat) {graph.written(ran, 'mainstat', NODE)}"
        f" * on ({NODE}) group_left (secondarystat) {graph.written(p95, 'secondarystat', NODE, ' s')}"
    )
    step = f"{s.FLOW}, {s.FROM_NODE}, {s.TO_NODE}"
    followed = f"({counted(RUNS.of(c.FLOW_TRANSITIONS), by=step)} > 0)"
    edges = graph.joined(graph.written(followed, "mainstat", step), "id", s.FLOW, s.FROM_NODE, s.TO_NODE)
    for end, node in (("source", s.FROM_NODE), ("target", s.TO_NODE)):
        edges = f"{graph.joined(edges, end, s.FLOW, node)} and on ({end}) {graph.joined(ran, end, s.FLOW, s.NODE)}"
    only = link("This flow alone", frame.FLOWS, variables="var-flow=${__data.fields.flow}", keep=("database",))
    return graph.node_graph(
        "Nodes and their ways",
        "Of the flow that ran most; choose another one at the top. Each circle is a node: how often it ran, and its "
        "p95; the orange part of its rim failed. The arrows tell how often one node followed another",
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
        empty=RUNS.empty,
    )


def how_long() -> timeseries.Panel:
    """Return p50 and p95 of each flow over time."""
    return (
        lines(
            "Durations over time",
            "p95 of each flow in the hour before each time: 95 of 100 of its runs took less",
            metric(RUNS.quantile(0.95, "1h", by=s.FLOW), legend=f"{{{{{s.FLOW}}}}}"),
        )
        .unit("s")
        .min(0)
        .max_data_points(100)
        .fill_opacity(0)
        .no_value("none ended in this time")
    )


def at_work() -> statetimeline.Panel:
    """Return a lane for each flow: when it ran."""
    # The most at once between two points: most runs are over before the next one.
    busy = f"sum by ({s.FLOW}) (max_over_time({RUNS.of(c.FLOW_RUNNING)}[$__interval]))"
    return (
        lanes(
            "When each flow ran",
            "A lane is coloured while at least one run of the flow went on, the warmer the more at once",
            metric(busy, legend=f"{{{{{s.FLOW}}}}}"),
        )
        .max_data_points(400)
        .no_value("none ran")
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(steps((None, "transparent"), (1, SERIES[0]), (2, SERIES[4]), (5, SERIES[1]), (10, SERIES[6])))
    )


def told(y: int) -> list[Builder[Panel]]:
    """Return what nodes told while they ran."""
    events = counted(RUNS.of(c.FLOW_EVENTS), "$__interval", by=s.TYPE)
    tokens = counted(RUNS.of(c.FLOW_TOKENS), by=NODE)
    return [
        at(
            0,
            y,
            7,
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
            7,
            y,
            8,
            9,
            meters(
                "Tokens by node",
                "Tokens that nodes told of in the chosen time, input and output together",
                metric(f"sort_desc({tokens} > 0)", legend=f"{{{{{s.NODE}}}}} ({{{{{s.FLOW}}}}})", instant=True),
            )
            .unit("locale")
            .decimals(0)
            .min(0)
            .text(common_builders.VizTextDisplayOptions().title_size(11).value_size(12))
            .no_value("none were told")
            .thresholds(steps((None, SERIES[3]))),
        ),
        at(15, y, 9, 9, runs.activity(RUNS, "What was said")),
    ]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    panels: list[Builder[Panel] | Row] = [
        *in_numbers(),
        at(0, 4, 24, 12, which_follows_which()),
        heading(16, "Runs"),
        at(0, 17, 12, 8, runs.over_time(RUNS, "Runs over time")),
        at(12, 17, 12, 8, runs.durations(RUNS, "Durations of runs")),
        at(0, 25, 12, 10, runs.slow_ones(RUNS, "Slow runs", "Flow")),
        at(12, 25, 12, 10, runs.failed_ones(RUNS, "Failed runs", "Flow")),
        at(0, 35, 12, 7, how_long()),
        at(12, 35, 12, 7, at_work()),
        heading(42, "Nodes"),
        at(0, 43, 24, 10, each_node()),
        *told(53),
        at(0, 62, 24, 2, words("", WHAT_TO_DO)),
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
