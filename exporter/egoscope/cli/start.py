"""`egoscope start`: the main job without a server: the same pipeline into the embedded store, shown in the terminal."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import typer

from egoscope.cli.demo import (
    EXECUTIONS_PER_HOUR,
    FLOW_RUNS_PER_HOUR,
    ILLUMO_FILE,
    KAGURA_FILE,
    KOUBOU_FILE,
    TASKS_PER_HOUR,
    WORKER_DEATHS,
)
from egoscope.cli.following import named_logs
from egoscope.cli.monitor_command import Wish, run_monitor_command
from egoscope.cli.stores import demo_dir, mark_as_demo
from egoscope.delivery.state import make_state_dir
from egoscope.demo import (
    DatabaseSettings,
    DemoSettings,
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
from egoscope.feeds import database_patterns
from egoscope.sources.discovery import Discovery
from egoscope.wiring import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from egoscope.cli.monitor_command import View
    from egoscope.config import Settings

_DEMO_HISTORY: Final = timedelta(hours=6)
_DEMO_CALLS_PER_MINUTE: Final = 30


def run_start(settings: Settings, *, once: bool) -> None:
    """Follow what is named until it is left; without a terminal one picture. What is not there yet is waited for.

    Where nothing is named, and no log is where ego-mcp writes it by default, the demo is played. Without a log of
    ego-mcp, but with databases of other agents or of tasks, these are shown.
    """
    once = once or not sys.stdout.isatty()
    logging.getLogger("egoscope").setLevel(logging.CRITICAL if not once else settings.log_level)
    first: View = "life"
    with ExitStack() as stack:
        if not Discovery(settings.patterns).look().files:
            if any(database_patterns(settings).values()):
                first = "agents"
            elif not named_logs(settings):
                typer.echo(f"No ego-mcp log in {', '.join(settings.patterns)}: playing the demo.", err=True)
                settings = _play_demo(settings, stack, once=once)
        sidecar = Sidecar(settings)
        if once:
            sidecar.drain()
            sidecar.close()
        else:
            thread = threading.Thread(target=sidecar.run, name="pipeline")
            thread.start()
            stack.callback(thread.join)
            stack.callback(sidecar.stop)
        run_monitor_command(settings, Wish(), store=settings.store_path, once=once, first=first)


def _play_demo(settings: Settings, stack: ExitStack, *, once: bool) -> Settings:
    """Write some hours of a demo life and of other agents, and go on until it is left. Its state is its own."""
    own_dir = demo_dir(settings)
    logs_dir = own_dir / "logs"
    kagura, illumo, koubou = own_dir / KAGURA_FILE, own_dir / ILLUMO_FILE, own_dir / KOUBOU_FILE
    for directory in (settings.state_dir, own_dir, logs_dir):  # a directory's parents would be open to others
        make_state_dir(directory)
    mark_as_demo(own_dir)
    now = datetime.now(UTC)
    life = DemoSettings(start=now - _DEMO_HISTORY, calls_per_minute=_DEMO_CALLS_PER_MINUTE)
    executions = DatabaseSettings(start=now - _DEMO_HISTORY, per_hour=EXECUTIONS_PER_HOUR)
    runs = DatabaseSettings(start=now - _DEMO_HISTORY, per_hour=FLOW_RUNS_PER_HOUR)
    tasks = DatabaseSettings(start=now - _DEMO_HISTORY, per_hour=TASKS_PER_HOUR, killed_rate=WORKER_DEATHS)
    if not any(logs_dir.iterdir()):
        write_history(logs_dir, life, until=now)
    if not kagura.exists():
        write_some_past(partial(write_kagura_history, kagura, until=now), executions, until=now)
    if not illumo.exists():
        write_some_past(partial(write_illumo_history, illumo, until=now), runs, until=now)
    if not koubou.exists():
        write_some_past(partial(write_koubou_history, koubou, until=now), tasks, until=now)
    if not once:
        stop = threading.Event()
        _write_live(stack, stop, write_live, logs_dir, life)
        _write_live(stack, stop, write_kagura_live, kagura, executions)
        _write_live(stack, stop, write_illumo_live, illumo, runs)
        _write_live(stack, stop, write_koubou_live, koubou, tasks)
    return settings.model_copy(
        update={
            "log_path": (str(logs_dir),),
            "kagura_path": (str(kagura),),
            "illumo_path": (str(illumo),),
            "koubou_path": (str(koubou),),
            "koubou_url": None,
            "state_dir": own_dir,
            "key_file": None,
            "policy_dir": settings.policy_dir,
        }
    )


def _write_live(
    stack: ExitStack, stop: threading.Event, write: Callable[..., object], path: Path, settings: object
) -> None:
    writer = threading.Thread(target=write, args=(path, settings), kwargs={"stop": stop}, name=f"demo {path.name}")
    writer.start()
    stack.callback(writer.join)
    stack.callback(stop.set)
