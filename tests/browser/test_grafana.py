"""The dashboards in a real Grafana, as a person sees them: every panel shows something, and what it shows is true."""

from __future__ import annotations

import re
import statistics
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.page import STILL, page_on
from tests.stack.grafana import version_of
from tests.stack.panels import dashboards
from tests.stack.sidecar import append, now_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from tests.browser.conftest import Shown
    from tests.browser.page import DashboardPage
    from tests.stack.panels import Dashboard, Panel

SIZES: Final = {"1280x800": (1280, 800), "1920x1080": (1920, 1080)}
TAIL_S: Final = 15.0
"""From a written line to its place on the Logs dashboard, which asks every second: on a slow machine, too."""
# Nobody else's Grafana is to blame for these: what a plain process of 9.4 says on a machine without the Internet.
NO_FAULT: Final = re.compile(r"logger=(grafana\.update|plugins\.update|infra\.usagestats)")


def named(name: str) -> Dashboard:
    """Return a dashboard by its file's name; skips where it is not there."""
    found = [one for one in dashboards() if one.name == name]
    if not found:
        pytest.skip(f"there is no dashboard {name} yet")
    return found[0]


def titles(dashboard: Dashboard) -> dict[int, str]:
    """Return number and title of every panel."""
    return {panel.id: panel.title for panel in dashboard.unfolded}


@pytest.fixture
def version(shown: Shown) -> str:
    """The version that this Grafana says it has."""
    return version_of(shown.grafana.url)


@pytest.fixture(params=list(SIZES))
def sized(
    request: pytest.FixtureRequest, shown: Shown, browser: BrowserContext, version: str
) -> Iterator[DashboardPage]:
    """A window of each size."""
    width, height = SIZES[request.param]
    with page_on(browser, shown.grafana.url, version, width=width, height=height) as page:
        yield page


@pytest.fixture
def page(shown: Shown, browser: BrowserContext, version: str) -> Iterator[DashboardPage]:
    """A window of a laptop's size."""
    with page_on(browser, shown.grafana.url, version, width=1280, height=800) as one:
        yield one


def test_provisioning_loads_without_an_error(shown: Shown) -> None:
    """Data sources and dashboards, every one of them, and no line at level error."""
    assert {one["uid"] for one in shown.grafana.dashboards()} == {one.uid for one in dashboards()}
    sources = {one["uid"]: one["type"] for one in shown.grafana.api("/api/datasources")}
    assert sources.items() >= {"prometheus": "prometheus", "loki": "loki", "tempo": "tempo"}.items()
    said = [line for line in shown.grafana.errors() if line in shown.first_words and not NO_FAULT.search(line)]
    assert said == []


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda one: one.name)
def test_every_panel_shows_something(shown: Shown, sized: DashboardPage, dashboard: Dashboard, pictures: Path) -> None:
    """No error badge, no "No data", no failed request; pictures of the window and of the whole are written."""
    if shown.there.tempo is None and any(query.source == "tempo" for query in dashboard.queries()):
        pytest.skip("tempo is missing: in no registry, so it is only found: on PATH or in $EGOSCOPE_STACK_BIN")
    size = sized.page.viewport_size
    assert size
    sized.open(dashboard.uid)
    sized.wait_for_answers()
    name = f"{dashboard.name}-{size['width']}x{size['height']}"
    sized.shoot(pictures / f"{name}.png")
    sized.open(dashboard.uid, refresh=STILL)
    sized.show_all(titles(dashboard))
    sized.shoot(pictures / f"{name}-whole.png")
    assert sized.complaints(titles(dashboard)) == []
    assert sized.failed == []


# What tiles ask, with whatever the variables at the top leave of it.
CALLS: Final = r"^sum ?\(increase\(ego_calls_total\{(?![^}]*outcome)[^}]*\}\[\$__range\]"
FAILED: Final = r'^sum ?\(increase\(ego_calls_total\{[^}]*outcome="error"[^}]*\}\[\$__range\]'
UNFINISHED: Final = r'^sum ?\(increase\(ego_calls_total\{[^}]*outcome="unfinished"[^}]*\}\[\$__range\]'


def _number(text: str) -> float:
    """Return the number that a tile shows: `1,234`, `1.23 K`, `12.3%`."""
    found = re.search(r"(-?[\d,. ]*\d)\s*(K|Mil|%)?", text)
    assert found, f"no number in {text!r}"
    factor = {"K": 1e3, "Mil": 1e6, "%": 0.01, None: 1}[found[2]]
    return float(found[1].replace(",", "").replace(" ", "")) * factor


def tile(dashboard: Dashboard, pattern: str) -> Panel:
    """Return the first tile whose query matches."""
    for panel in dashboard.panels:
        if panel.type == "stat" and any(re.search(pattern, str(one.get("expr"))) for one in panel.targets):
            return panel
    pytest.fail(f"no tile of {dashboard.name} asks {pattern}")


@pytest.mark.parametrize("hours", [0.25, 6, 24, 7 * 24])
def test_tiles_tell_the_truth(shown: Shown, page: DashboardPage, hours: float) -> None:
    """Calls and the share of errors are those of the log itself, for any range that is over."""
    history = named("history")
    shown.there.sidecar.wait_until_sent()  # the demo lives on
    # Whole minutes, and a range that is over: nothing is added to it any more.
    until = time.time() // 60 * 60 - 60
    since = until - hours * 3600
    expected = shown.there.truth().calls(since, until)
    page.open(history.uid, since=f"{since * 1000:.0f}", until=f"{until * 1000:.0f}", refresh=STILL)
    page.settle()
    every, failed, unfinished = (
        _number(page.value_of(panel.id, panel.title))
        for panel in (tile(history, CALLS), tile(history, FAILED), tile(history, UNFINISHED))
    )
    assert failed == sum(count for (_, outcome), count in expected.items() if outcome == "error")
    # When a call that never ends is given up is the sidecar's rule, not the log's.
    assert every - unfinished == expected.total()
    assert expected.total() > 0


def test_a_new_line_is_in_the_tail_within_seconds(shown: Shown, page: DashboardPage) -> None:
    """With the refresh of a second that the dashboard has, opened by an address that names it, as a bookmark does."""
    tail = named("logs")
    page.open(tail.uid, since="now-5m", refresh="1s")
    page.wait_for_answers()
    panel = next(one for one in tail.panels if one.type == "logs")
    sentence = "Cannot link: one or both memories not found"
    took: list[float] = []
    for _ in range(5):
        there_already = page.text_of(panel.id).count(sentence)
        begun = time.monotonic()
        append(shown.there.log, now_line(sentence, level="WARNING"))
        page.wait_for_text(panel.id, sentence, times=there_already + 1, within_s=180)
        took.append(time.monotonic() - begun)
    print(f"\nwritten line to the Logs dashboard, s: {sorted(round(one, 2) for one in took)}")
    assert statistics.median(took) < TAIL_S


def test_links_keep_time_and_variables(shown: Shown, page: DashboardPage) -> None:
    """From one dashboard to each other one: the same hours, and the same choice."""
    start = named("history")
    instance = next(iter(shown.there.sidecar.instances().values()))
    page.open(start.uid, since="now-3h", instance=instance, refresh=STILL)
    page.wait_for_answers()
    for other in dashboards():
        if other.uid == start.uid:
            continue
        link = page.page.locator(f'a[href*="/d/{other.uid}"]').first
        query = parse_qs(urlsplit(link.get_attribute("href") or "").query)
        assert query.get("from") == ["now-3h"], other.uid
        assert query.get("to") == ["now"], other.uid
        assert query.get("var-instance") == [instance], other.uid
