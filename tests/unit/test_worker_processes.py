"""Worker processes of other programs, with real children: by name or pid file, well or not; nothing of them is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from converted import scalars
from kept import Scripted
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from egoscope.cli import doctor as command
from egoscope.config import WORKER_GROUPS, load_settings
from egoscope.convert import catalogue as c
from egoscope.doctor.finding import Mark
from egoscope.doctor.processes import check_processes
from egoscope.errors import ConfigError
from egoscope.otlp.client import Signal
from egoscope.sources.process_table import of_psutil, process, processes
from egoscope.sources.worker_processes import Health, PidFile, Use, WorkerProcesses
from egoscope.wiring import Sidecar
from tests.pages import DOCS, blocks
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from egoscope.doctor.finding import Finding

PROC = Path("/proc")
CANARY = "canary-77ab21c0"
"""Stands in every child's command line, as a secret would."""
LONG = "import time; time.sleep(600)"

pytestmark = pytest.mark.skipif(not PROC.joinpath("self", "stat").exists(), reason="no /proc here")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a child whose command line holds what is given; at the end all are ended and waited for."""
    children: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        children.append(subprocess.Popen([sys.executable, "-c", LONG, f"--password={CANARY}", *arguments]))
        # For a moment after it began the kernel tells of no command line.
        written = PROC / str(children[-1].pid) / "cmdline"
        wait_for(lambda: CANARY in written.read_text(), what="the child's command line is there")
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A word that no other process of this machine has in its command line."""
    return f"worker-of-{os.getpid()}-{time.monotonic_ns()}"


def counts(of: WorkerProcesses, group: str = "build") -> tuple[int, int]:
    """Return how many are alive and how many are not."""
    found = of.look().counts[group]
    assert found.keys() == set(Health)
    return found[Health.ALIVE], found[Health.UNHEALTHY]


def state_of(child: subprocess.Popen[bytes]) -> str:
    """Return the kernel's letter for it."""
    return (PROC / str(child.pid) / "stat").read_text().rpartition(")")[2].split()[0]


def test_what_matches_is_counted_alive(start: Callable[..., Any], name: str) -> None:
    """In the name or in the whole command line; a process that two patterns of a group match is one."""
    workers = WorkerProcesses([("build", name), ("build", f"{name[:-1]}.$"), ("other", "^no such process$")], [])
    assert counts(workers) == (0, 0)
    for _ in range(3):
        start(name)
    look = workers.look()
    assert counts(workers) == (3, 0)
    assert look.matches == [3, 3, 0]
    assert look.counts["other"] == {Health.ALIVE: 0, Health.UNHEALTHY: 0}


def test_one_that_was_stopped_is_unhealthy_until_it_goes_on(start: Callable[..., Any], name: str) -> None:
    workers = WorkerProcesses([("build", name)], [])
    start(name)
    child = start(name)
    child.send_signal(signal.SIGSTOP)
    wait_for(lambda: counts(workers) == (1, 1), what="it counts as unhealthy")
    child.send_signal(signal.SIGCONT)
    wait_for(lambda: counts(workers) == (2, 0), what="it counts as alive")


def test_one_that_ended_and_was_not_waited_for_is_unhealthy(start: Callable[..., Any], name: str) -> None:
    """It has no command line any more: it is what it was at the last look."""
    workers = WorkerProcesses([("build", name)], [])
    child = start(name)
    assert counts(workers) == (1, 0)
    child.kill()
    wait_for(lambda: state_of(child) == "Z", what="it has ended")
    assert counts(workers) == (0, 1)
    assert counts(workers) == (0, 1)
    child.wait()
    assert counts(workers) == (0, 0)


def test_egoscope_itself_is_nobodys_worker() -> None:
    """Its own command line, or its parent's, can hold any pattern."""
    assert os.getpid() not in {one.pid for one in processes(PROC)}
    assert process(PROC, os.getpid()) is not None


def test_a_pid_file_names_a_process(start: Callable[..., Any], name: str, tmp_path: Path) -> None:
    """Of many files by a glob; with a pattern beside it a process still counts once."""
    for number in range(2):
        (tmp_path / f"{number}.pid").write_text(f"{start(name).pid}\nmore\n")
    workers = WorkerProcesses([], [("build", str(tmp_path / "*.pid"))])
    assert counts(workers) == (2, 0)
    both = WorkerProcesses([("build", name)], [("build", str(tmp_path / "*.pid"))])
    assert counts(both) == (2, 0)


def test_a_pid_file_whose_process_is_gone_or_stopped_is_unhealthy(start: Callable[..., Any], tmp_path: Path) -> None:
    gone, stopped = start(), start()
    (tmp_path / "a.pid").write_text(f"{gone.pid}")
    (tmp_path / "b.pid").write_text(f"{stopped.pid}")
    gone.kill()
    gone.wait()
    stopped.send_signal(signal.SIGSTOP)
    workers = WorkerProcesses([], [("build", str(tmp_path / "*.pid"))])
    wait_for(lambda: state_of(stopped) == "T", what="it is stopped")
    assert counts(workers) == (0, 2)
    assert [became for _, became in workers.look().pid_files] == [PidFile.GONE, PidFile.UNWELL]


def test_a_pid_file_is_not_believed_when_another_process_has_its_number(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """A process that started after the file was written did not write it."""
    file = tmp_path / "worker.pid"
    file.write_text(f"{start().pid}")
    workers = WorkerProcesses([], [("build", str(file))])
    assert counts(workers) == (1, 0)
    before = time.time() - 60
    os.utime(file, (before, before))
    assert counts(workers) == (0, 1)
    assert workers.look().pid_files == [(str(file), PidFile.REUSED)]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"0\n", b"-7\n", b"12a\n", b"99999999999\n", b"4294967297\n", b"\xff" * 100, b"1" * 5000],
    ids=repr,
)
def test_a_file_that_holds_no_process_is_unhealthy_whatever_it_holds(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "worker.pid").write_bytes(content)
    assert counts(WorkerProcesses([], [("build", str(tmp_path / "worker.pid"))])) == (0, 1)


def test_a_pipe_or_a_directory_in_its_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pid")
    (tmp_path / "b.pid").mkdir()
    (tmp_path / "c.pid").symlink_to("nowhere")
    workers = WorkerProcesses([], [("build", str(tmp_path / "*.pid"))])
    assert workers.look().pid_files == [(f"{tmp_path}/{name}.pid", PidFile.NO_NUMBER) for name in "ab"]


def test_a_pid_file_that_is_not_there_is_nobody(tmp_path: Path) -> None:
    """Programs remove theirs when they end in good order."""
    assert counts(WorkerProcesses([], [("build", str(tmp_path / "worker.pid"))])) == (0, 0)


def test_names_of_processes_can_be_anything(tmp_path: Path) -> None:
    """And /proc can be a mount elsewhere, as in a container. The kernel's own processes are nobody's workers."""
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1000\nprocesses 7\n")
    for pid, name, state, argv in [
        (7, "worker) S 1 (", "S", b"/usr/bin/worker\0--secret\0"),
        (8, "kworker/0:1", "I", b""),
        (9, "worker", "Z", b""),
        (10, "\N{SNOWMAN}", "R", b"\xff\xfe worker\0"),
    ]:
        (tmp_path / str(pid)).mkdir()
        fields = " ".join(["1", *map(str, range(17)), "250", "0", "3"])
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) {state} {fields}\n")
        (tmp_path / str(pid) / "cmdline").write_bytes(argv)
    (tmp_path / "11").mkdir()  # gone between the two reads
    assert counts(WorkerProcesses([("build", "worker")], [], proc=tmp_path)) == (2, 1)
    found = process(tmp_path, 7)
    assert found is not None
    assert (found.name, found.command) == ("worker) S 1 (", "/usr/bin/worker --secret")
    assert found.started_s == 1000 + 250 / os.sysconf("SC_CLK_TCK")
    assert found.cpu_s == (9 + 10) / os.sysconf("SC_CLK_TCK")
    assert found.memory_bytes == 3 * os.sysconf("SC_PAGE_SIZE")


class Kernel:
    """Files like the kernel's, of processes that the test makes up; the machine was started 1000 s ago."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "stat").write_text(f"btime {int(time.time()) - 1000}\n")

    def tell(self, pid: int, *, started: int, cpu_s: int, pages: int = 0) -> None:
        """Have a worker there. `started`: seconds after the machine."""
        ticks = os.sysconf("SC_CLK_TCK")
        fields = [*["0"] * 10, cpu_s * ticks - 1, 1, *["0"] * 6, started * ticks, "0", pages]
        (self.directory / str(pid)).mkdir(exist_ok=True)
        (self.directory / str(pid) / "stat").write_text(f"{pid} (worker) S {' '.join(map(str, fields))}\n")
        (self.directory / str(pid) / "cmdline").write_bytes(b"worker\0")

    def forget(self, pid: int) -> None:
        """Have it ended."""
        shutil.rmtree(self.directory / str(pid))


def test_cpu_time_is_what_a_group_used_since_the_first_look(tmp_path: Path) -> None:
    """Never less than before, whoever ends; and nothing that was used before anybody looked."""
    kernel = Kernel(tmp_path)
    workers = WorkerProcesses([("build", "worker"), ("other", "^nobody$")], [], proc=tmp_path)

    def used() -> float:
        return workers.look().uses["build"].cpu_s

    kernel.tell(7, started=10, cpu_s=100)
    assert used() == 0
    kernel.tell(7, started=10, cpu_s=103)
    kernel.tell(8, started=1001, cpu_s=2)  # began since, so all that it used counts
    assert used() == pytest.approx(5)
    kernel.forget(7)
    assert used() == pytest.approx(5)
    kernel.tell(9, started=10, cpu_s=50)  # for long there, but not seen until now
    assert used() == pytest.approx(5)
    kernel.tell(8, started=1002, cpu_s=1)  # another process under the same number
    assert used() == pytest.approx(6)
    kernel.tell(9, started=10, cpu_s=54)
    assert used() == pytest.approx(10)
    assert workers.look().uses["other"] == Use(0, 0)


def test_memory_is_what_those_that_are_there_have_now(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    workers = WorkerProcesses([("build", "worker")], [("build", str(tmp_path / "a.pid"))], proc=tmp_path)
    kernel.tell(7, started=10, cpu_s=1, pages=100)
    kernel.tell(8, started=10, cpu_s=1, pages=30)
    (tmp_path / "a.pid").write_text("7")  # counts once
    assert workers.look().uses["build"].memory_bytes == 130 * os.sysconf("SC_PAGE_SIZE")
    kernel.forget(7)
    assert workers.look().uses["build"].memory_bytes == 30 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("told", [None, "cpu 1 2 3\n", "btime soon\n"])
def test_where_the_kernel_does_not_tell_of_its_start_nobody_is_counted_as_gone(
    told: str | None, tmp_path: Path
) -> None:
    """An error, and no zero: a zero would call all workers missing."""
    shutil.copytree(PROC / "self", tmp_path / "7", ignore=lambda _, names: {*names} - {"stat", "cmdline"})
    if told is not None:
        (tmp_path / "stat").write_text(told)
    (tmp_path / "a.pid").write_text("7")
    for workers in (
        WorkerProcesses([("build", "python")], [], proc=tmp_path),
        WorkerProcesses([], [("build", str(tmp_path / "a.pid"))], proc=tmp_path),
    ):
        with pytest.raises(OSError, match=r"stat|when it was started"):
            workers.look()
    (found,) = check_processes([("build", "python")], [], tmp_path, 3)
    assert "cannot be looked into" in found.sentence


def test_psutil_tells_the_same_where_it_is_asked_instead(start: Callable[..., Any], name: str) -> None:
    """On machines without /proc."""
    child = start(name)

    def alike() -> bool:
        """As soon as it has begun and sleeps; both look at a process that goes on between the two."""
        ours, theirs = process(PROC, child.pid), of_psutil(child.pid)
        assert ours is not None
        assert theirs is not None
        return (
            (ours.command, ours.name, ours.healthy) == (theirs.command, theirs.name, theirs.healthy)
            and abs(ours.started_s - theirs.started_s) < 1.5
            and theirs.cpu_s == pytest.approx(ours.cpu_s, abs=0.011)
            and theirs.memory_bytes == pytest.approx(ours.memory_bytes, rel=0.1)
            and ours.memory_bytes > 0
        )

    wait_for(alike, what="both tell the same")
    child.kill()
    child.wait()
    assert of_psutil(child.pid) is None


@pytest.mark.parametrize("option", ["EGOSCOPE_WORKER_PROCESSES", "EGOSCOPE_WORKER_PID_FILES"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param("a=b;canary", "entry 2 is not of the form group=what", id="no group"),
        pytest.param("canary=", "entry 1 is not of the form group=what", id="nothing to look for"),
        pytest.param("my canary=x", "entry 1: a group is named by", id="a group that is no plain name"),
        pytest.param(f"{'c' * 65}=x", "entry 1: a group is named by", id="a group of a very long name"),
        pytest.param(";".join(f"g{n}=x" for n in range(33)), "more than 32 groups", id="too many groups"),
    ],
)
def test_a_bad_list_is_named_but_not_repeated(
    option: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(option, value)
    with pytest.raises(ConfigError, match=option) as raised:
        load_settings()
    assert said in str(raised.value)
    assert "canary" not in str(raised.value)


def test_a_bad_pattern_is_named_by_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGOSCOPE_WORKER_PROCESSES", "fine=x;build=canary(")
    with pytest.raises(ConfigError, match=r"EGOSCOPE_WORKER_PROCESSES: .*pattern of build is no regular") as raised:
        load_settings()
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("canary{" + "9" * 30 + "}", id="a repetition beyond all bounds"),
        pytest.param("(" * 20_000 + "canary" + ")" * 20_000, id="nested too deep"),
    ],
)
def test_a_pattern_that_no_machine_can_compile_is_a_bad_one(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"EGOSCOPE_WORKER_PROCESSES: .*pattern of build is no regular") as raised:
        load_settings(worker_processes=f"build={pattern}")
    assert "canary" not in str(raised.value)


def test_a_home_directory_is_expanded_once_and_one_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load_settings(worker_pid_files="a=~/x.pid").worker_pid_files == (("a", "/home/somebody/x.pid"),)
    for option in ("worker_pid_files", "policy_dir"):
        value = "~nobody-canary/x.pid"
        with pytest.raises(ConfigError, match=f"EGOSCOPE_{option.upper()}: .*home directory of a user") as raised:
            load_settings(**{option: f"a={value}" if option == "worker_pid_files" else value})
        assert "canary" not in str(raised.value)


def test_groups_of_both_settings_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGOSCOPE_WORKER_PROCESSES", ";".join(f"g{n}=x" for n in range(WORKER_GROUPS)))
    monkeypatch.setenv("EGOSCOPE_WORKER_PID_FILES", "g1=/run/a.pid;")
    assert load_settings().worker_pid_files == (("g1", "/run/a.pid"),)
    monkeypatch.setenv("EGOSCOPE_WORKER_PID_FILES", "one-more=/run/a.pid")
    with pytest.raises(ConfigError, match=r"EGOSCOPE_WORKER_PID_FILES: .*more than 32 groups"):
        load_settings()


def test_a_pattern_may_hold_an_equals_sign_and_a_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGOSCOPE_WORKER_PROCESSES", " build = --role=(?:a|b):\\d ; x=y ")
    assert load_settings().worker_processes == (("build", "--role=(?:a|b):\\d"), ("x", "y"))


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        pytest.param({}, None, id="none are followed, and none expected"),
        pytest.param({"worker_processes": "a=b"}, 3, id="three where processes are followed"),
        pytest.param({"worker_pid_files": "a=b"}, 3, id="three where pid files are followed"),
        pytest.param({"koubou_path": "koubou.db"}, 3, id="three where Koubou is followed"),
        pytest.param({"koubou_path": "koubou.db", "workers_expected": 0}, 0, id="what somebody says"),
        pytest.param({"workers_expected": 5}, 5, id="what somebody says, whatever is followed"),
    ],
)
def test_how_many_workers_there_should_be(settings: dict[str, Any], least: int | None) -> None:
    assert load_settings(**settings).least_workers == least


def told(exporter: Scripted) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the last values of the sidecar's own gauges: metric, then the values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for of, request in exporter.received:
        assert CANARY.encode() not in request
        if of is Signal.METRICS:
            message = ExportMetricsServiceRequest.FromString(request)
            scopes = [scope for resource in message.resource_metrics for scope in resource.scope_metrics]
            for metric in (metric for scope in scopes for metric in scope.metrics):
                for point in (*metric.gauge.data_points, *metric.sum.data_points):
                    labels = tuple(str(value) for _, value in sorted(scalars(point.attributes).items()))
                    value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
                    found.setdefault(metric.name, {})[labels] = value
    return found


def ran(tmp_path: Path, **settings: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """Return what a sidecar with these settings tells of itself until its end."""
    exporter = Scripted()
    sidecar = Sidecar(
        load_settings(EGO_MCP_LOG_PATH=str(tmp_path / "none"), state_dir=tmp_path / "state", **settings),
        exporter=exporter,
    )
    sidecar.close()
    return told(exporter)


def test_the_sidecar_tells_numbers_by_group_and_nothing_of_a_process(
    start: Callable[..., Any], name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.pid").write_text(f"{start().pid}")
    start(name)
    said = ran(tmp_path, worker_processes=f"build={name};none={name}-not", worker_pid_files=f"files={tmp_path}/a.pid")
    assert said[c.WORKER_PROCESSES.name] == {
        ("build", "alive"): 1, ("build", "unhealthy"): 0,
        ("files", "alive"): 1, ("files", "unhealthy"): 0,
        ("none", "alive"): 0, ("none", "unhealthy"): 0,
    }  # fmt: skip
    assert said[c.WORKERS_EXPECTED.name] == {(): 3}
    assert c.WORKER_PROCESSES.attributes == ("group", "state")
    assert (
        said[c.WORKER_CPU_TIME.name].keys() == said[c.WORKER_MEMORY.name].keys() == {("build",), ("files",), ("none",)}
    )
    assert said[c.WORKER_MEMORY.name]["build",] > 0
    assert said[c.WORKER_MEMORY.name]["none",] == 0


def test_who_follows_no_workers_is_told_of_none(tmp_path: Path) -> None:
    said = ran(tmp_path)
    assert c.OUTBOX_LIMIT.name in said
    assert not {c.WORKERS_EXPECTED.name, *(metric.name for metric in c.WORKER_PROCESS_METRICS)} & said.keys()


def test_where_the_kernel_does_not_tell_of_processes_the_sidecar_goes_on(tmp_path: Path) -> None:
    """Numbers are not told then: none is not nought."""
    said = ran(tmp_path, worker_processes="build=x", proc_path=tmp_path / "nowhere")
    assert c.OUTBOX_LIMIT.name in said
    assert not {metric.name for metric in c.WORKER_PROCESS_METRICS} & said.keys()


def examined(tmp_path: Path, *patterns: str, files: tuple[str, ...] = (), proc: Path = PROC) -> list[Finding]:
    """Return what doctor finds; nothing of a process and no pattern is in any."""
    named = [tuple(one.split("=", 1)) for one in patterns], [tuple(one.split("=", 1)) for one in files]
    found = list(check_processes(*named, proc, None))  # type: ignore[arg-type]
    assert CANARY not in repr(found)
    return found


def test_doctor_says_that_a_pattern_matches_nothing(start: Callable[..., Any], name: str, tmp_path: Path) -> None:
    start(name)
    fine, nothing = f"build={name}", f"other={name}-{CANARY}"
    (first, second) = examined(tmp_path, fine, nothing)
    assert (first.mark, first.subject) == (Mark.WARN, "other")
    assert "pattern 2 of EGOSCOPE_WORKER_PROCESSES" in first.sentence
    assert (second.mark, second.subject, second.sentence) == (Mark.OK, "build", "1 process alive")


@pytest.mark.parametrize(
    ("content", "mark", "sentence"),
    [
        pytest.param(None, Mark.WARN, "is not there", id="missing"),
        pytest.param("four", Mark.FAIL, "holds no process number", id="no pid file"),
        pytest.param("4194305", Mark.WARN, "is gone", id="its process is gone"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_pid_file(
    content: str | None, mark: Mark, sentence: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "worker.pid").write_text(content)
    first, *rest = examined(tmp_path, files=(f"build={tmp_path}/worker.pid",))
    assert (first.mark, first.subject) == (mark, f"{tmp_path}/worker.pid")
    assert sentence in first.sentence
    assert [one.sentence for one in rest] == (["0 processes alive, 1 unhealthy"] if content else [])


def test_doctor_says_that_a_pid_file_cannot_be_read(tmp_path: Path) -> None:
    """As where it is another user's; here a link to itself, which root cannot read either."""
    (tmp_path / "worker.pid").symlink_to(tmp_path / "worker.pid")
    (tmp_path / "other.pid").mkdir(mode=0o000)
    looped, _ = examined(tmp_path, files=(f"build={tmp_path}/worker.pid",))
    assert (looped.mark, looped.subject) == (Mark.FAIL, f"{tmp_path}/worker.pid")
    assert "cannot be read" in looped.sentence


def test_doctor_says_that_there_is_no_proc(tmp_path: Path) -> None:
    (only,) = examined(tmp_path, "build=x", proc=tmp_path / "nowhere")
    assert only.mark is Mark.FAIL
    assert "EGOSCOPE_PROC_PATH" in only.remedy


def test_doctor_has_a_section_where_processes_are_followed(tmp_path: Path) -> None:
    base = {"EGO_MCP_LOG_PATH": str(tmp_path), "state_dir": tmp_path / "state", "backend": "embedded"}
    titles = [title for title, _ in command.examine(load_settings(**base), time.time())]
    assert "worker processes" not in titles
    more = load_settings(**base, worker_pid_files=f"build={tmp_path}/none.pid", workers_expected=2)
    findings = dict(command.examine(more, time.time()))["worker processes"]
    assert [one.mark for one in findings] == [Mark.WARN, Mark.SKIP]
    assert "at least 2 workers" in findings[1].sentence


def test_the_page_says_what_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines for a shell, and those for docker compose's .env, are settings that egoscope takes."""
    shell, dotenv = (block for block in blocks(DOCS / "host.md") if block.language in {"sh", "ini"})
    said = subprocess.run(
        ["sh", "-euc", f"{shell.code}\nexec {sys.executable} -c 'from egoscope.cli import app; app()' check"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "EGOSCOPE_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    for line in [*shell.code.replace("export ", "").splitlines(), *dotenv.code.splitlines()]:
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value.strip("'"))
    settings = load_settings()
    assert [group for group, _ in settings.worker_processes] == ["build"]
    assert settings.worker_pid_files == (("cron", "/pid-files/*.pid"),)
    assert settings.least_workers == 4
