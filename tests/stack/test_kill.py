"""Kill -9 at any instruction: after the last restart, back ends and log agree exactly."""

from __future__ import annotations

import random
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.demo import DemoSettings, write_history, write_live
from tests.stack.dying import BOUNDARIES
from tests.stack.servers import wait_for
from tests.stack.sidecar import sidecar_on
from tests.stack.truth import check_exact, contents, span_ids, truth_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

CROSSINGS: Final = (1, 2, 4)
KILLS: Final = 8


def settle(stack: Stack, sidecar: SidecarProcess) -> tuple[dict[str, bytes], int]:
    """Wait until everything is sent, calls that never end included; return the logs and how many those are."""
    sidecar.wait_until_drained()
    logs = contents(sidecar.instances())
    truth = truth_of(*logs.values())
    wait_for(
        lambda: len(span_ids(stack, logs)) >= len(truth.ends) + truth.unfinished,
        what="calls that never ended are told as unfinished",
    )
    return logs, truth.unfinished


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_at_a_boundary_nothing_is_lost_and_nothing_counted_twice(
    stack: Stack, tmp_path: Path, boundary: str
) -> None:
    """Three lives end at the first, second and fourth crossing; the last one finishes."""
    with sidecar_on(tmp_path, stack.collector.endpoint, batch_kib="16") as sidecar:
        start = datetime.now(UTC) - timedelta(hours=3)
        write_history(sidecar.logs, DemoSettings(start=start, calls_per_minute=20, rhythm=False), max_bytes=300_000)
        for crossing in CROSSINGS:
            sidecar.launch([sys.executable, "-m", "tests.stack.dying", boundary, str(crossing)])
            assert sidecar.ended() == -signal.SIGKILL, sidecar.said()
        sidecar.start()
        logs, unfinished = settle(stack, sidecar)
        # A thread that was just sending spans dies with the others: those are sent again, with the same ids.
        check_exact(stack, logs, unfinished=unfinished)


def test_killed_at_random_under_load_nothing_is_lost_and_nothing_counted_twice(stack: Stack, tmp_path: Path) -> None:
    """While an agent writes, and two more files are read behind it."""
    chance = random.Random(9)
    with sidecar_on(tmp_path, stack.collector.endpoint, batch_kib="32") as sidecar:
        for seed in (1, 2):
            old = tmp_path / f"old{seed}"
            start = datetime.now(UTC).replace(minute=0) - timedelta(days=seed)  # all of it of one day
            settings = DemoSettings(seed=seed, start=start, calls_per_minute=60, rhythm=False)
            (written,) = write_history(old, settings, max_bytes=2_000_000).files
            written.rename(sidecar.logs / f"ego-mcp-old{seed}.log")
        stop = threading.Event()
        live = DemoSettings(seed=3, calls_per_minute=3000, rhythm=False)
        writer = threading.Thread(target=write_live, args=(sidecar.logs, live), kwargs={"stop": stop})
        writer.start()
        try:
            for _ in range(KILLS):
                sidecar.launch()
                assert sidecar.ended(chance.uniform(0.6, 2.5)) is None, sidecar.said()
                sidecar.kill()
        finally:
            stop.set()
            writer.join()
        sidecar.start()
        sidecar.wait_until_drained()
        logs = contents(sidecar.instances())
        # Two of them are live where it became midnight meanwhile.
        live_ids = {instance for path, instance in sidecar.instances().items() if "old" not in path.name}
        old = {instance: content for instance, content in logs.items() if instance not in live_ids}
        unfinished = truth_of(*old.values()).unfinished
        wait_for(
            lambda: len(span_ids(stack, old)) >= len(truth_of(*old.values()).ends) + unfinished, what="old calls expire"
        )
        check_exact(stack, old, unfinished=unfinished)
        # Calls that the agent had open when it ended are open still: their time has not come.
        check_exact(stack, {instance: logs[instance] for instance in live_ids})
