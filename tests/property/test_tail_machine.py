"""Whatever happens to log files, every complete line that could be read is read exactly once.

A line may be lost only in these cases, and then it is read at most once:

- its file was truncated before the line was read, and no copy of it is under a name that the patterns match;
- its file was deleted, or renamed to a name that no pattern matches, before a scan saw the file with any byte in it
  (a truncated file is a new one);
- its file was deleted, or moved to another directory, while the handle was closed: because the file had been read and
  had not grown for `rest_s`, or because the program was stopped before the line was committed;
- it was written to a file without a matching name after that file was given up (read, and quiet for `linger_s`);
- its file had no matching name, and nothing of it was ever committed, when the program stopped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from egoscope.sources.tail import Tail

if TYPE_CHECKING:
    from egoscope.sources.base import FileCheckpoint, Lines, TailedFile

MAX_LINE_BYTES = 64
HEAD_BYTES = 8  # each chunk begins with so many bytes that occur nowhere else
QUIET_S = 300.0
NAMES = [f"ego-mcp-2026-01-0{day}.log" for day in range(1, 6)]

ends_line = st.sampled_from([True, True, True, False])
lengths = st.sampled_from([0, 0, 9, 40])  # few, so that lines of different contents often end at the same offset
chunks = st.lists(st.tuples(lengths, ends_line), min_size=1, max_size=4)
picks = st.integers(0, 1000)

LIVES = count()


class ModelFile:
    """One inode, with the program that writes to it."""

    def __init__(self, path: Path) -> None:
        self.writer = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        self.inode = os.fstat(self.writer).st_ino
        self.name: str | None = path.name
        self.content = b""
        self.handle = False
        self.frozen = False
        self.life = next(LIVES)  # a truncated file is a new one
        self.tracked = False  # followed under a name, with or without a handle
        self.away = False  # under a name that no pattern matches, in the same directory
        self.sought = False  # away, and to be found there by the next scan
        self.rested = -1  # the size at which its handle was closed, if it was

    @property
    def lines(self) -> list[bytes]:
        return self.content.split(b"\n")[:-1]

    @property
    def reachable(self) -> bool:
        return self.name is not None or self.handle or self.sought


def any_named(machine: Tailing) -> bool:
    """Whether a file is left under a name."""
    return any(file.name for file in machine.files)


class Tailing(RuleBasedStateMachine):
    """Log files as the real file system has them, a Tail, and what a pipeline would have made durable."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "logs"
        self.folder.mkdir()
        self.now = 1_700_000_000.0
        self.serial = 0
        self.files: list[ModelFile] = []
        self.durable: list[bytes] = []
        self.uncommitted: list[bytes] = []
        self.read_to: dict[str, tuple[FileCheckpoint, int]] = {}  # with the life of the file that was read
        self.committed: dict[str, tuple[FileCheckpoint, int]] = {}
        self.scanned = False  # since the last start
        self.written: set[bytes] = set()
        self.may_be_lost: set[bytes] = set()

    @initialize(first=chunks, second=chunks)
    def start(self, first: list[tuple[int, bool]], second: list[tuple[int, bool]]) -> None:
        self.tail = self.new_tail()
        self.new_file(first)
        self.new_file(second)

    def teardown(self) -> None:
        try:
            self.read_everything()
            assert self.missing() == set()
        finally:
            self.tail.close()
            for file in self.files:
                os.close(file.writer)
            shutil.rmtree(self.root)

    # --- the program and its restarts ------------------------------------------------------------------------------

    def new_tail(self) -> Tail:
        return Tail(
            [str(self.folder)],
            derive_id=lambda device, inode, head: hashlib.sha256(b"%d %d " % (device, inode) + head).hexdigest()[:12],
            known=[checkpoint for checkpoint, _ in self.committed.values()],
            fingerprint_bytes=HEAD_BYTES,
            max_line_bytes=MAX_LINE_BYTES,
            linger_s=QUIET_S,
            rest_s=QUIET_S,
            clock=lambda: self.now,
        )

    def scan(self) -> list[TailedFile]:
        found = list(self.tail.scan())
        followed = {file.checkpoint.inode for file in self.tail.files()}
        self.scanned = True
        for file in self.files:
            assert not file.sought or file.inode in followed
            if file.sought or len(file.content) != file.rested:
                file.handle, file.rested = file.inode in followed, -1
            file.tracked, file.sought = file.inode in followed, False
        return found

    def is_known(self, file: ModelFile) -> bool:
        """Whether the next scan will look for a file that has no matching name."""
        return file.tracked if self.scanned else file.life in {life for _, life in self.committed.values()}

    def take(self, file: TailedFile, limit: int) -> bool:
        lines = file.read(limit)
        if lines is None:
            return False
        checkpoint = file.checkpoint
        assert checkpoint.offset == lines.end
        read = next(known for known in self.files if known.inode == checkpoint.inode)
        self.read_to[checkpoint.source] = checkpoint, read.life
        self.uncommitted += self.texts(lines, read)
        return True

    def texts(self, lines: Lines, file: ModelFile) -> list[bytes]:
        """Return what was read, having compared it with the file; an oversized line's text comes from there."""
        expected = file.content[lines.start : lines.end].split(b"\n")[:-1]
        if lines.oversized:
            assert len(expected) == 1
            assert len(expected[0]) > MAX_LINE_BYTES
        else:
            assert expected == list(lines.lines)
            assert all(len(line) <= MAX_LINE_BYTES for line in expected)
        return expected

    @rule(limit=st.integers(1, 200), times=st.integers(1, 4), durable=st.booleans())
    def scan_and_read_some(self, limit: int, times: int, *, durable: bool) -> None:
        for file in self.scan():
            for _ in range(times):
                self.take(file, limit)
        if durable:
            self.commit()

    @rule(durable=st.booleans())
    def read_to_the_end(self, *, durable: bool) -> None:
        self.read_everything()
        if durable:
            self.commit()

    def read_everything(self) -> None:
        for _ in range(3):  # a copy that was set aside goes on one scan after its original is given up
            for file in self.scan():
                while self.take(file, 100):
                    pass

    def commit(self) -> None:
        self.committed |= self.read_to
        self.durable += self.uncommitted
        self.uncommitted = []

    @rule()
    def crash_and_restart(self) -> None:
        self.tail.close()
        self.tail = self.new_tail()
        self.uncommitted, self.read_to, self.scanned = [], {}, False
        for file in self.files:
            file.handle = file.tracked = False
            file.sought = file.away and self.is_known(file)
        self.lose_what_is_out_of_reach()

    @rule()
    def nothing_happens_for_long(self) -> None:
        self.read_everything()
        self.now += QUIET_S + 1
        self.scan()
        self.read_everything()  # copies whose original was given up
        for file in self.files:
            file.handle, file.rested = False, len(file.content)

    # --- what programs and people do to log files ------------------------------------------------------------------

    def pick(self, at: int) -> ModelFile:
        """Return a file that a program writes to; it may have lost its name. Nobody writes to a copy."""
        growing = [file for file in self.files if not file.frozen]
        return growing[at % len(growing)]

    def pick_named(self, at: int) -> tuple[ModelFile, Path]:
        named = [file for file in self.files if file.name]
        file = named[at % len(named)]
        return file, self.folder / str(file.name)

    def free_name(self) -> str | None:
        return next((name for name in NAMES if not (self.folder / name).exists()), None)

    def write(self, file: ModelFile, parts: list[tuple[int, bool]]) -> None:
        before = len(file.lines)
        for length, complete in parts:
            self.serial += 1
            chunk = b"%08d" % self.serial + b"x" * length + b"\n" * complete
            os.write(file.writer, chunk)
            file.content += chunk
        self.touch(file.writer)
        self.written |= set(file.lines[before:])

    def touch(self, at: int | Path) -> None:
        """Give each change a time of its own, as if the file system's clock were fine enough."""
        self.now += 0.01
        os.utime(at, (self.now, self.now))

    @rule(parts=chunks)
    def new_file(self, parts: list[tuple[int, bool]]) -> None:
        if name := self.free_name():
            self.files.append(ModelFile(self.folder / name))
            self.write(self.files[-1], parts)

    @rule(at=picks, parts=chunks)
    def append(self, at: int, parts: list[tuple[int, bool]]) -> None:
        self.write(self.pick(at), parts)
        self.lose_what_is_out_of_reach()

    @rule(parts=chunks)
    def append_to_all(self, parts: list[tuple[int, bool]]) -> None:
        for at in range(sum(not file.frozen for file in self.files)):
            self.append(at, parts)

    @precondition(any_named)
    @rule(at=picks)
    def rename(self, at: int) -> None:
        file, path = self.pick_named(at)
        if name := self.free_name():
            path.rename(self.folder / name)
            file.name = name

    @precondition(any_named)
    @rule(at=picks)
    def move_out_of_the_directory(self, at: int) -> None:
        file, path = self.pick_named(at)
        path.rename(self.root / f"{file.inode}.{self.serial}.old")
        file.name = None
        self.lose_what_is_out_of_reach()

    def leave_the_pattern(self, file: ModelFile, path: Path) -> None:
        path.rename(path.with_suffix(f".{file.life}.old"))
        file.name, file.away = None, True
        file.sought = self.is_known(file)
        self.lose_what_is_out_of_reach()

    @precondition(any_named)
    @rule(at=picks)
    def rename_out_of_the_pattern(self, at: int) -> None:
        self.leave_the_pattern(*self.pick_named(at))

    @precondition(any_named)
    @rule(at=picks, before=chunks, after=chunks, recreate=st.booleans())
    def rotate_out_of_the_pattern_while_stopped(
        self, at: int, before: list[tuple[int, bool]], after: list[tuple[int, bool]], *, recreate: bool
    ) -> None:
        file, path = self.pick_named(at)
        self.crash_and_restart()
        if not file.frozen:
            self.write(file, before)
        self.leave_the_pattern(file, path)
        if not file.frozen:
            self.write(file, after)
            self.lose_what_is_out_of_reach()
        if recreate:
            self.files.append(ModelFile(path))
            self.write(self.files[-1], before)

    @precondition(any_named)
    @rule(at=picks)
    def delete(self, at: int) -> None:
        file, path = self.pick_named(at)
        path.unlink()
        file.name = None
        self.lose_what_is_out_of_reach()

    @precondition(any_named)
    @rule(at=picks, parts=chunks)
    def delete_and_recreate(self, at: int, parts: list[tuple[int, bool]]) -> None:
        file, path = self.pick_named(at)
        path.unlink()
        file.name = None
        self.lose_what_is_out_of_reach()
        if not file.handle:  # its program ends too: the inode is free to be reused
            os.close(file.writer)
            self.files.remove(file)
        self.files.append(ModelFile(path))
        self.write(self.files[-1], parts)

    def copy_of(self, file: ModelFile) -> bool:
        name = self.free_name()
        if name is None:
            return False
        copy = ModelFile(self.folder / name)
        os.write(copy.writer, file.content)
        self.touch(copy.writer)
        copy.content, copy.frozen = file.content, True
        self.files.append(copy)
        return True

    @rule(at=picks, parts=chunks, scan_between=st.booleans())
    def copytruncate(self, at: int, parts: list[tuple[int, bool]], *, scan_between: bool) -> None:
        file = self.pick(at)
        if file.name and self.copy_of(file):
            if scan_between:
                self.scan()
            self.truncate(file)
            self.write(file, parts)

    @precondition(any_named)
    @rule(at=picks, scan_between=st.booleans())
    def move_across_devices(self, at: int, *, scan_between: bool) -> None:
        file, path = self.pick_named(at)
        if self.copy_of(file):
            if scan_between:
                self.scan()
            path.unlink()
            file.name = None
            self.lose_what_is_out_of_reach()

    @rule(at=picks)
    def truncate_in_place(self, at: int) -> None:
        self.truncate(self.pick(at))

    @rule(at=picks, parts=chunks)
    def replace_content_in_place(self, at: int, parts: list[tuple[int, bool]]) -> None:
        self.truncate(self.pick(at))
        self.append(at, parts)

    def truncate(self, file: ModelFile) -> None:
        os.ftruncate(file.writer, 0)
        self.touch(file.writer)
        file.content = b""
        file.handle = file.tracked = file.sought = False
        file.life, file.rested = next(LIVES), -1  # this life is over; the next one is to be seen under a name first
        self.lose_what_is_out_of_reach()

    # --- the promise -----------------------------------------------------------------------------------------------

    def lose_what_is_out_of_reach(self) -> None:
        self.may_be_lost |= self.missing() - {line for file in self.files if file.reachable for line in file.lines}

    def missing(self) -> set[bytes]:
        return self.written - self.may_be_lost - set(self.durable) - set(self.uncommitted)

    @invariant()
    def no_line_is_read_twice(self) -> None:
        taken = self.durable + self.uncommitted
        assert len(taken) == len(set(taken))


Tailing.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTailing = Tailing.TestCase
