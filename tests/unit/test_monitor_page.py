"""What docs/monitor.md shows can be typed as it stands there, and the screens look as shown but for the figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from egoscope.cli.screens.agent import AgentScreen
from egoscope.cli.screens.cost import CostScreen
from egoscope.cli.screens.flow import FlowScreen
from egoscope.cli.screens.overview import OverviewScreen
from egoscope.cli.screens.trace import TraceScreen
from egoscope.cli.screens.workers import WorkersScreen
from egoscope.query.embedded import EmbeddedQuery
from tests.pages import DOCS, Block, blocks

PAGE: Final = DOCS / "monitor.md"
STATE_DIR: Final = "demo/state"
"""What the page's first block sets, and so holds for what is typed after it."""
EVERY: Final = blocks(PAGE)
SCREENS: Final = ("All agents and flows", "One agent", "One flow", "One trace", "Tasks and workers", "Cost")
FOOTERS: Final = {
    screen.footer for screen in (OverviewScreen, AgentScreen, FlowScreen, TraceScreen, CostScreen, WorkersScreen)
}
TITLE: Final = re.compile(r"╭─ (.+?) ─*╮")
# What depends on how much there is, or on when: which rows have room, the window that something ended in, who is there.
VARYING: Final = re.compile(r"( · \d+-\d+ of \d+| \d+ (?:h|d)\b| all\b|(?<=workers) \d+ of \d+)")


def pairs(section: str) -> list[tuple[Block, Block]]:
    """Return each command of a section with the picture behind it."""
    found = [block for block in EVERY if block.section == section]
    return list(zip(found[::2], found[1::2], strict=True))


def titles(picture: str) -> set[str]:
    """Return the titles of the boxes in a picture, as far as they are the same every time."""
    return {VARYING.sub("", title) for title in TITLE.findall(picture)}


def run(commands: str, directory: Path, **environment: str) -> str:
    """Run commands as a reader would who set what the page says; return what they print."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**own, "PATH": path, "HOME": str(directory), "COLUMNS": "80", **environment},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of someone who typed what the page begins with; less of it, for time is short."""
    directory = tmp_path_factory.mktemp("reader")
    (block,) = [block for block in EVERY if block.section == "Try it"]
    assert "--days 1 " in block.code
    less = "--days 0.5 --calls-per-minute 9 "  # of half a day, at whatever hour, there is something of everybody
    assert "calls/min" in run(block.code.replace("--days 1 ", less), directory)
    return directory


@pytest.fixture(scope="module")
def trace_id(reader: Path) -> str:
    """An execution's trace."""
    assert not (reader / ".local").exists(), "a demo's money has no place among one's own"
    with EmbeddedQuery(reader / STATE_DIR / "store.db") as query:
        return query.get_executions("support_agent", limit=1)[0].trace_id


@pytest.mark.parametrize(("section", "number"), [(s, n) for s in SCREENS for n in range(len(pairs(s)))])
def test_a_command_of_the_page_prints_the_screen_of_the_page(
    section: str, number: int, reader: Path, trace_id: str
) -> None:
    command, picture = pairs(section)[number]
    printed = run(command.code, reader, TRACE_ID=trace_id, EGOSCOPE_STATE_DIR=STATE_DIR)
    assert titles(picture.code) <= titles(printed)
    assert "\x1b" not in printed


def test_every_picture_of_the_page_fits_80_by_24_and_ends_with_the_screens_keys() -> None:
    pictures = [picture.code for section in SCREENS for _, picture in pairs(section)]
    assert len(pictures) == 7
    for picture in pictures:
        lines = picture.splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) == 24
        assert lines[-1] in FOOTERS
