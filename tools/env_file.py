"""The file .env: what its user wrote, and what `make start` chose and leaves there for a bare `docker compose`.

Of equal names Compose takes the last, so what was chosen stands first: whatever the user writes overrules it.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK: Final = "  # chosen by make start, anew each time; a line of your own overrules it"
MODE: Final = 0o644
"""Of a new file; no secret ever stands in it."""
_SETTING: Final = re.compile(
    r"""\s*(?:export\s+)?(?P<name>\w+)\s*=(?:\s*'(?P<literal>[^']*)'|\s*"(?P<quoted>[^"]*)"|(?P<bare>.*?))(?:\s+\#.*)?\s*"""
)


def written(path: Path) -> dict[str, str]:
    """Return what the user wrote, as Compose reads it: without quotes and `export`, with the environment filled in."""
    found = [_SETTING.fullmatch(line) for line in _lines(path)]
    return {each["name"]: _value(each) for each in found if each}


def choose(path: Path, chosen: Mapping[str, str]) -> None:
    """Write these settings, for those that the user wrote nothing of, in the place of what was chosen before."""
    own, lines = written(path), _lines(path)
    quoted = {name: value.replace("'", r"\'") for name, value in chosen.items() if name not in own}
    text = "".join([*(f"{name}='{value}'{MARK}\n" for name, value in quoted.items()), *lines])
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        _replace(path.resolve(), text)  # where it is a link, it stays one


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [line for line in lines if not line.rstrip().endswith(MARK)]


def _value(found: re.Match[str]) -> str:
    literal = found["literal"]
    return os.path.expandvars(found["quoted"] or (found["bare"] or "").strip()) if literal is None else literal


def _replace(path: Path, text: str) -> None:
    """Put the file in place whole: a full disk costs nobody their settings. Its owner and mode stay."""
    there = path.stat() if path.exists() else None
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".env.")
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.chmod(there.st_mode & 0o777 if there else MODE)
        owner = there or path.parent.stat()
        with contextlib.suppress(PermissionError):
            os.chown(fresh, owner.st_uid, owner.st_gid)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
