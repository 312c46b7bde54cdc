"""What Workers and Host show is what the database and the samples say: live, of one machine, and where nothing is.

The panels' own questions are asked, read from the committed dashboards.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.stack.conftest import missing
from tests.stack.filled import HOST_NAME, TASKS_LIVE, filled
from tests.stack.panels import dashboards
from tests.stack.processes import ANSWER_S, PATIENCE_S, wait_for
from tests.stack.questions import asked, looked, named
from tests.stack.servers import MissingServerError, get_json
from tests.stack.task_truth import LOST_S, name_of, standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.filled import Filled
    from tests.stack.interpolation import View
    from tests.stack.panels import Dashboard, Query
    from tests.stack.processes import Way

DAYS: Final = 1.3
RANGES: Final = {"15m": 900, "3h": 10_800, "24h": 86_400}
BUSY: Final = replace(TASKS_LIVE, per_hour=400.0)
"""So many tasks that within minutes somebody has one, and then another."""
NOT_FILLING: Final = 1e10
"""Stands for words: a disk that is not filling."""
NOBODY: Final = "nobody"
"""A machine that there is none of."""


@pytest.fixture(scope="module")
def there(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A day of life, and life going on."""
    try:
        with filled(tmp_path_factory.mktemp("tasks"), way, days=DAYS) as full, full.alive(BUSY):
            yield full
    except MissingServerError as error:
        missing(str(error))


def series(there: Filled, query: Query, at: View) -> list[Any]:
    """Return the answer of Prometheus or Loki."""
    at = at.narrowed(query)
    text = at.filled(query)
    loki = query.source == "loki"
    api = f"{there.loki.url}/loki/api/v1" if loki else f"{there.prometheus.url}/api/v1"

    def moment(time_s: float) -> float:
        return int(time_s * 1e9) if loki else time_s

    if query.instant:
        answer = get_json(f"{api}/query", query=text, time=moment(at.end_s))
    else:
        times = {"start": moment(at.start_s), "end": moment(at.end_s), "step": at.step_s(query)}
        answer = get_json(f"{api}/query_range", query=text, **times)
    return answer["data"]["result"]


def number(there: Filled, query: Query, at: View) -> float:
    (one,) = series(there, query, at)
    return float(one["value"][1])


def rows(there: Filled, sql: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{there.koubou}?mode=ro", uri=True, timeout=ANSWER_S)) as db:
        return db.execute(sql).fetchall()


@pytest.mark.parametrize("range_s", RANGES.values(), ids=RANGES)
def test_tasks_that_ended_are_as_many_as_in_the_database(there: Filled, range_s: int) -> None:
    """Each of the three numbers of the tile, and the success rate that they make."""
    workers = named("workers")
    end_s = int(time.time()) - 5.5  # between two whole seconds, which is what Koubou writes
    at = looked(workers, end_s, range_s)
    names = {"completed": "completed", "failed": "failed", "cancelled": "cancelled"}
    ended = Counter(
        dict.fromkeys(names, 0)
        | dict(
            rows(
                there,
                "SELECT status, count(*) FROM task_master WHERE status IN ('completed', 'failed', 'cancelled') "
                f"AND strftime('%s', updated_at) + 0 > {end_s - range_s} AND strftime('%s', updated_at) + 0 <= {end_s} "
                "GROUP BY 1",
            )
        )
    )
    assert ended["completed"], "a range without any task shows nothing"

    def told() -> dict[str, float]:
        return {name: number(there, asked(workers, "Ended", name), at) for name in names}

    wait_for(lambda: told() == ended, what=f"{ended} are told")
    success = ended["completed"] / (ended["completed"] + ended["failed"])
    assert number(there, asked(workers, "Success"), at) == pytest.approx(success)


def test_workers_and_the_queue_are_as_the_database_has_them(there: Filled) -> None:
    """Now, while all of it changes: both are read until they agree."""
    workers = named("workers")

    def told() -> dict[str, float]:
        at = looked(workers, time.time(), 3600)
        return {
            **{name: number(there, asked(workers, "Workers", name), at) for name in ("total", "busy", "idle", "lost")},
            "waiting": number(there, asked(workers, "Queue", "waiting"), at),
            "tasks": number(there, asked(workers, "In progress", "tasks"), at),
        }

    def stands() -> dict[str, float]:
        now = standing(there.koubou, time.time(), LOST_S)
        state = {name: now["task_workers"][name,] for name in ("busy", "idle", "lost")}
        by_state = Counter[str]()
        for (_, one), count in now["task_open"].items():
            by_state[one] += count
        taken = by_state["in_progress"] + by_state["processing"]
        return {"total": now["task_workers"].total(), **state, "waiting": by_state["pending"], "tasks": taken}

    wait_for(lambda: told() == stands(), what="the tiles say what stands in the database")


def test_who_is_busy_with_what_is_told_at_once(there: Filled) -> None:
    """The table lists exactly the workers that the database has at a task, with it, and a change when it comes."""
    workers = named("workers")
    assert workers.json["refresh"] == "1s"
    query = asked(workers, "Workers now")

    def told() -> set[tuple[str, str]]:
        found = [one["metric"] for one in series(there, query, looked(workers, time.time(), 3600))]
        busy = [one for one in found if one["task_worker_state"] == "busy"]
        return {(one["worker"].removesuffix(f" {HOST_NAME}"), name_of(one.get("task_id", ""))) for one in busy}

    def stands() -> set[tuple[str, str]]:
        found = rows(
            there, "SELECT worker_id, current_task FROM workers WHERE status IN ('busy', 'processing', 'working')"
        )
        return {(worker, name_of(task_id or "")) for worker, task_id in found}

    def agree() -> bool:
        before = stands()
        return bool(before) and told() == before

    # Tasks come by chance, and so does a time without any.
    wait_for(stands, within_s=2 * PATIENCE_S, what="somebody is busy")
    try:
        wait_for(agree, what="both name the same")
        began = stands()
        wait_for(lambda: stands() - began, within_s=2 * PATIENCE_S, what="a worker has taken another task")
        wait_for(agree, what="both name the same again")
    except AssertionError as error:
        error.add_note(f"told {told()}, stands {stands()}")
        raise


@pytest.mark.parametrize("range_s", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("course", ["CPU", "Memory", "Disk space", "Load", "Network", "Disk traffic"])
def test_the_highest_and_the_lowest_are_those_of_the_graph(there: Filled, course: str, range_s: int) -> None:
    """Beside each history: maximum and minimum of what it draws, and an average between them."""
    host = named("host")
    # A step's end, so that the graph's steps fill the range.
    end_s = (int(time.time()) - 30) // 3600 * 3600 if range_s > 3600 else (int(time.time()) - 30) // 60 * 60
    at = looked(host, end_s, range_s)
    figures = {
        name: number(there, asked(host, f"{course} in figures", name), at)
        for name in ("now", "average", "maximum", "minimum")
    }

    def drawn(legend: str) -> list[float]:
        (one,) = series(there, asked(host, course, legend), at)
        # The first point tells of the time before the range.
        return [float(value) for moment, value in one["values"] if float(moment) > end_s - range_s]

    assert figures["maximum"] == pytest.approx(max(drawn("highest")))
    assert figures["minimum"] == pytest.approx(min(drawn("lowest")))
    assert figures["minimum"] <= figures["average"] <= figures["maximum"]
    (mean,) = series(there, asked(host, course, "{{instance}}"), at)
    assert mean["metric"] == {"instance": HOST_NAME}


ABOUT_MACHINES: Final = [
    pytest.param(one, query, id=f"{one.name} / {query.what}")
    for one in dashboards()
    for query in one.queries()
    if query.source in {"prometheus", "loki"} and query.kind == "query" and "$host" in query.text
]


@pytest.mark.parametrize(("dashboard", "query"), ABOUT_MACHINES)
def test_of_a_machine_that_there_is_none_of_nothing_is_shown(there: Filled, dashboard: Dashboard, query: Query) -> None:
    """No panel that has a choice of machines shows what another machine told: zeros and words at most."""
    answer = series(there, query, looked(dashboard, time.time(), 3600, host=NOBODY))
    values = [float(value[1]) for one in answer for value in (one.get("values") or [one["value"]])]
    assert not [value for value in values if value not in {0, NOT_FILLING}], query.text


@pytest.mark.parametrize(
    ("name", "panel", "legend"),
    [
        ("workers", "Workers", "total"),
        ("workers", "Ended", "completed"),
        ("host", "Machines", ""),
        ("now", "Last event", ""),
    ],
)
def test_a_machine_can_be_chosen(there: Filled, name: str, panel: str, legend: str) -> None:
    """Choosing the only machine shows as much as all of them, as soon as there is something."""
    dashboard = named(name)
    query = asked(dashboard, panel, legend)

    def is_something() -> bool:
        end_s = time.time() - 5
        every = number(there, query, looked(dashboard, end_s, 3600))
        assert number(there, query, looked(dashboard, end_s, 3600, host=HOST_NAME)) == every
        return every > 0

    wait_for(is_something, what=f"{panel} shows something")
