"""Golden OTLP/JSON of the recorded runs: a change of what leaves the machine shows as a difference to be read.

`EGOSCOPE_REWRITE_GOLDEN=1` writes them anew and fails the run that did it. Of each run the first lines stand here in
full, an item a line; of the rest a digest of each file that `egoscope convert` writes, and the whole summary.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from recorded import RUNS, log_of
from typer.testing import CliRunner

from egoscope.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
KEY_FILE: Final = HERE / "key"
FIRST_LINES: Final = 120
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


def convert(log: Path, out: Path, key: Path) -> None:
    """Run the command as a user would."""
    result = CliRunner().invoke(app, ["convert", str(log), "--out", str(out), "--key-file", str(key)])
    assert result.exit_code == 0, result.output


def compare(golden: Path, text: str) -> None:
    """Compare with what is committed, or write it anew and fail."""
    if os.environ.get("EGOSCOPE_REWRITE_GOLDEN") == "1":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
        pytest.fail(f"{golden.name} was written anew: look at the difference, then run without EGOSCOPE_REWRITE_GOLDEN")
    committed = golden.read_text(encoding="utf-8") if golden.exists() else ""
    assert text.splitlines() == committed.splitlines()


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
    requests = [json.loads(line) for line in (tmp_path / "out" / signal).read_bytes().splitlines()]
    compare(HERE / run / signal.replace(".jsonl", ".json"), "".join(readable(requests)) + "\n")


@pytest.mark.parametrize("run", RUNS)
def test_the_whole_of_a_recorded_run(run: str, tmp_path: Path, key: Path) -> None:
    """Digests of the requests, and what was kept, pseudonymised and dropped by field and reason."""
    convert(log_of(run), tmp_path / "out", key)
    summary = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    digests = {name: hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() for name in SIGNALS}
    fields = [json.dumps(one) for one in summary.pop("fields")]
    lines = [json.dumps({**digests, **summary}), *fields]
    compare(HERE / run / "whole.jsonl", "\n".join(lines) + "\n")
