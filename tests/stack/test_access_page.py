"""docs/access.md: its commands and roles with a real Grafana, its reverse proxy with a real nginx."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.pages import DOCS, blocks
from tests.stack.conftest import missing
from tests.stack.grafana import ADMIN, PASSWORD, Grafana
from tests.stack.nginx import Nginx
from tests.stack.processes import ANSWER_S, MissingServerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

PAGE: Final = DOCS / "access.md"
ADA: Final = "a-good-password"
DASHBOARD: Final = json.dumps({"dashboard": {"title": "Mine", "panels": []}, "overwrite": True})
SILENCE: Final = json.dumps(
    {
        "matchers": [{"name": "alertname", "value": "x", "isEqual": True, "isRegex": False}],
        "startsAt": "2099-01-01T00:00:00Z",
        "endsAt": "2099-01-01T01:00:00Z",
        "createdBy": "ada",
        "comment": "tried",
    }
)
ASK: Final = json.dumps(
    {"queries": [{"refId": "A", "datasource": {"uid": "prometheus"}, "expr": "1"}], "from": "now-1m", "to": "now"}
)
# What is asked, and as which roles it is allowed: by the first digit of the answer's status, 4 being a refusal.
REQUESTS: Final = {
    "look at a dashboard": ("GET", "/api/dashboards/uid/egoscope-now", None, {"Viewer", "Editor", "Admin"}),
    "ask a data source": ("POST", "/api/ds/query", ASK, {"Viewer", "Editor", "Admin"}),
    "save a dashboard": ("POST", "/api/dashboards/db", DASHBOARD, {"Editor", "Admin"}),
    "see data sources": ("GET", "/api/datasources", None, {"Viewer", "Editor", "Admin"}),
    "change a data source": ("DELETE", "/api/datasources/uid/prometheus", None, set[str]()),
    "remove a dashboard of the folder": ("DELETE", "/api/dashboards/uid/egoscope-now", None, set[str]()),
    "see accounts": ("GET", "/api/org/users", None, {"Admin"}),
    "make a silence": (
        "POST", "/api/alertmanager/grafana/api/v2/silences", SILENCE, {"Editor", "Admin"},
    ),
}  # fmt: skip


def grafana_on(directory: Path, **environment: str) -> Grafana:
    """Return a Grafana that is not running yet; its back ends are nowhere."""
    (port,) = free_ports(1)
    nowhere = "http://127.0.0.1:9"
    urls = {f"EGOSCOPE_{name}_URL": nowhere for name in ("PROMETHEUS", "LOKI", "TEMPO", "ALERTMANAGER")}
    try:
        return Grafana(directory, port, {**urls, **environment})
    except MissingServerError as error:
        missing(str(error)) if os.environ.get("EGOSCOPE_GRAFANA_HOME") else pytest.skip(str(error))


@contextlib.contextmanager
def running(grafana: Grafana) -> Generator[Grafana]:
    try:
        grafana.start()
        yield grafana
    finally:
        grafana.stop()


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    directory = tmp_path_factory.mktemp("access")
    (directory / "secrets").mkdir(mode=0o700)
    (directory / "secrets" / "grafana-admin-password").write_text(PASSWORD)
    with running(grafana_on(directory)) as started:
        yield started


def status(url: str, login: str | None, method: str, path: str, body: str | None) -> int:
    """Return how a request is answered."""
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    data = body.encode() if body else None
    request = urllib.request.Request(f"{url}{path}", data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def accounts() -> tuple[str, str]:
    """Return the page's commands: to make an account, and to change and remove it."""
    found = [block.code for block in blocks(PAGE) if block.section == "Accounts"]
    assert len(found) == 2
    return found[0], found[1]


def run(grafana: Grafana, script: str) -> str:
    """Run commands of the page as somebody who types the password."""
    directory = grafana.directory
    script = script.replace("http://127.0.0.1:3000", grafana.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=directory, input=f"{ADA}\n", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ADA not in done.stdout + done.stderr
    return done.stdout


def test_the_commands_of_the_page_make_a_viewer_change_her_role_and_remove_her(grafana: Grafana) -> None:
    make, change = accounts()
    (ada,) = json.loads(run(grafana, make).strip())
    assert (ada["login"], ada["role"]) == ("ada", "Viewer")
    promote, remove = change.strip().splitlines()
    again = f"as_admin() {{{make.split('as_admin() {')[1].split(chr(10) + '}')[0]}\n}}\nUSER_ID={ada['userId']}\n"
    again += f"GRAFANA={grafana.url}\n"
    assert "updated" in run(grafana, again + promote)
    assert [one["role"] for one in grafana.api("/api/org/users?query=ada")] == ["Editor"]
    assert "deleted" in run(grafana, again + remove)
    assert not grafana.api("/api/org/users?query=ada")


@pytest.fixture(scope="module")
def logins(grafana: Grafana) -> dict[str, str]:
    """One account of each role."""
    made: dict[str, str] = {}
    for role in ("Viewer", "Editor", "Admin"):
        answer = as_admin(
            grafana, "POST", "/api/admin/users", {"login": role.lower() + "s", "password": ADA, "name": role}
        )
        as_admin(grafana, "PATCH", f"/api/org/users/{answer['id']}", {"role": role})
        made[role] = f"{role.lower()}s:{ADA}"
    return made


def as_admin(grafana: Grafana, method: str, path: str, body: dict[str, str]) -> Any:
    login = "Basic " + base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": login}
    request = urllib.request.Request(
        f"{grafana.url}{path}", data=json.dumps(body).encode(), headers=headers, method=method
    )
    with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
        return json.load(answer)


@pytest.mark.parametrize("role", ["Viewer", "Editor", "Admin", None])
@pytest.mark.parametrize("what", REQUESTS)
def test_a_role_may_do_what_the_page_says_and_no_more(
    grafana: Grafana, logins: dict[str, str], what: str, role: str | None
) -> None:
    """Who has no account may do nothing. A data source that is down answers with a status of its own."""
    method, path, body, allowed = REQUESTS[what]
    answered = status(grafana.url, logins[role] if role else None, method, path, body)
    if role in allowed:
        assert answered not in {401, 403}
    else:
        assert answered in ({401} if role is None else {400, 403})


@pytest.mark.parametrize("asked_for", [False, True])
def test_nobody_looks_without_a_password_unless_it_is_asked_for(tmp_path: Path, asked_for: bool) -> None:
    """And then looks, and no more."""
    environment = {"EGOSCOPE_GRAFANA_ANONYMOUS": "true"} if asked_for else {}
    with running(grafana_on(tmp_path, **environment)) as grafana:
        looked = status(grafana.url, None, *REQUESTS["look at a dashboard"][:3])
        saved = status(grafana.url, None, *REQUESTS["save a dashboard"][:3])
    assert (looked, saved) == ((200, 403) if asked_for else (401, 401))


def proxied(page: str, tmp_path: Path, grafana: Grafana) -> Nginx:
    """Return an nginx with the page's configuration, in front of a Grafana."""
    http, https = free_ports(2)
    return Nginx(
        tmp_path / "nginx",
        https,
        page,
        {
            "listen 80;": f"listen 127.0.0.1:{http};",
            "listen 443 ssl": f"listen 127.0.0.1:{https} ssl",
            "server_name grafana.example.com": "server_name localhost",
            "/etc/ssl/grafana.crt": f"{tmp_path}/nginx/server.crt",
            "/etc/ssl/grafana.key": f"{tmp_path}/nginx/server.key",
            "http://127.0.0.1:3000": grafana.url,
        },
    )


def handshake(proxy: Nginx, origin: str) -> str:
    """Open Grafana Live's WebSocket through the proxy, as a browser would; return the answer's first line."""
    trusting = ssl.create_default_context(cafile=proxy.certificate)
    login = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=ANSWER_S) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        line.sendall(
            f"GET /api/live/ws HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAuthorization: Basic {login}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n".encode()
        )
        return line.recv(4096).split(b"\r\n")[0].decode()


@pytest.mark.parametrize("broken", [False, True], ids=["as the page has it", "without the lines for Upgrade"])
def test_grafana_and_its_live_updates_pass_the_pages_reverse_proxy(tmp_path: Path, broken: bool) -> None:
    (page,) = [block.code for block in blocks(PAGE) if block.language == "nginx"]
    if broken:
        page = re.sub(r"  +proxy_set_header (Upgrade|Connection) .*\n", "", page)
    with running(
        grafana_on(tmp_path, GF_SERVER_ROOT_URL="https://localhost", GF_SECURITY_COOKIE_SECURE="true")
    ) as grafana:
        proxy = proxied(page, tmp_path, grafana)
        try:
            proxy.start()
            trusting = ssl.create_default_context(cafile=proxy.certificate)
            with urllib.request.urlopen(
                f"https://localhost:{proxy.port}/login", timeout=ANSWER_S, context=trusting
            ) as answer:
                assert answer.status == 200
                assert "max-age" in answer.headers["Strict-Transport-Security"]
            assert ("101" in handshake(proxy, "https://localhost")) is not broken
            if not broken:
                assert "403" in handshake(proxy, "https://elsewhere.example")
        finally:
            proxy.stop()
