"""The demo's databases: look like the real programs', hide what they should, and add up."""

from __future__ import annotations

import ast
import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest

from egoscope.cli.demo import ILLUMO_FILE, KAGURA_FILE, KOUBOU_FILE, run_demo
from egoscope.demo import (
    DatabaseSettings,
    DatabaseSummary,
    illumo_canaries,
    kagura_canaries,
    write_illumo_history,
    write_illumo_live,
    write_kagura_history,
    write_kagura_live,
    write_koubou_history,
)
from egoscope.demo.illumo_life import FLOWS
from egoscope.demo.kagura_agents import AGENTS, MODELS
from egoscope.errors import ConfigError
from tests.played import MONDAY, NOON, Clock, Row, dump, recorded, rows
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from egoscope.demo.kagura import Writing

SETTINGS: Final = DatabaseSettings(start=MONDAY)
TWO_DAYS: Final = MONDAY + timedelta(days=2)
NAIVE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
OUTCOMES: Final = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def kagura(tmp_path_factory: pytest.TempPathFactory) -> DatabaseSummary:
    return write_kagura_history(tmp_path_factory.mktemp("kagura") / KAGURA_FILE, SETTINGS, until=TWO_DAYS)


@pytest.fixture(scope="module")
def executions(kagura: DatabaseSummary) -> list[Row]:
    return [
        row | {name: json.loads(row[name]) for name in ("kwargs", "events", "metrics")}
        for row in rows(kagura.path, "SELECT rowid, * FROM executions ORDER BY rowid")
    ]


@pytest.fixture(scope="module")
def illumo(tmp_path_factory: pytest.TempPathFactory) -> DatabaseSummary:
    return write_illumo_history(tmp_path_factory.mktemp("illumo") / ILLUMO_FILE, SETTINGS, until=TWO_DAYS)


@pytest.fixture(scope="module")
def spans(illumo: DatabaseSummary) -> list[Row]:
    found = rows(illumo.path, "SELECT rowid, * FROM spans ORDER BY rowid")
    return [row | {"attributes": ast.literal_eval(row["attributes"])} for row in found]


@pytest.fixture(scope="module")
def events(illumo: DatabaseSummary) -> list[Row]:
    found = rows(illumo.path, "SELECT * FROM events ORDER BY id")
    return [row | {"attributes": ast.literal_eval(row["attributes"])} for row in found]


@pytest.mark.parametrize(("program", "name"), [("kagura", KAGURA_FILE), ("illumo", ILLUMO_FILE)])
def test_the_schema_is_the_real_programs(program: str, name: str, request: pytest.FixtureRequest) -> None:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
    written: DatabaseSummary = request.getfixturevalue(program)
    assert rows(written.path, query) == rows(recorded(program, name), query)


def test_executions_have_the_shape_of_recorded_ones(executions: list[Row], kagura: DatabaseSummary) -> None:
    path = recorded("kagura", KAGURA_FILE)
    types = ", ".join(
        f"typeof({name}) AS {name}"
        for name in ("id", "started_at", "ended_at", "duration", "status", "kwargs", "events", "metrics", "created_at")
    )
    query = f"SELECT DISTINCT {types} FROM executions"
    assert rows(kagura.path, query) == rows(path, query)
    shapes: list[set[tuple[Any, ...]]] = []
    for source in (
        executions,
        [{"events": json.loads(row["events"])} for row in rows(path, "SELECT * FROM executions")],
    ):
        told = [event for row in source for event in row["events"]]
        shapes.append({(*event, event["type"], *event["data"]) for event in told})
    assert shapes[0] == shapes[1]
    assert {key for row in executions for key in row["metrics"]} == {
        *("llm_calls", "total_tokens", "tool_calls", "total_cost")
    }
    assert all(re.fullmatch("exec_[0-9a-f]{8}", row["id"]) for row in executions)
    # A Julian day, as SQLite's default for the column.
    assert all(
        (row["created_at"] - 2440587.5) * 86_400 == pytest.approx(row["ended_at"], abs=0.01) for row in executions
    )


@pytest.mark.parametrize("write", [write_kagura_history, write_illumo_history, write_koubou_history])
def test_equal_settings_give_equal_databases_and_another_seed_gives_others(
    tmp_path: Path, write: Callable[..., DatabaseSummary]
) -> None:
    until = MONDAY + timedelta(hours=12)
    dumps = [
        dump(write(tmp_path / name, replace(SETTINGS, seed=seed), until=until).path)
        for name, seed in (("a.db", 3), ("b.db", 3), ("c.db", 4))
    ]
    assert dumps[0] == dumps[1] != dumps[2]
    assert len(dumps[0]) > 10_000


def test_tokens_and_costs_add_up(executions: list[Row]) -> None:
    for row in executions:
        calls = [event["data"] for event in row["events"] if event["type"] == "llm_call"]
        for call in calls:
            price = MODELS[call["model"]]
            assert call["total_tokens"] == call["prompt_tokens"] + call["completion_tokens"]
            cost = (call["prompt_tokens"] * price.prompt + call["completion_tokens"] * price.completion) / 1e6
            assert call["cost"] == pytest.approx(cost)
        metrics = row["metrics"]
        assert metrics.get("llm_calls", 0) == len(calls)
        assert metrics.get("total_tokens", 0) == sum(call["total_tokens"] for call in calls)
        assert metrics.get("tool_calls", 0) == sum(event["type"] == "tool_call" for event in row["events"])
        # The very float Kagura comes to, and none where it is nothing.
        assert metrics.get("total_cost", 0.0) == sum(call["cost"] for call in calls)
        assert ("total_cost" in metrics) == (sum(call["cost"] for call in calls) > 0)


def test_only_the_local_models_calls_cost_nothing(executions: list[Row]) -> None:
    costs: dict[str, set[bool]] = {}
    for event in (event for row in executions for event in row["events"] if event["type"] == "llm_call"):
        costs.setdefault(event["data"]["model"], set()).add(event["data"]["cost"] == 0.0)
    assert costs == {name: {name.endswith("-local")} for name in MODELS}


def test_events_lie_one_after_the_other_within_their_execution(executions: list[Row]) -> None:
    for row in executions:
        assert row["duration"] == row["ended_at"] - row["started_at"] > 0
        at = row["started_at"]
        for event in row["events"]:
            assert event["timestamp"] - event["data"]["duration"] >= at - 1e-6
            at = event["timestamp"]
        assert at <= row["ended_at"]


def test_agents_have_habits_of_their_own(executions: list[Row], kagura: DatabaseSummary) -> None:
    by_agent = {agent.name: [row for row in executions if row["agent_name"] == agent.name] for agent in AGENTS}
    assert sum(map(len, by_agent.values())) == len(executions)
    medians = {name: sorted(row["duration"] for row in own)[len(own) // 2] for name, own in by_agent.items()}
    assert 2 < medians["support_agent"] < 15
    assert 120 < medians["research_agent"] < 600
    assert max(row["duration"] for row in executions) < 3600
    # A weekday has 1.2 times the mean.
    assert 40 * 48 < len(executions) < 1.3 * 40 * 48
    assert 0.03 < sum(row["status"] == "failed" for row in executions) / len(executions) < 0.05
    assert kagura.runs == Counter(
        (row["agent_name"], "ok" if row["status"] == "completed" else "error") for row in executions
    )
    hours = Counter(datetime.fromtimestamp(row["started_at"], UTC).hour for row in by_agent["support_agent"])
    assert sum(hours[hour] for hour in range(1, 5)) * 5 < sum(hours[hour] for hour in range(8, 12))
    long = sorted(by_agent["research_agent"], key=lambda row: row["started_at"])
    assert all(one["ended_at"] < other["started_at"] for one, other in pairwise(long))


def test_failed_executions_say_why_in_words_that_are_private_or_in_none(executions: list[Row]) -> None:
    errors = [row["error"] for row in executions if row["status"] == "failed"]
    assert all(row["error"] is None for row in executions if row["status"] == "completed")
    assert any("\n" in error for error in errors)
    assert "" in errors
    assert sum("CANARY-EXECERR" in error or "カナリア" in error for error in errors) > len(errors) / 2


@pytest.mark.parametrize("program", ["kagura", "illumo"])
def test_every_planted_secret_stands_there_and_all_that_stand_there_are_listed(
    program: str, request: pytest.FixtureRequest
) -> None:
    summary: DatabaseSummary = request.getfixturevalue(program)
    text = dump(summary.path)
    # Kagura's JSON spells what is not ASCII as escapes.
    text += re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
    listed = {"kagura": kagura_canaries, "illumo": illumo_canaries}[program](SETTINGS)
    assert summary.canaries == listed
    assert len(set(listed)) == len(listed) > 80
    assert [token for token in listed if token not in text] == []
    assert set(re.findall(r"(?:CANARY-[A-Z]+|カナリア\w+)-[0-9a-f]{12}", text)) == set(listed)


def test_history_ends_at_its_end_and_leaves_nothing_open(tmp_path: Path) -> None:
    busy = replace(SETTINGS, start=NOON, per_hour=1000)
    until = NOON + timedelta(minutes=30)
    executions = rows(
        write_kagura_history(tmp_path / KAGURA_FILE, busy, until=until, writing="update").path,
        "SELECT * FROM executions ORDER BY ended_at",
    )
    assert {row["status"] for row in executions} == {"completed", "failed"}
    assert until.timestamp() - 60 < executions[-1]["ended_at"] <= until.timestamp()
    spans = rows(write_illumo_history(tmp_path / ILLUMO_FILE, busy, until=until).path, "SELECT * FROM spans")
    assert {row["status"] for row in spans} == {"OK", "ERROR"}
    assert "2026-11-18T12:29" < max(row["end_time"] for row in spans) <= "2026-11-18T12:30"


def test_ways_of_writing_come_to_the_same_executions(tmp_path: Path) -> None:
    until = MONDAY + timedelta(hours=12)
    ways: tuple[Writing, ...] = ("insert", "update", "replace")
    paths = {way: write_kagura_history(tmp_path / way, SETTINGS, until=until, writing=way).path for way in ways}
    columns = "id, agent_name, started_at, ended_at, duration, status, error, kwargs, events, metrics"
    final = {way: rows(path, f"SELECT {columns} FROM executions ORDER BY id") for way, path in paths.items()}
    assert final["insert"] == final["update"] == final["replace"]
    order = {way: rows(path, "SELECT id FROM executions ORDER BY rowid") for way, path in paths.items()}
    # Replaced, a row stands where it ended; updated, where it began.
    assert order["insert"] == order["replace"] != order["update"]
    started = rows(paths["update"], "SELECT started_at FROM executions ORDER BY rowid")
    assert started == sorted(started, key=lambda row: row["started_at"])


@pytest.mark.parametrize("program", ["kagura", "illumo"])
def test_what_is_killed_stays_open_for_ever(tmp_path: Path, program: str) -> None:
    settings = replace(SETTINGS, killed_rate=0.1)
    if program == "kagura":
        summary = write_kagura_history(tmp_path / "a.db", settings, until=TWO_DAYS, writing="update")
        left = rows(summary.path, "SELECT * FROM executions WHERE status = 'running'")
        assert all(row["ended_at"] is None and row["duration"] is None and row["events"] == "[]" for row in left)
    else:
        summary = write_illumo_history(tmp_path / "a.db", settings, until=TWO_DAYS)
        left = rows(summary.path, "SELECT * FROM spans WHERE kind = 'flow' AND end_time IS NULL")
        assert all(row["status"] is None for row in left)
    unfinished = sum(count for (_, outcome), count in summary.runs.items() if outcome == "unfinished")
    assert unfinished == len(left)
    assert 0.05 < unfinished / sum(summary.runs.values()) < 0.15


def test_spans_have_the_shape_of_recorded_ones(spans: list[Row], events: list[Row]) -> None:
    path = recorded("illumo", ILLUMO_FILE)
    assert {row["service_name"] for row in spans} == {row["service_name"] for row in rows(path, "SELECT * FROM spans")}
    assert {row["kind"] for row in spans} == {row["kind"] for row in rows(path, "SELECT * FROM spans")}
    assert all(re.fullmatch("[0-9a-f]{32}", row[name]) for row in spans for name in ("span_id", "trace_id"))
    for row in rows(path, "SELECT * FROM spans WHERE kind = 'node' LIMIT 20"):
        recorded_policy = ast.literal_eval(row["policy_snapshot"])
        own = next(span for span in spans if span["kind"] == "node")
        assert ast.literal_eval(row["attributes"]).keys() <= own["attributes"].keys()
        assert recorded_policy.keys() <= own["attributes"]["policy_snapshot"].keys()
    assert {row["event_type"] for row in rows(path, "SELECT * FROM events")} <= {row["event_type"] for row in events}
    times = [row[name] for row in spans for name in ("start_time", "end_time")] + [row["timestamp"] for row in events]
    assert all(NAIVE.fullmatch(at) for at in times)
    assert all(isinstance(row["timeout"], int) for row in spans)


def test_nodes_are_children_of_their_flow_one_after_the_other(spans: list[Row], events: list[Row]) -> None:
    flows = {row["trace_id"]: row for row in spans if row["kind"] == "flow"}
    nodes: dict[str, list[Row]] = {trace: [] for trace in flows}
    for row in sorted((row for row in spans if row["kind"] == "node"), key=lambda row: row["start_time"]):
        nodes[row["trace_id"]].append(row)
        assert row["attributes"]["policy_snapshot"] == ast.literal_eval(row["policy_snapshot"])
        assert bool(row["timeout"]) == bool(row["attributes"].get("timeout"))
    for trace, flow in flows.items():
        own = nodes[trace]
        assert flow["parent_span_id"] is None
        assert {row["parent_span_id"] for row in own} == {flow["span_id"]}
        assert own[0]["name"] == flow["attributes"]["entry"]
        assert all(one["end_time"] <= other["start_time"] for one, other in pairwise(own))
        assert flow["start_time"] <= own[0]["start_time"]
        assert own[-1]["end_time"] <= flow["end_time"]
        # Where the flow failed it was its last node that did, and none else.
        assert [row["error"] for row in own if row["status"] == "ERROR"] == ([flow["error"]] if flow["error"] else [])
        assert (flow["status"] == "ERROR") == (flow["error"] is not None) == (own[-1]["status"] == "ERROR")
    by_id = {row["span_id"]: row for row in spans}
    for event in events:
        span = by_id[event["span_id"]]
        assert event["trace_id"] == span["trace_id"]
        assert span["start_time"] <= event["timestamp"]


def test_flows_branch_loop_try_again_time_out_and_fail(
    spans: list[Row], events: list[Row], illumo: DatabaseSummary
) -> None:
    nodes = sorted((row for row in spans if row["kind"] == "node"), key=lambda row: row["start_time"])
    ways: dict[str, list[str]] = {}
    for row in nodes:
        ways.setdefault(row["trace_id"], []).append(row["name"])
    steps = Counter(step for names in ways.values() for step in pairwise(names))
    assert {("greet", "faq"), ("greet", "escalate"), ("faq", "escalate"), ("faq", "audit")} <= set(steps)
    assert steps["review", "draft"] > 10
    assert {row["name"] for row in nodes} == {name for flow in FLOWS for name in flow.nodes}
    assert {"agent_instruction", "agent_input", "agent_response", "node.retry", "node.error", "routing.empty"} == {
        row["event_type"] for row in events
    }
    assert any(row["timeout"] and row["status"] == "ERROR" for row in nodes)
    assert any(row["timeout"] and row["status"] == "OK" and row["name"] == "faq" for row in nodes)
    tokens = [row["attributes"]["tokens"] for row in events if row["event_type"] == "agent_response"]
    assert min(tokens) > 0
    flows = [row for row in spans if row["kind"] == "flow"]
    outcomes = Counter((row["name"], "ok" if row["status"] == "OK" else "error") for row in flows)
    assert illumo.runs == outcomes
    assert 0.025 < sum(row["status"] == "ERROR" for row in flows) / len(flows) < 0.055


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"start": datetime(2026, 1, 1)}, "start"),  # noqa: DTZ001
        ({"per_hour": 0.0}, "per_hour"),
        ({"failure_rate": 1.5}, "failure_rate"),
        ({"killed_rate": 1.0}, "killed_rate"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        DatabaseSettings(**wrong)


@pytest.mark.parametrize("write", [write_kagura_history, write_illumo_history, write_koubou_history])
def test_a_file_that_is_no_database_is_named_and_left_as_it_is(
    tmp_path: Path, write: Callable[..., DatabaseSummary]
) -> None:
    path = tmp_path / "notes.db"
    path.write_text("no database, and long enough to be taken for a header of one" * 20)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"notes\.db"):
        write(path, SETTINGS, until=TWO_DAYS)
    with pytest.raises(ConfigError, match="deeper"):
        write(path / "deeper", SETTINGS, until=TWO_DAYS)
    assert path.read_bytes() == before


def test_a_second_history_in_the_same_file_adds_to_it(tmp_path: Path) -> None:
    path = tmp_path / KAGURA_FILE
    first = write_kagura_history(path, SETTINGS, until=MONDAY + timedelta(hours=12))
    later = replace(SETTINGS, start=MONDAY + timedelta(hours=12))
    second = write_kagura_history(path, later, until=TWO_DAYS)
    assert rows(path, "SELECT count(*) AS n FROM executions") == [
        {"n": sum(first.runs.values()) + sum(second.runs.values())}
    ]


def test_a_live_database_shows_one_long_execution_running_at_a_time_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / KAGURA_FILE
    seen: dict[str, int] = {}
    shown: list[int] = []

    def look(now: float) -> None:
        found = rows(path, "SELECT * FROM executions")
        running = [row for row in found if row["status"] == "running"]
        assert all(row["agent_name"] == "research_agent" and row["ended_at"] is None for row in running)
        assert max([row["ended_at"] or row["started_at"] for row in found], default=now) <= now
        shown.append(len(running))
        for row in running:
            seen[row["id"]] = seen.get(row["id"], 0) + 1

    clock = Clock(3, look)
    summary = write_kagura_live(path, SETTINGS, stop=clock.stop, now_ns=clock.now_ns, wait=clock.wait)
    assert max(shown) == 1
    assert len(seen) > 5
    final = rows(path, "SELECT * FROM executions")
    assert {row["status"] for row in final} == {"completed", "failed"}
    assert {row["id"] for row in final if row["agent_name"] == "research_agent"} == seen.keys()
    assert all(row["ended_at"] >= row["started_at"] >= NOON.timestamp() for row in final)
    # What was cut short by the end is no run that ended by itself.
    assert 0 <= len(final) - sum(summary.runs.values()) <= 1


@pytest.mark.parametrize("writing", ["update", "replace"])
def test_the_other_kaguras_executions_all_run_first(tmp_path: Path, writing: Writing) -> None:
    path = tmp_path / KAGURA_FILE
    agents: set[str] = set()

    def look(_now: float) -> None:
        agents.update(row["agent_name"] for row in rows(path, "SELECT * FROM executions WHERE status = 'running'"))

    clock = Clock(2, look)
    write_kagura_live(path, SETTINGS, stop=clock.stop, writing=writing, now_ns=clock.now_ns, wait=clock.wait)
    assert agents >= {"research_agent", "support_agent", "translation_agent", "code_review_agent"}
    assert rows(path, "SELECT * FROM executions WHERE status = 'running'") == []


def test_live_spans_start_open_and_end_and_none_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / ILLUMO_FILE
    open_names: set[str] = set()

    def look(_now: float) -> None:
        for row in rows(path, "SELECT * FROM spans WHERE end_time IS NULL"):
            assert row["status"] is row["policy_snapshot"] is None
            open_names.add(row["name"])

    clock = Clock(1, look)
    summary = write_illumo_live(path, SETTINGS, stop=clock.stop, now_ns=clock.now_ns, wait=clock.wait)
    assert {"chat_bot", "coding_assistant", "draft", "run_tests"} <= open_names
    assert rows(path, "SELECT * FROM spans WHERE end_time IS NULL OR status IS NULL") == []
    flows = rows(path, "SELECT * FROM spans WHERE kind = 'flow'")
    assert 0 <= len(flows) - sum(summary.runs.values()) <= 3
    assert len(flows) > 20


def test_after_a_long_sleep_what_was_open_is_ended_and_nothing_is_written_late(tmp_path: Path) -> None:
    path = tmp_path / KAGURA_FILE
    clock = Clock(2, lambda _now: None, sleep_at=1)
    write_kagura_live(path, SETTINGS, stop=clock.stop, writing="update", now_ns=clock.now_ns, wait=clock.wait)
    woke = NOON.timestamp() + 3 * 3600
    found = rows(path, "SELECT * FROM executions")
    ended_late = [row for row in found if row["started_at"] < woke <= row["ended_at"]]
    assert ended_late
    assert {row["status"] for row in ended_late} == {"failed"}
    assert any(row["started_at"] > woke for row in found)
    assert not any(woke - 7200 + 60 < row["started_at"] < woke - 60 for row in found)


def test_a_demo_with_agents_writes_all_databases_beside_the_log(tmp_path: Path) -> None:
    run_demo(
        tmp_path,
        calls_per_minute=6,
        days=0.5,
        live=False,
        seed=7,
        failure_rate=0.03,
        max_mib=None,
        documented=False,
        agents=True,
    )
    assert rows(tmp_path / KAGURA_FILE, "SELECT count(*) > 10 AS many FROM executions") == [{"many": 1}]
    assert rows(tmp_path / ILLUMO_FILE, "SELECT count(*) > 10 AS many FROM spans") == [{"many": 1}]
    assert rows(tmp_path / KOUBOU_FILE, "SELECT count(*) > 10 AS many FROM task_master") == [{"many": 1}]
    assert list(tmp_path.glob("ego-mcp-*.log"))


BUSY_AT_ANY_HOUR: Final = """
from functools import partial
from egoscope.cli import app, demo
demo.DatabaseSettings = partial(demo.DatabaseSettings, rhythm=False)
app()
"""
"""The command `egoscope`; nights and Sundays of its demo are as busy as all else."""


def test_a_live_demo_ends_when_asked_with_nothing_left_running(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUSY_AT_ANY_HOUR, "demo", "--out", str(tmp_path), "--agents"]
    path = tmp_path / KAGURA_FILE
    running = "SELECT * FROM executions WHERE status = 'running'"

    def is_running() -> bool:
        try:
            return bool(rows(path, running)) and bool(rows(tmp_path / KOUBOU_FILE, "SELECT * FROM workers"))
        except sqlite3.OperationalError:
            return False

    with subprocess.Popen(command, stderr=subprocess.PIPE) as demo:
        try:
            wait_for(lambda: demo.poll() is not None or is_running(), what="an execution is running, a worker there")
            assert demo.poll() is None, "the demo ended by itself"
            demo.send_signal(signal.SIGTERM)
            _, said = demo.communicate(timeout=180)
        finally:
            demo.kill()
    assert demo.returncode == 0
    assert b"executions in " in said
    assert rows(tmp_path / KOUBOU_FILE, "SELECT DISTINCT status FROM workers") == [{"status": "offline"}]
    assert rows(path, running) == []
    assert rows(path, "SELECT count(*) > 0 AS some FROM executions") == [{"some": 1}]


@pytest.mark.parametrize(
    ("date", "days"),
    [
        pytest.param("2026-11-22", 0.05, id="72 minutes of a Sunday"),
        pytest.param("2026-11-18", 0.002, id="3 minutes of a Wednesday"),
    ],
)
def test_a_past_however_short_holds_something_of_every_kind_at_any_hour(tmp_path: Path, date: str, days: float) -> None:
    """A call, an execution, a flow run and a task, each of them ended: what a page shows is there for every reader."""
    ended = {
        KAGURA_FILE: "SELECT count(*) AS n FROM executions WHERE ended_at IS NOT NULL",
        ILLUMO_FILE: "SELECT count(*) AS n FROM spans WHERE kind = 'node' AND end_time IS NOT NULL",
        KOUBOU_FILE: f"SELECT count(*) AS n FROM task_master WHERE status IN {OUTCOMES}",
    }
    nothing: list[str] = []
    for hour in range(24):
        now = datetime.fromisoformat(f"{date}T{hour:02}:07:31Z")
        out = tmp_path / f"{hour}"
        run_demo(
            out,
            calls_per_minute=30,
            days=days,
            live=False,
            seed=7,
            failure_rate=0.03,
            max_mib=None,
            documented=False,
            agents=True,
            now_ns=lambda now=now: int(now.timestamp()) * 10**9,
        )
        nothing += [f"{hour}: {name}" for name, query in ended.items() if rows(out / name, query) == [{"n": 0}]]
        if not any(b"Tool execution completed" in log.read_bytes() for log in out.glob("ego-mcp-*.log")):
            nothing.append(f"{hour}: calls")
    assert nothing == []
