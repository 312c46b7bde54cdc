"""Runs of flows in the stack, one by one: Loki's lines of their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from egoscope.convert import semconv as s
from egoscope.convert.conversion import ROW_EXPIRES_NS
from egoscope.query.answers import OUTCOMES, FlowRun
from egoscope.query.base import DEFAULT_LIMIT, check_limit, check_status
from egoscope.query.loki import MOST_LINES
from egoscope.query.prometheus import label, matcher
from egoscope.query.stack_servers import StackServers
from egoscope.query.tasks import took_s
from egoscope.query.times import from_ns

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from egoscope.query.answers import Outcome
    from egoscope.query.times import Range

_FLOW, _NODE, _OUTCOME, _ERROR_TYPE = map(label, (s.FLOW_NAME, s.FLOW_NODE, s.AGENT_OUTCOME, s.ERROR_TYPE))


class StackFlowRuns(StackServers):
    """The question about single runs of flows."""

    def get_flow_runs(
        self,
        flow_name: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        status: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[FlowRun]:
        """See `Query.get_flow_runs`. No more than 5000."""
        check_status(status)
        check_limit(limit)
        # Lines of nodes name their flow, too.
        of_flow, ended = matcher(s.FLOW_NAME, flow_name), matcher(s.AGENT_OUTCOME, status)
        query = f'{{service_name=~".+"}} | {of_flow} | {_NODE}="" | {ended}'
        return list(self._runs(query, self._range(since, until), limit))[:limit]

    def _runs(self, query: str, within: Range, limit: int) -> Iterator[FlowRun]:
        seen: set[tuple[str, str]] = set()
        # A line that was sent again can stand there twice.
        for time_ns, line, labels in self._loki.last(query, within, min(2 * limit, MOST_LINES)):
            ids = labels.get("trace_id", ""), labels.get("span_id", "")
            if ids in seen:
                continue
            seen.add(ids)
            outcome, duration_s = labels[_OUTCOME], took_s(line)
            # What was given up tells no duration: it began so long before.
            duration_ns = ROW_EXPIRES_NS if duration_s is None else round(duration_s * 1e9)
            yield FlowRun(
                trace_id=ids[0],
                span_id=ids[1],
                flow=labels[_FLOW],
                start=from_ns(time_ns - duration_ns),
                end=from_ns(time_ns),
                duration_s=duration_s,
                outcome=cast("Outcome", outcome) if outcome in OUTCOMES else "error",
                error_type=labels.get(_ERROR_TYPE) or None,
            )
