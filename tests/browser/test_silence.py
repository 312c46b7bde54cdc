"""Silencing in Grafana, as docs/alerts.md says: the form reaches the Alertmanager that sends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.browser.page import chromium, logged_in
from tests.pages import DOCS
from tests.stack.alertmanager import Alertmanager
from tests.stack.grafana import Grafana
from tests.stack.processes import MissingServerError, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Playwright

NOBODY: Final = "http://127.0.0.1:1"
BACK_ENDS: Final = ("PROMETHEUS", "LOKI", "TEMPO")
CAUSE: Final = {"alertname": "WorkersMissing", "severity": "critical", "about": "workers", "host_name": "machine-1"}
EFFECT: Final = {"alertname": "QueueGrowing", "severity": "warning", "about": "queue", "host_name": "machine-1"}
BOOKMARK: Final = re.compile(r"^http://127\.0\.0\.1:3000(/alerting/silence/new\?\S+)$", re.MULTILINE)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Grafana, Alertmanager]]:
    """A Grafana and an Alertmanager that knows a cause and its effect; the other servers are not needed."""
    try:
        chromium()
        alerting, showing = free_ports(2)
        alertmanager = Alertmanager(tmp_path, alerting, {}, tmp_path)
        urls = {f"EGOSCOPE_{name}_URL": NOBODY for name in BACK_ENDS}
        grafana = Grafana(tmp_path, showing, {**urls, "EGOSCOPE_ALERTMANAGER_URL": alertmanager.url})
    except MissingServerError as error:
        pytest.skip(str(error))
    try:
        alertmanager.start()
        alertmanager.post(CAUSE, EFFECT)
        grafana.start()
        yield grafana, alertmanager
    finally:
        grafana.stop()
        alertmanager.stop()


def test_the_form_behind_the_bookmark_of_the_page_silences(
    servers: tuple[Grafana, Alertmanager], playwright: Playwright
) -> None:
    """And what the silenced alert holds back stays held back; Grafana shows both as suppressed."""
    grafana, alertmanager = servers
    bookmark = BOOKMARK.search((DOCS / "alerts.md").read_text(encoding="utf-8"))
    assert bookmark is not None
    with logged_in(playwright, grafana.url) as browser:
        page = browser.new_page()
        page.goto(grafana.url + bookmark[1])
        page.get_by_text("Affected alert instances").wait_for()
        page.get_by_role("button", name="Submit").click()
        wait_for(lambda: alertmanager.alerts(**CAUSE)[0]["status"]["silencedBy"], what="Alertmanager has the silence")
        assert alertmanager.inhibited(**EFFECT)
        assert alertmanager.alerts(**EFFECT)[0]["status"]["silencedBy"] == []

        page.goto(f"{grafana.url}/alerting/groups?alertmanager=Alertmanager")
        page.get_by_text("1 suppressed").nth(1).wait_for()
