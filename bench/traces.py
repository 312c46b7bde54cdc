"""Freshness of traces in a real Tempo: by id, and by TraceQL search."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.stack.servers import Tempo

_EVERY: Final = 25
"""One call of this many is watched: each question by id is a question of its own."""
_SEARCH_EVERY_S: Final = 0.25
_SEARCH: Final = '{ name = "tools/call remember" }'


class TraceWatch:
    """When traces were first found. `note` and `look` belong to two threads."""

    def __init__(self, tempo: Tempo) -> None:
        self._tempo = tempo
        self._noted = 0
        self._not_by_id: dict[str, float] = {}
        self._not_by_search: dict[str, float] = {}
        self._next_search_s = 0.0
        self.by_id: list[float] = []
        self.by_search: list[float] = []

    @property
    def complete(self) -> bool:
        """Whether all that was noted was found both ways."""
        return not self._not_by_id and not self._not_by_search

    def note(self, trace_id: str, written_s: float) -> None:
        """Take note of a call whose last line was written at this time (Unix seconds)."""
        if self._noted % _EVERY == 0:
            self._not_by_id[trace_id] = self._not_by_search[trace_id] = written_s
        self._noted += 1

    def look(self) -> None:
        """Ask for all that is still missing."""
        for trace_id, written_s in list(self._not_by_id.items()):
            if self._tempo.trace(trace_id):
                self.by_id.append(time.time() - written_s)
                del self._not_by_id[trace_id]
        if self._not_by_search and time.time() >= self._next_search_s:
            begin = min(list(self._not_by_search.values())) - 60
            found = {one["traceID"].zfill(32) for one in self._tempo.search(_SEARCH, begin, time.time() + 60)}
            now = time.time()
            for trace_id in found & set(self._not_by_search):
                self.by_search.append(now - self._not_by_search.pop(trace_id))
            self._next_search_s = now + _SEARCH_EVERY_S
