"""Runs of flows in the embedded store, one by one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import orjson

from egoscope.convert import semconv as s
from egoscope.query import embedded_sql as sql
from egoscope.query.answers import FlowRun
from egoscope.query.base import DEFAULT_LIMIT, check_limit, check_status
from egoscope.query.embedded_reader import EmbeddedReader
from egoscope.query.times import from_ns

if TYPE_CHECKING:
    import datetime as dt

    from egoscope.query.embedded_rows import Row


class EmbeddedFlowRuns(EmbeddedReader):
    """The question about single runs of flows."""

    def get_flow_runs(
        self,
        flow_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[FlowRun]:
        """See `Query.get_flow_runs`."""
        check_status(status)
        check_limit(limit)
        within = self._range(since, until)
        with self._reading():
            rows = self._ask(sql.EXECUTIONS, "flow", within, flow_name, outcome=status)
            return [_run(row) for row in islice(rows, limit)]


def _run(row: Row) -> FlowRun:
    span_id, trace_id, flow, start_ns, end_ns, duration_ns, outcome, *_, attributes = row
    return FlowRun(
        trace_id=trace_id,
        span_id=span_id,
        flow=flow,
        start=from_ns(start_ns),
        end=from_ns(end_ns),
        duration_s=duration_ns / 1e9 if duration_ns is not None else None,
        outcome=outcome,
        error_type=orjson.loads(attributes).get(s.ERROR_TYPE),
    )
