"""Which `--source` fits a database that was given for something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from egoscope.doctor.readonly import read_only
from egoscope.errors import StateError
from egoscope.feeds import NO_KEY, build_row_format, database_patterns
from egoscope.sources.discovery import Discovery
from egoscope.sources.rows import DEFAULT_GLOB

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from egoscope.config import Settings

_SQLITE: Final = b"SQLite format 3\0"  # sqlite.org/fileformat.html, 1.3.1


def databases_in(pattern: str) -> list[str]:
    """Return the SQLite databases that a path, directory or glob names."""
    seen = Discovery([pattern], DEFAULT_GLOB).look().files.values()
    return sorted(one.path for one in seen if is_database(one.path))


def is_database(path: str) -> bool:
    """Whether a regular file begins as a SQLite database does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return os.pread(fd, len(_SQLITE), 0) == _SQLITE
        finally:
            os.close(fd)
    except OSError:
        return False


def what_fits(path: str, source: str, settings: Settings) -> str:
    """Say which `--source` a database is to be given with; "" where it is `source`, or cannot be looked into now."""
    columns = _columns_by_kind(settings)
    kinds = _kinds_of(path, columns)
    if kinds is None or source in kinds:
        return ""
    if kinds:
        return f"give it with --source {kinds[0]}"
    *most, last = columns
    return f"it has none of the tables that --source {', '.join(most)} or {last} reads"


def _columns_by_kind(settings: Settings) -> dict[str, tuple[str, set[str]]]:
    """Return the table that each kind of database must have, and the columns in it."""
    first = {source: build_row_format(source, settings, NO_KEY).tables[0] for source in database_patterns(settings)}
    return {source: (table.name, set(table.required)) for source, table in first.items()}


def _kinds_of(path: str, columns: dict[str, tuple[str, set[str]]]) -> list[str] | None:
    """Return the sources that would read a database; None where it cannot be looked into now."""
    try:
        return [
            kind for kind, (table, required) in columns.items() if required <= read_only(Path(path), _columns(table))
        ]
    except StateError:
        return None


def _columns(table: str) -> Callable[[sqlite3.Connection], set[str]]:
    return lambda db: {row[0] for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
