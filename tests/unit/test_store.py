"""The embedded store as an exporter: durable, idempotent, and honest about what it could not do."""

from __future__ import annotations

import resource
import signal
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Metric,
)
from otlp_requests import (
    SECOND,
    T0,
    agent,
    calls,
    durations,
    gauge,
    log_request,
    metric_request,
    record,
    span,
    trace_request,
)

from egoscope.errors import StateError
from egoscope.otlp.client import Accepted, Refused, Rejected, Signal, Unavailable
from egoscope.store import schema
from egoscope.store.queries import StoreReader
from egoscope.store.sqlite import EmbeddedStore
from tests.own_process import alone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from egoscope.otlp.client import Outcome

REQUESTS = [
    pytest.param(Signal.TRACES, trace_request([span(1), span(2, failed=True)]), id="traces"),
    pytest.param(Signal.LOGS, log_request([record(0), record(80), record(None)]), id="logs"),
    pytest.param(Signal.METRICS, metric_request([calls(1), gauge("ego.valence", 0.5), durations()]), id="metrics"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store.db"


def sent_without_room(path: Path, request: bytes) -> Outcome:
    """Return what a store answers whose files may grow by little; the limit is one of the whole process."""
    used = max(file.stat().st_size for file in path.parent.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with EmbeddedStore(path) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (used + 50_000, limits[1]))
        outcome = store.send(Signal.LOGS, request)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return outcome


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddedStore]:
    """Open an empty store."""
    with EmbeddedStore(path) as opened:
        yield opened


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    """All rows of a table, as another process reads them."""
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
    finally:
        db.close()


def everything(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    return {table: rows(path, table) for table in ("instances", "spans", "logs", "series", "points")}


class TestIdempotence:
    """A crash before the acknowledgement was stored sends the very same bytes again."""

    @pytest.mark.parametrize(("kind", "request_bytes"), REQUESTS)
    def test_same_bytes_twice_change_nothing(
        self, store: EmbeddedStore, path: Path, kind: Signal, request_bytes: bytes
    ) -> None:
        assert store.send(kind, request_bytes) == Accepted()
        before = everything(path)
        assert store.send(kind, request_bytes) == Accepted()
        assert everything(path) == before
        store.close()
        with EmbeddedStore(path) as reopened:
            assert reopened.send(kind, request_bytes) == Accepted()
        assert everything(path) == before

    def test_equal_lines_of_one_nanosecond_stay_two_by_their_offsets(self, store: EmbeddedStore, path: Path) -> None:
        store.send(Signal.LOGS, log_request([record(0), record(80)]))
        assert len(rows(path, "logs")) == 2

    def test_offsets_of_two_instances_do_not_meet(self, store: EmbeddedStore, path: Path) -> None:
        store.send(Signal.LOGS, log_request([record(0)]))
        store.send(Signal.LOGS, log_request([record(0)], agent("i2")))
        assert len(rows(path, "logs")) == 2

    def test_a_span_sent_anew_replaces_its_former_self(self, store: EmbeddedStore, path: Path) -> None:
        store.send(Signal.TRACES, trace_request([span(1)]))
        store.send(Signal.TRACES, trace_request([span(1, failed=True)]))
        with StoreReader(path) as reader:
            picture = reader.picture(wall_ns=T0, window_ns=None, minutes=1, log_lines=1)
        assert (picture.calls, picture.errors) == (1, 1)

    def test_threads_of_three_signals_store_every_record_once(self, store: EmbeddedStore, path: Path) -> None:
        def send_all(kind: Signal) -> None:
            for number in range(1, 31):
                time = T0 + number
                request = {
                    Signal.TRACES: lambda time=time, number=number: trace_request([span(number, end=time)]),
                    Signal.LOGS: lambda time=time, number=number: log_request([record(number, time=time)]),
                    Signal.METRICS: lambda time=time, number=number: metric_request([calls(number, time=time)]),
                }[kind]()
                outcomes.append(store.send(kind, request))

        outcomes: list[object] = []
        threads = [threading.Thread(target=send_all, args=(kind,)) for kind in Signal]
        for thread in threads:
            thread.start()
        with StoreReader(path) as reader:  # a reader in between sees whole requests and hinders nobody
            while any(thread.is_alive() for thread in threads):
                reader.picture(wall_ns=T0, window_ns=None, minutes=5, log_lines=5)
        for thread in threads:
            thread.join()
        assert outcomes == [Accepted()] * 90
        assert [len(rows(path, table)) for table in ("spans", "logs", "points")] == [30, 30, 30]


class TestWhatIsStored:
    """Rows that a person with the sqlite3 shell can read."""

    def test_a_span_is_a_row_with_its_ids_in_hex(self, store: EmbeddedStore, path: Path) -> None:
        store.send(Signal.TRACES, trace_request([span(1, failed=True, said={"ego__emotion__primary": "curious"})]))
        columns = ("remember", "error", "curious", "i1", "remember", "log")
        db = sqlite3.connect(path)
        found = db.execute(
            "SELECT span_id, trace_id, parent_id, name, end_ns - start_ns, status, tool, outcome, emotion, instance,"
            " attributes ->> '$.\"gen_ai.tool.name\"', events ->> '$[0].name' FROM spans"
        ).fetchall()
        db.close()
        assert found == [
            (f"{1:016x}", f"{1:032x}", None, "tools/call remember", 40_000_000, "ERROR", *columns),
        ]

    def test_numbers_and_histograms_are_points_of_their_series(self, store: EmbeddedStore, path: Path) -> None:
        store.send(Signal.METRICS, metric_request([calls(1), calls(2, time=T0 + 1), durations()]))
        assert [row[1:] for row in rows(path, "series")] == [
            ("ego.calls", "sum", "{call}", '{"outcome":"ok","tool":"remember"}', "i1", ""),
            ("gen_ai.execute_tool.duration", "histogram", "s", "{}", "i1", "[0.1,1.0]"),
        ]
        assert rows(path, "points") == [
            (1, T0, None, 1, None, None, None),
            (1, T0 + 1, None, 2, None, None, None),
            (2, T0, None, None, 3, 0.5, "[1,2,0]"),
        ]

    def test_points_without_columns_are_counted_as_rejected_and_the_rest_is_stored(
        self, store: EmbeddedStore, path: Path
    ) -> None:
        points = [ExponentialHistogramDataPoint(time_unix_nano=T0), ExponentialHistogramDataPoint(time_unix_nano=T0)]
        metric = Metric(name="x", exponential_histogram=ExponentialHistogram(data_points=points))
        assert store.send(Signal.METRICS, metric_request([metric, calls(1)])) == Rejected(2)
        assert len(rows(path, "points")) == 1

    def test_the_file_is_its_owners_alone(self, store: EmbeddedStore, path: Path) -> None:
        store.send(Signal.TRACES, trace_request([span(1)]))
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


class TestRefused:
    """What no retry will cure."""

    @pytest.mark.parametrize("kind", Signal)
    @pytest.mark.parametrize(
        "request_bytes",
        [
            pytest.param(b"\xff\xff\xff", id="no protobuf"),
            pytest.param(trace_request([span(1)])[:-3], id="cut short"),
        ],
    )
    def test_bytes_that_are_no_request_are_refused(
        self, store: EmbeddedStore, path: Path, kind: Signal, request_bytes: bytes
    ) -> None:
        assert store.send(kind, request_bytes) == Refused("INVALID_ARGUMENT")
        assert not any(everything(path).values())

    def test_a_time_beyond_63_bits_refuses_the_request_and_stores_none_of_it(
        self, store: EmbeddedStore, path: Path
    ) -> None:
        request = log_request([record(0), record(80, time=2**64 - 1)])
        assert store.send(Signal.LOGS, request) == Refused("OUT_OF_RANGE")
        assert not any(everything(path).values())
        assert store.send(Signal.LOGS, log_request([record(0)])) == Accepted()


class TestUnavailable:
    """What a later try may cure; the request is then stored whole."""

    def test_locked_by_another_writer(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.05)
        with EmbeddedStore(path) as store:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            assert store.send(Signal.TRACES, trace_request([span(1)])) == Unavailable("SQLITE_BUSY")
            with pytest.raises(StateError, match="SQLITE_BUSY"):
                store.prune(T0)
            other.execute("ROLLBACK")
            other.close()
            assert store.send(Signal.TRACES, trace_request([span(1)])) == Accepted()

    def test_no_room_left(self, store: EmbeddedStore, path: Path) -> None:
        """A limit on file size fails writes as a full disk does: in the middle of a transaction."""
        assert store.send(Signal.TRACES, trace_request([span(1)])) == Accepted()
        large = log_request([record(n, body="x" * 1000) for n in range(500)])
        assert isinstance(alone(sent_without_room, path, large), Unavailable)
        assert rows(path, "logs") == []
        assert store.send(Signal.LOGS, large) == Accepted()
        assert len(rows(path, "logs")) == 500

    def test_sending_to_a_closed_store_does_not_raise(self, store: EmbeddedStore) -> None:
        store.close()
        store.close()
        assert isinstance(store.send(Signal.TRACES, trace_request([span(1)])), Unavailable)


class TestOpening:
    """A file that cannot be used is named and left alone."""

    def test_tables_of_a_newer_version_are_an_error_that_says_so(self, path: Path) -> None:
        EmbeddedStore(path).close()
        db = sqlite3.connect(path)
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        db.close()
        for opening in (EmbeddedStore, StoreReader):
            with pytest.raises(StateError, match="newer egoscope"):
                opening(path)

    @pytest.mark.parametrize("opening", [EmbeddedStore, StoreReader])
    def test_a_file_that_is_no_database_is_not_overwritten(
        self, path: Path, opening: type[EmbeddedStore | StoreReader]
    ) -> None:
        path.write_bytes(b"something else, of some length" * 100)
        with pytest.raises(StateError, match="SQLITE_NOTADB"):
            opening(path)
        assert path.read_bytes() == b"something else, of some length" * 100

    @pytest.mark.parametrize("opening", [EmbeddedStore, StoreReader])
    def test_a_database_of_somebody_else_is_not_touched(
        self, path: Path, opening: type[EmbeddedStore | StoreReader]
    ) -> None:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE theirs (x)")
        db.close()
        before = path.read_bytes()
        with pytest.raises(StateError, match="no embedded store"):
            opening(path)
        assert path.read_bytes() == before

    def test_a_reader_does_not_make_a_missing_store(self, path: Path) -> None:
        with pytest.raises(StateError, match="no such"):
            StoreReader(path)
        assert not path.exists()


class TestPrune:
    """Retention."""

    def test_what_is_older_goes_and_the_rest_stays(
        self, store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("egoscope.store.sqlite.PRUNE_ROWS", 3)
        times = [T0 + n * SECOND for n in range(20)]
        store.send(Signal.TRACES, trace_request([span(n + 1, end=time) for n, time in enumerate(times)]))
        store.send(Signal.LOGS, log_request([record(n, time=time) for n, time in enumerate(times)]))
        store.send(Signal.METRICS, metric_request([calls(n, time=time) for n, time in enumerate(times)]))
        store.send(Signal.METRICS, metric_request([gauge("ego.valence", 0.1)]))
        assert store.prune(T0 + 15 * SECOND) == 15 * 3 + 1
        kept = set(times[15:])
        assert {row[5] for row in rows(path, "spans")} == kept
        assert {row[2] for row in rows(path, "logs")} == kept
        assert {row[1] for row in rows(path, "points")} == kept
        assert [row[1] for row in rows(path, "series")] == ["ego.calls"]
        assert store.prune(T0 + 15 * SECOND) == 0
