"""From executions to spans, log records and points: what counts, when it counts, and what runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
from converted import scalars
from kagura_rows import DAY_S, START_S, Executing, converted, execution, memory_operation, model_call, tool_call

from egoscope.convert.agents import MAX_AGENTS, MAX_MODELS, MAX_TOOLS

if TYPE_CHECKING:
    from converted import Sent, Value

START_MS: Final = round(START_S * 1000)
AGENT: Final = "gen_ai.agent.name"
MONTH_END_S: Final = datetime(2026, 12, 1, tzinfo=UTC).timestamp() - START_S
"""Seconds from the start to the turn of the month."""


def at(points: list[tuple[int, Value]]) -> list[tuple[float, Value]]:
    """Return points with their times in seconds after the start."""
    return [((time_ms - START_MS) / 1000, value) for time_ms, value in points]


def counted(sent: Sent, metric: str, **attributes: str) -> Value:
    """Return what a series says last."""
    return sent.series(metric, **attributes)[-1][1]


def observed(sent: Sent, metric: str, **attributes: str) -> tuple[float, int]:
    """Return the sum and the number of what a histogram observed."""
    value = counted(sent, metric, **attributes)
    assert isinstance(value, tuple)
    return value[0], sum(value[1])


CHAT: Final = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def test_an_execution_is_a_trace() -> None:
    """A root, and a child for everything it did; an event's time is its end."""
    sent = converted(execution(0, 2, model_call(1), tool_call(1.5), memory_operation(1.75)))
    *children, root = sent.spans
    assert {span.trace_id for span in sent.spans} == {root.trace_id}
    assert [(span.parent_span_id, root.parent_span_id) for span in children] == [(root.span_id, b"")] * 3
    assert len({span.span_id for span in sent.spans}) == 4
    told = [
        (
            span.name,
            span.kind,
            (span.start_time_unix_nano // 10**6 - START_MS) / 1000,
            (span.end_time_unix_nano // 10**6 - START_MS) / 1000,
            scalars(span.attributes),
        )
        for span in sent.spans
    ]
    internal, client = 1, 3
    usage = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, "agent.cost.usd": 0.001}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search_tool", AGENT: "my_agent"}
    invoked = {"gen_ai.operation.name": "invoke_agent", AGENT: "my_agent", "agent.outcome": "ok"}
    assert told == [
        ("chat gpt-4o", client, 0.5, 1.0, {**CHAT, AGENT: "my_agent", **usage}),
        ("execute_tool search_tool", internal, 1.25, 1.5, tool),
        ("memory lookup", internal, 1.625, 1.75, {"agent.memory.operation": "lookup", AGENT: "my_agent"}),
        ("invoke_agent my_agent", internal, 0.0, 2.0, invoked | usage),
    ]
    assert {span.status.code for span in sent.spans} == {0}


@pytest.mark.parametrize(
    ("columns", "outcome", "error", "body", "severity"),
    [
        pytest.param({}, "ok", None, "my_agent completed in 2000 ms", "INFO", id="completed"),
        pytest.param(
            {"status": "failed", "error": "ValueError: x"},
            *("error", "ValueError", "my_agent failed after 2000 ms", "ERROR"),
            id="failed",
        ),
        pytest.param(
            {"status": "failed"},
            "error",
            "_OTHER",
            "my_agent failed after 2000 ms",
            "ERROR",
            id="failed, no one knows why",
        ),
        pytest.param(
            {"status": "running"}, "unfinished", "_OTHER", "my_agent unfinished", "WARNING", id="cancelled: it ended so"
        ),
        pytest.param(
            {"status": "new"}, "ok", None, "my_agent completed in 2000 ms", "INFO", id="a status nobody knows"
        ),
        pytest.param(
            {"status": None, "error": "x"},
            *("error", "_OTHER", "my_agent failed after 2000 ms", "ERROR"),
            id="no status, but an error",
        ),
        pytest.param(
            {"agent_name": "two words"}, "ok", None, "_OTHER completed in 2000 ms", "INFO", id="an agent without a name"
        ),
    ],
)
def test_how_it_ended_is_told_by_span_log_and_count(
    columns: dict[str, Any], outcome: str, error: str | None, body: str, severity: str
) -> None:
    sent = converted(execution(0, 2, **columns))
    (span,), (log,) = sent.spans, sent.logs
    agent = body.split(maxsplit=1)[0]
    about = {AGENT: agent, "agent.outcome": outcome} | ({"error.type": error} if error else {})
    assert scalars(span.attributes) == about | {"gen_ai.operation.name": "invoke_agent"}
    assert (span.status.code, span.status.message) == (0 if outcome == "ok" else 2, "")
    assert (log.body.string_value, log.severity_text) == (body, severity)
    assert scalars(log.attributes) == about | {"ego.logger": "kagura"}
    assert (log.trace_id, log.span_id) == (span.trace_id, span.span_id)
    assert counted(sent, "agent.executions", agent=agent, outcome=outcome) == 1
    assert observed(sent, "agent.execution.duration", agent=agent) == (2.0, 1)


def test_everything_used_counts_at_the_moment_the_execution_ended() -> None:
    """Also what was used an hour before."""
    sent = converted(execution(0, 3600, model_call(1), tool_call(2), memory_operation(3)))
    by_agent = CHAT | {AGENT: "my_agent"}
    assert at(sent.series("agent.cost.usd", agent="my_agent", model="gpt-4o")) == [(3599.999, 0), (3600, 0.001)]
    assert at(sent.series("agent.memory.operations", agent="my_agent", operation="lookup"))[-1] == (3600, 1)
    assert at(sent.series("gen_ai.client.operation.duration", **by_agent))[-1][0] == 3600
    assert observed(sent, "gen_ai.client.operation.duration", **by_agent) == (0.5, 1)
    assert observed(sent, "gen_ai.client.token.usage", **by_agent, **{"gen_ai.token.type": "input"}) == (100, 1)
    assert observed(sent, "gen_ai.client.token.usage", **by_agent, **{"gen_ai.token.type": "output"}) == (10, 1)
    tool = {"gen_ai.tool.name": "search_tool", AGENT: "my_agent"}
    assert observed(sent, "gen_ai.execute_tool.duration", **tool) == (0.25, 1)


def test_a_call_counts_though_it_tells_no_duration_and_no_tokens() -> None:
    """And zero tokens are an observation, none are not."""
    untold = {"duration": None, "prompt_tokens": 0, "completion_tokens": None}
    sent = converted(execution(0, 2, model_call(1, **untold), tool_call(1, duration="long")))
    by_agent = CHAT | {AGENT: "my_agent"}
    assert observed(sent, "gen_ai.client.operation.duration", **by_agent) == (0.0, 1)
    assert observed(sent, "gen_ai.client.token.usage", **by_agent, **{"gen_ai.token.type": "input"}) == (0, 1)
    assert sent.series("gen_ai.client.token.usage", **by_agent, **{"gen_ai.token.type": "output"}) == []
    assert (
        observed(sent, "gen_ai.execute_tool.duration", **{"gen_ai.tool.name": "search_tool", AGENT: "my_agent"})[1] == 1
    )


def test_an_unknown_cost_is_counted_as_unknown_and_in_no_cost() -> None:
    """The trace has a total only where all of it is known; what is known counts."""
    events = [model_call(1), model_call(1, model="new-model", cost=0)]
    sent = converted(execution(0, 2, *events))
    assert counted(sent, "agent.cost.unknown", agent="my_agent", model="new-model") == 1
    assert sent.series("agent.cost.usd", agent="my_agent", model="new-model") == []
    assert sent.total("agent.cost.usd") == 0.001
    assert counted(sent, "agent.cost.month.usd", agent="my_agent") == 0.001
    assert ["agent.cost.usd" in scalars(span.attributes) for span in sent.spans] == [True, False, False]
    assert scalars(sent.spans[-1].attributes)["gen_ai.usage.input_tokens"] == 200


def test_sums_of_costs_are_whole_nano_dollars() -> None:
    """A thousand times a tenth of a cent, as floats add up, would be off in the last places."""
    executing = Executing()
    for second in range(1000):
        executing.ended(execution(second, second + 1, model_call(second + 1, cost=0.0001)))
    executing.drain()
    totals = [value for _, value in executing.sent.series("agent.cost.usd", agent="my_agent", model="gpt-4o")]
    assert totals[-1] == 0.1
    assert all(value == round(value, 9) for value in totals if isinstance(value, float))
    assert counted(executing.sent, "agent.cost.month.usd", agent="my_agent") == 0.1


def test_what_runs_is_shown_from_its_start_to_its_end() -> None:
    """How many of each agent, and since when the longest; 0 where none runs."""
    executing = Executing()
    for start_s, agent in ((1, "a"), (10, "a"), (20, "b")):
        executing.started(execution(start_s, agent_name=agent))
    executing.ended(execution(1, 30, agent_name="a"))
    executing.ended(execution(10, 40, agent_name="a"))
    executing.drain()
    sent = executing.sent
    assert at(sent.series("agent.running", agent="a")) == [(1, 1), (10, 2), (29.999, 2), (30, 1), (40, 0)]
    oldest = at(sent.series("agent.running.oldest", agent="a"))
    assert oldest == [(1, START_S + 1), (29.999, START_S + 1), (30, START_S + 10), (40, 0)]
    assert at(sent.series("agent.running", agent="b")) == [(20, 1)]
    assert executing.conversion.waits


def test_one_that_was_never_seen_running_counts_and_was_not_running() -> None:
    sent = converted(execution(0, 2))
    assert sent.series("agent.running", agent="my_agent") == []
    assert counted(sent, "agent.executions", agent="my_agent", outcome="ok") == 1


def test_one_that_is_gone_runs_no_more_and_counts_nowhere() -> None:
    executing = Executing()
    record = executing.started(execution(0))
    executing.ended(execution(1, 2, agent_name="other"))
    executing.conversion.gone(record.key)
    executing.conversion.gone(record.key)
    executing.drain()
    assert at(executing.sent.series("agent.running", agent="my_agent")) == [(0, 1), (2, 0)]
    assert not executing.conversion.waits
    assert [log.body.string_value for log in executing.sent.logs] == ["other completed in 1000 ms"]


def test_one_that_does_not_end_is_given_up_after_a_day() -> None:
    """At start + 24 h, though nothing more comes; it has no duration then."""
    executing = Executing()
    executing.started(execution(0))
    executing.expire(DAY_S - 0.001)
    assert executing.conversion.waits
    executing.expire(DAY_S + 500)
    executing.drain()
    sent = executing.sent
    assert not executing.conversion.waits
    assert at(sent.series("agent.executions", agent="my_agent", outcome="unfinished"))[-1] == (DAY_S, 1)
    assert at(sent.series("agent.running", agent="my_agent"))[-1] == (DAY_S, 0)
    assert sent.series("agent.execution.duration", agent="my_agent") == []
    (span,) = sent.spans
    assert scalars(span.attributes)["error.type"] == "timeout"
    assert sent.bodies() == ["my_agent unfinished"]


def test_time_that_passes_in_the_database_gives_up_too() -> None:
    """Before what comes then is told, so the order is that in which it happened."""
    executing = Executing()
    executing.started(execution(0))
    executing.ended(execution(DAY_S + 1, DAY_S + 2, agent_name="later"))
    executing.drain()
    assert executing.sent.bodies() == ["my_agent unfinished", "later completed in 1000 ms"]


def test_one_that_ends_after_it_was_given_up_counts_once_and_what_it_used_nowhere() -> None:
    executing = Executing()
    executing.started(execution(0))
    executing.expire(DAY_S)
    executing.drain()
    executing = executing.restarted()
    executing.ended(execution(0, DAY_S + 60, model_call(DAY_S + 50)))
    executing.drain()
    sent = executing.sent
    assert sent.total("agent.executions") == 1
    assert sent.total("agent.cost.usd") == 0
    assert sent.bodies() == ["my_agent unfinished"]
    assert [span.name for span in sent.spans] == ["invoke_agent my_agent"]


def test_a_restart_changes_nothing() -> None:
    """With one after each step, the very same is told as without, and what runs goes on running."""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("started", execution(0)),
        ("started", execution(5, agent_name="b")),
        ("ended", execution(5, 9, model_call(6), agent_name="b")),
        ("started", execution(30)),
        ("ended", execution(30, 31, model_call(31, model="new", cost=None), tool_call(31))),
        ("ended", execution(0, 40, memory_operation(39), model_call(38), status="failed")),
    ]
    told: list[tuple[Any, ...]] = []
    for restarts in (False, True):
        executing = Executing()
        for step, row in steps:
            getattr(executing, step)(row)
            executing.drain()
            if restarts:
                executing = executing.restarted()
        sent = executing.sent
        told.append((sent.spans, sent.logs, dict(sent.points), executing.conversion.state))
    assert told[0] == told[1]
    assert [name for name, _ in told[0][2] if name == "agent.running"] == ["agent.running"] * 2


def test_the_cost_of_the_month_begins_anew_with_the_month() -> None:
    """In UTC, with the first thing that happens then."""
    executing = Executing()
    executing.ended(execution(0, 1, model_call(1, cost=0.5)))
    executing.ended(execution(MONTH_END_S - 1, MONTH_END_S, model_call(1, cost=0.25), agent_name="other"))
    executing.ended(execution(MONTH_END_S, MONTH_END_S + 60, model_call(1, cost=0.125)))
    executing.drain()
    points = at(executing.sent.series("agent.cost.month.usd", agent="my_agent"))
    assert points == [
        *((1, 0.5), (pytest.approx(MONTH_END_S - 0.001), 0.5), (MONTH_END_S, 0)),
        *((pytest.approx(MONTH_END_S + 59.999), 0), (MONTH_END_S + 60, 0.125)),
    ]
    assert counted(executing.sent, "agent.cost.month.usd", agent="other") == 0.25
    assert counted(executing.sent, "agent.cost.usd", agent="my_agent", model="gpt-4o") == 0.625


def test_the_cost_of_the_month_begins_anew_though_nothing_comes() -> None:
    """Also after a restart."""
    executing = Executing()
    executing.ended(execution(0, 1, model_call(1, cost=0.5)))
    executing.drain()
    executing = executing.restarted()
    for at_s in (MONTH_END_S - 20, MONTH_END_S + 0.25, MONTH_END_S + 15):
        executing.keep_alive(at_s)
        executing.drain()
    points = at(executing.sent.series("agent.cost.month.usd", agent="my_agent"))
    assert points[-4:] == [
        *((pytest.approx(MONTH_END_S - 20), 0.5), (pytest.approx(MONTH_END_S - 0.001), 0.5)),
        *((MONTH_END_S, 0), (pytest.approx(MONTH_END_S + 15), 0)),
    ]


def test_what_ended_in_the_month_before_is_in_no_cost_of_this_month() -> None:
    """A row that is read late counts in the total where time has come to, and in no gauge of another month."""
    executing = Executing()
    executing.ended(execution(MONTH_END_S, MONTH_END_S + 1, model_call(1, cost=0.5)))
    executing.ended(execution(0, 1, model_call(1, cost=0.25)))
    executing.drain()
    assert counted(executing.sent, "agent.cost.month.usd", agent="my_agent") == 0.5
    assert counted(executing.sent, "agent.cost.usd", agent="my_agent", model="gpt-4o") == 0.75


def test_labels_are_bounded_and_a_restart_does_not_make_room() -> None:
    """The first so many of an instance; `_OTHER` for all that come later. Spans have their own names all the same."""
    executing = Executing()
    for number in range(MAX_AGENTS + 3):
        executing.ended(execution(number, number + 1, agent_name=f"agent_{number}"))
        executing.drain()
        if number == MAX_AGENTS // 2:
            executing = executing.restarted()
    calls = [model_call(1, model=f"model-{number}", cost=1) for number in range(MAX_MODELS + 2)]
    tools = [tool_call(1, tool=f"tool_{number}") for number in range(MAX_TOOLS + 2)]
    executing.ended(execution(100, 101, *calls, *tools))
    executing.drain()
    points = executing.sent.points
    agents = {dict(by)["agent"] for name, by in points if name == "agent.executions"}
    models = {dict(by)["gen_ai.request.model"] for name, by in points if name == "gen_ai.client.operation.duration"}
    tool_names = {dict(by)["gen_ai.tool.name"] for name, by in points if name == "gen_ai.execute_tool.duration"}
    assert (len(agents), len(models), len(tool_names)) == (MAX_AGENTS + 1, MAX_MODELS + 1, MAX_TOOLS + 1)
    assert "_OTHER" in agents & models & tool_names
    assert executing.sent.total("agent.executions") == MAX_AGENTS + 4
    assert executing.sent.total("agent.cost.usd") == MAX_MODELS + 2
    assert f"chat model-{MAX_MODELS + 1}" in {span.name for span in executing.sent.spans}


def test_an_agent_whose_name_may_not_leave_takes_no_room() -> None:
    executing = Executing()
    executing.ended(execution(0, 1, agent_name="two words"))
    for number in range(MAX_AGENTS):
        executing.ended(execution(number, number + 2, agent_name=f"agent_{number}"))
    executing.drain()
    assert counted(executing.sent, "agent.executions", agent="_OTHER", outcome="ok") == 1


def test_a_row_that_is_no_record_is_one_redacted_entry() -> None:
    """Two of one kind at one time are told apart."""
    executing = Executing()
    executing.ended(execution(0, 1))
    for rowid in (7, 8):
        executing.conversion.unparsable("executions", rowid, "no_time", round((START_S + 1) * 1e9))
    executing.drain()
    _, *entries = executing.sent.logs
    assert [(log.body.string_value, scalars(log.attributes)["egoscope.unparsable"]) for log in entries] == [
        ("REDACTED", "no_time"),
        ("REDACTED", "no_time"),
    ]
    assert len({json.dumps(scalars(log.attributes)) for log in entries}) == 2


@pytest.mark.parametrize("restart", [False, True])
def test_a_row_that_is_no_record_before_any_had_a_time_waits_for_one(restart: bool) -> None:
    """An entry of now would be far ahead of old rows in its stream, and Loki would refuse theirs."""
    executing = Executing()
    executing.conversion.unparsable("executions", 1, "no_time", round((START_S + 10 * DAY_S) * 1e9))
    executing.drain()
    assert (executing.sent.logs, executing.conversion.waits) == ([], True)
    if restart:
        executing = executing.restarted()
    executing.ended(execution(0, 1))
    executing.drain()
    assert [(log.time_unix_nano - round(START_S * 1e9)) / 1e9 for log in executing.sent.logs] == [1, 1]
    assert executing.sent.bodies() == ["REDACTED", "my_agent completed in 1000 ms"]
    assert not executing.conversion.waits


def test_where_no_row_ever_has_a_time_the_entry_is_of_when_it_was_read() -> None:
    executing = Executing()
    executing.conversion.unparsable("executions", 1, "no_time", round((START_S + 5) * 1e9))
    executing.expire(60)
    executing.drain()
    assert [(log.time_unix_nano - round(START_S * 1e9)) / 1e9 for log in executing.sent.logs] == [5]
    assert executing.conversion.newest_ns == round((START_S + 5) * 1e9)


def test_the_newest_is_told_on_a_fixed_grid_and_at_the_end_of_each_batch() -> None:
    executing = Executing()
    for second in range(40):
        executing.ended(execution(second, second + 0.5))
    assert executing.conversion.newest_ns == round((START_S + 39.5) * 1e9)
    executing.drain()
    points = at(executing.sent.series("agent.last_event.time"))
    grid = [time for time, value in points if value == START_S + time]
    assert grid == [0.5, 5.5, 20.5, 35.5, 39.5]
    assert not executing.conversion.has_new


def test_a_log_record_stays_near_the_newest_of_its_stream() -> None:
    """Loki would refuse what lies too far behind; the record says in `observed` when it was."""
    executing = Executing()
    executing.ended(execution(0, 3600))
    executing.ended(execution(1, 2))
    executing.drain()
    late = executing.sent.logs[-1]
    assert (late.time_unix_nano, late.observed_time_unix_nano) == (
        round((START_S + 3600) * 1e9),
        round((START_S + 2) * 1e9),
    )


def test_ids_depend_on_the_row_and_on_nothing_else() -> None:
    """The same row told twice has the same ids; another one has others."""
    one, same, other = converted(execution(0, 2)), converted(execution(0, 2)), converted(execution(1, 2))
    assert one.spans[0].span_id == same.spans[0].span_id
    assert one.raw == same.raw
    assert one.spans[0].trace_id != other.spans[0].trace_id
