"""Whether whoever is to be exported is there, and who else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egoscope.cli.export_formats import What
from egoscope.cli.monitor_text import plain, some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.query import Query


def not_there(query: Query, what: What, agent: str | None, worker: str | None) -> str | None:
    """Return a sentence on an agent, flow or worker that nobody knows, with those that are there."""
    if worker is not None:
        workers = sorted({one.name for one in query.get_workers()})
        is_known = worker in workers or query.get_tasks(worker, limit=1)
        return None if is_known else _no_such("worker", worker, {"workers": workers})
    if agent is None:
        return None
    flows = [one.flow for one in query.flows()]
    if what is What.FLOWS:
        is_known = agent in flows or query.get_flow_runs(agent, limit=1)
        return None if is_known else _no_such("flow", agent, {"flows": flows})
    # Executions of instrumented code are found over the stack, but not counted.
    agents = [one.agent for one in query.agents()]
    if agent in agents or query.get_executions(agent, limit=1):
        return None
    return _no_such("agent", agent, {"agents": agents, "flows": flows}, " (--what flows)" if flows else "")


def _no_such(kind: str, name: str, there: Mapping[str, Sequence[str]], behind: str = "") -> str:
    option = "--worker" if kind == "worker" else "--agent"
    known = "; ".join(f"{kinds}: {some(names)}" for kinds, names in there.items() if names)
    said = f"{option} {plain(name)}: there is no such {kind}"
    return f"{said}; there are {known}{behind}" if known else f"{said}, and no other yet"
