"""From settings to feeds: every kind of source that this egoscope follows, and how each is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.convert import semconv as s
from egoscope.convert.ids import instance_id, subkey
from egoscope.policies import load_policy
from egoscope.sources.base import FileCheckpoint
from egoscope.sources.ego_mcp import SOURCE, SOURCE_EVENTS, EgoMcpFormat
from egoscope.sources.lines import LineFeed
from egoscope.sources.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from egoscope.config import Settings
    from egoscope.delivery.state import StateFile
    from egoscope.model.telemetry import Attribute
    from egoscope.sources.feed import Feed

_MIB: Final = 1024 * 1024


def host_resource(settings: Settings) -> tuple[Attribute, ...]:
    """Return what everything that is sent says of the machine."""
    return ((s.HOST_NAME, settings.host_name),) if settings.host_name else ()


def build_format(key: bytes, policy_dir: Path | None) -> EgoMcpFormat:
    """Return the reader of ego-mcp's formats with its policies. Raises ConfigError for a bad policy."""
    pseudonyms = subkey(key, "pseudonyms")
    return EgoMcpFormat(
        load_policy(SOURCE, key=pseudonyms, extension_dir=policy_dir),
        load_policy(SOURCE_EVENTS, key=pseudonyms, extension_dir=policy_dir),
    )


def build_feeds(settings: Settings, key: bytes, state: StateFile) -> list[Feed]:
    """Return a feed for each kind of source, going on from what the state file knows. Raises ConfigError."""
    tail = Tail(
        settings.patterns,
        derive_id=lambda device, inode, head: instance_id(key, device, inode, head),
        known=state.checkpoints(SOURCE, FileCheckpoint),
        fingerprint_key=subkey(key, "fingerprints"),
        max_line_bytes=settings.max_line_mib * _MIB,
    )
    return [LineFeed(tail, build_format(key, settings.policy_dir), key=key, resource=host_resource(settings))]


def _ego_mcp_anywhere(path: str, settings: Settings, key: bytes) -> Feed:
    tail = Tail(
        [path],
        derive_id=lambda _device, _inode, head: instance_id(key, 0, 0, head),
        max_line_bytes=settings.max_line_mib * _MIB,
    )
    return LineFeed(tail, build_format(key, settings.policy_dir), key=key)


CONVERTIBLE: Final[Mapping[str, Callable[[str, Settings, bytes], Feed]]] = {
    "ego-mcp": _ego_mcp_anywhere,
    "ego_mcp": _ego_mcp_anywhere,
}
"""By name of the source: the feed of what stands at a path, with ids that do not depend on where that is."""
