"""/healthz and /readyz: alive is not the same as well."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from egoscope.errors import ConfigError
from egoscope.health import HealthServer


def read(port: int, page: str) -> tuple[int, dict[str, str]]:
    """Return status and body of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_ready_names_what_is_not_as_it_should_be() -> None:
    """And alive stays alive; when all is well again, ready says so."""
    problems: dict[str, str] = {}
    with closing(HealthServer("127.0.0.1", 0, lambda: problems)) as server:
        assert read(server.port, "/readyz") == (200, {"status": "ready"})
        problems["sending"] = "waits"
        assert read(server.port, "/readyz") == (503, {"status": "not ready", "sending": "waits"})
        assert read(server.port, "/healthz") == (200, {"status": "alive"})
        assert read(server.port, "/nothing")[0] == 404
        problems.clear()
        assert read(server.port, "/readyz")[0] == 200


def test_a_port_in_use_is_named_by_its_option() -> None:
    """And the sentence says what would be right."""
    with (
        closing(HealthServer("127.0.0.1", 0, dict)) as first,
        pytest.raises(ConfigError, match=r"EGOSCOPE_HEALTH_PORT.*choose another port"),
    ):
        HealthServer("127.0.0.1", first.port, dict)
