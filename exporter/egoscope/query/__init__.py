"""The query API: what agents and workers did and cost, from the embedded store or from Prometheus, Tempo and Loki."""

from egoscope.query.answers import (
    Activity,
    AgentOverview,
    Execution,
    FlowRun,
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
from egoscope.query.task_answers import OpenTasks, ProcessGroup, QueueDepth, Task, TaskOverview, Worker

__all__ = [
    "AGGREGATIONS",
    "Activity",
    "AgentOverview",
    "CostRow",
    "CostSummary",
    "Execution",
    "FlowRun",
    "FlowUse",
    "KindSummary",
    "ModelUse",
    "NodeUse",
    "OpenTasks",
    "ProcessGroup",
    "Projection",
    "Query",
    "QueueDepth",
    "Running",
    "SlowRequest",
    "SlowRequests",
    "SpanEvent",
    "Task",
    "TaskOverview",
    "ToolUse",
    "Trace",
    "TraceSpan",
    "Worker",
]
