"""Names in the environment and in `.env` that nothing here reads: misspelt ones, and docker compose's.

A name that is not known is not an error, for what a newer egoscope reads may stand in the same `.env`.
"""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from egoscope.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX: Final = "EGOSCOPE_"
_FIELDS: Final = {
    f"{_PREFIX}{name.upper()}": str(field.validation_alias or f"{_PREFIX}{name.upper()}")
    for name, field in Settings.model_fields.items()
}
"""What every setting would be called, and is."""
SETTINGS: Final = frozenset(_FIELDS.values())

_COMPOSE_ONLY: Final = tuple(
    _PREFIX + name
    for name in (
        *("ALERTMANAGER_MEMORY", "ALERT_MAIL_FROM", "ALERT_MAIL_SMARTHOST", "ALERT_MAIL_TLS", "ALERT_MAIL_TO"),
        *("ALERT_MAIL_USER", "ALERT_RECEIVERS", "ALERT_SEVERITY", "ALERT_SLACK_CHANNEL", "API_ALERTMANAGER_PORT"),
        *("API_LOKI_PORT", "API_PROMETHEUS_PORT", "API_TEMPO_PORT", "BASE_IMAGE", "BUILD_IMAGE"),
        *("COLLECTOR_LIMIT_MIB", "COLLECTOR_MEMORY", "COLLECTOR_OVERLAY", "GID", "GRAFANA_ANONYMOUS"),
        *("GRAFANA_HTTPS", "GRAFANA_MEMORY", "GRAFANA_PORT", "GRAFANA_URL", "HEALTH_INTERVAL", "HOST_DISKS"),
        *("HOST_INTERFACES", "HOST_INTERVAL", "HOST_MOUNT_POINTS", "IMAGE", "IMAGE_ALERTMANAGER"),
        *("IMAGE_COLLECTOR", "IMAGE_GRAFANA", "IMAGE_LOKI", "IMAGE_PROMETHEUS", "IMAGE_TEMPO", "LOKI_MEMORY"),
        *("LOKI_RETENTION", "MACHINE_A_LOG_DIR", "MACHINE_B_LOG_DIR", "PROMETHEUS_MEMORY"),
        *("PROMETHEUS_RETENTION", "PROMETHEUS_RETENTION_SIZE", "RUNBOOKS_URL", "SIDECAR_MEMORY"),
        *("TEMPO_MEMORY", "TEMPO_RETENTION", "UID"),
    )
)
COMPOSE: Final[dict[str, str]] = {
    "KAGURA_DB_DIR": "EGOSCOPE_KAGURA_PATH",
    "KAGURA_DB_NAME": "EGOSCOPE_KAGURA_PATH",
    "ILLUMO_DB_DIR": "EGOSCOPE_ILLUMO_PATH",
    "ILLUMO_DB_NAME": "EGOSCOPE_ILLUMO_PATH",
    "TRACERDB_DIR": "EGOSCOPE_TRACERDB_PATH",
    "TRACERDB_NAME": "EGOSCOPE_TRACERDB_PATH",
    "KOUBOU_DB_DIR": "EGOSCOPE_KOUBOU_PATH",
    "KOUBOU_DB_NAME": "EGOSCOPE_KOUBOU_PATH",
    "WORKER_PID_DIR": "EGOSCOPE_WORKER_PID_FILES",
    **dict.fromkeys(_COMPOSE_ONLY, ""),
}
"""Settings of docker compose, as `.env.example` lists them, and the setting that stands in their place without it."""

ELSEWHERE: Final = frozenset(
    _PREFIX + name
    for name in (
        # The files that servers read, where they run as plain processes.
        *("ALERTMANAGER_URL", "ALERT_WAY_OUT", "COLLECTOR_CERT_FILE", "COLLECTOR_HEALTH_LISTEN", "COLLECTOR_KEY_FILE"),
        *("COLLECTOR_METRICS_HOST", "COLLECTOR_METRICS_PORT", "COLLECTOR_OWN_LISTEN", "DASHBOARDS"),
        *("GATEWAY_CA_FILE", "GATEWAY_COMPRESSION", "GATEWAY_CONNECTION_AGE", "GATEWAY_ENDPOINT", "GATEWAY_INSECURE"),
        *("GATEWAY_TOKEN_FILE", "HOST_ROOT", "HOST_STATES", "LOKI_DIR", "LOKI_GRPC_PORT", "LOKI_HOST", "LOKI_PORT"),
        *("OTLP_LISTEN", "TEMPO_DIR", "TEMPO_ENDPOINT", "TEMPO_GRPC_PORT", "TEMPO_HOST", "TEMPO_OTLP_LISTEN"),
        "TEMPO_PORT",
        # Tools and tests of the repository.
        *("CHROMIUM", "ENGINE_DIR", "EXAMPLES", "GRAFANA_HOME", "ILLUMO_FLOW", "REQUIRE_DOCKER", "REQUIRE_STACK"),
        *("REWRITE_GOLDEN", "SCREENSHOTS", "STACK", "STACK_BIN", "STACK_DIR"),
    )
)
"""What is read by other parts than the sidecar and its commands."""


NOT_HERE: Final = "read by docker compose and the servers, not by egoscope itself"


class OddName(NamedTuple):
    """A name that is set and does nothing: why, and what to do. Its value is not looked at."""

    name: str
    sentence: str
    remedy: str


def names_set() -> list[str]:
    """Return the names that are set to something, in the environment or in `.env`, in capitals."""
    found: set[str] = set()
    for kind in (EnvSettingsSource, DotEnvSettingsSource):
        with suppress(OSError, ValueError):  # a `.env` that cannot be read: loading settings says so
            found |= {name.upper() for name, value in kind(Settings).env_vars.items() if value}
    return sorted(name for name in found if name.startswith(_PREFIX) or name in COMPOSE)


def odd_names(names: Iterable[str]) -> tuple[list[OddName], list[str]]:
    """Return which of these names do nothing though something was meant, and which are only docker compose's."""
    given = set(names)
    odd: list[OddName] = []
    for name in sorted(given - SETTINGS - ELSEWHERE):
        if name not in COMPOSE:
            known = {**dict.fromkeys((*SETTINGS, *COMPOSE, *ELSEWHERE)), **_FIELDS}
            nearest = next(iter(get_close_matches(name, known, n=1, cutoff=0.75)), None)
            meant = nearest and (known[nearest] or nearest)
            remedy = f"did you mean {meant}?" if meant else "docs/configuration.md has all settings"
            odd.append(OddName(name, "is read by nothing here", remedy))
        elif (instead := COMPOSE[name]) and instead not in given:
            odd.append(OddName(name, "is read by docker compose only", f"without it set {instead}"))
    return odd, sorted(name for name in given if COMPOSE.get(name) == "")
