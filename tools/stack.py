"""Build or find the servers that the stack tests and the benchmark run as plain processes.

    python3 tools/stack.py [--list] [collector prometheus rule-tester loki alertmanager]

Built servers are kept outside the repository, in $EGOSCOPE_STACK_DIR (default: `egoscope/stack` in the user's cache),
one directory a name and version, so that each is built once a machine. A directory named in $EGOSCOPE_STACK_BIN is
looked into first; Tempo and Grafana are only ever found, there, in $EGOSCOPE_GRAFANA_HOME or on PATH.
Only the standard library is needed. Exit code 1: a server that was asked for is missing, and the reason is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

REPOSITORY: Final = Path(__file__).resolve().parent.parent
MANIFEST: Final = REPOSITORY / "collector-config" / "builder.yaml"
HEARTBEAT_S: Final = 30
TAIL_LINES: Final = 20


class StackError(Exception):
    """A server cannot be had; the text says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """A line put behind the only one that reads `behind` in a file of a module."""

    file: str
    behind: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoModule:
    """A server built from a Go module in the module's own directory, with the module's own `replace` lines.

    `drop_replace`: replaced modules whose target directory is not part of the published module. `insertion`: a line
    that its sources lack, for this build alone.
    """

    module: str
    version: str
    packages: tuple[str, ...]
    version_variable: str
    drop_replace: tuple[str, ...] = ()
    insertion: Insertion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A Collector that `ocb`, the OpenTelemetry Collector builder, makes from a manifest."""

    path: Path
    builder: str = "go.opentelemetry.io/collector/cmd/builder"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPackage:
    """A server that Debian ships."""

    package: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server: `binaries` are the names it may have on disk, the main one first.

    `origin` None: in no registry, so it is only found. `tools`: further programs that come with it.
    """

    name: str
    version: str
    binaries: tuple[str, ...]
    tools: tuple[str, ...] = ()
    origin: GoModule | Manifest | DebianPackage | None = None

    @property
    def home(self) -> Path:
        """Where this very version is kept once built; another manifest is another Collector."""
        key = f"{self.name}-{self.version}"
        if isinstance(self.origin, Manifest):
            key += "-" + hashlib.sha256(self.origin.path.read_bytes()).hexdigest()[:8]
        return stack_directory() / key


SERVERS: Final[Mapping[str, Server]] = {
    server.name: server
    for server in (
        Server(name="collector", version="0.145.0", binaries=("otelcol",), origin=Manifest(path=MANIFEST)),
        Server(
            name="prometheus",
            version="3.15.0",
            binaries=("prometheus",),
            tools=("promtool",),
            origin=GoModule(
                module="github.com/prometheus/prometheus",
                version="v0.315.0",
                packages=("./cmd/prometheus", "./cmd/promtool"),
                version_variable="github.com/prometheus/common/version.Version",
            ),
        ),
        # For `promtool test rules` alone, whose engine is not told of the feature flag (docs/decisions/0015).
        Server(
            name="rule-tester",
            version="3.15.0",
            binaries=("promtool",),
            origin=GoModule(
                module="github.com/prometheus/prometheus",
                version="v0.315.0",
                packages=("./cmd/promtool",),
                version_variable="github.com/prometheus/common/version.Version",
                insertion=Insertion(
                    file="promql/promqltest/test.go",
                    behind="EnableDelayedNameRemoval: ll.opts.EnableDelayedNameRemoval,",
                    line="Parser: parser.NewParser(TestParserOpts),",
                ),
            ),
        ),
        Server(
            name="loki",
            version="3.7.8",
            binaries=("loki",),
            origin=GoModule(
                module="github.com/grafana/loki/v3",
                version="v3.7.8",
                packages=("./cmd/loki",),
                version_variable="github.com/grafana/loki/v3/pkg/util/build.Version",
                drop_replace=("github.com/grafana/loki/pkg/push",),
            ),
        ),
        Server(
            name="alertmanager",
            version="0.25",
            binaries=("prometheus-alertmanager", "alertmanager"),
            tools=("amtool",),
            origin=DebianPackage(package="prometheus-alertmanager"),
        ),
        Server(name="tempo", version="3.0.3", binaries=("tempo",)),
        Server(name="grafana", version="13.2", binaries=("grafana", "grafana-server")),
    )
}


def stack_directory() -> Path:
    """Return where built servers are kept."""
    if chosen := os.environ.get("EGOSCOPE_STACK_DIR"):
        return Path(chosen).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "egoscope" / "stack"


def find(name: str) -> Path | None:
    """Return the program of a server or of a tool that comes with one (`promtool`, `amtool`); None when missing."""
    for server in SERVERS.values():
        if name == server.name:
            return _find(server, server.binaries)
        if name in server.tools:
            return _find(server, (name,))
    message = f"no server or tool is called {name}"
    raise ValueError(message)


def _find(server: Server, binaries: Sequence[str]) -> Path | None:
    candidates: list[Path] = []
    if given := os.environ.get("EGOSCOPE_STACK_BIN"):
        candidates += [Path(given).expanduser() / binary for binary in binaries]
    if server.name == "grafana" and (home := os.environ.get("EGOSCOPE_GRAFANA_HOME")):
        candidates += [Path(home).expanduser() / "bin" / binary for binary in binaries]
    if isinstance(server.origin, GoModule | Manifest):
        # Not PATH: whatever version is there, it is not the one the tests speak about.
        candidates += [server.home / "bin" / binary for binary in binaries]
    else:
        candidates += [Path(found) for binary in binaries if (found := shutil.which(binary))]
    return next((path for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)


def why_missing(server: Server) -> str:
    """Say in words why a server is not there and what would bring it."""
    match server.origin:
        case GoModule() | Manifest():
            built = f"not built yet: python3 tools/stack.py {server.name}"
            return built if shutil.which("go") else f"{built} (needs Go, which is not on PATH)"
        case DebianPackage(package=package):
            return f"not on PATH: install Debian's {package}"
        case None:
            where = "$EGOSCOPE_GRAFANA_HOME/bin" if server.name == "grafana" else "$EGOSCOPE_STACK_BIN"
            return f"in no registry, so it is only found: on PATH or in {where}"


class Steps:
    """Runs commands one after another and shows how far they are; their output goes to a log file."""

    def __init__(self, server: str, total: int, log: Path) -> None:
        self._server, self._total, self._log = server, total, log
        self._done = 0
        self._started = time.monotonic()

    def run(self, title: str, command: Sequence[str | Path], *, cwd: Path, **environment: str) -> str:
        """Run one step and return its standard output; raise StackError with the log's end if it fails."""
        self._done += 1
        self._say(title)
        with self._log.open("a") as log, tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", **environment},
                stdin=subprocess.DEVNULL, stdout=output, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                while True:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(HEARTBEAT_S)
                        break
                    self._say(title)
            except BaseException:  # an interrupt must not leave a compiler running
                os.killpg(process.pid, 15)
                process.wait()
                raise
            output.seek(0)
            text = output.read()
        if process.returncode != 0:
            end = "\n".join((self._log.read_text() + text).splitlines()[-TAIL_LINES:])
            message = f"{self._server}: {title} failed (exit code {process.returncode}). The end of its log:\n{end}"
            raise StackError(message)
        return text

    def _say(self, title: str) -> None:
        elapsed = time.monotonic() - self._started
        print(f"{self._server}: step {self._done} of {self._total}, {title} ({elapsed:.0f} s)", flush=True)


def _build_module(server: Server, origin: GoModule, into: Path) -> None:
    steps = Steps(server.name, 3, into / "build.log")
    answer = steps.run("download", ["go", "mod", "download", "-json", f"{origin.module}@{origin.version}"], cwd=into)
    source = Path(json.loads(answer)["Dir"])
    # Built where the module cache holds it, with a go.mod beside the result: the cache stays untouched, and go.sum
    # pins the very versions its authors released with.
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(source / name, into / name)
    edits = [f"-dropreplace={module}" for module in origin.drop_replace]
    steps.run("prepare", ["go", "mod", "edit", *edits, "-go=" + _go_line(into / "go.mod"), into / "go.mod"], cwd=into)
    flags = f"-s -w -X {origin.version_variable}={server.version}"
    build = ["go", "build", "-trimpath", f"-ldflags={flags}", f"-modfile={into / 'go.mod'}", "-mod=mod"]
    where = _copy_with(origin.insertion, source, into / "sources") if origin.insertion else source
    steps.run("compile", [*build, "-o", f"{into / 'bin'}/", *origin.packages], cwd=where)
    shutil.rmtree(into / "sources", ignore_errors=True)


def _copy_with(insertion: Insertion, source: Path, copy: Path) -> Path:
    """Return a copy of a module's sources with one line more; Go's module cache allows no overlay."""
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # the cache's are read-only
    file = copy / insertion.file
    lines = file.read_text().splitlines()
    places = [number for number, line in enumerate(lines, 1) if line.strip() == insertion.behind]
    if len(places) != 1:
        raise StackError(
            f"{insertion.file} has {len(places)} lines that read {insertion.behind!r}: is it needed still?"
        )
    lines.insert(places[0], insertion.line)
    file.write_text("\n".join(lines) + "\n")
    return copy


def _go_line(mod: Path) -> str:
    return next(line.split()[1] for line in mod.read_text().splitlines() if line.startswith("go "))


def _build_collector(server: Server, origin: Manifest, into: Path) -> None:
    steps = Steps(server.name, 2, into / "build.log")
    builder = f"{origin.builder}@v{server.version}"
    steps.run("get the Collector builder", ["go", "install", builder], cwd=into, GOBIN=str(into / "ocb"))
    sources = into / "sources"
    manifest = into / "builder.yaml"
    manifest.write_text(origin.path.read_text().replace("dist:\n", f"dist:\n  output_path: {sources}\n", 1))
    steps.run("generate and compile", [into / "ocb" / "builder", "--config", manifest], cwd=into)
    program = next(path for path in sources.iterdir() if path.is_file() and os.access(path, os.X_OK))
    (into / "bin").mkdir()
    program.rename(into / "bin" / server.binaries[0])
    shutil.rmtree(sources)
    shutil.rmtree(into / "ocb")


def _install_package(server: Server, origin: DebianPackage) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StackError(f"{server.name}: {why_missing(server)}")
    with tempfile.TemporaryDirectory() as directory:
        steps = Steps(server.name, 1, Path(directory) / "log")
        install = ["apt-get", "install", "-y", "--no-install-recommends", origin.package]
        # RUNLEVEL keeps Debian from starting the service it installs.
        steps.run(
            f"install {origin.package}", install, cwd=Path(directory), DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1"
        )


def ensure(server: Server) -> Path:
    """Return the server's program, building or installing it first where that is possible; else raise StackError."""
    if found := find(server.name):
        return found
    match server.origin:
        case DebianPackage() as origin:
            _install_package(server, origin)
        case (GoModule() | Manifest()) as origin:
            if shutil.which("go") is None:
                message = f"{server.name}: Go is needed to build it and is not on PATH"
                raise StackError(message)
            _build(server, origin)
        case None:
            raise StackError(f"{server.name}: {why_missing(server)}")
    if found := find(server.name):
        return found
    raise StackError(f"{server.name}: {why_missing(server)}")


def _build(server: Server, origin: GoModule | Manifest) -> None:
    stack_directory().mkdir(parents=True, exist_ok=True)
    with _only_one_run():
        if find(server.name):  # the run we waited for has built it
            return
        # A half-built server never stands under its final name.
        with tempfile.TemporaryDirectory(prefix=".building-", dir=stack_directory()) as directory:
            into = Path(directory) / server.home.name
            into.mkdir()
            match origin:
                case GoModule():
                    _build_module(server, origin, into)
                case Manifest():
                    _build_collector(server, origin, into)
            into.rename(server.home)


@contextlib.contextmanager
def _only_one_run() -> Generator[None]:
    """Hold the stack directory's lock; the kernel lets go of it whatever becomes of this process."""
    with (stack_directory() / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run is building; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in stack_directory().glob(".building-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        yield


def table() -> str:
    """Return name, version and path of every server, or the reason why it is missing."""
    rows = [(s.name, s.version, str(find(s.name) or why_missing(s))) for s in SERVERS.values()]
    return "\n".join(f"{name:<14}{version:<10}{where}" for name, version, where in rows)


def main(arguments: Sequence[str]) -> int:
    """Build or find the servers asked for; return the exit code."""
    buildable = [server.name for server in SERVERS.values() if server.origin is not None]
    parser = argparse.ArgumentParser(prog="stack", description="Build or find the servers that the tests run.")
    parser.add_argument("--list", action="store_true", help="show what is there and why the rest is not")
    parser.add_argument("servers", nargs="*", metavar="server", help=f"of {' '.join(SERVERS)}; default: {buildable}")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.servers if name not in SERVERS]:
        parser.error(f"no server is called {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    missing = False
    if not options.list:
        for name in options.servers or buildable:
            try:
                ensure(SERVERS[name])
            except StackError as error:
                missing = True
                print(error, file=sys.stderr, flush=True)
    print(table())
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
