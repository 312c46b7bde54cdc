"""One run of an illumo flow, as the tracer writes it down."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from math import log
from typing import TYPE_CHECKING, Final
from uuid import UUID

from egoscope.demo import words
from egoscope.demo.databases import Run, Write
from egoscope.demo.illumo_life import way

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from egoscope.demo.illumo_life import Flow, Node, Secrets

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC is what illumo writes
_SECOND_US: Final = 1_000_000
_HANDLED: Final = 0.04
"""The share of runs of a node whose policy goes on elsewhere that make it do so."""
_TIMEOUTS: Final = 0.4
"""The share of failures of a node with a time limit that are timeouts."""
_LOST_ATTEMPTS: Final = 0.07
_SPAN_STARTS: Final = (
    "INSERT OR REPLACE INTO spans (span_id, trace_id, parent_span_id, service_name, kind, name, attributes, status,"
    " error, start_time, end_time, policy_snapshot, timeout)"
    " VALUES (?, ?, ?, 'illumo-flow', ?, ?, ?, NULL, NULL, ?, NULL, NULL, 0)"
)
_SPAN_ENDS: Final = (
    "UPDATE spans SET status = ?, error = ?, end_time = ?, attributes = ?,"
    " policy_snapshot = COALESCE(?, policy_snapshot), timeout = ? WHERE span_id = ?"
)
_EVENT: Final = (
    "INSERT INTO events (trace_id, span_id, event_type, level, message, attributes, timestamp)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
STOP: Final = "UPDATE spans SET status = 'OK', end_time = ? WHERE trace_id = ? AND end_time IS NULL"


def naive_utc(us: int) -> str:
    """Return what `datetime.utcnow().isoformat()` says then: no fraction on the second, no zone ever."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat()


def play(flow: Flow, rng: Random, planted: Secrets, us: int, *, fails: bool) -> Run:
    """Return a run that starts at `us`; one that fails does so at one of the nodes on its way, and ends there."""
    return _Tracer(flow, rng, planted, us).play(fails=fails)


class _Tracer:
    """A flow while it runs: nodes one after the other, all of them children of the flow's span."""

    def __init__(self, flow: Flow, rng: Random, planted: Secrets, us: int) -> None:
        self._flow = flow
        self._rng = rng
        self._planted = planted
        self._started_us = us
        self._us = us
        self._trace = self._id()
        self._writes: list[Write] = []

    def play(self, *, fails: bool) -> Run:
        flow, rng = self._flow, self._rng
        names = list(way(flow, rng))
        # Short nodes fail as often as long ones: it is the network and the workspace that break, not time.
        breakable = [step for step, name in enumerate(names) if flow.nodes[name].on_error == "stop"]
        fails_at = rng.choice(breakable) if fails else -1
        root = self._start("flow", flow.name, None, attributes := {"entry": flow.entry})
        error: str | None = None
        step = 0
        while step < len(names):
            node = flow.nodes[names[step]]
            error, goto = self._node(node, root, fails=step == fails_at)
            if error is not None:
                break
            if goto is not None:
                names[step + 1 : step + 1] = [goto, "handoff"]
                # The step that was to fail is two further on now.
                fails_at += 2 * (fails_at > step)
            step += 1
        if len(names) == 1 and error is None:
            self._event(root, "routing.empty", "info", None, {"node_id": names[0]})
        self._end(root, attributes, error=error)
        outcome = "ok" if error is None else "error"
        return Run(self._started_us, self._trace, flow.name, outcome, self._writes)

    def _node(self, node: Node, root: str, *, fails: bool) -> tuple[str | None, str | None]:
        """Play one node; return its error's text where the flow ends of it, and where to go on if not with the next."""
        rng, planted = self._rng, self._planted
        asked = f"{rng.choice(words.PHRASES)} {rng.choice(planted.inputs)}"
        span = self._start("node", node.name, root, {"node_type": node.kind})
        attributes: dict[str, object] = {
            "node_type": node.kind,
            "policy_snapshot": node.policy(),
            "input_preview": json.dumps(asked, ensure_ascii=False),
        }
        goes_on = node.on_error != "stop"
        if goes_on:
            # Its trouble is no failure of the flow, which goes another way.
            fails = rng.random() < _HANDLED
        in_time = not fails or not node.timeout_s or rng.random() >= _TIMEOUTS
        # What is tried again comes good now and then.
        lost = node.retries if fails else sum(rng.random() < _LOST_ATTEMPTS for _ in range(node.retries))
        for attempt in range(1, lost + 1):
            text = self._trouble(node, in_time=in_time)
            self._event(span, "node.retry", "warning", text, {"node_id": node.name, "attempt": attempt})
            self._us += int(node.retry_delay_s * _SECOND_US)
        if not fails:
            self._work(node, span, asked)
            self._end(span, attributes)
            return None, None
        text = self._trouble(node, in_time=in_time)
        self._event(span, "node.error", "error", text, {"node_id": node.name})
        failure = "TimeoutError" if not in_time else rng.choice(("RuntimeError", "FlowError", "ValueError"))
        if goes_on:
            attributes |= {"handled_error": True, "failure_type": failure, "failure_summary": text}
            if not in_time:
                attributes["timeout"] = True
            self._end(span, attributes)
            return None, node.on_error
        attributes |= {"failure_summary": text, "failure_type": failure, "failed_node": node.name}
        attributes["timeout"] = not in_time
        # Told by the policy first, and once more by the flow.
        self._event(span, "node.error", "error", text, {"node_id": node.name})
        self._end(span, attributes, error=text)
        return text, None

    def _work(self, node: Node, span: str, asked: str) -> None:
        """Do what the node is for; an agent says what it was told, asked, and what it answered."""
        rng, planted = self._rng, self._planted
        seconds = rng.lognormvariate(log(node.seconds), 0.45)
        if node.timeout_s:
            seconds = min(seconds, 0.95 * node.timeout_s)
        if node.model is None:
            self._us += int(seconds * _SECOND_US)
            return
        about = {"node_id": node.name, "model": node.model}
        self._event(span, "agent_instruction", "info", f"you are {rng.choice(planted.instructions)}", about)
        self._event(span, "agent_input", "info", asked, about)
        self._us += int(seconds * _SECOND_US)
        answer = f"{rng.choice(words.PHRASES)} {rng.choice(planted.answers)}"
        used = max(1, int(rng.lognormvariate(log(node.tokens), 0.5)))
        self._event(span, "agent_response", "info", answer, {"node_id": node.name, "tokens": used})

    def _trouble(self, node: Node, *, in_time: bool) -> str:
        """Let an attempt fail; return the exception's text."""
        rng = self._rng
        if not in_time:
            self._us += node.timeout_s * _SECOND_US + rng.randrange(5000)
            return f"Node '{node.name}' timed out after {float(node.timeout_s)} seconds"
        self._us += int(node.seconds * (0.05 + 0.9 * rng.random()) * _SECOND_US)
        return f"{node.name} failed: {rng.choice(self._planted.errors)}"

    def _start(self, kind: str, name: str, parent: str | None, attributes: dict[str, str]) -> str:
        span = self._id()
        self._write(_SPAN_STARTS, (span, self._trace, parent, kind, name, repr(attributes), naive_utc(self._us)))
        return span

    def _end(self, span: str, attributes: dict[str, object] | dict[str, str], *, error: str | None = None) -> None:
        policy = attributes.get("policy_snapshot")
        self._write(
            _SPAN_ENDS,
            (
                "OK" if error is None else "ERROR",
                error,
                naive_utc(self._us),
                repr(attributes),
                None if policy is None else repr(policy),
                int(bool(attributes.get("timeout"))),
                span,
            ),
        )

    def _event(self, span: str, kind: str, level: str, message: str | None, about: Mapping[str, str | int]) -> None:
        at = naive_utc(self._us)
        self._write(_EVENT, (self._trace, span, kind, level, message, repr(about), at))

    def _write(self, statement: str, parameters: tuple[str | int | None, ...]) -> None:
        self._writes.append(Write(self._us, statement, parameters))
        # A commit, and the way to the next statement.
        self._us += 150 + self._rng.randrange(700)

    def _id(self) -> str:
        return UUID(int=self._rng.getrandbits(128), version=4).hex
