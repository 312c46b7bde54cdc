"""Databases of other agents: whether each pattern names one, whether it can be read, and what is in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from egoscope.doctor.finding import counted, fail, in_bytes, in_time, ok, skip, warn
from egoscope.doctor.places import check_open_to_others, check_problems
from egoscope.sources.databases import COMPANIONS, DatabaseFile, UnreadableDatabaseError, layouts_of
from egoscope.sources.discovery import Discovery, Reason, printable
from egoscope.sources.row_checkpoint import RowDigests
from egoscope.sources.rows import DEFAULT_GLOB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from egoscope.doctor.finding import Finding
    from egoscope.sources.discovery import Sighting
    from egoscope.sources.row_format import RowFormat

_MOST_DATABASES: Final = 10
_MOST_COUNTED: Final = 10_000
"""While rows are counted their writer may have to wait."""
_BUSY_S: Final = 0.5
_MAX_ROW_BYTES: Final = 1024
"""No row is loaded here."""
_MAGIC: Final = re.compile(r"[*?[]")


def check_databases(option: str, patterns: Sequence[str], row_format: RowFormat, now_s: float) -> Iterator[Finding]:
    """Look at each pattern of the setting `option` on its own, as the sidecar does; `now_s` is Unix time."""
    for pattern in patterns:
        survey = Discovery([pattern], DEFAULT_GLOB).look()
        yield from check_problems(survey.problems)
        databases = sorted(
            (seen for seen in survey.files.values() if not seen.path.endswith(COMPANIONS)),
            key=lambda seen: -seen.stat.st_mtime,
        )
        if not databases and all(problem.reason is Reason.NO_MATCH for problem in survey.problems):
            yield _nothing(option, pattern, row_format.service)
        for seen in databases[:_MOST_DATABASES]:
            yield from _look_into(option, seen, row_format, now_s)
        if len(databases) > _MOST_DATABASES:
            yield skip(
                printable(pattern), f"{counted(len(databases) - _MOST_DATABASES, 'older database')} beside these"
            )
        yield from check_open_to_others(pattern, databases, f"keep the database in a directory of its own ({option})")


def _nothing(option: str, pattern: str, service: str) -> Finding:
    path = Path(pattern).expanduser().absolute()
    folder = path
    while folder == path or _MAGIC.search(str(folder)):
        folder = folder.parent
    if path.is_dir():
        folder = path
    elsewhere = f"set {option} to where {service} keeps its database"
    if not folder.is_dir():
        return fail(printable(pattern), f"{printable(str(folder))} does not exist", elsewhere)
    return skip(
        printable(pattern), f"no database is there; it is read once there is one. Is it elsewhere? Then {elsewhere}"
    )


def _look_into(option: str, seen: Sighting, row_format: RowFormat, now_s: float) -> Iterator[Finding]:
    """Open the database as the sidecar does. Nothing of its rows is read but how many there are."""
    path = printable(seen.path)
    file = DatabaseFile(seen.path, seen.key, RowDigests(b"doctor"), _MAX_ROW_BYTES)
    try:
        signature = file.signature(seen.stat)
        if not signature.bytes:
            yield skip(path, "is empty: nothing was written to it yet")
            return
        with file.snapshot(_BUSY_S) as snapshot:
            layouts = layouts_of(snapshot, row_format)
            for table in row_format.beside:
                layout = snapshot.layout(table)
                if layout is not None and not layout.missing:
                    layouts[table.name] = layout
            rows = {name: snapshot.count(layout, _MOST_COUNTED + 1) for name, layout in layouts.items()}
    except UnreadableDatabaseError as error:
        yield _unreadable(option, path, error, row_format.service)
        return
    finally:
        file.close()
    said = ", ".join(f"{_rows(number)} in {name}" for name, number in rows.items())
    age = in_time(now_s - signature.changed_ns / 1e9)
    yield ok(path, f"can be read: {said}; {in_bytes(signature.bytes)}, last written {age} ago")
    yield from _missing(path, layouts, row_format)


def _rows(number: int) -> str:
    return f"more than {_MOST_COUNTED:,} rows" if number > _MOST_COUNTED else counted(number, "row")


def _missing(path: str, layouts: Mapping[str, object], row_format: RowFormat) -> Iterator[Finding]:
    for table in (*row_format.tables, *row_format.beside):
        if table.name not in layouts:
            remedy = f"if {row_format.service} is new here, wait; else upgrade it or egoscope"
            yield warn(path, f"has no table {table.name}: what would stand there is not told", remedy)


def _unreadable(option: str, path: str, error: UnreadableDatabaseError, service: str) -> Finding:
    name_it = f"name the database that {service} writes in {option}"
    match error.reason:
        case Reason.LOCKED:
            finding = warn(
                path,
                "is locked by its writer; it is read once it is not",
                f"if it stays so, see what {service} waits for",
            )
        case Reason.HOT_JOURNAL:
            sentence = "was left amid a change, and only who may write to it can take that back"
            finding = fail(path, sentence, f"start {service} once")
        case Reason.NOT_A_DATABASE:
            finding = fail(path, "is no SQLite database", name_it)
        case Reason.DAMAGED:
            finding = fail(path, "is damaged", f"restore it from a backup, or move it away and start {service}")
        case Reason.MISSING_TABLE:
            finding = fail(path, f"is a database, but has no table {error.detail}", name_it)
        case Reason.MISSING_COLUMN:
            sentence = f"has no column {error.detail}, without which its rows tell nothing"
            finding = fail(path, sentence, f"{name_it}, or upgrade {service}")
        case Reason.DENIED:
            who = f"this user (uid {os.geteuid()})"
            remedy = f"let {who} read it and its directory (chmod, setfacl), or run as its owner"
            finding = fail(path, f"{who} is not allowed to read it", remedy)
        case _:
            sentence = "cannot be read: the mount answers with an error, or a write-ahead log was left by a crash"
            finding = fail(path, sentence, f"start {service} once; look at mount and dmesg")
    return finding
