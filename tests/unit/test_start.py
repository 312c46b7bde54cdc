"""`make start` with Docker: which log, as whom, or the demo. Nothing is started here: what would be, is looked at."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.this_thread import replace_here

if TYPE_CHECKING:
    from types import ModuleType

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return tools/start.py with a repository of the test's own around it."""
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    spec = importlib.util.spec_from_file_location("start", TOOLS / "start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules.pop("secret", None)
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    for name in module.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    return module


def a_log_directory(tmp_path: Path, owner: int) -> Path:
    """Return a directory with an ego-mcp log, owned by some user."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "ego-mcp-2026-11-20.log").write_text("{}\n")
    try:
        os.chown(logs, owner, owner)
    except PermissionError:
        pytest.skip("only root may give a directory to another user")
    return logs


def test_without_a_log_the_demo_plays_in_its_own_volume(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody named one. The empty directory is not mounted: the demo's volume takes its place."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(start, "EGO_MCP_DEFAULT", str(empty))
    environment, profiles = start.surroundings()
    assert profiles == ["--profile", "demo"]
    assert environment["EGO_MCP_LOG_DIR"] == "", "so that a directory that .env names is not mounted either"


def test_a_directory_that_is_named_is_followed_before_it_holds_a_log(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invented life in its place would be taken for one's own."""
    logs = a_log_directory(tmp_path, 12345)
    next(logs.iterdir()).unlink()
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(logs))
    environment, profiles = start.surroundings()
    assert (profiles, environment["EGO_MCP_LOG_DIR"], environment["EGOSCOPE_UID"]) == ([], str(logs), "12345")
    assert f"No ego-mcp log in {logs} yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["EGO_MCP_LOG_DIR", "KAGURA_DB_DIR", "KOUBOU_DB_DIR"])
def test_a_directory_that_is_named_and_not_there_starts_nothing(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Docker would make it, as root's, and whose it is to be could not write to it."""
    monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match=f"{name}: there is no directory {tmp_path / 'nowhere'}"):
        start.surroundings()


def test_the_logs_directory_is_mounted_by_its_full_path_and_read_as_its_owner(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path would be another one for docker compose."""
    logs = a_log_directory(tmp_path, 12345)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EGO_MCP_LOG_DIR", "logs")
    environment, profiles = start.surroundings()
    assert (profiles, environment["EGO_MCP_LOG_DIR"]) == ([], str(logs))
    assert (environment["EGOSCOPE_UID"], environment["EGOSCOPE_GID"]) == ("12345", "12345")


def test_root_is_never_the_sidecars_user(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root alone may read stays unread; the default user reads what is open to all."""
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(a_log_directory(tmp_path, 0)))
    environment, _ = start.surroundings()
    assert "EGOSCOPE_UID" not in environment


def test_dotenv_says_where_the_logs_are_and_the_environment_overrules_it(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for docker compose itself."""
    logs = a_log_directory(tmp_path, 12345)
    (tmp_path / ".env").write_text(f"EGO_MCP_LOG_DIR={logs}\nEGOSCOPE_UID=777\n")
    environment, profiles = start.surroundings()
    assert (profiles, environment["EGO_MCP_LOG_DIR"], environment["EGOSCOPE_UID"]) == ([], str(logs), "777")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(other))
    assert start.surroundings()[0]["EGO_MCP_LOG_DIR"] == str(other)


@pytest.mark.parametrize(
    "line",
    [
        'EGO_MCP_LOG_DIR="{logs}"',
        "EGO_MCP_LOG_DIR='{logs}'  # where they are",
        "export EGO_MCP_LOG_DIR={logs} # where they are",
        "EGO_MCP_LOG_DIR=/elsewhere\n  EGO_MCP_LOG_DIR = {logs}  ",
        "EGO_MCP_LOG_DIR=${{HOME_OF_LOGS}}/logs",
        'EGO_MCP_LOG_DIR="$HOME_OF_LOGS/logs"',
    ],
)
def test_dotenv_is_read_as_docker_compose_reads_it(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Quotes, `export`, blanks, comments, variables; else the demo would play while Compose accepts the file."""
    logs = a_log_directory(tmp_path, 12345)
    monkeypatch.setenv("HOME_OF_LOGS", str(tmp_path))
    (tmp_path / ".env").write_text(f"{line.format(logs=logs)}\nEGOSCOPE_UID='777'\n")
    environment, profiles = start.surroundings()
    assert (profiles, environment["EGO_MCP_LOG_DIR"], environment["EGOSCOPE_UID"]) == ([], str(logs), "777")


def test_what_was_chosen_is_left_for_a_bare_docker_compose_and_what_the_user_wrote_goes_before_it(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of equal names Compose takes the last. The user's own lines stay as they are, with owner and mode of the file."""
    logs = a_log_directory(tmp_path, 12345)
    monkeypatch.setattr(start, "EGO_MCP_DEFAULT", str(logs))
    file = tmp_path / ".env"
    own = "# Mine\nexport EGOSCOPE_GID=777\nEGOSCOPE_LOKI_RETENTION=24h"
    file.write_text(own)
    file.chmod(0o640)
    os.chown(file, 12345, 12345)
    for _ in range(2):
        start.leave(start.surroundings()[0])
    chosen = {"EGO_MCP_LOG_DIR": logs, "EGOSCOPE_UID": 12345, "TZ": start.timezone()}
    lines = [f"{name}='{value}'{start.env_file.MARK}\n" for name, value in chosen.items()]
    assert file.read_text() == "".join([*lines, own])
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o640, 12345)
    assert not list(tmp_path.glob(".env.*"))


def test_what_was_chosen_before_is_no_setting_of_the_users(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start chooses anew: here the logs are gone, and so is the demo's volume from being covered by them."""
    logs = a_log_directory(tmp_path, 12345)
    monkeypatch.setattr(start, "EGO_MCP_DEFAULT", str(logs))
    start.leave(start.surroundings()[0])
    assert "EGO_MCP_LOG_DIR" in (tmp_path / ".env").read_text()
    next(logs.iterdir()).unlink()
    environment, profiles = start.surroundings()
    start.leave(environment)
    assert profiles == ["--profile", "demo"]
    assert (tmp_path / ".env").read_text().startswith("TZ=")


def test_an_env_file_that_cannot_be_written_stops_nothing(
    start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The start itself needs no file."""
    (tmp_path / ".env").symlink_to(tmp_path / "nowhere" / ".env")
    start.leave({"TZ": "UTC"})
    assert "cannot be written" in capsys.readouterr().out


def test_who_has_databases_alone_is_shown_those_and_no_demo(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as the owner of their directory, by its full path."""
    databases = a_log_directory(tmp_path, 12345).rename(tmp_path / "databases")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, "EGO_MCP_DEFAULT", str(empty))
    monkeypatch.setenv("KAGURA_DB_DIR", "databases")
    environment, profiles = start.surroundings()
    assert (profiles, environment["KAGURA_DB_DIR"], environment["EGOSCOPE_UID"]) == ([], str(databases), "12345")
    assert (environment["EGO_MCP_LOG_DIR"], environment.get("ILLUMO_DB_DIR")) == ("", None)


@pytest.mark.parametrize(
    ("place", "zone"), [("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"), ("/etc/localtime", "UTC")]
)
def test_the_time_zone_is_this_machines_by_name_and_utc_where_it_has_none(
    start: Any, monkeypatch: pytest.MonkeyPatch, place: str, zone: str
) -> None:
    """For the hour of the day in dashboards."""

    def resolved(_path: Path) -> Path:
        return Path(place)

    replace_here(monkeypatch, Path, "resolve", resolved)
    assert start.timezone() == zone


def test_a_time_zone_that_is_set_is_kept(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(tmp_path))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    environment, _ = start.surroundings()
    assert environment["TZ"] == "Europe/Berlin"
