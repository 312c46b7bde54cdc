"""What every `TailedFile` promises, on real files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from egoscope.sources.tail import Tail

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.sources.base import Lines, TailedFile

MAX_LINE_BYTES = 200_000


def derive_id(device: int, inode: int, head: bytes) -> str:
    """Stand in for the keyed hash."""
    return hashlib.sha256(b"%d %d " % (device, inode) + head).hexdigest()[:12]


def followed(path: Path, content: bytes) -> tuple[Tail, TailedFile]:
    """Write a file and return it as it is followed."""
    path.write_bytes(content)
    tail = Tail([str(path)], derive_id=derive_id, max_line_bytes=MAX_LINE_BYTES)
    (file,) = tail.scan()
    return tail, file


def read_all(file: TailedFile, limit_bytes: int = 1 << 20) -> list[Lines]:
    """Read until there is no complete line left."""
    found: list[Lines] = []
    while (lines := file.read(limit_bytes)) is not None:
        found.append(lines)
    return found


LONG = b"x" * 150_000
OVERSIZED = b"x" * (MAX_LINE_BYTES + 1)


@pytest.mark.parametrize("limit_bytes", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b'{"a":1}', [], id="no newline: not yet a line"),
        pytest.param(b"{}\n{", [b"{}"], id="half of a second line waits"),
        pytest.param(b"\n\na\n", [b"", b"", b"a"], id="an empty line is a line"),
        pytest.param(b"a\r\nb\r\n", [b"a\r", b"b\r"], id="the carriage return stays in the line"),
        pytest.param(b"\0\0\na\0b\n", [b"\0\0", b"a\0b"], id="NUL bytes are data"),
        pytest.param(b"\xff\xfe\xed\xa0\x80\n", [b"\xff\xfe\xed\xa0\x80"], id="bytes need not be UTF-8"),
        pytest.param(
            b"a\x0bb\x0cc\x85d\xe2\x80\xa8\n", [b"a\x0bb\x0cc\x85d\xe2\x80\xa8"], id="only newlines end a line"
        ),
        pytest.param(b"a\n" + LONG + b"\nb\n", [b"a", LONG, b"b"], id="a line longer than the limit is whole"),
        pytest.param(b"x" * MAX_LINE_BYTES + b"\n", [b"x" * MAX_LINE_BYTES], id="a line of the allowed length is read"),
    ],
)
def test_complete_lines_come_in_order_whatever_the_limit(
    tmp_path: Path, content: bytes, lines: list[bytes], limit_bytes: int
) -> None:
    _, file = followed(tmp_path / "a.log", content)
    found = read_all(file, limit_bytes)
    assert [line for part in found for line in part.lines] == lines
    position = 0
    for part in found:
        assert (part.start, part.end) == (position, position + sum(len(line) + 1 for line in part.lines))
        position = part.end
    assert file.checkpoint.offset == position
    assert file.unread_bytes == len(content) - position


def test_a_batch_is_about_as_long_as_the_limit(tmp_path: Path) -> None:
    _, file = followed(tmp_path / "a.log", b"12345678\n" * 100)
    lines = file.read(90)
    assert lines is not None
    assert len(lines.lines) == 10


def test_a_line_longer_than_the_limit_is_returned_alone(tmp_path: Path) -> None:
    _, file = followed(tmp_path / "a.log", LONG + b"\nb\nc\n")
    assert [len(part.lines) for part in read_all(file, 10)] == [1, 2]


@pytest.mark.parametrize("limit_bytes", [10, 1 << 20])
def test_an_oversized_line_is_passed_over_and_said_once_with_its_span(tmp_path: Path, limit_bytes: int) -> None:
    _, file = followed(tmp_path / "a.log", b"a\n" + OVERSIZED + b"\nb\n")
    before, oversized, after = read_all(file, limit_bytes)
    assert list(before.lines) == [b"a"]
    assert (oversized.start, oversized.end, list(oversized.lines)) == (2, 2 + len(OVERSIZED) + 1, [])
    assert oversized.oversized
    assert list(after.lines) == [b"b"]
    assert not after.oversized


def test_an_oversized_line_says_nothing_until_its_newline_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    tail, file = followed(path, OVERSIZED)
    assert file.read(1000) is None
    with path.open("ab") as log:
        log.write(OVERSIZED)
    tail.scan()
    assert file.read(1000) is None
    with path.open("ab") as log:
        log.write(b"\n")
    tail.scan()
    assert [part.oversized for part in read_all(file)] == [True]


def test_half_a_line_waits_for_its_rest_and_is_not_offered_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    tail, file = followed(path, b"half")
    assert file.read(100) is None
    assert list(tail.scan()) == []
    with path.open("ab") as log:
        log.write(b" and half\n")
    assert list(tail.scan()) == [file]
    assert [list(part.lines) for part in read_all(file)] == [[b"half and half"]]


def test_the_checkpoint_follows_reading_and_keeps_its_source(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    _, file = followed(path, b"one\ntwo\n")
    first = file.checkpoint
    assert (first.path, first.offset, first.inode) == (str(path), 0, path.stat().st_ino)
    file.read(4)
    assert file.checkpoint.offset == 4
    assert file.checkpoint.source == first.source


def test_no_repr_shows_content(tmp_path: Path) -> None:
    _, file = followed(tmp_path / "a.log", b"secret\n")
    assert "secret" not in repr(file.read(100)) + repr(file) + repr(file.checkpoint)
