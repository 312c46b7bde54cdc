"""`egoscope demo`: a believable agent's log, written to a directory, and on request the databases of others."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from egoscope.demo import (
    DatabaseSettings,
    DatabaseSummary,
    DemoSettings,
    Summary,
    write_history,
    write_illumo_history,
    write_illumo_live,
    write_kagura_history,
    write_kagura_live,
    write_koubou_history,
    write_koubou_live,
    write_live,
    write_some_past,
)
from egoscope.demo.place import cannot_write, claim
from egoscope.demo.settings import moment
from egoscope.errors import ConfigError
from egoscope.sources.discovery import DEFAULT_GLOB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from datetime import datetime
    from pathlib import Path

EXECUTIONS_PER_HOUR: Final = 40.0
FLOW_RUNS_PER_HOUR: Final = 20.0
TASKS_PER_HOUR: Final = 60.0
WORKER_DEATHS: Final = 0.004
"""The share of tasks of which a worker dies: some six a day."""
KAGURA_FILE: Final = "telemetry.db"
ILLUMO_FILE: Final = "illumo_trace.db"
KOUBOU_FILE: Final = "koubou.db"


def run_demo(
    out: Path,
    *,
    calls_per_minute: float,
    days: float,
    live: bool,
    seed: int,
    failure_rate: float,
    max_mib: int | None,
    documented: bool,
    agents: bool = False,
    now_ns: Callable[[], int] = time.time_ns,
) -> None:
    """Write `days` of history that end now (or `max_mib`), then, with `live`, go on until SIGINT or SIGTERM.

    With `agents`, Kagura's, illumo's and Koubou's databases get the same `days` of history, and go on as well;
    where nothing ended in so many days, as in an hour of the night, a database's history begins earlier. `now_ns` is
    there for tests, and asked before anything is written. Raises ConfigError where nothing is asked for, where `out`
    cannot be written to, and where it holds files of these names that no demo made: they are left as they are.
    """
    if not (live or days or max_mib):
        raise ConfigError("--no-live: nothing is asked for; --days or --max-mib say how much history to write")
    if agents and not (live or days):
        raise ConfigError("--agents: databases get a history of --days, and of no other length; name it")
    now = moment(now_ns() // 1000)
    start = now - timedelta(days=days)
    settings = DemoSettings(
        seed=seed,
        start=start,
        calls_per_minute=calls_per_minute,
        failure_rate=failure_rate,
        documented_format=documented,
    )
    databases = _databases(out, seed, start) if agents else ()
    claim(out, (DEFAULT_GLOB, *(one.path.name for one in databases)))
    reason = ""
    try:
        if days:
            for one in databases:
                more = one.path.exists()
                _tell_runs(one, write_some_past(partial(one.past, until=now), one.life, until=now), more=more)
        if days or max_mib:
            max_bytes = max_mib * 1024 * 1024 if max_mib else None
            more = _has_log(out)
            _tell(write_history(out, settings, until=now if days else None, max_bytes=max_bytes), more=more)
        if live:
            _go_on(out, settings, databases)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise cannot_write(out, reason)


class _Demo(NamedTuple):
    """One database: what its rows are called, and what writes them."""

    what: str
    path: Path
    past: Callable[..., DatabaseSummary]
    present: Callable[..., DatabaseSummary]
    life: DatabaseSettings


def _databases(out: Path, seed: int, start: datetime) -> tuple[_Demo, ...]:
    kagura = DatabaseSettings(seed=seed, start=start, per_hour=EXECUTIONS_PER_HOUR)
    illumo = DatabaseSettings(seed=seed, start=start, per_hour=FLOW_RUNS_PER_HOUR)
    koubou = DatabaseSettings(seed=seed, start=start, per_hour=TASKS_PER_HOUR, killed_rate=WORKER_DEATHS)
    return tuple(
        _Demo(what, out / name, partial(past, out / name), partial(present, out / name), life)
        for what, name, past, present, life in (
            ("executions", KAGURA_FILE, write_kagura_history, write_kagura_live, kagura),
            ("flow runs", ILLUMO_FILE, write_illumo_history, write_illumo_live, illumo),
            ("tasks", KOUBOU_FILE, write_koubou_history, write_koubou_live, koubou),
        )
    )


def _go_on(out: Path, settings: DemoSettings, databases: Sequence[_Demo]) -> None:
    """Write what happens as it happens, until a signal ends it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    rate = f"{settings.calls_per_minute:g} calls a minute in the mean over a day"
    typer.echo(f"writing to {out}, {rate}: in sessions, and few at night; Ctrl-C ends it", err=True)
    more = {one.path: one.path.exists() for one in databases}
    with ExitStack() as ending:
        writers: list[tuple[_Demo, Future[DatabaseSummary]]] = []
        if databases:
            pool = ending.enter_context(ThreadPoolExecutor(len(databases)))
            # However the log ends, the others end with it.
            ending.callback(stop.set)
            writers = [(one, pool.submit(one.present, one.life, stop=stop)) for one in databases]
            for _, writer in writers:
                writer.add_done_callback(lambda _writer: stop.set())
        has_log = _has_log(out)
        _tell(write_live(out, settings, stop=stop), more=has_log)
        for one, writer in writers:
            _tell_runs(one, writer.result(), more=more[one.path])


def _has_log(out: Path) -> bool:
    return any(out.glob(DEFAULT_GLOB))


def _tell(summary: Summary, *, more: bool) -> None:
    has_starts = any(outcome == "started" for _, outcome in summary.calls)
    calls = sum(count for (_, outcome), count in summary.calls.items() if outcome == "started" or not has_starts)
    typer.echo(f"{calls} calls{' more' if more else ''} in {len(summary.files)} file(s)", err=True)


def _tell_runs(one: _Demo, summary: DatabaseSummary, *, more: bool) -> None:
    runs = sum(summary.runs.values())
    typer.echo(f"{runs} {one.what}{' more' if more else ''} in {one.path}", err=True)
