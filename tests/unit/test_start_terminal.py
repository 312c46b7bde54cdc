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


# What nobody named is the test's own: in /tmp anybody may have left a log, and something may be Prometheus here.
COMMAND = """
import sys
from egoscope.config import Settings
Settings.model_fields["log_dir"].default = sys.argv.pop(1)
Settings.model_fields["prometheus_url"].default = "http://127.0.0.1:9"
Settings.model_rebuild(force=True)
from egoscope.cli import app
app()
"""


def run(home: Path, *command: str, **environment: str) -> tuple[int, str, str]:
    """Run a command in a home of its own; return its status, what it printed, and what it said beside."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    (home / "no-logs").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(home / "no-logs"), *command],
        env=own | {"HOME": str(home), "COLUMNS": "80", **environment},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


def egoscope(home: Path, *command: str, **environment: str) -> tuple[str, str]:
    """Run a command that ends well; return what it printed, and what it said beside."""
    status, printed, said = run(home, *command, **environment)
    assert status == 0, said
    return printed, said


def unbroken(picture: str) -> str:
    """Return a picture without blanks and frames: a long path is broken at a word's end, or amid a word."""
    return re.sub(r"[│\s]+", "", picture)


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
    state = tmp_path / ".local" / "state" / "egoscope"
    demo = state / "demo"
    assert (state.stat().st_mode & 0o777, demo.stat().st_mode & 0o777) == (0o700, 0o700)
    overview, _ = egoscope(tmp_path, "monitor", "--agents", "--store", str(demo / "store.db"))
    for shown in (picture, overview):
        assert " DEMO " in shown.splitlines()[0]
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
    assert "later.db:nodatabaseisthere" in unbroken(picture)


def test_a_log_of_ego_mcp_comes_first(tmp_path: Path, kagura: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write_history(logs, DemoSettings(start=A_WHILE_AGO), until=NOW)
    environment = {"EGO_MCP_LOG_DIR": str(logs), "EGOSCOPE_KAGURA_PATH": str(kagura)}
    picture, _ = egoscope(tmp_path, "start", "--once", **environment)
    assert "calls/min" in picture
    overview, _ = egoscope(tmp_path, "monitor", "--agents", **environment)
    assert "support_agent" in overview


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        pytest.param(["--path", "{home}/later/logs"], {}, id="--path"),
        pytest.param([], {"EGO_MCP_LOG_PATH": "{home}/later/logs"}, id="EGO_MCP_LOG_PATH"),
        pytest.param([], {"EGO_MCP_LOG_DIR": "{home}/later/logs"}, id="EGO_MCP_LOG_DIR"),
    ],
)
def test_a_log_that_is_named_and_not_there_is_waited_for_by_its_path(
    tmp_path: Path, options: list[str], environment: dict[str, str]
) -> None:
    """An invented life in its place would be taken for one's own."""
    home = str(tmp_path)
    picture, said = egoscope(
        tmp_path,
        "start",
        "--once",
        *(option.format(home=home) for option in options),
        **{name: value.format(home=home) for name, value in environment.items()},
    )
    assert "playing the demo" not in said
    assert "No events yet." in picture
    assert f"{home}/later/logsdoesnotexist" in unbroken(picture)
    assert not (tmp_path / ".local" / "state" / "egoscope" / "demo").exists()


def test_a_log_that_is_named_and_not_there_is_waited_for_beside_databases(tmp_path: Path, kagura: Path) -> None:
    """Also where there is something else to show, it is said."""
    picture, _ = egoscope(
        tmp_path, "start", "--once", EGOSCOPE_KAGURA_PATH=str(kagura), EGO_MCP_LOG_PATH="/nonexistent/logs"
    )
    assert "support_agent" in picture
    assert "/nonexistent/logs does not exist" in picture


@pytest.mark.parametrize("source", ["KAGURA", "ILLUMO", "TRACERDB", "KOUBOU"])
def test_a_file_that_is_no_database_is_named_where_nothing_else_is_shown(tmp_path: Path, source: str) -> None:
    """In the words of doctor; to wait for it without a word would keep people waiting for ever."""
    wrong = tmp_path / "wrong"
    wrong.write_text("root:x:0:0\n" * 100)
    picture, said = egoscope(tmp_path, "start", "--once", **{f"EGOSCOPE_{source}_PATH": str(wrong)})
    assert "playing the demo" not in said
    assert f"{wrong}:isnoSQLitedatabase" in unbroken(picture)


def test_a_database_without_executions_is_named_beside_a_log_that_is_well(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write_history(logs, DemoSettings(start=A_WHILE_AGO), until=NOW)
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE notes (text)")
    environment = {"EGO_MCP_LOG_DIR": str(logs), "EGOSCOPE_KAGURA_PATH": "other.db"}
    for command in (["start", "--once"], ["monitor"], ["monitor", "--agents"]):
        picture, _ = egoscope(tmp_path, *command, **environment)
        assert "other.db: is a database, but has no table executions" in picture, command
        assert max(map(len, picture.splitlines())) <= 80
        assert "DEMO" not in picture


def test_after_the_demo_every_view_of_the_monitor_shows_it_and_says_that_it_is_one(tmp_path: Path) -> None:
    """What `start` showed is there; an export, in whose rows nothing tells it from one's own, has to be asked for."""
    egoscope(tmp_path, "start", "--once")
    for options in ([], ["--agents"], ["--cost"], ["--workers"]):
        picture, _ = egoscope(tmp_path, "monitor", *options)
        assert " DEMO " in picture.splitlines()[0], options
    status, _, said = run(tmp_path, "monitor", "--agent", "nobody")
    assert (status, "there is no such agent" in said) == (1, True)
    status, _, said = run(tmp_path, "export", "--out", "rows.csv")
    demo = tmp_path / ".local" / "state" / "egoscope" / "demo" / "store.db"
    assert (status, f"--store {demo}" in said) == (2, True)
    assert not (tmp_path / "rows.csv").exists()
    egoscope(tmp_path, "export", "--out", "rows.csv", "--store", str(demo))


@pytest.mark.parametrize(
    "command", [["monitor"], ["monitor", "--agents"], ["monitor", "--trace", "0" * 32], ["export"]]
)
def test_without_any_store_every_view_says_to_start(tmp_path: Path, command: list[str]) -> None:
    options = ["--out", "rows.csv"] if command == ["export"] else []
    status, _, said = run(tmp_path, *command, *options)
    assert status == 2
    assert "no store yet" in said
    assert "run `egoscope start`" in said


@pytest.mark.parametrize("place", ["/etc/passwd", "/proc/nope", "/etc/passwd/below"])
@pytest.mark.parametrize("named", [True, False], ids=["with a log", "with the demo"])
def test_a_state_directory_that_cannot_be_is_named_with_its_option(tmp_path: Path, place: str, named: bool) -> None:
    environment = {"EGO_MCP_LOG_DIR": str(tmp_path)} if named else {}
    status, _, said = run(tmp_path, "start", "--once", "--state-dir", place, **environment)
    assert status == 2
    assert "--state-dir" in said
    assert place in said
    assert "Traceback" not in said
