"""What log files hold, counted by plain reading; and what the back ends say of them. Both must agree exactly."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.stack.servers import Stack

_ENDS: Final = {"Tool execution completed": "ok", "Tool execution failed": "error"}
_NO_LOGGERS_OF_EGO_MCP: Final = {"py.warnings"}
YEARS_S: Final = 10 * 365 * 86400
RECORDED_S: Final = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
"""Before the first line of the recorded runs and the first row of the recorded databases."""

Call = tuple[str, str]  # tool, outcome
Line = tuple[str, str]  # level, logger


@dataclass
class Truth:
    """Events with their time in seconds."""

    ends: list[tuple[float, Call]] = field(default_factory=list[tuple[float, Call]])
    starts: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    lines: list[tuple[float, Line]] = field(default_factory=list[tuple[float, Line]])
    offsets: list[int] = field(default_factory=list[int])

    def calls(self, after_s: float = 0, until_s: float = float("inf")) -> Counter[Call]:
        """Return the calls that ended in this time, by tool and outcome."""
        return Counter(call for at, call in self.ends if after_s < at <= until_s)

    def by_level(self, after_s: float = 0, until_s: float = float("inf")) -> Counter[Line]:
        """Return the lines of this time, by level and logger."""
        return Counter(line for at, line in self.lines if after_s < at <= until_s)

    @property
    def unfinished(self) -> int:
        """How many calls have no end."""
        return len(self.starts) - len(self.ends)

    def __add__(self, other: Truth) -> Truth:
        return Truth(
            self.ends + other.ends, self.starts + other.starts, self.lines + other.lines, self.offsets + other.offsets
        )


def long_ago_s() -> float:
    """Return a time before everything that tests send but lines of a clock that was not set; Loki goes day by day."""
    return min(RECORDED_S, time.time() - 365 * 86400)


def truth_of(*contents: bytes) -> Truth:
    """Read the contents of log files in ego-mcp's real format."""
    truth = Truth()
    for content in contents:
        offset = 0
        for line in content.splitlines(keepends=True):
            fields = json.loads(line)
            at = datetime.fromisoformat(fields["timestamp"]).timestamp()
            logger = "_OTHER" if fields["logger"] in _NO_LOGGERS_OF_EGO_MCP else fields["logger"]
            truth.offsets.append(offset)
            truth.lines.append((at, (fields["level"], logger)))
            if fields["message"] == "Tool invocation":
                truth.starts.append((at, fields["tool_name"]))
            elif fields["message"] in _ENDS:
                truth.ends.append((at, (fields["tool_name"], _ENDS[fields["message"]])))
            offset += len(line)
    return truth


def increases(
    stack: Stack, metric: str, by: tuple[str, str], instances: Iterable[str], end_s: float, range_s: float
) -> Counter[tuple[str, str]]:
    """Return how much a counter grew up to `end_s`, by two labels; what did not grow is left out."""
    selector = f'{metric}{{instance=~"{"|".join(instances)}"}}'
    query = f"sum by ({', '.join(by)}) (increase({selector}[{int(range_s * 1000)}ms] anchored))"
    samples = stack.prometheus.query(query, at=end_s)
    grown: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        assert sample.value == int(sample.value), f"{query} is no whole number: {sample.value}"
        if sample.value:
            grown[sample.labels[by[0]], sample.labels[by[1]]] = int(sample.value)
    return grown


def calls_in_prometheus(
    stack: Stack, instances: Iterable[str], end_s: float | None = None, range_s: float = YEARS_S
) -> Counter[Call]:
    """Return the calls that ended, as Prometheus counts them."""
    end_s = time.time() + 1 if end_s is None else end_s
    return increases(stack, "ego_calls_total", ("tool", "outcome"), instances, end_s, range_s)


def lines_in_prometheus(
    stack: Stack, instances: Iterable[str], end_s: float | None = None, range_s: float = YEARS_S
) -> Counter[Line]:
    """Return the log lines, as Prometheus counts them."""
    end_s = time.time() + 1 if end_s is None else end_s
    return increases(stack, "ego_log_lines_total", ("level", "logger"), instances, end_s, range_s)


def offsets_in_loki(stack: Stack, instance: str) -> list[int]:
    """Return the offsets of all entries of one instance, in order; one that stands twice is there twice."""
    entries = stack.loki.entries(f'{{service_instance_id="{instance}"}}', long_ago_s(), time.time() + 90000)
    return sorted(int(entry.labels["log_file_record_offset"]) for entry in entries)


def span_ids(stack: Stack, instances: Iterable[str]) -> Counter[str]:
    """Return how often Tempo was given each span of these instances."""
    wanted = set(instances)
    ids: Counter[str] = Counter()
    for request in stack.tempo.requests():
        for resource in request.resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            if names.get("service.instance.id") in wanted:
                ids.update(span.span_id.hex() for scope in resource.scope_spans for span in scope.spans)
    return ids


def check_exact(stack: Stack, logs: Mapping[str, bytes], *, unfinished: int = 0, spans_once: bool = False) -> None:
    """Compare everything the back ends hold of these instances (id to content) with what the log holds."""
    whole = truth_of(*logs.values())
    for instance, content in logs.items():
        there, written = Counter(offsets_in_loki(stack, instance)), Counter(truth_of(content).offsets)
        assert not (missing := written - there), f"{len(missing)} of {len(written)} lines are not in Loki: {instance}"
        assert not (more := there - written), f"{len(more)} lines are in Loki too often: {instance}"
    calls = calls_in_prometheus(stack, logs)
    ended = {call: count for call, count in calls.items() if call[1] != "unfinished"}
    assert ended == whole.calls(), "calls in Prometheus"
    assert lines_in_prometheus(stack, logs) == whole.by_level(), "lines in Prometheus"
    assert calls.total() - sum(ended.values()) == unfinished, "unfinished calls in Prometheus"
    spans = span_ids(stack, logs)
    assert len(spans) == len(whole.ends) + unfinished, "spans in Tempo"
    if spans_once:
        assert set(spans.values()) <= {1}, "a span stands twice in Tempo"


def contents(files: Mapping[Path, str]) -> dict[str, bytes]:
    """Return instance id to content, for files that are still there."""
    return {instance: path.read_bytes() for path, instance in files.items()}
