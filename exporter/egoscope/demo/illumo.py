"""A believable illumo `illumo_trace.db`."""

from __future__ import annotations

import time
from heapq import merge
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Final

from egoscope.demo import rhythm
from egoscope.demo.databases import DatabaseSummary, Program, Run, Write, write_past, write_present
from egoscope.demo.illumo_life import FLOWS, plant
from egoscope.demo.illumo_run import STOP, naive_utc, play

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from egoscope.demo.illumo_life import Flow
    from egoscope.demo.settings import DatabaseSettings

_SCHEMA: Final = (
    """
                CREATE TABLE IF NOT EXISTS spans (
                    span_id TEXT PRIMARY KEY,
                    trace_id TEXT,
                    parent_span_id TEXT,
                    service_name TEXT,
                    kind TEXT,
                    name TEXT,
                    attributes TEXT,
                    status TEXT,
                    error TEXT,
                    start_time TEXT,
                    end_time TEXT,
                    policy_snapshot TEXT,
                    timeout INTEGER DEFAULT 0
                )
                """,
    """
                CREATE TABLE IF NOT EXISTS events (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    trace_id TEXT,
                    span_id TEXT,
                    event_type TEXT,
                    level TEXT,
                    message TEXT,
                    attributes TEXT,
                    timestamp TEXT
                )
                """,
)


def illumo_canaries(settings: DatabaseSettings) -> tuple[str, ...]:
    """Return every token that an `illumo_trace.db` made from `settings` can hold: none may ever leave the machine."""
    planted = plant(settings.seed)
    return (*planted.instructions, *planted.inputs, *planted.answers, *planted.errors)


def write_illumo_history(path: Path, settings: DatabaseSettings, *, until: datetime) -> DatabaseSummary:
    """Write the runs from `settings.start` on that ended by `until`; what still ran then is left out."""
    return write_past(path, _program(settings), settings, until=until)


def write_illumo_live(
    path: Path,
    settings: DatabaseSettings,
    *,
    stop: threading.Event,
    now_ns: Callable[[], int] = time.time_ns,
    wait: Callable[[float], bool] | None = None,
) -> DatabaseSummary:
    """Write spans as they start and end, and events between, until `stop` is set; `settings.start` is not used.

    `now_ns` and `wait` are there for tests.
    """
    return write_present(path, _program(settings), settings, stop=stop, now_ns=now_ns, wait=wait)


def _program(settings: DatabaseSettings) -> Program:
    return Program(schema=_SCHEMA, runs=_runs, stopped=_stopped, canaries=illumo_canaries(settings))


def _runs(settings: DatabaseSettings) -> Iterator[Run]:
    return merge(*(_life(flow, settings) for flow in FLOWS), key=attrgetter("start_us"))


def _life(flow: Flow, settings: DatabaseSettings) -> Iterator[Run]:
    # Not for secrets: a demo has to be the same each time.
    rng = Random(f"{settings.seed}/{settings.start_us}/{flow.name}")  # noqa: S311
    planted = plant(settings.seed)
    for us in rhythm.starts(settings, rng, settings.per_hour * flow.share, flow.hours):
        run = play(flow, rng, planted, us, fails=rng.random() < rhythm.failure_rate(settings, us))
        if rng.random() < settings.killed_rate:
            # Whatever was open stays so for ever.
            run = run._replace(outcome="unfinished", writes=run.writes[: rng.randrange(1, len(run.writes))])
        yield run


def _stopped(key: str, us: int) -> Write:
    """What illumo's tracker does on Ctrl-C: it closes what is open, and calls it good."""
    return Write(us, STOP, (naive_utc(us), key))
