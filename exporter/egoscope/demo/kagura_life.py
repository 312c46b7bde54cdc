"""What Kagura's agents do in a demo: when they are asked, and how one execution goes."""

from __future__ import annotations

from heapq import merge
from math import log
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from egoscope.demo import rhythm, words
from egoscope.demo.canaries import tokens
from egoscope.demo.kagura_agents import AGENTS, MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from egoscope.demo.kagura_agents import Agent
    from egoscope.demo.settings import DatabaseSettings

Entry: TypeAlias = dict[str, object]

_HOUR_US: Final = 3_600_000_000
_SECOND_US: Final = 1_000_000


class Secrets(msgspec.Struct, frozen=True):
    """Planted tokens by where they stand."""

    prompts: tuple[str, ...]
    tools: tuple[str, ...]
    memories: tuple[str, ...]
    errors: tuple[str, ...]


class Execution(msgspec.Struct, frozen=True):
    """One execution as Kagura tells it. `error`: None where it succeeded."""

    key: str
    agent: Agent
    started_us: int
    ended_us: int
    error: str | None
    asked: Entry
    events: list[Entry]
    metrics: Entry


def plant(seed: int) -> Secrets:
    """Return the tokens of one seed; they depend on nothing else."""
    return Secrets(
        prompts=tokens(seed, "PROMPT", 32),
        tools=tokens(seed, "TOOLARG", 32),
        memories=tokens(seed, "MEMKEY", 16),
        errors=tokens(seed, "EXECERR", 8),
    )


def executions(settings: DatabaseSettings) -> Iterator[Execution]:
    """Yield executions for ever, in order of their starts."""
    return merge(*(_life(agent, settings) for agent in AGENTS), key=attrgetter("started_us"))


def _life(agent: Agent, settings: DatabaseSettings) -> Iterator[Execution]:
    # Not for secrets: a demo has to be the same each time.
    rng = Random(f"{settings.seed}/{settings.start_us}/{agent.name}")  # noqa: S311
    planted = plant(settings.seed)
    per_hour = settings.per_hour * agent.share
    if not agent.serial:
        for us in rhythm.starts(settings, rng, per_hour, agent.hours):
            yield _Course(agent, rng, planted, us).play(rhythm.failure_rate(settings, us))
        return
    us = settings.start_us + rng.randrange(2 * _SECOND_US)
    while True:
        execution = _Course(agent, rng, planted, us).play(rhythm.failure_rate(settings, us))
        yield execution
        due_us = us + int((0.6 + 0.8 * rng.random()) * _HOUR_US / per_hour)
        us = max(due_us, execution.ended_us + int((3 + 9 * rng.random()) * _SECOND_US))


class _Course:
    """One execution while it goes on."""

    def __init__(self, agent: Agent, rng: Random, planted: Secrets, us: int) -> None:
        self._agent = agent
        self._rng = rng
        self._planted = planted
        self._started_us = us
        self._us = us + 200 + rng.randrange(2000)
        self._events: list[Entry] = []
        self._metrics: dict[str, int | float] = {}
        self._cost = 0.0
        self._context = self._around(agent.prompt, 0.5)

    def play(self, failure_rate: float) -> Execution:
        """Return the execution: memory first, then model and tools in turn, then memory again."""
        agent, rng, planted = self._agent, self._rng, self._planted
        key = f"exec_{rng.getrandbits(32):08x}"
        asked: Entry = {agent.argument: f"{rng.choice(words.PHRASES)}: {rng.choice(planted.prompts)}"}
        if agent.serial:
            asked["depth"] = rng.randint(1, 4)
        turns = rng.randint(*agent.turns)
        fails_at = rng.randrange(turns) if rng.random() < failure_rate else -1
        error = None
        self._memory(agent.memory[0])
        for turn in range(turns):
            if turn == fails_at:
                error = self._fail()
                break
            self._model()
            if turn + 1 < turns or rng.random() < 0.3:
                self._tool(rng.choice(tuple(agent.tools)))
        if error is None and len(agent.memory) > 1:
            self._memory(rng.choice(agent.memory[1:]))
        if self._cost > 0:
            self._metrics["total_cost"] = self._cost
        return Execution(
            key=key,
            agent=agent,
            started_us=self._started_us,
            ended_us=self._us + 100 + rng.randrange(3000),
            error=error,
            asked=asked,
            events=self._events,
            metrics=dict(self._metrics),
        )

    def _fail(self) -> str:
        """Return an error's text; what had gone well before stays told."""
        rng = self._rng
        token = rng.choice(self._planted.errors)
        kind = rng.random()
        if kind < 0.35:
            self._pass(2 + 8 * rng.random())
            return f"Error code: 429 - rate limit reached while answering {token!r}, try again in 20s"
        if kind < 0.65:
            self._model()
            return f"JSONDecodeError: Expecting ',' delimiter: line 3 column 7 (char 91) in {token!r}"
        if kind < 0.75:
            self._pass(5 + 25 * rng.random())
            return f"ConnectionError: no answer about {token}"
        if kind < 0.93:
            self._model()
            self._pass(0.05 + 2 * rng.random())
            return f"tool failed\nTraceback (most recent call last):\nFileNotFoundError: 'notes/{token}.md'"
        # str(TimeoutError()) is empty, and so is what Kagura keeps of it.
        self._pass(60)
        return ""

    def _model(self) -> None:
        rng = self._rng
        models = self._agent.models
        name = rng.choices(tuple(models), tuple(models.values()))[0]
        model = MODELS[name]
        prompt, completion = self._context, self._around(self._agent.answer, 0.6)
        # One call in a hundred hangs for a while.
        slow = 4 + 8 * rng.random() if rng.random() < 0.01 else 1.0
        seconds = (0.25 + prompt / 12_000 + completion / model.tokens_per_s) * rng.lognormvariate(0, 0.3) * slow
        # In Kagura's own order of operations: its sums are floats.
        cost = prompt / 1_000_000 * model.prompt + completion / 1_000_000 * model.completion
        self._tell(
            "llm_call",
            seconds,
            lambda duration: {
                "model": name,
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "duration": duration,
                "cost": cost,
            },
        )
        self._context += completion
        self._cost += cost
        self._metrics["llm_calls"] = self._metrics.get("llm_calls", 0) + 1
        self._metrics["total_tokens"] = self._metrics.get("total_tokens", 0) + prompt + completion

    def _tool(self, name: str) -> None:
        rng = self._rng
        arguments = {"query": f"{rng.choice(words.PHRASES)} {rng.choice(self._planted.tools)}"}
        self._tell(
            "tool_call",
            rng.lognormvariate(log(self._agent.tools[name]), 0.6),
            lambda duration: {"tool_name": name, "duration": duration, "kwargs": arguments},
        )
        self._context += self._around(180, 0.7)
        self._metrics["tool_calls"] = self._metrics.get("tool_calls", 0) + 1

    def _memory(self, operation: str) -> None:
        rng = self._rng
        arguments: Entry = {"key": rng.choice(self._planted.memories), "count": rng.randint(1, 9)}
        self._tell(
            "memory_operation",
            rng.lognormvariate(log(0.03), 0.7),
            lambda duration: {"operation": operation, "duration": duration, "kwargs": arguments},
        )

    def _tell(self, kind: str, seconds: float, data: Callable[[float], Entry]) -> None:
        lasted_us = self._pass(seconds)
        self._events.append({"type": kind, "timestamp": self._us / 1e6, "data": data(lasted_us / 1e6)})
        self._us += 50 + self._rng.randrange(4000)

    def _pass(self, seconds: float) -> int:
        lasted_us = max(1, int(seconds * _SECOND_US))
        self._us += lasted_us
        return lasted_us

    def _around(self, median: int, sigma: float) -> int:
        return max(1, int(self._rng.lognormvariate(log(median), sigma)))
