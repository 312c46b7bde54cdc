"""A real Grafana as a plain process, with the repository's own settings, data sources and dashboards."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.stack.processes import ANSWER_S, PROCESSES, MissingServerError, Server, log_of, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY: Final = Path(__file__).resolve().parents[2]
DASHBOARDS: Final = REPOSITORY / "grafana" / "dashboards"
ADMIN: Final = "admin"
PASSWORD: Final = "not-a-secret-on-loopback"
HOMES: Final = ("/usr/share/grafana",)


def home_of(program: Path) -> Path:
    """Return Grafana's home, the folder with conf/ and public/; MissingServerError says what was looked at."""
    given = os.environ.get("EGOSCOPE_GRAFANA_HOME")
    candidates = [Path(given).expanduser()] if given else [program.resolve().parent.parent, *map(Path, HOMES)]
    for home in candidates:
        if (home / "conf" / "defaults.ini").is_file() and (home / "public" / "build").is_dir():
            return home
    looked = ", ".join(map(str, candidates))
    raise MissingServerError(f"grafana: no home with conf/ and public/build/ at {looked}: see $EGOSCOPE_GRAFANA_HOME")


class Grafana(Server):
    """Grafana on `port`, reading what docker compose would mount; `urls`: the addresses of the back ends."""

    name = "grafana"

    def __init__(self, directory: Path, port: int, urls: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ready_url = f"{self.url}/api/health"
        program = PROCESSES.program("grafana")
        own = directory / "grafana"
        own.mkdir(parents=True, exist_ok=True)
        environment = {
            **urls,
            "EGOSCOPE_DASHBOARDS": str(DASHBOARDS),
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_PATHS_PROVISIONING": str(REPOSITORY / "grafana" / "provisioning"),
            "GF_PATHS_DATA": str(own / "data"),
            "GF_PATHS_PLUGINS": str(own / "plugins"),
            "GF_PATHS_LOGS": str(own / "log"),
            "GF_SECURITY_ADMIN_PASSWORD": PASSWORD,
        }
        command: list[str | Path] = [program, *(["server"] if program.name == "grafana" else [])]
        command += ["--homepath", home_of(program), "--config", REPOSITORY / "grafana" / "grafana.ini"]
        super().__init__(command, directory, environment)

    def start(self) -> None:
        """Start it and return when it answers and has read its dashboards."""
        super().start()
        expected = len(list(DASHBOARDS.glob("*.json")))
        wait_for(lambda: len(self.dashboards()) >= expected, what="all dashboards are provisioned")

    def said(self) -> list[str]:
        """Return the lines it has logged."""
        return log_of(self.name, self._directory).read_text(errors="replace").splitlines()

    def errors(self) -> list[str]:
        """Return the lines it has logged at level error or worse."""
        return [line for line in self.said() if "level=error" in line or "level=crit" in line]

    def dashboards(self) -> list[dict[str, Any]]:
        """Return what a search for our tag finds."""
        return self.api("/api/search?tag=egoscope&type=dash-db")

    def reload(self) -> None:
        """Read the dashboards anew at once."""
        self.api("/api/admin/provisioning/dashboards/reload", method="POST")

    def api(self, path: str, *, method: str = "GET") -> Any:
        """Ask its HTTP API as the administrator and return the JSON answer."""
        return api(self.url, path, method=method)


def version_of(url: str) -> str:
    """Return the version of a running Grafana: it tells it only to those who are logged in."""
    return str(api(url, "/api/frontend/settings")["buildInfo"]["version"])


def api(url: str, path: str, *, method: str = "GET") -> Any:
    """Ask a running Grafana's HTTP API as the administrator and return the JSON answer."""
    key = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(f"{url}{path}", headers={"Authorization": f"Basic {key}"}, method=method)
    with urllib.request.urlopen(request, timeout=ANSWER_S) as response:
        return json.load(response)
