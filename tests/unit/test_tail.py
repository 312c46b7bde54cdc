"""What rotation does to files, case by case, and what must not stop the tail."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from log_scene import HEAD_BYTES, Scene, lines, long, rest_of
from open_handles import open_handles

from egoscope.sources.discovery import Reason
from tests.this_thread import replace_here

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    folder = tmp_path / "logs"
    folder.mkdir()
    return Scene(folder)


# --- growing -------------------------------------------------------------------------------------------------------


def test_several_files_grow_at_once(scene: Scene) -> None:
    for round_ in ("1", "2"):
        scene.write("a", long("a" + round_))
        scene.write("b", long("b" + round_))
        assert sorted(scene.read()) == lines("a" + round_, "b" + round_)


def test_a_new_file_is_noticed_by_the_next_scan(scene: Scene) -> None:
    assert scene.read() == []
    scene.write("a", long("first"))
    assert scene.read() == lines("first")


def test_yesterdays_file_is_read_on_when_it_grows_after_midnight(scene: Scene) -> None:
    scene.write("2027-01-14", long("before"))
    scene.read()
    scene.write("2027-01-15", long("new day"))
    scene.write("2027-01-14", long("after"))
    assert sorted(scene.read()) == lines("after", "new day")


def test_looking_at_the_files_survives_a_scan_that_finds_another(scene: Scene) -> None:
    """The thread that watches the directories looks through the roster while the one that scans changes it."""
    scene.write("a", long("first"))
    scene.read()
    looking = iter(scene.tail._roster)  # pyright: ignore[reportPrivateUsage]
    next(looking)
    scene.write("b", long("second"))
    scene.read()
    assert list(looking) == []


def test_an_empty_file_waits_for_its_first_bytes(scene: Scene) -> None:
    scene.write("a", "")
    assert list(scene.tail.scan()) == []
    assert list(scene.tail.files()) == []
    scene.write("a", long("first"))
    assert scene.read() == lines("first")


def test_the_fingerprint_grows_with_a_short_file_and_the_source_stays(scene: Scene) -> None:
    scene.write("a", "a\n")
    scene.read()
    (file,) = scene.tail.files()
    first = file.checkpoint
    scene.write("a", long("more"))
    scene.read()
    assert (first.fingerprint_bytes, file.checkpoint.fingerprint_bytes) == (2, HEAD_BYTES)
    assert file.checkpoint.source == first.source


# --- rotation, while running and while stopped -----------------------------------------------------------------------


@pytest.fixture(params=["running", "stopped"])
def pause(scene: Scene, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Return what happens between an action and the next scan: nothing, or a restart."""
    return scene.restart if request.param == "stopped" else lambda: None


def test_renamed_within_the_pattern_is_the_same_file(scene: Scene, pause: Callable[[], None]) -> None:
    scene.write("a", long("one"))
    scene.read()
    (before,) = scene.tail.files()
    scene.path("a").rename(scene.path("b"))
    scene.write("b", long("two"))
    pause()
    assert scene.read() == lines("two")
    (after,) = scene.tail.files()
    assert after.checkpoint.source == before.checkpoint.source
    assert after.checkpoint.path == str(scene.path("b"))


def test_copytruncate_reads_the_copys_rest_and_the_new_content(scene: Scene, pause: Callable[[], None]) -> None:
    scene.write("a", long("one"))
    scene.read()
    scene.write("a", long("two"))
    shutil.copy(scene.path("a"), scene.path("a-1"))
    scene.write("a", long("three"), mode="w")
    pause()
    assert sorted(scene.read()) == sorted(lines("two", "three"))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("b\n", id="shorter"),
        pytest.param(long("new") + long("text"), id="of equal length"),
        pytest.param(long("new") + long("text") + long("more"), id="longer"),
    ],
)
def test_other_content_in_place_is_a_new_file(scene: Scene, pause: Callable[[], None], content: str) -> None:
    scene.write("a", long("one") + long("two"))
    scene.read()
    (before,) = scene.tail.files()
    scene.write("a", content, mode="w")
    pause()
    assert "".join(line + "\n" for line in scene.read()) == content
    (after,) = scene.tail.files()
    assert after.checkpoint.source != before.checkpoint.source


def test_deleted_and_recreated_is_a_new_file_also_with_the_same_inode(scene: Scene, pause: Callable[[], None]) -> None:
    scene.write("a", long("one"))
    scene.read()
    scene.path("a").unlink()
    scene.write("a", long("two") + long("three"))
    pause()
    assert scene.read() == lines("two", "three")


def test_a_position_past_the_end_is_not_trusted_though_the_beginning_is_the_same(
    scene: Scene, pause: Callable[[], None]
) -> None:
    scene.write("a", long("one") + long("two"))
    scene.read()
    (before,) = scene.tail.files()
    scene.write("a", long("one"), mode="w")
    pause()
    assert scene.read() == lines("one")
    (after,) = scene.tail.files()
    assert after.checkpoint.source != before.checkpoint.source


def test_a_position_not_behind_a_newline_is_not_trusted(scene: Scene, pause: Callable[[], None]) -> None:
    scene.write("a", long("one") + long("two"))
    scene.read()
    scene.write("a", long("one") + "x" * 40 + "\n", mode="w")
    pause()
    assert scene.read() == [*lines("one"), "x" * 40]


def test_moved_across_devices_goes_on_where_it_stopped(scene: Scene) -> None:
    scene.write("a", long("one"))
    scene.read()
    (before,) = scene.tail.files()
    scene.write("a", long("two"))
    shutil.copy(scene.path("a"), scene.path("b"))
    scene.path("a").unlink()
    scene.restart()
    assert scene.read() == lines("two")
    (after,) = scene.tail.files()
    assert after.checkpoint.source == before.checkpoint.source


# --- copies ---------------------------------------------------------------------------------------------------------


def test_a_copy_beside_its_original_is_not_read_and_is_named(scene: Scene) -> None:
    scene.write("a", long("one") + long("two"))
    scene.read()
    shutil.copy(scene.path("a"), scene.path("b"))
    assert scene.read() == []
    assert scene.reasons() == [Reason.COPY]
    scene.write("a", long("three"))
    assert scene.read() == lines("three")


def test_of_an_original_and_an_older_copy_only_one_is_read_at_first_start(scene: Scene) -> None:
    scene.write("b", long("one"))
    shutil.copy(scene.path("b"), scene.path("a"))
    scene.write("b", long("two"))
    assert scene.read() == lines("one", "two")
    assert scene.read() == []


def test_an_older_copy_of_a_file_that_is_gone_is_not_read_again(scene: Scene) -> None:
    scene.write("a", long("one"))
    shutil.copy(scene.path("a"), scene.path("b"))
    scene.write("a", long("two"))
    assert scene.read() == lines("one", "two")
    scene.path("a").unlink()
    scene.restart()
    assert scene.read() == []
    scene.now += 100 * 86400
    assert list(scene.tail.forgotten()) == []


def test_two_logs_that_begin_the_same_but_go_on_differently_are_both_read(scene: Scene) -> None:
    scene.write("a", long("banner") + long("one"))
    scene.write("b", long("banner") + long("two"))
    assert sorted(scene.read()) == sorted(lines("banner", "one", "banner", "two"))


# --- out of the pattern ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["rename", "delete"])
def test_a_file_without_a_matching_name_is_read_to_its_end(scene: Scene, leave: str) -> None:
    path = scene.write("a", long("one"))
    with path.open("a", buffering=1) as writer:
        scene.tail.scan()
        path.rename(path.with_suffix(".old")) if leave == "rename" else path.unlink()
        assert scene.read() == lines("one")
        writer.write(long("two"))
        assert scene.read() == lines("two")
        scene.now += 299
        writer.write(long("three"))
        assert scene.read() == lines("three")
        scene.now += 301
        scene.read()
        assert list(scene.tail.files()) == []


def test_a_gone_file_is_offered_for_forgetting_once_after_its_time(scene: Scene) -> None:
    path = scene.write("a", long("one"))
    scene.read()
    (file,) = scene.tail.files()
    path.unlink()
    scene.read()
    scene.now += 301
    scene.read()
    assert list(scene.tail.forgotten()) == []
    scene.now += 8 * 86400
    assert list(scene.tail.forgotten()) == [file.checkpoint.source]
    assert list(scene.tail.forgotten()) == []


def test_a_known_file_that_comes_back_goes_on_where_it_stopped(scene: Scene, tmp_path: Path) -> None:
    scene.write("a", long("one"))
    scene.read()
    scene.folder.rename(tmp_path / "unmounted")
    scene.folder.mkdir()
    scene.read()
    scene.now += 301
    scene.read()
    assert list(scene.tail.files()) == []
    scene.folder.rmdir()
    (tmp_path / "unmounted").rename(scene.folder)
    scene.write("a", long("two"))
    assert scene.read() == lines("two")


# --- symlinks -------------------------------------------------------------------------------------------------------


def test_a_file_under_two_names_is_read_once(scene: Scene) -> None:
    target = scene.write("a", long("one"))
    scene.path("current").symlink_to(target)
    os.link(target, scene.path("hard"))
    assert scene.read() == lines("one")


def test_a_symlink_switched_to_a_new_file_reads_both_to_their_ends(scene: Scene, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(long("one"))
    link = scene.path("current")
    link.symlink_to(old)
    assert scene.read() == lines("one")
    assert str(tmp_path) in scene.tail.watch_paths()
    with old.open("a") as log:
        log.write(long("two"))
    new.write_text(long("three"))
    link.unlink()
    link.symlink_to(new)
    assert sorted(scene.read()) == sorted(lines("two", "three"))


# --- order and cost -------------------------------------------------------------------------------------------------


def test_live_files_come_before_any_backlog_and_the_backlog_oldest_first(scene: Scene) -> None:
    scene.write("2027-01-02", long("b"), age_s=9000)
    scene.write("2027-01-01", long("a") * 9, age_s=100)  # copied later: the day in its name counts
    scene.write("2027-01-03", long("c"), age_s=9000)
    scene.write("2027-01-04", long("d") * 5)
    scene.write("2027-01-05", long("e"))
    found = list(scene.tail.scan())
    assert [Path(file.checkpoint.path).stem[-1] for file in found] == ["5", "4", "1", "2", "3"]
    assert [file.live for file in found] == [True, True, False, False, False]
    scene.write("2027-01-02", long("grows"))
    assert Path(scene.tail.scan()[0].checkpoint.path).stem[-1] in "25"


def test_a_file_is_live_for_a_while_after_it_grew(scene: Scene) -> None:
    scene.write("a", long("one"))
    (file,) = scene.tail.scan()
    assert file.live
    scene.now += 60
    scene.tail.scan()
    assert not file.live


def test_old_files_that_are_read_hold_no_handle_and_are_read_on_when_they_grow(scene: Scene) -> None:
    for number in range(50):
        scene.write(f"{number}", long(f"{number}"), age_s=90_000)
    assert len(scene.read()) == 50
    scene.tail.scan()
    assert open_handles(scene.folder) == 0
    scene.write("7", long("again"))
    assert scene.read() == lines("again")


def test_the_number_of_handles_is_bounded_and_all_is_read_nevertheless(scene: Scene) -> None:
    scene.tail_of(str(scene.folder), max_open_files=5)
    for number in range(50):
        scene.write(f"{number}", long(f"{number}"))
    scene.tail.scan()
    assert open_handles(scene.folder) <= 5
    assert len(scene.read()) == 50
    scene.tail.scan()
    assert open_handles(scene.folder) <= 5


def test_an_unchanged_old_file_is_not_opened_by_a_scan(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.write("a", long("one"), age_s=90_000)
    scene.read()
    scene.tail.scan()

    def refuse(*_: object) -> bytes:
        raise AssertionError

    replace_here(monkeypatch, os, "open", refuse)
    replace_here(monkeypatch, os, "pread", refuse)
    assert list(scene.tail.scan()) == []


# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("", ["ego-mcp-a.log"], id="a directory: the default glob inside it"),
        pytest.param("other.log", ["other.log"], id="a file"),
        pytest.param("*.log", ["ego-mcp-a.log", "other.log", "x[1].log"], id="a glob; hidden files are not meant"),
        pytest.param("x[1].log", ["x[1].log"], id="a name with brackets, as it is"),
        pytest.param("?/*.log", ["s/ego-mcp-b.log"], id="a wildcard for directories"),
        pytest.param("**/ego-mcp-*.log", ["ego-mcp-a.log", "s/ego-mcp-b.log"], id="any depth"),
        pytest.param("s/../other.log", ["other.log"], id="dots in the path"),
        pytest.param("none-*.log", [], id="nothing"),
    ],
)
def test_patterns_name_files_directories_or_globs(scene: Scene, pattern: str, found: list[str]) -> None:
    (scene.folder / "s").mkdir()
    for name in ("ego-mcp-a.log", "other.log", "s/ego-mcp-b.log", ".hidden.log", "x[1].log"):
        (scene.folder / name).write_text(f"content of {name}\n")
    tail = scene.tail_of(f"{scene.folder}/{pattern}")
    names = {os.path.relpath(os.path.realpath(file.checkpoint.path), scene.folder) for file in tail.scan()}
    assert names == set(found)
    assert scene.reasons() == ([] if found else [Reason.NO_MATCH])


def test_the_tilde_is_the_users_home(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(scene.folder))
    scene.write("a", long("one"))
    scene.tail_of("~/*.log")
    assert scene.read() == lines("one")


def test_overlapping_patterns_read_a_file_once(scene: Scene) -> None:
    path = scene.write("a", long("one"))
    scene.tail_of(str(scene.folder), str(path), f"{scene.folder}/*")
    assert scene.read() == lines("one")


def test_the_directories_to_watch_are_those_where_files_can_appear(scene: Scene) -> None:
    scene.tail_of(str(scene.folder), f"{scene.folder}/sub/one.log", f"{scene.folder}/*.log")
    scene.tail.scan()
    assert list(scene.tail.watch_paths()) == [str(scene.folder)]


# --- bad input: a problem is told, and neighbours go on --------------------------------------------------------------


def test_a_fifo_a_socket_and_a_symlink_to_nothing_are_left_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(scene.path("fifo"))
    scene.path("dangling").symlink_to(scene.folder / "nowhere")
    monkeypatch.chdir(scene.folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("ego-mcp-socket.log")
        scene.write("a", long("one"))
        assert scene.read() == lines("one")
    assert sorted(scene.reasons()) == [Reason.DANGLING, Reason.NOT_A_FILE, Reason.NOT_A_FILE]


def test_a_directory_without_permission_is_a_problem_and_its_neighbour_is_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    scene.write("a", long("one"))
    scandir = os.scandir  # permission bits stop nobody who runs tests as root

    def refusing(path: str) -> object:
        if path == str(locked):
            raise PermissionError(errno.EACCES, "denied")
        return scandir(path)

    replace_here(monkeypatch, os, "scandir", refusing)
    scene.tail_of(str(locked), str(scene.folder))
    assert scene.read() == lines("one")
    assert [(p.path, p.reason) for p in scene.tail.problems()] == [(str(locked), Reason.DENIED)]


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        pytest.param(PermissionError(errno.EACCES, "denied"), [Reason.DENIED], id="no permission"),
        pytest.param(OSError(errno.EMFILE, "too many"), [Reason.UNREADABLE], id="no handle left"),
        pytest.param(FileNotFoundError(errno.ENOENT, "gone"), [], id="vanished since it was listed"),
    ],
)
def test_a_file_that_cannot_be_opened_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: OSError, reasons: list[Reason]
) -> None:
    bad = scene.write("bad", long("bad"))
    scene.write("good", long("good"))
    real_open = os.open

    def refusing(path: str, flags: int) -> int:
        if path == str(bad):
            raise error
        return real_open(path, flags)

    with monkeypatch.context() as patch:
        replace_here(patch, os, "open", refusing)
        assert scene.read() == lines("good")
        assert scene.reasons() == reasons
    assert scene.read() == lines("bad")
    assert scene.reasons() == []


def test_a_read_error_is_a_problem_until_reading_works_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.write("a", long("one"))
    (file,) = scene.tail.scan()

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "broken disk")

    with monkeypatch.context() as patch:
        replace_here(patch, os, "pread", broken)
        assert file.read(100) is None
        assert scene.reasons() == [Reason.UNREADABLE]
    assert scene.read() == lines("one")
    assert scene.reasons() == []


def test_a_truncation_between_scan_and_read_never_mixes_old_and_new_content(scene: Scene) -> None:
    scene.write("a", long("one") + long("two"))
    (file,) = scene.tail.scan()
    file.read(HEAD_BYTES + 1)
    scene.write("a", long("three") + "x" * 15 + "\n" + long("four"), mode="w")
    assert file.read(1000) is None
    assert scene.read() == [*lines("three"), "x" * 15, *lines("four")]


def test_a_name_that_is_not_utf_8_is_read_and_its_checkpoint_can_be_stored(scene: Scene) -> None:
    path = os.fsencode(scene.folder) + b"/ego-mcp-\xff.log"
    Path(os.fsdecode(path)).write_text(long("one"))
    (file,) = scene.tail.scan()
    assert rest_of(file) == lines("one")
    assert file.checkpoint.path.encode().endswith(rb"ego-mcp-\xff.log")


def test_a_long_half_line_is_not_read_again_with_each_byte_that_comes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write("a", "x" * 1_000_000)
    scene.read()
    scene.write("a", "x" * 10)
    (file,) = scene.tail.scan()
    pread, cost = os.pread, [0]

    def counting(fd: int, length: int, offset: int) -> bytes:
        block = pread(fd, length, offset)
        cost[0] += len(block)
        return block

    replace_here(monkeypatch, os, "pread", counting)
    assert file.read(1 << 20) is None
    assert cost[0] == 10
