"""`egoscope demo`: a believable agent's log, written to a directory, and on request two databases of other agents."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
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
    write_live,
)

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

EXECUTIONS_PER_HOUR: Final = 40.0
FLOW_RUNS_PER_HOUR: Final = 20.0
KAGURA_FILE: Final = "telemetry.db"
ILLUMO_FILE: Final = "illumo_trace.db"


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
) -> None:
    """Write `days` of history that end now (or `max_mib`), then, with `live`, go on until SIGINT or SIGTERM.

    With `agents`, Kagura's and illumo's databases get the same `days` of history, and go on as well.
    """
    out.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
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
    if agents and days:
        _tell_runs("executions", write_kagura_history(out / KAGURA_FILE, kagura, until=now))
        _tell_runs("flow runs", write_illumo_history(out / ILLUMO_FILE, illumo, until=now))
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
                pool = ending.enter_context(ThreadPoolExecutor(2))
                # However the log ends, the others end with it.
                ending.callback(stop.set)
                writers = [
                    ("executions", pool.submit(write_kagura_live, out / KAGURA_FILE, kagura, stop=stop)),
                    ("flow runs", pool.submit(write_illumo_live, out / ILLUMO_FILE, illumo, stop=stop)),
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
