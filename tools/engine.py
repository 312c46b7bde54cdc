"""Find a Docker engine with compose, or start one of its own for as long as it is needed.

    python3 tools/engine.py docker compose version      run a command with DOCKER_HOST and DOCKER_CONFIG set

Where no engine answers, `dockerd` (Debian: `docker.io`) is started as root on a socket in a temporary directory,
without touching the machine's firewall or routes, and stopped at the end. Images are kept from run to run in
$EGOSCOPE_ENGINE_DIR (default: `egoscope/engine` in the user's cache); containers, networks and volumes are not.
Where compose is missing, it is built from its Go module once. Only the standard library is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

COMPOSE_MODULE: Final = "github.com/docker/compose/v5"
COMPOSE_VERSION: Final = "v5.5.1"
START_WITHIN_S: Final = 180.0
STOP_WITHIN_S: Final = 60.0


class EngineError(Exception):
    """There is no engine, or it refused; the text says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A Docker engine that answers.

    `environment`: what a `docker` command needs besides the caller's own environment.
    `started`: it is ours and sees no registry; else it is the machine's, and other people's containers run there.
    """

    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    started: bool

    def docker(self, *arguments: str, extra: Mapping[str, str] | None = None, limit_s: float = 1500) -> str:
        """Return the standard output of one `docker` command; EngineError with its last words when it fails."""
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment, **(extra or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()[-2000:]
            message = f"docker {' '.join(arguments[:6])}: exit status {done.returncode}: {words}"
            raise EngineError(message)
        return done.stdout


def cache_directory() -> Path:
    """Return where images, wheels and the compose plugin are kept between runs."""
    if chosen := os.environ.get("EGOSCOPE_ENGINE_DIR"):
        return Path(chosen).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "egoscope" / "engine"


@contextlib.contextmanager
def engine() -> Generator[Engine]:
    """Yield the machine's engine, or one started here that ends with the context; EngineError when there is none."""
    if shutil.which("docker") is None:
        message = "no `docker` command (Debian: apt-get install docker.io)"
        raise EngineError(message)
    if _answers({}):
        yield Engine(environment=_compose_environment({}), started=False)
        return
    with _started_engine() as environment:
        found = Engine(environment=_compose_environment(environment), started=True)
        _sweep(found)
        yield found
        _sweep(found)


def _answers(environment: Mapping[str, str]) -> bool:
    """Say whether an engine, and not only the command, is there."""
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    return asked.returncode == 0


@contextlib.contextmanager
def _started_engine() -> Generator[Mapping[str, str]]:
    """Run dockerd until the context ends; yield the variable that leads to it."""
    if shutil.which("dockerd") is None:
        message = "no engine answers and there is no `dockerd` to start (Debian: apt-get install docker.io)"
        raise EngineError(message)
    if os.geteuid() != 0:
        message = "no engine answers, and only root can start one"
        raise EngineError(message)
    images = cache_directory() / "images"
    images.mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="egoscope-") as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run waits for the first: one engine a directory of images
        socket = f"unix://{scratch}/docker.sock"
        command = [
            # Ends with the run that started it, even when that one is killed.
            *(["setpriv", "--pdeathsig=TERM"] if shutil.which("setpriv") else []),
            # Mounts of its own, shared as systemd has them: else no container could be given the machine's root.
            *(["unshare", "--mount", "--propagation=shared"] if shutil.which("unshare") else []),
            "dockerd",
            f"--host={socket}",
            f"--data-root={images}",
            f"--exec-root={scratch}/exec",
            f"--pidfile={scratch}/pid",
            # Networks inside the machine only: no firewall rule, no forwarding, no default bridge.
            "--iptables=false",
            "--ip-forward=false",
            "--bridge=none",
        ]
        log = Path(scratch) / "log"
        with log.open("wb") as output:
            # A session of its own, so that Ctrl-C reaches the tests first and the engine is stopped in order.
            daemon = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            environment = {"DOCKER_HOST": socket, "DOCKER_BUILDKIT": "0"}
            _wait_until_answering(daemon, environment, log)
            yield environment
        finally:
            _stop(daemon)
            _unmount(Path(scratch))


def _wait_until_answering(daemon: subprocess.Popen[bytes], environment: Mapping[str, str], log: Path) -> None:
    """Return once dockerd answers; EngineError with its last line when it ends or takes too long."""
    deadline = time.monotonic() + START_WITHIN_S
    while not _answers(environment):
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(timeout=0.2)
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
            message = f"dockerd cannot run on this machine; it said: {last}"
            raise EngineError(message)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    """End dockerd, which ends its containerd and containers."""
    daemon.terminate()
    try:
        daemon.wait(timeout=STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _unmount(scratch: Path) -> None:
    """Unmount what dockerd leaves mounted: after a container on the machine's own network, that network's namespace."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    for point in reversed(mounts):
        if Path(point).is_relative_to(scratch):
            subprocess.run(["umount", point], check=False)


def _sweep(own: Engine) -> None:
    """Remove what an interrupted run left, before it starts again by its restart policy. Ours alone: images stay."""
    if left := own.docker("ps", "--all", "--quiet").split():
        own.docker("rm", "--force", "--volumes", *left)
    own.docker("network", "prune", "--force")
    own.docker("volume", "prune", "--force")
    own.docker("image", "prune", "--force", "--filter", "until=168h")  # layers of a build that nothing is made of


def _compose_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with which `docker compose` works, building the plugin where it is missing."""
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False)
    if asked.returncode == 0:
        return environment
    return {**environment, "DOCKER_CONFIG": str(_compose_plugin().parent.parent)}


def _compose_plugin() -> Path:
    """Return the compose plugin, built when this version is not in the cache."""
    plugin = cache_directory() / f"compose-{COMPOSE_VERSION}" / "cli-plugins" / "docker-compose"
    if plugin.exists():
        return plugin
    if shutil.which("go") is None:
        message = "no `docker compose`, and no Go to build it with (Docker's own packages: docker-compose-plugin)"
        raise EngineError(message)
    plugin.parent.mkdir(parents=True, exist_ok=True)
    fresh = plugin.with_suffix(f".{os.getpid()}")
    module = f"{COMPOSE_MODULE}@{COMPOSE_VERSION}"
    source = json.loads(_go(["mod", "download", "-json", module], plugin.parent))["Dir"]
    flags = f"-s -w -X {COMPOSE_MODULE}/internal.Version={COMPOSE_VERSION}"
    _go(["build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(fresh), "./cmd"], Path(source))
    fresh.rename(plugin)  # at once and whole, also when two runs build it
    return plugin


def _go(arguments: Sequence[str], directory: Path) -> str:
    done = subprocess.run(
        ["go", *arguments],
        cwd=directory,
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"go {arguments[0]} of {COMPOSE_MODULE} failed: {done.stderr.strip()[-2000:]}"
        raise EngineError(message)
    return done.stdout


def main(command: Sequence[str]) -> int:
    """Run a command with an engine; without one, only say whether there is one."""
    try:
        with engine() as found:
            if not command:
                print("an engine was started for the purpose" if found.started else "the machine's engine answers")
                return 0
            return subprocess.run(command, env={**os.environ, **found.environment}, check=False).returncode
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
