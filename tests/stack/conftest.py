"""The stack as a fixture: started once, and named with its reason where it cannot be."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.stack import compose_project
from tests.stack.containers import Containers
from tests.stack.processes import PROCESSES
from tests.stack.selection import Kind, choose
from tests.stack.servers import MissingServerError, Stack
from tools.engine import Engine, EngineError, engine

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.stack.processes import Way

STACK_KEY = pytest.StashKey[Stack]()


def missing(reason: str) -> NoReturn:
    """Skip by name and reason; where the stack is required (CI), fail."""
    if os.environ.get("EGOSCOPE_REQUIRE_STACK") == "1":
        pytest.fail(f"{reason} (EGOSCOPE_REQUIRE_STACK=1)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine_or_reason() -> Iterator[Engine | str]:
    """The machine's Docker engine, or one of our own until the end: two at once would wait for each other."""
    with contextlib.ExitStack() as until_the_end:
        try:
            found = until_the_end.enter_context(engine())
        except EngineError as error:
            found = str(error)
        yield found


@pytest.fixture(scope="session")
def docker(engine_or_reason: Engine | str) -> Engine:
    """A Docker engine; where there is none the reason is named, and EGOSCOPE_REQUIRE_DOCKER=1 makes it a failure."""
    if isinstance(engine_or_reason, str):
        compose_project.missing(engine_or_reason)
    return engine_or_reason


@pytest.fixture(scope="session")
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """How servers run: selection.py says which way and why."""
    if choose().kind is Kind.PROCESSES:
        yield PROCESSES
        return
    found: Engine | str = request.getfixturevalue("engine_or_reason")
    if isinstance(found, str):
        missing(f"no containers: {found}")
    with contextlib.ExitStack() as until_the_end:
        try:
            containers = until_the_end.enter_context(Containers.on(found))
        except MissingServerError as error:
            missing(f"no containers: {error}")
        yield containers


@pytest.fixture(scope="session")
def stack(way: Way, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Stack]:
    """Collector, Prometheus, Loki and a trace back end, running. A test that stops one starts it again."""
    try:
        starting = Stack.on(tmp_path_factory.mktemp("stack"), way)
        with starting as running:
            pytestconfig.stash[STACK_KEY] = running
            yield running
    except MissingServerError as error:
        missing(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the ends of the servers' logs to the report of a test that failed with the stack."""
    report = yield
    if report.failed and "stack" in getattr(item, "fixturenames", ()):
        running = item.config.stash.get(STACK_KEY, None)
        if running is not None:
            report.sections.append(("servers", running.log_tails()))
    return report
