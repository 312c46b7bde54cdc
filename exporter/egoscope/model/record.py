"""Values on the way from a source to its conversion. None of them holds content: redaction comes before."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (msgspec reads the annotations of what a state file keeps)
from enum import StrEnum
from typing import Any, Final

import msgspec

# A record whose time lies outside of these has no usable time.
EARLIEST_NS: Final = 1_577_836_800 * 10**9
"""2020-01-01. No agent wrote before; a clock that says so was not set yet. Loki has no schema for older times and
answers as if it were down, so one such line would hold up all logs for ever."""
AHEAD_NS: Final = 300 * 10**9
"""Prometheus refuses what is ten minutes ahead of its own clock. Half of that is left for clocks that differ."""


class Kind(StrEnum):
    """What a line says happened."""

    LOG = "log"
    PROCESS_STARTED = "process_started"
    CALL_STARTED = "call_started"
    CALL_COMPLETED = "call_completed"
    CALL_FAILED = "call_failed"
    CALL_REPORTED = "call_reported"
    """One line tells the whole call, its duration included."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One redacted record: made of allowed values only.

    `offset`: bytes into the source. `time_ns`: the event's own time, nanoseconds since the Unix epoch.
    `values`: allowed values by field name; what type each is, its rule in the policy says.
    """

    offset: int
    time_ns: int
    kind: Kind
    values: Mapping[str, Any]


class RowRecord(msgspec.Struct, frozen=True, gc=False):
    """One redacted row of a database: made of allowed values only.

    `table` and `rowid` say where it stood when it was read. `key` is a keyed digest of the column that names the row
    for good (32 hex digits), for a rowid can come to mean another row. Times are nanoseconds since the Unix epoch;
    `end_ns` is None while the row is not final. `values`: allowed values by field name. `flaws`: why parts of the row
    could not be read, constants; the rest of it counts all the same.
    """

    table: str
    rowid: int
    key: str
    start_ns: int
    end_ns: int | None
    values: Mapping[str, Any]
    flaws: tuple[str, ...] = ()
