"""What docker-compose.yml promises of every service. Needs no engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from egoscope.cli.demo import ILLUMO_FILE, KAGURA_FILE, KOUBOU_FILE
from egoscope.config import load_settings
from egoscope.prices import load_prices
from tools.backup_places import BUILT

REPOSITORY: Final = Path(__file__).resolve().parents[2]
FILES: Final = (
    "docker-compose.yml",
    "docker-compose.api.yml",
    "docker-compose.alerts.yml",
    "docker-compose.host.yml",
    "docker-compose.workers.yml",
    "docker-compose.scaling.yml",
)
SCHEMA_MODULE: Final = "github.com/compose-spec/compose-go/v2@v2.15.0"

Service = dict[str, Any]


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))


COMPOSE: Final = read("docker-compose.yml")
API: Final = read("docker-compose.api.yml")
ALERTS: Final = read("docker-compose.alerts.yml")
HOST: Final = read("docker-compose.host.yml")["services"]["collector"]
WORKERS: Final = read("docker-compose.workers.yml")["services"]["sidecar"]
COLLECTOR: Final = REPOSITORY / "collector-config"
SERVICES: Final[dict[str, Service]] = COMPOSE["services"]
PUBLISHED: Final = [
    pytest.param(port, id=f"{service}: {port}")
    for file in (COMPOSE, API)
    for service, settings in file["services"].items()
    for port in settings.get("ports", [])
]

# What runs once and ends: nothing watches over it, and nothing starts it again.
ONCE: Final = {
    needed
    for service in SERVICES.values()
    for needed, how in service.get("depends_on", {}).items()
    if how["condition"] == "service_completed_successfully"
}
VARIABLE: Final = re.compile(r"\$\{(\w+):-([^${}]*)\}")

every_service = pytest.mark.parametrize("service", [pytest.param(each, id=name) for name, each in SERVICES.items()])


def default(text: str) -> str:
    """Fill in what Compose would where .env sets nothing; a default can hold another variable."""
    while text != (filled := VARIABLE.sub(r"\2", text)):
        text = filled
    return text


def variables(text: str) -> dict[str, str]:
    """Return every variable with its default."""
    found: dict[str, str] = {}
    while inner := VARIABLE.findall(text):
        found |= inner
        text = VARIABLE.sub(r"\2", text)
    return found


@pytest.mark.parametrize("name", FILES)
def test_it_is_valid_by_the_compose_specification(name: str) -> None:
    if shutil.which("go") is None:
        pytest.skip("the Compose schema comes with a Go module, and there is no Go here")
    asked = subprocess.run(
        ["go", "mod", "download", "-json", SCHEMA_MODULE], cwd="/", capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        pytest.skip(f"the Compose schema ({SCHEMA_MODULE}) cannot be had: {asked.stderr.strip()[-200:]}")
    schema = Path(json.loads(asked.stdout)["Dir"]) / "schema" / "compose-spec.json"
    jsonschema.validate(read(name), json.loads(schema.read_text(encoding="utf-8")))


@every_service
def test_the_image_is_a_variable_pinned_by_version(service: Service) -> None:
    image = service["image"]
    assert re.fullmatch(r"\$\{EGOSCOPE_IMAGE\w*:-[^}]+\}", image)
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", default(image)), "a full version, never :latest"


@every_service
def test_it_runs_as_a_user_that_is_not_root(service: Service) -> None:
    user, _, group = default(service["user"]).partition(":")
    assert int(user) > 0
    assert group != ""


@every_service
def test_its_root_file_system_is_read_only(service: Service) -> None:
    assert service["read_only"] is True


@every_service
def test_it_has_no_capability_and_can_get_none(service: Service) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "devices", "pid", "ipc", "userns_mode"} & service.keys()


@every_service
def test_memory_processes_and_logs_are_bounded(service: Service) -> None:
    assert re.fullmatch(r"\d+[mg]", default(service["mem_limit"]))
    assert service["pids_limit"] > 0
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


@pytest.mark.parametrize("name", SERVICES)
def test_it_comes_back_after_a_crash_unless_it_was_stopped(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name in ONCE else "unless-stopped")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
def test_its_health_is_watched_without_a_shell(name: str) -> None:
    """By its own program, or, for an image that has none, by the probe in the sidecar's."""
    own = SERVICES[name].get("healthcheck")
    if own is None:
        assert any(target.startswith(f"http://{name}:") for target in SERVICES["sidecar"]["healthcheck"]["test"])
    else:
        assert own["test"][0] == "CMD"


@every_service
def test_its_files_are_mounted_read_only_and_data_lives_in_named_volumes(service: Service) -> None:
    """A missing file is an error, and never an empty folder that Docker makes."""
    for mount in service.get("volumes", []):
        if isinstance(mount, str):
            assert default(mount).partition(":")[0] in COMPOSE["volumes"]
        else:
            assert (REPOSITORY / default(mount["source"])).exists()
            assert mount["read_only"] is True
            assert mount["bind"] == {"create_host_path": False}


def test_the_log_directory_is_mounted_read_only() -> None:
    assert "${EGO_MCP_LOG_DIR:-demo-logs}:/logs:ro" in SERVICES["sidecar"]["volumes"]


@pytest.mark.parametrize(
    ("agents", "name"), [("KAGURA", KAGURA_FILE), ("ILLUMO", ILLUMO_FILE), ("KOUBOU", KOUBOU_FILE)]
)
def test_a_database_is_looked_for_where_the_demo_writes_it_or_where_a_user_says(agents: str, name: str) -> None:
    """Its directory is mounted read-only; the demo's databases never stand beside a real agent's log."""
    place = f"/{agents.lower()}"
    default_place = "${EGO_MCP_LOG_DIR:-demo-logs}"
    assert f"${{{agents}_DB_DIR:-{default_place}}}:{place}:ro" in SERVICES["sidecar"]["volumes"]
    assert default(SERVICES["sidecar"]["environment"][f"EGOSCOPE_{agents}_PATH"]) == f"{place}/{name}"
    assert "--agents" in SERVICES["demo"]["command"]
    assert f"/logs/{name}" in SERVICES["demo"]["healthcheck"]["test"]


def test_flows_recorded_into_a_file_are_looked_for_as_other_databases_are() -> None:
    """The demo records none: there is nothing to be read until somebody does."""
    sidecar = SERVICES["sidecar"]
    assert "${TRACERDB_DIR:-${EGO_MCP_LOG_DIR:-demo-logs}}:/tracerdb:ro" in sidecar["volumes"]
    assert default(sidecar["environment"]["EGOSCOPE_TRACERDB_PATH"]) == "/tracerdb/traces.db"


def test_the_sidecar_starts_with_every_setting_as_it_is_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """What .env does not set arrives empty, or as a file that says nothing."""
    for name, value in SERVICES["sidecar"]["environment"].items():
        monkeypatch.setenv(name, default(value))
    monkeypatch.chdir(REPOSITORY / "docker")
    settings = load_settings()
    assert settings.budget_usd is None
    assert settings.kagura_path == (f"/kagura/{KAGURA_FILE}",)
    assert settings.koubou_path == (f"/koubou/{KOUBOU_FILE}",)
    assert (settings.koubou_url, settings.worker_lost_s, settings.least_workers) == (None, 60, 3)
    assert (settings.host_name, settings.worker_processes) == (None, ())
    mounts = [mount for mount in SERVICES["sidecar"]["volumes"] if not isinstance(mount, str)]
    (prices,) = [mount for mount in mounts if mount["target"] == str(settings.price_file)]
    assert load_prices(REPOSITORY / default(prices["source"])).models == load_prices().models


@every_service
def test_nothing_of_the_engine_or_the_machine_is_mounted(service: Service) -> None:
    sources = [mount if isinstance(mount, str) else mount["source"] for mount in service.get("volumes", [])]
    databases = ("${KAGURA_DB_DIR:-", "${ILLUMO_DB_DIR:-", "${TRACERDB_DIR:-", "${KOUBOU_DB_DIR:-")
    of_the_user = ("${EGO_MCP_LOG_DIR:-", *databases, "${EGOSCOPE_PRICE_FILE:-./")
    assert all(source.startswith(("./", *of_the_user)) or source[0].isalpha() for source in sources)


@pytest.mark.parametrize("port", PUBLISHED)
def test_ports_are_published_on_loopback_only(port: str) -> None:
    assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", default(port))


def test_only_grafana_is_published_by_default() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["grafana"]


def test_alerts_leave_only_by_a_file_of_its_own_and_through_a_network_of_alertmanagers_own() -> None:
    """And nobody is told to send them where there is no way out."""
    assert ALERTS["networks"].keys() == {"alerts"}
    networks = {name: service["networks"] for name, service in ALERTS["services"].items() if "networks" in service}
    assert networks == {"alertmanager": ["backend", "alerts"]}
    way_out = [
        file["services"]["alertmanager-config"]["environment"]["EGOSCOPE_ALERT_WAY_OUT"] for file in (COMPOSE, ALERTS)
    ]
    assert way_out == ["no", "yes"]


@pytest.mark.parametrize("name", SERVICES)
def test_only_what_has_a_published_port_is_in_a_network_with_a_way_out(name: str) -> None:
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    service = SERVICES[name]
    if "ports" not in service:
        assert service.get("network_mode") == "none" or service["networks"] == ["backend"]


@every_service
def test_no_secret_stands_in_the_environment_or_in_an_argument(service: Service) -> None:
    for name, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY", name):
            assert name.endswith("__FILE")
            assert value.startswith("/run/secrets/")
    assert not re.search("password|secret|token", " ".join(service.get("command", [])))


def test_grafanas_password_is_a_generated_file_and_has_no_default() -> None:
    assert COMPOSE["secrets"] == {"grafana-admin-password": {"file": "./secrets/grafana-admin-password"}}
    assert (REPOSITORY / "secrets" / ".gitignore").read_text(encoding="utf-8").split() == [
        "*", "!.gitignore", "!alerting/",
    ]  # fmt: skip
    assert (REPOSITORY / "secrets" / "alerting" / ".gitignore").read_text(encoding="utf-8").split() == [
        "*", "!.gitignore",
    ]  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_it_waits_for_what_it_needs_to_be_healthy(name: str) -> None:
    """Only of what has no health check of its own is it enough that it started."""
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_healthy" if "healthcheck" in SERVICES[needed] else "service_started"
        expected = "service_completed_successfully" if needed in ONCE else expected
        assert how["condition"] == expected


@pytest.mark.parametrize("name", ["collector.yaml", "host.yaml"])
def test_every_address_in_the_collectors_file_is_set_for_the_network(name: str) -> None:
    """Its defaults are loopback, for plain processes; in a container nobody would reach them."""
    text = (COLLECTOR / name).read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{env:(\w+)", text)) <= SERVICES["collector"]["environment"].keys()


def test_the_host_is_told_of_by_default_and_nothing_of_a_container_is_taken_for_it() -> None:
    """And one setting switches it off: then the Collector is given its own file twice."""
    service = SERVICES["collector"]
    told, none = [
        [text.replace("${EGOSCOPE_COLLECTOR_OVERLAY:-host}", overlay) for text in service["command"]]
        for overlay in ("host", "collector")
    ]
    assert told[1] == "--config=/etc/egoscope/host.yaml"
    assert none[0] == none[1] == "--config=/etc/egoscope/collector.yaml"
    here = {name: default(value) for name, value in service["environment"].items() if name.startswith("EGOSCOPE_HOST")}
    assert here["EGOSCOPE_HOST_ROOT"] == "/"
    assert re.fullmatch(here["EGOSCOPE_HOST_MOUNT_POINTS"], "/etc/hostname")
    assert not re.fullmatch(here["EGOSCOPE_HOST_MOUNT_POINTS"], "/")
    assert not re.fullmatch(here["EGOSCOPE_HOST_INTERFACES"], "eth0")
    assert not re.fullmatch(here["EGOSCOPE_HOST_STATES"], "sleeping")


def test_with_the_machines_root_the_host_is_told_of_as_by_a_plain_process() -> None:
    """Read-only, without what runs there, and with the defaults of the Collector's own file."""
    text = (COLLECTOR / "host.yaml").read_text(encoding="utf-8")
    defaults = dict(re.findall(r"\$\{env:(EGOSCOPE_HOST_\w+):-([^}]*)\}", text))
    environment = SERVICES["collector"]["environment"] | HOST["environment"]
    for name in ("EGOSCOPE_HOST_MOUNT_POINTS", "EGOSCOPE_HOST_INTERFACES", "EGOSCOPE_HOST_DISKS"):
        assert default(environment[name]) == defaults[name]
    assert all(mount["read_only"] is True for mount in HOST["volumes"])
    shown = {mount["source"]: mount["target"] for mount in HOST["volumes"] if mount["type"] == "bind"}
    hidden = {mount["target"] for mount in HOST["volumes"] if mount["type"] == "tmpfs"}
    assert shown.pop("/") == environment["EGOSCOPE_HOST_ROOT"]
    assert hidden == {f"{environment['EGOSCOPE_HOST_ROOT']}/{name}" for name in ("proc", "run", "dev", "sys")}
    for source, target in shown.items():
        assert re.fullmatch(r"/proc/(1/)?[a-z/]+", source)
        assert target.startswith(f"{environment['HOST_PROC']}/")


def test_the_machines_processes_are_shown_to_the_sidecar_alone_and_only_when_asked_for() -> None:
    assert "EGOSCOPE_PROC_PATH" not in SERVICES["sidecar"]["environment"]
    proc, pid_files = WORKERS["volumes"]
    assert (proc["source"], proc["target"], proc["read_only"]) == (
        "/proc",
        WORKERS["environment"]["EGOSCOPE_PROC_PATH"],
        True,
    )
    assert default(pid_files) == "no-pid-files:/pid-files:ro"


@pytest.mark.parametrize("overlay", [HOST, WORKERS], ids=["host", "workers"])
def test_what_shows_the_machine_takes_nothing_off_the_hardening(overlay: Service) -> None:
    """No namespace of the machine's, no capability, no other user, no way out."""
    assert overlay.keys() == {"environment", "volumes"}


def test_what_a_backup_looks_into_volumes_with_is_in_every_project() -> None:
    """On a gateway there is no sidecar; this service has its image, builds it, and no profile switches it off."""
    built = SERVICES[BUILT]
    assert (built["image"], built["build"]) == (SERVICES["sidecar"]["image"], SERVICES["sidecar"]["build"])
    assert not any("profiles" in read(name)["services"].get(BUILT, {}) for name in FILES)


def test_the_token_recipe_of_the_page_adds_to_the_collectors_command_and_takes_nothing_off_it() -> None:
    """A `command` replaces the one in docker-compose.yml, with the overlay that tells of the host."""
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    (recipe,) = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "token" in text]
    collector = recipe["services"]["collector"]
    assert collector["command"] == [*SERVICES["collector"]["command"], "--config=/etc/egoscope/token.yaml"]
    assert [mount["target"] for mount in collector["volumes"]] == ["/etc/egoscope/token.yaml"]


def test_the_example_of_env_lists_every_variable_with_its_default() -> None:
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^#(\w+)=(.*)$", example, re.MULTILINE))
    text = "".join((REPOSITORY / name).read_text(encoding="utf-8") for name in FILES)
    used = variables(text)
    assert used.keys() == listed.keys() - {"COMPOSE_FILE"}
    for name in [name for name in used if name.endswith("_DIR")]:
        del used[name]  # no path would fit everybody
    assert used.items() <= listed.items()


@pytest.mark.parametrize("path", ["secrets/grafana-admin-password", ".env", "state.db", ".git/config", "logs/a.log"])
def test_nothing_private_slips_into_a_build(path: str) -> None:
    """.dockerignore shuts everything out and names what may pass."""
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not any(path.startswith(rule.removeprefix("!")) for rule in rules[1:])
