"""What a sidecar leaves on disk: while nothing can be sent, and after all of it is in the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egoscope.otlp.client import Outcome, Signal, Unavailable
from egoscope.wiring import Sidecar

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.config import Settings


class Nowhere:
    """An exporter whose back end is down: everything stays in the outbox, and so in the state file."""

    def __init__(self) -> None:
        """Keep what was offered."""
        self.offered = b""

    def send(self, signal: Signal, request: bytes) -> Outcome:
        """See `Exporter.send`."""
        self.offered += signal.encode() + request
        return Unavailable("down")

    def close(self) -> None:
        """See `Exporter.close`."""


def everything_in(folder: Path) -> bytes:
    """Return the bytes of all files, freed pages and write-ahead logs included."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def left_by(settings: Settings) -> list[bytes]:
    """Return what is on disk while everything waits, its -wal and -shm included; what was offered; what is stored."""
    nowhere = Nowhere()
    waiting = Sidecar(settings, exporter=nowhere)
    while waiting.pipeline.run_once():
        pass
    waiting.pipeline.finish()
    found = [everything_in(settings.state_dir), nowhere.offered]
    waiting.close()
    sidecar = Sidecar(settings)
    sidecar.drain()
    sidecar.close()
    return [*found, everything_in(settings.state_dir)]
