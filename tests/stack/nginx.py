"""nginx as a plain process, with a configuration out of the documentation."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.stack.processes import Server, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FRAME: Final = """daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{content}
}}
"""


class Nginx(Server):
    """nginx with what the page shows, each text in `changed` put in another's place; listens with TLS on `port`."""

    name = "nginx"

    def __init__(self, directory: Path, port: int, page: str, changed: Mapping[str, str]) -> None:
        if shutil.which("nginx") is None or shutil.which("openssl") is None:
            pytest.skip("nginx and openssl are needed, and one of them is not installed")
        directory.mkdir(exist_ok=True)
        self.port = port
        self.certificate = certificate(directory)
        for old, new in changed.items():
            assert old in page, f"{old} is not in the page's configuration"
            page = page.replace(old, new)
        configuration = directory / "nginx.conf"
        configuration.write_text(FRAME.format(directory=directory, content=page))
        super().__init__(["nginx", "-e", directory / "nginx-error.log", "-c", configuration], directory, {})

    def wait_until_ready(self) -> None:
        """Return when it speaks TLS."""

        def ready() -> bool:
            try:
                ssl.get_server_certificate(("127.0.0.1", self.port), timeout=10)
            except OSError:
                return False
            return True

        wait_for(ready, what="nginx is ready")


def certificate(directory: Path) -> Path:
    """Make a certificate for localhost with its key beside it, which is its own authority; return it."""
    made, key = directory / "server.crt", directory / "server.key"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    about = ["-x509", "-days", "1", "-subj", "/CN=localhost", "-addext", names, "-newkey", "rsa:2048", "-nodes"]
    subprocess.run(["openssl", "req", *about, "-keyout", key, "-out", made], check=True, capture_output=True)
    return made
