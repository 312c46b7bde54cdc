"""`get_metrics` of the stack: each pair as a question to Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.query.prometheus import Distribution, label, matcher, quoted

if TYPE_CHECKING:
    from egoscope.query.prometheus import Prometheus
    from egoscope.query.times import Range

_QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_TOKEN_TYPE: Final = label(s.GEN_AI_TOKEN_TYPE)
_TYPES: Final = {"input_tokens": s.INPUT, "output_tokens": s.OUTPUT}
_HISTOGRAMS: Final = {
    "duration": c.EXECUTION_DURATION,
    "model_duration": c.MODEL_DURATION,
    "tool_duration": c.TOOL_DURATION,
    "input_tokens": c.TOKENS,
    "output_tokens": c.TOKENS,
}
_CALLS: Final = {"model_calls": c.MODEL_DURATION, "tool_calls": c.TOOL_DURATION}


def metric_of(
    prometheus: Prometheus, metric_type: str, aggregation: str, within: Range, agent: str | None
) -> float | None:
    """Return one number; the pair is one of `AGGREGATIONS`."""
    by_label, by_attribute = matcher(s.AGENT, agent), matcher(s.GEN_AI_AGENT_NAME, agent)

    def executions() -> dict[tuple[str, ...], int]:
        return prometheus.counts(c.EXECUTIONS.prometheus, (s.LABEL_OUTCOME,), within, by_label)

    def calls(metric: c.Metric) -> int:
        return prometheus.counts(f"{metric.prometheus}_count", (), within, by_attribute).get((), 0)

    match metric_type, aggregation:
        case "executions", "count":
            return float(sum(executions().values()))
        case "executions", _:
            ended = executions()
            return _share(ended.get(("ok",), 0), sum(ended.values()))
        case (("model_calls" | "tool_calls"), _):
            number = calls(_CALLS[metric_type])
            return float(number) if aggregation == "count" else _share(number, sum(executions().values()))
        case "cost", _:
            cost = prometheus.costs(c.COST, (), within, by_label).get((), 0.0)
            return cost if aggregation == "sum" else _share(cost, sum(executions().values()))
        case "tokens", _:
            tokens = prometheus.counts(f"{c.TOKENS.prometheus}_sum", (), within, by_attribute).get((), 0)
            return float(tokens) if aggregation == "sum" else _share(tokens, calls(c.MODEL_DURATION))
        case _:
            matchers = by_label if metric_type == "duration" else by_attribute
            if metric_type in _TYPES:
                matchers += f", {_TOKEN_TYPE}={quoted(_TYPES[metric_type])}"
            told = prometheus.distributions(_HISTOGRAMS[metric_type], (), within, matchers)
            return _of(told.get((), Distribution()), aggregation)


def _of(told: Distribution, aggregation: str) -> float | None:
    match aggregation:
        case "count":
            return float(told.count)
        case "sum":
            return told.sum
        case "avg":
            return told.avg
        case "max":
            return told.quantile(1.0)
        case _:
            return told.quantile(_QUANTILES[aggregation])


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
