"""Where data lives that is backed up: a directory of a plain process, or a volume of docker compose."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from tools import backup_archive as archive
from tools.backup_archive import BackupError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

REPOSITORY: Final = Path(__file__).resolve().parent.parent
STATE: Final = "state"
PARTS: Final = {
    STATE: "sidecar-state",
    "prometheus": "prometheus-data",
    "loki": "loki-data",
    "tempo": "tempo-data",
    "grafana": "grafana-data",
    "alertmanager": "alertmanager-data",
}
"""Part to volume. The state is first: what it says was sent is then surely in what is copied after it."""
BUILT: Final = "alertmanager-config"
"""The service whose image looks into volumes: it is the sidecar's, and on a gateway there is no sidecar."""
_PROC: Final = Path("/proc")
_IN_CONTAINER: Final = "/data"


class Place(Protocol):
    """Where one part lives."""

    def read(self, out: IO[bytes]) -> None:
        """Write it as an archive; BackupError where it cannot be copied as of one moment."""
        ...

    def write(self, source: IO[bytes]) -> None:
        """Fill it from an archive; it must be without files."""
        ...

    def check_empty(self) -> None:
        """BackupError where it holds any file."""
        ...

    def key(self) -> bytes:
        """Return the pseudonym key; asked of the state's place only."""
        ...

    def put_key(self, key: bytes) -> None:
        """Write the pseudonym key; asked of the state's place only."""
        ...


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a plain process. `key_file`: where the key is, unless it is in the directory itself."""

    part: str
    path: Path
    key_file: Path | None = None

    def read(self, out: IO[bytes]) -> None:
        """Write it as an archive."""
        if not self.path.is_dir():
            raise BackupError(f"--{self.part} {self.path} is no directory")
        if self.part == STATE:
            archive.pack_state(self.path, out)
            return
        if (pid := _who_has_open(self.path)) is not None:
            raise BackupError(f"process {pid} has files open in {self.path}: stop {self.part} first")
        archive.pack_files(self.path, out)

    def write(self, source: IO[bytes]) -> None:
        """Fill it from an archive."""
        archive.unpack(source, self.path)

    def check_empty(self) -> None:
        """BackupError where it holds any file."""
        archive.refuse_filled(self.path)
        if self.part == STATE and self._key_file.exists():
            raise BackupError(f"{self._key_file} is there already: nothing is overwritten")

    def key(self) -> bytes:
        """Return the pseudonym key."""
        return archive.read_key(self._key_file)

    def put_key(self, key: bytes) -> None:
        """Write the pseudonym key."""
        archive.write_key(self._key_file, key)

    @property
    def _key_file(self) -> Path:
        return self.key_file or self.path / archive.KEY_NAME


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume, looked into by a container of the sidecar's image, which has Python, without any network."""

    part: str
    name: str
    image: str

    def read(self, out: IO[bytes]) -> None:
        """Write it as an archive."""
        self._run("pack", "state" if self.part == STATE else "files", _IN_CONTAINER, out=out)

    def write(self, source: IO[bytes]) -> None:
        """Fill it from an archive."""
        self._run("unpack", _IN_CONTAINER, source=source)

    def check_empty(self) -> None:
        """BackupError where it holds any file."""
        self._run("filled", _IN_CONTAINER)

    def key(self) -> bytes:
        """Return the pseudonym key."""
        return self._run("key", f"{_IN_CONTAINER}/{archive.KEY_NAME}")

    def put_key(self, key: bytes) -> None:
        """Write the pseudonym key."""
        self._run("put-key", f"{_IN_CONTAINER}/{archive.KEY_NAME}", given=key)

    def _run(
        self, *words: str, out: IO[bytes] | None = None, source: IO[bytes] | None = None, given: bytes | None = None
    ) -> bytes:
        """Run backup_archive.py on the volume. As root, for each server writes as another user."""
        program = Path(archive.__file__).read_text(encoding="utf-8")
        command = [
            *("docker", "run", "--rm", "--interactive", "--network=none", "--user=0:0", "--cap-drop=ALL"),
            *("--cap-add=DAC_OVERRIDE", "--cap-add=CHOWN", "--cap-add=FOWNER", "--security-opt=no-new-privileges:true"),
            f"--volume={self.name}:{_IN_CONTAINER}",
            *("--entrypoint=python3", self.image, "-IS", "-c", program, *words),
        ]
        stdin = subprocess.PIPE if given is not None else source or subprocess.DEVNULL
        with subprocess.Popen(command, stdin=stdin, stdout=out or subprocess.PIPE, stderr=subprocess.PIPE) as run:
            answer, errors = run.communicate(given)
        if run.returncode:
            said = errors.decode(errors="replace").strip().replace(_IN_CONTAINER, f"volume {self.name}")
            raise BackupError(said or f"docker run on volume {self.name} ended with {run.returncode}")
        return answer or b""


class Compose:
    """The compose project of this repository, as .env and the environment say."""

    def __init__(self) -> None:
        """BackupError where there is no docker compose, or no engine that answers."""
        if not all(_succeeds("docker", *words) for words in (("info",), ("compose", "version"))):
            raise BackupError(
                "no Docker engine with compose answers here. Of servers that are plain processes name the directories: "
                f"{' '.join(f'--{part} DIR' for part in PARTS)}"
            )
        self._configuration: dict[str, Any] = json.loads(self._compose("config", "--format", "json"))
        self.images: dict[str, str] = {
            name: service["image"] for name, service in self._configuration["services"].items()
        }

    def places(self) -> dict[str, Place]:
        """Return all parts, with the image that looks into volumes built where it is not there."""
        image = self.images[BUILT]
        if not _succeeds("docker", "image", "inspect", image):
            self._compose("build", "--quiet", BUILT)
        return {part: Volume(part, name, image) for part, name in self._volumes().items()}

    def make_volumes(self) -> None:
        """Make the volumes that are missing, with the labels by which compose knows its own."""
        for part, name in self._volumes().items():
            labels = (f"project={self._configuration['name']}", f"volume={PARTS[part]}")
            marks = [f"--label=com.docker.compose.{label}" for label in labels]
            _run(["docker", "volume", "create", *marks, name])

    def running(self) -> list[str]:
        """Return the services that run."""
        return self._compose("ps", "--services", "--status", "running").split()

    @contextlib.contextmanager
    def stopped(self) -> Generator[None]:
        """Stop what runs, the sidecar before what it sends to; start it again at the end, come what may."""
        running = self.running()
        try:
            if running:
                print(f"stopping {', '.join(running)}")
                self._compose("stop", *running)
            yield
        finally:
            if running:
                print(f"starting {', '.join(running)}")
                self._compose("start", *running)

    def _volumes(self) -> dict[str, str]:
        """Return the engine's name of each part's volume; a service that was switched off has none."""
        volumes = self._configuration["volumes"]
        return {part: volumes[name]["name"] for part, name in PARTS.items() if name in volumes}

    @staticmethod
    def _compose(*words: str) -> str:
        return _run(["docker", "compose", *words])


def _succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).returncode == 0


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _who_has_open(directory: Path) -> int | None:
    """Return a process that has a file open here, as far as this user can see; only Linux tells."""
    inside = f"{directory.resolve()}{os.sep}"
    for descriptor in _PROC.glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).startswith(inside):
                return int(descriptor.parts[2])
    return None
