"""Only who knows the token may send, and what is sent can be encrypted: the overlays against a running Collector."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from egoscope.otlp.client import Accepted, Signal, Unavailable
from egoscope.otlp.grpc_client import GrpcExporter
from tests.stack import legal
from tests.stack.processes import free_ports, wait_for
from tests.stack.servers import Collector, CollectorPorts, Stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stack.processes import Way

    CollectorWith = Callable[[tuple[str, ...], dict[str, str]], Collector]


@pytest.fixture
def collector_with(stack: Stack, way: Way, tmp_path: Path, request: pytest.FixtureRequest) -> CollectorWith:
    """Start a Collector of the test's own with overlays; it sends to the stack's back ends."""

    def start(overlays: tuple[str, ...], environment: dict[str, str]) -> Collector:
        collector = Collector(
            tmp_path,
            ports=CollectorPorts(*free_ports(4)),
            prometheus_url=stack.prometheus.url,
            loki_url=stack.loki.url,
            tempo_port=stack.tempo.port,
            overlays=overlays,
            environment=environment,
            way=way,
        )
        request.addfinalizer(collector.stop)
        collector.start()
        return collector

    return start


@pytest.fixture
def spans() -> bytes:
    """Return a request that the second layer lets through."""
    return legal.traces(time.time_ns(), "ab" * 8).SerializeToString()


def test_without_the_token_nothing_is_taken_and_a_rotated_token_is_taken_without_loss(
    collector_with: CollectorWith, tmp_path: Path, spans: bytes
) -> None:
    """A wrong token is a reason to wait, never to drop: the right one may be on its way."""
    token = tmp_path / "token"
    token.write_text("first-token")
    collector = collector_with(("token.yaml",), {"EGOSCOPE_COLLECTOR_TOKEN_FILE": str(token)})
    sidecars = tmp_path / "sidecars-token"
    sidecars.write_text("no-token")
    exporter = GrpcExporter(collector.endpoint, token_file=sidecars)
    assert exporter.send(Signal.TRACES, spans) == Unavailable("UNAUTHENTICATED")
    sidecars.write_text("first-token\n")
    assert exporter.send(Signal.TRACES, spans) == Accepted()
    token.write_text("second-token")
    sidecars.write_text("second-token")
    wait_for(lambda: exporter.send(Signal.TRACES, spans) == Accepted(), within_s=20, what="the rotated token is known")
    sidecars.unlink()
    assert exporter.send(Signal.TRACES, spans) == Unavailable("TOKEN_FILE")
    exporter.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_over_tls_only_a_collector_whose_certificate_is_trusted_is_sent_to(
    collector_with: CollectorWith, tmp_path: Path, spans: bytes
) -> None:
    """And a sidecar without TLS gets nothing through."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    about = ["-x509", "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *about, *made], check=True, capture_output=True)
    files = {"EGOSCOPE_COLLECTOR_CERT_FILE": str(certificate), "EGOSCOPE_COLLECTOR_KEY_FILE": str(key)}
    collector = collector_with(("tls.yaml",), files)
    trusting = GrpcExporter(collector.endpoint, ca_file=certificate)
    assert trusting.send(Signal.TRACES, spans) == Accepted()
    trusting.close()
    for stranger in (GrpcExporter(collector.endpoint), GrpcExporter(collector.endpoint, tls=True)):
        assert stranger.send(Signal.TRACES, spans) == Unavailable("UNAVAILABLE")
        stranger.close()
