"""`egoscope start` without a terminal: what it follows, when it plays the demo, and which picture it prints."""

from __future__ import annotations

import datetime as dt
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from egoscope.cli.demo import ILLUMO_FILE, KAGURA_FILE
from egoscope.demo import (
    DatabaseSettings,
    DemoSettings,
    write_history,
    write_illumo_history,
    write_kagura_history,
    write_koubou_history,
)

if TYPE_CHECKING:
    from pathlib import Path

FLOWS = "SELECT name FROM spans WHERE kind = 'flow'"
NOW = dt.datetime.now(dt.UTC)
A_WHILE_AGO = NOW - dt.timedelta(minutes=20)


def egoscope(home: Path, *command: str, **environment: str) -> tuple[str, str]:
    """Run a command in a home of its own; return what it printed, and what it said beside."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    (home / "no-logs").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", "from egoscope.cli import app; app()", *command],
        env=own | {"HOME": str(home), "COLUMNS": "80", "EGO_MCP_LOG_DIR": str(home / "no-logs")} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def kagura(tmp_path: Path) -> Path:
    """A database of Kagura's."""
    path = tmp_path / "telemetry.db"
    write_kagura_history(path, DatabaseSettings(start=A_WHILE_AGO, per_hour=100, rhythm=False), until=NOW)
    return path


@pytest.fixture
def illumo(tmp_path: Path) -> Path:
    """A database of illumo's."""
    path = tmp_path / "illumo_trace.db"
    write_illumo_history(path, DatabaseSettings(start=A_WHILE_AGO, per_hour=100, rhythm=False), until=NOW)
    return path


def test_with_nothing_to_follow_the_demo_plays_agents_too(tmp_path: Path) -> None:
    """A newcomer sees ego-mcp's life, and a key away agents and flows."""
    picture, said = egoscope(tmp_path, "start", "--once")
    assert "playing the demo" in said
    assert "calls/min" in picture
    demo = tmp_path / ".local" / "state" / "egoscope" / "demo"
    overview, _ = egoscope(tmp_path, "monitor", "--agents", "--store", str(demo / "store.db"))
    for query, file in (("SELECT agent_name FROM executions", KAGURA_FILE), (FLOWS, ILLUMO_FILE)):
        with closing(sqlite3.connect(demo / file)) as db:
            played = {name for (name,) in db.execute(query)}
        assert played, "at some hours not everybody does something, but somebody does"
        assert [name for name in played if name not in overview] == []
    assert " tasks: " in overview


def test_databases_of_agents_are_shown_and_no_demo_is_played(tmp_path: Path, kagura: Path, illumo: Path) -> None:
    picture, said = egoscope(
        tmp_path, "start", "--once", EGOSCOPE_KAGURA_PATH=str(kagura), EGOSCOPE_ILLUMO_PATH=str(illumo)
    )
    assert "playing the demo" not in said
    assert "support_agent" in picture
    assert "chat_bot" in picture
    assert not (tmp_path / ".local" / "state" / "egoscope" / "demo").exists()


def test_databases_of_tasks_open_with_tasks_and_workers(tmp_path: Path) -> None:
    """Also before there are any."""
    koubou = tmp_path / "koubou.db"
    picture, _ = egoscope(tmp_path, "start", "--once", EGOSCOPE_KOUBOU_PATH=str(koubou))
    assert "No tasks and no workers yet." in picture
    write_koubou_history(koubou, DatabaseSettings(start=A_WHILE_AGO, per_hour=60.0, rhythm=False), until=NOW)
    picture, said = egoscope(tmp_path, "start", "--once", EGOSCOPE_KOUBOU_PATH=str(koubou))
    assert "playing the demo" not in said
    assert "tasks and workers" in picture
    assert "worker_0" in picture


def test_a_database_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """No demo in its place: who named a database wants to see that one."""
    picture, said = egoscope(tmp_path, "start", "--once", EGOSCOPE_KAGURA_PATH=str(tmp_path / "later.db"))
    assert "playing the demo" not in said
    assert "No executions and no flows yet." in picture
    # Wherever a long path is broken: at a word's end, or amid a word.
    assert "later.db" in re.sub(r"[│\s]+", "", picture)


def test_a_log_of_ego_mcp_comes_first(tmp_path: Path, kagura: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write_history(logs, DemoSettings(start=A_WHILE_AGO), until=NOW)
    environment = {"EGO_MCP_LOG_DIR": str(logs), "EGOSCOPE_KAGURA_PATH": str(kagura)}
    picture, _ = egoscope(tmp_path, "start", "--once", **environment)
    assert "calls/min" in picture
    overview, _ = egoscope(tmp_path, "monitor", "--agents", **environment)
    assert "support_agent" in overview
