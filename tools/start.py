"""Start the stack with docker compose, on the agent's log or on the demo, and say where Grafana is.

    python3 tools/start.py

The log directory is $EGO_MCP_LOG_DIR (from the environment or .env), else ego-mcp's own default. Where none is named,
nor a directory by $KAGURA_DB_DIR, $ILLUMO_DB_DIR, $TRACERDB_DIR or $KOUBOU_DB_DIR, and the default holds no log of
ego-mcp, the demo plays in a volume of its own. What is named is followed, also while it holds nothing yet. The sidecar
runs as the directory's owner, who may read it. All of this is left in .env, where a bare `docker compose` finds it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import env_file
import secret

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY: Final = Path(__file__).resolve().parent.parent
EGO_MCP_DEFAULT: Final = "/tmp"  # noqa: S108 (ego-mcp's own default)
LOGS: Final = "ego-mcp-*.log"
DATABASES: Final = ("KAGURA_DB_DIR", "ILLUMO_DB_DIR", "TRACERDB_DIR", "KOUBOU_DB_DIR")
CHOSEN: Final = ("EGO_MCP_LOG_DIR", *DATABASES, "EGOSCOPE_UID", "EGOSCOPE_GID", "TZ")


def setting(name: str, default: str) -> str:
    """Return a setting as docker compose sees it: the environment before .env."""
    return os.environ.get(name) or env_file.written(REPOSITORY / ".env").get(name) or default


def timezone() -> str:
    """Return this machine's time zone by name, so that an hour of the day means the same in the container; else UTC."""
    zone = Path("/etc/localtime").resolve()
    return str(zone).partition("zoneinfo/")[2] or "UTC"


def surroundings() -> tuple[dict[str, str], list[str]]:
    """Return the environment for docker compose, and the profiles to switch on."""
    named = setting("EGO_MCP_LOG_DIR", "")
    logs = Path(named or EGO_MCP_DEFAULT).expanduser().resolve()
    environment = {**os.environ, "TZ": setting("TZ", timezone())}
    databases = {name: Path(path).expanduser().resolve() for name in DATABASES if (path := setting(name, ""))}
    environment |= {name: str(path) for name, path in databases.items()}
    for name, path in (databases | ({"EGO_MCP_LOG_DIR": logs} if named else {})).items():
        if not path.is_dir():  # Docker would make it, as root's
            sys.exit(f"{name}: there is no directory {path}. Make it, or name another in .env.")
    if named or any(logs.glob(LOGS)):
        environment["EGO_MCP_LOG_DIR"] = str(logs)
        owner = logs.stat()
        if not any(logs.glob(LOGS)):
            print(f"No ego-mcp log in {logs} yet: it is followed as soon as there is one.")
    else:
        environment["EGO_MCP_LOG_DIR"] = ""  # and not none at all: .env may name the directory
        if not databases:
            print(f"No ego-mcp log in {logs}: playing the demo.")
            return environment, ["--profile", "demo"]
        print(f"No ego-mcp log in {logs}: showing the other agents alone.")
        owner = next(path.stat() for path in databases.values())
    if owner.st_uid != 0:  # never as root; a directory of root's must be open to others
        environment.setdefault("EGOSCOPE_UID", setting("EGOSCOPE_UID", str(owner.st_uid)))
        environment.setdefault("EGOSCOPE_GID", setting("EGOSCOPE_GID", str(owner.st_gid)))
    return environment, []


def leave(environment: Mapping[str, str]) -> None:
    """Leave what was chosen in .env: else a bare `docker compose up` would give the sidecar another user and log."""
    path = REPOSITORY / ".env"
    try:
        env_file.choose(path, {name: environment[name] for name in CHOSEN if environment.get(name)})
    except OSError as error:
        print(f"{path} cannot be written ({error.strerror}): for a change use `make start`, not `docker compose up`.")


def main() -> int:
    """Start, wait until all is healthy, and tell where to look."""
    password = secret.ensure()
    environment, profiles = surroundings()
    leave(environment)
    command = ["docker", "compose", *profiles, "up", "--detach", "--build", "--wait"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)
    if done.returncode == 0:
        port = setting("EGOSCOPE_GRAFANA_PORT", "3000")
        print(f"Grafana: http://127.0.0.1:{port}  user admin, password in {password.relative_to(REPOSITORY)}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
