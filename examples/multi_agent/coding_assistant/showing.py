"""Showing a change on a terminal."""

from __future__ import annotations

import difflib
import io

from examples.multi_agent.terminal import printable


def lines_of(text: str) -> list[str]:
    """Split where diffs do, after LF alone; each line keeps its ending, and a last one may have none."""
    return list(io.StringIO(text))


def show_diff(name: str, before: str, after: str) -> None:
    """Print what changes in a file."""
    for line in difflib.unified_diff(lines_of(before), lines_of(after), f"a/{name}", f"b/{name}"):
        print(printable(line.removesuffix("\n")))
        if not line.endswith("\n"):
            print("\\ No newline at end of file")
