"""What following a database (`rows.py`) and understanding its rows (`kagura.py`, `illumo.py`, …) ask of one another.

    database ─ rows.py ─▶ raw row ─ RowFormat ─▶ RowRecord, redacted ─ rows.py, in time order ─▶ RowConversion

Reading a database is replaying time. Rows come in the order in which they were inserted, which is about the order of
their starts; they end in another one. So what was read up to some moment T is told in the order in which it happened:
a row that starts before T and ends after it is running at T, whatever the row says today, and is looked at again. At
the end of the table T is now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from egoscope.convert.conversion import Conversion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.model.record import RowRecord
    from egoscope.redaction import Policy


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table that is followed, by rowid.

    `key` is the column that names a row for good. Without a `required` column nothing can be read; a missing `optional`
    one reads as NULL. Columns of neither kind are never selected, only counted.
    """

    name: str
    key: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is known."""
        return (*self.required, *self.optional)


class Times(msgspec.Struct, frozen=True):
    """When a row began and when it ended, nanoseconds since the Unix epoch; `end_ns` None: it is not final yet.

    What happens at one moment (an event) begins and ends there.
    """

    start_ns: int
    end_ns: int | None


class UnreadableRow(msgspec.Struct, frozen=True):
    """A row that is no usable record. `reason` is a constant; nothing of the row is kept."""

    reason: str


class RowFormat(Protocol):
    """Understands the rows of one kind of database. Never raises for what stands in a row."""

    @property
    def source(self) -> str:
        """Its name: `kagura`, `illumo`."""
        ...

    @property
    def service(self) -> str:
        """`service.name` of its telemetry."""
        ...

    @property
    def tables(self) -> Sequence[Table]:
        """What is followed; a database must have the first one, others may be missing."""
        ...

    @property
    def policies(self) -> Sequence[Policy]:
        """The allow-lists that its rows go through."""
        ...

    def times(self, table: str, row: Mapping[str, Any]) -> Times | UnreadableRow:
        """Return when a raw row began and ended, or why it is no record; counts nothing."""
        ...

    def begun(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """Return what may be told of a row that still runs: its name, no more. Counts nothing in the audit.

        `end_ns` of the record is None.
        """
        ...

    def ended(self, table: str, rowid: int, key: str, row: Mapping[str, Any], times: Times) -> RowRecord:
        """Return the redacted record of a final row; what redaction did is counted."""
        ...

    def note_unread_columns(self, table: str, rows: int, columns: Sequence[str]) -> None:
        """Count, for each of `rows` rows, columns that were not read; their names can be private, too."""
        ...


class RowConversion(Conversion, Protocol):
    """The conversion of one database. Records come in time order: by `end_ns` where there is one, else `start_ns`."""

    def started(self, record: RowRecord) -> None:
        """A row runs. Called at most once for one `key` before `ended` or `gone`."""
        ...

    def ended(self, record: RowRecord) -> None:
        """A row is final; `started` may have been called for its key, or not."""
        ...

    def gone(self, key: str) -> None:
        """A row that ran is no longer in the database: how it ended will never be known."""
        ...

    def unparsable(self, table: str, rowid: int, reason: str, time_ns: int) -> None:
        """Stand in for a row that is no record: one REDACTED log entry at the time of what was read before it."""
        ...
