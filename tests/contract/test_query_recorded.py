"""On the recorded databases of the real programs: what the query API says is what plain SQL over them says."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from egoscope.config import load_settings
from egoscope.query.embedded import EmbeddedQuery
from egoscope.store.kinds import NANO
from egoscope.wiring import Sidecar
from tests.query_stack import query_stack
from tests.recorded import FOLDER
from tests.stack.conftest import missing
from tests.stack.processes import MissingServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from egoscope.query import Query

KAGURA: Final = FOLDER / "kagura" / "telemetry.db"
ILLUMO: Final = FOLDER / "illumo" / "illumo_trace.db"
KOUBOU: Final = FOLDER / "koubou" / "koubou.db"
LAST: Final = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
OUTCOMES: Final = {"completed": "ok", "failed": "error"}

pytestmark = pytest.mark.skipif(not KAGURA.exists(), reason="the recorded databases are not beside the repository")

Row = tuple[str, dt.datetime, str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Every execution as (agent, end, outcome, events), by its end."""
    with closing(sqlite3.connect(f"{KAGURA.as_uri()}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT agent_name, ended_at, status, events FROM executions ORDER BY ended_at").fetchall()
    return [(agent, time(end), OUTCOMES[status], json.loads(events)) for agent, end, status, events in found]


@pytest.fixture(scope="module", params=["embedded", "stack"])
def query(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """A query over what the sidecar made of the recorded databases."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        follow(directory, backend="embedded")
        with EmbeddedQuery(directory / "store.db", now=lambda: LAST) as made:
            yield made
        return
    try:
        with query_stack(directory) as servers:
            follow(directory, collector_endpoint=servers.collector.endpoint)
            with servers.query(lambda: LAST) as made:
                yield made
    except MissingServerError as error:
        missing(str(error))


def follow(directory: Path, **settings: str) -> None:
    """Let the sidecar read both databases to their ends and send everything."""
    (directory / "no-logs").mkdir()
    sidecar = Sidecar(
        load_settings(
            EGO_MCP_LOG_PATH=str(directory / "no-logs"),
            kagura_path=str(KAGURA),
            illumo_path=str(ILLUMO),
            koubou_path=str(KOUBOU),
            state_dir=directory,
            telemetry=False,
            **settings,
        )
    )
    try:
        sidecar.drain()
    finally:
        sidecar.close()


def ranges(rows: list[Row]) -> list[tuple[dt.datetime | None, dt.datetime | None]]:
    """Everything, and everything from shortly before the first: all of it ended within two seconds."""
    return [(None, None), (rows[0][1] - dt.timedelta(seconds=2), LAST)]


@pytest.mark.parametrize("agent", [None, "my_agent", "code_review_agent", "translation_agent"])
def test_counts_tokens_and_costs_are_the_databases(query: Query, rows: list[Row], agent: str | None) -> None:
    for since, until in ranges(rows):
        truth = [row for row in rows if agent in (None, row[0])]
        calls = [call for row in truth for call in of_type(row, "llm_call")]
        expected = {
            ("executions", "count"): len(truth),
            ("executions", "success_rate"): sum(row[2] == "ok" for row in truth) / len(truth),
            ("duration", "count"): len(truth),
            ("model_calls", "count"): len(calls),
            ("tool_calls", "count"): sum(len(of_type(row, "tool_call")) for row in truth),
            ("input_tokens", "sum"): sum(call["prompt_tokens"] for call in calls),
            ("output_tokens", "sum"): sum(call["completion_tokens"] for call in calls),
            ("cost", "sum"): sum(round(call["cost"] * NANO) for call in calls) / NANO,
        }
        assert {pair: query.get_metrics(agent, *pair, since, until) for pair in expected} == expected


def test_costs_by_day_agent_and_model_are_the_databases(query: Query, rows: list[Row]) -> None:
    truth: defaultdict[tuple[dt.date, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        for call in of_type(row, "llm_call"):
            sums = truth[row[1].date(), row[0], call["model"]]
            amounts = (1, call["prompt_tokens"], call["completion_tokens"], round(call["cost"] * NANO))
            sums[:] = [old + new for old, new in zip(sums, amounts, strict=True)]
    told = query.get_cost_summary()
    assert {
        (row.day, row.agent, row.model): [row.calls, row.input_tokens, row.output_tokens, round(row.cost_usd * NANO)]
        for row in told.rows
    } == truth
    assert told.calls_of_unknown_price == 0


def test_agents_models_and_tools_are_the_databases(query: Query, rows: list[Row]) -> None:
    agents = Counter(row[0] for row in rows)
    models = Counter(call["model"] for row in rows for call in of_type(row, "llm_call"))
    tools = Counter(call["tool_name"] for row in rows for call in of_type(row, "tool_call"))
    told = query.agents(rows[0][1] - dt.timedelta(hours=1))
    assert {one.agent: one.executions for one in told} == agents
    assert {one.agent: one.errors for one in told} == {
        agent: sum(row[0] == agent and row[2] == "error" for row in rows) for agent in agents
    }
    assert {one.agent: one.last_end for one in told} == {row[0]: row[1] for row in rows}
    assert {one.model: one.calls for one in query.models_used()} == models
    assert {one.tool: one.calls for one in query.tools_used()} == tools


def test_flows_and_nodes_are_the_databases(query: Query) -> None:
    with closing(sqlite3.connect(f"{ILLUMO.as_uri()}?mode=ro", uri=True)) as db:
        spans = db.execute("SELECT span_id, trace_id, kind, name, status FROM spans").fetchall()
    told = query.flows()
    runs = [span for span in spans if span[2] == "flow"]
    assert sum(one.runs for one in told) == len(runs)
    assert sum(one.errors for one in told) == sum(span[4] == "ERROR" for span in runs)
    assert sum(node.runs for one in told for node in one.nodes) == len(spans) - len(runs)
    each = query.get_flow_runs(limit=1000)
    assert Counter((one.flow, one.outcome) for one in each) == Counter(
        (span[3], "error" if span[4] == "ERROR" else "ok") for span in runs
    )


def test_tasks_and_workers_are_the_databases(query: Query) -> None:
    """All of it happened within one second."""
    with closing(sqlite3.connect(f"{KOUBOU.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        rows = db.execute("SELECT task_id, status, assigned_to, created_at FROM task_master").fetchall()
        workers = {
            name: counts for name, *counts in db.execute("SELECT worker_id, tasks_completed, tasks_failed FROM workers")
        }
    states = Counter(status for _, status, _, _ in rows)
    at = dt.datetime.fromisoformat(rows[0][3]).replace(tzinfo=dt.UTC)
    second = dt.timedelta(seconds=0.5)
    for since, until in ((None, None), (at - second, at + second)):
        told = query.get_task_overview(since, until)
        assert (told.created, told.started, told.returned) == (len(rows), sum(row[2] is not None for row in rows), 0)
        assert (told.completed, told.failed, told.cancelled) == (states["completed"], states["failed"], 0)
        assert {one.name: [one.completed, one.failed] for one in query.get_workers(since, until)} == workers
        tasks = query.get_tasks(since=since, until=until)
        assert {(one.task_id, one.worker, one.ended) for one in tasks} == {
            (name, worker, at) for name, status, worker, _ in rows if status in ("completed", "failed")
        }
        assert Counter(one.outcome for one in tasks) == {"ok": states["completed"], "error": states["failed"]}
    later = query.get_task_overview(at + second)
    assert (later.created, later.started, later.ended) == (0, 0, 0)


def of_type(row: Row, type_: str) -> list[dict[str, Any]]:
    return [event["data"] for event in row[3] if event["type"] == type_]


def time(seconds: float) -> dt.datetime:
    """As the sidecar reads it: whole nanoseconds; as the query API tells it: whole microseconds."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=round(seconds * 1e9) // 1000)
