"""Tracers for illumo-flow: its flows and nodes as spans of a `TracerDB`.

illumo-flow 0.1.5 calls a tracer's `on_span_start`, `on_span_end` and `on_event` with dicts, and hands over prompts,
inputs and texts of errors too. None of that is kept unless named in `capture`: what stands below under `_KEPT` is,
nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from egoscope.convert import semconv as s
from egoscope.errors import ConfigError, EgoscopeError
from egoscope.tracerdb.base import EventData, SpanData
from egoscope.tracerdb.sqlite import SQLiteTracerDB

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from egoscope.tracerdb.base import AttributeValue, Status, TracerDB

logger = logging.getLogger(__name__)

DEFAULT_PATH: Final = "traces.db"
DEFAULT_ENDPOINT: Final = "http://localhost:4317"
DEFAULT_SERVICE: Final = "illumo-flow"

CONTENT: Final = frozenset({"message", "error", "input_preview", "failure_summary"})
"""What `capture` may name: the texts of events and errors, and the beginning of a node's input."""

# Attributes of spans and events that illumo itself makes of names, numbers and settings.
_KEPT: Final = frozenset(
    {
        *("entry", "node_type", "node_id", "attempt", "timeout", "handled_error", "failure_type", "failed_node"),
        *("model", "tokens"),
        *("policy_snapshot.fail_fast", "policy_snapshot.timeout"),
        *("policy_snapshot.retry.max_attempts", "policy_snapshot.retry.delay", "policy_snapshot.retry.mode"),
        *("policy_snapshot.on_error.action", "policy_snapshot.on_error.target"),
    }
)
_STATUSES: Final[dict[object, Status]] = {"OK": "OK", "ERROR": "ERROR"}


class FlowTracer:
    """illumo-flow's `TracerProtocol` on a connected `TracerDB`; usable from several threads.

    No method raises into a flow: what goes wrong is logged, without content.
    """

    def __init__(self, db: TracerDB, *, capture: Collection[str] = ()) -> None:
        """Connect `db`. Raises `ConfigError` where `capture` names what is no content of illumo's."""
        if isinstance(capture, str) or not CONTENT.issuperset(capture):
            raise ConfigError(f"capture: a collection of the names {', '.join(sorted(CONTENT))}")
        self._db, self._capture = db, frozenset(capture)
        db.connect()

    def on_span_start(self, span: Mapping[str, Any]) -> None:
        """Record a flow or node that runs."""
        self._record_span(span)

    def on_span_end(self, span: Mapping[str, Any]) -> None:
        """Record a flow or node that ended."""
        self._record_span(span)

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Record an event of a span."""
        try:
            name = str(event.get("event_type") or "event")
            own = {"level": event.get("level"), **self._content(event, "message")}
            found = self._attributes(event.get("attributes")) | _named(own)
            timestamp = _nanoseconds(event.get("timestamp"))
            self._db.record_event(
                str(event.get("span_id")), EventData(name=name, timestamp=timestamp, attributes=found)
            )
        except Exception as error:  # noqa: BLE001 (tracing never stops a flow)
            _tell("event", error)

    def flush(self) -> bool:
        """Flush, and tell whether all was taken; what was not is logged."""
        try:
            self._db.flush()
        except EgoscopeError as error:
            _tell("flush", error)
            return False
        return True

    def close(self) -> None:
        """Flush and close; what goes wrong is logged."""
        try:
            self._db.close()
        except EgoscopeError as error:
            _tell("close", error)

    def _record_span(self, span: Mapping[str, Any]) -> None:
        try:
            self._db.record_span(self._span(span))
        except Exception as error:  # noqa: BLE001 (as above)
            _tell("span", error)

    def _span(self, span: Mapping[str, Any]) -> SpanData:
        own = {"kind": span.get("kind"), "service_name": span.get("service_name"), **self._content(span, "error")}
        parent_id, end_time = span.get("parent_span_id"), span.get("end_time")
        return SpanData(
            trace_id=str(span.get("trace_id") or ""),
            span_id=str(span.get("span_id") or ""),
            parent_id=None if parent_id is None else str(parent_id),
            name=str(span.get("name") or ""),
            start=_nanoseconds(span.get("start_time")),
            end=None if end_time is None else _nanoseconds(end_time),
            status=_STATUSES.get(span.get("status"), "UNSET"),
            attributes=self._attributes(span.get("attributes")) | _named(own),
        )

    def _attributes(self, attributes: object) -> dict[str, AttributeValue]:
        found = {key: value for key, value in _flat(attributes) if key in _KEPT or key in self._capture}
        return _named(found)

    def _content(self, of: Mapping[str, Any], key: str) -> dict[str, object]:
        return {key: of.get(key)} if key in self._capture else {}


class SQLiteTracer(FlowTracer):
    """Into a SQLite file. When a flow ends its spans are written; while it runs they are within a second or so."""

    def __init__(
        self,
        *,
        db: TracerDB | None = None,
        db_path: str | Path = DEFAULT_PATH,
        capture: Collection[str] = (),
    ) -> None:
        """`db` is any `TracerDB`; without it `db_path` names the file. Raises `StateError` where it cannot be used."""
        super().__init__(db or SQLiteTracerDB(db_path), capture=capture)

    def on_span_end(self, span: Mapping[str, Any]) -> None:
        """Record a flow or node that ended; a flow is committed."""
        super().on_span_end(span)
        if span.get("parent_span_id") is None:
            self.flush()


class OtelTracer(FlowTracer):
    """To Tempo, or a Collector, by OTLP over gRPC. A flow never waits for it; the rest is sent at `close` or exit."""

    def __init__(
        self,
        *,
        db: TracerDB | None = None,
        exporter_endpoint: str = DEFAULT_ENDPOINT,
        service_name: str = DEFAULT_SERVICE,
        capture: Collection[str] = (),
    ) -> None:
        """`db` is any `TracerDB`; without it the endpoint is that of a `TempoTracerDB`."""
        if db is None:
            from egoscope.tracerdb.tempo import TempoTracerDB  # noqa: PLC0415 (gRPC and the SDK take a while)

            db = TempoTracerDB(exporter_endpoint, service_name=service_name)
        super().__init__(db, capture=capture)


def _named(attributes: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Give each its name in our convention; what is no scalar is left out."""
    return {
        f"{s.FLOW_PREFIX}{key.replace('policy_snapshot', 'policy')}": value
        for key, value in attributes.items()
        if isinstance(value, str | bool | int | float)
    }


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield nested dicts as dotted keys."""
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[object, object]", value).items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _nanoseconds(text: object) -> int:
    """Return the time that illumo wrote: naive ISO 8601 in UTC (`datetime.utcnow()`); now, if it is none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return time.time_ns()
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _tell(what: str, error: Exception) -> None:
    # An error of ours is a sentence without content; of any other only the type is.
    text = str(error) if isinstance(error, EgoscopeError) else type(error).__name__
    logger.warning("illumo-flow: %s not recorded: %s", what, text)
