"""Settings fail once, early, by the name of the option; `check` shows what is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from typer.testing import CliRunner

from egoscope.cli import app
from egoscope.cli.check import run_check
from egoscope.config import load_settings
from egoscope.errors import ConfigError
from egoscope.feeds import POLICIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DATABASES: Final = ("kagura", "illumo", "tracerdb", "koubou")


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.chdir(tmp_path)
    for name in ("EGO_MCP_LOG_PATH", "EGO_MCP_LOG_DIR", "EGOSCOPE_STATE_DIR", "EGOSCOPE_POLICY_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("EGOSCOPE_BATCH_KIB", "0"),
        ("EGOSCOPE_OUTBOX_LIMIT_MIB", "lots"),
        ("EGOSCOPE_BACKEND", "carrier pigeon"),
        ("EGOSCOPE_HEALTH_PORT", "70000"),
        ("EGOSCOPE_POLL_S", "0"),
        ("EGOSCOPE_HOST_NAME", "not a name"),
        ("EGOSCOPE_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_setting_is_named_but_not_repeated(option: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name in the environment; the value may be a secret put into the wrong option."""
    monkeypatch.setenv(option, value)
    with pytest.raises(ConfigError, match=option) as raised:
        load_settings()
    assert f"'{value}'" not in str(raised.value)


def test_logs_are_looked_for_where_ego_mcp_is_told_to_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of places in EGO_MCP_LOG_PATH; else the directory that ego-mcp itself uses."""
    assert load_settings().patterns == ("/tmp",)
    monkeypatch.setenv("EGO_MCP_LOG_DIR", "/var/log/ego")
    assert load_settings().patterns == ("/var/log/ego",)
    monkeypatch.setenv("EGO_MCP_LOG_PATH", "/a/*.log:/b:")
    assert load_settings().patterns == ("/a/*.log", "/b")


def test_what_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """docker compose hands on what nobody set as empty, and an empty line of .env says nothing."""
    for name in ("EGOSCOPE_BUDGET_USD", "EGOSCOPE_KAGURA_PATH", "EGOSCOPE_PRICE_FILE", "EGOSCOPE_POLL_S"):
        monkeypatch.setenv(name, "")
    settings = load_settings()
    assert (settings.budget_usd, settings.kagura_path, settings.price_file) == (None, (), None)
    assert settings.poll_s > 0


def test_a_dotenv_file_is_read_and_the_environment_stands_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docker compose does it."""
    (tmp_path / ".env").write_text("EGOSCOPE_BATCH_KIB=64\nEGOSCOPE_POLL_S=0.25\nOTHER=1\n", encoding="utf-8")
    monkeypatch.setenv("EGOSCOPE_POLL_S", "0.5")
    settings = load_settings()
    assert (settings.batch_kib, settings.poll_s) == (64, 0.5)


def test_check_says_what_is_valid_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for the settings, one for each policy."""
    monkeypatch.setenv("EGOSCOPE_STATE_DIR", str(tmp_path / "state"))
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.output.splitlines()][:3] == [
        "settings",
        "policy ego_mcp",
        "policy ego_mcp_events",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("paths", "policies"),
    [
        pytest.param(["kagura_path"], ["kagura", "kagura_events"], id="kagura"),
        pytest.param(["illumo_path"], ["illumo", "illumo_events"], id="illumo"),
        pytest.param(["tracerdb_path"], ["illumo", "illumo_events"], id="tracerdb, by the policies of illumo"),
        pytest.param(["koubou_path"], ["koubou", "koubou_workers"], id="koubou"),
        pytest.param([f"{source}_path" for source in DATABASES], POLICIES[2:], id="all, each policy once"),
    ],
)
def test_check_looks_at_the_policies_of_what_is_followed(paths: list[str], policies: Sequence[str]) -> None:
    """Of every kind of database; whether there is one at that place is no question of settings."""
    settings = load_settings(**dict.fromkeys(paths, "/nowhere.db"))
    lines = run_check(settings).splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("policy ")] == [
        f"policy {name}" for name in (*POLICIES[:2], *policies)
    ]
    assert [line for line in lines if line.startswith("databases of ")] == [
        f"databases of {path.removesuffix('_path')}: looked for in /nowhere.db" for path in paths
    ]


@pytest.mark.parametrize("name", POLICIES[2:])
def test_check_finds_what_is_wrong_with_an_extension_of_any_policy(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.toml").write_text("[fields.x]", encoding="utf-8")
    settings = load_settings(policy_dir=tmp_path, **{f"{source}_path": "x.db" for source in DATABASES})
    with pytest.raises(ConfigError, match=f"{name}\\.toml"):
        run_check(settings)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        pytest.param(None, "EGOSCOPE_POLICY_DIR", id="no such directory"),
        pytest.param("[fields.x]", "ego_mcp.toml", id="a bad policy"),
    ],
)
def test_check_names_what_is_not_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str | None, sentence: str
) -> None:
    """Exit code 2 and a sentence."""
    monkeypatch.setenv("EGOSCOPE_POLICY_DIR", str(tmp_path / "policies"))
    if policy is not None:
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "ego_mcp.toml").write_text(policy, encoding="utf-8")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 2
    assert sentence in result.output
