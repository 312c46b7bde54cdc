"""`egoscope export`: executions or costs as a CSV, JSON or Parquet file, of whatever size, in constant memory."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from egoscope.cli.export_formats import COLUMNS, Format, What, writing
from egoscope.errors import ConfigError
from egoscope.query.embedded import EmbeddedQuery
from egoscope.query.stack import StackQuery
from egoscope.query.times import DAY, EPOCH, MICROSECOND, midnight, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from egoscope.config import Settings
    from egoscope.query import CostRow, Execution, Query

PAGE: Final = 1000
"""Executions that are in memory at once."""

_AGO: Final = re.compile(r"(\d{1,6})([mhdw])")
_UNITS: Final = {"m": DAY / 1440, "h": DAY / 24, "d": DAY, "w": 7 * DAY}


def run_export(
    settings: Settings,
    *,
    what: What,
    file_format: Format,
    out: Path,
    since: str | None,
    until: str | None,
    agent: str | None,
    store: Path | None,
    stack: bool,
) -> str:
    """Export what ended in a range into `out`, which is there whole or not at all; return a sentence for people."""
    if stack and store is not None:
        raise ConfigError("--store: with --stack no store is read; give one of the two")
    if what is What.COSTS and agent is not None:
        raise ConfigError("--agent: costs stand by agent already; leave it out with --what costs")
    now = utc_now()
    begin, end = time_option("--since", since, now) or EPOCH, time_option("--until", until, now) or now
    if end <= begin:
        raise ConfigError("--until: is not after --since")
    with open_query(settings, store=store, stack=stack) as query, writing(file_format, out, COLUMNS[what]) as write:
        if what is What.COSTS:
            rows = query.get_cost_summary(begin, end).rows
            write([cost_row(row) for row in rows])
            return f"{len(rows)} rows of a day, agent and model each in {out}"
        done = 0
        with _progress() as progress:
            total = query.get_metrics(agent, "executions", "count", begin, end)
            task = progress.add_task("executions", total=total or None)
            for page in pages(query, agent, begin, end):
                write([execution_row(one) for one in page])
                done += len(page)
                progress.update(task, completed=done)
    return f"{done} executions in {out}"


def open_query(settings: Settings, *, store: Path | None, stack: bool) -> EmbeddedQuery | StackQuery:
    """Return what is asked."""
    if not stack:
        return EmbeddedQuery(store or settings.store_path)
    return StackQuery(prometheus_url=settings.prometheus_url, tempo_url=settings.tempo_url, loki_url=settings.loki_url)


def pages(
    query: Query, agent: str | None, since: dt.datetime, until: dt.datetime, page: int = PAGE
) -> Iterator[list[Execution]]:
    """Yield all executions of a range, oldest end first, at most `page` at once.

    A range with more is halved until each part fits, or is one moment: so nothing depends on where an answer is cut.
    """
    waiting = [(since, until)]
    while waiting:
        begin, end = waiting.pop()
        divisible = end - begin > MICROSECOND
        if divisible and (query.get_metrics(agent, "executions", "count", begin, end) or 0) >= page:
            found = None
        else:
            # Prometheus does not count executions of instrumented code, which Tempo finds all the same.
            found = query.get_executions(agent, begin, end, limit=page if divisible else page * 1000)
        if found is not None and (len(found) < page or not divisible):
            if found:
                yield found[::-1]
        else:
            middle = begin + (end - begin) / 2
            waiting += [(middle, end), (begin, middle)]


def time_option(option: str, text: str | None, now: dt.datetime) -> dt.datetime | None:
    """Return the time that an option names: ISO 8601, in UTC where it has no zone, or how long ago (`90m`, `7d`).

    A date is its first midnight, which belongs to the day that it begins.
    """
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now - int(ago[1]) * _UNITS[ago[2]]
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return midnight(dt.date.fromisoformat(text)) - MICROSECOND
        when = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option}: a date (2026-11-01), a time (2026-11-01T12:30, UTC), or how long ago (90m, 24h, 7d, 4w)"
        ) from None
    return when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when


def execution_row(one: Execution) -> dict[str, Any]:
    """Return one row, in the order of its columns."""
    return {
        "trace_id": one.trace_id,
        "span_id": one.span_id,
        "agent": one.agent,
        "start": one.start,
        "end": one.end,
        "duration_s": one.duration_s,
        "outcome": one.outcome,
        "error_type": one.error_type,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cost_usd": one.cost_usd,
        "model_calls": one.model_calls,
        "tool_calls": one.tool_calls,
        "tags": dict(one.tags),
    }


def cost_row(row: CostRow) -> dict[str, Any]:
    """Return one row, in the order of its columns."""
    return {
        "day": row.day,
        "agent": row.agent,
        "model": row.model,
        "calls": row.calls,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": row.cost_usd,
        "calls_of_unknown_price": row.calls_of_unknown_price,
    }


def _progress() -> Progress:
    """A bar on standard error where that is a terminal; nothing else."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
