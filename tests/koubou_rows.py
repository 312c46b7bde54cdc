"""A Koubou that lives in a real database, with its programs' statements, and what follows it as a pipeline does."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from converted import KEY, Sent

from egoscope.convert.series import SeriesRow
from egoscope.convert.tasks import TaskConversion, TaskState
from egoscope.otlp.requests import encode_telemetry
from egoscope.policies import load_policy
from egoscope.sources.followed_database import FollowedDatabase
from egoscope.sources.koubou import SOURCE, SOURCE_WORKERS, KoubouFormat
from egoscope.sources.row_checkpoint import DatabaseCheckpoint, RowDigests
from egoscope.sources.rows import RowFeed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from converted import Value

    from egoscope.convert.ids import Ids
    from egoscope.sources.database_roster import AwaitedDatabase

START_S: Final = 1_795_000_000
"""2026-11-18 in the morning."""
LOST_S: Final = 60
S: Final = 10**9

FOLDER: Final = Path(__file__).parents[2] / "shared" / "data" / "koubou"

SCHEMA: Final = (
    """CREATE TABLE task_master (task_id TEXT PRIMARY KEY, content TEXT, status TEXT DEFAULT 'pending',
    priority INTEGER DEFAULT 5, result TEXT, created_by TEXT, assigned_to TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)""",
    "CREATE INDEX idx_task_status ON task_master(status)",
    "CREATE INDEX idx_task_priority ON task_master(priority DESC)",
)
WORKER_SCHEMA: Final = (
    """CREATE TABLE workers (worker_id TEXT PRIMARY KEY, status TEXT DEFAULT 'idle', current_task TEXT,
    tasks_completed INTEGER DEFAULT 0, tasks_failed INTEGER DEFAULT 0,
    last_heartbeat TIMESTAMP DEFAULT CURRENT_TIMESTAMP, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)""",
    "CREATE INDEX idx_worker_status ON workers(status)",
)
SECRET: Final = "what somebody asked for"


def recorded() -> Path:
    """Return the recorded database; skips the test where it is not."""
    found = FOLDER / "koubou.db"
    if not found.exists():
        pytest.skip("the recorded run koubou is not beside the repository")
    return found


def canaries() -> list[str]:
    """Return the secrets that were planted in it."""
    recorded()
    return json.loads((FOLDER / "canaries.json").read_text(encoding="utf-8"))


def build_format(policies: Path | None = None) -> KoubouFormat:
    """Return the format with the packaged policies, extended by those of a folder."""
    return KoubouFormat(
        load_policy(SOURCE, key=KEY, extension_dir=policies),
        load_policy(SOURCE_WORKERS, key=KEY, extension_dir=policies),
        key=KEY,
    )


class Koubou:
    """A database as Koubou's programs write it. `now` is Unix time in seconds; they write whole ones."""

    def __init__(self, path: Path, *, workers: bool = True) -> None:
        self.path, self.now = path, float(START_S)
        self.run("PRAGMA journal_mode = WAL", *SCHEMA, *(WORKER_SCHEMA if workers else ()))

    def run(self, *statements: str | tuple[str, Sequence[Any]]) -> int:
        """Run statements in one transaction, on a connection of its own; return how many rows the last one changed."""
        changed = 0
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")
            begun = False
            for one in statements:
                statement, values = (one, ()) if isinstance(one, str) else one
                if not begun and not statement.startswith("PRAGMA"):
                    db.execute("BEGIN")
                    begun = True
                changed = db.execute(statement, values).rowcount
            if begun:
                db.execute("COMMIT")
        return changed

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what plain SQL says."""
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(query, values).fetchall()

    @property
    def stamp(self) -> str:
        """CURRENT_TIMESTAMP."""
        return stamp(self.now)

    def create(self, task: Any, priority: Any = 5, *, at: str | None = None, **columns: Any) -> None:
        """A client adds a task."""
        row = {"task_id": task, "content": SECRET, "priority": priority, "created_by": SECRET}
        row |= {"created_at": at or self.stamp, "updated_at": at or self.stamp} | columns
        names, places = ", ".join(row), ", ".join("?" * len(row))
        self.run((f"INSERT INTO task_master ({names}) VALUES ({places})", list(row.values())))

    def take(self, task: str, worker: str = "worker_0", status: str = "in_progress", busy: str = "busy") -> None:
        """A worker takes a task that waits, in the transaction in which it becomes busy."""
        self.run(
            (
                "UPDATE task_master SET status = ?, assigned_to = ?, updated_at = ? WHERE task_id = ?",
                (status, worker, self.stamp, task),
            ),
            (
                "UPDATE workers SET status = ?, current_task = ?, last_heartbeat = ? WHERE worker_id = ?",
                (busy, task, self.stamp, worker),
            ),
        )

    def end(self, task: str, status: str = "completed") -> None:
        """A task ends, and whoever had it is idle."""
        self.run(
            (
                """UPDATE workers SET status = 'idle', current_task = NULL, last_heartbeat = ?
                WHERE worker_id = (SELECT assigned_to FROM task_master WHERE task_id = ?)""",
                (self.stamp, task),
            ),
            (
                "UPDATE task_master SET status = ?, result = ?, updated_at = ? WHERE task_id = ?",
                (status, SECRET, self.stamp, task),
            ),
        )

    def register(self, worker: str, *, verb: str = "INSERT OR REPLACE") -> None:
        """A worker announces itself."""
        self.run(
            (
                f"{verb} INTO workers (worker_id, status, last_heartbeat, created_at) VALUES (?, 'idle', ?, ?)",
                (worker, self.stamp, self.stamp),
            )
        )

    def heartbeat(self, worker: str) -> None:
        """A worker says that it lives."""
        self.run(("UPDATE workers SET last_heartbeat = ? WHERE worker_id = ?", (self.stamp, worker)))

    def put(self, task: str, **columns: Any) -> None:
        """Change columns of a task, and nothing else."""
        changes = ", ".join(f"{name} = ?" for name in columns)
        self.run((f"UPDATE task_master SET {changes} WHERE task_id = ?", (*columns.values(), task)))

    def clean_up(self, timeout_s: int = 120) -> None:
        """Koubou's own clean-up: tasks of dead workers wait again, as if nothing had been; their rows go."""
        dead = "SELECT worker_id FROM workers WHERE last_heartbeat <= ?"
        limit = stamp(self.now - timeout_s)
        self.run(
            (
                f"""UPDATE task_master SET status = 'pending', assigned_to = NULL
                WHERE assigned_to IN ({dead}) AND status = 'in_progress'""",
                (limit,),
            ),
            ("DELETE FROM workers WHERE last_heartbeat <= ?", (limit,)),
        )


def stamp(seconds: float) -> str:
    """Return a time as SQLite's CURRENT_TIMESTAMP writes it."""
    with closing(sqlite3.connect(":memory:")) as db:
        return db.execute("SELECT datetime(?, 'unixepoch')", (int(seconds),)).fetchone()[0]


class Watching:
    """A feed with a conversion for each database, and what a back end was told, for one Koubou."""

    def __init__(
        self,
        koubou: Koubou,
        *,
        known: Mapping[str, bytes] | None = None,
        kept: Mapping[str, bytes] | None = None,
        sent: Mapping[str, Sent] | None = None,
        page_rows: int = 500,
        policies: Path | None = None,
    ) -> None:
        self.koubou, self.page_rows = koubou, page_rows
        self.known, self.kept = dict(known or {}), dict(kept or {})
        self.sents: dict[str, Sent] = dict(sent or {})
        self.conversions: dict[str, TaskConversion] = {}
        self.series: dict[str, dict[tuple[str, Any], SeriesRow]] = {}
        self.unparsable: dict[str, int] = {}
        self.format = build_format(policies)
        self.feed = RowFeed(
            [str(koubou.path)],
            self.format,
            new_conversion=self._new,
            state_type=TaskState,
            key=KEY,
            known=[msgspec.json.decode(one, type=DatabaseCheckpoint) for one in self.known.values()],
            clock=lambda: koubou.now,
            page_rows=page_rows,
        )

    def _new(self, ids: Ids, state: TaskState, series: list[SeriesRow]) -> TaskConversion:
        return TaskConversion(ids, state, series, lost_after_ns=LOST_S * S)

    def look(self) -> Watching:
        """Read until there is nothing more."""
        while self.once():
            pass
        return self

    def once(self) -> bool:
        """Read one page; return whether there was anything."""
        return any(self._read(unit) for unit in self.feed.scan())

    def tick(self) -> Watching:
        """Do what the pipeline does every second, though nothing happens in the database."""
        for unit in self.feed.units():
            conversion = self._conversion(unit.checkpoint)
            conversion.expire(int(self.koubou.now * S))
            conversion.keep_alive(int(self.koubou.now * S))
            self._drain(unit.checkpoint)
        return self

    def wait(self, seconds: float) -> Watching:
        """Let time pass in which nothing happens in the database."""
        until = self.koubou.now + seconds
        while self.koubou.now < until:
            self.koubou.now = min(until, self.koubou.now + 1)
            self.tick()
        return self

    def restarted(self) -> Watching:
        """Return what goes on from what the state file keeps, and has sent what was sent."""
        self.feed.close()
        return Watching(self.koubou, known=self.known, kept=self.kept, sent=self.sents, page_rows=self.page_rows)

    def _read(self, unit: FollowedDatabase | AwaitedDatabase) -> bool:
        page = unit.read(1 << 20)
        while page is None and isinstance(unit, FollowedDatabase) and unit.may_have_rows and not unit.problem:
            page = unit.read(1 << 20)  # a busy machine had no time for all rows that are looked at again
        if page is None:
            return False
        assert SECRET not in repr(page)
        counted: Counter[str] = self.feed.convert(
            self._conversion(unit.checkpoint), page, now_ns=int(self.koubou.now * S)
        )
        for reason, count in counted.items():
            self.unparsable[reason] = self.unparsable.get(reason, 0) + count
        self._drain(unit.checkpoint)
        return True

    def _conversion(self, checkpoint: DatabaseCheckpoint) -> TaskConversion:
        source = checkpoint.source
        if source not in self.conversions:
            state, rows = TaskState(), list[SeriesRow]()
            if source in self.kept:
                state, rows = msgspec.json.decode(self.kept[source], type=tuple[TaskState, list[SeriesRow]])
            self.series[source] = {(row.metric, row.attributes): row for row in rows}
            self.conversions[source] = self.feed.conversion(checkpoint, state, rows)  # type: ignore[assignment]
        return self.conversions[source]

    def _drain(self, checkpoint: DatabaseCheckpoint) -> None:
        source = checkpoint.source
        conversion = self.conversions[source]
        telemetry = conversion.drain()
        self.series[source] |= {(row.metric, row.attributes): row for row in telemetry.series}
        for request in encode_telemetry(telemetry, self.feed.resource(checkpoint)):
            sent = self.sents.setdefault(source, Sent())
            assert sent.add(request.signal, request.data) == request.count
        self.known[source] = msgspec.json.encode(checkpoint)
        self.kept[source] = msgspec.json.encode((conversion.state, list(self.series[source].values())))

    # --- what was told ----------------------------------------------------------------------------------------------

    @property
    def sent(self) -> Sent:
        """Of the only instance."""
        (sent,) = self.sents.values()
        return sent

    def last(self, metric: str, *labels: str) -> dict[tuple[str, ...], Any]:
        """Return by labels what the series say last, instances taken together; of a histogram sum and number."""
        found: dict[tuple[str, ...], Any] = {}
        for sent in self.sents.values():
            for (name, attributes), points in sent.points.items():
                if name == metric:
                    by = tuple(str(dict(attributes)[label]) for label in labels)
                    value = _number(points[-1][1])
                    found[by] = _added(found[by], value) if by in found else value
        return found

    def some(self, metric: str, *labels: str) -> dict[tuple[str, ...], Any]:
        """Return the same without what is 0; one label stands for itself."""
        return {by: value for by, value in self.last(metric, *labels).items() if value}

    def bodies(self) -> list[str]:
        """Return the bodies of all log records, in the order in which they were told."""
        return [body for sent in self.sents.values() for body in sent.bodies()]


def _number(value: Value) -> Any:
    return (value[0], sum(value[1])) if isinstance(value, tuple) else value


def _added(one: Any, other: Any) -> Any:
    return (one[0] + other[0], one[1] + other[1]) if isinstance(one, tuple) else one + other


DIGESTS: Final = RowDigests(KEY)


def key_of(task: str) -> str:
    """Return how a task is known."""
    return DIGESTS.of("task_master", 0, task).hex()
