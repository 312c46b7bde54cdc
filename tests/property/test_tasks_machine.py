"""Whatever a Koubou does, what is told of it agrees with plain SQL after each look, and everything is counted once.

How many tasks are in which state, and how the workers are, is what the database says at the moment of the look.
Creations and ends are those that happened, but for a task that was deleted before anybody looked. Starts and returns
are those that a look can know: of a task that it finds with a worker, or back in the queue, or ended with a name on it.
A task that ended may end in another way, or be open again: each of these counts, too. Its trace is told once.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from koubou_rows import LOST_S, SECRET, Koubou, Watching

picks = st.integers(0, 1000)
workers = st.sampled_from(["worker_0", "worker_1", "remote_2", "Zoë's"])
priorities = st.sampled_from([1, 5, 10])
ends = st.sampled_from(["completed", "failed", "cancelled"])
FINAL: Final = "status IN ('completed', 'failed', 'cancelled')"
OUTCOMES: Final = {"completed": "ok", "failed": "error", "cancelled": "cancelled"}
WORKED_ON: Final = frozenset({"in_progress", "processing"})


class Seen:
    """What looks have seen of one task."""

    def __init__(self) -> None:
        self.has_started = False
        self.ended_as = ""
        self.worker: str | None = None


class Life(RuleBasedStateMachine):
    """A Koubou, a feed that looks at it now and then, and what can be known by that."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.koubou = Koubou(self.folder / "koubou.db")
        self.serial = 0
        self.seen: dict[str, Seen] = {}
        self.created: Counter[Any] = Counter()
        self.started: Counter[Any] = Counter()
        self.returned: Counter[Any] = Counter()
        self.ended: Counter[Any] = Counter()
        self.traces: set[str] = set()
        self.by_worker: Counter[Any] = Counter()
        self.watching: Watching | None = None

    @initialize(page_rows=st.sampled_from([1, 2, 500]), tasks=st.integers(0, 4), names=st.sets(workers))
    def start(self, page_rows: int, tasks: int, names: set[str]) -> None:
        for _ in range(tasks):
            self.create(5, "task")
        for name in sorted(names):
            self.koubou.register(name)
        self.watching = Watching(self.koubou, page_rows=page_rows)

    def teardown(self) -> None:
        try:
            if self.watching is not None:
                self.look()
        finally:
            if self.watching is not None:
                self.watching.feed.close()
            shutil.rmtree(self.folder)

    def pick(self, number: int, condition: str) -> str | None:
        """Return one of the tasks for which this is so."""
        found = self.koubou.ask(f"SELECT task_id FROM task_master WHERE {condition} ORDER BY task_id")
        return found[number % len(found)][0] if found else None

    # --- Koubou ------------------------------------------------------------------------------------------------------

    @rule(priority=priorities, kind=st.sampled_from(["task", "task", "a name of one's own"]))
    def create(self, priority: int, kind: str) -> None:
        self.serial += 1
        self.koubou.create(f"{kind}_{self.serial:05}", priority)

    @rule(number=picks, worker=workers, status=st.sampled_from(["in_progress", "in_progress", "processing", "odd"]))
    def take(self, number: int, worker: str, status: str) -> None:
        if (task := self.pick(number, "status = 'pending'")) is not None:
            self.koubou.take(task, worker, status)

    @rule(number=picks, worker=workers)
    def take_without_a_time(self, number: int, worker: str) -> None:
        if (task := self.pick(number, "status = 'pending'")) is not None:
            self.koubou.put(task, status="in_progress", assigned_to=worker)

    @rule(number=picks, status=ends)
    def end(self, number: int, status: str) -> None:
        if (task := self.pick(number, "status NOT IN ('completed', 'failed', 'cancelled')")) is not None:
            self.koubou.end(task, status)

    @rule(number=picks, status=ends)
    def end_again(self, number: int, status: str) -> None:
        """Whoever had it does not know that it ended."""
        if (task := self.pick_ended(number)) is not None:
            self.koubou.put(task, status=status, updated_at=self.koubou.stamp)

    @rule(number=picks, worker=workers, status=st.sampled_from(["pending", "pending", "in_progress", "odd"]))
    def try_again(self, number: int, worker: str, status: str) -> None:
        if (task := self.pick_ended(number)) is not None:
            holder = None if status == "pending" else worker
            self.koubou.put(task, status=status, assigned_to=holder, updated_at=self.koubou.stamp)

    def pick_ended(self, number: int) -> str | None:
        """Return one that ended so lately that it is surely looked at again."""
        lately = self.koubou.now - 600
        return self.pick(number, f"{FINAL} AND unixepoch(updated_at) > {lately}")

    @rule(number=picks, priority=priorities)
    def put_elsewhere_in_the_queue(self, number: int, priority: int) -> None:
        if (task := self.pick(number, "status NOT IN ('completed', 'failed', 'cancelled')")) is not None:
            self.koubou.put(task, priority=priority, updated_at=self.koubou.stamp)

    @rule(number=picks, final=st.booleans())
    def delete(self, number: int, *, final: bool) -> None:
        if (task := self.pick(number, "status = 'completed'" if final else "1")) is not None:
            self.koubou.run(("DELETE FROM task_master WHERE task_id = ?", [task]))

    @rule()
    def clear(self) -> None:
        self.koubou.run("DELETE FROM task_master WHERE status IN ('completed', 'failed', 'cancelled')")

    @rule(worker=workers)
    def register(self, worker: str) -> None:
        self.koubou.register(worker)

    @rule(worker=workers)
    def heartbeat(self, worker: str) -> None:
        self.koubou.heartbeat(worker)

    @rule(worker=workers)
    def go_offline(self, worker: str) -> None:
        self.koubou.run(("UPDATE workers SET status = 'offline' WHERE worker_id = ?", [worker]))

    @rule(worker=workers)
    def unregister(self, worker: str) -> None:
        self.koubou.run(("DELETE FROM workers WHERE worker_id = ?", [worker]))

    @rule()
    def clean_up(self) -> None:
        self.koubou.clean_up()

    # --- time and the sidecar ----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1, 7, LOST_S, 2 * LOST_S]))
    def time_passes(self, seconds: float) -> None:
        self.koubou.now += seconds

    @rule(pages=st.integers(0, 2))
    def restart(self, pages: int) -> None:
        assert self.watching is not None
        for _ in range(pages):
            self.watching.once()
        self.watching = self.watching.restarted()
        if pages:
            self.look()

    @rule()
    def look(self) -> None:
        assert self.watching is not None
        self.watching.look().tick()
        self.know()
        self.compare()

    def know(self) -> None:
        """Take note of what a look at this moment sees."""
        for task, status, priority, worker in self.koubou.ask(
            "SELECT task_id, status, priority, assigned_to FROM task_master"
        ):
            by = str(priority)
            if task not in self.seen:
                self.created[by,] += 1
            seen = self.seen.setdefault(task, Seen())
            if status == seen.ended_as:
                continue
            if seen.ended_as and status not in OUTCOMES:
                self.returned[by,] += 1
                seen.ended_as = ""
            name = "_OTHER" if worker == "Zoë's" else worker
            if seen.worker is not None and (status == "pending" or worker not in (None, seen.worker)):
                self.returned[by,] += 1
                seen.worker = None
            if status in OUTCOMES:
                self.ended[by, OUTCOMES[status]] += 1
                self.started[by,] += worker is not None and not seen.has_started
                seen.has_started |= worker is not None
                self.traces.add(task)
                if worker is not None:
                    self.by_worker[name, OUTCOMES[status]] += 1
                seen.ended_as, seen.worker = status, None
            elif status in WORKED_ON:
                self.started[by,] += not seen.has_started
                seen.has_started = True
                seen.worker = worker

    def compare(self) -> None:
        """What was told last is what plain SQL says, and what was counted is what could be known."""
        assert self.watching is not None
        told = self.watching.some
        ask = self.koubou.ask
        state = "CASE WHEN status IN ('pending', 'in_progress', 'processing', {}) THEN status ELSE '_OTHER' END"
        final = "'completed', 'failed', 'cancelled'"
        by_state = ask(f"SELECT {state.format(final)}, count(*) FROM task_master GROUP BY 1")
        assert told("task.stored", "state") == {(one,): number for one, number in by_state}
        is_open = f"status NOT IN ({final})"
        by_priority = ask(
            f"SELECT {state.format('NULL')}, priority, count(*) FROM task_master WHERE {is_open} GROUP BY 1, 2"
        )
        assert told("task.open", "state", "priority") == {(one, str(two)): number for one, two, number in by_priority}
        oldest = ask("SELECT unixepoch(min(created_at)) FROM task_master WHERE status = 'pending'")[0][0]
        assert told("task.open.oldest", "state").get(("pending",)) == oldest
        now = int(self.koubou.now * 10**9) / 10**9
        silent = f"{now} - unixepoch(last_heartbeat) > {LOST_S}"
        worker_state = f"CASE WHEN status <> 'offline' AND {silent} THEN 'lost' ELSE status END"
        by_worker = ask(f"SELECT {worker_state}, count(*) FROM workers GROUP BY 1")
        assert told("task.workers", "state") == {(one,): number for one, number in by_worker}
        by_name = ask(f"SELECT DISTINCT worker_id, {worker_state} FROM workers")
        assert told("task.worker.state", "worker", "state") == {
            ("_OTHER" if name == "Zoë's" else name, one): 1 for name, one in by_name
        }
        assert told("task.created", "priority") == +self.created
        assert told("task.started", "priority") == +self.started
        assert told("task.returned", "priority") == +self.returned
        assert told("task.ended", "priority", "outcome") == +self.ended
        assert told("task.worker.tasks", "worker", "outcome") == +self.by_worker
        spans = [span for sent in self.watching.sents.values() for span in sent.spans]
        assert len(spans) == len(self.traces) == len({span.trace_id for span in spans})
        assert sum(" after " in one or "completed in" in one for one in self.watching.bodies()) == self.ended.total()
        assert sum(" created" in body for body in self.watching.bodies()) == sum(self.created.values())
        for sent in self.watching.sents.values():
            for points in sent.points.values():
                times = [time_ms for time_ms, _ in points]
                assert times == sorted(set(times))
        kept = b"".join(self.watching.kept.values()) + b"".join(sent.raw for sent in self.watching.sents.values())
        for private in (SECRET, "a name of one", "Zoë"):
            assert private.encode() not in kept


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
