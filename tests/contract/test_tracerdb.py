"""What every `TracerDB` promises, on a real file and on a real gRPC server."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from egoscope.errors import DeliveryError, NotConnectedError
from egoscope.tracerdb import EventData, SpanData, SQLiteTracerDB, TempoTracerDB, TracerDB
from tests.stack.fake_tempo import Answer, FakeTempo
from tests.stack.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

START = 1_763_700_000_000_000_000
END = START + 1_500_000


@dataclass
class Read:
    """A span as it is read back, in one form for all."""

    trace_id: str
    parent_id: str | None
    name: str
    start: int
    end: int
    status: str
    attributes: Mapping[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]


class BackEnd(Protocol):
    """What is behind a `TracerDB`."""

    def open(self) -> TracerDB: ...
    def read(self) -> dict[str, Read]: ...
    def fail(self) -> None: ...
    def recover(self) -> None: ...


class File:
    """A SQLite file; a lock of somebody else makes it fail."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: sqlite3.Connection | None = None

    def open(self) -> TracerDB:
        return SQLiteTracerDB(self._path)

    def read(self) -> dict[str, Read]:
        with closing(sqlite3.connect(self._path)) as db:
            spans = db.execute('SELECT span_id, trace_id, parent_id, name, start, "end", status, attributes FROM spans')
            found = {
                span_id: Read(trace_id, parent_id, name, start, end, status, json.loads(attributes), [])
                for span_id, trace_id, parent_id, name, start, end, status, attributes in spans
            }
            for span_id, name, timestamp, attributes in db.execute(
                "SELECT span_id, name, timestamp, attributes FROM events ORDER BY id"
            ):
                if span_id in found:
                    found[span_id].events.append((name, timestamp, json.loads(attributes)))
        return found

    def fail(self) -> None:
        self._lock = sqlite3.connect(self._path, isolation_level=None)
        self._lock.execute("BEGIN IMMEDIATE")

    def recover(self) -> None:
        assert self._lock is not None
        self._lock.close()


class Server:
    """An OTLP server; told to be unavailable it fails."""

    def __init__(self, fake: FakeTempo) -> None:
        self._fake = fake

    def open(self) -> TracerDB:
        return TempoTracerDB(f"http://127.0.0.1:{self._fake.port}", backoff_s=0.01, interval_s=60)

    def read(self) -> dict[str, Read]:
        return {span.span_id.hex(): _read(span) for span in self._fake.spans()}

    def fail(self) -> None:
        self._fake.answer = Answer.UNAVAILABLE

    def recover(self) -> None:
        self._fake.answer = Answer.ACCEPT


def _read(span: trace_pb2.Span) -> Read:
    return Read(
        span.trace_id.hex(),
        span.parent_span_id.hex() or None,
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        _values(span.attributes),
        [(event.name, event.time_unix_nano, _values(event.attributes)) for event in span.events],
    )


def _values(attributes: Any) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        kind = value.WhichOneof("value")
        return [plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)

    return {one.key: plain(one.value) for one in attributes}


@pytest.fixture(params=["sqlite", "tempo"])
def back_end(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackEnd]:
    """Each implementation in turn."""
    if request.param == "sqlite":
        monkeypatch.setattr("egoscope.tracerdb.sqlite._PATIENT_MS", 20)  # for the tests in which it is in vain
        yield File(tmp_path / "traces.db")
        return
    (port,) = free_ports(1)
    fake = FakeTempo(port)
    fake.start()
    yield Server(fake)
    fake.stop()


@pytest.fixture
def db(back_end: BackEnd) -> Iterator[TracerDB]:
    """A connected one."""
    opened = back_end.open()
    opened.connect()
    yield opened
    with suppress(DeliveryError):
        opened.close()


def span(number: int = 1, **values: Any) -> SpanData:
    """Return a span that ended."""
    return replace(
        SpanData(trace_id=f"{number:032x}", span_id=f"{number:016x}", name="work", start=START, end=END), **values
    )


ID = span().span_id


def event(name: str = "step", at: int = START + 5) -> EventData:
    """Return an event."""
    return EventData(name=name, timestamp=at, attributes={"n": 1})


def record_span(db: TracerDB) -> None:
    db.record_span(span())


def record_event(db: TracerDB) -> None:
    db.record_event(ID, event())


def flush(db: TracerDB) -> None:
    db.flush()


RECORDING = [record_span, record_event, flush]


@pytest.mark.parametrize("call", RECORDING)
def test_before_connect_nothing_is_taken(back_end: BackEnd, call: Callable[[TracerDB], None]) -> None:
    with pytest.raises(NotConnectedError, match="connect"):
        call(back_end.open())


@pytest.mark.parametrize("call", RECORDING)
def test_after_close_nothing_is_taken(db: TracerDB, call: Callable[[TracerDB], None]) -> None:
    db.close()
    with pytest.raises(NotConnectedError, match="connect"):
        call(db)


def test_connect_and_close_may_be_repeated_and_connect_opens_anew(back_end: BackEnd, db: TracerDB) -> None:
    db.connect()
    db.record_span(span(1))
    db.close()
    db.close()
    db.connect()
    db.record_span(span(2))
    db.flush()
    assert set(back_end.read()) == {span(1).span_id, span(2).span_id}


def test_close_without_connect_does_nothing(back_end: BackEnd) -> None:
    back_end.open().close()


def test_a_flushed_span_is_read_back_whole(back_end: BackEnd, db: TracerDB) -> None:
    given = {"text": "naïve ✓", "yes": True, "count": -7, "share": 0.25, "names": ["a", "b"], "none": []}
    db.record_span(span(parent_id="00000000000000ff", status="ERROR", attributes=given))
    db.record_event(ID, event("first"))
    db.record_event(ID, event("second", START + 9))
    db.flush()
    events: list[tuple[str, int, dict[str, Any]]] = [("first", START + 5, {"n": 1}), ("second", START + 9, {"n": 1})]
    expected = Read(span().trace_id, "00000000000000ff", "work", START, END, "ERROR", given, events)
    assert back_end.read() == {ID: expected}


def test_leaving_the_context_writes_everything(back_end: BackEnd) -> None:
    with back_end.open() as db:
        db.record_span(span())
    assert set(back_end.read()) == {ID}


def break_off(back_end: BackEnd, *, failing: bool = False) -> None:
    """Record a span and leave the context by an error."""
    with back_end.open() as db:
        db.record_span(span())
        if failing:
            back_end.fail()
        raise ZeroDivisionError


def test_leaving_the_context_by_an_error_writes_everything_and_passes_it_on(back_end: BackEnd) -> None:
    with pytest.raises(ZeroDivisionError):
        break_off(back_end)
    assert set(back_end.read()) == {ID}


def test_an_error_that_passes_is_not_hidden_by_a_failing_close(
    back_end: BackEnd, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError):
        break_off(back_end, failing=True)
    back_end.recover()
    assert "1 spans" in caplog.text


def test_the_same_id_again_replaces_what_was_recorded(back_end: BackEnd, db: TracerDB) -> None:
    db.record_span(span(name="first", attributes={"a": 1}))
    db.record_event(ID, event())
    db.record_span(span(name="second", attributes={"b": 2}))
    db.flush()
    read = back_end.read()[ID]
    assert (read.name, read.attributes, len(read.events)) == ("second", {"b": 2}, 1)


def test_a_span_recorded_at_its_start_gets_its_end_later(back_end: BackEnd, db: TracerDB) -> None:
    db.record_span(span(end=None))
    db.record_event(ID, event())
    db.flush()
    db.record_span(span(status="OK"))
    db.flush()
    read = back_end.read()[ID]
    assert (read.end, read.status, len(read.events)) == (END, "OK", 1)


def test_an_event_may_come_before_its_span(back_end: BackEnd, db: TracerDB) -> None:
    db.record_event(ID, event())
    db.flush()
    db.record_span(span())
    db.flush()
    assert [name for name, _, _ in back_end.read()[ID].events] == ["step"]


def test_an_event_whose_span_never_comes_disturbs_nothing(back_end: BackEnd, db: TracerDB) -> None:
    db.record_event("ffffffffffffffff", event())
    db.record_span(span())
    db.close()
    assert back_end.read()[ID].events == []


def test_recording_does_not_fail_with_the_back_end_and_flush_tells(back_end: BackEnd, db: TracerDB) -> None:
    back_end.fail()
    for number in range(1, 701):  # more than a batch
        db.record_span(span(number, attributes={"secret": "planted"}))
    with pytest.raises(DeliveryError, match=r"700 spans.* wait for the next flush") as failure:
        db.flush()
    assert "planted" not in str(failure.value)
    back_end.recover()
    db.flush()
    assert len(back_end.read()) == 700


def test_what_waited_for_the_back_end_is_replaced_by_what_came_later(back_end: BackEnd, db: TracerDB) -> None:
    back_end.fail()
    db.record_span(span(name="first"))
    db.record_event(ID, event("one"))
    with pytest.raises(DeliveryError):
        db.flush()
    db.record_span(span(name="second"))
    db.record_event(ID, event("two"))
    back_end.recover()
    db.flush()
    read = back_end.read()[ID]
    assert (read.name, [name for name, _, _ in read.events]) == ("second", ["one", "two"])


def test_close_tells_what_is_lost_and_lets_go(back_end: BackEnd, db: TracerDB) -> None:
    back_end.fail()
    db.record_span(span())
    with pytest.raises(DeliveryError, match="lost"):
        db.close()
    back_end.recover()
    db.connect()
    db.flush()
    assert back_end.read() == {}


def test_a_flush_with_nothing_new_says_nothing_again(back_end: BackEnd, db: TracerDB) -> None:
    db.record_span(span())
    db.flush()
    db.flush()
    assert list(back_end.read()) == [ID]


def test_threads_record_at_the_same_time(back_end: BackEnd, db: TracerDB) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 300):
            db.record_span(span(number, end=None))
            db.record_event(span(number).span_id, event())
            db.record_span(span(number))

    threads = [threading.Thread(target=work, args=(first,)) for first in (1, 1001, 2001, 3001)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.flush()
    read = back_end.read()
    assert len(read) == 1200
    assert {len(one.events) for one in read.values()} == {1}
