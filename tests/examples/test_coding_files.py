"""The coding assistant's files: what its agents may see of a program, what they may change, and what is written."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from scene import SECRET

from examples.multi_agent.coding_assistant.__main__ import HERE
from examples.multi_agent.coding_assistant.patching import MOST_DIFF_CHARACTERS, apply_diff
from examples.multi_agent.coding_assistant.workspace import MOST_BYTES, Reason, WorkspaceInspectorNode, preview
from examples.multi_agent.coding_assistant.writing import write
from examples.multi_agent.errors import ExampleError, PatchError, WriteError
from tests.this_thread import replace_here


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the sample program."""
    return Path(shutil.copytree(HERE / "sample_app", tmp_path / "shop"))


def everything(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


# --- what the agents may see -----------------------------------------------------------------------------------------


def inspect(root: Path, *targets: str) -> dict[str, Any]:
    return WorkspaceInspectorNode(root=root).run({"files": targets})


def test_files_are_listed_with_size_and_preview(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("é = 1\n")
    (tmp_path / "b.md").write_text("".join(f"{line}\n" for line in range(100)))
    structure = inspect(tmp_path, "a.py")["structure"]
    assert structure[0] == {"path": "a.py", "size": 7, "preview": "é = 1", "selected": True, "text": "é = 1\n"}
    assert structure[1]["preview"].splitlines() == [*"01234", "… 90 lines …", *(str(line) for line in range(95, 100))]
    assert "text" not in structure[1], "what was not asked for is not read whole"


@pytest.mark.parametrize(("lines", "shown"), [(0, 0), (10, 10), (11, 11)])
def test_a_preview_is_never_longer_than_the_text(lines: int, shown: int) -> None:
    assert len(preview("x\n" * lines).splitlines()) == shown


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.py", b"\xff\xfe", Reason.BINARY),
        ("a.py", b"x\0y", Reason.BINARY),
        ("a.py", b"x" * (MOST_BYTES + 1), Reason.TOO_LARGE),
        ("a.exe", b"x", Reason.EXTENSION),
        ("noext", b"x", Reason.EXTENSION),
    ],
)
def test_a_file_that_is_left_out_says_why(tmp_path: Path, name: str, content: bytes, reason: Reason) -> None:
    (tmp_path / name).write_bytes(content)
    found = inspect(tmp_path)
    assert found == {"structure": [], "structure_excluded": [{"path": name, "reason": reason.value}]}


def test_the_largest_file_is_one_of_128_kib(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x" * MOST_BYTES)
    assert inspect(tmp_path)["structure"][0]["size"] == 128 * 1024


@pytest.mark.parametrize(
    ("refused", "listed"),
    [
        pytest.param("open", "closed/b.py", id="a file"),
        pytest.param("lstat", "closed/b.py", id="a file in a directory that may be listed only"),
        pytest.param("scandir", "closed", id="a directory"),
    ],
)
def test_what_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, listed: str
) -> None:
    """Root may read everything, so the refusal is made up."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "b.py").write_text("x")
    (tmp_path / "a.py").write_text("x")
    where = os if refused == "scandir" else Path
    real = getattr(where, refused)

    def refuse(path: object, *arguments: Any, **named: Any) -> Any:
        if str(path).startswith(str(tmp_path / "closed")):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **named)

    replace_here(monkeypatch, where, refused, refuse)
    found = inspect(tmp_path)
    assert [one["path"] for one in found["structure"]] == ["a.py"]
    assert found["structure_excluded"] == [{"path": listed, "reason": "permission_denied"}]


@pytest.mark.parametrize("to", ["../outside.py", "nowhere.py", "a.py", "real.md"])
def test_a_link_is_left_out_wherever_it_leads(tmp_path: Path, to: str) -> None:
    (tmp_path / "outside.py").write_text(SECRET)
    root = tmp_path / "root"
    root.mkdir()
    (root / "real.md").write_text("x")
    (root / "a.py").symlink_to(to)
    found = inspect(root)
    assert [one["path"] for one in found["structure"]] == ["real.md"]
    assert found["structure_excluded"] == [{"path": "a.py", "reason": "no regular file"}]


def test_a_link_to_a_directory_is_left_out_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.py").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / ".venv").symlink_to("real")
    found = inspect(tmp_path)
    assert [one["path"] for one in found["structure"]] == ["real/a.py"]
    assert found["structure_excluded"] == [{"path": "link", "reason": "no regular file"}]


def test_a_pipe_is_left_out_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert inspect(tmp_path)["structure_excluded"] == [{"path": "pipe.txt", "reason": "no regular file"}]


def test_a_file_that_is_not_there_is_an_error_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    with pytest.raises(
        ExampleError, match="1 of the files to change are not in the workspace, or left out: see --file"
    ):
        inspect(tmp_path, "a.py", "b.py")
    (tmp_path / "b.py").write_bytes(b"\xff")
    with pytest.raises(ExampleError, match="1 of the files"):
        inspect(tmp_path, "a.py", "b.py")
    with pytest.raises(ExampleError, match="--workspace"):
        inspect(tmp_path / "none")


# --- what may be changed ---------------------------------------------------------------------------------------------

TEXTS = {"a.py": "one\ntwo\n", "deep/b.py": "x\n"}


def diff(old: str = "a/a.py", new: str = "b/a.py", body: str = "@@ -1,2 +1,2 @@\n one\n-two\n+three\n") -> str:
    return f"--- {old}\n+++ {new}\n{body}"


def added(path: str) -> str:
    return diff("/dev/null", f"b/{path}", "@@ -0,0 +1 @@\n+hello\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with files that may be changed, and others."""
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "node_modules").mkdir()
    for name, text in TEXTS.items():
        (root / name).write_text(text)
    (root / "big.md").write_text("precious\n" * MOST_BYTES)
    (root / "gone.md").symlink_to("nowhere.md")
    (root / "link").symlink_to("deep")
    return root


def patch(root: Path, text: str, before: str | None = None, *, may_add: bool = True) -> dict[str, str]:
    texts = TEXTS if before is None else {"a.py": before}
    files, _ = apply_diff(text, texts, root, may_add=may_add)
    return {one["path"]: one["text"] for one in files}


def test_a_diff_is_applied_in_memory(root: Path) -> None:
    before = everything(root)
    assert patch(root, diff()) == {"a.py": "one\nthree\n"}
    assert patch(root, diff("a.py", "a.py")) == {"a.py": "one\nthree\n"}
    assert patch(root, f"```diff\n{diff()}```") == {"a.py": "one\nthree\n"}
    assert patch(root, diff() + added("new.py")) == {"a.py": "one\nthree\n", "new.py": "hello\n"}
    assert patch(root, added("deep/new/far.txt")) == {"deep/new/far.txt": "hello\n"}
    assert everything(root) == before


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("deep/b.py", "is there"),
        ("big.md", "is there"),
        ("gone.md", "is there"),
        ("new.sh", "only .py, .txt, .md"),
        ("node_modules/new.md", "left out"),
        ("deep/.venv/lib/sitecustomize.py", "left out"),
        ("link/new.py", "through a link"),
        ("a.py/new.py", "through a link or a file"),
        ("unittest.py", "in the place of one of Python's or of the tests' own"),
        ("argparse/__init__.py", "in the place of"),
        ("pytest.py", "in the place of"),
        ("sitecustomize.py", "in the place of"),
        ("tests/conftest.py", "in the place of"),
    ],
)
def test_no_file_is_added_where_it_would_hide_or_replace_another(root: Path, path: str, why: str) -> None:
    with pytest.raises(PatchError, match=r"^part 1 of the diff adds") as caught:
        patch(root, added(path))
    assert why in str(caught.value)
    assert path not in str(caught.value)


def test_where_the_request_names_files_none_is_added(root: Path) -> None:
    assert patch(root, diff(), may_add=False) == {"a.py": "one\nthree\n"}
    with pytest.raises(PatchError, match="part 2 of the diff adds a file, and --file names those to change"):
        patch(root, diff() + added("new.py"), may_add=False)


MARKER = "\\ No newline at end of file\n"


@pytest.mark.parametrize(
    ("before", "body", "after"),
    [
        pytest.param("one\r\ntwo\r\nx\r\n", None, "one\r\nthree\r\nx\r\n", id="CRLF stays CRLF"),
        pytest.param("one\ntwo\nx\r\n", None, "one\nthree\nx\r\n", id="lines that nobody changed stay as they are"),
        pytest.param(
            "one\ntwo\n\x0cx\x1cy\u2028z\n", None, "one\nthree\n\x0cx\x1cy\u2028z\n", id="only LF ends a line"
        ),
        pytest.param(
            "one\n\x0ctwo\n",
            "@@ -1,2 +1,2 @@\n-one\n+1\x0c\n \x0ctwo\n",
            "1\x0c\n\x0ctwo\n",
            id="a form feed in the diff",
        ),
        pytest.param(
            "\x0c\none\ntwo\n", "@@ -2,2 +2,2 @@\n one\n-two\n+three\n", "\x0c\none\nthree\n", id="a form feed"
        ),
        pytest.param(
            "one\ntwo", f"@@ -1,2 +1,2 @@\n one\n-two\n{MARKER}+three\n{MARKER}", "one\nthree", id="no end of line"
        ),
        pytest.param(
            "one\ntwo", f"@@ -1,2 +1,2 @@\n one\n-two\n{MARKER}+three\n", "one\nthree\n", id="an end is added"
        ),
        pytest.param(
            "one\ntwo\n", f"@@ -1,2 +1,2 @@\n one\n-two\n+three\n{MARKER}", "one\nthree", id="an end is removed"
        ),
        pytest.param("one\ntwo", f"@@ -1,2 +1,1 @@\n one\n-two\n{MARKER}", "one\n", id="a last line is removed"),
        pytest.param(
            "one\ntwo", "@@ -2 +2,2 @@\n two\n+three\n", "one\ntwo\nthree\n", id="a line after one without end"
        ),
        pytest.param("one\ntwo", "@@ -1,2 +1,2 @@\n-one\n+three\n two\n", "three\ntwo", id="the end is not touched"),
        pytest.param(
            "one\ntwo\n", "@@ -1,2 +1,2 @@\n one\n-two\n+three\n\n\n", "one\nthree\n", id="empty lines behind"
        ),
    ],
)
def test_only_the_lines_of_the_diff_change(root: Path, before: str, body: str | None, after: str) -> None:
    text = diff(body=body) if body else diff()
    assert patch(root, text, before) == {"a.py": after}
    assert patch(root, f"```diff\n{text}```", before) == {"a.py": after}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("I would rather not.", id="no diff"),
        pytest.param(diff("a/../a.py", "b/../a.py"), id="a path that leads up"),
        pytest.param(diff("a/deep/../../etc.py", "b/deep/../../etc.py"), id="a path that leads up from below"),
        pytest.param(diff("/etc/passwd", "/etc/passwd"), id="an absolute path"),
        pytest.param(diff("a/..\\a.py", "b/..\\a.py"), id="a path of Windows"),
        pytest.param(diff("a/c.py", "b/c.py"), id="a file that is not to be changed"),
        pytest.param(diff("a/a.py", "b/c.py"), id="a file is renamed"),
        pytest.param(diff("a/a.py", "/dev/null"), id="a file is deleted"),
        pytest.param(added("../new.py"), id="a new file outside"),
        pytest.param(added("n\0ew.py"), id="a path that is none"),
        pytest.param(added("n\ud800ew.py"), id="a path that cannot be written"),
        pytest.param(diff(body="@@ -1,2 +1,2 @@\n one\n-four\n+three\n"), id="lines that do not stand there"),
        pytest.param(diff(body="@@ -9,2 +9,2 @@\n one\n-two\n+three\n"), id="lines behind the end"),
        pytest.param(diff(body="@@ -9,0 +10 @@\n+three\n"), id="a line put behind the end"),
        pytest.param(diff() + diff(), id="a file twice"),
        pytest.param(diff() + "x" * MOST_DIFF_CHARACTERS, id="too long"),
    ],
)
def test_a_diff_that_is_not_allowed_or_does_not_fit_changes_nothing(root: Path, text: str) -> None:
    with pytest.raises(PatchError) as caught:
        patch(root, text)
    assert not any(word in str(caught.value) for word in ("one", "two", "three", "etc", "passwd")), "content"


def test_all_of_a_diff_is_applied_or_nothing(root: Path) -> None:
    with pytest.raises(PatchError):
        patch(root, diff() + diff("a/../x.py", "b/../x.py"))


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["link.py", "within.py", "lib/outside.py", "lib/back.py", "circle.py"])
def test_nothing_is_shown_or_written_through_a_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The good file before it neither; and what stands outside is not shown as what was there before."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "outside.py").write_text(SECRET)
    (elsewhere / "back.py").symlink_to(root / "here.py")
    (root / "here.py").write_text("here = 1\n")
    (root / "link.py").symlink_to(elsewhere / "outside.py")
    (root / "within.py").symlink_to("here.py")
    (root / "lib").symlink_to(elsewhere)
    (root / "circle.py").symlink_to("circle.py")
    before = sorted(tmp_path.rglob("*"))

    def ask(_: str) -> str:
        return "y"

    with pytest.raises(PatchError, match="through a link or a file; nothing was written"):
        write(root, [{"path": one, "text": "x = 1\n"} for one in ("good.py", name)], ask)
    assert not capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    assert (elsewhere / "outside.py").read_text() == SECRET
    assert (elsewhere / "back.py").is_symlink()


def test_of_several_files_none_is_written_where_one_cannot_be(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(shop)
    change = [{"path": path, "text": "x = 1\n"} for path in ("shop/cart.py", "shop/prices.py")]
    made = iter([tempfile.mkstemp(dir=shop)])

    def make(**_: object) -> tuple[int, str]:
        try:
            return next(made)
        except StopIteration:
            raise OSError(errno.ENOSPC, "No space left on device") from None

    replace_here(monkeypatch, tempfile, "mkstemp", make)
    with pytest.raises(WriteError, match=r"^shop/prices.py could not be written: No space left"):
        write(shop, change, lambda _: "y")
    assert everything(shop) == before


def wrote(root: Path, before: bytes | None, text: str, answer: str = "y") -> bytes:
    if before is not None:
        (root / "a.py").write_bytes(before)
    write(root, [{"path": "a.py", "text": text}], lambda _: answer)
    return (root / "a.py").read_bytes()


def test_what_is_written_is_what_was_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrote(tmp_path, b"one\r\ntwo\r\n", "one\r\nthree\r\n") == b"one\r\nthree\r\n"
    assert capsys.readouterr().out.splitlines()[3:6] == [" one\\r", "-two\\r", "+three\\r"]
    assert wrote(tmp_path, b"one\r\n", "one\n") == b"one\n"
    assert capsys.readouterr().out.splitlines()[3:5] == ["-one\\r", "+one"]
    assert wrote(tmp_path, b"one", "two") == b"two"
    none = "\\ No newline at end of file"
    assert capsys.readouterr().out.splitlines()[3:7] == ["-one", none, "+two", none]


def test_a_new_file_may_be_read_by_whom_the_system_says(tmp_path: Path) -> None:
    write(tmp_path, [{"path": "new/a.py", "text": "x = 1\n"}], lambda _: "y")
    (tmp_path / "other").touch()
    assert (tmp_path / "new" / "a.py").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_change_cannot_speak_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A carriage return and an escape would show another line than the one that is written."""
    wrote(tmp_path, b"one\n", "bad()\r\x1b[2K\tfine(\u202e\u00e9)\n")
    assert "+bad()\\r\\x1b[2K\tfine(\\u202e\u00e9)\n" in capsys.readouterr().out


def test_a_file_that_became_binary_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"^a.py could not be read: it is no text"):
        wrote(tmp_path, b"\xff\xfe", "x = 1\n")
    assert (tmp_path / "a.py").read_bytes() == b"\xff\xfe"
