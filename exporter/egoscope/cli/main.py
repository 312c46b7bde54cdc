"""Commands, one function each; what a command does stands in a module of its own."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import typer

from egoscope import __version__
from egoscope.cli.export_formats import Format, What
from egoscope.config import load_settings
from egoscope.errors import EgoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _sentences(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the project's own errors into a sentence on standard error and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except EgoscopeError as error:
            typer.echo(f"egoscope: {error}", err=True)
        raise typer.Exit(2)

    return wrapped


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s%(about)s"
    )
    for one in logging.getLogger().handlers:
        one.addFilter(_add_about)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


def _add_about(record: logging.LogRecord) -> bool:
    """Show what a record says beside its constant message: signal and reason."""
    known = [f"{name}={getattr(record, name)}" for name in ("signal", "reason") if hasattr(record, name)]
    record.about = f" ({', '.join(known)})" if known else ""
    return True


def _print_version(asked: bool) -> None:  # noqa: FBT001 (what typer gives a callback)
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end")
    ] = False,
) -> None:
    """What AI agents do, feel and cost, without their private words."""


@app.command()
@_sentences
def serve() -> None:
    """Follow logs and databases and send what may leave to the Collector, until SIGTERM."""
    from egoscope.wiring import Sidecar  # noqa: PLC0415 (other commands start faster without it)

    settings = load_settings()
    _log_to_stderr(settings.log_level)
    sidecar = Sidecar(settings)
    # What lives now lives to the end, and a batch's objects hold no cycles: looking for them over and over was a tenth
    # of all CPU time.
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sidecar.stop())
    sidecar.run()


@app.command()
@_sentences
def start(
    path: Annotated[str | None, typer.Option(help="Files, directory or glob of ego-mcp's logs")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where state, key and store are kept")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end")] = False,
) -> None:
    """Show an agent's life in this terminal, with no server; plays a demo where nothing is named or found."""
    from egoscope.cli.start import run_start  # noqa: PLC0415

    overrides = {"EGO_MCP_LOG_PATH": path, "state_dir": state_dir}
    run_start(load_settings(backend="embedded", telemetry=False, health_port=0, **overrides), once=once)


@app.command()
@_sentences
def monitor(
    store: Annotated[Path | None, typer.Option(help="The embedded store (default: in the state directory)")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end")] = False,
    agents: Annotated[bool, typer.Option("--agents", help="All agents and flows")] = False,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="One agent or flow")] = None,
    trace: Annotated[str | None, typer.Option(metavar="ID", help="One trace as a tree, by its 32 hex digits")] = None,
    cost: Annotated[bool, typer.Option("--cost", help="Costs by day, and what the month will cost")] = False,
    budget: Annotated[bool, typer.Option("--budget", help="Costs, with EGOSCOPE_BUDGET_USD drawn")] = False,
    workers: Annotated[bool, typer.Option("--workers", help="Tasks and the workers that do them")] = False,
    window: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="How far back: 1h, 24h, 7d, 30d, all; a screen that has others says which"),
    ] = None,
    stack: Annotated[
        bool | None,
        typer.Option("--stack/--embedded", help="Ask Prometheus, Tempo and Loki, or the embedded store"),
    ] = None,
) -> None:
    """Show live what agents and workers do: ego-mcp's life, agents and flows, tasks; one picture without a terminal."""
    from egoscope.cli.monitor_command import Wish, run_monitor_command  # noqa: PLC0415

    wish = Wish(agents=agents, agent=agent, trace=trace, cost=cost, budget=budget, workers=workers, window=window)
    raise typer.Exit(run_monitor_command(load_settings(), wish, store=store, once=once, stack=stack))


@app.command()
@_sentences
def convert(
    path: Annotated[str, typer.Argument(help="A log file or database, or a directory or glob of them")],
    out: Annotated[Path, typer.Option(help="Directory for traces.jsonl, metrics.jsonl, logs.jsonl and summary.json")],
    source: Annotated[
        str, typer.Option(help="Whose it is: ego-mcp (a log); kagura, illumo, tracerdb or koubou (a database)")
    ] = "ego-mcp",
    key_file: Annotated[Path | None, typer.Option(help="32-byte key for pseudonyms and ids")] = None,
) -> None:
    """Write exactly what would be sent, as OTLP/JSON, without sending it."""
    from egoscope.cli.convert import run_convert  # noqa: PLC0415

    settings = load_settings(key_file=key_file)
    summary = run_convert(source, path, out, settings)
    typer.echo(summary)


@app.command()
@_sentences
def export(
    out: Annotated[Path, typer.Option(help="The file to write; it appears when it is complete")],
    file_format: Annotated[Format, typer.Option("--format", help="Kind of file")] = Format.CSV,
    what: Annotated[
        What, typer.Option(help="A row an execution; a day, agent and model; a flow's run; a task; a worker")
    ] = What.EXECUTIONS,
    since: Annotated[str | None, typer.Option(help="2026-11-01, 2026-11-01T12:30 (UTC), 90m, 24h, 7d, 4w")] = None,
    until: Annotated[str | None, typer.Option(help="As --since (default: now)")] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Executions of one agent, runs of one flow")] = None,
    worker: Annotated[str | None, typer.Option(metavar="NAME", help="Tasks of one worker")] = None,
    store: Annotated[Path | None, typer.Option(help="The embedded store (default: in the state directory)")] = None,
    stack: Annotated[bool, typer.Option("--stack", help="Ask Prometheus, Tempo and Loki instead")] = False,
) -> None:
    """Write what agents and workers did, or what it cost, into a CSV, JSON or Parquet file."""
    from egoscope.cli.export import run_export  # noqa: PLC0415

    typer.echo(
        run_export(
            load_settings(),
            what=what,
            file_format=file_format,
            out=out,
            since=since,
            until=until,
            agent=agent,
            worker=worker,
            store=store,
            stack=stack,
        )
    )


@app.command()
@_sentences
def check() -> None:
    """Validate settings and policies."""
    from egoscope.cli.check import run_check  # noqa: PLC0415
    from egoscope.cli.setting_names import NOT_HERE, names_set, odd_names  # noqa: PLC0415

    odd, composes = odd_names(names_set())
    for one in odd:
        typer.echo(f"warning: {one.name}: {one.sentence}; {one.remedy}", err=True)
    for name in composes:
        typer.echo(f"note: {name}: {NOT_HERE}", err=True)
    typer.echo(run_check(load_settings()))


@app.command()
@_sentences
def doctor() -> None:
    """Look at everything that could be wrong, and say what to do."""
    from egoscope.cli.doctor import run_doctor  # noqa: PLC0415

    raise typer.Exit(run_doctor(load_settings()))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
@_sentences
def demo(
    out: Annotated[Path, typer.Option(help="Directory for ego-mcp-YYYY-MM-DD.log files: a new one, or a demo's")],
    calls_per_minute: Annotated[float, typer.Option(help="Calls a minute, the mean over a day")] = 30.0,
    days: Annotated[float, typer.Option(min=0, help="Days of history to write first, up to now")] = 0.0,
    live: Annotated[bool, typer.Option(help="Go on writing in real time until Ctrl-C")] = True,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal lives")] = 7,
    failure_rate: Annotated[float, typer.Option(help="Share of calls that fail")] = 0.03,
    max_mib: Annotated[int | None, typer.Option(min=1, help="End the history at this size")] = None,
    documented: Annotated[bool, typer.Option("--documented", help="The documented one-line format")] = False,
    agents: Annotated[bool, typer.Option("--agents", help="telemetry.db, illumo_trace.db and koubou.db, too")] = False,
) -> None:
    """Write a believable ego-mcp log in the real format, with planted secrets, for trying and testing."""
    from egoscope.cli.demo import run_demo  # noqa: PLC0415

    run_demo(
        out,
        calls_per_minute=calls_per_minute,
        days=days,
        live=live,
        seed=seed,
        failure_rate=failure_rate,
        max_mib=max_mib,
        documented=documented,
        agents=agents,
    )
