"""Samples told straight to Prometheus, by OTLP: for what cannot be had on demand, such as heat."""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.stack.legal import put
from tests.stack.processes import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stack.backends import Prometheus


def tell_gauge(
    prometheus: Prometheus,
    resource: Mapping[str, str],
    name: str,
    value: float,
    attributes: Mapping[str, str],
    *,
    unit: str = "",
    age_s: float = 0.0,
) -> None:
    """Tell the value that a gauge had so long ago. Names are OpenTelemetry's."""
    request = ExportMetricsServiceRequest()
    part = request.resource_metrics.add()
    put(part.resource.attributes, resource)
    metric = part.scope_metrics.add().metrics.add(name=name, unit=unit)
    time_ns = time.time_ns() - round(age_s * 1e9)
    put(metric.gauge.data_points.add(time_unix_nano=time_ns, as_double=value).attributes, attributes)
    told = urllib.request.Request(
        f"{prometheus.url}/api/v1/otlp/v1/metrics",
        request.SerializeToString(),
        {"Content-Type": "application/x-protobuf"},
    )
    urllib.request.urlopen(told, timeout=ANSWER_S).close()
