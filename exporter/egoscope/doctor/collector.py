"""The Collector: whether it can be reached and takes OTLP, and whether TLS and token are usable."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from egoscope.doctor.finding import absent, fail, ok, warn
from egoscope.doctor.web import REFUSED, REQUEST_S, Answer, address, get, why
from egoscope.errors import ConfigError
from egoscope.otlp.client import Accepted, Refused, Rejected, Signal, Unavailable
from egoscope.otlp.grpc_client import GrpcExporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.doctor.finding import Finding

_EMPTY: Final = b""  # an export request without spans, points or records; serialised, that is no byte at all
_START: Final = "start it (docker compose up -d), or set EGOSCOPE_COLLECTOR_ENDPOINT to where it is"
_NO_TOKEN: Final = Path(os.devnull)
_LOOPBACK: Final = frozenset({"localhost", "::1"})


def check_secrets(endpoint: str, *, tls: bool, ca_file: Path | None, token_file: Path | None) -> Iterator[Finding]:
    """Say whether CA and token can be read, and whether the token travels in the clear. Neither is ever shown."""
    if ca_file is not None:
        yield _ca(ca_file)
    if token_file is None:
        return
    yield _token(token_file)
    host = endpoint.rpartition(":")[0].strip("[]")
    if not (tls or ca_file) and host not in _LOOPBACK and not host.startswith("127."):
        sentence = "the token goes over the network in the clear"
        yield warn("Collector token", sentence, "set EGOSCOPE_COLLECTOR_TLS=true, or EGOSCOPE_COLLECTOR_CA_FILE")


def check_collector(endpoint: str, *, tls: bool, ca_file: Path | None, token_file: Path | None) -> Iterator[Finding]:
    """Connect, and send an empty request of each signal, which leaves nothing behind."""
    where = endpoint.rpartition("@")[2]
    subject = f"Collector {where}"
    if (problem := _connect(where)) is not None:
        yield (absent if problem == REFUSED else fail)(subject, problem, _START)
        return
    try:
        exporter = GrpcExporter(endpoint, timeout_s=REQUEST_S, tls=tls, ca_file=ca_file, token_file=token_file)
    except ConfigError as error:
        yield fail(subject, f"is reachable, but was not asked: {error}", "name a readable PEM file")
        return
    try:
        for signal in Signal:
            outcome = exporter.send(signal, _EMPTY)
            match outcome:
                case Accepted() | Rejected():
                    pass
                case Refused(reason=reason) | Unavailable(reason=reason):
                    yield _refusal(subject, signal, reason, tls=tls or ca_file is not None)
                    return
        yield ok(subject, "takes traces, metrics and logs over OTLP gRPC")
    finally:
        exporter.close()
    if token_file is not None:
        yield from _open_to_all(endpoint, subject, tls=tls, ca_file=ca_file)


def check_collector_health(url: str) -> Iterator[Finding]:
    """Ask the Collector's health page."""
    subject = f"Collector health {address(url)}"
    answer = get(url)
    if not isinstance(answer, Answer):
        remedy = "set EGOSCOPE_COLLECTOR_HEALTH_URL to its health_check extension, if it has one"
        yield warn(subject, answer.sentence, remedy)
    elif answer.status == 200:
        yield ok(subject, "says it is well")
    else:
        yield fail(subject, f"says it is not well (HTTP {answer.status})", "see the Collector's log")


def _open_to_all(endpoint: str, subject: str, *, tls: bool, ca_file: Path | None) -> Iterator[Finding]:
    """Try an empty token: bearertokenauth 0.145 takes every line of its file for a token, the empty one too."""
    stranger = GrpcExporter(endpoint, timeout_s=REQUEST_S, tls=tls, ca_file=ca_file, token_file=_NO_TOKEN)
    try:
        if isinstance(stranger.send(Signal.TRACES, _EMPTY), Accepted | Rejected):
            sentence = "takes requests with an empty token too, so whoever reaches it may send"
            remedy = "give it token.yaml, and a token file that ends with the token: no line break, no empty line"
            yield fail(subject, sentence, remedy)
    finally:
        stranger.close()


def _connect(endpoint: str) -> str | None:
    """Return why no TCP connection came about, None if one did."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        return "is not of the form host:port"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REQUEST_S).close()
    except OSError as error:
        return why(error)
    except OverflowError:
        return "has a port above 65535"
    return None


def _refusal(subject: str, signal: Signal, reason: str, *, tls: bool) -> Finding:
    """Say in words why an empty request was not taken; `reason` is as in `Refused` and `Unavailable`."""
    reason = reason.lower()
    judge = fail
    match reason:
        case "unimplemented" | "unknown":
            judge = absent
            sentence = f"something answers, but takes no {signal} over OTLP gRPC"
            remedy = "name the Collector's OTLP gRPC port (usually 4317; 4318 is HTTP), with a pipeline for each signal"
        case "unauthenticated" | "permission_denied":
            sentence = "refuses this egoscope: its token is missing or wrong"
            remedy = "put the Collector's token into the file that EGOSCOPE_COLLECTOR_TOKEN_FILE names"
        case "token_file":
            sentence = "was not asked: the token file cannot be read"
            remedy = "make EGOSCOPE_COLLECTOR_TOKEN_FILE readable for this user"
        case "unavailable" | "deadline_exceeded" if tls:
            sentence = f"can be reached, but TLS or OTLP gRPC did not come about ({reason})"
            remedy = "check that it speaks TLS, and that EGOSCOPE_COLLECTOR_CA_FILE is its CA"
        case "unavailable" | "deadline_exceeded":
            sentence = f"can be reached, but gave no OTLP gRPC answer ({reason})"
            remedy = "see its log; if it speaks TLS, set EGOSCOPE_COLLECTOR_TLS=true"
        case "resource_exhausted":
            sentence = "is short of memory, and asks to wait"
            remedy = "raise EGOSCOPE_COLLECTOR_LIMIT_MIB"
        case _:
            sentence = f"did not take an empty request of {signal} ({reason})"
            remedy = "see the Collector's log"
    return judge(subject, sentence, remedy)


def _ca(path: Path) -> Finding:
    try:
        pem = path.read_text("ascii")
        ssl.create_default_context(cadata=pem)
    except OSError as error:  # an SSLError is one, too
        reason = "holds no certificate" if isinstance(error, ssl.SSLError) else f"cannot be read ({error.strerror})"
        return fail("Collector CA", f"{path} {reason}", "set EGOSCOPE_COLLECTOR_CA_FILE to a readable PEM file")
    except ValueError:
        return fail("Collector CA", f"{path} is no PEM file", "set EGOSCOPE_COLLECTOR_CA_FILE to a readable PEM file")
    return ok("Collector CA", f"{path} holds certificates")


def _token(path: Path) -> Finding:
    remedy = "put the bearer token into it, readable for this user alone"
    try:
        if not path.read_bytes().strip():
            return fail("Collector token", f"{path} is empty", remedy)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        sentence = f"{path} cannot be read by this user (uid {os.geteuid()}): {error.strerror}"
        return fail("Collector token", sentence, remedy)
    if mode & stat.S_IRWXO:
        return warn("Collector token", f"{path} is open to every user (mode {mode:04o})", f"run chmod 600 {path}")
    return ok("Collector token", f"{path} can be read")
