"""The pages of the documentation, and what a reader would copy from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

COMMANDS: Final = frozenset({"sh", "console"})
"""Languages of blocks that hold commands: `console` shows answers too, behind lines that begin with `$ `."""

_BLOCK_OR_HEADING: Final = re.compile(
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$|^#+ (?P<heading>[^\n]+)$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code: where it stands, in which language, and its text."""

    page: str
    section: str
    language: str
    code: str

    @property
    def place(self) -> str:
        """Page and heading, as one string."""
        return f"{self.page}: {self.section}"

    @property
    def commands(self) -> str:
        """What a reader types."""
        if self.language != "console":
            return self.code
        return "".join(line[2:] + "\n" for line in self.code.splitlines() if line.startswith("$ "))


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order, each under its nearest heading."""
    found: list[Block] = []
    section = ""
    for match in _BLOCK_OR_HEADING.finditer(page.read_text(encoding="utf-8")):
        if match["heading"] is not None:
            section = match["heading"]
        else:
            found.append(Block(str(page.relative_to(ROOT)), section, match["language"], match["code"]))
    return found
