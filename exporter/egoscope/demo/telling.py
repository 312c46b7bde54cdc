"""What the demo's tools answer: members of a completed call, in the order ego-mcp writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.demo.lines import LineKind, quoted
from egoscope.demo.mood import Desires
from egoscope.demo.texts import output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from egoscope.demo.asking import Asked
    from egoscope.demo.canaries import Canaries
    from egoscope.demo.texts import Texts

_EPISODE: Final = LineKind("INFO", "ego_mcp.episode")
_MEMORY_WARNING: Final = LineKind("WARNING", "ego_mcp._server_surface_memory")
_QUERY_WARNING: Final = LineKind("WARNING", "ego_mcp._memory_queries")
_STORE_WARNING: Final = LineKind("WARNING", "ego_mcp._memory_store")
_LEXICAL_WARNING: Final = LineKind("WARNING", "ego_mcp._lexical_index")
_PYTHON_WARNING: Final = LineKind("WARNING", "py.warnings")


class Told(msgspec.Struct, frozen=True, gc=False):
    """What a finished call says: output, members before and after the emotion, and lines of other loggers on the way.

    `before` starts with ", " or is empty; so does `after`. `aside` is a kind and its message as JSON.
    """

    output: str
    before: str = ""
    after: str = ""
    aside: tuple[LineKind, str] | None = None


class Telling:
    """Makes up the answers, and keeps what grows from one to the next: desires, and how well persons are known."""

    def __init__(self, rng: Random, planted: Canaries, texts: Texts) -> None:
        self._random = rng.random
        self._bits = rng.getrandbits
        self._planted = planted
        self._texts = texts
        self._desires = Desires(rng, planted.desires)
        self._saved = output("Saved (mem_############).\n\n---\nDoes it feel different now that it has words?").replace(
            "############", "#"
        )
        self._met = dict.fromkeys(planted.persons, 0)
        self._involved = {person: quoted(quoted([person])) for person in planted.persons}
        self._tell: Mapping[str, Callable[[str, Asked, int], Told]] = {
            "wake_up": self._wake_up,
            "attune": self._attune,
            "introspect": self._introspect,
            "consider_them": self._consider_them,
            "remember": self._remember,
            "recall": self._recall,
            "consolidate": self._consolidate,
            "forget": self._forget,
            "link_memories": self._link_memories,
            "update_relationship": self._update_relationship,
            "update_self": self._update_self,
            "create_episode": self._create_episode,
            "curate_notions": self._curate_notions,
        }

    def tell(self, tool: str, asked: Asked, us: int) -> Told:
        """Return what `tool` answers at `us` to what was `asked`."""
        return self._tell.get(tool, self._only_output)(tool, asked, us)

    def _only_output(self, tool: str, _asked: Asked, _us: int) -> Told:
        return Told(self._any_output(tool))

    def _wake_up(self, tool: str, _asked: Asked, _us: int) -> Told:
        active = f', "active_person_ids": {self._some_persons()[0]}' if self._random() < 0.9 else ""
        return Told(self._any_output(tool), active, self._relationship(self._planted.persons[0], last=True))

    def _attune(self, tool: str, asked: Asked, us: int) -> Told:
        levels, news = self._desires.look(us)
        person = self._texts.persons[asked.choice]
        band = ("usual", "usual", "quiet", "long", "unknown")[int(5 * self._random())]
        before = (
            f', "desire_levels": {{{levels}}}, {news}"absence_band": "{band}", "absence_person": {person},'
            f' "attune_person": {person}, "active_person_ids": {self._some_persons()[0]}, {levels}'
        )
        return Told(self._any_output(tool), before)

    def _introspect(self, tool: str, _asked: Asked, _us: int) -> Told:
        self._desires.meet(2, 0.3)
        active = f', "active_person_ids": {self._some_persons()[0]}' if self._random() < 0.6 else ""
        return Told(self._any_output(tool), active)

    def _consider_them(self, tool: str, asked: Asked, _us: int) -> Told:
        self._desires.meet(1, 0.4)
        return Told(self._any_output(tool), self._relationship(asked.choice, last=False))

    def _remember(self, _tool: str, asked: Asked, _us: int) -> Told:
        self._desires.meet(7, 0.3)
        saved = self._saved.replace("#", f"{self._bits(48):012x}")
        if not asked.choice:
            return Told(saved)
        self._met[asked.choice] += 1
        involved = f', "involved_person_ids": {self._involved[asked.choice]}'
        if self._random() < 0.03:
            failed = f"Shared episode creation failed: embedding provider returned 503 for: {asked.subject[:60]}"
            return Told(saved, involved, aside=(_MEMORY_WARNING, quoted(failed)))
        return Told(saved, involved, aside=(_EPISODE, f'"Created episode ep_{self._bits(48):012x} with 1 memories"'))

    def _recall(self, tool: str, asked: Asked, _us: int) -> Told:
        rand = self._random
        self._desires.meet(8, 0.2)
        persons, count = self._some_persons()
        before = (
            f', "fuzzy_recall_count": {int(3 * rand() * rand())}, "related_person_count": {count},'
            f' "surfaced_person_ids": {persons}, "resonant_person_ids": {persons}, "involuntary_person_ids": "[]"'
        )
        if rand() < 0.03:
            before += f', "proust_triggered": true, "proust_memory_id": "mem_{self._bits(48):012x}"'
        else:
            before += ', "proust_triggered": false'
        chance = rand()
        aside = None
        if chance < 0.06:
            aside = (_QUERY_WARNING, '"Hopfield recall fallback to semantic-only: shapes (3,) and (4,) do not fit"')
        elif chance < 0.07:
            aside = (_LEXICAL_WARNING, quoted(f"Lexical search failed for query {asked.subject!r}: malformed"))
        elif chance < 0.072:
            aside = (_PYTHON_WARNING, quoted("/opt/ego-mcp/x.py:9: RuntimeWarning: overflow\n  score = a @ b\n"))
        return Told(self._any_output(tool), before, aside=aside)

    def _consolidate(self, _tool: str, _asked: Asked, _us: int) -> Told:
        rand = self._random
        events, links, pruned = int(40 * rand()), int(20 * rand()), int(3 * rand())
        notion = f"notion_{self._bits(48):012x}"
        types = quoted(quoted({"cross_category": 0, "emotion": links // 2, "replay": links - links // 2, "theme": 0}))
        before = (
            f', "consolidation_replay_events": {events}, "consolidation_new_links": {links},'
            f' "consolidation_coactivation_updates": {events}, "consolidation_pruned_links": {pruned},'
            f' "consolidation_link_types": {types}, "notion_created": "{notion}",'
            f' "notion_confidence": 0.6000000000000001, "notion_confidences": "{{\\"{notion}\\": 0.6000000000000001}}",'
            f' "notion_links_created": 1, "ripening_fed_questions": 0, "ripening_deposits": {pruned}'
        )
        return Told(output(f"Consolidated: {events} events seen again, {links} links made."), before)

    def _forget(self, tool: str, _asked: Asked, _us: int) -> Told:
        if self._random() < 0.7:
            return Told(self._any_output(tool))
        return Told(
            self._any_output(tool),
            f', "precious_forgotten": "mem_{self._bits(48):012x}", "preciousness_signature": "A"',
        )

    def _link_memories(self, _tool: str, asked: Asked, _us: int) -> Told:
        if self._random() < 0.2:
            aside = (_STORE_WARNING, '"Cannot link: one or both memories not found"')
            return Told(output(f"Nothing to link: {asked.subject}"), aside=aside)
        return Told(output(f"Linked {asked.subject}"))

    def _update_relationship(self, _tool: str, asked: Asked, _us: int) -> Told:
        return Told(output(f"Noted about {asked.choice}"))

    def _update_self(self, _tool: str, asked: Asked, _us: int) -> Told:
        return Told(output(f"Holding on to: {asked.subject}"))

    def _create_episode(self, _tool: str, _asked: Asked, _us: int) -> Told:
        episode = f"Created episode ep_{self._bits(48):012x} with 1 memories"
        return Told(output(f"{episode}."), aside=(_EPISODE, f'"{episode}"'))

    def _curate_notions(self, tool: str, asked: Asked, _us: int) -> Told:
        notion = "" if asked.choice == "list" else f', "curate_notion_id": "notion_{self._bits(48):012x}"'
        return Told(self._any_output(tool), f', "curate_action": "{asked.choice}"{notion}')

    def _any_output(self, tool: str) -> str:
        outputs = self._texts.outputs[tool]
        return outputs[int(self._random() * len(outputs))]

    def _some_persons(self) -> tuple[str, int]:
        lists = self._texts.person_lists
        return lists[int(self._random() * len(lists))]

    def _relationship(self, person: str, *, last: bool) -> str:
        self._met[person] += 1
        met = self._met[person]
        trust = round(0.95 - 0.45 / (1 + met / 200), 3)
        numbers = f', "trust_level": {trust}, "total_interactions": {met}, "shared_episodes_count": {met // 9}'
        named = f', "person_id": {self._texts.persons[person]}'
        return numbers + named if last else named + numbers
