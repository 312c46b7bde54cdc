"""Flows of agents, and their nodes."""

from __future__ import annotations

from typing import Final

from egoscope.convert import semconv as s
from egoscope.convert.catalogue.metric import EXECUTION_BOUNDS, Kind, Metric

FLOW_RUNS: Final = Metric(
    name="agent.flow.runs",
    kind=Kind.COUNTER,
    unit="{run}",
    description="Runs of flows that ended, by flow and outcome (ok, error, unfinished)",
    attributes=(s.FLOW, s.LABEL_OUTCOME),
    prometheus="agent_flow_runs_total",
)
FLOW_DURATION: Final = Metric(
    name="agent.flow.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of runs of flows",
    attributes=(s.FLOW,),
    prometheus="agent_flow_duration_seconds",
    bounds=EXECUTION_BOUNDS,
)
FLOW_RUNNING: Final = Metric(
    name="agent.flow.running",
    kind=Kind.GAUGE,
    unit="{run}",
    description="Runs of flows that go on now, by flow",
    attributes=(s.FLOW,),
    prometheus="agent_flow_running",
)
FLOW_RUNNING_OLDEST: Final = Metric(
    name="agent.flow.running.oldest",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time at which the longest running run of a flow began; 0 where none runs",
    attributes=(s.FLOW,),
    prometheus="agent_flow_running_oldest_seconds",
)
NODE_RUNS: Final = Metric(
    name="agent.flow.node.runs",
    kind=Kind.COUNTER,
    unit="{run}",
    description="Runs of nodes that ended, by flow, node and outcome (ok, error, unfinished)",
    attributes=(s.FLOW, s.NODE, s.LABEL_OUTCOME),
    prometheus="agent_flow_node_runs_total",
)
NODE_DURATION: Final = Metric(
    name="agent.flow.node.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of runs of nodes",
    attributes=(s.FLOW, s.NODE),
    prometheus="agent_flow_node_duration_seconds",
    bounds=EXECUTION_BOUNDS,
)
FLOW_TRANSITIONS: Final = Metric(
    name="agent.flow.transitions",
    kind=Kind.COUNTER,
    unit="{transition}",
    description="How often one node was followed by another within a run of a flow",
    attributes=(s.FLOW, s.FROM_NODE, s.TO_NODE),
    prometheus="agent_flow_transitions_total",
)
FLOW_EVENTS: Final = Metric(
    name="agent.flow.events",
    kind=Kind.COUNTER,
    unit="{event}",
    description="Events that nodes of flows told, by flow, node and type",
    attributes=(s.FLOW, s.NODE, s.TYPE),
    prometheus="agent_flow_events_total",
)
FLOW_TOKENS: Final = Metric(
    name="agent.flow.tokens",
    kind=Kind.COUNTER,
    unit="{token}",
    description="Tokens that nodes of flows told of, input and output together, by flow and node",
    attributes=(s.FLOW, s.NODE),
    prometheus="agent_flow_tokens_total",
)
