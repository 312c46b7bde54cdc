"""Which paths of a program a change may touch."""

from __future__ import annotations

import os
import sys
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from examples.multi_agent.errors import PatchError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTENSIONS: Final = (".py", ".txt", ".md")
LEFT_OUT_FOLDERS: Final = frozenset({"__pycache__", ".git", ".venv", "node_modules"})
_TESTS_OWN: Final = frozenset({"pytest", "_pytest", "pluggy", "conftest", "sitecustomize", "usercustomize"})


def why_not_added(root: Path, name: str) -> str:
    """Return why no file can be added under this name, and nothing where one can."""
    path = PurePosixPath(name)
    if path.suffix not in EXTENSIONS:
        return f"a file of another kind than the allowed: only {', '.join(EXTENSIONS)}"
    if os.path.lexists(root / name):  # also one that was left out, or a link to nowhere
        return "a file that is there"
    if not LEFT_OUT_FOLDERS.isdisjoint(path.parts):
        return "a file in a directory that is left out"
    # Tests run where the program is: what stands there is imported before what Python and its tests come with.
    first = path.parts[0].removesuffix(".py")
    if path.suffix == ".py" and (first in sys.stdlib_module_names or not _TESTS_OWN.isdisjoint((first, path.stem))):
        return "a module in the place of one of Python's or of the tests' own"
    if _leads_elsewhere(root, name):
        return "a file through a link or a file"
    return ""


def check_paths(root: Path, names: Iterable[str]) -> None:
    """Raises PatchError unless directories alone, and no link, lead to all of these names below the root."""
    if any(_leads_elsewhere(root, name) for name in names):
        raise PatchError("the diff changes a file through a link or a file; nothing was written")


def _leads_elsewhere(root: Path, name: str) -> bool:
    path = root / name
    folders = takewhile(lambda one: one != root, path.parents)
    try:
        return path.is_symlink() or any(one.is_symlink() or one.is_file() for one in folders)
    except OSError:  # nobody may look
        return True
