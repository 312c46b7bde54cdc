"""Real, unchanged flows of the real illumo-flow, recorded by egoscope's tracers; no model and no network.

The release on the package index (0.1.4) has no tracers, no `FlowRuntime` and no command; its repository has (0.1.5).
`EGOSCOPE_ILLUMO_FLOW` names the directory of such a checkout that holds the package (its `src`): the tests run with
that too, and are skipped by name without it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from egoscope.convert import semconv as s
from egoscope.errors import ConfigError
from egoscope.tracerdb import OtelTracer, SQLiteTracer, SQLiteTracerDB
from egoscope.tracerdb.flow_command import make_tracer
from tests.stack.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from egoscope.tracerdb.illumo import FlowTracer
    from tests.stack.fake_tempo import FakeTempo

CHECKOUT = os.environ.get("EGOSCOPE_ILLUMO_FLOW", "")
PLANTED = "planted-private-text"
COMMAND = [sys.executable, "-m", "egoscope.tracerdb", "run", "flow.yaml"]

OPERATIONS = f"""
def extract(payload):
    return {{"customer": "{PLANTED}"}}

def transform(payload):
    return {{**payload, "normalised": True}}

def fail(payload):
    raise KeyError("{PLANTED}")
"""

FLOW = """
flow:
  entry: extract
  nodes:
    extract:
      type: illumo_flow.core.FunctionNode
      context: {inputs: {callable: operations.extract}, outputs: $ctx.data.raw}
    transform:
      type: illumo_flow.core.FunctionNode
      context: {inputs: {callable: operations.transform, payload: $ctx.data.raw}, outputs: $ctx.data.done}
  edges: [extract >> transform]
"""


@pytest.fixture(
    params=[
        pytest.param("", id="the release on the package index"),
        pytest.param(
            CHECKOUT,
            id="a checkout with FlowRuntime",
            marks=pytest.mark.skipif(
                not CHECKOUT, reason="EGOSCOPE_ILLUMO_FLOW names no checkout of illumo-flow 0.1.5"
            ),
        ),
    ]
)
def illumo(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that a program finds this illumo-flow in."""
    return {**os.environ, "PYTHONPATH": request.param}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a flow as somebody wrote it who knows nothing of egoscope."""
    (tmp_path / "operations.py").write_text(OPERATIONS)
    (tmp_path / "flow.yaml").write_text(FLOW)
    return tmp_path


def run(
    directory: Path, environment: Mapping[str, str], *arguments: str, command: list[str] = COMMAND
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def spans_of(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) | {"attributes": json.loads(row["attributes"])} for row in db.execute("SELECT * FROM spans")]


def test_its_command_line_records_into_a_file(directory: Path, illumo: dict[str, str]) -> None:
    done = run(directory, illumo, "--tracer", "sqlite", "--tracer-arg", "db_path=traces.db", "--context", "{}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["data"]["done"]["normalised"] is True
    spans = {(one["attributes"]["agent.flow.kind"], one["name"]): one for one in spans_of(directory / "traces.db")}
    assert set(spans) == {("flow", "extract"), ("node", "extract"), ("node", "transform")}
    flow = spans["flow", "extract"]
    assert [one["parent_id"] for one in spans.values()] == [None, flow["span_id"], flow["span_id"]]
    assert {one["trace_id"] for one in spans.values()} == {flow["trace_id"]}
    assert {one["status"] for one in spans.values()} == {"OK"}
    assert flow["start"] <= spans["node", "transform"]["start"] <= spans["node", "transform"]["end"] <= flow["end"]
    assert spans["node", "transform"]["attributes"]["agent.flow.node_type"] == "FunctionNode"
    assert PLANTED.encode() not in (directory / "traces.db").read_bytes()


def test_its_command_line_sends_by_otlp(directory: Path, illumo: dict[str, str], tempo: FakeTempo) -> None:
    endpoint = f"exporter_endpoint=http://127.0.0.1:{tempo.port}"
    done = run(directory, illumo, "--tracer", "otel", "--tracer-arg", endpoint, "--tracer-arg", "service_name=my-flows")
    assert done.returncode == 0, done.stderr
    assert sorted(span.name for span in tempo.spans()) == ["extract", "extract", "transform"]
    (flow,) = [span for span in tempo.spans() if not span.parent_span_id]
    assert {span.parent_span_id for span in tempo.spans()} == {b"", flow.span_id}
    assert {
        one.value.string_value
        for one in tempo.requests()[0].resource_spans[0].resource.attributes
        if one.key == s.SERVICE_NAME
    } == {"my-flows"}
    assert PLANTED.encode() not in tempo.raw()


def test_a_flow_runs_as_well_while_nobody_takes_its_spans(directory: Path, illumo: dict[str, str]) -> None:
    (port,) = free_ports(1)
    done = run(directory, illumo, "--tracer", "otel", "--tracer-arg", f"exporter_endpoint=127.0.0.1:{port}")
    assert done.returncode == 0
    assert "3 spans could not be sent (UNAVAILABLE) and are lost" in done.stderr


def test_a_node_that_fails_is_recorded_by_its_type_and_not_by_its_text(directory: Path, illumo: dict[str, str]) -> None:
    (directory / "flow.yaml").write_text(FLOW.replace("operations.transform", "operations.fail"))
    done = run(directory, illumo, "--tracer", "sqlite", "--tracer-arg", "db_path=traces.db")
    assert done.returncode == 1
    failed = {one["name"]: one for one in spans_of(directory / "traces.db") if one["status"] == "ERROR"}
    assert set(failed) == {"extract", "transform"}  # the flow, called by its entry, and the node
    assert failed["transform"]["attributes"]["agent.flow.failure_type"] == "KeyError"
    assert PLANTED.encode() not in (directory / "traces.db").read_bytes()


def test_content_is_kept_where_it_is_asked_for_by_name(directory: Path, illumo: dict[str, str]) -> None:
    (directory / "flow.yaml").write_text(FLOW.replace("operations.transform", "operations.fail"))
    arguments = ["--tracer-arg", "db_path=traces.db", "--tracer-arg", "capture=error"]
    assert run(directory, illumo, "--tracer", "sqlite", *arguments).returncode == 1
    assert {PLANTED in one["attributes"].get("agent.flow.error", "") for one in spans_of(directory / "traces.db")} == {
        True,
        False,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--tracer-arg", "db=t.db"], "capture, db_path as KEY", id="an argument the tracer does not know"),
        pytest.param(["--tracer-arg", "db_path"], "KEY=VALUE", id="an argument without a value"),
        pytest.param(["--tracer-arg", "capture=everything"], "error, failure_summary", id="content that is none"),
        pytest.param(["--tracer-arg", "db_path=flow.yaml"], "no SQLite database", id="a file that is another's"),
    ],
)
def test_a_wrong_argument_is_named_before_the_flow_runs(directory: Path, arguments: list[str], says: str) -> None:
    done = run(directory, os.environ, "--tracer", "sqlite", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not CHECKOUT, reason="EGOSCOPE_ILLUMO_FLOW names no checkout of illumo-flow 0.1.5")
def test_flow_runtime_takes_the_tracer(directory: Path) -> None:
    """And what a node retried or asked of a policy stands in events and attributes."""
    code = """
from egoscope.tracerdb.flow_command import import_illumo
import_illumo()
from illumo_flow import Flow, FlowRuntime, Policy, Retry
from egoscope.tracerdb import SQLiteTracer, SQLiteTracerDB
FlowRuntime.configure(tracer=SQLiteTracer(db=SQLiteTracerDB("traces.db")), policy=Policy(retry=Retry(max_attempts=2)))
try:
    Flow.from_config("flow.yaml").run({})
except KeyError:
    pass
import os; os._exit(0)  # no close, no exit handlers: a flow that ended is in the file
"""
    (directory / "flow.yaml").write_text(FLOW.replace("operations.transform", "operations.fail"))
    done = run(
        directory, {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}."}, command=[sys.executable, "-c", code]
    )
    assert done.returncode == 0, done.stderr
    node = next(one for one in spans_of(directory / "traces.db") if one["name"] == "transform")
    assert node["attributes"]["agent.flow.policy.retry.max_attempts"] == 2
    with closing(sqlite3.connect(directory / "traces.db")) as db:
        events = db.execute("SELECT name, attributes ->> '$.\"agent.flow.attempt\"' FROM events ORDER BY id").fetchall()
    assert events[:2] == [("node.retry", 1), ("node.retry", 2)]
    assert PLANTED.encode() not in (directory / "traces.db").read_bytes()


SPAN = {
    "trace_id": "1" * 32,
    "span_id": "2" * 32,
    "parent_span_id": None,
    "service_name": "illumo-flow",
    "kind": "flow",
    "name": "chat",
    "attributes": {"entry": "chat", "input_preview": PLANTED, "policy_snapshot": {"fail_fast": True, "x": PLANTED}},
    "start_time": "2026-11-20T04:17:08.620993",
}
ENDED = {**SPAN, "end_time": "2026-11-20T04:17:09", "status": "OK"}
EVENT = {
    "span_id": "2" * 32,
    "timestamp": "2026-11-20T04:17:08.700000",
    "event_type": "agent_input",
    "level": "info",
    "message": PLANTED,
    "attributes": {"node_id": "chat", "instructions": PLANTED},
}


def test_times_are_utc_and_attributes_are_an_allow_list(tmp_path: Path) -> None:
    tracer = SQLiteTracer(db_path=tmp_path / "t.db")
    tracer.on_span_start(SPAN)
    tracer.on_event(EVENT)
    tracer.on_span_end(ENDED)
    (span,) = spans_of(tmp_path / "t.db")
    assert (span["start"], span["end"]) == (1_795_148_228_620_993_000, 1_795_148_229_000_000_000)
    assert span["attributes"] == {
        "agent.flow.entry": "chat",
        "agent.flow.policy.fail_fast": True,
        "agent.flow.kind": "flow",
        "agent.flow.service_name": "illumo-flow",
    }
    tracer.close()
    assert PLANTED.encode() not in (tmp_path / "t.db").read_bytes()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="nothing in it"),
        pytest.param({**SPAN, "attributes": PLANTED, "start_time": PLANTED, "status": PLANTED}, id="other types"),
        pytest.param({**SPAN, "name": object(), "attributes": {1: {2: object()}}}, id="objects"),
    ],
)
def test_a_tracer_never_raises_into_a_flow_nor_logs_its_content(
    tmp_path: Path, broken: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tracer = SQLiteTracer(db_path=tmp_path / "t.db")
    for call in (tracer.on_span_start, tracer.on_event, tracer.on_span_end):
        call(broken)
    tracer.close()
    for call in (tracer.on_span_start, tracer.on_event, tracer.on_span_end):
        call(ENDED)
    assert not tracer.flush()
    assert "not connected" in caplog.text
    assert PLANTED not in caplog.text


def test_any_tracer_db_can_be_given_to_both(tmp_path: Path) -> None:
    for number, make in enumerate((SQLiteTracer, OtelTracer)):
        tracer: FlowTracer = make(db=SQLiteTracerDB(tmp_path / f"{number}.db"))
        tracer.on_span_end(ENDED)
        tracer.close()
        assert len(spans_of(tmp_path / f"{number}.db")) == 1


@pytest.mark.parametrize("capture", [["everything"], "message"])
def test_capture_takes_a_collection_of_known_names(capture: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="message"):
        SQLiteTracer(db_path=tmp_path / "t.db", capture=capture)


def test_tracer_arguments_make_the_tracer(tmp_path: Path) -> None:
    tracer = make_tracer("sqlite", [f"db_path={tmp_path}/a=b.db", "capture=message,error"])
    tracer.on_event(EVENT)
    tracer.close()
    with closing(sqlite3.connect(tmp_path / "a=b.db")) as db:
        assert db.execute("SELECT attributes ->> '$.\"agent.flow.message\"' FROM events").fetchall() == [(PLANTED,)]
