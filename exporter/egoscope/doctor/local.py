"""The machine: the state directory, its modes and room, the pseudonym key, and the sidecar that may be running."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.delivery.key import KEY_BYTES
from egoscope.doctor.finding import fail, in_bytes, ok, skip, warn
from egoscope.doctor.web import REFUSED, Answer, NoAnswer, get

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.doctor.finding import Finding

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MIB: Final = 1024 * 1024
_LEAST_ROOM: Final = 16 * _MIB
RUN: Final = "run egoscope start (shown in the terminal) or egoscope serve (sends to a Collector)"
_PRIVATE_FILES: Final = ("state.db", "state.db-wal", "state.db-shm", "store.db", "store.db-wal", "store.db-shm")


def check_state_dir(state_dir: Path, *, outbox_limit_bytes: int) -> Iterator[Finding]:
    """Say whether state can be kept: in a directory that this user can write to, closed to others, with room."""
    try:
        place = _nearest(state_dir)
    except OSError as error:
        remedy = "run doctor as the user of egoscope, or set EGOSCOPE_STATE_DIR"
        yield fail("state directory", f"{state_dir} cannot be looked at ({error.strerror})", remedy)
        return
    if not place.is_dir():
        yield fail(
            "state directory", f"{place} is no directory", "set EGOSCOPE_STATE_DIR to a directory of egoscope's own"
        )
        return
    if not os.access(place, os.W_OK | os.X_OK):
        remedy = f"let this user (uid {os.geteuid()}) write there, or set EGOSCOPE_STATE_DIR"
        yield fail("state directory", f"{place} cannot be written to", remedy)
    elif place != state_dir:
        yield skip("state directory", f"{state_dir} is made when egoscope first runs")
    elif (mode := stat.S_IMODE(state_dir.stat().st_mode)) & _OTHERS:
        sentence = f"{state_dir} is open to other users (mode {mode:04o})"
        yield warn("state directory", sentence, f"run chmod 700 {state_dir}")
    else:
        yield ok("state directory", f"{state_dir} can be written to, and is closed to other users")
    for name in _PRIVATE_FILES:
        yield from _open_to_others(state_dir / name)
    yield _room(place, outbox_limit_bytes)


def check_key(path: Path, *, state_exists: bool) -> Finding:
    """Say whether the pseudonym key is there, whole and closed to others. The key itself is not read."""
    subject = "pseudonym key"
    try:
        found = path.stat()
    except FileNotFoundError:
        if not state_exists:
            return skip(subject, f"{path} is made when egoscope first runs")
        sentence, remedy = (
            "is gone, but there is state made with it",
            "put it back from a backup, or move the state away",
        )
    except OSError as error:
        sentence, remedy = f"cannot be looked at ({error.strerror})", "run doctor as the user of egoscope"
    else:
        mode = stat.S_IMODE(found.st_mode)
        if found.st_size != KEY_BYTES or not stat.S_ISREG(found.st_mode):
            sentence = f"holds {in_bytes(found.st_size)} instead of {KEY_BYTES}"
            remedy = "put it back from a backup"
        elif mode & _OTHERS:
            sentence, remedy = f"is open to other users (mode {mode:04o})", f"run chmod 600 {path}"
        elif not os.access(path, os.R_OK):
            sentence, remedy = (
                f"cannot be read by this user (uid {os.geteuid()})",
                "run egoscope and doctor as its owner",
            )
        else:
            return ok(subject, f"{path} is whole, and closed to other users")
    return fail(subject, f"{path} {sentence}: egoscope will not start", remedy)


def lock_owner(lock_path: Path) -> int | None:
    """Return the process that holds the state file's lock, None if nobody does. Takes no lock itself."""
    try:
        owner, inode = int(lock_path.read_text().strip()), lock_path.stat().st_ino
    except (OSError, ValueError):
        return None
    try:
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:  # no Linux: all that can be told is whether such a process runs
        return owner if _runs(owner) else None
    # "1: FLOCK ADVISORY WRITE pid major:minor:inode start end"; a waiting one has "->" behind its number.
    locked = any(row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode) for row in held if len(row) > 5)
    return owner if locked else None


def check_sidecar(owner: int | None, readyz_url: str | None, *, may_be_start: bool = False) -> Iterator[Finding]:
    """Say whether a sidecar runs on this state, and what it says of itself. `readyz_url` None: its page is off.

    `may_be_start`: it may be that of `egoscope start`, which serves no page.
    """
    if owner is None:
        yield warn("sidecar", "none is running on this state directory", RUN)
        return
    if readyz_url is None:
        yield ok("sidecar", f"process {owner} is running; its health page is off")
        return
    answer = get(readyz_url)
    if may_be_start and answer == NoAnswer(REFUSED):
        yield ok("sidecar", f"process {owner} is running, and serves no health page: egoscope start has none")
        return
    if not isinstance(answer, Answer):
        yield warn("sidecar", f"process {owner} is running, but its page {readyz_url} {answer.sentence}", "see its log")
        return
    problems = _problems(answer.body) if answer.status != 200 else []
    for problem in problems:
        yield warn("sidecar", f"process {owner} says of itself: {problem}", "see the findings below")
    if not problems:
        yield ok("sidecar", f"process {owner} is running, and is ready")


def _problems(body: bytes) -> list[str]:
    """Return the sentences of a `/readyz` page (`health.py`): all but its status."""
    try:
        said = msgspec.json.decode(body, type=dict[str, str])
    except msgspec.DecodeError:
        said = {}
    return [sentence for name, sentence in said.items() if name != "status"] or ["not ready"]


def _open_to_others(path: Path) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & _OTHERS:
        yield warn("state directory", f"{path} is open to other users (mode {mode:04o})", f"run chmod 600 {path}")


def _room(place: Path, outbox_limit_bytes: int) -> Finding:
    free = shutil.disk_usage(place).free
    sentence = f"{in_bytes(free)} free at {place}"
    if free < _LEAST_ROOM:
        return fail("disk", f"only {sentence}: state can hardly be written", "make room, or move EGOSCOPE_STATE_DIR")
    if free < outbox_limit_bytes + _LEAST_ROOM:
        remedy = "make room, or lower EGOSCOPE_OUTBOX_LIMIT_MIB"
        return warn("disk", f"{sentence}: less than a full outbox takes ({in_bytes(outbox_limit_bytes)})", remedy)
    return ok("disk", sentence)


def _nearest(path: Path) -> Path:
    """Return the path itself, or the nearest place above it that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
