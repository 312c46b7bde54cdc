"""`egoscope demo`: it adds to nothing that it did not make, and says what it does."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from egoscope.cli import app
from egoscope.cli import demo as command
from egoscope.demo.place import MARK

if TYPE_CHECKING:
    from pathlib import Path

LOG = f"ego-mcp-{datetime.now(UTC):%Y-%m-%d}.log"
SHORT = ("--days", "0.002", "--no-live")


def demo(*arguments: Path | str) -> tuple[int, str]:
    """Run the command; return its exit code and what it said."""
    result = CliRunner().invoke(app, ["demo", *map(str, arguments)])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a directory."""
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def a_database(path: Path) -> None:
    """Make a database of Kagura's."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE executions (id TEXT PRIMARY KEY, agent_name TEXT, started_at REAL)")
        db.execute("INSERT INTO executions VALUES ('mine', 'me', 1.0)")


@pytest.mark.parametrize("name", [LOG, "ego-mcp-2020-01-01.log", "telemetry.db", "illumo_trace.db", "koubou.db"])
def test_a_file_that_no_demo_made_is_named_and_left_and_so_is_its_directory(tmp_path: Path, name: str) -> None:
    """Also one of another day: a demo that goes on would come to lie among a program's own logs."""
    a_database(tmp_path / name)
    before = content(tmp_path)
    code, said = demo("--out", tmp_path, "--agents", *SHORT)
    assert code == 2
    assert f"--out {tmp_path}: {name} was not made by a demo" in said
    assert "name another directory" in said
    assert content(tmp_path) == before


def test_a_database_is_another_programs_though_the_log_beside_it_is_a_demos(tmp_path: Path) -> None:
    assert demo("--out", tmp_path, *SHORT)[0] == 0
    a_database(tmp_path / "telemetry.db")
    before = content(tmp_path)
    code, said = demo("--out", tmp_path, "--agents", *SHORT)
    assert code == 2
    assert "telemetry.db was not made by a demo" in said
    assert content(tmp_path) == before
    assert demo("--out", tmp_path, *SHORT)[0] == 0, "the log is still the demo's"


def test_what_a_demo_leaves_alone_may_lie_beside_it(tmp_path: Path) -> None:
    """Without `--agents` no database is written."""
    a_database(tmp_path / "telemetry.db")
    before = (tmp_path / "telemetry.db").read_bytes()
    assert demo("--out", tmp_path, *SHORT)[0] == 0
    assert (tmp_path / "telemetry.db").read_bytes() == before


def test_a_demo_goes_on_in_its_own_directory_and_says_that_it_added(tmp_path: Path) -> None:
    """As docker compose's does, each time it is started."""
    code, said = demo("--out", tmp_path / "new" / "demo", "--agents", *SHORT)
    assert code == 0, said
    assert " more " not in said
    assert (tmp_path / "new" / "demo" / MARK).is_file()
    size = (tmp_path / "new" / "demo" / LOG).stat().st_size
    code, said = demo("--out", tmp_path / "new" / "demo", "--agents", *SHORT)
    assert code == 0, said
    for what in ("calls", "executions", "flow runs", "tasks"):
        assert re.search(rf"^\d+ {what} more in ", said, re.MULTILINE), said
    assert (tmp_path / "new" / "demo" / LOG).stat().st_size > size


@pytest.mark.parametrize("agents", [False, True])
@pytest.mark.parametrize("what", ["a file", "below a file", "a place of the kernel", "a closed directory"])
def test_a_place_that_cannot_be_written_to_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, *, agents: bool
) -> None:
    out = tmp_path / "out"
    match what:
        case "a file":
            out.touch()
        case "below a file":
            out.touch()
            out /= "demo"
        case "a place of the kernel":
            out = out.__class__("/proc/nope")
        case _:
            out.mkdir()

            def closed(*_: object, **__: object) -> None:
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr("pathlib.Path.write_text", closed)
    code, said = demo("--out", out, *SHORT, *(["--agents"] if agents else []))
    assert code == 2
    assert re.search(rf"^egoscope: --out {out}: cannot be written to \(.+\); name another directory$", said), said


def test_a_log_that_cannot_be_added_to_is_said_in_a_sentence(tmp_path: Path) -> None:
    assert demo("--out", tmp_path, *SHORT)[0] == 0
    (tmp_path / LOG).unlink()
    (tmp_path / LOG).mkdir()
    code, said = demo("--out", tmp_path, *SHORT)
    assert code == 2
    assert f"egoscope: --out {tmp_path}: cannot be written to (Is a directory)" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--no-live"], "--no-live: nothing is asked for; --days or --max-mib", id="nothing at all"),
        pytest.param(
            ["--no-live", "--agents", "--max-mib", "1"], "--agents: databases get a history of --days", id="no history"
        ),
    ],
)
def test_where_nothing_would_be_written_nothing_is_and_that_is_said(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    code, said = demo("--out", tmp_path / "out", *arguments)
    assert code == 2
    assert sentence in said
    assert not (tmp_path / "out").exists()


def test_the_rate_of_a_live_demo_is_told_as_the_mean_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls come in sessions, and nights are quiet: 60 a minute may be 5 in the first 20 seconds."""

    def at_once(out: Path, settings: command.DemoSettings, **_: object) -> command.Summary:
        return command.write_history(out, settings, days=0.001)

    def unheard(*_: object) -> None:
        """Leave signals to pytest."""

    monkeypatch.setattr(command, "write_live", at_once)
    monkeypatch.setattr("signal.signal", unheard)
    code, said = demo("--out", tmp_path, "--calls-per-minute", "60")
    assert code == 0
    assert "60 calls a minute in the mean over a day" in said
    assert "sessions" in said
