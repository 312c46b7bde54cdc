"""The secrets a demo plants: every private word it writes is one of these tokens, so that a test can search for it."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, cast

import msgspec

if TYPE_CHECKING:
    from egoscope.demo.settings import DemoSettings

# How many of each; the sum is what a leak test searches for, in every encoding.
_COUNTS: Final = {
    "MEM": 48,
    "QUERY": 24,
    "TAG": 24,
    "PERSON": 10,
    "EPI": 12,
    "FACT": 8,
    "SELF": 8,
    "NOTION": 8,
    "MAIL": 12,
    "KEY": 2,
    "USER": 1,
}
# Tokens outside ASCII look different in each of plain, JSON-escaped, URL and base64 form.
_KANA: Final = {
    "MEM": "カナリア記憶",
    "PERSON": "カナリアさん",
    "TAG": "カナリア札",
    "PROMPT": "カナリアの問い",
    "EXECERR": "カナリアの失敗",
    "RESP": "カナリアの答え",
    "TASKPROMPT": "カナリアの仕事",
    "TASKRESULT": "カナリアの成果",
    "TASKNAME": "カナリアの題",
}
_DESIRES: Final = 6


class Canaries(msgspec.Struct, frozen=True):
    """Planted tokens by what they stand for. `user` is the name of the home directory in paths."""

    memories: tuple[str, ...]
    queries: tuple[str, ...]
    tags: tuple[str, ...]
    persons: tuple[str, ...]
    episodes: tuple[str, ...]
    facts: tuple[str, ...]
    selves: tuple[str, ...]
    notions: tuple[str, ...]
    mails: tuple[str, ...]
    keys: tuple[str, ...]
    user: str
    desires: tuple[str, ...]


def plant(seed: int) -> Canaries:
    """Return the tokens of one seed; they depend on nothing else."""
    kinds = {kind: tokens(seed, kind, count) for kind, count in _COUNTS.items()}
    return Canaries(
        memories=kinds["MEM"],
        queries=kinds["QUERY"],
        tags=kinds["TAG"],
        persons=kinds["PERSON"],
        episodes=kinds["EPI"],
        facts=kinds["FACT"],
        selves=kinds["SELF"],
        notions=kinds["NOTION"],
        mails=kinds["MAIL"],
        keys=kinds["KEY"],
        user=kinds["USER"][0],
        # A desire the model invents becomes a key of the log line, so it is spelled as one.
        desires=tuple(f"canary_desire_{_digest(seed, 'DESIRE', n)}" for n in range(_DESIRES)),
    )


def canaries(settings: DemoSettings) -> tuple[str, ...]:
    """Return every token that a log made from `settings` can hold: none of them may ever leave the machine."""
    planted = plant(settings.seed)
    groups = [cast("tuple[str, ...]", value) for value in msgspec.structs.astuple(planted) if isinstance(value, tuple)]
    return (*(token for group in groups for token in group), planted.user)


def tokens(seed: int, kind: str, count: int) -> tuple[str, ...]:
    """Return `count` tokens of one kind, all different; they depend on nothing but the arguments."""
    kana = _KANA.get(kind)
    return tuple(
        f"{kana}-{_digest(seed, kind, n)}" if kana and n % 4 == 3 else f"CANARY-{kind}-{_digest(seed, kind, n)}"
        for n in range(count)
    )


def _digest(seed: int, kind: str, number: int) -> str:
    return blake2b(f"{seed}/{kind}/{number}".encode(), digest_size=6).hexdigest()
