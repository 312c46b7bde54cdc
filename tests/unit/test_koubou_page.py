"""What docs/koubou.md shows works as it stands there, and its numbers are those of the database."""

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
from typing import Final

import pytest

from egoscope.convert import catalogue
from egoscope.convert.catalogue import METRICS
from egoscope.convert.task_spans import MAX_EVENTS
from egoscope.convert.tasks import MAX_PRIORITIES
from egoscope.convert.workers import MAX_WORKERS
from egoscope.sources import koubou
from egoscope.sources.replay import MOST_RUNNING
from tests.pages import DOCS, Block, blocks

PAGE: Final = DOCS / "koubou.md"
EVERY: Final = blocks(PAGE)
NUMBER: Final = re.compile(r"[0-9]+")
OUTCOMES: Final = {"completed": "ok", "failed": "error", "cancelled": "cancelled"}


def of(section: str, language: str) -> Block:
    """Return the one block of a section in a language."""
    (block,) = [block for block in EVERY if (block.section, block.language) == (section, language)]
    return block


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of someone who typed what the page begins with, and saw what it shows but for the numbers."""
    directory = tmp_path_factory.mktemp("reader")
    block = of("Where it is, and what to set", "console")
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
    shown = [line for line in block.code.splitlines() if not line.startswith("$ ")]
    told, page = (
        [NUMBER.sub("N", line).replace(", N pseudonymised", "") for line in lines]
        for lines in (done.stdout.splitlines(), shown)
    )
    assert told == page, "but that a demo may end with no task of somebody's own name"
    return directory


def test_the_query_of_the_page_says_what_is_counted(reader: Path) -> None:
    """Over a range that holds everything, for nobody knows what day a reader lives on."""
    query = of("What you see", "sql").code
    everything = query.replace("2026-11-20", "2000-01-01").replace("2026-11-21", "2200-01-01")
    with closing(sqlite3.connect(reader / "demo" / "koubou.db")) as db:
        truth = {(str(one), OUTCOMES[status]): number for one, status, number in db.execute(everything)}
    assert sum(truth.values()) > 0
    counted: Counter[tuple[str, str]] = Counter()
    for line in (reader / "out" / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        for resource in json.loads(line)["resourceMetrics"]:
            for metric in (one for scope in resource["scopeMetrics"] for one in scope["metrics"]):
                if metric["name"] == catalogue.TASKS_ENDED.name:
                    for point in metric["sum"]["dataPoints"]:
                        by = {one["key"]: one["value"]["stringValue"] for one in point["attributes"]}
                        value = int(point.get("asDouble", point.get("asInt", 0)))
                        key = by["priority"], by["outcome"]
                        counted[key] = max(counted[key], value)
    assert counted == truth


def test_the_metrics_of_the_page_have_the_names_and_labels_of_the_catalogue() -> None:
    """And none that a database of tasks has is left out."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: re.findall(r"`(\w+)`", labels) for name, labels in rows if "_" in name}
    known = {
        metric.prometheus: list(metric.attributes)
        for metric in METRICS
        if metric.name.startswith("task.") and metric not in catalogue.WORKER_PROCESS_METRICS
    }
    assert told == {**known, catalogue.AGENT_LAST_EVENT.prometheus: []}


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Limits")[1].split("**Cost.**")[0]
    told = [int(one.replace(",", "")) for one in re.findall(r"^\| [a-z ]+ \| ([0-9,]+)", section, re.MULTILINE)]
    limits = vars(koubou)
    assert told == [
        MOST_RUNNING,
        MAX_WORKERS,
        MAX_PRIORITIES,
        limits["_MOST_WORKERS"],
        MAX_EVENTS,
    ]
