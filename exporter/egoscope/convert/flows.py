"""Conversion of one of illumo's databases: rows of spans and events in, in time order; flows and nodes out.

What happens in one batch is told when the batch is complete: a flow ends after its nodes, so its row comes after theirs
where all of it was read at once, and a node is counted under the name of its flow.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.convert.flow_spans import ids_of, is_flow, log_of, outcome_of, span_of
from egoscope.convert.flow_tree import FlowEvent, FlowTree, Place, span_id_of
from egoscope.convert.pairing import Outcome
from egoscope.convert.row_conversion import DatabaseConversion, Labels, RowState, RunningGauges, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from egoscope.convert.conversion import Telemetry
    from egoscope.convert.ids import Ids
    from egoscope.convert.series import SeriesRow
    from egoscope.model.record import RowRecord
    from egoscope.model.telemetry import Attribute

SPANS: Final = "spans"
MAX_FLOWS: Final = 64
MAX_NODES: Final = 256
MAX_EVENT_TYPES: Final = 64
"""Values that labels of one instance may have; `_OTHER` stands for more. Spans and log records have every name."""


class FlowState(RowState):
    """What a restart needs beside the series: also the places of what runs and of the last that ended."""

    open: list[Place] = msgspec.field(default_factory=list[Place])
    closed: list[Place] = msgspec.field(default_factory=list[Place])


class FlowConversion(DatabaseConversion[FlowState]):
    """Turns the rows of one database into telemetry.

    Runs, durations and transitions are counted where they end: the step from one node to the next at the end of the
    next one. An event is counted when it happened.
    """

    def __init__(self, ids: Ids, state: FlowState, series: list[SeriesRow]) -> None:
        super().__init__(ids, state, series, RunningGauges(c.FLOW_RUNNING, c.FLOW_RUNNING_OLDEST, s.FLOW))
        self._tree = FlowTree(state.open, state.closed)
        self._flows = Labels(MAX_FLOWS, values_of(self._series, s.FLOW, c.FLOW_RUNS, c.FLOW_RUNNING, c.NODE_RUNS))
        self._nodes = Labels(MAX_NODES, values_of(self._series, s.NODE, c.NODE_RUNS))
        self._types = Labels(MAX_EVENT_TYPES, values_of(self._series, s.TYPE, c.FLOW_EVENTS))
        self._untold: list[Callable[[], None]] = []
        self._untold_spans: list[RowRecord] = []
        self._untold_events: list[RowRecord] = []
        self._heard_ns = 0

    @property
    def newest_ns(self) -> int:
        """The time of the newest record so far, 0 if there was none."""
        return max(super().newest_ns, self._heard_ns)

    @property
    def state(self) -> FlowState:
        """The state as of now, to be committed with what `drain` returned."""
        self._settle()
        state = super().state
        state.open, state.closed = self._tree.open, self._tree.closed
        return state

    @property
    def waits(self) -> bool:
        """Whether anything runs."""
        self._settle()
        return super().waits

    @property
    def has_new(self) -> bool:
        """Whether `drain` would return anything."""
        self._settle()
        return super().has_new

    def started(self, record: RowRecord) -> None:
        """A flow or node runs."""
        self._heard_ns = max(self._heard_ns, record.start_ns)
        self._untold_spans.append(record)
        self._untold.append(partial(super().started, record))

    def ended(self, record: RowRecord) -> None:
        """A flow or node ended, or an event happened."""
        self._heard_ns = max(self._heard_ns, record.start_ns if record.end_ns is None else record.end_ns)
        (self._untold_spans if record.table == SPANS else self._untold_events).append(record)
        self._untold.append(partial(super().ended, record))

    def gone(self, key: str) -> None:
        """A flow or node that ran is no longer there."""
        self._untold.append(partial(self._gone, key))

    def unparsable(self, table: str, rowid: int, reason: str, time_ns: int) -> None:
        """Stand in for a row that is no record."""
        self._untold.append(partial(super().unparsable, table, rowid, reason, time_ns))

    def expire(self, now_ns: int) -> None:
        """Close as unfinished what began too long ago."""
        self._settle()
        super().expire(now_ns)

    def keep_alive(self, now_ns: int) -> None:
        """Give every series that was silent a point at this time."""
        self._settle()
        super().keep_alive(now_ns)

    def drain(self) -> Telemetry:
        """Return everything converted since the last call."""
        self._settle()
        return super().drain()

    def _settle(self) -> None:
        """Tell what came since the last time, now that it is known what belongs to what."""
        untold, spans, events = self._untold, self._untold_spans, self._untold_events
        if not untold:
            return
        self._untold, self._untold_spans, self._untold_events = [], [], []
        self._tree.add(spans)
        ends = {span_id_of(record): record.end_ns for record in spans if record.end_ns is not None}
        for record in events:
            span_id = record.values.get("span_id", "")
            if record.start_ns <= ends.get(span_id, record.start_ns):
                self._tree.tell(span_id, _event_of(record))
        for tell in untold:
            tell()

    def _gone(self, key: str) -> None:
        began = self._running.get(key)
        if began is not None:
            self._tree.close(began)
        super().gone(key)

    def _running_as(self, record: RowRecord) -> str | None:
        return self._flows[record.values.get("name", s.OTHER)] if is_flow(record) else None

    def _finished(self, record: RowRecord, *, expired: bool) -> None:
        if record.table != SPANS:
            self._happened(record)
            return
        place = self._tree.close(record)
        outcome = outcome_of(record, expired=expired)
        ids = ids_of(record, place, self._ids)
        self._spans.append(span_of(record, place, ids, outcome))
        self._log(log_of(record, place, ids, outcome))
        self._count(record, place, outcome)

    def _count(self, record: RowRecord, place: Place, outcome: Outcome) -> None:
        end_ns = record.start_ns if record.end_ns is None else record.end_ns
        seconds = None if outcome is Outcome.UNFINISHED else (end_ns - record.start_ns) / 1e9
        flow: Attribute = (s.FLOW, self._flows[place.flow])
        how: Attribute = (s.LABEL_OUTCOME, outcome.value)
        if not place.node:
            self._note(c.FLOW_RUNS, end_ns, 1, flow, how)
            if seconds is not None:
                self._note(c.FLOW_DURATION, end_ns, seconds, flow)
            return
        node = self._nodes[place.node]
        self._note(c.NODE_RUNS, end_ns, 1, flow, (s.NODE, node), how)
        if seconds is not None:
            self._note(c.NODE_DURATION, end_ns, seconds, flow, (s.NODE, node))
        if place.before:
            step = (s.FROM_NODE, self._nodes[place.before]), (s.TO_NODE, node)
            self._note(c.FLOW_TRANSITIONS, end_ns, 1, flow, *step)

    def _happened(self, record: RowRecord) -> None:
        """Count an event. One of a flow itself, not of a node, has no label `node`."""
        event = _event_of(record)
        place = self._tree.of(record.values.get("span_id", "")) or _NOWHERE
        node = ((s.NODE, self._nodes[place.node]),) if place.node else ()
        where: tuple[Attribute, ...] = ((s.FLOW, self._flows[place.flow]), *node)
        self._note(c.FLOW_EVENTS, event.time_ns, 1, *where, (s.TYPE, self._types[event.name]))
        if event.tokens:
            self._note(c.FLOW_TOKENS, event.time_ns, event.tokens, *where)


_NOWHERE: Final = Place("", node=s.OTHER)


def _event_of(record: RowRecord) -> FlowEvent:
    values = record.values
    told = values.get("attributes", {})
    tokens = told.get("tokens")
    if tokens is not None and tokens == int(tokens):
        tokens = int(tokens)
    return FlowEvent(
        record.start_ns, values.get("event_type", s.OTHER), values.get("level", ""), told.get("model", ""), tokens
    )
