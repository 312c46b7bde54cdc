"""What the demo's tools are called with: arguments as JSON, ego-mcp's own masking of private memories included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.demo import words
from egoscope.demo.lines import quoted
from egoscope.demo.mood import Feeling, Mood

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from egoscope.demo.canaries import Canaries
    from egoscope.demo.settings import DemoSettings
    from egoscope.demo.texts import Texts

_HOUR_US: Final = 3_600_000_000
_RELATION_FIELDS: Final = ("trust_level", "known_facts", "recurring_topics", "preferred_topics")
_CURATIONS: Final = ("list", "list", "merge", "relabel", "delete", "add_meta", "update_meta")


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A call as it was asked for: its arguments as JSON, the words a failure would quote, what is to be felt.

    `choice` is the one argument that the answer repeats: a person, or what to do with a notion.
    """

    args: str
    subject: str
    choice: str = ""
    feeling: Feeling | None = None


class Asking:
    """Makes up the calls, one after the other."""

    def __init__(self, rng: Random, planted: Canaries, texts: Texts, settings: DemoSettings) -> None:
        self._random = rng.random
        self._bits = rng.getrandbits
        self._private_rate = settings.private_rate
        self._planted = planted
        self._texts = texts
        self._mood = Mood(rng)
        self._turn = 0
        self._ask: Mapping[str, Callable[[int], Asked]] = {
            "wake_up": self._nothing,
            "pause": self._nothing,
            "consolidate": self._nothing,
            "attune": self._attune,
            "introspect": self._introspect,
            "consider_them": self._consider_them,
            "remember": self._remember,
            "recall": self._recall,
            "forget": self._forget,
            "link_memories": self._link_memories,
            "update_relationship": self._update_relationship,
            "update_self": self._update_self,
            "get_episode": self._get_episode,
            "create_episode": self._create_episode,
            "curate_notions": self._curate_notions,
            "configure_desires": self._configure_desires,
        }

    def ask(self, tool: str, us: int) -> Asked:
        """Return the next call of `tool`."""
        self._turn += 1
        return self._ask[tool](us)

    def _nothing(self, _us: int) -> Asked:
        return Asked("{}", self._texts.memories[self._turn % 240].text)

    def _attune(self, _us: int) -> Asked:
        person = self._person()
        return Asked(f'{{"person": {self._texts.persons[person]}}}' if self._random() < 0.6 else "{}", person, person)

    def _introspect(self, _us: int) -> Asked:
        focus = "network" if self._random() < 0.3 else "default"
        return Asked(f'{{"focus": "{focus}"}}', self._texts.memories[self._turn % 240].text)

    def _consider_them(self, _us: int) -> Asked:
        person = self._person()
        return Asked(f'{{"person": {self._texts.persons[person]}}}', person, person)

    def _remember(self, us: int) -> Asked:
        rand = self._random
        memory = self._texts.memories[int(rand() * 240)]
        hour = us // _HOUR_US % 24
        feeling = self._mood.step(hour)
        numbers = (
            f'"emotion": "{feeling.name}", "intensity": {feeling.intensity}, "valence": {feeling.valence},'
            f' "arousal": {feeling.arousal}, "importance": {1 + int(5 * rand())}, "category": "{memory.category}"'
        )
        second = rand() < 0.3
        if rand() < self._private_rate:
            hidden = '"[REDACTED_PRIVATE_FIELD]"'
            more = f' "secondary": {hidden},' if second else ""
            args = (
                f'{{"content": "[REDACTED_PRIVATE_MEMORY]", {numbers}, "body_state": {hidden}, "tags": {hidden},'
                f' "private": true,{more} "content_length": {len(memory.text)}}}'
            )
            return Asked(args, memory.text, feeling=feeling)
        body = f'"body_state": {{"time_phase": "{words.PHASES[hour]}", "mode": "{words.MODES[int(4 * rand())]}"}}'
        shared = memory.person if rand() < 0.2 else ""
        rest = ', "secondary": ["thoughtful"]' if second else ""
        rest += f', "shared_with": {self._texts.persons[shared]}' if shared else ""
        return Asked(f"{{{memory.content}, {numbers}, {body}, {memory.tags}{rest}}}", memory.text, shared, feeling)

    def _recall(self, _us: int) -> Asked:
        rand = self._random
        which = int(rand() * len(self._texts.queries))
        more = ', "emotion_filter": "calm"' if rand() < 0.1 else ""
        args = f'{{{self._texts.query_members[which]}, "n_results": {1 + int(8 * rand())}{more}}}'
        return Asked(args, self._texts.queries[which])

    def _forget(self, _us: int) -> Asked:
        return Asked(f'{{"memory_id": "mem_{self._bits(48):012x}"}}', self._texts.memories[self._turn % 240].text)

    def _link_memories(self, _us: int) -> Asked:
        source, target = f"mem_{self._bits(48):012x}", f"mem_{self._bits(48):012x}"
        return Asked(f'{{"source_id": "{source}", "target_id": "{target}"}}', f"{source} ↔ {target}")

    def _update_relationship(self, _us: int) -> Asked:
        person = self._person()
        field = _RELATION_FIELDS[int(4 * self._random())]
        fact = self._planted.facts[self._turn % len(self._planted.facts)]
        value = "0.6" if field == "trust_level" else quoted([fact])
        return Asked(f'{{"person": {self._texts.persons[person]}, "field": "{field}", "value": {value}}}', fact, person)

    def _update_self(self, _us: int) -> Asked:
        token = self._planted.selves[self._turn % len(self._planted.selves)]
        return Asked(f'{{"field": "new_question", "value": {{"question": "{token}?", "importance": 3}}}}', token)

    def _create_episode(self, _us: int) -> Asked:
        token = self._planted.episodes[self._turn % len(self._planted.episodes)]
        summary = f"{words.PHRASES[self._turn % len(words.PHRASES)]} {token}"
        return Asked(f'{{"memory_ids": ["mem_{self._bits(48):012x}"], "summary": {quoted(summary)}}}', summary)

    def _get_episode(self, _us: int) -> Asked:
        return Asked(f'{{"episode_id": "ep_{self._bits(48):012x}"}}', self._planted.episodes[self._turn % 12])

    def _curate_notions(self, _us: int) -> Asked:
        action = _CURATIONS[int(len(_CURATIONS) * self._random())]
        label = self._planted.notions[self._turn % len(self._planted.notions)]
        if action == "list":
            return Asked('{"action": "list"}', label, action)
        args = f'{{"action": "{action}", "notion_id": "notion_{self._turn:012x}", "new_label": "{label}"}}'
        return Asked(args, label, action)

    def _configure_desires(self, _us: int) -> Asked:
        desire = self._planted.desires[self._turn % len(self._planted.desires)]
        return Asked(f'{{"action": "show", "desire_id": "{desire}"}}', desire)

    def _person(self) -> str:
        # The companion most of the time, the others now and then.
        rand = self._random
        return self._planted.persons[0 if rand() < 0.5 else int(rand() * len(self._planted.persons))]
