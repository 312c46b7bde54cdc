"""What illumo's flows do in a demo: their nodes, and the way one run takes through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.demo import rhythm
from egoscope.demo.canaries import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node's habits.

    `seconds`, `tokens`: medians. `model`: None where no model is asked. `timeout_s`: 0 for none. `retries`: attempts
    after the first; `on_error`: stop, or a node to go on with.
    """

    name: str
    kind: str
    seconds: float
    model: str | None = None
    tokens: int = 0
    timeout_s: int = 0
    retries: int = 0
    retry_delay_s: float = 0.0
    on_error: str = "stop"

    def policy(self) -> dict[str, object]:
        """Return the policy as illumo takes a picture of it."""
        goes_on = self.on_error != "stop"
        return {
            "fail_fast": True,
            "timeout": f"{self.timeout_s}s",
            "retry": {"max_attempts": self.retries, "delay": self.retry_delay_s, "mode": "fixed"},
            "on_error": {"action": "goto" if goes_on else "stop", "target": self.on_error if goes_on else None},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A flow's habits. `share`: of all runs. `entry`: its first node."""

    name: str
    share: float
    entry: str
    nodes: Mapping[str, Node]
    hours: Sequence[float] = rhythm.DAYTIME


class Secrets(msgspec.Struct, frozen=True):
    """Planted tokens by where they stand."""

    instructions: tuple[str, ...]
    inputs: tuple[str, ...]
    answers: tuple[str, ...]
    errors: tuple[str, ...]


def plant(seed: int) -> Secrets:
    """Return the tokens of one seed; they depend on nothing else."""
    return Secrets(
        instructions=tokens(seed, "INSTR", 12),
        inputs=tokens(seed, "INPUT", 32),
        answers=tokens(seed, "RESP", 32),
        errors=tokens(seed, "FLOWERR", 8),
    )


def _named(*nodes: Node) -> dict[str, Node]:
    return {node.name: node for node in nodes}


_CHAT: Final = Flow(
    name="chat_bot",
    share=0.7,
    entry="greet",
    nodes=_named(
        Node(name="greet", kind="RouterAgent", seconds=1.1, model="gpt-4.1-nano", tokens=60),
        Node(
            name="faq",
            kind="Agent",
            seconds=4.5,
            model="gpt-4.1-nano",
            tokens=240,
            timeout_s=20,
            on_error="escalate",
        ),
        Node(name="escalate", kind="FunctionNode", seconds=0.03, retries=1),
        Node(
            name="handoff",
            kind="Agent",
            seconds=6.0,
            model="gpt-4o",
            tokens=320,
            timeout_s=60,
            retries=2,
            retry_delay_s=0.5,
        ),
        Node(name="audit", kind="FunctionNode", seconds=0.02),
    ),
)
_CODING: Final = Flow(
    name="coding_assistant",
    share=0.3,
    entry="inspect",
    nodes=_named(
        Node(name="inspect", kind="WorkspaceInspectorNode", seconds=0.35),
        Node(
            name="draft",
            kind="Agent",
            seconds=16.0,
            model="gpt-4.1",
            tokens=1100,
            timeout_s=120,
            retries=1,
            retry_delay_s=2.0,
        ),
        Node(name="apply_patch", kind="PatchNode", seconds=0.06, retries=2),
        Node(name="run_tests", kind="TestExecutorNode", seconds=24.0, timeout_s=180, retries=2, retry_delay_s=1.0),
        Node(name="review", kind="RouterAgent", seconds=7.0, model="gpt-4.1-nano", tokens=420, timeout_s=60, retries=1),
        Node(name="summarize", kind="SummaryAgent", seconds=2.5, model="gpt-4.1-nano", tokens=180),
    ),
)
FLOWS: Final = (_CHAT, _CODING)


def way(flow: Flow, rng: Random) -> Iterator[str]:
    """Yield the nodes of a run that meets no trouble, in order; nothing after the first where no route was found."""
    yield flow.entry
    if flow is _CHAT:
        chance = rng.random()
        if chance < 0.01:
            return
        yield from ("faq", "audit") if chance < 0.72 else ("escalate", "handoff", "audit")
        return
    while True:
        yield from ("draft", "apply_patch", "run_tests", "review")
        # The review sends a quarter back to the drawing board.
        if rng.random() >= 0.25:
            break
    yield "summarize"
