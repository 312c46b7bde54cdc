"""A cause holds back what it causes, in a real Alertmanager that nothing but these tests tells.

Waiting times are shortened in a copy of its file, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rules.promtool import alerting_rules
from tests.stack.alertmanager import Webhook
from tests.stack.impatient import sending_to
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.alertmanager import Alertmanager
    from tests.stack.processes import Way


@pytest.fixture(scope="module")
def held_messages() -> Iterator[Webhook]:
    with Webhook.listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def held(way: Way, held_messages: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with sending_to(held_messages, tmp_path_factory.mktemp("alertmanager-held"), way) as server:
        yield server


def labels(alert: str, severity: str, **more: str) -> dict[str, str]:
    """Return an alert as Prometheus would report it, with a label that tells it from real ones."""
    return {"alertname": alert, "severity": severity, "from": "test", **more}


def unreadable(source: str, **more: str) -> dict[str, str]:
    """Return the alert that a database cannot be read, as its rule has it for this source."""
    (rule,) = (
        rule
        for rule in alerting_rules()
        if rule["alert"] == "SourceUnreadable" and (rule["labels"]["severity"] == "critical") is (source == "koubou")
    )
    return labels("SourceUnreadable", **rule["labels"], source=source, reason="locked", **more)


@pytest.mark.parametrize(
    ("cause", "held_back"),
    [
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="loki", instance="l"),
            labels("SendingUnavailable", "warning", about="sending", instance="s", signal="logs"),
            id="a back end that is down holds back that its signal waits",
        ),
        pytest.param(
            labels("CollectorsDown", "critical", about="back end", job="otelcol"),
            labels("SidecarGone", "critical", about="sidecar", job="egoscope"),
            id="without any Collector the sidecar cannot be heard",
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
        pytest.param(
            labels("CollectorsDown", "critical", about="back end", job="otelcol"),
            labels("HostMetricsMissing", "warning", about="host", job="host", instance="h1", host_name="h1"),
            id="without any Collector no machine can be heard",
        ),
        pytest.param(
            labels("CollectorsDown", "critical", about="back end", job="otelcol"),
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="d"),
            id="where all Collectors are down, each is one of them",
        ),
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="e", host_name="h16"),
            labels("SidecarGone", "critical", about="sidecar", job="egoscope", instance="s", host_name="h16"),
            id="without a machine's own Collector its sidecar cannot be heard",
        ),
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="e", host_name="h17"),
            labels("TaskStuck", "warning", about="stuck tasks", job="koubou", host_name="h17"),
            id="nor what it tells of the machine's tasks",
        ),
        pytest.param(
            labels("SidecarGone", "critical", about="sidecar", job="egoscope", instance="s", host_name="h18"),
            labels("SidecarLag", "warning", about="lag", job="egoscope", instance="s", host_name="h18"),
            id="a sidecar that is gone is not late",
        ),
        pytest.param(
            labels("SidecarGone", "critical", about="sidecar", job="egoscope"),
            labels("WorkersMissing", "critical", about="workers", host_name="h2"),
            id="without any sidecar nobody tells of workers",
        ),
        pytest.param(
            labels("SidecarGone", "critical", about="sidecar", job="egoscope", instance="s", host_name="h3"),
            labels("TaskStuck", "warning", about="stuck tasks", job="koubou", host_name="h3"),
            id="without its sidecar nobody tells of a machine's tasks",
        ),
        pytest.param(
            labels("HostMetricsMissing", "warning", about="host", job="host", instance="h4", host_name="h4"),
            labels("HostCpuHigh", "critical", about="cpu", job="host", instance="h4", host_name="h4"),
            id="a machine that is not heard of has not become idle",
        ),
        pytest.param(
            labels("SidecarLag", "warning", about="lag", job="egoscope", instance="s", host_name="h5"),
            labels("WorkerLost", "warning", about="workers", job="koubou", host_name="h5"),
            id="what is late is not lost",
        ),
        pytest.param(
            unreadable("koubou", host_name="h6"),
            labels("OldestTaskTooOld", "warning", about="queue age", job="koubou", host_name="h6"),
            id="nobody sees a task taken up in a database that cannot be read",
        ),
        pytest.param(
            unreadable("koubou", host_name="h30"),
            labels("WorkersMissing", "critical", about="workers", host_name="h30"),
            id="nor that its workers are there",
        ),
        pytest.param(
            unreadable("koubou", host_name="h31"),
            labels("WorkerLost", "warning", about="workers", job="koubou", host_name="h31"),
            id="nor that a worker is alive",
        ),
        pytest.param(
            unreadable("kagura", host_name="h32"),
            labels("ExecutionStuck", "warning", about="executions", job="kagura", agent="a"),
            id="nor the end of an execution",
        ),
        pytest.param(
            unreadable("illumo", host_name="h33"),
            labels("FlowStuck", "warning", about="flows", job="illumo", flow="f"),
            id="nor that of a flow's run",
        ),
        pytest.param(
            unreadable("tracerdb", host_name="h34"),
            labels("FlowStuck", "warning", about="flows", job="illumo", flow="g"),
            id="nor that of a run that was recorded into a database of its own",
        ),
        pytest.param(
            labels("NoLogFollowed", "warning", about="source", job="egoscope", instance="s"),
            labels("AgentSilent", "critical", about="silence", job="agent-5"),
            id="whose log is not followed is silent, on a machine without a name",
        ),
        pytest.param(
            labels("WorkersMissing", "critical", about="workers"),
            labels("WorkerLost", "warning", about="workers", job="koubou"),
            id="who is missing is lost, on a machine without a name",
        ),
        pytest.param(
            labels("WorkersMissing", "critical", about="workers", host_name="h7"),
            labels("QueueGrowing", "warning", about="queue", job="koubou", host_name="h7"),
            id="without workers the queue grows",
        ),
        pytest.param(
            labels("HostCpuHigh", "critical", about="cpu", job="host", instance="h8", host_name="h8"),
            labels("OldestTaskTooOld", "warning", about="queue age", job="koubou", host_name="h8"),
            id="a machine without processor time takes up no tasks",
        ),
        pytest.param(
            labels("HostCpuHigh", "critical", about="cpu", job="host", instance="h9", host_name="h9"),
            labels("ExecutionsSlow", "warning", about="executions", job="kagura", agent="a"),
            id="nor is it quick at anything else",
        ),
    ],
)
def test_a_cause_holds_back_what_it_causes(
    held: Alertmanager, cause: dict[str, str], held_back: dict[str, str]
) -> None:
    """And the same alert is not held back once the cause is over."""
    held.post(held_back, cause)

    wait_for(lambda: held.inhibited(**held_back), what=f"{held_back} is held back")
    held.end(cause)
    wait_for(lambda: not held.inhibited(**held_back), what=f"{held_back} is held back no longer")
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
        pytest.param(
            labels("WorkersMissing", "critical", about="workers", host_name="h10"),
            labels("WorkerProcessUnhealthy", "warning", about="workers", group="g", host_name="h11"),
            id="workers of one machine hold back nothing of another",
        ),
        pytest.param(
            labels("SidecarGone", "critical", about="sidecar", job="egoscope", instance="s", host_name="h12"),
            labels("WorkersMissing", "critical", about="workers", host_name="h13"),
            id="nor does its sidecar",
        ),
        pytest.param(
            labels("SidecarGone", "critical", about="sidecar", job="egoscope", instance="s", host_name="h22"),
            labels("SidecarLag", "warning", about="lag", job="egoscope", instance="s", host_name="h23"),
            id="where another machine's sidecar is late",
        ),
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="e", host_name="h24"),
            labels("SidecarGone", "critical", about="sidecar", job="egoscope", instance="s", host_name="h25"),
            id="nor does its Collector, where another machine's sidecar is gone",
        ),
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="e", host_name="h26"),
            labels("HostCpuHigh", "critical", about="cpu", job="host", instance="h27", host_name="h27"),
            id="or another machine is busy",
        ),
        pytest.param(
            unreadable("koubou", host_name="h28"),
            labels("TaskStuck", "warning", about="stuck tasks", job="koubou", host_name="h29"),
            id="nor does its database that cannot be read",
        ),
        pytest.param(
            unreadable("koubou", host_name="h35"),
            labels("ExecutionStuck", "warning", about="executions", job="kagura", agent="b"),
            id="nor one program's database what is of another's",
        ),
        pytest.param(
            unreadable("kagura", host_name="h36"),
            labels("FlowStuck", "warning", about="flows", job="illumo", flow="h"),
            id="executions say nothing about flows",
        ),
        pytest.param(
            unreadable("koubou", host_name="h37"),
            unreadable("kagura", host_name="h37"),
            id="nor is one database the other",
        ),
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="g1"),
            labels("WorkersMissing", "critical", about="workers", host_name="h38"),
            id="one gateway of several that is down holds back nothing of a machine",
        ),
        pytest.param(
            labels("BackEndDown", "critical", about="back end", job="otelcol", instance="g1"),
            labels("AgentSilent", "critical", about="silence", job="agent-6"),
            id="nor of an agent",
        ),
        pytest.param(
            labels("CollectorsDown", "critical", about="back end", job="otelcol"),
            labels("BackEndDown", "critical", about="back end", job="loki", instance="m"),
            id="all Collectors that are down are no other server",
        ),
        pytest.param(
            labels("NoLogFollowed", "warning", about="source", job="egoscope", instance="s", host_name="h39"),
            labels("AgentSilent", "critical", about="silence", job="agent-7"),
            id="a machine that follows nothing holds back nothing of agents, who are on others",
        ),
        pytest.param(
            labels("HostCpuHigh", "critical", about="cpu", job="host", instance="h14", host_name="h14"),
            labels("TaskStuck", "warning", about="stuck tasks", job="koubou", host_name="h14"),
            id="a task that is stuck may be what takes the processors",
        ),
        pytest.param(
            labels("WorkerLost", "warning", about="workers", job="koubou", host_name="h15"),
            labels("TaskStuck", "warning", about="stuck tasks", job="koubou", host_name="h15"),
            id="a lost worker, which may stay so for days, holds back no task that is stuck",
        ),
    ],
)
def test_nothing_else_is_held_back(
    held: Alertmanager, held_messages: Webhook, cause: dict[str, str], other: dict[str, str]
) -> None:
    held.post(cause, other)
    for one in (cause, other):
        held_messages.first("firing", **one)
    held.end(cause)
    held.end(other)


def test_what_is_held_back_is_not_told(held: Alertmanager, held_messages: Webhook) -> None:
    cause = labels("AgentErrorBudgetFast", "critical", about="errors", job="agent-9")
    lesser = labels("AgentErrors", "warning", about="errors", job="agent-9")
    held.post(cause, lesser)
    held_messages.first("firing", **cause)
    assert held_messages.alerts("firing", **lesser) == []
    held.end(cause)
    held_messages.first("firing", **lesser)
    held.end(lesser)


def test_of_what_is_held_back_no_end_is_told(held: Alertmanager, held_messages: Webhook) -> None:
    """It ended for want of news, behind a cause that came later: nobody is told that all is well."""
    missing = labels("WorkersMissing", "critical", about="workers", host_name="h20")
    gone = labels("SidecarGone", "critical", about="sidecar", job="egoscope", instance="s", host_name="h20")
    other = labels("WorkersMissing", "critical", about="workers", host_name="h21")
    held.post(missing, other)
    held_messages.first("firing", **missing)
    held.post(gone)
    wait_for(lambda: held.inhibited(**missing), what="the alert is held back")
    held.end(missing)
    held.end(other)
    # Both are of one group, so a message about the one would hold the other as well.
    held_messages.first("resolved", **other)
    assert held_messages.alerts("resolved", **missing) == []
    held.end(gone)
