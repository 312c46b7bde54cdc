"""ego-mcp: tool calls, log lines, and how the agent feels."""

from __future__ import annotations

from typing import Final

from egoscope.convert import semconv as s
from egoscope.convert.catalogue.metric import Kind, Metric

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
