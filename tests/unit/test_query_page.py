"""Every example of docs/query.md, run as it stands there, prints what the page says."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from egoscope.store.sqlite import EmbeddedStore
from tests.pages import DOCS, Block, blocks
from tests.query_scene import Scene
from tests.task_scene import TaskScene

EVERY: Final = blocks(DOCS / "query.md")


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A directory with the page's store."""
    scene = Scene(dt.date(2026, 11, 21))
    with EmbeddedStore(tmp_path / "store.db") as store:
        for request in [*scene.requests(), *scene.tagged(), *TaskScene(dt.date(2026, 11, 21)).requests()]:
            store.send(request.signal, request.data)
    return tmp_path


def of(section: str, language: str = "python") -> Block:
    (found,) = [block for block in EVERY if (block.section, block.language) == (section, language)]
    return found


def run(block: Block, directory: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("EGOSCOPE_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = ["bash", "-euo", "pipefail", "-c", block.code]
    return subprocess.run(
        [sys.executable, "-c", block.code] if block.language == "python" else shell,
        cwd=directory,
        env={**own, "PATH": path, "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize("section", ["Asking the embedded store", "Costs", "Tasks and workers"])
def test_an_example_prints_what_the_page_shows(section: str, reader: Path) -> None:
    done = run(of(section), reader)
    assert (done.stderr, done.stdout) == ("", of(section, "").code)


def test_the_stacks_example_says_where_nothing_answers(reader: Path) -> None:
    """With servers it is tests/contract/test_query.py that asks them."""
    code = of("Asking the stack").code.replace(":9090", ":9")
    done = run(Block("", "", "python", code), reader)
    assert done.stderr.endswith("QueryError: Prometheus at http://127.0.0.1:9 is refused: nothing listens there\n")


def test_the_commands_write_their_files(reader: Path) -> None:
    done = run(of("Into a file", "sh"), reader)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "9 executions in executions.csv; 2 runs of flows are not in it: --what flows",
        "5 rows of a day, agent and model each in costs.json",
        "5 executions in writer.parquet",
        "2 runs of flows in triage.csv",
        "3 tasks in tasks.csv",
        "3 workers in workers.json",
    ]


def test_every_block_of_the_page_is_run_here() -> None:
    """And none is added that is not."""
    assert [(block.section, block.language) for block in EVERY] == [
        *(("Asking the embedded store", "python"), ("Asking the embedded store", "")),
        *(("Costs", "python"), ("Costs", "")),
        *(("Tasks and workers", "python"), ("Tasks and workers", "")),
        ("Asking the stack", "python"),
        ("Into a file", "sh"),
    ]
