"""Numbers as the few characters that a terminal has room for. Pure."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND_NS: Final = 1_000_000_000
NAMED: Final = 12


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


def took(seconds: float | None) -> str:
    """Write a duration as `duration` does, but the longer ones to the second: `3m05s`, `2h07m`, `3d04h`."""
    if seconds is None or seconds < 99.95:
        return duration(seconds)
    whole = round(seconds)
    for size, unit, part, name in ((60, "m", 1, "s"), (3600, "h", 60, "m"), (86400, "d", 3600, "h")):
        if whole < 100 * size:
            return f"{whole // size}{unit}{whole % size // part:02d}{name}"
    return f"{whole // 86400} d"


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


def money(usd: float | None) -> str:
    """Write US dollars in at most 8 characters: `$0.0042`, `$12.34`, `$12.3k`; a question mark for None: not known."""
    if usd is None:
        return "?"
    if usd == 0:
        return "$0"
    if usd < 0.00005:
        return "<$0.0001"
    if usd < 0.99995:
        return f"${usd:.4f}"
    if usd < 9999.995:
        return f"${usd:.2f}"
    return f"${usd / 1000:.1f}k"


def cost(usd: float, unknown: int) -> str:
    """Write a cost of which `unknown` calls are in no sum: `$1.23+?`, and `?` where that is all of it."""
    if not unknown:
        return money(usd)
    return f"{money(usd)}+?" if usd else "?"


def percent(share: float | None) -> str:
    """Write a share of 0 to 1 in at most 6 characters; all is `100%` and nothing `0%`, what is nearly so is not."""
    if share is None:
        return "-"
    if share in (0, 1):
        return f"{share:.0%}"
    return f"{min(max(share, 0.001), 0.999):.1%}"


def clock(time_ns: int) -> str:
    """Write the local time of day."""
    return _local(time_ns).strftime("%H:%M:%S")


def date(time_ns: int) -> str:
    """Write the local date."""
    return _local(time_ns).strftime("%Y-%m-%d")


def time_of_day(time_ns: int, now_ns: int) -> str:
    """Write the local time of day; of another day than now its date, too."""
    return clock(time_ns) if date(time_ns) == date(now_ns) else _local(time_ns).strftime("%m-%d %H:%M")


def date_and_clock(time_ns: int) -> str:
    """Write the local date and time with its zone."""
    return _local(time_ns).strftime("%Y-%m-%d %H:%M:%S %Z")


def short_name(name: str, width: int) -> str:
    """Leave out a dotted name's first parts until it fits; cut what is still too long."""
    while len(name) > width and "." in name:
        name = name.split(".", 1)[1]
    return name[:width]


def some(names: Sequence[str]) -> str:
    """Write names one after another, and of very many how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(plain(name) for name in names[:NAMED]) + more


def plain(text: str) -> str:
    """Return `text` without what a terminal would obey: control and escape characters."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _local(time_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ns // SECOND_NS, tz=dt.UTC).astimezone()
