"""Tracebacks that quote private words, as real ones do: in the message of the exception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.demo.lines import quoted
from egoscope.demo.texts import short

if TYPE_CHECKING:
    from random import Random

    from egoscope.demo.canaries import Canaries

_ROOT: Final = "/opt/ego-mcp/src/ego_mcp"
_EMBEDS: Final = frozenset({"remember", "recall", "consolidate", "create_episode", "attune"})


class Tracebacks:
    """Gives every failed call its traceback; each is rendered once."""

    def __init__(self, rng: Random, planted: Canaries) -> None:
        self._random = rng.random
        self._planted = planted
        self._ready: dict[tuple[str, str, int], str] = {}

    def member(self, tool: str, subject: str) -> str:
        """Return the member `exception` of a call of `tool` that was about `subject`."""
        which = int(4 * self._random())
        key = (tool, subject, which)
        ready = self._ready.get(key)
        if ready is None:
            ready = self._ready[key] = f'"exception": {quoted(self._render(tool, subject, which))}'
        return ready

    def crash(self) -> str:
        """Return the member `exception` of a process that dies."""
        key = self._planted.keys[0]
        return f'"exception": {quoted(_traceback([("__main__.py", 24, "<module>")], f"OSError: [Errno 28] {key}"))}'

    def _render(self, tool: str, subject: str, which: int) -> str:
        frames = [("server.py", 371, "call_tool"), ("server.py", 480, "_dispatch"), ("tools.py", 212, f"run_{tool}")]
        if tool in _EMBEDS and which < 3:
            frames += [("memory.py", 341, "search"), ("embedding.py", 177, "embed")]
            if which == 2:
                first = _traceback(frames, f"TimeoutError: timed out on: {short(subject, 60)}")
                again = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
                return first + again + _traceback(frames, f"ConnectionError: 401 for key {self._planted.keys[1]}")
            return _traceback(frames, f"RuntimeError: embedding provider returned 503 for: {short(subject, 80)}")
        if which == 0:
            return _traceback(frames, f"KeyError: {subject!r}")
        if which == 1:
            home = f"/home/{self._planted.user}/.ego-mcp/relationships.json"
            return _traceback(frames, f"PermissionError: [Errno 13] Permission denied: '{home}'")
        return _traceback(frames, f"ValueError: not usable: {subject}\n  and a second line about {subject}")


def _traceback(frames: list[tuple[str, int, str]], last: str) -> str:
    shown = "".join(
        f'  File "{_ROOT}/{file}", line {line}, in {name}\n    {name}(call)\n    {"^" * len(name)}^^^^^^\n'
        for file, line, name in frames
    )
    return f"Traceback (most recent call last):\n{shown}{last}"
