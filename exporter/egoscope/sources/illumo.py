"""illumo's trace database: a raw row of `spans` or `events` in, a redacted RowRecord out.

Attributes and policies stand there as Python literals, times as `datetime.utcnow()` wrote them (decision 0019). Prompts
and answers are in `events.message`, which is never selected.
"""

from __future__ import annotations

import ast
import json
import warnings
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from egoscope.model.record import RowRecord
from egoscope.redaction import AuditKey
from egoscope.rules import Action, RefusedValueError
from egoscope.sources.row_format import NothingBeside, Table, Times, UnreadableRow
from egoscope.sources.timestamps import written_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.redaction import Policy

SOURCE: Final = "illumo"
SOURCE_EVENTS: Final = "illumo_events"
SERVICE: Final = "illumo"

SPANS: Final = "spans"
EVENTS: Final = "events"

MALFORMED_LITERAL: Final = "malformed_literal"
NO_TIME: Final = "no_time"

_IDS: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
"""Columns of ids -> bytes in OTLP."""

_NAMES: Final = ("trace_id", "span_id", "parent_span_id", "kind", "name")
"""What is told of a span that still runs."""

_LITERALS: Final = ("attributes", "policy_snapshot")
_MAX_LITERAL: Final = 64 * 1024
"""Characters. illumo itself cuts what it puts in there to some hundred."""


class IllumoFormat(NothingBeside):
    """Reads rows of both tables, each redacted by its own policy before anything else sees it."""

    source = SOURCE
    service = SERVICE

    def __init__(self, span_policy: Policy, event_policy: Policy, *, key: bytes) -> None:
        """`key`: 32 secret bytes, for digests of ids that are none of illumo's own."""
        self._key = key
        self.tables: Sequence[Table] = (
            Table(
                name=SPANS,
                key="span_id",
                required=("span_id", "start_time"),
                optional=(
                    *("trace_id", "parent_span_id", "kind", "name", "attributes", "status", "error", "end_time"),
                    *("policy_snapshot", "timeout", *span_policy.added),
                ),
            ),
            Table(
                name=EVENTS,
                key="id",
                required=("timestamp",),
                optional=("trace_id", "span_id", "event_type", "level", "attributes"),
            ),
        )
        self.policies: Sequence[Policy] = (span_policy, event_policy)
        self._by_table = {SPANS: span_policy, EVENTS: event_policy}

    def times(self, table: str, row: Mapping[str, Any]) -> Times | UnreadableRow:
        """See `RowFormat.times`."""
        if table == EVENTS:
            moment_ns = written_time(row.get("timestamp"))
            return UnreadableRow(NO_TIME) if moment_ns is None else Times(moment_ns, moment_ns)
        start_ns = written_time(row.get("start_time"))
        written = row.get("end_time")
        if written is None and start_ns is not None:
            return Times(start_ns, None)
        end_ns = written_time(written)
        if start_ns is None or end_ns is None:
            return UnreadableRow(NO_TIME)
        return Times(start_ns, end_ns)

    def begun(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """See `RowFormat.begun`: its ids, kind and name, no more."""
        rules = self._by_table[table].rules
        values: dict[str, Any] = {}
        for name in _NAMES:
            if name in rules and row.get(name) is not None:
                try:
                    values[name] = rules[name].apply(row[name])
                except (RefusedValueError, TypeError):
                    continue
        return RowRecord(table, rowid, key, times.start_ns, None, values | self._derived(row, values))

    def ended(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """See `RowFormat.ended`. Attributes that cannot be read are a flaw; the span or event counts all the same."""
        policy = self._by_table[table]
        fields = {name: value for name, value in row.items() if value is not None and name != "id"}
        flaws = self._read_literals(fields, policy)
        if isinstance(level := fields.get("level"), str):
            fields["level"] = level.upper()  # Python writes WARNING, illumo warning
        values = policy.redact(fields)
        if policy.added:
            values["added"] = policy.added_attributes(values)
        return RowRecord(table, rowid, key, times.start_ns, times.end_ns, values | self._derived(row, values), flaws)

    def note_unread_columns(self, table: str, rows: int, columns: Sequence[str]) -> None:
        """See `RowFormat.note_unread_columns`."""
        self._by_table[table].note_unread(columns, rows)

    def _read_literals(self, fields: dict[str, Any], policy: Policy) -> tuple[str, ...]:
        """Put what a literal says in its place; one that cannot be read is left out, and why is returned."""
        flaws: tuple[str, ...] = ()
        for name in _LITERALS:
            if name in fields:
                fields[name] = read = _literal(fields[name])
                if read is _UNREADABLE:
                    del fields[name]
                    policy.note(AuditKey(name, Action.DROPPED, MALFORMED_LITERAL))
                    flaws = (MALFORMED_LITERAL,)
        return flaws

    def _derived(self, row: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
        """Return keyed digests for ids in another form than illumo's: whoever wrote one may have meant something."""
        return {
            name: blake2b(text.encode("utf-8", "replace"), key=self._key, digest_size=size).hexdigest()
            for name, size in _IDS.items()
            if name not in values and isinstance(text := row.get(name), str) and text
        }


_UNREADABLE: Final = object()


def _literal(text: object) -> object:
    """Return what a Python literal or JSON says, or `_UNREADABLE`. Never raises, and names nothing of the text."""
    if not isinstance(text, str) or len(text) > _MAX_LITERAL:
        return _UNREADABLE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning of the parser would quote the text
            return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _UNREADABLE
