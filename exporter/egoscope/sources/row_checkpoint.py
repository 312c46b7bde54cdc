"""What is kept of a followed database: where it was read to, by which rows it is recognised, and what runs in it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from egoscope.convert.ids import subkey

LANDMARKS: Final = 64
"""So many of the rows read last are remembered of each table."""


class Landmark(msgspec.Struct, frozen=True, array_like=True):
    """A row that was read: where it stood, and a keyed digest of the column that names it for good."""

    rowid: int
    digest: bytes


class OpenRow(msgspec.Struct, frozen=True, array_like=True):
    """A row that is looked at again. Times in nanoseconds since the Unix epoch: when it began, and last changed.

    `state` is a constant of the format and `holder` a keyed digest, "" where rows have none. `settled_ns`: since when
    it is only looked at because it may change: it ended, or could not be read (then `start_ns` is 0); 0: it runs.
    `is_flawed`: it could not be read when it was looked at last, and that was told.
    """

    rowid: int
    digest: bytes
    start_ns: int
    state: str = ""
    since_ns: int = 0
    holder: str = ""
    settled_ns: int = 0
    is_flawed: bool = False


class TablePosition(msgspec.Struct, frozen=True):
    """How far one table was read: all rows up to `rowid`.

    `rows`: how many different ones that were. `landmarks`: the last of them, in the order of their rowids. `strays`:
    rows that were read and are not where they were; should they come again they are known. `open`: rows that ran, or
    may change. `complete_ns`: what had ended by then was told. `passed_ns`: while the table is read anew, what had
    ended by then is passed over. `schema_version`: the database's, with which rows had these rowids; 0: not known.
    """

    name: str
    rowid: int
    rows: int
    landmarks: list[Landmark]
    strays: list[bytes]
    open: list[OpenRow]
    complete_ns: int = 0
    passed_ns: int = 0
    schema_version: int = 0


class DatabaseCheckpoint(msgspec.Struct, frozen=True):
    """The durable metadata of one database: what a restart needs to go on, and nothing of its content.

    `source` is the instance id, derived once at first sight. `head` is the digest of the first row seen then. `path`,
    `device` and `inode` say where it was last seen; what it is, its rows say.
    """

    source: str
    path: str
    device: int
    inode: int
    head: bytes
    tables: list[TablePosition]


class RowDigests:
    """Names rows by keyed digests, so that a state file tells nothing of them, not even to somebody who can guess."""

    def __init__(self, key: bytes) -> None:
        self._key = subkey(key, "rows")

    def of(self, table: str, rowid: int, name: object) -> bytes:
        """Return 16 bytes for the row of this name; one without a name is known by its rowid alone."""
        text = f"{table}\0rowid\0{rowid}" if name is None else f"{table}\0{name}"
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
