"""Kagura's rows: when they ended, what may leave of them, and what is told of what cannot be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from kagura_rows import START_S, build_format, execution, memory_operation, model_call, tool_call

from egoscope.prices import load_prices
from egoscope.sources.kagura import EXECUTIONS
from egoscope.sources.row_format import Times, UnreadableRow

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.model.record import RowRecord
    from egoscope.sources.kagura import KaguraFormat

START_NS: Final = round(START_S * 1e9)
NO_TIME: Final = UnreadableRow("no_time")
FORMAT: Final = build_format()


def times(**columns: Any) -> Times | UnreadableRow:
    """Return the times of an execution with other columns, in seconds after the start."""
    found = FORMAT.times(EXECUTIONS, execution() | columns)
    if isinstance(found, UnreadableRow):
        return found
    end_ns = None if found.end_ns is None else round((found.end_ns - START_NS) / 1e6)
    return Times(round((found.start_ns - START_NS) / 1e6), end_ns)


def ended(row: dict[str, Any], kagura: KaguraFormat = FORMAT) -> RowRecord:
    """Return the record of a final row."""
    found = kagura.times(EXECUTIONS, row)
    assert isinstance(found, Times)
    return kagura.ended(EXECUTIONS, 7, "aa", row, found)


def event(raw: Any, kagura: KaguraFormat = FORMAT) -> dict[str, Any]:
    """Return what is kept of the one event of an execution."""
    (kept,) = ended(execution(0, 2, raw), kagura).values["events"]
    return kept


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        pytest.param({}, Times(0, 2000), id="it ended when it says"),
        pytest.param({"status": "running", "ended_at": None}, Times(0, None), id="one that runs has no end"),
        pytest.param({"status": None, "ended_at": None}, Times(0, None), id="nor has one that tells nothing"),
        pytest.param({"status": "odd", "ended_at": None}, Times(0, None), id="nor one in a state nobody knows"),
        pytest.param({"status": "running"}, Times(0, 2000), id="a cancelled one reads running and has ended"),
        pytest.param(
            {"ended_at": None, "duration": 1.5}, Times(0, 1500), id="a final one without its end took its time"
        ),
        pytest.param({"ended_at": None, "duration": None}, Times(0, 0), id="or none that is known"),
        pytest.param({"ended_at": None, "duration": -1}, Times(0, 0), id="and no negative one"),
        pytest.param({"ended_at": None, "duration": "1"}, Times(0, 0), id="and none that is no number"),
        pytest.param({"ended_at": "now", "duration": 1.5}, Times(0, 1500), id="an end that is no time is none"),
        pytest.param({"ended_at": float("inf"), "duration": 1}, Times(0, 1000), id="nor is infinity"),
        pytest.param({"ended_at": START_S - 5}, Times(0, -5000), id="a clock that stepped back: as it says"),
        pytest.param({"started_at": int(START_S)}, Times(0, 2000), id="whole seconds"),
        pytest.param({"started_at": str(START_S)}, NO_TIME, id="a start that is text"),
        pytest.param({"started_at": None}, NO_TIME, id="a start that is missing"),
        pytest.param({"started_at": float("nan")}, NO_TIME, id="a start that is no number"),
        pytest.param({"started_at": -1.0}, NO_TIME, id="a start before 1970"),
        pytest.param({"started_at": 10**400}, NO_TIME, id="a start beyond all measure"),
        pytest.param({"started_at": START_S * 1000}, NO_TIME, id="a start in milliseconds"),
        pytest.param({"started_at": b"\0"}, NO_TIME, id="a start that is bytes"),
        pytest.param({"started_at": True}, NO_TIME, id="a start that is a truth"),
    ],
)
def test_when_an_execution_began_and_ended(columns: dict[str, Any], expected: Times | UnreadableRow) -> None:
    assert times(**columns) == expected


@pytest.mark.parametrize("name", ["my_agent", "A", "web-search.v2", "x" * 64])
def test_a_plain_identifier_is_kept_as_a_name(name: str) -> None:
    assert ended(execution(agent_name=name)).values["agent_name"] == name
    assert event(tool_call(tool=name))["tool_name"] == name
    assert event(memory_operation(operation=name))["operation"] == name


@pytest.mark.parametrize(
    "name", ["", "two words", "秘密", "_x", "1a", "a\n", "x" * 65, "a/b", "a\ud800", None, 3, b"a", ["a"], {"a": 1}]
)
def test_what_is_no_plain_identifier_is_no_name(name: object) -> None:
    """Of any other type too; where it is missing `_OTHER` stands in its place."""
    assert "agent_name" not in ended(execution(agent_name=name)).values
    if not isinstance(name, bytes):
        assert "tool_name" not in event(tool_call(tool=name))
        assert "operation" not in event(memory_operation(operation=name))


@pytest.mark.parametrize("model", ["gpt-4o", "anthropic/claude-3-5-sonnet", "llama3:8b", "o1", "x" * 96])
def test_names_of_models(model: str) -> None:
    assert event(model_call(model=model))["model"] == model


@pytest.mark.parametrize("model", ["a model", "x" * 97, "gpt@home", "-x", None, 4])
def test_what_is_no_name_of_a_model(model: object) -> None:
    assert "model" not in event(model_call(model=model))


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        pytest.param(None, None, id="no error"),
        pytest.param("boom for someone", "_OTHER", id="an error's text never leaves"),
        pytest.param("", "_OTHER", id="an error without a text is one"),
        pytest.param("ValueError: secret", "ValueError", id="the class of a well-known exception"),
        pytest.param("SecretError: secret", "_OTHER", id="a class of one's own may tell something"),
        pytest.param(b"ValueError", "_OTHER", id="bytes"),
        pytest.param(3, "_OTHER", id="a number"),
    ],
)
def test_of_an_error_its_class_is_kept(error: object, kept: str | None) -> None:
    assert ended(execution(error=error)).values.get("error") == kept


def test_nothing_else_of_a_row_or_an_event_is_kept() -> None:
    """Arguments, metrics, texts, unknown columns and unknown fields of events."""
    row = execution(0, 2, model_call(note="private"), tool_call(), memory_operation(), more="private")
    values = ended(row).values
    assert values.keys() == {"agent_name", "status", "events"}
    assert [one.keys() for one in values["events"]] == [
        {"type", "time_ns", "model", "prompt_tokens", "completion_tokens", "duration", "cost", "provider"},
        {"type", "time_ns", "tool_name", "duration"},
        {"type", "time_ns", "operation", "duration"},
    ]


@pytest.mark.parametrize(
    ("events", "flaws", "kept"),
    [
        pytest.param(None, (), 0, id="no events"),
        pytest.param("[]", (), 0, id="an empty list"),
        pytest.param("", ("malformed_json",), 0, id="nothing at all"),
        pytest.param('[{"type": "llm_c', ("malformed_json",), 0, id="half of it"),
        pytest.param("[" * 100_000, ("malformed_json",), 0, id="deeper than anything can be read"),
        pytest.param("9" * 100_000, ("malformed_json",), 0, id="a number longer than can be read"),
        pytest.param(b"\xff\xfe", ("malformed_json",), 0, id="bytes that are no text"),
        pytest.param("{}", ("wrong_type",), 0, id="no list"),
        pytest.param("null", ("wrong_type",), 0, id="null is no list"),
        pytest.param(12, ("wrong_type",), 0, id="a number instead of a text"),
        pytest.param("[1, null, []]", ("wrong_type",), 0, id="events that are none"),
        pytest.param('[{"type": "tool_call"}]', ("wrong_type",), 1, id="an event without data happened all the same"),
        pytest.param('[3, {"type": "tool_call", "data": []}]', ("wrong_type",), 1, id="a flaw is told once"),
        pytest.param(
            '[{"type": "custom", "data": {}}, {"data": {}}]', (), 0, id="types that are not known are no flaw"
        ),
        pytest.param('[{"type": ["llm_call"], "data": {}}]', (), 0, id="nor is a type that is no text"),
        pytest.param(json.dumps([tool_call()]).encode(), (), 1, id="a text in bytes"),
    ],
)
def test_what_cannot_be_read_of_events_is_a_flaw_and_the_execution_counts(
    events: object, flaws: tuple[str, ...], kept: int
) -> None:
    record = ended(execution(events=events))
    assert (record.flaws, len(record.values["events"])) == (flaws, kept)
    assert record.values["status"] == "completed"


def test_what_python_writes_and_json_forbids_is_read() -> None:
    """NaN, Infinity and lone surrogates; what is no sane number is left out."""
    raw = model_call(prompt_tokens=float("nan"), completion_tokens=float("inf"), duration=-1, cost=10**400)
    kept = event(raw | {"data": raw["data"] | {"note": "\ud800"}})
    assert kept == {"type": "llm_call", "model": "gpt-4o", "provider": "openai", "time_ns": START_NS + 10**9}


@pytest.mark.parametrize("timestamp", [None, "soon", -1, float("nan"), 1e300, [1]])
def test_an_event_without_a_time_happened_when_the_execution_ended(timestamp: object) -> None:
    assert event(tool_call() | {"timestamp": timestamp})["time_ns"] == START_NS + 2 * 10**9


@pytest.mark.parametrize(
    ("data", "cost"),
    [
        pytest.param({"cost": 0.25}, 0.25, id="what it says"),
        pytest.param({"cost": 0.1 + 0.2}, 0.3, id="in whole nano-dollars"),
        pytest.param({"cost": 0, "prompt_tokens": 0, "completion_tokens": 0}, 0, id="nothing, where nothing was used"),
        pytest.param({"cost": 0}, 0.00035, id="nothing for tokens is no cost: the list knows"),
        pytest.param({"cost": None}, 0.00035, id="no cost: the list knows"),
        pytest.param({"cost": "0.1"}, 0.00035, id="a text is no cost"),
        pytest.param({"cost": -1}, 0.00035, id="a negative cost is none"),
        pytest.param({"cost": float("nan")}, 0.00035, id="what is no number is no cost"),
        pytest.param(
            {"cost": 0, "model": "nobody-knows"}, None, id="of an unknown model nothing for tokens is unknown"
        ),
        pytest.param({"cost": None, "model": "nobody-knows"}, None, id="an unknown model is unknown, never free"),
        pytest.param({"cost": 0.5, "model": "nobody-knows"}, 0.5, id="also where it tells its cost itself"),
        pytest.param({"cost": None, "model": "not a name"}, None, id="a model without a name is unknown"),
        pytest.param({"cost": None, "prompt_tokens": "x", "completion_tokens": None}, None, id="no tokens, no price"),
    ],
)
def test_what_a_model_call_cost(data: dict[str, Any], cost: float | None) -> None:
    assert event(model_call(**data)).get("cost") == cost


def test_a_running_execution_tells_its_agent_and_is_not_in_the_audit() -> None:
    kagura = build_format()
    row = execution(0, None, model_call(), error="ValueError")
    found = kagura.times(EXECUTIONS, row)
    assert isinstance(found, Times)
    record = kagura.begun(EXECUTIONS, 7, "aa", row, found)
    assert (record.values, record.end_ns, record.start_ns) == ({"agent_name": "my_agent"}, None, START_NS)
    assert kagura.begun(EXECUTIONS, 7, "aa", row | {"agent_name": "a b"}, found).values == {"agent_name": "_OTHER"}
    assert [policy.drain_audit() for policy in kagura.policies] == [{}, {}]


def test_the_audit_says_what_was_done_with_each_field() -> None:
    """By names that the policies know; every other one is (unknown)."""
    kagura = build_format()
    ended(execution(0, 2, tool_call(secret_key=1), {"type": "custom", "data": {}}, error="x"), kagura)
    kagura.note_unread_columns(EXECUTIONS, 3, ["metrics", "whatever_else"])
    rows, events = (
        {f"{key.field} {key.action} {key.reason}".strip(): count for key, count in policy.drain_audit().items()}
        for policy in kagura.policies
    )
    assert rows == {
        "(unknown) dropped not_in_policy": 3 + len(("id",)),
        "agent_name kept": 1,
        "duration kept": 1,
        "ended_at kept": 1,
        "error dropped not_enumerated": 1,
        "kwargs dropped private_field": 1,
        "metrics dropped private_field": 1 + 3,
        "started_at kept": 1,
        "status kept": 1,
    }
    assert events == {
        "(unknown) dropped not_in_policy": 1,
        "duration kept": 1,
        "kwargs dropped private_field": 1,
        "timestamp dropped null": 1,
        "timestamp kept": 1,
        "tool_name kept": 1,
        "type dropped not_enumerated": 1,
        "type kept": 1,
    }


def test_arguments_and_metrics_are_not_even_read() -> None:
    (table,) = FORMAT.tables
    assert table.key == "id"
    assert set(table.columns) == {"agent_name", "started_at", "ended_at", "duration", "status", "error", "events"}


def test_a_policy_of_ones_own_lets_more_columns_and_fields_out(tmp_path: Path) -> None:
    """Under their own names, and such a column is read; with a packaged field dropped nothing stands for it."""
    number = '[fields.{}]\nrule = "number"\nmin = 0\nmax = 9\n'
    for name, field in (("kagura", "retries"), ("kagura_events", "temperature")):
        (tmp_path / f"{name}.toml").write_text(f'source = "{name}"\nschema = 1\n{number.format(field)}')
    with (tmp_path / "kagura.toml").open("a") as policy:
        policy.write('[drop]\nfields = ["agent_name"]\n')
    kagura = build_format(policies=tmp_path)
    assert "retries" in kagura.tables[0].columns
    row = execution(0, 2, model_call(temperature=0.5), tool_call(), retries=3)
    values = ended(row, kagura).values
    assert values["added"] == (("ego.retries", 3),)
    assert [one["added"] for one in values["events"]] == [(("ego.temperature", 0.5),), ()]
    assert "agent_name" not in values
    found = kagura.times(EXECUTIONS, row)
    assert isinstance(found, Times)
    assert kagura.begun(EXECUTIONS, 7, "aa", row, found).values == {}


def test_prices_of_ones_own_are_used(tmp_path: Path) -> None:
    price_file = tmp_path / "prices.toml"
    price_file.write_text('[providers._OTHER.models]\n"local-model" = { input = 1.0, output = 2.0 }\n')
    kagura = build_format(load_prices(price_file))
    kept = event(model_call(model="local-model", cost=0), kagura)
    assert (kept["cost"], kept["provider"]) == (0.00012, "_OTHER")
