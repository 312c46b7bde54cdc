"""Policies: retries, a time limit, and what a failure means; told as events of the node."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from illumo_flow import Node
from scene import SECRET

from examples.multi_agent.flows import build_flow, run_flow
from examples.multi_agent.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from scene import Traces


class Works(Node):
    """Does what it is told, and counts how often."""

    def __init__(self, name: str, work: Callable[[int], object]) -> None:
        super().__init__(name=name, outputs={"result": f"$ctx.{name}"}, allow_context_access=True)
        self._work, self.runs = work, 0

    def run(self, payload: object) -> object:
        self.runs += 1
        return {"result": self._work(self.runs)}


def fails(until: int) -> Callable[[int], object]:
    """Return work that fails the first times."""

    def work(runs: int) -> object:
        if runs <= until:
            raise KeyError(SECRET)
        return "done"

    return work


def run(traces: Traces, first: Works, policy: Policy) -> dict[str, Any]:
    """Run two nodes, the first under the policy."""
    last = Works("last", lambda _: "done")
    flow = build_flow("two", [first, last], [(first.name, "last")], policies={first.name: policy}, tracer=traces.tracer)
    return run_flow(flow, {})


def test_a_node_is_tried_again_and_the_flow_goes_on(traces: Traces) -> None:
    first = Works("first", fails(2))
    context = run(traces, first, Policy(retries=2))
    assert (first.runs, context["first"], context["last"]) == (3, "done", "done")
    assert [(name, told["agent.flow.attempt"]) for name, told in traces.events("first")] == [
        ("node.retry", 1),
        ("node.retry", 2),
    ]
    assert traces.spans() == [("two", "OK"), ("first", "OK"), ("last", "OK")]


def test_a_failure_of_a_fail_fast_node_ends_the_flow(traces: Traces) -> None:
    first, last = Works("first", fails(9)), Works("last", lambda _: "done")
    flow = build_flow(
        "two", [first, last], [("first", "last")], policies={"first": Policy(retries=1)}, tracer=traces.tracer
    )
    with pytest.raises(KeyError):
        run_flow(flow, {})
    assert (first.runs, last.runs) == (2, 0)
    assert traces.spans() == [("two", "ERROR"), ("first", "ERROR")]
    assert traces.events("first")[-1][0] == "node.error"
    assert not traces.holds(SECRET)


def test_after_any_other_the_flow_goes_on_with_nothing_for_its_result(traces: Traces) -> None:
    context = run(traces, Works("first", fails(9)), Policy(fail_fast=False))
    assert not context["first"]
    assert context["last"] == "done"
    assert [(one["node_id"], one["exception"]) for one in context["errors"]] == [("first", "KeyError")]
    assert traces.spans() == [("two", "OK"), ("first", "OK"), ("last", "OK")]


def test_what_takes_longer_than_its_limit_fails_and_what_it_returns_then_is_nobody_s(traces: Traces) -> None:
    ended = threading.Event()
    context = run(traces, Works("first", lambda _: ended.wait() and "late"), Policy(fail_fast=False, timeout_s=0.05))
    ended.set()
    assert not context["first"]
    ((name, told),) = traces.events("first")
    assert (name, told["agent.flow.timeout"], told["agent.flow.failure_type"]) == ("node.error", True, "TimeoutError")


def test_delays_are_kept_between_attempts(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("examples.multi_agent.policy.sleep", slept.append)
    run(traces, Works("first", fails(2)), Policy(retries=2, delay_s=0.2))
    assert slept == [0.2, 0.2]


@pytest.mark.parametrize(("took_s", "runs"), [(1, 4), (3, 2), (4.9, 1), (6, 1)])
def test_attempts_and_delays_share_the_time_limit(
    traces: Traces, monkeypatch: pytest.MonkeyPatch, took_s: float, runs: int
) -> None:
    now = 0.0

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    def work(_: int) -> object:
        passes(took_s)
        raise KeyError(SECRET)

    monkeypatch.setattr("examples.multi_agent.policy.monotonic", lambda: now)
    monkeypatch.setattr("examples.multi_agent.policy.sleep", passes)
    first = Works("first", work)
    run(traces, first, Policy(fail_fast=False, retries=3, delay_s=0.2, timeout_s=5))
    assert first.runs == runs
    assert [name for name, _ in traces.events("first")] == ["node.retry"] * (runs - 1) + ["node.error"]


def test_spans_carry_the_policy(traces: Traces) -> None:
    run(traces, Works("first", fails(0)), Policy(fail_fast=False, retries=2, delay_s=0.2, timeout_s=5))
    assert traces.holds('"agent.flow.policy.retry.max_attempts":2')
    assert traces.holds('"agent.flow.policy.fail_fast":false')
