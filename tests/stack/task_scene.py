"""A sidecar that follows the database of a Koubou, and waiting until the back ends say what stands in it."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from tests.koubou_program import Koubou
from tests.stack.row_truth import in_prometheus
from tests.stack.servers import wait_for
from tests.stack.sidecar import sidecar_on
from tests.stack.task_truth import check_tasks_exact, check_workers_log, counted, standing, times, told_standing

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

RANGED: Final = {"task_created_total": "created_at", "task_ended_total": "updated_at"}
"""What is counted at the time of which column."""
_RANGES: Final = 30
_LONG_LOST_S: Final = 3600.0
"""A limit that nothing in these tests comes near to."""


class Scene:
    """A sidecar, not started, that follows the database of a Koubou."""

    def __init__(self, stack: Stack, sidecar: SidecarProcess, koubou: Koubou, lost_s: float) -> None:
        self.stack, self.sidecar, self.koubou = stack, sidecar, koubou
        self.path = koubou.path
        self._lost_s = lost_s

    @property
    def instance(self) -> str:
        """The id of the one database that was followed."""
        (one,) = self.sidecar.databases("koubou")
        return one

    def settle(self) -> None:
        """Wait until everything was read, sent and answered."""
        settle(self.stack, self.sidecar, self.path)

    def check(self, *, spans_once: bool = False) -> None:
        """Compare what the back ends count with the database, once all is told."""
        self.settle()
        check_tasks_exact(self.stack, [self.path], [self.instance], spans_once=spans_once)

    def check_standing(self) -> None:
        """Compare what the gauges say with the database, once they say it; nobody may be writing."""
        agree_with(self.stack, self.path, self.instance, self._lost_s)
        wait_for(lambda: not self.sidecar.waiting_requests(), what="what workers do is sent")
        check_workers_log(self.stack, self.instance)

    def lines(self, logger: str) -> list[str]:
        """Return what was told of tasks or of workers, in its order."""
        return [
            entry.line
            for entry in self.stack.loki.entries(
                f'{{service_instance_id="{self.instance}"}} | ego_logger="{logger}"', time.time() - 3600, time.time()
            )
        ]


@contextmanager
def following(stack: Stack, directory: Path, *, lost_s: float = _LONG_LOST_S, **settings: str) -> Generator[Scene]:
    """Yield a scene in `directory/koubou`. The second layer must find nothing to remove meanwhile."""
    before = Counter(stack.collector.removals())
    (directory / "koubou").mkdir()
    koubou = Koubou(directory / "koubou" / "koubou.db")
    places = {"koubou_path": str(koubou.path), "worker_lost_s": str(lost_s)}
    with sidecar_on(directory, stack.collector.endpoint, state_dir=None, **places, **settings) as sidecar:
        try:
            yield Scene(stack, sidecar, koubou, lost_s)
            assert not Counter(stack.collector.removals()) - before, "the second layer removed something"
        finally:
            koubou.close()


def settle(stack: Stack, sidecar: SidecarProcess, *paths: Path) -> list[str]:
    """Wait until everything of these databases was read, sent and answered; return their instances."""

    def settled() -> bool:
        instances = sidecar.databases("koubou")
        if sidecar.waiting_requests() or len(instances) < len(paths):
            return False
        return all(
            in_prometheus(stack, metric, instances).total() >= sum(counted(path)[metric].total() for path in paths)
            for metric in ("task_ended_total", "task_created_total", "task_started_total")
        )

    wait_for(settled, what="all tasks are told")
    wait_for(lambda: not sidecar.waiting_requests(), what="everything is sent")
    return sidecar.databases("koubou")


def agree_with(stack: Stack, path: Path, instance: str, lost_s: float = _LONG_LOST_S) -> None:
    """Wait until every gauge says what stands in a database; tell what differs where they never do."""
    try:
        wait_for(
            lambda: told_standing(stack, instance) == standing(path, time.time(), lost_s),
            what="the gauges agree with the database",
        )
    except AssertionError:
        assert told_standing(stack, instance) == standing(path, time.time(), lost_s)
        raise


def check_ranges(stack: Stack, paths: Sequence[Path], instances: Sequence[str], ranges_s: Sequence[int]) -> None:
    """Compare the growth of counters in ranges with SQL: of these lengths, and from one random row to another.

    Koubou knows whole seconds: ends lie half a second before or after a row, where one that is told late shows.
    """
    chance = random.Random(5)
    for metric, column in RANGED.items():
        rows = [row for path in paths for row in times(path, column)]
        selector = f'{metric}{{instance=~"{"|".join(instances)}"}}'
        for _ in range(_RANGES):
            (_, one_s), (_, other_s) = chance.choice(rows), chance.choice(rows)
            range_s = chance.choice((*ranges_s, abs(one_s - other_s) + 1, max(1, abs(one_s - other_s))))
            end_s = max(one_s, other_s) + chance.choice((-0.5, 0.5))
            query = f"sum by (priority) (increase({selector}[{range_s}s] anchored))"
            told = {one.labels["priority"]: one.value for one in stack.prometheus.query(query, at=end_s) if one.value}
            truth = Counter(priority for priority, at in rows if end_s - range_s < at <= end_s)
            assert told == pytest.approx(dict(truth), abs=1e-6), f"{metric} in {range_s} s up to {end_s}"
