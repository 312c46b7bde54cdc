"""Who Kagura's agents are in a demo, and the models they ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from egoscope.demo import rhythm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Prices in USD a million tokens, as Kagura has them; how fast tokens come; 0.0 where nobody knows a price."""

    prompt: float
    completion: float
    tokens_per_s: float


MODELS: Final = {
    "gpt-5-mini": Model(prompt=0.15, completion=0.60, tokens_per_s=110),
    "gpt-4o": Model(prompt=2.50, completion=10.00, tokens_per_s=75),
    "claude-3-5-sonnet-20241022": Model(prompt=3.00, completion=15.00, tokens_per_s=60),
    "qwen2.5-coder-7b-local": Model(prompt=0.0, completion=0.0, tokens_per_s=24),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent's habits.

    `share`: of all executions. `models`: which a call goes to, by weight. `turns`: fewest and most model calls.
    `prompt`, `answer`: median tokens of the first prompt and of an answer. `tools`: median seconds. `argument`: the
    name of what it is asked. `serial`: long work, one execution at a time, around the clock.
    """

    name: str
    share: float
    models: Mapping[str, int]
    turns: tuple[int, int]
    prompt: int
    answer: int
    tools: Mapping[str, float]
    memory: Sequence[str]
    argument: str
    hours: Sequence[float] = rhythm.DAYTIME
    serial: bool = False


AGENTS: Final = (
    Agent(
        name="support_agent",
        share=0.35,
        models={"gpt-5-mini": 9, "gpt-4o": 1},
        turns=(1, 4),
        prompt=900,
        answer=170,
        tools={"search_tool": 0.7, "ticket_lookup": 0.25},
        memory=("lookup", "store"),
        argument="query",
    ),
    Agent(
        name="translation_agent",
        share=0.24,
        models={"gpt-5-mini": 3, "gpt-4o": 2},
        turns=(1, 2),
        prompt=600,
        answer=420,
        tools={"glossary_lookup": 0.08},
        memory=("lookup",),
        argument="text",
    ),
    Agent(
        name="code_review_agent",
        share=0.13,
        models={"claude-3-5-sonnet-20241022": 1},
        turns=(2, 6),
        prompt=2200,
        answer=480,
        tools={"file_read": 0.02, "run_linter": 3.5, "search_tool": 0.8},
        memory=("lookup",),
        argument="diff",
    ),
    Agent(
        name="notes_agent",
        share=0.08,
        models={"qwen2.5-coder-7b-local": 1},
        turns=(1, 2),
        prompt=700,
        answer=220,
        tools={"file_read": 0.02},
        memory=("search", "store", "forget"),
        argument="note",
        hours=rhythm.NIGHTLY,
    ),
    Agent(
        name="research_agent",
        share=0.20,
        models={"gpt-5-mini": 9, "gpt-4o": 8, "claude-3-5-sonnet-20241022": 3},
        turns=(6, 14),
        prompt=1400,
        answer=800,
        tools={"web_search": 1.4, "fetch_page": 18.0, "calculate_tool": 0.01},
        memory=("lookup", "store"),
        argument="topic",
        serial=True,
    ),
)
