"""The measured program: records spans one way and prints as JSON what it took. Called with WAY TARGET COUNT.

What a way needs is imported within the measured start-up, so nothing of it stands at the top.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import SpanProcessor

    from egoscope.tracerdb import TracerDB

    Way = tuple[Callable[[int], None], Callable[[], None]]
    """How to record the nth span, and how to end."""

ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "small",
    "tokens": 592,
    "cost": 0.0012,
    "cached": False,
}
EVENT = {"attempt": 1}


def sqlite(target: str) -> Way:
    from egoscope.tracerdb import SQLiteTracerDB

    return _tracer_db(SQLiteTracerDB(target))


def tempo(target: str) -> Way:
    from egoscope.tracerdb import TempoTracerDB

    return _tracer_db(TempoTracerDB(target))


def _tracer_db(db: TracerDB) -> Way:
    from egoscope.tracerdb import EventData, SpanData

    db.connect()

    def record(number: int) -> None:
        span_id = f"{number + 1:016x}"
        start = time.time_ns()
        db.record_event(span_id, EventData(name="step", timestamp=time.time_ns(), attributes=EVENT))
        db.record_span(
            SpanData(
                trace_id=f"{number // 10 + 1:032x}",
                span_id=span_id,
                name="chat small",
                start=start,
                end=time.time_ns(),
                attributes=ATTRIBUTES,
            )
        )

    return record, db.close


def sdk(target: str) -> Way:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return _sdk(BatchSpanProcessor(OTLPSpanExporter(target)))


def console(target: str) -> Way:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    return _sdk(SimpleSpanProcessor(ConsoleSpanExporter(out=Path(target).open("w"))))


def _sdk(processor: SpanProcessor) -> Way:
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench")

    def record(_: int) -> None:
        with tracer.start_as_current_span("chat small", attributes=ATTRIBUTES) as span:
            span.add_event("step", EVENT)

    return record, provider.shutdown


if __name__ == "__main__":
    way, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    begun = time.perf_counter()
    record, close = {"console": console, "sqlite": sqlite, "tempo": tempo, "sdk": sdk}[way](target)
    started, caller = time.perf_counter(), time.thread_time()
    for number in range(count):
        record(number)
    caller = time.thread_time() - caller
    close()
    ended = time.perf_counter()
    found = {"start_s": started - begun, "caller_s": caller / count, "spans_s": count / (ended - started)}
    print(json.dumps(found))
