"""Applying a unified diff to texts in memory. No file is written here: see `writing.py`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from illumo_flow import Node
from unidiff.constants import LINE_TYPE_NO_NEWLINE
from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from examples.multi_agent.coding_assistant.paths import why_not_added
from examples.multi_agent.coding_assistant.showing import lines_of
from examples.multi_agent.errors import PatchError
from examples.multi_agent.models import without_fence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOTHING: Final = "/dev/null"
MOST_DIFF_CHARACTERS: Final = 256 * 1024


class PatchNode(Node):
    """Applies the proposed diff to the files that the agents may change; what comes out exists in memory only.

    Returns `files`, a list of `{path, text, status}` (status: `modified` or `added`), and `applied`, a list of
    `{path, added, removed}` in lines. Raises PatchError, so that a policy can try again.
    """

    def __init__(self, *, root: Path) -> None:
        super().__init__(
            name="patch",
            inputs={
                "diff": "$ctx.diff.proposed",
                "structure": "$ctx.workspace.structure",
                "named": "$ctx.request.files",
            },
            outputs={"files": "$ctx.workspace.files", "applied": "$ctx.diff.applied"},
            allow_context_access=True,
        )
        self._root = root

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Apply all of the diff, or nothing."""
        if not payload["diff"]:
            raise PatchError("there is no draft of a diff")
        texts = {one["path"]: one["text"] for one in payload["structure"] if one["selected"]}
        files, applied = apply_diff(payload["diff"], texts, self._root, may_add=not payload["named"])
        return {"files": files, "applied": applied}


def apply_diff(
    text: str, texts: Mapping[str, str], root: Path, *, may_add: bool
) -> tuple[list[dict[str, str]], list[dict[str, object]]]:
    """Return the changed files and what changed. `texts`: what may be changed; `root`: where others may be added.

    Raises PatchError where there is no diff in the text, where it names a path that it must not, or does not fit.
    """
    if len(text) > MOST_DIFF_CHARACTERS:
        raise PatchError("the diff is longer than 256 Ki characters")
    files: list[dict[str, str]] = []
    applied: list[dict[str, object]] = []
    for number, part in enumerate(_parsed(text), 1):
        path, is_new = _target(part, texts, number)
        refused = why_not_added(root, path) if may_add else "a file, and --file names those to change"
        if is_new and refused:
            raise PatchError(f"part {number} of the diff adds {refused}")
        if path in {one["path"] for one in files}:
            raise PatchError(f"part {number} of the diff changes a file for the second time")
        changed = _applied(part, texts.get(path, ""), number)
        files.append({"path": path, "text": changed, "status": "added" if is_new else "modified"})
        applied.append({"path": path, "added": part.added, "removed": part.removed})
    if not files:
        raise PatchError("there is no unified diff in what the model proposed")
    return files, applied


def _parsed(text: str) -> list[PatchedFile]:
    try:
        return [part for part in PatchSet(without_fence(text)) if len(part)]
    except UnidiffParseError:  # its message quotes the diff
        raise PatchError("what the model proposed cannot be read as a unified diff") from None


def _applied(part: PatchedFile, before: str, number: int) -> str:
    """Return a text with all hunks applied, each exactly where it says: a guess would change what nobody meant.

    Models write LF whatever the file has: an added line ends as the file's first one does, and all others stay as they
    are.
    """
    lines = lines_of(before)
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    changed: list[str] = []
    done = 0
    for hunk in part:
        at = hunk.source_start - 1 if hunk.source_length else hunk.source_start
        was = [_bare(line.value) for line in hunk.source_lines()]
        if not done <= at <= len(lines) or [_bare(line) for line in lines[at : at + hunk.source_length]] != was:
            raise PatchError(f"part {number} of the diff does not fit the file that it changes")
        changed += lines[done:at]
        done = at
        for line, after in zip(hunk, [*hunk[1:], None], strict=True):
            if line.is_added:
                is_unended = after is not None and after.line_type == LINE_TYPE_NO_NEWLINE
                changed.append(_bare(line.value) + ("" if is_unended else ending))
            elif line.is_context:
                changed.append(lines[done])
            done += line.is_context or line.is_removed
    changed += lines[done:]
    # What was the last line may have had no ending, and be followed by another now.
    return "".join([*(line if line.endswith("\n") else line + ending for line in changed[:-1]), *changed[-1:]])


def _bare(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _target(part: PatchedFile, texts: Mapping[str, str], number: int) -> tuple[str, bool]:
    """Return which file is meant, and whether it is a new one."""
    old, new = _path(part.source_file, number), _path(part.target_file, number)
    if new == NOTHING:
        raise PatchError(f"part {number} of the diff deletes a file; that is not allowed")
    is_new = old == NOTHING
    if not is_new and old != new:
        raise PatchError(f"part {number} of the diff renames a file; that is not allowed")
    if not is_new and new not in texts:
        raise PatchError(f"part {number} of the diff changes a file that is not among those to change")
    return new, is_new


def _path(written: str, number: int) -> str:
    """Return a path of a diff without git's prefix. Raises PatchError for one that leads out of the workspace."""
    if written == NOTHING:
        return written
    path = PurePosixPath(written[2:] if written.startswith(("a/", "b/")) else written)
    leads_out = path.is_absolute() or ".." in path.parts or "\\" in written
    if leads_out or not path.parts or not written.isprintable():
        raise PatchError(f"part {number} of the diff names a path outside the workspace")
    return path.as_posix()
