"""One GET of a server's JSON; what goes wrong is a sentence that names the server."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from egoscope.errors import ConfigError, QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

# No proxies: these servers are neighbours.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_NOT_FOUND: Final = 404


class Server:
    """One of the three servers. `name` is what sentences call it."""

    def __init__(self, name: str, url: str, timeout_s: float) -> None:
        """Raises `ConfigError` for what is no http(s) address."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ConfigError(f"{name.lower()}_url: an address of the form http://host:port")
        self._name, self._url, self._timeout_s = name, url.rstrip("/"), timeout_s

    def get(self, path: str, parameters: Sequence[tuple[str, str | float]] = ()) -> Any | None:  # noqa: ANN401 (JSON)
        """Return the JSON answer, None where there is no such thing (404). Raises `QueryError`."""
        url = f"{self._url}{path}?{urlencode(parameters)}" if parameters else f"{self._url}{path}"
        try:
            with _OPENER.open(url, timeout=self._timeout_s) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == _NOT_FOUND:
                    return None
                reason = f"answers with status {error.code}"
        except urllib.error.URLError as error:
            reason = self._why(error.reason) if isinstance(error.reason, OSError) else "cannot be reached"
        except OSError as error:
            reason = self._why(error)
        except (http.client.HTTPException, ValueError):
            reason = "does not answer in JSON over HTTP"
        # Behind the except blocks: an answer can hold what was asked, and a chained exception would keep it.
        raise QueryError(f"{self._name} at {self._address} {reason}")

    @property
    def _address(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # without a user and password

    def _why(self, error: OSError) -> str:
        match error:
            case ConnectionRefusedError():
                return "is refused: nothing listens there"
            case socket.gaierror():
                return "has a host name that is not known here"
            case TimeoutError():
                return f"does not answer within {self._timeout_s:g} s"
            case _:
                return f"cannot be reached ({error.strerror or type(error).__name__})"
