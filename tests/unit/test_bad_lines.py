"""Lines that are no records, and odd ones that are: each is counted, and no neighbour is lost."""

from __future__ import annotations

import tracemalloc

import pytest
from converted import Converting, convert, scalars
from ego_lines import START_MS, completed, invoked, said, stamp

from egoscope.redaction import AuditKey
from egoscope.rules import Action
from tests.own_process import alone

GOOD = said(0, "Routing tool call")
NO_RECORDS = [
    pytest.param(b"\xff\xfe" + GOOD, "not_utf8", id="not UTF-8"),
    pytest.param(GOOD[:-1], "not_json", id="cut off"),
    pytest.param(b"Traceback (most recent call last):", "not_json", id="no JSON at all"),
    pytest.param(b"[" * 3000 + b"]" * 3000, "not_json", id="nested 3000 deep"),
    pytest.param(b'{"timestamp":' + b'{"a":' * 3000 + b"1" + b"}" * 3001, "not_json", id="objects 3000 deep"),
    pytest.param(b"[1]", "not_an_object", id="a list"),
    pytest.param(b"null", "not_an_object", id="null"),
    pytest.param(b"NaN", "not_an_object", id="NaN alone"),
    pytest.param(b"", "empty_line", id="empty line"),
    pytest.param(b" \t", "empty_line", id="blank line"),
    pytest.param(b"\0" * 100, "nul_bytes", id="NUL bytes where a crash left a hole"),
    pytest.param(b'{"message":"x"}', "no_time", id="no timestamp"),
    pytest.param(b'{"timestamp":null}', "no_time", id="timestamp is null"),
    pytest.param(b'{"timestamp":true}', "no_time", id="timestamp is a boolean"),
    pytest.param(b'{"timestamp":"yesterday"}', "no_time", id="timestamp is no time"),
    pytest.param(b'{"timestamp":NaN}', "no_time", id="timestamp is NaN"),
    pytest.param(b'{"timestamp":1' + b"0" * 400 + b"}", "no_time", id="timestamp is a huge integer"),
    pytest.param(b'{"timestamp":1' + b"0" * 5000 + b"}", "not_json", id="an integer of 5000 digits"),
    pytest.param(b'{"timestamp":"1999-12-31T23:59:59Z"}', "no_time", id="a clock that was not set"),
    pytest.param(b'{"event_type":"tool_call_completed","tool_name":"recall"}', "no_time", id="documented: no time"),
]


@pytest.mark.parametrize(("line", "reason"), NO_RECORDS)
def test_a_line_that_is_no_record_is_counted_and_stands_as_one_redacted_entry(line: bytes, reason: str) -> None:
    """With its offset and its reason, and its neighbours intact."""
    converting = Converting()
    converting.batch([invoked(0), line, completed(40)])
    assert converting.unparsable == {reason: 1}
    (span,) = converting.sent.spans
    assert span.end_time_unix_nano - span.start_time_unix_nano == 40_000_000
    assert len(converting.sent.logs) == 3
    entry = converting.sent.logs[1]
    assert entry.body.string_value == "REDACTED"
    attributes = scalars(entry.attributes)
    assert attributes["log.file.record_offset"] == len(invoked(0)) + 1
    assert attributes["egoscope.unparsable"] == reason


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(GOOD[:-1] + b',"x":NaN,"y":-Infinity}', id="NaN and infinity in a field"),
        pytest.param(GOOD[:-1] + b',"tool_output":"\\ud800"}', id="a lone surrogate"),
        pytest.param(GOOD[:-1] + b',"x":1' + b"0" * 400 + b"}", id="a huge integer in a field"),
        pytest.param(GOOD[:-1] + b',"valence":-1' + b"0" * 400 + b"}", id="a huge integer where a number belongs"),
        pytest.param(GOOD[:-1] + b',"valence":1e400,"person_id":"\\udead"}', id="a huge number, an odd name"),
        pytest.param(GOOD[:-1] + b',"message":"Routing tool call"}', id="a key twice"),
        pytest.param(GOOD[:-1] + b',"x":"\\u0000"}', id="an escaped NUL"),
        pytest.param(GOOD + b"\r", id="carriage return at the end"),
        pytest.param(GOOD.replace(stamp(0).encode(), stamp(0).replace("Z", "+00:00").encode()), id="an offset for Z"),
    ],
)
def test_a_line_that_is_odd_but_readable_is_a_record(line: bytes) -> None:
    """Python's own writer makes such lines; losing them would lose calls."""
    converting = Converting()
    converting.batch([line])
    assert converting.unparsable == {}
    assert converting.sent.bodies() == ["Routing tool call"]
    assert converting.sent.logs[0].time_unix_nano == START_MS * 1_000_000


def test_a_time_far_in_the_future_is_no_usable_time() -> None:
    """One such line would drag every later line of its file with it."""
    converting = Converting()
    now_ns = START_MS * 1_000_000
    converting.batch([said(0, "Routing tool call"), said(3 * 86_400_000, "Routing tool call")], now_ns=now_ns)
    assert converting.unparsable == {"time_in_future": 1}
    assert [log.time_unix_nano for log in converting.sent.logs] == [now_ns, now_ns]


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_no_log_record_lies_so_far_behind_its_stream_that_loki_would_refuse_it(broken: int) -> None:
    """Neither a broken first line of an old file nor a clock that steps back by days costs a later line."""
    hour_ms = 3_600_000
    lines = [said(50 * hour_ms, "Routing tool call"), said(0, "Routing tool call"), said(hour_ms, "Routing tool call")]
    lines.insert(broken, b"?")
    now_ns = (START_MS + 1000 * hour_ms) * 1_000_000
    times = [log.time_unix_nano for log in convert(lines, now_ns=now_ns).logs]
    behind = [max(times[: place + 1]) - time for place, time in enumerate(times)]
    assert max(behind) <= hour_ms * 1_000_000


def test_a_clock_that_steps_back_is_counted_and_costs_no_line() -> None:
    """Each line written behind the newest time by more than two writers ever are."""
    converting = Converting()
    converting.batch(
        [said(60_000, "Routing tool call"), said(0, "Routing tool call"), said(59_000, "Routing tool call")]
    )
    audit = converting.format.policies[0].drain_audit()
    assert audit[AuditKey("timestamp", Action.KEPT, "stepped_back")] == 1
    assert len(converting.sent.logs) == 3


def test_a_large_line_is_read_without_memory_for_what_could_not_leave() -> None:
    """The line itself is there already; reading it takes but a little more."""
    line = invoked(0, content="x" * 8_000_000)
    spans, bodies, peak = alone(read_measured, line)
    assert spans == []
    assert bodies == ["remember called"]
    assert peak < len(line) / 4


def read_measured(line: bytes) -> tuple[list[str], list[str], int]:
    """Return the spans and the log records of a line, and the most memory that its reading took."""
    converting = Converting()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    converting.batch([line])
    peak = tracemalloc.get_traced_memory()[1] - before
    return [span.name for span in converting.sent.spans], converting.sent.bodies(), peak


def test_of_a_large_line_the_call_is_known_and_its_privacy_too() -> None:
    """Only values are left out that could not leave anyway; the mark beside a long private text is still seen."""
    text = "\u79c1" * 400_000
    sent = convert([invoked(0, private=True, content=text), completed(40), invoked(90, content=text), completed(130)])
    assert [span.name for span in sent.spans] == ["tools/call remember"] * 2
    assert [body for body in sent.bodies() if body == "REDACTED"] == ["REDACTED"] * 2
    assert "remember called" in sent.bodies()
