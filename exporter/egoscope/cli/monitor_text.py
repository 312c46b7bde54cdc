"""Numbers as the few characters that a terminal has room for. Pure."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND_NS: Final = 1_000_000_000


class Glyphs(msgspec.Struct, frozen=True, kw_only=True):
    """The characters that pictures are drawn with."""

    spark: str
    """From nothing over little to much."""
    bar: str
    """Parts of one cell, from nearly empty to full."""
    groove: str
    """What an empty cell of a bar shows."""
    dot: str
    separator: str
    overflow: Literal["ellipsis", "crop"]


UNICODE: Final = Glyphs(spark="▁▂▃▄▅▆▇█", bar="▏▎▍▌▋▊▉█", groove=" ", dot="●", separator="·", overflow="ellipsis")
ASCII: Final = Glyphs(spark="_.:-=+*#", bar="#", groove=".", dot="*", separator="-", overflow="crop")


def sparkline(values: Sequence[int], width: int, glyphs: Glyphs) -> str:
    """Draw the last `width` values; the lowest glyph means zero and nothing else."""
    shown = values[-width:] if width > 0 else values[:0]
    most = max(shown, default=0)
    steps = len(glyphs.spark) - 1
    return "".join(glyphs.spark[-(-value * steps // most) if most else 0] for value in shown)


def bar(level: float, width: int, glyphs: Glyphs) -> str:
    """Draw `level` (0 to 1, else clipped) as a bar of `width` cells."""
    parts = len(glyphs.bar)
    filled = round(min(max(level, 0.0), 1.0) * width * parts)
    whole, rest = divmod(filled, parts)
    drawn = glyphs.bar[-1] * whole + (glyphs.bar[rest - 1] if rest else "")
    return drawn.ljust(width, glyphs.groove)


def duration(seconds: float | None) -> str:
    """Write a duration in at most 6 characters: `41 ms`, `1.23 s`, `12 min`; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.1f} ms" if seconds < 0.00995 else f"{seconds * 1e3:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    return age(seconds * SECOND_NS)


def age(nanoseconds: float) -> str:
    """Write how long ago in whole units: `3 s`, `12 min`, `5 h`, `2 d`."""
    seconds = max(0, int(nanoseconds // SECOND_NS))
    for unit, size, until in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 2 * 86400)):
        if seconds < until:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86400} d"


def count(number: int) -> str:
    """Write a count in at most 5 characters: `99999`, `1.2M`."""
    if number < 100_000:
        return str(number)
    if number < 1_000_000:
        return f"{number // 1000}k"
    return f"{number / 1_000_000:.1f}M"


def clock(time_ns: int) -> str:
    """Write the local time of day."""
    return _local(time_ns).strftime("%H:%M:%S")


def date_and_clock(time_ns: int) -> str:
    """Write the local date and time with its zone."""
    return _local(time_ns).strftime("%Y-%m-%d %H:%M:%S %Z")


def short_name(name: str, width: int) -> str:
    """Leave out a dotted name's first parts until it fits; cut what is still too long."""
    while len(name) > width and "." in name:
        name = name.split(".", 1)[1]
    return name[:width]


def plain(text: str) -> str:
    """Return `text` without what a terminal would obey: control and escape characters."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _local(time_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ns // SECOND_NS, tz=dt.UTC).astimezone()
