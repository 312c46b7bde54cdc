"""A real Grafana on a filled stack, and a browser that is logged in; skipped with the reason where one is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.page import chromium, logged_in
from tests.stack.filled import filled
from tests.stack.grafana import Grafana
from tests.stack.processes import MissingServerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext, Playwright

    from tests.stack.filled import Filled


@dataclass(frozen=True, slots=True)
class Shown:
    """A stack, filled and alive, and the Grafana that shows it. `first_words`: what Grafana said while it started."""

    there: Filled
    grafana: Grafana
    first_words: list[str]


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Everything running, the demo living on."""
    directory = tmp_path_factory.mktemp("shown")
    try:
        chromium()
        # Before anything is started: without a Grafana there is nothing to fill a stack for.
        Grafana(directory, 0, {})
        with filled(directory) as there:
            grafana = Grafana(directory, free_ports(1)[0], there.urls)
            try:
                grafana.start()
                with there.alive():
                    yield Shown(there, grafana, grafana.said())
            finally:
                grafana.stop()
    except MissingServerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives all browsers, for these tests alone: while it lives an event loop runs, and others start theirs."""
    with sync_playwright() as driving:
        yield driving


@pytest.fixture(scope="package")
def browser(shown: Shown, playwright: Playwright) -> Iterator[BrowserContext]:
    """A browser, logged in as the administrator."""
    with logged_in(playwright, shown.grafana.url) as context:
        yield context


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are written: $EGOSCOPE_SCREENSHOTS, or a temporary directory that pytest keeps for a while."""
    given = os.environ.get("EGOSCOPE_SCREENSHOTS")
    folder = Path(given).expanduser().resolve() if given else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
