"""How the examples post: as urllib does, but no redirect is followed, and a wrong URL is said before."""

from __future__ import annotations

import re
import urllib.request
from typing import Final
from urllib.parse import urlsplit

from examples.multi_agent.errors import ExampleError

PRINTABLE: Final = re.compile(r"[!-~]+")
"""ASCII without spaces: what may stand in a request's first line and its headers."""


def check_url(setting: str, url: str) -> None:
    """Raise ExampleError that names the setting where nothing can be posted to its URL."""
    try:
        parts = urlsplit(url)
        # Both raise ValueError, of a port that is no number and of a host that no name can be.
        usable = parts.port != 0 and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        usable = False
    if not (usable and url.startswith(("http://", "https://")) and PRINTABLE.fullmatch(url)):
        raise ExampleError(f"{setting}: a URL in ASCII that begins with http:// or https://")


def direct_opener() -> urllib.request.OpenerDirector:
    """Return an opener for which an answer of 3xx is an HTTPError, as one of 4xx is.

    The key would go along to whoever is named, and a POST would become a GET that posts nothing.
    """
    return urllib.request.build_opener(_NoRedirect)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, *_: object, **__: object) -> None:
        """Leave it to the handler of errors, before Location is read: nothing says that it is a URL."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
