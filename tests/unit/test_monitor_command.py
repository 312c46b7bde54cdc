"""`egoscope monitor`: what opens, what is printed where there is no terminal, and what is said of what is not there."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest
from otlp_requests import span as mcp_span
from otlp_requests import trace_request

from egoscope.otlp.client import Signal
from egoscope.query.embedded import EmbeddedQuery
from egoscope.store.sqlite import EmbeddedStore
from tests.query_scene import Scene
from tests.task_scene import TaskScene

if TYPE_CHECKING:
    from pathlib import Path

NOBODY: Final = "0" * 32


def fill(path: Path) -> Path:
    """Make a store of agents and flows, of the last days."""
    with EmbeddedStore(path) as store:
        for request in Scene(dt.datetime.now(dt.UTC).date()).requests():
            store.send(request.signal, request.data)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of agents and flows."""
    return fill(tmp_path_factory.mktemp("agents") / "store.db")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has a call of ego-mcp, too."""
    path = fill(tmp_path_factory.mktemp("both") / "store.db")
    with EmbeddedStore(path) as store:
        store.send(Signal.TRACES, trace_request([mcp_span(1, end=time.time_ns())]))
    return path


@pytest.fixture(scope="module")
def koubou(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of tasks and workers, of the two days up to this hour: what is shown is of the last day."""
    path = tmp_path_factory.mktemp("koubou") / "store.db"
    now = dt.datetime.now(dt.UTC)
    with EmbeddedStore(path) as store:
        for request in TaskScene(now.date(), hour=now.hour).requests():
            store.send(request.signal, request.data)
    return path


def monitor(*options: str, **environment: str) -> tuple[int, str, str]:
    """Run the command without a terminal; return its status, what it printed, and what it complained about."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", "from egoscope.cli import app; app()", "monitor", *options],
        env=own | {"HOME": "/nonexistent", "COLUMNS": "80"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


def some_trace(store: Path, agent: str | None) -> str:
    """Return a trace of an agent, or of a flow."""
    with EmbeddedQuery(store) as query:
        if agent is not None:
            return query.get_executions(agent)[0].trace_id
        (trace_id,) = {line.trace_id for line in query.recent_activity(100, "triage")[:1]}
    assert trace_id is not None
    return trace_id


@pytest.mark.parametrize(
    ("options", "figures"),
    [
        pytest.param([], ["agents and flows", "writer", "critic", "triage"], id="agents where there is nothing else"),
        pytest.param(["--agents"], ["agents and flows", "critic", "triage"], id="all agents and flows"),
        pytest.param(["--agent", "writer"], ["writer", "claude-sonnet", "search", "slow requests"], id="one agent"),
        pytest.param(["--agent", "triage"], ["triage  flow", "decide"], id="a flow by the same option"),
        pytest.param(["--cost"], ["by day", "? 1"], id="costs"),
        pytest.param(["--once", "--agents"], ["agents and flows"], id="once"),
    ],
)
def test_prints_one_picture_where_there_is_no_terminal(store: Path, options: list[str], figures: list[str]) -> None:
    status, text, said = monitor("--store", str(store), *options)
    assert (status, said) == (0, "")
    for figure in figures:
        assert figure in text
    assert "q quit" not in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("agent", ["writer", None], ids=["an execution", "a flow"])
def test_a_trace_is_printed_whole(store: Path, agent: str | None) -> None:
    trace_id = some_trace(store, agent)
    status, text, _ = monitor("--store", str(store), "--trace", trace_id.upper())
    assert status == 0
    assert f"trace {trace_id}" in text
    assert "by kind" in text


def test_a_call_of_ego_mcp_has_a_trace_too(both: Path) -> None:
    import sqlite3  # noqa: PLC0415 (here alone)

    with sqlite3.connect(f"file:{both}?mode=ro", uri=True) as db:
        ((trace_id,),) = db.execute("SELECT trace_id FROM spans WHERE tool IS NOT NULL").fetchall()
    status, text, _ = monitor("--store", str(both), "--trace", trace_id)
    assert status == 0
    assert "tools/call" in text


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--workers"], id="by the option"),
        pytest.param(["--once", "--workers"], id="once"),
        pytest.param([], id="where there is nothing else"),
    ],
)
def test_tasks_and_workers_are_printed(koubou: Path, options: list[str]) -> None:
    status, text, said = monitor("--store", str(koubou), *options)
    assert (status, said) == (0, "")
    for figure in ("tasks and workers", "success ", "task_00013 created", "recent activity"):
        assert figure in text
    assert "q quit" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_overview_of_agents_has_a_line_about_tasks(koubou: Path, store: Path) -> None:
    """Where there are any."""
    assert " tasks: " in monitor("--store", str(koubou), "--agents")[1]
    assert " tasks: " not in monitor("--store", str(store), "--agents")[1]


def test_a_tasks_trace_is_printed(koubou: Path) -> None:
    with EmbeddedQuery(koubou) as query:
        trace_id = query.get_tasks(limit=1)[0].trace_id
    status, text, _ = monitor("--store", str(koubou), "--trace", trace_id)
    assert status == 0
    assert "task" in text


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        pytest.param({}, "EGOSCOPE_KOUBOU_PATH says where Koubou's databases are", id="what to set"),
        pytest.param({"EGOSCOPE_KOUBOU_PATH": "/x/koubou.db"}, "follows Koubou at /x/koubou.db", id="what is set"),
    ],
)
def test_without_tasks_and_workers_it_says_where_they_would_come_from(
    tmp_path: Path, variable: dict[str, str], said: str
) -> None:
    EmbeddedStore(tmp_path / "store.db").close()
    status, text, _ = monitor("--store", str(tmp_path / "store.db"), "--workers", COLUMNS="160", **variable)
    assert status == 0
    assert "No tasks and no workers yet." in text
    assert said in text


def test_ego_mcps_life_opens_where_there_is_one(both: Path) -> None:
    """And the agents by their option."""
    assert "calls/min" in monitor("--store", str(both))[1]
    assert "agents and flows" in monitor("--store", str(both), "--agents")[1]


@pytest.mark.parametrize(
    ("options", "figures"),
    [
        pytest.param(["--agents", "--window", "7d"], ["· 7 d", "runs 7 d", "critic"], id="agents and flows"),
        pytest.param(["--agents", "--window", "1h"], ["runs 1 h", "nothing ended here"], id="it is not widened then"),
        pytest.param(["--agent", "writer", "--window", "all"], ["· all"], id="one agent"),
        pytest.param(["--agent", "triage", "--window", "30 d"], ["· 30 d"], id="a flow, written as screens write it"),
        pytest.param(["--cost", "--window", "90d"], ["in 90 d"], id="costs, which have windows of their own"),
        pytest.param(["--window", "15min"], ["calls/min", "tools · 15 min"], id="ego-mcp's life"),
    ],
)
def test_a_window_is_chosen_by_its_name(both: Path, options: list[str], figures: list[str]) -> None:
    status, text, said = monitor("--store", str(both), "--once", *options)
    assert (status, said) == (0, "")
    for figure in figures:
        assert figure in text


def test_a_window_of_tasks_and_workers_is_chosen_too(koubou: Path) -> None:
    assert "success 30 d" in monitor("--store", str(koubou), "--workers", "--window", "30D")[1]


def test_the_budget_is_drawn(store: Path) -> None:
    status, text, _ = monitor("--store", str(store), "--budget", EGOSCOPE_BUDGET_USD="2")
    assert status == 0
    assert "$2.00 budget" in text


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        pytest.param(
            ["--agent", "nobody"],
            1,
            "--agent nobody: there is no such agent or flow; there are agents: critic, writer; flows: triage",
            id="an agent that is not there, and which are",
        ),
        pytest.param(["--trace", NOBODY], 1, f"--trace {NOBODY}: there is no such trace", id="a trace that is not"),
        pytest.param(["--trace", "4bf9"], 2, "--trace 4bf9: a trace has an id of 32 hex digits", id="another form"),
        pytest.param(["--budget"], 2, "EGOSCOPE_BUDGET_USD", id="a budget that is not set"),
        pytest.param(["--agents", "--cost"], 2, "--agents and --cost: one of them at a time", id="two at once"),
        pytest.param(["--workers", "--cost"], 2, "--cost and --workers: one of them at a time", id="workers too"),
        pytest.param(
            ["--agents", "--window", "3d"], 2, "--window 3d: here there is 1h, 24h, 7d, 30d, all", id="no such window"
        ),
        pytest.param(["--cost", "--window", "1h"], 2, "--window 1h: here there is 7d, 30d, 90d, all", id="of costs"),
        pytest.param(["--stack", "--store", "x"], 2, "--stack and --store", id="two back ends"),
    ],
)
def test_says_what_is_not_there(store: Path, options: list[str], status: int, said: str) -> None:
    given = options if "--stack" in options else ["--store", str(store), *options]
    done, printed, complaint = monitor(*given)
    assert done == status
    assert said in complaint
    assert printed == ""
    assert "Traceback" not in complaint


def test_what_windows_ego_mcps_life_and_a_trace_have(both: Path) -> None:
    """A trace has none."""
    _, _, said = monitor("--store", str(both), "--window", "7d")
    assert said == "egoscope: --window 7d: here there is 5min, 15min, 1h, 24h, all\n"
    trace_id = some_trace(both, "writer")
    status, _, said = monitor("--store", str(both), "--trace", trace_id, "--window", "7d")
    assert (status, said) == (2, "egoscope: --window: a trace is shown whole; leave it out with --trace\n")


def test_a_trace_that_is_not_there_names_the_newest(store: Path) -> None:
    with EmbeddedQuery(store) as query:
        newest = query.get_executions(limit=1)[0].trace_id
    assert newest in monitor("--store", str(store), "--trace", NOBODY)[2]


def test_an_empty_store_says_where_agents_would_come_from(tmp_path: Path) -> None:
    EmbeddedStore(tmp_path / "store.db").close()
    status, text, _ = monitor("--store", str(tmp_path / "store.db"), "--agents", EGOSCOPE_KAGURA_PATH="/x/telemetry.db")
    assert status == 0
    assert "No executions and no flows yet." in text
    assert "Kagura at /x/telemetry.db" in text


def test_without_a_store_the_sentence_says_how_to_have_one(tmp_path: Path) -> None:
    status, _, said = monitor(EGOSCOPE_STATE_DIR=str(tmp_path))
    assert status == 2
    assert "egoscope start" in said


def test_a_stack_that_does_not_answer_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        status, _, said = monitor(
            "--stack",
            EGOSCOPE_PROMETHEUS_URL=address,
            EGOSCOPE_LOKI_URL=address,
            EGOSCOPE_TEMPO_URL=address,
        )
    assert status == 2
    assert "Prometheus" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_coloured_where_colour_is_not_wanted(store: Path, variable: dict[str, str]) -> None:
    assert "\x1b" not in monitor("--store", str(store), **variable)[1]
