"""What a back end will never take, and what clocks do: the bad item alone is given up, and it is counted."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.stack.fake_tempo import Answer
from tests.stack.servers import wait_for
from tests.stack.sidecar import append, begin, call, now_line, sidecar_on
from tests.stack.truth import calls_in_prometheus, lines_in_prometheus, offsets_in_loki, span_ids, truth_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stack.servers import Stack


@pytest.fixture(autouse=True)
def _tempo_accepts_again(stack: Stack) -> Iterator[None]:
    """A test that fails leaves no refusing back end behind."""
    yield
    stack.tempo.answer = Answer.ACCEPT


def rejected(stack: Stack, signal: str, since: float) -> float:
    """Return how many items of a signal all sidecars since then have told as refused for good."""
    query = f'sum(max_over_time(egoscope_rejected_total{{signal="{signal}"}}[{int(time.time() - since) + 5}s]))'
    return stack.prometheus.value(query) or 0


def test_what_loki_and_prometheus_refuse_is_counted_and_its_neighbours_arrive(stack: Stack, tmp_path: Path) -> None:
    """Halved until the bad item stands alone. The sidecar must be made to trust a line from the day after tomorrow."""
    since = time.time()
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log = sidecar.logs / "ego-mcp-live.log"
        good = [line for _ in range(30) for line in call()]
        append(log, *good, now_line("Routing tool call", ahead_s=50 * 3600))
        sidecar.launch([sys.executable, "-m", "tests.stack.trusting"])
        wait_for(lambda: sidecar.up and sidecar.drained(), what="everything is answered for good")
        instance = sidecar.instances()[log]
        assert offsets_in_loki(stack, instance) == truth_of(log.read_bytes()).offsets[:-1]
        assert calls_in_prometheus(stack, [instance]) == truth_of(log.read_bytes()).calls()
        assert lines_in_prometheus(stack, [instance]).total() == len(good)
        assert len(span_ids(stack, [instance])) == 30
        wait_for(lambda: rejected(stack, "logs", since) == 1, what="one refused log record is told")
        # The count of lines and the time of the newest line, each with the edge point before it.
        wait_for(lambda: 1 <= rejected(stack, "metrics", since) <= 4, what="few refused points are told")
        assert "a back end refused an item for good (signal=logs" in sidecar.said()


def test_lines_from_before_the_clock_was_set_hold_nothing_up(stack: Stack, tmp_path: Path) -> None:
    """Loki has no schema for 2010 and says so as if it were down; such a line stands REDACTED at another time."""
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        long_ago = now_line("Routing tool call", ahead_s=-time.time() + 40 * 365 * 86400)
        log = sidecar.logs / "ego-mcp-live.log"
        append(log, long_ago, *call(), long_ago, *call())
        sidecar.start()
        sidecar.wait_until_drained()
        instance = sidecar.instances()[log]
        assert offsets_in_loki(stack, instance) == truth_of(log.read_bytes()).offsets
        assert calls_in_prometheus(stack, [instance]) == {("recall", "ok"): 2}
        assert lines_in_prometheus(stack, [instance]).total() == 6


@pytest.mark.parametrize("hours", [0.25, 11, 23])
def test_lines_from_the_future_hurt_no_later_line(stack: Stack, tmp_path: Path, hours: float) -> None:
    """A clock that was ahead and is set back: Prometheus takes nothing that is ten minutes ahead of its own."""
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log, instance = begin(sidecar)
        append(log, now_line("Routing tool call", ahead_s=hours * 3600))
        append(log, *(line for _ in range(10) for line in call()))
        sidecar.wait_until_drained()
        assert calls_in_prometheus(stack, [instance]) == {("recall", "ok"): 11}
        assert lines_in_prometheus(stack, [instance]).total() == len(truth_of(log.read_bytes()).lines)
        assert offsets_in_loki(stack, instance) == truth_of(log.read_bytes()).offsets


def test_spans_that_tempo_refuses_are_halved_and_counted_one_by_one(stack: Stack, tmp_path: Path) -> None:
    """Only when an item stands alone is it given up; the other signals arrive whole."""
    since = time.time()
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        stack.tempo.answer = Answer.INVALID
        log, instance = begin(sidecar)
        append(log, *(line for _ in range(5) for line in call()))
        sidecar.wait_until_drained()
        stack.tempo.answer = Answer.ACCEPT
        append(log, *call())
        sidecar.wait_until_drained()
        assert len(span_ids(stack, [instance])) == 1
        assert calls_in_prometheus(stack, [instance]) == truth_of(log.read_bytes()).calls()
        assert offsets_in_loki(stack, instance) == truth_of(log.read_bytes()).offsets
        wait_for(lambda: rejected(stack, "traces", since) == 6, what="six refused spans are told")
