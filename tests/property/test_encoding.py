"""Every byte that is written by hand parses back with opentelemetry-proto to what was put in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from converted import RESOURCE, Sent, points_of, value_of
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from egoscope.convert.catalogue import METRICS, Kind
from egoscope.convert.conversion import Telemetry
from egoscope.convert.semconv import LOG_FILE_RECORD_OFFSET, SCHEMA_URL
from egoscope.convert.series import PointBatch
from egoscope.model.telemetry import Constants, LogRecord, Span, SpanEvent, SpanKind
from egoscope.otlp.client import Signal
from egoscope.otlp.requests import encode_telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from converted import Value
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    from egoscope.model.telemetry import Attribute
    from egoscope.otlp.requests import Request

MOST_BYTES: Final = 4 * 1024 * 1024
NUMBERS: Final = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21, "": 0, "_OTHER": 0}

texts = st.text(st.characters(codec="utf-8"), max_size=300)
integers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), -1, 0, 127, 128, 2**63 - 1]))
floats = st.floats(allow_nan=False, allow_infinity=False)
times = st.integers(0, 2**64 - 1)
attributes = st.dictionaries(texts.filter(bool), st.one_of(texts, st.booleans(), integers, floats), max_size=6).map(
    lambda found: tuple(found.items())
)
offsets = st.integers(0, 2**63 - 1)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """Return any span."""
    return Span(
        draw(st.binary(min_size=16, max_size=16)),
        draw(st.binary(min_size=8, max_size=8)),
        draw(texts),
        draw(times),
        draw(times),
        Constants(draw(attributes)),
        draw(attributes),
        draw(offsets),
        [SpanEvent(draw(times), draw(texts), draw(attributes)) for _ in range(draw(st.integers(0, 3)))],
        dropped_events=draw(st.integers(0, 2**32 - 1)),
        failed=draw(st.booleans()),
        kind=draw(st.sampled_from(SpanKind)),
        parent_id=draw(st.sampled_from([b"", b"p" * 8])),
    )


@st.composite
def records(draw: st.DrawFn) -> LogRecord:
    """Return any log record, with and without the ids of a call."""
    ids = draw(st.sampled_from([(b"", b""), (b"t" * 16, b"s" * 8)]))
    return LogRecord(
        draw(times),
        draw(times),
        draw(st.sampled_from(sorted(NUMBERS))),
        draw(texts),
        Constants(draw(attributes)),
        draw(attributes),
        draw(st.one_of(st.none(), offsets)),
        *ids,
    )


def plain_span(number: int, *said: Attribute) -> Span:
    """Return a span of which only its number and its attributes are of interest."""
    return Span(number.to_bytes(16, "big"), b"s" * 8, "n", number, number, Constants(()), said, 0)


def plain_log(number: int, body: str) -> LogRecord:
    """Return a log record of which only its number and its length are of interest."""
    return LogRecord(number, number, "INFO", body, Constants(()), (), number)


def requests(
    some_spans: Iterable[Span] = (), some_logs: Iterable[LogRecord] = (), some_points: Iterable[PointBatch] = ()
) -> list[Request]:
    """Encode telemetry of one instance."""
    return encode_telemetry(Telemetry(list(some_spans), list(some_logs), list(some_points), []), RESOURCE)


def typed(found: Iterable[KeyValue]) -> list[tuple[str, str, object]]:
    """Return attributes with the kind of each value, for `True == 1 == 1.0`."""
    return put_in((one.key, getattr(one.value, str(one.value.WhichOneof("value")))) for one in found)


def put_in(found: Iterable[tuple[str, Any]]) -> list[tuple[str, str, object]]:
    """Return what `typed` should find."""
    return [(key, type(value).__name__, value) for key, value in found]


def of(item: Span | LogRecord) -> list[tuple[str, str, object]]:
    """Return the attributes of an item, in order."""
    offset = [] if item.offset is None else [(LOG_FILE_RECORD_OFFSET, item.offset)]
    return put_in([*item.constants.attributes, *offset, *item.varying])


@given(spans())
def test_a_span_parses_back_to_what_was_put_in(span: Span) -> None:
    """Every field of it, its events included; and nothing else is there."""
    (request,) = requests([span])
    message = ExportTraceServiceRequest.FromString(request.data)
    assert message.resource_spans[0].schema_url == message.resource_spans[0].scope_spans[0].schema_url == SCHEMA_URL
    assert typed(message.resource_spans[0].resource.attributes) == put_in(RESOURCE)
    (parsed,) = message.resource_spans[0].scope_spans[0].spans
    assert (parsed.trace_id, parsed.span_id, parsed.name) == (span.trace_id, span.span_id, span.name)
    assert (parsed.start_time_unix_nano, parsed.end_time_unix_nano) == (span.start_ns, span.end_ns)
    assert (parsed.kind, parsed.parent_span_id) == (span.kind, span.parent_id)
    assert typed(parsed.attributes) == of(span)
    assert parsed.status.code == (Status.STATUS_CODE_ERROR if span.failed else Status.STATUS_CODE_UNSET)
    assert (parsed.status.message, parsed.trace_state, len(parsed.links)) == ("", "", 0)
    assert parsed.dropped_events_count == span.dropped_events
    assert [(one.time_unix_nano, one.name, typed(one.attributes)) for one in parsed.events] == [
        (one.time_ns, one.name, put_in(one.attributes)) for one in span.events
    ]
    assert message.SerializeToString(deterministic=True) == type(message).FromString(request.data).SerializeToString(
        deterministic=True
    )
    assert not message.ByteSize() > len(request.data), "no unknown field hides in the bytes"


@given(records())
def test_a_log_record_parses_back_to_what_was_put_in(record: LogRecord) -> None:
    """Every field of it."""
    (request,) = requests((), [record])
    (parsed,) = ExportLogsServiceRequest.FromString(request.data).resource_logs[0].scope_logs[0].log_records
    assert (parsed.time_unix_nano, parsed.observed_time_unix_nano) == (record.time_ns, record.observed_ns)
    assert (parsed.severity_text, int(parsed.severity_number)) == (record.severity, NUMBERS[record.severity])
    assert (parsed.body.WhichOneof("value"), parsed.body.string_value) == ("string_value", record.body)
    assert typed(parsed.attributes) == of(record)
    assert (parsed.trace_id, parsed.span_id) == (record.trace_id, record.span_id)


moments = st.lists(st.integers(1, 2**63 // 10**6), min_size=1, max_size=5, unique=True).map(sorted)
labels = st.dictionaries(texts.filter(bool), texts, max_size=4).map(lambda found: tuple(found.items()))


@st.composite
def point_batches(draw: st.DrawFn) -> PointBatch:
    """Return new points of a series of any metric."""
    metric = draw(st.sampled_from(METRICS))
    bucket_counts = st.lists(st.integers(0, 2**40), min_size=15, max_size=15).map(tuple)
    match metric.kind:
        case Kind.HISTOGRAM:
            values: st.SearchStrategy[Any] = st.tuples(st.floats(0, 1e12), bucket_counts)
        case Kind.COUNTER:
            values = st.integers(0, 2**63 - 1) if metric.decimals is None else st.floats(0, 1e6)
        case Kind.GAUGE:
            values = st.one_of(integers, floats)
    points = [(moment, draw(values)) for moment in draw(moments)]
    return PointBatch(metric, draw(labels), draw(st.sampled_from([0, 1, 1_795_000_000_000])), points)


@given(point_batches())
def test_points_parse_back_to_what_was_put_in(batch: PointBatch) -> None:
    """Every kind of metric with its unit, its temporality and all its points, integers as integers."""
    (request,) = requests((), (), [batch])
    assert request.count == len(batch.points)
    (metric,) = ExportMetricsServiceRequest.FromString(request.data).resource_metrics[0].scope_metrics[0].metrics
    expected = batch.metric
    assert (metric.name, metric.unit, metric.description) == (expected.name, expected.unit, expected.description)
    match expected.kind:
        case Kind.COUNTER:
            assert metric.sum.is_monotonic
            assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        case Kind.HISTOGRAM:
            assert metric.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        case Kind.GAUGE:
            assert metric.WhichOneof("data") == "gauge"
    parsed = list(points_of(metric))
    assert [(one.time_unix_nano, value_of(one)) for one in parsed] == [
        (moment * 1_000_000, value) for moment, value in batch.points
    ]
    assert [type(value_of(one)) for one in parsed] == [type(value) for _, value in batch.points]
    assert {one.start_time_unix_nano for one in parsed} == {batch.start_ms * 1_000_000}
    assert all(typed(one.attributes) == put_in(batch.attributes) for one in parsed)
    for one in metric.histogram.data_points:
        assert tuple(one.explicit_bounds) == batch.metric.bounds
        assert one.count == sum(one.bucket_counts)
        assert not one.exemplars


@given(floats)
def test_a_number_keeps_its_value_and_its_kind(value: float) -> None:
    """Equal numbers of other kinds were encoded before: `True == 1 == 1.0`, but they are not the same on the wire."""
    mixed: list[bool | int | float] = [True, 1, 1.0, False, 0, 0.0, value]
    (request,) = requests([plain_span(0, *((f"k{place}", one) for place, one in enumerate(mixed)))])
    (again,) = requests([plain_span(0, *(("k", one) for one in reversed(mixed)))])
    for made, expected in ((request, mixed), (again, mixed[::-1])):
        (span,) = ExportTraceServiceRequest.FromString(made.data).resource_spans[0].scope_spans[0].spans
        kinds = [(kind, one) for _, kind, one in typed(span.attributes)[1:]]
        assert kinds == [(type(one).__name__, one) for one in expected]


@pytest.mark.parametrize("kind", ["spans", "logs", "points", "one series", "histogram"])
def test_a_request_is_below_the_four_mebibytes_that_every_server_takes(kind: str) -> None:
    """However large the batch; and cutting loses nothing, doubles nothing and keeps the order."""
    many = 60_000
    label = "x" * 100
    counter = next(metric for metric in METRICS if metric.kind is Kind.COUNTER)
    histogram = next(metric for metric in METRICS if metric.kind is Kind.HISTOGRAM)
    match kind:
        case "spans":
            made = requests(plain_span(number, ("x", label)) for number in range(many))
        case "logs":
            made = requests((), (plain_log(number, label) for number in range(many)))
        case "points":
            made = requests(
                (), (), (PointBatch(counter, (("x", f"{number}{label}"),), 1, [(2, number)]) for number in range(many))
            )
        case "one series":
            made = requests((), (), [PointBatch(counter, (("x", label),), 1, [(one, one) for one in range(2, many)])])
        case _:
            points: list[tuple[int, Value]] = [(one, (1.0, (one, *[0] * 14))) for one in range(2, many)]
            made = requests((), (), [PointBatch(histogram, (("x", label),), 1, points)])
    assert len(made) > 1
    assert max(len(request.data) for request in made) < MOST_BYTES
    sent = Sent()
    assert [sent.add(request.signal, request.data) for request in made] == [request.count for request in made]
    assert [span.start_time_unix_nano for span in sent.spans] == list(range(many if kind == "spans" else 0))
    assert [log.time_unix_nano for log in sent.logs] == list(range(many if kind == "logs" else 0))
    for times_and_values in sent.points.values():
        assert times_and_values == sorted(times_and_values)
    if kind in ("one series", "histogram"):
        assert [len(points) for points in sent.points.values()] == [many - 2]


@settings(max_examples=10)
@given(st.lists(spans(), max_size=4), st.lists(records(), max_size=4), st.lists(point_batches(), max_size=4))
def test_a_batch_of_all_three_signals_is_counted_as_what_is_in_it(
    some_spans: list[Span], some_logs: list[LogRecord], some_points: list[PointBatch]
) -> None:
    """The counts of the requests are those of their items, signal by signal; nothing is sent where nothing is."""
    made = requests(some_spans, some_logs, some_points)
    counts = dict.fromkeys(Signal, 0)
    for request in made:
        counts[request.signal] += request.count
    points = sum(len(batch.points) for batch in some_points)
    assert counts == {Signal.TRACES: len(some_spans), Signal.LOGS: len(some_logs), Signal.METRICS: points}
    assert all(request.count for request in made)
