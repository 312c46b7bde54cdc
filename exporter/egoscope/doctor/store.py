"""The embedded store, where no server is used: whether it is whole, of a version known here, and still filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.doctor.finding import counted, fail, in_bytes, in_time, ok, skip, warn
from egoscope.doctor.readonly import DamagedError, read_only
from egoscope.errors import StateError
from egoscope.store.schema import APPLICATION_ID, VERSION

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from egoscope.doctor.finding import Finding

_SUBJECT: Final = "embedded store"
_MOVE: Final = "move it away, and a new store is made"


def check_store(path: Path, now_s: float) -> Iterator[Finding]:
    """Look at the store without disturbing who writes to it; `now_s` is Unix time."""
    try:
        if not path.exists():
            yield skip(_SUBJECT, f"{path} is made when egoscope first runs")
            return
        application_id, version, calls, newest_ns = read_only(path, _ask)
        size = path.stat().st_size
    except DamagedError:
        yield fail(_SUBJECT, f"{path} is damaged, or no embedded store", _MOVE)
        return
    except (StateError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        yield warn(_SUBJECT, f"{path}: {reason}", "run doctor as the user of egoscope")
        return
    if application_id != APPLICATION_ID:
        yield fail(_SUBJECT, f"{path} is another program's database", _MOVE)
    elif version > VERSION:
        yield fail(
            _SUBJECT, f"{path} was written by a newer egoscope (version {version} of its tables)", "upgrade egoscope"
        )
    elif newest_ns is None:
        yield warn(_SUBJECT, f"{path} is empty", "see the findings about the logs above")
    else:
        age = in_time(now_s - newest_ns / 1e9)
        yield ok(_SUBJECT, f"{path}: {counted(calls, 'span')}, {in_bytes(size)}, the newest line from {age} ago")


def _ask(db: sqlite3.Connection) -> tuple[int, int, int, int | None]:
    application_id = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID or version > VERSION:
        return application_id, version, 0, None
    calls = db.execute("SELECT count(*) FROM spans").fetchone()[0]
    return application_id, version, calls, db.execute("SELECT max(time_ns) FROM logs").fetchone()[0]
