"""Log lines from Loki, newest first."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from egoscope.convert import semconv as s
from egoscope.query.answers import Activity
from egoscope.query.prometheus import label, quoted
from egoscope.query.times import Range, from_ns, to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.query.http import Server

# Looked through one behind the other until there are enough lines: the last ones are nearly always enough. Loki asks
# itself day by day, so that "ever" would take minutes.
_LOOK_BACK: Final = tuple(dt.timedelta(days=days) for days in (1 / 24, 1, 30, 400))
_AGENT: Final = label(s.GEN_AI_AGENT_NAME)
_ABOUT: Final = (_AGENT, label(s.FLOW_NAME), label(s.TASK_WORKER))
"""The labels that say which agent, flow or worker a line is about."""
MOST_LINES: Final = 5000
"""What Loki gives at most in one answer (`max_entries_limit_per_query`)."""
Entry = tuple[int, str, dict[str, str]]
"""A line with its time in nanoseconds and its labels."""


class Loki:
    """What is asked of Loki."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def newest(self, limit: int, agent: str | None, within: Range, service: str | None = None) -> list[Activity]:
        """Return at most so many lines of an agent, flow or worker, or of all; the sidecar's own are left out."""
        query = f'{{service_name=~".+", service_name!={quoted(s.SCOPE_NAME)}}}'
        if service is not None:
            query = f"{{service_name={quoted(service)}}}"
        if agent is not None:
            query += " | " + " or ".join(f"{name}={quoted(agent)}" for name in _ABOUT)
        return [_activity(*entry) for entry in self.last(query, within, limit)]

    def last_end(self, agent: str, within: Range) -> dt.datetime | None:
        """Return when the newest execution of an agent in the range ended."""
        query = f'{{service_name=~".+"}} | {_AGENT}={quoted(agent)} | {label(s.AGENT_OUTCOME)}!=""'
        lines = self.last(query, within, 1)
        return from_ns(lines[0][0]) if lines else None

    def last(self, query: str, within: Range, limit: int) -> list[Entry]:
        """Return the newest lines of a query, newest first: time, line and labels."""
        found: list[Entry] = []
        for back in _LOOK_BACK:
            since = max(within.since, within.until - back)
            found = self._lines(query, Range(since, within.until), limit)
            if len(found) >= limit or since == within.since:
                break
        return found

    def instant(self, query: str, at: dt.datetime) -> list[tuple[dict[str, str], float]]:
        """Return an instant query's values with their labels."""
        answer: Any = self._server.get("/loki/api/v1/query", [("query", query), ("time", to_ns(at) + 1000)])
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]] if answer else []

    def _lines(self, query: str, within: Range, limit: int) -> list[Entry]:
        parameters: list[tuple[str, str | float]] = [
            ("query", query),
            # Loki's range begins with its start and ends before its end.
            ("start", within.since_ns + 1),
            ("end", within.until_ns + 1),
            ("limit", min(limit, MOST_LINES)),
            ("direction", "backward"),
        ]
        answer: Any = self._server.get("/loki/api/v1/query_range", parameters)
        streams: list[dict[str, Any]] = answer["data"]["result"] if answer else []
        return sorted(_entries(streams), key=lambda entry: -entry[0])[:limit]


def _entries(streams: list[dict[str, Any]]) -> Iterator[Entry]:
    for stream in streams:
        for time_ns, line in stream["values"]:
            yield int(time_ns), line, stream["stream"]


def _activity(time_ns: int, line: str, labels: dict[str, str]) -> Activity:
    return Activity(
        time=from_ns(time_ns),
        severity=labels.get("severity_text", ""),
        service=labels.get("service_name", ""),
        body=line,
        agent=next((labels[name] for name in _ABOUT if labels.get(name)), None),
        trace_id=labels.get("trace_id"),
    )
