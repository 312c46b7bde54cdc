"""Health check of a container: every URL answers 2xx and every pattern names a file, or exit status 1.

Runs every few seconds for as long as the stack lives, so it imports next to nothing: `python3 -IS probe.py URL…`.
"""

import socket
import sys
from glob import iglob

TIMEOUT_S = 3.0


def answers(url: str) -> bool:
    """Say whether a GET of `http://host:port/path` is answered with a 2xx status."""
    authority, _, path = url.removeprefix("http://").partition("/")
    host, _, port = authority.partition(":")
    try:
        with socket.create_connection((host, int(port or 80)), timeout=TIMEOUT_S) as connection:
            connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {authority}\r\n\r\n".encode())
            status = connection.makefile("rb").readline(64)
    except OSError:
        return False
    return status.partition(b" ")[2].startswith(b"2")


def holds(target: str) -> bool:
    """Say whether a target, a URL or a file pattern, is there."""
    return answers(target) if target.startswith("http://") else any(iglob(target))  # noqa: PTH207 (pathlib is slow to import)


def main(targets: list[str]) -> int:
    """Name on standard output what does not hold; Docker keeps that text in the container's health log."""
    failing = [target for target in targets if not holds(target)]
    for target in failing:
        print(f"no answer: {target}")
    return 1 if failing or not targets else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
