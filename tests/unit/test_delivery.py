"""The outbox and its one retry loop: what each answer does to a request."""

from __future__ import annotations

import random
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from converted import Sent, convert
from ego_lines import said
from kept import Batches, Scripted, requests_only
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from egoscope.delivery.outbox import BACKLOG, LIVE, Delivery, Outbox
from egoscope.delivery.state import StateFile
from egoscope.otlp.client import Accepted, Outcome, Refused, Rejected, Signal, Unavailable
from egoscope.otlp.requests import Request
from egoscope.otlp.split import split_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = "Routing tool call"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    """Open an empty state file."""
    with closing(StateFile(tmp_path / "state.db")) as opened:
        yield opened


@pytest.fixture
def outbox(state: StateFile) -> Outbox:
    """Return its outbox."""
    return Outbox(state, limit_bytes=1 << 20)


def delivery(outbox: Outbox, exporter: Scripted, signal: Signal = Signal.LOGS) -> Delivery:
    """Return the delivery of one signal."""
    return Delivery(signal, outbox, exporter, jitter=random.Random(1))


def log_request(*offsets_ms: int) -> Request:
    """Return a request of some log records, told apart by their times."""
    (data,) = [
        one.data for one in Batches().of(*[said(at, LINE) for at in offsets_ms]).requests if one.signal is Signal.LOGS
    ]
    return Request(Signal.LOGS, data, len(offsets_ms))


def put(outbox: Outbox, *requests: Request, lane: int = LIVE, source: str = "i1") -> None:
    """Append requests to the outbox."""
    outbox.append(requests_only(requests, source), lane=lane, now_ns=1)


def moments(data: bytes) -> list[int]:
    """Return the times of a request's log records, in milliseconds behind the first test line's."""
    sent = Sent()
    sent.add(Signal.LOGS, data)
    first = convert([said(0, LINE)]).logs[0].time_unix_nano
    return [(log.time_unix_nano - first) // 1_000_000 for log in sent.logs]


def send_all(one: Delivery) -> list[Outcome]:
    """Send until nothing waits."""
    outcomes: list[Outcome] = []
    while (outcome := one.send_next()) is not None:
        outcomes.append(outcome)
    return outcomes


def test_an_accepted_request_is_forgotten(outbox: Outbox, state: StateFile) -> None:
    """And only then; what waits is counted on both sides."""
    put(outbox, log_request(1), log_request(2))
    exporter = Scripted()
    one = delivery(outbox, exporter)
    assert one.send_next() == Accepted()
    assert outbox.waiting().requests == 1
    assert send_all(one) == [Accepted()]
    assert (outbox.waiting().size, outbox.waiting().requests) == (0, 0)
    assert one.send_next() is None
    assert [moments(data) for _, data in exporter.received] == [[1], [2]]
    assert state.refused() == []


def test_of_a_partial_success_what_was_not_taken_is_counted_and_nothing_is_sent_again(
    outbox: Outbox, state: StateFile
) -> None:
    """The back end has said that it never will take it."""
    put(outbox, log_request(1, 2, 3))
    exporter = Scripted(lambda _signal, _request: Rejected(2))
    assert send_all(delivery(outbox, exporter)) == [Rejected(2)]
    assert [row[1:] for row in state.refused()] == [("logs", "PARTIAL_SUCCESS", 2)]
    assert outbox.waiting().requests == 0


@pytest.mark.parametrize("bad", [{0}, {6}, {3, 4}, set(range(7))])
def test_a_refused_request_is_halved_until_the_bad_item_is_alone(
    outbox: Outbox, state: StateFile, bad: set[int]
) -> None:
    """Only the bad ones are lost, each is counted, and the others arrive in their order, before later requests."""
    put(outbox, log_request(*range(7)), log_request(7))
    refused = Refused("invalid_argument")
    exporter = Scripted(lambda _signal, data: refused if bad & set(moments(data)) else Accepted())
    send_all(delivery(outbox, exporter))
    arrived = [moment for _, data in exporter.accepted for moment in moments(data)]
    assert arrived == [moment for moment in range(8) if moment not in bad]
    assert [row[1:] for row in state.refused()] == [("logs", "invalid_argument", 1)] * len(bad)
    assert (outbox.waiting().size, outbox.waiting().requests) == (0, 0)


def test_halves_keep_everything_but_the_other_half() -> None:
    """Resource, scope, schema and each item as it was: together they are the whole again, for every signal."""
    lines = [said(at, LINE, logger=f"ego_mcp.{name}") for at, name in enumerate(["server", "desire", "notion"] * 9)]
    for request in Batches().of(*lines).requests:
        whole, halved = Sent(), Sent()
        whole.add(request.signal, request.data)
        waiting = [request.data]
        count = 0
        while waiting:
            halves = split_request(request.signal, waiting[0])
            if halves is None:
                count += halved.add(request.signal, waiting.pop(0))
            else:
                assert abs(halves[0][1] - halves[1][1]) <= 1
                waiting[:1] = [data for data, _ in halves]
        assert count == request.count
        assert (halved.logs, halved.points) == (whole.logs, whole.points)
    logs = ExportLogsServiceRequest.FromString(split_request(Signal.LOGS, log_request(1, 2).data)[0][0])  # type: ignore[index]
    assert len(logs.resource_logs[0].resource.attributes) == 2
    assert logs.resource_logs[0].scope_logs[0].scope.name == "egoscope"


def test_while_the_back_end_is_unavailable_the_very_same_bytes_are_tried_again(tmp_path: Path) -> None:
    """Also after a restart; and nothing behind overtakes."""
    state = StateFile(tmp_path / "state.db")
    outbox = Outbox(state, limit_bytes=1 << 20)
    put(outbox, log_request(1, 2), log_request(3))
    down = Scripted(lambda _signal, _request: Unavailable("unavailable"))
    for _ in range(3):
        assert delivery(outbox, down).send_next() == Unavailable("unavailable")
    state.close()
    with closing(StateFile(tmp_path / "state.db")) as opened:
        again = Outbox(opened, limit_bytes=1 << 20)
        assert again.waiting() == outbox.waiting()
        up = Scripted()
        send_all(delivery(again, up))
    assert len({data for _, data in down.received}) == 1
    assert up.received[0] == down.received[0]
    assert [moments(data) for _, data in up.received] == [[1, 2], [3]]


def test_live_requests_go_before_a_backlog_and_each_lane_keeps_its_order(outbox: Outbox) -> None:
    """A backlog of gigabytes does not hold up what happens now; halves stay at the front of their lane."""
    put(outbox, log_request(1, 2), log_request(3), lane=BACKLOG, source="old")
    exporter = Scripted(lambda _signal, data: Refused("x") if len(moments(data)) == 2 else Accepted())
    one = delivery(outbox, exporter)
    one.send_next()
    put(outbox, log_request(8), log_request(9), lane=LIVE, source="new")
    send_all(one)
    assert [moments(data) for _, data in exporter.accepted] == [[8], [9], [1], [2], [3]]


def test_each_signal_has_its_own_queue(outbox: Outbox) -> None:
    """Loki stopped does not hold up Prometheus."""
    outbox.append(Batches().of(said(0, LINE)), lane=LIVE, now_ns=1)
    exporter = Scripted(lambda signal, _request: Unavailable("x") if signal is Signal.LOGS else Accepted())
    assert delivery(outbox, exporter, Signal.LOGS).send_next() == Unavailable("x")
    assert send_all(delivery(outbox, exporter, Signal.METRICS)) == [Accepted()]
    assert outbox.waiting().requests == 1


def test_the_outbox_is_bounded_and_leaves_room_for_what_is_live(state: StateFile) -> None:
    """A backlog may fill three quarters of it; it has room again when requests were sent."""
    outbox = Outbox(state, limit_bytes=4 * len(log_request(1).data))
    put(outbox, *[log_request(1)] * 3, lane=BACKLOG, source="old")
    assert (outbox.room(BACKLOG), outbox.room(LIVE)) == (False, True)
    put(outbox, log_request(1))
    assert outbox.room(LIVE) is False
    send_all(delivery(outbox, Scripted()))
    assert outbox.room(BACKLOG) is True


def test_the_loop_goes_on_by_itself_when_the_back_end_is_back(outbox: Outbox) -> None:
    """It waits as long as the server asks, and sends the rest in order."""
    put(outbox, log_request(1), log_request(2))
    done, wake, stop = threading.Event(), threading.Event(), threading.Event()
    answers: Iterator[Outcome] = iter([Unavailable("x", wait_s=0.001), Unavailable("y"), Accepted()])

    def answer(_signal: Signal, data: bytes) -> Outcome:
        outcome = next(answers, Accepted())
        if moments(data) == [2]:
            done.set()
        return outcome

    exporter = Scripted(answer)
    thread = threading.Thread(target=delivery(outbox, exporter).run, args=(wake, stop))
    thread.start()
    assert done.wait(180)
    stop.set()
    wake.set()
    thread.join(180)
    assert not thread.is_alive()
    assert [moments(data) for _, data in exporter.received] == [[1], [1], [1], [2]]
