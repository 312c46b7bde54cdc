"""Single keys from a terminal, without a thread."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Keyboard:
    """Keys typed on standard input, as they are typed and unechoed; where it is no terminal, there are none."""

    def __init__(self) -> None:
        """Change nothing yet: the terminal is switched by entering the context, and restored by leaving it."""
        self._fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[int | list[bytes | int]] | None = None

    def wait(self, timeout_s: float) -> str:
        """Return the first key typed within `timeout_s` seconds, or an empty string after them.

        Keys that are several bytes, such as arrows, come as their first byte. Ctrl-C raises `KeyboardInterrupt`.
        """
        if self._fd is None:
            time.sleep(timeout_s)
            return ""
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return ""
        typed = os.read(self._fd, 64)
        if not typed:  # the terminal is gone
            raise KeyboardInterrupt
        return chr(typed[0])

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
