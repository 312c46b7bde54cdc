"""The file of a `SQLiteTracerDB`: flows recorded by egoscope's own tracers, read as illumo's database is.

Its columns and attributes have other names and types; what may leave of them, illumo's policies say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from egoscope.convert import semconv as s
from egoscope.redaction import AuditKey
from egoscope.rules import Action
from egoscope.sources.illumo import EVENTS, NO_TIME, SPANS, IllumoFormat
from egoscope.sources.kagura import MALFORMED_JSON
from egoscope.sources.row_format import Table, Times, UnreadableRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.model.record import RowRecord
    from egoscope.redaction import Policy

SOURCE: Final = "tracerdb"

_OF_SPAN: Final = {
    "kind": ("kind",),
    "node_type": ("attributes", "node_type"),
    "failure_type": ("attributes", "failure_type"),
    "policy.fail_fast": ("policy_snapshot", "fail_fast"),
    "policy.retry.max_attempts": ("policy_snapshot", "retry", "max_attempts"),
    "timeout": ("timeout",),
}
_OF_EVENT: Final = {"level": ("level",), "model": ("attributes", "model"), "tokens": ("attributes", "tokens")}
"""Attributes without their prefix -> where illumo has them."""


class TracerDBFormat(IllumoFormat):
    """Reads spans and events as `egoscope.tracerdb.schema` keeps them."""

    source = SOURCE

    def __init__(self, span_policy: Policy, event_policy: Policy, *, key: bytes) -> None:
        """See `IllumoFormat`."""
        super().__init__(span_policy, event_policy, key=key)
        self.tables: Sequence[Table] = (
            Table(
                name=SPANS,
                key="span_id",
                required=("span_id", "start", "end"),
                optional=("trace_id", "parent_id", "name", "status", "attributes"),
            ),
            Table(name=EVENTS, key="id", required=("timestamp",), optional=("span_id", "name", "attributes")),
        )

    def times(self, table: str, row: Mapping[str, Any]) -> Times | UnreadableRow:
        """See `RowFormat.times`."""
        start_ns = row.get("timestamp" if table == EVENTS else "start")
        end_ns = start_ns if table == EVENTS else row.get("end")
        if start_ns.__class__ is not int or (end_ns is not None and end_ns.__class__ is not int):
            return UnreadableRow(NO_TIME)
        return Times(cast("int", start_ns), end_ns)

    def begun(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """See `RowFormat.begun`."""
        return super().begun(table, rowid, key, _as_illumo(table, row), times)

    def ended(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """See `RowFormat.ended`."""
        return super().ended(table, rowid, key, _as_illumo(table, row), times)

    def _read_literals(self, fields: dict[str, Any], policy: Policy) -> tuple[str, ...]:
        # They were read to give each its place; what could not be was left as it was.
        if isinstance(fields.get("attributes", {}), dict):
            return ()
        del fields["attributes"]
        policy.note(AuditKey("attributes", Action.DROPPED, MALFORMED_JSON))
        return (MALFORMED_JSON,)


def _as_illumo(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row as illumo would have written it, without the times, which are told beside it."""
    found: dict[str, Any] = {"span_id": row.get("span_id")}
    if table == EVENTS:
        found["event_type"] = row.get("name")
    else:
        found |= {"trace_id": row.get("trace_id"), "parent_span_id": row.get("parent_id")}
        found |= {"name": row.get("name"), "status": row.get("status")}
    attributes = _attributes(row.get("attributes"))
    if attributes is None:
        return {**found, "attributes": row["attributes"]}
    places = _OF_EVENT if table == EVENTS else _OF_SPAN
    for name, value in attributes.items():
        place = places.get(name.removeprefix(s.FLOW_PREFIX))
        if place:
            *outer, last = place
            within = found
            for key in outer:
                within = within.setdefault(key, {})
            within[last] = value
    return found


def _attributes(text: object) -> dict[str, Any] | None:
    """Return the attributes, none where there is no text, None where it is no JSON object."""
    if text is None:
        return {}
    if not isinstance(text, (str, bytes)):
        return None
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
