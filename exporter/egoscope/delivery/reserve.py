"""Room on the disk that only deletions may use: SQLite needs some for them too, so a full disk would stay full."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_BYTES: Final = 8 * 1024 * 1024
"""Twice what the write-ahead log holds before it is checkpointed (state.py): it may all be new to the database."""


class Reserve:
    """A file that holds nothing but its place."""

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        """Starts released, whatever an earlier run left."""
        self._path, self._size = path, size
        self.held = False
        self.release()

    def take(self) -> bool:
        """Take up the room; return whether there was enough."""
        if not self.held:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, self._size)
                finally:
                    os.close(descriptor)
                self.held = True
            except OSError:
                self.release()
        return self.held

    def release(self) -> None:
        """Give the room back."""
        self._path.unlink(missing_ok=True)
        self.held = False
