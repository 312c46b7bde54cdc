"""Back up everything egoscope keeps, and restore it into an empty place: `make backup`, `make restore`.

    python3 -m tools.backup backup --to DIRECTORY [--state DIR --prometheus DIR --loki DIR …]
    python3 -m tools.backup restore --from BACKUP [--key-file FILE] [--state DIR …]

Without directories the volumes of docker compose are meant; its services are stopped for the copy and started again.
With directories, of servers that are plain processes, you stop the servers yourself; only the sidecar may run on. A
backup is a directory with an archive a part and a manifest. The pseudonym key stands beside it, in a file of its own:
the directory alone tells nobody who a pseudonym is.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from tools import backup_archive as archive
from tools.backup_archive import BackupError
from tools.backup_places import PARTS, REPOSITORY, STATE, Compose, Directory, Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT: Final = 1
"""Of backups; one with a higher number is refused."""
STATE_SCHEMA: Final = 2
"""The newest schema of the state file that this checkout reads: delivery/state.py's, which a test compares."""
MANIFEST: Final = "manifest.json"
_CHUNK: Final = 1 << 20
_PURPOSE: Final = b"egoscope backup"


def back_up(places: Mapping[str, Place], to: Path, *, images: Mapping[str, str], now: datetime) -> Path:
    """Make a backup of these parts under `to` and return its directory; there is none where anything failed.

    Each archive is read again to its end before it counts.
    """
    name = f"egoscope-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    whole, part = to / name, to / f"{name}.part"
    if whole.exists():
        raise BackupError(f"{whole} is there already")
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    part.mkdir(mode=0o700)
    try:
        ordered = [each for each in PARTS if each in places]
        parts = {each: _read_part(places[each], part / f"{each}.tar.gz") for each in ordered}
        key = places[STATE].key() if STATE in places else None
        manifest = {
            "format": FORMAT,
            "made": now.astimezone(UTC).isoformat(timespec="seconds"),
            "egoscope": _version(),
            "images": dict(images),
            "state_schema": _schema_of(part / f"{STATE}.tar.gz") if STATE in parts else None,
            "key": fingerprint(key) if key else None,
            "parts": parts,
        }
        with _private(part / MANIFEST) as file:
            file.write(json.dumps(manifest, indent=2).encode() + b"\n")
        if key:
            archive.write_key(key_beside(whole), key)
        part.rename(whole)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    os.sync()
    return whole


def restore(backup: Path, places: Mapping[str, Place], *, key_file: Path | None = None) -> list[str]:
    """Fill empty places from a backup and return the parts that were restored.

    Everything is checked before anything is written: manifest, schema, archives, the key, and that each place is empty.
    """
    manifest = checked(backup)
    ordered = [each for each in PARTS if each in places and each in manifest["parts"]]
    if not ordered:
        raise BackupError(f"{backup} holds {', '.join(manifest['parts'])}: none of it has a place here")
    key = None
    if STATE in ordered:
        key = archive.read_key(key_file or key_beside(backup))
        if fingerprint(key) != manifest["key"]:
            raise BackupError(f"the key {key_file or key_beside(backup)} is not the one this backup was made with")
    for each in ordered:
        places[each].check_empty()
    for each in ordered:
        with (backup / manifest["parts"][each]["archive"]).open("rb") as file:
            places[each].write(file)
        if each == STATE and key:
            places[each].put_key(key)
    return ordered


def checked(backup: Path) -> dict[str, Any]:
    """Return the manifest of a backup that is whole and that this egoscope can read; BackupError says what is not."""
    try:
        manifest: dict[str, Any] = json.loads((backup / MANIFEST).read_bytes())
        number, schema, parts = manifest["format"], manifest["state_schema"], manifest["parts"]
    except FileNotFoundError:
        raise BackupError(f"{backup} holds no {MANIFEST}: it is no backup, or was not finished") from None
    except (ValueError, KeyError, TypeError):
        raise BackupError(f"{backup / MANIFEST} is damaged") from None
    if number > FORMAT:
        raise BackupError(f"{backup} has format {number}, this egoscope reads up to {FORMAT}: use a newer one")
    if schema is not None and schema > STATE_SCHEMA:
        raise BackupError(
            f"the state in {backup} has schema {schema}, this egoscope reads up to {STATE_SCHEMA}: "
            f"use egoscope {manifest['egoscope']}, which made it, or a newer one"
        )
    for each, told in parts.items():
        path = backup / told["archive"]
        if not path.is_file():
            raise BackupError(f"{path} is missing: {each} cannot be restored, and nothing was")
        size, digest = _measured(path)
        if (size, digest) != (told["size"], told["sha256"]):
            raise BackupError(f"{path} is damaged: its size or SHA-256 is not the manifest's. Nothing was restored")
    return manifest


def key_beside(backup: Path) -> Path:
    """Return the file that holds the key of a backup: beside its directory, not in it."""
    return backup.parent / f"{backup.name}.key"


def fingerprint(key: bytes) -> str:
    """Return what tells keys apart and tells nothing about one: it is 32 random bytes."""
    return hmac.new(key, _PURPOSE, hashlib.sha256).hexdigest()


def _read_part(place: Place, path: Path) -> dict[str, object]:
    with _private(path) as file:
        place.read(file)
    with path.open("rb") as file:
        files, size = archive.contents(file)
    stored, digest = _measured(path)
    return {"archive": path.name, "size": stored, "sha256": digest, "files": files, "bytes": size}


def _schema_of(path: Path) -> int | None:
    with path.open("rb") as file:
        return archive.state_schema(file)


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _version() -> str:
    found = re.search(r'^version = "([^"]+)"', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def _told(manifest: Mapping[str, Any], parts: Sequence[str]) -> str:
    rows = [manifest["parts"][each] | {"part": each} for each in parts]
    return "\n".join(
        f"  {row['part']:<13}{row['files']:>7,} files {row['bytes'] / 1e6:>11,.1f} MB"
        f"{row['size'] / 1e6:>11,.1f} MB stored"
        for row in rows
    )


def _other_images(made_with: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    return [
        f"note: {name} was {made_with[name]}, here it is {image}: see docs/operations.md, “Upgrade”"
        for name, image in here.items()
        if name in made_with and made_with[name] != image
    ]


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="backup", description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    to = verbs.add_parser("backup", help="make a backup")
    to.add_argument("--to", type=Path, required=True, help="the directory that gets a directory and a key file")
    to.add_argument("--key-file", type=Path, help="the pseudonym key, where it is not in the state directory")
    back = verbs.add_parser("restore", help="restore a backup into an empty place")
    back.add_argument("--from", dest="backup", type=Path, required=True, help="a directory that `backup` made")
    back.add_argument("--key-file", type=Path, help="its key; default: beside it, with the same name and .key")
    for verb in (to, back):
        for part in PARTS:
            verb.add_argument(f"--{part}", type=Path, help=f"the directory of {part}, where it is a plain process")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Back up or restore, and say what was done."""
    options = _arguments(words)
    given = {part: getattr(options, part).expanduser() for part in PARTS if getattr(options, part)}
    own_key = options.key_file if options.verb == "backup" else None
    places: dict[str, Place] = {part: Directory(part, path, own_key) for part, path in given.items()}
    try:
        compose = None if places else Compose()
        if options.verb == "backup":
            _back_up(options.to.expanduser(), places, compose)
        else:
            _restore(options.backup.expanduser(), places, compose, options.key_file)
    except (BackupError, OSError) as error:
        print(f"{options.verb}: {error}", file=sys.stderr)
        return 1
    return 0


def _back_up(to: Path, places: dict[str, Place], compose: Compose | None) -> None:
    places = compose.places() if compose else places
    with compose.stopped() if compose else contextlib.nullcontext():
        made = back_up(places, to, images=compose.images if compose else {}, now=datetime.now(UTC))
    manifest = checked(made)
    print(f"backed up to {made}\n{_told(manifest, list(manifest['parts']))}")
    if manifest["key"]:
        print(f"the pseudonym key is apart: {key_beside(made)}; keep it somewhere else than the data")


def _restore(backup: Path, places: dict[str, Place], compose: Compose | None, key_file: Path | None) -> None:
    manifest = checked(backup)
    if compose:
        if running := compose.running():
            raise BackupError(f"{', '.join(running)} run: `make stop` first")
        compose.make_volumes()
        places = compose.places()
    done = restore(backup, places, key_file=key_file)
    print(f"restored from {backup}, made {manifest['made']}\n{_told(manifest, done)}")
    for each in manifest["parts"]:
        if each not in done:
            print(f"left out, for no directory was given: {each}")
    for note in _other_images(manifest["images"], compose.images if compose else {}):
        print(note)
    print("start egoscope: what was logged after the backup is read from the logs and sent")


if __name__ == "__main__":
    sys.exit(main())
