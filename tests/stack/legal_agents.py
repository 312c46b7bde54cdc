"""OTLP requests that hold everything agents and flows may send: the services kagura and illumo."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from egoscope.convert import semconv as s
from egoscope.convert.catalogue import METRICS, TOOL_DURATION
from tests.stack import legal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    from egoscope.convert.catalogue import Metric

Attributes: TypeAlias = dict[str, str | bool | float]
Service: TypeAlias = Literal["kagura", "illumo"]

NAMES: Final = ["my_agent", "CodeReview-2.1", "a" * 64, s.OTHER]
"""Names are what somebody called an agent, a tool, an operation, a flow or a node: identifiers."""
MODELS: Final = ["gpt-4.1-nano", "claude-3-5-sonnet-20241022", "ollama/llama3.2:3b", s.OTHER]
PROVIDERS: Final = [
    "anthropic", "aws.bedrock", "azure.ai.inference", "azure.ai.openai", "cohere", "deepseek", "gcp.gemini",
    "gcp.gen_ai", "gcp.vertex_ai", "groq", "ibm.watsonx.ai", "mistral_ai", "openai", "perplexity", "x_ai", s.OTHER,
]  # fmt: skip
"""Semantic conventions for GenAI v1.41.1: gen_ai.provider.name."""
EVENTS: Final = ["agent_instruction", "agent_response", s.OTHER]
LEVELS: Final = ["DEBUG", "INFO", "WARNING", "ERROR", s.OTHER]
UNPARSABLE: Final = [
    "malformed_json", "malformed_literal", "no_time", "too_long", "time_in_future", "wrong_type",
]  # fmt: skip
OUTCOMES: Final = ["ok", "error", "unfinished"]
ERRORS: Final = [*legal.policy("kagura")["fields"]["error"]["values"], s.OTHER, "timeout"]
LABELS: Final[dict[str, list[str]]] = {
    **dict.fromkeys((s.AGENT, s.OPERATION, s.FLOW, s.NODE, s.FROM_NODE, s.TO_NODE, s.TYPE), NAMES),
    **dict.fromkeys((s.GEN_AI_AGENT_NAME, s.GEN_AI_TOOL_NAME), NAMES),
    **dict.fromkeys((s.MODEL, s.GEN_AI_REQUEST_MODEL), MODELS),
    s.LABEL_OUTCOME: OUTCOMES,
    s.ERROR_TYPE: ERRORS,
    s.GEN_AI_OPERATION_NAME: ["chat"],
    s.GEN_AI_PROVIDER_NAME: PROVIDERS,
    s.GEN_AI_TOKEN_TYPE: ["input", "output"],
}
"""Every label of their metrics, with values it may have."""
CATALOGUE: Final[dict[Service, list[Metric]]] = {
    "kagura": [
        one for one in METRICS if one is TOOL_DURATION or (legal.is_of_agents(one) and s.FLOW not in one.attributes)
    ],
    "illumo": [one for one in METRICS if s.FLOW in one.attributes],
}


def call_attributes() -> Attributes:
    """Return all attributes a span of an execution may have; it is a model call's."""
    return {
        s.GEN_AI_OPERATION_NAME: "chat",
        s.GEN_AI_REQUEST_MODEL: "gpt-4.1-nano",
        s.GEN_AI_PROVIDER_NAME: "openai",
        s.GEN_AI_AGENT_NAME: "my_agent",
        s.GEN_AI_TOOL_NAME: "file_read",
        s.AGENT_MEMORY_OPERATION: "lookup",
        s.GEN_AI_USAGE_INPUT_TOKENS: 979,
        s.GEN_AI_USAGE_OUTPUT_TOKENS: 58,
        s.AGENT_COST_USD: 0.003807,
        s.AGENT_OUTCOME: "error",
        s.ERROR_TYPE: s.OTHER,
        s.LOG_FILE_RECORD_OFFSET: 7,
        s.UNPARSABLE: "malformed_json",
    }


def node_attributes() -> Attributes:
    """Return all attributes a span of a flow may have; it is a node's."""
    return {
        s.FLOW_NODE: "draft",
        s.FLOW_NAME: "chat_bot",
        s.FLOW_KIND: "node",
        s.FLOW_NODE_TYPE: "Agent",
        s.FLOW_TIMEOUT: False,
        s.FLOW_FAIL_FAST: True,
        s.FLOW_MAX_ATTEMPTS: 2,
        s.AGENT_OUTCOME: "error",
        s.ERROR_TYPE: "timeout",
        s.RECORDED_SPAN_ID: "0123456789abcdef" * 2,
        s.RECORDED_TRACE_ID: "0123456789abcdef" * 2,
        s.LOG_FILE_RECORD_OFFSET: 7,
        s.UNPARSABLE: "malformed_literal",
    }


def event_attributes() -> Attributes:
    """Return all attributes an event of a node may have."""
    return {s.LEVEL: "INFO", s.GEN_AI_REQUEST_MODEL: "gpt-4.1-nano", s.FLOW_EVENT_TOKENS: 592}


def _calls() -> list[tuple[str, Mapping[str, str | bool | float]]]:
    full = call_attributes()
    return [
        ("chat gpt-4.1-nano", full),
        *((f"chat {model}", full | {s.GEN_AI_REQUEST_MODEL: model}) for model in MODELS),
        *(("chat gpt-4.1-nano", full | {s.GEN_AI_PROVIDER_NAME: provider}) for provider in PROVIDERS),
        *(
            (f"{operation} {name}", {s.GEN_AI_OPERATION_NAME: operation, s.GEN_AI_AGENT_NAME: "my_agent"} | {key: name})
            for operation, key in (("invoke_agent", s.GEN_AI_AGENT_NAME), ("execute_tool", s.GEN_AI_TOOL_NAME))
            for name in NAMES
        ),
        *((f"memory {name}", {s.AGENT_MEMORY_OPERATION: name, s.GEN_AI_AGENT_NAME: "my_agent"}) for name in NAMES),
        *(("chat gpt-4.1-nano", full | {s.AGENT_OUTCOME: outcome}) for outcome in OUTCOMES),
        *(("chat gpt-4.1-nano", full | {s.ERROR_TYPE: error}) for error in ERRORS),
        ("chat gpt-4.1-nano", full | {s.AGENT_COST_USD: 0}),
    ]


def _nodes() -> list[tuple[str, Mapping[str, str | bool | float]]]:
    full = node_attributes()
    return [
        ("draft", full),
        *((name, full | {s.FLOW_NODE: name}) for name in NAMES),
        *((name, {s.FLOW_NAME: name, s.FLOW_KIND: "flow", s.AGENT_OUTCOME: "ok"}) for name in NAMES),
        *(("draft", full | {s.FLOW_NODE_TYPE: name}) for name in NAMES),
    ]


def traces(now_ns: int, instance: str, service: Service) -> ExportTraceServiceRequest:
    """Return one request: a full span, then one for each way a span may be called."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    legal.fill_resource(holder, instance, service)
    part = holder.scope_spans.add()
    legal.fill_scope(part)
    for name, attributes in _calls() if service == "kagura" else _nodes():
        number = next(legal.numbers)
        span = part.spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), parent_span_id=b"parentid",
            name=name, kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=now_ns - 1_000_000_000, end_time_unix_nano=now_ns,
        )  # fmt: skip
        span.status.code = Status.STATUS_CODE_ERROR
        legal.put(span.attributes, attributes)
        for event_name in EVENTS if service == "illumo" else ():
            event = span.events.add(name=event_name, time_unix_nano=now_ns - 500_000_000)
            legal.put(event.attributes, event_attributes())
    return request


def logs(now_ns: int, instance: str, service: Service) -> ExportLogsServiceRequest:
    """Return one request: every sentence about every name, and rows that could not be read."""
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add()
    legal.fill_resource(holder, instance, service)
    part = holder.scope_logs.add()
    legal.fill_scope(part)
    numbers = count()

    def add(body: str, attributes: Mapping[str, str | bool | float], level: str = "INFO") -> None:
        legal.add_log(part, now_ns, next(numbers), body, {s.LOGGER: service, **attributes}, level)

    keys = [s.GEN_AI_AGENT_NAME] if service == "kagura" else [s.FLOW_NODE, s.FLOW_NAME]
    full = call_attributes() if service == "kagura" else node_attributes()
    add(f"{full[keys[0]]} failed after 24 ms", full, "ERROR")
    for key in keys:
        beside: Attributes = {s.FLOW_NAME: "chat_bot"} if key == s.FLOW_NODE else {}
        for name in NAMES:
            add(f"{name} completed in 24 ms", beside | {key: name, s.AGENT_OUTCOME: "ok"})
            add(
                f"{name} failed after 24 ms",
                beside | {key: name, s.AGENT_OUTCOME: "error", s.ERROR_TYPE: s.OTHER},
                "ERROR",
            )
            add(f"{name} unfinished", beside | {key: name, s.AGENT_OUTCOME: "unfinished"}, "WARNING")
    for reason in UNPARSABLE:
        add("REDACTED", {s.LOGGER: s.OTHER, s.UNPARSABLE: reason}, "")
    return request


def metrics(now_ns: int, instance: str, service: Service) -> ExportMetricsServiceRequest:
    """Return one request: all metrics of the service; each has one point for each value of each of its labels."""
    return legal.metrics_request(now_ns, instance, service, CATALOGUE[service], LABELS)


def full(service: Service) -> Attributes:
    """Return all attributes a span of the service may have."""
    return call_attributes() if service == "kagura" else node_attributes()


def request(signal: str, now_ns: int, instance: str, service: Service) -> Any:
    """Return everything that the service may send of a signal."""
    return {"traces": traces, "logs": logs, "metrics": metrics}[signal](now_ns, instance, service)
