"""A node graph out of PromQL: Grafana's panel wants two tables whose columns have names that it knows.

Labels become columns, so each question makes them: `id`, `title`, `subtitle`, `mainstat`, `secondarystat`, and of
edges `source` and `target`. Only a number needs a transformation, for Prometheus' column is always `Value`. An edge
whose node is not there takes 9.4's panel down, so edges are asked for between nodes that are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import nodegraph

from dashgen.colours import ERROR, GOOD
from dashgen.panels import overriding, set_by, transformed
from dashgen.queries import PROMETHEUS, metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders.dashboard import DashboardLink

_FAILED: Final = "arc__failed"
_WELL: Final = "arc__well"


def joined(expression: str, to: str, *labels: str) -> str:
    """Give a label the values of others, with a slash between."""
    sources = ", ".join(f'"{one}"' for one in labels)
    return f'label_join({expression}, "{to}", "/", {sources})'


def copied(expression: str, **labels: str) -> str:
    """Give labels the value of another each: `to=source`."""
    for to, source in labels.items():
        expression = f'label_replace({expression}, "{to}", "$1", "{source}", "(.*)")'
    return expression


def written(expression: str, to: str, by: str, unit: str = "") -> str:
    """Make the value a label: 9.4's panel writes numbers with two decimals, counts too."""
    counted = f'count_values by ({by}) ("{to}", {expression})'
    return f'label_replace({counted}, "{to}", "$1{unit}", "{to}", "(.*)")' if unit else counted


def node_graph(title: str, text: str, nodes: str, edges: str, links: Sequence[DashboardLink] = ()) -> nodegraph.Panel:
    """Return the graph. `nodes`: by id, title and so on, the share that failed; `edges`: by id, source and target."""
    whole = {"left": "1", "operator": "-", "right": "Value #nodes"}
    share = {"left": "Value #nodes", "operator": "+", "right": "0"}
    # The panel goes by a column's own name and shows the one it was given; of field settings 9.4 leaves it none.
    shown = {_WELL: "ended well", _FAILED: "failed", "mainstat": "runs", "secondarystat": "p95"}
    arcs = [nodegraph.ArcOption().field(name).color(colour) for name, colour in ((_WELL, GOOD), (_FAILED, ERROR))]
    panel = (
        nodegraph.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .targets(
            [
                metric(nodes, ref="nodes", instant=True, table=True),
                metric(edges, ref="edges", instant=True, table=True),
            ]
        )
        .with_transformation(transformed("calculateField", mode="binary", alias=_WELL, binary=whole, timeSeries=False))
        .with_transformation(
            transformed("calculateField", mode="binary", alias=_FAILED, binary=share, timeSeries=False)
        )
        .with_transformation(transformed("organize", excludeByName={"Time": True}, indexByName={}, renameByName=shown))
        .nodes(nodegraph.NodeOptions().arcs(list(arcs)))
    )
    return overriding(panel, [set_by("byName", "title", links=[one.build() for one in links])])
