"""What the demo's agent reads and writes, rendered once as JSON, so that a line is put together from ready parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.demo import words
from egoscope.demo.lines import quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from egoscope.demo.canaries import Canaries

_LOGGED_CHARS: Final = 1200
_MEMORIES: Final = 240
_VARIANTS: Final = 96


class Memory(msgspec.Struct, frozen=True):
    """One thing remembered: its text, and members of the JSON object that `remember` is called with."""

    text: str
    content: str
    tags: str
    feeling: str
    category: str
    person: str


class Texts:
    """All texts of one demo. `outputs`: by tool, the members of a completed call that hold its output."""

    def __init__(self, rng: Random, planted: Canaries) -> None:
        self._rng = rng
        self._planted = planted
        self.memories = [self._memory(n) for n in range(_MEMORIES)]
        self.queries = [f"{rng.choice(words.PHRASES)} {token}" for token in planted.queries for _ in range(3)]
        self.query_members = [f'"context": {quoted(query)}' for query in self.queries]
        self.persons = {person: quoted(person) for person in planted.persons}
        chosen = [self._some_persons() for _ in range(_VARIANTS)]
        # ego-mcp writes these lists as a string of JSON.
        self.person_lists = [(quoted(quoted(persons)), len(persons)) for persons in chosen]
        self.outputs = {
            "wake_up": self._many(self._waking),
            "attune": self._many(self._attuning),
            "introspect": self._many(self._introspection),
            "consider_them": self._many(self._consideration),
            "recall": self._many(self._recollection),
            "pause": [output("Stopping for a breath.\n\n---\nIs this mine to say?")],
            "forget": self._many(self._farewell),
            "get_episode": self._many(self._episode),
            "curate_notions": self._many(self._notions),
            "configure_desires": self._many(self._desires),
        }

    def _many(self, one: Callable[[int], str]) -> list[str]:
        return [output(one(n)) for n in range(_VARIANTS)]

    def _memory(self, n: int) -> Memory:
        rng, planted = self._rng, self._planted
        text = " ".join(rng.choice(words.PHRASES) for _ in range(1 + int(3 * rng.random())))
        text += f" {planted.memories[n % len(planted.memories)]}"
        if n % 3 == 0:
            text += f", mail {planted.mails[n // 3 % len(planted.mails)]}@example.com"
        tags = rng.sample(planted.tags, 1 + n % 3)
        return Memory(
            text=text,
            content=f'"content": {quoted(text)}',
            tags=f'"tags": {quoted(tags)}',
            feeling=rng.choice((*words.PLEASANT_QUIET, *words.BALANCED, *words.UNPLEASANT_QUIET)),
            category=rng.choice(words.CATEGORIES),
            person=planted.persons[n % len(planted.persons)],
        )

    def _some_persons(self) -> list[str]:
        return self._rng.sample(self._planted.persons, self._rng.choice((0, 0, 1, 1, 1, 2, 3)))

    def _recent(self, count: int) -> str:
        chosen = self._rng.sample(self.memories, count)
        return "\n".join(f"  - [{self._age()}] {short(memory.text, 70)} ({memory.feeling})" for memory in chosen)

    def _age(self) -> str:
        return self._rng.choice(("just now", "2h ago", "yesterday", "3d ago"))

    def _waking(self, n: int) -> str:
        person = self._planted.persons[n % len(self._planted.persons)]
        return (
            f"Lately:\n{self._recent(3)}\n\n{person} came to mind unasked.\n\n---\nWhat is still with me from before?"
        )

    def _attuning(self, n: int) -> str:
        tags = ", ".join(self._rng.sample(self._planted.tags, 3))
        person = self._planted.persons[n % len(self._planted.persons)]
        return f"Lately:\n{self._recent(3)}\nWhat draws me: {tags}\nAbout {person}: easy company.\n\n---\nHow is it?"

    def _introspection(self, n: int) -> str:
        selves = self._planted.selves
        return (
            f"The week felt {self._rng.choice(words.PLEASANT_QUIET)}.\n{self._recent(5)}\n"
            f"An open question: {selves[n % len(selves)]}\n\n---\nWhat grows here unseen?"
        )

    def _consideration(self, n: int) -> str:
        person = self._planted.persons[n % len(self._planted.persons)]
        fact = self._planted.facts[n % len(self._planted.facts)]
        return f"{person}: on good terms; known: {fact}\n\n---\nWhat may they need, and not say?"

    def _recollection(self, n: int) -> str:
        count = 1 + n % 5
        shown: list[str] = []
        for rank, memory in enumerate(self._rng.sample(self.memories, count), 1):
            private = self._rng.random() < 0.15
            text = "[REDACTED_PRIVATE_MEMORY]" if private else memory.text
            shown.append(
                f"{rank}. [{self._age()}] {text}\n   emotion: {memory.feeling} | category: {memory.category}"
                f" | importance: {1 + rank % 5}{' | private' if private else ''}\n   score: 0.{9 - rank}1 | decay: 0.97"
            )
        return (
            f"{count} of ~{count + n % 40} memories:\n" + "\n".join(shown) + "\n\n---\nHow does this touch the present?"
        )

    def _farewell(self, n: int) -> str:
        memory = self.memories[n]
        return (
            f"Forgot it [{self._age()}]\n{short(memory.text, 120)}\nemotion: {memory.feeling}\n\n---\nLet go, or lost?"
        )

    def _episode(self, n: int) -> str:
        if n % 4 == 0:
            return "Episode not found: ep_missing"
        return f"Episode: {self._planted.episodes[n % len(self._planted.episodes)]}\n{self._recent(2)}"

    def _notions(self, n: int) -> str:
        notions = self._planted.notions
        return (
            f'Notions:\n- notion_{n:012x}: "{notions[n % len(notions)]} & {self._planted.tags[n % 24]}"'
            " conf=0.60 related=1\n\n---\nDo these still hold?"
        )

    def _desires(self, n: int) -> str:
        desires = self._planted.desires
        return f"Desires: curiosity, expression, {desires[n % len(desires)]}\nAll settings are valid."


def output(text: str) -> str:
    """Return the members of a completed call that hold its output, cut where ego-mcp cuts them."""
    logged = text if len(text) <= _LOGGED_CHARS else text[: _LOGGED_CHARS - 3].rstrip() + "..."
    truncated = "true" if logged is not text else "false"
    return f'"tool_output": {quoted(logged)}, "tool_output_chars": {len(text)}, "tool_output_truncated": {truncated}'


def short(text: str, limit: int) -> str:
    """Return `text` cut to `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
