"""Cutting telemetry into export requests below a size that every server takes."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeVar, cast

import msgspec

from egoscope.convert.catalogue import Kind
from egoscope.otlp.client import Signal
from egoscope.otlp.encode import encode_log_record, encode_request, encode_resource, encode_span
from egoscope.otlp.points import encode_distribution_points, encode_metric, encode_number_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from egoscope.convert.conversion import Telemetry
    from egoscope.convert.series import Distribution, PointBatch
    from egoscope.model.telemetry import Attribute

T = TypeVar("T")

MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024
"""gRPC servers take 4 MiB by default; the rest is room for a resource and for one large item."""
_POINTS_A_BATCH: Final = 2000


class Request(msgspec.Struct, frozen=True):
    """One encoded export request; `count` spans, log records or metric points are in it."""

    signal: Signal
    data: bytes
    count: int

    def __repr__(self) -> str:
        return f"Request({self.signal}, {len(self.data)} bytes, {self.count} items)"


def encode_telemetry(telemetry: Telemetry, resource: Sequence[Attribute]) -> list[Request]:
    """Encode one batch of one instance: a request a signal, more where one would be too large."""
    head = encode_resource(resource)
    return [
        *_requests(Signal.TRACES, head, [encode_span(span) for span in telemetry.spans]),
        *_requests(Signal.LOGS, head, [encode_log_record(record) for record in telemetry.logs]),
        *_metric_requests(head, telemetry.points),
    ]


def encode_points(batches: Iterable[PointBatch]) -> Iterator[tuple[bytes, int]]:
    """Encode metrics with their points; series of one metric stand together, and time order is kept within each."""
    for metric, group in groupby(batches, key=lambda batch: batch.metric):
        encoded: list[bytes] = []
        count = size = 0
        for batch in group:
            for first in range(0, len(batch.points), _POINTS_A_BATCH):
                points = batch.points[first : first + _POINTS_A_BATCH]
                if metric.kind is Kind.HISTOGRAM:
                    data = encode_distribution_points(
                        batch.attributes,
                        batch.start_ms,
                        metric.bounds,
                        cast("list[tuple[int, Distribution]]", points),
                    )
                else:
                    data = encode_number_points(
                        batch.attributes, batch.start_ms, cast("list[tuple[int, float]]", points)
                    )
                if encoded and size + len(data) > MAX_REQUEST_BYTES // 2:
                    yield encode_metric(metric, encoded), count
                    encoded, count, size = [], 0, 0
                encoded.append(data)
                count += len(points)
                size += len(data)
        yield encode_metric(metric, encoded), count


def _requests(signal: Signal, resource: bytes, items: list[bytes]) -> Iterator[Request]:
    for some in _cut(items, len):
        yield Request(signal, encode_request(resource, some), len(some))


def _metric_requests(resource: bytes, batches: Iterable[PointBatch]) -> Iterator[Request]:
    for some in _cut(list(encode_points(batches)), lambda one: len(one[0])):
        data = encode_request(resource, [metric for metric, _ in some])
        yield Request(Signal.METRICS, data, sum(count for _, count in some))


def _cut(items: list[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield runs of items, each as long as it stays below the limit; one large item makes a run of its own."""
    first = size = 0
    for place, item_size in enumerate(map(size_of, items)):
        if size + item_size > MAX_REQUEST_BYTES and place > first:
            yield items[first:place]
            first, size = place, 0
        size += item_size
    if first < len(items):
        yield items[first:]
