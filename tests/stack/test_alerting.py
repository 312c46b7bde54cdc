"""From a failing call in a log to a message about it, through the real servers; and what holds messages back.

Waiting times are shortened in copies of the files, nothing else: rules are evaluated every second and without `for`,
and Alertmanager waits a second where it would wait for more alerts.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest

from egoscope.demo import DemoSettings, write_history
from tests.rules.metrics import ALWAYS
from tests.stack import legal
from tests.stack.alertmanager import Webhook
from tests.stack.backends import GRAFANA_URL, RUNBOOKS_URL
from tests.stack.conftest import missing
from tests.stack.hiding_places import first_of, item_of
from tests.stack.processes import free_ports, wait_for
from tests.stack.servers import Alertmanager, MissingServerError, Stack, get_json
from tests.stack.sidecar import append, call, sidecar_on

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.stack.processes import Way

FIRES_WITHIN_S: Final = 60.0
RESOLVES_WITHIN_S: Final = 60.0


def without_waiting_rules(configuration: Path) -> None:
    """Evaluate every second, and let alerts fire and resolve at once."""
    for file in (configuration / "prometheus.yml", *(configuration / "rules").glob("*.yml")):
        text = re.sub(r"\b(evaluation_interval|interval): \w+", r"\1: 1s", file.read_text())
        file.write_text(re.sub(r"(for|keep_firing_for): \d+[smh]", r"\1: 0s", text))


def without_waiting(configuration: str) -> str:
    """Tell of a group after a second, and of its changes every second."""
    return re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", configuration)


@contextlib.contextmanager
def sending_to(webhook: Webhook, directory: Path, way: Way) -> Generator[Alertmanager]:
    """Yield an Alertmanager that sends everything, info too, to this webhook."""
    (directory / "webhook-url").write_text(webhook.url + "\n")
    (port,) = free_ports(1)
    try:
        server = Alertmanager(
            directory, port, {"RECEIVERS": "webhook", "SEVERITY": "info"}, directory, edit=without_waiting, way=way
        )
        server.start()
    except MissingServerError as error:
        missing(str(error))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook.listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def alertmanager(way: Way, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """The one that Prometheus tells."""
    with sending_to(webhook, tmp_path_factory.mktemp("alertmanager"), way) as server:
        yield server


@pytest.fixture(scope="module")
def held_messages() -> Iterator[Webhook]:
    with Webhook.listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def held(way: Way, held_messages: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """Another one, that only the tests of inhibition tell."""
    with sending_to(held_messages, tmp_path_factory.mktemp("alertmanager-held"), way) as server:
        yield server


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


def test_the_very_first_removal_of_the_second_layer_is_told(alerting: Stack, webhook: Webhook) -> None:
    """The Collector's counter appears with its first value, so there is no growth to be seen."""
    request = legal.logs(time.time_ns(), f"{time.time_ns():016x}")
    item_of(first_of(request)).body.string_value = "something that no policy knows"
    with grpc.insecure_channel(alerting.collector.endpoint) as channel:
        channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")(
            request.SerializeToString(), timeout=20
        )
    told = first(webhook, "firing", FIRES_WITHIN_S, alertname="SecondLayerRemoval", signal="logs")
    assert told["labels"]["severity"] == "critical"


def test_the_very_first_line_that_loki_discards_is_told(alerting: Stack, webhook: Webhook) -> None:
    """So does Loki's. A line of the day after tomorrow is one that it refuses."""
    ahead_ns = time.time_ns() + 2 * 86_400 * 10**9
    line = {"stream": {"service_name": "ego-mcp"}, "values": [[str(ahead_ns), "x"]]}
    push = urllib.request.Request(
        f"{alerting.loki.url}/loki/api/v1/push",
        json.dumps({"streams": [line]}).encode(),
        {"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(push, timeout=10)
    first(webhook, "firing", FIRES_WITHIN_S, alertname="LogsDiscarded", reason="too_far_in_future")


@pytest.mark.parametrize("name", sorted(ALWAYS))
def test_the_metrics_of_servers_that_rules_name_are_there(alerting: Stack, name: str) -> None:
    """Those that appear with their first value are seen by the two tests above."""
    wait_for(lambda: alerting.prometheus.query(name), what=f"{name} is in Prometheus")


def test_every_rule_is_evaluated_without_an_error(alerting: Stack) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = get_json(f"{alerting.prometheus.url}/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_for(lambda: all(rule["health"] != "unknown" for rule in rules()), what="every rule was evaluated")
    assert {rule["name"]: rule.get("lastError") for rule in rules() if rule["health"] != "ok"} == {}


def labels(alert: str, severity: str, **more: str) -> dict[str, str]:
    """Return an alert as Prometheus would report it, with a label that tells it from real ones."""
    return {"alertname": alert, "severity": severity, "from": "test", **more}


@pytest.mark.parametrize(
    ("cause", "held_back"),
    [
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="loki", instance="l"),
            labels("SendingUnavailable", "warning", about="sending", instance="s", signal="logs"),
            id="a back end that is down holds back that its signal waits",
        ),
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="c"),
            labels("SidecarGone", "critical", about="sidecar", job="egoscope"),
            id="without the Collector the sidecar cannot be heard",
        ),
        pytest.param(
            labels("SidecarGone", "critical", about="sidecar", job="egoscope"),
            labels("AgentSilent", "warning", about="silence", job="agent-1"),
            id="without the sidecar no agent can be heard",
        ),
        pytest.param(
            labels("AgentSilent", "warning", about="silence", job="agent-2"),
            labels("AgentDrop", "warning", about="volume", job="agent-2"),
            id="a silent agent makes fewer calls",
        ),
        pytest.param(
            labels("OutboxFull", "critical", about="outbox", job="egoscope", instance="s"),
            labels("OutboxFilling", "warning", about="outbox", job="egoscope", instance="s"),
            id="critical holds back the warning about the same",
        ),
    ],
)
def test_a_cause_holds_back_what_it_causes(
    held: Alertmanager, cause: dict[str, str], held_back: dict[str, str]
) -> None:
    """And the same alert is not held back once the cause is over."""
    held.post(held_back, cause)

    def inhibited() -> list[str]:
        (alert,) = held.alerts(**held_back)
        return alert["status"]["inhibitedBy"]

    wait_for(lambda: held.alerts(**held_back) and inhibited(), what=f"{held_back} is held back")
    held.end(cause)
    wait_for(lambda: not inhibited(), what=f"{held_back} is held back no longer")
    held.end(held_back)


@pytest.mark.parametrize(
    ("cause", "other"),
    [
        pytest.param(
            labels("AgentErrorBudgetFast", "critical", about="errors", job="agent-1"),
            labels("AgentErrors", "warning", about="errors", job="agent-2"),
            id="critical of one agent holds back nothing of another",
        ),
        pytest.param(
            labels("AgentSilent", "critical", about="silence", job="agent-3"),
            labels("AgentDrop", "warning", about="volume", job="agent-4"),
            id="nor does the silence of one",
        ),
        pytest.param(
            labels("DiskLow", "critical", about="disk", job="egoscope", instance="s"),
            labels("OutboxFilling", "warning", about="outbox", job="egoscope", instance="s"),
            id="critical holds back nothing about something else",
        ),
    ],
)
def test_nothing_else_is_held_back(
    held: Alertmanager, held_messages: Webhook, cause: dict[str, str], other: dict[str, str]
) -> None:
    held.post(cause, other)
    for one in (cause, other):
        first(held_messages, "firing", FIRES_WITHIN_S, **one)
    held.end(cause)
    held.end(other)


def test_what_is_held_back_is_not_told(held: Alertmanager, held_messages: Webhook) -> None:
    cause = labels("AgentErrorBudgetFast", "critical", about="errors", job="agent-9")
    lesser = labels("AgentErrors", "warning", about="errors", job="agent-9")
    held.post(cause, lesser)
    first(held_messages, "firing", FIRES_WITHIN_S, **cause)
    assert held_messages.alerts("firing", **lesser) == []
    held.end(cause)
    first(held_messages, "firing", FIRES_WITHIN_S, **lesser)
    held.end(lesser)
