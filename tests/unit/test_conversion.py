"""From lines to spans and log records: which lines make a call, and what of a line stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from converted import Converting, convert, scalars
from ego_lines import START_MS, completed, failed, invoked, process_start, reported, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from converted import Sent
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

GRACE_MS, EXPIRY_MS = 60_000, 900_000


def told(span: Span, *names: str) -> tuple[object, ...]:
    """Return attributes of a span, None for what it does not have."""
    attributes = scalars(span.attributes)
    return tuple(attributes.get(name) for name in names)


def calls(sent: Sent) -> list[tuple[object, ...]]:
    """Return each span's tool, start and end in milliseconds, outcome and how sure its pair is."""
    return [
        (
            span.name.removeprefix("tools/call "),
            span.start_time_unix_nano // 1_000_000 - START_MS,
            span.end_time_unix_nano // 1_000_000 - START_MS,
            *told(span, "ego.outcome", "egoscope.pairing"),
        )
        for span in sent.spans
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [invoked(0), completed(40)],
            [("remember", 0, 40, "ok", None)],
            id="two lines are one call",
        ),
        pytest.param(
            [invoked(0), failed(40)],
            [("remember", 0, 40, "error", None)],
            id="a call that raised is an error",
        ),
        pytest.param(
            [invoked(0, "recall"), invoked(5, "remember"), completed(20, "recall"), completed(30, "remember")],
            [("recall", 0, 20, "ok", None), ("remember", 5, 30, "ok", None)],
            id="overlapping calls of two tools are told apart for sure",
        ),
        pytest.param(
            [invoked(0), invoked(5), completed(20), completed(30)],
            [("remember", 0, 20, "ok", "guessed"), ("remember", 5, 30, "ok", None)],
            id="of two calls of one tool the older ends first, and that is said to be a guess",
        ),
        pytest.param(
            [completed(40)],
            [("remember", 40, 40, "ok", "start_missing")],
            id="an end without a start is a call without a duration",
        ),
        pytest.param(
            [invoked(0), invoked(100_000), completed(100_040), invoked(200_000), completed(200_050)],
            [("remember", 100_000, 100_040, "ok", "guessed"), ("remember", 200_000, 200_050, "ok", "guessed")],
            id="a call that never ended does not shift the later pairs of its tool",
        ),
        pytest.param(
            [invoked(0), said(EXPIRY_MS - 1, "Routing tool call")],
            [],
            id="a call is waited for until it expires",
        ),
        pytest.param(
            [invoked(0), said(EXPIRY_MS, "Routing tool call")],
            [("remember", 0, EXPIRY_MS, "unfinished", None)],
            id="a call that expired is unfinished",
        ),
        pytest.param(
            [invoked(0), process_start(1000), said(1000 + GRACE_MS, "Routing tool call")],
            [("remember", 0, 1000 + GRACE_MS, "unfinished", None)],
            id="a process start closes what its predecessor left open",
        ),
        pytest.param(
            [invoked(0), process_start(1000), completed(1040)],
            [("remember", 0, 1040, "ok", None)],
            id="two processes can write into one file: a call ends after another process started",
        ),
        pytest.param(
            [invoked(50), completed(10)],
            [("remember", 50, 50, "ok", None)],
            id="a clock that stepped back makes no negative duration",
        ),
        pytest.param(
            [reported(100, duration_ms=40)],
            [("remember", 60, 100, "ok", None)],
            id="one line of the documented format is a whole call",
        ),
        pytest.param(
            [reported(100, event_type="tool_call_failed", ok=False)],
            [("remember", 60, 100, "error", None)],
            id="a failed call of the documented format is an error",
        ),
        pytest.param(
            [reported(0, event_type="tool_call_invoked"), reported(40), said(EXPIRY_MS * 2, "Routing tool call")],
            [("remember", 0, 40, "ok", None)],
            id="documented format: an invocation and its completion are one call, not two",
        ),
        pytest.param(
            [invoked(0), reported(50, "recall", duration_ms=20), completed(90)],
            [("recall", 30, 50, "ok", None), ("remember", 0, 90, "ok", None)],
            id="both formats may stand in one file",
        ),
        pytest.param(
            [said(0, "Tool invocation"), said(1, "Tool execution completed")],
            [],
            id="the words of a call without a tool are no call",
        ),
    ],
)
def test_lines_become_calls(lines: Sequence[bytes], expected: list[tuple[object, ...]]) -> None:
    """Each case's id is the rule; and one log record a line, whatever the calls are."""
    sent = convert(lines)
    assert calls(sent) == expected
    assert len(sent.logs) == len(lines)


@pytest.mark.parametrize("cut", range(1, 6))
def test_pairs_do_not_depend_on_where_a_batch_ends(cut: int) -> None:
    """Any cut of the lines gives the same spans and log records, byte for byte."""
    lines = [invoked(0), invoked(1, "recall"), said(2, "Routing tool call"), failed(9), completed(11, "recall"), b"?"]
    whole, parts = convert(lines), convert(lines[:cut], lines[cut:])
    assert (parts.spans, parts.logs) == (whole.spans, whole.logs)


def test_a_line_within_the_only_open_call_is_an_event_of_its_span_and_has_its_ids() -> None:
    """Where two calls are open nobody knows whose line it is: then it belongs to none."""
    alone, amid_two = said(1, "Routing tool call"), said(12, "Routing tool call")
    sent = convert([invoked(0), alone, completed(2), invoked(10), invoked(11, "recall"), amid_two])
    (span,) = sent.spans
    assert [scalars(event.attributes)["ego.message"] for event in span.events] == ["Routing tool call"]
    ids = [(log.trace_id, log.span_id) for log in sent.logs]
    assert ids[0] == ids[1] == ids[2] == (span.trace_id, span.span_id)
    assert ids[5] == (b"", b"")


def test_many_lines_within_one_call_are_counted_not_kept() -> None:
    """A chatty call does not make a span of any size."""
    (span,) = convert([invoked(0), *[said(1, "Routing tool call")] * 100, completed(2)]).spans
    assert len(span.events) + span.dropped_events_count == 100
    assert len(span.events) == 32


def test_sessions_are_runs_of_the_process() -> None:
    """Calls of one run share `session.id`, those of the next run have another."""
    run = [invoked(10), completed(20)]
    sent = convert([*run, process_start(30), *run, *run, process_start(40), *run])
    ids = [told(span, "session.id")[0] for span in sent.spans]
    assert ids[0] is None
    assert ids[1] == ids[2] != ids[3]


def test_what_the_program_appended_to_a_known_message_is_redacted() -> None:
    """The constant stands, what follows does not; an unknown message is redacted whole."""
    lines = [said(0, "Failed to open MEM-1"), said(1, "MEM-1 opened"), said(2, "Unhandled exception"), said(3, "")]
    assert convert(lines).bodies() == ["Failed to: REDACTED", "REDACTED", "Unhandled exception", "REDACTED"]


def test_each_line_keeps_its_severity_and_logger_unless_the_policy_does_not_know_them() -> None:
    """Numbers as OpenTelemetry counts severities."""
    levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "shout"]
    lines = [said(0, "x", level=level, logger="ego_mcp.server" if level != "shout" else "me") for level in levels]
    sent = convert(lines)
    assert [(log.severity_text, int(log.severity_number)) for log in sent.logs] == [
        ("DEBUG", 5), ("INFO", 9), ("WARNING", 13), ("ERROR", 17), ("CRITICAL", 21), ("_OTHER", 0),
    ]  # fmt: skip
    assert scalars(sent.logs[5].attributes)["ego.logger"] == "_OTHER"


def test_a_newer_schema_version_is_tolerated_and_counted() -> None:
    """Its known fields still count; that it is newer shows in the audit."""
    converting = Converting()
    converting.batch([reported(0, schema_version=99, brand_new=json.dumps({"a": 1}))])
    assert len(converting.sent.spans) == 1
    audit = converting.format.policies[1].drain_audit()
    assert {key.field: count for key, count in audit.items() if key.reason == "newer_schema"} == {"schema_version": 1}
