"""Policies of nodes, as illumo-flow's documents describe them: retries, a time limit, and what a failure means.

The released illumo-flow (0.1.4) knows none, so a node's `run` is wrapped. What happens is told as events of the node:
`node.retry` before another attempt, `node.error` when there is none left.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from dataclasses import dataclass
from functools import partial, wraps
from itertools import count
from math import inf
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from egoscope.tracerdb import trace_event
from examples.multi_agent.errors import TimeLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from egoscope.tracerdb.illumo import FlowTracer


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens when a node fails, or takes longer than `timeout_s`, all attempts together (0: as long as it takes).

    It is tried again `retries` times, `delay_s` seconds apart. Then a `fail_fast` node ends its flow; after any other
    the flow goes on, with nothing for its result and an entry in `ctx.errors`.
    """

    fail_fast: bool = True
    retries: int = 0
    delay_s: float = 0.0
    timeout_s: float = 0.0

    @property
    def snapshot(self) -> Mapping[str, object]:
        """The policy in the form in which illumo-flow records it."""
        return {
            "fail_fast": self.fail_fast,
            "timeout": f"{self.timeout_s:g}s",
            "retry": {"max_attempts": self.retries, "delay": self.delay_s, "mode": "fixed"},
            "on_error": {"action": "stop" if self.fail_fast else "continue"},
        }


def govern(node: Any, policy: Policy, tracer: FlowTracer) -> None:  # noqa: ANN401 (illumo-flow has no types)
    """Run this node under a policy from now on. It must have access to the flow's context."""
    run: Callable[[object], object] = node.run

    @wraps(run)
    def governed(payload: object) -> object:
        ends = monotonic() + (policy.timeout_s or inf)
        for attempt in count(1):
            try:
                return _within(policy.timeout_s, ends, partial(run, payload))
            except Exception as error:
                last = attempt > policy.retries or monotonic() + policy.delay_s >= ends
                told = {"attempt": attempt, "failure_type": type(error).__name__}
                trace_event(
                    tracer,
                    "node.error" if last else "node.retry",
                    level="ERROR" if last else "WARNING",
                    message=str(error),
                    attributes={**told, "timeout": isinstance(error, TimeoutError)},
                )
                if not last:
                    sleep(policy.delay_s)
                elif policy.fail_fast:
                    raise
                else:
                    errors = node.request_context().setdefault("errors", [])
                    errors.append({"node_id": node.node_id, "exception": type(error).__name__, "message": str(error)})
                    break
        return {}  # for None illumo-flow would take the node's input

    node.run = governed


def _within(timeout_s: float, ends: float, call: Callable[[], object]) -> object:
    """Call in a thread that is left to itself when its time ends, for no thread can be ended from outside.

    Raises TimeLimitError, or what the call raised.
    """
    if not timeout_s:
        return call()
    answers: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            answers.put((None, error))

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(answer,), daemon=True).start()
    try:
        result, error = answers.get(timeout=max(0.0, ends - monotonic()))
    except queue.Empty:
        raise TimeLimitError(f"took longer than {timeout_s:g} s, the time limit of its policy") from None
    if error is not None:
        raise error
    return result
