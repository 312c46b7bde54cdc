"""Koubou's WebSocket: whether it answers. Without it databases are polled, so nothing here is ever a failure."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from egoscope.doctor.finding import ok, warn
from egoscope.doctor.web import REQUEST_S, address, why
from egoscope.errors import ConfigError
from egoscope.sources.koubou_socket import NoWebSocketError, knock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.doctor.finding import Finding

_POLLED: Final = "; its database is only polled"
_ELSEWHERE: Final = "set EGOSCOPE_KOUBOU_URL to where it is, or leave it out"


def check_socket(url: str, *, is_followed: bool) -> Iterator[Finding]:
    """Connect and shake hands, as the sidecar does; `is_followed`: whether any database of Koubou's is."""
    subject = f"Koubou's WebSocket {address(url)}"
    if not is_followed:
        sentence = "says when to look, but no database of Koubou's is followed"
        yield warn(subject, sentence, "set EGOSCOPE_KOUBOU_PATH to its koubou.db")
    try:
        knock(url, within_s=REQUEST_S)
    except (ConfigError, UnicodeError):
        yield warn(subject, f"is no address of a WebSocket{_POLLED}", "ws://127.0.0.1:8766 would be one")
    except NoWebSocketError:
        sentence = f"something answers, but it speaks no WebSocket{_POLLED}"
        yield warn(subject, sentence, _ELSEWHERE)
    except ssl.SSLCertVerificationError:
        sentence = f"has a certificate that is not trusted here{_POLLED}"
        yield warn(subject, sentence, "name its CA in SSL_CERT_FILE, or use the name that it is made out to")
    except ssl.SSLError:
        yield warn(subject, f"something answers, but not over TLS{_POLLED}", "say ws:// instead of wss://")
    except OSError as error:
        yield warn(subject, f"{why(error)}{_POLLED}", f"start Koubou's websocket_server.py, or {_ELSEWHERE}")
    else:
        yield ok(subject, "answers: it says when to look")
