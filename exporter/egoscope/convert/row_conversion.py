"""What the conversions of all databases have in common: how time passes, what runs, and what gives up.

Pure: no clock, no randomness, no I/O. What must survive a restart is in `RowState` and in the series' rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import msgspec

from egoscope.convert import catalogue as c
from egoscope.convert import logs
from egoscope.convert import semconv as s
from egoscope.convert.conversion import CATALOGUE, NEVER_NS, ROW_EXPIRES_NS, Telemetry, tell_newest_after
from egoscope.convert.instance import STREAM_SLACK_NS
from egoscope.convert.series import SeriesSet
from egoscope.model.record import RowRecord  # noqa: TC001 (msgspec reads the annotations of RowState)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from egoscope.convert.catalogue import Metric
    from egoscope.convert.ids import Ids
    from egoscope.convert.series import SeriesRow
    from egoscope.model.telemetry import Attribute, LogRecord, Span

_MOST_GIVEN_UP: Final = 4096


class RowState(msgspec.Struct):
    """What a restart needs of every database: how far time has come and what runs."""

    newest_ns: int = 0
    running: list[RowRecord] = []
    """As `started` was told of them; they come in the order of their starts."""
    given_up: list[str] = []
    """Keys of what ran for too long and may end all the same; the newest of them."""
    untimed: list[tuple[int, str, int]] = []
    """Rows that were no records, before any had a time: rowid, reason, and the time to take if none comes."""


class RunningGauges(msgspec.Struct, frozen=True):
    """Which gauges tell what runs: their number, since when the longest one does, and the label."""

    number: Metric
    oldest: Metric
    label: str


class Labels:
    """Values that one label may have: the first so many of an instance; `_OTHER` stands for all that come later."""

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        """`known`: values of series that exist since before a restart; see `values_of`."""
        self._most = most
        self._known = {value for value in known if value != s.OTHER}

    def __getitem__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return s.OTHER
        if value != s.OTHER:
            self._known.add(value)
        return value


def values_of(series: SeriesSet, name: str, *metrics: Metric) -> set[str]:
    """Return every value that the attribute `name` has in the series of these metrics."""
    found = (attributes for metric in metrics for attributes in (dict(one.attributes) for one in series.of(metric)))
    return {str(attributes[name]) for attributes in found if name in attributes}


def end_of(record: RowRecord) -> int:
    """Return when a final row ended."""
    return record.start_ns if record.end_ns is None else record.end_ns


StateT = TypeVar("StateT", bound=RowState)


class DatabaseConversion(Generic[StateT]):
    """Turns the rows of one database into telemetry; see `sources.row_format.RowConversion` for what it promises.

    A subclass says in `_finished` what a row that ended becomes, and in `_running_as` by which label a running one is
    told. What runs for `expires_ns` is given up; it is what its tables say (`sources.row_format.Table`).
    """

    expires_ns: ClassVar[int] = ROW_EXPIRES_NS
    tells_what_stands: ClassVar[bool] = False

    def __init__(self, ids: Ids, state: StateT, series: list[SeriesRow], gauges: RunningGauges | None = None) -> None:
        self._ids = ids
        self._state = state
        self._series = SeriesSet(CATALOGUE, series)
        self._spans: list[Span] = []
        self._logs: list[LogRecord] = []
        self._newest_ns = state.newest_ns
        self._newest_untold = False
        self._tell_newest_ns = tell_newest_after(state.newest_ns)
        self._gauges = gauges
        self._running = {record.key: record for record in state.running}
        self._expires_ns = min((record.start_ns + self.expires_ns for record in state.running), default=NEVER_NS)
        self._given_up = dict.fromkeys(state.given_up)
        self._untimed = state.untimed
        self._starts_by_value: dict[str, dict[str, int]] | None = None

    # What a subclass says.

    def _finished(self, record: RowRecord, *, expired: bool) -> None:
        """Tell of a row that ended at `end_ns`.

        `expired`: nobody knows how it ended. Its `end_ns` is when it was given up, its values are what `started` told.
        """
        raise NotImplementedError

    def _running_as(self, record: RowRecord) -> str | None:  # noqa: ARG002 (a subclass with gauges needs it)
        """Return the label under which a running row is told; None: it is not told."""
        return None

    def _time_passes(self, time_ns: int) -> None:
        """Do what is due up to this time, before anything that happens then."""

    # RowConversion

    @property
    def newest_ns(self) -> int:
        """The time of the newest record so far, 0 if there was none."""
        return self._newest_ns

    @property
    def state(self) -> StateT:
        """The state as of now, to be committed with what `drain` returned."""
        self._state.newest_ns = self._newest_ns
        self._state.running = list(self._running.values())
        self._state.given_up = list(self._given_up)
        return self._state

    @property
    def waits(self) -> bool:
        """Whether anything runs, or a row waits for a first time."""
        return bool(self._running or self._untimed)

    @property
    def has_new(self) -> bool:
        """Whether `drain` would return anything."""
        return bool(self._spans or self._logs) or self._series.has_new

    def started(self, record: RowRecord) -> None:
        """A row runs."""
        self._reach(record.start_ns)
        if record.key in self._given_up:
            return
        self._running[record.key] = record
        self._expires_ns = min(self._expires_ns, record.start_ns + self.expires_ns)
        self._tell_running(record, record.start_ns)

    def changed(self, record: RowRecord, state: str, time_ns: int) -> None:
        """A row that runs is in another state since then. Nothing is told where rows have no states."""

    def standing(self, found: Any, time_ns: int) -> None:  # noqa: ANN401 (see RowFormat.standing)
        """Tell what stood in the database at that moment. Nothing is told where all of it has a history."""

    def ended(self, record: RowRecord) -> None:
        """A row is final."""
        end_ns = end_of(record)
        self._reach(end_ns)
        began = self._running.pop(record.key, None)
        if began is not None:
            self._tell_running(began, end_ns)
        if record.key not in self._given_up:
            self._finished(record, expired=False)

    def gone(self, key: str) -> None:
        """A row that ran is no longer there: it runs no more, and is counted nowhere, as it is in the database."""
        self._given_up.pop(key, None)
        began = self._running.pop(key, None)
        if began is not None:
            self._tell_running(began, self._newest_ns)

    def unparsable(self, table: str, rowid: int, reason: str, time_ns: int) -> None:  # noqa: ARG002 (as RowConversion)
        """Stand in for a row that is no record. Its number stands where a line has its offset: it tells two apart.

        Before any row had a time, the next one's is taken, and `time_ns` when `expire` comes first: an entry of now
        would be far ahead of old rows, and theirs would be refused.
        """
        if self._newest_ns:
            self._logs.append(logs.unparsable(rowid, reason, self._stream_time(time_ns)))
        else:
            self._untimed.append((rowid, reason, time_ns))

    def expire(self, now_ns: int) -> None:
        """Close as unfinished what began too long ago, and wait no longer for a first time."""
        if self._untimed:
            self._place_untimed(self._untimed[0][2])
        self._time_passes(now_ns)
        if now_ns < self._expires_ns:
            return
        due = [one for one in self._running.values() if one.start_ns + self.expires_ns <= now_ns]
        for began in sorted(due, key=lambda one: one.start_ns):
            del self._running[began.key]
            self._given_up[began.key] = None
            end_ns = began.start_ns + self.expires_ns
            self._tell_running(began, end_ns)
            self._finished(msgspec.structs.replace(began, end_ns=end_ns), expired=True)
        while len(self._given_up) > _MOST_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]
        self._expires_ns = min((one.start_ns + self.expires_ns for one in self._running.values()), default=NEVER_NS)

    def keep_alive(self, now_ns: int) -> None:
        """Give every series that was silent a point at this time; all rows up to it must have been converted."""
        self._time_passes(now_ns)
        self._series.keep_alive(now_ns // 1_000_000)

    def drain(self) -> Telemetry:
        """Return everything converted since the last call."""
        if self._newest_untold:
            self._newest_untold = False
            self._tell_newest(self._newest_ns)
        points, series = self._series.drain()
        telemetry = Telemetry(self._spans, self._logs, points, series)
        self._spans, self._logs = [], []
        return telemetry

    # For subclasses

    def _note(self, metric: Metric, time_ns: int, amount: float, *attributes: Attribute) -> None:
        """Add to a counter or histogram, or set a gauge: `Series.note` at a time in nanoseconds."""
        self._series[metric, attributes].note((time_ns // 1_000_000, amount))

    def _log(self, record: LogRecord) -> None:
        """Tell one log record; it stands where its stream still takes it."""
        self._logs.append(msgspec.structs.replace(record, time_ns=self._stream_time(record.time_ns)))

    def _reach(self, time_ns: int) -> None:
        """Take note that time has come so far: first of what was due before."""
        if time_ns <= self._newest_ns:
            return
        if self._untimed:
            self._place_untimed(time_ns)
        self.expire(time_ns)
        self._newest_ns = time_ns
        self._newest_untold = True
        if time_ns >= self._tell_newest_ns:
            self._tell_newest(time_ns)
            self._tell_newest_ns = tell_newest_after(time_ns)

    def _place_untimed(self, time_ns: int) -> None:
        self._logs += [logs.unparsable(rowid, reason, time_ns) for rowid, reason, _ in self._untimed]
        self._untimed.clear()
        self._newest_ns = time_ns
        self._newest_untold = True

    def _stream_time(self, time_ns: int) -> int:
        return time_ns if self._newest_ns - time_ns <= STREAM_SLACK_NS else self._newest_ns

    def _tell_newest(self, time_ns: int) -> None:
        self._note(c.AGENT_LAST_EVENT, time_ns, time_ns / 1e9)

    def _tell_running(self, changed: RowRecord, time_ns: int) -> None:
        starts_by_value = self._starts_by_value
        if starts_by_value is None:  # not before the subclass can say under which labels rows are told
            starts_by_value = self._starts_by_value = {}
            for one in self._running.values():
                self._note_start(starts_by_value, one)
        value = self._running_as(changed)
        if value is None or self._gauges is None:
            return
        if changed.key in self._running:
            self._note_start(starts_by_value, changed)
        else:
            starts_by_value.get(value, {}).pop(changed.key, None)
        starts = starts_by_value.get(value, {}).values()
        label = (self._gauges.label, value)
        self._note(self._gauges.number, time_ns, len(starts), label)
        self._note(self._gauges.oldest, time_ns, min(starts, default=0) / 1e9, label)

    def _note_start(self, starts_by_value: dict[str, dict[str, int]], record: RowRecord) -> None:
        value = self._running_as(record)
        if value is not None:
            starts_by_value.setdefault(value, {})[record.key] = record.start_ns
