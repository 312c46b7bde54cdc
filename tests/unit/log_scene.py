"""A directory of logs with a clock of its own, and a tail that follows it."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from egoscope.sources.tail import Tail

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.sources.base import FileCheckpoint, TailedFile
    from egoscope.sources.discovery import Reason

NOON = 1_800_000_000.0
HEAD_BYTES = 16


def derive_id(device: int, inode: int, head: bytes) -> str:
    """Stand in for the keyed hash."""
    return hashlib.sha256(b"%d %d " % (device, inode) + head).hexdigest()[:12]


class Scene:
    """A directory of logs with a clock of its own, and the tail that follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOON
        self.tail = self.tail_of(str(folder))

    def tail_of(self, *patterns: str, known: list[FileCheckpoint] | None = None, max_open_files: int = 256) -> Tail:
        self.tail = Tail(
            patterns,
            derive_id=derive_id,
            known=known or [],
            fingerprint_bytes=HEAD_BYTES,
            max_open_files=max_open_files,
            clock=lambda: self.now,
        )
        return self.tail

    def path(self, name: str) -> Path:
        return self.folder / f"ego-mcp-{name}.log"

    def write(self, name: str, text: str, *, mode: str = "a", age_s: float = 0.0) -> Path:
        """Append, or with mode "w" replace the content in place."""
        path = self.path(name)
        with path.open(mode) as log:
            log.write(text)
        self.now += 1
        os.utime(path, (self.now - age_s, self.now - age_s))
        return path

    def read(self) -> list[str]:
        """Scan once and read all there is."""
        return [line for file in self.tail.scan() for line in rest_of(file)]

    def restart(self) -> None:
        """Start again from the positions of all that was read."""
        known = [file.checkpoint for file in self.tail.files()]
        self.tail.close()
        self.tail_of(str(self.folder), known=known)

    def reasons(self) -> list[Reason]:
        return [problem.reason for problem in self.tail.problems()]


def rest_of(file: TailedFile) -> list[str]:
    """Read a file to its end."""
    found: list[str] = []
    while (lines := file.read(1 << 20)) is not None:
        found += [line.decode() for line in lines.lines]
    return found


def long(word: str) -> str:
    """Return a line that fills a fingerprint."""
    return f"{word} ".ljust(HEAD_BYTES, "-") + "\n"


def lines(*words: str) -> list[str]:
    return [long(word)[:-1] for word in words]
