"""Encoding of metrics: cumulative sums, gauges and histograms whose points are of fixed length, so one pack each."""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import TYPE_CHECKING

from egoscope.convert.catalogue import Kind
from egoscope.otlp.encode import encode_attributes
from egoscope.otlp.wire import message, string, tag, varint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from egoscope.convert.catalogue import Metric
    from egoscope.model.telemetry import Attribute

_CUMULATIVE = b"\x10\x02"  # aggregation_temporality of Sum and Histogram
_MONOTONIC = b"\x18\x01"
_INT_POINT = Struct("<BQBq").pack
_DOUBLE_POINT = Struct("<BQBd").pack
_NS_PER_MS = 1_000_000

Number = int | float
Distribution = tuple[float, tuple[int, ...]]
"""Of a histogram: the sum, and the counts by bucket (the last one is above all bounds)."""


def encode_number_points(attributes: Sequence[Attribute], start_ms: int, points: Sequence[tuple[int, Number]]) -> bytes:
    """Encode NumberDataPoints of one series as field 1 of Sum or Gauge. `start_ms` 0 leaves the start time out."""
    head = _number_head(tuple(attributes), start_ms)
    kinds = {value.__class__ for _, value in points}
    if len(kinds) > 1:
        return b"".join([encode_number_points(attributes, start_ms, [point]) for point in points])
    pack, tag_of_value = (_DOUBLE_POINT, 0x21) if float in kinds else (_INT_POINT, 0x31)
    times_ns = [time_ms * _NS_PER_MS for time_ms, _ in points]
    values = [value for _, value in points]
    return head + head.join(map(pack, repeat(0x19), times_ns, repeat(tag_of_value), values))


@lru_cache(maxsize=1024)
def _number_head(attributes: tuple[Attribute, ...], start_ms: int) -> bytes:
    content = encode_attributes(7, attributes)
    if start_ms:
        content += tag(2, 1) + (start_ms * _NS_PER_MS).to_bytes(8, "little")
    return tag(1, 2) + varint(len(content) + 18) + content


def encode_distribution_points(
    attributes: Sequence[Attribute],
    start_ms: int,
    bounds: tuple[float, ...],
    points: Sequence[tuple[int, Distribution]],
) -> bytes:
    """Encode HistogramDataPoints of one series as field 1 of Histogram."""
    head, tail, pack = _distribution_frame(tuple(attributes), start_ms, bounds)
    size = 8 * (len(bounds) + 1)
    return b"".join(
        [
            head + pack(0x19, time_ms * _NS_PER_MS, 0x21, sum(counts), 0x29, total, 0x32, size, *counts) + tail
            for time_ms, (total, counts) in points
        ]
    )


@lru_cache(maxsize=1024)
def _distribution_frame(attributes: tuple[Attribute, ...], start_ms: int, bounds: tuple[float, ...]):  # noqa: ANN202
    """Return what stands before and behind the changing part of a point, and the packer of that part."""
    content = encode_attributes(9, attributes) + tag(2, 1) + (start_ms * _NS_PER_MS).to_bytes(8, "little")
    packer = Struct(f"<BQBQBdBB{len(bounds) + 1}Q")
    tail = message(7, Struct(f"<{len(bounds)}d").pack(*bounds))
    return tag(1, 2) + varint(len(content) + packer.size + len(tail)) + content, tail, packer.pack


def encode_metric(metric: Metric, points: Sequence[bytes]) -> bytes:
    """Encode Metric as the field `metrics` of ScopeMetrics. `points`: the encoded points of each of its series."""
    content = b"".join(points)
    match metric.kind:
        case Kind.GAUGE:
            data = message(5, content)
        case Kind.COUNTER:
            data = message(7, content + _CUMULATIVE + _MONOTONIC)
        case Kind.HISTOGRAM:
            data = message(9, content + _CUMULATIVE)
    return message(2, string(1, metric.name) + string(2, metric.description) + string(3, metric.unit) + data)
