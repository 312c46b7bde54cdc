"""What the agents may see of a program: which files there are, how they begin and end, and why others are left out."""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from illumo_flow import Node

from examples.multi_agent.coding_assistant.paths import EXTENSIONS, LEFT_OUT_FOLDERS
from examples.multi_agent.errors import ExampleError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

MOST_BYTES: Final = 128 * 1024
PREVIEW_LINES: Final = 5


class Reason(StrEnum):
    """Why a file is left out."""

    BINARY = "binary"
    TOO_LARGE = "above 128 KiB"
    PERMISSION_DENIED = "permission_denied"
    EXTENSION = "extension not allowed"
    NO_FILE = "no regular file"  # a link, a pipe
    UNREADABLE = "cannot be read"


class _LeftOutError(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class WorkspaceInspectorNode(Node):
    """Lists the files below a directory. Files named in the request are read whole: the agents work on them.

    Returns `structure`, a list of `{path, size, preview, selected, text}` (size in bytes, text only where selected),
    and `structure_excluded`, a list of `{path, reason}`.
    """

    def __init__(self, *, root: Path, extensions: Collection[str] = EXTENSIONS) -> None:
        super().__init__(
            name="inspect",
            inputs="$ctx.request",
            outputs={
                "structure": "$ctx.workspace.structure",
                "structure_excluded": "$ctx.workspace.structure_excluded",
            },
            allow_context_access=True,
        )
        self._root = root
        self._extensions = frozenset(extensions)

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Look at every file once. Raises ExampleError where the directory or a file that was asked for is missing."""
        if not self._root.is_dir():
            raise ExampleError("the workspace is no directory: name one with --workspace")
        targets = frozenset(payload.get("files", ()))
        structure: list[dict[str, Any]] = []
        excluded: list[dict[str, str]] = []

        def exclude(path: Path, reason: Reason) -> None:
            excluded.append({"path": path.relative_to(self._root).as_posix(), "reason": reason.value})

        def refused(error: OSError) -> None:
            exclude(Path(error.filename), _reason(error))

        for path in sorted(_files(self._root, refused)):
            try:
                text = self._read(path)
            except _LeftOutError as error:
                exclude(path, error.reason)
                continue
            name = path.relative_to(self._root).as_posix()
            selected = name in targets or not targets
            structure.append(
                {
                    "path": name,
                    "size": len(text.encode()),
                    "preview": preview(text),
                    "selected": selected,
                    **({"text": text} if selected else {}),
                }
            )
        missing = targets - {one["path"] for one in structure}
        if missing:
            raise ExampleError(
                f"{len(missing)} of the files to change are not in the workspace, or left out: see --file"
            )
        return {"structure": structure, "structure_excluded": excluded}

    def _read(self, path: Path) -> str:
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise _LeftOutError(Reason.NO_FILE)
            if path.suffix not in self._extensions:
                raise _LeftOutError(Reason.EXTENSION)
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise _LeftOutError(_reason(error)) from None
        if len(content) > MOST_BYTES:
            raise _LeftOutError(Reason.TOO_LARGE)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise _LeftOutError(Reason.BINARY) from None
        if "\0" in text:
            raise _LeftOutError(Reason.BINARY)
        return text


def preview(text: str, lines: int = PREVIEW_LINES) -> str:
    """Return the first and the last lines of a text."""
    every = text.splitlines()
    if len(every) <= 2 * lines:
        return "\n".join(every)
    return "\n".join((*every[:lines], f"… {len(every) - 2 * lines} lines …", *every[-lines:]))


def _reason(error: OSError) -> Reason:
    return Reason.PERMISSION_DENIED if isinstance(error, PermissionError) else Reason.UNREADABLE


def _files(root: Path, refused: Callable[[OSError], None]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, onerror=refused):
        folders[:] = [name for name in folders if name not in LEFT_OUT_FOLDERS]
        yield from (Path(folder, name) for name in names)
        # os.walk walks into no link; islink is false also where nobody may look, which the walk itself reports.
        yield from (Path(folder, name) for name in folders if os.path.islink(f"{folder}/{name}"))  # noqa: PTH114
