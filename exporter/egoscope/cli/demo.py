"""`egoscope demo`: a believable agent's log, written to a directory, and on request the databases of others."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

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
from egoscope.demo.settings import moment

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
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
    there for tests, and asked before anything is written.
    """
    out.mkdir(parents=True, exist_ok=True)
    now = moment(now_ns() // 1000)
    start = now - timedelta(days=days)
    settings = DemoSettings(
        seed=seed,
        start=start,
        calls_per_minute=calls_per_minute,
        failure_rate=failure_rate,
        documented_format=documented,
    )
    kagura = DatabaseSettings(seed=seed, start=start, per_hour=EXECUTIONS_PER_HOUR)
    illumo = DatabaseSettings(seed=seed, start=start, per_hour=FLOW_RUNS_PER_HOUR)
    koubou = DatabaseSettings(seed=seed, start=start, per_hour=TASKS_PER_HOUR, killed_rate=WORKER_DEATHS)
    if agents and days:
        for what, write, name, life in (
            ("executions", write_kagura_history, KAGURA_FILE, kagura),
            ("flow runs", write_illumo_history, ILLUMO_FILE, illumo),
            ("tasks", write_koubou_history, KOUBOU_FILE, koubou),
        ):
            _tell_runs(what, write_some_past(partial(write, out / name, until=now), life, until=now))
    if days or max_mib:
        max_bytes = max_mib * 1024 * 1024 if max_mib else None
        _tell(write_history(out, settings, until=now if days else None, max_bytes=max_bytes))
    if live:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        typer.echo(f"writing {calls_per_minute:g} calls a minute to {out}; Ctrl-C ends it", err=True)
        with ExitStack() as ending:
            writers: list[tuple[str, Future[DatabaseSummary]]] = []
            if agents:
                pool = ending.enter_context(ThreadPoolExecutor(3))
                # However the log ends, the others end with it.
                ending.callback(stop.set)
                writers = [
                    ("executions", pool.submit(write_kagura_live, out / KAGURA_FILE, kagura, stop=stop)),
                    ("flow runs", pool.submit(write_illumo_live, out / ILLUMO_FILE, illumo, stop=stop)),
                    ("tasks", pool.submit(write_koubou_live, out / KOUBOU_FILE, koubou, stop=stop)),
                ]
                for _, writer in writers:
                    writer.add_done_callback(lambda _writer: stop.set())
            _tell(write_live(out, settings, stop=stop))
            for what, writer in writers:
                _tell_runs(what, writer.result())


def _tell(summary: Summary) -> None:
    has_starts = any(outcome == "started" for _, outcome in summary.calls)
    calls = sum(count for (_, outcome), count in summary.calls.items() if outcome == "started" or not has_starts)
    typer.echo(f"{calls} calls in {len(summary.files)} file(s)", err=True)


def _tell_runs(what: str, summary: DatabaseSummary) -> None:
    typer.echo(f"{sum(summary.runs.values())} {what} in {summary.path}", err=True)
