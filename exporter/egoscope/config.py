"""Settings: from the environment (and a `.env` file), each checked once, early, and by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from egoscope.errors import ConfigError

_MIB: Final = 1024 * 1024


class Settings(BaseSettings):
    """Every setting of the sidecar. The environment name is `EGOSCOPE_` and the field's name in capitals.

    The two that say where ego-mcp logs have ego-mcp's own names: `EGO_MCP_LOG_PATH` and `EGO_MCP_LOG_DIR`.
    """

    model_config = SettingsConfigDict(
        env_prefix="EGOSCOPE_",
        env_file=".env",
        env_ignore_empty=True,  # docker compose hands on what nobody set as empty
        extra="ignore",
        frozen=True,
    )

    log_path: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="EGO_MCP_LOG_PATH",
        description="Files, directories or globs of ego-mcp's logs, separated by ':'",
    )
    log_dir: str = Field(
        default="/tmp",  # noqa: S108 (ego-mcp's own default)
        validation_alias="EGO_MCP_LOG_DIR",
        description="Directory of ego-mcp's logs, where EGO_MCP_LOG_PATH is not set",
    )
    kagura_path: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Kagura's telemetry databases: files, directories or globs, separated by ':'"
    )
    illumo_path: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="illumo's trace databases: files, directories or globs, separated by ':'"
    )
    price_file: Path | None = Field(
        default=None, description="Prices of models, laid over the packaged list where a model call tells no cost"
    )
    budget_usd: float | None = Field(
        default=None, gt=0, description="What agents may cost a month, in US dollars; drawn and alerted on where set"
    )
    state_dir: Path = Field(
        default=Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "egoscope",
        description="Where the state file, the pseudonym key and the embedded store are kept",
    )
    key_file: Path | None = Field(
        default=None, description="File with the 32-byte pseudonym key; made at first start (default: in the state dir)"
    )
    policy_dir: Path | None = Field(default=None, description="Directory with policies that extend the packaged ones")

    backend: Literal["collector", "embedded"] = Field(
        default="collector", description="Where to send: an OpenTelemetry Collector, or the embedded SQLite store"
    )
    collector_endpoint: str = Field(default="127.0.0.1:4317", description="host:port of the Collector's OTLP gRPC")
    collector_tls: bool = Field(default=False, description="Use TLS towards the Collector")
    collector_ca_file: Path | None = Field(default=None, description="PEM file of the CA; switches TLS on")
    collector_token_file: Path | None = Field(default=None, description="File with the bearer token for the Collector")
    send_timeout_s: float = Field(default=30.0, gt=0, description="Seconds to wait for the answer to one request")

    outbox_limit_mib: int = Field(default=256, ge=8, description="Bound of the outbox; reading stops there")
    batch_kib: int = Field(default=1024, ge=16, le=65536, description="Bytes of a file that make one batch, in KiB")
    max_line_mib: int = Field(default=16, ge=1, le=1024, description="Longer lines are passed over and counted")
    poll_s: float = Field(
        default=0.5, gt=0, le=1, description="Seconds between looks at the files without a notification"
    )
    keepalive_h: float = Field(default=24, ge=0, description="Hours for which a silent file's series are kept alive")
    prune_days: float = Field(default=30, gt=0, description="Days that the embedded store keeps")

    health_host: str = Field(default="127.0.0.1", description="Address of /healthz and /readyz")
    health_port: int = Field(
        default=13134, ge=0, le=65535, description="Port of /healthz and /readyz; 0 switches it off"
    )
    telemetry: bool = Field(default=True, description="Send the sidecar's own metrics and logs to the Collector")
    host_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$",
        description="host.name of everything sent; not sent unless set, for it may be a person's",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Level of the sidecar's own log on standard error"
    )

    prometheus_url: str = Field(
        default="http://127.0.0.1:9090", description="Where `doctor`, `monitor --stack` and `export --stack` ask it"
    )
    loki_url: str = Field(
        default="http://127.0.0.1:3100", description="Where `doctor`, `monitor --stack` and `export --stack` ask it"
    )
    tempo_url: str = Field(
        default="http://127.0.0.1:3200", description="Where `doctor`, `monitor --stack` and `export --stack` ask it"
    )
    collector_health_url: str = Field(default="http://127.0.0.1:13133", description="For `egoscope doctor`")

    @field_validator("log_path", "kagura_path", "illumo_path", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:  # noqa: ANN401
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator(
        "price_file", "state_dir", "key_file", "policy_dir", "collector_ca_file", "collector_token_file", mode="after"
    )
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value is not None else None

    @property
    def patterns(self) -> tuple[str, ...]:
        """Where to look for logs: files, directories or globs."""
        return self.log_path or (self.log_dir,)

    @property
    def key_path(self) -> Path:
        """Where the pseudonym key is."""
        return self.key_file or self.state_dir / "pseudonym.key"

    @property
    def store_path(self) -> Path:
        """Where the embedded store is."""
        return self.state_dir / "store.db"


def load_settings(**overrides: object) -> Settings:
    """Return the settings of the environment with overrides laid over. Raises ConfigError that names each option."""
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(f"{_option(one['loc'])}: {one['msg']}" for one in error.errors(include_input=False))
        raise ConfigError(f"settings: {problems}") from None


def _option(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "?"
    return name if name.startswith("EGO_MCP") else f"EGOSCOPE_{name.upper()}"
