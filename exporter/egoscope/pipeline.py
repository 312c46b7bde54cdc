"""The way of one line or row: read, redact, pair, convert, encode, commit. Only this module knows the order."""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert.instance import InstanceState
from egoscope.delivery.ledger import SIDECAR, Ledger
from egoscope.delivery.outbox import BACKLOG, LIVE, Outbox
from egoscope.delivery.state import Batch, SourceRows, StateFile
from egoscope.otlp.requests import encode_telemetry
from egoscope.sources.discovery import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from egoscope.convert.conversion import Conversion
    from egoscope.model.telemetry import Attribute
    from egoscope.sources.feed import Checkpoint, Content, Feed, Unit

logger = logging.getLogger(__name__)

_READ_LAG_NS: Final = 10**9
"""A line is written a moment after the time it carries; series are kept alive only up to what was surely read."""
_MOST_CONVERSIONS: Final = 64
_TICK_NS: Final = 10**9
_LIVE_FOR_NS: Final = 5 * 10**9
_SLICES: Final = 4
"""While lines come in live, backlog is read in slices this much smaller: a live line waits for one to be converted, and
for one to be taken by each back end. Smaller slices cost a sixth more CPU time, so not when nobody waits."""


class _Followed(msgspec.Struct, frozen=True):
    """An instance that was read lately: what it belongs to, how it is converted, and how far it was read."""

    feed: Feed
    conversion: Conversion
    checkpoint: Checkpoint


class Pipeline:
    """Moves lines and rows from the followed instances into the outbox."""

    def __init__(
        self,
        *,
        feeds: Sequence[Feed],
        state: StateFile,
        outbox: Outbox,
        ledger: Ledger,
        sidecar_resource: Sequence[Attribute],
        clock_ns: Callable[[], int],
        batch_bytes: int,
        keepalive_ns: int,
        on_commit: Callable[[], None],
    ) -> None:
        """`on_commit` is called when requests wait to be sent."""
        self._feeds, self._state, self._outbox = tuple(feeds), state, outbox
        self._ledger, self._sidecar_resource = ledger, sidecar_resource
        self._clock_ns, self._batch_bytes, self._keepalive_ns = clock_ns, batch_bytes, keepalive_ns
        self._on_commit = on_commit
        self._followed: OrderedDict[str, _Followed] = OrderedDict()
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

    def resume(self) -> None:
        """Take up the instances of an earlier run: open calls expire and series stay alive though nothing comes."""
        living_ns = self._clock_ns() - self._keepalive_ns
        for feed in self._feeds:
            for checkpoint in self._state.checkpoints(feed.source, feed.checkpoint_type):
                if len(self._followed) >= _MOST_CONVERSIONS:
                    return
                conversion = self._conversion(feed, checkpoint)
                if _is_needed(conversion) or conversion.newest_ns >= living_ns:
                    self._followed[checkpoint.source] = _Followed(feed, conversion, checkpoint)

    @property
    def newest_ns(self) -> int:
        """The time of the newest event of any instance that is looked after now; 0 if there is none."""
        return max((one.conversion.newest_ns for one in self._followed.values()), default=0)

    def begin(self) -> None:
        """Tell that the sidecar starts: the first points of a run are of now, before any of the past.

        A Prometheus that is new takes the first sample it sees for the beginning of its time. Where that was hours old,
        its first scrape was seen to cost some of them; behind a newer one they go the way that is made for old ones.
        """
        self._ledger.started(self._clock_ns() // 1_000_000)
        self._commit_ledger(self._clock_ns())

    def run_once(self) -> bool:
        """Look at all instances once, live ones first, then one batch of backlog; return whether there is more to do.

        A batch that could not be committed (the disk is full) is kept and tried again before anything else is read.
        """
        if self._uncommitted is not None and not self._commit(*self._uncommitted):
            return False
        looked_ns = self._clock_ns()
        found = self._scan()
        self.unread_bytes = sum(unit.unread_bytes for _, unit in found)
        more = False
        for feed, unit in found:
            lane = LIVE if unit.live and not self._outbox.has_backlog(unit.checkpoint.source) else BACKLOG
            if not self._outbox.room(lane):
                self._pause(paused=True)
                continue
            slice_bytes = self._batch_bytes
            if lane == LIVE:
                self._live_ns = looked_ns
            elif looked_ns - self._live_ns < _LIVE_FOR_NS:
                slice_bytes //= _SLICES
            if (content := unit.read(slice_bytes)) is None:
                continue
            if not self._take(feed, unit.checkpoint, content, lane):
                return False
            more = True
            if lane == BACKLOG:
                break  # look at the live ones again before the next slice of backlog
        else:
            if self._outbox.room(BACKLOG):
                self._pause(paused=False)
        if looked_ns >= self._next_tick_ns:
            self._tick(looked_ns, {unit.checkpoint.source for _, unit in found if unit.unread_bytes})
            self._next_tick_ns = looked_ns + _TICK_NS
        return more

    def _scan(self) -> list[tuple[Feed, Unit]]:
        """Return what may have something new: the live of all feeds, then the backlog, in each feed's own order."""
        found = [(feed, unit) for feed in self._feeds for unit in feed.scan()]
        return sorted(found, key=lambda one: not one[1].live) if len(self._feeds) > 1 else found

    def finish(self) -> None:
        """Commit what the ledger still holds; the last thing before the state file is closed."""
        # A batch that cannot be committed is read again at the next start; its ledger must not go without it.
        if self._uncommitted is None or self._commit(*self._uncommitted):
            self._commit_ledger(self._clock_ns())

    def _take(self, feed: Feed, checkpoint: Checkpoint, content: Content, lane: int) -> bool:
        one = self._follow(feed, checkpoint)
        unparsable = feed.convert(one.conversion, content, now_ns=self._clock_ns())
        self._ledger.unparsable(feed.source, unparsable)
        return self._commit_conversion(one, lane)

    def _commit_conversion(self, one: _Followed, lane: int) -> bool:
        feed, checkpoint = one.feed, one.checkpoint
        telemetry = one.conversion.drain()
        for policy in feed.policies:
            self._ledger.redacted(policy.source, policy.drain_audit())
        rows = SourceRows(checkpoint.source, feed.source, checkpoint, one.conversion.state, telemetry.series)
        requests = encode_telemetry(telemetry, feed.resource(checkpoint))
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

    def _follow(self, feed: Feed, checkpoint: Checkpoint) -> _Followed:
        """Return the instance at this checkpoint, taken up from the state file where it was not read lately."""
        found = self._followed.get(checkpoint.source)
        conversion = found.conversion if found else self._conversion(feed, checkpoint)
        if found is None and len(self._followed) >= _MOST_CONVERSIONS:
            del self._followed[self._least_needed()]  # everything of it is in the state file
        one = self._followed[checkpoint.source] = _Followed(feed, conversion, checkpoint)
        self._followed.move_to_end(checkpoint.source)
        return one

    def _conversion(self, feed: Feed, checkpoint: Checkpoint) -> Conversion:
        state, series = self._state.source(checkpoint.source, feed.state_type)
        return feed.conversion(checkpoint, state, series)

    def _least_needed(self) -> str:
        """Return the source that was read longest ago, of those that need nothing more; else of all."""
        for source, one in self._followed.items():
            if not _is_needed(one.conversion):
                return source
        return next(iter(self._followed))

    def _tick(self, looked_ns: int, unread: set[str]) -> None:
        """Expire calls and keep series alive in what was read to its end, up to what was surely read."""
        read_ns = looked_ns - _READ_LAG_NS
        followed = {unit.checkpoint.source for feed in self._feeds for unit in feed.units()}
        for source, one in list(self._followed.items()):
            if source in unread or self._outbox.has_any(source):
                continue
            conversion = one.conversion
            conversion.expire(read_ns)
            stands = conversion.tells_what_stands and source in followed
            if stands or read_ns - conversion.newest_ns <= self._keepalive_ns:
                conversion.keep_alive(read_ns)
            if conversion.has_new and not self._commit_conversion(one, LIVE):
                return
        self._tell_of_problems()
        if self._ledger.due(looked_ns // 1_000_000):
            self._commit_ledger(looked_ns)

    def _tell_of_problems(self) -> None:
        for feed in self._feeds:
            self._ledger.source_problems(feed.source, feed.drain_problems())
        gone = {one.path for feed in self._feeds for one in feed.problems() if one.reason is Reason.GONE_UNREAD}
        if gone - self._gone:
            logger.warning("a file went away before it was read to its end")
        self._gone = gone

    def _commit_ledger(self, now_ns: int) -> None:
        refused = self._state.refused()
        self._ledger.rejected((signal, reason, items) for _, signal, reason, items in refused)
        if not self._ledger.has_points:
            return
        telemetry = self._ledger.drain(now_ns // 1_000_000)
        rows = SourceRows(SIDECAR, SIDECAR, None, InstanceState(), telemetry.series)
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


def _is_needed(conversion: Conversion) -> bool:
    """Whether there is something to tell though nothing comes: what is open expires, what stands goes on to stand."""
    return conversion.waits or conversion.tells_what_stands
