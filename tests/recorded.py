"""The recorded runs of the real ego-mcp, with the secrets that were planted in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parents[2] / "shared" / "data"
RUNS: Final = {"ego-mcp-sequential": 246, "ego-mcp-concurrent": 241}
"""Folder of each run -> the number of calls in its log."""


def log_of(run: str) -> Path:
    """Return the run's log file; skips the test where the recorded runs are not."""
    found = sorted((FOLDER / run).glob("ego-mcp-*.log"))
    if not found:
        pytest.skip(f"recorded run {run} is not beside the repository")
    return found[0]


def canaries_of(run: str) -> list[str]:
    """Return the secrets that were planted in the run."""
    found = FOLDER / run / "canaries.json"
    if not found.exists():
        pytest.skip(f"recorded run {run} is not beside the repository")
    return json.loads(found.read_text(encoding="utf-8"))
