"""OTLP requests that hold everything the sidecar may send, and nothing else. Tests spoil one place at a time.

Of ego-mcp and of the sidecar itself; what agents and flows may send stands in legal_agents.py, tasks in legal_tasks.py.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.proto.trace.v1.trace_pb2 import Status

import egoscope
from egoscope.convert import semconv as s
from egoscope.convert.catalogue import METRICS, WORKER_PROCESS_METRICS, Kind
from egoscope.sources.discovery import Reason as Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from egoscope.convert.catalogue import Metric

PERSON: Final = "p-0123456789abcdef"
numbers: Final = count(1)


def policy(source: str) -> dict[str, Any]:
    """Return the sidecar's policy of a source: what the first layer lets through, the second must know."""
    return tomllib.loads((resources.files("egoscope.policies") / f"{source}.toml").read_text())


def fields_of(source: str) -> list[str]:
    """Return every name of a field that the audit of a source may tell."""
    described = policy(source)
    fields = described["fields"]
    mappings = [name for name, rule in fields.items() if rule["rule"] == "mapping"]
    return [*fields, *described.get("drop", {"fields": []})["fields"], *(f"{name}.(unknown)" for name in mappings)]


POLICIES: Final = [
    "ego_mcp", "ego_mcp_events", "kagura", "kagura_events", "illumo", "illumo_events", "koubou", "koubou_workers",
]  # fmt: skip
EGO_MCP: Final = policy("ego_mcp")
TOOLS: Final = [*EGO_MCP["fields"]["tool_name"]["values"], s.OTHER]
EMOTIONS: Final = [*EGO_MCP["fields"]["emotion_primary"]["values"], s.OTHER]
ERRORS: Final = [*EGO_MCP["fields"]["exception"]["values"], s.OTHER, "timeout"]
PHASES: Final = [*EGO_MCP["fields"]["time_phase"]["values"], s.OTHER]
LOGGERS: Final = [*EGO_MCP["fields"]["logger"]["values"], s.OTHER]
DESIRES: Final = [*EGO_MCP["fields"]["desire_levels"]["fields"]]
SENTENCES: Final = [
    *EGO_MCP["fields"]["message"]["constants"],
    *(f"{prefix.rstrip(': ')}: REDACTED" for prefix in EGO_MCP["fields"]["message"]["prefixes"]),
    "REDACTED",
]
OWN_SENTENCES: Final = sorted(
    {
        sentence
        for module in Path(egoscope.__file__).parent.rglob("*.py")
        if not {"tracerdb", "instrument"} & set(module.parts)  # they run within somebody else's program
        for sentence in re.findall(r'\blogger\.(?:info|warning|error|critical)\(\s*"([^"]+)"', module.read_text())
    }
)
"""What the sidecar says in its own log: constants, found in its source."""


def put(attributes: Any, values: Mapping[str, str | bool | float]) -> None:
    """Append attributes to a message's list."""
    for key, value in values.items():
        any_value: AnyValue = attributes.add(key=key).value
        match value:
            case bool():
                any_value.bool_value = value
            case int():
                any_value.int_value = value
            case float():
                any_value.double_value = value
            case str():
                any_value.string_value = value


def fill_resource(holder: Any, instance: str, service: str = "ego-mcp") -> None:
    """Give a request's part the resource of a service and its schema."""
    holder.schema_url = s.SCHEMA_URL
    put(
        holder.resource.attributes,
        {
            s.SERVICE_NAME: service,
            s.SERVICE_INSTANCE_ID: instance,
            s.SERVICE_VERSION: "0.1.0",
            s.HOST_NAME: "host-1.example",
            s.SOURCE: service.replace("-", "_"),
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": "1.40.0",
        },
    )


def fill_scope(part: Any) -> None:
    """Give a part the scope of everything the sidecar sends."""
    part.scope.name = s.SCOPE_NAME
    part.scope.version = "0.1.0"
    part.schema_url = s.SCHEMA_URL


def call_attributes() -> dict[str, str | bool | float]:
    """Return all attributes a call's span may have."""
    return {
        s.MCP_METHOD_NAME: "tools/call",
        s.GEN_AI_OPERATION_NAME: "execute_tool",
        s.GEN_AI_TOOL_NAME: "recall",
        s.ERROR_TYPE: "ValueError",
        s.SESSION_ID: "0123456789abcdef",
        s.LOG_FILE_RECORD_OFFSET: 4096,
        s.OUTCOME: "error",
        s.EMOTION_PRIMARY: "curious",
        s.EMOTION_INTENSITY: 0.7,
        s.VALENCE: -0.25,
        s.AROUSAL: 1,
        s.TIME_PHASE: "late_night",
        s.TRUST_LEVEL: 0.5,
        s.PERSON: PERSON,
        s.PRIVATE: False,
        s.PAIRING: "guessed",
        s.UNPARSABLE: "not_json",
    }


def traces(now_ns: int, instance: str) -> ExportTraceServiceRequest:
    """Return one request: a full span, then one a tool, a kind of error, an emotion and a sentence."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    fill_resource(holder, instance)
    part = holder.scope_spans.add()
    fill_scope(part)

    def add(name: str, attributes: Mapping[str, str | bool | float], message: str) -> None:
        number = next(numbers)
        span = part.spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=name, kind=2,
            start_time_unix_nano=now_ns - 1_000_000_000, end_time_unix_nano=now_ns,
        )  # fmt: skip
        span.status.code = Status.STATUS_CODE_ERROR
        put(span.attributes, attributes)
        event = span.events.add(name="log", time_unix_nano=now_ns - 500_000_000)
        put(event.attributes, {s.LEVEL: "WARNING", s.LOGGER: "ego_mcp.server", s.MESSAGE: message})

    full = call_attributes()
    add("tools/call recall", full, "REDACTED")
    for tool in TOOLS:
        add(f"tools/call {tool}", full | {s.GEN_AI_TOOL_NAME: tool}, "Logging initialized")
    for error in ERRORS:
        add("tools/call recall", full | {s.ERROR_TYPE: error}, "Logging initialized")
    for emotion in EMOTIONS:
        add("tools/call recall", full | {s.EMOTION_PRIMARY: emotion}, "Logging initialized")
    for phase in PHASES:
        add("tools/call recall", full | {s.TIME_PHASE: phase}, "Logging initialized")
    for sentence in SENTENCES:
        add("tools/call recall", full, sentence)
    return request


def add_log(
    part: Any, now_ns: int, number: int, body: str, attributes: Mapping[str, str | bool | float], level: str
) -> None:
    """Add the n-th log record of a request."""
    record = part.log_records.add(
        time_unix_nano=now_ns + number, observed_time_unix_nano=now_ns + number, severity_number=9,
        severity_text=level, trace_id=(number + 1).to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"),
    )  # fmt: skip
    record.body.string_value = body
    put(record.attributes, {**attributes, s.LOG_FILE_RECORD_OFFSET: number})


def logs(now_ns: int, instance: str) -> ExportLogsServiceRequest:
    """Return one request: every sentence, every logger, a call's lines for every tool, emotion and error."""
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add()
    fill_resource(holder, instance)
    part = holder.scope_logs.add()
    fill_scope(part)
    numbers = count()

    def add(body: str, attributes: Mapping[str, str | bool | float], level: str = "INFO") -> None:
        add_log(part, now_ns, next(numbers), body, attributes, level)

    for sentence in SENTENCES:
        add(sentence, {s.LOGGER: "ego_mcp.server"})
    for sentence in OWN_SENTENCES:
        add(sentence, {"signal": "logs", "reason": "UNAVAILABLE"}, "WARNING")
    for logger in LOGGERS:
        add("REDACTED", {s.LOGGER: logger})
    for level in ("", "TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", s.OTHER):
        add("REDACTED", {s.LOGGER: s.OTHER}, level)
    for tool in TOOLS:
        add(f"{tool} called", {s.GEN_AI_TOOL_NAME: tool})
        add(f"{tool} completed", {s.GEN_AI_TOOL_NAME: tool, s.OUTCOME: "ok"})
        add(f"{tool} failed after 12 ms", {s.GEN_AI_TOOL_NAME: tool, s.OUTCOME: "error"}, "ERROR")
    full = call_attributes()
    for emotion in EMOTIONS:
        add(f"recall completed in 1234 ms, feeling {emotion} 0.70", full | {s.EMOTION_PRIMARY: emotion})
    for error in ERRORS:
        add(f"recall failed after 1234 ms: {error}", full | {s.ERROR_TYPE: error})
    add("Redaction audit: kept 12, pseudonymised 3, counted 4, dropped 5", {s.LOGGER: "egoscope.audit"})
    part.log_records[-1].event_name = s.EVENT_AUDIT
    return request


def _distinct(*values: str) -> list[str]:
    return list(dict.fromkeys(values))


LABELS: Final[dict[str, list[str]]] = {
    s.MCP_METHOD_NAME: ["tools/call"],
    s.GEN_AI_TOOL_NAME: TOOLS,
    s.ERROR_TYPE: ERRORS,
    s.TOOL: TOOLS,
    s.LABEL_OUTCOME: ["ok", "error", "unfinished", "accepted", "rejected", "refused", "unavailable"],
    s.LABEL_LEVEL: ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", s.OTHER],
    s.LABEL_LOGGER: LOGGERS,
    s.PARAMETER: ["emotion_primary", "time_phase", "absence_band"],
    s.VALUE: _distinct(*EMOTIONS, *PHASES, *EGO_MCP["fields"]["absence_band"]["values"]),
    s.DESIRE: DESIRES,
    s.LABEL_PERSON: [PERSON],
    s.LABEL_SOURCE: POLICIES,
    s.FIELD: _distinct(*(field for source in POLICIES for field in fields_of(source)), "(unknown)"),
    s.ACTION: ["kept", "pseudonymised", "counted", "dropped"],
    s.REASON: _distinct(
        *("not_in_policy", "private_field", "wrong_type", "out_of_range", "not_enumerated", "no_match", "too_long"),
        *("malformed_json", "malformed_literal", "no_time", "time_in_future"),
        *(reason.name.lower() for reason in Problem),
        "no_file",
    ),
    s.SIGNAL: ["traces", "metrics", "logs"],
    s.GROUP: ["koubou-workers", "celery_worker.2", s.OTHER],
    s.STATE: ["alive", "unhealthy"],
}
"""Every label of the catalogue with all values it may have."""


def is_of_agents(metric: Metric) -> bool:
    """Whether a metric is told of agents or flows alone."""
    return metric.name.startswith(("agent.", "gen_ai.client."))


def is_of_tasks(metric: Metric) -> bool:
    """Whether a metric is told of tasks and their workers alone; processes are found by the sidecar itself."""
    return metric.name.startswith("task.") and metric not in WORKER_PROCESS_METRICS


OWN_METRICS: Final = [
    msgspec.structs.replace(one, attributes=tuple(label for label in one.attributes if label in LABELS))
    for one in METRICS
    if not is_of_agents(one) and not is_of_tasks(one)
]
"""The metrics of ego-mcp and of the sidecar, with the labels they have there."""


def metrics(now_ns: int, instance: str) -> ExportMetricsServiceRequest:
    """Return one request: their whole catalogue; each metric has one point for each value of each of its labels."""
    return metrics_request(now_ns, instance, "ego-mcp", OWN_METRICS, LABELS)


def metrics_request(
    now_ns: int, instance: str, service: str, catalogue: Sequence[Metric], labels: Mapping[str, list[str]]
) -> ExportMetricsServiceRequest:
    """Return one request with all metrics of a service."""
    request = ExportMetricsServiceRequest()
    holder = request.resource_metrics.add()
    fill_resource(holder, instance, service)
    part = holder.scope_metrics.add()
    fill_scope(part)
    for metric in catalogue:
        message = part.metrics.add(name=metric.name, unit=metric.unit, description=metric.description)
        most = max([1, *(len(labels[label]) for label in metric.attributes)])
        for number in range(most):
            times: dict[str, int] = {"time_unix_nano": now_ns, "start_time_unix_nano": now_ns - 1_000_000}
            point: Any
            match metric.kind:
                case Kind.HISTOGRAM:
                    message.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
                    buckets = [1] * (len(metric.bounds) + 1)
                    point = message.histogram.data_points.add(
                        count=len(buckets), sum=5.0, bucket_counts=buckets, explicit_bounds=metric.bounds, **times
                    )
                case Kind.COUNTER:
                    message.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
                    message.sum.is_monotonic = True
                    point = message.sum.data_points.add(as_int=7, **times)
                case _:
                    point = message.gauge.data_points.add(as_double=0.5, **times)
            put(point.attributes, {label: labels[label][number % len(labels[label])] for label in metric.attributes})
    return request
