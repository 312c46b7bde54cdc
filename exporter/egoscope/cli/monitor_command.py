"""`egoscope monitor` with its options: which back end is asked, which screen opens, and what is not there."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final, Literal

import typer
from rich.console import Console

from egoscope.cli.following import Hindrances, named_logs, nothing_hinders
from egoscope.cli.monitor import WINDOWS, Life, can_be_live, open_store, watch
from egoscope.cli.monitor_agents import Browser
from egoscope.cli.monitor_text import plain, some
from egoscope.cli.screens.looking import by_name, window_named
from egoscope.cli.screens.opening import screen_of
from egoscope.cli.screens.screen import Target
from egoscope.cli.stores import MARK, demo_store, is_demo, no_store_yet, stack_is_named, stack_is_there
from egoscope.convert.semconv import EGO_MCP_SERVICE
from egoscope.errors import ConfigError
from egoscope.feeds import database_patterns
from egoscope.query.embedded import EmbeddedQuery
from egoscope.query.stack import StackQuery
from egoscope.sources.koubou import SOURCE as KOUBOU

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.config import Settings
    from egoscope.query import Query
    from egoscope.store.queries import StoreReader

View = Literal["life", "agents"]

NOT_THERE: Final = 1
STACK_TIMEOUT_S: Final = 10.0
_TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
_TRACE_ID_FORM: Final = "32 hex digits (0-9, a-f), as the monitor's screens and Grafana show it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks to see; nothing of it: what there is."""

    agents: bool = False
    agent: str | None = None
    trace: str | None = None
    cost: bool = False
    budget: bool = False
    workers: bool = False
    window: str | None = None

    def check(self, settings: Settings) -> None:
        """Raise `ConfigError` for options that do not go together."""
        named = [
            option
            for option, is_set in (
                ("--agents", self.agents),
                ("--agent", self.agent is not None),
                ("--trace", self.trace is not None),
                ("--cost", self.cost or self.budget),
                ("--workers", self.workers),
            )
            if is_set
        ]
        if len(named) > 1:
            raise ConfigError(f"{' and '.join(named)}: one of them at a time; keys lead from one to another")
        if self.trace is not None and not _TRACE_ID.fullmatch(self.trace):
            raise ConfigError(f"--trace {plain(self.trace)}: a trace has an id of {_TRACE_ID_FORM}")
        if self.trace is not None and self.window is not None:
            raise ConfigError("--window: a trace is shown whole; leave it out with --trace")
        if self.budget and settings.budget_usd is None:
            raise ConfigError("--budget: no budget is set; EGOSCOPE_BUDGET_USD is what a month may cost, in US dollars")

    @property
    def is_open(self) -> bool:
        """Whether nothing is asked for in particular."""
        named = self.agents or self.cost or self.budget or self.workers
        return not named and self.agent is None and self.trace is None


def run_monitor_command(
    settings: Settings,
    wish: Wish,
    *,
    store: Path | None = None,
    once: bool = False,
    stack: bool | None = None,
    first: View | None = None,
    console: Console | None = None,
) -> int:
    """Show what is wished for, live or as one picture; return the exit status.

    `stack`: ask Prometheus, Tempo and Loki; None: where there is no embedded store, but servers are. `first`: what is
    shown first, whatever there is by now. Raises `ConfigError`, `StateError`, `QueryError`.
    """
    wish.check(settings)
    if stack and store is not None:
        raise ConfigError("--stack and --store: one of them at a time; a store is not the stack")
    console = console or Console()
    path = store or settings.store_path
    if stack is None and store is None and not path.is_file():
        path, stack = _without_a_store(settings, wish)
    mark = MARK if not stack and is_demo(path) else ""
    hindrances = nothing_hinders if stack or mark else Hindrances(settings)
    with ExitStack() as opened:
        reader = None if stack else opened.enter_context(open_store(path))
        query = _open_query(settings, None if stack else path)
        opened.callback(query.close)
        target = _target(settings, query, wish)
        if isinstance(target, str):
            typer.echo(f"egoscope: {target}", err=True)
            return NOT_THERE
        has_life = reader is not None and (first == "life" or _has_life(reader))
        if first is None or reader is None:
            nothing = reader is not None and not has_life and not _has_agents(query) and target.kind != "workers"
            first = "life" if wish.is_open and (has_life or nothing) else "agents"
        life_window = 0
        if wish.window is not None and first == "life":
            life_window = window_named(wish.window, _life_windows())
        elif wish.window is not None:
            windows = by_name(screen_of(target, None).windows)
            target = replace(target, window=window_named(wish.window, windows), widen=False)
        browser = Browser(
            query,
            target,
            console,
            budget_usd=settings.budget_usd,
            chart=wish.budget,
            has_life=has_life or (reader is not None and bool(named_logs(settings))),
            hint=_hint(settings, stack=bool(stack)),
            workers_expected=settings.least_workers,
            workers_hint=_workers_hint(settings, stack=bool(stack)),
            mark=mark,
            hindrances=hindrances,
        )
        views: dict[str, Life | Browser] = {"agents": browser}
        if reader is not None:
            views["life"] = Life(
                reader,
                console,
                settings.patterns,
                lead=browser.lead,
                mark=mark,
                hindrances=hindrances,
                window=life_window,
            )
        if once or not can_be_live(console):
            views[first].print_once()
            return 0
        opened.pop_all()
        try:
            watch(console, views, first)
        finally:
            browser.close()
            if reader is not None:
                reader.close()
    return 0


def _without_a_store(settings: Settings, wish: Wish) -> tuple[Path, bool]:
    """Return the store to ask where the user has none of his own, and whether to ask the servers instead.

    They are asked where the user said where they are, or where they are found; else a demo that was played is shown.
    Raises `ConfigError` where there is nothing.
    """
    of_servers = settings.backend == "collector" and not wish.is_open
    if of_servers and stack_is_there(settings):
        return settings.store_path, True
    demo = demo_store(settings)
    if demo is None or (wish.is_open and stack_is_named(settings)):
        raise no_store_yet(settings)
    return demo, False


def _open_query(settings: Settings, path: Path | None) -> Query:
    if path is not None:
        return EmbeddedQuery(path)
    return StackQuery(
        prometheus_url=settings.prometheus_url,
        tempo_url=settings.tempo_url,
        loki_url=settings.loki_url,
        timeout_s=STACK_TIMEOUT_S,
    )


def _target(settings: Settings, query: Query, wish: Wish) -> Target | str:
    """Return where to go, or a sentence on what is not there and what is."""
    if wish.trace is not None:
        trace_id = wish.trace.lower()
        return Target(kind="trace", name=trace_id) if query.get_trace(trace_id) else _no_trace(query, trace_id)
    if wish.agent is not None:
        return _named(query, wish.agent)
    if wish.workers or (wish.is_open and _has_tasks_alone(settings, query)):
        return Target(kind="workers")
    return Target(kind="cost" if wish.cost or wish.budget else "agents")


def _named(query: Query, name: str) -> Target | str:
    agents = [agent.agent for agent in query.agents()]
    if name in agents:
        return Target(kind="agent", name=name)
    flows = [flow.flow for flow in query.flows()]
    if name in flows:
        return Target(kind="flow", name=name)
    said = f"--agent {plain(name)}: there is no such agent or flow"
    there = "; ".join(f"{kind}: {some(names)}" for kind, names in (("agents", agents), ("flows", flows)) if names)
    return f"{said}; there are {there}" if there else f"{said}, and no other yet"


def _no_trace(query: Query, trace_id: str) -> str:
    newest = [one.trace_id for one in query.get_executions(limit=5)]
    newest += [line.trace_id for line in query.recent_activity(20) if line.trace_id]
    names = list(dict.fromkeys(newest))[:3]
    said = f"--trace {trace_id}: there is no such trace; an execution has one when it has ended"
    return f"{said}. The newest: {', '.join(names)}" if names else f"{said}. There is no other yet"


def _life_windows() -> dict[str, int]:
    """Return which window has which name, the shortest first."""
    order = sorted(range(len(WINDOWS)), key=lambda place: WINDOWS[place][1] or inf)
    return {WINDOWS[place][0]: place for place in order}


def _has_life(reader: StoreReader) -> bool:
    return EGO_MCP_SERVICE in reader.picture(wall_ns=0, window_ns=1, minutes=1, log_lines=1).services


def _has_agents(query: Query) -> bool:
    return bool(query.agents() or query.flows())


def _has_tasks_alone(settings: Settings, query: Query) -> bool:
    if _has_agents(query):
        return False
    followed = {source for source, paths in database_patterns(settings).items() if paths}
    return followed == {KOUBOU} or not query.get_task_overview().is_nothing


def _hint(settings: Settings, *, stack: bool) -> str:
    if stack:
        return f"Prometheus at {settings.prometheus_url} has none. egoscope doctor says what is missing."
    followed = {"Kagura": settings.kagura_path, "illumo": settings.illumo_path, "TracerDB": settings.tracerdb_path}
    if told := [f"{program} at {', '.join(paths)}" for program, paths in followed.items() if paths]:
        return f"egoscope follows {' and '.join(told)}, and shows the first as soon as it ends."
    return "EGOSCOPE_KAGURA_PATH, EGOSCOPE_ILLUMO_PATH and EGOSCOPE_TRACERDB_PATH say where databases are."


def _workers_hint(settings: Settings, *, stack: bool) -> str:
    if stack:
        return f"Prometheus at {settings.prometheus_url} has none. egoscope doctor says what is missing."
    if settings.koubou_path:
        paths = ", ".join(settings.koubou_path)
        return f"egoscope follows Koubou at {paths}, and shows its tasks and workers as soon as it has read them."
    return "EGOSCOPE_KOUBOU_PATH says where Koubou's databases are: files, directories or globs, separated by ':'."
