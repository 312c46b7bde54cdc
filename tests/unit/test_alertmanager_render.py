"""What alertmanager/render.py makes of settings and secret files, and what it refuses."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.stack.alertmanager import render

BASE: Final = Path(__file__).resolve().parents[2] / "alertmanager" / "alertmanager.yml"
SECRET: Final = "https://hooks.example/T0PSECRET"
MAIL: Final = {"MAIL_TO": "you@example.com", "MAIL_FROM": "it@example.com", "MAIL_SMARTHOST": "mail.example.com:587"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A directory with every secret file."""
    for name in ("webhook-url", "slack-webhook-url"):
        (tmp_path / name).write_text(SECRET + "\n")
    (tmp_path / "smtp-password").write_text("T0PSECRET")
    return tmp_path


def rendered(secrets: Path, settings: dict[str, str], *options: str) -> dict[str, Any]:
    """Return the configuration that is written; the test fails with the sentence where there is none."""
    done = render(secrets / "out", secrets, settings, *options)
    assert done.returncode == 0, done.stderr
    assert "T0PSECRET" not in done.stdout + done.stderr
    return yaml.safe_load((secrets / "out" / "alertmanager.yml").read_text())


def receiver(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the receiver that alerts are sent to."""
    (found,) = [one for one in configuration["receivers"] if one["name"] == "egoscope"]
    return found


def test_without_receivers_nothing_differs_and_nothing_is_sent(secrets: Path) -> None:
    assert rendered(secrets, {}) == yaml.safe_load(BASE.read_text())
    assert receiver(rendered(secrets, {})) == {"name": "egoscope"}


def test_each_receiver_is_switched_on_by_its_name(secrets: Path) -> None:
    configuration = rendered(secrets, {"RECEIVERS": " mail, webhook ,slack", **MAIL})
    assert receiver(configuration).keys() == {"name", "webhook_configs", "slack_configs", "email_configs"}


def test_secrets_stay_in_their_files(secrets: Path) -> None:
    """Alertmanager reads them itself; what is written holds only where they are."""
    rendered(secrets, {"RECEIVERS": "webhook,slack,mail", "MAIL_USER": "it", **MAIL})
    text = (secrets / "out" / "alertmanager.yml").read_text()
    assert "T0PSECRET" not in text
    assert set(re.findall(r'_file: "(.*)"', text)) == {
        str(secrets / name) for name in ("webhook-url", "slack-webhook-url", "smtp-password")
    }


def test_before_0_26_the_webhooks_address_stands_in_it_for_its_owner_alone(secrets: Path) -> None:
    configuration = rendered(secrets, {"RECEIVERS": "webhook"}, "--inline-webhook-url")
    assert receiver(configuration)["webhook_configs"] == [{"send_resolved": True, "url": SECRET}]
    assert stat.S_IMODE((secrets / "out" / "alertmanager.yml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("least", "sent"),
    [
        pytest.param({}, "critical|warning", id="critical and warning unless set otherwise"),
        pytest.param({"SEVERITY": "critical"}, "critical", id="critical alone"),
        pytest.param({"SEVERITY": "info"}, "critical|warning|info", id="info too"),
    ],
)
def test_the_least_severity_that_is_sent(secrets: Path, least: dict[str, str], sent: str) -> None:
    (route,) = rendered(secrets, least)["route"]["routes"]
    assert route == {"receiver": "egoscope", "matchers": [f'severity =~ "{sent}"']}


def test_mail_asks_for_tls_unless_told_otherwise(secrets: Path) -> None:
    on = receiver(rendered(secrets, {"RECEIVERS": "mail", **MAIL}))["email_configs"][0]
    off = receiver(rendered(secrets, {"RECEIVERS": "mail", "MAIL_TLS": "no", **MAIL}))["email_configs"][0]
    assert (on["require_tls"], off["require_tls"]) == (True, False)
    assert "auth_username" not in on


@pytest.mark.parametrize(
    ("settings", "gone", "sentence"),
    [
        pytest.param({"RECEIVERS": "pager"}, "", "EGOSCOPE_ALERT_RECEIVERS: 'pager' is none of", id="unknown receiver"),
        pytest.param({"SEVERITY": "bad"}, "", "EGOSCOPE_ALERT_SEVERITY: 'bad' is none of", id="an unknown severity"),
        pytest.param(
            {"RECEIVERS": "webhook"},
            "webhook-url",
            "secrets/alerting/webhook-url is missing",
            id="webhook without address",
        ),
        pytest.param(
            {"RECEIVERS": "slack"},
            "slack-webhook-url",
            "secrets/alerting/slack-webhook-url",
            id="Slack without address",
        ),
        pytest.param(
            {"RECEIVERS": "mail", **MAIL, "MAIL_SMARTHOST": ""},
            "",
            "EGOSCOPE_ALERT_MAIL_SMARTHOST is missing",
            id="mail without a server",
        ),
        pytest.param(
            {"RECEIVERS": "mail", **MAIL, "MAIL_SMARTHOST": "mail.example.com"},
            "",
            "EGOSCOPE_ALERT_MAIL_SMARTHOST: 'mail.example.com' is no host:port",
            id="a mail server without a port",
        ),
        pytest.param(
            {"RECEIVERS": "mail", **MAIL, "MAIL_TO": ""}, "", "EGOSCOPE_ALERT_MAIL_TO is missing", id="mail to nobody"
        ),
        pytest.param(
            {"RECEIVERS": "mail", **MAIL, "MAIL_USER": "it"},
            "smtp-password",
            "secrets/alerting/smtp-password is missing",
            id="a mail user without a password",
        ),
        pytest.param(
            {"RECEIVERS": "mail", **MAIL, "MAIL_TLS": "maybe"}, "", "EGOSCOPE_ALERT_MAIL_TLS", id="half of TLS"
        ),
        pytest.param(
            {"RECEIVERS": "webhook", "WAY_OUT": "no"},
            "",
            "docker-compose.alerts.yml",
            id="a receiver that nothing can reach",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(
    secrets: Path, settings: dict[str, str], gone: str, sentence: str
) -> None:
    """And nothing is written, so that Alertmanager does not start with half of it."""
    if gone:
        (secrets / gone).unlink()
    done = render(secrets / "out", secrets, settings)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (secrets / "out").exists()


def test_a_secret_that_is_no_address_is_refused_and_not_quoted(secrets: Path) -> None:
    (secrets / "webhook-url").write_text("T0PSECRET")
    done = render(secrets / "out", secrets, {"RECEIVERS": "webhook"})
    assert done.returncode == 1
    assert "secrets/alerting/webhook-url holds no address" in done.stderr
    assert "T0PSECRET" not in done.stderr
