"""Which flow a node belongs to, and which node came before it: what the row of a node does not say.

A flow starts before its nodes and ends after them. While it runs, or once it is read, its place in the tree is known;
of what ended the last few are kept, for what comes late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from egoscope.model.record import RowRecord

MAX_EVENTS: Final = 32
"""Events that a span keeps; more are only counted."""

_CLOSED_KEPT: Final = 64
FLOW: Final = "flow"


class FlowEvent(msgspec.Struct, frozen=True, gc=False):
    """An event on its way to its span."""

    time_ns: int
    name: str
    level: str = ""
    model: str = ""
    tokens: int | float | None = None


class Place(msgspec.Struct):
    """A span's place in its flow. Ids are as they were recorded; names are not bounded as labels are."""

    span_id: str
    """Or the row's key, where it has none."""
    trace_id: str = ""
    flow: str = s.OTHER
    node: str = ""
    """Empty for a flow itself."""
    before: str = ""
    """The node that began before it under the same parent."""
    newest_child: str = ""
    newest_child_ns: int = 0
    events: list[FlowEvent] = []
    events_left_out: int = 0


class FlowTree:
    """The places of all spans that are open, and of the last ones that closed."""

    def __init__(self, open_places: Iterable[Place], closed: Iterable[Place]) -> None:
        self._open = {place.span_id: place for place in open_places}
        self._closed = {place.span_id: place for place in closed}

    @property
    def open(self) -> list[Place]:
        """What a restart needs of the spans that are open."""
        return list(self._open.values())

    @property
    def closed(self) -> list[Place]:
        """What a restart needs of the spans that closed."""
        return list(self._closed.values())

    def of(self, span_id: str) -> Place | None:
        """Return the place of a span that is open or closed not long ago."""
        return self._open.get(span_id) or self._closed.get(span_id)

    def add(self, records: Sequence[RowRecord]) -> None:
        """Give each span its place: in the order of their starts, but a parent before its children."""
        waiting = {span_id_of(record): record for record in records}
        for record in sorted(records, key=_start):
            line: list[RowRecord] = []
            ancestor: RowRecord | None = record
            while ancestor is not None:  # each leaves `waiting`, so that a circle ends too
                ancestor = waiting.pop(span_id_of(ancestor), None)
                if ancestor is not None:
                    line.append(ancestor)
                    ancestor = waiting.get(str(ancestor.values.get("parent_span_id", "")))
            for one in reversed(line):
                self._add(one)

    def tell(self, span_id: str, event: FlowEvent) -> None:
        """Keep an event for the span, if it is open."""
        place = self._open.get(span_id)
        if place is None:
            return
        if len(place.events) < MAX_EVENTS:
            place.events.append(event)
        else:
            place.events_left_out += 1

    def close(self, record: RowRecord) -> Place:
        """Return the place of a span that ended, and forget its events."""
        span_id = span_id_of(record)
        if span_id not in self._open:  # there are two rows of that id
            self._add(record)
        place = self._open.pop(span_id)
        self._closed[span_id] = msgspec.structs.replace(place, events=[], events_left_out=0)
        while len(self._closed) > _CLOSED_KEPT:
            del self._closed[next(iter(self._closed))]
        return place

    def _add(self, record: RowRecord) -> None:
        values = record.values
        span_id, name = span_id_of(record), values.get("name", s.OTHER)
        if span_id in self._open:
            return
        parent = self.of(str(values.get("parent_span_id", "")))
        place = Place(span_id, values.get("trace_id") or (parent.trace_id if parent else ""))
        if values.get("kind") == FLOW:
            place.flow = name
        else:
            place.node = name
            if parent is not None:
                place.flow = parent.flow
                if record.start_ns >= parent.newest_child_ns:
                    place.before = parent.newest_child
                    parent.newest_child, parent.newest_child_ns = name, record.start_ns
        self._closed.pop(span_id, None)
        self._open[span_id] = place


def _start(record: RowRecord) -> tuple[int, int]:
    return record.start_ns, record.rowid


def span_id_of(record: RowRecord) -> str:
    """Return the id by which a span is known here."""
    return record.values.get("span_id") or record.key
