"""Workers as they stand, of a Koubou and of other programs, and what a WebSocket may say: asked of real servers."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from socket_servers import CANARY, websocket_server

from tests.planted import found
from tests.stack.backends import get_json
from tests.stack.row_truth import Sums, reading
from tests.stack.servers import wait_for
from tests.stack.sidecar import sidecar_on
from tests.stack.task_scene import following
from tests.stack.task_truth import told_standing

if TYPE_CHECKING:
    from pathlib import Path

    from websockets.sync.server import ServerConnection

    from tests.stack.servers import Stack
    from tests.stack.task_scene import Scene

LOST_S: Final = 20.0
"""A heartbeat is of a whole second: so much less one is left to see that a worker is not lost as yet."""
_WAITS_FOR_EVER: Final = "import sys; sys.stdin.read()"


def test_a_worker_without_a_heartbeat_is_lost_by_time_alone(stack: Stack, tmp_path: Path) -> None:
    """Nobody writes anything; one that is offline is not lost, one that beats again is what it says."""
    with following(stack, tmp_path, lost_s=LOST_S) as scene:
        koubou = scene.koubou
        scene.sidecar.start()
        koubou.create()
        scene.settle()

        def workers() -> Sums:
            return told_standing(stack, scene.instance)["task_workers"]

        for worker in ("worker_0", "worker_1"):
            koubou.register(worker)
        koubou.write("UPDATE workers SET status = 'offline' WHERE worker_id = 'worker_1'")
        koubou.take("worker_0")
        wait_for(lambda: workers() == {("busy",): 1, ("offline",): 1}, what="the worker has begun")
        wait_for(lambda: workers() == {("lost",): 1, ("offline",): 1}, what="the worker is lost")
        wait_for(lambda: "worker_0 lost" in scene.lines("koubou.workers"), what="it is told")
        koubou.write("UPDATE workers SET last_heartbeat = CURRENT_TIMESTAMP WHERE worker_id = 'worker_0'")
        wait_for(lambda: workers() == {("busy",): 1, ("offline",): 1}, what="the worker is back")
        assert scene.lines("koubou.workers").count("worker_0 lost") == 1


def test_who_does_what_since_when_is_one_question_to_loki(stack: Stack, tmp_path: Path) -> None:
    """The newest record of each worker: the dashboard and the monitor ask it so."""
    with following(stack, tmp_path) as scene:
        koubou = scene.koubou
        scene.sidecar.start()
        for worker in ("worker_0", "worker_1", "worker_2"):
            koubou.register(worker)
        first, second = koubou.create(), koubou.create()
        for worker in ("worker_0", "worker_1"):
            koubou.take(worker)
        koubou.finish(first, "worker_0")
        with reading(scene.path) as db:
            (since,) = db.execute(
                "SELECT CAST(strftime('%s', updated_at) AS INTEGER) FROM task_master WHERE task_id = ?", (second,)
            ).fetchone()
        busy = ("worker_1", "busy", second, since)
        wait_for(lambda: active(scene) == {busy, ("worker_0", "idle"), ("worker_2", "idle")}, what="it is answered")


def active(scene: Scene) -> set[tuple[str | int, ...]]:
    """Return what each worker does: its name, its state, what it has and since which second.

    Of two states within one second the later one is told a millisecond later.
    """
    if not scene.sidecar.databases("koubou"):
        return set()
    stream = f'{{service_name="koubou", service_instance_id="{scene.instance}"}} | ego_logger="koubou.workers"'
    query = (
        "topk by (task_worker) (1, max by (task_worker, task_worker_state, task_id)"
        f" (last_over_time({stream} | unwrap task_worker_since [24h])))"
    )
    answer = get_json(f"{scene.stack.loki.url}/loki/api/v1/query", query=query, time=time.time_ns())
    rows: set[tuple[str | int, ...]] = set()
    for one in answer["data"]["result"]:
        labels = one["metric"]
        row = (labels["task_worker"], labels["task_worker_state"])
        rows.add((*row, labels["task_id"], int(float(one["value"][1]))) if row[1] == "busy" else row)
    return rows


def test_processes_of_other_programs_are_counted_and_no_command_line_leaves(stack: Stack, tmp_path: Path) -> None:
    """Two that fit a pattern are alive, then one; what they were called with is private."""
    secret = f"hers-{time.time_ns()}"
    before = stack.collector.removals()
    with contextlib.ExitStack() as until_the_end:
        command = [sys.executable, "-c", _WAITS_FOR_EVER, secret]
        workers = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
        for worker in workers:
            until_the_end.enter_context(worker)
            until_the_end.callback(worker.kill)
        sidecar = until_the_end.enter_context(
            sidecar_on(
                tmp_path,
                stack.collector.endpoint,
                state_dir=None,
                worker_processes=f"pool={secret}",
                workers_expected="2",
            )
        )
        for there in (2, 1):
            sidecar.start()
            assert sidecar.terminate() == 0  # it tells how things stand before it ends
            assert stack.prometheus.value('task_worker_processes{group="pool", state="alive"}') == there
            workers[0].kill()
            workers[0].wait()
        assert 2 in {one.value for one in stack.prometheus.query("egoscope_workers_expected")}
        assert secret not in stack.prometheus.everything()
        assert not found([secret], sidecar.state_bytes() + sidecar.said().encode())
    assert stack.collector.removals() == before


def test_a_socket_that_lies_and_floods_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    """What a database holds is told, whatever stands in messages; they are in no request, file, log or back end."""
    said = 0

    def talk(connection: ServerConnection) -> None:
        nonlocal said
        for number in itertools.count():
            task = {"task_id": f"task_{number:05d}", "content": CANARY, "status": "completed", "summary": CANARY}
            connection.send(json.dumps({"type": "task_update", "data": task}) if number % 3 else CANARY)
            said += 1

    with websocket_server(talk) as server, following(stack, tmp_path, koubou_url=server.url) as scene:
        scene.sidecar.start()
        with scene.koubou.working():
            wait_for(lambda: scene.sidecar.databases("koubou"), what="the database is followed")
            wait_for(lambda: said > 1000, what="there is a flood")
        scene.check(spans_once=True)
        scene.check_standing()
        assert not found([CANARY], scene.sidecar.state_bytes() + scene.sidecar.said().encode())
        assert scene.sidecar.terminate() == 0
    now_s = time.time()
    assert CANARY not in stack.loki.everything(now_s - 3600, now_s) + stack.prometheus.everything()
    assert not found([CANARY], stack.tempo.raw())
