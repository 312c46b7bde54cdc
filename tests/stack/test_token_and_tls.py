"""Only who knows the token may send, and what is sent can be encrypted: the overlays against a running Collector."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from egoscope.demo import DemoSettings, write_live
from egoscope.doctor.collector import check_collector
from egoscope.doctor.finding import Mark
from egoscope.otlp.client import Accepted, Signal, Unavailable
from egoscope.otlp.grpc_client import GrpcExporter
from tests.pages import DOCS, blocks
from tests.stack import legal
from tests.stack.processes import free_ports, wait_for
from tests.stack.servers import Collector, CollectorPorts, Stack
from tests.stack.sidecar import sidecar_on
from tests.stack.truth import check_exact, contents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stack.processes import Way
    from tests.stack.sidecar import SidecarProcess

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
    wait_for(lambda: exporter.send(Signal.TRACES, spans) == Accepted(), what="the rotated token is known")
    sidecars.unlink()
    assert exporter.send(Signal.TRACES, spans) == Unavailable("TOKEN_FILE")
    exporter.close()


@pytest.mark.parametrize("both", [True, False], ids=["both tokens are known for a while", "one is replaced"])
def test_a_token_rotated_under_load_costs_nothing(
    stack: Stack, collector_with: CollectorWith, tmp_path: Path, both: bool
) -> None:
    """With both known nothing even waits; else the outbox bridges the time until the new one is known."""
    token, sidecars = tmp_path / "collector" / "token", tmp_path / "sidecar" / "token"
    for file in (token, sidecars):
        file.parent.mkdir()
    make, *steps = rotation()
    new = run(make + 'printf %s "$NEW"', tmp_path, "")
    replace_file(token, "first-token")
    replace_file(sidecars, "first-token")
    collector = collector_with(("token.yaml",), {"EGOSCOPE_COLLECTOR_TOKEN_FILE": str(token)})
    stop = threading.Event()
    load = DemoSettings(calls_per_minute=3000, rhythm=False)
    with sidecar_on(tmp_path, collector.endpoint, collector_token_file=str(sidecars)) as sidecar:
        writer = threading.Thread(target=write_live, args=(sidecar.logs, load), kwargs={"stop": stop})
        sidecar.start()
        writer.start()
        try:
            wait_for(sidecar.positions, what="the log is read")
            sidecar.wait_until_sent()
            if both:
                run(steps[0], tmp_path, new)
                probe = GrpcExporter(collector.endpoint, token_file=written(tmp_path / "probe", new))
                request = legal.traces(time.time_ns(), "ab" * 8).SerializeToString()
                wait_for(lambda: probe.send(Signal.TRACES, request) == Accepted(), what="both are known")
                old = GrpcExporter(collector.endpoint, token_file=written(tmp_path / "old", "first-token"))
                assert old.send(Signal.TRACES, request) == Accepted()
                run(steps[1], tmp_path, new)
                wait_until_more_is_sent(sidecar)
                run(steps[2], tmp_path, new)
                wait_for(lambda: old.send(Signal.TRACES, request) != Accepted(), what="the first is no longer good")
            else:
                replace_file(token, "second-token")
                wait_for(lambda: "UNAUTHENTICATED" in sidecar.said(), what="the first token is refused")
                waiting = sidecar.waiting_requests()
                wait_for(lambda: sidecar.waiting_requests() > waiting, what="requests wait")
                replace_file(sidecars, "second-token")
            wait_until_more_is_sent(sidecar)
        finally:
            stop.set()
            writer.join()
        sidecar.wait_until_drained()
        check_exact(stack, contents(sidecar.instances()))
        assert ("sending is paused" in sidecar.said()) is not both


def test_a_token_that_is_rotated_as_the_page_says_can_be_read_by_nobody_else(tmp_path: Path) -> None:
    """At no step, and the Collector's file ends with its token."""
    token, sidecars = tmp_path / "collector" / "token", tmp_path / "sidecar" / "token"
    for file in (token, sidecars):
        file.parent.mkdir()
        written(file, "first-token").chmod(0o600)
    _, *steps = rotation()
    seen = ["first-token\nsecond-token", "second-token"]
    for step, content in zip(steps, (seen[0], seen[0], seen[1]), strict=True):
        run(f"umask 022\n{step}", tmp_path, "second-token")
        assert token.read_text() == content
        assert [file.stat().st_mode & 0o777 for file in (token, sidecars)] == [0o600, 0o600]
    assert sidecars.read_text() == "second-token"


def rotation() -> list[str]:
    """Return the page's commands: what makes a new token, and the three steps."""
    place = "docs/operations.md: Rotate the Collector's token"
    (block,) = [block for block in blocks(DOCS / "operations.md") if block.place == place]
    return block.code.splitlines(keepends=True)


def run(command: str, directory: Path, new: str) -> str:
    script = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(script, cwd=directory, env={**os.environ, "NEW": new}, check=True, capture_output=True)
    return done.stdout.decode()


def replace_file(path: Path, text: str) -> None:
    """Put a file in another one's place at once, so that nobody reads half of it."""
    written(path.with_suffix(".new"), text).replace(path)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def wait_until_more_is_sent(sidecar: SidecarProcess) -> None:
    """Return when lines that are still to come are sent; the agent writes on."""
    before = read_so_far(sidecar)
    wait_for(lambda: read_so_far(sidecar) > before, what="more is read")
    sidecar.wait_until_sent()


def read_so_far(sidecar: SidecarProcess) -> int:
    return sum(offset for _, offset in sidecar.positions().values())


@pytest.mark.parametrize(
    ("content", "is_open"),
    [
        pytest.param("first-token", False, id="ends with the token"),
        pytest.param("first-token\n", True, id="ends with a line break"),
        pytest.param("first-token\nsecond-token", False, id="holds two"),
    ],
)
def test_doctor_finds_a_collector_that_takes_an_empty_token(
    collector_with: CollectorWith, tmp_path: Path, content: str, is_open: bool
) -> None:
    """The extension takes each line of its file for a token; what stands behind a last line break is an empty one."""
    token = tmp_path / "token"
    token.write_text(content)
    sidecars = written(tmp_path / "sidecars-token", "first-token\n")
    collector = collector_with(("token.yaml",), {"EGOSCOPE_COLLECTOR_TOKEN_FILE": str(token)})
    found = list(check_collector(collector.endpoint, tls=False, ca_file=None, token_file=sidecars))
    assert found[0].mark is Mark.OK
    assert [one.mark for one in found[1:]] == ([Mark.FAIL] if is_open else [])


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
