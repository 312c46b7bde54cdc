"""Log lines from Loki, newest first."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from egoscope.convert import semconv as s
from egoscope.query.answers import Activity
from egoscope.query.prometheus import label, quoted
from egoscope.query.times import Range, from_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.query.http import Server

# Looked through one behind the other until there are enough lines: the last ones are nearly always enough. Loki asks
# itself day by day, so that "ever" would take minutes.
_LOOK_BACK: Final = tuple(dt.timedelta(days=days) for days in (1 / 24, 1, 30, 400))
_AGENT: Final = label(s.GEN_AI_AGENT_NAME)
_FLOW: Final = label(s.FLOW_NAME)
_MOST: Final = 5000
"""What Loki gives at most in one answer (`max_entries_limit_per_query`)."""


class Loki:
    """What is asked of Loki."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def newest(self, limit: int, agent: str | None, within: Range) -> list[Activity]:
        """Return at most so many lines of one agent or flow, or of all; the sidecar's own are left out."""
        query = f'{{service_name=~".+", service_name!={quoted(s.SCOPE_NAME)}}}'
        if agent is not None:
            query += f" | {_AGENT}={quoted(agent)} or {_FLOW}={quoted(agent)}"
        return self._last(query, within, limit)

    def last_end(self, agent: str, within: Range) -> dt.datetime | None:
        """Return when the newest execution of an agent in the range ended."""
        query = f'{{service_name=~".+"}} | {_AGENT}={quoted(agent)} | {label(s.AGENT_OUTCOME)}!=""'
        lines = self._last(query, within, 1)
        return lines[0].time if lines else None

    def _last(self, query: str, within: Range, limit: int) -> list[Activity]:
        found: list[Activity] = []
        for back in _LOOK_BACK:
            since = max(within.since, within.until - back)
            found = self._lines(query, Range(since, within.until), limit)
            if len(found) >= limit or since == within.since:
                break
        return found

    def _lines(self, query: str, within: Range, limit: int) -> list[Activity]:
        parameters: list[tuple[str, str | float]] = [
            ("query", query),
            # Loki's range begins with its start and ends before its end.
            ("start", within.since_ns + 1),
            ("end", within.until_ns + 1),
            ("limit", min(limit, _MOST)),
            ("direction", "backward"),
        ]
        answer: Any = self._server.get("/loki/api/v1/query_range", parameters)
        streams: list[dict[str, Any]] = answer["data"]["result"] if answer else []
        lines = sorted(_entries(streams), key=lambda entry: -entry[0])
        return [_activity(time_ns, line, labels) for time_ns, line, labels in lines[:limit]]


def _entries(streams: list[dict[str, Any]]) -> Iterator[tuple[int, str, dict[str, str]]]:
    for stream in streams:
        for time_ns, line in stream["values"]:
            yield int(time_ns), line, stream["stream"]


def _activity(time_ns: int, line: str, labels: dict[str, str]) -> Activity:
    return Activity(
        time=from_ns(time_ns),
        severity=labels.get("severity_text", ""),
        service=labels.get("service_name", ""),
        body=line,
        agent=labels.get(_AGENT) or labels.get(_FLOW),
        trace_id=labels.get("trace_id"),
    )
