"""The coding assistant: what its agents may see and change, what is run, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scene import SECRET, Scripted, Traces

from examples.multi_agent.coding_assistant.__main__ import HERE, RECORDINGS, main
from examples.multi_agent.coding_assistant.flow import coding_assistant, summarise
from examples.multi_agent.coding_assistant.testing import ALLOWED, MOST_OUTPUT, TIMEOUT_S, TestExecutorNode, run_command
from examples.multi_agent.errors import CommandError, ModelError, PatchError, TimeLimitError
from examples.multi_agent.flows import run_flow
from examples.multi_agent.models import RecordedModel
from examples.multi_agent.summary import at
from tests.pages import ROOT
from tests.this_thread import replace_here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from examples.multi_agent.models import Model

LINUX = sys.platform == "linux"
TESTS = ["python", "-m", "unittest"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the sample program."""
    return Path(shutil.copytree(HERE / "sample_app", tmp_path / "shop"))


def assist(
    shop: Path, model: Model, traces: Traces, *, tests: Sequence[str] = TESTS, files: Sequence[str] = (), **options: Any
) -> dict[str, Any]:
    flow = coding_assistant(shop, model, traces.tracer, **options)
    return run_flow(flow, {"request": {"text": "mend it", "files": files}, "tests": {"command": tests}})


def draft(name: str) -> str:
    """Return the first recorded draft of this name."""
    first, *_ = json.loads((HERE / "recorded" / name / "draft.json").read_text())
    return "\n".join(first["text"]) + "\n"


def recorded(name: str) -> RecordedModel:
    return RecordedModel(HERE / "recorded" / name)


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.py"))}


def everything(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


# --- the flow --------------------------------------------------------------------------------------------------------


def test_the_planted_bug_is_found_patched_and_tested_and_nothing_is_written(shop: Path, traces: Traces) -> None:
    before = contents(shop)
    context = assist(shop, recorded("good"), traces)
    assert traces.nodes() == ["inspect", "draft", "patch", "test", "review", "route", "summary"]
    assert context["tests"]["results"]["passed"]
    assert context["review"]["status"] == "OK"
    assert context["diff"]["applied"] == [{"path": "shop/discounts.py", "added": 1, "removed": 1}]
    summary = context["summary"]["json"]
    assert summary["title"] == "Changed after 1 draft"
    assert summary["changes"] == [
        "shop/discounts.py: +1 -1 lines",
        "Review: OK, risk low: The discount is now a share of the price, rounded down to whole cents.",
    ]
    assert contents(shop) == before


def test_a_draft_whose_tests_fail_goes_back_and_the_next_is_told_why(shop: Path, traces: Traces) -> None:
    context = assist(shop, recorded("second_try"), traces)
    assert traces.nodes().count("draft") == 2
    assert (context["review"]["status"], context["drafts"]) == ("OK", 2)


@pytest.mark.parametrize(
    ("answer", "tests", "told"),
    [
        (draft("second_try"), TESTS, "The tests fail with it."),
        (draft("second_try"), TESTS, "FAILED"),
        (draft("second_try"), ["python", "-m", "pytest", "-q"], "FAILED tests/test_discounts.py"),
        (draft("bad_diff"), TESTS, "part 1 of the diff does not fit the file that it changes"),
        ("no diff", TESTS, "there is no unified diff in what the model proposed"),
    ],
)
@pytest.mark.usefixtures("no_delays")
def test_the_next_draft_is_told_what_became_of_the_one_before(
    shop: Path, traces: Traces, answer: str, tests: Sequence[str], told: str
) -> None:
    model = Scripted(answer)
    assist(shop, model, traces, tests=tests, most_drafts=2)
    (_, first), (_, second) = model.prompts
    assert told in second
    assert told not in first


def test_a_bad_diff_is_tried_again_and_then_reported(shop: Path, traces: Traces) -> None:
    context = assist(shop, recorded("bad_diff"), traces)
    assert [name for name, _ in traces.events("patch")] == ["node.retry", "node.retry", "node.error"] * 3
    assert traces.nodes().count("draft") == 3
    assert context["review"]["status"] == "NG"
    assert context["summary"]["json"] == {
        "title": "Not changed after 3 drafts",
        "changes": [
            "Nothing was changed.",
            "patch failed: part 1 of the diff does not fit the file that it changes",
            "Review: NG, risk unknown: The diff could not be applied.",
        ],
        "tests": ["No tests were run."],
        "next_actions": ["Nothing was applied. Ask more precisely, or look at the trace to see what failed."],
    }


def test_tests_that_take_too_long_are_reported_as_that(shop: Path, traces: Traces) -> None:
    (shop / "tests" / "test_cart.py").write_text("import time; time.sleep(600)")
    model = Scripted(draft("good"))
    context = assist(shop, model, traces, most_drafts=2, test_timeout_s=1)
    failed = {"agent.flow.failure_type": "TimeoutError", "agent.flow.timeout": True}
    assert [(name, {key: told[key] for key in failed}) for name, told in traces.events("test")] == [
        ("node.error", failed)
    ] * 2
    assert "longer than 1 s" in model.prompts[1][1]
    assert context["tests"]["command"] == TESTS
    summary = context["summary"]["json"]
    assert summary["changes"][0] == "Nothing was changed."
    assert summary["tests"] == ["test failed: took longer than 1 s, the time limit of its policy"]


def test_the_tests_time_limit_is_120_s_everywhere(shop: Path, traces: Traces) -> None:
    assist(shop, recorded("good"), traces)
    assert TIMEOUT_S == 120
    assert traces.holds('"120s"')
    assert not traces.holds('"130s"')


@pytest.mark.parametrize("name", ["$x", "{{ $x }}", "$ctx.request"])
def test_a_workspace_may_have_any_name(shop: Path, traces: Traces, name: str) -> None:
    """illumo-flow evaluates what looks like an expression."""
    context = assist(shop.rename(shop.with_name(name)), recorded("good"), traces)
    assert context["review"]["status"] == "OK"


def test_a_diff_cannot_take_the_place_of_what_runs_the_tests(shop: Path, traces: Traces) -> None:
    spoof = "--- /dev/null\n+++ b/unittest.py\n@@ -0,0 +1 @@\n+print('ok')\n"
    context = assist(shop, Scripted(spoof, '{"status": "OK"}'), traces, most_drafts=1)
    assert (context["review"]["status"], context["tests"]["results"]) == ("NG", {})


def test_where_the_request_names_files_no_other_is_added(shop: Path, traces: Traces) -> None:
    new = draft("good") + "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n"
    model = Scripted(new, '{"status": "OK"}')
    assert assist(shop, model, traces, most_drafts=1, files=["shop/discounts.py"])["review"]["status"] == "NG"
    assert assist(shop, Scripted(new, '{"status": "OK"}'), traces)["review"]["status"] == "OK"


@pytest.mark.usefixtures("no_delays")
def test_a_provider_that_is_down_ends_in_a_report(shop: Path, traces: Traces) -> None:
    context = assist(shop, Scripted(ModelError("down")), traces)
    assert "Not changed" in context["summary"]["report"]
    assert "- patch failed: there is no draft of a diff\n" in context["summary"]["report"], "no model proposed one"
    assert {one["exception"] for one in context["errors"]} == {"ModelError", "PatchError"}


@pytest.mark.parametrize("answer", ["not JSON", "[]", '{"status": "maybe"}', "{}"])
@pytest.mark.usefixtures("no_delays")
def test_a_review_that_is_none_is_ng(answer: str, shop: Path, traces: Traces) -> None:
    model = Scripted(draft("good"), answer)
    context = assist(shop, model, traces, most_drafts=1)
    assert context["review"]["status"] == "NG"
    assert context["review"]["summary"].startswith("There was no review")
    assert context["summary"]["json"]["title"] == "Not changed after 1 draft"
    model = Scripted(draft("good"), *[answer] * 3, draft("good"), '{"status": "NG", "summary": "no\\u001b[2K"}')
    context = assist(shop, model, traces, most_drafts=2)
    assert "was refused: There was no review.\nthe model was asked for" in model.prompts[4][1]
    assert context["summary"]["json"]["changes"][-1] == "Review: NG, risk unknown: no\\x1b[2K"


def test_no_content_stands_in_a_trace_unless_it_is_asked_for(shop: Path, tmp_path: Path) -> None:
    (shop / "notes.md").write_text(SECRET)
    for name, capture, found in (("a.db", (), False), ("b.db", ("message",), True)):
        traces = Traces(tmp_path / name, capture)
        assist(shop, recorded("good"), traces)
        assert traces.holds(SECRET) is found
        assert traces.holds("return cents") is found
        traces.tracer.close()


def test_a_summary_says_what_is_missing() -> None:
    assert summarise({}) == {
        "title": "Not changed after 0 drafts",
        "changes": ["Nothing was changed."],
        "tests": ["No tests were run."],
        "next_actions": ["Nothing was applied. Ask more precisely, or look at the trace to see what failed."],
    }


def test_a_summary_that_fails_fails_no_flow(shop: Path, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> dict[str, Any]:
        raise KeyError(SECRET)

    monkeypatch.setattr("examples.multi_agent.coding_assistant.flow.summarise", fail)
    context = assist(shop, recorded("good"), traces)
    assert at(context, "review.status") == "OK"
    assert not context["summary"]["report"]
    assert traces.spans()[0] == ("coding_assistant", "OK")


# --- what is run -----------------------------------------------------------------------------------------------------


def execute(root: Path, *command: str, **options: Any) -> dict[str, Any]:
    node = TestExecutorNode(root=root, **options)
    return node.run({"command": command, "files": [], "applied": [1]})


@pytest.mark.parametrize(
    "command", [("rm", "-rf", "/"), ("python", "-c", "1"), ("python", "-m", "unittest", "; rm"), (), ("sh",)]
)
def test_only_allowed_commands_are_run(shop: Path, command: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="--tests: only these commands are allowed: 'python -m pytest'"):
        execute(shop, *command)


@pytest.mark.parametrize("command", ALLOWED, ids=" ".join)
def test_where_no_test_is_found_none_has_passed(shop: Path, traces: Traces, command: tuple[str, ...]) -> None:
    """unittest finds none of pytest's functions, and until Python 3.12 calls that OK."""
    shutil.rmtree(shop / "tests")
    context = assist(shop, Scripted(draft("good"), '{"status": "OK"}'), traces, tests=command, most_drafts=1)
    assert context["review"]["status"] == "NG"
    assert context["review"]["summary"].startswith("No test was found")
    assert context["summary"]["json"]["tests"] == [f"{' '.join(command)}: found no test; see --tests"]


def test_tests_run_in_a_copy_with_the_changed_files(shop: Path) -> None:
    (shop / "tests" / "test_cart.py").write_text("import pathlib; pathlib.Path('left').touch(); import nothing_there")
    results = execute(shop, *TESTS)["results"]
    assert (results["passed"], results["returncode"]) == (False, 1)
    assert "nothing_there" in results["stderr"]
    assert not (shop / "left").exists()


def changed(root: Path, *names: str) -> dict[str, Any]:
    """Run the tests where these files were changed."""
    files = [{"path": name, "text": "mine = 1\n"} for name in names]
    return TestExecutorNode(root=root).run({"command": TESTS, "files": files, "applied": [1]})


@pytest.mark.parametrize(
    ("link", "to", "name"),
    [
        pytest.param("alias.py", "shop/shop/cart.py", "alias.py", id="a file of the original"),
        pytest.param("lib", "elsewhere", "lib/new.py", id="another directory"),
        pytest.param("lib", "elsewhere", "lib/deep/new.py", id="a directory to be made there"),
    ],
)
def test_a_changed_file_is_not_written_through_a_link(
    shop: Path, tmp_path: Path, link: str, to: str, name: str
) -> None:
    """The copy keeps the links of the program, and those that are absolute lead out of it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (shop / link).symlink_to(tmp_path / to)
    before = contents(tmp_path)
    with pytest.raises(PatchError, match="through a link or a file; nothing was written") as caught:
        changed(shop, "first.py", name)
    assert name not in str(caught.value)
    assert (contents(tmp_path), [*elsewhere.iterdir()]) == (before, [])


def test_nor_through_a_link_within_the_copy(shop: Path) -> None:
    (shop / "alias.py").symlink_to("shop/cart.py")
    with pytest.raises(PatchError, match="through a link"):
        changed(shop, "alias.py")


def test_lines_end_in_the_copy_as_they_would_in_the_workspace(shop: Path) -> None:
    (shop / "tests" / "test_cart.py").write_text("print(open('a.txt', 'rb').read())")
    node = TestExecutorNode(root=shop)
    found = node.run({"command": TESTS, "files": [{"path": "a.txt", "text": "a\r\nb\n"}], "applied": [1]})
    assert r"b'a\r\nb\n'" in found["results"]["stdout"]


def test_what_cannot_be_copied_does_not_keep_the_tests_from_running(shop: Path) -> None:
    """A file that nobody may read, for example; root may, so here it is a pipe."""
    os.mkfifo(shop / "pipe.txt")
    results = changed(shop, "new.py")["results"]
    assert "Ran 8 tests" in results["stderr"]


def test_where_nothing_was_applied_nothing_is_run(shop: Path) -> None:
    found = TestExecutorNode(root=shop).run({"command": TESTS, "files": {}, "applied": {}})
    assert found == {"results": {}}


def program(tmp_path: Path, source: str) -> tuple[str, ...]:
    (tmp_path / "program.py").write_text(source)
    return ("python", "program.py")


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    source = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("child", "w").write(str(child.pid))
time.sleep(600)
"""
    command, child = program(tmp_path, source), tmp_path / "child"
    for limit_s in (2, 10, 60):  # until both have begun, which takes a slow machine a while
        with pytest.raises(TimeLimitError, match=f"longer than {limit_s} s"):
            run_command(command, tmp_path, limit_s)
        if child.exists() and child.read_text():
            break
    _wait_until(lambda: _is_gone(int(child.read_text())))


@pytest.mark.parametrize(
    "apart",
    [
        pytest.param("False", id="in its session"),
        pytest.param("True", id="in a session of its own", marks=pytest.mark.skipif(not LINUX, reason="needs /proc")),
    ],
)
def test_what_a_command_leaves_running_is_ended_with_it(tmp_path: Path, apart: str) -> None:
    source = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session={apart})
open("child", "w").write(str(child.pid))
"""
    assert run_command(program(tmp_path, source), tmp_path, 60)["passed"]
    _wait_until(lambda: _is_gone(int((tmp_path / "child").read_text())))


def test_output_is_cut_at_its_end_and_secrets_of_the_environment_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_MODEL_KEY", SECRET)
    source = (
        f"import os; print('x' * {2 * MOST_OUTPUT} + 'end'); print(dict(os.environ), file=__import__('sys').stderr)"
    )
    results = run_command(program(tmp_path, source), tmp_path, 60)
    assert len(results["stdout"]) == MOST_OUTPUT
    assert results["stdout"].endswith("end\n")
    assert SECRET not in results["stderr"]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "still running"
        time.sleep(0.02)


def _is_gone(pid: int) -> bool:
    """A process that nobody waited for yet is a zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


# --- the command -----------------------------------------------------------------------------------------------------


def command(shop: Path, tmp_path: Path, *options: str, answer: str | None = None) -> int:
    def ask(_: str) -> str:
        assert answer is not None, "asked though nothing is to be written"
        return answer

    arguments = ["--workspace", str(shop), "--tracer-arg", f"db_path={tmp_path / 'traces.db'}", *options]
    return main(arguments, ask)


@pytest.mark.parametrize(
    ("answer", "written"), [("y", True), ("yes", True), ("", False), ("n", False), ("what", False)]
)
def test_write_shows_the_diff_and_asks(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str, written: bool
) -> None:
    before = contents(shop)
    assert command(shop, tmp_path, "--write", answer=answer) == 0
    assert "+    return cents * (100 - percent) // 100" in capsys.readouterr().out
    changed = {path for path, text in contents(shop).items() if text != before[path]}
    assert changed == ({"shop/discounts.py"} if written else set())
    assert sorted(contents(shop)) == sorted(before), "no temporary file is left"


@pytest.mark.parametrize("refused", ["replace", "chmod"])
def test_where_writing_fails_a_sentence_says_so_and_nothing_is_left(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: str
) -> None:
    before = everything(shop)

    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        replace_here(patched, Path, refused, fail)
        assert command(shop, tmp_path, "--write", answer="y") == 2
    assert everything(shop) == before, "neither changed nor a temporary file left"
    assert capsys.readouterr().err == (
        "shop/discounts.py could not be written: Permission denied. "
        "Look at the workspace's rights and room, and run again.\n"
    )


def test_without_write_the_diff_is_shown_and_nothing_is_asked_or_written(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(shop)
    assert command(shop, tmp_path) == 0
    assert contents(shop) == before
    shown = capsys.readouterr().out
    assert "+    return cents * (100 - percent) // 100" in shown
    assert "Read the diff, then run again with --write to apply it." in shown
    assert command(shop, tmp_path, "--write", answer="n") == 0
    assert "run again" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["./shop/discounts.py", "shop//discounts.py", "shop/./discounts.py"])
def test_a_file_to_change_may_be_named_as_shells_complete_it(shop: Path, tmp_path: Path, name: str) -> None:
    assert command(shop, tmp_path, "--file", name) == 0


@pytest.mark.parametrize("name", ["../shop/shop/discounts.py", "shop/../shop/discounts.py", "none.py"])
def test_one_that_is_not_below_the_workspace_is_not(shop: Path, tmp_path: Path, name: str) -> None:
    assert command(shop, tmp_path, "--file", name) == 1


@pytest.mark.parametrize("tests", ["rm -rf /", "", "python -m unittest x"])
def test_a_command_that_is_not_allowed_is_refused_before_anything_is_asked(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tests: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        command(shop, tmp_path, "--tests", tests)
    assert caught.value.code == 2
    assert "argument --tests: " in capsys.readouterr().err
    assert not (tmp_path / "traces.db").exists()


def started(shop: Path, tmp_path: Path, before: str = "") -> subprocess.Popen[str]:
    """Start the command in a process of its own, one that Ctrl-C and a hangup reach whatever ours inherited."""
    source = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"signal.signal(signal.SIGHUP, signal.SIG_DFL); {before}\n"
        "from examples.multi_agent.coding_assistant.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    (tmp_path / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", source, "--workspace", shop, "--tracer-arg", f"db_path={tmp_path / 'traces.db'}"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_ctrl_c_ends_it_with_a_line_and_the_tests_with_it(
    shop: Path, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    """So does what a system sends to what it wants to end, and a terminal that is closed."""
    pid = tmp_path / "pid"
    source = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    (shop / "tests" / "test_cart.py").write_text(source)
    (shop / "many").mkdir()
    for number in range(1000):  # they take a while to remove
        (shop / "many" / f"{number}.bin").touch()
    with started(shop, tmp_path) as process:
        _wait_until(lambda: pid.exists() and pid.read_text() != "")
        process.send_signal(sent)
        _, said = process.communicate(timeout=180)
    assert (process.returncode, said) == (status, "Stopped.\n")
    _wait_until(lambda: _is_gone(int(pid.read_text())))
    assert not [*(tmp_path / "tmp").iterdir()], "the copy is gone too"


def test_a_program_that_hangups_shall_not_end_goes_on(shop: Path, tmp_path: Path) -> None:
    """As under nohup."""
    (shop / "tests" / "test_cart.py").write_text("import os, signal\nos.kill(os.getppid(), signal.SIGHUP)\n")
    source = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with started(shop, tmp_path, source) as process:
        _, said = process.communicate(timeout=180)
    assert (process.returncode, said) == (0, "")


def test_whoever_reads_only_the_beginning_causes_no_traceback(shop: Path, tmp_path: Path) -> None:
    with started(shop, tmp_path) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        said = process.stderr.read()
    assert (process.returncode, said) == (141, "")


@pytest.mark.parametrize(("option", "fits"), [("--write", True), ("--request", False), ("--workspace", False)])
def test_recorded_answers_are_not_passed_off_as_answers_to_a_request_of_one_s_own(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, fits: bool
) -> None:
    value = {"--write": [], "--request": ["Say hello."], "--workspace": [str(shop)]}[option]
    main([option, *value, "--tracer-arg", f"db_path={tmp_path / 'traces.db'}"], lambda _: "n")
    said = "They were recorded for what is asked by default, and need not fit this.\n"
    assert (said in capsys.readouterr().out) is not fits


@pytest.mark.parametrize("recording", RECORDINGS)
def test_its_status_says_whether_the_change_is_good(shop: Path, tmp_path: Path, recording: str) -> None:
    assert command(shop, tmp_path, "--recorded", recording) == (1 if recording == "bad_diff" else 0)


def test_what_is_wrong_is_a_sentence(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(shop / "none", tmp_path) == 1
    said = capsys.readouterr().out
    assert said.endswith("The flow failed: the workspace is no directory: name one with --workspace\n")
    assert "Not changed after 0 drafts\n" in said
    assert "- inspect failed: the workspace is no directory: name one with --workspace\n" in said
    assert command(shop, tmp_path, "--tracer-arg", "nonsense") == 2
    assert "--tracer-arg for sqlite" in capsys.readouterr().err
