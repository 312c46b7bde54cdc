"""Counts are exact: whatever the times, the batches and the restarts, a counter says what the log says."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from converted import Converting, Sent, Value
from ego_lines import FEELING, START_MS, completed, failed, invoked, process_start, reported, said
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LINE = "Routing tool call"
gaps = st.one_of(st.integers(1, 20), st.integers(1, 40_000), st.sampled_from([14_999, 15_000, 15_001, 900_000]))
steps = st.one_of(gaps, st.just(0), st.integers(-5_000, -1), st.sampled_from([-3_600_000]))


@st.composite
def cuts(draw: st.DrawFn, lines: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return the lines cut into batches at any places; some batches are empty."""
    places = sorted(draw(st.lists(st.integers(0, len(lines)), max_size=8)))
    return [lines[first:last] for first, last in pairwise([0, *places, len(lines)])]


@st.composite
def logs(draw: st.DrawFn, between: st.SearchStrategy[int]) -> list[bytes]:
    """Return a log of all kinds of lines, with so many milliseconds between one line and the next."""
    makers: list[Callable[[float], bytes]] = [
        invoked,
        lambda at: invoked(at, "recall", private=True),
        lambda at: completed(at, **FEELING),
        lambda at: completed(at, "recall", emotion_primary="sad"),
        failed,
        lambda at: reported(at, "pause"),
        lambda at: said(at, LINE),
        lambda _: b"no record",
        process_start,
    ]
    lines: list[bytes] = []
    at = 0
    for make, gap in draw(st.lists(st.tuples(st.sampled_from(makers), between), min_size=1, max_size=24)):
        at += gap
        lines.append(make(at))
    return lines


def converted(batches: Sequence[Sequence[bytes]]) -> Sent:
    """Convert batch after batch, as one instance; lines that still wait for a first time wait no longer."""
    converting = Converting()
    for batch in batches:
        converting.batch(batch)
    converting.conversion.expire(0)
    converting.drain()
    return converting.sent


def at(points: Sequence[tuple[int, Value]], time_ms: int) -> Value | None:
    """Return what a series says at a moment: its last point that is not later."""
    place = bisect_right([time for time, _ in points], time_ms)
    return points[place - 1][1] if place else None


@given(st.data())
def test_a_counter_says_at_any_time_how_many_lines_there_were_until_then(data: st.DataObject) -> None:
    """For any times that go on and any cut into batches: at each event, just before it, and in any silence."""
    moments = [START_MS + sum(some) for some in [data.draw(st.lists(gaps, min_size=1, max_size=20))]]
    times: list[int] = []
    for gap in data.draw(st.lists(gaps, min_size=1, max_size=20)):
        times.append((times[-1] if times else 0) + gap)
    batches = data.draw(cuts([said(time, LINE) for time in times]))
    points = converted(batches).series("ego.log.lines", level="INFO", logger="ego_mcp.server")
    absolute = [START_MS + time for time in times]
    for moment in [*moments, *absolute, *(time - 1 for time in absolute), absolute[-1] + 10**6]:
        before_it_began = 0 if moment == absolute[0] - 1 else None
        true_count = bisect_right(absolute, moment) or before_it_began
        assert at(points, moment) == true_count


@given(st.data())
def test_no_series_goes_back_in_time_and_no_counter_falls(data: st.DataObject) -> None:
    """Even where the clock steps back: a lower value after a higher one would be counted as a reset."""
    sent = converted(data.draw(cuts(data.draw(logs(steps)))))
    for (name, _), points in sent.points.items():
        assert all(earlier < later for (earlier, _), (later, _) in pairwise(points)), name
        if name in ("ego.calls", "ego.calls.started", "ego.log.lines", "ego.process.starts"):
            numbers = [value for _, value in points if not isinstance(value, tuple)]
            assert numbers[0] == 0
            assert numbers == sorted(numbers)
        if "duration" in name:
            counts = [sum(value[1]) for _, value in points if isinstance(value, tuple)]
            assert counts[0] == 0
            assert counts == sorted(counts)


@given(st.data())
def test_totals_are_those_of_the_log_whatever_the_batches(data: st.DataObject) -> None:
    """Spans, log records and the last value of each counter: the same from any batches, and as many as in the log."""
    lines = data.draw(logs(steps))
    whole, parts = converted([lines]), converted(data.draw(cuts(lines)))
    assert (parts.spans, parts.logs) == (whole.spans, whole.logs)
    last = [{key: points[-1][1] for key, points in sent.points.items()} for sent in (whole, parts)]
    assert last[0] == last[1]
    assert len(whole.logs) == whole.total("ego.log.lines") == len(lines)
    assert len(whole.spans) == whole.total("ego.calls")
    outcomes = Counter(one.name for one in whole.spans)
    for tool, count in outcomes.items():
        named = [
            points[-1][1]
            for (name, attributes), points in whole.points.items()
            if name == "ego.calls" and ("tool", tool.removeprefix("tools/call ")) in attributes
        ]
        assert sum(value for value in named if not isinstance(value, tuple)) == count


@given(st.data())
def test_the_same_lines_give_the_same_bytes(data: st.DataObject) -> None:
    """Nothing is random and no clock is asked, so a request that is made again is the same request."""
    batches = data.draw(cuts(data.draw(logs(steps))))
    assert converted(batches).raw == converted(batches).raw


@given(logs(steps))
def test_each_line_is_known_by_its_offset_and_each_call_by_its_id(lines: list[bytes]) -> None:
    """Two equal lines stay two, and no two calls share a span; what waits for a first time is told at the latest
    when time has passed.
    """
    sent = converted([[*lines, said(10**9, LINE)]])
    sent.logs.pop()
    offsets = [
        next(one.value.int_value for one in log.attributes if one.key == "log.file.record_offset") for log in sent.logs
    ]
    starts = [0]
    for line in lines[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    assert offsets == starts
    assert len({span.span_id for span in sent.spans}) == len(sent.spans)
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in sent.spans)
