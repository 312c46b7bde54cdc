"""Nothing private of illumo's database leaves in any form, whatever stands in its rows."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from illumo_rows import Row, Telling, hex_id, illumo_format, rows_of, stamp
from planted import found
from recorded import FOLDER

from egoscope.convert.ids import otlp_id

if TYPE_CHECKING:
    from pathlib import Path

SPANS, EVENTS = illumo_format().tables
NAMES: Final = frozenset({"kind", "name", "event_type"})
"""Columns of which a plain identifier may leave."""

IDS: Final = ("run", "chat", "draft", "review")

secrets = st.builds("{}-{:012x}".format, st.sampled_from(["INSTR ", "秘密の", "Zoë "]), st.integers(1 << 40, 1 << 47))


def texts(secret: str) -> list[str]:
    """Return the secret as it may stand somewhere, also already encoded."""
    raw = secret.encode()
    forms = [
        secret,
        f"x{secret}",
        f"ValueError: {secret}",
        f"KeyError\n{secret}: x",
        f"draft {secret}",
        f"{secret}" * 40,
    ]
    return [*forms, json.dumps([secret]), "0x" + raw.hex(), b64encode(raw).decode() + "=", repr({secret: [secret]})]


def literals(secret: str) -> st.SearchStrategy[str]:
    """Return Python literals and JSON with the secret in values, keys and at any depth, and what is neither."""
    leaves = st.sampled_from([*texts(secret), "Agent", "gpt-4.1-nano", "TimeoutError", -1, 1 << 70, 0.5, True, None])
    outer = ("node_type", "failure_type", "timeout", "policy_snapshot", "model", "tokens", "input_preview", secret)
    within = st.sampled_from(["fail_fast", "retry", "max_attempts", secret])
    inner = st.recursive(
        leaves,
        lambda one: st.lists(one, max_size=2) | st.tuples(one) | st.dictionaries(within, one, max_size=3),
        max_leaves=5,
    )
    whole = st.dictionaries(st.sampled_from(outer), inner, max_size=5)
    return st.one_of(whole.map(repr), whole.map(json.dumps), whole.map(lambda one: repr(one)[:-1]), inner.map(repr))


@st.composite
def rows(draw: st.DrawFn, secret: str) -> Row:
    """Return a row of either table with anything in any column, mostly what belongs there."""
    table = draw(st.sampled_from([SPANS, EVENTS]))
    moments = st.integers(0, 100_000).map(stamp)
    fitting: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("start_time", "timestamp"), moments),
        "end_time": st.none() | moments,
        **dict.fromkeys(("span_id", "parent_span_id", "trace_id"), st.sampled_from(IDS).map(hex_id)),
        "kind": st.sampled_from(["flow", "node", "tool"]),
        **dict.fromkeys(("name", "event_type"), st.sampled_from(["draft", "review", "routing.empty"])),
        "status": st.sampled_from(["OK", "ERROR", None]),
        "level": st.sampled_from(["info", "error"]),
        **dict.fromkeys(("attributes", "policy_snapshot"), literals(secret)),
        "error": st.sampled_from([None, *texts(secret)]),
        "timeout": st.integers(0, 1),
    }
    anything = st.one_of(
        st.sampled_from(texts(secret)), st.binary(max_size=3), st.integers(), st.floats(), st.just(secret.encode())
    )
    row = {name: draw(anything if draw(st.integers(0, 9)) == 0 else fitting[name]) for name in table.columns}
    row[draw(st.sampled_from([secret, "added later"]))] = secret  # a column that a feed would not even select
    return table.name, draw(st.integers(1, 1 << 40)), row


@given(st.data())
def test_a_secret_in_any_column_key_or_nesting_leaves_in_no_form(data: st.DataObject) -> None:
    """Neither what would be sent nor what the state file would keep nor the audit holds it; nothing is raised."""
    secret = data.draw(secrets)
    telling = Telling()
    kept: list[bytes] = []
    for batch in data.draw(st.lists(st.lists(rows(secret), min_size=1, max_size=8), min_size=1, max_size=3)):
        telemetry = telling.tell(batch)
        kept += [msgspec.json.encode((telling.conversion.state, telemetry.series)), repr(telemetry).encode()]
    telling.conversion.keep_alive(telling.conversion.newest_ns)
    telling.conversion.expire(2**62)
    telling.drain()
    audit = [policy.drain_audit() for policy in telling.format.policies]
    output = b"\n".join(
        [telling.sent.raw, *kept, str(audit).encode(), str(telling.unparsable).encode(), repr(telling.records).encode()]
    )
    assert found([secret], output) == []


@given(st.dictionaries(st.sampled_from(SPANS.columns), st.one_of(st.text(), st.binary(), st.floats(), st.integers())))
@example(dict.fromkeys(SPANS.columns, "secret"))
def test_a_running_row_tells_only_identifiers_and_ids(columns: dict[str, Any]) -> None:
    """Whatever stands in it: what is told of it is an id, or a derived one, or an identifier."""
    row: dict[str, Any] = {"span_id": hex_id("draft"), **columns, "start_time": stamp(0), "end_time": None}
    illumo = illumo_format()
    record = illumo.begun("spans", 1, "k", row, illumo.times("spans", row))  # type: ignore[arg-type]
    for name, value in record.values.items():
        if name in NAMES:
            assert value == row[name]
            assert value.replace("_", "").replace(".", "").replace("-", "").isalnum()
        else:
            assert not value.strip("0123456789abcdef")
            assert value == row[name] or value != otlp_id(
                str(row[name]).encode("utf-8", "replace").decode(), len(value) // 2
            ), "a digest that can be guessed"


@pytest.fixture
def recorded() -> Path:
    """The recorded database."""
    path = FOLDER / "illumo" / "illumo_trace.db"
    if not path.exists():
        pytest.skip("the recorded database is not beside the repository")
    return path


def test_no_secret_of_the_recorded_run_leaves(recorded: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In requests, state, series, audit and the own log at DEBUG; the prompts are not even read."""
    caplog.set_level(logging.DEBUG)
    canaries = json.loads(recorded.with_name("canaries.json").read_text(encoding="utf-8"))
    assert found(canaries, recorded.read_bytes()) == canaries, "they are in the database"
    telling = Telling()
    raw = rows_of(recorded, telling.format)
    running: list[Row] = [(table, rowid, row | {"end_time": None}) for table, rowid, row in raw if table == "spans"]
    told = [telling.tell(running), telling.tell(raw)]
    state = msgspec.json.encode((telling.conversion.state, [one.series for one in told]))
    audit = [policy.drain_audit() for policy in telling.format.policies]
    output = b"\n".join(
        [
            telling.sent.raw,
            state,
            str(audit).encode(),
            repr(told).encode(),
            repr(telling.records).encode(),
            caplog.text.encode(),
        ]
    )
    assert len(telling.sent.spans) == 200
    assert found(canaries, output) == []
    assert not [secret for secret in found(canaries, repr(raw).encode()) if not secret.startswith("ERR-")]
