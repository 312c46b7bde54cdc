"""Backups: what is taken, that it is whole, and everything a restore refuses before it has written a byte."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from egoscope.delivery.key import KEY_BYTES, load_key
from egoscope.delivery.state import SCHEMA_VERSION, StateFile
from tools import backup, backup_archive
from tools.backup import BackupError, key_beside
from tools.backup_places import PARTS, REPOSITORY, Directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW: Final = datetime(2026, 11, 21, 17, 0, 5, tzinfo=UTC)
NAME: Final = "egoscope-20261121T170005Z"


class Scene:
    """A state directory and a server's data, and where they go."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state, self.loki = directory / "state", directory / "loki"
        StateFile(self.state / "state.db").close()
        self.key = load_key(self.state / "pseudonym.key", state_exists=False)
        (self.loki / "chunks" / "empty").mkdir(parents=True)
        (self.loki / "chunks" / "one").write_bytes(b"chunk" * 1000)
        (self.loki / "wal").write_bytes(b"")
        self.backups = directory / "backups"

    def places(self, under: Path | None = None) -> dict[str, Any]:
        root = under or self.directory
        return {part: Directory(part, root / part) for part in ("state", "loki")}

    def back_up(self) -> Path:
        return backup.back_up(self.places(), self.backups, images={"loki": "loki:1"}, now=NOW)

    def new(self) -> dict[str, Any]:
        return self.places(self.directory / "new")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def change_manifest(made: Path, **changed: object) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps(manifest | changed))


def test_the_tool_knows_the_packages_schema_and_the_lengths_of_keys() -> None:
    assert backup.STATE_SCHEMA == SCHEMA_VERSION
    assert backup_archive.KEY_BYTES == KEY_BYTES


def test_every_volume_that_holds_what_cannot_be_made_anew_is_a_part() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text().rpartition("\nvolumes:\n")[2]
    volumes = {
        line.strip().partition(":")[0] for line in compose.partition("\nsecrets:")[0].splitlines() if "{}" in line
    }
    assert volumes - set(PARTS.values()) == {"demo-logs", "alertmanager-config"}


def test_what_is_restored_is_what_was_backed_up(scene: Scene) -> None:
    assert backup.restore(scene.back_up(), scene.new()) == ["state", "loki"]
    new = scene.directory / "new"
    assert files(new / "loki") == files(scene.loki)
    assert (new / "loki" / "chunks" / "empty").is_dir()
    assert (new / "state" / "pseudonym.key").read_bytes() == scene.key
    assert load_key(new / "state" / "pseudonym.key", state_exists=True) == scene.key
    StateFile(new / "state" / "state.db").close()


def test_the_key_is_apart_from_the_data_and_only_its_owner_may_read_either(scene: Scene) -> None:
    """Nor does the key stand in any archive; the manifest holds a keyed digest that tells keys apart."""
    made = scene.back_up()
    assert made.name == NAME
    assert {path.name for path in scene.backups.iterdir()} == {NAME, f"{NAME}.key"}
    assert key_beside(made).read_bytes() == scene.key
    everything = b"".join(files(made).values())
    for archive in made.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            assert "pseudonym.key" not in tar.getnames()
            everything += b"".join(file.read() for member in tar if (file := tar.extractfile(member)))
    assert scene.key not in everything
    assert scene.key.hex().encode() not in everything
    assert made.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (*made.iterdir(), key_beside(made)))


def test_the_manifest_says_what_is_in_it_and_what_made_it(scene: Scene) -> None:
    made = scene.back_up()
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["state_schema"] == SCHEMA_VERSION
    assert manifest["made"] == "2026-11-21T17:00:05+00:00"
    assert manifest["images"] == {"loki": "loki:1"}
    loki = manifest["parts"]["loki"]
    assert (loki["files"], loki["bytes"]) == (2, 5000)
    assert loki["size"] == (made / loki["archive"]).stat().st_size
    assert backup.checked(made) == manifest


def test_the_state_is_copied_as_of_one_moment_while_it_is_written(scene: Scene) -> None:
    """What a transaction that is still open has written is not in the copy; what is committed is, in the WAL too."""
    with closing(sqlite3.connect(scene.state / "state.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("INSERT INTO refused VALUES (1, 'logs', 'committed', 1)")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO refused VALUES (2, 'logs', 'open', 1)")
        made = scene.back_up()
        db.execute("ROLLBACK")
    backup.restore(made, scene.new())
    with closing(sqlite3.connect(scene.directory / "new" / "state" / "state.db")) as db:
        assert db.execute("SELECT reason FROM refused").fetchall() == [("committed",)]


def test_a_server_that_has_files_open_is_named_and_nothing_is_left_of_the_backup(scene: Scene) -> None:
    with (scene.loki / "wal").open("rb"), pytest.raises(BackupError, match=f"process {os.getpid()} has files open"):
        scene.back_up()
    assert not list(scene.backups.iterdir())


def test_a_directory_that_changes_while_it_is_copied_is_no_backup(scene: Scene) -> None:
    class Growing(io.BytesIO):
        def write(self, data: Any, /) -> int:
            with (scene.loki / "wal").open("ab") as file:
                file.write(b"more")
            return super().write(data)

    with pytest.raises(BackupError, match="changed while it was copied: stop its server"):
        backup_archive.pack_files(scene.loki, Growing())


def test_a_directory_that_is_no_state_directory_is_refused(scene: Scene) -> None:
    with pytest.raises(BackupError, match=r"holds no state\.db"):
        backup.back_up({"state": Directory("state", scene.loki)}, scene.backups, images={}, now=NOW)


def test_a_damaged_state_file_does_not_become_a_backup(scene: Scene) -> None:
    path = scene.state / "state.db"
    path.write_bytes(path.read_bytes()[:16384] + b"\xff" * 40000)
    with pytest.raises(BackupError, match="egoscope doctor"):
        scene.back_up()
    assert not list(scene.backups.iterdir())


def truncated(made: Path) -> None:
    archive = made / "loki.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-20])


def flipped(made: Path) -> None:
    archive = made / "state.tar.gz"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)


def another_key(made: Path) -> None:
    key_beside(made).write_bytes(bytes(KEY_BYTES))


REFUSALS: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "an archive was cut short": (truncated, "loki.tar.gz is damaged"),
    "one bit of an archive is another": (flipped, "state.tar.gz is damaged"),
    "an archive is missing": (lambda made: (made / "loki.tar.gz").unlink(), "loki.tar.gz is missing"),
    "the manifest is missing": (lambda made: (made / "manifest.json").unlink(), "holds no manifest.json"),
    "the manifest is no JSON": (lambda made: (made / "manifest.json").write_text("{"), "manifest.json is damaged"),
    "the state's schema is newer": (
        lambda made: change_manifest(made, state_schema=SCHEMA_VERSION + 1),
        f"has schema {SCHEMA_VERSION + 1}, this egoscope reads up to {SCHEMA_VERSION}",
    ),
    "the backup's format is newer": (lambda made: change_manifest(made, format=backup.FORMAT + 1), "has format"),
    "the key is missing": (lambda made: key_beside(made).unlink(), "the key .* cannot be read"),
    "the key is another one": (another_key, "is not the one this backup was made with"),
}


@pytest.mark.parametrize(("damage", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_restored_whole_is_refused_before_anything_is_written(
    scene: Scene, damage: Any, said: str
) -> None:
    made = scene.back_up()
    damage(made)
    with pytest.raises(BackupError, match=said):
        backup.restore(made, scene.new())
    assert not (scene.directory / "new").exists()


@pytest.mark.parametrize("filled", ["state/state.db", "state/pseudonym.key", "loki/chunks/fake/1"])
def test_a_place_that_holds_a_file_is_refused_and_none_is_written(scene: Scene, filled: str) -> None:
    made = scene.back_up()
    there = scene.directory / "new" / filled
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    with pytest.raises(BackupError, match="nothing is overwritten"):
        backup.restore(made, scene.new())
    assert files(scene.directory / "new") == {filled: b"mine"}


def test_a_backup_of_an_earlier_schema_is_restored(scene: Scene) -> None:
    """The sidecar takes the file to today's schema when it starts."""
    made = scene.back_up()
    change_manifest(made, state_schema=1)
    assert backup.restore(made, scene.new()) == ["state", "loki"]


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_an_archive_of_another_making_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name))
    made.seek(0)
    with pytest.raises(BackupError, match="leads outside"):
        backup_archive.unpack(made, tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_commands_say_what_they_did_and_what_they_left_out(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [f"--state={scene.state}", f"--loki={scene.loki}"]
    assert backup.main(["backup", f"--to={scene.backups}", *places]) == 0
    (made,) = scene.backups.glob("egoscope-*Z")
    said = capsys.readouterr().out
    assert str(made) in said
    assert "keep it somewhere else than the data" in said
    assert backup.main(["restore", f"--from={made}", f"--state={scene.directory / 'new'}"]) == 0
    assert "left out, for no directory was given: loki" in capsys.readouterr().out
    assert backup.main(["restore", f"--from={made}", f"--state={scene.directory / 'new'}"]) == 1
    assert "nothing is overwritten" in capsys.readouterr().err


def test_a_key_elsewhere_is_found_by_option_and_restored_to_the_state_directory(scene: Scene) -> None:
    key = scene.directory / "elsewhere.key"
    (scene.state / "pseudonym.key").rename(key)
    words = ["backup", f"--to={scene.backups}", f"--state={scene.state}"]
    assert backup.main(words) == 1
    assert backup.main([*words, f"--key-file={key}"]) == 0
    (made,) = scene.backups.glob("egoscope-*Z")
    moved = key_beside(made).rename(scene.directory / "moved.key")
    to = [f"--state={scene.directory / 'new'}"]
    assert backup.main(["restore", f"--from={made}", *to]) == 1
    assert backup.main(["restore", f"--from={made}", f"--key-file={moved}", *to]) == 0
    assert (scene.directory / "new" / "pseudonym.key").read_bytes() == scene.key
