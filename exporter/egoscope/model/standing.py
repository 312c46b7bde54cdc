"""What stands in a database of tasks at one moment, redacted: on its way from the source to the conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 (msgspec reads the annotations)
from typing import Final

import msgspec

from egoscope.model.telemetry import Attribute  # noqa: TC001

# States of a task, as Koubou writes them.
PENDING: Final = "pending"
IN_PROGRESS: Final = "in_progress"
PROCESSING: Final = "processing"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

# States of a worker. Koubou has two more words for `busy`; who is lost or gone it does not say.
IDLE: Final = "idle"
BUSY: Final = "busy"
OFFLINE: Final = "offline"
LOST: Final = "lost"
GONE: Final = "gone"


class StandingWorker(msgspec.Struct, frozen=True):
    """A worker as its row says.

    `key`: a keyed digest of its own name for itself (32 hex digits). `name`: that name where it may leave, else
    `_OTHER`. `status`: idle, busy, offline or `_OTHER`. `task`: what it works on, as `task.id` reads; "" for nothing.
    `heartbeat_ns`: Unix nanoseconds, 0 where it has none that is a time. `heartbeat_digest`: then a keyed digest of
    what stands there instead, which shows whether it changes; "" where its row has no place for a heartbeat.
    """

    key: str
    name: str
    status: str
    task: str = ""
    heartbeat_ns: int = 0
    heartbeat_digest: str = ""
    added: Sequence[Attribute] = ()


class StandingTasks(msgspec.Struct, frozen=True):
    """How many tasks there are, and who is there to do them.

    `stored`: by state. `open`: by state and priority (None: none that may leave). `oldest_ns`: by state, since when the
    longest open one is in it. `workers` is None where the database has no table of them.
    """

    stored: Mapping[str, int] = {}
    open: Mapping[tuple[str, int | None], int] = {}
    oldest_ns: Mapping[str, int] = {}
    workers: Sequence[StandingWorker] | None = None
