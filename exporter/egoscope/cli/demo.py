"""`egoscope demo`: a believable agent's log, written to a directory."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import typer

from egoscope.demo import DemoSettings, Summary, write_history, write_live

if TYPE_CHECKING:
    from pathlib import Path


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
) -> None:
    """Write `days` of history that end now (or `max_mib`), then, with `live`, go on until SIGINT or SIGTERM."""
    out.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    settings = DemoSettings(
        seed=seed,
        start=now - timedelta(days=days),
        calls_per_minute=calls_per_minute,
        failure_rate=failure_rate,
        documented_format=documented,
    )
    if days or max_mib:
        max_bytes = max_mib * 1024 * 1024 if max_mib else None
        _tell(write_history(out, settings, until=now if days else None, max_bytes=max_bytes))
    if live:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        typer.echo(f"writing {calls_per_minute:g} calls a minute to {out}; Ctrl-C ends it", err=True)
        _tell(write_live(out, settings, stop=stop))


def _tell(summary: Summary) -> None:
    has_starts = any(outcome == "started" for _, outcome in summary.calls)
    calls = sum(count for (_, outcome), count in summary.calls.items() if outcome == "started" or not has_starts)
    typer.echo(f"{calls} calls in {len(summary.files)} file(s)", err=True)
