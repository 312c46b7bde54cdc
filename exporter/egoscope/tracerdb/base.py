"""`TracerDB`: where a program records the spans of its own tracing. One contract, whatever is behind it.

Times are nanoseconds since the Unix epoch. Ids are non-empty strings; OpenTelemetry's are lower-case hex, 32 digits for
a trace and 16 for a span. Attribute values are str, bool, int (64 bits), float, or a sequence of one of these.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, cast, get_args

from egoscope.errors import DeliveryError, RecordError

if TYPE_CHECKING:
    from types import TracebackType

logger = logging.getLogger(__name__)

Scalar = str | bool | int | float
AttributeValue = Scalar | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
Attributes = Mapping[str, AttributeValue]
Status = Literal["UNSET", "OK", "ERROR"]

_STATUSES: Final = frozenset(get_args(Status))
_LARGEST: Final = 2**63 - 1  # what SQLite and OTLP can hold
_NOTHING: Final[Attributes] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanData:
    """One span. Attributes are copied and checked; a value that cannot be kept is a `RecordError`.

    `end` is None while the span is running; that `end` comes after `start` is not checked, for clocks are set back.
    """

    trace_id: str
    span_id: str
    name: str
    start: int
    """Nanoseconds since the Unix epoch."""
    end: int | None = None
    """As `start`; None: still running."""
    parent_id: str | None = None
    """None: the trace's first span."""
    status: Status = "UNSET"
    attributes: Attributes = field(default_factory=lambda: _NOTHING, repr=False, hash=False)

    def __post_init__(self) -> None:
        if not self.trace_id or not self.span_id:
            raise RecordError("a span has no id: trace_id and span_id are non-empty strings")
        if self.status not in _STATUSES:
            raise RecordError("a span's status is UNSET, OK or ERROR")
        _check_time(self.start)
        if self.end is not None:
            _check_time(self.end)
        for name in ("trace_id", "span_id", "parent_id", "name"):
            _clean_field(self, name)
        object.__setattr__(self, "attributes", checked(self.attributes))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventData:
    """Something that happened within a span, at `timestamp` (nanoseconds since the Unix epoch)."""

    name: str
    timestamp: int
    attributes: Attributes = field(default_factory=lambda: _NOTHING, repr=False, hash=False)

    def __post_init__(self) -> None:
        _check_time(self.timestamp)
        _clean_field(self, "name")
        object.__setattr__(self, "attributes", checked(self.attributes))


class TracerDB(Protocol):
    """Takes spans and events from any thread.

    **Order of calls.** `connect`, then anything, then `close`; as a context manager it does the first and the last
    itself. `record_span`, `record_event` and `flush` raise `NotConnectedError` before `connect` and after `close`.
    What is still connected when the interpreter ends is closed then. Not to be carried across a fork: connect in the
    child.

    **Recording never fails for a reason of the back end** and never waits for it longer than for one local
    transaction: what cannot be written is kept, up to a limit, and tried again; beyond the limit the oldest is
    dropped. `flush` and `close` tell.

    **The same `span_id` again** replaces what was recorded under it; its events stay. So a span may be recorded when
    it starts, without `end`, and again when it ends. A back end that cannot take back what it was sent keeps both
    (Tempo, if a span that had an end is recorded again after it was sent; it is sent no span without an end).

    **An event of a `span_id` that is unknown** is kept for the span that may come. Where none comes before `close`, or
    the span was sent already, a back end that has events only within spans drops it, which `close` logs (Tempo).
    """

    def connect(self) -> None:
        """Make ready to record; nothing if it is already, and anew after `close`.

        Raises `StateError` or `ConfigError` for what a retry will not cure. That a server cannot be reached is no
        error here: `flush` tells.
        """
        ...

    def record_span(self, span: SpanData) -> None:
        """Take a span; durable after `flush` at the latest."""
        ...

    def record_event(self, span_id: str, event: EventData) -> None:
        """Take an event of a span; durable after `flush` at the latest."""
        ...

    def flush(self) -> None:
        """Return when everything recorded before, save spans still running in Tempo's case, is where it belongs.

        Raises `DeliveryError` when something recorded since the last `flush` is not: the text says how much, why, and
        whether it is kept for the next `flush` or lost. Each loss is told once.
        """
        ...

    def close(self) -> None:
        """Flush and let go; nothing if not connected. Raises as `flush`, having let go all the same."""
        ...

    def __enter__(self) -> Self:
        """Connect."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. Raises as `close`, except while another error passes: then it only logs."""
        ...


class Scoped:
    """The context manager of both implementations."""

    def connect(self) -> None:
        """See `TracerDB.connect`."""
        raise NotImplementedError

    def close(self) -> None:
        """See `TracerDB.close`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; an error that is passing is not hidden behind one of ours."""
        if error is None:
            self.close()
        else:
            self._close_quietly()

    def _close_quietly(self) -> None:
        """Close where nobody can be told."""
        told: list[str] = []
        with contextlib.suppress(RuntimeError):  # the interpreter is ending: no new threads
            try:
                self.close()
            except DeliveryError as failure:
                told.append(str(failure))
        for sentence in told:
            logger.warning("%s", sentence)


def checked(attributes: Attributes) -> Attributes:
    """Return a copy that nobody can change, of values that every back end can hold, or raise `RecordError`."""
    if not attributes:
        return _NOTHING
    return MappingProxyType({_text(key): _value(value) for key, value in attributes.items()})


def _value(value: object) -> AttributeValue:
    match value:
        case str():
            return _text(value)
        case bool():
            return value
        case float():
            return float(value)  # numpy's is a subclass, which JSON writers refuse
        case int():
            if -_LARGEST <= value <= _LARGEST:
                return int(value)
            raise RecordError("an attribute is an int beyond 64 bits")
        case list() | tuple():
            items = tuple(_value(item) for item in cast("Sequence[object]", value))
            if any(isinstance(item, tuple) or type(item) is not type(items[0]) for item in items):
                raise RecordError("an attribute is a sequence of different or of nested types")
            return cast("AttributeValue", items)
        case _:
            kind = type(value).__name__
            raise RecordError(f"an attribute is a {kind}: str, bool, int, float or a sequence of one of these is kept")


def _text(text: str) -> str:
    """Replace lone surrogates, which neither SQLite nor protobuf can hold."""
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise RecordError("a name or an attribute's key is no string")
    plain = str.__str__(text)
    return plain if plain.isascii() else plain.encode("utf-8", "replace").decode("utf-8")


def _clean_field(of: object, name: str) -> None:
    text = cast("str | None", getattr(of, name))
    if text is not None:
        object.__setattr__(of, name, _text(text))


def _check_time(time_ns: int) -> None:
    if type(time_ns) is not int or not 0 <= time_ns <= _LARGEST:
        raise RecordError("a time is not an int of nanoseconds since the Unix epoch")
