"""`egoscope doctor` about databases of other agents: each situation has its mark and its sentence."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from illumo_rows import illumo_format
from kagura_rows import build_format
from koubou_rows import Koubou
from koubou_rows import build_format as koubou_format

from egoscope.cli import doctor as command
from egoscope.config import load_settings
from egoscope.convert.catalogue import UNPARSABLE
from egoscope.doctor import databases, places, state
from egoscope.doctor.finding import Finding, Mark
from egoscope.errors import ConfigError
from egoscope.sources.databases import DatabaseFile, UnreadableDatabaseError
from egoscope.sources.discovery import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from egoscope.delivery.ledger import LedgerKey

OPTION = "EGOSCOPE_KAGURA_PATH"
CANARY = "canary-51d0b2f7"
EXECUTIONS = "CREATE TABLE executions (id TEXT PRIMARY KEY, agent_name TEXT, started_at REAL, kwargs TEXT)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database as Kagura writes it, with three executions, in a directory closed to others."""
    folder = tmp_path / "agents"
    folder.mkdir(mode=0o700)
    made = folder / "telemetry.db"
    with closing(sqlite3.connect(made)) as db, db:
        db.execute(EXECUTIONS)
        rows = [(str(number), CANARY, 1.0, CANARY) for number in range(3)]
        db.executemany("INSERT INTO executions VALUES (?, ?, ?, ?)", rows)
    return made


def looked(*patterns: object, row_format: Any = None) -> list[Finding]:
    """Return all findings about patterns of Kagura's databases. No content of a row is in any."""
    chosen = build_format() if row_format is None else row_format
    found = list(databases.check_databases(OPTION, [str(one) for one in patterns], chosen, time.time()))
    assert CANARY not in repr(found)
    return found


def the_one(findings: list[Finding], mark: Mark) -> Finding:
    """Return the only finding, which has this mark."""
    assert [finding.mark for finding in findings] == [mark], findings
    return findings[0]


def executed(*statements: str) -> Callable[[Path], None]:
    """Return what runs statements on a database."""

    def run(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)

    return run


def written(content: bytes) -> Callable[[Path], None]:
    """Return what puts something else into a file."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def damaged(path: Path) -> None:
    """Leave the first page and zero the rest."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))


def test_a_database_that_can_be_read_is_told_with_its_rows_and_its_age(path: Path) -> None:
    finding = the_one(looked(path), Mark.OK)
    assert finding.subject == str(path)
    assert finding.sentence.startswith("can be read: 3 rows in executions; ")
    assert finding.sentence.endswith("s ago")


def test_a_directory_and_a_glob_name_databases_but_not_what_sqlite_puts_beside_them(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("DELETE FROM executions WHERE id = '0'")
        assert path.with_name("telemetry.db-wal").exists()
        for pattern in (path.parent, f"{path}*"):
            assert "2 rows" in the_one(looked(pattern), Mark.OK).sentence


def test_a_great_many_rows_are_not_counted_while_their_writer_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_MOST_COUNTED", 2)
    assert "more than 2 rows in executions" in the_one(looked(path), Mark.OK).sentence


@pytest.mark.parametrize(
    ("change", "mark", "sentence", "remedy"),
    [
        pytest.param(written(b""), Mark.SKIP, "is empty", "", id="an empty file waits for its first row"),
        pytest.param(
            written(b"this is a diary\n" * 99), Mark.FAIL, "is no SQLite database", f"writes in {OPTION}",
            id="another kind of file",
        ),
        pytest.param(damaged, Mark.FAIL, "is damaged", "restore it from a backup", id="zeroed pages"),
        pytest.param(
            executed("ALTER TABLE executions RENAME TO others"), Mark.FAIL, "no table executions", OPTION,
            id="another program's database",
        ),
        pytest.param(
            executed("ALTER TABLE executions DROP COLUMN started_at"), Mark.FAIL, "no column executions.started_at",
            "upgrade kagura", id="a schema without what must be there",
        ),
        pytest.param(
            executed("DELETE FROM executions"), Mark.OK, "can be read: 0 rows", "", id="a table without rows is read"
        ),
        pytest.param(
            executed("PRAGMA journal_mode = WAL"), Mark.OK, "can be read: 3 rows", "", id="a write-ahead log, closed"
        ),
    ],
)  # fmt: skip
def test_what_stands_there_is_told_apart(
    path: Path, change: Callable[[Path], None], mark: Mark, sentence: str, remedy: str
) -> None:
    change(path)
    finding = the_one(looked(path), mark)
    assert sentence in finding.sentence
    assert remedy in finding.remedy


def test_a_lock_is_no_error_but_worth_a_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_BUSY_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert "is locked by its writer" in the_one(looked(path), Mark.WARN).sentence


def test_a_journal_left_by_a_crash_must_be_taken_back_by_the_program_itself(path: Path) -> None:
    """Copied amid a change: the journal is there, and nobody holds its lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN")
        writer.executemany("INSERT INTO executions VALUES (?, '', 1.0, ?)", ((f"n{n}", "x" * 900) for n in range(200)))
        left = path.parent.parent / "left"
        shutil.copytree(path.parent, left)
    before = {one.name: one.read_bytes() for one in left.iterdir()}
    assert len(before) == 2
    finding = the_one(looked(left / path.name), Mark.FAIL)
    assert "was left amid a change" in finding.sentence
    assert finding.remedy == "start kagura once"
    assert {one.name: one.read_bytes() for one in left.iterdir()} == before


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        pytest.param(Reason.DENIED, f"this user (uid {os.geteuid()}) is not allowed to read it", id="no permission"),
        pytest.param(Reason.UNREADABLE, "the mount answers with an error", id="an I/O error"),
    ],
)
def test_what_the_operating_system_refuses_is_said_in_words(
    path: Path, monkeypatch: pytest.MonkeyPatch, reason: Reason, words: str
) -> None:
    def refuse(_self: DatabaseFile, _busy_s: float) -> Iterator[None]:
        raise UnreadableDatabaseError(reason)

    monkeypatch.setattr(DatabaseFile, "snapshot", refuse)  # tests may run as root, whom no mode keeps out
    finding = the_one(looked(path), Mark.FAIL)
    assert words in finding.sentence
    assert finding.remedy


@pytest.mark.parametrize(
    ("pattern", "mark", "sentence"),
    [
        pytest.param("agents/none.db", Mark.SKIP, "no database is there", id="a file that may come"),
        pytest.param("agents/x*.db", Mark.SKIP, "no database is there", id="a glob that may match"),
        pytest.param("", Mark.SKIP, "no database is there", id="a directory without one"),
        pytest.param("gone/telemetry.db", Mark.FAIL, "gone does not exist", id="a directory that is not there"),
        pytest.param("gone/*/x*.db", Mark.FAIL, "gone does not exist", id="a glob below one"),
    ],
)
def test_a_path_with_nothing_there_is_told_apart(path: Path, pattern: str, mark: Mark, sentence: str) -> None:
    """With Docker the path is always set, so a database that is not there is nothing to worry about."""
    finding = the_one(looked(path.parent.parent / pattern), mark)
    assert sentence in finding.sentence
    assert f"set {OPTION}" in f"{finding.sentence} {finding.remedy}"


def test_what_is_no_file_is_said_as_of_a_log(path: Path) -> None:
    os.mkfifo(path.with_name("pipe.db"))
    assert "not a regular file" in the_one(looked(path.with_name("pipe.db")), Mark.WARN).sentence


def test_a_table_that_may_be_missing_is_worth_a_warning(tmp_path: Path) -> None:
    """Of illumo's flows without their events something can be told."""
    tmp_path.chmod(0o700)
    made = tmp_path / "illumo_trace.db"
    executed("CREATE TABLE spans (span_id TEXT PRIMARY KEY, start_time TEXT)")(made)
    read, missing = looked(made, row_format=illumo_format())
    assert read.mark is Mark.OK
    assert missing.mark is Mark.WARN
    assert "has no table events" in missing.sentence


def test_a_database_that_every_user_can_read_is_worth_a_warning(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.chmod(0o644)
    monkeypatch.setattr(places, "_reachable_by_all", lambda _path: True)  # type: ignore[misc]
    _, warned = looked(path)
    assert warned.mark is Mark.WARN
    assert warned.remedy == f"run chmod 700 {path.parent}"


@pytest.mark.parametrize(
    ("source", "reason", "subject", "sentence"),
    [
        pytest.param("kagura", "malformed_json", "rows of kagura", "2 rows were told but for a column", id="a flaw"),
        pytest.param("illumo", "no_time", "rows of illumo", "2 rows were without a usable time", id="no row at all"),
        pytest.param("kagura", "of_tomorrow", "rows of kagura", "2 rows were of_tomorrow", id="a reason not known yet"),
        pytest.param("ego_mcp", "not_json", "lines", "2 lines were not JSON", id="a line is no row"),
    ],
)
def test_rows_that_could_not_be_read_are_told_by_source(source: str, reason: str, subject: str, sentence: str) -> None:
    totals: dict[LedgerKey, int] = {(UNPARSABLE.name, (("source", source), ("reason", reason))): 2}
    view = state.StateView([], totals, [], 0, 0, None)
    (finding,) = (one for one in state.check_reading(view) if one.mark is Mark.WARN)
    assert finding.subject == subject
    assert finding.sentence.startswith(sentence)
    assert finding.remedy


def test_looking_leaves_nothing_and_changes_nothing(path: Path) -> None:
    executed("PRAGMA journal_mode = WAL")(path)

    def everything() -> dict[str, tuple[bytes, int]]:
        return {one.name: (one.read_bytes(), one.stat().st_mtime_ns) for one in path.parent.iterdir()}

    before = everything()
    looked(path)
    assert everything() == before


def test_the_whole_answer_has_a_section_of_databases_where_one_is_asked_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("EGOSCOPE_", "EGO_MCP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    quiet: dict[str, Any] = {"state_dir": tmp_path / "state", "backend": "embedded", "health_port": 0}
    sections = dict(command.examine(load_settings(**quiet), time.time()))
    assert "databases" not in sections
    sections = dict(command.examine(load_settings(**quiet, kagura_path=str(path)), time.time()))
    assert "3 rows" in the_one(sections["databases"], Mark.OK).sentence
    assert {"policy kagura", "policy kagura_events", "prices"} <= {one.subject for one in sections["settings"]}
    bad = tmp_path / "prices.toml"
    bad.write_text("schema = 2\n")
    sections = dict(command.examine(load_settings(**quiet, kagura_path=str(path), price_file=bad), time.time()))
    assert str(bad) in the_one(sections["databases"], Mark.SKIP).sentence
    assert any(str(bad) in one.sentence and one.mark is Mark.FAIL for one in sections["settings"])
    with pytest.raises(ConfigError):
        command.run_check(load_settings(**quiet, kagura_path=str(path), price_file=bad))


def koubou_at(path: Path, *, workers: bool = True) -> Path:
    """Return a database as Koubou writes it, with one task and two workers."""
    path.parent.chmod(0o700)
    koubou = Koubou(path, workers=workers)
    koubou.create(CANARY)
    if workers:
        koubou.register(CANARY)
        koubou.register("worker_1")
    return path


def test_tasks_and_workers_of_koubou_are_counted(tmp_path: Path) -> None:
    """Though workers are no rows that are followed."""
    found = the_one(looked(koubou_at(tmp_path / "koubou.db"), row_format=koubou_format()), Mark.OK)
    assert "1 row in task_master, 2 rows in workers" in found.sentence


def test_a_koubou_without_workers_is_read_with_a_warning(tmp_path: Path) -> None:
    path = koubou_at(tmp_path / "koubou.db", workers=False)
    readable, missing = looked(path, row_format=koubou_format())
    assert (readable.mark, missing.mark) == (Mark.OK, Mark.WARN)
    assert "has no table workers" in missing.sentence
