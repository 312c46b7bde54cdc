"""`egoscope serve` that dies of kill -9 at the n-th crossing of one boundary: `python -m tests.stack.dying BOUNDARY N`.

Nothing in the sidecar knows of this: the functions on both sides of the boundaries are wrapped here.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from egoscope.cli import app
from egoscope.delivery.outbox import Outbox
from egoscope.delivery.state import StateFile
from egoscope.otlp.grpc_client import GrpcExporter

if TYPE_CHECKING:
    from collections.abc import Callable

BOUNDARIES: Final[dict[str, tuple[type, str, str]]] = {
    "before a commit": (StateFile, "commit", "before"),
    "amid a commit": (StateFile, "_write_source", "after"),
    "after a commit": (StateFile, "commit", "after"),
    "before a send": (GrpcExporter, "send", "before"),
    "after a reply": (GrpcExporter, "send", "after"),
    "amid a deletion": (Outbox, "_count", "before"),
    "after a deletion": (Outbox, "delete", "after"),
}
"""What is wrapped, and on which side of it the process dies. `_count` runs when a deletion is on disk only."""


def die_at(boundary: str, crossing: int) -> None:
    """Arrange for death at this boundary's n-th crossing, by whichever thread."""
    owner, name, side = BOUNDARIES[boundary]
    whole: Callable[..., Any] = getattr(owner, name)
    crossings = itertools.count(1)  # next() of a count is atomic

    def cross() -> None:
        if next(crossings) == crossing:
            os.kill(os.getpid(), signal.SIGKILL)

    @wraps(whole)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if side == "before":
            cross()
        answer = whole(*arguments, **named)
        if side == "after":
            cross()
        return answer

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    die_at(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:] = ["serve"]
    app()
