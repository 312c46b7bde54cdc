"""What docs/illumo.md shows works as it stands there, and its numbers are those of the database."""

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
from typer.testing import CliRunner

from egoscope.cli import app
from egoscope.convert import catalogue
from egoscope.convert.flow_tree import MAX_EVENTS
from egoscope.convert.flows import MAX_EVENT_TYPES, MAX_FLOWS, MAX_NODES
from egoscope.sources.illumo import EVENTS, SPANS
from egoscope.tracerdb import SQLiteTracerDB
from tests.pages import DOCS, Block, blocks

PAGE: Final = DOCS / "illumo.md"
TEXT: Final = " ".join(PAGE.read_text(encoding="utf-8").split())
NUMBER: Final = re.compile(r"[0-9]+")


def of(section: str, language: str) -> Block:
    """Return the one block of a section in a language."""
    (block,) = [block for block in blocks(PAGE) if (block.section, block.language) == (section, language)]
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
    assert [NUMBER.sub("N", line) for line in done.stdout.splitlines()] == [NUMBER.sub("N", line) for line in shown]
    return directory


def counted(reader: Path, metric: str) -> Counter[tuple[str, ...]]:
    """Return what `convert` wrote of a counter, by its labels in the order of their names."""
    found: Counter[tuple[str, ...]] = Counter()
    for line in (reader / "out" / "metrics.jsonl").read_text().splitlines():
        for resource in json.loads(line)["resourceMetrics"]:
            for one in (one for scope in resource["scopeMetrics"] for one in scope["metrics"]):
                if one["name"] == metric:
                    for point in one["sum"]["dataPoints"]:
                        labels = sorted((label["key"], label["value"]["stringValue"]) for label in point["attributes"])
                        key = tuple(value for _, value in labels)
                        found[key] = max(found[key], int(point.get("asDouble", point.get("asInt", 0))))
    return found


def test_the_query_of_the_page_says_what_is_counted(reader: Path) -> None:
    """Over a range that holds everything, for nobody knows what day a reader lives on."""
    query = of("What you see", "sql").code
    everything = query.replace("2026-11-20", "2000-01-01").replace("2026-11-21", "2200-01-01")
    assert everything != query
    with closing(sqlite3.connect(reader / "demo" / "illumo_trace.db")) as db:
        rows = db.execute(everything).fetchall()
    truth = Counter({(flow, node, "ok" if status == "OK" else "error"): count for flow, node, status, count in rows})
    assert truth.total() > 0
    assert counted(reader, catalogue.NODE_RUNS.name) == truth


def test_the_page_tells_of_every_metric_of_flows_and_of_no_other() -> None:
    """Names as Prometheus has them, labels as the catalogue says."""
    ours = {
        metric.prometheus: set(metric.attributes)
        for metric in catalogue.METRICS
        if metric.name.startswith("agent.flow.") or metric is catalogue.AGENT_LAST_EVENT
    }
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `agent_")]
    told = {
        name: set(re.findall(r"`([a-z_]+)`", row[2])) for row in rows for name in re.findall(r"`([a-z_]+)`", row[1])
    }
    assert told == ours


def test_the_page_tells_the_bounds() -> None:
    assert f"at most {MAX_FLOWS} flows, {MAX_NODES} nodes and {MAX_EVENT_TYPES} types of events" in TEXT
    assert f"at most {MAX_EVENTS} a span" in TEXT


def test_a_tracer_db_is_refused_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGOSCOPE_STATE_DIR", str(tmp_path / "state"))
    with SQLiteTracerDB(tmp_path / "traces.db"):
        pass
    result = CliRunner().invoke(
        app, ["convert", "--source", "illumo", str(tmp_path / "traces.db"), "--out", str(tmp_path)]
    )
    assert result.exit_code != 0
    assert "has no column of this name" in result.output


def test_a_database_without_events_is_read_all_the_same(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EGOSCOPE_STATE_DIR", str(tmp_path / "state"))
    database = tmp_path / "illumo_trace.db"
    database.write_bytes((reader / "demo" / "illumo_trace.db").read_bytes())
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(f"DROP TABLE {EVENTS}")
        (spans,) = db.execute(f"SELECT count(*) FROM {SPANS}").fetchone()
    result = CliRunner().invoke(app, ["convert", "--source", "illumo", str(database), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert f"{spans} rows of 1 database(s): {spans} spans" in result.output
