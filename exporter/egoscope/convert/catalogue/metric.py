"""What a metric of the catalogue says of itself, and the bounds of its buckets."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

# Bucket bounds in seconds: semantic conventions for MCP v1.41.1, mcp.server.operation.duration, and for GenAI.
DURATION_BOUNDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
# Semantic conventions for GenAI v1.41.1: gen_ai.client.operation.duration, gen_ai.client.token.usage.
MODEL_BOUNDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BOUNDS: Final = tuple(float(4**power) for power in range(14))
# An execution of an agent, or a flow, can take an hour.
EXECUTION_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Kind(StrEnum):
    """How a metric's points are to be read. Counters and histograms are cumulative."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: its OpenTelemetry name, UCUM unit and the attributes its points carry."""

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    prometheus: str
    """The name under which Prometheus stores it (without `_bucket`, `_sum`, `_count` for histograms)."""
    bounds: tuple[float, ...] = DURATION_BOUNDS
    """Of a histogram: the upper bounds of its buckets, ascending."""
    decimals: int | None = None
    """Of a counter of fractions: each total is rounded to so many, so that sums of the same amounts are equal."""
