"""From settings to feeds: every kind of source that this egoscope follows, and how each is built."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from egoscope.convert import semconv as s
from egoscope.convert.agents import AgentConversion, AgentState
from egoscope.convert.flows import FlowConversion, FlowState
from egoscope.convert.ids import instance_id, subkey
from egoscope.convert.tasks import TaskConversion, TaskState
from egoscope.policies import load_policy
from egoscope.prices import load_prices
from egoscope.sources import illumo, kagura, koubou, tracerdb
from egoscope.sources.base import FileCheckpoint
from egoscope.sources.ego_mcp import SOURCE, SOURCE_EVENTS, EgoMcpFormat
from egoscope.sources.illumo import IllumoFormat
from egoscope.sources.kagura import KaguraFormat
from egoscope.sources.koubou import KoubouFormat
from egoscope.sources.lines import LineFeed
from egoscope.sources.row_checkpoint import DatabaseCheckpoint
from egoscope.sources.rows import RowFeed
from egoscope.sources.tail import Tail
from egoscope.sources.tracerdb import TracerDBFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from egoscope.config import Settings
    from egoscope.delivery.state import StateFile
    from egoscope.model.telemetry import Attribute
    from egoscope.redaction import Policy
    from egoscope.sources.feed import Feed
    from egoscope.sources.row_format import RowConversion, RowFormat

_MIB: Final = 1024 * 1024
_NO_CLOCK_S: Final = 4_102_444_800.0  # 2100

NO_KEY: Final = bytes(32)
"""For a reader with which nothing is made into a pseudonym."""

POLICIES: Final = (
    *(SOURCE, SOURCE_EVENTS),
    *(kagura.SOURCE, kagura.SOURCE_EVENTS),
    *(illumo.SOURCE, illumo.SOURCE_EVENTS),
    *(koubou.SOURCE, koubou.SOURCE_WORKERS),
)
"""Every policy that a user can extend."""


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
    resource = host_resource(settings)
    feeds: list[Feed] = [LineFeed(tail, build_format(key, settings.policy_dir), key=key, resource=resource)]
    for source, patterns in database_patterns(settings).items():
        known = state.checkpoints(source, DatabaseCheckpoint)
        if patterns or known:  # what is no longer asked for is forgotten in its time
            feeds.append(_database_feed(source, patterns, settings, key, known=known, resource=resource))
    return feeds


def database_patterns(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return where the databases of each kind of source are looked for."""
    return {
        kagura.SOURCE: settings.kagura_path,
        illumo.SOURCE: settings.illumo_path,
        tracerdb.SOURCE: settings.tracerdb_path,
        koubou.SOURCE: settings.koubou_path,
    }


def build_kagura_format(settings: Settings, key: bytes) -> KaguraFormat:
    """Return the reader of Kagura's rows. Raises ConfigError for a bad policy or price list."""
    return KaguraFormat(
        _policy(kagura.SOURCE, settings, key),
        _policy(kagura.SOURCE_EVENTS, settings, key),
        load_prices(settings.price_file),
    )


def build_illumo_format(settings: Settings, key: bytes, row_format: type[IllumoFormat] = IllumoFormat) -> IllumoFormat:
    """Return the reader of illumo's rows, or of a TracerDB's. Raises ConfigError for a bad policy."""
    return row_format(
        _policy(illumo.SOURCE, settings, key),
        _policy(illumo.SOURCE_EVENTS, settings, key),
        key=subkey(key, "recorded ids"),
    )


def build_koubou_format(settings: Settings, key: bytes) -> KoubouFormat:
    """Return the reader of Koubou's rows. Raises ConfigError for a bad policy."""
    return KoubouFormat(
        _policy(koubou.SOURCE, settings, key),
        _policy(koubou.SOURCE_WORKERS, settings, key),
        key=subkey(key, "task ids"),
    )


def _task_conversion(settings: Settings) -> Callable[..., RowConversion]:
    return partial(TaskConversion, lost_after_ns=round(settings.worker_lost_s * 1e9))


def _policy(source: str, settings: Settings, key: bytes) -> Policy:
    return load_policy(source, key=subkey(key, "pseudonyms"), extension_dir=settings.policy_dir)


class _Database(NamedTuple):
    """One kind of database: what understands its rows, what converts them, and what is kept of a conversion."""

    row_format: Callable[[Settings, bytes], RowFormat]
    conversion: Callable[[Settings], Callable[..., RowConversion]]
    state_type: type[Any]


def _whatever_is_set(conversion: Callable[..., RowConversion]) -> Callable[[Settings], Callable[..., RowConversion]]:
    return lambda settings: conversion  # noqa: ARG005 (no setting changes it)


_DATABASES: Final = {
    kagura.SOURCE: _Database(build_kagura_format, _whatever_is_set(AgentConversion), AgentState),
    illumo.SOURCE: _Database(build_illumo_format, _whatever_is_set(FlowConversion), FlowState),
    tracerdb.SOURCE: _Database(
        partial(build_illumo_format, row_format=TracerDBFormat), _whatever_is_set(FlowConversion), FlowState
    ),
    koubou.SOURCE: _Database(build_koubou_format, _task_conversion, TaskState),
}


def build_row_format(source: str, settings: Settings, key: bytes) -> RowFormat:
    """Return the reader of one kind of database. Raises ConfigError for a bad policy or price list."""
    return _DATABASES[source].row_format(settings, key)


def _database_feed(
    source: str,
    patterns: Sequence[str],
    settings: Settings,
    key: bytes,
    *,
    known: Iterable[DatabaseCheckpoint] = (),
    resource: Sequence[Attribute] = (),
    portable: bool = False,
    clock: Callable[[], float] = time.time,
) -> Feed:
    database = _DATABASES[source]
    return RowFeed(
        patterns,
        build_row_format(source, settings, key),
        new_conversion=database.conversion(settings),
        state_type=database.state_type,
        key=key,
        known=known,
        resource=resource,
        max_row_bytes=settings.max_line_mib * _MIB,
        portable=portable,
        clock=clock,
    )


def _ego_mcp_anywhere(path: str, settings: Settings, key: bytes) -> Feed:
    tail = Tail(
        [path],
        derive_id=lambda _device, _inode, head: instance_id(key, 0, 0, head),
        max_line_bytes=settings.max_line_mib * _MIB,
    )
    return LineFeed(tail, build_format(key, settings.policy_dir), key=key)


def _database_anywhere(source: str, path: str, settings: Settings, key: bytes) -> Feed:
    # As for a line, nothing is in the future of what stands somewhere for good.
    return _database_feed(source, [path], settings, key, portable=True, clock=lambda: _NO_CLOCK_S)


CONVERTIBLE: Final[Mapping[str, Callable[[str, Settings, bytes], Feed]]] = {
    "ego-mcp": _ego_mcp_anywhere,
    SOURCE: _ego_mcp_anywhere,
    **{source: partial(_database_anywhere, source) for source in _DATABASES},
}
"""By name of the source: the feed of what stands at a path, with ids that do not depend on where that is."""
