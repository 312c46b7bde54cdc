"""The servers in containers, by testcontainers: the official images, or those made here for an engine of our own.

A container sees this machine's loopback, the repository to read and one directory to write, each under its own path,
so ports, addresses, configuration files and data are those of a plain process. It runs as who runs the tests, on a
read-only root and without capabilities. It has ended when it is removed: data and log stand in the directory, and
nothing is left for a later clean-up to find but what a killed test run could not end, which the next one removes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from docker.errors import APIError, NotFound
from requests.exceptions import ChunkedEncodingError, ReadTimeout
from requests.exceptions import ConnectionError as NoAnswerError
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from urllib3.exceptions import ProtocolError

from tests.stack.processes import CHECK_S, STOP_S, MissingServerError, log_of
from tools import images
from tools import stack as programs
from tools.engine import Engine, EngineError

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LABEL: Final = "egoscope.tests"
"""On every container: whose it is, beginning with the process id of the test run."""


class _Container(Protocol):
    """What is used here of docker's own class, which has no types."""

    attrs: dict[str, Any]

    def reload(self) -> None: ...
    def kill(self, signal: str) -> None: ...
    def wait(self, *, timeout: float) -> dict[str, Any]: ...
    def logs(self, **options: bool) -> Iterable[bytes]: ...


def official_images() -> dict[str, str]:
    """Return the image of each server by its name: $EGOSCOPE_IMAGE_NAME, else what docker-compose.yml pins."""
    text = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    pinned = re.findall(r"image: \$\{(EGOSCOPE_IMAGE_(\w+)):-([^}]+)\}", text)
    return {name.lower(): os.environ.get(variable) or image for variable, name, image in pinned}


def machines_engine() -> Engine:
    """Return the Docker engine that answers on this machine; EngineError says why none will do. Starts nothing."""
    if shutil.which("docker") is None:
        raise EngineError("no `docker` command")
    found = Engine(started=False)
    check_here(found)
    return found


def check_here(engine: Engine) -> None:
    """Return where the containers of an engine see this machine's loopback and files; else EngineError says why not."""
    shown = "{{.Name}}\n{{.KernelVersion}}\n{{.SecurityOptions}}"
    name, kernel, security = engine.docker("info", f"--format={shown}", limit_s=120).splitlines()[:3]
    if (name, kernel) != (platform.node(), platform.release()):
        raise EngineError("the Docker engine is not on this machine: its containers cannot see our loopback and files")
    if "rootless" in security:
        raise EngineError("the Docker engine is rootless: its containers cannot see this machine's loopback")


class Containers:
    """A Way (processes.py): each server in a container of its own."""

    def __init__(self, engine: Engine) -> None:
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._engine = engine
        self._images: dict[str, str] = {}

    @classmethod
    @contextlib.contextmanager
    def on(cls, engine: Engine) -> Generator[Containers]:
        """Run servers by this engine; MissingServerError where it will not do.

        At the end no container of these is left, nor of an earlier test run that was killed.
        """
        try:
            check_here(engine)
        except EngineError as error:
            raise MissingServerError(str(error)) from error
        # Testcontainers' own reaper would be one more image to pull, and has nothing to do here.
        testcontainers_config.ryuk_disabled = True
        containers = cls(engine)
        containers._remove(lambda owner: not Path("/proc", owner.partition("-")[0]).exists())
        try:
            yield containers
        finally:
            containers._remove(lambda owner: owner == containers.owner)

    def program(self, name: str) -> Path:
        server = next((each for each, image in images.SERVER_IMAGES.items() if name in image.programs), None)
        if server is None:
            raise MissingServerError(f"{name} is missing: no image of the stack has it")
        path = images.SERVER_IMAGES[server].programs[name]
        if path not in self._images:
            self._images[path] = self._image(server)
        return Path(path)

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path
    ) -> Contained:
        return Contained(self._container(command, environment, directory), log_of(name, directory))

    def check(self, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path) -> tuple[int, str]:
        with self._container(command, environment, directory) as started:
            container = _inner(started)
            status = int(container.wait(timeout=CHECK_S)["StatusCode"])
            return status, b"".join(container.logs(stream=True)).decode(errors="replace")

    def _remove(self, whose: Callable[[str], bool]) -> None:
        """Remove the containers of such owners, in whatever state they are."""
        shown = f'{{{{.ID}}}} {{{{.Label "{LABEL}"}}}}'
        listed = self._engine.docker("ps", "--all", f"--filter=label={LABEL}", f"--format={shown}")
        if found := [each for each, owner in map(str.split, listed.splitlines()) if whose(owner)]:
            self._engine.docker("rm", "--force", "--volumes", *found)

    def _image(self, server: str) -> str:
        """Return the name of an image that is there; MissingServerError says why there is none."""
        named = f"EGOSCOPE_IMAGE_{server.upper()}"
        try:
            if self._engine.started and not os.environ.get(named):
                return images.server_image(self._engine, server, self._built(server))
            image = official_images()[server]
            if not self._engine.docker("images", "--quiet", image).strip():
                self._engine.docker("pull", "--quiet", image)
        except (EngineError, images.ImageError) as error:
            reason = str(error)
        else:
            return image
        raise MissingServerError(f"{server} is missing: {reason}")

    def _built(self, server: str) -> dict[str, Path]:
        """Return the programs an image is made of."""
        wanted = {name: programs.find(name) for name in images.SERVER_IMAGES[server].programs}
        if lacking := [name for name, path in wanted.items() if path is None]:
            raise MissingServerError(
                f"{', '.join(lacking)}: the engine started here sees no registry, and "
                f"{programs.why_missing(programs.SERVERS[server])}"
            )
        return {name: path for name, path in wanted.items() if path is not None}

    def _container(
        self, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path
    ) -> DockerContainer:
        made = DockerContainer(
            self._images[str(command[0])],
            # The machine's own engine is found by testcontainers as by `docker`: $DOCKER_HOST, context, socket.
            docker_client_kw={"environment": dict(self._engine.environment)} if self._engine.started else {},
            env=dict(environment),
        )
        made.with_command([str(word) for word in command[1:]])
        made.with_volume_mapping(REPOSITORY, str(REPOSITORY), "ro")
        made.with_volume_mapping(directory, str(directory), "rw")
        made.with_tmpfs_mount("/tmp", "size=64m,mode=1777")
        return made.with_kwargs(
            entrypoint=[str(command[0])],
            network="host",
            user=f"{os.getuid()}:{os.getgid()}",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            labels={LABEL: self.owner},
        )


class Contained:
    """One life of a server: one container, from its start to its removal."""

    def __init__(self, made: DockerContainer, log: Path) -> None:
        self._made = made
        try:
            made.start()
        except BaseException:
            made.stop()
            raise
        self._container = _inner(made)
        self._copy = threading.Thread(
            target=self._copy_log, args=(log,), name=f"{log.name} of a container", daemon=True
        )
        self._copy.start()

    @property
    def pid(self) -> int:
        self._container.reload()
        return int(self._container.attrs["State"]["Pid"])

    def has_exited(self) -> bool:
        try:
            self._container.reload()
        except NotFound:
            return True
        return self._container.attrs["State"]["Status"] in {"exited", "dead"}

    def end(self, signal_number: signal.Signals) -> None:
        try:
            with contextlib.suppress(APIError, ReadTimeout, NoAnswerError):  # it has ended already, or will not in time
                self._container.kill(signal=signal_number.name)
                self._container.wait(timeout=STOP_S)
            with contextlib.suppress(APIError):
                self._container.kill(signal="SIGKILL")
            self._copy.join(STOP_S)  # the end of what it said
        finally:
            with contextlib.suppress(NotFound):
                self._made.stop()

    def _copy_log(self, log: Path) -> None:
        """Write what it says into its file as it says it, to the end or until it is removed meanwhile."""
        with (
            log.open("ab", buffering=0) as file,
            contextlib.suppress(APIError, NoAnswerError, ReadTimeout, ChunkedEncodingError, ProtocolError),
        ):
            for said in self._container.logs(stream=True, follow=True):
                file.write(said)


def _inner(made: DockerContainer) -> _Container:
    return cast("_Container", made.get_wrapped_container())
