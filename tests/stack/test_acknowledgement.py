"""What the sidecar is told is what the back end said: no queue and no retry stands in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from tests.stack import legal
from tests.stack.fake_tempo import Answer
from tests.stack.hiding_places import first_of, item_of, items_of, points_of
from tests.stack.processes import wait_for
from tests.stack.test_second_layer import Sender, legal_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.servers import Stack


@pytest.fixture
def sender(stack: Stack) -> Iterator[Sender]:
    """Connect to the Collector; whatever a test stopped runs again afterwards."""
    opened = Sender(stack.collector.endpoint)
    yield opened
    opened.close()
    stack.tempo.answer = Answer.ACCEPT
    stack.start_stopped()


def refusal(sender: Sender, signal: str) -> grpc.StatusCode:
    """Send a legal request that must be refused, and return how."""
    with pytest.raises(grpc.RpcError) as refused:
        sender.send(signal, legal_request(signal)[2])
    return refused.value.code()  # type: ignore[attr-defined]  # a call's error has a code


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_a_back_end_that_is_down_is_unavailable_and_back_again_when_it_is_up(
    stack: Stack, sender: Sender, signal: str
) -> None:
    """The sidecar may send again at once; the Collector has neither kept nor lost anything."""
    server = {"traces": stack.tempo, "logs": stack.loki, "metrics": stack.prometheus}[signal]
    server.kill()
    assert refusal(sender, signal) is grpc.StatusCode.UNAVAILABLE
    server.start()

    def accepted() -> bool:
        try:
            sender.send(signal, legal_request(signal)[2])
        except grpc.RpcError:
            return False
        return True

    wait_for(accepted, what=f"{signal} are taken again")


def test_one_signal_does_not_wait_for_another_ones_back_end(stack: Stack, sender: Sender) -> None:
    """Logs pass while Tempo hangs, and metrics while Loki is down."""
    stack.tempo.answer = Answer.NEVER
    sender.send("logs", legal_request("logs")[2])
    stack.loki.kill()
    sender.send("metrics", legal_request("metrics")[2])


def test_a_permanent_refusal_arrives_as_such(stack: Stack, sender: Sender) -> None:
    """INVALID_ARGUMENT tells the sidecar to split the request, not to repeat it."""
    stack.tempo.answer = Answer.INVALID
    assert refusal(sender, "traces") is grpc.StatusCode.INVALID_ARGUMENT


def test_a_point_prometheus_refuses_is_a_permanent_refusal(sender: Sender) -> None:
    """Another value at the same time: the whole request comes back as refused for good."""
    request = legal_request("metrics")[2]
    sender.send("metrics", request)
    point = points_of(items_of(request)[2])[0]
    point.as_int += 1
    with pytest.raises(grpc.RpcError) as refused:
        sender.send("metrics", request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]  # see refusal()


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_what_is_sent_again_is_not_stored_again(stack: Stack, sender: Sender, signal: str) -> None:
    """The very same bytes twice: Loki has each entry once, Prometheus each sample once."""
    now_ns, instance, request = legal_request(signal)
    for _ in range(2):
        sender.send(signal, request)
    if signal == "logs":
        entries = stack.loki.entries(f'{{service_instance_id="{instance}"}}', now_ns / 1e9 - 1, now_ns / 1e9 + 10)
        assert len(entries) == len(items_of(request))
    else:
        samples = stack.prometheus.query(
            f'count_over_time(ego_calls_total{{instance="{instance}"}}[10s])', now_ns / 1e9 + 5
        )
        assert {sample.value for sample in samples} == {1}


# Prometheus looks at every two hours in between when it compacts, which takes it minutes for years.
@pytest.mark.parametrize(("signal", "days"), [("logs", 2 * 365), ("metrics", 60)])
def test_history_is_taken_behind_todays_lines(stack: Stack, sender: Sender, signal: str, days: int) -> None:
    """A log of long ago, an instance of its own, is accepted after today's, and is found at its own time."""
    now_ns, instance, _ = legal_request(signal)
    sender.send(signal, legal_request(signal)[2])
    then_ns = now_ns - days * 86_400 * 10**9
    sender.send(signal, getattr(legal, signal)(then_ns, instance))
    if signal == "logs":
        selector = f'{{service_instance_id="{instance}"}}'
        assert stack.loki.count(selector, then_ns / 1e9 - 1, then_ns / 1e9 + 1) > 0
    else:
        assert stack.prometheus.value(f'count(ego_calls_total{{instance="{instance}"}})', then_ns / 1e9 + 1)


def test_data_survives_a_kill_of_every_back_end(stack: Stack, sender: Sender) -> None:
    """What was acknowledged is there after kill -9: write-ahead logs do their work."""
    now_ns, instance, logs = legal_request("logs")
    sender.send("logs", logs)
    sender.send("metrics", legal.metrics(now_ns, instance))
    for server in (stack.loki, stack.prometheus):
        server.kill()
        server.start()
    assert stack.loki.count(f'{{service_instance_id="{instance}"}}', now_ns / 1e9 - 1, now_ns / 1e9 + 1) == len(
        items_of(logs)
    )
    assert stack.prometheus.value(f'count(ego_calls_total{{instance="{instance}"}})', now_ns / 1e9 + 1)


def test_exemplars_lead_from_a_duration_to_its_trace(stack: Stack, sender: Sender) -> None:
    """Exemplars are made behind the redaction, from spans; they hold ids alone."""
    trace_ids: set[str] = set()

    def found() -> list[dict[str, str]]:
        # A series takes five exemplars a flush, and an earlier test's may have been first.
        request = first_of(legal_request("traces")[2])
        sender.send("traces", request)
        trace_ids.add(item_of(request).trace_id.hex())
        series = stack.prometheus.exemplars("traces_span_metrics_duration_seconds_bucket")
        labels = [exemplar["labels"] for one in series for exemplar in one["exemplars"]]
        return [one for one in labels if one.get("trace_id") in trace_ids]

    exemplars = wait_for(found, what="an exemplar of one of the spans sent")
    assert all(set(one) == {"trace_id", "span_id"} for one in exemplars)
