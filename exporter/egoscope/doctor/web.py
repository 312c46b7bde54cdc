"""One GET, bounded in time and size; what came of it is a value."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST_S: Final = 1.5
REFUSED: Final = "is refused: nothing listens there"
_MOST_BYTES: Final = 4 * 1024 * 1024
# No proxies: these servers are neighbours, and a proxy's answer would be taken for theirs.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(msgspec.Struct, frozen=True):
    """A server answered, with whatever status. `ahead_s`: its clock minus ours, None where it did not tell the time."""

    status: int
    body: bytes
    ahead_s: float | None


class NoAnswer(msgspec.Struct, frozen=True):
    """Nothing answered; `sentence` goes on from the address: `does not answer within 1.5 s`."""

    sentence: str


def get(url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = REQUEST_S) -> Answer | NoAnswer:
    """GET an http(s) address; never raises for what a server or a network may do."""
    if not url.startswith(("http://", "https://")):
        return NoAnswer("is no address of the form http://host:port")
    try:
        request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 (http or https, see above)
        with _OPENER.open(request, timeout=timeout_s) as response:
            return _answer(response.status, response.headers.get("Date"), response.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers.get("Date"), error.read(_MOST_BYTES))
    except urllib.error.URLError as error:
        return NoAnswer(why(error.reason) if isinstance(error.reason, OSError) else "cannot be reached")
    except OSError as error:
        return NoAnswer(why(error))
    except (http.client.HTTPException, ValueError):
        return NoAnswer("does not speak HTTP, or is no usable address")


def why(error: OSError) -> str:
    """Say in words why no connection came about; goes on from the address."""
    match error:
        case ConnectionRefusedError():
            return REFUSED
        case socket.gaierror():
            return "has a host name that is not known here"
        case TimeoutError():
            return f"does not answer within {REQUEST_S} s"
        case ConnectionError():
            return "closes the connection without an answer"
        case _:
            return f"cannot be reached ({error.strerror or type(error).__name__})"


def address(url: str) -> str:
    """Return where a URL leads, without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
    except ValueError:
        return "(no usable address)"


def _answer(status: int, date: str | None, body: bytes) -> Answer:
    ahead_s = None
    if date is not None:
        try:
            # The header has whole seconds, cut off: on average half a second has passed since.
            ahead_s = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
        except (ValueError, OverflowError):
            ahead_s = None
    return Answer(status, body, ahead_s)
