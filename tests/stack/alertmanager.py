"""Alertmanager with the configuration that alertmanager/render.py writes, and a webhook that takes its messages."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.stack.processes import ANSWER_S, PROCESSES, Server, Way, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

RENDER: Final = Path(__file__).resolve().parents[2] / "alertmanager" / "render.py"


def render(out: Path, secrets: Path, settings: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the renderer as docker compose does, with these settings (without EGOSCOPE_ALERT_) and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EGOSCOPE_")}
    environment = {**inherited, **{f"EGOSCOPE_ALERT_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-IS", str(RENDER), f"--out={out}", f"--files={secrets}", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class Alertmanager(Server):
    """Alertmanager on `port`, rendered from `settings`; `edit` may change the text of its configuration."""

    name = "alertmanager"

    def __init__(
        self,
        directory: Path,
        port: int,
        settings: Mapping[str, str],
        secrets: Path,
        *,
        edit: Callable[[str], str] = str,
        way: Way = PROCESSES,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ready_url = f"{self.url}/-/ready"
        configuration = directory / "alertmanager"
        # Debian's 0.25 cannot read the address from its file.
        done = render(configuration, secrets, settings, "--inline-webhook-url")
        assert done.returncode == 0, done.stderr
        file = configuration / "alertmanager.yml"
        file.write_text(edit(file.read_text()))
        command = [
            way.program("alertmanager"),
            f"--config.file={file}",
            f"--storage.path={directory / 'alertmanager-data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        super().__init__(command, directory, {}, way=way)

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """Return the alerts it knows that have these labels, held back ones too."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=ANSWER_S) as response:
            known: list[dict[str, Any]] = json.load(response)
        return [alert for alert in known if labels.items() <= alert["labels"].items()]

    def post(self, *alerts: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> None:
        """Report alerts that fire from now on, as Prometheus would, by their labels."""
        self._report([{"labels": labels, "annotations": annotations or {}} for labels in alerts])

    def inhibited(self, **labels: str) -> bool:
        """Whether it knows one alert with these labels, and something holds it back."""
        return [bool(alert["status"]["inhibitedBy"]) for alert in self.alerts(**labels)] == [True]

    def end(self, *alerts: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> None:
        """Report that these have ended."""
        now = datetime.now(UTC).isoformat()
        self._report([{"labels": labels, "annotations": annotations or {}, "endsAt": now} for labels in alerts])

    def _report(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=ANSWER_S).close()


class Webhook:
    """Takes what is posted to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.messages: list[dict[str, Any]] = []

    def alerts(self, status: str, **labels: str) -> list[dict[str, Any]]:
        """Return the alerts with this status (firing, resolved) and these labels, of all messages."""
        return [
            alert
            for message in list(self.messages)
            for alert in message["alerts"]
            if alert["status"] == status and labels.items() <= alert["labels"].items()
        ]

    def first(self, status: str, **labels: str) -> dict[str, Any]:
        """Wait for the first such alert in a message."""
        return wait_for(lambda: self.alerts(status, **labels), what=f"the webhook hears of {labels}, {status}")[0]

    @classmethod
    @contextlib.contextmanager
    def listening(cls) -> Generator[Webhook]:
        """Yield one that listens on a free loopback port."""
        taken: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name http.server has)
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        webhook = cls(f"http://127.0.0.1:{server.server_port}/alerts")
        webhook.messages = taken
        try:
            yield webhook
        finally:
            server.shutdown()
            server.server_close()
