"""A row of Koubou's database in, what may be known of it out; and what is read of the database at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from koubou_rows import KEY, SECRET, START_S, Koubou, S, Watching, build_format, stamp

from egoscope.policies import load_policy
from egoscope.sources.koubou import SOURCE, SOURCE_WORKERS, TASKS, KoubouFormat
from egoscope.sources.row_format import Times, UnreadableRow
from tests.this_thread import replace_here

if TYPE_CHECKING:
    from pathlib import Path

PSEUDONYM = r"t-[0-9a-f]{16}"
MOMENT_NS = 1_795_148_271 * S


def task(**columns: Any) -> dict[str, Any]:
    """Return the columns that are read of a row."""
    row = {"task_id": "task_1", "status": "pending", "created_at": stamp(START_S), "updated_at": stamp(START_S + 5)}
    return row | {"priority": 5, "assigned_to": None} | columns


def values(**columns: Any) -> dict[str, Any]:
    """Return what may leave of a task that ended."""
    row = task(status="completed") | columns
    koubou = build_format()
    times = koubou.times(TASKS, row)
    assert isinstance(times, Times)
    return dict(koubou.ended(TASKS, 1, "00", row, times).values)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("2026-11-20 04:17:51", id="CURRENT_TIMESTAMP"),
        pytest.param("2026-11-20T04:17:51", id="isoformat"),
        pytest.param("2026-11-20T04:17:51Z", id="with a Z"),
        pytest.param("2026-11-20T04:17:51.000", id="with a fraction"),
        pytest.param("2026-11-20T13:17:51+09:00", id="with an offset"),
        pytest.param("2026-11-20 03:17:51.000000-0100", id="with an offset without a colon"),
    ],
)
def test_times_are_read_as_sqlite_and_isoformat_write_them(written: str) -> None:
    row = task(created_at=written, updated_at=written)
    assert build_format().times(TASKS, row) == Times(MOMENT_NS, None, "pending", MOMENT_NS)


@pytest.mark.parametrize("column", ["created_at", "updated_at"])
@pytest.mark.parametrize("written", ["", "yesterday", "now", 1_795_148_271, 1.5, b"2026-11-20 04:17:51", "2026-W47-5"])
def test_what_is_no_time_makes_a_task_unreadable(column: str, written: object) -> None:
    assert build_format().times(TASKS, task(**{column: written})) == UnreadableRow("no_time")


def test_a_task_that_does_not_say_when_it_changed_is_as_it_was_created() -> None:
    at_ns = START_S * S
    assert build_format().times(TASKS, task(updated_at=None)) == Times(at_ns, None, "pending", at_ns)
    assert build_format().times(TASKS, task(updated_at=None, status="failed")) == Times(at_ns, at_ns, "failed")


@pytest.mark.parametrize(
    ("status", "state"),
    [("pending", "pending"), ("in_progress", "in_progress"), ("processing", "processing")]
    + [(odd, "_OTHER") for odd in ("", "paused", "Completed", None, 7, b"pending")],
)
def test_only_known_states_are_told_by_name(status: object, state: str) -> None:
    found = build_format().times(TASKS, task(status=status))
    assert isinstance(found, Times)
    assert (found.state, found.end_ns) == (state, None)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_final_task_ended_when_it_changed_last(status: str) -> None:
    assert build_format().times(TASKS, task(status=status)) == Times(START_S * S, (START_S + 5) * S, status)


@pytest.mark.parametrize(
    "name",
    [
        "task_20250901_073337_489974",
        "task_00001",
        "task-20250901-073337-1a2b3c4d",
        "mcp-task-20250901-073337-1a2b3c4d",
        "retry_task_20250901_073337_489974_101112",
        "retry_retry_task_00001_101112_131415",
    ],
)
def test_ids_that_koubou_makes_leave(name: str) -> None:
    assert values(task_id=name)["task_id"] == name


@pytest.mark.parametrize(
    "name", ["buy flowers", "task_for_Zoë", "task_1\n", "", b"task_1", "retry_x_101112", "x" * 500]
)
def test_of_any_other_id_a_pseudonym_leaves_the_same_for_the_same(name: Any) -> None:
    """For the same key, wherever it stands; and another for another key."""
    told = values(task_id=name).get("task_id", "")
    if not name:
        assert told == ""
        return
    assert len(told) == 18
    assert told.startswith("t-")
    assert told == values(task_id=name)["task_id"]
    policies = (load_policy(source, key=KEY) for source in (SOURCE, SOURCE_WORKERS))
    other = KoubouFormat(*policies, key=b"another" * 4)
    row = task(task_id=name)
    times = other.times(TASKS, row)
    assert isinstance(times, Times)
    assert other.begun(TASKS, 1, "00", row, times).values["task_id"] not in (told, name)


def test_a_worker_and_the_log_name_a_task_alike(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.register("worker_0")
    koubou.create("buy flowers")
    koubou.take("buy flowers")
    watching = Watching(koubou).look()
    (name,) = {body.split()[0] for body in watching.bodies() if body.startswith("t-")}
    assert f"worker_0 busy with {name}" in watching.bodies()


@pytest.mark.parametrize(
    ("written", "told"),
    [("worker_0", "worker_0"), ("gemini_worker_123", "gemini_worker_123")]
    + [(odd, "_OTHER") for odd in ("Zoë", "my laptop", "0worker", "x" * 65, b"worker_0", 5)],
)
def test_names_of_workers_leave_where_they_are_plain(written: object, told: str) -> None:
    assert values(assigned_to=written)["assigned_to"] == told


@pytest.mark.parametrize("written", [None, ""])
def test_nobody_is_no_worker(written: str | None) -> None:
    assert "assigned_to" not in values(assigned_to=written)


def test_no_private_column_is_ever_selected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of either table, in no statement of a whole life."""
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*arguments, **options)
        db.set_trace_callback(statements.append)
        return db

    koubou = Koubou(tmp_path / "koubou.db")
    koubou.register("worker_0")
    koubou.create("task_1")
    watching = Watching(koubou)
    replace_here(monkeypatch, sqlite3, "connect", traced)
    watching.look()
    monkeypatch.undo()
    koubou.now += 1
    koubou.take("task_1")
    replace_here(monkeypatch, sqlite3, "connect", traced)
    watching.look().restarted().look()
    selected = " ".join(statements)
    assert "task_master" in selected
    assert "assigned_to" in selected
    assert [name for name in ("content", "result", "created_by", "tasks_failed", "*") if f'"{name}"' in selected] == []
    assert "SELECT *" not in selected


def test_columns_that_are_left_are_counted_by_name_once_a_task(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.run("ALTER TABLE task_master ADD COLUMN diary TEXT")
    for number in range(3):
        koubou.create(f"task_{number}", status="completed")
    watching = Watching(koubou).look()
    audit = watching.feed.policies[0].drain_audit()
    assert {(key.field, key.reason): count for key, count in audit.items() if key.action == "dropped"} == {
        ("content", "private_field"): 3,
        ("result", "private_field"): 3,
        ("created_by", "private_field"): 3,
        ("(unknown)", "not_in_policy"): 3,
    }


def test_what_redaction_did_with_a_worker_is_counted_when_it_says_something_new(tmp_path: Path) -> None:
    """Not at every heartbeat."""
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.register("worker_0")
    watching = Watching(koubou).look()
    policy = watching.feed.policies[1]
    assert sum(policy.drain_audit().values()) == 2
    koubou.now += 10
    koubou.heartbeat("worker_0")
    watching.look()
    assert policy.drain_audit() == {}
    koubou.create("buy flowers")
    koubou.take("buy flowers")
    watching.look()
    counted = {(key.field, key.action.value): count for key, count in policy.drain_audit().items()}
    assert counted == {("worker_id", "kept"): 1, ("status", "kept"): 1, ("current_task", "pseudonymised"): 1}


def test_a_column_that_a_users_policy_adds_leaves_and_one_that_it_drops_does_not(tmp_path: Path) -> None:
    (tmp_path / "koubou.toml").write_text(
        'source = "koubou"\nschema = 1\n[fields.created_by]\nrule = "enumeration"\nvalues = ["cli"]\n'
        '[drop]\nfields = ["task_id", "assigned_to"]\n'
    )
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.create("task_1", created_by="cli", status="completed", assigned_to="worker_0")
    watching = Watching(koubou, policies=tmp_path).look()
    (span,) = watching.sent.spans
    told = {one.key: one.value.string_value for one in span.attributes}
    assert told["ego.created_by"] == "cli"
    assert told["task.id"] == "_OTHER"
    assert "task.worker" not in told


def test_a_change_before_the_creation_ended_a_task_at_once(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.create("task_1", status="completed", updated_at=stamp(START_S - 50))
    koubou.create("task_2", updated_at=stamp(START_S - 50), status="in_progress")
    watching = Watching(koubou).look()
    assert watching.some("task.duration", "outcome") == {("ok",): (0, 1)}
    assert watching.some("task.wait.duration") == {}, "taken before it was there: its wait is not known"


def test_unreadable_tasks_stand_in_the_log_redacted_and_in_the_gauges(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.create("task_1", created_at=SECRET)
    koubou.create("task_2", at=stamp(START_S + 86_400))
    watching = Watching(koubou).look().tick()
    assert watching.unparsable == {"no_time": 1, "time_in_future": 1}
    assert watching.bodies() == ["REDACTED", "REDACTED"]
    assert watching.some("task.stored", "state") == {("pending",): 2}
    assert watching.some("task.created", "priority") == {}


def test_an_open_task_that_becomes_unreadable_is_open_no_more_for_the_counts_and_is_not_lost_for_the_gauges(
    tmp_path: Path,
) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.create("task_1")
    watching = Watching(koubou).look()
    koubou.put("task_1", updated_at="soon")
    watching.look()
    assert watching.unparsable == {"no_time": 1}
    assert watching.some("task.open", "state") == {("pending",): 1}


def test_the_oldest_is_the_oldest_whatever_form_times_have(tmp_path: Path) -> None:
    """As texts their order would be another; what is no time is passed over."""
    koubou = Koubou(tmp_path / "koubou.db")
    for number, at in enumerate(["2026-11-20T03:00:00", "2026-11-20 04:00:00", "2026-11-20T11:59:00+09:00"]):
        koubou.create(f"task_{number}", at=at)
    koubou.create("task_8", at="0")
    koubou.create("task_9", created_at=5, updated_at=5)
    koubou.now = 1_795_150_000
    watching = Watching(koubou).look()
    with closing(sqlite3.connect(":memory:")) as db:
        ((oldest,),) = db.execute("SELECT unixepoch('2026-11-20 02:59:00')")
    assert watching.some("task.open.oldest", "state") == {("pending",): oldest}


def test_a_database_without_its_newer_columns_or_indexes_is_read(tmp_path: Path) -> None:
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.run(
        "DROP TABLE task_master",
        "DROP TABLE workers",
        "CREATE TABLE task_master (task_id TEXT PRIMARY KEY, status TEXT, created_at TEXT)",
        "CREATE TABLE workers (worker_id TEXT PRIMARY KEY, status TEXT)",
        ("INSERT INTO task_master VALUES ('task_1', 'pending', ?)", [stamp(START_S)]),
        "INSERT INTO workers VALUES ('worker_0', 'idle')",
    )
    watching = Watching(koubou).look()
    assert watching.some("task.open", "state", "priority") == {("pending", "_OTHER"): 1}
    assert watching.some("task.workers", "state") == {("idle",): 1}


def test_tasks_that_ended_are_counted_by_an_index_alone(tmp_path: Path) -> None:
    """Whatever statistics the database keeps: none of their rows is read when it is looked at again."""
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.run(
        """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO task_master (task_id, content, status, priority, created_at, updated_at)
        SELECT 'task_' || i, hex(zeroblob(500)), iif(i % 100 = 0, 'pending', 'completed'), i % 10, datetime('now'),
        datetime('now') FROM n""",
    )
    for statistics in ("SELECT 1", "ANALYZE"):
        koubou.run(statistics)
        for query in _queries(koubou, tmp_path):
            plan = " ".join(str(row) for row in koubou.ask(f"EXPLAIN QUERY PLAN {query}"))
            walks = "SCAN task_master USING COVERING INDEX idx_task_status" in plan
            finds = "SEARCH task_master USING COVERING INDEX idx_task_status (status=?)" in plan
            assert walks or finds, (query, plan)
            assert "SCAN task_master'" not in plan, (query, plan)


def _queries(koubou: Koubou, folder: Path) -> list[str]:
    """Return the statements about tasks by which a look tells how many there are."""
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*arguments, **options)
        db.set_trace_callback(statements.append)
        return db

    with pytest.MonkeyPatch.context() as patch:
        replace_here(patch, sqlite3, "connect", traced)
        watching = Watching(koubou).look()
        watching.feed.close()
    found = [one for one in dict.fromkeys(statements) if "GROUP BY" in one and "task_master" in one]
    assert len(found) == 2, folder
    return found
