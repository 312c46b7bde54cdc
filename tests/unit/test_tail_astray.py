"""Files that leave the patterns while no handle is held on them: found by what they are, or told as a loss."""

from __future__ import annotations

import errno
import gzip
import os
from typing import TYPE_CHECKING

import pytest
from log_scene import Scene, lines, long

from egoscope.sources.discovery import Discovery, Reason
from tests.this_thread import replace_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from egoscope.sources.base import FileCheckpoint


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    folder = tmp_path / "logs"
    folder.mkdir()
    return Scene(folder)


def stop_with_a_rest(scene: Scene, name: str = "a") -> tuple[Path, list[FileCheckpoint]]:
    """Read "one" of a file, stop, and let "two" be written; return its path and what was committed."""
    path = scene.write(name, long("one"))
    scene.read()
    known = [file.checkpoint for file in scene.tail.files()]
    scene.tail.close()
    scene.write(name, long("two"))
    return path, known


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the path of each file opened from now on."""
    paths: list[str] = []
    real_open = os.open

    def noting(path: str, flags: int) -> int:
        paths.append(path)
        return real_open(path, flags)

    replace_here(monkeypatch, os, "open", noting)
    return paths


# --- found ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ego-mcp-a.log.1", id="as logrotate renames"),
        pytest.param("ego-mcp-a.log-20270115", id="as logrotate renames with dateext"),
        pytest.param(".trash", id="a hidden name"),
        pytest.param("anything else", id="any name"),
    ],
)
@pytest.mark.parametrize("recreated", [False, True], ids=["nothing in its place", "a new file in its place"])
def test_renamed_out_of_the_pattern_while_stopped_is_read_to_its_end(
    scene: Scene, name: str, *, recreated: bool
) -> None:
    path, known = stop_with_a_rest(scene)
    path.rename(scene.folder / name)
    if recreated:
        scene.write("a", long("new"))
    scene.tail_of(str(scene.folder), known=known)
    assert sorted(scene.read()) == sorted(lines("two", *["new"] * recreated))
    assert known[0].source in {file.checkpoint.source for file in scene.tail.files()}
    assert scene.reasons() == ([] if recreated else [Reason.NO_MATCH])


def test_a_file_found_again_lingers_like_one_renamed_while_open(scene: Scene) -> None:
    path, known = stop_with_a_rest(scene)
    with path.open("a", buffering=1) as writer:
        path.rename(path.with_suffix(".old"))
        scene.tail_of(str(scene.folder), known=known)
        assert scene.read() == lines("two")
        scene.now += 299
        writer.write(long("three"))
        assert scene.read() == lines("three")
        scene.now += 301
        scene.read()
        assert list(scene.tail.files()) == []
        writer.write(long("four"))
        assert scene.read() == []  # given up: it is looked for once


def test_a_file_found_again_is_found_after_a_second_stop_too(scene: Scene) -> None:
    path, known = stop_with_a_rest(scene)
    with path.open("a", buffering=1) as writer:
        path.rename(path.with_suffix(".old"))
        scene.tail_of(str(scene.folder), known=known)
        assert scene.read() == lines("two")
        writer.write(long("three"))
        scene.restart()
        assert scene.read() == lines("three")


def test_a_file_found_again_that_gets_a_matching_name_is_followed_under_it(scene: Scene) -> None:
    path, known = stop_with_a_rest(scene)
    path.rename(path.with_suffix(".old"))
    scene.tail_of(str(scene.folder), known=known)
    assert scene.read() == lines("two")
    path.with_suffix(".old").rename(scene.path("b"))
    scene.write("b", long("three"))
    scene.now += 301
    assert scene.read() == lines("three")
    (file,) = scene.tail.files()
    assert (file.checkpoint.source, file.checkpoint.path) == (known[0].source, str(scene.path("b")))


def test_a_file_that_rested_when_it_was_renamed_is_read_on(scene: Scene) -> None:
    path = scene.write("a", long("one"), age_s=90_000)
    scene.read()
    scene.read()  # its handle is closed now
    scene.write("a", long("two"))
    path.rename(path.with_suffix(".log.1"))
    assert scene.read() == lines("two")


def test_a_symlink_switched_while_stopped_reads_both_targets_to_their_ends(scene: Scene, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(long("one"))
    link = scene.path("current")
    link.symlink_to(old)
    scene.read()
    with old.open("a") as log:
        log.write(long("two"))
    new.write_text(long("three"))
    link.unlink()
    link.symlink_to(new)
    scene.restart()
    assert sorted(scene.read()) == sorted(lines("two", "three"))


def test_a_directory_that_is_not_there_at_the_start_is_searched_when_it_comes(scene: Scene, tmp_path: Path) -> None:
    path, known = stop_with_a_rest(scene)
    path.rename(path.with_suffix(".old"))
    scene.folder.rename(tmp_path / "unmounted")
    scene.tail_of(str(scene.folder), known=known)
    assert scene.read() == []
    (tmp_path / "unmounted").rename(scene.folder)
    assert scene.read() == lines("two")


def test_more_files_than_may_be_open_are_read_in_turn(scene: Scene) -> None:
    for number in range(5):
        scene.write(f"{number}", long("one") + long(f"{number}"))
    scene.tail.scan()
    known = [file.checkpoint for file in scene.tail.files()]
    scene.tail.close()
    for number in range(5):
        scene.path(f"{number}").rename(scene.folder / f"{number}")
    scene.tail_of(str(scene.folder), known=known, max_open_files=2)
    found: list[str] = []
    for _ in range(6):
        found += scene.read()
        assert len(scene.tail.files()) <= 2
        scene.now += 301
    assert sorted(found) == sorted([*lines("0", "1", "2", "3", "4"), *lines("one") * 5])


def test_a_file_that_cannot_be_opened_when_it_is_found_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, known = stop_with_a_rest(scene)
    path.rename(path.with_suffix(".old"))
    scene.write("b", long("good"))
    scene.tail_of(str(scene.folder), known=known)
    real_open = os.open

    def refusing(path: str, flags: int) -> int:
        if path.endswith(".old"):
            raise PermissionError(errno.EACCES, "denied")
        return real_open(path, flags)

    with monkeypatch.context() as patch:
        replace_here(patch, os, "open", refusing)
        assert scene.read() == lines("good")
        assert scene.reasons() == [Reason.DENIED]
    assert scene.read() == lines("two")
    assert scene.reasons() == []


# --- left alone -----------------------------------------------------------------------------------------------------


def overwrite(path: Path) -> None:
    path.write_text(long("other") + long("content"))
    path.rename(path.with_suffix(".old"))


def compress(path: Path) -> None:
    path.with_suffix(".log.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def copy(path: Path) -> None:
    path.with_suffix(".old").write_bytes(path.read_bytes())
    path.unlink()


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.with_suffix(".old").mkdir()


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path.with_suffix(".old"))


def move_to_a_neighbour(path: Path) -> None:
    (path.parent.parent / "elsewhere").mkdir()
    path.rename(path.parent.parent / "elsewhere" / path.name)


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(overwrite, id="the same inode with other content"),
        pytest.param(compress, id="compressed"),
        pytest.param(copy, id="another inode with the same content"),
        pytest.param(replace_by_directory, id="a directory, which may have its inode"),
        pytest.param(replace_by_fifo, id="a FIFO, which may have its inode"),
        pytest.param(move_to_a_neighbour, id="another directory"),
    ],
)
def test_what_is_not_the_file_itself_is_not_followed(scene: Scene, leave: Callable[[Path], None]) -> None:
    path, known = stop_with_a_rest(scene)
    (scene.folder / "neighbour.txt").write_text(long("one") + long("private"))
    leave(path)
    scene.tail_of(str(scene.folder), known=known)
    assert scene.read() == []
    assert scene.read() == []
    assert scene.reasons() == [Reason.NO_MATCH]  # whether anything was unread is not known


def test_neighbours_of_a_lost_file_are_not_even_opened(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    path, known = stop_with_a_rest(scene)
    (scene.folder / "neighbour.txt").write_text(long("one"))
    path.unlink()
    paths = opened(monkeypatch)
    scene.tail_of(str(scene.folder), known=known).scan()
    assert paths == []


@pytest.mark.parametrize("renamed", [False, True], ids=["under its own name", "under another name"])
def test_a_file_that_the_patterns_do_not_ask_for_any_more_is_not_followed(scene: Scene, *, renamed: bool) -> None:
    path, known = stop_with_a_rest(scene)
    if renamed:
        path.rename(path.with_suffix(".old"))
    scene.tail_of(f"{scene.folder}/other-*.log", known=known)
    assert scene.read() == []


# --- cost -----------------------------------------------------------------------------------------------------------


def test_a_directory_is_searched_once_and_not_at_all_when_every_file_is_there(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, known = stop_with_a_rest(scene)
    scandir, looks = os.scandir, [0]

    def counting(folder: str) -> object:
        looks[0] += 1
        return scandir(folder)

    replace_here(monkeypatch, os, "scandir", counting)
    costs: list[int] = []
    for _ in range(2):
        scene.tail_of(str(scene.folder), known=known)
        for _ in range(3):
            looks[0] = 0
            scene.tail.scan()
            costs.append(looks[0])
        path.unlink(missing_ok=True)
    assert costs == [1, 1, 1, 2, 1, 1]


# --- lost -----------------------------------------------------------------------------------------------------------


def unread_and_closed(scene: Scene) -> Path:
    """Return a file that is known to have unread lines and on which no handle is held."""
    scene.tail_of(str(scene.folder), max_open_files=1)
    scene.write("b", long("live"))
    scene.tail.scan()  # its handle is the one that may be held
    path = scene.write("a", long("one"), age_s=90_000)
    assert len(scene.tail.scan()) == 2
    return path


def test_a_file_that_is_gone_with_unread_lines_is_named_until_it_comes_back(scene: Scene, tmp_path: Path) -> None:
    path = unread_and_closed(scene)
    path.rename(tmp_path / "kept")
    assert scene.read() == lines("live")
    for _ in range(2):
        assert [(p.path, p.reason) for p in scene.tail.problems()] == [(str(path), Reason.GONE_UNREAD)]
        scene.tail.scan()
    (tmp_path / "kept").rename(path)
    assert scene.read() == lines("one")
    assert scene.reasons() == []


def test_a_file_that_left_with_unread_lines_but_is_found_is_no_loss(scene: Scene) -> None:
    path = unread_and_closed(scene)
    path.rename(path.with_suffix(".old"))
    assert sorted(scene.read()) == sorted(lines("live", "one"))
    assert scene.reasons() == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="read to its end"),
        pytest.param("half a line", id="but for half a line, which is none"),
    ],
)
def test_a_file_that_was_read_before_it_was_deleted_is_no_loss(scene: Scene, text: str) -> None:
    path = scene.write("a", long("one") + text, age_s=90_000)
    scene.read()
    scene.read()  # its handle is closed now
    path.unlink()
    scene.write("b", long("two"))
    assert scene.read() == lines("two")
    assert scene.reasons() == []


# --- which paths patterns ask for -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("/l", "/l/ego-mcp-a.log", True),
        ("/l", "/l/other.log", False),
        ("/l", "/l/s/ego-mcp-a.log", False),
        ("/l/x[1].log", "/l/x[1].log", True),
        ("/l/x[1].log", "/l/x1.log", True),
        ("/l/*.log", "/l/a.log", True),
        ("/l/*.log", "/l/.a.log", False),
        ("/l/*.log", "/l/a.log.1", False),
        ("/l/*.log", "/l/s/a.log", False),
        ("/l/?/*.log", "/l/s/a.log", True),
        ("/l/?/*.log", "/l/ss/a.log", False),
        ("/l/**/*.log", "/l/a.log", True),
        ("/l/**/*.log", "/l/s/t/a.log", True),
        ("/l/**/t/*.log", "/l/s/t/a.log", True),
        ("/l/**/t/*.log", "/l/s/a.log", False),
        ("/l/**", "/l/s/a.log", True),
        ("/*.log", "/a.log", True),
    ],
)
def test_patterns_ask_for_the_paths_that_they_would_find(pattern: str, path: str, *, named: bool) -> None:
    assert Discovery([pattern], "ego-mcp-*.log").names(path) is named
