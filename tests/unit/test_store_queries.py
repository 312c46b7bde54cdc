"""What the monitor reads from the embedded store equals what was put in."""

from __future__ import annotations

import random
import sqlite3
import statistics
from typing import TYPE_CHECKING

import pytest
from otlp_requests import (
    SECOND,
    T0,
    agent,
    gauge,
    log_request,
    metric_request,
    record,
    span,
    trace_request,
)

from egoscope.otlp.client import Signal
from egoscope.store import queries
from egoscope.store.queries import MINUTE_NS, Picture, StoreReader, percentile
from egoscope.store.sqlite import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

HOUR = 60 * MINUTE_NS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddedStore]:
    """Open an empty store."""
    with EmbeddedStore(path) as opened:
        yield opened


def look(path: Path, *, wall: int = T0, window: int | None = HOUR, minutes: int = 5, log_lines: int = 10) -> Picture:
    """Take one picture."""
    with StoreReader(path) as reader:
        return reader.picture(wall_ns=wall, window_ns=window, minutes=minutes, log_lines=log_lines)


def put(store: EmbeddedStore, *spans: Span, instance: str = "i1") -> None:
    """Store spans."""
    store.send(Signal.TRACES, trace_request(spans, agent(instance)))


class TestCalls:
    """Counts and durations."""

    def test_counts_are_exact_by_tool_outcome_and_window(self, store: EmbeddedStore, path: Path) -> None:
        rng = random.Random(7)
        drawn = [(rng.choice("abc"), rng.random() < 0.2, T0 - rng.randrange(3 * HOUR)) for _ in range(500)]
        put(store, *(span(n, tool=t, failed=f, end=end) for n, (t, f, end) in enumerate([*drawn, ("a", False, T0)], 1)))
        drawn.append(("a", False, T0))
        for window in (10 * MINUTE_NS, HOUR, None):
            inside = [call for call in drawn if window is None or call[2] > T0 - window]
            picture = look(path, window=window)
            assert picture.calls == len(inside)
            assert picture.errors == sum(failed for _, failed, _ in inside)
            assert {tool.name: (tool.calls, tool.errors, tool.last_ns) for tool in picture.tools} == {
                name: (
                    sum(call[0] == name for call in inside),
                    sum(call[0] == name and call[1] for call in inside),
                    max(call[2] for call in inside if call[0] == name),
                )
                for name in {call[0] for call in inside}
            }

    def test_tools_come_busiest_first(self, store: EmbeddedStore, path: Path) -> None:
        put(store, span(1, tool="a"), span(2, tool="c"), span(3, tool="b"), span(4, tool="b"))
        assert [tool.name for tool in look(path).tools] == ["b", "a", "c"]

    def test_percentiles_agree_with_statistics(self, store: EmbeddedStore, path: Path) -> None:
        rng = random.Random(3)
        durations = [rng.lognormvariate(-3, 1) for _ in range(237)]
        put(store, *(span(n, end=T0 - n, seconds=s) for n, s in enumerate(durations)))
        (tool,) = look(path).tools
        cuts = statistics.quantiles(durations, n=100, method="inclusive")
        assert tool.p50_s == pytest.approx(cuts[49], abs=1e-8)
        assert tool.p95_s == pytest.approx(cuts[94], abs=1e-8)

    @pytest.mark.parametrize(
        ("values", "share", "expected"),
        [
            pytest.param([], 0.5, None, id="nothing has no percentile"),
            pytest.param([3.0], 0.95, 3.0, id="one value is all its percentiles"),
            pytest.param([1.0, 2.0], 0.5, 1.5, id="between two neighbours"),
            pytest.param([1.0, 2.0, 4.0], 1.0, 4.0, id="the last is the maximum"),
        ],
    )
    def test_percentile(self, values: list[float], share: float, expected: float | None) -> None:
        assert percentile(values, share) == expected

    def test_percentiles_are_of_the_newest_calls_where_there_are_very_many(
        self, store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "MOST_DURATIONS", 10)
        put(store, *(span(n, end=T0 - n * SECOND, seconds=1.0 if n < 10 else 9.0) for n in range(50)))
        (tool,) = look(path).tools
        assert (tool.calls, tool.p50_s, tool.p95_s) == (50, 1.0, 1.0)

    def test_calls_with_an_assumed_end_count_but_have_no_duration(self, store: EmbeddedStore, path: Path) -> None:
        put(
            store,
            span(1, seconds=0.5),
            span(2, seconds=600, failed=True, said={"ego__outcome": "unfinished"}),
            span(3, seconds=0, said={"egoscope__pairing": "start_missing"}),
        )
        (tool,) = look(path).tools
        assert (tool.calls, tool.errors, tool.unfinished) == (3, 0, 1)
        assert (tool.p50_s, tool.p95_s) == (0.5, 0.5)

    def test_a_call_given_up_after_the_logs_end_counts_without_moving_now(
        self, store: EmbeddedStore, path: Path
    ) -> None:
        given_up = span(2, end=T0 + 10 * MINUTE_NS, said={"ego__outcome": "unfinished"})
        put(store, span(1, end=T0), given_up)
        picture = look(path, wall=T0 + HOUR)
        assert (picture.as_of_ns, picture.calls, picture.unfinished) == (T0, 2, 1)

    def test_minutes_end_at_the_pictures_time(self, store: EmbeddedStore, path: Path) -> None:
        ages = [0, 59, 60, 61, 119, 120, 299, 300, 4000]
        put(store, *(span(n, end=T0 - age * SECOND) for n, age in enumerate(ages, 1)))
        picture = look(path, minutes=5)
        assert picture.calls_by_minute == (1, 0, 1, 3, 2)
        assert picture.calls_a_minute == 2

    def test_spans_that_are_no_tool_call_are_no_calls(self, store: EmbeddedStore, path: Path) -> None:
        other = span(1)
        del other.attributes[:]
        put(store, other)
        assert look(path).calls == 0


class TestTime:
    """What now means."""

    @pytest.mark.parametrize(
        ("wall", "history"),
        [
            pytest.param(T0 + 5 * MINUTE_NS, False, id="a few minutes of silence: still now"),
            pytest.param(T0 + 5 * MINUTE_NS + 1, True, id="longer: as of the last event"),
            pytest.param(T0 - 1, True, id="events ahead of the clock are not hidden"),
        ],
    )
    def test_the_picture_of_an_old_log_ends_at_its_last_event(
        self, store: EmbeddedStore, path: Path, wall: int, history: bool
    ) -> None:
        put(store, span(1, end=T0 - SECOND))
        store.send(Signal.LOGS, log_request([record(0, time=T0)]))
        picture = look(path, wall=wall)
        assert (picture.history, picture.last_event_ns) == (history, T0)
        assert picture.as_of_ns == (T0 if history else wall)
        assert picture.calls == 1

    def test_what_other_programs_write_is_no_event_of_ego_mcp(self, store: EmbeddedStore, path: Path) -> None:
        """Nor is what egoscope found out by looking: that a worker is lost stands in the log as of now."""
        put(store, span(1, end=T0 - SECOND))
        store.send(Signal.LOGS, log_request([record(0, time=T0)]))
        lost = record(None, time=T0 + HOUR, body="worker_0 lost")
        store.send(Signal.LOGS, log_request([lost], agent("k", "koubou")))
        picture = look(path, wall=T0 + HOUR)
        assert (picture.history, picture.last_event_ns, picture.as_of_ns) == (True, T0, T0)
        assert [line.body for line in picture.log] == ["remember completed in 40 ms", "worker_0 lost"]

    def test_ego_mcps_last_line_counts_also_where_others_wrote_many_since(
        self, store: EmbeddedStore, path: Path
    ) -> None:
        store.send(Signal.LOGS, log_request([record(0, time=T0)]))
        store.send(Signal.LOGS, log_request([record(n, time=T0 + n) for n in range(1, 9)], agent("k", "kagura")))
        assert look(path, log_lines=2).last_event_ns == T0

    def test_without_ego_mcp_there_is_no_last_event(self, store: EmbeddedStore, path: Path) -> None:
        store.send(Signal.LOGS, log_request([record(0)], agent("k", "koubou")))
        assert look(path).last_event_ns is None

    @pytest.mark.parametrize(
        ("told", "active"),
        [
            pytest.param({"kagura": 0, "koubou": 5}, ("kagura", "koubou"), id="within a few minutes"),
            pytest.param({"kagura": 0, "koubou": 6}, ("kagura",), id="silent for longer"),
            pytest.param({"ego-mcp": 0}, (), id="ego-mcp speaks for itself"),
            pytest.param({}, (), id="nobody"),
        ],
    )
    def test_other_programs_are_active_as_of_their_last_event_not_as_of_their_last_point(
        self, store: EmbeddedStore, path: Path, told: dict[str, int], active: tuple[str, ...]
    ) -> None:
        for service, minutes in told.items():
            happened_s = (T0 - minutes * MINUTE_NS) / SECOND
            for time in (T0 - HOUR, T0):  # as the keepalive repeats it
                point = gauge("agent.last_event.time", happened_s, time=time)
                store.send(Signal.METRICS, metric_request([point], agent(service, service)))
        assert look(path).active == active

    def test_an_empty_store_has_no_last_event(self, store: EmbeddedStore, path: Path) -> None:
        del store
        picture = look(path)
        assert (picture.last_event_ns, picture.as_of_ns, picture.history) == (None, T0, False)
        assert (picture.calls, picture.error_rate, picture.emotion, picture.tools) == (0, None, None, ())

    def test_the_version_changes_when_something_was_stored_and_only_then(
        self, store: EmbeddedStore, path: Path
    ) -> None:
        with StoreReader(path) as reader:
            before = reader.version()
            assert reader.version() == before
            put(store, span(1))
            assert reader.version() != before


class TestNow:
    """The latest of everything that has a latest."""

    def test_the_latest_emotion_with_its_values(self, store: EmbeddedStore, path: Path) -> None:
        felt: dict[str, str | float] = {"ego__emotion__primary": "moved", "ego__emotion__intensity": 0.7}
        put(store, span(1, end=T0 - 3, said=felt | {"ego__valence": 0.4, "ego__arousal": 1, "ego__time_phase": "noon"}))
        put(store, span(2, end=T0 - 9, said={"ego__emotion__primary": "sad"}))
        put(store, span(3, end=T0 - 1, said={"ego__time_phase": "night"}))
        picture = look(path)
        emotion = queries.Emotion(name="moved", intensity=0.7, valence=0.4, arousal=1.0, time_ns=T0 - 3)
        assert (picture.emotion, picture.time_phase) == (emotion, "night")

    def test_desires_are_the_newest_of_all_instances_strongest_first(self, store: EmbeddedStore, path: Path) -> None:
        levels = [("i1", "curiosity", 0.9, 1), ("i2", "curiosity", 0.2, 2), ("i1", "resonance", 0.3, 1)]
        for instance, desire, level, later in levels:
            for time, value in ((T0 + later, level), (T0, 0.99)):
                request = metric_request([gauge("ego.desire", value, time=time, desire=desire)], agent(instance))
                store.send(Signal.METRICS, request)
        assert look(path).desires == (queries.Desire("resonance", 0.3), queries.Desire("curiosity", 0.2))

    def test_calls_in_flight_are_summed_over_instances(self, store: EmbeddedStore, path: Path) -> None:
        for instance, points in {"i1": [(T0, 5), (T0 + 1, 2)], "i2": [(T0, 1)]}.items():
            for time, value in points:
                store.send(Signal.METRICS, metric_request([gauge("ego.calls.open", value, time=time)], agent(instance)))
        assert look(path).in_flight == 3

    def test_the_log_tail_is_the_newest_lines_oldest_first_without_the_sidecars_own(
        self, store: EmbeddedStore, path: Path
    ) -> None:
        store.send(Signal.LOGS, log_request([record(n, time=T0 + n // 2, body=f"line {n}") for n in range(9)]))
        store.send(Signal.LOGS, log_request([record(None, time=T0 + HOUR)], agent("s", "egoscope")))
        picture = look(path, log_lines=4)
        assert [line.body for line in picture.log] == ["line 5", "line 6", "line 7", "line 8"]
        assert picture.services == ("ego-mcp",)
        assert picture.last_event_ns == T0 + 4


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("TOOLS", 0),
        ("CALLS", 2),
        ("DURATIONS", 3),
        ("CALLS_BY_MINUTE", 2),
        ("LAST_CALL", 0),
        ("LAST_LINE", 1),
        ("LAST_EMOTION", 0),
        ("LAST_PHASE", 0),
        ("LOG_TAIL", 2),
    ],
)
def test_no_query_reads_a_whole_table_or_sorts_one(
    store: EmbeddedStore, path: Path, name: str, parameters: int
) -> None:
    """What keeps a refresh at milliseconds with a hundred thousand spans; plans do not depend on the machine."""
    put(store, span(1))
    db = sqlite3.connect(path)
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {getattr(queries, name)}", [0] * parameters)]
    db.close()
    few = ("SCAN tools", "SCAN i")  # a row a tool, a row an instance
    scans = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step and step not in few]
    sorts = [step for step in plan if "TEMP B-TREE" in step and name != "CALLS_BY_MINUTE"]  # groups only its window
    assert (scans, sorts) == ([], [])
