"""Ids that are derived, never random: keyed hashes of where a record stands."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_HEX: Final = re.compile(r"[0-9a-f]+")


def subkey(key: bytes, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose, so that no two kinds of id can be compared with each other."""
    return blake2b(purpose.encode(), key=key, digest_size=32).digest()


class Ids:
    """Ids of one instance. `key` is 32 secret bytes; `instance` the id of the source."""

    def __init__(self, key: bytes, instance: str) -> None:
        self._key = blake2b(instance.encode(), key=subkey(key, "ids"), digest_size=32).digest()
        self.call = lru_cache(maxsize=256)(self._call)  # asked for again at the call's end

    def _call(self, offset: int) -> tuple[bytes, bytes]:
        """Return trace id (16 bytes) and span id (8 bytes) of the call whose first line starts at `offset`."""
        digest = blake2b(offset.to_bytes(8, "little"), key=self._key, digest_size=24).digest()
        return digest[:16], digest[16:]

    def row(self, key: str, part: int = 0) -> tuple[bytes, bytes]:
        """Return trace id (16 bytes) and span id (8 bytes) of a row, by its key; `part` 1, 2, … are spans within it."""
        trace = blake2b(key.encode(), key=self._key, digest_size=16, person=b"row").digest()
        name = f"{key}:{part}".encode()
        return trace, blake2b(name, key=self._key, digest_size=8, person=b"row span").digest()

    def session(self, offset: int) -> str:
        """Return the id of one run of the agent's process, which began with the line at `offset`: 16 hex digits."""
        return blake2b(offset.to_bytes(8, "little"), key=self._key, digest_size=8, person=b"session").hexdigest()


def otlp_id(text: str, size: int) -> str:
    """Return a recorded id as OTLP can carry it, lower-case hex of `size` bytes: itself where it fits, else a digest.

    Everyone who sends what was recorded derives the same, so that spans sent on two ways find one another.
    """
    if len(text) == 2 * size and _HEX.fullmatch(text) and text.strip("0"):
        return text
    return blake2b(text.encode(), digest_size=size).hexdigest()


def instance_id(key: bytes, device: int, inode: int, head: bytes) -> str:
    """Return the id of a file at first sight: 16 hex digits of a keyed hash of where it is and how it begins."""
    name = f"{device}:{inode}:".encode() + head
    return blake2b(name, key=subkey(key, "instance"), digest_size=8).hexdigest()
