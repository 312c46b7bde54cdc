"""From where to go to the screen that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egoscope.cli.screens.agent import AgentScreen
from egoscope.cli.screens.cost import CostScreen
from egoscope.cli.screens.flow import FlowScreen
from egoscope.cli.screens.looking import Looking
from egoscope.cli.screens.overview import OverviewScreen
from egoscope.cli.screens.trace import TraceScreen
from egoscope.cli.screens.workers import WorkersScreen

if TYPE_CHECKING:
    from egoscope.cli.screens.screen import Screen, Target


def screen_of(
    target: Target, budget_usd: float | None, *, chart: bool = False, workers_expected: int | None = None
) -> Screen:
    """Return the screen of a target, not yet asked."""
    looking = None if target.window is None else Looking(window=target.window, widen=target.widen)
    match target.kind:
        case "agents":
            return OverviewScreen(looking)
        case "agent":
            return AgentScreen(target.name, looking)
        case "flow":
            return FlowScreen(target.name, looking)
        case "trace":
            return TraceScreen(target.name, looking)
        case "cost":
            return CostScreen(budget_usd, looking, chart=chart)
        case "workers":
            return WorkersScreen(workers_expected, looking)
