"""A believable Kagura `telemetry.db`."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from egoscope.demo.databases import DatabaseSummary, Program, Run, Write, write_past, write_present
from egoscope.demo.kagura_life import executions, plant

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from egoscope.demo.kagura_life import Execution
    from egoscope.demo.settings import DatabaseSettings

Writing: TypeAlias = Literal["insert", "update", "replace"]
"""How an execution is told: by one row when it ends, as today's Kagura does; by a row `running` that is updated at the
end; or by one that is replaced, so that its rowid is a new one."""

_SCHEMA: Final = (
    """
                CREATE TABLE IF NOT EXISTS executions (
                    id TEXT PRIMARY KEY,
                    agent_name TEXT NOT NULL,
                    started_at REAL NOT NULL,
                    ended_at REAL,
                    duration REAL,
                    status TEXT,
                    error TEXT,
                    kwargs TEXT,
                    events TEXT,
                    metrics TEXT,
                    created_at REAL DEFAULT (julianday('now'))
                )
            """,
    """
                CREATE INDEX IF NOT EXISTS idx_agent_started
                ON executions(agent_name, started_at DESC)
            """,
    """
                CREATE INDEX IF NOT EXISTS idx_status
                ON executions(status)
            """,
)
# Where eight random digits meet those of an earlier demo in the same file, the row is left out.
_INSERT: Final = (
    "INSERT OR IGNORE INTO executions"
    " (id, agent_name, started_at, ended_at, duration, status, error, kwargs, events, metrics, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REPLACE: Final = _INSERT.replace("IGNORE", "REPLACE")
_UPDATE: Final = (
    "UPDATE executions SET ended_at = ?, duration = ?, status = ?, error = ?, events = ?, metrics = ? WHERE id = ?"
)
_STOP: Final = (
    "UPDATE executions SET ended_at = ?1, duration = ?1 - started_at, status = 'failed', error = ?2"
    " WHERE id = ?3 AND status = 'running'"
)
_JULIAN_EPOCH: Final = 2440587.5


def kagura_canaries(settings: DatabaseSettings) -> tuple[str, ...]:
    """Return every token that a `telemetry.db` made from `settings` can hold: none may ever leave the machine."""
    planted = plant(settings.seed)
    return (*planted.prompts, *planted.tools, *planted.memories, *planted.errors)


def write_kagura_history(
    path: Path, settings: DatabaseSettings, *, until: datetime, writing: Writing = "insert"
) -> DatabaseSummary:
    """Write the executions from `settings.start` on that ended by `until`; what still ran then is left out."""
    return write_past(path, _program(settings, writing=writing, long=writing), settings, until=until)


def write_kagura_live(
    path: Path,
    settings: DatabaseSettings,
    *,
    stop: threading.Event,
    writing: Writing = "insert",
    now_ns: Callable[[], int] = time.time_ns,
    wait: Callable[[float], bool] | None = None,
) -> DatabaseSummary:
    """Write each execution when its time comes until `stop` is set; `settings.start` is not used.

    The one that takes minutes always stands there as `running` meanwhile. `now_ns` and `wait` are there for tests.
    """
    program = _program(settings, writing=writing, long="update" if writing == "insert" else writing)
    return write_present(path, program, settings, stop=stop, now_ns=now_ns, wait=wait)


def _program(settings: DatabaseSettings, *, writing: Writing, long: Writing) -> Program:
    return Program(
        schema=_SCHEMA,
        runs=partial(_runs, writing=writing, long=long),
        stopped=partial(_stopped, plant(settings.seed).errors[0]),
        canaries=kagura_canaries(settings),
    )


def _runs(settings: DatabaseSettings, *, writing: Writing, long: Writing) -> Iterator[Run]:
    killed = settings.killed_rate
    for number, execution in enumerate(executions(settings)):
        writes = _writes(execution, long if execution.agent.serial else writing)
        outcome = "ok" if execution.error is None else "error"
        # Every so many: no draw that would change what else happens.
        if int((number + 1) * killed) > int(number * killed):
            writes, outcome = writes[:-1], "unfinished"
        yield Run(execution.started_us, execution.key, execution.agent.name, outcome, writes)


def _writes(execution: Execution, writing: Writing) -> list[Write]:
    started_at = execution.started_us / 1e6
    ended_at = execution.ended_us / 1e6
    ended = (
        ended_at,
        ended_at - started_at,
        "completed" if execution.error is None else "failed",
        execution.error,
    )
    named = (execution.key, execution.agent.name, started_at)
    asked = json.dumps(execution.asked)
    told = (json.dumps(execution.events), json.dumps(execution.metrics))
    whole = (*named, *ended, asked, *told, _julian(execution.ended_us))
    if writing == "insert":
        return [Write(execution.ended_us, _INSERT, whole)]
    running = (*named, None, None, "running", None, asked, "[]", "{}", _julian(execution.started_us))
    begun = Write(execution.started_us, _INSERT, running)
    if writing == "replace":
        return [begun, Write(execution.ended_us, _REPLACE, whole)]
    return [begun, Write(execution.ended_us, _UPDATE, (*ended, *told, execution.key))]


def _stopped(secret: str, key: str, us: int) -> Write:
    return Write(us, _STOP, (us / 1e6, f"cancelled while answering {secret}", key))


def _julian(us: int) -> float:
    return us / 86_400e6 + _JULIAN_EPOCH
