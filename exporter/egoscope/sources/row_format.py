"""What following a database (`rows.py`) and understanding its rows (`kagura.py`, `illumo.py`, …) ask of one another.

    database ─ rows.py ─▶ raw row ─ RowFormat ─▶ RowRecord, redacted ─ rows.py, in time order ─▶ RowConversion

Reading a database is replaying time. Rows come in the order in which they were inserted, which is about the order of
their starts; they end in another one. So what was read up to some moment T is told in the order in which it happened:
a row that starts before T and ends after it is running at T, whatever the row says today, and is looked at again. At
the end of the table T is now. Only there it is known what stands beside the followed rows (`look`): what has no history
is told as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from egoscope.convert.conversion import ROW_EXPIRES_NS, Conversion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.model.record import RowRecord
    from egoscope.redaction import Policy
    from egoscope.sources.row_pages import Snapshot


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table that is followed, by rowid.

    `key` is the column that names a row for good. Without a `required` column nothing can be read; a missing `optional`
    one reads as NULL. Columns of neither kind are never selected, only counted. `tells_starts`: a start is told of
    every row, also where its end is known by then. What runs for `expires_ns` is given up. What ended less than
    `settles_ns` ago, and what could not be read at first, is looked at again: it may change.
    """

    name: str
    key: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    tells_starts: bool = False
    expires_ns: int = ROW_EXPIRES_NS
    settles_ns: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is known."""
        return (*self.required, *self.optional)


class Times(msgspec.Struct, frozen=True):
    """When a row says it began and ended, nanoseconds since the Unix epoch; `end_ns` None: it is not final yet.

    What happens at one moment (an event) begins and ends there. Rows of some tables pass through states before they
    end: `state`, a constant, is the one in which a row is now. Of one that is not final `since_ns` is when it says it
    got there, and `holder`, a keyed digest, who has it in that state.
    """

    start_ns: int
    end_ns: int | None
    state: str = ""
    since_ns: int = 0
    holder: str = ""


class UnreadableRow(msgspec.Struct, frozen=True):
    """A row that is no usable record. `reason` is a constant; nothing of the row is kept."""

    reason: str


class RowFormat(Protocol):
    """Understands the rows of one kind of database. Never raises for what stands in a row."""

    @property
    def source(self) -> str:
        """Its name: `kagura`, `illumo`, `koubou`."""
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
    def beside(self) -> Sequence[Table]:
        """What `look` reads as it stands. With such a table a database is known by its place, whatever rows it has."""
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

    def look(self, snapshot: Snapshot) -> object | None:
        """Read what stands in the database beside the followed rows, unredacted; None: there is no such thing.

        Called in the transaction in which the followed tables were read to their end, so it agrees with them.
        """
        ...

    def standing(self, found: Any) -> Any:  # noqa: ANN401 (each format and its conversion have a type of their own)
        """Return what `look` found, redacted."""
        ...

    def note_unread_columns(self, table: str, rows: int, columns: Sequence[str]) -> None:
        """Count, for each of `rows` rows, columns that were not read; their names can be private, too."""
        ...


class NothingBeside:
    """What a format is that knows of nothing beside the rows that it follows."""

    beside: Sequence[Table] = ()

    def look(self, snapshot: Snapshot) -> None:
        """See `RowFormat.look`."""

    def standing(self, found: Any) -> Any:  # noqa: ANN401 (see RowFormat.standing)
        """See `RowFormat.standing`: nothing was found."""
        return found


class RowConversion(Conversion, Protocol):
    """The conversion of one database. Records come in time order: by `end_ns` where there is one, else `start_ns`."""

    def started(self, record: RowRecord) -> None:
        """A row runs. Called at most once for one `key` before `ended` or `gone`."""
        ...

    def changed(self, record: RowRecord, state: str, time_ns: int) -> None:
        """A row that runs is in another state, or in other hands, since then. `started` was called for its key.

        Where rows may change after they ended, `ended` may have been called since, too: then it is open again.
        """
        ...

    def standing(self, found: Any, time_ns: int) -> None:  # noqa: ANN401 (see RowFormat.standing)
        """Tell what stood in the database at that moment, all rows up to it having been told."""
        ...

    def ended(self, record: RowRecord) -> None:
        """A row is final; `started` may have been called for its key, or not.

        Where rows may change after they ended it may be called again: then the row's end is another one now.
        """
        ...

    def gone(self, key: str) -> None:
        """A row that ran is no longer in the database: how it ended will never be known."""
        ...

    def unparsable(self, table: str, rowid: int, reason: str, time_ns: int) -> None:
        """Stand in for a row that is no record: one REDACTED log entry at the time of what was read before it."""
        ...
