"""Two machines and a gateway: told apart, counted exactly, redacted twice, and a reply that crosses all of it."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
import yaml

from egoscope.demo import DemoSettings, write_history, write_live
from tests.planted import found
from tests.recorded import RUNS, canaries_of, log_of
from tests.stack.fake_tempo import Answer, FakeTempo
from tests.stack.fleet import HOSTS, Fleet, Machine, agent_collector
from tests.stack.hiding_places import NAME, PLACES, Place, first_of
from tests.stack.processes import free_ports, wait_for
from tests.stack.servers import REPOSITORY
from tests.stack.test_second_layer import Sender, legal_request, secrets_in
from tests.stack.truth import YEARS_S, check_exact, contents, long_ago_s, span_ids, truth_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from tests.stack.processes import Way
    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

KILLS: Final = 4
ONE_OF_EACH: Final = [next(place for place in PLACES if place.signal == signal) for signal in ("traces", "logs")]


@pytest.fixture(scope="module")
def fleet(stack: Stack, way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A gateway and two machines; a test that stops a Collector starts it again."""
    with Fleet.on(stack, tmp_path_factory.mktemp("fleet"), way) as running:
        yield running


def settle(stack: Stack, sidecar: SidecarProcess) -> tuple[dict[str, bytes], int]:
    """Wait until a history is sent, calls that never end included; return the logs and how many those are."""
    sidecar.wait_until_drained()
    logs = contents(sidecar.instances())
    whole = truth_of(*logs.values())
    expected = len(whole.ends) + whole.unfinished
    wait_for(lambda: len(span_ids(stack, logs)) >= expected, what="calls that never end are told as unfinished")
    return logs, whole.unfinished


@pytest.fixture(scope="module")
def told(stack: Stack, fleet: Fleet) -> dict[str, dict[str, bytes]]:
    """Let each machine send a recorded log and a history of its own; return its logs by instance."""
    found_logs: dict[str, dict[str, bytes]] = {}
    for seed, (machine, run) in enumerate(zip(fleet.machines.values(), RUNS, strict=True)):
        shutil.copy(log_of(run), machine.sidecar.logs / f"ego-mcp-{run}.log")
        start = datetime.now(UTC) - timedelta(hours=5)
        write_history(
            machine.sidecar.logs, DemoSettings(seed=seed, start=start, calls_per_minute=2, rhythm=False), days=0.15
        )
        machine.sidecar.start()
    for machine in fleet.machines.values():
        found_logs[machine.name], unfinished = settle(stack, machine.sidecar)
        check_exact(stack, found_logs[machine.name], unfinished=unfinished)
        machine.sidecar.terminate()
    return found_logs


def calls_of(stack: Stack, host: str) -> Counter[tuple[str, str]]:
    """Return the calls of one machine that ended, as Prometheus counts them by `host_name`."""
    query = (
        f'sum by (tool, outcome) (increase(ego_calls_total{{host_name="{host}"}}[{int(YEARS_S * 1000)}ms] anchored))'
    )
    samples = stack.prometheus.query(query, at=time.time() + 1)
    grown = {(one.labels["tool"], one.labels["outcome"]): int(one.value) for one in samples if one.value}
    return Counter({call: count for call, count in grown.items() if call[1] != "unfinished"})


def test_each_machine_is_told_by_its_name_and_its_counts_are_its_logs(
    stack: Stack, told: dict[str, dict[str, bytes]]
) -> None:
    """In Prometheus by the label host_name, in Loki and Tempo by host.name; no instance is on both machines."""
    assert told["machine-a"].keys().isdisjoint(told["machine-b"])
    for host, logs in told.items():
        whole = truth_of(*logs.values())
        assert calls_of(stack, host) == whole.calls()
        selector = f'{{service_name="ego-mcp"}} | host_name="{host}"'
        entries = stack.loki.entries(selector, long_ago_s(), time.time() + 60)
        there = Counter(entry.labels["service_instance_id"] for entry in entries)
        assert there == {instance: len(truth_of(content).lines) for instance, content in logs.items()}
        assert hosts_of_spans(stack, logs) == {host}


def hosts_of_spans(stack: Stack, instances: Mapping[str, bytes]) -> set[str]:
    names = [
        {one.key: one.value.string_value for one in resource.resource.attributes}
        for request in stack.tempo.requests()
        for resource in request.resource_spans
    ]
    return {name.get("host.name", "") for name in names if name.get("service.instance.id") in instances}


def test_nothing_private_passes_and_neither_layer_behind_the_first_had_to_step_in(
    stack: Stack, fleet: Fleet, told: dict[str, dict[str, bytes]]
) -> None:
    secrets = [secret for run in RUNS for secret in canaries_of(run)]
    assert found(secrets, b"".join(content for logs in told.values() for content in logs.values()))
    loki = stack.loki.everything(long_ago_s(), time.time() + 60)
    for output in (loki.encode(), stack.prometheus.everything().encode(), stack.tempo.raw()):
        assert found(secrets, output) == []
    assert {place: count for place, count in fleet.removals().items() if count} == {}


@pytest.mark.parametrize("victim", ["gateway", "machine-a"])
def test_a_collector_killed_again_and_again_under_load_costs_nothing_and_doubles_nothing(
    stack: Stack, way: Way, tmp_path: Path, victim: str
) -> None:
    """While both machines' agents write, and a backlog is read: the outbox of each sidecar bridges it."""
    chance = random.Random(victim)
    stop = threading.Event()
    with Fleet.on(stack, tmp_path, way) as fleet:
        writers = [write_under_load(machine, number, stop) for number, machine in enumerate(fleet.machines.values())]
        killed = fleet.gateway if victim == "gateway" else fleet.machines[victim].collector
        try:
            for _ in range(KILLS):
                assert not stop.wait(chance.uniform(0.1, 1.0))  # a moment to die at, not a condition to wait for
                killed.kill()
                assert not stop.wait(chance.uniform(0.1, 0.6))
                killed.start()
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        for machine in fleet.machines.values():
            machine.sidecar.wait_until_drained()
            for path, instance in machine.sidecar.instances().items():
                log = {instance: path.read_bytes()}
                # Calls that the agent had open when it ended are open still: their time has not come.
                check_exact(stack, log, unfinished=truth_of(*log.values()).unfinished if "old" in path.name else 0)
            assert len(machine.sidecar.instances()) >= 2, "the old file and a live one; two where it became midnight"
        assert "sending is paused" in fleet.machines["machine-a"].sidecar.said()


def write_under_load(machine: Machine, number: int, stop: threading.Event) -> threading.Thread:
    """Start a machine's sidecar, with a history to read, and an agent that writes until `stop`."""
    start = datetime.now(UTC).replace(minute=0) - timedelta(hours=8)  # all of it of one day
    history = DemoSettings(seed=number, start=start, calls_per_minute=40, rhythm=False)
    (old,) = write_history(machine.sidecar.logs, history, max_bytes=1_000_000).files
    old.rename(machine.sidecar.logs / "ego-mcp-old.log")
    machine.sidecar.start()
    live = DemoSettings(seed=10 + number, calls_per_minute=1500, rhythm=False)
    writer = threading.Thread(target=write_live, args=(machine.sidecar.logs, live), kwargs={"stop": stop})
    writer.start()
    return writer


@pytest.mark.parametrize("place", [pytest.param(place, id=place.signal) for place in ONE_OF_EACH])
def test_what_comes_to_the_gateway_unredacted_is_redacted_there(stack: Stack, fleet: Fleet, place: Place) -> None:
    """Whoever reaches the gateway past an agent's Collector gets no further."""
    before = fleet.gateway.removals().get((place.signal, place.mark), 0)
    with sender_to(fleet.gateway.endpoint) as sender:
        now_ns, _, request = legal_request(place.signal)
        place.plant(first_of(request))
        stack.tempo.clear()
        sender.send(place.signal, request)
    assert secrets_in(stack, now_ns) == []
    assert fleet.gateway.removals()[place.signal, place.mark] > before


def test_what_the_first_layer_lets_through_does_not_leave_the_machine(stack: Stack, way: Way, tmp_path: Path) -> None:
    """A gateway that takes everything gets the span without the secret, and with the mark."""
    (port,) = free_ports(1)
    gateway = FakeTempo(port)
    gateway.start()
    agent = agent_collector(stack, tmp_path / "agent", way, f"127.0.0.1:{port}")
    try:
        agent.start()
        place = ONE_OF_EACH[0]
        _, _, request = legal_request("traces")
        place.plant(first_of(request))
        with sender_to(agent.endpoint) as sender:
            sender.send("traces", request)
        assert len(gateway.spans()) == 1
        assert NAME.encode() not in gateway.raw().lower()
        assert b"egoscope.second_layer" in gateway.raw()
        assert agent.removals()[place.signal, place.mark] == 1
    finally:
        agent.stop()
        gateway.stop()


def test_what_a_machines_collector_removed_is_counted_on_the_gateway_too(fleet: Fleet) -> None:
    """Its mark is an attribute that the gateway does not know: whoever watches gateways alone is told as well."""
    machine = fleet.machines["machine-a"].collector
    place = ONE_OF_EACH[0]
    before = sum(fleet.gateway.removals().values())
    _, _, request = legal_request("traces")
    place.plant(first_of(request))
    with sender_to(machine.endpoint) as sender:
        sender.send("traces", request)
    assert machine.removals()["traces", place.mark] == 1
    assert sum(fleet.gateway.removals().values()) == before + 1


@contextlib.contextmanager
def sender_to(endpoint: str) -> Generator[Sender]:
    """A connection that is closed at the end."""
    opened = Sender(endpoint)
    try:
        yield opened
    finally:
        opened.close()


def answer(endpoint: str, signal: str) -> grpc.StatusCode:
    """Send a legal request and return how it was answered."""
    with sender_to(endpoint) as sender:
        try:
            sender.send(signal, legal_request(signal)[2])
        except grpc.RpcError as refused:
            return refused.code()  # type: ignore[attr-defined]  # a call's error has a code
    return grpc.StatusCode.OK


def test_the_reply_is_the_back_ends_through_both_collectors(stack: Stack, fleet: Fleet) -> None:
    """Down: to be sent again. Refused: for good. And what is not concerned goes on."""
    agent = fleet.machines["machine-a"].collector.endpoint
    try:
        stack.loki.kill()
        assert answer(agent, "logs") is grpc.StatusCode.UNAVAILABLE
        assert answer(agent, "metrics") is grpc.StatusCode.OK
        stack.tempo.answer = Answer.INVALID
        assert answer(agent, "traces") is grpc.StatusCode.INVALID_ARGUMENT
        stack.tempo.answer = Answer.EXHAUSTED
        # To be sent again, as the sidecar takes it; only a request that is too large is not.
        assert answer(agent, "traces") in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
    finally:
        stack.tempo.answer = Answer.ACCEPT
        stack.start_stopped()
    wait_for(lambda: answer(agent, "logs") is grpc.StatusCode.OK, what="logs are taken again")


def test_a_gateway_that_is_away_is_a_reason_to_wait(fleet: Fleet) -> None:
    agent = fleet.machines["machine-b"].collector.endpoint
    fleet.gateway.kill()
    try:
        codes = [answer(agent, signal) for signal in ("traces", "logs", "metrics")]
    finally:
        fleet.gateway.start()
    assert codes == [grpc.StatusCode.UNAVAILABLE] * 3
    wait_for(lambda: answer(agent, "traces") is grpc.StatusCode.OK, what="the gateway is found again")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "collector-config" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["collector.yaml", "agent.yaml", "gateway.yaml"])
def test_no_exporter_answers_before_it_was_answered_itself(name: str) -> None:
    """A queue would say yes too early, and a retry of its own would give up too early."""
    for exporter, settings in read(name).get("exporters", {}).items():
        if exporter.startswith("otlp") and exporter != "otlp_grpc/host":
            assert settings["sending_queue"] == {"enabled": False}
            assert settings["retry_on_failure"] == {"enabled": False}


def test_a_machine_waits_longer_than_the_gateway_and_shorter_than_its_sidecar() -> None:
    """Else an answer would come to nobody, and the same request again."""
    gateway = {exporter["timeout"] for name, exporter in read("collector.yaml")["exporters"].items() if "otlp" in name}
    machine = read("agent.yaml")["exporters"]["otlp_grpc/gateway"]["timeout"]
    assert (gateway, machine) == ({"10s"}, "20s")  # the sidecar: EGOSCOPE_SEND_TIMEOUT_S, 30


def test_the_machines_are_the_ones_this_was_written_for(fleet: Fleet) -> None:
    assert tuple(fleet.machines) == HOSTS
