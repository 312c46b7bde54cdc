"""One line of a demo log, what kind it is, and how its time is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from egoscope.demo.words import TOOLS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TWO_DIGITS: Final = tuple(f"{n:02d}" for n in range(60))


class LineKind(msgspec.Struct, frozen=True, eq=False):
    """What a line says, for counting. `outcome` is started, ok or error; "" where no call starts or ends.

    Compared by identity, which makes counting cheap; compare fields.
    """

    level: str
    logger: str
    tool: str = ""
    outcome: str = ""


class DemoLine(msgspec.Struct, frozen=True, gc=False):
    """One line without its newline. `time_ns`: the time it carries, nanoseconds since the epoch, whole microseconds.

    `process_ns`: when the process that wrote it started; the name of the file is fixed then.
    """

    time_ns: int
    line: bytes
    kind: LineKind
    process_ns: int


# Time in microseconds, text, kind.
Entry: TypeAlias = tuple[int, str, LineKind]


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call: when the request came in, how long it takes, how it ends (ok, error, unfinished, refused)."""

    tool: str
    us: int
    latency_us: int
    outcome: str


SERVER: Final = "ego_mcp.server"
STARTED: Final = {tool: LineKind("INFO", SERVER, tool, "started") for tool in TOOLS}
OK: Final = {tool: LineKind("INFO", SERVER, tool, "ok") for tool in TOOLS}
ERROR: Final = {tool: LineKind("ERROR", SERVER, tool, "error") for tool in TOOLS}
REQUEST: Final = LineKind("INFO", "mcp.server.lowlevel.server")
PROCESS_START: Final = LineKind("INFO", "ego_mcp.__main__")


class Stamps:
    """Writes times as `datetime.isoformat()` does, which leaves the fraction out where it is zero."""

    def __init__(self) -> None:
        self._second = -1
        self._day = -1
        self._date = ""
        self._whole = ""

    def stamp(self, us: int) -> str:
        """Return the UTC time, ending in `Z`."""
        second, fraction = divmod(us, 1_000_000)
        if second != self._second:
            self._second = second
            day, rest = divmod(second, 86_400)
            if day != self._day:
                self._day = day
                self._date = (_EPOCH + timedelta(days=day)).date().isoformat()
            minutes, seconds = divmod(rest, 60)
            hours, minutes = divmod(minutes, 60)
            self._whole = f"{self._date}T{_TWO_DIGITS[hours]}:{_TWO_DIGITS[minutes]}:{_TWO_DIGITS[seconds]}"
        return f"{self._whole}.{fraction:06d}Z" if fraction else f"{self._whole}Z"


def quoted(value: object) -> str:
    """Return `value` as JSON, in the separators and letters that ego-mcp's own log has."""
    return json.dumps(value, ensure_ascii=False)


def date_of(us: int) -> str:
    """Return the UTC date, as in the name of a log file."""
    return (_EPOCH + timedelta(microseconds=us)).date().isoformat()
