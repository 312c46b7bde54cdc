"""`egoscope start` without a terminal: what it follows, when it plays the demo, and which picture it prints."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from egoscope.demo import DatabaseSettings, DemoSettings, write_history, write_illumo_history, write_kagura_history

if TYPE_CHECKING:
    from pathlib import Path

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
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def kagura(tmp_path: Path) -> Path:
    """A database of Kagura's."""
    path = tmp_path / "telemetry.db"
    write_kagura_history(path, DatabaseSettings(start=A_WHILE_AGO, per_hour=100), until=NOW)
    return path


@pytest.fixture
def illumo(tmp_path: Path) -> Path:
    """A database of illumo's."""
    path = tmp_path / "illumo_trace.db"
    write_illumo_history(path, DatabaseSettings(start=A_WHILE_AGO, per_hour=100), until=NOW)
    return path


def test_with_nothing_to_follow_the_demo_plays_agents_too(tmp_path: Path) -> None:
    """A newcomer sees ego-mcp's life, and a key away agents and flows."""
    picture, said = egoscope(tmp_path, "start", "--once")
    assert "playing the demo" in said
    assert "calls/min" in picture
    demo = tmp_path / ".local" / "state" / "egoscope" / "demo"
    overview, _ = egoscope(tmp_path, "monitor", "--agents", "--store", str(demo / "store.db"))
    assert "support_agent" in overview
    assert "chat_bot" in overview


def test_databases_of_agents_are_shown_and_no_demo_is_played(tmp_path: Path, kagura: Path, illumo: Path) -> None:
    picture, said = egoscope(
        tmp_path, "start", "--once", EGOSCOPE_KAGURA_PATH=str(kagura), EGOSCOPE_ILLUMO_PATH=str(illumo)
    )
    assert "playing the demo" not in said
    assert "support_agent" in picture
    assert "chat_bot" in picture
    assert not (tmp_path / ".local" / "state" / "egoscope" / "demo").exists()


def test_a_database_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """No demo in its place: who named a database wants to see that one."""
    picture, said = egoscope(tmp_path, "start", "--once", EGOSCOPE_KAGURA_PATH=str(tmp_path / "later.db"))
    assert "playing the demo" not in said
    assert "No executions and no flows yet." in picture
    assert "later.db" in picture.replace("│\n│ ", "").replace("\n", "")


def test_a_log_of_ego_mcp_comes_first(tmp_path: Path, kagura: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write_history(logs, DemoSettings(start=A_WHILE_AGO), until=NOW)
    environment = {"EGO_MCP_LOG_DIR": str(logs), "EGOSCOPE_KAGURA_PATH": str(kagura)}
    picture, _ = egoscope(tmp_path, "start", "--once", **environment)
    assert "calls/min" in picture
    overview, _ = egoscope(tmp_path, "monitor", "--agents", **environment)
    assert "support_agent" in overview
