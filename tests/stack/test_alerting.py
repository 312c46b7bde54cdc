"""From a failing call in a log to a message about it, through the real servers; and what holds messages back.

Waiting times are shortened in copies of the files, nothing else: rules are evaluated every second and without `for`,
and Alertmanager waits a second where it would wait for more alerts.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from egoscope.demo import DemoSettings, write_history
from tests.stack.alertmanager import Webhook
from tests.stack.backends import GRAFANA_URL, RUNBOOKS_URL
from tests.stack.conftest import missing
from tests.stack.processes import free_ports, wait_for
from tests.stack.servers import Alertmanager, MissingServerError, Stack
from tests.stack.sidecar import append, call, sidecar_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stack.processes import Way

FIRES_WITHIN_S: Final = 60.0
RESOLVES_WITHIN_S: Final = 60.0


def without_waiting_rules(configuration: Path) -> None:
    """Evaluate every second, and let alerts fire and resolve at once."""
    for file in (configuration / "prometheus.yml", *(configuration / "rules").glob("*.yml")):
        text = re.sub(r"(evaluation_interval|interval): \w+", r"\1: 1s", file.read_text())
        file.write_text(re.sub(r"(for|keep_firing_for): \d+[smh]", r"\1: 0s", text))


def without_waiting(configuration: str) -> str:
    """Tell of a group after a second, and of its changes every second."""
    return re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", configuration)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook.listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def alertmanager(way: Way, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """Alertmanager that sends everything, info too, to the webhook."""
    directory = tmp_path_factory.mktemp("alertmanager")
    (directory / "webhook-url").write_text(webhook.url + "\n")
    (port,) = free_ports(1)
    try:
        server = Alertmanager(
            directory, port, {"RECEIVERS": "webhook", "SEVERITY": "info"}, directory, edit=without_waiting, way=way
        )
        server.start()
    except MissingServerError as error:
        missing(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def alerting(way: Way, alertmanager: Alertmanager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own whose Prometheus evaluates every second and tells this Alertmanager."""
    address = alertmanager.url.removeprefix("http://")
    try:
        starting = Stack.on(
            tmp_path_factory.mktemp("alerting"),
            way,
            also_scraped={"alertmanager": [address]},
            edit_rules=without_waiting_rules,
        )
        with starting as running:
            yield running
    except MissingServerError as error:
        missing(str(error))


def first(webhook: Webhook, status: str, within_s: float, **labels: str) -> dict[str, Any]:
    """Wait for the first such alert in a message."""
    return wait_for(
        lambda: webhook.alerts(status, **labels), within_s=within_s, what=f"the webhook hears of {labels}, {status}"
    )[0]


def test_a_failing_agent_is_told_to_the_webhook_and_so_is_its_recovery(
    alerting: Stack, webhook: Webhook, tmp_path: Path
) -> None:
    """The demo with half of its calls failing, then calls that succeed."""
    with sidecar_on(tmp_path, alerting.collector.endpoint) as sidecar:
        begun = time.time()
        start = datetime.now(UTC) - timedelta(minutes=4)
        write_history(
            sidecar.logs,
            DemoSettings(start=start, calls_per_minute=20, failure_rate=0.5, rhythm=False),
            until=datetime.now(UTC),
        )
        sidecar.start()
        told = first(webhook, "firing", FIRES_WITHIN_S, alertname="AgentErrors")
        assert told["labels"] == {
            "alertname": "AgentErrors", "job": "ego-mcp", "severity": "warning", "about": "errors",
        }  # fmt: skip
        assert re.fullmatch(
            r"ego-mcp: \d\d(\.\d+)?% of the calls of the last ten minutes failed", told["annotations"]["summary"]
        )
        assert told["annotations"]["runbook_url"] == f"{RUNBOOKS_URL}#agenterrors"
        link = urlsplit(str(told["annotations"]["dashboard_url"]))
        shown = {name: int(values[0]) / 1000 for name, values in parse_qs(link.query).items()}
        assert f"{link.scheme}://{link.netloc}{link.path}" == f"{GRAFANA_URL}/d/egoscope-now"
        assert shown["from"] < begun - 3000
        assert shown["to"] > begun

        live = sidecar.logs / "ego-mcp-live.log"
        for _ in range(400):
            append(live, *call())
        over = first(webhook, "resolved", RESOLVES_WITHIN_S, alertname="AgentErrors")
        assert over["annotations"]["runbook_url"] == told["annotations"]["runbook_url"]
