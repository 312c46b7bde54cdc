"""Trouble of every kind, so that panels which are empty while all is well have something to show."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import grpc

from tests.stack import legal
from tests.stack.filled import HOST_NAME
from tests.stack.hiding_places import SECRET, first_of, item_of
from tests.stack.processes import ANSWER_S, PATIENCE_S, wait_for
from tests.stack.sidecar import append, call, now_line, sidecar_on

if TYPE_CHECKING:
    from tests.stack.fake_tempo import FakeTempo
    from tests.stack.filled import Filled
    from tests.stack.processes import Server

ALERT_S: Final = 2 * PATIENCE_S
TOLD_S: Final = PATIENCE_S
STUCK_S: Final = 7200.0
UNPRICED: Final = "a-model-of-my-own"
FAILURES: Final = 6
"""More than the five within five minutes that dashboards mark as a burst."""


def make_trouble(there: Filled) -> None:
    """Return when every kind of it can be asked for, and everything works again."""
    _fail_calls(there)
    _fail_agents(there)
    _fail_flows(there)
    _fail_tasks(there)
    _refuse_and_misread(there)
    _leak(there)
    _down(there, there.loki, "log_records")
    _down(there, there.prometheus, "metric_points")
    _down(there, there.spans, "spans")
    there.sidecar.wait_until_drained()
    firing = 'count(ALERTS{alertstate="firing"})'
    wait_for(lambda: there.prometheus.value(firing), within_s=ALERT_S, what="an alert fires for what was removed")
    # Told every 15 s: on a quick machine all of the above is over before the second time, and one point is no increase.
    sent = "sum(increase(egoscope_sends_total[10m] anchored)) > 0"
    wait_for(lambda: there.prometheus.value(sent), within_s=TOLD_S, what="requests are counted")


def _fail_calls(there: Filled) -> None:
    """A burst of calls that fail, a private one, and one that has been waiting for its end for too long."""
    failed = now_line("Tool execution failed", level="ERROR", tool_name="recall", exception="ValueError: 1")
    append(there.log, *(line for _ in range(FAILURES) for line in (now_line(tool_name="recall", tool_args={}), failed)))
    private = now_line(tool_name="remember", tool_args={"private": True})
    append(there.log, private, now_line("Tool execution completed", tool_name="remember"))
    append(there.sidecar.logs / "ego-mcp-gone.log", now_line(tool_name="remember", tool_args={}, ahead_s=-1500.0))
    unfinished = 'sum(increase(ego_calls_total{outcome="unfinished"}[15m] anchored))'
    wait_for(lambda: there.prometheus.value(unfinished), within_s=TOLD_S, what="a call is told as unfinished")


def _fail_agents(there: Filled) -> None:
    """An execution that fails, with a model whose price nobody knows, and one that has been running for hours."""
    now = time.time()
    used = [
        {"type": "tool_call", "data": {"tool_name": "web_search", "duration": 0.5}},
        {"type": "memory_operation", "data": {"operation": "store", "duration": 0.1}},
        {
            "type": "llm_call",
            "data": {"model": UNPRICED, "prompt_tokens": 900, "completion_tokens": 90, "duration": 2.0, "cost": 0.0},
        },
    ]
    events = json.dumps([{"timestamp": now, **one} for one in used])
    failed = ("research_agent", now - 3, now, 3.0, "failed", "ValueError: 1", events)
    running = ("notes_agent", now - STUCK_S, None, None, "running", None, "[]")
    with closing(sqlite3.connect(there.kagura, timeout=TOLD_S)) as db, db:
        for row in (failed, running):
            db.execute(
                "INSERT INTO executions (id, agent_name, started_at, ended_at, duration, status, error, events, kwargs,"
                " metrics) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{}', '{}')",
                (f"exec_{uuid4().hex[:8]}", *row),
            )
    unknown = 'sum(increase(agent_cost_unknown_total{model="a-model-of-my-own"}[15m] anchored))'
    wait_for(lambda: there.prometheus.value(unknown), within_s=TOLD_S, what="a call of unknown price is told")
    stuck = f"max(time() - (agent_running_oldest_seconds > 0)) > {STUCK_S - TOLD_S}"
    wait_for(lambda: there.prometheus.value(stuck), within_s=TOLD_S, what="what has been running for long is told")


def _fail_flows(there: Filled) -> None:
    """A run that fails at a node, and one that has been going on for hours."""
    trace, flow = uuid4().hex, uuid4().hex
    now = datetime.now(UTC).replace(tzinfo=None)
    at, long_ago = (one.isoformat(timespec="microseconds") for one in (now, now - timedelta(seconds=STUCK_S)))
    entry = "{'entry': 'greet'}"
    rows = (
        (flow, trace, None, "flow", "chat_bot", entry, "ERROR", at, at),
        (uuid4().hex, trace, flow, "node", "greet", "{'node_type': 'Agent'}", "ERROR", at, at),
        (uuid4().hex, uuid4().hex, None, "flow", "chat_bot", entry, None, long_ago, None),
    )
    with closing(sqlite3.connect(there.illumo, timeout=TOLD_S)) as db, db:
        for row in rows:
            db.execute(
                "INSERT INTO spans (span_id, trace_id, parent_span_id, kind, name, attributes, status, start_time,"
                " end_time, service_name, timeout) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'illumo-flow', 0)",
                row,
            )
    failed = 'sum(increase(agent_flow_runs_total{outcome="error"}[5m] anchored))'
    wait_for(lambda: there.prometheus.value(failed), within_s=TOLD_S, what="a failed run is told")
    stuck = f"max(time() - (agent_flow_running_oldest_seconds > 0)) > {STUCK_S - TOLD_S}"
    wait_for(lambda: there.prometheus.value(stuck), within_s=TOLD_S, what="a run that goes on for long is told")


def _fail_tasks(there: Filled) -> None:
    """Tasks that ended just now, well and not, one that waits, and one that is given back by a worker."""
    put = (
        "INSERT INTO task_master (task_id, content, status, priority, assigned_to, created_at, updated_at) "
        "VALUES (?, ?, ?, 9, ?, datetime('now', '-20 seconds'), CURRENT_TIMESTAMP)"
    )
    content = json.dumps({"type": "general", "prompt": ""})
    tasks = (
        ("task_trouble_1", content, "completed", "worker_0"),
        ("task_trouble_2", content, "failed", "worker_0"),
        ("task_trouble_3", content, "processing", "worker_9"),
    )
    with closing(sqlite3.connect(there.koubou, timeout=TOLD_S)) as db:
        with db:
            db.executemany(put, tasks)
        taken = 'sum(task_open{state="processing"}) > 0'
        wait_for(lambda: there.prometheus.value(taken), within_s=TOLD_S, what="a task is seen at work")
        with db:
            db.execute("UPDATE task_master SET status = 'pending', assigned_to = NULL WHERE task_id = 'task_trouble_3'")
    wait_for(lambda: there.prometheus.value("sum(task_returned_total)"), within_s=TOLD_S, what="it was given back")


def _refuse_and_misread(there: Filled) -> None:
    """What cannot be read, and what a back end refuses for good. Beside the others: it is not the agent's log."""
    broken = there.directory / "broken.db"
    broken.write_bytes(b"this is no database")
    aside = there.directory / "trouble"
    options = {"kagura_path": str(broken), "host_name": HOST_NAME}
    with sidecar_on(aside, there.collector.endpoint, state_dir=None, **options) as sidecar:
        wrong = (b"this is no record\n", b"[]\n", now_line("Routing tool call", ahead_s=50 * 3600.0))
        append(sidecar.logs / "ego-mcp-trouble.log", *call(), *wrong)
        sidecar.launch([sys.executable, "-m", "tests.stack.trusting"])
        wait_for(lambda: sidecar.up and sidecar.drained(), what="the refused record was given up")
        wait_for(lambda: there.prometheus.value("sum(egoscope_rejected_total)"), within_s=TOLD_S, what="it is told")
        looks = "sum(increase(egoscope_source_problems_total[15m] anchored))"
        wait_for(lambda: there.prometheus.value(looks), within_s=TOLD_S, what="looks at no database are told")


def _leak(there: Filled) -> None:
    """Something that the second layer has to remove."""
    request = legal.traces(time.time_ns(), "0123456789abcdef")
    item_of(first_of(request)).name = SECRET
    with grpc.insecure_channel(there.collector.endpoint) as channel:
        export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        channel.unary_unary(export)(request.SerializeToString(), timeout=ANSWER_S)
    removed = "sum(egoscope_second_layer_removals_total)"
    wait_for(lambda: there.prometheus.value(removed), within_s=TOLD_S, what="the removal is told")


def _down(there: Filled, server: Server | FakeTempo, signal: str) -> None:
    """A back end that is away for a moment: the Collector refuses what it cannot hand on, and the sidecar keeps it."""
    refused = f"otelcol_receiver_refused_{signal}"
    server.stop()
    try:
        append(there.log, *call())
        wait_for(lambda: _told(there, refused), within_s=TOLD_S, what=f"{refused} is told")
    finally:
        server.start()
    there.sidecar.wait_until_drained()
    query = f"sum(last_over_time({refused}_total[10m]))"
    wait_for(lambda: there.prometheus.value(query), within_s=TOLD_S, what=f"{refused} is in Prometheus")


def _told(there: Filled, metric: str) -> bool:
    """Whether the Collector counts at least one."""
    with urllib.request.urlopen(there.collector.metrics_urls[0], timeout=ANSWER_S) as response:
        lines = response.read().decode().splitlines()
    return any(line.startswith(metric) and float(line.rsplit(maxsplit=1)[1]) > 0 for line in lines)
