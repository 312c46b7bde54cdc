"""Every example of docs/tracerdb.md, run as it stands there, prints what the page says."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from tests.pages import DOCS, ROOT, Block, blocks

if TYPE_CHECKING:
    from tests.stack.fake_tempo import FakeTempo

EVERY: Final = blocks(DOCS / "tracerdb.md")
CHECKOUT: Final = os.environ.get("EGOSCOPE_ILLUMO_FLOW", "")
TITLE: Final = EVERY[0].section
ENDPOINT: Final = "localhost:4317"


def of(section: str, language: str = "python") -> list[Block]:
    """Return the blocks of a section in one language; a bare block is what is printed."""
    return [block for block in EVERY if (block.section, block.language) == (section, language)]


def run(block: Block, directory: Path, tempo: FakeTempo | None = None, python_path: str = "") -> str:
    """Run a block as a program of its own; it must end well and print nothing to standard error."""
    code = block.code.replace(ENDPOINT, f"127.0.0.1:{tempo.port}") if tempo else block.code
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path}
    if block.language == "python":
        (directory / "example.py").write_text(code)
        command = [sys.executable, "example.py"]
    else:
        command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_what_is_recorded_into_a_file_is_read_back_as_shown(tmp_path: Path) -> None:
    write, read = of("Into a file")
    (shown,) = of("Into a file", "")
    assert run(write, tmp_path) == ""
    assert run(read, tmp_path) == shown.code


def test_what_is_recorded_to_tempo_arrives_and_what_cannot_be_is_told_as_shown(
    tmp_path: Path, tempo: FakeTempo
) -> None:
    send, fail = of("To Tempo")
    (shown,) = of("To Tempo", "")
    assert run(send, tmp_path, tempo) == ""
    assert [span.name for span in tempo.spans()] == ["answer"]
    assert run(fail, tmp_path) == shown.code


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A directory with the page's flow."""
    (tmp_path / "flow.yaml").write_text(of("illumo-flow", "yaml")[0].code)
    (tmp_path / "operations.py").write_text(of("illumo-flow")[0].code)
    return tmp_path


def names(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name FROM spans ORDER BY start, parent_id IS NOT NULL").fetchall()


def test_a_flow_is_recorded_by_the_commands_of_the_page(flow: Path, tempo: FakeTempo) -> None:
    (commands,) = of("illumo-flow", "sh")
    run(commands, flow, tempo)
    assert names(flow / "traces.db") == [("extract",), ("extract",), ("count",)]
    assert len(tempo.spans()) == 3


@pytest.mark.skipif(not CHECKOUT, reason="EGOSCOPE_ILLUMO_FLOW names no checkout of illumo-flow 0.1.5")
def test_a_flow_is_recorded_through_flow_runtime(flow: Path) -> None:
    (_, runtime, _) = of("illumo-flow")
    run(runtime, flow, python_path=CHECKOUT)
    assert len(names(flow / "flows.db")) == 3


def test_a_flow_of_the_released_version_is_recorded_by_wrapping_it(flow: Path) -> None:
    (_, _, wrapped) = of("illumo-flow")
    run(wrapped, flow)
    assert len(names(flow / "flows.db")) == 3


def test_an_instrumented_function_is_seen_as_shown(tmp_path: Path) -> None:
    (example,) = of("Instrumentation")
    (shown,) = of("Instrumentation", "")
    assert run(example, tmp_path) == shown.code


def test_the_port_is_published_on_loopback_for_a_service_and_a_network_that_exist() -> None:
    (overlay,) = (yaml.safe_load(block.code)["services"] for block in of(TITLE, "yaml"))
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    ((service, settings),) = overlay.items()
    assert service in compose["services"]
    assert set(settings["networks"]) <= set(compose["networks"])
    assert settings["ports"] == ["127.0.0.1:4317:4317"]
    assert compose["services"][service]["environment"]["EGOSCOPE_TEMPO_OTLP_LISTEN"].endswith(":4317")


def test_every_block_of_the_page_is_run_here() -> None:
    """And none is added that is not."""
    (overlay, *sections) = [(block.section, block.language) for block in EVERY]
    assert overlay == (TITLE, "yaml")
    assert sections == [
        *(("Into a file", "python"), ("Into a file", "python"), ("Into a file", "")),
        *(("To Tempo", "python"), ("To Tempo", "python"), ("To Tempo", "")),
        *(("illumo-flow", "yaml"), ("illumo-flow", "python"), ("illumo-flow", "sh")),
        *(("illumo-flow", "python"), ("illumo-flow", "python")),
        *(("Instrumentation", "python"), ("Instrumentation", "")),
    ]
