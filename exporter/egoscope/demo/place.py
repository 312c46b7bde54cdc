"""Whose files a directory holds: a demo adds to those that a demo made, and to no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MARK: Final = ".egoscope-demo"
"""The file that names, as globs, what a demo made in its directory."""

_WHAT_IT_IS: Final = "# `egoscope demo` made these files, and adds to them:"


def claim(directory: Path, globs: Iterable[str]) -> None:
    """Make the directory if need be, and note in it that what `globs` name is a demo's from now on.

    Raises ConfigError, with nothing changed, where one of them names a file already that no demo made. A demo that ends
    at this line has its mark and no files: the next one goes on.
    """
    asked = tuple(globs)
    reason = ""
    try:
        made = _made(directory / MARK)
        for glob in asked:
            if glob not in made and (strange := next(iter(sorted(directory.glob(glob))), None)) is not None:
                raise ConfigError(
                    f"--out {directory}: {strange.name} was not made by a demo, which would add invented rows to it; "
                    "name another directory"
                )
        directory.mkdir(parents=True, exist_ok=True)
        if not made.issuperset(asked):
            lines = (_WHAT_IT_IS, *dict.fromkeys((*sorted(made), *asked)))
            (directory / MARK).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise cannot_write(directory, reason)


def cannot_write(directory: Path, reason: str) -> ConfigError:
    """Return what is said of a directory that takes no files."""
    return ConfigError(f"--out {directory}: cannot be written to ({reason}); name another directory")


def _made(mark: Path) -> set[str]:
    try:
        lines = mark.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {line for line in lines if line and not line.startswith("#")}
