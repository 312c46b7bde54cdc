"""`make backup` and `make restore` with docker compose: volumes, stopped for the copy and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from tests.stack.compose_project import REPOSITORY, Project, project
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tools.engine import Engine

COUNTED: Final = 'sum(increase(ego_calls_total{tool="recall"}[1h] anchored))'

pytestmark = pytest.mark.docker


def run(made: Project, *words: str) -> tuple[int, str]:
    """Run the command on the test's own project; return its exit status and what it said."""
    options = [(name, value) for name, _, value in (argument.partition("=") for argument in made.arguments)]
    environment = {
        **os.environ,
        **made.engine.environment,
        **made.environment,
        "COMPOSE_PROJECT_NAME": dict(options)["--project-name"],
        "COMPOSE_FILE": os.pathsep.join(value for name, value in options if name == "--file"),
        "COMPOSE_ENV_FILES": os.devnull,
    }
    command = [sys.executable, "-m", "tools.backup", *words]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def write_call(made: Project) -> None:
    """Write one call, two lines, as ego-mcp would."""
    head = {"level": "INFO", "logger": "ego_mcp.server", "tool_name": "recall"}
    with (made.logs / f"ego-mcp-{datetime.now(UTC):%Y-%m-%d}.log").open("a", encoding="utf-8") as log:
        for message in ("Tool invocation", "Tool execution completed"):
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            log.write(json.dumps({"timestamp": now, **head, "message": message}) + "\n")


def wait_for_calls(made: Project, count: int) -> None:
    wait_for(lambda: made.value(COUNTED) == count, what=f"{count} calls in Prometheus")


def test_volumes_are_backed_up_and_restored_into_an_empty_place(docker: Engine, tmp_path: Path) -> None:
    """What ran runs again after the copy; nothing is restored over what runs, or over data; counts are the log's."""
    backups = tmp_path / "backups"
    with project(docker, tmp_path) as made:
        made.up()
        write_call(made)
        wait_for_calls(made, 1)
        before = made.compose("ps", "--services", "--status", "running").split()

        status, said = run(made, "backup", f"--to={backups}")
        assert status == 0, said
        (backup,) = backups.glob("egoscope-*Z")
        assert "the pseudonym key is apart" in said
        assert sorted(made.compose("ps", "--services", "--status", "running").split()) == sorted(before)
        write_call(made)
        wait_for_calls(made, 2)

        status, said = run(made, "restore", f"--from={backup}")
        assert (status, "`make stop` first" in said) == (1, True), said
        made.compose("down")
        status, said = run(made, "restore", f"--from={backup}")
        assert (status, "nothing is overwritten" in said) == (1, True), said

        made.compose("down", "--volumes")
        status, said = run(made, "restore", f"--from={backup}")
        assert status == 0, said
        made.up()
        wait_for_calls(made, 2)
        answer = made.get("loki", "/loki/api/v1/query_range", query='{service_name="ego-mcp"}', since="1h")
        assert sum(len(stream["values"]) for stream in json.loads(answer)["data"]["result"]) == 4


def test_a_gateway_which_has_no_sidecar_is_backed_up_and_restored(docker: Engine, tmp_path: Path) -> None:
    """Its parts are those of the back ends; states are with their machines, and so are keys."""
    backups = tmp_path / "backups"
    with project(docker, tmp_path, "docker-compose.scaling.yml") as made:
        made.compose("up", "--no-start")
        status, said = run(made, "backup", f"--to={backups}")
        assert status == 0, said
        (backup,) = backups.iterdir()
        assert {"prometheus", "loki", "tempo"} <= json.loads((backup / "manifest.json").read_text())["parts"].keys()
        assert not (backup / "state.tar.gz").exists()
        made.compose("down", "--volumes")
        status, said = run(made, "restore", f"--from={backup}")
        assert status == 0, said
