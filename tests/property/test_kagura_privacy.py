"""Whatever stands in a row of Kagura's: nothing of it leaves that no rule allows, and nothing is raised."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from kagura_rows import START_S, Executing, execution, model_call
from planted import found

from egoscope.sources.kagura import EXECUTIONS
from egoscope.sources.row_format import UnreadableRow

NAMES: Final = ("agent_name", "model", "tool_name", "operation")
"""What may leave as it is where it is a plain identifier; here it is none."""
PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]*")

secrets = st.builds("{}-{:012x}".format, st.sampled_from(["PROMPT", "秘密の", "Zoë "]), st.integers(1 << 40, 1 << 47))


def values(secret: str, *, named: bool = False) -> st.SearchStrategy[Any]:
    """Return JSON values with the secret in strings, keys and at any depth, also already encoded."""
    raw = secret.encode()
    texts = [secret, f"x{secret}", f"ValueError: {secret}", f"KeyError\n{secret}", f'["{secret}"]', f"{secret}Error: x"]
    texts += [raw.hex(), b64encode(raw).decode(), b64encode(b"." + raw).decode(), "completed", "llm_call", "gpt-4o"]
    if named:  # a name says what it likes, as long as it looks like one
        texts = [text for text in texts if not PLAIN.fullmatch(text) or text in {"completed", "gpt-4o"}]
    numbers = st.sampled_from([0, 1, -1, 10**400, START_S, float("nan"), float("inf"), 0.001])
    leaves = st.one_of(st.sampled_from(texts), numbers, st.booleans(), st.none())
    keys = st.sampled_from([secret, f"{secret}x", *NAMES, "type", "data", "cost", "kwargs"])
    return (
        leaves if named else st.recursive(leaves, lambda one: st.lists(one) | st.dictionaries(keys, one), max_leaves=6)
    )


@st.composite
def events(draw: st.DrawFn, secret: str) -> str | bytes | int | None:
    """Return what may stand in the column: events with the secret in any field, key or place, or no events at all."""
    anything, name = values(secret), values(secret, named=True)
    listed: list[Any] = []
    for _ in range(draw(st.integers(1, 4))):
        data: dict[str, Any] = model_call(START_S)["data"] | {"kwargs": {secret: secret}, secret: secret}
        data |= {field: draw(name) for field in NAMES}
        fields = ("prompt_tokens", "completion_tokens", "total_tokens", "duration", "cost", "kwargs", f"{secret}x")
        data |= draw(st.dictionaries(st.sampled_from(fields), anything, max_size=4))
        kind = draw(st.sampled_from(["llm_call", "tool_call", "memory_operation"] * 3 + [secret]))
        event: dict[str, Any] = {"type": kind, "timestamp": START_S, "data": data, secret: secret}
        event |= draw(st.dictionaries(st.sampled_from(["type", "timestamp", "data", "note"]), anything, max_size=1))
        listed.append(draw(st.sampled_from([event] * 6 + [data, secret, [event]])))
    text = json.dumps(listed)
    odd = [text[:-1], text.encode(), json.dumps({secret: listed}), secret, secret.encode("utf-16"), 7, None]
    return draw(st.sampled_from([text] * 14 + odd))


@st.composite
def rows(draw: st.DrawFn, secret: str) -> dict[str, Any]:
    """Return a row with secrets in all of it; some columns hold anything that SQLite can."""
    end_s = draw(st.floats(0, 3 * 86_400) | st.none())
    row = execution(draw(st.floats(0, 86_400)), end_s, error=f"ValueError: {secret}", kwargs=secret, metrics=secret)
    row["id"] = draw(st.sampled_from(["a", "b", secret]))
    row["agent_name"] = draw(values(secret, named=True))
    row["status"] = draw(st.sampled_from(["completed", "failed", "running", secret]))
    row["events"] = draw(events(secret))
    row[secret] = secret
    odd = st.sampled_from([None, 0, -1, 10**18, float("inf"), f"{secret} x", secret.encode(), f"OSError: {secret}"])
    return row | draw(st.dictionaries(st.sampled_from(list(row)), odd, max_size=2))


@settings(max_examples=60)
@given(st.data())
def test_a_secret_in_any_column_event_key_or_nesting_leaves_in_no_form(data: st.DataObject) -> None:
    """Neither what would be sent nor what the state file would keep nor the audit holds it; nothing is raised."""
    secret = data.draw(secrets)
    executing = Executing()
    kept: list[bytes] = []
    for number, row in enumerate(data.draw(st.lists(rows(secret), min_size=1, max_size=5))):
        times = executing.format.times(EXECUTIONS, row)
        if isinstance(times, UnreadableRow):
            executing.conversion.unparsable(EXECUTIONS, number, times.reason, executing.conversion.newest_ns)
            continue
        key = str(row["id"] == "a")
        begun = executing.format.begun(EXECUTIONS, number, key, row, times)
        kept.append(repr(begun).encode())
        if times.end_ns is None or data.draw(st.booleans()):
            executing.conversion.started(begun)
        if times.end_ns is not None:
            ended = executing.format.ended(EXECUTIONS, number, key, row, times)
            kept.append(repr(ended).encode())
            executing.conversion.ended(ended)
        elif data.draw(st.booleans()):
            executing.conversion.gone(key)
        kept.append(executing.kept())
        executing.drain()
    executing.expire(5 * 86_400)
    executing.keep_alive(5 * 86_400)
    executing.drain()
    audit = str([policy.drain_audit() for policy in executing.format.policies]).encode()
    assert found([secret], b"\n".join([executing.sent.raw, executing.kept(), audit, *kept])) == []


def test_the_strategies_above_reach_what_may_leave() -> None:
    """The test above means something: a secret that is a plain identifier leaves where the policy lets names leave."""
    executing = Executing()
    secret = "PROMPT-0123456789ab"
    row: dict[str, Any] = {"id": "a", "agent_name": secret, "started_at": START_S, "ended_at": START_S + 1}
    executing.ended(row | {"status": "completed", "events": json.dumps([model_call(model="gpt-4o")])})
    executing.drain()
    assert found([secret], executing.sent.raw) == [secret]
