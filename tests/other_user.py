"""Doing something as somebody without privileges."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

NOBODY: Final = 65534
_SETRESUID: Final = {"x86_64": 117, "aarch64": 147}
"""The number of Linux' system call: by it one thread becomes another user, by `os.seteuid` all threads do, and one of
a test's servers would then be looked after by nobody."""


@contextmanager
def as_nobody() -> Generator[None]:
    """Do it as nobody, in this thread only; where the tests are not root's, as who they are."""
    if os.geteuid() != 0:
        yield
        return
    if platform.machine() not in _SETRESUID:
        pytest.skip(f"how a thread becomes another user is not known here for {platform.machine()}")
    _become(NOBODY)
    try:
        yield
    finally:
        _become(0)


def _become(uid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SETRESUID[platform.machine()], -1, uid, -1) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
