"""Rows of illumo's database become redacted records, whatever stands in them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from converted import KEY
from illumo_rows import SECOND_NS, START_NS, event, hex_id, illumo_format, span

from egoscope.convert.ids import otlp_id
from egoscope.policies import load_policy
from egoscope.redaction import AuditKey
from egoscope.rules import Action
from egoscope.sources.illumo import SOURCE, SOURCE_EVENTS, IllumoFormat
from egoscope.sources.row_format import Times, UnreadableRow
from tests.own_process import alone

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.model.record import RowRecord

FLAWED = ("malformed_literal",)


def read(row: dict[str, Any], table: str = "spans", illumo: IllumoFormat | None = None) -> RowRecord:
    """Return the record of a final row."""
    illumo = illumo or illumo_format()
    times = illumo.times(table, row)
    assert isinstance(times, Times)
    return illumo.ended(table, 1, "k", row, times)


@pytest.mark.parametrize(
    ("written", "after_ns"),
    [
        pytest.param("2026-11-20T04:17:08.620993", 620_993_000, id="as utcnow writes it: UTC"),
        pytest.param("2026-11-20T04:17:08", 0, id="on a full second it writes no microseconds"),
        pytest.param("2026-11-20 04:17:08.5", 500_000_000, id="as SQLite writes it"),
        pytest.param("2026-11-20T04:17:08Z", 0, id="with Z"),
        pytest.param("2026-11-20T05:17:08+01:00", 0, id="with an offset, which counts"),
        pytest.param("2026-11-20T13:17:08.000001+0900", 1_000, id="with an offset without a colon"),
    ],
)
def test_a_time_is_read_to_the_microsecond(written: str, after_ns: int) -> None:
    assert illumo_format().times("events", {"timestamp": written}) == Times(START_NS + after_ns, START_NS + after_ns)


@pytest.mark.parametrize(
    "written",
    [
        *(None, "", "yesterday", "2026-11-20", "20261120T041708", "04:17:08", 1795148228.6, 1795148228),
        *(b"2026-11-20T04:17:08", "2026-13-20T04:17:08", "2026-11-20T25:17:08", "\uff12026-11-20T04:17:08"),
        *("0001-01-01T00:00:00", "9999-12-31T23:59:59"),
    ],
)
def test_what_is_no_time_makes_no_record(written: object) -> None:
    """Of a span also where only its end is none; a span without an end is another thing."""
    illumo = illumo_format()
    assert illumo.times("events", {"timestamp": written}) == UnreadableRow("no_time")
    assert illumo.times("spans", {"start_time": written, "end_time": "2026-11-20T04:17:08"}) == UnreadableRow("no_time")
    if written is not None:
        began = {"start_time": "2026-11-20T04:17:08", "end_time": written}
        assert illumo.times("spans", began) == UnreadableRow("no_time")


def test_the_time_zone_of_the_machine_changes_nothing() -> None:
    assert alone(times_in_tokyo) == Times(START_NS + SECOND_NS, START_NS + 2 * SECOND_NS)


def times_in_tokyo() -> Times | UnreadableRow:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    assert time.localtime().tm_gmtoff == 9 * 3600
    return illumo_format().times("spans", span("draft", 1, 2))


def test_a_span_without_an_end_runs_and_another_ended_when_it_says() -> None:
    illumo = illumo_format()
    assert illumo.times("spans", span("draft", 1, None)) == Times(START_NS + SECOND_NS, None)
    assert illumo.times("spans", span("draft", 1, 2)) == Times(START_NS + SECOND_NS, START_NS + 2 * SECOND_NS)


def test_prompts_answers_and_the_service_are_not_even_read() -> None:
    columns = {column for table in illumo_format().tables for column in table.columns}
    assert columns.isdisjoint({"message", "service_name"})


def test_a_record_holds_what_the_policy_allows_and_nothing_else() -> None:
    policy = (
        "{'fail_fast': True, 'timeout': '3s', 'retry': {'max_attempts': 2, 'delay': 0.1}, 'on_error': {'target': 'x'}}"
    )
    attributes = (
        "{'node_type': 'Agent', 'input_preview': 'secret words', 'failure_summary': 'more', 'policy_snapshot': {}}"
    )
    row = span("draft", 1, 2, parent="chat", attributes=attributes, policy_snapshot=policy, timeout=1)
    assert read(row).values == {
        "span_id": hex_id("draft"),
        "trace_id": hex_id("t"),
        "parent_span_id": hex_id("chat"),
        "kind": "node",
        "name": "draft",
        "status": "OK",
        "attributes": {"node_type": "Agent", "policy_snapshot": {}},
        "policy_snapshot": {"fail_fast": True, "retry": {"max_attempts": 2}},
        "timeout": True,
    }


def test_an_event_holds_its_type_level_model_and_tokens() -> None:
    row = event("draft", 1, attributes="{'model': 'gpt-4.1-nano', 'tokens': 592, 'node_id': 'draft'}", message="words")
    assert read(row, "events").values == {
        "span_id": hex_id("draft"),
        "trace_id": hex_id("t"),
        "event_type": "agent_response",
        "level": "INFO",
        "attributes": {"model": "gpt-4.1-nano", "tokens": 592},
    }


@pytest.mark.parametrize("column", ["name", "kind"])
@pytest.mark.parametrize("value", ["two words", "Zoë", "", "a" * 65, "1st", "x\n", 7, b"draft", "-x", "a/b"])
def test_a_name_that_is_no_identifier_does_not_leave(column: str, value: object) -> None:
    illumo = illumo_format()
    row = span("draft", 1, 2) | {column: value}
    assert column not in read(row, illumo=illumo).values
    assert column not in illumo.begun("spans", 1, "k", row, Times(1, None)).values


@pytest.mark.parametrize(
    "text",
    ["70C85E375A854A6F9A1D0907FC30A04A", "70c85e37-5a85-4a6f-9a1d-0907fc30a04a", "run 1 of Zoë", "0x1", "a\udcff"],
)
def test_of_an_id_in_another_form_only_a_digest_leaves(text: str) -> None:
    """A keyed one, so that nobody who guesses the id can tell; also while the span runs."""
    illumo = illumo_format()
    row = span("draft", 1, 2, parent="chat", span_id=text, trace_id=text, parent_span_id=text)
    known = text.encode("utf-8", "replace").decode()
    guesses = {otlp_id(known, 8), otlp_id(known, 16)}
    for record in (read(row, illumo=illumo), illumo.begun("spans", 1, "k", row, Times(1, None))):
        ids = {name: record.values[name] for name in ("span_id", "trace_id", "parent_span_id")}
        assert {name: len(value) for name, value in ids.items()} == {
            "span_id": 16,
            "trace_id": 32,
            "parent_span_id": 16,
        }
        assert ids["span_id"] == ids["parent_span_id"], "a parent is found by its id"
        assert not guesses & set(ids.values())
        assert text not in repr(record.values)


@pytest.mark.parametrize("value", [None, 7, b"\x00", ""])
def test_what_is_no_text_is_no_id(value: object) -> None:
    row = span("draft", 1, 2, span_id=value, trace_id=value, parent_span_id=value)
    assert read(row).values.keys().isdisjoint({"span_id", "trace_id", "parent_span_id"})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{'node_type': 'Agent'}", id="a Python literal"),
        pytest.param('{"node_type": "Agent", "timeout": true, "x": null}', id="JSON"),
        pytest.param("{'node_type': 'Agent', 'path': 'C:\\d'}", id="an escape that the parser would warn of"),
        pytest.param(
            "{'node_type': 'Agent', 1: {2, 3}, 'b': b'x', 'c': 1j, None: (1, [])}", id="other types beside it"
        ),
    ],
)
def test_attributes_are_read_as_a_literal_or_as_json(text: str) -> None:
    record = read(span("draft", 1, 2, attributes=text))
    assert (record.values["attributes"], record.flaws) == ({"node_type": "Agent"}, ())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{'node_type': <Agent object at 0x7f>}", id="the repr of an object"),
        pytest.param("{'node_type': 'Agent'", id="cut off"),
        pytest.param("", id="nothing"),
        pytest.param("__import__('os').getpid()", id="a call: nothing is run"),
        pytest.param("[" * 60_000, id="brackets without end"),
        pytest.param("-" * 60_000 + "1", id="too deep for the parser's memory"),
        pytest.param("1+" * 30_000 + "1j", id="too deep for recursion"),
        pytest.param("{'a': " + "9" * 5_000 + "}", id="a number of too many digits"),
        pytest.param("{'node_type': 'Agent', 'x': '" + "x" * 65_536 + "'}", id="longer than anybody writes"),
        pytest.param("\0", id="a NUL"),
        pytest.param(b"{'node_type': 'Agent'}", id="bytes"),
        pytest.param(7, id="a number"),
        pytest.param("{[]: 1}", id="a key that cannot be one"),
    ],
)
def test_what_cannot_be_read_is_a_flaw_and_the_span_counts_all_the_same(text: object) -> None:
    illumo = illumo_format()
    record = read(span("draft", 1, 2, attributes=text, policy_snapshot="{'fail_fast': True}"), illumo=illumo)
    assert record.flaws == FLAWED
    assert record.values["name"] == "draft"
    assert record.values["policy_snapshot"] == {"fail_fast": True}
    assert illumo.policies[0].drain_audit()[AuditKey("attributes", Action.DROPPED, "malformed_literal")] == 1


def test_a_literal_that_is_no_mapping_says_nothing() -> None:
    assert "attributes" not in read(span("draft", 1, 2, attributes="['Agent']")).values


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        pytest.param({"error": "pytest failed ERR-1"}, "_OTHER", id="a text says nothing"),
        pytest.param(
            {"error": "TimeoutError: Node 'Zoë' timed out"}, "TimeoutError", id="but the class it begins with"
        ),
        pytest.param({"error": "SecretError: x"}, "_OTHER", id="where it is a well-known one"),
        pytest.param({"error": "see ValueError: x"}, "_OTHER", id="and begins a line"),
        pytest.param({"error": 7}, "_OTHER", id="what is no text was an error too"),
    ],
)
def test_of_an_error_only_a_well_known_class_leaves(columns: dict[str, Any], told: str) -> None:
    assert read(span("draft", 1, 2, status="ERROR", **columns)).values["error"] == told


def test_what_runs_has_ids_kind_and_name_and_nothing_of_it_is_audited() -> None:
    illumo = illumo_format()
    row = span("draft", 1, None, parent="chat", error="x", attributes="{'node_type': 'Agent'}")
    record = illumo.begun("spans", 1, "k", row, Times(START_NS, None))
    assert record.values.keys() == {"span_id", "trace_id", "parent_span_id", "kind", "name"}
    assert record.end_ns is None
    assert [policy.drain_audit() for policy in illumo.policies] == [{}, {}]


def test_columns_that_are_not_read_are_counted_by_table() -> None:
    illumo = illumo_format()
    illumo.note_unread_columns("spans", rows=3, columns=["a column of another version", "service_name"])
    illumo.note_unread_columns("events", rows=5, columns=["message"])
    unknown = AuditKey("(unknown)", Action.DROPPED, "not_in_policy")
    name, message = (AuditKey(one, Action.DROPPED, "private_field") for one in ("service_name", "message"))
    assert [policy.drain_audit() for policy in illumo.policies] == [{unknown: 3, name: 3}, {message: 5}]


def test_a_column_that_an_extension_allows_is_read_and_leaves_as_an_attribute(tmp_path: Path) -> None:
    (tmp_path / "illumo.toml").write_text(
        'source = "illumo"\nschema = 1\n[fields.service_name]\nrule = "enumeration"\nvalues = ["illumo-flow"]\n'
    )
    illumo = IllumoFormat(
        load_policy(SOURCE, key=KEY, extension_dir=tmp_path),
        load_policy(SOURCE_EVENTS, key=KEY, extension_dir=tmp_path),
        key=KEY,
    )
    assert "service_name" in illumo.tables[0].columns
    row = span("draft", 1, 2, service_name="illumo-flow")
    assert read(row, illumo=illumo).values["added"] == (("ego.service_name", "illumo-flow"),)
