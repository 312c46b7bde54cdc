"""What conversion makes: spans, log records and metric points, before they are encoded.

Times are nanoseconds since the Unix epoch, points' times milliseconds (the resolution of Prometheus). Ids are raw
bytes: 16 for a trace, 8 for a span. Attribute values are str, bool, int or float.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Attribute = tuple[str, str | bool | int | float]


class Constants(msgspec.Struct, frozen=True, eq=False):
    """Attributes from small sets of values: one object for one set of values, so that its encoding can be kept.

    Compared by identity. `logger` is among them and is also counted by.
    """

    attributes: tuple[Attribute, ...]
    logger: str = ""


class SpanEvent(msgspec.Struct, frozen=True, gc=False):
    """Something that happened within a span."""

    time_ns: int
    name: str
    attributes: Sequence[Attribute]


class SpanKind(IntEnum):
    """Span.SpanKind of OTLP."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


class Span(msgspec.Struct, frozen=True, gc=False):
    """One call, execution or run. `failed` sets the status to ERROR, without a message.

    `varying` are the attributes beside `constants`; `offset` is one too: where the call's first line starts; None for
    what stands in no file. `parent_id` is empty for the root of a trace.
    """

    trace_id: bytes
    span_id: bytes
    name: str
    start_ns: int
    end_ns: int
    constants: Constants
    varying: Sequence[Attribute]
    offset: int | None
    events: Sequence[SpanEvent] = ()
    dropped_events: int = 0
    failed: bool = False
    kind: SpanKind = SpanKind.SERVER
    parent_id: bytes = b""


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One log line. `observed_ns` is the event's own time also where `time_ns` had to be kept in the stream's order.

    `constants`, `varying` and `offset` as in `Span`; `offset` is None for what is no line of a file.
    """

    time_ns: int
    observed_ns: int
    severity: str
    body: str
    constants: Constants
    varying: Sequence[Attribute]
    offset: int | None
    trace_id: bytes = b""
    span_id: bytes = b""
