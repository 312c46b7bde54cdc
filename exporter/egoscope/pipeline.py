"""The way of one line, in order: read, redact, pair, convert, encode, commit. Only this module knows the order."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter, OrderedDict
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from egoscope.convert import semconv as s
from egoscope.convert.ids import Ids
from egoscope.convert.instance import InstanceConversion, InstanceState
from egoscope.delivery.ledger import SIDECAR, Ledger
from egoscope.delivery.outbox import BACKLOG, LIVE, Outbox
from egoscope.delivery.state import Batch, SourceRows, StateFile
from egoscope.model.record import Record
from egoscope.otlp.requests import encode_telemetry
from egoscope.sources.discovery import Reason
from egoscope.sources.ego_mcp import SOURCE, EgoMcpFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from egoscope.model.telemetry import Attribute
    from egoscope.sources.base import FileCheckpoint, Lines, TailedFile
    from egoscope.sources.tail import Tail

logger = logging.getLogger(__name__)

EARLIEST_NS: Final = 1_577_836_800 * 10**9
"""2020-01-01. No ego-mcp wrote before; a clock that says so was not set yet. Loki has no schema for older times and
answers as if it were down, so one such line would hold up all logs for ever."""
AHEAD_NS: Final = 300 * 10**9
"""Prometheus refuses what is ten minutes ahead of its own clock. Half of that is left for clocks that differ."""
_READ_LAG_NS: Final = 10**9
"""A line is written a moment after the time it carries; series are kept alive only up to what was surely read."""
_MOST_CONVERSIONS: Final = 64
_TICK_NS: Final = 10**9
_LIVE_FOR_NS: Final = 5 * 10**9
_SLICES: Final = 4
"""While lines come in live, backlog is read in slices this much smaller: a live line waits for one to be converted, and
for one to be taken by each back end. Smaller slices cost a sixth more CPU time, so not when nobody waits."""


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

    A time further ahead of `now_ns` than `AHEAD_NS` is no usable time, nor is one before `EARLIEST_NS`: time never goes
    back within a series, so one line from the future would drag all later ones with it.
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


class Pipeline:
    """Moves lines from the followed files into the outbox."""

    def __init__(
        self,
        *,
        tail: Tail,
        log_format: EgoMcpFormat,
        state: StateFile,
        outbox: Outbox,
        ledger: Ledger,
        key: bytes,
        resource: Callable[[FileCheckpoint], Sequence[Attribute]],
        sidecar_resource: Sequence[Attribute],
        clock_ns: Callable[[], int],
        batch_bytes: int,
        keepalive_ns: int,
        on_commit: Callable[[], None],
    ) -> None:
        """`resource`: the attributes of a file's telemetry. `on_commit` is called when requests wait to be sent."""
        self._tail, self._format, self._state, self._outbox = tail, log_format, state, outbox
        self._ledger, self._key = ledger, key
        self._resource, self._sidecar_resource = resource, sidecar_resource
        self._clock_ns, self._batch_bytes, self._keepalive_ns = clock_ns, batch_bytes, keepalive_ns
        self._on_commit = on_commit
        self._conversions: OrderedDict[str, tuple[InstanceConversion, FileCheckpoint]] = OrderedDict()
        self._uncommitted: tuple[Batch, int] | None = None
        self._next_tick_ns = 0
        self._live_ns = -_LIVE_FOR_NS
        self._gone: set[str] = set()
        self.unread_bytes = 0
        self.paused = False

    @property
    def stuck(self) -> bool:
        """Whether a batch waits because the state file cannot be written."""
        return self._uncommitted is not None

    def resume(self, checkpoints: Iterable[FileCheckpoint]) -> None:
        """Take up the files of an earlier run: open calls expire and series stay alive though no line comes."""
        living_ns = self._clock_ns() - self._keepalive_ns
        for checkpoint in checkpoints:
            state, series = self._state.source(checkpoint.source)
            if len(self._conversions) < _MOST_CONVERSIONS and (state.open_calls or state.newest_ns >= living_ns):
                conversion = InstanceConversion(Ids(self._key, checkpoint.source), state, series)
                self._conversions[checkpoint.source] = conversion, checkpoint

    @property
    def newest_ns(self) -> int:
        """The time of the newest event of any file that is looked after now; 0 if there is none."""
        return max((conversion.newest_ns for conversion, _ in self._conversions.values()), default=0)

    def begin(self) -> None:
        """Tell that the sidecar starts: the first points of a run are of now, before any of the past.

        A Prometheus that is new takes the first sample it sees for the beginning of its time. Where that was hours old,
        its first scrape was seen to cost some of them; behind a newer one they go the way that is made for old ones.
        """
        self._ledger.started(self._clock_ns() // 1_000_000)
        self._commit_ledger(self._clock_ns())

    def run_once(self) -> bool:
        """Look at all files once, live ones first and then one batch of backlog; return whether there is more to do.

        A batch that could not be committed (the disk is full) is kept and tried again before anything else is read.
        """
        if self._uncommitted is not None and not self._commit(*self._uncommitted):
            return False
        looked_ns = self._clock_ns()
        files = self._tail.scan()
        self.unread_bytes = sum(file.unread_bytes for file in files)
        more = False
        for file in files:
            lane = LIVE if file.live and not self._outbox.has_backlog(file.checkpoint.source) else BACKLOG
            if not self._outbox.room(lane):
                self._pause(paused=True)
                continue
            slice_bytes = self._batch_bytes
            if lane == LIVE:
                self._live_ns = looked_ns
            elif looked_ns - self._live_ns < _LIVE_FOR_NS:
                slice_bytes //= _SLICES
            if (lines := file.read(slice_bytes)) is None:
                continue
            if not self._take(file, lines, lane):
                return False
            more = True
            if lane == BACKLOG:
                break  # look at the live files again before the next slice of backlog
        else:
            if self._outbox.room(BACKLOG):
                self._pause(paused=False)
        if looked_ns >= self._next_tick_ns:
            self._tick(looked_ns, {file.checkpoint.source for file in files if file.unread_bytes})
            self._next_tick_ns = looked_ns + _TICK_NS
        return more

    def finish(self) -> None:
        """Commit what the ledger still holds; the last thing before the state file is closed."""
        # A batch that cannot be committed is read again at the next start; its ledger must not go without it.
        if self._uncommitted is None or self._commit(*self._uncommitted):
            self._commit_ledger(self._clock_ns())

    def _take(self, file: TailedFile, lines: Lines, lane: int) -> bool:
        now_ns = self._clock_ns()
        checkpoint = file.checkpoint
        conversion = self._conversion(checkpoint)
        self._ledger.unparsable(SOURCE, convert_lines(self._format, conversion, lines, now_ns=now_ns))
        return self._commit_conversion(conversion, checkpoint, lane)

    def _commit_conversion(self, conversion: InstanceConversion, checkpoint: FileCheckpoint, lane: int) -> bool:
        telemetry = conversion.drain()
        for policy in self._format.policies:
            self._ledger.redacted(policy.source, policy.drain_audit())
        rows = SourceRows(checkpoint.source, checkpoint, conversion.state, telemetry.series)
        requests = encode_telemetry(telemetry, self._resource(checkpoint))
        return self._commit(Batch(rows, requests, self._ledger.changes()), lane)

    def _commit(self, batch: Batch, lane: int) -> bool:
        try:
            self._outbox.append(batch, lane=lane, now_ns=self._clock_ns())
        except sqlite3.OperationalError:
            if self._uncommitted is None:
                logger.error("the state file cannot be written: is the disk full? reading is paused")  # noqa: TRY400
            self._uncommitted = (batch, lane)
            return False
        if self._uncommitted is not None:
            logger.info("the state file can be written again")
        self._uncommitted = None
        if batch.requests:
            self._on_commit()
        return True

    def _conversion(self, checkpoint: FileCheckpoint) -> InstanceConversion:
        found = self._conversions.get(checkpoint.source)
        if found is None:
            state, series = self._state.source(checkpoint.source)
            conversion = InstanceConversion(Ids(self._key, checkpoint.source), state, series)
            if len(self._conversions) >= _MOST_CONVERSIONS:
                del self._conversions[self._least_needed()]  # everything of it is in the state file
        else:
            conversion = found[0]
        self._conversions[checkpoint.source] = conversion, checkpoint
        self._conversions.move_to_end(checkpoint.source)
        return conversion

    def _least_needed(self) -> str:
        """Return the source that was read longest ago, of those where no call is open: the others are to expire."""
        for source, (conversion, _) in self._conversions.items():
            if not conversion.state.open_calls:
                return source
        return next(iter(self._conversions))

    def _tick(self, looked_ns: int, unread: set[str]) -> None:
        """Expire calls and keep series alive in files that were read to their end, up to what was surely read."""
        read_ns = looked_ns - _READ_LAG_NS
        for source, (conversion, checkpoint) in list(self._conversions.items()):
            if source in unread or self._outbox.has_any(source):
                continue
            conversion.expire(read_ns)
            if read_ns - conversion.newest_ns <= self._keepalive_ns:
                conversion.keep_alive(read_ns)
            if conversion.has_new and not self._commit_conversion(conversion, checkpoint, LIVE):
                return
        self._tell_of_gone_files()
        if self._ledger.due(looked_ns // 1_000_000):
            self._commit_ledger(looked_ns)

    def _tell_of_gone_files(self) -> None:
        gone = {one.path for one in self._tail.problems() if one.reason is Reason.GONE_UNREAD}
        if gone - self._gone:
            logger.warning("a file went away before it was read to its end")
        self._gone = gone

    def _commit_ledger(self, now_ns: int) -> None:
        refused = self._state.refused()
        self._ledger.rejected((signal, reason, items) for _, signal, reason, items in refused)
        if not self._ledger.has_points:
            return
        telemetry = self._ledger.drain(now_ns // 1_000_000)
        rows = SourceRows(SIDECAR, None, InstanceState(), telemetry.series)
        requests = encode_telemetry(telemetry, self._sidecar_resource)
        taken = [one for one, *_ in refused]
        self._commit(Batch(rows, requests, self._ledger.changes(), taken), LIVE)

    def _pause(self, *, paused: bool) -> None:
        if paused != self.paused:
            self.paused = paused
            if paused:
                logger.warning("reading is paused: the outbox is full")
            else:
                logger.info("reading goes on: the outbox has room")


def file_resource(checkpoint: FileCheckpoint, base: Sequence[Attribute]) -> tuple[Attribute, ...]:
    """Return the resource of one log file: the agent's service, one instance a file."""
    return ((s.SERVICE_NAME, "ego-mcp"), (s.SERVICE_INSTANCE_ID, checkpoint.source), (s.SOURCE, SOURCE), *base)
