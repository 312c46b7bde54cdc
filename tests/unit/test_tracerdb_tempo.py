"""`TempoTracerDB` against a server that refuses, rejects, hangs and goes away when told to."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from egoscope.convert import semconv as s
from egoscope.errors import ConfigError, DeliveryError
from egoscope.tracerdb import EventData, SpanData, TempoTracerDB
from egoscope.tracerdb.otlp_export import target_of
from tests.stack.fake_tempo import Answer, FakeTempo
from tests.stack.processes import free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


def db_of(tempo: FakeTempo, **settings: Any) -> TempoTracerDB:
    given: dict[str, Any] = {"backoff_s": 0.01, "interval_s": 60, **settings}
    return TempoTracerDB(f"127.0.0.1:{tempo.port}", **given)


def span(number: int = 1, **values: Any) -> SpanData:
    given: dict[str, Any] = {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "name": "n"}
    given |= {"start": 10, "end": 20, **values}
    return SpanData(**given)


class Counted(FakeTempo):
    """Answers as told for the next calls, then accepts; remembers when each came."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.next_answers: list[Answer] = []
        self.times: list[float] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 (the name gRPC calls)
        self.times.append(time.monotonic())
        self.answer = self.next_answers.pop(0) if self.next_answers else Answer.ACCEPT
        return super().Export(request, context)


@pytest.fixture
def counted() -> Iterator[Counted]:
    (port,) = free_ports(1)
    fake = Counted(port)
    fake.start()
    yield fake
    fake.stop()


def test_a_failed_call_is_retried_three_times_with_growing_waits(counted: Counted) -> None:
    counted.next_answers = [Answer.UNAVAILABLE] * 3
    with db_of(counted, backoff_s=0.1) as db:
        db.record_span(span())
        db.flush()
    waits = [later - earlier for earlier, later in zip(counted.times, counted.times[1:], strict=False)]
    assert len(counted.spans()) == 1
    assert [wait >= least for wait, least in zip(waits, (0.1, 0.2, 0.4), strict=True)] == [True] * 3


def test_after_the_third_retry_flush_says_so_and_the_spans_wait(counted: Counted) -> None:
    counted.next_answers = [Answer.UNAVAILABLE] * 4
    with db_of(counted) as db:
        db.record_span(span())
        with pytest.raises(
            DeliveryError, match=r"1 spans could not be sent \(UNAVAILABLE\) and wait for the next flush"
        ):
            db.flush()
        assert len(counted.times) == 4
        db.flush()
    assert len(counted.spans()) == 1


def test_a_permanent_error_is_not_retried_and_flush_says_what_is_lost(counted: Counted) -> None:
    counted.next_answers = [Answer.INVALID]
    with db_of(counted) as db:
        db.record_span(span())
        with pytest.raises(DeliveryError, match=r"1 spans refused by the server \(INVALID_ARGUMENT\)"):
            db.flush()
        db.flush()  # told once
    assert len(counted.times) == 1


def test_a_partial_success_is_told(tempo: FakeTempo) -> None:
    """The SDK's exporter calls it a success."""
    tempo.answer = Answer.PARTIAL
    with db_of(tempo) as db:
        db.record_span(span())
        with pytest.raises(DeliveryError, match="1 spans rejected by the server"):
            db.flush()


def test_a_server_that_hangs_is_given_up_after_the_timeout(counted: Counted) -> None:
    counted.next_answers = [Answer.NEVER] * 4
    with db_of(counted, timeout_s=0.1) as db:
        db.record_span(span())
        with pytest.raises(DeliveryError, match="DEADLINE_EXCEEDED"):
            db.flush()


def test_a_server_that_is_not_there_is_told_and_one_that_comes_gets_everything() -> None:
    (port,) = free_ports(1)
    fake = FakeTempo(port)
    with db_of(fake) as db:
        db.record_span(span())
        with pytest.raises(DeliveryError, match="UNAVAILABLE"):
            db.flush()
        fake.start()
        wait_for(lambda: _flushed(db), what="the channel connects again")
        assert len(fake.spans()) == 1
    fake.stop()


def _flushed(db: TempoTracerDB) -> bool:
    try:
        db.flush()
    except DeliveryError:
        return False
    return True


def test_what_the_thread_could_not_send_is_told_by_flush_too(counted: Counted) -> None:
    counted.next_answers = [Answer.INVALID]
    with db_of(counted, batch_size=1) as db:
        db.record_span(span())
        wait_for(lambda: len(counted.times) == 1, what="the thread sends")
        with pytest.raises(DeliveryError, match="refused"):
            db.flush()


def test_spans_are_sent_by_themselves_when_a_batch_is_full_or_time_has_passed(tempo: FakeTempo) -> None:
    with db_of(tempo, batch_size=3) as db:
        for number in (1, 2, 3):
            db.record_span(span(number))
        wait_for(lambda: len(tempo.spans()) == 3, what="a full batch is sent")
    with db_of(tempo, interval_s=0.05) as db:
        db.record_span(span(4))
        wait_for(lambda: len(tempo.spans()) == 4, what="the interval passes")


def test_recording_never_waits_for_a_server_that_hangs(counted: Counted) -> None:
    counted.next_answers = [Answer.NEVER] * 4
    with db_of(counted, batch_size=1, timeout_s=60.0) as db:
        db.record_span(span(1))
        wait_for(lambda: len(counted.times) == 1, what="the thread hangs in a call")
        begun = time.monotonic()
        for number in range(2, 200):
            db.record_span(span(number))
        assert time.monotonic() - begun < 30
        counted.next_answers = []
        counted.answer = Answer.ACCEPT  # the one that hangs is let go, and sent again
    assert len(counted.spans()) == 199


def test_more_than_can_wait_is_dropped_oldest_first_and_counted(tempo: FakeTempo) -> None:
    tempo.answer = Answer.UNAVAILABLE
    with db_of(tempo, max_pending=10, batch_size=100) as db:
        for number in range(1, 16):
            db.record_span(span(number))
            db.record_event(f"{number:016x}", EventData(name="e", timestamp=1))
        tempo.answer = Answer.ACCEPT
        with pytest.raises(DeliveryError, match="5 spans dropped"):
            db.flush()
    assert [one.start_time_unix_nano for one in tempo.spans()] == [10] * 10
    assert {int.from_bytes(one.span_id) for one in tempo.spans()} == set(range(6, 16))


def test_a_running_span_is_sent_at_close_as_unfinished(tempo: FakeTempo) -> None:
    with db_of(tempo) as db:
        db.record_span(span(end=None))
        db.record_event(f"{1:016x}", EventData(name="e", timestamp=17))
        db.flush()
        assert tempo.spans() == []
    (sent,) = tempo.spans()
    assert sent.end_time_unix_nano == 17
    assert {one.key for one in sent.attributes} == {s.UNFINISHED}


def test_ids_that_are_not_opentelemetrys_are_derived_alike_and_kept(tempo: FakeTempo) -> None:
    with db_of(tempo) as db:
        db.record_span(span(span_id="root", trace_id="run 7"))
        db.record_span(span(span_id="child", trace_id="run 7", parent_id="root"))
        db.flush()
    root, child = tempo.spans()
    assert child.parent_span_id == root.span_id
    assert child.trace_id == root.trace_id
    kept = {one.key: one.value.string_value for one in child.attributes}
    assert kept == {s.RECORDED_SPAN_ID: "child", s.RECORDED_TRACE_ID: "run 7"}


def test_an_id_of_zeros_which_opentelemetry_forbids_is_derived(tempo: FakeTempo) -> None:
    with db_of(tempo) as db:
        db.record_span(span(0))
        db.flush()
    assert any(tempo.spans()[0].span_id)


def test_service_name_and_headers_are_sent(tempo: FakeTempo) -> None:
    seen: list[Any] = []
    export = tempo.Export
    tempo.Export = lambda request, context: (
        seen.append(dict(context.invocation_metadata())),
        export(request, context),
    )[1]
    tempo.restart()
    with db_of(tempo, service_name="my-agent", headers={"authorization": "Bearer t"}) as db:
        db.record_span(span())
        db.flush()
    (resource,) = tempo.requests()[0].resource_spans
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert names[s.SERVICE_NAME] == "my-agent"
    assert seen[0]["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        pytest.param("localhost:4317", "http://localhost:4317", id="no scheme: no TLS"),
        pytest.param("http://[::1]:4317", "http://[::1]:4317", id="IPv6"),
        pytest.param("https://tempo.example:443", "https://tempo.example:443", id="TLS"),
    ],
)
def test_an_endpoint_gets_its_scheme(endpoint: str, target: str) -> None:
    assert target_of(endpoint) == target


@pytest.mark.parametrize("endpoint", ["", "tempo", "ftp://host:1", "http://:4317", "host:port", "http://u:planted@h:1"])
def test_an_endpoint_that_is_none_is_refused_at_once(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="http://host:port") as refused:
        TempoTracerDB(endpoint)
    assert "planted" not in str(refused.value)


def test_events_without_a_span_are_logged_at_close(tempo: FakeTempo, caplog: pytest.LogCaptureFixture) -> None:
    with db_of(tempo) as db:
        db.record_event("0123456789abcdef", EventData(name="planted", timestamp=1))
    assert "1 events dropped" in caplog.text
    assert "planted" not in caplog.text


def test_close_leaves_no_thread(tempo: FakeTempo) -> None:
    before = set(threading.enumerate())
    with db_of(tempo):
        (own,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "tempo-tracer-db")
    assert not own.is_alive()


def test_what_is_still_connected_is_sent_when_the_interpreter_ends(tempo: FakeTempo) -> None:
    code = """
import sys
from egoscope.tracerdb import SpanData, TempoTracerDB
db = TempoTracerDB(sys.argv[1])
db.connect()
db.record_span(SpanData(trace_id="1" * 32, span_id="2" * 16, name="n", start=1, end=2))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, f"127.0.0.1:{tempo.port}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(tempo.spans()) == 1
