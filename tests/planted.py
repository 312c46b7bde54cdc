"""Looking for planted secrets in whatever form they may have left."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_WINDOW: Final = 8  # bytes


@lru_cache(maxsize=4096)
def forms(secret: str) -> frozenset[bytes]:
    """Return the secret plain, JSON-escaped, URL-quoted, in hex, and in base64 at each of its three alignments."""
    raw = secret.encode()
    percent = "".join(f"%{byte:02X}" for byte in raw)
    texts = [secret, json.dumps(secret)[1:-1], quote(secret, safe=""), percent, raw.hex(), raw.hex().upper()]
    # Of base64 only the characters that hold nothing but the secret: the first and last ones also hold neighbours.
    for shift, first in enumerate((0, 2, 3)):
        last = (shift + len(raw)) * 8 // 6
        shifted = bytes(shift) + raw
        texts += [encode(shifted).decode()[first:last] for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    return frozenset(text.encode() for text in texts)


def found(secrets: Iterable[str], output: bytes) -> list[str]:
    """Return the secrets that stand in the output in any form."""
    # Hundreds of secrets in a dozen forms: one pass over the output leaves few to be looked for at length.
    windows = {output[place : place + _WINDOW] for place in range(len(output))}
    return [
        secret
        for secret in secrets
        if any((len(form) < _WINDOW or form[:_WINDOW] in windows) and form in output for form in forms(secret))
    ]
