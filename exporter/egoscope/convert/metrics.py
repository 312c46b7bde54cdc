"""Metric points of one instance: what each event adds to which series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.convert.pairing import Operation, Outcome, Pairing
from egoscope.convert.spans import error_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from egoscope.convert.series import Series, SeriesSet
    from egoscope.model.telemetry import LogRecord

MAX_PERSONS: Final = 64
"""Pseudonyms an instance may use as labels; unbounded values never become labels."""

_FEELING: Final = (("emotion_intensity", c.INTENSITY), ("valence", c.VALENCE), ("arousal", c.AROUSAL))
_RELATIONSHIP: Final = (
    ("trust_level", c.TRUST),
    ("total_interactions", c.INTERACTIONS),
    ("shared_episodes_count", c.SHARED_EPISODES),
)
_OK: Final = Outcome.OK
_UNFINISHED: Final = Outcome.UNFINISHED
_START_MISSING: Final = Pairing.START_MISSING
_STATES: Final = ("emotion_primary", "time_phase", "absence_band")
_DESIRES: Final = (
    "information_hunger",
    "social_thirst",
    "cognitive_coherence",
    "pattern_seeking",
    "predictability",
    "recognition",
    "resonance",
    "expression",
    "curiosity",
)


class _EndSeries(msgspec.Struct):
    """The series that every end of a call with one tool, outcome and error type adds to."""

    calls: Series
    durations: tuple[Series, ...]


class InstanceMetrics:
    """Adds points to an instance's series. `states`: the current value of each string parameter, kept by the caller."""

    def __init__(self, series: SeriesSet, states: dict[str, str]) -> None:
        self._series = series
        self._states = states
        self._persons = {value for one in series.of(c.TRUST) for _, value in one.attributes}
        # Looked up once: each line adds to some of these.
        self._open = series[c.CALLS_OPEN, ()]
        self._feeling = tuple((field, series[metric, ()]) for field, metric in _FEELING)
        self._line_notes: dict[tuple[str, str], Callable[[tuple[int, float]], None]] = {}
        self._started: dict[str, Series] = {}
        self._ends: dict[tuple[str, Outcome, str], _EndSeries] = {}
        self._state_series: dict[tuple[str, str], Series] = {}

    def lines(self, records: Iterable[LogRecord]) -> None:
        """Count log lines, by level and logger."""
        notes = self._line_notes
        for record in records:
            key = record.severity, record.constants.logger
            note = notes.get(key)
            if note is None:
                attributes = ((s.LABEL_LEVEL, key[0] or s.OTHER), (s.LABEL_LOGGER, key[1]))
                note = notes[key] = self._series[c.LOG_LINES, attributes].note
            note((record.observed_ns // 1_000_000, 1))

    def process_started(self, time_ns: int) -> None:
        """Count a start of the agent's process."""
        self._series[c.PROCESS_STARTS, ()].note((time_ns // 1_000_000, 1))

    def newest(self, time_ns: int) -> None:
        """Tell the time of the newest line."""
        self._series[c.LAST_EVENT, ()].note((time_ns // 1_000_000, time_ns / 1e9))

    def call_started(self, time_ns: int, tool: str, open_calls: int | None) -> None:
        """Count the beginning of a call. `open_calls` is None where the format does not tell."""
        time_ms = time_ns // 1_000_000
        series = self._started.get(tool)
        if series is None:
            series = self._started[tool] = self._series[c.CALLS_STARTED, ((s.TOOL, tool),)]
        series.note((time_ms, 1))
        if open_calls is not None:
            self._open.note((time_ms, open_calls))

    def call_ended(self, operation: Operation, time_ns: int, open_calls: int, values: Mapping[str, Any]) -> None:
        """Count the end of a call and take over what its last line says. `values` is empty where it was private."""
        time_ms = time_ns // 1_000_000
        outcome = operation.outcome
        ends = self._end_series(operation.tool, outcome, "" if outcome is _OK else error_type(operation, values))
        ends.calls.note((time_ms, 1))
        self._open.note((time_ms, open_calls))
        if outcome is not _UNFINISHED and operation.pairing is not _START_MISSING:
            seconds = (operation.end_ns - operation.start_ns) / 1e9
            for series in ends.durations:
                series.note((time_ms, seconds))
        if not values:
            return
        for field, series in self._feeling:
            if field in values:
                series.note((time_ms, values[field]))
        for parameter in _STATES:
            if parameter in values:
                self._state(time_ms, parameter, values[parameter])
        if "desire_levels" in values:
            self._desires(time_ms, values["desire_levels"])
        elif "information_hunger" in values:
            self._desires(time_ms, values)
        if "person_id" in values:
            self._relationship(time_ms, values)

    def _end_series(self, tool: str, outcome: Outcome, error: str) -> _EndSeries:
        found = self._ends.get((tool, outcome, error))
        if found is None:
            by_tool = ((s.GEN_AI_TOOL_NAME, tool), *(((s.ERROR_TYPE, error),) if error else ()))
            found = self._ends[tool, outcome, error] = _EndSeries(
                self._series[c.CALLS, ((s.TOOL, tool), (s.LABEL_OUTCOME, outcome.value))],
                (
                    self._series[c.OPERATION_DURATION, ((s.MCP_METHOD_NAME, s.METHOD_TOOLS_CALL), *by_tool)],
                    self._series[c.TOOL_DURATION, by_tool],
                ),
            )
        return found

    def _desires(self, time_ms: int, levels: Mapping[str, Any]) -> None:
        for desire in _DESIRES:
            if desire in levels:
                self._series[c.DESIRE, ((s.DESIRE, desire),)].note((time_ms, levels[desire]))

    def _state(self, time_ms: int, parameter: str, value: str) -> None:
        current = self._states.get(parameter)
        if current != value:
            if current is not None:
                self._one_state(parameter, current).note((time_ms, 0))
            self._states[parameter] = value
        self._one_state(parameter, value).note((time_ms, 1))

    def _one_state(self, parameter: str, value: str) -> Series:
        series = self._state_series.get((parameter, value))
        if series is None:
            attributes = ((s.PARAMETER, parameter), (s.VALUE, value))
            series = self._state_series[parameter, value] = self._series[c.STATE, attributes]
        return series

    def _relationship(self, time_ms: int, values: Mapping[str, Any]) -> None:
        person = values["person_id"]
        if person not in self._persons:
            if len(self._persons) >= MAX_PERSONS:
                return
            self._persons.add(person)
        for field, metric in _RELATIONSHIP:
            if field in values:
                self._series[metric, ((s.LABEL_PERSON, person),)].note((time_ms, values[field]))
