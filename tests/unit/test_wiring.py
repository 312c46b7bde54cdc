"""The whole sidecar on the recorded runs: as many calls as the log has, however often it is started."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from converted import Sent, scalars
from ego_lines import completed, failed, invoked
from kept import Scripted
from recorded import RUNS, log_of

from egoscope.config import load_settings
from egoscope.convert.catalogue import START_TIME
from egoscope.delivery.state import StateFile
from egoscope.errors import ConfigError, DeliveryError, StateError
from egoscope.otlp.client import Accepted, Outcome, Signal, Unavailable
from egoscope.wiring import Sidecar

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.config import Settings


def settings(state_dir: Path, logs: Path, **more: Any) -> Settings:
    """Return settings of a sidecar with the embedded store that listens nowhere."""
    base: dict[str, Any] = {"EGO_MCP_LOG_PATH": str(logs), "state_dir": state_dir, "backend": "embedded"}
    return load_settings(**{**base, "health_port": 0, "telemetry": False, **more})


def drained(of: Settings, exporter: Scripted | None = None) -> None:
    """Read and send everything there is, as one run of the program."""
    sidecar = Sidecar(of, exporter=exporter)
    try:
        sidecar.drain()
    finally:
        sidecar.close()


def stored(state_dir: Path) -> dict[str, int]:
    """Return what the embedded store holds of the agent: spans, lines, and the last value of each call counter."""
    last = (
        "SELECT coalesce(sum(value), 0) FROM points JOIN series ON series.id = series"
        " WHERE name = 'ego.calls' AND time_ns = (SELECT max(time_ns) FROM points WHERE series = series.id)"
    )
    with closing(sqlite3.connect(state_dir / "store.db")) as db:
        return {
            "spans": db.execute("SELECT count(*) FROM spans").fetchone()[0],
            "lines": db.execute('SELECT count(*) FROM logs WHERE "offset" IS NOT NULL').fetchone()[0],
            "calls": db.execute(last).fetchone()[0],
        }


@pytest.mark.parametrize(("run", "calls"), RUNS.items())
def test_the_store_counts_what_the_log_has_and_another_start_adds_nothing(run: str, calls: int, tmp_path: Path) -> None:
    """Spans, log lines and the counter of calls, exactly; after one run and after three."""
    log = log_of(run)
    lines = log.read_bytes().splitlines()
    assert sum(b'"message": "Tool invocation"' in line for line in lines) == calls
    for _ in range(3):
        drained(settings(tmp_path, log))
        assert stored(tmp_path) == {"spans": calls, "lines": len(lines), "calls": calls}


@pytest.mark.parametrize("run", RUNS)
def test_outcomes_and_tools_of_a_recorded_run_are_those_of_its_log(run: str, tmp_path: Path) -> None:
    """Counted by hand from the log's own lines; overlapping calls included."""
    log = log_of(run)
    ends = {"Tool execution completed": "ok", "Tool execution failed": "error"}
    by_hand: Counter[tuple[str, str]] = Counter()
    for line in log.read_bytes().splitlines():
        fields = json.loads(line)
        if fields["message"] in ends:
            by_hand[fields["tool_name"], ends[fields["message"]]] += 1
    exporter = Scripted()
    drained(settings(tmp_path, log), exporter)
    sent = Sent()
    for signal, data in exporter.accepted:
        sent.add(signal, data)
    said = [scalars(span.attributes) for span in sent.spans]
    spans = Counter((str(one["gen_ai.tool.name"]), str(one["ego.outcome"])) for one in said)
    assert spans == by_hand
    counted = {key: points[-1][1] for key, points in sent.points.items() if key[0] == "ego.calls"}
    assert {(dict(key[1])["tool"], dict(key[1])["outcome"]): value for key, value in counted.items()} == by_hand


def test_lines_written_between_two_runs_arrive_once(tmp_path: Path) -> None:
    """A call that was open when the program stopped is paired by the next run."""
    logs, state_dir = tmp_path / "logs", tmp_path / "state"
    logs.mkdir()
    log = logs / "ego-mcp-2026-11-20.log"
    log.write_bytes(invoked(0) + b"\n")
    drained(settings(state_dir, logs))
    with log.open("ab") as file:
        file.write(completed(40) + b"\n" + invoked(50) + b"\n" + failed(60) + b"\nhalf a li")
    drained(settings(state_dir, logs))
    assert stored(state_dir) == {"spans": 2, "lines": 4, "calls": 2}


def test_what_could_not_be_sent_in_one_run_is_sent_by_the_next_as_the_same_bytes(tmp_path: Path) -> None:
    """Nothing is made anew: the requests wait in the state file."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    log.write_bytes(b"".join(line + b"\n" for line in (invoked(0), completed(40))))
    down = Scripted(lambda _signal, _request: Unavailable("unavailable"))
    with pytest.raises(DeliveryError, match="what was read waits in the outbox"):
        drained(settings(tmp_path / "state", log), down)
    signal, first = down.received[0]
    up = Scripted()
    drained(settings(tmp_path / "state", log), up)
    assert next(data for one, data in up.accepted if one is signal) == first
    assert sum(signal is Signal.TRACES for signal, _ in up.accepted) == 1


def test_a_second_sidecar_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    """And the second one leaves nothing behind."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    log.write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    first = Sidecar(settings(tmp_path / "state", log), exporter=Scripted())
    with pytest.raises(StateError, match="in use by another egoscope"):
        Sidecar(settings(tmp_path / "state", log), exporter=Scripted())
    first.drain()
    first.close()
    assert sorted(one.name for one in (tmp_path / "state").iterdir()) == ["pseudonym.key", "state.db", "state.lock"]


def test_a_start_that_fails_for_a_bad_policy_leaves_no_state_without_a_key(tmp_path: Path) -> None:
    """The next start is a first start again."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "ego_mcp.toml").write_text("nonsense", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"ego_mcp\.toml"):
        Sidecar(settings(tmp_path / "state", tmp_path, policy_dir=policies))
    drained(settings(tmp_path / "state", tmp_path / "logs"))


def test_a_start_that_was_killed_before_it_made_its_key_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """It leaves a state file in which nothing is kept."""
    of = settings(tmp_path / "state", tmp_path / "logs")
    StateFile(of.state_dir / "state.db").close()
    Sidecar(of, exporter=Scripted()).close()
    assert of.key_path.stat().st_size == 32


def test_state_without_its_key_is_refused(tmp_path: Path) -> None:
    """With a new key every pseudonym and id would change."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    log.write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    of = settings(tmp_path / "state", log)
    drained(of)
    of.key_path.unlink()
    with pytest.raises(StateError, match="put it back from a backup"):
        Sidecar(of)
    assert (tmp_path / "state" / "state.db").exists()


def test_the_running_sidecar_sends_what_is_written_and_ends_when_asked(tmp_path: Path) -> None:
    """Live: a line written while it runs arrives; after `stop` everything read is sent or kept."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    log.touch()
    arrived = threading.Event()

    def answer(signal: Signal, _request: bytes) -> Outcome:
        if signal is Signal.TRACES:
            arrived.set()
        return Accepted()

    exporter = Scripted(answer)
    sidecar = Sidecar(settings(tmp_path / "state", log, poll_s=0.05), exporter=exporter)
    running = threading.Thread(target=sidecar.run)
    running.start()
    try:
        with log.open("ab") as file:
            file.write(invoked(0) + b"\n" + completed(40) + b"\n")
        assert arrived.wait(180)
    finally:
        sidecar.stop()
        running.join(180)
    assert not running.is_alive()
    assert [signal for signal, _ in exporter.accepted].count(Signal.TRACES) == 1


def test_the_first_points_of_a_run_are_of_now_though_the_log_is_old(tmp_path: Path) -> None:
    """A fresh Prometheus takes the first sample for the beginning of its time."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    log.write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    counted = threading.Event()

    def answer(signal: Signal, request: bytes) -> Outcome:
        if signal is Signal.METRICS and b"ego.calls" in request:
            counted.set()
        return Accepted()

    exporter = Scripted(answer)
    begun_ms = time.time_ns() // 1_000_000
    sidecar = Sidecar(settings(tmp_path / "state", log, poll_s=0.05), exporter=exporter)
    running = threading.Thread(target=sidecar.run)
    running.start()
    try:
        assert counted.wait(180)
    finally:
        sidecar.stop()
        running.join(180)
    first = Sent()
    first.add(Signal.METRICS, next(request for signal, request in exporter.accepted if signal is Signal.METRICS))
    ((series, points),) = first.points.items()
    assert series[0] == START_TIME.name
    assert all(time_ms >= begun_ms for time_ms, _ in points)
