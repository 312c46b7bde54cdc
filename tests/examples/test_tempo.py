"""Where a run's trace goes with `--tracer otel`: to whom the endpoint names, or to nobody, which is said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from examples.multi_agent.coding_assistant.__main__ import main
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import free_ports

if TYPE_CHECKING:
    import pytest

PATCHES: Final = 3


def options_for(port: int) -> list[str]:
    """Have no diff fit, and the trace sent to this port."""
    return ["--recorded", "bad_diff", "--tracer", "otel", "--tracer-arg", f"exporter_endpoint=http://127.0.0.1:{port}"]


def test_retries_and_failures_stand_in_the_trace_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    tempo = FakeTempo(port)
    tempo.start()
    try:
        assert main(options_for(port)) == 1
    finally:
        tempo.stop()
    named = re.search(r"^Trace: ([0-9a-f]{32})\.$", capsys.readouterr().out, re.MULTILINE)
    assert named
    spans = tempo.spans()
    assert {span.trace_id.hex() for span in spans} == {named[1]}
    (flow,) = [span for span in spans if not span.parent_span_id]
    assert flow.name == "coding_assistant"
    assert {span.parent_span_id for span in spans if span is not flow} == {flow.span_id}
    patches = [[event.name for event in span.events] for span in spans if span.name == "patch"]
    assert patches == [["node.retry", "node.retry", "node.error"]] * PATCHES


def test_of_a_trace_that_nobody_takes_it_is_said_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing else: its events did have spans."""
    monkeypatch.setattr("egoscope.tracerdb.tempo.RETRIES", 0)
    (port,) = free_ports(1)
    assert main(options_for(port)) == 1
    said = "18 spans could not be sent (UNAVAILABLE) and are lost"
    assert [record.getMessage() for record in caplog.records] == [
        f"illumo-flow: close not recorded: http://127.0.0.1:{port}: {said}"
    ]
