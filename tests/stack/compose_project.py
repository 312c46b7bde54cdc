"""A compose project of the tests: brought up under a name of its own, looked at, and taken away again.

With the machine's own engine the official images run. Where there is none, one is started (tools/engine.py) and gets
images made of the servers that tools/stack.py built; Tempo is then played by a stand-in and Grafana left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from tests.stack.processes import ANSWER_S, free_ports
from tools import images, secret, stack
from tools.engine import Engine, EngineError, cache_directory

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

REPOSITORY: Final = Path(__file__).resolve().parents[2]
BUILT: Final = ("collector", "prometheus", "loki", "alertmanager")
TOOLS: Final = ("promtool", "amtool")
PUBLISHED: Final = ("grafana", "prometheus", "loki", "tempo")
READER: Final = 23456  # a user id that no image knows
UP_WITHIN_S: Final = 540
PROBE: Final = ("python3", "-IS", "/opt/egoscope/probe.py")


def missing(reason: str) -> NoReturn:
    """Skip by name and reason; where Docker is required, fail. A machine without an engine is no fault of the code."""
    if os.environ.get("EGOSCOPE_REQUIRE_DOCKER") == "1":
        pytest.fail(f"{reason} (EGOSCOPE_REQUIRE_DOCKER=1)", pytrace=False)
    pytest.skip(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A compose project. `absent`: by name, why a service is not the real one.

    `logs`: the mounted directory; `password`: the file with Grafana's.
    """

    engine: Engine
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    logs: Path
    password: Path
    ports: Mapping[str, int]
    absent: Mapping[str, str]

    def compose(self, *arguments: str, **changed: str) -> str:
        """Return what `docker compose` prints for this project; `changed`: variables that differ this time."""
        return self.engine.docker("compose", *self.arguments, *arguments, extra={**self.environment, **changed})

    def up(self, *arguments: str, **changed: str) -> None:
        """Start and wait until all is healthy; what the containers said is part of the failure."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_WITHIN_S), *arguments, **changed)
        except EngineError as error:
            pytest.fail(f"{error}\n{self.compose('ps', '--all')}\n{self.compose('logs', '--tail=40')[-8000:]}")

    def container(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container; skips where the service is left out."""
        if not (found := self.compose("ps", "--all", "--quiet", service).strip()):
            pytest.skip(f"{service}: {self.absent[service]}")
        return json.loads(self.engine.docker("inspect", found))[0]

    def process(self, service: str) -> dict[str, str]:
        """Return /proc/PID/status of a container's first process, as this machine sees it."""
        if not self.engine.started:
            pytest.skip("the engine may run on another machine than this test")
        pid = self.container(service)["State"]["Pid"]
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def run(self, service: str, *command: str) -> str:
        """Return what a command prints inside a running container."""
        return self.compose("exec", "--no-TTY", service, *command)

    def get(self, service: str, path: str, headers: Mapping[str, str] | None = None, /, **query: str) -> str:
        """Return the body of an answer of a back end, by its published port."""
        address = f"http://127.0.0.1:{self.ports[service]}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(address, headers=dict(headers or {}))
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.read().decode()

    def value(self, promql: str) -> float | None:
        """Return the only value of an instant query to Prometheus; None when there is no series, or more than one."""
        result = json.loads(self.get("prometheus", "/api/v1/query", query=promql))["data"]["result"]
        return float(result[0]["value"][1]) if len(result) == 1 else None


def _images(engine: Engine) -> dict[str, str]:
    """Return the variables that put images made on this machine in the place of the official ones."""
    found = {name: stack.find(name) for name in (*BUILT, *TOOLS, "tempo")}
    if lacking := [name for name in (*BUILT, *TOOLS) if found[name] is None]:
        missing(f"not built yet: {', '.join(lacking)} (make stack)")
    programs = {name: path for name, path in found.items() if path is not None}
    names = (*BUILT, *(["tempo"] if "tempo" in programs else []))
    chosen = {
        f"EGOSCOPE_IMAGE_{name.upper()}": images.server_image(
            engine, name, {each: programs[each] for each in images.SERVER_IMAGES[name].programs}
        )
        for name in names
    }
    base = images.python_base(engine)
    wheels = images.build_base(engine, base, REPOSITORY / "requirements.lock", cache_directory())
    return {**chosen, "EGOSCOPE_BASE_IMAGE": base, "EGOSCOPE_BUILD_IMAGE": wheels}


def _standins(chosen: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what replaces services no image can be made for, and why."""
    services: dict[str, Any] = {"grafana": {"profiles": ["left-out"]}}
    absent = {"grafana": "in no registry of this machine, and no engine with its image answers"}
    if "EGOSCOPE_IMAGE_TEMPO" not in chosen:
        absent["tempo"] = "in no registry of this machine, nor on PATH or in $EGOSCOPE_STACK_BIN: a stand-in runs"
        services["tempo"] = {
            "image": chosen["EGOSCOPE_IMAGE"],
            "entrypoint": ["python3", "/standin.py"],
            "volumes": [f"{Path(__file__).with_name('tempo_standin.py')}:/standin.py:ro"],
            "healthcheck": {"test": ["CMD", *PROBE, "http://127.0.0.1:3200/ready"]},
        }
    return services, absent


@contextlib.contextmanager
def project(engine: Engine, home: Path, *overlays: str) -> Generator[Project]:
    """Yield a project whose images are there and that is not up yet; at the end take away all that it made.

    `overlays`: further compose files of the repository.
    """
    logs = home / "logs"
    logs.mkdir(mode=0o755)
    ports: dict[str, int] = dict(zip(PUBLISHED, free_ports(len(PUBLISHED)), strict=True))
    environment = {
        "EGO_MCP_LOG_DIR": str(logs),
        "EGOSCOPE_UID": str(READER),
        "EGOSCOPE_GID": str(READER),
        "EGOSCOPE_IMAGE": "egoscope-test/sidecar:0.1.0",
        "EGOSCOPE_HEALTH_INTERVAL": "2s",
        "EGOSCOPE_GRAFANA_PORT": str(ports["grafana"]),
        **{f"EGOSCOPE_API_{name.upper()}_PORT": str(ports[name]) for name in ("prometheus", "loki", "tempo")},
    }
    password = secret.ensure(home / "secrets" / "password")
    override: dict[str, Any] = {"secrets": {"grafana-admin-password": {"file": str(password)}}}
    absent: dict[str, str] = {}
    if engine.started:
        try:
            environment |= _images(engine)
        except images.ImageError as error:
            missing(str(error))
        override["services"], absent = _standins(environment)
    (home / "override.json").write_text(json.dumps(override), encoding="utf-8")
    names = ("docker-compose.yml", "docker-compose.api.yml", *overlays)
    files = (*(REPOSITORY / name for name in names), home / "override.json")
    made = Project(
        engine=engine,
        # A developer's own .env has no part in this.
        arguments=(
            f"--project-name=egoscope-test-{os.getpid()}",
            f"--env-file={os.devnull}",
            *(f"--file={file}" for file in files),
        ),
        environment=environment,
        logs=logs,
        password=password,
        ports=ports,
        absent=absent,
    )
    made.compose("build", "--quiet", "sidecar")
    try:
        yield made
    finally:
        made.compose("--profile=*", "down", "--volumes", "--remove-orphans", "--timeout", "10")
