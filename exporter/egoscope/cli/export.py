"""`egoscope export`: executions, costs, runs of flows, tasks, workers as a CSV, JSON or Parquet file of any size."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from egoscope.cli.export_formats import COLUMNS, Format, What, writing
from egoscope.cli.export_names import not_there
from egoscope.cli.stores import no_store_yet
from egoscope.errors import ConfigError
from egoscope.query.embedded import EmbeddedQuery
from egoscope.query.stack import StackQuery
from egoscope.query.times import DAY, EPOCH, MICROSECOND, midnight, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from egoscope.cli.export_formats import Rows
    from egoscope.config import Settings
    from egoscope.query import CostRow, Execution, FlowRun, Query, Task, Worker

Ended = TypeVar("Ended")
PAGE: Final = 1000
"""Executions, runs or tasks that are in memory at once."""
NOT_THERE: Final = 1
"""The exit status where an agent, flow or worker is not there; as of `egoscope monitor`."""

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
    worker: str | None,
    store: Path | None,
    stack: bool,
) -> str:
    """Export what ended in a range into `out`, which is there whole or not at all; return a sentence for people.

    Raises `ConfigError`, `QueryError`, and `typer.Exit` behind a sentence on who is not there.
    """
    if stack and store is not None:
        raise ConfigError("--store: with --stack no store is read; give one of the two")
    if what not in (What.EXECUTIONS, What.FLOWS) and agent is not None:
        raise ConfigError(f"--agent: is for executions and flows; leave it out with --what {what}")
    if what is not What.TASKS and worker is not None:
        raise ConfigError(f"--worker: is for tasks; leave it out with --what {what}")
    now = utc_now()
    begin, end = time_option("--since", since, now) or EPOCH, time_option("--until", until, now) or now
    if end <= begin:
        raise ConfigError("--until: is not after --since")
    with open_query(settings, store=store, stack=stack) as query:
        if said := not_there(query, what, agent, worker):
            typer.echo(f"egoscope: {said}", err=True)
            raise typer.Exit(NOT_THERE)
        with writing(file_format, out, COLUMNS[what]) as write:
            done = _export(query, write, what, (begin, end), agent or worker)
        left_out = _left_out(query, (begin, end)) if what is What.EXECUTIONS and agent is None else ""
    return f"{done} in {out}{left_out}"


def _export(
    query: Query, write: Callable[[Rows], None], what: What, within: tuple[dt.datetime, dt.datetime], name: str | None
) -> str:
    """Write all rows; return what they are, for people. `name`: of an agent, a flow or a worker."""
    match what:
        case What.COSTS:
            rows = query.get_cost_summary(*within).rows
            write([cost_row(row) for row in rows])
            return f"{len(rows)} rows of a day, agent and model each"
        case What.WORKERS:
            workers = query.get_workers(*within)
            write([worker_row(one) for one in workers])
            return f"{len(workers)} workers"
        case What.TASKS:
            of_tasks = (list(map(task_row, page)) for page in task_pages(query, name, *within))
            return f"{_write_all(write, of_tasks, what, query.get_task_overview(*within).ended)} tasks"
        case What.FLOWS:
            of_runs = (list(map(flow_run_row, page)) for page in flow_run_pages(query, name, *within))
            return f"{_write_all(write, of_runs, what, runs_of(query, name, *within))} runs of flows"
        case What.EXECUTIONS:
            of_executions = (list(map(execution_row, page)) for page in pages(query, name, *within))
            total = query.get_metrics(name, "executions", "count", *within)
            return f"{_write_all(write, of_executions, what, total)} executions"


def _left_out(query: Query, within: tuple[dt.datetime, dt.datetime]) -> str:
    """Say that runs of flows are no executions, where there are any."""
    runs = runs_of(query, None, *within)
    said = "1 run of a flow is" if runs == 1 else f"{runs} runs of flows are"
    return f"; {said} not in it: --what flows" if runs else ""


def _write_all(write: Callable[[Rows], None], made: Iterable[Rows], what: str, total: float | None) -> int:
    """Write page by page, with a bar; return how many rows there were."""
    done = 0
    with _progress() as progress:
        bar = progress.add_task(what, total=total or None)
        for rows in made:
            write(rows)
            done += len(rows)
            progress.update(bar, completed=done)
    return done


def open_query(settings: Settings, *, store: Path | None, stack: bool) -> EmbeddedQuery | StackQuery:
    """Return what is asked."""
    if not stack:
        if store is None and not settings.store_path.is_file():
            raise no_store_yet(settings)
        return EmbeddedQuery(store or settings.store_path)
    return StackQuery(prometheus_url=settings.prometheus_url, tempo_url=settings.tempo_url, loki_url=settings.loki_url)


def pages(
    query: Query, agent: str | None, since: dt.datetime, until: dt.datetime, page: int = PAGE
) -> Iterator[list[Execution]]:
    """Yield all executions of a range, oldest end first, at most `page` at once."""
    # Prometheus does not count executions of instrumented code, which Tempo finds all the same.
    return _halved(
        lambda begin, end: query.get_metrics(agent, "executions", "count", begin, end) or 0,
        lambda begin, end, limit: query.get_executions(agent, begin, end, limit=limit),
        (since, until),
        page,
    )


def task_pages(
    query: Query, worker: str | None, since: dt.datetime, until: dt.datetime, page: int = PAGE
) -> Iterator[list[Task]]:
    """Yield all tasks of a range, oldest end first, at most `page` at once."""
    return _halved(
        lambda begin, end: query.get_task_overview(begin, end).ended,
        lambda begin, end, limit: query.get_tasks(worker, begin, end, limit=limit),
        (since, until),
        page,
    )


def flow_run_pages(
    query: Query, flow: str | None, since: dt.datetime, until: dt.datetime, page: int = PAGE
) -> Iterator[list[FlowRun]]:
    """Yield all runs of flows of a range, oldest end first, at most `page` at once."""
    return _halved(
        lambda begin, end: runs_of(query, flow, begin, end),
        lambda begin, end, limit: query.get_flow_runs(flow, begin, end, limit=limit),
        (since, until),
        page,
    )


def runs_of(query: Query, flow: str | None, since: dt.datetime, until: dt.datetime) -> int:
    """Return how many runs of a flow, or of all, ended in a range."""
    return sum(one.runs for one in query.flows(since, until) if flow in (None, one.flow))


def _halved(
    count: Callable[[dt.datetime, dt.datetime], float],
    fetch: Callable[[dt.datetime, dt.datetime, int], list[Ended]],
    within: tuple[dt.datetime, dt.datetime],
    page: int,
) -> Iterator[list[Ended]]:
    """Yield all that ended in a range, oldest first, at most `page` at once. `fetch` returns the newest first.

    A range with more is halved until each part fits, or is one moment: so nothing depends on where an answer is cut.
    """
    since, until = within
    waiting = [(since, until)]
    while waiting:
        begin, end = waiting.pop()
        divisible = end - begin > MICROSECOND
        if divisible and count(begin, end) >= page:
            found = None
        else:
            found = fetch(begin, end, page if divisible else page * 1000)
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


def flow_run_row(one: FlowRun) -> dict[str, Any]:
    """Return one row, in the order of its columns."""
    return {name: getattr(one, name) for name in COLUMNS[What.FLOWS]}


def task_row(one: Task) -> dict[str, Any]:
    """Return one row, in the order of its columns."""
    return {name: getattr(one, name) for name in COLUMNS[What.TASKS]}


def worker_row(one: Worker) -> dict[str, Any]:
    """Return one row, in the order of its columns."""
    return {name: getattr(one, name) for name in COLUMNS[What.WORKERS]}


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
