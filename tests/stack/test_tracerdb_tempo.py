"""`TempoTracerDB` in a real Tempo where one is found, else in a receiver of the same protocol."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from egoscope.tracerdb import EventData, OtelTracer, SpanData, TempoTracerDB
from tests.stack.backends import Tempo
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import MissingServerError, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1 import trace_pb2


class Traces(Protocol):
    """Where spans can be sent and asked for again."""

    endpoint: str

    def spans(self, trace_id: str) -> dict[str, tuple[bytes, bytes, list[str]]]:
        """Return id, parent and events of each span by its name."""
        ...


class RealTempo:
    """By its HTTP interface."""

    def __init__(self, tempo: Tempo) -> None:
        self._tempo = tempo
        self.endpoint = f"http://127.0.0.1:{tempo.port}"

    def spans(self, trace_id: str) -> dict[str, tuple[bytes, bytes, list[str]]]:
        """See `Traces.spans`."""
        trace: Any = self._tempo.trace(trace_id) or {}
        return {
            span["name"]: (
                base64.b64decode(span["spanId"]),
                base64.b64decode(span.get("parentSpanId", "")),
                [event["name"] for event in span.get("events", ())],
            )
            for resource in trace.get("resourceSpans", ())
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        }


class Receiver:
    """By what it remembers."""

    def __init__(self, fake: FakeTempo) -> None:
        self._fake = fake
        self.endpoint = f"http://127.0.0.1:{fake.port}"

    def spans(self, trace_id: str) -> dict[str, tuple[bytes, bytes, list[str]]]:
        """See `Traces.spans`."""
        found: list[trace_pb2.Span] = [span for span in self._fake.spans() if span.trace_id.hex() == trace_id]
        return {span.name: (span.span_id, span.parent_span_id, [one.name for one in span.events]) for span in found}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
    """A real Tempo, or the receiver."""
    port, http_port, grpc_port = free_ports(3)
    try:
        tempo = Tempo(tmp_path_factory.mktemp("tempo"), port, http_port, grpc_port)
    except MissingServerError:
        fake = FakeTempo(port)
        fake.start()
        yield Receiver(fake)
        fake.stop()
        return
    tempo.start()
    try:
        yield RealTempo(tempo)
    finally:
        tempo.stop()


def test_a_trace_is_there_with_its_parents_and_events(traces: Traces) -> None:
    trace_id, root, child = os.urandom(16).hex(), os.urandom(8).hex(), os.urandom(8).hex()
    now = time.time_ns()
    with TempoTracerDB(traces.endpoint, service_name="contract") as db:
        db.record_span(SpanData(trace_id=trace_id, span_id=root, name="root", start=now))
        db.record_span(
            SpanData(trace_id=trace_id, span_id=child, parent_id=root, name="child", start=now, end=now + 1000)
        )
        db.record_event(child, EventData(name="step", timestamp=now + 500))
        db.record_span(SpanData(trace_id=trace_id, span_id=root, name="root", start=now, end=now + 2000, status="OK"))
        db.flush()
    wait_for(lambda: len(traces.spans(trace_id)) == 2, what="the trace is there by its id")
    assert traces.spans(trace_id) == {
        "root": (bytes.fromhex(root), b"", []),
        "child": (bytes.fromhex(child), bytes.fromhex(root), ["step"]),
    }


def test_a_flow_of_illumo_is_found_by_the_trace_id_that_illumo_prints(traces: Traces) -> None:
    """Its span ids are twice as long as Tempo's: derived, so that parents still fit."""
    trace_id, flow, node = (os.urandom(16).hex() for _ in range(3))
    times = {"start_time": "2026-11-21T10:00:00.000001", "end_time": "2026-11-21T10:00:01", "status": "OK"}
    tracer = OtelTracer(exporter_endpoint=traces.endpoint)
    tracer.on_span_end({"trace_id": trace_id, "span_id": node, "parent_span_id": flow, "name": "node", **times})
    tracer.on_span_end({"trace_id": trace_id, "span_id": flow, "parent_span_id": None, "name": "flow", **times})
    assert tracer.flush()
    tracer.close()
    wait_for(lambda: len(traces.spans(trace_id)) == 2, what="the trace is there by its id")
    spans = traces.spans(trace_id)
    assert spans["node"][1] == spans["flow"][0]
    assert len(spans["flow"][0]) == 8
