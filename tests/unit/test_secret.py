"""The generated password: made once, closed to others, never shown."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from tools import secret

if TYPE_CHECKING:
    from pathlib import Path


def test_others_on_this_machine_cannot_reach_it_although_a_container_can_read_it(tmp_path: Path) -> None:
    file = secret.ensure(tmp_path / "secrets" / "password")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o444


def test_it_is_long_and_made_anew_for_every_installation(tmp_path: Path) -> None:
    first, second = (secret.ensure(tmp_path / name / "password").read_text() for name in "ab")
    assert first != second
    assert len(first) >= 32


def test_one_that_is_there_is_kept(tmp_path: Path) -> None:
    file = secret.ensure(tmp_path / "secrets" / "password")
    before = file.read_text()
    assert secret.ensure(file).read_text() == before


def test_the_command_prints_where_it_is_and_not_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "password"
    said = subprocess.run([sys.executable, secret.__file__, str(file)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(file)
    assert file.read_text() not in said.stdout + said.stderr
