"""What all tests of the examples share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scene import Server, Traces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    """A tracer without content, and what it wrote."""
    found = Traces(tmp_path / "traces.db")
    yield found
    found.tracer.close()


@pytest.fixture
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies try again at once."""

    def sleep(_: float) -> None: ...

    monkeypatch.setattr("examples.multi_agent.policy.sleep", sleep)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that answers as told."""
    with Server() as found:
        yield found
        found.shutdown()
