"""A name that nothing reads is told: a misspelt setting is not silently none at all."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import pytest
from typer.testing import CliRunner

from egoscope.cli import app
from egoscope.cli import doctor as command
from egoscope.cli.setting_names import COMPOSE, ELSEWHERE, SETTINGS, odd_names
from egoscope.config import load_settings
from egoscope.doctor.finding import Mark
from tests.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME: Final = re.compile(r"\bEGOSCOPE_[A-Z0-9_]*[A-Z0-9]\b(?!_)")
ASKED: Final = re.compile(
    r"(?:environ(?:\.get\(|\.pop\(|\[)|getenv\(|^[A-Z_]+: Final = )\"(EGOSCOPE_[A-Z0-9_]*[A-Z0-9])\b", re.MULTILINE
)
SHIPPED: Final = (
    *("docker", "grafana", "alertmanager", "collector-config", "prometheus", "loki", "tempo", "bench", "tools"),
    *("docker-compose*.yml", "Dockerfile", "Makefile", "examples"),
)


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("EGOSCOPE_", "EGO_MCP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EGOSCOPE_STATE_DIR", str(tmp_path / "state"))


def check() -> tuple[int, str]:
    """Run the command; return its exit code and all it said."""
    result = CliRunner().invoke(app, ["check"])
    return result.exit_code, result.output


def texts(*globs: str) -> Iterator[str]:
    """Return the texts of the repository's files."""
    for glob in globs:
        for path in ROOT.glob(glob):
            for file in path.rglob("*") if path.is_dir() else [path]:
                if file.is_file() and file.suffix in {"", ".py", ".yml", ".yaml", ".toml", ".md", ".json", ".tmpl"}:
                    yield file.read_text("utf-8", "replace")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("EGOSCOPE_KAGURA_PTH", "EGOSCOPE_KAGURA_PATH"),
        ("EGOSCOPE_LOG_PATH", "EGO_MCP_LOG_PATH"),
        ("EGOSCOPE_GRAFANA_PROT", "EGOSCOPE_GRAFANA_PORT"),
        ("egoscope_outbox_limit", "EGOSCOPE_OUTBOX_LIMIT_MIB"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(
    misspelt: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of its value: settings are valid all the same."""
    monkeypatch.setenv(misspelt, "/some/secret")
    code, said = check()
    assert code == 0
    assert f"warning: {misspelt.upper()}: is read by nothing here; did you mean {meant}?\n" in said
    assert "secret" not in said


def test_a_name_like_no_other_is_told_where_all_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGOSCOPE_QQQQQQQQ", "1")
    assert "EGOSCOPE_QQQQQQQQ: is read by nothing here; docs/configuration.md has all settings" in check()[1]


def test_what_only_compose_reads_is_told_with_what_is_read_here(tmp_path: Path) -> None:
    """Of .env, which both read."""
    (tmp_path / ".env").write_text(
        "KAGURA_DB_DIR=/home/me/kagura\nKOUBOU_DB_NAME=\nEGOSCOPE_GRAFANA_PORT=3001\nEGOSCOPE_BUDGET_USD=5\nTZ=UTC\n"
    )
    code, said = check()
    assert code == 0
    assert "warning: KAGURA_DB_DIR: is read by docker compose only; without it set EGOSCOPE_KAGURA_PATH\n" in said
    assert "note: EGOSCOPE_GRAFANA_PORT: read by docker compose and the servers, not by egoscope itself\n" in said
    assert "KOUBOU" not in said, "it is set to nothing"
    assert "BUDGET" not in said


def test_where_both_are_set_nothing_is_wrong(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAGURA_DB_DIR=/home/me/kagura\nEGOSCOPE_KAGURA_PATH=/home/me/kagura/telemetry.db\n")
    assert "warning" not in check()[1]


def test_what_is_known_is_not_told() -> None:
    """Settings, and what configuration files, tools and tests read."""
    assert odd_names([*SETTINGS, *ELSEWHERE]) == ([], [])


def test_doctor_warns_of_the_same_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGOSCOPE_KAGURA_PTH", "/x")
    (tmp_path / ".env").write_text("ILLUMO_DB_DIR=/y\nEGOSCOPE_GRAFANA_PORT=3001\n")
    settings = load_settings(backend="embedded", EGO_MCP_LOG_PATH=str(tmp_path))
    found = {one.subject: one for title, found in command.examine(settings, 0) if title == "settings" for one in found}
    assert (found["EGOSCOPE_KAGURA_PTH"].mark, found["ILLUMO_DB_DIR"].mark) == (Mark.WARN, Mark.WARN)
    assert "EGOSCOPE_KAGURA_PATH" in found["EGOSCOPE_KAGURA_PTH"].remedy
    assert "EGOSCOPE_ILLUMO_PATH" in found["ILLUMO_DB_DIR"].remedy
    assert found["EGOSCOPE_GRAFANA_PORT"].mark is Mark.SKIP


def test_every_name_of_this_repository_is_known() -> None:
    """Those in what is shipped, and those that tests ask the environment for."""
    known = SETTINGS | COMPOSE.keys() | ELSEWHERE
    shipped = {name for text in texts(*SHIPPED) for name in NAME.findall(text)}
    assert sorted(shipped - known) == []
    assert sorted({name for text in texts("tests") for name in ASKED.findall(text)} - known) == []
    everywhere = {name for text in texts(*SHIPPED, "tests") for name in NAME.findall(text)}
    assert sorted(ELSEWHERE - everywhere) == []


def test_composes_names_are_those_of_the_example() -> None:
    example = set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    of_all_programs = {"COMPOSE_FILE", "TZ"}
    assert set(COMPOSE) == example - SETTINGS - of_all_programs
    assert {name for name in COMPOSE.values() if name} <= SETTINGS
