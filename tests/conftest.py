"""Settings of all tests: few hypothesis examples by default, the same each time; `EGOSCOPE_EXAMPLES=1000` looks on."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.stack.selection import VARIABLE, Choice, Kind, choose

if TYPE_CHECKING:
    from xdist.remote import Producer

settings.register_profile(
    "egoscope",
    max_examples=int(os.environ.get("EGOSCOPE_EXAMPLES", "25")),
    # What is found by chance is found by whoever looks for it, and not by whoever changed something else.
    derandomize="EGOSCOPE_EXAMPLES" not in os.environ,
    # How long an example takes says how busy the machine is.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("egoscope")

_ENGINE: Final = ("tests/stack/test_compose_", "tests/stack/test_containers.")
"""Files of tests that need a Docker engine: one of our own is there for one worker at a time."""
_LONGEST_FIRST: Final = (*_ENGINE, "tests/stack/", "tests/browser/", "tests/contract/", "tests/property/", "tests/")
"""Tests by what their files take: short ones at the end keep all workers busy to the end."""


def pytest_report_header() -> str:
    """Say how the servers of tests/stack run, and why so."""
    return f"stack: {_chosen()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(
        key=lambda item: next(place for place, start in enumerate(_LONGEST_FIRST) if item.nodeid.startswith(start))
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give each worker whole files, which share servers, and one of them all that needs the Docker engine."""
    return _ByServers(config, log)


class _ByServers(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        in_containers = _chosen().kind is Kind.CONTAINERS and not file.startswith("tests/unit/")
        return "engine" if in_containers or file.startswith(_ENGINE) else file


@cache
def _chosen() -> Choice:
    try:
        return choose()
    except ValueError as error:
        raise pytest.UsageError(f"{VARIABLE}: {error}; it may be auto, processes or containers") from error
