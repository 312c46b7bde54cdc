"""What is read of a database within one transaction: its columns, the next rows of a table, rows by their rowids."""

from __future__ import annotations

import sqlite3
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import msgspec

from egoscope.model.record import EARLIEST_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from egoscope.sources.row_checkpoint import RowDigests
    from egoscope.sources.row_format import Table

ROWID: Final = "_rowid_"
TOO_LONG: Final = "too_long"
_NO_LIMIT: Final = (1 << 31) - 1
_SHORT: Final = "CASE WHEN length(CAST({0} AS BLOB)) <= 64 THEN {0} END"
_WRITTEN: Final = "0000-00-00[ T]00:00:00*".replace("0", "[0-9]")
_UNIX_S: Final = "CAST(strftime('%s', {0}) AS INTEGER)"
_TIME: Final = (
    f"CASE WHEN typeof({{0}}) = 'text' AND {{0}} GLOB '{_WRITTEN}' AND {_UNIX_S} >= {EARLIEST_NS // 10**9}"
    f" THEN {_UNIX_S} END"
)
"""SQLite would read numbers as Julian days, a time of day as one of the year 2000, and `now` as now."""


class Layout(msgspec.Struct, frozen=True):
    """How a table is selected in one database: the columns that it has of those that are read."""

    table: Table
    columns: tuple[str, ...]
    left: tuple[str, ...]
    """Columns that it has beside those, in lower case: they are never selected."""
    missing: tuple[str, ...]
    """Columns that it must have and has not; `_rowid_` of a table without rowids."""


class RawRow(msgspec.Struct, frozen=True):
    """One unredacted row. Never log, store or raise it. `values` is None where it is longer than the limit.

    `imprint`: a number that is another one, in all likelihood, when anything in it is; it means nothing elsewhere.
    """

    rowid: int
    digest: bytes
    values: Mapping[str, Any] | None
    size: int
    imprint: int = 0

    def __repr__(self) -> str:
        return f"RawRow({self.rowid}, {self.size} bytes)"


UNCHANGED: Final = RawRow(0, b"", None, 0)
"""Stands for a row that says what it said."""


class Page(msgspec.Struct, frozen=True):
    """Rows of one table in the order of their rowids, and whether there are more behind them."""

    rows: Sequence[RawRow] = ()
    more: bool = False

    def __repr__(self) -> str:
        return f"Page({len(self.rows)} rows, more={self.more})"


class Snapshot:
    """One read transaction. Every method raises sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection, digests: RowDigests, max_row_bytes: int) -> None:
        self._db, self._digests, self._max_row_bytes = db, digests, max_row_bytes

    def layout(self, table: Table) -> Layout | None:
        """Return how the table is to be selected; None if it is not there, or no table but a view."""
        stored = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name = ? COLLATE NOCASE"
        if self._db.execute(stored, (table.name,)).fetchone() is None:
            return None
        found = self._db.execute("SELECT name FROM pragma_table_xinfo(?)", (table.name,)).fetchall()
        there = {str(name).lower() for (name,) in found}
        known = {name.lower() for name in (table.key, *table.columns)}
        missing = [name for name in (table.key, *table.required) if name.lower() not in there]
        # Only a table that is kept in the order of its primary key is an index itself.
        if self._db.execute("SELECT 1 FROM pragma_index_info(?)", (table.name,)).fetchone() is not None:
            missing.append(ROWID)
        return Layout(
            table,
            tuple(name for name in table.columns if name.lower() in there),
            tuple(sorted(there - known)),
            tuple(missing),
        )

    @property
    def schema_version(self) -> int:
        """A number that `VACUUM` changes, as do all changes of tables: without one no row has another rowid."""
        return self._db.execute("PRAGMA schema_version").fetchone()[0]

    @property
    def is_empty(self) -> bool:
        """Whether the database has no table at all yet."""
        return self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None

    def edge(self, layout: Layout, *, last: bool = False) -> tuple[int, bytes] | None:
        """Return rowid and digest of a table's first or last row."""
        order = "DESC" if last else "ASC"
        found = self._db.execute(f"{_select_keys(layout)} ORDER BY {ROWID} {order} LIMIT 1").fetchone()
        return None if found is None else (found[0], self._digests.of(layout.table.name, *found))

    def digest_at(self, layout: Layout, rowid: int) -> bytes | None:
        """Return the digest of the row that stands there now."""
        found = self._db.execute(f"{_select_keys(layout)} WHERE {ROWID} = ?", (rowid,)).fetchone()
        return None if found is None else self._digests.of(layout.table.name, *found)

    def keys_below(self, layout: Layout, rowid: int | None, limit: int) -> list[tuple[int, bytes]]:
        """Return rowids and digests of so many rows before this one (of the last ones: None), the last first."""
        where, values = ("", (limit,)) if rowid is None else (f" WHERE {ROWID} < ?", (rowid, limit))
        found = self._db.execute(f"{_select_keys(layout)}{where} ORDER BY {ROWID} DESC LIMIT ?", values)
        return [(at, self._digests.of(layout.table.name, at, name)) for at, name in found]

    def page(self, layout: Layout, after: int, limit_rows: int, limit_bytes: int) -> Page:
        """Return the rows behind a rowid, at least one if there is any; of too long ones no values."""
        rows: list[RawRow] = []
        size = 0
        statement = f"{_select(layout)} WHERE {ROWID} > ? ORDER BY {ROWID} LIMIT ?"
        cursor = self._db.execute("SELECT 0 WHERE 0")
        try:
            cursor = self._db.execute(statement, (after, limit_rows))
            for found in cursor:
                row = self._row(layout, found)
                rows.append(row)
                size += row.size
                if size >= limit_bytes:
                    break
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.DataError):
                rows += self._one_by_one(layout, rows[-1].rowid if rows else after)
            elif not rows:
                raise  # else what is readable before a damaged page is read
        finally:
            cursor.close()
        return Page(rows, bool(rows) and self._has_rows_after(layout, rows[-1].rowid))

    def rows_at(self, layout: Layout, rowids: Sequence[int], imprints: Sequence[int]) -> Iterator[RawRow | None]:
        """Yield what stands at each of these rowids now, in their order: None, or UNCHANGED if it has this imprint.

        A row that is longer than the limit comes without its values.
        """
        # Joined in this order each is found by its rowid, whatever SQLite thinks of the number of rows.
        asked = f"(VALUES {', '.join(['(?)'] * len(rowids))}) AS asked CROSS JOIN"
        place = 0
        cursor = self._db.execute("SELECT 0 WHERE 0")
        try:
            cursor = self._db.execute(f"{_select(layout, asked)} WHERE {_rowid(layout)} = asked.column1", rowids)
            for found in cursor:
                while rowids[place] != found[0]:
                    yield None
                    place += 1
                yield UNCHANGED if hash(found) == imprints[place] else self._row(layout, found)
                place += 1
            yield from repeat(None, len(rowids) - place)
        except sqlite3.DataError:
            yield from (self._row_at(layout, rowid) for rowid in rowids[place:])
        finally:
            cursor.close()

    def rowids(self, layout: Layout) -> tuple[int, int] | None:
        """Return the first and the last rowid."""
        lowest = self._db.execute(f"SELECT min({ROWID}) FROM {_quoted(layout.table.name)}").fetchone()[0]  # noqa: S608
        highest = self._db.execute(f"SELECT max({ROWID}) FROM {_quoted(layout.table.name)}").fetchone()[0]  # noqa: S608
        return None if lowest is None else (lowest, highest)

    def count(self, layout: Layout, at_most: int) -> int:
        """Return how many rows a table has, or `at_most`: they are walked through, one by one."""
        statement = f"SELECT count(*) FROM (SELECT 1 FROM {_quoted(layout.table.name)} LIMIT ?)"  # noqa: S608
        return self._db.execute(statement, (at_most,)).fetchone()[0]

    def tally(
        self,
        layout: Layout,
        column: str,
        *,
        oldest: Sequence[str] = (),
        where: tuple[str, Any] | None = None,
        unless: tuple[str, Sequence[Any]] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield for each value of a column its number of rows, and of each column `oldest` the least time in them.

        Times are Unix seconds of what is written as a time, None where nothing is. `where`: only rows in which a column
        is so; `unless`: only rows in which one is none of these. By a column that has an index no row is read that it
        is not. A column that is not there is NULL, and so is what is longer than 64 bytes: NULL may come many times.
        """
        name, grouped = _quoted(layout.table.name), self._named(layout, column)
        chosen = [_SHORT.format(grouped), *(_TIME.format(self._named(layout, one)) for one in oldest)]
        condition, values = "", list[Any]()
        if where is not None:
            condition, values = f"{self._named(layout, where[0])} IS ?", [where[1]]
        elif unless is not None:
            tested, values = self._named(layout, unless[0]), list(unless[1])
            condition = f"{tested} IS NULL OR {tested} NOT IN ({', '.join('?' * len(values))})"
        if condition:
            # Whatever SQLite thinks of their number, only the rows that are asked for are read, without walking through
            # the index of what they are grouped by; and with its limit they are not sorted before they are shortened.
            wanted = f"SELECT {ROWID} FROM {name} WHERE {condition}"  # noqa: S608
            told = ", ".join(f"{one} AS told_{at}" for at, one in enumerate(chosen))
            name = f"(SELECT {told} FROM {name} WHERE {ROWID} IN ({wanted}) LIMIT -1)"  # noqa: S608
            chosen, grouped = [f"told_{at}" for at in range(len(chosen))], "1"
        numbers = ", ".join([chosen[0], "count(*)", *(f"min({one})" for one in chosen[1:])])
        # A value that is too long to be read is in the way of no other: SQLite loads them one by one.
        limit = self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _NO_LIMIT)
        try:
            yield from self._db.execute(f"SELECT {numbers} FROM {name} GROUP BY {grouped}", values)  # noqa: S608
        finally:
            self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit)

    def _named(self, layout: Layout, column: str) -> str:
        return _quoted(column) if column == layout.table.key or column in layout.columns else "NULL"

    def _has_rows_after(self, layout: Layout, rowid: int) -> bool:
        statement = f"SELECT 1 FROM {_quoted(layout.table.name)} WHERE {ROWID} > ? LIMIT 1"  # noqa: S608
        return self._db.execute(statement, (rowid,)).fetchone() is not None

    def _one_by_one(self, layout: Layout, after: int) -> list[RawRow]:
        """Return up to two rows, of which one is the one that is too long.

        sqlite3 is one row ahead: where the next one cannot be loaded it loses the one that could.
        """
        statement = f"SELECT {ROWID} FROM {_quoted(layout.table.name)} WHERE {ROWID} > ? ORDER BY {ROWID} LIMIT 2"  # noqa: S608
        rows = (self._row_at(layout, rowid) for (rowid,) in self._db.execute(statement, (after,)).fetchall())
        return [row for row in rows if row is not None]

    def _digest_of_long(self, layout: Layout, rowid: int) -> bytes:
        try:
            digest = self.digest_at(layout, rowid)
        except sqlite3.DataError:
            digest = None  # even its name is too long
        return digest or self._digests.of(layout.table.name, rowid, None)

    def _row_at(self, layout: Layout, rowid: int) -> RawRow | None:
        """Return the row that stands there now, without its values if it is longer than the limit."""
        try:
            found = self._db.execute(f"{_select(layout)} WHERE {ROWID} = ?", (rowid,)).fetchone()
        except sqlite3.DataError:
            found = ()
        if found is None:
            return None
        return self._row(layout, found) if found else RawRow(rowid, self._digest_of_long(layout, rowid), None, 0)

    def _row(self, layout: Layout, found: Sequence[Any]) -> RawRow:
        rowid, name, *values = found
        digest = self._digests.of(layout.table.name, rowid, name)
        size = sum(map(_size, values))
        if size > self._max_row_bytes:
            return RawRow(rowid, digest, None, size)
        return RawRow(rowid, digest, dict(zip(layout.columns, values, strict=True)), size, hash(found))


def _size(value: Any) -> int:  # noqa: ANN401
    return len(value) if isinstance(value, (str, bytes)) else 8


def _select(layout: Layout, joined: str = "") -> str:
    # Only columns that are there: SQLite takes a quoted name that is none for a text.
    columns = ", ".join(_quoted(name) for name in (layout.table.key, *layout.columns))
    return f"SELECT {_rowid(layout)}, {columns} FROM {joined} {_quoted(layout.table.name)}"  # noqa: S608


def _rowid(layout: Layout) -> str:
    return f"{_quoted(layout.table.name)}.{ROWID}"


def _select_keys(layout: Layout) -> str:
    return f"SELECT {ROWID}, {_quoted(layout.table.key)} FROM {_quoted(layout.table.name)}"  # noqa: S608


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
