"""Series of points that Prometheus can count exactly: where each extra point stands, and what a restart changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from converted import Converting, convert
from ego_lines import FEELING, START_MS, completed, failed, invoked, said

from egoscope.convert.instance import InstanceState
from egoscope.convert.series import SeriesRow

if TYPE_CHECKING:
    from converted import Sent

LINE = "Routing tool call"
SILENCE_MS = 15_000


def lines_counted(sent: Sent) -> list[tuple[int, object]]:
    """Return the points of the counter of lines, in milliseconds behind the start."""
    points = sent.series("ego.log.lines", level="INFO", logger="ego_mcp.server")
    return [(time_ms - START_MS, value) for time_ms, value in points]


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param([[0]], [(-1, 0), (0, 1)], id="a new counter begins with an explicit zero one millisecond before"),
        pytest.param([[0, 10]], [(-1, 0), (0, 1), (10, 2)], id="each moment has its own point"),
        pytest.param([[5, 5, 5]], [(4, 0), (5, 3)], id="what happened in one millisecond is one point"),
        pytest.param([[5], [5]], [(4, 0), (5, 1), (6, 2)], id="a moment once sent keeps its value"),
        pytest.param([[0, 15_001]], [(-1, 0), (0, 1), (15_000, 1), (15_001, 2)], id="after a silence the edge shows"),
        pytest.param([[0, 15_000]], [(-1, 0), (0, 1), (15_000, 2)], id="without a silence there is no edge"),
        pytest.param([[9, 3]], [(8, 0), (9, 2)], id="time that steps back joins the newest point"),
        pytest.param([[9], [3]], [(8, 0), (9, 1), (10, 2)], id="time that steps back comes behind a sent point"),
    ],
)
def test_points_of_a_counter(batches: list[list[int]], expected: list[tuple[int, int]]) -> None:
    """Each case's id is the rule."""
    assert lines_counted(convert(*[[said(at, LINE) for at in batch] for batch in batches])) == expected


def test_a_counter_and_a_histogram_say_when_they_began_a_gauge_begins_with_its_first_value() -> None:
    """A zero would be a lie about a feeling."""
    sent = convert([invoked(0), completed(250, **FEELING)])
    bounds = 15
    zero, one = sent.series("gen_ai.execute_tool.duration", **{"gen_ai.tool.name": "remember"})
    assert zero == (START_MS + 249, (0.0, (0,) * bounds))
    assert one == (START_MS + 250, (0.25, (0, 0, 0, 0, 0, 1, *[0] * 9)))
    assert sent.series("ego.emotion.intensity") == [(START_MS + 250, 0.625)]


@pytest.mark.parametrize(("milliseconds", "bucket"), [(0, 0), (10, 0), (11, 1), (300_000, 13), (300_001, 14)])
def test_a_duration_on_a_bound_counts_below_it(milliseconds: int, bucket: int) -> None:
    """Buckets include their upper bound, as OpenTelemetry and Prometheus have it; the last has none."""
    sent = convert([invoked(0), completed(milliseconds)])
    _, (_, value) = sent.series("gen_ai.execute_tool.duration", **{"gen_ai.tool.name": "remember"})
    assert isinstance(value, tuple)
    assert value[1].index(1) == bucket


def test_a_failed_call_has_its_error_type_as_a_label_and_a_guess_without_a_start_has_no_duration() -> None:
    """A duration that nobody knows is not observed as zero."""
    sent = convert([failed(5)])
    assert [name for name, _ in sent.points if "duration" in name] == []
    assert sent.series("ego.calls", tool="remember", outcome="error")[-1] == (START_MS + 5, 1)
    sent = convert([invoked(0), failed(5)])
    labels = {"gen_ai.tool.name": "remember", "error.type": "ValueError"}
    assert sent.series("gen_ai.execute_tool.duration", **labels)


def test_a_state_set_has_one_current_value() -> None:
    """On change the old value falls to 0 when the new one rises to 1."""
    lines = [invoked(0), completed(1, emotion_primary="happy"), invoked(2), completed(3, emotion_primary="sad")]
    sent = convert(lines)
    happy = sent.series("ego.state", parameter="emotion_primary", value="happy")
    sad = sent.series("ego.state", parameter="emotion_primary", value="sad")
    assert happy == [(START_MS + 1, 1), (START_MS + 3, 0)]
    assert sad == [(START_MS + 3, 1)]


def test_labels_are_bounded_whatever_the_log_says() -> None:
    """Tools, loggers and emotions nobody knows are `_OTHER`; of persons only so many become labels."""
    lines: list[bytes] = []
    for number in range(200):
        tool = f"tool{number}"
        fields = {"emotion_primary": tool, "person_id": tool, "trust_level": 0.5}
        lines += [invoked(number * 9, tool), completed(number * 9 + 3, tool, **fields), said(number, "x", logger=tool)]
    assert len(convert(lines).points) < 64 + 30


def test_a_living_series_is_kept_alive_only_where_it_was_silent() -> None:
    """A window that holds no sample has no value; a point every 15 s is enough."""
    converting = Converting()
    converting.batch([said(0, LINE)])
    for at_ms in (SILENCE_MS - 1, SILENCE_MS, SILENCE_MS + 1, 2 * SILENCE_MS):
        converting.conversion.keep_alive((START_MS + at_ms) * 1_000_000)
        converting.drain()
    assert lines_counted(converting.sent) == [(-1, 0), (0, 1), (SILENCE_MS, 1), (2 * SILENCE_MS, 1)]


def test_a_new_instance_has_nothing_to_keep_alive() -> None:
    """No series, no points, no telemetry."""
    converting = Converting()
    converting.conversion.keep_alive(START_MS * 1_000_000)
    converting.conversion.expire(START_MS * 1_000_000)
    assert not converting.conversion.has_new
    converting.drain()
    assert (converting.sent.raw, converting.sent.sizes) == (b"", [])


def test_the_newest_is_told_at_any_time_of_a_long_batch() -> None:
    """History is read in batches of hours: which file was the newest at any time in them must be there to ask for."""
    converting = Converting()
    converting.batch([said(minute * 60_000, LINE) for minute in range(60)])
    told = {value for _, value in converting.sent.series("ego.last_event.time")}
    assert told == {START_MS / 1000 + 60 * minute for minute in range(60)}


def test_a_restart_is_seamless() -> None:
    """State and series through JSON, as the state file keeps them: the next batch says what it would have said."""
    first = [invoked(0), completed(40, **FEELING), invoked(50, "recall"), said(60, LINE)]
    second = [said(70, LINE), completed(90, "recall"), invoked(20_000), failed(20_001)]
    straight = Converting()
    straight.batch(first)
    straight.batch(second)
    stopped = Converting()
    rows = stopped.batch(first).series
    state = msgspec.json.decode(msgspec.json.encode(stopped.conversion.state), type=InstanceState)
    kept = [msgspec.json.decode(msgspec.json.encode(row), type=SeriesRow) for row in rows]
    restarted = Converting(state, kept, offset=stopped.offset)
    restarted.batch(second)
    assert restarted.sent.spans == straight.sent.spans[1:]
    assert restarted.sent.logs == straight.sent.logs[4:]
    for key, points in restarted.sent.points.items():
        assert straight.sent.points[key][-len(points) :] == points
    assert sum(map(len, restarted.sent.points.values())) < sum(map(len, straight.sent.points.values()))
