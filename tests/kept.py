"""Batches for the state file, made of real lines; and exporters whose answers a test decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converted import RESOURCE, Converting

from egoscope.delivery.state import Batch, SourceRows
from egoscope.otlp.client import Accepted, Outcome, Signal
from egoscope.otlp.requests import encode_telemetry
from egoscope.sources.base import FileCheckpoint
from egoscope.sources.ego_mcp import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from egoscope.otlp.requests import Request


def checkpoint_at(offset: int, source: str = "i1") -> FileCheckpoint:
    """Return a checkpoint of some file."""
    return FileCheckpoint(source, "ego-mcp-2026-11-20.log", 1, 2, b"fingerprint", 11, offset)


class Batches:
    """Batches of one source, as the pipeline makes them of its lines."""

    def __init__(self, source: str = "i1") -> None:
        self._source = source
        self._converting = Converting()

    def of(self, *lines: bytes) -> Batch:
        """Return the batch of the next lines."""
        telemetry = self._converting.batch(lines)
        state = self._converting.conversion.state
        checkpoint = checkpoint_at(self._converting.offset, self._source)
        rows = SourceRows(self._source, SOURCE, checkpoint, state, telemetry.series)
        total = [(("egoscope.lines.unparsable", (("source", "ego_mcp"), ("reason", "x"))), self._converting.offset)]
        return Batch(rows, encode_telemetry(telemetry, RESOURCE), total)


def requests_only(requests: Sequence[Request], source: str = "i1") -> Batch:
    """Return a batch of which only the requests are of interest."""
    return Batch(Batches(source).of().source, requests)


class Scripted:
    """An exporter that keeps what it was sent and answers what `answer` says."""

    def __init__(self, answer: Callable[[Signal, bytes], Outcome] = lambda _signal, _request: Accepted()) -> None:
        self.answer = answer
        self.received: list[tuple[Signal, bytes]] = []
        self.accepted: list[tuple[Signal, bytes]] = []

    def send(self, signal: Signal, request: bytes) -> Outcome:
        """See `Exporter.send`."""
        self.received.append((signal, request))
        outcome = self.answer(signal, request)
        if isinstance(outcome, Accepted):
            self.accepted.append((signal, request))
        return outcome

    def close(self) -> None:
        """See `Exporter.close`."""
