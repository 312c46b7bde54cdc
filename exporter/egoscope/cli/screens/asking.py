"""Asking in a thread of its own: a slow server keeps no key waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from egoscope.errors import EgoscopeError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from egoscope.cli.screens.screen import Screen
    from egoscope.query import Query

# How long leaving waits for a server that does not answer; its thread ends with the program.
_LEAVE_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer, or why there is none."""

    screen: Screen
    now: dt.datetime
    """When it was asked for."""
    took_s: float
    take: Callable[[], None] | None
    """Gives the answer to the screen; to be called by who draws."""
    error: BaseException | None


class Asker:
    """Asks one thing at a time. Not for use by several threads."""

    def __init__(self, query: Query) -> None:
        """Start the thread."""
        self._query = query
        self._questions: SimpleQueue[tuple[Screen, dt.datetime] | None] = SimpleQueue()
        self._answers: SimpleQueue[Answered] = SimpleQueue()
        self.asked_s: float | None = None
        """When what is being asked was asked, by the monotonic clock; None: nothing is."""
        self._thread = threading.Thread(target=self._run, name="ask", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still waited for."""
        return self.asked_s is not None

    def ask(self, screen: Screen, now: dt.datetime) -> None:
        """Ask what a screen shows."""
        self.asked_s = time.monotonic()
        self._questions.put((screen, now))

    def answer(self) -> Answered | None:
        """Return an answer where one has come. An error that is no `EgoscopeError` is raised."""
        try:
            answered = self._answers.get_nowait()
        except Empty:
            return None
        self.asked_s = None
        if answered.error is not None and not isinstance(answered.error, EgoscopeError):
            raise answered.error
        return answered

    def close(self) -> None:
        """Let go of the query, unless a server keeps it."""
        self._questions.put(None)
        self._thread.join(_LEAVE_S)
        if not self._thread.is_alive():
            self._query.close()

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            screen, now = question
            began_s = time.monotonic()
            take, error = None, None
            try:
                take = screen.ask(self._query, now)
            except BaseException as caught:  # noqa: BLE001 (raised again where it is seen)
                error = caught
            self._answers.put(
                Answered(screen=screen, now=now, took_s=time.monotonic() - began_s, take=take, error=error)
            )
