"""The stack in containers, in short; EGOSCOPE_STACK=containers runs all of tests/stack that way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stack.compose_project import missing
from tests.stack.containers import LABEL, REPOSITORY, Containers, official_images
from tests.stack.hiding_places import items_of
from tests.stack.processes import MissingServerError
from tests.stack.servers import Stack
from tests.stack.test_second_layer import Sender, legal_request
from tools import images

if TYPE_CHECKING:
    from pathlib import Path

    from tools.engine import Engine


def test_the_images_are_those_that_compose_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its variables replace them."""
    monkeypatch.setenv("EGOSCOPE_IMAGE_LOKI", "mirror/loki:1")
    monkeypatch.setenv("EGOSCOPE_IMAGE_TEMPO", "")
    found = official_images()
    assert found.keys() >= images.SERVER_IMAGES.keys()
    assert found["loki"] == "mirror/loki:1"
    compose = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    assert all(found[name] in compose for name in ("collector", "prometheus", "tempo"))


@pytest.mark.docker
def test_what_is_sent_is_stored_and_survives_a_kill(docker: Engine, tmp_path: Path) -> None:
    """Collector, Prometheus and Loki: sent once, found in each after a kill -9, and no container is left."""
    try:
        with Containers.on(docker) as containers, Stack.on(tmp_path, containers) as stack:
            _round_trip(stack)
            pids = [server.pid for server in (stack.collector, stack.prometheus, stack.loki)]
            assert len(set(pids)) == len(pids)
    except MissingServerError as error:
        missing(str(error))
    assert docker.docker("ps", "--all", "--quiet", f"--filter=label={LABEL}={containers.owner}") == ""


def _round_trip(stack: Stack) -> None:
    at_ns, instance, logs = legal_request("logs")
    metrics_ns, metrics_instance, metrics = legal_request("metrics")
    sender = Sender(stack.collector.endpoint)
    try:
        sender.send("logs", logs)
        sender.send("metrics", metrics)
    finally:
        sender.close()
    for server in (stack.prometheus, stack.loki):
        assert server.running
        server.kill()
        assert not server.running
        server.start()
    entries = stack.loki.count(f'{{service_instance_id="{instance}"}}', at_ns / 1e9 - 1, at_ns / 1e9 + 1)
    assert entries == len(items_of(logs))
    assert stack.prometheus.value(f'count(ego_calls_total{{instance="{metrics_instance}"}})', metrics_ns / 1e9 + 1)
