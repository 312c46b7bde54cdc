"""`egoscope start`: the main job without a server: the same pipeline into the embedded store, shown in the terminal."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import typer

from egoscope.cli.monitor import run_monitor
from egoscope.demo import DemoSettings, write_history, write_live
from egoscope.sources.discovery import Discovery
from egoscope.wiring import Sidecar

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.config import Settings

_DEMO_HISTORY: Final = timedelta(hours=6)
_DEMO_CALLS_PER_MINUTE: Final = 30


def run_start(settings: Settings, *, once: bool) -> None:
    """Follow the logs, or the demo where there are none, until the monitor is left; one picture without a terminal."""
    once = once or not sys.stdout.isatty()
    logging.getLogger("egoscope").setLevel(logging.CRITICAL if not once else settings.log_level)
    with ExitStack() as stack:
        if not Discovery(settings.patterns).look().files:
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
        run_monitor(settings.store_path, once=once, log_places=settings.patterns)


def _play_demo(settings: Settings, stack: ExitStack, *, once: bool) -> Settings:
    """Write some hours of a demo life, and go on writing it until the monitor is left. Its state is its own."""
    demo_dir = settings.state_dir / "demo"
    logs_dir: Path = demo_dir / "logs"
    logs_dir.mkdir(parents=True, exist_ok=True)
    demo = DemoSettings(start=datetime.now(UTC) - _DEMO_HISTORY, calls_per_minute=_DEMO_CALLS_PER_MINUTE)
    if not any(logs_dir.iterdir()):
        write_history(logs_dir, demo, until=datetime.now(UTC))
    if not once:
        stop = threading.Event()
        writer = threading.Thread(target=write_live, args=(logs_dir, demo), kwargs={"stop": stop}, name="demo")
        writer.start()
        stack.callback(writer.join)
        stack.callback(stop.set)
    return settings.model_copy(
        update={
            "log_path": (str(logs_dir),),
            "state_dir": demo_dir,
            "key_file": None,
            "policy_dir": settings.policy_dir,
        }
    )
