"""A Koubou that runs while a test looks: the statements of its own programs, with its own clock, in several threads.

What it writes is private wherever it may be: prompts, results, who asked, where a worker is, names that were chosen.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import sqlite3
import threading
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Renewal: TypeAlias = Literal["compacted", "restored from a backup", "restored from a dump"]
PRIORITIES: Final = (1, 3, 5, 8)
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS task_master (
    task_id TEXT PRIMARY KEY, content TEXT, status TEXT DEFAULT 'pending', priority INTEGER DEFAULT 5, result TEXT,
    created_by TEXT, assigned_to TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS workers (
    worker_id TEXT PRIMARY KEY, status TEXT DEFAULT 'idle', current_task TEXT,
    tasks_completed INTEGER DEFAULT 0, tasks_failed INTEGER DEFAULT 0,
    last_heartbeat TIMESTAMP DEFAULT CURRENT_TIMESTAMP, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    location TEXT, performance_factor REAL, endpoint_url TEXT, network_latency_ms REAL, last_health_check TIMESTAMP);
CREATE INDEX IF NOT EXISTS idx_task_status ON task_master(status);
CREATE INDEX IF NOT EXISTS idx_task_priority ON task_master(priority DESC);
CREATE INDEX IF NOT EXISTS idx_worker_status ON workers(status);
"""


class Koubou:
    """The database's only writer, from as many threads as one likes; each has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secrets: list[str] = []
        """Everything planted so far."""
        self._numbers = itertools.count()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(SCHEMA)

    def close(self) -> None:
        """Close every connection, as when its programs end: the last one empties the write-ahead log."""
        while self._opened:
            self._opened.pop().close()
        self._local = threading.local()

    def secret(self, what: str) -> str:
        """Return a word that is planted nowhere else, and must be found nowhere."""
        self.secrets.append(f"{what}-SECRET-{len(self.secrets):04d}-{random.getrandbits(48):012x}")
        return self.secrets[-1]

    def create(self, priority: int = 5, task_id: str | None = None) -> str:
        """Put a task into the queue; return its id: one of Koubou's own where none was chosen."""
        task_id = f"task_{next(self._numbers):05d}" if task_id is None else task_id
        content = json.dumps({"type": "code", "prompt": self.secret("PROMPT")})
        with self.transaction() as db:
            db.execute(
                "INSERT INTO task_master (task_id, content, priority, created_by) VALUES (?, ?, ?, ?)",
                (task_id, content, priority, self.secret("ASKED-BY")),
            )
        return task_id

    def register(self, worker: str, **columns: str | float) -> None:
        """Let a worker begin anew, under another rowid."""
        with self.transaction() as db:
            db.execute("DELETE FROM workers WHERE worker_id = ?", (worker,))
            names, values = ["worker_id", "endpoint_url", *columns], [worker, self.secret("URL"), *columns.values()]
            db.execute(f"INSERT INTO workers ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)

    def take(self, worker: str, task_id: str | None = None) -> str | None:
        """Let a worker take what is next in the queue, or this task; return its id, None where there is none."""
        with self.transaction() as db:
            row = db.execute(
                "SELECT task_id FROM task_master WHERE status = 'pending' AND task_id = coalesce(?, task_id)"
                " ORDER BY priority DESC, created_at LIMIT 1",
                (task_id,),
            ).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE task_master SET status = 'in_progress', assigned_to = ?, updated_at = CURRENT_TIMESTAMP"
                " WHERE task_id = ? AND status = 'pending'",
                (worker, row[0]),
            )
            db.execute(
                "UPDATE workers SET status = 'busy', current_task = ?, last_heartbeat = CURRENT_TIMESTAMP"
                " WHERE worker_id = ?",
                (row[0], worker),
            )
        return row[0]

    def finish(self, task_id: str, worker: str, *, failed: bool = False) -> None:
        """End a task that a worker has."""
        with self.transaction() as db:
            db.execute(
                "UPDATE task_master SET status = ?, result = ?, updated_at = CURRENT_TIMESTAMP"
                " WHERE task_id = ? AND assigned_to = ?",
                ("failed" if failed else "completed", self.secret("RESULT"), task_id, worker),
            )
            done = "tasks_failed = tasks_failed + 1" if failed else "tasks_completed = tasks_completed + 1"
            db.execute(
                f"UPDATE workers SET {done}, status = 'idle', current_task = NULL, last_heartbeat = CURRENT_TIMESTAMP"
                " WHERE worker_id = ?",
                (worker,),
            )

    def sync(self, task_id: str) -> None:
        """Complete a task at once, as the MCP server does: no worker ever had it."""
        self.write(
            "UPDATE task_master SET status = 'completed', result = ?, updated_at = CURRENT_TIMESTAMP WHERE task_id = ?",
            self.secret("RESULT"),
            task_id,
        )

    def cancel(self, task_id: str) -> None:
        """Cancel a task."""
        statement = "UPDATE task_master SET status = 'cancelled', updated_at = CURRENT_TIMESTAMP WHERE task_id = ?"
        self.write(statement, task_id)

    def clean_up(self, worker: str) -> None:
        """Take a dead worker out; its tasks go back to the queue, and do not say when."""
        with self.transaction() as db:
            db.execute(
                "UPDATE task_master SET status = 'pending', assigned_to = NULL"
                " WHERE assigned_to = ? AND status = 'in_progress'",
                (worker,),
            )
            db.execute("DELETE FROM workers WHERE worker_id = ?", (worker,))

    def renew(self, how: Renewal) -> None:
        """Compact the database, or put a backup or what a dump says in its place, as after a disk failed."""
        self.close()
        new = self.path.with_suffix(".new")
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            if how == "compacted":
                db.execute("VACUUM")
                return
            with contextlib.closing(sqlite3.connect(new)) as copy:
                if how == "restored from a backup":
                    db.backup(copy)
                else:  # the rows are numbered anew
                    copy.executescript("\n".join(db.iterdump()))
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()
        new.rename(self.path)

    def write(self, statement: str, *parameters: str | float) -> None:
        """Run one statement and commit it."""
        with self.transaction() as db:
            db.execute(statement, parameters)

    @contextlib.contextmanager
    def working(self, workers: int = 4, *, per_second: float = 40.0, seed: int = 1) -> Generator[Pool]:
        """Let so many workers do tasks, and somebody hand in new ones, until the block ends: then nothing is half done.

        Some tasks fail, some are cancelled while they wait, some are done by nobody; a worker dies now and then.
        """
        pool = Pool(self, workers, per_second, seed)
        try:
            yield pool
        finally:
            pool.end()

    @contextlib.contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Write what nobody sees before all of it is there."""
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA synchronous=NORMAL")
            self._local.db = db
            self._opened.append(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


class Pool:
    """Threads that work. Made by `Koubou.working`."""

    def __init__(self, koubou: Koubou, workers: int, per_second: float, seed: int) -> None:
        self._koubou = koubou
        self._per_second = per_second
        self._stop = threading.Event()
        self._may_write = threading.Lock()
        self._returned: list[str] = []
        self._threads = [
            threading.Thread(target=self._work, args=(f"worker_{number}", random.Random(seed * 100 + number)))
            for number in range(workers)
        ]
        self._threads.append(threading.Thread(target=self._hand_in, args=(random.Random(seed),)))
        for thread in self._threads:
            thread.start()

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Nothing is written meanwhile."""
        with self._may_write:
            yield

    def end(self) -> None:
        """Let every worker finish what it has, and one what went back to the queue: all that was begun has a worker."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for task_id in self._returned:
            if self._koubou.take("worker_0", task_id) is not None:
                self._koubou.finish(task_id, "worker_0")

    def _hand_in(self, chance: random.Random) -> None:
        while not self._stop.wait(chance.expovariate(self._per_second)):
            with self._may_write:
                task_id = self._koubou.create(chance.choice(PRIORITIES))
                lot = chance.random()
                if lot < 0.1:
                    self._koubou.sync(task_id)
                elif lot < 0.2:
                    self._koubou.cancel(task_id)

    def _work(self, worker: str, chance: random.Random) -> None:
        with self._may_write:
            self._koubou.register(worker)
        while not self._stop.wait(chance.uniform(0.0, 0.02)):
            with self._may_write:
                task_id = self._koubou.take(worker)
            if task_id is None:
                continue
            self._stop.wait(chance.choice((0.0, 0.02, 0.05, 1.2)))
            with self._may_write:
                if chance.random() < 0.05:
                    self._returned.append(task_id)
                    self._koubou.clean_up(worker)
                    self._koubou.register(worker)
                else:
                    self._koubou.finish(task_id, worker, failed=chance.random() < 0.2)
