"""Metrics of machines through a gateway: told apart by name, by an allow-list of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.stack.fleet import agent_collector, collector_of
from tests.stack.hiding_places import NAME
from tests.stack.processes import wait_for
from tests.stack.test_second_layer import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.stack.processes import Way
    from tests.stack.servers import Collector, Stack

CPU: Final = "system_cpu_utilization_ratio"
OF_MACHINES: Final = "state|device|direction|mountpoint|type|status"


@pytest.fixture(scope="module")
def gateway(stack: Stack, way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    started = collector_of(stack, tmp_path_factory.mktemp("gateway"), way, "gateway.yaml")
    started.start()
    yield started
    started.stop()


def test_a_machine_is_told_by_its_name_and_no_alarm_is_raised(
    stack: Stack, way: Way, gateway: Collector, tmp_path: Path
) -> None:
    """All that its own list lets through passes the gateway's, which is no second layer of an agent's."""
    agent = agent_collector(stack, tmp_path / "agent", way, gateway.endpoint, host="machine-h")
    agent.start()
    try:
        selector = '{job="host", host_name="machine-h"}'
        wait_for(lambda: stack.prometheus.query(f"{CPU}{selector}"), what="the machine's processors are told of")
        series = stack.prometheus.series(selector)
    finally:
        agent.stop()
    assert {one["instance"] for one in series} == {"machine-h"}
    assert len({one["__name__"] for one in series} - {"target_info"}) >= 10
    known = {"__name__", "job", "instance", "host_name", *OF_MACHINES.split("|")}
    assert {label for one in series for label in one} <= known
    assert "REDACTED" not in str(series)
    assert not any(gateway.removals().values())


def of_machine(name: str) -> tuple[ExportMetricsServiceRequest, Any, Any, Any]:
    """Return a request of one point that passes, with its resource, its metric and its point."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, value in {"service.name": "host", "host.name": name}.items():
        resource.resource.attributes.add(key=key).value.string_value = value
    metric = resource.scope_metrics.add().metrics.add(name="system.cpu.utilization", unit="1")
    point = metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=0.5)
    point.attributes.add(key="state").value.string_value = "user"
    return request, resource, metric, point


def attribute(of: Any, key: str) -> None:
    of.attributes.add(key=key).value.string_value = NAME


PLANTS: Final[dict[str, Callable[[Any, Any, Any], None]]] = {
    "name": lambda _, metric, __: setattr(metric, "name", f"system.cpu.{NAME} {NAME}"),
    "unit": lambda _, metric, __: setattr(metric, "unit", NAME),
    "description": lambda _, metric, __: setattr(metric, "description", NAME),
    "attribute": lambda _, __, point: attribute(point, NAME),
    "value": lambda _, __, point: setattr(point.attributes[0].value, "string_value", f"{NAME}'s"),
    "resource": lambda resource, _, __: attribute(resource.resource, NAME),
    "instance": lambda resource, _, __: attribute(resource.resource, "service.instance.id"),
    "scope": lambda resource, _, __: setattr(resource.scope_metrics[0].scope, "name", NAME),
    "scope attribute": lambda resource, _, __: attribute(resource.scope_metrics[0].scope, NAME),
    "exemplar": lambda _, __, point: attribute_of_exemplar(point),
}


def attribute_of_exemplar(point: Any) -> None:
    exemplar = point.exemplars.add(as_double=1.0, time_unix_nano=point.time_unix_nano)
    exemplar.filtered_attributes.add(key=NAME).value.string_value = NAME


@pytest.mark.parametrize("place", PLANTS)
def test_a_secret_that_calls_itself_a_machines_passes_nowhere(stack: Stack, gateway: Collector, place: str) -> None:
    """The point beside it, which has none, tells that both have arrived."""
    request, *where = of_machine(f"m-{place.replace(' ', '-')}")
    PLANTS[place](*where)
    beside, *_ = of_machine(f"beside-{place.replace(' ', '-')}")
    sender = Sender(gateway.endpoint)
    try:
        sender.send("metrics", request)
        sender.send("metrics", beside)
    finally:
        sender.close()
    there = f'{CPU}{{host_name="beside-{place.replace(" ", "-")}"}}'
    wait_for(lambda: stack.prometheus.query(there), what="the point beside it is there")
    assert NAME not in stack.prometheus.everything().casefold()


def disk(used: dict[str, float], host: str) -> ExportMetricsServiceRequest:
    """Return how full the file systems of a machine are."""
    request, _, metric, point = of_machine(host)
    metric.name = "system.filesystem.utilization"
    del metric.gauge.data_points[:]
    for mounted_on, share in used.items():
        made = metric.gauge.data_points.add(time_unix_nano=point.time_unix_nano, as_double=share)
        made.attributes.add(key="mountpoint").value.string_value = mounted_on
    return request


@pytest.mark.parametrize(
    ("used", "told"),
    [
        pytest.param(
            {"/": 0.1, "/mnt/disk-1": 0.2, "/mnt/disk_2": 0.3, "/srv/Media.old": 0.95, "docker": 0.4},
            {"/": 0.1, "/mnt/disk-1": 0.2, "/mnt/disk_2": 0.3, "/srv/Media.old": 0.95, "docker": 0.4},
            id="as somebody called them",
        ),
        pytest.param(
            {f"/home/{NAME} {NAME}": 0.2, f"/media/{NAME}'s": 0.97, "/": 0.5},
            {"/": 0.5, "REDACTED": 0.97},
            id="of two that are called REDACTED the fuller one",
        ),
    ],
)
def test_a_full_disk_is_told_of_whatever_it_is_called(
    stack: Stack, gateway: Collector, request: pytest.FixtureRequest, used: dict[str, float], told: dict[str, float]
) -> None:
    host = "disks-" + "-".join(request.node.callspec.id.split()[:3])
    sender = Sender(gateway.endpoint)
    sender.send("metrics", disk(used, host))
    sender.close()
    question = f'system_filesystem_utilization_ratio{{host_name="{host}"}}'
    found = wait_for(lambda: stack.prometheus.query(question), what="the disks are told of")
    assert {one.labels["mountpoint"]: one.value for one in found} == told
    assert NAME not in stack.prometheus.everything().casefold()


@pytest.mark.parametrize("name", ["br-lan", "eth0.100", "dm-0", "nvme0n1", "enp3s0"])
def test_a_device_keeps_a_name_of_the_usual_form(stack: Stack, gateway: Collector, name: str) -> None:
    message, _, metric, point = of_machine(f"device-{name.replace('.', '-')}")
    metric.name, metric.unit = "system.network.io", "By"
    metric.sum.aggregation_temporality = 2
    metric.sum.is_monotonic = True
    counted = metric.sum.data_points.add(time_unix_nano=point.time_unix_nano, as_int=7)
    counted.attributes.add(key="device").value.string_value = name
    counted.attributes.add(key="direction").value.string_value = "receive"
    sender = Sender(gateway.endpoint)
    sender.send("metrics", message)
    sender.close()
    question = f'system_network_io_bytes_total{{host_name="device-{name.replace(".", "-")}"}}'
    (found,) = wait_for(lambda: stack.prometheus.query(question), what="the device is told of")
    assert found.labels["device"] == name


def test_a_machine_without_a_name_is_left_out(stack: Stack, gateway: Collector) -> None:
    """Two of them would write one series."""
    request, resource, *_ = of_machine("to-be-removed")
    del resource.resource.attributes[1:]
    sender = Sender(gateway.endpoint)
    sender.send("metrics", request)
    sender.close()
    assert stack.prometheus.query(f'{CPU}{{host_name=""}}') == []
