"""Every place of an OTLP request in which text can hide, each with what plants a secret there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.stack import legal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SECRET: Final = "Rosalind keeps the blue diary 7f3e under the stairs"
NAME: Final = "rosalind"
"""A secret that looks like the identifiers which some lists let through."""
KINDS: Final = ("text", "bytes", "few bytes", "array", "map", "map key")
AGENT_KEYS: Final = (
    "gen_ai.agent.name", "gen_ai.request.model", "agent.memory.operation", "agent.flow.name", "agent.flow.node",
    "egoscope.recorded.span_id", "task.id", "task.worker",
)  # fmt: skip
"""What only agents, flows and tasks may say, in their form: a span of ego-mcp may not."""
RESOURCE_KEYS: Final = (
    "service.name", "service.instance.id", "service.version", "host.name", "egoscope.source",
    "telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One place: `plant` puts the secret there, `mark` is what the second layer calls the place."""

    name: str
    signal: str
    mark: str
    plant: Callable[[Any], None] = field(repr=False)
    service: str = "ego-mcp"
    """Whose legal request it is planted in."""


def resource_of(request: Any) -> Any:
    """Return the one ResourceSpans, ResourceLogs or ResourceMetrics of a request."""
    return getattr(request, request.DESCRIPTOR.fields[0].name)[0]


def resource_attributes_of(request: Any) -> Any:
    """Return the attributes of a request's resource."""
    return resource_of(request).resource.attributes


def holder_of(request: Any) -> Any:
    """Return the one ScopeSpans, ScopeLogs or ScopeMetrics of a request."""
    return next(value[0] for one, value in resource_of(request).ListFields() if one.name.startswith("scope_"))


def scope_of(request: Any) -> Any:
    """Return the one instrumentation scope of a request."""
    return holder_of(request).scope


def items_of(request: Any) -> Any:
    """Return the spans, log records or metrics of a request."""
    names = {"spans", "log_records", "metrics"}
    return next(value for one, value in holder_of(request).ListFields() if one.name in names)


def item_of(request: Any) -> Any:
    """Return the first span, log record or metric of a request."""
    return items_of(request)[0]


def points_of(metric: Any) -> Any:
    """Return the data points of a metric, whatever its kind."""
    return getattr(metric, metric.WhichOneof("data")).data_points


def first_of(request: Any) -> Any:
    """Cut a legal request down to its first items: one place is enough to hide in."""
    match request:
        case ExportTraceServiceRequest() | ExportLogsServiceRequest():
            del items_of(request)[1:]
        case _:
            del items_of(request)[5:]
            for metric in items_of(request):
                del points_of(metric)[1:]
    return request


def labels_of_first(kind: str) -> Callable[[Any], Any]:
    """Return what finds the labels of a request's first metric of a kind."""

    def find(request: Any) -> Any:
        metric = next(metric for metric in items_of(request) if metric.WhichOneof("data") == kind)
        return points_of(metric)[0].attributes

    return find


def write(attributes: Any, key: str, kind: str = "text") -> None:
    """Put the secret under a key, in place of what may be there, as text or hidden in another kind of value."""
    for attribute in [one for one in attributes if one.key == key]:
        attributes.remove(attribute)
    value = attributes.add(key=key).value
    match kind:
        case "text":
            value.string_value = SECRET
        case "bytes":
            value.bytes_value = SECRET.encode()
        case "few bytes":  # so few that their hex digits could be an id
            value.bytes_value = NAME.encode()
        case "name":
            value.string_value = NAME
        case "array":
            value.array_value.values.add().string_value = SECRET
        case "map":
            value.kvlist_value.values.add(key="of").value.string_value = SECRET
        case _:
            value.kvlist_value.values.add(key=SECRET).value.int_value = 1


def in_field(place: tuple[str, str, str], get: Callable[[Any], Any], name: str, text: str = SECRET) -> Place:
    """Return the place that is one string field of the message that `get` finds."""

    def plant(request: Any) -> None:
        setattr(get(request), name, text)

    return Place(*place, plant)


def in_attribute(place: tuple[str, str, str], get: Callable[[Any], Any], key: str, kind: str = "text") -> Place:
    """Return the place that is one attribute of the list that `get` finds."""

    def plant(request: Any) -> None:
        write(get(request), key, kind)

    return Place(*place, plant)


def in_attributes(what: str, signal: str, mark: str, get: Callable[[Any], Any], keys: Sequence[str]) -> Iterator[Place]:
    """Yield each known key, each kind of value, an unknown key, the key itself, a forged mark, a key standing twice."""
    for key in keys:
        yield in_attribute((f"{what} {key}", signal, mark), get, key)
        yield in_attribute((f"{what} {key} as few bytes", signal, mark), get, key, "few bytes")
    for kind in (kind for kind in KINDS[1:] if kind != "few bytes"):
        yield in_attribute((f"{what} {keys[0]} as {kind}", signal, mark), get, keys[0], kind)
    yield in_attribute((f"unknown {what}", signal, mark), get, "diary")
    yield in_attribute((f"key of a {what}", signal, mark), get, SECRET)
    yield in_attribute((f"forged mark as {what}", signal, mark), get, "egoscope.second_layer")

    def twice(request: Any) -> None:
        attributes = get(request)
        if all(one.key != keys[0] for one in attributes):
            write(attributes, keys[0], "text")
        legal.put(attributes, {keys[0]: SECRET})

    yield Place(f"{what} {keys[0]} standing twice", signal, mark, twice)


def everywhere(signal: str) -> Iterator[Place]:
    """Yield the places that every signal has: resource and scope."""
    yield from in_attributes(
        f"{signal}: resource attribute", signal, "resource attribute", resource_attributes_of, RESOURCE_KEYS
    )
    yield in_field((f"{signal}: resource schema url", signal, "resource schema url"), resource_of, "schema_url")
    yield in_field((f"{signal}: scope name", signal, "scope name"), scope_of, "name")
    yield in_field((f"{signal}: scope version", signal, "scope version"), scope_of, "version")
    yield in_field((f"{signal}: scope schema url", signal, "scope schema url"), holder_of, "schema_url")

    def scope_attributes_of(request: Any) -> Any:
        return scope_of(request).attributes

    for key in ("diary", SECRET, "egoscope.second_layer"):
        place = (f"{signal}: scope attribute {key.split()[0]}", signal, "scope attribute")
        yield in_attribute(place, scope_attributes_of, key)


def of_spans() -> Iterator[Place]:
    """Yield the places of a span, its events and its links."""

    def event_of(request: Any) -> Any:
        return item_of(request).events[0]

    def event_attributes_of(request: Any) -> Any:
        return event_of(request).attributes

    def new_link_of(request: Any) -> Any:
        return item_of(request).links.add(trace_id=b"1" * 16, span_id=b"1" * 8)

    def attributes_of(request: Any) -> Any:
        return item_of(request).attributes

    behind = f"tools/call recall {SECRET}"
    yield in_field(("span name", "traces", "span name"), item_of, "name")
    yield in_field(("span name behind a known one", "traces", "span name"), item_of, "name", behind)
    for name in (f"tools/call {NAME}", f"invoke_agent {NAME}", f"memory {NAME}", f"task {NAME}", NAME):
        yield in_field((f"span name {name}", "traces", "span name"), item_of, "name", name)
    for key in AGENT_KEYS:
        yield in_attribute((f"span attribute of agents {key}", "traces", "attribute"), attributes_of, key, "name")
    yield in_attribute(("tool named like one", "traces", "attribute"), attributes_of, "gen_ai.tool.name", "name")
    yield in_field(("event name like an illumo one", "traces", "event name"), event_of, "name", f"{NAME}_told")
    yield in_field(("trace state", "traces", "trace state"), item_of, "trace_state")
    yield in_field(("status message", "traces", "status message"), lambda request: item_of(request).status, "message")
    keys = (*legal.call_attributes(), "signal", "reason")
    yield from in_attributes("span attribute", "traces", "attribute", attributes_of, keys)
    yield in_field(("event name", "traces", "event name"), event_of, "name")
    keys = ("level", "ego.logger", "gen_ai.tool.name", "error.type")
    yield from in_attributes("event attribute", "traces", "attribute", event_attributes_of, keys)
    yield in_attribute(("event message", "traces", "sentence"), event_attributes_of, "ego.message")
    yield in_attribute(("link attribute", "traces", "link"), lambda request: new_link_of(request).attributes, "diary")
    yield in_field(("link trace state", "traces", "link"), new_link_of, "trace_state")


def of_logs() -> Iterator[Place]:
    """Yield the places of a log record."""

    def body_of(request: Any) -> Any:
        return item_of(request).body

    def body_as(kind: str) -> Callable[[Any], None]:
        def plant(request: Any) -> None:
            attributes = type(item_of(request))().attributes
            write(attributes, "body", kind)
            body_of(request).CopyFrom(attributes[0].value)

        return plant

    for body in (
        "{}", "recall called {}", "recall completed in 12 ms, feeling {} 0.70", "recall failed: {}", "{} called",
        "Created episode: {}", "REDACTED\n{}", "{}\nREDACTED", "Redaction audit: kept {}",
        f"{NAME} completed in 12 ms", f"{NAME} unfinished",
    ):  # fmt: skip
        place = (f"body '{body}'", "logs", "sentence")
        yield in_field(place, body_of, "string_value", body.format(SECRET))
    yield Place("body as bytes", "logs", "sentence", body_as("bytes"))
    for kind in ("array", "map", "map key"):
        yield Place(f"body as {kind}", "logs", "attribute", body_as(kind))
    yield in_field(("severity text", "logs", "severity text"), item_of, "severity_text")
    yield in_field(("event name of a log record", "logs", "event name"), item_of, "event_name")
    keys = (*legal.call_attributes(), "ego.logger", "ego.message", "signal", "reason")
    yield from in_attributes("log attribute", "logs", "attribute", lambda r: item_of(r).attributes, keys)


def of_metrics() -> Iterator[Place]:
    """Yield the places of a metric and its points."""
    yield in_field(("metric name", "metrics", "metric name"), item_of, "name")
    yield in_field(("metric name that looks like one", "metrics", "metric name"), item_of, "name", "ego.rosalind")
    yield in_field(("metric unit", "metrics", "metric unit"), item_of, "unit")
    yield in_field(("metric description", "metrics", "metric description"), item_of, "description")
    yield in_attribute(("metric metadata", "metrics", "metric metadata"), lambda r: item_of(r).metadata, "diary")
    for kind in ("histogram", "sum", "gauge"):
        yield from in_attributes(f"{kind} label", "metrics", "point attribute", labels_of_first(kind), [*legal.LABELS])

    yield from of_what_no_metric_has()


def of_what_no_metric_has() -> Iterator[Place]:
    """Yield the places of exemplars and of kinds of metrics that nobody sends."""

    def new_exemplar_of(request: Any) -> Any:
        return points_of(item_of(request))[0].exemplars.add(as_double=1).filtered_attributes

    yield in_attribute(("exemplar", "metrics", "exemplar"), new_exemplar_of, "diary")
    for kind in ("summary", "exponential_histogram"):

        def attributes_of(request: Any, kind: str = kind) -> Any:
            item_of(request).ClearField("data")
            return getattr(item_of(request), kind).data_points.add(time_unix_nano=time.time_ns()).attributes

        yield in_attribute((f"label of a {kind}", "metrics", "metric type"), attributes_of, "diary")


PLACES: Final = [
    *everywhere("traces"), *everywhere("logs"), *everywhere("metrics"), *of_spans(), *of_logs(), *of_metrics(),
]  # fmt: skip
"""All places of the requests of ego-mcp; those of agents and flows stand in hiding_places_agents.py."""
