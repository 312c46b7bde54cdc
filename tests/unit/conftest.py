"""What several unit tests need."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tempo() -> Iterator[FakeTempo]:
    """Something on a free port that takes spans as Tempo does."""
    (port,) = free_ports(1)
    fake = FakeTempo(port)
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def utc() -> Iterator[None]:
    """A machine whose local time is UTC: what shows local times looks the same wherever the tests run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
