"""ego-mcp's two log formats: a line in, a redacted Record out.

The real one writes two lines a call, `Tool invocation` and then `Tool execution completed` or `… failed`, among lines
of other loggers. The documented one writes a line a call with an `event_type`. Both may stand in one file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from egoscope.model.record import Kind, Record
from egoscope.redaction import AuditKey
from egoscope.rules import Action
from egoscope.sources.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from egoscope.redaction import Policy

SOURCE: Final = "ego_mcp"
SOURCE_EVENTS: Final = "ego_mcp_events"
SCHEMA_VERSION: Final = 1
"""Newest `schema_version` of the documented format whose meaning is known here."""

_KINDS: Final = {
    "Tool invocation": Kind.CALL_STARTED,
    "Tool execution completed": Kind.CALL_COMPLETED,
    "Tool execution failed": Kind.CALL_FAILED,
    "Logging initialized": Kind.PROCESS_STARTED,
}
_LOG: Final = Kind.LOG
_CALL_KINDS: Final = frozenset({Kind.CALL_STARTED, Kind.CALL_COMPLETED, Kind.CALL_FAILED})


class Unparsable(msgspec.Struct, frozen=True, gc=False):
    """A line that is no usable record. `reason` is a constant; nothing of the line is kept."""

    offset: int
    reason: str


class EgoMcpFormat:
    """Reads lines of both formats, each redacted by its own policy before anything else sees it."""

    def __init__(self, log_policy: Policy, event_policy: Policy) -> None:
        self.policies = (log_policy, event_policy)
        self._log_policy, self._event_policy = log_policy, event_policy

    def read(self, line: bytes, offset: int) -> Record | Unparsable:
        """Return the redacted record of one line that starts at byte `offset`, or why there is none. Never raises."""
        fields: Any
        try:
            fields = orjson.loads(line) if len(line) < _LARGE_BYTES else _without_large_values(line)
        except (orjson.JSONDecodeError, msgspec.DecodeError):
            fields = _tolerant_loads(line)
        if fields.__class__ is not dict:
            return Unparsable(offset, _why_no_object(line, fields))
        return self._event(fields, offset) if "event_type" in fields else self._log(fields, offset)

    def note_stepped_back(self, records: int) -> None:
        """Count records whose clock had stepped back; they are kept, and stand where time has come to."""
        self._log_policy.note(AuditKey("timestamp", Action.KEPT, "stepped_back"), records)

    def _log(self, fields: Mapping[str, Any], offset: int) -> Record | Unparsable:
        time_ns = parse_time(fields.get("timestamp"))
        if time_ns is None:
            return Unparsable(offset, "no_time")
        values = self._log_policy.redact(fields)
        kind = _KINDS.get(values.get("message", ""), _LOG)
        if kind is not _LOG and kind in _CALL_KINDS and "tool_name" not in values:
            kind = _LOG  # the words of a call without a call
        if self._log_policy.added:
            values["added"] = self._log_policy.added_attributes(values)
        return Record(offset, time_ns, kind, values)

    def _event(self, fields: Mapping[str, Any], offset: int) -> Record | Unparsable:
        time_ns = parse_time(fields.get("ts", fields.get("timestamp")))
        if time_ns is None:
            return Unparsable(offset, "no_time")
        values = self._event_policy.redact(fields)
        values.update(values.pop("params", {}))
        if self._event_policy.added:
            values["added"] = self._event_policy.added_attributes(values)
        if values.get("schema_version", 0) > SCHEMA_VERSION:
            self._event_policy.note(AuditKey("schema_version", Action.KEPT, "newer_schema"))
        if "tool_name" not in values:
            kind = Kind.LOG
        elif values.get("event_type") == "tool_call_invoked":
            kind = Kind.CALL_STARTED
        else:
            kind = Kind.CALL_REPORTED
        values["ok"] = values.get("ok") is not False and values.get("event_type") != "tool_call_failed"
        return Record(offset, time_ns, kind, values)


_NOTHING: Final = object()
_LARGE_BYTES: Final = 64 * 1024
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _without_large_values(json_bytes: bytes | msgspec.Raw) -> object:
    """Read JSON but for its large strings and lists, for which an empty string stands.

    Nothing of that size may leave, so memory is not filled with it; objects are looked into, for a mark that a memory
    is private can stand beside its text.
    """
    view = memoryview(json_bytes)
    if view.nbytes < _LARGE_BYTES:
        return orjson.loads(view)
    try:
        members = _MEMBERS.decode(json_bytes)
    except msgspec.ValidationError:  # JSON, but no object
        return ""
    return {name: _without_large_values(raw) for name, raw in members.items()}


def _tolerant_loads(line: bytes) -> object:
    """What Python's own writer may have written and strict JSON forbids: NaN, lone surrogates, huge integers."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return _NOTHING


def _why_no_object(line: bytes, value: object) -> str:
    if value is not _NOTHING:
        return "not_an_object"
    if not line.strip():
        return "empty_line"
    if b"\0" in line:
        return "nul_bytes"
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    return "not_json"
