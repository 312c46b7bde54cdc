"""Writing a change into the workspace, once somebody has seen it and said yes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from examples.multi_agent.coding_assistant.paths import check_paths
from examples.multi_agent.coding_assistant.showing import show_diff
from examples.multi_agent.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


def show(root: Path, files: Sequence[dict[str, str]]) -> None:
    """Print the diff between the files as they are and as they would be written. Raises what `write` raises."""
    check_paths(root, (file["path"] for file in files))
    for file in files:
        path = root / file["path"]
        with _told(file["path"], "read"):
            before = path.read_bytes().decode("utf-8") if path.exists() else ""  # no ending of a line is translated
        show_diff(file["path"], before, file["text"])


def write(root: Path, files: Sequence[dict[str, str]], ask: Callable[[str], str]) -> None:
    """Show what would be written, and write it if that is wanted: each file as a whole, or not at all.

    Raises PatchError, and shows nothing, where a link leads to one of them; WriteError where the system refuses.
    """
    show(root, files)
    try:
        wanted = ask("Write this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        wanted = False
    if not wanted:
        print("Nothing was written.")
        return
    with contextlib.ExitStack() as until_the_end:
        # All of them stand ready before the first is put in its place: what is full or forbidden is known by then.
        ready: list[Path] = []
        for file in files:
            with _told(file["path"], "written"):
                ready.append(until_the_end.enter_context(_beside(root / file["path"], file["text"])))
        for file, temporary in zip(files, ready, strict=True):
            with _told(file["path"], "written"):
                temporary.replace(root / file["path"])
    print(f"Written: {', '.join(file['path'] for file in files)}.")


@contextlib.contextmanager
def _beside(path: Path, text: str) -> Generator[Path]:
    """Write a temporary file that can take the place of `path`, with its mode; at the end it is gone, either way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as written:
            written.write(text)
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else _mode_of_new_files())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)  # it is there only where it was not put in its place


def _mode_of_new_files() -> int:
    os.umask(mask := os.umask(0))  # it can only be read by setting it
    return 0o666 & ~mask


@contextlib.contextmanager
def _told(name: str, what: str) -> Generator[None]:
    """Say what the system refused, by the file's name in the workspace."""
    try:
        yield
    except UnicodeDecodeError:  # it holds the file's content
        sentence = "it is no text in UTF-8 any more. Look at the file, and run again."
    except OSError as error:
        reason = error.strerror or type(error).__name__
        sentence = f"{reason}. Look at the workspace's rights and room, and run again."
    else:
        return
    raise WriteError(f"{name} could not be {what}: {sentence}")
