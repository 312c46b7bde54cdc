"""What may be printed on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a line in which what would move a terminal's cursor, or hide something, is written out instead."""
    return "".join(one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode() for one in text)
