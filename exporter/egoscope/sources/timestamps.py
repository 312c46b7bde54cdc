"""Reading the time of a record: ISO 8601 with `Z` or an offset, or Unix seconds; nanoseconds since the epoch out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_EARLIEST_NS = 946_684_800 * 10**9  # 2000-01-01: before it a clock was not set
_LATEST_NS = 4_102_444_800 * 10**9  # 2100-01-01: int64 nanoseconds end in 2262

_WRITTEN_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?"
).fullmatch


def written_time(value: object) -> int | None:
    """Return nanoseconds since the Unix epoch of a time as `isoformat` or SQLite writes it; UTC if it says no more."""
    return parse_time(value) if isinstance(value, str) and _WRITTEN_TIME(value) else None


def parse_time(value: object) -> int | None:
    """Return nanoseconds since the Unix epoch, or None for what is no usable time.

    A time without an offset is taken as UTC (ego-mcp writes UTC). Years outside 2000 to 2099 are not usable.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            # A double holds microseconds of this century exactly enough to be rounded back to them.
            nanoseconds = int(moment.timestamp() * 1e6 + 0.5) * 1000
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            nanoseconds = int(value * 1_000_000) * 1000
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return nanoseconds if _EARLIEST_NS <= nanoseconds < _LATEST_NS else None
