"""Every attribute, span and metric name that leaves, in one place: no name is spelled elsewhere.

From the OpenTelemetry semantic conventions for GenAI and MCP, v1.41.1 (status: Development); what they do not name
stands under `ego.*`, `agent.*`, `task.*` and `egoscope.*`.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.1"
SCOPE_NAME: Final = "egoscope"
EGO_MCP_SERVICE: Final = "ego-mcp"

# Resource attributes
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
SERVICE_VERSION: Final = "service.version"
HOST_NAME: Final = "host.name"
SOURCE: Final = "egoscope.source"

# Attributes of spans and log records
MCP_METHOD_NAME: Final = "mcp.method.name"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
ERROR_TYPE: Final = "error.type"
SESSION_ID: Final = "session.id"
LOG_FILE_RECORD_OFFSET: Final = "log.file.record_offset"
LOGGER: Final = "ego.logger"
OUTCOME: Final = "ego.outcome"
EMOTION_PRIMARY: Final = "ego.emotion.primary"
EMOTION_INTENSITY: Final = "ego.emotion.intensity"
VALENCE: Final = "ego.valence"
AROUSAL: Final = "ego.arousal"
TIME_PHASE: Final = "ego.time_phase"
TRUST_LEVEL: Final = "ego.trust_level"
PERSON: Final = "ego.person"
SURFACED_PERSONS: Final = "ego.surfaced_persons"
PRIVATE: Final = "ego.private"
PAIRING: Final = "egoscope.pairing"
UNPARSABLE: Final = "egoscope.unparsable"
MESSAGE: Final = "ego.message"
LEVEL: Final = "level"

# Attributes of agents' executions and what they call
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
AGENT_OUTCOME: Final = "agent.outcome"
AGENT_COST_USD: Final = "agent.cost.usd"
"""Left out where the price is not known: an unknown cost is no cost of nothing."""
AGENT_MEMORY_OPERATION: Final = "agent.memory.operation"
FLOW_NAME: Final = "agent.flow.name"
FLOW_NODE: Final = "agent.flow.node"
FLOW_KIND: Final = "agent.flow.kind"
FLOW_NODE_TYPE: Final = "agent.flow.node_type"
FLOW_TIMEOUT: Final = "agent.flow.timeout"
FLOW_FAIL_FAST: Final = "agent.flow.policy.fail_fast"
FLOW_MAX_ATTEMPTS: Final = "agent.flow.policy.max_attempts"
FLOW_EVENT_TOKENS: Final = "agent.flow.tokens"

# Attributes of tasks and of the workers that do them
TASK_ID: Final = "task.id"
TASK_PRIORITY: Final = "task.priority"
TASK_OUTCOME: Final = "task.outcome"
TASK_WORKER: Final = "task.worker"
TASK_WORKER_STATE: Final = "task.worker.state"
TASK_WORKER_SINCE: Final = "task.worker.since"
"""Unix time, seconds: since when a worker is in the state that its log record tells."""

# Attributes of spans recorded in code: tracerdb, instrument
CODE_FUNCTION_NAME: Final = "code.function.name"
RECORDED_TRACE_ID: Final = "egoscope.recorded.trace_id"
RECORDED_SPAN_ID: Final = "egoscope.recorded.span_id"
UNFINISHED: Final = "egoscope.unfinished"
CONTENT_ARGUMENTS: Final = "egoscope.content.arguments"
CONTENT_RESULT: Final = "egoscope.content.result"
TAG_PREFIX: Final = "agent.tag."
METRIC_PREFIX: Final = "agent.metric."
FLOW_PREFIX: Final = "agent.flow."

# Attributes of metric points (labels in Prometheus)
TOOL: Final = "tool"
LABEL_OUTCOME: Final = "outcome"
LABEL_LEVEL: Final = "level"
LABEL_LOGGER: Final = "logger"
PARAMETER: Final = "parameter"
VALUE: Final = "value"
DESIRE: Final = "desire"
LABEL_PERSON: Final = "person"
LABEL_SOURCE: Final = "source"
FIELD: Final = "field"
ACTION: Final = "action"
REASON: Final = "reason"
SIGNAL: Final = "signal"
AGENT: Final = "agent"
MODEL: Final = "model"
OPERATION: Final = "operation"
FLOW: Final = "flow"
NODE: Final = "node"
FROM_NODE: Final = "from_node"
TO_NODE: Final = "to_node"
TYPE: Final = "type"
PRIORITY: Final = "priority"
STATE: Final = "state"
WORKER: Final = "worker"
GROUP: Final = "group"

# Values
METHOD_TOOLS_CALL: Final = "tools/call"
OPERATION_EXECUTE_TOOL: Final = "execute_tool"
OPERATION_INVOKE_AGENT: Final = "invoke_agent"
OPERATION_CHAT: Final = "chat"
SPAN_MEMORY: Final = "memory"
SPAN_TASK: Final = "task"
EVENT_TASK_STARTED: Final = "task.started"
EVENT_TASK_RETURNED: Final = "task.returned"
INPUT: Final = "input"
OUTPUT: Final = "output"
OTHER: Final = "_OTHER"
REDACTED: Final = "REDACTED"

# Event names
EVENT_LOG: Final = "log"
EVENT_NODE_RETRY: Final = "node.retry"
EVENT_NODE_ERROR: Final = "node.error"
"""As illumo-flow calls a node's other attempt, and the failure of its last one, which its policy may have handled."""
EVENT_AUDIT: Final = "egoscope.audit"
