"""Sending encoded OTLP requests, one at a time; what came of it is a value, matched exhaustively."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec


class Signal(StrEnum):
    """The three kinds of OTLP export request."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Accepted(msgspec.Struct, frozen=True):
    """The back end has stored all of it."""


class Rejected(msgspec.Struct, frozen=True):
    """Partial success: `count` spans, points or records were not stored and never will be. Do not resend."""

    count: int


class Refused(msgspec.Struct, frozen=True):
    """Permanent: the request as a whole will never be accepted. `reason` is a gRPC status name, without content."""

    reason: str


class Unavailable(msgspec.Struct, frozen=True):
    """Temporary: send the same bytes again, after `wait_s` seconds if the server said so."""

    reason: str
    wait_s: float | None = None


Outcome = Accepted | Rejected | Refused | Unavailable


class Exporter(Protocol):
    """Where requests go: a Collector, or the embedded store."""

    def send(self, signal: Signal, request: bytes) -> Outcome:
        """Send one serialised `Export{Trace,Metrics,Logs}ServiceRequest`; never raise for what a server may do.

        May be called from one thread a signal at the same time.
        """
        ...

    def close(self) -> None:
        """Release connections; harmless when repeated."""
        ...
