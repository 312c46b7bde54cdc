"""A day of a machine's past, made to lead up to what its Collector tells now: graphs of a day need one."""

from __future__ import annotations

import itertools
import math
import random
import urllib.request
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from egoscope.convert import semconv as s
from tests.stack.processes import ANSWER_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

    from tests.stack.backends import Prometheus, Sample

HOURS: Final = 26.0
STEP_S: Final = 30.0
HOST: Final = '{job="host"}'
RESOURCE: Final = {s.SERVICE_NAME: "job", s.SERVICE_INSTANCE_ID: "instance", s.HOST_NAME: "host_name"}
"""Which label each attribute of its resource becomes."""
# A share of time is told from the second look on, the rest before.
_THERE: Final = "system_cpu_utilization_ratio"
_STEPS_A_REQUEST: Final = 200
_GREW: Final = 0.3
"""How much of what a counter holds now came in this time: the machine ran before."""
# How a processor's time is shared between what is not idle.
_SHARES: Final = {"user": 0.7, "system": 0.24, "softirq": 0.04, "wait": 0.02}


def write_host_history(prometheus: Prometheus, until_s: float, *, hours: float = HOURS) -> None:
    """Give every series of the host a past that ends at a time before its first sample."""
    wait_for(lambda: prometheus.query(_THERE), what="the Collector tells of the host")
    now = prometheus.query(HOST)
    steps = int(hours * 3600 / STEP_S)
    times = [until_s - (steps - step) * STEP_S for step in range(steps)]
    busy = list(_busy(times))
    done = [one / sum(busy) for one in itertools.accumulate(busy)]
    for begin in range(0, steps, _STEPS_A_REQUEST):
        request = ExportMetricsServiceRequest()
        part = request.resource_metrics.add()
        for key, label in RESOURCE.items():
            if value := now[0].labels.get(label):
                part.resource.attributes.add(key=key).value.string_value = value
        scope = part.scope_metrics.add()
        metrics = {name: scope.metrics.add(name=name) for name in sorted({one.labels["__name__"] for one in now})}
        for sample in now:
            for step in range(begin, min(begin + _STEPS_A_REQUEST, steps)):
                value = _past(sample, busy[step], done[step])
                _point(metrics[sample.labels["__name__"]], sample.labels, times[step], value)
        _post(prometheus, request)


def _busy(times: list[float]) -> Iterator[float]:
    """Yield how busy the machine was, 0 to 1: quiet nights, and bursts."""
    chance, level = random.Random(5), 0.25
    for at in times:
        hour = at % 86_400 / 3600
        level += (0.2 + 0.25 * math.exp(-(((hour - 14) / 5) ** 2)) - level) * 0.05 + chance.gauss(0, 0.03)
        level += 0.4 if chance.random() < 0.002 else 0
        level = min(0.88, max(0.04, level))
        yield level


def _past(now: Sample, busy: float, done: float) -> float:
    """Return what a series held when the machine was that busy, and that much of its day was done."""
    name, state = now.labels["__name__"], now.labels.get("state", "")
    if name.endswith("_total"):
        return now.value * (1 - _GREW * (1 - done))
    if name == "system_cpu_utilization_ratio":
        return 1 - busy if state == "idle" else busy * _SHARES.get(state, 0)
    if "load_average" in name:
        return 4 * busy
    if "memory" in name and state:
        return now.value * (0.8 + 0.4 * busy)
    if "filesystem" in name and state != "reserved":
        return now.value * (0.98 + 0.02 * done)
    return now.value


def _point(metric: Metric, labels: Mapping[str, str], time_s: float, value: float) -> None:
    points = metric.gauge.data_points
    if metric.name.endswith("_total"):
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        points = metric.sum.data_points
    point: NumberDataPoint = points.add(time_unix_nano=int(time_s * 1e9), as_double=value)
    for key, label in labels.items():
        if key != "__name__" and key not in RESOURCE.values():
            point.attributes.add(key=key).value.string_value = label


def _post(prometheus: Prometheus, request: ExportMetricsServiceRequest) -> None:
    url = f"{prometheus.url}/api/v1/otlp/v1/metrics"
    headers = {"Content-Type": "application/x-protobuf"}
    with urllib.request.urlopen(urllib.request.Request(url, request.SerializeToString(), headers), timeout=ANSWER_S):
        pass
