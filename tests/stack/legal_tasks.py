"""OTLP requests that hold everything tasks and their workers may send: the service koubou."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from egoscope.convert import semconv as s
from egoscope.convert.catalogue import AGENT_LAST_EVENT, METRICS
from tests.stack import legal
from tests.stack.legal_agents import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    from tests.stack.legal_agents import Attributes

SERVICE: Final = "koubou"
IDS: Final = [
    "task_00006", "task_20250901_073337_489974", "task-20250901-073337-1a2b3c4d", "mcp-task-20250901-073337-1a2b3c4d",
    "retry_task_00006_073337", "retry_retry_task_20250901_073337_489974_073337_080000", "t-0123456789abcdef", s.OTHER,
]  # fmt: skip
"""Ids as Koubou's programs give them, and the digest of any other."""
OUTCOMES: Final = ["ok", "error", "cancelled", s.OTHER]
PRIORITIES: Final = ["0", "5", "10", "100", s.OTHER]
TASK_STATES: Final = ["pending", "in_progress", "processing", "completed", "failed", "cancelled", s.OTHER]
WORKER_STATES: Final = ["idle", "busy", "lost", "offline"]
UNPARSABLE: Final = ["no_time", "too_long", "time_in_future", "wrong_type"]
LABELS: Final[dict[str, list[str]]] = {
    s.PRIORITY: PRIORITIES,
    s.STATE: [*TASK_STATES, *WORKER_STATES],
    s.WORKER: NAMES,
    s.LABEL_OUTCOME: OUTCOMES,
}
"""Every label of their metrics, with values it may have."""
CATALOGUE: Final = [one for one in METRICS if one is AGENT_LAST_EVENT or legal.is_of_tasks(one)]


def task_attributes() -> Attributes:
    """Return all attributes a task's span may have."""
    return {
        s.TASK_ID: "task_00006",
        s.TASK_PRIORITY: 5,
        s.TASK_OUTCOME: "error",
        s.TASK_WORKER: "worker_2",
        s.ERROR_TYPE: s.OTHER,
    }


def full() -> Attributes:
    """Return all attributes that anything of a task or a worker may have."""
    about_worker: Attributes = {s.TASK_WORKER_STATE: "busy", s.TASK_WORKER_SINCE: 1763626671.5}
    return task_attributes() | about_worker | {s.LOG_FILE_RECORD_OFFSET: 7, s.UNPARSABLE: "wrong_type"}


def _spans() -> Iterator[Mapping[str, str | bool | float]]:
    task = task_attributes()
    yield full()
    for id_ in IDS:
        yield task | {s.TASK_ID: id_}
    for worker in NAMES:
        yield task | {s.TASK_WORKER: worker}
    for outcome in OUTCOMES:
        yield {s.TASK_ID: "task_00006", s.TASK_PRIORITY: -1, s.TASK_OUTCOME: outcome}


def traces(now_ns: int, instance: str) -> ExportTraceServiceRequest:
    """Return one request: a full span, then one for each id, worker and outcome."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    legal.fill_resource(holder, instance, SERVICE)
    part = holder.scope_spans.add()
    legal.fill_scope(part)
    for attributes in _spans():
        number = next(legal.numbers)
        span = part.spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=s.SPAN_TASK,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=now_ns - 1_000_000_000, end_time_unix_nano=now_ns,
        )  # fmt: skip
        span.status.code = Status.STATUS_CODE_ERROR
        legal.put(span.attributes, attributes)
        for event_name in (s.EVENT_TASK_STARTED, s.EVENT_TASK_RETURNED):
            event = span.events.add(name=event_name, time_unix_nano=now_ns - 500_000_000)
            legal.put(event.attributes, {s.TASK_WORKER: "worker_2"})
    return request


def _sentences() -> Iterator[tuple[str, Attributes, str]]:
    """Yield each sentence, what stands beside it, and its severity."""
    yield "task_00006 failed after 812 ms", full(), "ERROR"
    for id_ in IDS:
        task: Attributes = {s.LOGGER: "koubou.tasks", s.TASK_ID: id_, s.TASK_PRIORITY: 5}
        yield f"{id_} created", task, "INFO"
        for worker in NAMES:
            yield f"{id_} started by {worker}", task | {s.TASK_WORKER: worker}, "INFO"
        yield f"{id_} returned to the queue", task, "WARNING"
        yield f"{id_} started by {s.OTHER}", task, "INFO"
        for ended, outcome in zip(
            ("completed in", "failed after", "cancelled after", "ended after"), OUTCOMES, strict=True
        ):
            yield f"{id_} {ended} 8123 ms", task | {s.TASK_OUTCOME: outcome}, "INFO"
    for name in NAMES:
        worker_: Attributes = {s.LOGGER: "koubou.workers", s.TASK_WORKER: name, s.TASK_WORKER_SINCE: 1763626671.5}
        for id_ in IDS:
            yield f"{name} busy with {id_}", worker_ | {s.TASK_WORKER_STATE: "busy", s.TASK_ID: id_}, "INFO"
        for state in ("busy", "idle", "lost", "offline", "gone", s.OTHER):
            yield f"{name} {state}", worker_ | {s.TASK_WORKER_STATE: state}, "WARNING"
    for reason in UNPARSABLE:
        yield s.REDACTED, {s.LOGGER: s.OTHER, s.UNPARSABLE: reason}, ""


def logs(now_ns: int, instance: str) -> ExportLogsServiceRequest:
    """Return one request: every sentence about every task and worker, and rows that could not be read."""
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add()
    legal.fill_resource(holder, instance, SERVICE)
    part = holder.scope_logs.add()
    legal.fill_scope(part)
    for number, sentence in enumerate(_sentences()):
        legal.add_log(part, now_ns, number, *sentence)
    return request


def metrics(now_ns: int, instance: str) -> ExportMetricsServiceRequest:
    """Return one request: all metrics of tasks; each has one point for each value of each of its labels."""
    return legal.metrics_request(now_ns, instance, SERVICE, CATALOGUE, LABELS)


def request(signal: str, now_ns: int, instance: str) -> Any:
    """Return everything that the service may send of a signal."""
    return {"traces": traces, "logs": logs, "metrics": metrics}[signal](now_ns, instance)
