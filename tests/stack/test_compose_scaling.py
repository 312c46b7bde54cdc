"""docker-compose.scaling.yml: what it promises of the machines it adds (no engine needed), and brought up for real."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.stack.compose_project import REPOSITORY, Project, project
from tests.stack.processes import wait_for
from tests.stack.test_compose_file import SERVICES, default, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tools.engine import Engine

FILE: Final = "docker-compose.scaling.yml"
SCALING: Final = read(FILE)
PAGE: Final = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
ADDED: Final[dict[str, dict[str, Any]]] = {
    name: service for name, service in SCALING["services"].items() if name not in SERVICES
}
MACHINES: Final = ("machine-a", "machine-b")

every_added = pytest.mark.parametrize("name", ADDED)


@every_added
def test_a_machines_containers_are_hardened_as_those_of_one_machine(name: str) -> None:
    """All but networks, mounts, environment and what is waited for is the same."""
    own = {"environment", "volumes", "networks", "depends_on", "healthcheck", "command", "build"}
    like = SERVICES["sidecar" if name.startswith("sidecar") else "collector"]
    assert {key: value for key, value in ADDED[name].items() if key not in own} == {
        key: value for key, value in like.items() if key not in own
    }


@every_added
def test_no_machine_has_a_way_out_or_a_way_to_another_one(name: str) -> None:
    """Its sidecar reaches its Collector only, and that one the gateway; no back end is in its network."""
    assert all(network == {"internal": True} for network in SCALING["networks"].values())
    machine = f"machine-{name[-1]}"
    assert ADDED[name]["networks"] == ([machine] if name.startswith("sidecar") else [machine, "uplink"])
    assert "ports" not in ADDED[name]
    shared = {one for one, service in SCALING["services"].items() if "uplink" in service.get("networks", [])}
    assert shared == {"collector", "prometheus", "collector-a", "collector-b"}


@every_added
def test_a_machines_files_are_read_only_and_logs_too(name: str) -> None:
    for mount in ADDED[name]["volumes"]:
        if isinstance(mount, str):
            source, target, *mode = default(mount).split(":")
            assert source in {"demo-logs", *SCALING["volumes"]}
            assert mode == (["ro"] if target == "/logs" else [])
        else:
            assert (REPOSITORY / default(mount["source"])).exists()
            assert (mount["read_only"], mount["bind"]) == (True, {"create_host_path": False})


@pytest.mark.parametrize("name", ["sidecar-a", "sidecar-b"])
def test_a_machines_sidecar_has_every_setting_of_the_one_machines(name: str) -> None:
    """But its name, its Collector, and the back ends, which it cannot reach; the demo writes all files in one place."""
    own = {"EGOSCOPE_HOST_NAME", "EGOSCOPE_COLLECTOR_ENDPOINT", "EGOSCOPE_COLLECTOR_HEALTH_URL"}
    back_ends = {"EGOSCOPE_PROMETHEUS_URL", "EGOSCOPE_LOKI_URL", "EGOSCOPE_TEMPO_URL"}
    one_machine = SERVICES["sidecar"]["environment"]
    expected = {
        key: re.sub("^/(kagura|illumo|tracerdb|koubou)/", "/logs/", value)
        for key, value in one_machine.items()
        if key not in own | back_ends
    }
    assert {key: value for key, value in ADDED[name]["environment"].items() if key not in own} == expected
    assert own <= ADDED[name]["environment"].keys()
    (prices,) = [mount for mount in SERVICES["sidecar"]["volumes"] if not isinstance(mount, str)]
    assert prices in ADDED[name]["volumes"]


def test_the_gateway_file_of_the_page_mounts_what_it_names_and_sets_what_that_asks_for() -> None:
    """And its way out is published on one address."""
    gateway, targets = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    collector = gateway["services"]["collector"]
    mounted = {mount["target"]: REPOSITORY / mount["source"] for mount in collector["volumes"]}
    named = {flag.removeprefix("--config=") for flag in collector["command"]}
    assert named == mounted.keys() | {"/etc/egoscope/collector.yaml"}
    asked = set(re.findall(r"\$\{env:(\w+)\}", "".join(path.read_text(encoding="utf-8") for path in mounted.values())))
    assert asked == collector["environment"].keys()
    secrets = {value.removeprefix("/run/secrets/") for value in collector["environment"].values()}
    assert secrets == set(collector["secrets"]) == gateway["secrets"].keys()
    assert collector["ports"] == ["10.0.0.5:4317:4317"]
    assert collector["networks"] == gateway["services"]["prometheus"]["networks"] == ["backend", "edge"]
    assert [group["labels"] for group in targets] == [{"job": "otelcol", "host_name": machine} for machine in MACHINES]


def test_every_address_a_machines_collector_takes_from_the_environment_is_set() -> None:
    """The gateway's back ends are no business of a machine: their addresses stay at loopback, where nothing listens."""
    text = "".join((REPOSITORY / "collector-config" / name).read_text() for name in ("collector.yaml", "agent.yaml"))
    asked = {name for name in re.findall(r"\$\{env:(\w+)", text) if "LISTEN" in name or "METRICS" in name}
    for name in ("collector-a", "collector-b"):
        assert asked <= ADDED[name]["environment"].keys()


def test_prometheus_scrapes_what_it_scrapes_on_one_machine_and_both_machines_collectors() -> None:
    def targets(path: str) -> set[str]:
        groups = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
        return {target for group in groups for target in group["targets"]}

    added = {f"collector-{machine}:{port}" for machine in "ab" for port in (8888, 8889)}
    assert targets("docker/scaling/targets/compose.yml") == targets("prometheus/targets/compose.yml") | added


@pytest.fixture(scope="module")
def up(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Bring two machines, the gateway and the back ends up; each machine has a log directory of its own."""
    home = tmp_path_factory.mktemp("scaling")
    with project(docker, home, FILE) as made:
        directories: dict[str, str] = {}
        for machine in MACHINES:
            (home / machine).mkdir(mode=0o755)
            directories[f"EGOSCOPE_{machine.upper().replace('-', '_')}_LOG_DIR"] = str(home / machine)
        machines = replace(made, environment={**made.environment, **directories})
        machines.up()
        yield machines


def write_calls(directory: Path, count: int) -> None:
    """Write calls, two lines each, as ego-mcp would."""
    head = {"level": "INFO", "logger": "ego_mcp.server", "tool_name": "recall"}
    private = {"tool_args": {"context": "a private thought"}, "tool_output": "a private answer"}
    with (directory / f"ego-mcp-{datetime.now(UTC):%Y-%m-%d}.log").open("a", encoding="utf-8") as log:
        for _ in range(count):
            for message in ("Tool invocation", "Tool execution completed"):
                now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
                log.write(json.dumps({"timestamp": now, **head, **private, "message": message}) + "\n")


def calls_of(made: Project, machine: str) -> float | None:
    return made.value(f'sum(increase(ego_calls_total{{host_name="{machine}"}}[1h] anchored))')


def wait_for_calls(made: Project, machine: str, count: int) -> None:
    wait_for(lambda: calls_of(made, machine) == count, what=f"{count} calls of {machine}")


def in_loki(made: Project) -> str:
    """Return what Loki answers when it is asked for every line."""
    return made.get("loki", "/loki/api/v1/query_range", query='{service_name="ego-mcp"}', since="1h", limit="100")


def lines(answer: str) -> int:
    return sum(len(stream["values"]) for stream in json.loads(answer)["data"]["result"])


@pytest.mark.docker
def test_each_machines_calls_are_counted_by_its_name_and_nothing_private_passes(up: Project) -> None:
    """And again after the gateway was recreated while both wrote."""
    logs = {machine: up.logs.parent / machine for machine in MACHINES}
    for count, directory in enumerate(logs.values(), start=2):
        write_calls(directory, count)
    for count, machine in enumerate(logs, start=2):
        wait_for_calls(up, machine, count)
    up.compose("kill", "collector")
    for directory in logs.values():
        write_calls(directory, 1)
    up.compose("up", "--detach", "--no-deps", "collector")
    for count, machine in enumerate(logs, start=3):
        wait_for_calls(up, machine, count)
    wait_for(lambda: lines(in_loki(up)) == 2 * (3 + 4), what="every line is in Loki")
    assert "a private" not in in_loki(up)


@pytest.mark.docker
def test_every_collector_is_scraped_and_one_machine_reaches_no_other(up: Project) -> None:
    query = 'sum(up{job="otelcol"})'
    wait_for(lambda: up.value(query) == 6, what="three Collectors, two pages each")
    for name in (*ADDED, "collector"):
        container = up.container(name)
        assert container["HostConfig"]["ReadonlyRootfs"]
        assert container["HostConfig"]["CapDrop"] == ["ALL"]
    networks = {name: set(up.container(name)["NetworkSettings"]["Networks"]) for name in ADDED}
    assert networks["sidecar-a"].isdisjoint(networks["sidecar-b"] | networks["collector-b"])
