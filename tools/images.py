"""Images for an engine that sees no registry: the servers' from the binaries `tools/stack.py` built, and a base.

Each is named by the hash of what it is made of, so an image is made once and a change makes a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tools.engine import Engine

DEBIAN_SUITE: Final = "bookworm"  # has Python 3.11
PYTHON_VERSION: Final = "3.11"
NOT_NEEDED: Final = ("./var/cache/apt", "./var/lib/apt/lists", "./usr/share/doc", "./usr/share/locale", "./dev")


class ImageError(Exception):
    """An image cannot be made here; the text says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerImage:
    """Where the official image of a server has its programs and its writable folders.

    `programs`: path in the image by the name `tools/stack.py` knows; the first is the entry point.
    `folders`: owner, as user id, of each folder on which a volume is mounted. `needed`: files of this machine without
    which the program does not start; at the same place in the image, where there are any.
    """

    programs: Mapping[str, str]
    folders: Mapping[str, int]
    needed: tuple[str, ...] = ()


SERVER_IMAGES: Final[Mapping[str, ServerImage]] = {
    "collector": ServerImage(programs={"collector": "/otelcol-contrib"}, folders={}),
    "prometheus": ServerImage(
        programs={"prometheus": "/bin/prometheus", "promtool": "/bin/promtool"}, folders={"/prometheus": 65534}
    ),
    "alertmanager": ServerImage(
        programs={"alertmanager": "/bin/alertmanager", "amtool": "/bin/amtool"},
        folders={"/alertmanager": 65534},
        # Debian's has its templates beside it, not within.
        needed=tuple(f"/usr/share/prometheus/alertmanager/{name}.tmpl" for name in ("default", "email")),
    ),
    "loki": ServerImage(programs={"loki": "/usr/bin/loki"}, folders={"/loki": 10001}),
    "tempo": ServerImage(programs={"tempo": "/tempo"}, folders={"/var/tempo": 10001}),
}


def server_image(engine: Engine, name: str, programs: Mapping[str, Path]) -> str:
    """Return the tag of a server's image, made of nothing but its programs and the libraries they are linked with.

    `programs`: the file of each program that `SERVER_IMAGES[name]` names.
    """
    wanted = SERVER_IMAGES[name]
    beside = [*_libraries(programs.values()), *(file for path in wanted.needed if (file := Path(path)).exists())]
    tag = f"egoscope-test/{name}:{_key([repr(wanted).encode(), *map(_digest, [*programs.values(), *beside])])}"

    def write(archive: tarfile.TarFile) -> None:
        for folder, owner in wanted.folders.items():
            entry = tarfile.TarInfo(folder.strip("/"))
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, owner, owner
            archive.addfile(entry)
        files = {path: programs[program] for program, path in wanted.programs.items()}
        for path, file in {**files, **{str(file): file for file in beside}}.items():
            entry = archive.gettarinfo(file.resolve(), path.strip("/"))
            entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o755, 0, 0, "", ""
            with file.open("rb") as content:
                archive.addfile(entry, content)

    entrypoint = json.dumps([next(iter(wanted.programs.values()))])
    return tag if _exists(engine, tag) else _import(engine, tag, write, f"ENTRYPOINT {entrypoint}")


def _libraries(programs: Iterable[Path]) -> list[Path]:
    """Return the files that dynamically linked programs need, the loader too; what we build ourselves needs none."""
    found: set[Path] = set()
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found |= {Path(word) for word in done.stdout.split() if word.startswith("/")}
    return sorted(found)


def python_base(engine: Engine) -> str:
    """Return the tag of a small Debian with Python; made by debootstrap from the machine's usual mirror, as root."""
    tag = f"egoscope-test/python:{PYTHON_VERSION}-{DEBIAN_SUITE}"
    if _exists(engine, tag):
        return tag
    if shutil.which("debootstrap") is None:
        message = "no `debootstrap` to make a base image with (Debian: apt-get install debootstrap)"
        raise ImageError(message)
    with tempfile.TemporaryDirectory(prefix="egoscope-") as directory:
        root = Path(directory) / "root"
        wanted = "--include=python3,python3-venv,ca-certificates"
        _run(["debootstrap", "--variant=minbase", wanted, DEBIAN_SUITE, str(root)])

        def write(archive: tarfile.TarFile) -> None:
            archive.add(root, ".", filter=lambda entry: None if entry.name.startswith(NOT_NEEDED) else entry)

        return _import(engine, tag, write, "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def build_base(engine: Engine, base: str, lock: Path, cache: Path) -> str:
    """Return the tag of `base` plus every wheel of a lock file, set up so that pip reaches no index."""
    wheels = _wheels(lock, cache)
    tag = f"egoscope-test/build:{_key([base.encode(), wheels.name.encode()])}"
    if not _exists(engine, tag):
        with tempfile.TemporaryDirectory(prefix="egoscope-") as directory:
            shutil.copytree(wheels, Path(directory) / "wheels")
            lines = (f"FROM {base}", "COPY wheels /wheels", "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels")
            (Path(directory) / "Dockerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
            engine.docker("build", "--quiet", "--tag", tag, directory)
    return tag


def _wheels(lock: Path, cache: Path) -> Path:
    """Return a directory with the wheels of a lock file, downloaded once a lock."""
    wheels = cache / f"wheels-{_key([lock.read_bytes()])}"
    if not wheels.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as directory:
            fresh = Path(directory) / "wheels"
            pip = [sys.executable, "-m", "pip", "download", "--quiet", f"--dest={fresh}"]
            pip += ["--only-binary=:all:", f"--python-version={PYTHON_VERSION}"]
            _run([*pip, "--require-hashes", f"--requirement={lock}"])
            fresh.rename(wheels)
    return wheels


def _import(engine: Engine, tag: str, write: Callable[[tarfile.TarFile], None], change: str) -> str:
    """Make an image of one layer out of what `write` puts into an archive."""
    with tempfile.TemporaryFile() as layer:
        with tarfile.open(fileobj=layer, mode="w") as archive:
            write(archive)
        layer.seek(0)
        command = ["docker", "import", "--change", change, "-", tag]
        environment = {**os.environ, **engine.environment}
        done = subprocess.run(command, env=environment, stdin=layer, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"docker import of {tag} failed: {done.stderr.strip()[-500:]}"
        raise ImageError(message)
    return tag


def _exists(engine: Engine, tag: str) -> bool:
    return bool(engine.docker("images", "--quiet", tag).strip())


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-1000:]}"
        raise ImageError(message)


def _digest(path: Path) -> bytes:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _key(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
