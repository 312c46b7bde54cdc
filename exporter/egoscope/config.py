"""Settings: from the environment (and a `.env` file), each checked once, early, and by its name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from egoscope.errors import ConfigError

_MIB: Final = 1024 * 1024

WORKER_GROUPS: Final = 32
"""How many groups of worker processes there may be: each is a value of a label."""
WORKERS_EXPECTED: Final = 3
_GROUP: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


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
    tracerdb_path: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Flows recorded into a SQLiteTracerDB: files, directories or globs, separated by ':'"
    )
    koubou_path: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Koubou's databases: files, directories or globs, separated by ':'"
    )
    koubou_url: str | None = Field(
        default=None,
        pattern=r"^wss?://[^\s@]+$",
        description="Koubou's WebSocket, such as ws://127.0.0.1:8766; its messages only say when to look",
    )
    worker_lost_s: float = Field(
        default=60.0, gt=0, description="Seconds without a heartbeat after which a worker counts as lost"
    )
    workers_expected: int | None = Field(
        default=None,
        ge=0,
        description="How many workers there should be at least (default: 3 where any are followed)",
    )
    worker_processes: Annotated[tuple[tuple[str, str], ...], NoDecode] = Field(
        default=(),
        description="Worker processes of other programs: `group=pattern`, a regular expression that is looked for in a "
        "process's name and command line; several separated by ';'. Only their number leaves",
    )
    worker_pid_files: Annotated[tuple[tuple[str, str], ...], NoDecode] = Field(
        default=(),
        description="Worker processes of other programs: `group=file` or `group=glob` of pid files; several separated "
        "by ';'",
    )
    proc_path: Path = Field(
        default=Path("/proc"), description="Where the kernel tells of processes, for the two settings above"
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

    @field_validator("log_path", "kagura_path", "illumo_path", "tracerdb_path", "koubou_path", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:  # noqa: ANN401
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("worker_processes", "worker_pid_files", mode="before")
    @classmethod
    def _grouped(cls, value: Any) -> Any:  # noqa: ANN401
        return _groups(value) if isinstance(value, str) else value

    @field_validator("worker_processes", mode="after")
    @classmethod
    def _compile(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for group, pattern in value:
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                pos = error.pos if isinstance(error, re.error) else None
                where = "" if pos is None else f", see position {pos}"
                raise ValueError(f"the pattern of {group} is no regular expression{where}") from None
        return value

    @field_validator("worker_pid_files", mode="after")
    @classmethod
    def _few(cls, value: tuple[tuple[str, str], ...], others: ValidationInfo) -> tuple[tuple[str, str], ...]:
        if len({group for group, _ in (*others.data.get("worker_processes", ()), *value)}) > WORKER_GROUPS:
            raise ValueError(f"more than {WORKER_GROUPS} groups, those of EGOSCOPE_WORKER_PROCESSES among them")
        return value

    @field_validator("worker_pid_files", mode="after")
    @classmethod
    def _expand_each(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple((group, str(_expanded(Path(path)))) for group, path in value)

    @field_validator(
        "price_file", "state_dir", "key_file", "policy_dir", "collector_ca_file", "collector_token_file", mode="after"
    )
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return _expanded(value) if value is not None else None

    @property
    def patterns(self) -> tuple[str, ...]:
        """Where to look for logs: files, directories or globs."""
        return self.log_path or (self.log_dir,)

    @property
    def least_workers(self) -> int | None:
        """How many workers there should be at least; None where none are followed and nobody said."""
        if self.workers_expected is not None:
            return self.workers_expected
        return WORKERS_EXPECTED if self.koubou_path or self.worker_processes or self.worker_pid_files else None

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


def _groups(value: str) -> tuple[tuple[str, str], ...]:
    """Return the entries of a list `group=what;group=what`. Raises ValueError, which does not quote them."""
    found: list[tuple[str, str]] = []
    for number, entry in enumerate(filter(None, (part.strip() for part in value.split(";"))), 1):
        group, equals, what = (part.strip() for part in entry.partition("="))
        if not equals or not what:
            raise ValueError(f"entry {number} is not of the form group=what; entries are separated by ';'")
        if not _GROUP.fullmatch(group):
            raise ValueError(
                f"entry {number}: a group is named by a letter, then letters, digits, '_', '.', '-', 64 at most"
            )
        found.append((group, what))
    if len({group for group, _ in found}) > WORKER_GROUPS:
        raise ValueError(f"more than {WORKER_GROUPS} groups")
    return tuple(found)


def _expanded(path: Path) -> Path:
    """Return a path with `~` expanded. Raises ValueError, which does not quote it."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("a path begins with the home directory of a user that is not known: name it in full") from None


def _option(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "?"
    return name if name.startswith("EGO_MCP") else f"EGOSCOPE_{name.upper()}"
