"""What databases of Kagura and illumo hold, by plain SQL, and what the back ends say: both must agree exactly."""

from __future__ import annotations

import ast
import contextlib
import json
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.stack.processes import ANSWER_S
from tests.stack.truth import YEARS_S, long_ago_s, span_ids

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

    from tests.stack.servers import Stack

USD_DECIMALS: Final = 9
_OUTCOMES: Final = {"completed": "ok", "failed": "error"}
Sums = Counter[tuple[str, ...]]


@dataclass
class RowTruth:
    """Everything of final rows, by metric and the values of its labels, sorted by label; costs in nano-dollars.

    `lines`: how many log records they become, `spans` how many spans.
    """

    sums: dict[str, Sums] = field(default_factory=dict[str, Sums])
    lines: int = 0
    spans: int = 0

    def add(self, metric: str, amount: int, **labels: str) -> None:
        """Add to one series; nothing where the amount is nothing."""
        if amount:
            self.sums.setdefault(metric, Counter())[tuple(labels[name] for name in sorted(labels))] += amount


@contextlib.contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Open a database as it stands, read-only."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=ANSWER_S)) as db:
        yield db


def kagura_truth(*paths: Path) -> RowTruth:
    """Return what final executions hold. Costs are those that the database tells: its models must all have one."""
    truth = RowTruth()
    for path in paths:
        with reading(path) as db:
            rows = db.execute("SELECT agent_name, status, events FROM executions WHERE ended_at IS NOT NULL").fetchall()
        for agent, status, events in rows:
            truth.lines += 1
            truth.spans += 1
            truth.add("agent_executions_total", 1, agent=agent, outcome=_OUTCOMES[status])
            truth.add("agent_execution_duration_seconds_count", 1, agent=agent)
            for event in json.loads(events):
                truth.spans += 1
                _event(truth, agent, event["type"], event["data"])
    return truth


def _event(truth: RowTruth, agent: str, kind: str, data: dict[str, float | str]) -> None:
    match kind:
        case "llm_call":
            model = str(data["model"])
            by = {"gen_ai_agent_name": agent, "gen_ai_request_model": model}
            truth.add("gen_ai_client_operation_duration_seconds_count", 1, **by)
            for name, type_ in (("prompt_tokens", "input"), ("completion_tokens", "output")):
                truth.add("gen_ai_client_token_usage_sum", int(data[name]), gen_ai_token_type=type_, **by)
            nano = round(float(data["cost"]) * 10**USD_DECIMALS)
            if nano:
                truth.add("agent_cost_usd_total", nano, agent=agent, model=model)
            else:
                truth.add("agent_cost_unknown_total", 1, agent=agent, model=model)
        case "tool_call":
            by = {"gen_ai_agent_name": agent, "gen_ai_tool_name": str(data["tool_name"])}
            truth.add("gen_ai_execute_tool_duration_seconds_count", 1, **by)
        case _:
            truth.add("agent_memory_operations_total", 1, agent=agent, operation=str(data["operation"]))


def _flow_of(span_id: str, names: Mapping[str, tuple[str, str, str]]) -> str:
    """Return the name of the nearest flow above a span, by id: name, kind, parent."""
    name, kind, parent = names[span_id]
    return name if kind == "flow" else _flow_of(parent, names)


def illumo_truth(*paths: Path) -> RowTruth:
    """Return what final spans and all events hold; each node must have a flow above it."""
    truth = RowTruth()
    for path in paths:
        with reading(path) as db:
            names = {one: (name, kind, parent) for one, name, kind, parent in db.execute(_NAMES)}
            ended = db.execute("SELECT span_id, status FROM spans WHERE end_time IS NOT NULL").fetchall()
            events = db.execute("SELECT span_id, event_type, attributes FROM events").fetchall()

        for span_id, status in ended:
            name, kind, _ = names[span_id]
            truth.lines += 1
            truth.spans += 1
            outcome = "ok" if status == "OK" else "error"
            if kind == "flow":
                truth.add("agent_flow_runs_total", 1, flow=name, outcome=outcome)
                truth.add("agent_flow_duration_seconds_count", 1, flow=name)
            else:
                by = {"flow": _flow_of(span_id, names), "node": name}
                truth.add("agent_flow_node_runs_total", 1, outcome=outcome, **by)
                truth.add("agent_flow_node_duration_seconds_count", 1, **by)
        for span_id, event_type, attributes in events:
            name, kind, _ = names[span_id]
            by = {"flow": _flow_of(span_id, names), "node": "" if kind == "flow" else name}
            truth.add("agent_flow_events_total", 1, type=event_type, **by)
            truth.add("agent_flow_tokens_total", int(ast.literal_eval(attributes or "{}").get("tokens", 0)), **by)
    return truth


_NAMES: Final = "SELECT span_id, name, kind, parent_span_id FROM spans"
_LABELS: Final[dict[str, tuple[str, ...]]] = {
    "agent_executions_total": ("agent", "outcome"),
    "agent_execution_duration_seconds_count": ("agent",),
    "gen_ai_client_operation_duration_seconds_count": ("gen_ai_agent_name", "gen_ai_request_model"),
    "gen_ai_client_token_usage_sum": ("gen_ai_agent_name", "gen_ai_request_model", "gen_ai_token_type"),
    "agent_cost_usd_total": ("agent", "model"),
    "agent_cost_unknown_total": ("agent", "model"),
    "gen_ai_execute_tool_duration_seconds_count": ("gen_ai_agent_name", "gen_ai_tool_name"),
    "agent_memory_operations_total": ("agent", "operation"),
    "agent_flow_runs_total": ("flow", "outcome"),
    "agent_flow_duration_seconds_count": ("flow",),
    "agent_flow_node_runs_total": ("flow", "node", "outcome"),
    "agent_flow_node_duration_seconds_count": ("flow", "node"),
    "agent_flow_events_total": ("flow", "node", "type"),
    "agent_flow_tokens_total": ("flow", "node"),
    "task_created_total": ("priority",),
    "task_started_total": ("priority",),
    "task_returned_total": ("priority",),
    "task_ended_total": ("outcome", "priority"),
    "task_duration_seconds_count": ("outcome",),
    "task_duration_seconds_sum": ("outcome",),
    "task_worker_tasks_total": ("outcome", "worker"),
}
_USD: Final = frozenset({"agent_cost_usd_total"})
_WHOLE_WITHIN: Final = 1e-3


def in_prometheus(stack: Stack, metric: str, instances: Iterable[str], end_s: float | None = None) -> Sums:
    """Return how much a metric grew in all, by its labels in order of their names; costs in nano-dollars."""
    selector = f'{metric}{{instance=~"{"|".join(instances)}"}}'
    labels = _LABELS[metric]
    query = f"sum by ({', '.join(labels)}) (increase({selector}[{int(YEARS_S * 1000)}ms] anchored))"
    grown: Sums = Counter()
    for sample in stack.prometheus.query(query, at=time.time() + 1 if end_s is None else end_s):
        value = sample.value * 10**USD_DECIMALS if metric in _USD else sample.value
        assert abs(value - round(value)) < _WHOLE_WITHIN, f"{query} is no whole number: {value}"
        if round(value):
            grown[tuple(sample.labels.get(name, "") for name in labels)] = round(value)
    return grown


def entries_in_loki(stack: Stack, instance: str) -> list[str]:
    """Return the lines of one instance; one that stands twice is there twice."""
    now_s = time.time()
    selector = f'{{service_instance_id="{instance}"}}'
    return [entry.line for entry in stack.loki.entries(selector, long_ago_s(), now_s + 90_000)]


def check_rows_exact(stack: Stack, truth: RowTruth, instances: Iterable[str], *, spans_once: bool = False) -> None:
    """Compare everything the back ends hold of these instances with what the databases hold."""
    instances = list(instances)
    for metric in _LABELS:
        assert in_prometheus(stack, metric, instances) == truth.sums.get(metric, Counter()), metric
    lines = [line for instance in instances for line in entries_in_loki(stack, instance)]
    assert len(lines) == truth.lines, "log records in Loki"
    spans = span_ids(stack, instances)
    assert len(spans) == truth.spans, "spans in Tempo"
    if spans_once:
        assert set(spans.values()) <= {1}, "a span stands twice in Tempo"


def ended_rows(*paths: Path) -> int:
    """Return how many rows of the databases are final."""
    total = 0
    for path in paths:
        with reading(path) as db:
            kagura = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'executions'").fetchone()[0]
            table, end = ("executions", "ended_at") if kagura else ("spans", "end_time")
            total += int(db.execute(f"SELECT count(*) FROM {table} WHERE {end} IS NOT NULL").fetchone()[0])
    return total
