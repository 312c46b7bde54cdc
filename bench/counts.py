"""Counts: whether what the back ends say of whole logs equals the logs themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.log import calls_of
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.freshness import Servers

_DAYS = 21
_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of the logs and of the back ends. `pairs`: of tool and outcome that were compared one by one."""

    lines: int
    lines_in_loki: int
    calls: int
    calls_in_prometheus: int
    pairs: int
    equal: bool


def compare(servers: Servers, files: Sequence[Path]) -> Counts:
    """Compare all lines and all calls by tool and outcome; the files must have been sent."""
    now = time.time()
    calls = calls_of(files)
    lines = sum(path.read_bytes().count(b"\n") for path in files)
    in_prometheus: dict[tuple[str, str], float] = {}
    in_loki = 0

    def equal() -> bool:
        nonlocal in_prometheus, in_loki
        samples = servers.prometheus.query(f"sum by (tool, outcome) (increase(ego_calls_total[{_DAYS}d] anchored))")
        in_prometheus = {(one.labels["tool"], one.labels["outcome"]): one.value for one in samples if one.value}
        in_loki = servers.loki.count('{service_name="ego-mcp"}', now - _DAYS * 86400, time.time() + 60)
        # A call that no line ends expires: it is in no line, so it is not compared.
        ended = {key: value for key, value in in_prometheus.items() if key[1] != "unfinished"}
        return in_loki == lines and ended == dict(calls)

    try:
        wait_for(equal, within_s=_WITHIN_S, what="the back ends' counts equal the log's")
        agree = True
    except AssertionError:
        agree = False  # the numbers are told, whatever they are
    ended = sum(value for (_, outcome), value in in_prometheus.items() if outcome != "unfinished")
    return Counts(lines, in_loki, calls.total(), round(ended), len(calls), agree)
