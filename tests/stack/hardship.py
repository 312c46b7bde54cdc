"""What tests do to a sidecar that follows databases: kill it, take its servers away, search what it left."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.planted import found
from tests.stack.processes import wait_for
from tests.stack.truth import long_ago_s

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

KILLS: Final = 6


def killed_at_random(sidecar: SidecarProcess, kills: int = KILLS) -> None:
    """Start it and kill it that often, after a second or two of its life."""
    chance = random.Random(9)
    for _ in range(kills):
        sidecar.launch()
        assert sidecar.ended(chance.uniform(0.8, 2.5)) is None, sidecar.said()
        sidecar.kill()


@contextmanager
def outage(stack: Stack, server: str, sidecar: SidecarProcess) -> Generator[None]:
    """Take a server away until the block ends, and return when all that was waiting for it is sent."""
    away = getattr(stack, server)
    away.stop()
    try:
        yield
    finally:
        away.start()
    wait_for(lambda: not sidecar.waiting_requests(), what="everything is sent")


def check_nothing_leaked(stack: Stack, sidecar: SidecarProcess, secrets: Sequence[str], sources: bytes) -> None:
    """Search for secrets in every form: they stand in the sources, and in no state, log of its own or back end."""
    assert len(secrets) > 100
    assert len(found(secrets, sources)) > len(secrets) // 2, "the secrets stand in the databases"
    assert not found(secrets, sidecar.state_bytes())
    assert not found(secrets, sidecar.said().encode())
    now_s = time.time()
    assert not found(secrets, stack.loki.everything(long_ago_s(), now_s).encode())
    assert not found(secrets, stack.prometheus.everything().encode())
    assert not found(secrets, stack.tempo.raw())
