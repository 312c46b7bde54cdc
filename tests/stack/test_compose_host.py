"""The machine as containers see it when they are shown it, for real: with docker-compose.host.yml and .workers.yml.

What they see by default stands in test_compose_up.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.convert.catalogue import WORKER_PROCESSES
from tests.stack.compose_project import Project, project
from tests.stack.processes import wait_for
from tools.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.engine import Engine

CANARY: Final = "canary-2b81c6"
NAMED: Final = "machine-7"

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def shown(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Bring it up with the machine's root and its processes shown, and a worker that runs outside of any container."""
    home = tmp_path_factory.mktemp("shown")
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)", f"--token={CANARY}"])
    (home / "pids").mkdir()
    (home / "pids" / "worker.pid").write_text(f"{worker.pid}\n")
    settings = {
        "EGOSCOPE_HOST_INTERVAL": "1s",
        "EGOSCOPE_HOST_NAME": NAMED,
        "EGOSCOPE_WORKER_PROCESSES": f"build=token={CANARY}",
        "EGOSCOPE_WORKER_PID_FILES": "by-file=/pid-files/*.pid",
        "WORKER_PID_DIR": str(home / "pids"),
    }
    try:
        with project(docker, home, "docker-compose.host.yml", "docker-compose.workers.yml") as made:
            made.up("sidecar", **settings)
            yield made
    finally:
        worker.kill()
        worker.wait()


def told(made: Project, metric: str, label: str) -> dict[str, float]:
    """Return the values of a metric of the host by one of its labels."""
    result = json.loads(made.get("prometheus", "/api/v1/query", query=f'{metric}{{job="host"}}'))["data"]["result"]
    return {one["metric"].get(label, ""): float(one["value"][1]) for one in result}


def seen(made: Project, metric: str, label: str) -> dict[str, float]:
    """Return them once there are any."""
    return wait_for(lambda: told(made, metric, label), what=f"{metric} is in Prometheus")


def test_with_the_machines_root_its_disks_and_its_network_are_told_of(shown: Project) -> None:
    assert seen(shown, "system_memory_limit_bytes", "host_name").keys() == {NAMED}
    disks = seen(shown, "system_filesystem_utilization_ratio", "mountpoint")
    network = seen(shown, "system_network_io_bytes_total", "device")
    if not shown.engine.started:
        return  # the engine may run on another machine than this test
    root = os.statvfs("/")
    used = root.f_blocks - root.f_bfree
    assert disks["/"] == pytest.approx(used / (used + root.f_bavail), abs=0.05)
    lines = Path("/proc/1/net/dev").read_text(encoding="utf-8").splitlines()[2:]
    assert network.keys() <= {line.partition(":")[0].strip() for line in lines}


def test_the_collector_sees_neither_processes_nor_sockets_of_the_machine(shown: Project) -> None:
    """Though its root is mounted, and that read-only; with Docker 25 so is all that is mounted below."""
    if not shown.engine.started:
        pytest.skip("the engine may run on another machine than this test")
    root = Path(f"/proc/{shown.container('collector')['State']['Pid']}/root")
    assert (root / "hostfs" / "etc" / "passwd").exists()
    for hidden in ("proc", "run", "dev", "sys"):
        assert list((root / "hostfs" / hidden).iterdir()) == []
    assert not list((root / "host" / "proc").glob("[0-9]*/cmdline"))
    status = shown.process("collector")
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    lines = (root / "proc" / "1" / "mountinfo").read_text(encoding="utf-8").splitlines()
    mounts = {line.split()[4]: line.split()[5].split(",") for line in lines}
    writable = {path for path, options in mounts.items() if path.startswith("/host") and "rw" in options}
    assert not {"/hostfs", *(path for path in writable if path.startswith("/host/"))} & writable
    if int(shown.engine.docker("version", "--format", "{{.Server.Version}}").partition(".")[0]) >= 25:
        assert writable == set()


def test_worker_processes_of_the_machine_are_counted_from_within_the_container(shown: Project) -> None:
    """Of their command lines nothing is anywhere; the number in a pid file is the machine's."""
    name = WORKER_PROCESSES.prometheus

    def counted() -> dict[tuple[str, str], float]:
        result = json.loads(shown.get("prometheus", "/api/v1/query", query=name))["data"]["result"]
        return {(one["metric"]["group"], one["metric"]["state"]): float(one["value"][1]) for one in result}

    if shown.engine.started:
        alive = {(group, "alive"): 1.0 for group in ("build", "by-file")}
        expected = alive | {(group, "unhealthy"): 0.0 for group, _ in alive}
        wait_for(lambda: counted() == expected, what="the worker is counted")
    series = shown.get("prometheus", "/api/v1/series", **{"match[]": '{__name__=~".+"}'})
    assert CANARY not in series
    if shown.engine.started:
        try:
            said = shown.run("sidecar", "egoscope", "doctor")
        except EngineError as error:  # there is no log here, which is wrong
            said = str(error)
        assert "build: 1 process alive" in said
        assert CANARY not in said
