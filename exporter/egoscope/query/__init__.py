"""The query API: what agents did, used and cost, from the embedded store or from Prometheus, Tempo and Loki."""

from egoscope.query.answers import (
    Activity,
    AgentOverview,
    Execution,
    FlowUse,
    KindSummary,
    ModelUse,
    NodeUse,
    Running,
    SlowRequest,
    SlowRequests,
    SpanEvent,
    ToolUse,
    Trace,
    TraceSpan,
)
from egoscope.query.base import AGGREGATIONS, Query
from egoscope.query.cost import CostRow, CostSummary, Projection

__all__ = [
    "AGGREGATIONS",
    "Activity",
    "AgentOverview",
    "CostRow",
    "CostSummary",
    "Execution",
    "FlowUse",
    "KindSummary",
    "ModelUse",
    "NodeUse",
    "Projection",
    "Query",
    "Running",
    "SlowRequest",
    "SlowRequests",
    "SpanEvent",
    "ToolUse",
    "Trace",
    "TraceSpan",
]
