"""Replacing a function of the standard library for the thread that asks for it only.

Threads of servers live on in a worker while other tests run there: they would meet the replaced one, too.
"""

from __future__ import annotations

import threading
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def replace_here(patch: pytest.MonkeyPatch, owner: object, name: str, replaced: Callable[..., Any]) -> None:
    """Put a function in another one's place; every other thread goes on with the one that was there."""
    real: Callable[..., Any] = getattr(owner, name)
    here = threading.get_ident()

    @wraps(real)
    def either(*arguments: Any, **named: Any) -> Any:
        called = replaced if threading.get_ident() == here else real
        return called(*arguments, **named)

    patch.setattr(owner, name, either)
