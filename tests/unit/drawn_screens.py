"""Screens as a terminal shows them, without a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from fake_query import NOW, FakeQuery
from rich.console import Console

from egoscope.cli.screens.picture import Picture

if TYPE_CHECKING:
    from egoscope.cli.screens.screen import Screen

SIZES: Final = ((80, 24), (160, 50), (140, 45), (100, 30), (300, 90), (60, 18), (45, 12), (20, 5), (2, 2), (1, 1))


def drawn(
    screen: Screen,
    query: FakeQuery | None = None,
    *,
    width: int = 80,
    height: int | None = 24,
    encoding: str = "utf-8",
    **options: Any,
) -> str:
    """Return what a terminal of that size shows of a screen, without colour."""
    query = query or FakeQuery()
    if screen.asked is None:
        screen.ask(query, NOW)()
        screen.asked = NOW
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # raises for what it cannot write
    console = Console(record=True, width=width, height=height or 50, file=output, color_system=None)
    picture = Picture(screen, now=NOW, query=query, height=height, live=height is not None, **options)
    console.print(picture, end="")
    return console.export_text()


def asked(screen: Screen, query: FakeQuery | None = None) -> Screen:
    """Return the screen with answers."""
    screen.ask(query or FakeQuery(), NOW)()
    screen.asked = NOW
    return screen
