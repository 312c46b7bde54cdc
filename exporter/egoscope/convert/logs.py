"""Log records: one a line, at its own severity. The body is a sentence of allowed values, or REDACTED."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from egoscope.convert import semconv as s
from egoscope.convert.pairing import Outcome
from egoscope.model.record import Kind, Record
from egoscope.model.telemetry import Constants, LogRecord

if TYPE_CHECKING:
    from egoscope.model.telemetry import Attribute

FEELING_NUMBERS: Final = (
    ("emotion_intensity", s.EMOTION_INTENSITY),
    ("valence", s.VALENCE),
    ("arousal", s.AROUSAL),
)
"""Fields of a call's end that stand as attributes of its log record and its span."""

_OK: Final = Outcome.OK.value
_ERROR: Final = Outcome.ERROR.value


def of_line(record: Record, time_ns: int, ids: tuple[bytes, bytes] = (b"", b"")) -> LogRecord:
    """Return the log record of a line that is no end of a call."""
    values = record.values
    body = s.REDACTED if values.get("private") else values.get("message", s.REDACTED)
    constants = _constants(values.get("logger", s.OTHER))
    severity = values.get("level") or _severity(record)
    return LogRecord(time_ns, record.time_ns, severity, body, constants, (), record.offset, *ids)


def of_call(
    record: Record, time_ns: int, ids: tuple[bytes, bytes], *, private: bool, duration_ms: float | None
) -> LogRecord:
    """Return the log record of a line that begins, ends or reports a call."""
    values, kind = record.values, record.kind
    tool, logger = values["tool_name"], values.get("logger", s.OTHER)
    varying: list[Attribute] = []
    if kind is Kind.CALL_STARTED:
        constants = _constants(logger, tool, private=True) if private else _constants(logger, tool)
        body = s.REDACTED if private else f"{tool} called"
    else:
        failed = kind is Kind.CALL_FAILED or not values.get("ok", True)
        outcome = _ERROR if failed else _OK
        if private:
            constants, body = _constants(logger, tool, outcome, private=True), s.REDACTED
        else:
            error, emotion = values.get("exception"), values.get("emotion_primary")
            constants = _constants(logger, tool, outcome, error, emotion, values.get("time_phase"))
            varying = [(name, values[field]) for field, name in FEELING_NUMBERS if field in values]
            if "added" in values:
                varying += values["added"]
            if failed:
                body = _sentence(f"{tool} failed", "after", duration_ms) + (f": {error}" if error else "")
            else:
                body = _sentence(f"{tool} completed", "in", duration_ms)
                if emotion and "emotion_intensity" in values:
                    body = f"{body}, feeling {emotion} {values['emotion_intensity']:.2f}"
    severity = values.get("level") or _severity(record)
    return LogRecord(time_ns, record.time_ns, severity, body, constants, varying, record.offset, *ids)


def of_row(
    logger: str,
    name: str,
    outcome: Outcome,
    times_ns: tuple[int, int],
    ids: tuple[bytes, bytes],
    attributes: tuple[Attribute, ...],
) -> LogRecord:
    """Return the log record of an execution, a flow or a node that ended, at its end. `attributes`: of small sets."""
    start_ns, end_ns = times_ns
    duration_ms = (end_ns - start_ns) / 1e6
    match outcome:
        case Outcome.OK:
            severity, body = "INFO", _sentence(f"{name} completed", "in", duration_ms)
        case Outcome.ERROR:
            severity, body = "ERROR", _sentence(f"{name} failed", "after", duration_ms)
        case Outcome.UNFINISHED:
            severity, body = "WARNING", f"{name} unfinished"
    return LogRecord(end_ns, end_ns, severity, body, _row_constants(logger, attributes), (), None, *ids)


def of_audit(time_ns: int, sentence: str) -> LogRecord:
    """Return the record that tells what redaction did so far."""
    return LogRecord(time_ns, time_ns, "INFO", sentence, _constants("egoscope.redaction"), (), None)


def unparsable(offset: int, reason: str, time_ns: int) -> LogRecord:
    """Return the one REDACTED entry of a line that could not be read."""
    return LogRecord(time_ns, time_ns, "", s.REDACTED, _constants(s.OTHER, unparsable=reason), (), offset)


def _severity(record: Record) -> str:
    """Stand in for a level where the format has none: failures are errors."""
    return "INFO" if record.values.get("ok", True) else "ERROR"


def _sentence(beginning: str, preposition: str, duration_ms: float | None) -> str:
    return beginning if duration_ms is None else f"{beginning} {preposition} {duration_ms:.0f} ms"


@lru_cache(maxsize=4096)
def _row_constants(logger: str, attributes: tuple[Attribute, ...]) -> Constants:
    return Constants(((s.LOGGER, logger), *attributes), logger)


@lru_cache(maxsize=4096)
def _constants(
    logger: str,
    tool: str | None = None,
    outcome: str | None = None,
    error_type: str | None = None,
    emotion: str | None = None,
    time_phase: str | None = None,
    unparsable: str | None = None,
    private: bool | None = None,  # noqa: FBT001
) -> Constants:
    named = (
        (s.LOGGER, logger),
        (s.GEN_AI_TOOL_NAME, tool),
        (s.OUTCOME, outcome),
        (s.ERROR_TYPE, error_type),
        (s.EMOTION_PRIMARY, emotion),
        (s.TIME_PHASE, time_phase),
        (s.UNPARSABLE, unparsable),
        (s.PRIVATE, private),
    )
    return Constants(tuple((name, value) for name, value in named if value is not None), logger)
