"""What is in the way of what was named, and which back end is asked where there is no store of one's own."""

from __future__ import annotations

import datetime as dt
import socket
from typing import TYPE_CHECKING

import pytest

from egoscope.cli.following import LOOK_AGAIN_S, Hindrances, hindrances, named_logs
from egoscope.cli.stores import demo_store, mark_as_demo, no_store_yet, stack_is_there
from egoscope.config import Settings, load_settings
from egoscope.demo import DatabaseSettings, write_kagura_history

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave nothing of the surroundings."""
    monkeypatch.chdir(tmp_path)
    for name in ("EGO_MCP_LOG_PATH", "EGO_MCP_LOG_DIR", "EGOSCOPE_PROMETHEUS_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_default_is_nothing_that_was_named() -> None:
    assert named_logs(load_settings()) == ()
    assert hindrances(load_settings()) == []
    assert named_logs(load_settings(EGO_MCP_LOG_DIR="/x")) == ("/x",)
    assert named_logs(load_settings(EGO_MCP_LOG_PATH="/x:/y")) == ("/x", "/y")


def test_what_was_in_the_way_is_looked_at_again_until_it_is_gone(tmp_path: Path) -> None:
    """And no more often than every few seconds, for another program may be writing there."""
    now_s, path = [0.0], tmp_path / "telemetry.db"
    in_the_way = Hindrances(load_settings(kagura_path=str(path)), monotonic=lambda: now_s[0])
    assert "no database is there" in in_the_way()[0]
    now = dt.datetime.now(dt.UTC)
    write_kagura_history(path, DatabaseSettings(start=now - dt.timedelta(minutes=5), rhythm=False), until=now)
    now_s[0] += LOOK_AGAIN_S / 2
    assert in_the_way()
    now_s[0] += LOOK_AGAIN_S
    assert in_the_way() == ()


def test_beside_a_database_that_is_read_only_what_is_wrong_is_in_the_way(tmp_path: Path) -> None:
    """A second place without a database may be meant for later."""
    now = dt.datetime.now(dt.UTC)
    well, wrong, later = tmp_path / "well.db", tmp_path / "wrong.db", tmp_path / "later.db"
    write_kagura_history(well, DatabaseSettings(start=now - dt.timedelta(minutes=5), rhythm=False), until=now)
    wrong.write_text("no database at all\n" * 100)
    settings = load_settings(kagura_path=f"{well}:{wrong}:{later}")
    assert hindrances(settings) == [f"{wrong}: is no SQLite database"]


def test_servers_are_there_where_a_setting_says_so_or_one_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a demo that was once played hides no stack."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with_default = load_settings().model_copy(update={"prometheus_url": address})
        unset = Settings.model_construct(_fields_set=set(), **dict(with_default))
        assert stack_is_there(unset)
    assert not stack_is_there(unset)
    monkeypatch.setenv("EGOSCOPE_PROMETHEUS_URL", address)
    assert stack_is_there(load_settings())


def test_a_store_is_a_demos_where_it_is_marked(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "store.db").touch()
    assert demo_store(settings) is None
    assert "--store" not in str(no_store_yet(settings))
    mark_as_demo(tmp_path / "demo")
    assert demo_store(settings) == tmp_path / "demo" / "store.db"
    assert f"--store {tmp_path / 'demo' / 'store.db'}" in str(no_store_yet(settings))
