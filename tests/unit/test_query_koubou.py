"""What the query API says of a Koubou that works is what its database says, at each moment looked at."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from egoscope.config import load_settings
from egoscope.query.embedded import EmbeddedQuery
from egoscope.wiring import Sidecar
from tests.koubou_program import Koubou

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from egoscope.query import TaskOverview, Worker


@pytest.fixture
def koubou(tmp_path: Path) -> Iterator[Koubou]:
    """A Koubou with an empty database."""
    (tmp_path / "koubou").mkdir()
    made = Koubou(tmp_path / "koubou" / "koubou.db")
    yield made
    made.close()


class Watched:
    """A sidecar that looks when it is told to, into an embedded store; each look is a restart."""

    def __init__(self, koubou: Koubou, directory: Path) -> None:
        self._koubou = koubou
        (directory / "no-logs").mkdir()
        self._settings = load_settings(
            EGO_MCP_LOG_PATH=str(directory / "no-logs"),
            koubou_path=str(koubou.path),
            state_dir=directory,
            backend="embedded",
            telemetry=False,
        )

    def look(self) -> tuple[TaskOverview, dict[str, Worker]]:
        """Look, and return what is known then."""
        sidecar = Sidecar(self._settings)
        try:
            sidecar.drain()
        finally:
            sidecar.close()
        with EmbeddedQuery(self._settings.store_path) as query:
            return query.get_task_overview(), {worker.name: worker for worker in query.get_workers()}

    def truth(self) -> tuple[Counter[tuple[str, str]], dict[str, tuple[str, str | None]]]:
        """Return what the database says: tasks by state and priority, and workers with state and task."""
        with closing(sqlite3.connect(self._koubou.path)) as db:
            tasks = db.execute("SELECT status, priority FROM task_master").fetchall()
            workers = db.execute("SELECT worker_id, status, current_task FROM workers").fetchall()
        return Counter((state, str(priority)) for state, priority in tasks), {
            name: (state, task) for name, state, task in workers
        }


def test_every_moment_is_as_the_database_has_it(koubou: Koubou, tmp_path: Path) -> None:
    watched = Watched(koubou, tmp_path)
    taken: dict[str, str | None] = {}

    def take(worker: str) -> None:
        taken[worker] = koubou.take(worker)

    def finish(worker: str, *, failed: bool = False) -> None:
        koubou.finish(taken[worker] or "", worker, failed=failed)

    def begin() -> None:
        for number in range(3):
            koubou.register(f"worker_{number}")
        for priority in (1, 5, 5, 8):
            koubou.create(priority)

    def one_after_the_other() -> None:
        take("worker_2")
        finish("worker_2")
        take("worker_2")

    steps: list[Callable[[], object]] = [
        begin,
        lambda: take("worker_0"),
        lambda: [take("worker_1"), finish("worker_0")],
        lambda: [take("worker_0"), finish("worker_1", failed=True)],
        lambda: koubou.clean_up("worker_0"),
        lambda: koubou.sync(koubou.create(3)),
        lambda: koubou.cancel(koubou.create(3)),
        one_after_the_other,
        lambda: finish("worker_2"),
    ]
    overview, workers = watched.look()
    for step in steps:
        step()
        overview, workers = watched.look()
        tasks, there = watched.truth()
        by_state = Counter[str]()
        for (state, _), number in tasks.items():
            by_state[state] += number
        assert {(one.state, one.priority): one.count for one in overview.open} == {
            key: number for key, number in tasks.items() if key[0] in ("pending", "in_progress")
        }
        assert (overview.waiting, overview.running) == (by_state["pending"], by_state["in_progress"])
        assert overview.created == tasks.total()
        assert (overview.completed, overview.failed, overview.cancelled) == (
            by_state["completed"],
            by_state["failed"],
            by_state["cancelled"],
        )
        assert dict(overview.workers) == Counter(state for state, _ in there.values())
        assert {
            name: (worker.state, worker.task_id) for name, worker in workers.items() if worker.state != "gone"
        } == there
        assert all(
            worker.since is not None and worker.last_heartbeat for worker in workers.values() if worker.state != "gone"
        )
        assert (overview.oldest_waiting is None) == (by_state["pending"] == 0)
    assert (overview.returned, overview.started) == (1, 4)
    assert overview.success_rate == pytest.approx(4 / 5)
    assert [workers[name].state for name in sorted(workers)] == ["gone", "idle", "idle"]
