"""A test that is done as nobody leaves the threads beside it who they are."""

from __future__ import annotations

import os
import threading

import pytest

from tests.other_user import NOBODY, as_nobody


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_no_other_thread_becomes_nobody() -> None:
    changed, looked = threading.Event(), threading.Event()
    seen: list[int] = []

    def look() -> None:
        changed.wait()
        seen.append(os.geteuid())
        looked.set()

    beside = threading.Thread(target=look)
    beside.start()
    with as_nobody():
        changed.set()
        looked.wait()
        seen.append(os.geteuid())
    beside.join()
    assert seen == [0, NOBODY]
    assert os.geteuid() == 0
