"""Running a part of a test in a process of its own: limits, time zones and measures of memory are a process's.

In that of the tests threads of servers live on, which would meet the limit, or be measured as well.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def alone(function: Callable[..., T], *arguments: object) -> T:
    """Return what a function of a test's module returns in a fresh process; what it raises is raised here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()
