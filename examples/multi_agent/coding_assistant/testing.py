"""Running the program's tests on what the diff made of it: in a copy, without a shell, allowed commands only."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from illumo_flow import Node

from examples.multi_agent.coding_assistant.paths import LEFT_OUT_FOLDERS, check_paths
from examples.multi_agent.errors import CommandError, TimeLimitError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

TIMEOUT_S: Final = 120.0
MOST_OUTPUT: Final = 64 * 1024
ALLOWED: Final[tuple[tuple[str, ...], ...]] = (
    ("python", "-m", "unittest"),
    ("python", "-m", "unittest", "-q"),
    ("python", "-m", "pytest"),
    ("python", "-m", "pytest", "-q"),
)
"""Whole commands: an argument more could run anything."""

_NONE_FOUND: Final = 5
"""The status of pytest, and from Python 3.12 on of unittest, where there are no tests."""
_RAN_NONE: Final = re.compile(r"^Ran 0 tests in ", re.MULTILINE)
"""What unittest says before, with a status of 0."""

_MOST_LOOKS: Final = 100
_MOST_WAIT_S: Final = 10.0
_leaving: Final = threading.Event()
_MARK: Final = "CODING_ASSISTANT_RUN"
"""By this variable what a command starts can be told from everything else."""

_KEPT_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR")
"""No key and no password of whoever runs the example is handed to the program under test."""


class TestExecutorNode(Node):
    """Runs the tests in a copy of the workspace that holds the changed files.

    Returns `results`: `{returncode, stdout, stderr, seconds, found, passed}`; of what is printed the end is kept. Where
    no test is found none has passed. Raises CommandError for a command that is not allowed, TimeLimitError for one that
    does not end in time, and PatchError where a link leads to a changed file.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, *, root: Path, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(
            name="test",
            inputs={"command": "$ctx.tests.command", "files": "$ctx.workspace.files", "applied": "$ctx.diff.applied"},
            outputs={"results": "$ctx.tests.results"},
            allow_context_access=True,
        )
        self._root, self._timeout_s = root, timeout_s

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Run once; where nothing was applied there is nothing to test."""
        command = tuple(payload["command"])
        if command not in ALLOWED:
            choices = ", ".join(f"'{' '.join(one)}'" for one in sorted(ALLOWED))
            raise CommandError(f"--tests: only these commands are allowed: {choices}")
        if not payload["applied"]:
            return {"results": {}}
        with _waited_for_at_exit(), tempfile.TemporaryDirectory(prefix="coding-assistant-") as folder:
            copy = Path(folder, "workspace")
            with contextlib.suppress(shutil.Error):  # all is copied but what nobody may read: that was left out
                shutil.copytree(self._root, copy, ignore=shutil.ignore_patterns(*LEFT_OUT_FOLDERS), symlinks=True)
            check_paths(copy, (file["path"] for file in payload["files"]))
            for file in payload["files"]:
                path = copy / file["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file["text"], encoding="utf-8", newline="")
            return {"results": run_command(command, copy, self._timeout_s)}


@contextlib.contextmanager
def _waited_for_at_exit() -> Generator[None]:
    """Have this process, when it exits, wait until what is within has ended and removed its copy.

    Ctrl-C ends the main thread, and not the one of the policy that runs this; tests that it begins then end at once.
    """
    left = threading.Event()

    def wait() -> None:
        _leaving.set()
        left.wait(_MOST_WAIT_S)

    atexit.register(wait)
    try:
        yield
    finally:
        left.set()
        atexit.unregister(wait)


def run_command(command: Sequence[str], cwd: Path, timeout_s: float) -> dict[str, Any]:
    """Run a command without a shell, no longer than this. Raises TimeLimitError.

    What it starts ends with it, and with this process; what leaves the command's session for one of its own does so
    only where the system is Linux.
    """
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    mark = uuid.uuid4().hex
    arguments = [sys.executable if command[0] == "python" else command[0], *command[1:]]
    began = time.monotonic()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        subprocess.Popen(  # noqa: S603 (no shell, and an allowed command)
            arguments,
            cwd=cwd,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1", _MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        ) as process,
    ):
        end = partial(_end_all, process.pid, f"{_MARK}={mark}".encode())
        atexit.register(end)
        try:
            if _leaving.is_set():
                end()
            returncode = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeLimitError(f"took longer than {timeout_s:g} s, the time limit of its policy") from None
        finally:
            end()
            atexit.unregister(end)
        stderr = _end_of(err)
        found = returncode != _NONE_FOUND and not (returncode == 0 and _RAN_NONE.search(stderr))
        return {
            "returncode": returncode,
            "stdout": _end_of(out),
            "stderr": stderr,
            "seconds": round(time.monotonic() - began, 3),
            "found": found,
            "passed": returncode == 0 and found,
        }


def _end_all(pid: int, mark: bytes) -> None:
    """End what the command left running: in its session, whose leader it is, and in others what carries its mark."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for _ in range(_MOST_LOOKS):  # what one of them started meanwhile carries it too
        left = _marked(mark)
        for one in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)
        if not left:
            return


def _marked(mark: bytes) -> list[int]:
    """Return processes with this in their environment; what has ended has none any more."""
    found: list[int] = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended, or is somebody else's
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def _end_of(file: Any) -> str:  # noqa: ANN401 (tempfile's type is private)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MOST_OUTPUT))
    return file.read().decode("utf-8", "replace")
