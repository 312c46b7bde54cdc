"""Single keys from a terminal, without a thread."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

# What terminals send for keys that are no character (ECMA-48, xterm); longest first, for one begins another.
_SEQUENCES: Final = {
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[Z": "back tab",
    **{
        f"\x1b{opening}{final}": name
        for opening in "[O"
        for final, name in zip("ABCDHF", ("up", "down", "right", "left", "home", "end"), strict=True)
    },
}
_CHARACTERS: Final = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x1b": "escape",
    "\x7f": "backspace",
    "\x08": "backspace",
}
_UNKNOWN_SEQUENCE: Final = re.compile(r"\x1b[\[O][0-?]*[ -/]*[@-~]")


def keys_typed(text: str) -> list[str]:
    """Return the keys that a terminal's bytes stand for: characters as they are, others by their names.

    Names: up, down, left, right, page up, page down, home, end, enter, tab, back tab, escape, backspace. Sequences and
    control characters that are none of these are left out.
    """
    keys: list[str] = []
    place = 0
    while place < len(text):
        sequence = next((known for known in _SEQUENCES if text.startswith(known, place)), None)
        if sequence is not None:
            keys.append(_SEQUENCES[sequence])
            place += len(sequence)
        elif unknown := _UNKNOWN_SEQUENCE.match(text, place):
            place = unknown.end()
        else:
            character = text[place]
            if character in _CHARACTERS or character.isprintable():
                keys.append(_CHARACTERS.get(character, character))
            place += 1
    return keys


class Keys(Protocol):
    """Where keys come from."""

    def wait(self, timeout_s: float) -> str:
        """Return the next key, or an empty string after `timeout_s` seconds without one."""
        ...


class Keyboard:
    """Keys typed on standard input, as they are typed and unechoed; where it is no terminal, there are none."""

    def __init__(self) -> None:
        """Change nothing yet: the terminal is switched by entering the context, and restored by leaving it."""
        self._fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[int | list[bytes | int]] | None = None
        self._typed: deque[str] = deque()

    def wait(self, timeout_s: float) -> str:
        """Return the next key as `keys_typed` names it, or an empty string after `timeout_s` seconds without one.

        Ctrl-C raises `KeyboardInterrupt`.
        """
        if self._typed:
            return self._typed.popleft()
        if self._fd is None:
            time.sleep(timeout_s)
            return ""
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return ""
        typed = os.read(self._fd, 64)
        if not typed:  # the terminal is gone
            raise KeyboardInterrupt
        self._typed.extend(keys_typed(typed.decode(errors="ignore")))
        return self._typed.popleft() if self._typed else ""

    def __enter__(self) -> Self:
        """Switch the terminal to single keys."""
        if self._fd is not None:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back as it was."""
        if self._fd is not None and self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
