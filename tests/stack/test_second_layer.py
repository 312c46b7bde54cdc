"""The Collector's own redaction, without the sidecar: raw OTLP with a secret in one place after the other.

Whatever the first layer may do wrong, the secret is in no back end, and the removal is counted with its place.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from tests.stack import legal, legal_agents, legal_tasks
from tests.stack.hiding_places import NAME, PLACES, SECRET, Place, first_of, item_of, items_of, points_of
from tests.stack.hiding_places_agents import AGENT_PLACES
from tests.stack.hiding_places_tasks import TASK_PLACES
from tests.stack.processes import ANSWER_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.servers import Stack

SERVICES: Final = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}


class Sender:
    """Sends requests to the Collector as the sidecar would."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.insecure_channel(endpoint)

    def send(self, signal: str, request: Any) -> None:
        """Send one request and wait for its acknowledgement; a refusal raises grpc.RpcError."""
        self._channel.unary_unary(f"/{SERVICES[signal]}/Export")(request.SerializeToString(), timeout=ANSWER_S)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


@pytest.fixture(scope="module")
def sender(stack: Stack) -> Iterator[Sender]:
    """Connect to the Collector."""
    opened = Sender(stack.collector.endpoint)
    yield opened
    opened.close()


def secrets_in(stack: Stack, since_ns: int) -> list[str]:
    """Name the back ends that hold the secret among what came since then."""
    found: list[str] = []
    if NAME.encode() in stack.tempo.raw().lower():
        found.append("tempo")
    if NAME in stack.loki.everything(since_ns / 1e9, time.time() + 60).casefold():
        found.append("loki")
    series = stack.prometheus.series('{__name__=~".+", job!~"prometheus|loki"}', since_ns // 1_000_000 / 1000)
    if NAME in str(series).casefold():
        found.append("prometheus")
    return found


def legal_request(signal: str, service: str = "ego-mcp") -> tuple[int, str, Any]:
    """Return a time (ns), an instance and a request of everything that is legal, at that time, of that instance."""
    now_ns = time.time_ns()
    instance = f"{now_ns:016x}"
    match service:
        case "kagura" | "illumo":
            return now_ns, instance, legal_agents.request(signal, now_ns, instance, service)
        case legal_tasks.SERVICE:
            return now_ns, instance, legal_tasks.request(signal, now_ns, instance)
        case _:
            return now_ns, instance, getattr(legal, signal)(now_ns, instance)


ALL_SERVICES: Final = pytest.mark.parametrize("service", ["ego-mcp", "kagura", "illumo", "koubou"])


@ALL_SERVICES
def test_every_span_that_is_legal_passes_unchanged(stack: Stack, sender: Sender, service: str) -> None:
    """The second list knows every tool, emotion, error, phase and sentence of the first, and how names are formed."""
    _, _, request = legal_request("traces", service)
    before = stack.collector.removals()
    stack.tempo.clear()
    sender.send("traces", request)
    assert stack.tempo.requests() == [request]
    assert stack.collector.removals() == before


@ALL_SERVICES
def test_every_log_record_that_is_legal_passes_unchanged(stack: Stack, sender: Sender, service: str) -> None:
    """The second list knows every sentence, level and logger of the first."""
    now_ns, instance, request = legal_request("logs", service)
    before = stack.collector.removals()
    sender.send("logs", request)
    entries = stack.loki.entries(f'{{service_instance_id="{instance}"}}', now_ns / 1e9 - 1, now_ns / 1e9 + 10)
    for entry, record in zip(entries, items_of(request), strict=True):
        assert entry.line == record.body.string_value
        assert {attribute.key.replace(".", "_") for attribute in record.attributes} <= set(entry.labels)
        assert "REDACTED" not in entry.labels.values()
    assert stack.collector.removals() == before


def test_every_metric_of_the_catalogue_is_somebodys() -> None:
    """Else the rule below would not hold of it."""
    of_agents = [*legal_agents.CATALOGUE["kagura"], *legal_agents.CATALOGUE["illumo"]]
    told = [*legal.OWN_METRICS, *of_agents, *legal_tasks.CATALOGUE]
    assert {metric.name for metric in told} == {metric.name for metric in legal.METRICS}


@ALL_SERVICES
def test_every_point_of_the_catalogue_passes(stack: Stack, sender: Sender, service: str) -> None:
    """The second list knows every metric, with its unit and description, and every value of every label."""
    now_ns, instance, request = legal_request("metrics", service)
    before = stack.collector.removals()
    sender.send("metrics", request)
    catalogue = {metric.name: metric for metric in legal.METRICS}
    for sent in items_of(request):
        metric = catalogue[sent.name]
        name = metric.prometheus + ("_count" if metric.kind is legal.Kind.HISTOGRAM else "")
        stored = stack.prometheus.query(f'{name}{{instance="{instance}"}}', at=now_ns / 1e9 + 1)
        assert len(stored) == len(points_of(sent)), name
    assert stack.collector.removals() == before


@pytest.mark.parametrize(
    "place",
    [pytest.param(place, id=f"no secret passes in: {place.name}") for place in (*PLACES, *AGENT_PLACES, *TASK_PLACES)],
)
def test_a_secret_reaches_no_back_end_and_is_counted(stack: Stack, sender: Sender, place: Place) -> None:
    """Each place of an OTLP request that can hold text is held to a list, whatever it holds."""
    now_ns, _, request = legal_request(place.signal, place.service)
    place.plant(first_of(request))
    assert NAME.encode() in request.SerializeToString().lower()
    counted = (place.signal, place.mark)
    before = stack.collector.removals().get(counted, 0)
    stack.tempo.clear()
    sender.send(place.signal, request)
    assert secrets_in(stack, now_ns) == []
    assert stack.collector.removals().get(counted, 0) > before


def test_no_file_of_any_server_holds_a_secret(stack: Stack) -> None:
    """After all the cases above: not in logs, not in write-ahead logs, not in metadata or exemplars."""
    assert NAME not in stack.prometheus.everything().casefold()
    found: list[Path] = []
    for folder, _, names in os.walk(stack.directory):  # passes over what servers tidy up while they run
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and NAME.encode() in path.read_bytes().lower():
                    found.append(path)
    assert found == []


def test_removals_are_a_series_in_prometheus(stack: Stack, sender: Sender) -> None:
    """The alarm about the first layer can be queried, by signal and place."""
    _, _, request = legal_request("traces")
    item_of(first_of(request)).name = SECRET
    sender.send("traces", request)
    query = 'egoscope_second_layer_removals_total{job="otelcol", signal="traces", place="span name"}'
    wait_for(lambda: (stack.prometheus.value(query) or 0) > 0, what="the removal is counted in Prometheus")
