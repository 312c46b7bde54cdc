"""`TempoTracerDB`: spans to Tempo, or to a Collector before it, over OTLP/gRPC."""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import Resource

from egoscope.convert import semconv as s
from egoscope.errors import DeliveryError, NotConnectedError
from egoscope.otlp.client import Accepted, Refused, Rejected, Unavailable
from egoscope.tracerdb.base import Scoped
from egoscope.tracerdb.otlp_export import SpanSender, readable, target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from egoscope.tracerdb.base import EventData, SpanData

logger = logging.getLogger(__name__)

RETRIES: Final = 3


class TempoTracerDB(Scoped):
    """A `TracerDB` in Tempo.

    A span is sent once it has an end; what still runs at `close` is sent with the time of its last event as its end
    and `egoscope.unfinished`. A thread sends every `interval_s` seconds and when a batch is full. A call that fails
    with a `grpc.RpcError` is retried three times, after `backoff_s`, twice and four times that long, unless the error
    is permanent by the OTLP specification. Then its spans wait for the next batch or `flush`.

    An id that is not OpenTelemetry's (16 hex digits for a span, 32 for a trace) is replaced by one derived from it,
    and kept as `egoscope.recorded.span_id` or `egoscope.recorded.trace_id`.
    """

    def __init__(
        self,
        endpoint: str = "http://localhost:4317",
        *,
        service_name: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        backoff_s: float = 0.5,
        batch_size: int = 512,
        interval_s: float = 5.0,
        max_pending: int = 10_000,
    ) -> None:
        """`endpoint` is `http://host:port`, `https://host:port` (TLS) or `host:port` (as http).

        `service_name` and further resource attributes come from OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES where
        not given; certificates and compression from the exporter's own variables (OTEL_EXPORTER_OTLP_…). `timeout_s` is
        for one call: `flush` takes at most four times as long, and the three waits, and gives up at the first batch
        that fails. `max_pending`: how many spans, and how many events, are kept while they cannot be sent. Raises
        `ConfigError` for an endpoint that is none.
        """
        self._endpoint = target_of(endpoint)
        self._service_name, self._headers, self._timeout_s = service_name, dict(headers or {}), timeout_s
        self._backoff_s, self._batch_size, self._interval_s = backoff_s, batch_size, interval_s
        self._max_pending = max_pending
        self._sender: SpanSender | None = None
        self._resource = Resource.get_empty()
        self._thread: threading.Thread | None = None
        self._sending = threading.RLock()  # one batch at a time; before `_lock` where both are
        self._lock = threading.Lock()  # guards what follows; never held while waiting for the network
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._running: dict[str, SpanData] = {}
        self._ended: dict[str, SpanData] = {}
        self._events: dict[str, list[EventData]] = {}
        self._event_count = 0
        self._losses: dict[str, int] = {}

    def connect(self) -> None:
        """See `TracerDB.connect`. The endpoint is first called when there is something to send."""
        with self._sending:
            if self._sender is not None:
                return
            self._resource = Resource.create({s.SERVICE_NAME: self._service_name} if self._service_name else None)
            self._closing.clear()
            self._wake.clear()
            self._sender = SpanSender(self._endpoint, self._headers, self._timeout_s)
            self._thread = threading.Thread(target=self._send_until_closed, name="tempo-tracer-db", daemon=True)
            self._thread.start()
            atexit.register(self._close_quietly)

    def record_span(self, span: SpanData) -> None:
        """See `TracerDB.record_span`."""
        with self._lock:
            self._check_connected()
            if span.end is None:
                self._ended.pop(span.span_id, None)
                self._running[span.span_id] = span
            else:
                self._running.pop(span.span_id, None)
                self._ended[span.span_id] = span
            self._keep_within_limit()
            full = len(self._ended) >= self._batch_size
        if full:
            self._wake.set()

    def record_event(self, span_id: str, event: EventData) -> None:
        """See `TracerDB.record_event`. An event travels within its span."""
        with self._lock:
            self._check_connected()
            self._events.setdefault(span_id, []).append(event)
            self._event_count += 1
            if self._event_count > self._max_pending:
                self._event_count -= len(oldest := self._events.pop(next(iter(self._events))))
                self._lose("events dropped because too many waited", len(oldest))

    def flush(self) -> None:
        """See `TracerDB.flush`. Spans still running stay."""
        with self._sending:
            with self._lock:
                self._check_connected()
            self._deliver("wait for the next flush")

    def close(self) -> None:
        """See `TracerDB.close`."""
        self._closing.set()  # ends a wait of the thread, which lets go of `_sending`
        self._wake.set()
        with self._sending:
            if self._sender is None:
                return
            atexit.unregister(self._close_quietly)
            try:
                with self._lock:
                    self._end_running()
                self._deliver("are lost")
            finally:
                with self._lock:
                    sender, self._sender = self._sender, None
                    # Those of spans that could not be sent are told of with their spans.
                    orphans = sum(len(of) for span_id, of in self._events.items() if span_id not in self._ended)
                    self._event_count = 0
                    self._ended, self._events = {}, {}
                sender.shutdown()  # pyright: ignore[reportUnknownMemberType]
                if orphans:
                    logger.warning("%s: %d events dropped: their spans never came", self._endpoint, orphans)
        if (thread := self._thread) is not None and thread is not threading.current_thread():
            thread.join()

    def _check_connected(self) -> None:
        if self._sender is None:
            text = f"{self._endpoint}: not connected; call connect() first, or use it in a with statement"
            raise NotConnectedError(text)

    def _keep_within_limit(self) -> None:
        while len(self._ended) + len(self._running) > self._max_pending:
            oldest = self._ended or self._running
            self._drop_events(span_id := next(iter(oldest)))
            del oldest[span_id]
            self._lose("spans dropped because too many waited", 1)

    def _drop_events(self, span_id: str) -> list[EventData]:
        events = self._events.pop(span_id, [])
        self._event_count -= len(events)
        return events

    def _lose(self, how: str, count: int) -> None:
        self._losses[how] = self._losses.get(how, 0) + count

    def _end_running(self) -> None:
        for span in self._running.values():
            last = max((event.timestamp for event in self._events.get(span.span_id, ())), default=span.start)
            ended = replace(span, end=last, attributes={**span.attributes, s.UNFINISHED: True})
            self._ended[span.span_id] = ended
        self._running = {}

    def _send_until_closed(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._interval_s)
            self._wake.clear()
            with self._sending:
                while not self._closing.is_set() and self._ended:
                    if self._send_batch(self._closing) is not None:
                        break  # what waits is tried again at the next interval

    def _deliver(self, otherwise: str) -> None:
        """Send all that has ended; raise `DeliveryError` with what happens to the rest and what was lost since."""
        never = threading.Event()
        batches = range(-(-len(self._ended) // self._batch_size))
        reason = next((reason for _ in batches if (reason := self._send_batch(never)) is not None), None)
        with self._lock:
            waiting, losses, self._losses = len(self._ended), self._losses, {}
        sentences = [f"{count} {how}" for how, count in losses.items()]
        if reason is not None:
            sentences.insert(0, f"{waiting} spans could not be sent ({reason}) and {otherwise}")
        if sentences:
            raise DeliveryError(f"{self._endpoint}: {'; '.join(sentences)}")

    def _send_batch(self, stop: threading.Event) -> str | None:
        """Send the oldest; return the reason if they are to be tried again."""
        with self._lock:
            spans = [self._ended.pop(span_id) for span_id in list(itertools.islice(self._ended, self._batch_size))]
            events = [self._drop_events(span.span_id) for span in spans]
            sender = self._sender
        if not spans or sender is None:
            return None
        outcome = sender.send([readable(*each, self._resource) for each in zip(spans, events, strict=True)])
        for attempt in range(RETRIES):
            if not isinstance(outcome, Unavailable) or stop.wait(self._backoff_s * 2**attempt):
                break
            outcome = sender.again()
        with self._lock:
            match outcome:
                case Accepted():
                    pass
                case Rejected(count):
                    self._lose("spans rejected by the server", count)
                case Refused(reason):
                    self._lose(f"spans refused by the server ({reason})", len(spans))
                case Unavailable(reason):
                    self._keep(spans, events)
                    return reason
        return None

    def _keep(self, spans: list[SpanData], events: list[list[EventData]]) -> None:
        """Put back what was not sent, before what came meanwhile, which is newer."""
        self._ended = {span.span_id: span for span in spans if span.span_id not in self._running} | self._ended
        for span, earlier in zip(spans, events, strict=True):
            if earlier:
                self._events[span.span_id] = earlier + self._events.get(span.span_id, [])
                self._event_count += len(earlier)
        self._keep_within_limit()
