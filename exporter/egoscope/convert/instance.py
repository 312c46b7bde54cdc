"""Conversion of one instance (one log file): records in, in the file's order; spans, log records and points out.

Pure: no clock, no randomness, no I/O. What must survive a restart is in `InstanceState` and in the series' rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from egoscope.convert import logs, spans
from egoscope.convert.conversion import CATALOGUE, Telemetry, tell_newest_after
from egoscope.convert.metrics import InstanceMetrics
from egoscope.convert.pairing import MAX_LOG_LINES, LogLine, OpenCall, OpenPairs, Operation, Outcome, Pairing
from egoscope.convert.series import SeriesSet
from egoscope.model.record import Kind, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from egoscope.convert.ids import Ids
    from egoscope.convert.series import SeriesRow
    from egoscope.model.telemetry import LogRecord, Span

EXPIRE_AFTER_NS: Final = 900 * 10**9
STREAM_SLACK_NS: Final = 600 * 10**9
"""How far a log record may lie behind its stream's newest. Loki refuses what is half of `max_chunk_age` behind."""

STEPPED_BACK_NS: Final = 10 * 10**9
"""Behind the newest by more than this, a record tells of a clock that stepped back, not of two writers."""


class InstanceState(msgspec.Struct):
    """What a restart needs beside the series: the run of the process, its open calls and how far time has come."""

    session: str = ""
    newest_ns: int = 0
    open_calls: list[OpenCall] = []
    states: dict[str, str] = {}
    untimed: list[tuple[int, str, int]] = []
    """Lines that were no records, before any had a time: offset, reason, and the time to take if none comes."""


class InstanceConversion:
    """Turns the records of one instance into telemetry."""

    tells_what_stands: ClassVar[bool] = False

    def __init__(self, ids: Ids, state: InstanceState, series: list[SeriesRow]) -> None:
        self._ids = ids
        self._state = state
        self._pairs = OpenPairs(state.open_calls, expire_after_ns=EXPIRE_AFTER_NS)
        self._series = SeriesSet(CATALOGUE, series)
        self._metrics = InstanceMetrics(self._series, state.states)
        self._spans: list[Span] = []
        self._logs: list[LogRecord] = []
        self._newest_ns = state.newest_ns
        self._tell_newest_ns = tell_newest_after(state.newest_ns)
        self.stepped_back = 0
        """Records of this run that lay behind the newest by more than `STEPPED_BACK_NS`."""
        self._untimed = state.untimed
        self._by_kind: dict[Kind, Callable[[Record], None]] = {
            Kind.LOG: self._log,
            Kind.PROCESS_STARTED: self._process_started,
            Kind.CALL_STARTED: self._call_started,
            Kind.CALL_COMPLETED: self._call_completed,
            Kind.CALL_FAILED: self._call_failed,
            Kind.CALL_REPORTED: self._call_reported,
        }

    @property
    def newest_ns(self) -> int:
        """The time of the newest record so far, 0 if there was none."""
        return self._newest_ns

    @property
    def state(self) -> InstanceState:
        """The state as of now, to be committed with what `drain` returned."""
        self._state.open_calls, self._state.newest_ns = self._pairs.calls, self._newest_ns
        return self._state

    @property
    def waits(self) -> bool:
        """Whether a call is open, or a line waits for a first time."""
        return bool(self._pairs.calls or self._untimed)

    @property
    def has_new(self) -> bool:
        """Whether `drain` would return anything."""
        return bool(self._spans or self._logs) or self._series.has_new

    def record(self, record: Record) -> None:
        """Convert one record."""
        time_ns = record.time_ns
        if time_ns > self._newest_ns:
            if self._untimed:
                self._place_untimed(time_ns)
            self._newest_ns = time_ns
            if time_ns >= self._pairs.next_deadline_ns:
                self.expire(time_ns)
            if time_ns >= self._tell_newest_ns:
                self._metrics.newest(time_ns)
                self._tell_newest_ns = tell_newest_after(time_ns)
        elif self._newest_ns - time_ns > STEPPED_BACK_NS:
            self.stepped_back += 1
        self._by_kind[record.kind](record)

    def unparsable(self, offset: int, reason: str, fallback_ns: int) -> None:
        """Stand in for a line that is no record: one REDACTED entry at the time of the line before it.

        Where no line before it had a time, the next one's is taken, and `fallback_ns` when `expire` comes first.
        """
        if self._newest_ns:
            self._logs.append(logs.unparsable(offset, reason, self._newest_ns))
        else:
            self._untimed.append((offset, reason, fallback_ns))

    def expire(self, now_ns: int) -> None:
        """Close as unfinished the calls that should have ended by now, and wait no longer for a first time."""
        if self._untimed:
            self._place_untimed(self._untimed[0][2])
        for operation in self._pairs.expire(now_ns):
            self._ended(operation, operation.end_ns, {})

    def keep_alive(self, now_ns: int) -> None:
        """Give every series that was silent a point at this time; all lines up to it must have been converted."""
        self._series.keep_alive(now_ns // 1_000_000)

    def drain(self) -> Telemetry:
        """Return everything converted since the last call."""
        if self._logs:
            self._metrics.lines(self._logs)
            self._metrics.newest(self._newest_ns)
        points, series = self._series.drain()
        telemetry = Telemetry(self._spans, self._logs, points, series)
        self._spans, self._logs = [], []
        return telemetry

    def _place_untimed(self, time_ns: int) -> None:
        self._logs += [logs.unparsable(offset, reason, time_ns) for offset, reason, _ in self._untimed]
        self._untimed.clear()
        self._newest_ns = time_ns

    def _stream_time(self, time_ns: int) -> int:
        newest_ns = self._newest_ns
        return time_ns if newest_ns - time_ns <= STREAM_SLACK_NS else newest_ns

    def _process_started(self, record: Record) -> None:
        self._pairs.process_started(record.time_ns)
        self._state.session = self._ids.session(record.offset)
        self._metrics.process_started(record.time_ns)
        self._logs.append(logs.of_line(record, self._stream_time(record.time_ns)))

    def _log(self, record: Record) -> None:
        calls = self._pairs.calls
        if len(calls) == 1:
            call = calls[0]
            line = logs.of_line(record, self._stream_time(record.time_ns), self._ids.call(call.offset))
            if not call.private:
                _remember(call, line, record)
        else:
            line = logs.of_line(record, self._stream_time(record.time_ns))
        self._logs.append(line)

    def _call_started(self, record: Record) -> None:
        tool, offset, private = record.values["tool_name"], record.offset, is_private(record)
        self._pairs.start(offset, tool, record.time_ns, session=self._state.session, private=private)
        self._metrics.call_started(record.time_ns, tool, len(self._pairs.calls))
        time_ns, ids = self._stream_time(record.time_ns), self._ids.call(offset)
        self._logs.append(logs.of_call(record, time_ns, ids, private=private, duration_ms=None))

    def _call_completed(self, record: Record) -> None:
        self._call_ended(record, Outcome.OK)

    def _call_failed(self, record: Record) -> None:
        self._call_ended(record, Outcome.ERROR)

    def _call_ended(self, record: Record, outcome: Outcome) -> None:
        tool = record.values["tool_name"]
        operation = self._pairs.pair(record.offset, tool, record.time_ns, outcome, self._state.session)
        if is_private(record) and not operation.private:
            operation = msgspec.structs.replace(operation, private=True)
        self._ended(operation, record.time_ns, record.values)
        known = operation.pairing is not Pairing.START_MISSING
        duration_ms = (operation.end_ns - operation.start_ns) / 1e6 if known else None
        time_ns, ids = self._stream_time(record.time_ns), self._ids.call(operation.offset)
        self._logs.append(logs.of_call(record, time_ns, ids, private=operation.private, duration_ms=duration_ms))

    def _call_reported(self, record: Record) -> None:
        tool, outcome = record.values["tool_name"], Outcome.OK if record.values["ok"] else Outcome.ERROR
        if any(call.tool == tool for call in self._pairs.calls):  # it was announced by a line of its own
            self._call_ended(record, outcome)
            return
        duration_ms = record.values.get("duration_ms")
        operation = Operation(
            record.offset,
            tool,
            record.time_ns - int((duration_ms or 0) * 1e6),
            record.time_ns,
            outcome,
            Pairing.EXACT if duration_ms is not None else Pairing.START_MISSING,
            self._state.session,
            is_private(record),
        )
        self._metrics.call_started(record.time_ns, tool, None)
        self._ended(operation, record.time_ns, record.values)
        time_ns, ids = self._stream_time(record.time_ns), self._ids.call(record.offset)
        self._logs.append(logs.of_call(record, time_ns, ids, private=operation.private, duration_ms=duration_ms))

    def _ended(self, operation: Operation, time_ns: int, values: Mapping[str, Any]) -> None:
        kept: Mapping[str, Any] = {} if operation.private else values
        self._spans.append(spans.of_operation(operation, self._ids.call(operation.offset), kept))
        self._metrics.call_ended(operation, time_ns, len(self._pairs.calls), kept)


def is_private(record: Record) -> bool:
    """Whether nothing but counts may survive of this call."""
    values = record.values
    arguments = values.get("tool_args")
    return values.get("private") is True or (arguments is not None and arguments.get("private") is True)


def _remember(call: OpenCall, line: LogRecord, record: Record) -> None:
    if len(call.lines) < MAX_LOG_LINES:
        call.lines.append(LogLine(record.time_ns, line.severity, line.constants.logger, line.body))
    else:
        call.lines_left_out += 1
