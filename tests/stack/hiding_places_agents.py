"""The places in which text can hide in what agents and flows send: the services kagura and illumo.

Resource, scope and what else is the same for every service stands in hiding_places.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from egoscope.convert import semconv as s
from tests.stack import legal, legal_agents
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
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stack.legal_agents import Service

_OTHERS_KEYS: Final = (s.EMOTION_PRIMARY, s.PERSON, s.SESSION_ID, s.MCP_METHOD_NAME, s.TASK_ID, s.TASK_WORKER)
"""What only ego-mcp or tasks may say."""


def _attributes_of(request: Any) -> Any:
    return item_of(request).attributes


def _event_of(request: Any) -> Any:
    return item_of(request).events[0]


def _named(name: str, attributes: legal_agents.Attributes) -> Callable[[Any], None]:
    """Return what gives a span another name and attributes that are legal by themselves."""

    def plant(request: Any) -> None:
        span = item_of(request)
        span.name = name
        del span.attributes[:]
        legal.put(span.attributes, attributes)

    return plant


def _spans_of_kagura() -> Iterator[Place]:
    agent: legal_agents.Attributes = {s.GEN_AI_AGENT_NAME: "my_agent"}
    spans: list[tuple[str, legal_agents.Attributes]] = [
        ("invoke_agent {}", {s.GEN_AI_OPERATION_NAME: "invoke_agent"}),
        ("chat {}", {s.GEN_AI_OPERATION_NAME: "chat", s.GEN_AI_REQUEST_MODEL: "gpt-4.1-nano"}),
        ("execute_tool {}", {s.GEN_AI_OPERATION_NAME: "execute_tool", s.GEN_AI_TOOL_NAME: "file_read"}),
        ("memory {}", {s.AGENT_MEMORY_OPERATION: "lookup"}),
        ("tools/call {}", {}),
        ("{}", {}),
    ]
    for form, attributes in spans:
        for text in (NAME, SECRET):
            name = form.format(text)
            yield Place(f"span name '{name}'", "traces", "span name", _named(name, agent | attributes))
    known = "tools/call recall"  # of ego-mcp alone
    yield Place(f"{known} behind which a name stands", "traces", "span name", _named(f"{known} {NAME}", agent))
    place = ("event of an execution", "traces", "event name")

    def new_event_of(request: Any) -> Any:
        return item_of(request).events.add()

    yield in_field(place, new_event_of, "name", NAME)


def _spans_of_illumo() -> Iterator[Place]:
    for text in (NAME, SECRET, f"draft {SECRET}", f"memory {NAME}", f"tools/call {NAME}"):
        yield in_field((f"span name '{text}'", "traces", "span name"), item_of, "name", text)
    for key in (s.FLOW_NODE, s.FLOW_NAME):
        place = (f"span name and {key}", "traces", "attribute")
        yield Place(*place, _named(SECRET, {key: SECRET}))
    for text in (SECRET, f"{NAME} told", "Ro:" + NAME, NAME * 9):
        yield in_field((f"event name '{text}'", "traces", "event name"), _event_of, "name", text)
    keys = (*legal_agents.event_attributes(), s.LOGGER, s.ERROR_TYPE)
    yield from in_attributes("event attribute", "traces", "attribute", lambda r: _event_of(r).attributes, keys)
    for text in (SECRET, f"{NAME} completed in 24 ms"):

        def plant(request: Any, text: str = text) -> None:
            legal.put(_event_of(request).attributes, {s.MESSAGE: text})

        yield Place(f"event message '{text}'", "traces", "sentence", plant)


def _spans(service: Service) -> Iterator[Place]:
    yield from in_attributes("span attribute", "traces", "attribute", _attributes_of, [*legal_agents.full(service)])
    for key in _OTHERS_KEYS:
        yield in_attribute((f"span attribute of others {key}", "traces", "attribute"), _attributes_of, key, "name")
    for key in (s.GEN_AI_OPERATION_NAME, s.GEN_AI_PROVIDER_NAME, s.AGENT_OUTCOME, s.ERROR_TYPE, s.LEVEL, s.UNPARSABLE):
        place = (f"span attribute {key} that looks like one", "traces", "attribute")
        yield in_attribute(place, _attributes_of, key, "name")
    yield in_field(("status message", "traces", "status message"), lambda r: item_of(r).status, "message")
    yield in_field(("trace state", "traces", "trace state"), item_of, "trace_state")
    yield from _spans_of_kagura() if service == "kagura" else _spans_of_illumo()


def _logs(service: Service) -> Iterator[Place]:
    name = "my_agent" if service == "kagura" else "draft"
    for body in (
        "{secret}", "{name} {secret}", "{secret} completed in 24 ms", "{name} completed in 24 ms: {secret}",
        "{name} failed after 24 ms {secret}", "{name} failed after {secret} ms", "{other} completed in 24 ms",
        "{other} failed after 24 ms", "{other} unfinished", "{name}_{other} unfinished", "{other} called",
        "{name} unfinished\n{secret}", "{secret}\n{name} unfinished", "Redaction audit: kept {secret}",
    ):  # fmt: skip
        text = body.format(name=name, other=NAME, secret=SECRET)
        yield in_field((f"body '{body}'", "logs", "sentence"), lambda r: item_of(r).body, "string_value", text)
    yield in_field(("severity text", "logs", "severity text"), item_of, "severity_text")
    yield in_field(("event name of a log record", "logs", "event name"), item_of, "event_name")
    keys = (*legal_agents.full(service), s.LOGGER, s.MESSAGE)
    yield from in_attributes("log attribute", "logs", "attribute", _attributes_of, keys)
    yield in_attribute(("logger that looks like one", "logs", "attribute"), _attributes_of, s.LOGGER, "name")


def _metrics(service: Service) -> Iterator[Place]:
    for name in (SECRET, "agent.rosalind", "agent.flow.rosalind", "ego.rosalind"):
        yield in_field((f"metric name {name}", "metrics", "metric name"), item_of, "name", name)
    yield in_field(("metric unit", "metrics", "metric unit"), item_of, "unit")
    yield in_field(("metric description", "metrics", "metric description"), item_of, "description")
    yield in_attribute(("metric metadata", "metrics", "metric metadata"), lambda r: item_of(r).metadata, "diary")
    labels = [label for one in legal_agents.CATALOGUE[service] for label in one.attributes]
    for kind in ("histogram", "sum", "gauge"):
        yield from in_attributes(
            f"{kind} label", "metrics", "point attribute", labels_of_first(kind), list(dict.fromkeys(labels))
        )
    for key in (
        s.LABEL_OUTCOME,
        s.GEN_AI_OPERATION_NAME,
        s.GEN_AI_TOKEN_TYPE,
        s.GEN_AI_PROVIDER_NAME,
        s.TOOL,
        s.DESIRE,
    ):
        place = (f"label {key} that looks like one", "metrics", "point attribute")
        yield in_attribute(place, labels_of_first("sum"), key, "name")
    yield from of_what_no_metric_has()


def _all() -> Iterator[Place]:
    services: tuple[Service, ...] = ("kagura", "illumo")
    for service in services:
        for place in (*_spans(service), *_logs(service), *_metrics(service)):
            yield replace(place, name=f"{service}: {place.name}", service=service)


AGENT_PLACES: Final = [*_all()]
