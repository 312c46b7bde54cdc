"""The state file: what must agree commits together, and what is damaged or somebody else's is left alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from ego_lines import FEELING, completed, invoked, said
from kept import Batches

from egoscope.convert.instance import InstanceState
from egoscope.delivery.outbox import LIVE, Outbox
from egoscope.delivery.state import SCHEMA_VERSION, StateFile
from egoscope.errors import StateError
from egoscope.sources.base import FileCheckpoint
from egoscope.sources.ego_mcp import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from egoscope.delivery.state import Batch

FIRST = (invoked(0), completed(40, **FEELING))
SECOND = (invoked(50), said(60, "Routing tool call"), invoked(70, "recall"))


def everything(state: StateFile) -> Any:
    """Return all that must agree: positions, conversion state, series, ledger and requests."""
    requests = state.db.execute("SELECT signal, lane, source, items, data FROM outbox ORDER BY id").fetchall()
    kept = state.checkpoints(SOURCE, FileCheckpoint), *state.source("i1", InstanceState), sorted(state.ledger().items())
    return msgspec.json.encode(kept), requests


def commit(state: StateFile, batch: Batch) -> None:
    """Commit one batch as live."""
    state.commit(batch, lane=LIVE, now_ns=1)


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    """Positions, open calls, series, ledger and requests; opened again they are as they were."""
    state = StateFile(tmp_path / "state.db")
    batches = Batches()
    for lines in (FIRST, SECOND):
        commit(state, batches.of(*lines))
    before = everything(state)
    state.close()
    with closing(StateFile(tmp_path / "state.db")) as opened:
        assert everything(opened) == before
        conversion, series = opened.source("i1", InstanceState)
        assert [one.tool for one in conversion.open_calls] == ["remember", "recall"]
        assert [one.offset for one in opened.checkpoints(SOURCE, FileCheckpoint)] == [
            sum(len(line) + 1 for line in FIRST + SECOND)
        ]
        assert Outbox(opened, limit_bytes=1).waiting().requests == 5  # no span in the second batch
        assert len(series) > 10
        assert len(opened.ledger()) == 1


def test_a_crash_between_any_two_statements_leaves_all_old_or_all_new(tmp_path: Path) -> None:
    """The files as they are before each statement of a commit, opened as after a power cut."""
    state = StateFile(tmp_path / "state.db")
    batches = Batches()
    commit(state, batches.of(*FIRST))
    old = everything(state)
    crashes: list[Path] = []

    def crash(_statement: str) -> None:
        folder = tmp_path / f"crash{len(crashes)}"
        folder.mkdir()
        for name in ("state.db", "state.db-wal"):
            shutil.copy(tmp_path / name, folder / name)
        crashes.append(folder)

    state.db.set_trace_callback(crash)
    commit(state, batches.of(*SECOND))
    state.db.set_trace_callback(None)
    crash("after the last one")
    new = everything(state)
    state.close()
    assert old != new
    found: list[Any] = []
    for folder in crashes:
        with closing(StateFile(folder / "state.db")) as opened:
            found.append(everything(opened))
    assert len(found) > 10
    assert all(one in (old, new) for one in found)
    assert (found[0], found[-1]) == (old, new)


def test_a_commit_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    """What was written before the failing statement is undone, and the next commit goes on."""
    with closing(StateFile(tmp_path / "state.db")) as state:
        batches = Batches()
        commit(state, batches.of(*FIRST))
        old = everything(state)
        state.db.execute("CREATE TEMP TRIGGER no BEFORE INSERT ON main.outbox BEGIN SELECT RAISE(ABORT, 'no'); END")
        second = batches.of(*SECOND)
        with pytest.raises(sqlite3.Error):
            commit(state, second)
        assert everything(state) == old
        state.db.execute("DROP TRIGGER no")
        commit(state, second)
        assert everything(state) != old


def test_a_second_sidecar_on_the_same_state_is_refused_and_told_whose_it_is(tmp_path: Path) -> None:
    """By process number, and what to do; after the first one has ended, the next may have it."""
    first = StateFile(tmp_path / "state.db")
    with pytest.raises(StateError, match=rf"process {os.getpid()}\b.*stop it first.*EGOSCOPE_STATE_DIR"):
        StateFile(tmp_path / "state.db")
    first.close()
    StateFile(tmp_path / "state.db").close()


def filled(path: Path) -> None:
    """Make a state file with some pages in it."""
    with closing(StateFile(path)) as state:
        batches = Batches()
        for _ in range(20):
            commit(state, batches.of(*FIRST, *SECOND))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "something else": lambda _content: b"this is no database, whoever wrote it" * 100,
    "half of it": lambda content: content[: len(content) // 2],
    "less than a page": lambda content: content[:5000],
    "zeros": lambda content: bytes(len(content)),
    "a hole in the middle": lambda content: content[:20_000] + b"\xff" * 60_000 + content[80_000:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_file_is_reported_and_left_as_it_is(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Nothing is overwritten: the bytes are the same afterwards, and the sentence says what to do."""
    path = tmp_path / "state.db"
    filled(path)
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(StateError, match=r"damaged.*Move it away"):
        StateFile(path)
    assert path.read_bytes() == before
    with pytest.raises(StateError, match="damaged"):  # the lock was let go of
        StateFile(path)


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """An older egoscope must not write into what it does not understand."""
    path = tmp_path / "state.db"
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StateError, match=f"schema {SCHEMA_VERSION + 1}"):
        StateFile(path)
    assert path.read_bytes() == before


def as_schema_1(path: Path) -> None:
    """Make of a state file what an egoscope of schema 1 wrote: log files only, in a table of that name."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("""
            CREATE TABLE files (source TEXT PRIMARY KEY, checkpoint BLOB NOT NULL, conversion BLOB NOT NULL)
            WITHOUT ROWID;
            INSERT INTO files SELECT source, checkpoint, conversion FROM instances;
            INSERT INTO files VALUES ('_sidecar', CAST('null' AS BLOB), CAST('{}' AS BLOB));
            DROP TABLE instances;
            PRAGMA user_version = 1;
        """)


def test_a_state_file_of_schema_1_goes_on_where_it_was(tmp_path: Path) -> None:
    """Positions, open calls, series, ledger and requests are what they were; and the file is of today's schema."""
    path = tmp_path / "state.db"
    with closing(StateFile(path)) as state:
        commit(state, Batches().of(*FIRST))
        before = everything(state)
    as_schema_1(path)
    with closing(StateFile(path)) as state:
        assert everything(state) == before
        assert state.db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        commit(state, Batches("i2").of(*SECOND))
        assert len(state.checkpoints(SOURCE, FileCheckpoint)) == 2


def test_a_crash_amid_the_migration_leaves_the_old_schema(tmp_path: Path) -> None:
    """It is one transaction: what was there is still readable, by either egoscope."""
    path = tmp_path / "state.db"
    with closing(StateFile(path)) as state:
        commit(state, Batches().of(*FIRST))
        before = everything(state)
    as_schema_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE instances (in_the_way TEXT)")
    with pytest.raises(StateError):
        StateFile(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute("SELECT count(*) FROM files").fetchone()[0] == 2
        db.execute("DROP TABLE instances")
    with closing(StateFile(path)) as state:
        assert everything(state) == before


def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """It has no version of ours, but it is not empty either."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(StateError):
        StateFile(path)
    assert path.read_bytes() == before


def test_nobody_else_can_read_the_state(tmp_path: Path) -> None:
    """Its folder and its files are the user's own."""
    path = tmp_path / "egoscope" / "state.db"
    state = StateFile(path)
    commit(state, Batches().of(*FIRST))
    assert path.parent.stat().st_mode & 0o077 == 0
    modes = {one.name: one.stat().st_mode & 0o077 for one in path.parent.iterdir()}
    files = ("state.db", "state.db-wal", "state.db-shm", "state.lock", "state.reserve")
    assert modes == dict.fromkeys(files, 0)
    state.close()


def test_a_forgotten_source_leaves_its_requests_to_be_sent(tmp_path: Path) -> None:
    """Its file is gone for good; what it said is not."""
    with closing(StateFile(tmp_path / "state.db")) as state:
        commit(state, Batches("i1").of(*FIRST))
        commit(state, Batches("i2").of(*SECOND))
        waiting = Outbox(state, limit_bytes=1 << 20).waiting()
        state.forget(["i1"])
        assert [one.source for one in state.checkpoints(SOURCE, FileCheckpoint)] == ["i2"]
        assert state.source("i1", InstanceState)[1] == []
        assert state.source("i2", InstanceState)[1] != []
        assert Outbox(state, limit_bytes=1 << 20).waiting() == waiting
