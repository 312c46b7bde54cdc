"""Clocks: this machine's against the servers', and the log's against this machine's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.doctor.finding import fail, in_time, ok, skip, warn
from egoscope.doctor.web import Answer, address, get
from egoscope.model.record import AHEAD_NS
from egoscope.sources.discovery import printable
from egoscope.sources.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from egoscope.doctor.finding import Finding
    from egoscope.sources.discovery import Sighting

_NOTICED_S: Final = 5
_WRONG_S: Final = 60
_UNREADABLE_S: Final = AHEAD_NS / 1e9
_TAIL_BYTES: Final = 256 * 1024
_HALF_HOUR_S: Final = 1800
_WRITE_S: Final = 5
_LARGEST_OFFSET_S: Final = 14 * 3600
_SET_CLOCK: Final = "let a time service set both clocks (timedatectl set-ntp true)"


class _Times(msgspec.Struct):
    """All that is taken from a line: its time, under either format's name."""

    timestamp: str | float | None = None
    ts: str | float | None = None


def check_clock(urls: Sequence[str]) -> Iterator[Finding]:
    """Compare this machine's clock with the first server's that tells the time."""
    for url in urls:
        answer = get(url)
        if isinstance(answer, Answer) and answer.ahead_s is not None:
            yield _compare(answer.ahead_s, address(url))
            return
    yield skip("clock", "no server was there to compare it with")


def check_newest_line(files: Sequence[Sighting], now_s: float) -> Iterator[Finding]:
    """Say whether the newest line is from the future, or has a local time that passes for UTC.

    Of the line nothing but its time is kept.
    """
    if not files:
        return
    newest = max(files, key=lambda seen: seen.stat.st_mtime)
    time_ns = _last_time_ns(newest)
    if time_ns is None:
        yield skip("log time", "the newest file ends without a line that has a time")
        return
    time_s, written_s = time_ns / 1e9, newest.stat.st_mtime
    offset_s = round((time_s - written_s) / _HALF_HOUR_S) * _HALF_HOUR_S
    name = printable(newest.path)
    if offset_s and abs(offset_s) <= _LARGEST_OFFSET_S and abs(time_s - written_s - offset_s) < _WRITE_S:
        way = "ahead of" if offset_s > 0 else "behind"
        sentence = (
            f"{name}: times are {abs(offset_s) / 3600:g} h {way} UTC, as a local time without its offset would be"
        )
        yield warn("log time", sentence, "let the writer use UTC, or write the offset")
    elif time_s - now_s > _UNREADABLE_S:
        sentence = f"{name}: the newest line is {in_time(time_s - now_s)} in the future, so it counts as unreadable"
        yield fail("log time", sentence, "set the clock of the machine that ego-mcp runs on")
    elif time_s - now_s > _WRONG_S:
        sentence = f"{name}: the newest line is {in_time(time_s - now_s)} in the future"
        yield warn("log time", sentence, "set the clock of the machine that ego-mcp runs on")
    else:
        yield ok("log time", f"the newest line is from {in_time(now_s - time_s)} ago")


def _compare(ahead_s: float, other: str) -> Finding:
    off_s = abs(ahead_s)
    way = "behind" if ahead_s > 0 else "ahead of"
    if off_s >= _WRONG_S:
        return fail("clock", f"this machine is {in_time(off_s)} {way} {other}", _SET_CLOCK)
    if off_s >= _NOTICED_S:
        return warn("clock", f"this machine is {in_time(off_s)} {way} {other}", _SET_CLOCK)
    return ok("clock", f"agrees with {other}")


def _last_time_ns(seen: Sighting) -> int | None:
    """Return the time of the file's last complete line that has one."""
    try:
        fd = os.open(seen.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            end = os.pread(fd, _TAIL_BYTES, max(0, seen.stat.st_size - _TAIL_BYTES))
        finally:
            os.close(fd)
    except OSError:
        return None
    for line in reversed(end.split(b"\n")[:-1]):
        try:
            times = msgspec.json.decode(line, type=_Times)
        except msgspec.DecodeError:
            continue
        if (time_ns := parse_time(times.timestamp or times.ts)) is not None:
            return time_ns
    return None
