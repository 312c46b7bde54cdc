"""Every configuration file passes its own server's checker, with the defaults and with the overlays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.stack.alertmanager import render
from tests.stack.backends import PROMETHEUS_FLAGS
from tests.stack.conftest import missing
from tests.stack.servers import REPOSITORY, MissingServerError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.processes import Way

COLLECTOR = REPOSITORY / "collector-config"


@dataclass(frozen=True)
class Checker:
    """Runs a server's own checker, which may read the repository and `directory`."""

    way: Way
    directory: Path

    def __call__(self, server: str, *arguments: str | Path, **environment: str) -> None:
        """The test fails with what the checker says."""
        try:
            command = [self.way.program(server), *arguments]
        except MissingServerError as error:
            if server == "tempo":  # may be missing even where the stack may not
                pytest.skip(str(error))
            missing(str(error))
        status, said = self.way.check(command, environment, self.directory)
        assert status == 0, said


@pytest.fixture
def check(way: Way, tmp_path: Path) -> Checker:
    return Checker(way, tmp_path)


@pytest.mark.parametrize(
    "overlays",
    [
        pytest.param((), id="the Collector's configuration is valid as it is"),
        pytest.param(("token.yaml",), id="a token can be asked for"),
        pytest.param(("tls.yaml",), id="TLS can be asked for"),
        pytest.param(("token.yaml", "tls.yaml"), id="token and TLS can be asked for together"),
        pytest.param(("agent.yaml",), id="a machine's Collector sends to a gateway"),
        pytest.param(("agent.yaml", "agent-token.yaml"), id="a machine's Collector sends a token"),
        pytest.param(
            ("token.yaml", "agent.yaml", "agent-token.yaml", "both-tokens.yaml"),
            id="a machine's Collector asks for a token and sends one",
        ),
        pytest.param(("host.yaml", "agent.yaml", "agent-host.yaml"), id="a machine's Collector tells of the machine"),
        pytest.param(("gateway.yaml",), id="a gateway needs neither token nor TLS where its network is closed"),
        pytest.param(("gateway.yaml", "token.yaml", "tls.yaml"), id="a gateway asks for token and TLS"),
        pytest.param(("host.yaml",), id="the host can be told of"),
    ],
)
def test_collector(check: Checker, overlays: tuple[str, ...], tmp_path: Path) -> None:
    """`otelcol validate` reads every rule of the second layer."""
    (tmp_path / "secret").write_text("none")
    files = {f"EGOSCOPE_COLLECTOR_{name}_FILE": str(tmp_path / "secret") for name in ("TOKEN", "CERT", "KEY")}
    files |= {
        "EGOSCOPE_GATEWAY_ENDPOINT": "dns:///gateway:4317",
        "EGOSCOPE_GATEWAY_TOKEN_FILE": str(tmp_path / "secret"),
    }
    check("collector", "validate", *(f"--config={COLLECTOR / name}" for name in ("collector.yaml", *overlays)), **files)


def test_with_both_tokens_every_extension_of_either_overlay_is_started() -> None:
    """Lists replace each other; `otelcol validate` does not see that an authenticator is missing."""
    alone, asks, sends, both = [
        set(yaml.safe_load((COLLECTOR / name).read_text(encoding="utf-8"))["service"]["extensions"])
        for name in ("collector.yaml", "token.yaml", "agent-token.yaml", "both-tokens.yaml")
    ]
    assert both == asks | sends
    assert alone <= asks & sends


def test_prometheus(check: Checker) -> None:
    """`promtool check config` follows the rule files and targets too."""
    features = next(flag for flag in PROMETHEUS_FLAGS if flag.startswith("--enable-feature="))
    # That feature is the server's alone.
    known = features.replace("exemplar-storage,", "")
    check("promtool", known, "check", "config", REPOSITORY / "prometheus" / "prometheus.yml")


def test_alertmanager(check: Checker) -> None:
    """`amtool check-config` reads the configuration without receivers, and the message templates."""
    check("amtool", "check-config", REPOSITORY / "alertmanager" / "alertmanager.yml")


@pytest.mark.parametrize("receivers", ["webhook", "slack", "mail", "webhook,slack,mail"])
def test_alertmanager_with_receivers(check: Checker, receivers: str, tmp_path: Path) -> None:
    """What the renderer writes for each of them, and for all together."""
    for name in ("webhook-url", "slack-webhook-url", "smtp-password"):
        (tmp_path / name).write_text("https://receiver.example/" + name)
    mail = {"MAIL_TO": "you@example.com", "MAIL_FROM": "it@example.com", "MAIL_SMARTHOST": "mail.example.com:587"}
    settings = {"RECEIVERS": receivers, "MAIL_USER": "it", **mail}
    done = render(tmp_path / "out", tmp_path, settings, "--inline-webhook-url")
    assert done.returncode == 0, done.stderr
    check("amtool", "check-config", tmp_path / "out" / "alertmanager.yml")


def test_loki(check: Checker) -> None:
    """`loki -verify-config` knows every key."""
    check("loki", f"-config.file={REPOSITORY / 'loki' / 'loki.yaml'}", "-config.expand-env=true", "-verify-config")


def test_tempo(check: Checker) -> None:
    """`tempo -config.verify` knows every key and has no warning; Tempo may be missing even where the stack may not."""
    check(
        "tempo", f"-config.file={REPOSITORY / 'tempo' / 'tempo.yaml'}", "-config.expand-env=true", "-config.verify=true"
    )
