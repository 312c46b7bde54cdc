"""Whether the stack runs as processes or in containers: $EGOSCOPE_STACK, one of `auto`, `processes`, `containers`.

`auto`: processes where tools/stack.py has built or found them (`make test` builds them first); else containers with
the official images where the machine's own Docker engine answers; else processes, which say what is missing.
`containers`: the machine's engine, or one started for the purpose (tools/engine.py) with images of the same programs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tests.stack.containers import machines_engine
from tools import stack as programs
from tools.engine import EngineError

VARIABLE: Final = "EGOSCOPE_STACK"
NEEDED: Final = ("collector", "prometheus", "loki")


class Kind(Enum):
    """What the servers run in."""

    PROCESSES = "processes"
    CONTAINERS = "containers"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why."""

    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"{self.kind.value} ({self.reason})"


def choose() -> Choice:
    """Return how to run the stack here; ValueError where the variable says something else. Starts and pulls nothing."""
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted != "auto":
        return Choice(Kind(wanted), f"{VARIABLE}={wanted}")
    lacking = ", ".join(name for name in NEEDED if programs.find(name) is None)
    if not lacking:
        return Choice(Kind.PROCESSES, f"{', '.join(NEEDED)} are there")
    try:
        machines_engine()
    except EngineError as error:
        return Choice(Kind.PROCESSES, f"missing: {lacking}; no containers: {error}")
    return Choice(Kind.CONTAINERS, f"missing as programs: {lacking}; a Docker engine answers")
