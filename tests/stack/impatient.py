"""Servers whose waiting times are shortened in a copy of their files, and nothing else: for tests of alerts."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from tests.stack.alertmanager import Alertmanager
from tests.stack.conftest import missing
from tests.stack.processes import MissingServerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.stack.alertmanager import Webhook
    from tests.stack.processes import Way


def without_waiting_rules(configuration: Path) -> None:
    """Evaluate every second, let alerts fire and resolve at once, and see in seconds what grows for minutes."""
    for file in (configuration / "prometheus.yml", *(configuration / "rules").glob("*.yml")):
        text = re.sub(r"\b(evaluation_interval|interval): \w+", r"\1: 1s", file.read_text())
        text = re.sub(r"(for|keep_firing_for): \d+[smh]", r"\1: 0s", text)
        file.write_text(re.sub(r"deriv\(.*", lambda found: re.sub(r"(\d+)m\b", r"\1s", found[0]), text))


def without_waiting(configuration: str) -> str:
    """Tell of a group after a second, and of its changes every second."""
    return re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", configuration)


@contextlib.contextmanager
def sending_to(webhook: Webhook, directory: Path, way: Way) -> Generator[Alertmanager]:
    """Yield an Alertmanager that sends everything, info too, to this webhook; skip where there is none."""
    (directory / "webhook-url").write_text(webhook.url + "\n")
    (port,) = free_ports(1)
    try:
        server = Alertmanager(
            directory, port, {"RECEIVERS": "webhook", "SEVERITY": "info"}, directory, edit=without_waiting, way=way
        )
        server.start()
    except MissingServerError as error:
        missing(str(error))
    try:
        yield server
    finally:
        server.stop()
