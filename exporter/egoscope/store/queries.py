"""What the terminal monitor asks of the embedded store. Read-only; another process may be writing meanwhile."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import orjson

from egoscope.convert import catalogue
from egoscope.convert import semconv as s
from egoscope.errors import StateError
from egoscope.store import schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS

# Behind this much silence "now" is no longer interesting: windows end at the last event instead.
HISTORY_AFTER_NS: Final = 5 * MINUTE_NS

# The sidecar's own records are stored too; the picture is of the agents.
OWN_SERVICE: Final = s.SCOPE_NAME

# Percentiles are of a tool's newest calls in the window: a week of them must not cost more than a refresh may.
MOST_DURATIONS: Final = 1000

# One step in the index for each tool, however many calls it has.
TOOLS: Final = """
    WITH RECURSIVE tools (tool) AS (
        SELECT min(tool) FROM spans INDEXED BY spans_by_tool WHERE tool IS NOT NULL
        UNION ALL
        SELECT (SELECT min(s.tool) FROM spans s INDEXED BY spans_by_tool WHERE s.tool > tools.tool)
        FROM tools WHERE tools.tool IS NOT NULL
    ) SELECT tool FROM tools WHERE tool IS NOT NULL
"""
CALLS: Final = """
    SELECT count(*), sum(outcome = 'error'), sum(outcome = 'unfinished'), max(end_ns)
    FROM spans INDEXED BY spans_by_tool WHERE tool = ? AND end_ns > ?
"""
DURATIONS: Final = """
    SELECT duration_ns FROM spans INDEXED BY spans_by_tool
    WHERE tool = ? AND end_ns > ? AND duration_ns IS NOT NULL ORDER BY end_ns DESC LIMIT ?
"""
CALLS_BY_MINUTE: Final = """
    SELECT (?1 - end_ns) / 60000000000, count(*) FROM spans INDEXED BY spans_by_end
    WHERE tool IS NOT NULL AND end_ns > ?1 - ?2 * 60000000000 AND end_ns <= ?1 GROUP BY 1
"""
# An unfinished call ends when it was given up, long after the last thing that happened.
LAST_CALL: Final = """
    SELECT end_ns FROM spans INDEXED BY spans_by_end WHERE tool IS NOT NULL AND outcome != 'unfinished'
    ORDER BY end_ns DESC LIMIT 1
"""
# Log lines of other programs are no sign of life of ego-mcp: some are what egoscope found out by looking, as of now.
LAST_LINE: Final = """
    SELECT max((SELECT max(time_ns) FROM logs WHERE instance = i.instance)) FROM instances i WHERE i.service = ?
"""
# Of each other program, in seconds: what happened in it, as the gauge says that dashboards and alerts stand on.
LAST_EVENTS: Final = """
    SELECT i.service, max(p.value) FROM series s JOIN points p ON p.series = s.id
    JOIN instances i ON i.instance = s.instance
    WHERE s.name = ? AND i.service NOT IN (?, ?) AND p.time_ns = (SELECT max(time_ns) FROM points WHERE series = s.id)
    GROUP BY i.service ORDER BY i.service
"""
LAST_EMOTION: Final = """
    SELECT emotion, attributes, end_ns FROM spans WHERE emotion IS NOT NULL ORDER BY end_ns DESC LIMIT 1
"""
LAST_PHASE: Final = "SELECT time_phase FROM spans WHERE time_phase IS NOT NULL ORDER BY end_ns DESC LIMIT 1"
LATEST_POINTS: Final = """
    SELECT s.attributes, p.value, p.time_ns FROM series s JOIN points p ON p.series = s.id
    WHERE s.name = ? AND p.time_ns = (SELECT max(time_ns) FROM points WHERE series = s.id)
    ORDER BY p.time_ns
"""
LOG_TAIL: Final = """
    SELECT l.time_ns, l.severity, l.logger, l.body FROM logs l JOIN instances i ON i.instance = l.instance
    WHERE i.service != ? ORDER BY l.time_ns DESC, l."offset" DESC LIMIT ?
"""
SERVICES: Final = "SELECT DISTINCT service FROM instances WHERE service NOT IN (?, '') ORDER BY service"


class Emotion(msgspec.Struct, frozen=True, kw_only=True):
    """The latest feeling a call reported. Intensity and arousal 0 to 1, valence -1 to 1, each None when not said."""

    name: str
    intensity: float | None
    valence: float | None
    arousal: float | None
    time_ns: int


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool's calls in the window.

    Durations in seconds, of the newest `MOST_DURATIONS` calls of the window with both ends known; None when there is
    none. Unfinished calls are no errors.
    """

    name: str
    calls: int
    errors: int
    unfinished: int
    p50_s: float | None
    p95_s: float | None
    last_ns: int


class Desire(msgspec.Struct, frozen=True):
    """One desire and its latest level, 0 to 1."""

    name: str
    level: float


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One redacted log record."""

    time_ns: int
    severity: str
    logger: str
    body: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The agents at one moment; all times in nanoseconds since the Unix epoch.

    `as_of_ns` is where the windows end: now, or the last event's time when that is older than a few minutes (or ahead
    of the clock); `history` says that it is not now. `last_event_ns` is ego-mcp's, None while the store holds none.
    `active` are the other ones of `services` in which something happened within the last few minutes.
    `calls_by_minute` runs from the oldest minute to the last, which ends at `as_of_ns`. `window_ns` None: all time.
    """

    as_of_ns: int
    history: bool
    last_event_ns: int | None
    services: tuple[str, ...]
    active: tuple[str, ...] = ()
    window_ns: int | None
    calls_by_minute: tuple[int, ...]
    calls: int
    errors: int
    unfinished: int
    tools: tuple[Tool, ...]
    in_flight: int
    emotion: Emotion | None
    time_phase: str | None
    desires: tuple[Desire, ...]
    log: tuple[LogLine, ...]

    @property
    def calls_a_minute(self) -> int:
        """Calls that ended within the last minute."""
        return self.calls_by_minute[-1] if self.calls_by_minute else 0

    @property
    def error_rate(self) -> float | None:
        """Share of the window's calls that failed, 0 to 1; None without calls."""
        return self.errors / self.calls if self.calls else None


class StoreReader:
    """Read-only look at an embedded store; several may be open beside the writer."""

    def __init__(self, path: Path) -> None:
        """Open the store. Raises `StateError` when it is missing, damaged, or written by a newer egoscope."""
        self._db = schema.open_reader(path)

    def version(self) -> int:
        """Return a number that changes when another connection has changed the store; costs microseconds."""
        try:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            reason = _reason(error)
        raise StateError(reason)

    def picture(self, *, wall_ns: int, window_ns: int | None, minutes: int, log_lines: int) -> Picture:
        """Return one consistent picture, in one short read transaction.

        `window_ns` is how far tools and error rate look back (None: all the way), `minutes` how many minutes
        `calls_by_minute` has. Raises `StateError` when the file cannot be read.
        """
        try:
            self._db.execute("BEGIN")
            try:
                return self._picture(wall_ns, window_ns, minutes, log_lines)
            finally:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            reason = _reason(error)
        raise StateError(reason)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._db.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def _picture(self, wall_ns: int, window_ns: int | None, minutes: int, log_lines: int) -> Picture:
        log = tuple(
            LogLine(time_ns=time_ns, severity=severity, logger=logger or "", body=body)
            for time_ns, severity, logger, body in reversed(self._rows(LOG_TAIL, OWN_SERVICE, log_lines))
        )
        heard = (*self._rows(LAST_CALL), *self._rows(LAST_LINE, s.EGO_MCP_SERVICE))
        last_event_ns = max((row[0] for row in heard if row[0] is not None), default=None)
        history = last_event_ns is not None and not 0 <= wall_ns - last_event_ns <= HISTORY_AFTER_NS
        as_of_ns = last_event_ns if history and last_event_ns is not None else wall_ns
        tools = self._tools(as_of_ns, window_ns)
        phases = self._rows(LAST_PHASE)
        return Picture(
            as_of_ns=as_of_ns,
            history=history,
            last_event_ns=last_event_ns,
            services=tuple(row[0] for row in self._rows(SERVICES, OWN_SERVICE)),
            active=tuple(
                service
                for service, happened_s in self._rows(
                    LAST_EVENTS, catalogue.AGENT_LAST_EVENT.name, OWN_SERVICE, s.EGO_MCP_SERVICE
                )
                if abs(wall_ns - happened_s * SECOND_NS) <= HISTORY_AFTER_NS
            ),
            window_ns=window_ns,
            calls_by_minute=self._calls_by_minute(as_of_ns, minutes),
            calls=sum(tool.calls for tool in tools),
            errors=sum(tool.errors for tool in tools),
            unfinished=sum(tool.unfinished for tool in tools),
            tools=tools,
            in_flight=sum(int(row[1] or 0) for row in self._rows(LATEST_POINTS, catalogue.CALLS_OPEN.name)),
            emotion=self._emotion(),
            time_phase=phases[0][0] if phases else None,
            desires=self._desires(),
            log=log,
        )

    def _tools(self, as_of_ns: int, window_ns: int | None) -> tuple[Tool, ...]:
        after_ns = -1 if window_ns is None else as_of_ns - window_ns
        found = (self._tool(name, after_ns) for (name,) in self._rows(TOOLS))
        return tuple(sorted((tool for tool in found if tool is not None), key=lambda tool: (-tool.calls, tool.name)))

    def _tool(self, name: str, after_ns: int) -> Tool | None:
        calls, errors, unfinished, last_ns = self._rows(CALLS, name, after_ns)[0]
        if not calls:
            return None
        rows = self._rows(DURATIONS, name, after_ns, MOST_DURATIONS)
        durations_s = sorted(row[0] / 1e9 for row in rows)
        return Tool(
            name=name,
            calls=calls,
            errors=errors,
            unfinished=unfinished,
            p50_s=percentile(durations_s, 0.50),
            p95_s=percentile(durations_s, 0.95),
            last_ns=last_ns,
        )

    def _calls_by_minute(self, as_of_ns: int, minutes: int) -> tuple[int, ...]:
        counts: dict[int, int] = dict(self._rows(CALLS_BY_MINUTE, as_of_ns, minutes))
        return tuple(counts.get(age, 0) for age in range(minutes - 1, -1, -1))

    def _emotion(self) -> Emotion | None:
        for name, attributes, time_ns in self._rows(LAST_EMOTION):
            values: dict[str, object] = orjson.loads(attributes)
            return Emotion(
                name=name,
                intensity=_number(values.get(s.EMOTION_INTENSITY)),
                valence=_number(values.get(s.VALENCE)),
                arousal=_number(values.get(s.AROUSAL)),
                time_ns=time_ns,
            )
        return None

    def _desires(self) -> tuple[Desire, ...]:
        levels: dict[str, float] = {}
        for attributes, value, _ in self._rows(LATEST_POINTS, catalogue.DESIRE.name):  # oldest first: the newest stays
            if value is not None:
                levels[str(orjson.loads(attributes).get(s.DESIRE, ""))] = float(value)
        return tuple(
            Desire(name, level) for name, level in sorted(levels.items(), key=lambda kept: (-kept[1], kept[0]))
        )

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return self._db.execute(statement, values).fetchall()  # pyright: ignore[reportArgumentType]


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` of `ordered` (ascending) lies; None when it is empty.

    Interpolates between neighbours, as `statistics.quantiles(method="inclusive")` does.
    """
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _reason(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return f"the embedded store cannot be read just now ({name})"
