"""Agents: executions, what they used and what they cost. All of it is counted where the execution ends."""

from __future__ import annotations

from typing import Final

from egoscope.convert import semconv as s
from egoscope.convert.catalogue.metric import EXECUTION_BOUNDS, MODEL_BOUNDS, TOKEN_BOUNDS, Kind, Metric

USD_DECIMALS: Final = 9

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
    bounds=EXECUTION_BOUNDS,
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
    bounds=MODEL_BOUNDS,
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
    bounds=TOKEN_BOUNDS,
)
COST: Final = Metric(
    name="agent.cost.usd",
    kind=Kind.COUNTER,
    unit="{USD}",
    description="Cost of model calls in US dollars, by agent and model",
    attributes=(s.AGENT, s.MODEL),
    prometheus="agent_cost_usd_total",
    decimals=USD_DECIMALS,
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
