"""Files that are known but not followed: gone, truncated, or not found again since the last start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egoscope.sources.fingerprint import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from egoscope.sources.base import FileCheckpoint
    from egoscope.sources.discovery import Key


class Departed:
    """Checkpoints by source, each with the time since when its file is not followed."""

    def __init__(self, checkpoints: Iterable[FileCheckpoint], now: float) -> None:
        self._since: dict[str, float] = {}
        self._by_source: dict[str, FileCheckpoint] = {}
        self._at: dict[Key, set[str]] = {}
        for checkpoint in checkpoints:
            self.add(checkpoint, now)

    def __contains__(self, source: str) -> bool:
        return source in self._by_source

    def __iter__(self) -> Iterator[FileCheckpoint]:
        return iter(self._by_source.values())

    def add(self, checkpoint: FileCheckpoint, now: float) -> None:
        """Remember where reading stopped."""
        self._by_source[checkpoint.source] = checkpoint
        self._since[checkpoint.source] = now
        self._at.setdefault((checkpoint.device, checkpoint.inode), set()).add(checkpoint.source)

    def at(self, key: Key) -> Sequence[FileCheckpoint]:
        """Return what was known under a device and inode, the furthest read first."""
        found = [self._by_source[source] for source in self._at.get(key, ())]
        return sorted(found, key=lambda known: (known.offset, known.fingerprint_bytes, known.source), reverse=True)

    def remove(self, source: str) -> None:
        """Forget one: it is followed again, or not wanted any more."""
        checkpoint = self._by_source.pop(source)
        del self._since[source]
        key = checkpoint.device, checkpoint.inode
        self._at[key].remove(source)
        if not self._at[key]:
            del self._at[key]

    def older_than(self, when: float) -> Sequence[str]:
        """Return the sources whose file has not been followed since `when`."""
        return [source for source, since in self._since.items() if since < when]


def fingerprint_of(checkpoint: FileCheckpoint) -> Fingerprint:
    """Return what the checkpoint's file began with."""
    return Fingerprint(checkpoint.fingerprint, checkpoint.fingerprint_bytes)
