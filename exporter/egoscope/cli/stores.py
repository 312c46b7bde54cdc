"""Which store is asked where none is named: one's own, else the demo's, which is marked wherever it is shown."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.config import Settings

MARK: Final = "DEMO"
"""What headers say, and the file beside a demo's store that makes them say it."""

_MARKED: Final = "All that is kept here is invented: `egoscope start` plays it where nothing is there to follow.\n"
_OF_THE_STACK: Final = frozenset(
    {
        *("backend", "collector_endpoint", "collector_tls", "collector_ca_file", "collector_token_file"),
        *("collector_health_url", "prometheus_url", "loki_url", "tempo_url"),
    }
)
_LISTENS_WITHIN_S: Final = 0.5


def demo_dir(settings: Settings) -> Path:
    """Return where the demo that `egoscope start` plays keeps all that is its own."""
    return settings.state_dir / "demo"


def mark_as_demo(directory: Path) -> None:
    """Mark the store in a directory as a demo's."""
    (directory / MARK).write_text(_MARKED)


def is_demo(store: Path) -> bool:
    """Whether what a store holds is invented."""
    return (store.parent / MARK).is_file()


def demo_store(settings: Settings) -> Path | None:
    """Return the store of a demo that was played, if one was."""
    store = demo_dir(settings) / settings.store_path.name
    return store if store.is_file() and is_demo(store) else None


def stack_is_named(settings: Settings) -> bool:
    """Whether the user said where a Collector or a server is."""
    return not _OF_THE_STACK.isdisjoint(settings.model_fields_set)


def stack_is_there(settings: Settings) -> bool:
    """Whether the user said where the servers are, or something listens where Prometheus would."""
    if stack_is_named(settings):
        return True
    address = urlsplit(settings.prometheus_url)
    try:
        socket.create_connection((address.hostname or "", address.port or 80), _LISTENS_WITHIN_S).close()
    except OSError:
        return False
    return True


def no_store_yet(settings: Settings) -> ConfigError:
    """Return what to do where there is no store; where a demo was played, how to ask for that."""
    said = f"no store yet in {settings.state_dir}: run `egoscope start`, or ask the servers with --stack"
    demo = demo_store(settings)
    return ConfigError(f"{said}; the demo's store is asked with --store {demo}" if demo else said)
