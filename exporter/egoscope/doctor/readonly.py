"""Reading somebody's SQLite file without leaving a trace, whether or not its owner runs.

`mode=ro` alone is not enough: on a file in WAL mode it makes `-wal` and `-shm` beside it (SQLite, "Write-Ahead
Logging", section 5). What changes nothing depends on what lies there.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final

from egoscope.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    Answer = TypeVar("Answer")

_BUSY_S: Final = 1.0
_STEPS: Final = 10_000
_DAMAGE: Final = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR", ""})


class DamagedError(StateError):
    """The file is no usable database."""


def read_only(path: Path, ask: Callable[[sqlite3.Connection], Answer], *, within_s: float = 2.0) -> Answer:
    """Return what `ask` makes of a connection that creates and changes no file; each question is cut off in time.

    Where an owner runs, a reader's mark in the shared memory may be all that it leaves, as any reader's.

    Raises DamagedError, or StateError where the file cannot be read now; the text is why.
    """
    reason = ""
    for options in _ways(path):
        try:
            return _ask(f"{path.absolute().as_uri()}?{options}", ask, time.monotonic() + within_s)
        except sqlite3.Error as error:
            reason = getattr(error, "sqlite_errorname", "")
    if reason in _DAMAGE or reason.startswith("SQLITE_CORRUPT"):
        raise DamagedError("it is damaged, or no database")
    if reason == "SQLITE_INTERRUPT":
        raise StateError(f"it is too large to be looked through in {within_s:.0f} s")
    raise StateError(f"it cannot be read now ({reason})")


def _ways(path: Path) -> tuple[str, ...]:
    """Return the ways to open the file, each safe as things lie."""
    journal, shared = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if shared.exists() and journal.exists():
        # A running owner's shared memory may have no place for a reader who cannot write to it: then as any reader.
        return ("mode=ro&readonly_shm=1", "mode=ro")
    if journal.exists() and journal.stat().st_size:
        raise StateError("its -wal file stands alone: only a start of egoscope can take it in")
    return ("mode=ro&immutable=1",)  # closed cleanly: all of it is in the one file


def _ask(uri: str, ask: Callable[[sqlite3.Connection], Answer], deadline: float) -> Answer:
    db = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        return ask(db)
    finally:
        db.close()
