"""What a test replaces for itself is what it was for every thread beside it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.own_process import alone
from tests.this_thread import replace_here

if TYPE_CHECKING:
    import pytest


def test_a_function_is_replaced_for_the_thread_that_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> int:
        return 0

    with ThreadPoolExecutor(1) as beside:
        replace_here(monkeypatch, os, "getpid", none)
        assert (os.getpid(), beside.submit(os.getpid).result() > 0) == (0, True)
        monkeypatch.undo()
        assert os.getpid() > 0


def test_what_is_done_alone_is_done_in_another_process() -> None:
    assert alone(os.getpid) != os.getpid()
    assert alone(os.getppid) == os.getpid()
