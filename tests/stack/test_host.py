"""The machine itself, in Prometheus: each metric of docs/host.md with the kernel's own numbers, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.convert import catalogue as c
from tests.stack.processes import PROCESSES, free_ports, wait_for
from tests.stack.servers import REPOSITORY, Collector, CollectorPorts, Stack
from tests.stack.sidecar import append, begin, call, sidecar_on
from tests.stack.truth import calls_in_prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from tests.stack.processes import Way

    CollectorWith = Callable[..., Collector]

PROC: Final = Path("/proc")
CANARY: Final = "canary9c41f2"
PAGE: Final = REPOSITORY / "docs" / "host.md"
SECTOR_BYTES: Final = 512
LABELS: Final[Mapping[str, set[str]]] = {
    "system_cpu_utilization_ratio": {"state"},
    "system_cpu_logical_count": set(),
    "system_cpu_load_average_1m": set(),
    "system_cpu_load_average_5m": set(),
    "system_cpu_load_average_15m": set(),
    "system_memory_utilization_ratio": {"state"},
    "system_memory_usage_bytes": {"state"},
    "system_memory_limit_bytes": set(),
    "system_linux_memory_available_bytes": set(),
    "system_paging_usage_bytes": {"state"},
    "system_paging_faults_total": {"type"},
    "system_disk_io_bytes_total": {"device", "direction"},
    "system_disk_operations_total": {"device", "direction"},
    "system_disk_io_time_seconds_total": {"device"},
    "system_filesystem_utilization_ratio": {"mountpoint"},
    "system_filesystem_usage_bytes": {"mountpoint", "state"},
    "system_network_io_bytes_total": {"device", "direction"},
    "system_network_errors_total": {"device", "direction"},
    "system_network_dropped_total": {"device", "direction"},
    "system_processes_count": {"status"},
    "system_processes_created_total": set(),
}
"""Every metric, with all labels it has beside job, instance and host_name."""
OF_ALL: Final = {"__name__", "job", "instance", "host_name"}
HELD_UP_S: Final = 60.0
"""What ten calls would take at least, each of them behind a request that is given up after ten seconds: more."""

pytestmark = pytest.mark.skipif(not (PROC / "stat").exists(), reason="no /proc here")


@pytest.fixture
def collector_with(stack: Stack, way: Way, tmp_path: Path, request: pytest.FixtureRequest) -> CollectorWith:
    """Start a Collector that tells of the host every second, to the stack's Prometheus."""
    if way is not PROCESSES:
        pytest.skip("a container has mounts of its own: test_compose_host.py")

    def start(*overlays: str, **environment: str) -> Collector:
        directory = tmp_path / f"collector-{time.monotonic_ns()}"
        directory.mkdir()
        collector = Collector(
            directory,
            ports=CollectorPorts(*free_ports(4)),
            prometheus_url=stack.prometheus.url,
            loki_url=stack.loki.url,
            tempo_port=stack.tempo.port,
            overlays=("host.yaml", *overlays),
            environment={"EGOSCOPE_HOST_INTERVAL": "1s", "EGOSCOPE_HOST_NAME": "", **environment},
            way=way,
        )
        request.addfinalizer(collector.stop)
        collector.start()
        return collector

    return start


@pytest.fixture
def host() -> str:
    """A name for this machine that no other test has."""
    return f"host-{time.monotonic_ns()}"


def fresh(stack: Stack, host: str) -> float:
    """Wait for a sample that was taken after this call; return its time."""
    since = time.time()
    query = f'timestamp(system_processes_created_total{{host_name="{host}"}}) > {since}'
    return wait_for(lambda: stack.prometheus.value(query), what="a fresh sample of the host is in Prometheus") or 0


def kernel(file: str) -> dict[str, list[int]]:
    """Return the lines of a file of the kernel's: first word to the numbers behind it."""
    lines = (line.replace(":", " ").split() for line in (PROC / file).read_text().splitlines())
    return {line[0]: [int(word) for word in line[1:] if word.isdecimal()] for line in lines if line}


def disk_numbers() -> dict[str, dict[str, float]]:
    """Return counters of whole disks, by device, as iostats.txt of the kernel's documentation has them."""
    found: dict[str, dict[str, float]] = {}
    for line in (PROC / "diskstats").read_text().splitlines():
        name, numbers = line.split()[2], [int(word) for word in line.split()[3:]]
        if re.fullmatch(r"([shv]|xv)d[a-z]|nvme\d+n\d|mmcblk\d", name):
            found[name] = {
                'system_disk_operations_total{direction="read"}': numbers[0],
                'system_disk_operations_total{direction="write"}': numbers[4],
                'system_disk_io_bytes_total{direction="read"}': numbers[2] * SECTOR_BYTES,
                'system_disk_io_bytes_total{direction="write"}': numbers[6] * SECTOR_BYTES,
                "system_disk_io_time_seconds_total{}": numbers[9] / 1000,
            }
    return found


def counters() -> dict[str, float]:
    """Return everything that only grows, as selectors with the kernel's number of this moment."""
    numbers: dict[str, float] = {
        "system_processes_created_total{}": kernel("stat")["processes"][0],
        'system_paging_faults_total{type="major"}': kernel("vmstat")["pgmajfault"][0],
    }
    for device, told in disk_numbers().items():
        numbers |= {name.replace("{", f'{{device="{device}",'): value for name, value in told.items()}
    for device, told in kernel("net/dev").items():
        if re.fullmatch(r"eth\d+|en[ops]\w+", device):
            for direction, first in (("receive", 0), ("transmit", 8)):
                labels = f'{{device="{device}",direction="{direction}"}}'
                numbers[f"system_network_io_bytes_total{labels}"] = told[first]
                numbers[f"system_network_errors_total{labels}"] = told[first + 2]
                numbers[f"system_network_dropped_total{labels}"] = told[first + 3]
    return numbers


def test_counters_are_the_kernels_own(stack: Stack, collector_with: CollectorWith, host: str) -> None:
    """Each lies between what the kernel said just before it was read and just after."""
    collector_with(EGOSCOPE_HOST_NAME=host)
    fresh(stack, host)
    before = counters()
    for _ in range(2):  # of one look, some numbers may have been read before these
        fresh(stack, host)
    told = {
        name: stack.prometheus.value(name.replace("{", f'{{host_name="{host}",').replace(",}", "}")) for name in before
    }
    after = counters()
    assert len(before) > 2
    wrong = {
        name: (before[name], value, after[name])
        for name, value in told.items()
        if value is None or not before[name] <= value <= after[name]
    }
    assert wrong == {}


def test_levels_are_the_kernels_own(stack: Stack, collector_with: CollectorWith, host: str) -> None:
    """Within what can change in a second."""
    collector_with(EGOSCOPE_HOST_NAME=host)
    fresh(stack, host)

    def told(metric: str, **labels: str) -> float:
        selector = ",".join(f'{name}="{value}"' for name, value in {"host_name": host, **labels}.items())
        value = stack.prometheus.value(f"{metric}{{{selector}}}")
        assert value is not None, metric
        return value

    limit = kernel("meminfo")["MemTotal"][0] * 1024
    assert told("system_memory_limit_bytes") == limit

    def memory_agrees() -> bool:
        """By and by: another test may have started a server since the last look."""
        available = kernel("meminfo")["MemAvailable"][0] * 1024
        return (
            told("system_linux_memory_available_bytes") == pytest.approx(available, rel=0.1)
            and told("system_memory_utilization_ratio", state="used") == pytest.approx(1 - available / limit, abs=0.1)
            and told("system_memory_usage_bytes", state="used") == pytest.approx(limit - available, rel=0.5)
        )

    wait_for(memory_agrees, what="the memory is the kernel's")
    disk = os.statvfs("/")
    used = disk.f_blocks - disk.f_bfree
    whole = used + disk.f_bavail
    assert told("system_filesystem_usage_bytes", mountpoint="/", state="used") == pytest.approx(
        used * disk.f_frsize, rel=0.1
    )
    assert told("system_filesystem_utilization_ratio", mountpoint="/") == pytest.approx(used / whole, abs=0.05)
    assert told("system_cpu_logical_count") == os.cpu_count()
    wait_for(
        lambda: abs(told("system_cpu_load_average_1m") - os.getloadavg()[0]) < 0.3, what="the load is the kernel's load"
    )
    running = sum(path.name.isdecimal() for path in PROC.iterdir())
    assert told("system_processes_count", status="sleeping") < running * 1.5


def test_a_busy_processor_is_seen_busy(stack: Stack, collector_with: CollectorWith, host: str) -> None:
    """Shares of all processors together; they sum up to one."""
    collector_with(EGOSCOPE_HOST_NAME=host)
    burning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        fresh(stack, host)
        begun = kernel("stat")["cpu"]
        since = fresh(stack, host)
        until = since
        while until < since + 10:  # long enough that what others do at its ends counts for little
            until = fresh(stack, host)
        ended = kernel("stat")["cpu"]
    finally:
        burning.kill()
        burning.wait()
    spent = [after - before for before, after in zip(begun, ended, strict=True)][:8]
    idle = (spent[3] + spent[4]) / sum(spent)
    every = f'system_cpu_utilization_ratio{{host_name="{host}"}}'
    unused = f'system_cpu_utilization_ratio{{host_name="{host}",state=~"idle|wait"}}'
    told = stack.prometheus.value(f"sum(avg_over_time({unused}[{until - since:.0f}s]))", until)
    assert told == pytest.approx(idle, abs=0.15)
    assert 1 - idle > 0.9 / (os.cpu_count() or 1)
    assert stack.prometheus.value(f"sum({every})", until) == pytest.approx(1, abs=0.02)


def test_nothing_arrives_that_is_not_listed(
    stack: Stack, collector_with: CollectorWith, host: str, tmp_path: Path
) -> None:
    """No other metric, no other label; and the page for users has each of them."""
    # What a program is started as is what the kernel calls its process.
    (tmp_path / CANARY).symlink_to(shutil.which("sleep") or "sleep")
    secret = subprocess.Popen([tmp_path / CANARY, "600"], env={"PASSWORD": CANARY})
    arguments = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", f"--password={CANARY}"])
    try:
        collector_with(EGOSCOPE_HOST_NAME=host, OTEL_RESOURCE_ATTRIBUTES=f"secret={CANARY}")
        fresh(stack, host)
        fresh(stack, host)
        # Of this machine alone; and an alert about it may be pending.
        series = stack.prometheus.series(f'{{job="host", host_name="{host}", alertname=""}}')
    finally:
        for process in (secret, arguments):
            process.kill()
            process.wait()
    names = {one["__name__"] for one in series if ":" not in one["__name__"]}  # rules name theirs with a colon
    assert names - LABELS.keys() <= {"target_info"}
    without_swap = kernel("swaps").keys() == {"Filename"}
    assert LABELS.keys() - names == ({"system_paging_usage_bytes"} if without_swap else set())
    assert [one for one in series if one["__name__"] in LABELS and one.keys() - OF_ALL != LABELS[one["__name__"]]] == []
    assert CANARY not in stack.prometheus.everything()
    page = PAGE.read_text(encoding="utf-8")
    written = set(re.findall(r"`(system_\w+)`", page)) | {f"system_cpu_load_average_{long}" for long in ("5m", "15m")}
    assert written == LABELS.keys()


def test_names_of_disks_interfaces_and_mounts_pass_only_where_they_are_nobodys(
    stack: Stack, collector_with: CollectorWith, host: str, tmp_path: Path
) -> None:
    """A mount point can be a person's name, an interface's name its hardware address; layers of containers are many."""
    proc = tmp_path / "proc"
    (proc / "net").mkdir(parents=True)
    (proc / "1").mkdir()
    for name in ("stat", "uptime", "loadavg", "meminfo", "vmstat", "swaps", "filesystems"):
        (proc / name).symlink_to(PROC / name)
    mounts = [
        ("/", "ext4 /dev/vda"), ("/home", "xfs /dev/mapper/canary9c41f2-home"), (f"/home/{CANARY}", "ext4 /dev/sdb1"),
        (f"/media/{CANARY}/USB", "vfat /dev/sdc1"), ("/var/lib/docker/overlay2/abc/merged", "overlay overlay"),
        ("/snap/core/1", "squashfs /dev/loop3"), ("/srv", "ext4 /dev/loop4"), ("/data", "nfs4 /dev/nas"),
    ]  # fmt: skip
    lines = [f"{n} 1 8:{n} / {mount} rw - {kind} rw\n" for n, (mount, kind) in enumerate(mounts, 20)]
    (proc / "1" / "mountinfo").write_text("".join(lines))
    devices = [
        "lo",
        "eth0",
        "enp3s0",
        "enx001122334455",
        "wlx66778899aabb",
        "docker0",
        "veth12ab",
        f"tap-{CANARY}",
        "wg0",
    ]
    rows = [f"{name}: {number} 1 0 0 0 0 0 0 {number} 1 0 0 0 0 0 0\n" for number, name in enumerate(devices, 1)]
    (proc / "net" / "dev").write_text("one\ntwo\n" + "".join(rows))
    disks = ["sda", "sda1", "vdb", "nvme0n1", "nvme0n1p2", "loop0", "dm-0", "ram1", CANARY]
    (proc / "diskstats").write_text("".join(f" 8 0 {name} 1 2 3 4 5 6 7 8 9 10 11\n" for name in disks))
    collector_with(EGOSCOPE_HOST_NAME=host, HOST_PROC=str(proc))
    fresh(stack, host)

    def told(metric: str, label: str) -> dict[str, float]:
        samples = stack.prometheus.query(f'{metric}{{host_name="{host}"}}')
        return {one.labels[label]: one.value for one in samples}

    assert told("system_filesystem_utilization_ratio", "mountpoint").keys() == {"/", "/home"}
    assert told("system_disk_io_time_seconds_total", "device").keys() == {"sda", "vdb", "nvme0n1"}
    # Both that have a hardware address for a name count together.
    assert told("system_network_io_bytes_total", "device") == {"eth0": 2, "enp3s0": 3, "usb": 4 + 5}
    assert CANARY not in stack.prometheus.everything()


@pytest.mark.parametrize(
    ("name", "instance", "host_name"),
    [
        pytest.param("", "local", None, id="without a name none is sent: the machine's own may be a person's"),
        pytest.param("build-7.example", "build-7.example", "build-7.example", id="the name that was given"),
        pytest.param(f"{CANARY} and a blank", "REDACTED", "REDACTED", id="a name as no machine has it"),
    ],
)
def test_what_the_machine_is_called(
    stack: Stack, collector_with: CollectorWith, name: str, instance: str, host_name: str | None
) -> None:
    begun = time.time()
    collector_with(EGOSCOPE_HOST_NAME=name)

    def since() -> list[dict[str, str]]:
        found = stack.prometheus.query(f'timestamp(system_memory_limit_bytes{{instance="{instance}"}}) > {begun}')
        return [dict(one.labels) for one in found]

    (labels,) = wait_for(since, what="the host is in Prometheus")
    assert labels.get("host_name") == host_name
    assert labels["job"] == "host"


class Refusal(Enum):
    """What stands in Prometheus' place says to samples of the host."""

    BAD_REQUEST = 400
    UNAVAILABLE = 503
    NEVER = 0


@contextmanager
def refusing(refusal: Refusal) -> Generator[tuple[str, list[float]]]:
    """Yield the address of a server that takes no sample, and the times at which it was asked to."""
    asked: list[float] = []
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(time.monotonic())
            self.rfile.read(int(self.headers["Content-Length"]))
            if refusal is Refusal.NEVER:
                closing.wait()
            self.send_response(refusal.value or 500)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its parent's name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("refusal", Refusal, ids=lambda one: one.name)
def test_samples_of_the_host_that_are_refused_hold_up_nothing_of_the_sidecars(
    stack: Stack, collector_with: CollectorWith, tmp_path: Path, refusal: Refusal
) -> None:
    """It is told of success as ever, at once; the host's samples wait in memory, and are lost in the end."""
    with refusing(refusal) as (url, asked):
        elsewhere = tmp_path / "elsewhere.yaml"
        elsewhere.write_text(json.dumps({"exporters": {"otlp_http/host": {"endpoint": url}}}))
        collector = collector_with(str(elsewhere), EGOSCOPE_HOST_INTERVAL="50ms")
        wait_for(lambda: asked, what="samples of the host are refused")
        with sidecar_on(tmp_path, collector.endpoint) as sidecar:
            log, instance = begin(sidecar)
            begun = time.monotonic()
            for count in range(2, 12):
                append(log, *call())
                wait_for(
                    lambda count=count: calls_in_prometheus(stack, [instance]).total() == count,
                    what="the call is in Prometheus while the host's samples are refused",
                )
            sidecar.wait_until_drained()
            assert time.monotonic() - begun < HELD_UP_S
        assert asked


def test_worker_processes_are_in_prometheus_as_numbers_alone(
    stack: Stack, collector_with: CollectorWith, tmp_path: Path, host: str
) -> None:
    """By name and by pid file; the sidecar says so through both redactions, and nothing of a command line with it."""
    marker = f"{CANARY}-{host}"
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    children = [subprocess.Popen([*sleeping, f"--token={marker}"]) for _ in range(3)]
    try:
        (tmp_path / "a.pid").write_text(str(children[0].pid))
        (tmp_path / "b.pid").write_text("4194305")
        collector = collector_with()
        before = collector.removals()
        by_name, by_file = f"build=token={marker}", f"by-file={tmp_path}/*.pid"
        with sidecar_on(
            tmp_path, collector.endpoint, worker_processes=by_name, worker_pid_files=by_file, host_name=host
        ) as sidecar:
            begin(sidecar)
            assert sidecar.terminate() == 0
        found = stack.prometheus.query(f'{c.WORKER_PROCESSES.prometheus}{{host_name="{host}"}}')
        told = {(one.labels["group"], one.labels["state"]): one.value for one in found}
        assert told == {
            ("build", "alive"): 3, ("build", "unhealthy"): 0, ("by-file", "alive"): 1, ("by-file", "unhealthy"): 1,
        }  # fmt: skip
        assert {one.labels["job"] for one in found} == {"egoscope"}
        for metric in (c.WORKER_CPU_TIME, c.WORKER_MEMORY):
            used = stack.prometheus.query(f'{metric.prometheus}{{host_name="{host}"}}')
            assert {one.labels["group"] for one in used} == {"build", "by-file"}, metric.name
        resident = stack.prometheus.value(f'{c.WORKER_MEMORY.prometheus}{{host_name="{host}",group="build"}}')
        assert resident is not None
        assert 3 << 20 < resident < 300 << 20
        assert stack.prometheus.value(f'{c.WORKERS_EXPECTED.prometheus}{{host_name="{host}"}}') == 3
        assert collector.removals() == before
        assert CANARY not in stack.prometheus.everything()
    finally:
        for child in children:
            child.kill()
            child.wait()
