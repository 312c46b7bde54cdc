"""Koubou's databases through kills, outages and restored backups: each task is counted once all the same."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
from typing import TYPE_CHECKING, Final, get_args

import pytest

from tests.koubou_program import Renewal
from tests.stack.dying import BOUNDARIES
from tests.stack.hardship import killed_at_random, outage
from tests.stack.row_truth import Sums, in_prometheus
from tests.stack.servers import wait_for
from tests.stack.task_scene import RANGED, following
from tests.stack.task_truth import counted, times

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.servers import Stack

KILLS: Final = 4


def test_killed_at_every_boundary_nothing_is_lost_and_nothing_counted_twice(stack: Stack, tmp_path: Path) -> None:
    """Each life ends at a crossing of its own, tasks going on all the while; the last one finishes."""
    with following(stack, tmp_path, batch_kib="16") as scene:
        for _ in range(200):
            scene.koubou.create()
        with scene.koubou.working(per_second=20.0):
            for boundary, crossing in zip(BOUNDARIES, itertools.cycle((1, 2, 4))):
                scene.sidecar.launch([sys.executable, "-m", "tests.stack.dying", boundary, str(crossing)])
                assert scene.sidecar.ended() == -signal.SIGKILL, scene.sidecar.said()
            scene.sidecar.start()
        scene.check()
        scene.check_standing()


def test_killed_at_random_under_load_each_task_is_counted_once(stack: Stack, tmp_path: Path) -> None:
    """Wherever it was, it goes on there."""
    with following(stack, tmp_path, batch_kib="32") as scene:
        with scene.koubou.working(per_second=100.0):
            killed_at_random(scene.sidecar, KILLS)
        scene.sidecar.start()
        scene.check()
        scene.check_standing()


@pytest.mark.parametrize("server", ["collector", "prometheus", "loki"])
def test_while_a_server_is_away_tasks_are_read_and_later_nothing_is_missing(
    stack: Stack, tmp_path: Path, server: str
) -> None:
    """What happens meanwhile is in the outbox; when the server is back each count is exact."""
    with following(stack, tmp_path) as scene:
        scene.koubou.create()
        scene.sidecar.start()
        scene.settle()
        with outage(stack, server, scene.sidecar), scene.koubou.working():
            wait_for(lambda: scene.sidecar.waiting_requests() > 3, what="tasks are read while the server is down")
        scene.check(spans_once=server == "loki")
        scene.check_standing()


@pytest.mark.parametrize("how", get_args(Renewal))
def test_a_database_that_was_cleared_and_renewed_goes_on_where_it_was(
    stack: Stack, tmp_path: Path, how: Renewal
) -> None:
    """Old tasks are deleted, and the file is written anew, the rows under other numbers: no task is counted again."""
    with following(stack, tmp_path) as scene:
        koubou = scene.koubou
        scene.sidecar.start()
        with koubou.working(per_second=80.0):
            wait_for(lambda: len(times(scene.path, "updated_at")) > 30, what="tasks end")
        scene.check()
        before = {metric: counted(scene.path)[metric] for metric in RANGED}
        koubou.write("DELETE FROM task_master WHERE status != 'pending' OR rowid % 3 = 0")
        kept = {metric: counted(scene.path)[metric] for metric in RANGED}
        koubou.renew(how)
        with koubou.working(per_second=80.0, seed=2):
            wait_for(lambda: len(times(scene.path, "updated_at")) > 20, what="tasks end")

        def told() -> dict[str, Sums]:
            return {metric: in_prometheus(stack, metric, scene.sidecar.databases("koubou")) for metric in RANGED}

        truth = {metric: before[metric] - kept[metric] + counted(scene.path)[metric] for metric in RANGED}
        with contextlib.suppress(AssertionError):
            wait_for(lambda: told() == truth, what="what was deleted stays counted, and what is new is counted once")
        assert told() == truth
        scene.check_standing()
