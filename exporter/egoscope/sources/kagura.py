"""Kagura's telemetry database: a raw row of `executions` in, a redacted RowRecord out.

Today's Kagura inserts a row when the execution has ended; other versions insert it as `running` and update it. An
execution that was cancelled is ended too, though its status still reads `running`: Kagura catches `Exception` alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from egoscope.convert.semconv import OTHER
from egoscope.model.record import RowRecord
from egoscope.prices.prices import USD_DECIMALS
from egoscope.rules import RefusedValueError
from egoscope.sources.row_format import NothingBeside, Table, Times, UnreadableRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.prices import Prices
    from egoscope.redaction import Policy

SOURCE: Final = "kagura"
SOURCE_EVENTS: Final = "kagura_events"
SERVICE: Final = "kagura"

EXECUTIONS: Final = "executions"
NO_TIME: Final = "no_time"
MALFORMED_JSON: Final = "malformed_json"
WRONG_TYPE: Final = "wrong_type"

_FINAL: Final = frozenset({"completed", "failed"})
_MAX_S: Final = 9_000_000_000
"""The year 2255: nanoseconds since the epoch still fit 63 bits."""


class KaguraFormat(NothingBeside):
    """Reads executions, each redacted by one policy, and their events by another, before anything else sees them."""

    source = SOURCE
    service = SERVICE

    def __init__(self, policy: Policy, event_policy: Policy, prices: Prices) -> None:
        """`prices` tell what a model call cost where it does not tell that itself."""
        self.policies: Sequence[Policy] = (policy, event_policy)
        self.tables: Sequence[Table] = (
            Table(
                name=EXECUTIONS,
                key="id",
                required=("agent_name", "started_at"),
                optional=("ended_at", "duration", "status", "error", "events", *policy.added),
            ),
        )
        self._policy, self._event_policy = policy, event_policy
        self._prices = prices

    def times(self, table: str, row: Mapping[str, Any]) -> Times | UnreadableRow:  # noqa: ARG002 (there is but one)
        """Return when an execution began and ended; it has ended where it says when, or how."""
        start_ns = _moment_ns(row.get("started_at"))
        if start_ns is None:
            return UnreadableRow(NO_TIME)
        end_ns = _moment_ns(row.get("ended_at"))
        if end_ns is None and _is_text_of(row.get("status"), _FINAL):
            end_ns = start_ns + (_duration_ns(row.get("duration")) or 0)
        return Times(start_ns, end_ns)

    def begun(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """Return the name of an agent that runs."""
        values: dict[str, Any] = {}
        rule = self._policy.rules.get("agent_name")
        if rule is not None:
            try:
                values["agent_name"] = rule.apply(row.get("agent_name"))
            except (RefusedValueError, TypeError):
                values["agent_name"] = OTHER
        return RowRecord(table, rowid, key, times.start_ns, None, values)

    def ended(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """Return the redacted execution.

        Its values: `agent_name`, `status`, `error` where there was one, and `events`: of each its `type` and `time_ns`,
        what its policy allows, and of a model call `provider` and, where that is known, `cost`.
        """
        # NULL is no value: where there is no error, none is told. Events have a policy of their own.
        columns = {name: value for name, value in row.items() if value is not None and name != "events"}
        values = self._policy.redact(columns)
        if self._policy.added:
            values["added"] = self._policy.added_attributes(values)
        flaws: dict[str, None] = {}
        values["events"] = [
            event for raw in _events(row.get("events"), flaws) if (event := self._event(raw, times, flaws)) is not None
        ]
        return RowRecord(table, rowid, key, times.start_ns, times.end_ns, values, tuple(flaws))

    def note_unread_columns(self, table: str, rows: int, columns: Sequence[str]) -> None:  # noqa: ARG002 (there is but one)
        """Count columns that were not read."""
        self._policy.note_unread(columns, rows)

    def _event(self, raw: object, times: Times, flaws: dict[str, None]) -> dict[str, Any] | None:
        if raw.__class__ is not dict:
            flaws[WRONG_TYPE] = None
            return None
        fields = cast("dict[str, Any]", raw)
        data = fields.get("data")
        if data.__class__ is not dict:
            flaws[WRONG_TYPE] = None
            data = {}
        event = self._event_policy.redact(
            {**cast("dict[str, Any]", data), "type": fields.get("type"), "timestamp": fields.get("timestamp")}
        )
        if "type" not in event:
            return None
        timestamp = event.pop("timestamp", None)
        event["time_ns"] = times.end_ns if timestamp is None else round(timestamp * 1e9)
        if event["type"] == "llm_call":
            self._price(event)
        if self._event_policy.added:
            event["added"] = self._event_policy.added_attributes(event)
        return event

    def _price(self, event: dict[str, Any]) -> None:
        model = event.get("model", OTHER)
        given, taken = event.get("prompt_tokens"), event.get("completion_tokens")
        event["provider"] = self._prices.provider(model)
        told = event.pop("cost", None)
        # Nothing is what a call without tokens costs; of one with tokens it says that nobody knew.
        if told or (told is not None and not given and not taken):
            event["cost"] = round(told, USD_DECIMALS)
            return
        cost = self._prices.cost_usd(model, given, taken)
        if cost is not None:
            event["cost"] = cost


def _events(text: object, flaws: dict[str, None]) -> Sequence[object]:
    """Return what stands in the column, or why nothing does."""
    if text is None:
        return ()
    if not isinstance(text, (str, bytes)):
        flaws[WRONG_TYPE] = None
        return ()
    events: object = _NOTHING
    try:
        events = json.loads(text)  # Python's own writer wrote it: NaN, lone surrogates and huge integers are read too
    except (ValueError, RecursionError):
        flaws[MALFORMED_JSON] = None
    if events is _NOTHING:
        return ()
    if not isinstance(events, list):
        flaws[WRONG_TYPE] = None
        return ()
    return cast("list[object]", events)


_NOTHING: Final = object()


def _moment_ns(seconds: object) -> int | None:
    """Return nanoseconds since the epoch, None for what is no moment after 1970."""
    if seconds.__class__ is not float and seconds.__class__ is not int:
        return None
    number = cast("float", seconds)
    return round(number * 1e9) if 0 < number < _MAX_S else None


def _duration_ns(seconds: object) -> int | None:
    if seconds.__class__ is not float and seconds.__class__ is not int:
        return None
    number = cast("float", seconds)
    return round(number * 1e9) if 0 <= number < _MAX_S else None


def _is_text_of(value: object, texts: frozenset[str]) -> bool:
    return isinstance(value, str) and value in texts
