"""The recorded database of the real illumo, followed by the whole sidecar: no planted secret is anywhere behind it."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from disk import Nowhere, everything_in
from planted import found
from recorded import FOLDER

from egoscope.config import Settings, load_settings
from egoscope.wiring import Sidecar


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A copy of the recorded database, as its program left it."""
    recorded = FOLDER / "illumo" / "illumo_trace.db"
    if not recorded.exists():
        pytest.skip("the recorded database is not beside the repository")
    folder = tmp_path / "illumo"
    folder.mkdir()
    return Path(shutil.copy(recorded, folder / "illumo_trace.db"))


def settings(tmp_path: Path, database: Path) -> Settings:
    """Return settings of a sidecar with the embedded store that listens nowhere."""
    return load_settings(
        EGO_MCP_LOG_PATH=str(tmp_path / "none.log"),
        illumo_path=str(database),
        state_dir=tmp_path / "state",
        backend="embedded",
        health_port=0,
    )


@pytest.mark.parametrize("running", [False, True], ids=["as it ended", "while all of it runs"])
def test_no_planted_secret_is_on_disk_or_in_the_own_log(
    running: bool, database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While requests wait, and after they are in the embedded store; the database itself is as it was."""
    caplog.set_level(logging.DEBUG)
    if running:
        with closing(sqlite3.connect(database)) as db, db:
            db.execute("UPDATE spans SET end_time = NULL")
    before = database.read_bytes()
    nowhere = Nowhere()
    waiting = Sidecar(settings(tmp_path, database), exporter=nowhere)
    while waiting.pipeline.run_once():
        pass
    waiting.pipeline.finish()
    outputs = [everything_in(tmp_path / "state")]  # as it is while everything waits, its -wal and -shm included
    waiting.close()
    sidecar = Sidecar(settings(tmp_path, database))
    sidecar.drain()
    sidecar.close()
    outputs += [everything_in(tmp_path / "state"), nowhere.offered, caplog.text.encode()]
    assert b"chat_bot" in outputs[1], "the store was filled"
    canaries = json.loads((FOLDER / "illumo" / "canaries.json").read_text(encoding="utf-8"))
    assert found(canaries, before) == canaries, "they are in the database"
    assert found(canaries, b"\n".join(outputs)) == []
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == [database.name]


def test_a_restart_between_start_and_end_loses_nothing(database: Path, tmp_path: Path) -> None:
    """Half of the flows run when the sidecar stops; they end while it is away. All are told of once."""
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT span_id, end_time, status FROM spans").fetchall()
        with db:
            db.execute("UPDATE spans SET end_time = NULL, status = NULL WHERE rowid % 2")
        for round_ in range(2):
            sidecar = Sidecar(settings(tmp_path, database))
            sidecar.drain()
            sidecar.close()
            if round_ == 0:
                with db:
                    db.executemany("UPDATE spans SET end_time = ?2, status = ?3 WHERE span_id = ?1", rows)
    with closing(sqlite3.connect(tmp_path / "state" / "store.db")) as store:
        assert store.execute("SELECT count(*), count(DISTINCT span_id) FROM spans").fetchone() == (200, 200)
