"""Whatever stops answering, runs full or rotates away: nothing is lost, and the sidecar goes on by itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.demo import DemoSettings, write_history
from tests.stack.fake_tempo import Answer
from tests.stack.servers import wait_for
from tests.stack.sidecar import append, begin, call, now_line, sidecar_on
from tests.stack.truth import (
    calls_in_prometheus,
    check_exact,
    offsets_in_loki,
    span_ids,
    truth_of,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

FRESH_WITHIN_S: Final = 15.0
"""Without a way of its own a signal would wait for as long as the other one's back end is away, which is: for ever."""
ENDS_WITHIN_S: Final = 30.0
"""Who waited for the Collector would wait until a test starts it again."""
MIB: Final = 1 << 20


@pytest.fixture(autouse=True)
def _all_running_again(stack: Stack) -> Iterator[None]:
    """A test that fails amid an outage leaves none behind."""
    yield
    stack.tempo.answer = Answer.ACCEPT
    for server in (stack.prometheus, stack.loki, stack.collector):
        if not server.running:
            server.start()


def test_the_collector_stopped_and_back_nothing_is_missing(stack: Stack, tmp_path: Path) -> None:
    """Lines go on being read; they are sent when it is back."""
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log, instance = begin(sidecar)
        stack.collector.stop()
        for _ in range(20):
            append(log, *call())
            wait_for(lambda: sidecar.has_read(log), what="lines are read while the Collector is down")
        assert sidecar.waiting_requests() > 0
        assert "sending is paused" in sidecar.said()
        stack.collector.start()
        sidecar.wait_until_drained()
        check_exact(stack, {instance: log.read_bytes()}, spans_once=True)


def test_the_sidecar_restarted_while_the_collector_is_down_nothing_is_missing(stack: Stack, tmp_path: Path) -> None:
    """The outbox outlives the process; SIGTERM does not wait for the Collector."""
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log, instance = begin(sidecar)
        stack.collector.stop()
        append(log, *call())
        wait_for(lambda: sidecar.has_read(log), what="lines are read while the Collector is down")
        begun = time.monotonic()
        assert sidecar.terminate() == 0
        assert time.monotonic() - begun < ENDS_WITHIN_S
        append(log, *call())
        sidecar.start()
        wait_for(lambda: sidecar.has_read(log), what="lines are read while the Collector is down")
        stack.collector.start()
        sidecar.wait_until_drained()
        check_exact(stack, {instance: log.read_bytes()}, spans_once=True)


def test_loki_stopped_prometheus_stays_fresh_and_later_no_line_is_missing(stack: Stack, tmp_path: Path) -> None:
    """Each signal has its own way: one that is stuck holds up no other."""
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log, instance = begin(sidecar)
        stack.loki.stop()
        for count in range(2, 12):
            append(log, *call())
            wait_for(
                lambda count=count: calls_in_prometheus(stack, [instance]).total() == count,
                within_s=FRESH_WITHIN_S,
                what="the call is in Prometheus while Loki is down",
            )
        assert sidecar.waiting_requests() > 0
        stack.loki.start()
        sidecar.wait_until_drained()
        check_exact(stack, {instance: log.read_bytes()}, spans_once=True)


def test_prometheus_stopped_loki_stays_fresh_and_later_no_count_is_missing(stack: Stack, tmp_path: Path) -> None:
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log, instance = begin(sidecar)
        stack.prometheus.stop()
        for count in range(2, 12):
            append(log, *call())
            wait_for(
                lambda count=count: len(offsets_in_loki(stack, instance)) == 2 * count + 1,
                within_s=FRESH_WITHIN_S,
                what="the line is in Loki while Prometheus is down",
            )
        stack.prometheus.start()
        sidecar.wait_until_drained()
        check_exact(stack, {instance: log.read_bytes()}, spans_once=True)


def test_tempo_silent_the_others_stay_fresh_and_sigterm_is_heard(stack: Stack, tmp_path: Path) -> None:
    """A back end that takes requests and never answers holds up neither the other signals nor the end."""
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log, instance = begin(sidecar)
        stack.tempo.answer = Answer.NEVER
        append(log, *call())
        wait_for(
            lambda: calls_in_prometheus(stack, [instance]).total() == 2,
            within_s=FRESH_WITHIN_S,
            what="the call is in Prometheus while Tempo is silent",
        )
        begun = time.monotonic()
        assert sidecar.terminate() == 0
        assert time.monotonic() - begun < 9, "docker kills 10 s after it asked"
        stack.tempo.answer = Answer.ACCEPT
        sidecar.start()
        sidecar.wait_until_drained()
        check_exact(stack, {instance: log.read_bytes()})


def test_the_log_rotated_away_while_the_collector_is_down_is_no_loss(stack: Stack, tmp_path: Path) -> None:
    """Renamed to a name no pattern finds, written to once more, deleted, and begun anew under the old name."""
    with sidecar_on(tmp_path, stack.collector.endpoint) as sidecar:
        log, instance = begin(sidecar)
        stack.collector.stop()
        append(log, *call())
        wait_for(lambda: sidecar.has_read(log), what="the line before the rotation is read")
        away = sidecar.logs / "away"
        log.rename(away)
        append(away, *call())
        old = away.read_bytes()
        wait_for(
            lambda: sidecar.positions()[instance][1] == len(old),
            what="the line written after the rename is read",
        )
        away.unlink()
        append(log, now_line("Logging initialized"), *call())
        wait_for(lambda: sidecar.has_read(log), what="the new file is read")
        stack.collector.start()
        sidecar.wait_until_drained()
        (new,) = sidecar.positions().keys() - {instance}
        check_exact(stack, {instance: old, new: log.read_bytes()}, spans_once=True)


def test_at_the_outbox_bound_reading_stops_and_goes_on_after(stack: Stack, tmp_path: Path) -> None:
    """The bound holds, /readyz names it, nothing is lost."""
    with sidecar_on(tmp_path, stack.collector.endpoint, outbox_limit_mib="8", batch_kib="256") as sidecar:
        log, instance = begin(sidecar)
        stack.collector.stop()
        start = datetime.now(UTC).replace(minute=0) - timedelta(days=1)  # all of it of one day
        history = write_history(
            tmp_path / "old", DemoSettings(start=start, calls_per_minute=600, rhythm=False), max_bytes=20_000_000
        )
        (old,) = history.files
        os.utime(old, (start.timestamp(), start.timestamp()))
        old = old.rename(sidecar.logs / "ego-mcp-old.log")
        said = wait_for(lambda: _not_ready(sidecar, "reading"), what="/readyz names reading")
        assert "outbox" in said
        assert sidecar.outbox_bytes() < 8 * MIB
        assert not sidecar.has_read(old)
        append(log, *call())
        wait_for(lambda: sidecar.has_read(log), what="a live line finds room that the backlog must leave it")
        stack.collector.start()
        sidecar.wait_until_drained()
        old_id = sidecar.instances()[old]
        truth = truth_of(old.read_bytes())
        wait_for(
            lambda: len(span_ids(stack, [old_id])) >= len(truth.ends) + truth.unfinished,
            what="open calls expire",
        )
        check_exact(stack, {old_id: old.read_bytes()}, unfinished=truth.unfinished)
        check_exact(stack, {instance: log.read_bytes()})
        wait_for(lambda: sidecar.page("/readyz")[0] == 200, what="/readyz says that all is well")


def _not_ready(sidecar: SidecarProcess, problem: str) -> str:
    """Return what /readyz says of a problem; empty where it has none."""
    status, body = sidecar.page("/readyz")
    assert (status == 503) == (body["status"] == "not ready")
    return body.get(problem, "")


@contextlib.contextmanager
def small_disk(where: Path, mib: int) -> Generator[Path]:
    """Yield a file system of its own with so much room; skips where this user may not mount one."""
    where.mkdir()
    if os.geteuid() != 0:
        pytest.skip("disk full: only root may mount a small tmpfs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(where)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"disk full: no tmpfs can be mounted here ({mounted.stderr.strip()})")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@pytest.mark.parametrize("filled_by", ["somebody else", "its own outbox"])
def test_a_full_disk_stops_reading_and_it_goes_on_by_itself(stack: Stack, tmp_path: Path, filled_by: str) -> None:
    """No crash, no corruption, no line lost; a kill amid it changes nothing."""
    with (
        small_disk(tmp_path / "disk", 16) as disk,
        sidecar_on(tmp_path, stack.collector.endpoint, state_dir=disk / "state", batch_kib="128") as sidecar,
    ):
        log, instance = begin(sidecar)
        stack.collector.stop()
        ballast = disk / "ballast"
        if filled_by == "somebody else":
            fill(ballast)
        start = datetime.now(UTC).replace(minute=0) - timedelta(hours=20)  # all of it of one day
        history = write_history(
            tmp_path / "old", DemoSettings(start=start, calls_per_minute=600, rhythm=False), max_bytes=14_000_000
        )
        (old,) = history.files
        old = old.rename(sidecar.logs / "ego-mcp-old.log")
        wait_for(lambda: _not_ready(sidecar, "state"), what="/readyz names the state")
        assert sidecar.page("/healthz")[0] == 200
        sidecar.kill()
        sidecar.launch()
        wait_for(lambda: not sidecar.alive or sidecar.up, what="it has started or given up")
        assert sidecar.alive, f"it does not start with a full disk\n{sidecar.said()}"
        stack.collector.start()
        ballast.unlink(missing_ok=True)
        sidecar.wait_until_drained()
        old_id = sidecar.instances()[old]
        truth = truth_of(old.read_bytes())
        wait_for(
            lambda: len(span_ids(stack, [old_id])) >= len(truth.ends) + truth.unfinished,
            what="open calls expire",
        )
        check_exact(stack, {old_id: old.read_bytes()}, unfinished=truth.unfinished)
        check_exact(stack, {instance: log.read_bytes()})
        assert sidecar.terminate() == 0


def fill(path: Path) -> None:
    """Write until there is no room left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_second_sidecar_on_the_same_state_refuses_and_names_the_other(stack: Stack, tmp_path: Path) -> None:
    with (
        sidecar_on(tmp_path / "one", stack.collector.endpoint) as first,
        sidecar_on(tmp_path / "two", stack.collector.endpoint, state_dir=first.state_dir) as second,
    ):
        first.start()
        second.launch()
        assert second.ended() == 2
        assert f"process {first.pid}" in second.said()
        assert "EGOSCOPE_STATE_DIR" in second.said()
        assert first.alive
