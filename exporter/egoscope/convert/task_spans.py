"""Spans and log records of tasks: a trace a task, from its creation to its end."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert import semconv as s
from egoscope.convert.pairing import Outcome
from egoscope.convert.row_conversion import end_of
from egoscope.model import standing
from egoscope.model.telemetry import Constants, LogRecord, Span, SpanEvent, SpanKind

if TYPE_CHECKING:
    from egoscope.model.record import RowRecord

LOGGER: Final = "koubou.tasks"
OK: Final = Outcome.OK.value
ERROR: Final = Outcome.ERROR.value
CANCELLED: Final = "cancelled"
_ENDED: Final = {OK: ("INFO", "completed in"), ERROR: ("ERROR", "failed after"), CANCELLED: ("INFO", "cancelled after")}
_OUTCOMES: Final = {standing.COMPLETED: OK, standing.FAILED: ERROR, standing.CANCELLED: CANCELLED}

MAX_EVENTS: Final = 64
"""Span events of one task; of more the first ones are told, and how many there were."""


class Taken(msgspec.Struct):
    """What became of a task that a worker took up: whether one has it, since when, and when one had it first.

    `holder` is a digest of who has it. `events`: times at which it was taken and by whom, or returned (then by None).
    `again`: it had ended before; its trace was told then.
    """

    by_worker: bool = False
    since_ns: int = 0
    first_ns: int = 0
    events: list[tuple[int, str | None]] = []
    events_left_out: int = 0
    holder: str = ""
    again: bool = False

    def note(self, time_ns: int, worker: str | None) -> None:
        """Take note that it was taken or returned."""
        if len(self.events) < MAX_EVENTS:
            self.events.append((time_ns, worker))
        else:
            self.events_left_out += 1


def outcome_of(record: RowRecord) -> str:
    """Return how a task ended."""
    return _OUTCOMES.get(record.values.get("status", ""), s.OTHER)


def span_of(record: RowRecord, taken: Taken, ids: tuple[bytes, bytes]) -> Span:
    """Return the span of a task that ended."""
    outcome = outcome_of(record)
    return Span(
        *ids,
        s.SPAN_TASK,
        record.start_ns,
        end_of(record),
        _constants("", record.values.get("priority"), outcome, record.values.get("assigned_to", "")),
        [(s.TASK_ID, _task(record)), *record.values.get("added", ())],
        None,
        [_event(*one) for one in taken.events],
        taken.events_left_out,
        outcome == ERROR,
        SpanKind.INTERNAL,
    )


def log_of_end(record: RowRecord, ids: tuple[bytes, bytes]) -> LogRecord:
    """Return the log record of a task's end."""
    outcome, end_ns = outcome_of(record), end_of(record)
    severity, ended = _ENDED.get(outcome, ("INFO", "ended after"))
    sentence = f"{ended} {(end_ns - record.start_ns) / 1e6:.0f} ms"
    worker = record.values.get("assigned_to", "")
    return log_of(record, end_ns, sentence, ids, worker=worker, severity=severity, outcome=outcome)


def log_of(
    record: RowRecord,
    time_ns: int,
    sentence: str,
    ids: tuple[bytes, bytes],
    *,
    worker: str,
    severity: str = "INFO",
    outcome: str = "",
) -> LogRecord:
    """Return the log record of what happened to a task at a time. `worker`: who had it then, if anybody."""
    constants = _constants(LOGGER, record.values.get("priority"), outcome, worker)
    about = [(s.TASK_ID, _task(record))]
    return LogRecord(time_ns, time_ns, severity, f"{_task(record)} {sentence}", constants, about, None, *ids)


def _task(record: RowRecord) -> str:
    return record.values.get("task_id", s.OTHER)


def _event(time_ns: int, worker: str | None) -> SpanEvent:
    if worker is None:
        return SpanEvent(time_ns, s.EVENT_TASK_RETURNED, ())
    return SpanEvent(time_ns, s.EVENT_TASK_STARTED, ((s.TASK_WORKER, worker),) if worker else ())


@lru_cache(maxsize=4096)
def _constants(logger: str, priority: int | None, outcome: str, worker: str) -> Constants:
    named: tuple[tuple[str, str | int | None], ...] = (
        (s.LOGGER, logger or None),
        (s.TASK_PRIORITY, priority),
        (s.TASK_OUTCOME, outcome or None),
        (s.TASK_WORKER, worker or None),
        (s.ERROR_TYPE, s.OTHER if outcome == ERROR else None),
    )
    return Constants(tuple((name, value) for name, value in named if value is not None), logger)
