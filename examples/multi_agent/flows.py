"""Building flows on the released illumo-flow, and running them under policies and a tracer."""

from __future__ import annotations

import contextlib
import io
from functools import wraps
from typing import TYPE_CHECKING, Any

from illumo_flow import Flow, Node

from egoscope.tracerdb import current_trace_id, trace_flow
from examples.multi_agent.policy import Policy, govern
from examples.multi_agent.summary import SummaryAgent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, MutableMapping, Sequence

    from egoscope.tracerdb.illumo import FlowTracer


def build_flow(
    name: str,
    nodes: Sequence[Node],
    edges: Collection[tuple[str, str]],
    *,
    alternatives: Collection[str] = (),
    policies: Mapping[str, Policy],
    tracer: FlowTracer,
) -> Flow:
    """Return a flow that begins at the first node, each node under its policy, traced under this name.

    `alternatives`: nodes that run whenever one of those before them leads there. illumo-flow 0.1.4 takes every edge for
    a dependency: without this a node to which a router leads back, or where branches meet, would wait for all of them.
    """
    flow = Flow(nodes={node.name: node for node in nodes}, entry=nodes[0].name, edges=edges)
    for node_id in alternatives:
        flow.parent_counts[node_id] = flow.dependency_counts[node_id] = 1
    for node in nodes:
        govern(node, policies.get(node.name, Policy()), tracer)
    _tell_context(flow)
    snapshots = {node.name: {"policy_snapshot": policies.get(node.name, Policy()).snapshot} for node in nodes}
    trace_flow(flow, tracer, name=name, attributes=snapshots)
    return flow


def _tell_context(flow: Flow) -> None:
    """Have `ctx.trace_id` name the trace, and the summary written also where a node ends the flow too early for it."""
    run = flow.run
    summaries = {name: node for name, node in flow.nodes.items() if isinstance(node, SummaryAgent)}

    @wraps(run)
    def run_and_tell(context: MutableMapping[str, Any] | None = None, user_input: object = None) -> object:
        context = {} if context is None else context
        context["trace_id"] = current_trace_id()
        try:
            return run(context, user_input)
        except Exception:
            for name in summaries:
                Flow(nodes=summaries, entry=name, edges=()).run(context)
            raise

    flow.run = run_and_tell


def run_flow(flow: Flow, context: dict[str, Any]) -> dict[str, Any]:
    """Run a flow and return its context. Raises what a node under a `fail_fast` policy raised."""
    # illumo-flow 0.1.4 prints every step; here that is the tracer's work.
    with contextlib.redirect_stdout(io.StringIO()):
        flow.run(context)
    return context
