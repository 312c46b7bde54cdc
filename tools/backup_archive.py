"""Archives of a backup: a directory becomes one compressed tar stream, and such a stream a directory again.

    python3 backup_archive.py pack state|files DIRECTORY > ARCHIVE
    python3 backup_archive.py unpack DIRECTORY < ARCHIVE
    python3 backup_archive.py key FILE > KEY
    python3 backup_archive.py put-key FILE < KEY
    python3 backup_archive.py filled DIRECTORY

Also run inside a container, given as text, on a volume: so it knows of nothing but Python's standard library.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

DATABASES: Final = ("state.db", "store.db")
"""What a backup takes of the state directory. The key goes apart; lock and reserve are made anew."""
KEY_NAME: Final = "pseudonym.key"
KEY_BYTES: Final = 32
_CHUNK: Final = 1 << 20
_FAST: Final = 3
"""Most of what is stored is compressed already."""


class BackupError(Exception):
    """A backup cannot be made or restored; the text says where, why and what to do. Never holds content."""


def pack_files(directory: Path, out: IO[bytes]) -> None:
    """Write all files and directories of a server that is stopped; links, sockets and the like are left out.

    BackupError where anything changed meanwhile: then the server is running, and the copy is of no one moment.
    """
    before = _listing(directory)
    with _tar_writer(out) as tar:
        for path in (directory, *sorted(directory.rglob("*"))):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                continue
            try:
                tar.add(path, arcname=str(path.relative_to(directory)), recursive=False)
            except OSError as error:
                raise BackupError(f"{path} cannot be copied ({error.strerror}): is its server still running?") from None
    if _listing(directory) != before:
        raise BackupError(f"{directory} changed while it was copied: stop its server first")


def pack_state(directory: Path, out: IO[bytes]) -> None:
    """Write the state directory's databases, each as of one moment; the sidecar may be running."""
    found = [name for name in DATABASES if (directory / name).is_file()]
    if not found:
        raise BackupError(f"{directory} holds no {' or '.join(DATABASES)}: is it the state directory?")
    with tempfile.TemporaryDirectory() as scratch, _tar_writer(out) as tar:
        tar.add(directory, arcname=".", recursive=False)
        for name in found:
            copy = Path(scratch, name)
            _copy_database(directory / name, copy)
            member = tar.gettarinfo(copy, arcname=name)
            owner = (directory / name).stat()
            member.uid, member.gid, member.mode = owner.st_uid, owner.st_gid, 0o600
            with copy.open("rb") as file:
                tar.addfile(member, file)


def unpack(source: IO[bytes], directory: Path) -> int:
    """Write an archive into a directory without files, made where it is missing; return the number of files.

    Owners are restored where this runs as root, modes always, without set-user bits.
    """
    refuse_filled(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = 0
    with _tar_reader(source) as tar:
        for member in tar:
            target = directory / _inside(member)
            if member.isdir():
                target.mkdir(exist_ok=True)
            else:
                with target.open("xb") as file:
                    content = tar.extractfile(member)
                    assert content is not None, "a regular file has content"  # noqa: S101
                    shutil.copyfileobj(content, file, _CHUNK)
                files += 1
            target.chmod(member.mode & 0o777)
            if os.geteuid() == 0:
                os.chown(target, member.uid, member.gid)
            if not member.isdir():
                os.utime(target, (member.mtime, member.mtime))
    return files


def contents(source: IO[bytes]) -> tuple[int, int]:
    """Read an archive to its end and return how many files it holds and their bytes; BackupError where it cannot be."""
    files = size = 0
    with _tar_reader(source) as tar:
        for member in tar:
            _inside(member)
            files += member.isfile()
            size += member.size
    return files, size


def refuse_filled(directory: Path) -> None:
    """BackupError where a directory holds any file; empty directories are no obstacle: images bring them along."""
    if directory.exists() and (path := next((path for path in directory.rglob("*") if not path.is_dir()), None)):
        raise BackupError(f"{directory} is not empty (it holds {path.relative_to(directory)}): nothing is overwritten")


def read_key(path: Path) -> bytes:
    """Return the pseudonym key."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise BackupError(f"the key {path} cannot be read: {error.strerror}") from None
    if len(key) != KEY_BYTES:
        raise BackupError(f"the key {path} holds {len(key)} bytes instead of {KEY_BYTES}")
    return key


def write_key(path: Path, key: bytes) -> None:
    """Write the key into a new file that only its owner may read: who owns the state beside it."""
    if len(key) != KEY_BYTES:
        raise BackupError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BackupError(f"{path} is there already: nothing is overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    if os.geteuid() == 0:
        state = path.with_name(DATABASES[0])
        owner = (state if state.exists() else path.parent).stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def state_schema(source: IO[bytes]) -> int | None:
    """Return the schema number of the state file in an archive: in SQLite's header, bytes 60 to 63 (user_version)."""
    with _tar_reader(source) as tar:
        for member in tar:
            if member.name == DATABASES[0] and (file := tar.extractfile(member)):
                return int.from_bytes(file.read(64)[60:], "big")
    return None


def _copy_database(path: Path, copy: Path) -> None:
    """Copy by SQLite's backup API: one transaction, whoever is writing. The copy needs no second file beside it."""
    try:
        with (
            contextlib.closing(sqlite3.connect(path, timeout=30)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            sound = target.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except sqlite3.Error as error:
        raise BackupError(f"{path} cannot be copied: {type(error).__name__}; see `egoscope doctor`") from None
    if not sound:
        raise BackupError(f"{path} is damaged: see `egoscope doctor`")


def _listing(directory: Path) -> dict[str, tuple[int, int, int]]:
    def seen() -> Iterator[tuple[str, tuple[int, int, int]]]:
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink():
                now = path.stat()
                yield str(path), (now.st_ino, now.st_size, now.st_mtime_ns)

    try:
        return dict(seen())
    except FileNotFoundError:  # between two looks at it
        raise BackupError(f"{directory} changes while it is read: stop its server first") from None


def _inside(member: tarfile.TarInfo) -> PurePosixPath:
    """Return a member's path within the directory; an archive of another's making could have other ones."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise BackupError("the archive holds what no backup of egoscope does (a link, or a path that leads outside)")
    return path


@contextlib.contextmanager
def _tar_writer(out: IO[bytes]) -> Generator[tarfile.TarFile]:
    with (
        gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=_FAST) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


@contextlib.contextmanager
def _tar_reader(source: IO[bytes]) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(fileobj=source, mode="r|gz") as tar:
            yield tar
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BackupError(f"the archive cannot be read to its end ({type(error).__name__})") from None


_VERBS: Final[dict[str, Callable[[list[str]], object]]] = {
    "pack": lambda words: {"state": pack_state, "files": pack_files}[words[0]](Path(words[1]), sys.stdout.buffer),
    "unpack": lambda words: unpack(sys.stdin.buffer, Path(words[0])),
    "key": lambda words: sys.stdout.buffer.write(read_key(Path(words[0]))),
    "put-key": lambda words: write_key(Path(words[0]), sys.stdin.buffer.read()),
    "filled": lambda words: refuse_filled(Path(words[0])),
}


def main(words: list[str]) -> int:
    """Do one thing to one directory; the exit status is 1 with a sentence where it cannot be done."""
    try:
        _VERBS[words[0]](words[1:])
    except (BackupError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
