"""ego-mcp's log files as a feed: lines that are followed by `Tail`, read by `EgoMcpFormat`, converted file by file."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from egoscope.convert import semconv as s
from egoscope.convert.ids import Ids
from egoscope.convert.instance import InstanceConversion, InstanceState
from egoscope.model.record import AHEAD_NS, EARLIEST_NS, Record
from egoscope.sources.base import FileCheckpoint, Lines
from egoscope.sources.ego_mcp import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from egoscope.convert.series import SeriesRow
    from egoscope.model.telemetry import Attribute
    from egoscope.redaction import Policy
    from egoscope.sources.base import TailedFile
    from egoscope.sources.discovery import Problem
    from egoscope.sources.ego_mcp import EgoMcpFormat
    from egoscope.sources.tail import Tail


class LineFeed:
    """All log files of ego-mcp. `key` is what ids are made with, `resource` what every file's telemetry carries."""

    source = SOURCE
    checkpoint_type = FileCheckpoint
    state_type = InstanceState

    def __init__(self, tail: Tail, log_format: EgoMcpFormat, *, key: bytes, resource: Sequence[Attribute] = ()) -> None:
        self._tail, self._format, self._key, self._base = tail, log_format, key, tuple(resource)

    @property
    def policies(self) -> Sequence[Policy]:
        """The policies of both formats."""
        return self._format.policies

    def scan(self) -> Sequence[TailedFile]:
        """Look again; return the files in which there may be unread lines."""
        return self._tail.scan()

    def units(self) -> Sequence[TailedFile]:
        """Return every file that is followed now."""
        return self._tail.files()

    def conversion(
        self, checkpoint: FileCheckpoint, state: InstanceState, series: list[SeriesRow]
    ) -> InstanceConversion:
        """Return the conversion of one file."""
        return InstanceConversion(Ids(self._key, checkpoint.source), state, series)

    def convert(
        self, conversion: InstanceConversion, content: Lines, *, now_ns: int, fallback_ns: int | None = None
    ) -> Counter[str]:
        """Convert complete lines of one file; return how many were no records, by reason."""
        return convert_lines(self._format, conversion, content, now_ns=now_ns, fallback_ns=fallback_ns)

    def resource(self, checkpoint: FileCheckpoint) -> Sequence[Attribute]:
        """Return the resource of one log file: the agent's service, one instance a file."""
        return (
            (s.SERVICE_NAME, s.EGO_MCP_SERVICE),
            (s.SERVICE_INSTANCE_ID, checkpoint.source),
            (s.SOURCE, SOURCE),
            *self._base,
        )

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong with files and patterns."""
        return self._tail.problems()

    def drain_problems(self) -> Mapping[str, int]:
        """Return nothing: what is wrong with a file is told by `problems`, and lags."""
        return {}

    def watch_paths(self) -> Sequence[str]:
        """Return the directories to watch."""
        return self._tail.watch_paths()

    def forgotten(self) -> Sequence[str]:
        """Return the sources whose file has been gone for long, each once."""
        return self._tail.forgotten()

    def close(self) -> None:
        """Let go of every handle."""
        self._tail.close()


def convert_lines(
    log_format: EgoMcpFormat,
    conversion: InstanceConversion,
    lines: Lines,
    *,
    now_ns: int,
    fallback_ns: int | None = None,
) -> Counter[str]:
    """Convert complete lines of one file; return how many were no records, by reason.

    `fallback_ns` (default: `now_ns`) is the time of a line that is no record where no other line has one.

    A time further ahead of `now_ns` than `AHEAD_NS` is no usable time, nor is one before `EARLIEST_NS`: time never
    goes back within a series, so one line from the future would drag all later ones with it.
    """
    unparsable: Counter[str] = Counter()
    stepped_back = conversion.stepped_back
    horizon_ns = now_ns + AHEAD_NS
    fallback_ns = now_ns if fallback_ns is None else fallback_ns
    if lines.oversized:
        unparsable["too_long"] += 1
        conversion.unparsable(lines.start, "too_long", fallback_ns)
    # One step for all lines, then the next one: measured a third faster than line by line.
    for record in list(map(log_format.read, lines.lines, _offsets(lines))):
        if not isinstance(record, Record):
            reason = record.reason
        elif record.time_ns > horizon_ns:
            reason = "time_in_future"
        elif record.time_ns < EARLIEST_NS:
            reason = "no_time"
        else:
            conversion.record(record)
            continue
        unparsable[reason] += 1
        conversion.unparsable(record.offset, reason, fallback_ns)
    log_format.note_stepped_back(conversion.stepped_back - stepped_back)
    return unparsable


def _offsets(lines: Lines) -> Iterator[int]:
    return accumulate((len(line) + 1 for line in lines.lines), initial=lines.start)
