"""Agents and flows as rows of one table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from egoscope.cli.screens.looking import Looking
    from egoscope.query import AgentOverview, FlowUse

SORTS: Final = ("runs", "cost", "failures", "p95", "last", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One agent or one flow."""

    kind: Literal["agent", "flow"]
    name: str
    running: int
    runs: int
    errors: int
    unfinished: int
    avg_s: float | None
    p95_s: float | None
    calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    unknown: int = 0
    last: dt.datetime | None = None

    @property
    def key(self) -> str:
        """What the row stays selected by."""
        return f"{self.kind} {self.name}"


def overview_rows(agents: Sequence[AgentOverview], flows: Sequence[FlowUse], looking: Looking) -> list[Row]:
    """Return agents and flows as they are shown: filtered and in order."""
    rows = [
        Row(
            kind="agent",
            name=agent.agent,
            running=agent.running,
            runs=agent.executions,
            errors=agent.errors,
            unfinished=agent.unfinished,
            avg_s=agent.avg_s,
            p95_s=agent.p95_s,
            calls=agent.model_calls,
            tokens=agent.input_tokens + agent.output_tokens,
            cost_usd=agent.cost_usd,
            unknown=agent.calls_of_unknown_price,
            last=agent.last_end,
        )
        for agent in agents
    ]
    rows += [
        Row(
            kind="flow",
            name=flow.flow,
            running=flow.running,
            runs=flow.runs,
            errors=flow.errors,
            unfinished=flow.unfinished,
            avg_s=flow.avg_s,
            p95_s=flow.p95_s,
        )
        for flow in flows
    ]
    return sorted((row for row in rows if looking.matches(row.name, row.kind)), key=_ORDERS[SORTS[looking.sort]])


_ORDERS: dict[str, Callable[[Row], tuple[float, str]]] = {
    "runs": lambda row: (-row.runs, row.name),
    # What is not known may be much: above what is known to be nothing.
    "cost": lambda row: (-(row.cost_usd or 0) - (1e-12 if row.unknown else 0), row.name),
    "failures": lambda row: (-row.errors - row.unfinished, row.name),
    "p95": lambda row: (-(row.p95_s or 0), row.name),
    "last": lambda row: (-(row.last.timestamp() if row.last else 0), row.name),
    "name": lambda row: (0, row.name),
}
