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

    @property
    def nodes(self) -> Mapping[str, Any]:
        """Its nodes, each a `Runs`, by their ids."""
        ...


def trace_flow(
    flow: Flow,
    tracer: FlowTracer,
    *,
    name: str | None = None,
    attributes: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Make this flow tell the tracer of its runs, and of each of its nodes, as illumo-flow 0.1.5 does by itself.

    `name`: the flow's (default: its entry's id, as illumo-flow calls it). `attributes`: by id of a node, what its spans
    carry beside its type; of what is in there the tracer keeps what it knows, as `policy_snapshot`. Only each object's
    `run` is wrapped: what is run, returned or raised stays as it is. With 0.1.5, `FlowRuntime.configure` is the way;
    doing both records everything twice.
    """
    for node_id, node in flow.nodes.items():
        told = {"node_type": type(node).__name__, **((attributes or {}).get(node_id, {}))}
        _trace_run(node, tracer, "node", node_id, told)
    _trace_run(flow, tracer, "flow", name or flow.entry_id, {"entry": flow.entry_id})


def trace_event(
    tracer: FlowTracer,
    event_type: str,
    *,
    level: str = "INFO",
    message: str | None = None,
    attributes: Mapping[str, object] | None = None,
) -> None:
    """Tell the tracer of something that happens in the flow or node that runs now; outside of any nothing is told.

    What happens in a thread of its own belongs to the node where the thread runs in a copy of the node's context
    (`contextvars.copy_context`). `message` is kept only where the tracer's `capture` names it.
    """
    current = _CURRENT.get()
    if current is not None:
        tracer.on_event(
            {
                "trace_id": current[0],
                "span_id": current[1],
                "event_type": event_type,
                "level": level,
                "message": message,
                "attributes": dict(attributes or {}),
                "timestamp": _now(),
            }
        )


def current_trace_id() -> str | None:
    """Return the id of the trace that is recorded now, as `egoscope monitor --trace` takes it; None outside of any."""
    current = _CURRENT.get()
    return None if current is None else current[0]


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
