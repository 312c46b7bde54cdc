"""`docker compose up -d --wait` for real: what the containers may do, and that a line finds its way through them."""

from __future__ import annotations

import base64
import json
import urllib.error
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.stack.compose_project import PROBE, REPOSITORY, Project, project
from tests.stack.processes import PATIENCE_S, wait_for
from tools import env_file
from tools.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.engine import Engine

SERVICES: Final = ("sidecar", "collector", "prometheus", "alertmanager", "loki", "tempo", "grafana")

pytestmark = pytest.mark.docker
every_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def up(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Bring the whole project up, once for all tests here."""
    with project(docker, tmp_path_factory.mktemp("compose")) as made:
        made.up()
        yield made


@every_service
def test_it_is_healthy(up: Project, service: str) -> None:
    state = up.container(service)["State"]
    assert state["Running"]
    assert state.get("Health", {"Status": "healthy"})["Status"] == "healthy"


@every_service
def test_it_was_never_killed_for_memory_nor_restarted(up: Project, service: str) -> None:
    container = up.container(service)
    assert not container["State"]["OOMKilled"]
    assert container["RestartCount"] == 0


@every_service
def test_no_process_runs_as_root(up: Project, service: str) -> None:
    assert all(int(user) > 0 for user in up.process(service)["Uid"].split())


@every_service
def test_it_has_no_capability_and_can_get_none(up: Project, service: str) -> None:
    status = up.process(service)
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


@every_service
def test_system_calls_are_filtered(up: Project, service: str) -> None:
    assert up.process(service)["Seccomp"] == "2"


@every_service
def test_the_root_file_system_is_read_only(up: Project, service: str) -> None:
    container = up.container(service)
    assert container["HostConfig"]["ReadonlyRootfs"]
    if up.engine.started:
        mounts = Path(f"/proc/{container['State']['Pid']}/mountinfo").read_text(encoding="utf-8").splitlines()
        assert [line.split()[5].split(",")[0] for line in mounts if line.split()[4] == "/"] == ["ro"]


@every_service
def test_memory_and_processes_are_bounded_by_the_engine(up: Project, service: str) -> None:
    limits = up.container(service)["HostConfig"]
    assert limits["Memory"] > 0
    assert limits["PidsLimit"] > 0


@every_service
def test_ports_are_open_on_loopback_only(up: Project, service: str) -> None:
    bound: dict[str, list[dict[str, str]] | None] = up.container(service)["NetworkSettings"]["Ports"]
    assert {one["HostIp"] for ports in bound.values() for one in ports or []} <= {"127.0.0.1"}


@pytest.mark.parametrize("service", ["sidecar", "collector"])  # the others are published here
def test_there_is_no_way_out_of_the_network(up: Project, service: str) -> None:
    names = up.container(service)["NetworkSettings"]["Networks"]
    assert [json.loads(up.engine.docker("network", "inspect", name))[0]["Internal"] for name in names] == [True]


def test_the_log_directory_cannot_be_written(up: Project) -> None:
    mounts = {mount["Destination"]: mount for mount in up.container("sidecar")["Mounts"]}
    assert mounts["/logs"]["RW"] is False
    with pytest.raises(EngineError, match="Read-only file system"):
        up.run("sidecar", "python3", "-c", "open('/logs/x', 'w')")


def test_the_probe_fails_where_nothing_answers(up: Project) -> None:
    """A health check that cannot fail says nothing."""
    with pytest.raises(EngineError, match="no answer: http://collector:9"):
        up.run("sidecar", *PROBE, "http://collector:9/")


def test_the_sidecars_image_holds_neither_pip_nor_what_it_was_built_from(up: Project) -> None:
    look = "import importlib.util as u, pathlib as p; print(u.find_spec('pip'), *map(p.Path.exists, map(p.Path, %r)))"
    places = ["/src", "/wheels", "/opt/build"]
    assert up.run("sidecar", "/opt/egoscope/bin/python", "-c", look % places).split() == ["None", *["False"] * 3]


def test_the_sidecars_image_runs_as_a_user_that_is_not_root_when_nobody_says_as_whom(up: Project) -> None:
    (image,) = json.loads(up.engine.docker("image", "inspect", up.environment["EGOSCOPE_IMAGE"]))
    assert image["Config"]["User"] == "10001:10001"


@pytest.fixture(scope="module")
def call(up: Project) -> str:
    """Write one call, two lines, into the mounted directory as ego-mcp would; return its tool once it was counted."""
    tool = "recall"
    first = {"level": "INFO", "logger": "ego_mcp.server", "tool_name": tool, "time_phase": "morning"}
    feeling = {"emotion_primary": "curious", "emotion_intensity": 0.6, "valence": 0.4, "arousal": 0.5}
    lines: list[dict[str, Any]] = [
        {**first, "message": "Tool invocation", "tool_args": {"context": "a private thought"}},
        {**first, **feeling, "message": "Tool execution completed", "tool_output": "a private answer"},
    ]
    with (up.logs / f"ego-mcp-{datetime.now(UTC):%Y-%m-%d}.log").open("a", encoding="utf-8") as log:
        for line in lines:
            log.write(json.dumps({"timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"), **line}) + "\n")
    wait_for(lambda: counted(up, tool) == 1, what=f"one call of {tool} in Prometheus")
    return tool


def counted(up: Project, tool: str) -> float | None:
    return up.value(f'sum(increase(ego_calls_total{{tool="{tool}"}}[1h] anchored))')  # as the dashboards count


def loki_answer(up: Project) -> str:
    return up.get("loki", "/loki/api/v1/query_range", query='{service_name="ego-mcp"}', since="1h", limit="100")


def loki_lines(up: Project) -> int:
    return sum(len(stream["values"]) for stream in json.loads(loki_answer(up))["data"]["result"])


def test_a_line_in_the_mounted_directory_is_counted_in_prometheus(up: Project, call: str) -> None:
    assert counted(up, call) == 1


def test_a_line_in_the_mounted_directory_stands_in_loki_without_its_private_words(up: Project, call: str) -> None:
    wait_for(lambda: loki_lines(up) == 2, what=f"the two lines of {call} in Loki")
    assert "a private" not in loki_answer(up)


def test_a_call_crosses_the_network_as_one_span(up: Project, call: str) -> None:
    """The stand-in counts spans; what the real Tempo makes of them is asked elsewhere."""
    if "tempo" not in up.absent:
        pytest.skip("the real Tempo runs, which counts no spans")
    wait_for(lambda: up.get("tempo", "/spans") == "1", what=f"the span of {call}")


def test_the_collector_is_scraped(up: Project) -> None:
    query = 'sum(up{job="otelcol"})'
    wait_for(lambda: up.value(query) == 2, what="both pages of the Collector in Prometheus")


def test_alertmanager_has_its_configuration_and_prometheus_knows_where_it_is(up: Project) -> None:
    """What wrote it has ended well; nobody but Alertmanager's user may read it."""
    state = up.container("alertmanager-config")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    active = json.loads(up.get("prometheus", "/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]
    assert [one["url"] for one in active] == ["http://alertmanager:9093/api/v2/alerts"]
    wait_for(lambda: up.value('up{job="alertmanager"}') == 1, what="Alertmanager is scraped")


def test_every_rule_is_evaluated_without_an_error(up: Project) -> None:
    groups = json.loads(up.get("prometheus", "/api/v1/rules"))["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    assert groups


def test_a_receiver_without_a_way_out_is_refused_with_the_setting_that_is_missing(up: Project) -> None:
    with pytest.raises(EngineError, match=r"docker-compose\.alerts\.yml"):
        up.compose("run", "--rm", "--no-TTY", "alertmanager-config", EGOSCOPE_ALERT_RECEIVERS="slack")


def test_positions_survive_a_new_container(up: Project, call: str) -> None:
    """The sidecar's state is in its volume: in a new container nothing is sent twice and nothing is lost."""
    up.up("--no-deps", "--force-recreate", "sidecar")
    assert counted(up, call) == 1
    assert loki_lines(up) == 2


def test_grafana_knows_its_data_sources_and_shows_the_dashboard_to_who_has_the_password(up: Project) -> None:
    up.container("grafana")  # skips by name and reason
    with pytest.raises(urllib.error.HTTPError, match="401"):
        up.get("grafana", "/api/datasources")
    password = up.password.read_text(encoding="ascii")
    login = {"Authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}

    def ask(path: str) -> Any:
        return json.loads(up.get("grafana", path, login))

    assert {one["uid"] for one in ask("/api/datasources")} == {"prometheus", "loki", "tempo", "alertmanager"}
    for uid in ("prometheus", "loki"):
        assert ask(f"/api/datasources/uid/{uid}/health")["status"] == "OK"
    assert ask("/api/dashboards/uid/egoscope-now")["dashboard"]["title"] == "Now"


def test_the_demo_is_shown_where_there_is_no_log(up: Project) -> None:
    """Last, for it changes what is read: without EGO_MCP_LOG_DIR the sidecar follows all that the demo writes."""
    up.compose("stop", "sidecar")
    up.up("--no-deps", "demo", "sidecar", EGO_MCP_LOG_DIR="", COMPOSE_PROFILES="demo")
    # As much as six hours hold of which most are night.
    for metric, least in (("ego_calls_total", 200), ("agent_executions_total", 30), ("agent_flow_runs_total", 3)):
        query = f"sum({metric}) > {least}"
        wait_for(partial(up.value, query), within_s=3 * PATIENCE_S, what=f"the demo's {metric} in Prometheus")


def test_the_settings_that_compose_gives_are_valid(up: Project) -> None:
    """Those of every kind of database, whose policies are in the image."""
    said = up.run("sidecar", "egoscope", "check")
    assert [line for line in said.splitlines() if line.startswith("policy koubou_workers: valid")]


def test_the_host_is_told_of_and_nothing_of_it_is_mounted(up: Project) -> None:
    """What a container has of its own is not taken for the machine's: network, processes, mounts, name."""

    def told(metric: str) -> list[dict[str, Any]]:
        return json.loads(up.get("prometheus", "/api/v1/query", query=f'{metric}{{job="host"}}'))["data"]["result"]

    wait_for(lambda: told("system_cpu_utilization_ratio"), what="the host is in Prometheus")
    (limit,) = told("system_memory_limit_bytes")
    assert limit["metric"].keys() == {"__name__", "job", "instance"}
    assert limit["metric"]["instance"] == "local"
    if up.engine.started:
        memory_kib = Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]
        assert int(limit["value"][1]) == int(memory_kib) * 1024
    assert {one["metric"]["status"] for one in told("system_processes_count")} == {"running", "blocked"}
    assert {one["metric"]["mountpoint"] for one in told("system_filesystem_utilization_ratio")} == {"docker"}
    assert told("system_network_io_bytes_total") == []
    mounted = {Path(mount.get("Source", "")).name for mount in up.container("collector")["Mounts"]}
    assert mounted == {"collector.yaml", "host.yaml"}


def test_a_bare_docker_compose_keeps_what_make_start_chose_and_what_its_user_wrote(
    docker: Engine, tmp_path: Path
) -> None:
    """Else the sidecar would be made anew as a user who cannot read its key, on the demo's volume."""
    (tmp_path / ".env").write_text("# Mine\nEGOSCOPE_GID=777\n")
    logs = tmp_path / "a user's logs"
    env_file.choose(tmp_path / ".env", {"EGO_MCP_LOG_DIR": str(logs), "EGOSCOPE_UID": "12345", "EGOSCOPE_GID": "12345"})
    here = (f"--project-directory={tmp_path}", f"--file={REPOSITORY / 'docker-compose.yml'}")
    sidecar = json.loads(docker.docker("compose", *here, "config", "--format=json"))["services"]["sidecar"]
    assert sidecar["user"] == "12345:777"
    assert {mount["target"]: mount["source"] for mount in sidecar["volumes"]}["/logs"] == str(logs)
