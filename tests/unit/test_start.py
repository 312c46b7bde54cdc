"""`make start` with Docker: which log, as whom, or the demo. Nothing is started here: what would be, is looked at."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
    for name in ("EGO_MCP_LOG_DIR", "KAGURA_DB_DIR", "ILLUMO_DB_DIR", "EGOSCOPE_UID", "EGOSCOPE_GID"):
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
    """The empty directory is not mounted: the demo's volume takes its place."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(empty))
    environment, profiles = start.surroundings()
    assert profiles == ["--profile", "demo"]
    assert "EGO_MCP_LOG_DIR" not in environment


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
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(tmp_path / "nothing"))
    assert start.surroundings()[1] == ["--profile", "demo"]


def test_who_has_databases_alone_is_shown_those_and_no_demo(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as the owner of their directory, by its full path."""
    databases = a_log_directory(tmp_path, 12345).rename(tmp_path / "databases")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(empty))
    monkeypatch.setenv("KAGURA_DB_DIR", "databases")
    environment, profiles = start.surroundings()
    assert (profiles, environment["KAGURA_DB_DIR"], environment["EGOSCOPE_UID"]) == ([], str(databases), "12345")
    assert not {"EGO_MCP_LOG_DIR", "ILLUMO_DB_DIR"} & environment.keys()
    monkeypatch.setenv("KAGURA_DB_DIR", "nowhere")
    assert start.surroundings()[1] == ["--profile", "demo"]


@pytest.mark.parametrize(
    ("place", "zone"), [("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"), ("/etc/localtime", "UTC")]
)
def test_the_time_zone_is_this_machines_by_name_and_utc_where_it_has_none(
    start: Any, monkeypatch: pytest.MonkeyPatch, place: str, zone: str
) -> None:
    """For the hour of the day in dashboards."""

    def resolved(_path: Path) -> Path:
        return Path(place)

    monkeypatch.setattr(start.Path, "resolve", resolved)
    assert start.timezone() == zone


def test_a_time_zone_that_is_set_is_kept(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGO_MCP_LOG_DIR", str(tmp_path))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    environment, _ = start.surroundings()
    assert environment["TZ"] == "Europe/Berlin"
