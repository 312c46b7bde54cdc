"""METRICS: the one catalogue of metrics. Dashboards, rules and tests take names from here."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from egoscope.convert import semconv as s

# Bucket bounds in seconds: semantic conventions for MCP v1.41.1, mcp.server.operation.duration, and for GenAI.
DURATION_BOUNDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
# Semantic conventions for GenAI v1.41.1: gen_ai.client.operation.duration, gen_ai.client.token.usage.
_MODEL_BOUNDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKEN_BOUNDS: Final = tuple(float(4**power) for power in range(14))
# An execution of an agent, or a flow, can take an hour.
_EXECUTION_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)

_USD_DECIMALS: Final = 9


class Kind(StrEnum):
    """How a metric's points are to be read. Counters and histograms are cumulative."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: its OpenTelemetry name, UCUM unit and the attributes its points carry."""

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    prometheus: str
    """The name under which Prometheus stores it (without `_bucket`, `_sum`, `_count` for histograms)."""
    bounds: tuple[float, ...] = DURATION_BOUNDS
    """Of a histogram: the upper bounds of its buckets, ascending."""
    decimals: int | None = None
    """Of a counter of fractions: each total is rounded to so many, so that sums of the same amounts are equal."""


OPERATION_DURATION: Final = Metric(
    name="mcp.server.operation.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of MCP requests as the server's log shows them",
    attributes=(s.MCP_METHOD_NAME, s.GEN_AI_TOOL_NAME, s.ERROR_TYPE),
    prometheus="mcp_server_operation_duration_seconds",
)
TOOL_DURATION: Final = Metric(
    name="gen_ai.execute_tool.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of tool executions",
    attributes=(s.GEN_AI_TOOL_NAME, s.ERROR_TYPE, s.GEN_AI_AGENT_NAME),
    prometheus="gen_ai_execute_tool_duration_seconds",
)
CALLS: Final = Metric(
    name="ego.calls",
    kind=Kind.COUNTER,
    unit="{call}",
    description="Tool calls that ended, by tool and outcome (ok, error, unfinished)",
    attributes=(s.TOOL, s.LABEL_OUTCOME),
    prometheus="ego_calls_total",
)
CALLS_STARTED: Final = Metric(
    name="ego.calls.started",
    kind=Kind.COUNTER,
    unit="{call}",
    description="Tool calls that began, by tool",
    attributes=(s.TOOL,),
    prometheus="ego_calls_started_total",
)
CALLS_OPEN: Final = Metric(
    name="ego.calls.open",
    kind=Kind.GAUGE,
    unit="{call}",
    description="Tool calls in flight",
    prometheus="ego_calls_open",
)
LOG_LINES: Final = Metric(
    name="ego.log.lines",
    kind=Kind.COUNTER,
    unit="{line}",
    description="Log lines by level and logger",
    attributes=(s.LABEL_LEVEL, s.LABEL_LOGGER),
    prometheus="ego_log_lines_total",
)
PROCESS_STARTS: Final = Metric(
    name="ego.process.starts",
    kind=Kind.COUNTER,
    unit="{start}",
    description="Starts of the agent's process",
    prometheus="ego_process_starts_total",
)
LAST_EVENT: Final = Metric(
    name="ego.last_event.time",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time of the newest line read",
    prometheus="ego_last_event_time_seconds",
)
INTENSITY: Final = Metric(
    name="ego.emotion.intensity",
    kind=Kind.GAUGE,
    unit="1",
    description="Intensity of the latest emotion, 0 to 1",
    prometheus="ego_emotion_intensity_ratio",
)
VALENCE: Final = Metric(
    name="ego.valence",
    kind=Kind.GAUGE,
    unit="1",
    description="Valence of the latest emotion, -1 to 1",
    prometheus="ego_valence_ratio",
)
AROUSAL: Final = Metric(
    name="ego.arousal",
    kind=Kind.GAUGE,
    unit="1",
    description="Arousal of the latest emotion, 0 to 1",
    prometheus="ego_arousal_ratio",
)
DESIRE: Final = Metric(
    name="ego.desire",
    kind=Kind.GAUGE,
    unit="1",
    description="Level of a built-in desire, 0 to 1; desires the model invented stay private",
    attributes=(s.DESIRE,),
    prometheus="ego_desire_ratio",
)
TRUST: Final = Metric(
    name="ego.trust",
    kind=Kind.GAUGE,
    unit="1",
    description="Trust towards a person, 0 to 1, by keyed pseudonym",
    attributes=(s.LABEL_PERSON,),
    prometheus="ego_trust_ratio",
)
INTERACTIONS: Final = Metric(
    name="ego.interactions",
    kind=Kind.GAUGE,
    unit="{interaction}",
    description="Interactions with a person so far, by keyed pseudonym",
    attributes=(s.LABEL_PERSON,),
    prometheus="ego_interactions",
)
SHARED_EPISODES: Final = Metric(
    name="ego.shared_episodes",
    kind=Kind.GAUGE,
    unit="{episode}",
    description="Episodes shared with a person, by keyed pseudonym",
    attributes=(s.LABEL_PERSON,),
    prometheus="ego_shared_episodes",
)
STATE: Final = Metric(
    name="ego.state",
    kind=Kind.GAUGE,
    unit="",
    description="State set of a string parameter: 1 for the current value, 0 for the others",
    attributes=(s.PARAMETER, s.VALUE),
    prometheus="ego_state",
)

# Agents: executions, what they used and what they cost. All of it is counted where the execution ends.
EXECUTIONS: Final = Metric(
    name="agent.executions",
    kind=Kind.COUNTER,
    unit="{execution}",
    description="Executions of agents that ended, by agent and outcome (ok, error, unfinished)",
    attributes=(s.AGENT, s.LABEL_OUTCOME),
    prometheus="agent_executions_total",
)
EXECUTION_DURATION: Final = Metric(
    name="agent.execution.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of executions of agents",
    attributes=(s.AGENT,),
    prometheus="agent_execution_duration_seconds",
    bounds=_EXECUTION_BOUNDS,
)
RUNNING: Final = Metric(
    name="agent.running",
    kind=Kind.GAUGE,
    unit="{execution}",
    description="Executions that run now, by agent",
    attributes=(s.AGENT,),
    prometheus="agent_running",
)
RUNNING_OLDEST: Final = Metric(
    name="agent.running.oldest",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time at which the longest running execution of an agent began; 0 where none runs",
    attributes=(s.AGENT,),
    prometheus="agent_running_oldest_seconds",
)
MODEL_DURATION: Final = Metric(
    name="gen_ai.client.operation.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of model calls",
    attributes=(s.GEN_AI_OPERATION_NAME, s.GEN_AI_PROVIDER_NAME, s.GEN_AI_REQUEST_MODEL, s.GEN_AI_AGENT_NAME),
    prometheus="gen_ai_client_operation_duration_seconds",
    bounds=_MODEL_BOUNDS,
)
TOKENS: Final = Metric(
    name="gen_ai.client.token.usage",
    kind=Kind.HISTOGRAM,
    unit="{token}",
    description="Tokens of model calls, by type (input, output)",
    attributes=(
        s.GEN_AI_OPERATION_NAME,
        s.GEN_AI_PROVIDER_NAME,
        s.GEN_AI_REQUEST_MODEL,
        s.GEN_AI_TOKEN_TYPE,
        s.GEN_AI_AGENT_NAME,
    ),
    prometheus="gen_ai_client_token_usage",
    bounds=_TOKEN_BOUNDS,
)
COST: Final = Metric(
    name="agent.cost.usd",
    kind=Kind.COUNTER,
    unit="{USD}",
    description="Cost of model calls in US dollars, by agent and model",
    attributes=(s.AGENT, s.MODEL),
    prometheus="agent_cost_usd_total",
    decimals=_USD_DECIMALS,
)
COST_UNKNOWN: Final = Metric(
    name="agent.cost.unknown",
    kind=Kind.COUNTER,
    unit="{call}",
    description="Model calls whose price is not known, by agent and model; they are in no cost",
    attributes=(s.AGENT, s.MODEL),
    prometheus="agent_cost_unknown_total",
)
COST_MONTH: Final = Metric(
    name="agent.cost.month.usd",
    kind=Kind.GAUGE,
    unit="{USD}",
    description="Cost of model calls in US dollars since the month began in UTC, by agent",
    attributes=(s.AGENT,),
    prometheus="agent_cost_month_usd",
)
MEMORY_OPERATIONS: Final = Metric(
    name="agent.memory.operations",
    kind=Kind.COUNTER,
    unit="{operation}",
    description="Memory operations of agents, by agent and operation",
    attributes=(s.AGENT, s.OPERATION),
    prometheus="agent_memory_operations_total",
)
AGENT_LAST_EVENT: Final = Metric(
    name="agent.last_event.time",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time of the newest row read",
    prometheus="agent_last_event_time_seconds",
)

# Flows of agents, and their nodes.
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
    bounds=_EXECUTION_BOUNDS,
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
    bounds=_EXECUTION_BOUNDS,
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

# About the sidecar's own reading: totals kept in the state file, so they survive a restart.
REDACTIONS: Final = Metric(
    name="egoscope.redactions",
    kind=Kind.COUNTER,
    unit="{value}",
    description="Field values by what redaction did with them (kept, pseudonymised, counted, dropped) and why",
    attributes=(s.LABEL_SOURCE, s.FIELD, s.ACTION, s.REASON),
    prometheus="egoscope_redactions_total",
)
UNPARSABLE: Final = Metric(
    name="egoscope.lines.unparsable",
    kind=Kind.COUNTER,
    unit="{line}",
    description="Lines that could not be read as a record, by reason; each still stands in the log as REDACTED",
    attributes=(s.LABEL_SOURCE, s.REASON),
    prometheus="egoscope_lines_unparsable_total",
)
REJECTED: Final = Metric(
    name="egoscope.rejected",
    kind=Kind.COUNTER,
    unit="{item}",
    description="Spans, points and log records a back end refused for good, by signal and reason",
    attributes=(s.SIGNAL, s.REASON),
    prometheus="egoscope_rejected_total",
)
SOURCE_PROBLEMS: Final = Metric(
    name="egoscope.source.problems",
    kind=Kind.COUNTER,
    unit="{look}",
    description="Looks at a source that could not be read just then, by source and reason",
    attributes=(s.LABEL_SOURCE, s.REASON),
    prometheus="egoscope_source_problems_total",
)
START_TIME: Final = Metric(
    name="egoscope.start.time",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time at which the sidecar started",
    prometheus="egoscope_start_time_seconds",
)

# The sidecar about itself, now; through the OpenTelemetry SDK.
LAG_TIME: Final = Metric(
    name="egoscope.lag.time",
    kind=Kind.GAUGE,
    unit="s",
    description="How long the oldest unsent change has been waiting",
    prometheus="egoscope_lag_time_seconds",
)
LAG_BYTES: Final = Metric(
    name="egoscope.lag.size",
    kind=Kind.GAUGE,
    unit="By",
    description="Bytes in the followed files that were not read yet",
    prometheus="egoscope_lag_size_bytes",
)
OUTBOX_BYTES: Final = Metric(
    name="egoscope.outbox.size",
    kind=Kind.GAUGE,
    unit="By",
    description="Bytes of requests that wait to be accepted",
    prometheus="egoscope_outbox_size_bytes",
)
OUTBOX_LIMIT: Final = Metric(
    name="egoscope.outbox.limit",
    kind=Kind.GAUGE,
    unit="By",
    description="Bound of the outbox; reading stops there",
    prometheus="egoscope_outbox_limit_bytes",
)
FILES: Final = Metric(
    name="egoscope.files",
    kind=Kind.GAUGE,
    unit="{file}",
    description="Files being followed",
    prometheus="egoscope_files",
)
DISK_FREE: Final = Metric(
    name="egoscope.disk.free",
    kind=Kind.GAUGE,
    unit="By",
    description="Bytes free on the disk of the state directory; in docker compose the back ends lie on the same one",
    prometheus="egoscope_disk_free_bytes",
)
DISK_SIZE: Final = Metric(
    name="egoscope.disk.size",
    kind=Kind.GAUGE,
    unit="By",
    description="Size of the disk of the state directory",
    prometheus="egoscope_disk_size_bytes",
)
UTC_OFFSET: Final = Metric(
    name="egoscope.utc_offset",
    kind=Kind.GAUGE,
    unit="s",
    description="How far local time is ahead of UTC where the agent lives; tells the hour of the day",
    prometheus="egoscope_utc_offset_seconds",
)
BUDGET: Final = Metric(
    name="egoscope.budget.usd",
    kind=Kind.GAUGE,
    unit="{USD}",
    description="What agents may cost a month, in US dollars, as the settings say",
    prometheus="egoscope_budget_usd",
)
SENDS: Final = Metric(
    name="egoscope.sends",
    kind=Kind.COUNTER,
    unit="{request}",
    description="Requests sent, by signal and outcome (accepted, rejected, refused, unavailable)",
    attributes=(s.SIGNAL, s.LABEL_OUTCOME),
    prometheus="egoscope_sends_total",
)

METRICS: Final = (
    OPERATION_DURATION,
    TOOL_DURATION,
    CALLS,
    CALLS_STARTED,
    CALLS_OPEN,
    LOG_LINES,
    PROCESS_STARTS,
    LAST_EVENT,
    INTENSITY,
    VALENCE,
    AROUSAL,
    DESIRE,
    TRUST,
    INTERACTIONS,
    SHARED_EPISODES,
    STATE,
    EXECUTIONS,
    EXECUTION_DURATION,
    RUNNING,
    RUNNING_OLDEST,
    MODEL_DURATION,
    TOKENS,
    COST,
    COST_UNKNOWN,
    COST_MONTH,
    MEMORY_OPERATIONS,
    AGENT_LAST_EVENT,
    FLOW_RUNS,
    FLOW_DURATION,
    FLOW_RUNNING,
    FLOW_RUNNING_OLDEST,
    NODE_RUNS,
    NODE_DURATION,
    FLOW_TRANSITIONS,
    FLOW_EVENTS,
    FLOW_TOKENS,
    REDACTIONS,
    UNPARSABLE,
    REJECTED,
    SOURCE_PROBLEMS,
    START_TIME,
    LAG_TIME,
    LAG_BYTES,
    OUTBOX_BYTES,
    OUTBOX_LIMIT,
    FILES,
    DISK_FREE,
    DISK_SIZE,
    UTC_OFFSET,
    BUDGET,
    SENDS,
)
