"""Golden OTLP/JSON of the recorded runs: a change of what leaves the machine shows as a difference to be read.

`EGOSCOPE_REWRITE_GOLDEN=1` writes them anew and fails the run that did it. Of each run the first lines stand here in
full, an item a line; of the rest a digest of each file that `egoscope convert` writes, and the whole summary.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from recorded import FOLDER, RUNS, log_of
from typer.testing import CliRunner

from egoscope.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
KEY_FILE: Final = HERE / "key"
FIRST_LINES: Final = 120
FIRST_ROWS: Final = 12
DATABASES: Final = {"kagura": ("executions",), "illumo": ("spans", "events"), "koubou": ("task_master", "workers")}
"""Sources that are databases -> the tables of which the first rows stand here in full."""
SIGNALS: Final = ("traces.jsonl", "metrics.jsonl", "logs.jsonl")
OPEN_TO_ITEMS: Final = frozenset(
    {"resourceSpans", "scopeSpans", "spans", "resourceLogs", "scopeLogs", "logRecords"}
    | {"resourceMetrics", "scopeMetrics", "metrics", "sum", "gauge", "histogram", "dataPoints"}
)


def readable(node: Any, depth: int = 0, *, opened: bool = True) -> Iterator[str]:
    """Yield the pieces of a JSON text with every span, log record and point on a line of its own."""
    indent, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if opened and isinstance(node, list):
        yield "["
        for place, one in enumerate(node):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield ("," if place else "") + indent
            yield from readable(one, depth + 1)
        yield end + "]"
    elif isinstance(node, dict) and OPEN_TO_ITEMS & node.keys():
        yield "{"
        for place, (key, value) in enumerate(node.items()):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield ("," if place else "") + indent + json.dumps(key) + ": "
            yield from readable(value, depth + 1, opened=key in OPEN_TO_ITEMS)
        yield end + "}"
    else:
        yield json.dumps(node, ensure_ascii=False)


def convert(path: Path, out: Path, key: Path, source: str = "ego-mcp") -> None:
    """Run the command as a user would."""
    options = ["--source", source, "--out", str(out), "--key-file", str(key)]
    result = CliRunner().invoke(app, ["convert", str(path), *options])
    assert result.exit_code == 0, result.output


def compare(golden: Path, text: str) -> None:
    """Compare with what is committed, or write it anew and fail."""
    if os.environ.get("EGOSCOPE_REWRITE_GOLDEN") == "1":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
        pytest.fail(f"{golden.name} was written anew: look at the difference, then run without EGOSCOPE_REWRITE_GOLDEN")
    committed = golden.read_text(encoding="utf-8") if golden.exists() else ""
    assert text.splitlines() == committed.splitlines()


def compare_in_full(golden: Path, written: Path) -> None:
    """Compare the requests of one signal, an item a line."""
    requests = [json.loads(line) for line in written.read_bytes().splitlines()]
    compare(golden / written.name.replace(".jsonl", ".json"), "".join(readable(requests)) + "\n")


def compare_digests(golden: Path, out: Path) -> None:
    """Compare a digest of each file that was written, and the whole summary."""
    summary = json.loads((out / "summary.json").read_bytes())
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in SIGNALS}
    fields = [json.dumps(one) for one in summary.pop("fields")]
    lines = [json.dumps({**digests, **summary}), *fields]
    compare(golden / "whole.jsonl", "\n".join(lines) + "\n")


def database_of(source: str) -> Path:
    """Return the recorded database; skips the test where it is not."""
    found = sorted((FOLDER / source).glob("*.db"))
    if not found:
        pytest.skip(f"the recorded database of {source} is not beside the repository")
    return found[0]


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the committed key in the mode that git does not keep."""
    monkeypatch.setenv("EGOSCOPE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    copy = Path(shutil.copy(KEY_FILE, tmp_path / "key"))
    copy.chmod(0o600)
    return copy


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("run", RUNS)
def test_the_first_lines_of_a_recorded_run(run: str, signal: str, tmp_path: Path, key: Path) -> None:
    """Every item in full."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    log.write_bytes(b"".join(log_of(run).read_bytes().splitlines(keepends=True)[:FIRST_LINES]))
    convert(log, tmp_path / "out", key)
    compare_in_full(HERE / run, tmp_path / "out" / signal)


@pytest.mark.parametrize("run", RUNS)
def test_the_whole_of_a_recorded_run(run: str, tmp_path: Path, key: Path) -> None:
    """Digests of the requests, and what was kept, pseudonymised and dropped by field and reason."""
    convert(log_of(run), tmp_path / "out", key)
    compare_digests(HERE / run, tmp_path / "out")


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("source", DATABASES)
def test_the_first_rows_of_a_recorded_database(source: str, signal: str, tmp_path: Path, key: Path) -> None:
    """Every item in full."""
    database = Path(shutil.copy(database_of(source), tmp_path))
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in DATABASES[source]:
            connection.execute(f"DELETE FROM {table} WHERE rowid > {FIRST_ROWS}")
    convert(database, tmp_path / "out", key, source)
    compare_in_full(HERE / source, tmp_path / "out" / signal)


@pytest.mark.parametrize("source", DATABASES)
def test_the_whole_of_a_recorded_database(source: str, tmp_path: Path, key: Path) -> None:
    """Digests of the requests, and what was kept and dropped by field and reason."""
    convert(database_of(source), tmp_path / "out", key, source)
    compare_digests(HERE / source, tmp_path / "out")
