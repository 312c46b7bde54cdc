"""The demo's Koubou: looks like the real one, works like one, hides what it should, and adds up."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.cli.demo import KOUBOU_FILE, TASKS_PER_HOUR, WORKER_DEATHS
from egoscope.demo import (
    DatabaseSettings,
    DatabaseSummary,
    koubou_canaries,
    write_koubou_history,
    write_koubou_live,
)
from egoscope.demo.koubou_workshop import DEAD_AFTER_S, HEARTBEAT_S
from tests.played import MONDAY, NOON, Clock, Row, dump, recorded, rows

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: Final = DatabaseSettings(start=MONDAY, per_hour=TASKS_PER_HOUR, killed_rate=WORKER_DEATHS)
TWO_DAYS: Final = MONDAY + timedelta(days=2)
OWN_ID: Final = re.compile(r"(retry_)?task(_\d{8}_\d{6}_\d{6}|-\d{8}-\d{6}-[0-9a-f]{8})(_\d{6})?")
TASKS: Final = "SELECT * FROM task_master"
WORKERS: Final = "SELECT * FROM workers"
OUTCOMES: Final = {"completed": "ok", "failed": "error", "cancelled": "cancelled"}


def told(at: str) -> datetime:
    return datetime.strptime(at, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def koubou(tmp_path_factory: pytest.TempPathFactory) -> DatabaseSummary:
    return write_koubou_history(tmp_path_factory.mktemp("koubou") / KOUBOU_FILE, SETTINGS, until=TWO_DAYS)


@pytest.fixture(scope="module")
def tasks(koubou: DatabaseSummary) -> list[Row]:
    return rows(koubou.path, TASKS)


def test_the_schema_and_the_journal_are_the_real_programs(koubou: DatabaseSummary) -> None:
    path = recorded("koubou", KOUBOU_FILE)
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        schema = connection.execute(query).fetchall()
        types = [
            connection.execute(f"SELECT DISTINCT {typeof(table)} FROM {table}").fetchall()
            for table in ("task_master", "workers")
        ]
    assert [tuple(row.values()) for row in rows(koubou.path, query)] == schema
    assert rows(koubou.path, "PRAGMA journal_mode") == [{"journal_mode": "wal"}]
    for table, known in zip(("task_master", "workers"), types, strict=True):
        written = {tuple(row.values()) for row in rows(koubou.path, f"SELECT DISTINCT {typeof(table)} FROM {table}")}
        assert written & set(known)
        # Column by column: of no other type than in the recorded one, where it is not a cancelled task's.
        for ours, theirs in zip(zip(*written, strict=True), zip(*known, strict=True), strict=True):
            assert set(ours) <= {*theirs, "null"}


def typeof(table: str) -> str:
    columns = {
        "task_master": "task_id content status priority result created_by assigned_to created_at updated_at",
        "workers": "worker_id status current_task tasks_completed tasks_failed last_heartbeat created_at",
    }
    return ", ".join(f"typeof({name}) AS {name}" for name in columns[table].split())


def test_equal_settings_give_equal_databases_and_another_seed_gives_others(tmp_path: Path) -> None:
    until = MONDAY + timedelta(hours=12)
    dumps = [
        dump(write_koubou_history(tmp_path / name, replace(SETTINGS, seed=seed), until=until).path)
        for name, seed in (("a.db", 3), ("b.db", 3), ("c.db", 4))
    ]
    assert dumps[0] == dumps[1] != dumps[2]


def test_every_planted_secret_stands_there_and_all_that_stand_there_are_listed(koubou: DatabaseSummary) -> None:
    text = dump(koubou.path)
    text += re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
    listed = koubou_canaries(SETTINGS)
    assert koubou.canaries == listed
    assert len(set(listed)) == len(listed) > 80
    assert [token for token in listed if token not in text] == []
    assert set(re.findall(r"(?:CANARY-[A-Z]+|カナリア\w+)-[0-9a-f]{12}", text)) == set(listed)


def test_counts_are_those_of_the_database(koubou: DatabaseSummary, tasks: list[Row]) -> None:
    ended = [row for row in tasks if row["status"] in OUTCOMES]
    assert koubou.runs == Counter((row["assigned_to"] or "", OUTCOMES[row["status"]]) for row in ended)
    assert 60 * 48 < len(ended) < 1.35 * 60 * 48
    failed = sum(row["status"] == "failed" for row in ended)
    assert 0.03 < failed / len(ended) < 0.06
    # What the workers say of themselves is what they did since they came.
    for worker in rows(koubou.path, WORKERS):
        own = [row for row in ended if row["assigned_to"] == worker["worker_id"]]
        own = [row for row in own if row["updated_at"] > worker["created_at"]]
        counted = Counter(row["status"] for row in own)
        assert (counted["completed"], counted["failed"]) == (worker["tasks_completed"], worker["tasks_failed"])


def test_tasks_have_the_shapes_of_the_real_ones(tasks: list[Row]) -> None:
    foreign = [row for row in tasks if not OWN_ID.fullmatch(row["task_id"])]
    assert 0 < len(foreign) < len(tasks) / 50
    assert all(" " in row["task_id"] for row in foreign)
    assert {row["priority"] for row in tasks} == set(range(1, 11))
    assert {json.loads(row["content"])["type"] for row in tasks} == {"general", "code", "translation", "analysis"}
    for row in tasks:
        result: Row = json.loads(row["result"]) if row["result"] else {}
        assert (row["status"] in ("completed", "failed")) == bool(result)
        assert result.get("success", row["status"] == "completed") == (row["status"] == "completed")
        assert told(row["created_at"]) <= told(row["updated_at"]) <= TWO_DAYS
    direct = [row for row in tasks if row["status"] == "completed" and row["assigned_to"] is None]
    assert direct
    assert all(row["task_id"].startswith("task-") for row in direct)
    retries = {row["task_id"]: row for row in tasks if row["task_id"].startswith("retry_")}
    failed = {row["task_id"]: row for row in tasks if row["status"] == "failed"}
    assert len(retries) > 10
    for name, row in retries.items():
        first = failed[name[len("retry_") : -len("_HHMMSS")]]
        assert (row["content"], row["priority"]) == (first["content"], first["priority"])
        assert told(row["created_at"]) > told(first["updated_at"])


def test_the_queue_swells_and_drains_and_nights_are_quiet(tasks: list[Row]) -> None:
    ends = [(row["created_at"], row["updated_at"] if row["status"] in OUTCOMES else "9") for row in tasks]
    looks = [f"{MONDAY + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}" for minute in range(0, 2 * 24 * 60, 10)]
    depths = [sum(created <= look < ended for created, ended in ends) for look in looks]
    assert max(depths) > 20
    assert depths.count(0) > len(depths) / 10
    hours = Counter(told(row["created_at"]).hour for row in tasks if row["created_by"] == "cli")
    assert sum(hours[hour] for hour in range(1, 5)) * 5 < sum(hours[hour] for hour in range(8, 12))


@pytest.mark.parametrize("minutes", [0, 61])
def test_history_ends_with_a_koubou_that_is_alive(tmp_path: Path, minutes: int) -> None:
    until = NOON + timedelta(minutes=minutes)
    settings = replace(SETTINGS, start=NOON - timedelta(hours=2), killed_rate=0.0)
    path = write_koubou_history(tmp_path / KOUBOU_FILE, settings, until=until).path
    workers = {row["worker_id"]: row for row in rows(path, WORKERS)}
    assert {"worker_0", "worker_1", "remote_lan_001"} < workers.keys()
    for row in workers.values():
        assert until - timedelta(seconds=HEARTBEAT_S + 1) <= told(row["last_heartbeat"]) <= until
    underway = {row["assigned_to"]: row["task_id"] for row in rows(path, f"{TASKS} WHERE status = 'in_progress'")}
    assert {name: row["current_task"] for name, row in workers.items() if row["current_task"]} == underway


class Watcher:
    """Looks at the database between any two things that are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.tasks: dict[str, Row] = {}
        self.workers: dict[str, Row] = {}
        self.taken: list[tuple[Row, int]] = []
        """What was taken, and the highest priority that waited."""
        self.returned: list[str] = []
        self.silences: dict[str, float] = {}
        """The longest time that a worker was listed without a heartbeat."""
        self.states: set[str] = set()

    def __call__(self, now: float) -> None:
        before, self.tasks = self.tasks, self._read("SELECT task_id AS name, * FROM task_master")
        self.workers = self._read("SELECT worker_id AS name, * FROM workers")
        waiting = [row["priority"] for row in before.values() if row["status"] == "pending"]
        for name, row in self.tasks.items():
            was = before.get(name)
            if was is not None and was["status"] != row["status"]:
                if row["status"] == "in_progress":
                    self.taken.append((row, max(waiting)))
                elif row["status"] == "pending":
                    assert row["assigned_to"] is None
                    assert row["updated_at"] == was["updated_at"]
                    self.returned.append(name)
        for name, row in self.workers.items():
            self.states.add(row["status"])
            silent_s = now - told(row["last_heartbeat"]).timestamp()
            if row["status"] != "offline":
                self.silences[name] = max(silent_s, self.silences.get(name, 0.0))
            assert (row["current_task"] is not None) == (row["status"] in ("busy", "processing"))

    def _read(self, query: str) -> dict[str, Row]:
        if self._connection is None:
            if not self._path.exists():
                return {}
            self._connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
            self._connection.row_factory = sqlite3.Row
        return {row["name"]: dict(row) for row in self._connection.execute(query)}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def play(
    path: Path, settings: DatabaseSettings, hours: float, *, sleep_at: float = 0.0
) -> tuple[Watcher, dict[tuple[str, str], int]]:
    watcher = Watcher(path)
    clock = Clock(hours, watcher, sleep_at=sleep_at)
    with closing(watcher):
        summary = write_koubou_live(path, settings, stop=clock.stop, now_ns=clock.now_ns, wait=clock.wait)
    return watcher, dict(summary.runs)


def test_live_workers_take_the_most_urgent_task_and_their_hearts_beat(tmp_path: Path) -> None:
    watcher, runs = play(tmp_path / KOUBOU_FILE, replace(SETTINGS, killed_rate=0.0), 2)
    assert len(watcher.taken) > 50
    assert all(row["priority"] == most_urgent for row, most_urgent in watcher.taken)
    assert max(watcher.silences.values()) <= HEARTBEAT_S + 1
    assert {"idle", "busy", "processing"} <= watcher.states
    assert watcher.returned == []
    final = rows(tmp_path / KOUBOU_FILE, TASKS)
    assert runs == Counter(
        (row["assigned_to"] or "", OUTCOMES[row["status"]]) for row in final if row["status"] in OUTCOMES
    )
    # At the end they say that they go.
    assert rows(tmp_path / KOUBOU_FILE, "SELECT DISTINCT status, current_task FROM workers") == [
        {"status": "offline", "current_task": None}
    ]


def test_a_worker_that_dies_is_silent_then_cleaned_up_and_its_task_is_done_by_another(tmp_path: Path) -> None:
    path = tmp_path / KOUBOU_FILE
    watcher, _ = play(path, replace(SETTINGS, killed_rate=0.05), 2)
    assert len(watcher.returned) > 2
    assert DEAD_AFTER_S < max(watcher.silences.values()) < DEAD_AFTER_S + 60
    ended = {row["task_id"]: row for row in rows(path, TASKS) if row["status"] in OUTCOMES}
    assert len(ended.keys() & set(watcher.returned)) > 1
    # Whoever died has come back, or somebody in its place.
    assert len(watcher.workers) >= 4


def test_a_restarted_koubou_goes_on_with_what_was_left(tmp_path: Path) -> None:
    path = tmp_path / KOUBOU_FILE
    settings = replace(SETTINGS, start=NOON - timedelta(hours=3), killed_rate=0.0, per_hour=120, rhythm=False)
    write_koubou_history(path, settings, until=NOON)
    left = {row["task_id"] for row in rows(path, TASKS) if row["status"] not in OUTCOMES}
    assert left
    play(path, settings, 0.5)
    now = {row["task_id"]: row["status"] for row in rows(path, TASKS)}
    assert {now[name] for name in left} <= OUTCOMES.keys()


def test_after_a_long_sleep_a_new_koubou_starts_and_nothing_is_written_late(tmp_path: Path) -> None:
    path = tmp_path / KOUBOU_FILE
    play(path, replace(SETTINGS, killed_rate=0.0), 2, sleep_at=1)
    asleep = [NOON + timedelta(hours=1, minutes=1), NOON + timedelta(hours=2, minutes=59)]
    for row in rows(path, TASKS):
        for column in ("created_at", "updated_at"):
            assert not asleep[0] < told(row[column]) < asleep[1]
    assert rows(path, "SELECT count(*) AS n FROM task_master WHERE created_at > '2026-11-18 15:00:00'")[0]["n"] > 10
    assert all(told(row["created_at"]) > asleep[1] for row in rows(path, WORKERS))
