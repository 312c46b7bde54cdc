"""The recorded database of the real Kagura: all that is told agrees with plain SQL, and no planted secret leaves."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest
from disk import left_by
from kagura_rows import Executing, canaries, recorded, rows_of
from planted import found

from egoscope.config import load_settings
from egoscope.sources.kagura import EXECUTIONS
from egoscope.sources.row_format import Times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from egoscope.model.record import RowRecord

MODEL_CALLS: Final = """
SELECT agent_name, json_extract(event.value, '$.data.model') AS model, count(*),
    sum(json_extract(event.value, '$.data.prompt_tokens')), sum(json_extract(event.value, '$.data.completion_tokens')),
    sum(CAST(round(json_extract(event.value, '$.data.cost') * 1e9) AS INTEGER))
FROM executions, json_each(events) AS event
WHERE json_extract(event.value, '$.type') = 'llm_call' GROUP BY 1, 2
"""
OTHER_EVENTS: Final = """
SELECT agent_name, json_extract(event.value, '$.data.' || ?) AS name, count(*)
FROM executions, json_each(events) AS event WHERE json_extract(event.value, '$.type') = ? GROUP BY 1, 2
"""


def ask(query: str, *parameters: str) -> list[tuple[Any, ...]]:
    """Return what plain SQL says."""
    with closing(sqlite3.connect(f"file:{recorded()}?mode=ro", uri=True)) as db:
        return db.execute(query, parameters).fetchall()


def converted(*, restart_every: int = 0) -> Executing:
    """Convert the database as it would have been followed: each row is seen running, then final, in time order."""
    executing = Executing()
    moments: list[tuple[int, bool, RowRecord]] = []
    for rowid, row in rows_of(recorded()):
        times = executing.format.times(EXECUTIONS, row)
        assert isinstance(times, Times)
        assert times.end_ns is not None
        about = (EXECUTIONS, rowid, str(row["id"]).encode().hex(), row, times)
        moments.append((times.start_ns, False, executing.format.begun(*about)))
        moments.append((times.end_ns, True, executing.format.ended(*about)))
    for place, (_, final, record) in enumerate(sorted(moments, key=lambda one: one[:2]), 1):
        if final:
            executing.conversion.ended(record)
        else:
            executing.conversion.started(record)
        if restart_every and place % restart_every == 0:
            executing.drain()
            executing = executing.restarted()
    executing.drain()
    return executing


def last(executing: Executing, metric: str, *labels: str) -> dict[tuple[str, ...], Any]:
    """Return by labels what each series of a metric says last; of a histogram its sum and its number."""
    found_: dict[tuple[str, ...], Any] = {}
    for (name, attributes), points in executing.sent.points.items():
        if name == metric:
            value = points[-1][1]
            by = dict(attributes)
            found_[tuple(str(by[label]) for label in labels)] = (
                (value[0], sum(value[1])) if isinstance(value, tuple) else value
            )
    return found_


@pytest.mark.parametrize("restart_every", [0, 1, 7])
def test_counts_tokens_and_costs_are_those_of_the_database(restart_every: int) -> None:
    """Exactly, whatever restarts there are."""
    executing = converted(restart_every=restart_every)
    outcomes = {"completed": "ok", "failed": "error"}
    assert last(executing, "agent.executions", "agent", "outcome") == {
        (agent, outcomes[status]): count
        for agent, status, count in ask("SELECT agent_name, status, count(*) FROM executions GROUP BY 1, 2")
    }
    durations = last(executing, "agent.execution.duration", "agent")
    for agent, seconds, count in ask("SELECT agent_name, sum(duration), count(*) FROM executions GROUP BY 1"):
        assert durations[agent,] == (pytest.approx(seconds, abs=1e-4), count)
    agent_name, model_name = "gen_ai.agent.name", "gen_ai.request.model"
    calls = last(executing, "gen_ai.client.operation.duration", agent_name, model_name)
    tokens = last(executing, "gen_ai.client.token.usage", agent_name, model_name, "gen_ai.token.type")
    costs = last(executing, "agent.cost.usd", "agent", "model")
    truth = ask(MODEL_CALLS)
    assert {by: count for by, (_, count) in calls.items()} == {(agent, model): n for agent, model, n, *_ in truth}
    assert tokens == {
        (agent, model, type_): (amount, n)
        for agent, model, n, given, taken, _ in truth
        for type_, amount in (("input", given), ("output", taken))
    }
    assert {by: round(usd * 1e9) for by, usd in costs.items()} == {(agent, model): c for agent, model, *_, c in truth}
    assert all(usd == round(usd, 9) for usd in costs.values())
    month: Counter[tuple[str, ...]] = Counter()
    for agent, *_, cost in truth:
        month[agent,] += cost
    assert {by: round(usd * 1e9) for by, usd in last(executing, "agent.cost.month.usd", "agent").items()} == month
    assert last(executing, "agent.cost.unknown") == {}
    tools = last(executing, "gen_ai.execute_tool.duration", agent_name, "gen_ai.tool.name")
    assert {by: count for by, (_, count) in tools.items()} == {
        (agent, tool): count for agent, tool, count in ask(OTHER_EVENTS, "tool_name", "tool_call")
    }
    assert last(executing, "agent.memory.operations", "agent", "operation") == {
        (agent, operation): count for agent, operation, count in ask(OTHER_EVENTS, "operation", "memory_operation")
    }


def test_every_execution_and_event_is_one_span_and_every_execution_one_log_record() -> None:
    """And none of them runs at the end."""
    executing = converted()
    ((executions,),) = ask("SELECT count(*) FROM executions")
    ((events,),) = ask("SELECT count(*) FROM executions, json_each(events)")
    assert len({span.span_id for span in executing.sent.spans}) == len(executing.sent.spans) == executions + events
    assert len({span.trace_id for span in executing.sent.spans}) == len(executing.sent.logs) == executions
    assert set(last(executing, "agent.running", "agent").values()) == {0}
    assert not executing.conversion.waits


def test_the_points_of_each_series_are_in_time_order() -> None:
    points = converted().sent.points
    assert len(points) > 60
    assert [
        name for (name, _), one in points.items() if [time for time, _ in one] != sorted({time for time, _ in one})
    ] == []


def test_no_planted_secret_is_on_disk_or_in_the_own_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While requests wait, and after they are in the embedded store; the database itself is as it was."""
    caplog.set_level(logging.DEBUG)
    database = tmp_path / "kagura" / "telemetry.db"
    database.parent.mkdir()
    shutil.copy(recorded(), database)
    before = database.read_bytes()
    state_dir, log = tmp_path / "state", tmp_path / "none.log"
    settings = load_settings(
        EGO_MCP_LOG_PATH=str(log), kagura_path=str(database), state_dir=state_dir, backend="embedded", health_port=0
    )
    outputs_ = [*left_by(settings), caplog.text.encode()]
    assert b"invoke_agent code_review_agent" in outputs_[2], "the store was filled"
    assert found(canaries(), b"\n".join(outputs_)) == []
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == ["telemetry.db"]


def outputs(executing: Executing) -> Iterator[bytes]:
    """Yield all that leaves or is kept."""
    yield executing.sent.raw
    yield executing.kept()
    yield str([policy.drain_audit() for policy in executing.format.policies]).encode()


def test_no_planted_secret_is_sent_or_kept() -> None:
    """In any form, and in no repr of what stands between."""
    executing = converted(restart_every=5)
    planted = canaries()
    assert len(planted) > 100
    with closing(sqlite3.connect(f"file:{recorded()}?mode=ro", uri=True)) as db:
        everything = json.dumps(db.execute("SELECT * FROM executions").fetchall()).encode()
    assert len(found(planted, everything)) > 100, "they are in the database"
    assert found(planted, b"\n".join(outputs(executing))) == []
