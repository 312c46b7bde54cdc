"""A finding: what was looked at, how it is, and what to do. Values only; `cli.doctor` shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Mark(StrEnum):
    """How it is. Only FAIL means that something does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


class Finding(msgspec.Struct, frozen=True):
    """One line of the answer. `remedy` says what to do, as an order; a finding that needs nothing done has none.

    `is_absent`: there is no server there, or another program's.

    No finding holds content of a log line, a key or a token: only places, counts, times, and reasons that are
    constants.
    """

    mark: Mark
    subject: str
    sentence: str
    remedy: str = ""
    is_absent: bool = False


_KIB: Final = 1024
_UNITS_S: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def ok(subject: str, sentence: str) -> Finding:
    """Return that all is well."""
    return Finding(Mark.OK, subject, sentence)


def warn(subject: str, sentence: str, remedy: str = "") -> Finding:
    """Return what works, but a user would want to know."""
    return Finding(Mark.WARN, subject, sentence, remedy)


def fail(subject: str, sentence: str, remedy: str) -> Finding:
    """Return what does not work until the remedy is taken."""
    return Finding(Mark.FAIL, subject, sentence, remedy)


def absent(subject: str, sentence: str, remedy: str) -> Finding:
    """Return that a server is not there: it fails, unless no server is needed."""
    return Finding(Mark.FAIL, subject, sentence, remedy, is_absent=True)


def skip(subject: str, sentence: str) -> Finding:
    """Return what was not looked at and why, or what needs no judgement."""
    return Finding(Mark.SKIP, subject, sentence)


def in_bytes(count: int) -> str:
    """Return a number of bytes for reading: `17 bytes`, `3.2 MiB`."""
    if count < _KIB:
        return "1 byte" if count == 1 else f"{count} bytes"
    size, unit = count / _KIB, "KiB"
    for unit in ("KiB", "MiB", "GiB", "TiB"):  # noqa: B007 (its last value is the answer)
        if size < _KIB:
            break
        size /= _KIB
    return f"{size:.1f} {unit}"


def in_time(seconds: float) -> str:
    """Return a span of time for reading, in its largest unit: `4 s`, `3 d`. Never negative."""
    whole = max(0, round(seconds))
    for unit, length in _UNITS_S:
        if whole >= length:
            return f"{whole // length} {unit}"
    return "0 s"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 file`, `1,200 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
