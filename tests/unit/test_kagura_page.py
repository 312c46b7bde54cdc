"""What docs/kagura.md shows works as it stands there, and its numbers are those of the database."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from egoscope.convert import catalogue
from egoscope.convert.agents import MAX_AGENTS, MAX_MODELS, MAX_TOOLS
from egoscope.prices import load_prices
from tests.pages import DOCS, Block, blocks

PAGE: Final = DOCS / "kagura.md"
EVERY: Final = blocks(PAGE)
NUMBER: Final = re.compile(r"[0-9]+")


def of(section: str, language: str) -> Block:
    """Return the one block of a section in a language."""
    (block,) = [block for block in EVERY if (block.section, block.language) == (section, language)]
    return block


def run(block: Block, directory: Path) -> list[str]:
    """Run its commands as a reader would; return what they print to standard output, which must end well."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.commands],
        env={**own, "PATH": path, "HOME": str(directory)},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def shown(block: Block) -> list[str]:
    """Return the answers that a block shows."""
    return [line for line in block.code.splitlines() if not line.startswith("$ ")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of someone who typed what the page begins with, and saw what it shows but for the numbers."""
    directory = tmp_path_factory.mktemp("reader")
    block = of("Where it is, and what to set", "console")
    printed = run(block, directory)
    assert [NUMBER.sub("N", line) for line in printed] == [NUMBER.sub("N", line) for line in shown(block)]
    return directory


def ask(directory: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the demo's database."""
    with closing(sqlite3.connect(directory / "demo" / "telemetry.db")) as db:
        return db.execute(query).fetchall()


def test_the_query_of_the_page_says_what_is_counted(reader: Path) -> None:
    """Over a range that holds everything, for nobody knows what day a reader lives on."""
    query = of("What you see", "sql").code
    everything = query.replace("2026-11-20", "2000-01-01").replace("2026-11-21", "2200-01-01")
    outcomes = {"completed": "ok", "failed": "error"}
    truth = Counter({(agent, outcomes[status]): count for agent, status, count in ask(reader, everything)})
    assert truth.total() == ask(reader, "SELECT count(*) FROM executions")[0][0] > 0
    counted: Counter[tuple[str, str]] = Counter()
    for line in (reader / "out" / "metrics.jsonl").read_text().splitlines():
        for resource in json.loads(line)["resourceMetrics"]:
            for metric in (one for scope in resource["scopeMetrics"] for one in scope["metrics"]):
                if metric["name"] == catalogue.EXECUTIONS.name:
                    for point in metric["sum"]["dataPoints"]:
                        by = {one["key"]: one["value"]["stringValue"] for one in point["attributes"]}
                        value = int(point.get("asDouble", point.get("asInt", 0)))
                        key = by["agent"], by["outcome"]
                        counted[key] = max(counted[key], value)
    assert counted == truth


def test_the_price_file_of_the_page_is_valid_and_checked_as_shown(tmp_path: Path) -> None:
    section = "Costs and the price list"
    (tmp_path / "prices.toml").write_text(of(section, "toml").code)
    block = of(section, "console")
    printed = run(block, tmp_path)
    assert [line for line in printed if not line.startswith("policy ")] == shown(block)
    prices = load_prices(tmp_path / "prices.toml")
    assert prices.cost_usd("llama3:8b", 1000, 1000) == 0
    assert prices.cost_usd("azure/my-deployment", 10**6, 0) == 2.75


def test_the_page_tells_of_every_metric_of_agents_and_of_no_other() -> None:
    """Names as Prometheus has them, labels as the catalogue says."""
    text = PAGE.read_text()
    ours = {
        metric.prometheus
        for metric in catalogue.METRICS
        if metric.name.startswith(("agent.", "gen_ai.")) and not metric.name.startswith("agent.flow.")
    }
    rows = [line for line in text.splitlines() if line.startswith(("| `agent_", "| `gen_ai_"))]
    told = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert told == ours
    assert f"at most {MAX_AGENTS} agents, {MAX_MODELS} models and {MAX_TOOLS} tools" in text
