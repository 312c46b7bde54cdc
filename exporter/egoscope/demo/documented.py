"""How the demo's life looks in the form ego-mcp documents for its log: one line a call, written when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.demo import words
from egoscope.demo.asking import Asking
from egoscope.demo.lines import Call, LineKind, Stamps, quoted
from egoscope.demo.mood import Desires, Mood
from egoscope.demo.texts import Texts

if TYPE_CHECKING:
    from random import Random

    from egoscope.demo.canaries import Canaries
    from egoscope.demo.lines import Entry
    from egoscope.demo.settings import DemoSettings

_HOUR_US: Final = 3_600_000_000
_OK: Final = {tool: LineKind("", "", tool, "ok") for tool in words.TOOLS}
_ERROR: Final = {tool: LineKind("", "", tool, "error") for tool in words.TOOLS}


class DocumentedFormat:
    """Writes calls by the documented schema, some with keys and versions that a reader does not know yet."""

    def __init__(self, rng: Random, planted: Canaries, settings: DemoSettings) -> None:
        self._random = rng.random
        self._stamp = Stamps().stamp
        self._asking = Asking(rng, planted, Texts(rng, planted), settings)
        self._mood = Mood(rng)
        self._desires = Desires(rng, planted.desires)
        self._private_rate = settings.private_rate
        self._notes = [quoted(token) for token in (*planted.memories, *planted.tags, *planted.persons)]

    def process_start(self, us: int, *, first: bool) -> list[Entry]:
        """Return nothing: this form does not tell of processes."""
        del us, first
        return []

    def crash(self, us: int) -> list[Entry]:
        """Return nothing: this form does not tell of crashes."""
        del us
        return []

    def call(self, call: Call) -> list[Entry]:
        """Return the one line of a call that ended."""
        if call.outcome not in {"ok", "error"}:
            return []
        rand = self._random
        tool, end = call.tool, call.us + call.latency_us
        hour = end // _HOUR_US % 24
        ok = call.outcome == "ok"
        asked = self._asking.ask(tool, call.us)
        feeling = asked.feeling or self._mood.step(hour)
        params = (
            f'"valence": {feeling.valence}, "arousal": {feeling.arousal}, "time_phase": "{words.PHASES[hour]}",'
            f' "mode": "{words.MODES[int(4 * rand())]}", "state": "{words.STATES[int(4 * rand())]}"'
        )
        if tool == "attune":
            params += f", {self._desires.look(end)[0]}"
        if rand() < 0.3:
            params += f', "args": {asked.args}'
        chance = rand()
        more = ""
        version = 1
        if chance < 0.05:
            more = f', "note": {self._note()}'
        elif chance < 0.10:
            version = 2 + int(2 * rand())
            more = f', "context": {{"recalled": [{self._note()}, {self._note()}], "depth": 3}}'
        if not ok:
            more += f', "error": {quoted(f"RuntimeError: no vector for: {asked.subject}")}'
        private = "true" if rand() < self._private_rate else "false"
        text = (
            f'{{"ts": "{self._stamp(end)}", "event_type": "tool_call_{"completed" if ok else "failed"}",'
            f' "tool_name": "{tool}", "duration_ms": {call.latency_us / 1000}, "ok": {"true" if ok else "false"},'
            f' "emotion_primary": "{feeling.name}", "emotion_intensity": {feeling.intensity}, "params": {{{params}}},'
            f' "private": {private}, "schema_version": {version}{more}}}'
        )
        return [(end, text, (_OK if ok else _ERROR)[tool])]

    def _note(self) -> str:
        return self._notes[int(self._random() * len(self._notes))]
