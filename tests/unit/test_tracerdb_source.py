"""Flows recorded into a `SQLiteTracerDB` are read as illumo's own are, and no more of them leaves."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest
from converted import KEY

from egoscope.policies import load_policy
from egoscope.sources import illumo
from egoscope.sources.row_format import Times, UnreadableRow
from egoscope.sources.tracerdb import TracerDBFormat
from egoscope.tracerdb import EventData, SpanData, SQLiteTracer, SQLiteTracerDB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from egoscope.model.record import RowRecord

PRIVATE: Final = "words of a person"
START_NS: Final = 1_795_000_000_000_000_000
TRACE, SPAN, PARENT = "5f" * 16, "a1" * 8, "b2" * 8


def tracerdb() -> TracerDBFormat:
    policies = (load_policy(source, key=KEY) for source in (illumo.SOURCE, illumo.SOURCE_EVENTS))
    return TracerDBFormat(*policies, key=KEY)


def recorded(path: Path, table: str) -> list[dict[str, Any]]:
    """Return the rows as the format selects them."""
    columns = {one.name: one.columns for one in tracerdb().tables}[table]
    chosen = ", ".join(f'"{column}"' for column in columns)
    with closing(sqlite3.connect(path)) as db:
        return [dict(zip(columns, row, strict=True)) for row in db.execute(f"SELECT {chosen} FROM {table}")]


def read(row: Mapping[str, Any], table: str = "spans") -> RowRecord:
    flows = tracerdb()
    times = flows.times(table, row)
    assert isinstance(times, Times)
    return flows.ended(table, 1, "k", row, times)


def span(**columns: Any) -> dict[str, Any]:
    """Return a raw row of `spans`."""
    return {
        "span_id": SPAN,
        "trace_id": TRACE,
        "parent_id": PARENT,
        "name": "draft",
        "status": "OK",
        "start": START_NS,
        "end": START_NS + 5,
        "attributes": "{}",
        **columns,
    }


def test_what_illumo_s_tracer_records_reads_as_it_would_from_illumo_s_own_database(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    tracer = SQLiteTracer(db_path=path, capture=["message", "error", "input_preview"])
    told: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": PARENT,
        "kind": "node",
        "name": "draft",
        "service_name": "illumo-flow",
        "start_time": "2026-11-20T04:17:08",
        "end_time": "2026-11-20T04:17:09",
        "status": "ERROR",
        "error": PRIVATE,
        "attributes": {
            "node_type": "Agent",
            "input_preview": PRIVATE,
            "failure_type": "KeyError",
            "policy_snapshot": {"fail_fast": False, "retry": {"max_attempts": 2}},
            "timeout": True,
        },
    }
    tracer.on_event(
        {
            "span_id": SPAN,
            "event_type": "node.retry",
            "level": "WARNING",
            "message": PRIVATE,
            "timestamp": "2026-11-20T04:17:08.5",
        }
    )
    tracer.on_span_end(told)
    tracer.close()

    (row,) = recorded(path, "spans")
    assert PRIVATE in json.dumps(row), "the test must have something to find"
    record = read(row)
    assert (record.end_ns or 0) - record.start_ns == 10**9
    assert record.values == {
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": PARENT,
        "kind": "node",
        "name": "draft",
        "status": "ERROR",
        "attributes": {"node_type": "Agent", "failure_type": "KeyError"},
        "policy_snapshot": {"fail_fast": False, "retry": {"max_attempts": 2}},
        "timeout": True,
    }
    (event,) = recorded(path, "events")
    assert read(event, "events").values == {"span_id": SPAN, "event_type": "node.retry", "level": "WARNING"}


def test_a_program_s_own_spans_are_told_without_what_it_said_of_them(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with SQLiteTracerDB(path) as db:
        attributes = {"prompt": PRIVATE, "agent.flow.name": PRIVATE, PRIVATE: 1}
        db.record_span(
            SpanData(trace_id=TRACE, span_id=SPAN, name=PRIVATE, start=1_795 * 10**15, attributes=attributes)
        )
        db.record_event(SPAN, EventData(name=PRIVATE, timestamp=1_795 * 10**15, attributes=attributes))
    (row,), (event,) = recorded(path, "spans"), recorded(path, "events")
    assert tracerdb().times("spans", row) == Times(1_795 * 10**15, None)
    begun = tracerdb().begun("spans", 1, "k", row, Times(START_NS, None))
    assert PRIVATE not in repr((begun, read(event, "events"), read({**row, "end": row["start"]})))
    assert begun.values["span_id"] == SPAN


@pytest.mark.parametrize("times", [{"start": "now"}, {"start": None}, {"end": 1.5}, {"end": "later"}])
def test_what_is_no_time_makes_no_record(times: dict[str, Any]) -> None:
    assert tracerdb().times("spans", span(**times)) == UnreadableRow("no_time")
    assert tracerdb().times("events", {"timestamp": times.get("start")}) == UnreadableRow("no_time")


@pytest.mark.parametrize("attributes", ["{", "[1]", "7", b"\xff", 7, '{"a": ' + "[" * 10_000])
def test_attributes_that_cannot_be_read_are_a_flaw_and_the_span_counts(attributes: object) -> None:
    record = read(span(attributes=attributes))
    assert record.values["name"] == "draft"
    assert "attributes" not in record.values
    assert record.flaws == ("malformed_json",)


def test_without_attributes_there_is_no_flaw() -> None:
    record = read(span(attributes=None))
    assert (record.flaws, record.values["name"]) == ((), "draft")


@pytest.mark.parametrize(
    "attributes",
    [
        {"agent.flow.policy.retry.max_attempts": {"deep": PRIVATE}},
        {"agent.flow.kind": PRIVATE, "agent.flow.node_type": [PRIVATE]},
        {"agent.flow.policy.fail_fast": PRIVATE, "agent.flow.timeout": PRIVATE},
    ],
)
def test_an_attribute_of_another_kind_is_dropped(attributes: dict[str, Any]) -> None:
    assert PRIVATE not in repr(read(span(attributes=json.dumps(attributes))))
