"""What takes an agent's time, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from egoscope.cli.monitor_text import count, plain, took

if TYPE_CHECKING:
    from collections.abc import Sequence

    from egoscope.query import ModelUse, NodeUse, SlowRequest, ToolUse

# Less than this is not worth a name.
NAMED_FROM: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds that executions of a range took, and what of them passed in calls; None: not known."""

    executions_s: float | None
    model_s: float | None
    tool_s: float | None


def what_takes_time(
    times: Times, models: Sequence[ModelUse], tools: Sequence[ToolUse], slowest: SlowRequest | None
) -> str:
    """Say where the time of an agent's executions went, by name, and what took longest of all."""
    total_s, model_s, tool_s = times.executions_s or 0.0, times.model_s or 0.0, times.tool_s or 0.0
    if not total_s:
        return "No execution ended in this window, so there is no time to share out."
    by_model = {use.model: (use.avg_s or 0.0) * use.calls for use in models}
    by_tool = {use.tool: (use.avg_s or 0.0) * use.calls for use in tools}
    parts = [
        (model_s, "model calls", _mostly(by_model, model_s)),
        (tool_s, "tools", _mostly(by_tool, tool_s)),
    ]
    parts = sorted((part for part in parts if part[0] > 0), key=lambda part: -part[0])
    called_s = model_s + tool_s
    if not parts:
        words = "All of the time is the agent's own: no model and no tool was called."
    elif called_s > total_s * 1.01:
        named = " and ".join(f"{took(seconds)} of {name}{mostly}" for seconds, name, mostly in parts)
        words = f"Calls run side by side: {named} within {took(total_s)} of executions."
    else:
        shares = [f"{name} take {seconds / total_s:.0%} of the time{mostly}" for seconds, name, mostly in parts]
        rest = 100 - sum(round(100 * seconds / total_s) for seconds, _, _ in parts)  # so that all add up
        if rest > 0:
            shares.append(f"{rest}% is memory, waiting and its own work")
        words = _sentence(shares)
    if slowest is not None:
        what = {"model": "a call of", "tool": "the tool", "agent": "an execution of"}.get(slowest.kind, "")
        words += f" Slowest was {what} {plain(slowest.name)} with {took(slowest.duration_s)}."
    return words


def what_takes_flow_time(nodes: Sequence[NodeUse]) -> str:
    """Say which of a flow's nodes take its time, and which of them fail."""
    seconds = {node.node: (node.avg_s or 0.0) * (node.runs - node.unfinished) for node in nodes}
    total_s = sum(seconds.values())
    if not total_s:
        return "No node ended in this window, so there is no time to share out."
    longest = sorted(seconds, key=lambda name: -seconds[name])
    shares = [f"{plain(name)} {seconds[name] / total_s:.0%}" for name in longest[:3] if seconds[name]]
    words = f"Of the nodes' time: {', '.join(shares)}."
    failing = max(nodes, key=lambda node: node.errors)
    if failing.errors:
        words += f" {plain(failing.node)} fails most often: {count(failing.errors)} of {count(failing.runs)} runs."
    return words


def _mostly(seconds: dict[str, float], total_s: float) -> str:
    if not seconds or not total_s:
        return ""
    name, most_s = max(seconds.items(), key=lambda one: (one[1], one[0]))
    share = most_s / total_s
    if len(seconds) == 1 or share > 0.995:
        return f" ({plain(name)})"
    return f" ({plain(name)} {share:.0%} of that)" if share >= NAMED_FROM else ""


def _sentence(parts: Sequence[str]) -> str:
    first = parts[0][0].upper() + parts[0][1:]
    if len(parts) == 1:
        return f"{first}."
    return f"{', '.join([first, *parts[1:-1]])}, {parts[-1]}."
