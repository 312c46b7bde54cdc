"""Flows of an illumo-flow that has no tracers of its own: the releases up to 0.1.4."""

from __future__ import annotations

import contextlib
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from egoscope.tracerdb.illumo import FlowTracer

_CURRENT: Final[ContextVar[tuple[str, str] | None]] = ContextVar("egoscope_flow_span", default=None)


class Runs(Protocol):
    """A node: anything with a `run`."""

    run: Callable[..., Any]


class Flow(Runs, Protocol):
    """A flow of illumo-flow, as far as it is needed here."""

    entry_id: str
    nodes: Mapping[str, Runs]


def trace_flow(flow: Flow, tracer: FlowTracer) -> None:
    """Make this flow tell the tracer of its runs, and of each of its nodes, as illumo-flow 0.1.5 does by itself.

    Only each object's `run` is wrapped: what is run, returned or raised stays as it is. With 0.1.5,
    `FlowRuntime.configure` is the way; doing both records everything twice.
    """
    for node_id, node in flow.nodes.items():
        _trace_run(node, tracer, "node", node_id, {"node_type": type(node).__name__})
    _trace_run(flow, tracer, "flow", flow.entry_id, {"entry": flow.entry_id})


def _trace_run(of: Runs, tracer: FlowTracer, kind: str, name: str, attributes: Mapping[str, object]) -> None:
    run = of.run

    @wraps(run)
    def traced(*args: object, **kwargs: object) -> object:
        with _span(tracer, kind, name, attributes):
            return run(*args, **kwargs)

    of.run = traced


@contextlib.contextmanager
def _span(tracer: FlowTracer, kind: str, name: str, attributes: Mapping[str, object]) -> Generator[None]:
    trace_id, parent_id = _CURRENT.get() or (uuid.uuid4().hex, None)
    span: dict[str, object] = {
        "trace_id": trace_id,
        "span_id": uuid.uuid4().hex,
        "parent_span_id": parent_id,
        "service_name": "illumo-flow",
        "kind": kind,
        "name": name,
        "attributes": dict(attributes),
        "start_time": _now(),
    }
    tracer.on_span_start(span)
    token = _CURRENT.set((trace_id, str(span["span_id"])))
    ended: dict[str, object] = {"status": "OK"}
    try:
        yield
    except BaseException as error:
        failure = {**attributes, "failure_type": type(error).__name__}
        ended = {"status": "ERROR", "error": str(error), "attributes": failure}
        raise
    finally:
        _CURRENT.reset(token)
        tracer.on_span_end({**span, **ended, "end_time": _now()})


def _now() -> str:
    return datetime.now(UTC).isoformat()
