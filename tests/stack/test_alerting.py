"""From a failing call in a log to a message about it, through the real servers; and the same of tasks and the host.

Times are shortened in copies of the files, nothing else: rules are evaluated every second and without `for`, what grows
is looked at for seconds, and Alertmanager waits a second where it would wait for more alerts.
"""

from __future__ import annotations

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
from tests.stack.impatient import sending_to, without_waiting_rules
from tests.stack.processes import ANSWER_S, wait_for
from tests.stack.samples import tell_gauge
from tests.stack.servers import Alertmanager, MissingServerError, Stack, get_json
from tests.stack.sidecar import append, call, sidecar_on
from tests.stack.task_scene import following

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stack.processes import Way
    from tests.stack.task_scene import Scene

HOST: Final = "machine-1"
WORKERS: Final = ("worker_0", "worker_1", "worker_2")
NO_PROCESS: Final = 1 << 30
"""More than the number of any process."""


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
        told = webhook.first("firing", alertname="AgentErrors")
        assert told["labels"] == {
            "alertname": "AgentErrors", "job": "ego-mcp", "severity": "warning", "about": "errors",
        }  # fmt: skip
        assert re.fullmatch(
            r"ego-mcp: \d{2,3}(\.\d+)?% of the calls of the last ten minutes failed", told["annotations"]["summary"]
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
        over = webhook.first("resolved", alertname="AgentErrors")
        assert over["annotations"]["runbook_url"] == told["annotations"]["runbook_url"]


def test_the_very_first_removal_of_the_second_layer_is_told(alerting: Stack, webhook: Webhook) -> None:
    """The Collector's counter appears with its first value, so there is no growth to be seen."""
    request = legal.logs(time.time_ns(), f"{time.time_ns():016x}")
    item_of(first_of(request)).body.string_value = "something that no policy knows"
    with grpc.insecure_channel(alerting.collector.endpoint) as channel:
        channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")(
            request.SerializeToString(), timeout=ANSWER_S
        )
    told = webhook.first("firing", alertname="SecondLayerRemoval", signal="logs")
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
        urllib.request.urlopen(push, timeout=ANSWER_S)
    webhook.first("firing", alertname="LogsDiscarded", reason="too_far_in_future")


@pytest.fixture(scope="module")
def koubou(alerting: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A Koubou with three workers, as many as are expected, on a machine that has a name; all of it is followed."""
    directory = tmp_path_factory.mktemp("alerting-koubou")
    (directory / "pids").mkdir()
    with following(
        alerting,
        directory,
        host_name=HOST,
        workers_expected=str(len(WORKERS)),
        worker_pid_files=f"imports={directory / 'pids'}/*.pid",
    ) as scene:
        for worker in WORKERS:
            scene.koubou.register(worker)
        scene.sidecar.start()
        yield scene


def test_a_missing_worker_is_told_and_so_is_its_return(koubou: Scene, webhook: Webhook) -> None:
    """Only from a machine that is heard: the sidecar tells of itself every 15 s."""
    koubou.koubou.clean_up(WORKERS[0])
    told = webhook.first("firing", alertname="WorkersMissing")
    assert told["labels"] == {
        "alertname": "WorkersMissing", "host_name": HOST, "severity": "critical", "about": "workers",
    }  # fmt: skip
    assert told["annotations"]["summary"] == f"{HOST}: 2 of 3 expected workers are there"
    assert told["annotations"]["runbook_url"] == f"{RUNBOOKS_URL}#workersmissing"
    link = urlsplit(str(told["annotations"]["dashboard_url"]))
    assert f"{link.scheme}://{link.netloc}{link.path}" == f"{GRAFANA_URL}/d/egoscope-workers"
    assert parse_qs(link.query)["var-host"] == [HOST]
    koubou.koubou.register(WORKERS[0])
    webhook.first("resolved", alertname="WorkersMissing")


def test_a_lost_worker_is_told_until_it_is_cleaned_up(koubou: Scene, webhook: Webhook) -> None:
    koubou.koubou.register("worker_9", last_heartbeat="2026-01-01 00:00:00")
    told = webhook.first("firing", alertname="WorkerLost", job="koubou", host_name=HOST)
    assert told["annotations"]["summary"] == f"{HOST}: 1 worker of koubou lost: no heartbeat"
    koubou.koubou.clean_up("worker_9")
    webhook.first("resolved", alertname="WorkerLost")


def test_a_pid_file_without_its_process_is_told_until_it_is_gone(koubou: Scene, webhook: Webhook) -> None:
    file = koubou.path.parents[1] / "pids" / "1.pid"
    file.write_text(f"{NO_PROCESS}\n")
    told = webhook.first("firing", alertname="WorkerProcessUnhealthy", group="imports")
    assert told["annotations"]["summary"] == f"{HOST}: 1 unhealthy process in group imports"
    file.unlink()
    webhook.first("resolved", alertname="WorkerProcessUnhealthy")


def test_tasks_that_fail_are_told_until_enough_succeed(koubou: Scene, webhook: Webhook) -> None:
    def end(number: int, *, failed: bool) -> None:
        for _ in range(number):
            task = koubou.koubou.take(WORKERS[1], koubou.koubou.create())
            assert task is not None
            koubou.koubou.finish(task, WORKERS[1], failed=failed)

    end(5, failed=True)
    end(5, failed=False)
    told = webhook.first("firing", alertname="TaskFailureRate", job="koubou", host_name=HOST)
    assert told["annotations"]["summary"] == f"{HOST}: 50% of the tasks of koubou of the last hour failed"
    end(30, failed=False)
    webhook.first("resolved", alertname="TaskFailureRate")


@pytest.mark.parametrize(
    ("alert", "status", "number", "words"),
    [
        pytest.param("OldestTaskTooOld", "pending", 90_000, "has been waiting for 2h", id="it waits"),
        pytest.param("TaskStuck", "in_progress", 90_001, "has been in progress for 2h", id="it does not end"),
    ],
)
def test_a_task_of_hours_is_told_until_it_ends(
    koubou: Scene, webhook: Webhook, alert: str, status: str, number: int, words: str
) -> None:
    koubou.koubou.write(
        "INSERT INTO task_master (task_id, status, assigned_to, created_at, updated_at)"
        " VALUES (?, ?, ?, datetime('now', '-2 hours'), datetime('now', '-2 hours'))",
        *(f"task_{number:05d}", status, WORKERS[2]),
    )
    told = webhook.first("firing", alertname=alert, job="koubou", host_name=HOST)
    assert told["annotations"]["summary"].startswith(f"{HOST}: a task of koubou {words}")
    koubou.koubou.finish(f"task_{number:05d}", WORKERS[2])
    webhook.first("resolved", alertname=alert)


def test_a_queue_that_grows_is_told_until_it_is_shorter(koubou: Scene, webhook: Webhook) -> None:
    def one_more() -> list[dict[str, Any]]:
        koubou.koubou.create()
        return webhook.alerts("firing", alertname="QueueGrowing", job="koubou", host_name=HOST)

    told = wait_for(one_more, what="the webhook hears that the queue grows")[0]
    assert re.fullmatch(rf"{HOST}: \d+ tasks of koubou wait, and it grows", told["annotations"]["summary"])
    koubou.koubou.write("UPDATE task_master SET status = 'cancelled' WHERE status = 'pending'")
    webhook.first("resolved", alertname="QueueGrowing")


def test_a_machine_without_processor_time_is_told_until_it_has_some(alerting: Stack, webhook: Webhook) -> None:
    """By samples as the Collector would send them: nobody heats this machine up."""

    def idle(share: float) -> None:
        for state, of_all in (("idle", share), ("user", 0.9 - share)):
            tell_gauge(
                alerting.prometheus, machine("machine-9"), "system.cpu.utilization", of_all, {"state": state}, unit="1"
            )

    idle(0.05)
    told = webhook.first("firing", alertname="HostCpuHigh", host_name="machine-9")
    assert told["labels"]["severity"] == "critical"
    assert told["annotations"]["summary"] == "machine-9: its processors are 95% busy"
    idle(0.85)
    webhook.first("resolved", alertname="HostCpuHigh", host_name="machine-9")


@pytest.mark.parametrize(
    ("alert", "name", "attributes", "words"),
    [
        pytest.param(
            *("HostMemoryHigh", "system.memory.utilization", {"state": "used"}, "95% of its memory are used"),
            id="memory",
        ),
        pytest.param(
            *("HostDiskFull", "system.filesystem.utilization", {"mountpoint": "/home"}, "/home is 95% full"), id="disk"
        ),
    ],
)
def test_a_machine_without_room_is_told_until_it_has_some(
    alerting: Stack, webhook: Webhook, alert: str, name: str, attributes: dict[str, str], words: str
) -> None:
    def used(share: float) -> None:
        tell_gauge(alerting.prometheus, machine("machine-8"), name, share, attributes, unit="1")

    used(0.95)
    told = webhook.first("firing", alertname=alert, host_name="machine-8")
    assert told["annotations"]["summary"] == f"machine-8: {words}"
    used(0.5)
    webhook.first("resolved", alertname=alert, host_name="machine-8")


def test_a_machine_that_falls_silent_is_told_until_it_is_heard_again(alerting: Stack, webhook: Webhook) -> None:
    def heard(age_s: float) -> None:
        tell_gauge(alerting.prometheus, machine("machine-7"), "system.memory.limit", 1e9, {}, unit="By", age_s=age_s)

    heard(240)
    told = webhook.first("firing", alertname="HostMetricsMissing", host_name="machine-7")
    assert told["annotations"]["summary"] == "machine-7: nothing is heard of this machine any more"
    heard(0)
    webhook.first("resolved", alertname="HostMetricsMissing", host_name="machine-7")


def machine(name: str) -> dict[str, str]:
    """Return what samples of this machine carry."""
    return {"service.name": "host", "service.instance.id": name, "host.name": name}


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
