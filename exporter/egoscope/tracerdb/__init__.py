"""TracerDB: where a program records the spans of its own tracing, in a SQLite file or in Tempo.

`TempoTracerDB` and the tracers for illumo-flow are imported when they are first named: gRPC and the SDK take a while.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from egoscope.tracerdb.base import EventData, SpanData, TracerDB
from egoscope.tracerdb.sqlite import SQLiteTracerDB

if TYPE_CHECKING:
    from egoscope.tracerdb.flow_command import import_illumo
    from egoscope.tracerdb.flow_trace import current_trace_id, trace_event, trace_flow
    from egoscope.tracerdb.illumo import OtelTracer, SQLiteTracer
    from egoscope.tracerdb.tempo import TempoTracerDB

__all__ = [
    "EventData",
    "OtelTracer",
    "SQLiteTracer",
    "SQLiteTracerDB",
    "SpanData",
    "TempoTracerDB",
    "TracerDB",
    "current_trace_id",
    "import_illumo",
    "trace_event",
    "trace_flow",
]

_LATE = {
    "TempoTracerDB": "tempo",
    "OtelTracer": "illumo",
    "SQLiteTracer": "illumo",
    "current_trace_id": "flow_trace",
    "trace_event": "flow_trace",
    "trace_flow": "flow_trace",
    "import_illumo": "flow_command",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
