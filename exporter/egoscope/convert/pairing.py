"""Pairing: two lines make a call. ego-mcp writes no call id, and calls overlap, so some pairs must be guessed.

The oldest open call of the same tool is taken, unless it looks forgotten beside a much younger one: without that, one
call that never ends would shift every later pair of its tool. Where there was more than one, the operation says that
it was a guess.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from egoscope.convert.conversion import NEVER_NS

MAX_LOG_LINES: Final = 32  # of one call that become span events
PREDECESSOR_GRACE_NS: Final = 60 * 10**9
"""How long a call may still end after another process started: two processes can write into one file."""


_FORGOTTEN_AGE_NS: Final = 10**9
_FORGOTTEN_RATIO: Final = 10
"""A call looks forgotten when it is older than a second and ten times as old as the next one of its tool."""


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    ERROR = "error"
    UNFINISHED = "unfinished"


class Pairing(StrEnum):
    """How sure it is that two lines belong together."""

    EXACT = "exact"
    GUESSED = "guessed"
    START_MISSING = "start_missing"


_EXACT: Final = Pairing.EXACT


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """A line of another logger between the two ends of a call; `message` is a known constant."""

    time_ns: int
    level: str
    logger: str
    message: str


class OpenCall(msgspec.Struct, array_like=True, eq=False):
    """A call that began. Kept in the state file, so it holds allowed values only."""

    offset: int
    tool: str
    start_ns: int
    session: str
    private: bool
    deadline_ns: int
    lines: list[LogLine] = []
    lines_left_out: int = 0


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One whole call. `offset` is where its first known line starts; times are nanoseconds since the epoch."""

    offset: int
    tool: str
    start_ns: int
    end_ns: int
    outcome: Outcome
    pairing: Pairing
    session: str
    private: bool
    lines: list[LogLine] = []
    lines_left_out: int = 0


class OpenPairs:
    """The calls of one instance that have not ended yet, oldest first."""

    def __init__(self, open_calls: list[OpenCall], *, expire_after_ns: int) -> None:
        self.calls = open_calls
        self.next_deadline_ns = min((call.deadline_ns for call in open_calls), default=NEVER_NS)
        self._expire_after_ns = expire_after_ns

    def start(self, offset: int, tool: str, time_ns: int, *, session: str, private: bool) -> None:
        """Open a call."""
        deadline_ns = time_ns + self._expire_after_ns
        self.calls.append(OpenCall(offset, tool, time_ns, session, private, deadline_ns))
        self.next_deadline_ns = min(self.next_deadline_ns, deadline_ns)

    def pair(self, offset: int, tool: str, time_ns: int, outcome: Outcome, session: str) -> Operation:
        """Close the open call of this tool that most likely ended; where there is none, there is no duration."""
        candidates = [call for call in self.calls if call.tool == tool]
        if not candidates:
            pairing = Pairing.START_MISSING
            return Operation(offset, tool, time_ns, time_ns, outcome, pairing, session, private=False)
        call = candidates[0] if len(candidates) == 1 else _likeliest(candidates, time_ns)
        self.calls.remove(call)
        if len(candidates) == 1:
            return _close(call, time_ns, outcome, _EXACT)
        # Where it may be the private one that ended, nothing is told of it.
        call.private = any(candidate.private for candidate in candidates)
        return _close(call, time_ns, outcome, Pairing.GUESSED)

    def process_started(self, time_ns: int) -> None:
        """Let what the predecessor left open expire soon, as of this moment."""
        for call in self.calls:
            call.deadline_ns = min(call.deadline_ns, time_ns + PREDECESSOR_GRACE_NS)
            self.next_deadline_ns = min(self.next_deadline_ns, call.deadline_ns)

    def expire(self, now_ns: int) -> list[Operation]:
        """Close as unfinished what should have ended by now; it ends at its deadline, whenever it is looked at."""
        if self.next_deadline_ns > now_ns:
            return []
        late = [call for call in self.calls if call.deadline_ns <= now_ns]
        self.calls = [call for call in self.calls if call.deadline_ns > now_ns]
        self.next_deadline_ns = min((call.deadline_ns for call in self.calls), default=NEVER_NS)
        return [_close(call, call.deadline_ns, Outcome.UNFINISHED, Pairing.EXACT) for call in late]


def _likeliest(candidates: list[OpenCall], time_ns: int) -> OpenCall:
    likeliest = candidates[-1]
    for older in reversed(candidates[:-1]):
        age_ns = time_ns - older.start_ns
        if age_ns > _FORGOTTEN_AGE_NS and age_ns >= _FORGOTTEN_RATIO * (time_ns - likeliest.start_ns):
            break
        likeliest = older
    return likeliest


def _close(call: OpenCall, end_ns: int, outcome: Outcome, pairing: Pairing) -> Operation:
    return Operation(
        call.offset,
        call.tool,
        call.start_ns,
        max(end_ns, call.start_ns),
        outcome,
        pairing,
        call.session,
        call.private,
        call.lines,
        call.lines_left_out,
    )
