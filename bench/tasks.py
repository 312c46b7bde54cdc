"""What a look at a Koubou with many tasks of 2 KB each costs: `python -m bench.tasks [ended] [open] [minutes ago]`."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from egoscope.config import load_settings
from egoscope.wiring import Sidecar

_LOOKS: Final = 10

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE task_master (task_id TEXT PRIMARY KEY, content TEXT, status TEXT DEFAULT 'pending',
    priority INTEGER DEFAULT 5, result TEXT, created_by TEXT, assigned_to TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE workers (worker_id TEXT PRIMARY KEY, status TEXT DEFAULT 'idle', current_task TEXT,
    tasks_completed INTEGER DEFAULT 0, tasks_failed INTEGER DEFAULT 0,
    last_heartbeat TIMESTAMP DEFAULT CURRENT_TIMESTAMP, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX idx_task_status ON task_master(status);
CREATE INDEX idx_task_priority ON task_master(priority DESC);
INSERT INTO workers (worker_id) VALUES ('worker_0');
"""
_TASKS: Final = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO task_master (task_id, content, status, priority, assigned_to, created_at, updated_at)
SELECT printf('task_%07d', i + ?), hex(randomblob(1000)), ?, 1 + i % 10, ?,
    datetime('now', ?), datetime('now', ?) FROM n
"""


def main(ended: int, open_: int, minutes: int = 60) -> None:
    """Print what the first reading and each later look cost; tasks were written so many minutes ago."""
    ago = f"-{minutes} minutes"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = folder / "koubou.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.executescript(_SCHEMA)
            db.execute(_TASKS, (ended, 0, "completed", "worker_0", ago, ago))
            if open_:
                db.execute(_TASKS, (open_, ended, "pending", None, ago, ago))
            db.execute("ANALYZE")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            size_mb = path.stat().st_size / 1e6
            settings = load_settings(
                EGO_MCP_LOG_PATH=str(folder / "none.log"),
                koubou_path=str(path),
                state_dir=folder / "state",
                backend="embedded",
                health_port=0,
            )
            sidecar = Sidecar(settings)
            began, read = _spent()
            sidecar.drain()
            first, was_read = _spent()
            print(f"{ended:,} tasks that ended, {open_:,} open, {size_mb:,.0f} MB")
            print(f"  first reading: {first - began:.1f} CPU-seconds, {(was_read - read) / 1e6:,.0f} MB read")
            times, reads = list[float](), list[int]()
            for number in range(_LOOKS):
                db.execute("UPDATE workers SET last_heartbeat = datetime('now', ?)", (f"+{number} seconds",))
                began, read = _spent()
                while sidecar.pipeline.run_once():
                    pass
                done, was_read = _spent()
                times.append(done - began)
                reads.append(was_read - read)
            middle = _LOOKS // 2
            print(
                f"  a look after a heartbeat: {sorted(times)[middle] * 1e3:.1f} ms CPU, "
                f"{sorted(reads)[middle] / 1e6:.2f} MB read"
            )
            sidecar.close()


def _spent() -> tuple[float, int]:
    """Return CPU-seconds and bytes read of this process; of what is mapped nothing is counted, so nothing is."""
    read = 0
    for line in Path(f"/proc/{os.getpid()}/io").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(": ")
        if name == "rchar":
            read = int(value)
    return time.process_time(), read


def _numbers(arguments: list[str]) -> tuple[int, int, int]:
    given: list[Any] = [*arguments, *("100000", "20", "60")[len(arguments) :]]
    return int(given[0]), int(given[1]), int(given[2])


if __name__ == "__main__":
    main(*_numbers(sys.argv[1:]))
