"""Pages say what is there: links lead somewhere, and what is named exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import typer

from bench import report
from egoscope.cli import app
from egoscope.config import Settings
from egoscope.convert import semconv
from egoscope.convert.catalogue import METRICS
from tests.pages import DOCS, PAGES, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX: Final = DOCS / "README.md"
IMAGES: Final = DOCS / "images"
DASHBOARDS: Final = ROOT / "grafana" / "dashboards"
# What is run or read beside the package, where a setting may be used.
USED_IN: Final = (
    *("*.yml", ".env.example", "Makefile", "collector-config/*", "loki/*", "tempo/*", "alertmanager/*"),
    *("grafana/*.ini", "grafana/provisioning/*/*", "tests/**/*.py"),
)
NO_DASHBOARDS: Final = frozenset({"egoscope-state"})  # a file's name
TOOLS: Final = ("tools/*.py", "bench/*.py", ".ci/*")

LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PICTURE: Final = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
ROW: Final = re.compile(r"^\| (.+) \|$", re.MULTILINE)
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_BLOCK: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SETTING: Final = re.compile(r"\b(?:EGOSCOPE|EGO_MCP)_[A-Z][A-Z_]*[A-Z]\b")
# In code: `egoscope NAME`, at the beginning of what is typed or behind a variable, an option or a prompt.
COMMAND: Final = re.compile(r"(?:^|[`$&|] ?|sidecar |[A-Z_]+=\S+ )egoscope ([a-z]+)\b", re.MULTILINE)
METRIC: Final = re.compile(r"`((?:egoscope|ego)_[a-z_]+)(?:\{[^`]*\})?`")
TARGET: Final = re.compile(r"(?:^|[`$ ])make ([a-z]+(?:-[a-z]+)*)\b", re.MULTILINE)
DASHBOARD: Final = re.compile(r"\begoscope-(?!mcp\b)[a-z]+\b(?=[`\"?/]|$)", re.MULTILINE)
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


def code_of(page: Path) -> str:
    """Return all code of a page, in blocks and within lines."""
    text = page.read_text()
    return "\n".join([*CODE_BLOCK.findall(text), *re.findall(r"`[^`\n]+`", CODE_BLOCK.sub("", text))])


def table(page: Path, under: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    section = re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{under}\n")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in ROW.findall(text)][2:]


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """Return every dashboard by its uid."""
    loaded = [json.loads(path.read_text()) for path in DASHBOARDS.glob("*.json")]
    return {one["uid"]: one for one in loaded}


def missing_links(page: Path) -> Iterator[str]:
    """Yield each relative link that leads nowhere."""
    for link in LINK.findall(CODE_BLOCK.sub("", page.read_text())):
        target, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if path.parent == IMAGES and not IMAGES.exists():
            continue  # `make screenshots` writes them all together
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            yield link


@pages
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """To a file or folder of the repository, and to a heading that is there."""
    assert list(missing_links(page)) == []


def test_links_of_the_bench_s_text_lead_somewhere_there_and_on_the_page_made_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(report, "PAGE", tmp_path / "performance.md")
    report.write_page([], [], date="today")
    assert list(missing_links(report.TEXT)) == []
    assert LINK.findall(report.PAGE.read_text()) == LINK.findall((DOCS / "performance.md").read_text())


@pages
def test_every_setting_that_is_named_exists(page: Path) -> None:
    """In the settings' class, in a server's configuration or in a tool."""
    assert set(SETTING.findall(page.read_text())) - known_settings() == set()


@pages
def test_every_command_that_is_named_exists(page: Path) -> None:
    """`egoscope NAME` in code is a command."""
    assert set(COMMAND.findall(code_of(page))) - set(typer.main.get_group(app).commands) == set()


@pages
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    """`make NAME` in code is a target."""
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(code_of(page))) - known == set()


@pages
def test_every_dashboard_that_is_named_exists(page: Path) -> None:
    """By its uid, in code or in an address."""
    assert set(DASHBOARD.findall(code_of(page))) - set(dashboards()) - NO_DASHBOARDS == set()


@pages
def test_every_metric_that_is_named_is_in_the_catalogue(page: Path) -> None:
    """By its name in Prometheus; an attribute in the form that Loki gives it is none."""
    attributes = {value.replace(".", "_") for value in vars(semconv).values() if isinstance(value, str)}
    known = {metric.prometheus for metric in METRICS} | ELSEWHERE | attributes
    assert set(METRIC.findall(page.read_text())) - known <= {"ego_mcp", "ego_mcp_events"}


@pages
def test_every_test_that_is_named_exists(page: Path) -> None:
    """A promise that names its test is checked by one."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in TEST.findall(page.read_text()) if f"def {name}(" not in tests] == []


def test_every_page_is_in_the_index_once_and_has_an_owner() -> None:
    """The owner is a role of the index's own table."""
    rows = [row for part in ("For users", "For operators", "For developers") for row in table(INDEX, part)]
    listed = Counter((DOCS / LINK.findall(row[0])[0]).resolve() for row in rows)
    decisions = DOCS / "decisions"
    expected = {decisions if decisions in page.parents else page for page in PAGES} - {INDEX}
    assert set(listed) == expected
    assert set(listed.values()) == {1}
    assert {row[2] for row in rows} == {row[0] for row in table(INDEX, "Owners")}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent == DOCS and page != INDEX], ids=lambda p: p.stem
)
def test_every_page_says_for_whom_it_is(page: Path) -> None:
    """In the line below its title."""
    assert re.match(r"# .+\n\n(\*For |Written by `make bench`)", page.read_text())


def test_the_table_of_dashboards_is_what_there_is() -> None:
    """By title and uid."""
    told = {row[1].strip("`"): row[0].strip("*") for row in table(DOCS / "operations.md", "Dashboards")}
    assert told == {uid: one["title"] for uid, one in dashboards().items()}


def test_the_table_of_alerts_names_every_rule() -> None:
    """And none that is not there."""
    rules = "".join(path.read_text() for path in (ROOT / "prometheus" / "rules").glob("*.yml"))
    told = [name for row in table(DOCS / "operations.md", "Alerts") for name in re.findall(r"`(\w+)`", row[1])]
    assert set(told) == set(re.findall(r"^ +- alert: (\w+)$", rules, re.MULTILINE))
    assert len(told) == len(set(told))


@pages
def test_every_picture_has_words_for_those_who_do_not_see_it(page: Path) -> None:
    assert [target for words, target in PICTURE.findall(page.read_text()) if len(words.split()) < 5] == []


def test_every_picture_that_was_made_is_shown() -> None:
    """And nothing is kept that no page shows."""
    shown = {(page.parent / target).resolve() for page in PAGES for _, target in PICTURE.findall(page.read_text())}
    assert set(IMAGES.glob("*")) - shown == set()


def test_the_first_steps_explain_every_tile_of_now() -> None:
    """By its title; and none that is not there."""
    titles = {panel["title"] for panel in dashboards()["egoscope-now"]["panels"] if panel.get("title")}
    page = (DOCS / "getting-started.md").read_text()
    (part,) = re.findall(r"^## Reading Now\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert titles - set(re.findall(r"\*\*(.+?)\*\*", part)) == set()
    assert set(re.findall(r"^\| \*\*(.+?)\*\* \|", part, re.MULTILINE)) - titles == set()


def test_the_table_of_settings_is_what_the_class_says() -> None:
    """Whoever changes a setting runs tools/settings_page.py."""
    check = [sys.executable, str(ROOT / "tools" / "settings_page.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
