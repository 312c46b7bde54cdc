"""What the state file knows: what reading has met, what waits in the outbox. Read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert import semconv as s
from egoscope.convert.catalogue import REDACTIONS, REJECTED, UNPARSABLE
from egoscope.delivery.ledger import LedgerKey
from egoscope.delivery.state import SCHEMA_VERSION, is_empty
from egoscope.doctor.finding import counted, fail, in_bytes, in_time, ok, skip, warn
from egoscope.doctor.local import RUN
from egoscope.doctor.readonly import DamagedError, read_only
from egoscope.errors import StateError
from egoscope.sources.base import FileCheckpoint
from egoscope.sources.ego_mcp import SOURCE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from egoscope.doctor.finding import Finding
    from egoscope.sources.base import TailedFile

_WAITS_LONG_S: Final = 60
_NEARLY_FULL: Final = 0.75
_MUCH_BYTES: Final = 1024 * 1024
_MOST_FILES: Final = 5
_OTHER_WRITER: Final = "if this grows, something else writes into these files: narrow EGO_MCP_LOG_PATH"
# Reasons of `sources.ego_mcp` and `pipeline`: what each means, and what to do.
_UNPARSABLE: Final = {
    "not_json": ("not JSON", _OTHER_WRITER),
    "not_an_object": ("JSON, but no object", _OTHER_WRITER),
    "empty_line": ("empty", _OTHER_WRITER),
    "nul_bytes": ("filled with NUL bytes", "look whether the machine or its disk failed at that time"),
    "not_utf8": ("not UTF-8", _OTHER_WRITER),
    "no_time": ("without a usable time: none, or one before 2020", _OTHER_WRITER),
    "time_in_future": ("from the future", "set the clock of the machine that ego-mcp runs on"),
    "too_long": ("longer than the limit", "raise EGOSCOPE_MAX_LINE_MIB if such lines matter"),
}
# Reasons of `sources.kagura`, `sources.illumo` and `sources.replay`; what has a flaw alone counts all the same.
_SCHEMA: Final = "if this grows, its program writes what this egoscope does not know: upgrade"
_UNREADABLE_ROWS: Final = {
    "malformed_json": ("told but for a column that is no JSON", _SCHEMA),
    "malformed_literal": ("told but for a column that is no Python literal", _SCHEMA),
    "wrong_type": ("told but for a value of another type than known", _SCHEMA),
    "no_time": ("without a usable time: none, or one before 2020", _SCHEMA),
    "time_in_future": ("from the future", "set the clock of the machine that the program runs on"),
    "too_long": ("longer than the limit", "raise EGOSCOPE_MAX_LINE_MIB if such rows matter"),
}
_REFUSED: Final = {
    "partial_success": "see the limits of the back end; its own log says which one was met",
    "too_large": "raise max_recv_msg_size_mib of the Collector's OTLP receiver",
    "invalid_argument": "see the Collector's log: a back end said why, often a limit on time or labels",
}


class StateView(msgspec.Struct, frozen=True):
    """What was read from the state file, at one moment."""

    checkpoints: Sequence[FileCheckpoint]
    totals: dict[LedgerKey, int]
    refused: Sequence[tuple[str, str, int]]
    outbox_requests: int
    outbox_bytes: int
    oldest_ns: int | None
    is_empty: bool = False
    """Nothing is kept in it: what a start leaves that was killed before it made its key."""


def view_state(path: Path) -> StateView | Finding:
    """Return what the state file holds, or why it cannot be told."""
    try:
        if not path.exists() or not path.stat().st_size:
            return skip("state file", "there is none yet: it is made when egoscope first runs")
        return read_only(path, _view)
    except (DamagedError, msgspec.DecodeError):
        remedy = "move it away to read all logs again from their beginning, or restore it from a backup"
        return fail("state file", f"{path} is damaged, or no state file", remedy)
    except _SchemaError as error:
        return fail("state file", f"{path} {error}", "use the egoscope that wrote it, or a newer one")
    except StateError as error:
        return warn("state file", f"{path}: {error}", "run doctor as the user of egoscope")
    except OSError as error:
        return fail(
            "state file", f"{path} cannot be read ({type(error).__name__})", "run doctor as the user of egoscope"
        )


def check_reading(view: StateView) -> Iterator[Finding]:
    """Say what reading has met so far: lines that were no records, and what back ends refused."""
    unparsable = list(_totals(view, UNPARSABLE.name, s.LABEL_SOURCE, s.REASON))
    for (source, reason), total in unparsable:
        was = "was" if total == 1 else "were"
        if source == SOURCE:
            meaning, remedy = _UNPARSABLE.get(reason, (reason, _OTHER_WRITER))
            yield warn("lines", f"{counted(total, 'line')} {was} {meaning}", remedy)
        else:
            meaning, remedy = _UNREADABLE_ROWS.get(reason, (reason, _SCHEMA))
            yield warn(f"rows of {source}", f"{counted(total, 'row')} {was} {meaning}", remedy)
    if not unparsable:
        yield ok("lines", "every line so far was a record")
    refused = dict(_totals(view, REJECTED.name, s.SIGNAL, s.REASON))
    for signal, reason, items in view.refused:
        refused[signal, reason] = refused.get((signal, reason), 0) + items
    for (signal, reason), total in sorted(refused.items()):
        sentence = f"{counted(total, 'item')} of {signal} refused for good by a back end ({reason})"
        yield warn("refused", sentence, _REFUSED.get(reason.lower(), "see the Collector's log for the reason"))
    if not refused:
        yield ok("refused", "no back end has refused anything for good")
    for (reason,), total in _totals(view, REDACTIONS.name, s.REASON):
        if reason == "newer_schema":
            sentence = f"{counted(total, 'line')} of a newer schema than this egoscope knows; new fields are dropped"
            yield warn("schema", sentence, "upgrade egoscope")
        elif reason == "stepped_back":
            sentence = (
                f"{counted(total, 'line')} written after the clock had stepped back; they count at the newest time"
            )
            yield warn("clock", sentence, "let one service set the clock of the machine that ego-mcp runs on")


def check_outbox(view: StateView, *, limit_bytes: int, now_s: float) -> Iterator[Finding]:
    """Say how much waits to be sent, since when, and whether reading has stopped because of it."""
    if not view.outbox_requests:
        yield ok("outbox", f"empty; its limit is {in_bytes(limit_bytes)}")
        return
    waits_s = now_s - (view.oldest_ns or 0) / 1e9
    requests = counted(view.outbox_requests, "request")
    size = f"{in_bytes(view.outbox_bytes)} of {in_bytes(limit_bytes)}"
    sentence = f"{requests} ({size}), the oldest for {in_time(waits_s)}"
    remedy = "mend what is wrong with the Collector and the back ends below; all of it is sent then"
    if view.outbox_bytes >= limit_bytes:
        yield fail(
            "outbox", f"full, so reading has stopped: {sentence}", f"{remedy}, or raise EGOSCOPE_OUTBOX_LIMIT_MIB"
        )
    elif view.outbox_bytes >= limit_bytes * _NEARLY_FULL:
        yield warn("outbox", f"so full that old lines are not read on: {sentence}", remedy)
    elif waits_s > _WAITS_LONG_S:
        yield warn("outbox", f"waiting: {sentence}", remedy)
    else:
        yield ok("outbox", f"on its way: {sentence}")


def check_lag(files: Sequence[TailedFile], *, running: bool) -> Iterator[Finding]:
    """Say how many bytes are not read yet, file by file; half a line at an end counts too."""
    behind = sorted((file for file in files if file.unread_bytes), key=lambda file: -file.unread_bytes)
    total = sum(file.unread_bytes for file in behind)
    if not behind:
        yield ok("lag", f"{counted(len(files), 'file')} followed, all read to the end")
    elif running and total < _MUCH_BYTES:
        yield ok("lag", f"{in_bytes(total)} just written and not read yet")
    else:
        remedy = "wait: egoscope is reading" if running else RUN
        yield warn("lag", f"{in_bytes(total)} in {counted(len(behind), 'file')} not read yet", remedy)
        for file in behind[:_MOST_FILES]:
            yield skip(file.checkpoint.path, f"{in_bytes(file.unread_bytes)} behind byte {file.checkpoint.offset:,}")


class _SchemaError(StateError):
    """The state file is of another version."""


def _view(db: sqlite3.Connection) -> StateView:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise _SchemaError(f"has schema {version}, this egoscope reads up to {SCHEMA_VERSION}")
    if version < SCHEMA_VERSION:
        raise _SchemaError(f"has schema {version} of an earlier egoscope; the next start brings it up to date")
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise DamagedError("it is damaged")
    db.execute("BEGIN")  # one moment for all questions
    known = db.execute("SELECT checkpoint FROM instances WHERE feed = ?", (SOURCE,)).fetchall()
    requests, size, oldest_ns = db.execute(
        "SELECT count(*), coalesce(sum(size), 0), min(created_ns) FROM outbox"
    ).fetchone()
    return StateView(
        checkpoints=[msgspec.json.decode(data, type=FileCheckpoint) for (data,) in known],
        totals={msgspec.json.decode(key, type=LedgerKey): n for key, n in db.execute("SELECT key, total FROM ledger")},
        refused=db.execute("SELECT signal, reason, items FROM refused").fetchall(),
        outbox_requests=requests,
        outbox_bytes=size,
        oldest_ns=oldest_ns,
        is_empty=is_empty(db),
    )


def _totals(view: StateView, metric: str, *labels: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Return a metric's totals by some of its labels, sorted."""
    sums: dict[tuple[str, ...], int] = {}
    for (name, attributes), total in view.totals.items():
        if name == metric and total:
            values = dict(attributes)
            key = tuple(str(values.get(label, "")) for label in labels)
            sums[key] = sums.get(key, 0) + total
    yield from sorted(sums.items())
