"""The outbox: requests that wait until a back end has said yes. Here is the project's only retry loop."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.otlp.client import Accepted, Exporter, Refused, Rejected, Signal, Unavailable
from egoscope.otlp.split import split_request

if TYPE_CHECKING:
    import random
    import threading
    from collections.abc import Callable

    from egoscope.delivery.state import Batch, StateFile

logger = logging.getLogger(__name__)

LIVE: Final = 0
BACKLOG: Final = 1
_FIRST_WAIT_S: Final = 0.25
_LONGEST_WAIT_S: Final = 10.0
_BACKLOG_SHARE: Final = 0.75  # of the bound: what is left is for live lines


class Waiting(msgspec.Struct, frozen=True):
    """What waits in the outbox."""

    size: int
    requests: int


class Outbox:
    """Requests in the state file, oldest first, live ones before backlog. One delivery thread a signal."""

    def __init__(self, state: StateFile, *, limit_bytes: int) -> None:
        self._state = state
        self.limit_bytes = limit_bytes
        # Counted here because the bound is asked for before every batch; the table stays the truth.
        self._sizes: Counter[tuple[int, str]] = Counter()
        self._requests = 0
        with state.lock:
            rows = state.db.execute("SELECT lane, source, sum(size), count(*) FROM outbox GROUP BY lane, source")
            for lane, source, size, requests in rows:
                self._sizes[lane, source] = size
                self._requests += requests

    def append(self, batch: Batch, *, lane: int, now_ns: int) -> None:
        """Commit a batch; from then on its requests will be sent, whatever happens. Raises OperationalError."""
        with self._state.lock:
            self._state.commit(batch, lane=lane, now_ns=now_ns)
            self._sizes[lane, batch.source.source] += sum(len(request.data) for request in batch.requests)
            self._requests += len(batch.requests)

    def waiting(self) -> Waiting:
        """Return how much waits."""
        with self._state.lock:
            return Waiting(self._sizes.total(), self._requests)

    def oldest_ns(self) -> int | None:
        """Return when the oldest waiting request was made; None when nothing waits."""
        with self._state.lock:
            found = self._state.db.execute("SELECT created_ns FROM outbox ORDER BY id LIMIT 1").fetchone()
        return found[0] if found else None

    def room(self, lane: int) -> bool:
        """Whether another batch may be read for this lane; at the bound reading stops and the lag shows."""
        share = 1.0 if lane == LIVE else _BACKLOG_SHARE
        return self.waiting().size < self.limit_bytes * share

    def has_backlog(self, source: str) -> bool:
        """Whether requests of this source wait in the backlog lane; live ones must not overtake them."""
        with self._state.lock:
            return self._sizes[BACKLOG, source] > 0

    def has_any(self, source: str) -> bool:
        """Whether anything of this source waits."""
        with self._state.lock:
            return self._sizes[LIVE, source] + self._sizes[BACKLOG, source] > 0

    def next(self, signal: Signal) -> tuple[int, bytes, int] | None:
        """Return id, bytes and number of items of the next request of a signal."""
        with self._state.lock:
            return self._state.db.execute(
                "SELECT id, data, items FROM outbox WHERE id = (SELECT id FROM outbox WHERE signal = ?"
                " ORDER BY lane, id LIMIT 1)",
                (signal,),
            ).fetchone()

    def delete(self, request_id: int, *, refused: tuple[Signal, str, int] | None = None) -> None:
        """Forget a request that was answered for good; what a back end did not take is counted with it."""

        def change(db: sqlite3.Connection) -> tuple[int, str, int]:
            row = db.execute("SELECT lane, source, size FROM outbox WHERE id = ?", (request_id,)).fetchone()
            db.execute("DELETE FROM outbox WHERE id = ?", (request_id,))
            if refused is not None:
                db.execute("INSERT INTO refused (signal, reason, items) VALUES (?,?,?)", refused)
            return row

        self._count(self._state.shrink(change), -1)

    def replace(self, request_id: int, halves: list[tuple[bytes, int]]) -> None:
        """Put the two halves of a request in its place, which is the front of its lane."""
        with self._state.transaction() as db:
            signal, lane, source, size, created = db.execute(
                "SELECT signal, lane, source, size, created_ns FROM outbox WHERE id = ?", (request_id,)
            ).fetchone()
            first = db.execute("SELECT min(id) FROM outbox").fetchone()[0] - len(halves)
            db.execute("DELETE FROM outbox WHERE id = ?", (request_id,))
            db.executemany(
                "INSERT INTO outbox (id, signal, lane, source, items, size, created_ns, data) VALUES (?,?,?,?,?,?,?,?)",
                [
                    (first + place, signal, lane, source, items, len(data), created, data)
                    for place, (data, items) in enumerate(halves)
                ],
            )
        self._count((lane, source, size), -1)
        for data, _ in halves:
            self._count((lane, source, len(data)), 1)

    def _count(self, row: tuple[int, str, int], sign: int) -> None:
        lane, source, size = row
        with self._state.lock:
            self._sizes[lane, source] += sign * size
            self._requests += sign
            if not self._sizes[lane, source]:
                del self._sizes[lane, source]


class Delivery:
    """Sends the requests of one signal, one at a time, until each is answered for good."""

    def __init__(
        self,
        signal: Signal,
        outbox: Outbox,
        exporter: Exporter,
        *,
        jitter: random.Random,
        on_sent: Callable[[Signal, str], None] = lambda _signal, _outcome: None,
    ) -> None:
        """`on_sent` is told of every answer: the signal and the outcome's name."""
        self._signal, self._outbox, self._exporter = signal, outbox, exporter
        self._jitter, self._on_sent = jitter, on_sent

    def run(self, wake: threading.Event, stop: threading.Event) -> None:
        """Send until `stop` is set; `wake` says that something new was committed."""
        wait_s = _FIRST_WAIT_S
        while not stop.is_set():
            wake.clear()
            try:
                outcome = self.send_next()
            except sqlite3.OperationalError:  # the disk is full or slow: the request is still there
                outcome = Unavailable("STATE_FILE")
            if outcome is None:
                wake.wait(5.0)
            elif isinstance(outcome, Unavailable):
                if wait_s == _FIRST_WAIT_S:
                    logger.warning("sending is paused: the back end is unavailable", extra=self._about(outcome))
                stop.wait(outcome.wait_s or wait_s * self._jitter.uniform(0.5, 1.0))
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                wait_s = _FIRST_WAIT_S

    def send_next(self) -> Accepted | Rejected | Refused | Unavailable | None:
        """Send the next request once and do what its answer asks for; None when nothing waits."""
        found = self._outbox.next(self._signal)
        if found is None:
            return None
        request_id, data, items = found
        outcome = self._exporter.send(self._signal, data)
        self._on_sent(self._signal, type(outcome).__name__.lower())
        match outcome:
            case Accepted():
                self._outbox.delete(request_id)
            case Rejected(count=count):
                self._outbox.delete(request_id, refused=(self._signal, "PARTIAL_SUCCESS", count))
            case Refused(reason=reason):
                halves = split_request(self._signal, data)
                if halves is None:  # it stands alone
                    logger.warning("a back end refused an item for good", extra=self._about(outcome))
                    self._outbox.delete(request_id, refused=(self._signal, reason, items))
                else:
                    self._outbox.replace(request_id, halves)
            case Unavailable():
                pass
        return outcome

    def _about(self, outcome: Refused | Unavailable) -> dict[str, str]:
        return {"signal": self._signal.value, "reason": outcome.reason}
