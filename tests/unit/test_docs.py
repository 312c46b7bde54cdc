"""Pages say what is there: links lead somewhere, and what is named exists."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import typer

from egoscope.cli import app
from egoscope.config import Settings
from egoscope.convert.catalogue import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# What is run or read beside the package, where a setting may be used.
USED_IN: Final = ("*.yml", ".env.example", "Makefile", "collector-config/*", "loki/*", "tempo/*", "tests/**/*.py")
TOOLS: Final = ("tools/*.py", "bench/*.py", ".ci/*")

LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_BLOCK: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SETTING: Final = re.compile(r"\b(?:EGOSCOPE|EGO_MCP)_[A-Z][A-Z_]*[A-Z]\b")
# In code: `egoscope NAME`, at the beginning of what is typed or behind a variable, an option or a prompt.
COMMAND: Final = re.compile(r"(?:^|[`$&|] ?|sidecar |[A-Z_]+=\S+ )egoscope ([a-z]+)\b", re.MULTILINE)
METRIC: Final = re.compile(r"`((?:egoscope|ego)_[a-z_]+)(?:\{[^`]*\})?`")
TEST: Final = re.compile(r"`(test_[a-z_0-9]+)`")
ELSEWHERE: Final = frozenset({"egoscope_second_layer_removals_total"})  # made by the Collector

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have on GitHub."""
    titles = HEADING.findall(CODE_BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def known_settings() -> frozenset[str]:
    """Return every setting that the package, the servers' configurations, tools or tests read."""
    fields = {
        str(field.validation_alias or f"EGOSCOPE_{name.upper()}") for name, field in Settings.model_fields.items()
    }
    files = [path for pattern in (*USED_IN, *TOOLS) for path in ROOT.glob(pattern) if path.is_file()]
    return frozenset(fields).union(*(SETTING.findall(path.read_text()) for path in files if path != Path(__file__)))


def missing_links(page: Path) -> Iterator[str]:
    """Yield each relative link that leads nowhere."""
    for link in LINK.findall(CODE_BLOCK.sub("", page.read_text())):
        target, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            yield link


@pages
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """To a file or folder of the repository, and to a heading that is there."""
    assert list(missing_links(page)) == []


@pages
def test_every_setting_that_is_named_exists(page: Path) -> None:
    """In the settings' class, in a server's configuration or in a tool."""
    assert set(SETTING.findall(page.read_text())) - known_settings() == set()


@pages
def test_every_command_that_is_named_exists(page: Path) -> None:
    """`egoscope NAME` in code is a command."""
    text = page.read_text()
    code = "\n".join([*CODE_BLOCK.findall(text), *re.findall(r"`[^`\n]+`", text)])
    assert set(COMMAND.findall(code)) - set(typer.main.get_group(app).commands) == set()


@pages
def test_every_metric_that_is_named_is_in_the_catalogue(page: Path) -> None:
    """By its name in Prometheus."""
    known = {metric.prometheus for metric in METRICS} | ELSEWHERE
    assert set(METRIC.findall(page.read_text())) - known <= {"ego_mcp", "ego_mcp_events"}


@pages
def test_every_test_that_is_named_exists(page: Path) -> None:
    """A promise that names its test is checked by one."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in TEST.findall(page.read_text()) if f"def {name}(" not in tests] == []


def test_the_table_of_settings_is_what_the_class_says() -> None:
    """Whoever changes a setting runs tools/settings_page.py."""
    check = [sys.executable, str(ROOT / "tools" / "settings_page.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
