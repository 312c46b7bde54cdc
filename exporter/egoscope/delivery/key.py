"""The pseudonym key: 32 random bytes in a file of mode 0600, made at first start and never replaced."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from egoscope.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES: Final = 32


def load_key(path: Path, *, state_exists: bool) -> bytes:
    """Return the key, made if this is the first start.

    Raises StateError where state exists but its key is gone: with a new key every pseudonym and every id would
    change, so the same people would look like new ones and re-sent spans would stand twice.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = None
    except OSError as error:
        raise StateError(f"key file {path} cannot be read ({error.strerror}): make it readable for this user") from None
    if key is None:
        if state_exists:
            raise StateError(
                f"key file {path} is gone, but there is state made with it: put it back from a backup. Without it every"
                " pseudonym and id would change. To start anew with a new key, move the state file away as well"
            )
        return _make(path)
    if len(key) != KEY_BYTES:
        raise StateError(f"key file {path} holds {len(key)} bytes instead of {KEY_BYTES}: put it back from a backup")
    if path.stat().st_mode & 0o077:
        raise StateError(f"key file {path} can be read by other users: run `chmod 600` on it")
    return key


def _make(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = os.urandom(KEY_BYTES)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    # Before anything is made with it: state that outlived its key at a power cut would be refused for ever.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return key
