"""Write Alertmanager's configuration: alertmanager.yml, plus the receivers that settings switch on.

    python3 alertmanager/render.py --out DIRECTORY [--files DIRECTORY] [--inline-webhook-url]

Alertmanager reads no environment, so this runs before it. The result is `DIRECTORY/alertmanager.yml` and the message
templates beside it. Settings come from the environment; .env.example lists them:

    EGOSCOPE_ALERT_RECEIVERS        any of webhook, slack, mail, by commas; empty: alerts are only shown in Grafana
    EGOSCOPE_ALERT_SEVERITY         the least that is sent: critical, warning (default) or info
    EGOSCOPE_ALERT_SLACK_CHANNEL    a channel other than the one of Slack's webhook
    EGOSCOPE_ALERT_MAIL_TO, EGOSCOPE_ALERT_MAIL_FROM, EGOSCOPE_ALERT_MAIL_SMARTHOST (host:port),
    EGOSCOPE_ALERT_MAIL_USER
    EGOSCOPE_ALERT_MAIL_TLS         yes (default) or no

Secrets stay in their files, Alertmanager reads them itself: webhook-url, slack-webhook-url, smtp-password (only with
EGOSCOPE_ALERT_MAIL_USER). `--inline-webhook-url` is for Alertmanager before 0.26, which cannot read the first from
a file: the result then holds it. Only the owner may read the result either way.
Exit status 1: a setting is wrong, and the sentence on standard error names it. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE: Final = Path(__file__).resolve().parent
BASE: Final = HERE / "alertmanager.yml"
TEMPLATES: Final = HERE / "templates"

PREFIX: Final = "EGOSCOPE_ALERT_"
RECEIVERS: Final = ("webhook", "slack", "mail")
SEVERITIES: Final = ("critical", "warning", "info")
DEFAULT_SEVERITIES: Final = 'severity =~ "critical|warning"'
LAST_LINE: Final = "  - name: egoscope\n"
ADDRESS: Final = re.compile(r"https?://[^\s/]+(/\S*)?")
HOST_AND_PORT: Final = re.compile(r"[^\s:]+:\d{1,5}")


class SettingError(Exception):
    """A setting or a secret file is wrong; the text names it, says what would be right, and never quotes a secret."""


class Settings:
    """What the environment says, by name without the prefix. Unset and empty are the same."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __getitem__(self, name: str) -> str:
        return self._environment.get(PREFIX + name, "").strip()

    def needed(self, name: str, why: str) -> str:
        """Return a setting that must be there."""
        value = self[name]
        if not value:
            raise SettingError(f"{PREFIX}{name} is missing: {why}")
        return value

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """Return one of a few words."""
        value = self[name] or default
        if value not in choices:
            raise SettingError(f"{PREFIX}{name}: {value!r} is none of {', '.join(choices)}")
        return value


def receivers(settings: Settings) -> list[str]:
    """Return the receivers that are switched on, each once."""
    named = [name.strip() for name in settings["RECEIVERS"].split(",") if name.strip()]
    if unknown := [name for name in named if name not in RECEIVERS]:
        raise SettingError(f"{PREFIX}RECEIVERS: {unknown[0]!r} is none of {', '.join(RECEIVERS)}")
    return [name for name in RECEIVERS if name in named]


def secret(directory: Path, name: str, receiver: str, *, address: bool) -> tuple[Path, str]:
    """Return a secret file and what it holds, having made sure that Alertmanager can use it."""
    file = directory / name
    try:
        content = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        content = ""
    except OSError as error:
        reason = error.strerror
        raise SettingError(
            f"secrets/alerting/{name} cannot be read ({reason}): it must be readable for user {os.getuid()} (chmod 444)"
        ) from None
    if not content:
        raise SettingError(
            f"{PREFIX}RECEIVERS names {receiver}, but secrets/alerting/{name} is missing or empty: write it there"
        )
    if address and not ADDRESS.fullmatch(content):
        raise SettingError(f"secrets/alerting/{name} holds no address: it must be one line that begins with https://")
    return file, content


def webhook(secrets: Path, *, inline: bool) -> dict[str, object]:
    """Return a webhook receiver: Alertmanager's own JSON is posted there."""
    file, content = secret(secrets, "webhook-url", "webhook", address=True)
    return {"send_resolved": True, **({"url": content} if inline else {"url_file": str(file)})}


def slack(settings: Settings, secrets: Path) -> dict[str, object]:
    """Return a Slack receiver; an incoming webhook knows its channel, though Alertmanager asks for one."""
    file, _ = secret(secrets, "slack-webhook-url", "slack", address=True)
    return {
        "send_resolved": True,
        "api_url_file": str(file),
        "channel": settings["SLACK_CHANNEL"],
        "title": '{{ template "egoscope.title" . }}',
        "title_link": "{{ with index .Alerts 0 }}{{ .Annotations.dashboard_url }}{{ end }}",
        "text": '{{ template "egoscope.slack.text" . }}',
        "fallback": '{{ template "egoscope.title" . }}',
        "color": '{{ template "egoscope.color" . }}',
    }


def mail(settings: Settings, secrets: Path) -> dict[str, object]:
    """Return a mail receiver."""
    because = f"{PREFIX}RECEIVERS names mail"
    smarthost = settings.needed("MAIL_SMARTHOST", f"{because}, so it needs the server that takes mail, as host:port")
    if not HOST_AND_PORT.fullmatch(smarthost):
        raise SettingError(f"{PREFIX}MAIL_SMARTHOST: {smarthost!r} is no host:port, such as smtp.example.com:587")
    configuration: dict[str, object] = {
        "send_resolved": True,
        "to": settings.needed("MAIL_TO", f"{because}, so it needs an address to send to"),
        "from": settings.needed("MAIL_FROM", f"{because}, so it needs an address to send from"),
        "smarthost": smarthost,
        "require_tls": settings.choice("MAIL_TLS", ("yes", "no"), "yes") == "yes",
        "headers": {"Subject": '{{ template "egoscope.title" . }}'},
        "text": '{{ template "egoscope.mail.text" . }}',
        "html": "",
    }
    if user := settings["MAIL_USER"]:
        file, _ = secret(secrets, "smtp-password", f"mail and {PREFIX}MAIL_USER a user", address=False)
        configuration |= {"auth_username": user, "auth_password_file": str(file)}
    return configuration


def render(environment: Mapping[str, str], secrets: Path, *, inline_webhook_url: bool = False) -> str:
    """Return the whole configuration as YAML; SettingError where something is wrong."""
    settings = Settings(environment)
    least = settings.choice("SEVERITY", SEVERITIES, "warning")
    sent = "|".join(SEVERITIES[: SEVERITIES.index(least) + 1])
    text = BASE.read_text(encoding="utf-8").replace(DEFAULT_SEVERITIES, f'severity =~ "{sent}"')
    if not text.endswith(LAST_LINE):
        raise SettingError(f"{BASE.name} must end with the receiver egoscope")
    for name in receivers(settings):
        match name:
            case "webhook":
                key, configuration = "webhook_configs", webhook(secrets, inline=inline_webhook_url)
            case "slack":
                key, configuration = "slack_configs", slack(settings, secrets)
            case _:
                key, configuration = "email_configs", mail(settings, secrets)
        lines = [f"        {field}: {json.dumps(value)}\n" for field, value in configuration.items()]  # JSON is YAML
        lines[0] = "      - " + lines[0].lstrip()
        text += f"    {key}:\n" + "".join(lines)
    return text


def check_way_out(environment: Mapping[str, str]) -> None:
    """Refuse receivers that nothing can reach: in docker compose the way out is a file of its own."""
    settings = Settings(environment)
    if settings["WAY_OUT"] == "no" and (named := receivers(settings)):
        raise SettingError(
            f"{PREFIX}RECEIVERS names {', '.join(named)}, but Alertmanager has no way out: "
            "set COMPOSE_FILE=docker-compose.yml:docker-compose.alerts.yml"
        )


def write(file: Path, text: str) -> None:
    """Put a file in place whole, for its owner alone to read."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
        stream.write(text)
    fresh.replace(file)


def main(arguments: Sequence[str]) -> int:
    """Write the configuration and say who is told; return the exit status."""
    parser = argparse.ArgumentParser(prog="render", description="Write Alertmanager's configuration.")
    parser.add_argument("--out", type=Path, required=True, help="directory to write to")
    parser.add_argument(
        "--files", type=Path, default=HERE.parent / "secrets" / "alerting", help="where secret files are"
    )
    parser.add_argument("--inline-webhook-url", action="store_true", help="for Alertmanager before 0.26")
    options = parser.parse_args(arguments)
    try:
        check_way_out(os.environ)
        text = render(os.environ, options.files.resolve(), inline_webhook_url=options.inline_webhook_url)
    except SettingError as error:
        print(error, file=sys.stderr)
        return 1
    templates = options.out / TEMPLATES.name
    templates.mkdir(mode=0o700, parents=True, exist_ok=True)
    for template in TEMPLATES.glob("*.tmpl"):
        write(templates / template.name, template.read_text(encoding="utf-8"))
    write(options.out / "alertmanager.yml", text)
    told = receivers(Settings(os.environ))
    print("Alerts are shown in Grafana" + (f" and sent by {', '.join(told)}." if told else " and sent to nobody."))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
