"""Rows of the embedded store as answers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from egoscope.convert import semconv as s
from egoscope.query.answers import Execution, ModelUse, SlowRequest, SlowRequests, ToolUse
from egoscope.query.times import from_ns
from egoscope.query.traces import ReadSpan, tags_of
from egoscope.store.kinds import NANO
from egoscope.store.queries import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from egoscope.query.answers import SpanKind

Row = tuple[Any, ...]
PERCENTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Group:
    """Rows of `SUBJECTS` that belong together, added up."""

    def __init__(self) -> None:
        self.count = self.errors = self.unfinished = self.unpriced = 0
        self.input_tokens = self.output_tokens = self._cost_nano = 0
        self.last_ns = 0
        self._durations_ns: list[int] = []

    def add(self, row: Row) -> None:
        """Add one row."""
        _, _, outcome, duration_ns, input_tokens, output_tokens, cost_nano, counted_ns = row
        self.count += 1
        self.errors += outcome == "error"
        self.unfinished += outcome == "unfinished"
        self.unpriced += cost_nano is None
        self.input_tokens += input_tokens or 0
        self.output_tokens += output_tokens or 0
        self._cost_nano += cost_nano or 0
        self.last_ns = max(self.last_ns, counted_ns)
        if duration_ns is not None:
            self._durations_ns.append(duration_ns)

    @property
    def cost_usd(self) -> float:
        """Of the calls whose price is known."""
        return self._cost_nano / NANO

    @property
    def avg_s(self) -> float | None:
        """Mean of the durations that are known."""
        return sum(self._durations_ns) / len(self._durations_ns) / 1e9 if self._durations_ns else None

    def percentile_s(self, share: float) -> float | None:
        """Return a percentile of the durations that are known."""
        return percentile([ns / 1e9 for ns in sorted(self._durations_ns)], share)


class Groups:
    """Groups by name; one that nobody named is empty."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    @classmethod
    def by_agent(cls, rows: Iterable[Row]) -> Groups:
        """Group by agent or flow."""
        return cls._of(rows, 0)

    @classmethod
    def by_subject(cls, rows: Iterable[Row]) -> Groups:
        """Group by model, tool or node; what has no name stands under `_OTHER`."""
        return cls._of(rows, 1)

    @classmethod
    def _of(cls, rows: Iterable[Row], column: int) -> Groups:
        made = cls()
        for row in rows:
            name = row[column] if row[column] is not None else s.OTHER
            made._groups.setdefault(name, Group()).add(row)
        return made

    @property
    def names(self) -> list[str]:
        """The names of the groups that have a row."""
        return list(self._groups)

    def most_first(self) -> list[tuple[str, Group]]:
        """Return the groups, those of most rows first."""
        return sorted(self._groups.items(), key=lambda pair: (-pair[1].count, pair[0]))

    def __getitem__(self, name: str) -> Group:
        return self._groups.get(name) or Group()


def metric_of(metric_type: str, aggregation: str, rows_of: Callable[[str], list[Row]]) -> float | None:
    """Return what `get_metrics` answers, save plain counts; `rows_of` gives the rows of a kind."""
    match metric_type, aggregation:
        case "executions", "success_rate":
            rows = rows_of("agent")
            return sum(row[2] == "ok" for row in rows) / len(rows) if rows else None
        case (("executions" | "model_calls" | "tool_calls"), "count"):
            return float(len(rows_of(_KIND[metric_type])))
        case (("model_calls" | "tool_calls"), _):
            return _share(len(rows_of(_KIND[metric_type])), len(rows_of("agent")))
        case "cost", _:
            cost = sum(row[6] or 0 for row in rows_of("model")) / NANO
            return cost if aggregation == "sum" else _share(cost, len(rows_of("agent")))
        case "tokens", _:
            rows = rows_of("model")
            tokens = sum((row[4] or 0) + (row[5] or 0) for row in rows)
            return float(tokens) if aggregation == "sum" else _share(tokens, len(rows))
        case _:
            column, scale = _COLUMN[metric_type]
            values = [row[column] for row in rows_of(_KIND[metric_type]) if row[column] is not None]
            return _distribution(values, scale, aggregation)


_KIND: Final = {
    "duration": "agent",
    "model_calls": "model",
    "model_duration": "model",
    "input_tokens": "model",
    "output_tokens": "model",
    "tool_calls": "tool",
    "tool_duration": "tool",
}
_COLUMN: Final = {
    "duration": (3, 1e9),
    "model_duration": (3, 1e9),
    "tool_duration": (3, 1e9),
    "input_tokens": (4, 1),
    "output_tokens": (5, 1),
}


def _distribution(values: list[int], scale: float, aggregation: str) -> float | None:
    match aggregation:
        case "count":
            return float(len(values))
        case "sum":
            return sum(values) / scale
        case "avg":
            return _share(sum(values) / scale, len(values))
        case "max":
            return max(values) / scale if values else None
        case _:
            return percentile([value / scale for value in sorted(values)], PERCENTILES[aggregation])


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def execution_row(row: Row, used: list[Row]) -> Execution:
    """Return one execution; `used` has what its children add up to, by kind."""
    span_id, trace_id, agent, start_ns, end_ns, duration_ns, outcome, tokens_in, tokens_out, cost_nano, attributes = row
    by_kind = {kind: sums for kind, *sums in used}
    model_calls, used_in, used_out, used_nano, unpriced = by_kind.get("model", (0, 0, 0, 0, 0))
    read: dict[str, Any] = orjson.loads(attributes)
    if cost_nano is None and not unpriced:
        cost_nano = used_nano
    return Execution(
        trace_id=trace_id,
        span_id=span_id,
        agent=agent,
        start=from_ns(start_ns),
        end=from_ns(end_ns),
        duration_s=duration_ns / 1e9 if duration_ns is not None else None,
        outcome=outcome,
        error_type=read.get(s.ERROR_TYPE),
        input_tokens=used_in if tokens_in is None else tokens_in,
        output_tokens=used_out if tokens_out is None else tokens_out,
        cost_usd=cost_nano / NANO if cost_nano is not None else None,
        model_calls=model_calls,
        tool_calls=by_kind.get("tool", (0,))[0],
        tags=tags_of(read),
    )


def tool_uses(rows: Sequence[Row]) -> list[ToolUse]:
    """Return the tools, most called first."""
    return [
        ToolUse(
            tool=name,
            calls=of.count,
            share=of.count / len(rows),
            errors=of.errors,
            avg_s=of.avg_s,
            p50_s=of.percentile_s(0.50),
            p95_s=of.percentile_s(0.95),
        )
        for name, of in Groups.by_subject(rows).most_first()
    ]


def model_uses(rows: Sequence[Row], providers: Mapping[str | None, str | None]) -> list[ModelUse]:
    """Return the models, most called first."""
    return [
        ModelUse(
            model=name,
            provider=providers.get(name),
            calls=of.count,
            share=of.count / len(rows),
            input_tokens=of.input_tokens,
            output_tokens=of.output_tokens,
            cost_usd=of.cost_usd,
            calls_of_unknown_price=of.unpriced,
            avg_s=of.avg_s,
            p50_s=of.percentile_s(0.50),
            p95_s=of.percentile_s(0.95),
        )
        for name, of in Groups.by_subject(rows).most_first()
    ]


def slow_rows(
    models: Sequence[Row], tools: Sequence[Row], executions: Sequence[Row], p95_s: float | None
) -> SlowRequests:
    """Return what took longest; of executions those above p95."""
    return SlowRequests(
        model_calls=tuple(_slow("model", row) for row in models),
        tool_calls=tuple(_slow("tool", row) for row in tools),
        executions=tuple(_slow("agent", row) for row in executions if p95_s is not None and row[5] / 1e9 > p95_s),
        p95_s=p95_s,
    )


def _slow(kind: SpanKind, row: Row) -> SlowRequest:
    span_id, trace_id, agent, subject, start_ns, duration_ns, outcome, input_tokens, output_tokens, cost_nano = row
    return SlowRequest(
        kind=kind,
        name=agent if kind == "agent" else subject or s.OTHER,
        agent=agent,
        trace_id=trace_id,
        span_id=span_id,
        start=from_ns(start_ns),
        duration_s=duration_ns / 1e9,
        outcome=outcome,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_nano / NANO if cost_nano is not None else None,
    )


def span_row(row: Row) -> ReadSpan:
    """Return one span of a trace."""
    span_id, parent_id, name, start_ns, end_ns, status, service, attributes, events = row
    return ReadSpan(
        span_id=span_id,
        parent_id=parent_id,
        name=name,
        start_ns=start_ns,
        end_ns=end_ns,
        failed=status == "ERROR",
        service=service or "",
        attributes=orjson.loads(attributes),
        events=[(one["time_ns"], one["name"], one["attributes"]) for one in orjson.loads(events or "[]")],
    )
