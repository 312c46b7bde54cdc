"""What docs/examples.md and the READMEs tell to run does what they say, up to the monitor and to what leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from scene import SECRET

from examples.multi_agent.chat_bot.__main__ import main as chat_bot
from examples.multi_agent.coding_assistant.__main__ import RECORDINGS, SAMPLE
from examples.multi_agent.coding_assistant.__main__ import main as coding_assistant
from tests.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE: Final = ROOT / "examples" / "multi_agent"
PAGES: Final = (ROOT / "docs" / "examples.md", *sorted(HERE.rglob("README.md")))
COMMAND: Final = re.compile(r'^(?:\$ )?make (coding-assistant|chat-bot)(?: ARGS="([^"]*)")?', re.MULTILINE)
ELSEWHERE: Final = ("--tracer otel", "--workspace", "--webhook", "--help", "--write")
"""Options that need somebody else's server or program, change the sample or end the command; other tests try them."""
FAILS: Final = ("--recorded bad_diff", "--recorded failing_provider --stage production")
MAINS: Final = {"coding-assistant": coding_assistant, "chat-bot": chat_bot}


def commands() -> list[tuple[str, str]]:
    """Return every command of the pages: its target and its options."""
    found = {match for page in PAGES for match in COMMAND.findall(page.read_text(encoding="utf-8"))}
    return sorted(one for one in found if not any(option in one[1] for option in ELSEWHERE))


@pytest.mark.parametrize(("target", "options"), commands())
def test_a_command_of_the_pages_ends_as_they_say(
    target: str, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert MAINS[target](shlex.split(options)) == int(options in FAILS)
    assert (tmp_path / "traces.db").is_file()


def test_no_page_takes_the_program_s_status_for_make_s() -> None:
    """Of a status of 1 make says `Error 1`, and itself ends with 2."""
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if COMMAND.match(line) and "status" in line]


def test_what_mends_the_sample_is_the_last_to_run_and_the_page_says_how_to_get_it_back() -> None:
    """No recorded diff fits the mended one."""
    text = (HERE / "coding_assistant" / "README.md").read_text(encoding="utf-8")
    before, written, after = text.partition('ARGS="--write"')
    assert written
    assert "--recorded" not in after
    assert all(f"--recorded {name}" in before for name in RECORDINGS[1:])
    back = re.search(r"^git checkout -- (\S+)", after, re.MULTILINE)
    assert back
    assert ROOT / back[1] == SAMPLE


def test_pages_count_the_sample_s_tests_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "unittest"], cwd=SAMPLE, capture_output=True, text=True, check=False, timeout=600
    )
    counted = re.search(r"Ran (\d+) tests.*FAILED \(failures=(\d+)\)", done.stderr, re.DOTALL)
    assert counted
    every, failing = (
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")[int(one)] for one in counted.groups()
    )
    for page in (SAMPLE / "README.md", SAMPLE.parent / "README.md"):
        assert f"{failing} of its {every} tests fail" in page.read_text(encoding="utf-8").lower(), page


@pytest.mark.parametrize("target", sorted(MAINS))
def test_make_runs_it_as_it_is(target: str) -> None:
    rule = re.search(rf"^{target}: .*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule
    assert rule[1] == f"@$(BIN)/python -m examples.multi_agent.{target.replace('-', '_')} $(ARGS)"


def run(arguments: Sequence[str], directory: Path, **environ: str) -> str:
    """Run egoscope's command and return what it prints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    nothing = str(directory / "no logs")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("egoscope")), *arguments],
        env={**own, "HOME": str(directory), "EGO_MCP_LOG_PATH": nothing, "COLUMNS": "120", **environ},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return done.stdout


def test_retries_and_failures_can_be_followed_in_the_monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert coding_assistant(["--recorded", "bad_diff"]) == 1
    assert chat_bot(["--recorded", "unsure"]) == 0
    with closing(sqlite3.connect("traces.db")) as db:
        ((trace_id,),) = db.execute("SELECT trace_id FROM spans WHERE name = 'coding_assistant'").fetchall()
    overview = run(["start", "--once"], tmp_path, EGOSCOPE_TRACERDB_PATH="traces.db")
    assert "coding_assistant" in overview
    assert "chat_bot" in overview
    drawn = run(["monitor", "--once", "--trace", trace_id], tmp_path)
    assert drawn.count("├─ draft") == 3
    assert len(re.findall(r"├─ patch .*ok · 2 retries · gave up", drawn)) == 3
    assert "└─ summary" in drawn


@pytest.mark.parametrize(
    ("main", "options"),
    [
        pytest.param(coding_assistant, ["--recorded", "bad_diff"], id="one that changed nothing"),
        pytest.param(chat_bot, [], id="one that answered"),
        pytest.param(chat_bot, ["--recorded", "failing_provider", "--stage", "production"], id="one that failed"),
    ],
)
def test_a_run_names_its_trace_for_the_monitor(
    main: Callable[[Sequence[str]], int],
    options: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    main(options)
    said = capsys.readouterr().out
    found = re.search(r"^Trace: ([0-9a-f]{32}), in traces\.db\.$", said, re.MULTILINE)
    assert found
    assert "\nSee it: EGOSCOPE_TRACERDB_PATH=traces.db egoscope start\n" in said
    with closing(sqlite3.connect("traces.db")) as db:
        assert db.execute("SELECT DISTINCT trace_id FROM spans").fetchall() == [(found[1],)]


@pytest.mark.parametrize("path", ["traces.db", "my own traces.db"])
def test_what_a_run_says_shows_it_does_as_it_stands_there(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copied from the terminal of a reader who ran it with make, and has nothing on PATH; then its trace, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert chat_bot(["--tracer-arg", f"db_path={path}"]) == 0
    said = capsys.readouterr().out
    (typed,) = re.findall(r"^See it: (.*)$", said, re.MULTILINE)
    assert typed.endswith(" .venv/bin/egoscope start")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    environ = {**own, "HOME": str(tmp_path), "EGO_MCP_LOG_PATH": str(tmp_path / "no logs"), "COLUMNS": "120"}
    shown = subprocess.run(
        ["sh", "-c", typed], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert "chat_bot" in shown
    (trace_id,) = re.findall(r"^Trace: ([0-9a-f]{32})", said, re.MULTILINE)
    assert "└─ summary" in run(["monitor", "--once", "--trace", trace_id], tmp_path)


def test_what_was_captured_for_oneself_does_not_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    captured = ["--tracer-arg", "db_path=traces.db", "--tracer-arg", "capture=message"]
    assert chat_bot(["--question", f"how do I return {SECRET}?", *captured]) == 0
    assert SECRET in "".join(str(row) for row in sqlite3.connect("traces.db").execute("SELECT * FROM events"))
    run(["convert", "--source", "tracerdb", "traces.db", "--out", "out"], tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()}
    assert not [name for name, text in written.items() if SECRET in text]
    spans = [
        span
        for line in written["traces.jsonl"].splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert {span["name"] for span in spans} == {"chat_bot", "greet", "faq", "escalate", "audit", "summary"}
    assert {event["name"] for span in spans for event in span.get("events", ())} == {
        "agent_instruction",
        "agent_response",
    }


def test_the_pages_name_each_recording() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for recordings in HERE.glob("*/recorded"):
        for recording in recordings.iterdir():
            assert recording.name in (*re.findall(r"--recorded (\w+)", text), "good", "known"), Path(recording).name
