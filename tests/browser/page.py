"""A dashboard in a real browser, as a person sees it.

What differs between Grafana 9.4 and 13 in the page stands in SELECTORS and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from tests.stack.grafana import ADMIN, PASSWORD
from tests.stack.processes import MissingServerError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page, Playwright, Response

SETTLED_S: Final = 270.0
"""How long a dashboard may take until no panel is loading any more; the machine may have other work to do."""
GROW_STEPS: Final = 6


@dataclass(frozen=True, slots=True)
class Selectors:
    """Where things are in one generation of Grafana's pages; each is CSS, `panel` with the panel's id to fill in."""

    panel: str
    """One panel's place on the grid, by its id."""
    grid: str
    """What holds all panels; its height is the dashboard's."""
    loading: str
    error: str
    """The badge in a panel's corner that says that a query failed."""


SELECTORS: Final = {
    9: Selectors(
        panel='[data-panelid="{id}"]',
        grid=".react-grid-layout",
        loading=".panel-loading",
        error='.panel-info-corner--error, [aria-label="Panel header error"], .panel-info-notice',
    ),
    13: Selectors(
        panel='[data-viz-panel-key="panel-{id}"]',
        grid=".react-grid-layout, [data-testid='data-testid dashboard-row-wrapper'], main",
        loading='[aria-label="Panel loading bar"]',
        error='[data-testid="data-testid Panel status error"], [data-testid="data-testid Panel status warning"]',
    ),
}
# What Grafana writes where a panel has nothing to show, in the words of 9.4 and of 13.
NOTHING: Final = re.compile(
    r"No data\b|Data is missing|Unable to (graph|render|determine)|An unexpected error|Panel plugin not found"
    r"|Missing plugin|too many (data )?points|outside time range",
    re.IGNORECASE,
)
STILL: Final = "1d"
"""A refresh so slow that the page can be looked at in peace."""
# Counts what the page has asked. `open`: not yet answered. `quiet`: when the last answer came. `rounds`: how often
# nothing was open any more after answers to queries.
COUNT_QUESTIONS: Final = """
(() => {
  // Grafana keeps its messages there: what failed because the last page was closed would be told on this one.
  try { localStorage.clear(); } catch { /* a page without storage */ }
  const real = window.fetch;
  const asked = (window.egoscopeAsked = { open: 0, quiet: Date.now(), answers: 0, rounds: 0 });
  window.fetch = (...all) => {
    asked.open += 1;
    const query = String(all[0].url || all[0]).includes('api/ds/query');
    return real(...all).finally(() => {
      asked.open -= 1;
      asked.quiet = Date.now();
      asked.answers += query ? 1 : 0;
      if (asked.open === 0 && asked.answers > 0) { asked.rounds += 1; asked.answers = 0; }
    });
  };
})()
"""
QUIET: Final = """
([grid, loading]) => document.readyState === 'complete' && document.querySelector(grid)
  && !document.querySelector(loading) && !document.querySelector('[class*=preloader]')
  && !document.body.innerText.includes('Computing layout')
  && window.egoscopeAsked.open === 0 && Date.now() - window.egoscopeAsked.quiet > 400
"""
# As much as can be waited for where a page asks again and again.
ANSWERED: Final = """
([grid, loading]) => document.readyState === 'complete' && document.querySelector(grid)
  && !document.querySelector(loading) && !document.body.innerText.includes('Computing layout')
  && (window.egoscopeAsked.rounds > 2
      || (window.egoscopeAsked.open === 0 && Date.now() - window.egoscopeAsked.quiet > 800))
"""
MESSAGE: Final = '[data-testid="data-testid Alert error"], [data-testid="data-testid Alert warning"]'
"""What Grafana says over the page, of whatever generation."""
CHROMIUM_ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")


def selectors_for(version: str) -> Selectors:
    """Return the newest selectors that are not newer than this Grafana."""
    major = int(version.split(".", maxsplit=1)[0])
    return SELECTORS[max(known for known in SELECTORS if known <= max(major, min(SELECTORS)))]


def chromium() -> str:
    """Return the browser's program; MissingServerError where there is none."""
    given = os.environ.get("EGOSCOPE_CHROMIUM")
    found = given or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        raise MissingServerError("chromium is not on PATH: install Debian's chromium, or name it in $EGOSCOPE_CHROMIUM")
    return found


@contextlib.contextmanager
def browser_on(url: str) -> Generator[BrowserContext]:
    """Yield a browser that is logged in to the Grafana at this address. A process can have one of these at a time."""
    with sync_playwright() as playwright, logged_in(playwright, url) as context:
        yield context


@contextlib.contextmanager
def logged_in(playwright: Playwright, url: str) -> Generator[BrowserContext]:
    """Yield a browser that is logged in to the Grafana at this address."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_ARGUMENTS))
    context = browser.new_context(timezone_id="UTC", locale="en-GB", color_scheme="dark")
    context.add_init_script(COUNT_QUESTIONS)
    try:
        answer = context.request.post(f"{url}/login", data={"user": ADMIN, "password": PASSWORD})
        assert answer.ok, f"login: {answer.status} {answer.text()[:200]}"
        yield context
    finally:
        context.close()
        browser.close()


class DashboardPage:
    """One dashboard, open in a browser of `width` x `height`."""

    def __init__(self, page: Page, url: str, selectors: Selectors) -> None:
        self.page = page
        self._url = url
        self._at = selectors
        self.failed: list[str] = []
        """Requests that failed and exceptions that the page threw, in words."""
        page.on("pageerror", lambda error: self.failed.append(f"page: {str(error)[:300]}"))
        page.on("response", self._note)

    def open(self, uid: str, *, since: str = "", until: str = "now", refresh: str = "", **variables: str) -> None:
        """Open a dashboard. `since`, `until`: as in Grafana's address; empty is the dashboard's own."""
        parameters = {f"var-{name}": value for name, value in variables.items()}
        if since:
            parameters |= {"from": since, "to": until}
        if refresh:
            parameters["refresh"] = refresh
        query = urllib.parse.urlencode({"orgId": "1", **parameters})
        self.failed.clear()
        self.page.goto(f"{self._url}/d/{uid}?{query}", wait_until="domcontentloaded")

    def show_all(self, panels: Mapping[int, Any]) -> None:
        """Make the window as high as the dashboard, so that every panel is drawn, and wait until all have."""
        size = self.page.viewport_size
        assert size, "the page has a size"
        self.page.wait_for_selector(self._at.grid, timeout=SETTLED_S * 1000)
        for _ in range(GROW_STEPS):
            self.settle()
            needed = self._height()
            height = (self.page.viewport_size or size)["height"]
            if needed <= height:
                break
            self.page.set_viewport_size({"width": size["width"], "height": needed})
        for panel in panels:
            self.page.wait_for_selector(self._at.panel.format(id=panel), timeout=SETTLED_S * 1000)
        self.settle()

    def settle(self) -> None:
        """Return when panels are there, none is loading and no question to Grafana has been open for a moment."""
        self.page.wait_for_function(QUIET, arg=[self._at.grid, self._at.loading], timeout=SETTLED_S * 1000)

    def wait_for_answers(self) -> None:
        """Return when panels have been answered, though they may be asking again."""
        self.page.wait_for_function(ANSWERED, arg=[self._at.grid, self._at.loading], timeout=SETTLED_S * 1000)

    def text_of(self, panel: int) -> str:
        """Return what a panel says."""
        return self.page.locator(self._at.panel.format(id=panel)).inner_text()

    def value_of(self, panel: int, title: str) -> str:
        """Return what a tile says without its title."""
        return self.text_of(panel).replace(title, "", 1).strip()

    def wait_for_text(self, panel: int, text: str, *, times: int, within_s: float) -> None:
        """Return when a panel says this so many times."""
        counted = "([panel, text, times]) => document.querySelector(panel).innerText.split(text).length > times"
        argument = [self._at.panel.format(id=panel), text, times]
        self.page.wait_for_function(counted, arg=argument, timeout=within_s * 1000, polling=50)

    def complaints(self, panels: Mapping[int, str]) -> list[str]:
        """Return, in words, what is wrong: error badges and panels that have nothing to show."""
        wrong = [f"message: {one}" for one in self.page.locator(MESSAGE).all_inner_texts()]
        for number, title in panels.items():
            box = self.page.locator(self._at.panel.format(id=number))
            if box.locator(self._at.error).count():
                wrong.append(f"{title or number}: an error badge")
            if found := NOTHING.search(box.inner_text()):
                wrong.append(f"{title or number}: {found.group(0)}")
        return wrong

    def shoot(self, path: Path) -> Path:
        """Write a picture of the window as it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
        return path

    def _height(self) -> int:
        measure = (
            "grid => { const box = document.querySelector(grid).getBoundingClientRect();"
            " let most = 0; for (const one of document.querySelectorAll(grid + ' > *'))"
            " most = Math.max(most, one.getBoundingClientRect().bottom);"
            " const view = document.querySelector('.scrollbar-view');"
            " const gone = view ? view.scrollTop : window.scrollY;"
            " return Math.ceil(Math.max(box.bottom, most) + gone + 16); }"
        )
        return int(self.page.evaluate(measure, self._at.grid))

    def _note(self, response: Response) -> None:
        path = urllib.parse.urlsplit(response.url).path
        if response.status >= 400 and path.startswith("/api/"):
            self.failed.append(f"{path}: {response.status}")


@contextlib.contextmanager
def page_on(context: BrowserContext, url: str, version: str, *, width: int, height: int) -> Generator[DashboardPage]:
    """Yield a window of this size."""
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    try:
        yield DashboardPage(page, url, selectors_for(version))
    finally:
        page.close()
