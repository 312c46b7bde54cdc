"""The pseudonym key: made once, for its owner alone, and never replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from egoscope.delivery.key import load_key
from egoscope.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    """32 random bytes, mode 0600; the next start has the same one, whatever state there is."""
    path = tmp_path / "new" / "pseudonym.key"
    key = load_key(path, state_exists=False)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, state_exists=True) == load_key(path, state_exists=False) == key
    assert load_key(tmp_path / "other.key", state_exists=False) != key
    assert sorted(one.name for one in path.parent.iterdir()) == ["pseudonym.key"]


def test_state_without_its_key_is_refused_and_no_key_is_made(tmp_path: Path) -> None:
    """And the sentence says what it means and what to do."""
    path = tmp_path / "pseudonym.key"
    with pytest.raises(StateError, match=r"is gone.*put it back from a backup.*would change.*To start anew"):
        load_key(path, state_exists=True)
    assert not path.exists()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_the_wrong_size_is_refused_and_left_as_it_is(tmp_path: Path, size: int) -> None:
    """Half a key is no key."""
    path = tmp_path / "pseudonym.key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(StateError, match=f"holds {size} bytes instead of 32"):
        load_key(path, state_exists=False)
    assert path.read_bytes() == bytes(size)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """With it, anyone can turn a list of names into pseudonyms."""
    path = tmp_path / "pseudonym.key"
    load_key(path, state_exists=False)
    path.chmod(mode)
    with pytest.raises(StateError, match="chmod 600"):
        load_key(path, state_exists=True)


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Here because it is a directory."""
    with pytest.raises(StateError, match="cannot be read"):
        load_key(tmp_path, state_exists=True)


def test_what_a_start_left_half_made_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """Killed while the key was written: it is made anew, whole."""
    (tmp_path / "pseudonym.key.part").write_bytes(b"half")
    assert len(load_key(tmp_path / "pseudonym.key", state_exists=False)) == 32
