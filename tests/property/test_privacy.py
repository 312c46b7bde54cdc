"""No planted secret leaves in any form, by any way: requests, state, audit, the embedded store, own logs."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from converted import Converting
from disk import Nowhere, everything_in
from ego_lines import START, stamp
from hypothesis import given
from hypothesis import strategies as st
from planted import found
from policy_tables import SOURCES, names
from recorded import RUNS, canaries_of, log_of

from egoscope.config import load_settings
from egoscope.wiring import Sidecar

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.config import Settings

EMERGENT: Final = (b"stay_in_this", b"be_with_someone", b"emergent_desire_created")
"""Names of desires that the model made up in the recorded runs, and a key that the policy knows to be private."""

MESSAGES: Final = (
    "Tool invocation",
    "Tool execution completed",
    "Tool execution failed",
    "Logging initialized",
    "Failed to ",
    "Applying migration: ",
)
kinds = st.sampled_from(["MEM", "秘密の", "Zoë "])
secrets = st.builds("{}-{:012x}".format, kinds, st.integers(1 << 40, 1 << 47))


def values(secret: str) -> st.SearchStrategy[Any]:
    """Return JSON values with the secret in strings, keys and at any depth, also already encoded."""
    raw = secret.encode()
    texts = [secret, f"x{secret}", f"ValueError: {secret}", f"KeyError\n{secret}", f'["{secret}"]']
    texts += [f"Failed to {secret}", raw.hex(), b64encode(raw).decode(), b64encode(b"." + raw).decode()]
    texts += ["remember", "happy", "ValueError"]
    leaves = st.one_of(st.sampled_from(texts), st.integers(0, 1), st.booleans(), st.none())
    keys = st.sampled_from([secret, f"{secret}x", "private", "curiosity", "time_phase"])
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=6)


@st.composite
def lines(draw: st.DrawFn, secret: str) -> bytes:
    """Return a line of either format, or of none, with the secret in whatever field, key or place."""
    known = [name for source in SOURCES for name in names(source) if name not in ("timestamp", "ts", "event_type")]
    keys = st.one_of(st.sampled_from(known), st.sampled_from([secret, f"desire of {secret}"]))
    moment = stamp(draw(st.integers(0, 10**7)))
    message = draw(st.sampled_from(MESSAGES)) + draw(st.sampled_from(["", "", secret]))
    tool = draw(st.sampled_from(["remember", "recall", secret]))
    if draw(st.booleans()):
        fields: dict[str, Any] = {"timestamp": moment, "message": message, "tool_name": tool}
    else:
        kind = draw(st.sampled_from(["tool_call_completed", "tool_call_failed", "tool_call_invoked", secret]))
        fields = {"ts": moment, "event_type": kind, "tool_name": tool}
    fields |= draw(st.dictionaries(keys, values(secret), max_size=8))
    line = json.dumps(fields, ensure_ascii=draw(st.booleans())).encode()
    match draw(st.integers(0, 9)):
        case 0:
            return line[:-1]  # no JSON any more
        case 1:
            return b"\xff" + line + b"\0"
        case 2:
            return secret.encode()
        case _:
            return line


@given(st.data())
def test_a_secret_in_any_field_key_or_nesting_leaves_in_no_form(data: st.DataObject) -> None:
    """Neither what would be sent nor what the state file would keep nor the audit holds it; nothing is raised."""
    secret = data.draw(secrets)
    converting = Converting()
    telemetry = [
        converting.batch(batch)
        for batch in data.draw(st.lists(st.lists(lines(secret), min_size=1, max_size=6), min_size=1, max_size=3))
    ]
    state = msgspec.json.encode((converting.conversion.state, [one.series for one in telemetry]))
    converting.conversion.expire(2**62)
    converting.drain()
    audit = [policy.drain_audit() for policy in converting.format.policies]
    output = b"\n".join([converting.sent.raw, state, str(audit).encode(), repr(telemetry).encode()])
    assert found([secret], output) == []


def settings(state_dir: Path, log: Path) -> Settings:
    """Return settings of a sidecar with the embedded store that listens nowhere."""
    return load_settings(EGO_MCP_LOG_PATH=str(log), state_dir=state_dir, backend="embedded", health_port=0)


@pytest.mark.parametrize("run", RUNS)
def test_no_secret_of_a_recorded_run_is_on_disk_or_in_the_own_log(
    run: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While requests wait, and after they are in the embedded store: no file and no log line holds a secret."""
    log = log_of(run)
    caplog.set_level(logging.DEBUG)
    nowhere = Nowhere()
    waiting = Sidecar(settings(tmp_path, log), exporter=nowhere)
    while waiting.pipeline.run_once():
        pass
    waiting.pipeline.finish()
    outputs = [everything_in(tmp_path)]  # as it is while everything waits, its -wal and -shm included
    waiting.close()
    sidecar = Sidecar(settings(tmp_path, log))
    sidecar.drain()
    sidecar.close()
    assert (tmp_path / "store.db").stat().st_size > 100_000, "the store was filled"
    output = b"\n".join([*outputs, everything_in(tmp_path), nowhere.offered, caplog.text.encode()])
    assert found(canaries_of(run), output) == []
    assert [name for name in EMERGENT[:2] if name in output] == []


def test_a_secret_of_every_kind_of_line_is_in_no_own_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines that cannot be read, at DEBUG: the log says neither the line nor the name of an unknown field."""
    caplog.set_level(logging.DEBUG)
    canary = "MEM-0123456789ab"
    log = tmp_path / "ego-mcp-2026-11-20.log"
    good = {"timestamp": START.isoformat(), "message": canary, canary: canary, "tool_args": {canary: [canary]}}
    unreadable = [canary.encode(), b'{"a":' + canary.encode(), b"\xff" + canary.encode(), b"[" * 3000, b'"' + b"x" * 99]
    log.write_bytes(b"\n".join([json.dumps(good).encode(), *unreadable, b""]))
    sidecar = Sidecar(settings(tmp_path / "state", log))
    sidecar.drain()
    sidecar.close()
    assert found([canary], everything_in(tmp_path / "state") + caplog.text.encode()) == []


def test_the_search_finds_a_secret_in_each_of_its_forms() -> None:
    """The tests above mean something: every form they look for is recognised amid other bytes."""
    canary = "秘密 MEM-0123456789ab"
    raw = canary.encode()
    shown = [raw, json.dumps(canary).encode(), raw.hex().encode(), raw.hex().upper().encode()]
    shown += [b64encode(b"padding"[:shift] + raw + b"tail") for shift in range(3)]
    assert [found([canary], b"before" + one + b"after") for one in shown] == [[canary]] * len(shown)
    assert found([canary], b"MEM-0123456789a") == []
