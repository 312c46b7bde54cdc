"""The table: one row a number, with its goal; on the terminal and in docs/performance.md."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
TEXT: Final = Path(__file__).parent / "performance.md"
"""The page without its numbers: `{table}`, `{notes}`, `{date}` and `{machine}` stand where they go."""
_COLUMNS: Final = ("what", "goal", "measured", "ratio", "reached")


@dataclass(frozen=True, slots=True)
class Row:
    """One number. `reached` is None where it was not measured, or where there is no goal."""

    what: str
    goal: str
    measured: str
    ratio: str = ""
    reached: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of the columns."""
        return self.what, self.goal, self.measured, self.ratio, {True: "yes", False: "**no**", None: ""}[self.reached]


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(*_COLUMNS)
    for row in rows:
        style = {True: "green", False: "red", None: "dim"}[row.reached]
        table.add_row(*(cell.strip("*") for cell in row.cells), style=style)
    Console().print(table)


def machine() -> str:
    """Describe the machine in words that name nobody."""
    cores = len(os.sched_getaffinity(0))
    busy = os.getloadavg()[0]
    return (
        f"{cores} core{'s' if cores > 1 else ''} ({platform.machine()}), Python {platform.python_version()}; "
        f"load average at the end {busy:.1f}, the bench's own included"
    )


def write_page(rows: Sequence[Row], notes: Sequence[str], *, date: str) -> None:
    """Write docs/performance.md: the text with these numbers in it, and links as they lead from there."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (_COLUMNS, ("---",) * len(_COLUMNS))]
    lines += ["| " + " | ".join(cell or " " for cell in row.cells) + " |" for row in rows]
    text = TEXT.read_text(encoding="utf-8").replace("](../docs/", "](")
    values = {
        "table": "\n".join(lines),
        "notes": "\n".join(f"- {note}" for note in notes),
        "date": date,
        "machine": machine(),
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    PAGE.write_text(text, encoding="utf-8")
