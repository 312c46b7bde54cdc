"""What a backup asks of docker compose, played by a script; tests/stack/test_compose_backup.py asks a real one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from tools.backup_places import BackupError, Compose, Volume

if TYPE_CHECKING:
    from pathlib import Path

IMAGE: Final = "egoscope:of-this-checkout"
GATEWAY: Final[dict[str, Any]] = {
    "name": "egoscope",
    "services": {name: {"image": f"{name}:1"} for name in ("collector", "prometheus", "loki")}
    | {"alertmanager-config": {"image": IMAGE, "build": {"context": "."}}},
    "volumes": {name: {"name": f"egoscope_{name}"} for name in ("prometheus-data", "loki-data")},
}
"""What `docker compose config` prints of a gateway: a service whose profile is off is left out, with its volume."""
DOCKER: Final = """#!/bin/sh
echo "$*" >>"$0.asked"
case "$*" in
  "compose config"*) cat "$0.json" ;;
  "compose ps"*) echo loki; echo prometheus ;;
  "image inspect"*) exit 1 ;;
  "compose stop"*) test ! -e "$0.fails" || { echo "loki would not stop" >&2; exit 1; } ;;
esac
"""


class Docker:
    """A `docker` that answers with a configuration and remembers what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "docker"
        self.program.write_text(DOCKER)
        self.program.chmod(0o755)
        self.program.with_suffix(".json").write_text(json.dumps(GATEWAY))

    def asked(self) -> list[str]:
        return self.program.with_suffix(".asked").read_text().splitlines()

    def fail_to_stop(self) -> None:
        self.program.with_suffix(".fails").touch()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Docker(tmp_path)


def test_a_gateway_without_a_sidecar_is_backed_up_by_an_image_that_is_always_there(docker: Docker) -> None:
    """And it is built where it was not yet, by a service that this project has."""
    assert Compose().places() == {
        "prometheus": Volume("prometheus", "egoscope_prometheus-data", IMAGE),
        "loki": Volume("loki", "egoscope_loki-data", IMAGE),
    }
    assert "compose build --quiet alertmanager-config" in docker.asked()


def test_what_ran_is_started_again_also_when_stopping_it_failed(docker: Docker) -> None:
    """Some of it may have been stopped by then."""
    docker.fail_to_stop()
    with pytest.raises(BackupError, match="loki would not stop"), Compose().stopped():
        pytest.fail("nothing is copied then")
    assert docker.asked()[-1] == "compose start loki prometheus"


def test_what_ran_is_started_again_when_stopping_it_was_interrupted(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = Compose()
    asked: list[str] = []

    def interrupted(*words: str) -> str:
        asked.append(" ".join(words))
        if words[0] == "stop":
            raise KeyboardInterrupt
        return "loki"

    monkeypatch.setattr(Compose, "_compose", staticmethod(interrupted))
    with pytest.raises(KeyboardInterrupt), compose.stopped():
        pytest.fail("nothing is copied then")
    assert asked[1:] == ["stop loki", "start loki"]
