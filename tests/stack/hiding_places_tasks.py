"""The places in which text can hide in what tasks and their workers send: the service koubou.

Resource, scope and what else is the same for every service stands in hiding_places.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from egoscope.convert import semconv as s
from tests.stack import legal, legal_tasks
from tests.stack.hiding_places import (
    NAME,
    SECRET,
    Place,
    in_attribute,
    in_attributes,
    in_field,
    item_of,
    labels_of_first,
    of_what_no_metric_has,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS_KEYS: Final = (
    s.EMOTION_PRIMARY, s.SESSION_ID, s.MCP_METHOD_NAME, s.GEN_AI_TOOL_NAME, s.GEN_AI_AGENT_NAME, s.FLOW_NODE,
    s.AGENT_MEMORY_OPERATION, s.LEVEL,
)  # fmt: skip
"""What only ego-mcp, agents and flows may say."""
_CHOSEN: Final = (
    f"task_{NAME}", f"retry_{NAME}_073337", f"task_00006_{NAME}", f"task_00006 {NAME}", f"t-{NAME}", f"task-{NAME}",
    f"task_00006\n{NAME}", f"task-20250901-073337-{NAME}",
)  # fmt: skip
"""Ids that somebody chose and that begin or end as Koubou's own."""


def _attributes_of(request: Any) -> Any:
    return item_of(request).attributes


def _event_of(request: Any) -> Any:
    return item_of(request).events[0]


def _chosen_ids(signal: str) -> Iterator[Place]:
    for text in _CHOSEN:

        def plant(request: Any, text: str = text) -> None:
            write(_attributes_of(request), s.TASK_ID, "name")
            next(one for one in _attributes_of(request) if one.key == s.TASK_ID).value.string_value = text

        yield Place(f"{signal}: task id '{text}'", signal, "attribute", plant)


def _spans() -> Iterator[Place]:
    yield from _chosen_ids("traces")
    yield from in_attributes("span attribute", "traces", "attribute", _attributes_of, [*legal_tasks.full()])
    for key in _OTHERS_KEYS:
        yield in_attribute((f"span attribute of others {key}", "traces", "attribute"), _attributes_of, key, "name")
    for key in (s.TASK_PRIORITY, s.TASK_OUTCOME, s.TASK_WORKER_STATE, s.TASK_WORKER_SINCE, s.ERROR_TYPE, s.UNPARSABLE):
        place = (f"span attribute {key} that looks like one", "traces", "attribute")
        yield in_attribute(place, _attributes_of, key, "name")
    for text in (NAME, SECRET, f"task {NAME}", f"tools/call {NAME}", f"invoke_agent {NAME}", f"task.{NAME}"):
        yield in_field((f"span name '{text}'", "traces", "span name"), item_of, "name", text)
    for text in (NAME, SECRET, f"task.{NAME}", f"task.started {NAME}", f"{NAME}_told"):
        yield in_field((f"event name '{text}'", "traces", "event name"), _event_of, "name", text)
    keys = (s.TASK_WORKER, s.TASK_ID, s.LOGGER)
    yield from in_attributes("event attribute", "traces", "attribute", lambda r: _event_of(r).attributes, keys)
    for text in (SECRET, f"{NAME} idle", f"task_00006 started by {NAME}"):

        def plant(request: Any, text: str = text) -> None:
            legal.put(_event_of(request).attributes, {s.MESSAGE: text})

        yield Place(f"event message '{text}'", "traces", "sentence", plant)
    yield in_field(("status message", "traces", "status message"), lambda r: item_of(r).status, "message")
    yield in_field(("trace state", "traces", "trace state"), item_of, "trace_state")


def _logs() -> Iterator[Place]:
    task, worker = "task_00006", "worker_2"
    for body in (
        "{secret}", "{task} {secret}", "{secret} created", "{other} created", "task_{other} created",
        "{task} started by {secret}", "{task} started by {other}", "{task} started by {worker} {secret}",
        "{other} started by {worker}", "{task} returned to the queue: {secret}", "{task} completed in 12 ms: {secret}",
        "{task} completed in {secret} ms", "{task} failed after 12 ms {secret}", "{task} created\n{secret}",
        "{secret}\n{task} created", "{worker} {secret}", "{other} idle", "{worker}_{other} idle", "{worker} {other}",
        "{worker} busy with {secret}", "{worker} busy with {other}", "{worker} busy with {task} {secret}",
        "{other} busy with {task}", "{worker} idle\n{secret}", "{other} completed in 12 ms",
        "Redaction audit: kept {secret}",
    ):  # fmt: skip
        text = body.format(task=task, worker=worker, other=NAME, secret=SECRET)
        yield in_field((f"body '{body}'", "logs", "sentence"), lambda r: item_of(r).body, "string_value", text)
    yield in_field(("severity text", "logs", "severity text"), item_of, "severity_text")
    yield in_field(("event name of a log record", "logs", "event name"), item_of, "event_name")
    yield from _chosen_ids("logs")
    keys = (*legal_tasks.full(), s.LOGGER, s.MESSAGE)
    yield from in_attributes("log attribute", "logs", "attribute", _attributes_of, keys)
    for logger in ("name", "text"):
        place = (f"logger that is a {logger}", "logs", "attribute")
        yield in_attribute(place, _attributes_of, s.LOGGER, logger)


def _metrics() -> Iterator[Place]:
    for name in (SECRET, f"task.{NAME}", f"task.worker.{NAME}", f"agent.{NAME}", f"ego.{NAME}"):
        yield in_field((f"metric name {name}", "metrics", "metric name"), item_of, "name", name)
    yield in_field(("metric unit", "metrics", "metric unit"), item_of, "unit")
    yield in_field(("metric description", "metrics", "metric description"), item_of, "description")
    yield in_attribute(("metric metadata", "metrics", "metric metadata"), lambda r: item_of(r).metadata, "diary")
    labels = [label for one in legal_tasks.CATALOGUE for label in one.attributes]
    for kind in ("sum", "gauge"):
        yield from in_attributes(
            f"{kind} label", "metrics", "point attribute", labels_of_first(kind), list(dict.fromkeys(labels))
        )
    others = (s.TOOL, s.DESIRE, s.AGENT, s.FLOW, s.GROUP)
    for key in (s.PRIORITY, s.STATE, s.LABEL_OUTCOME, *others):
        place = (f"label {key} that looks like one", "metrics", "point attribute")
        yield in_attribute(place, labels_of_first("sum"), key, "name")
    yield from of_what_no_metric_has()


TASK_PLACES: Final = [
    replace(place, name=f"koubou: {place.name}", service=legal_tasks.SERVICE)
    for place in (*_spans(), *_logs(), *_metrics())
]
