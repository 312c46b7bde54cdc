"""How the demo's agent feels: a random walk in valence and arousal, and desires that grow until they are met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.demo import words

if TYPE_CHECKING:
    from random import Random

# Numbers as json.dumps would print them, by hundredths and thousandths.
HUNDREDTHS: Final = {n: repr(n / 100) for n in range(-100, 101)}
THOUSANDTHS: Final = tuple(repr(n / 1000) for n in range(1001))

_RESTING_VALENCE: Final = 0.12
_LONGEST_STEP_S: Final = 4 * 3600


class Feeling(msgspec.Struct, frozen=True, gc=False):
    """One emotion: its name and, as text of two digits, intensity, valence and arousal."""

    name: str
    intensity: str
    valence: str
    arousal: str


class Mood:
    """The walk; each `step` is one felt moment, named after the quadrant it stands in."""

    def __init__(self, rng: Random) -> None:
        self._random = rng.random
        self._valence = _RESTING_VALENCE
        self._arousal = 0.45
        self._cell: tuple[str, ...] = ()
        self._name = "neutral"

    def step(self, hour: int) -> Feeling:
        """Move on by one moment at this hour of the day, and return what is felt."""
        rand = self._random
        lively = 0.28 if hour < 6 or hour > 22 else 0.55
        # The sum of two uniform numbers is near enough to a bell here, and cheap.
        valence = self._valence + 0.06 * (_RESTING_VALENCE - self._valence) + 0.28 * (rand() + rand() - 1)
        arousal = self._arousal + 0.10 * (lively - self._arousal) + 0.20 * (rand() + rand() - 1)
        self._valence = valence = -1.0 if valence < -1 else min(valence, 1.0)
        self._arousal = arousal = 0.0 if arousal < 0 else min(arousal, 1.0)
        cell = _cell(valence, arousal)
        if cell is not self._cell or rand() < 0.15:
            self._cell = cell
            self._name = cell[int(rand() * len(cell))]
        strength = 0.15 + 0.55 * abs(valence) + 0.45 * abs(arousal - 0.4) + 0.15 * rand()
        return Feeling(
            self._name,
            HUNDREDTHS[int(100 * min(strength, 1.0))],
            HUNDREDTHS[round(100 * valence)],
            HUNDREDTHS[round(100 * arousal)],
        )


def _cell(valence: float, arousal: float) -> tuple[str, ...]:
    if abs(valence) < 0.12 and abs(arousal - 0.45) < 0.18:
        return words.BALANCED
    if valence >= 0:
        return words.PLEASANT_LIVELY if arousal >= 0.5 else words.PLEASANT_QUIET
    return words.UNPLEASANT_LIVELY if arousal >= 0.5 else words.UNPLEASANT_QUIET


class Desires:
    """Levels of the nine built-in desires and of those the model makes up, which come and go."""

    def __init__(self, rng: Random, invented: tuple[str, ...]) -> None:
        self._random = rng.random
        self._levels = [0.1 + 0.5 * rng.random() for _ in words.DESIRES]
        self._rates = [0.5 + rng.random() for _ in words.DESIRES]  # share of the way to 1, a day
        self._names = [f'"{name}": ' for name in words.DESIRES]
        self._invented = invented
        self._alive: list[str] = []
        self._next = 0
        self._at_us = 0

    def meet(self, index: int, share: float) -> None:
        """Satisfy one built-in desire in part."""
        self._levels[index] *= 1 - share

    def look(self, us: int) -> tuple[str, str]:
        """Return the levels at `us` as JSON members, and members that tell of a new or an ended desire ("" if none)."""
        rand = self._random
        seconds = min((us - self._at_us) / 1e6, _LONGEST_STEP_S) if self._at_us else 0.0
        self._at_us = us
        days = seconds / 86_400
        levels = self._levels = [
            min(1.0, max(0.0, level + (1 - level) * rate * days + 0.02 * (rand() - 0.5)))
            for level, rate in zip(self._levels, self._rates, strict=True)
        ]
        news = self._invent() if rand() < 0.12 else ""
        members = [name + THOUSANDTHS[int(1000 * level)] for name, level in zip(self._names, levels, strict=True)]
        members += [f'"{name}": {THOUSANDTHS[int(1000 * rand())]}' for name in self._alive]
        return ", ".join(members), news

    def _invent(self) -> str:
        if len(self._alive) > 2:
            return f'"emergent_desire_expired": "{self._alive.pop(0)}", '
        name = self._invented[self._next % len(self._invented)]
        self._next += 1
        if name in self._alive:
            return ""
        self._alive.append(name)
        return f'"emergent_desire_created": "{name}", '
