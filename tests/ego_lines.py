"""Lines as ego-mcp writes them, in both of its formats."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 11, 20, 4, 0, 0, tzinfo=UTC)
START_MS: Final = int(START.timestamp()) * 1000


def stamp(at_ms: float) -> str:
    """Return a moment, milliseconds behind `START`, as ego-mcp writes it."""
    return (START + timedelta(milliseconds=at_ms)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def said(at_ms: float, message: str, /, **fields: object) -> bytes:
    """One line of the real format."""
    head = {"timestamp": stamp(at_ms), "level": "INFO", "logger": "ego_mcp.server", "message": message}
    return json.dumps({**head, **fields}, ensure_ascii=False).encode()


def invoked(at_ms: float, tool: str = "remember", /, **arguments: object) -> bytes:
    """The first line of a call."""
    return said(at_ms, "Tool invocation", tool_name=tool, tool_args=arguments, time_phase="night")


def completed(at_ms: float, tool: str = "remember", /, **fields: object) -> bytes:
    """The last line of a call that went well."""
    return said(at_ms, "Tool execution completed", tool_name=tool, time_phase="night", **fields)


def failed(at_ms: float, tool: str = "remember", /, exception: str = "ValueError: no", **arguments: object) -> bytes:
    """The last line of a call that raised."""
    fields = {"tool_name": tool, "tool_args": arguments, "exception": f"Traceback …\n{exception}"}
    return said(at_ms, "Tool execution failed", **{"level": "ERROR", **fields})


def process_start(at_ms: float) -> bytes:
    """The first line of a process."""
    return said(at_ms, "Logging initialized", logger="ego_mcp.__main__", log_path="somewhere.log")


def reported(at_ms: float, tool: str = "remember", /, **fields: object) -> bytes:
    """One call in the documented format."""
    head = {"ts": stamp(at_ms), "event_type": "tool_call_completed", "tool_name": tool, "duration_ms": 40, "ok": True}
    return json.dumps({**head, **fields}, ensure_ascii=False).encode()


FEELING: Final[dict[str, object]] = {
    "emotion_primary": "curious",
    "emotion_intensity": 0.625,
    "valence": 0.375,
    "arousal": 0.4375,
}
"""What the end of a call says of a feeling; values that occur nowhere else."""
