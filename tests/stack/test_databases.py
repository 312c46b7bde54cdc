"""Databases of Kagura and illumo, from their rows to the back ends: exact, once, private, through kills and outages."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.demo import (
    DatabaseSettings,
    illumo_canaries,
    kagura_canaries,
    write_illumo_history,
    write_illumo_live,
    write_kagura_history,
    write_kagura_live,
)
from tests.planted import found
from tests.recorded import FOLDER, canaries_of
from tests.stack.dying import BOUNDARIES
from tests.stack.row_truth import (
    RowTruth,
    check_rows_exact,
    ended_rows,
    entries_in_loki,
    illumo_truth,
    in_prometheus,
    kagura_truth,
    reading,
)
from tests.stack.servers import wait_for
from tests.stack.sidecar import sidecar_on

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

KINDS: Final = ("kagura", "illumo")
CROSSINGS: Final = (1, 2, 4)
DIES_WITHIN_S: Final = 60.0
KILLS: Final = 6
SETTLES_WITHIN_S: Final = 90.0
RETURN_WITHIN_S: Final = 40.0
VISIBLE_WITHIN_S: Final = 3.0
_TRUTHS: Final = {"kagura": kagura_truth, "illumo": illumo_truth}
_NAMES: Final = {"kagura": "telemetry.db", "illumo": "illumo_trace.db"}
_HISTORIES: Final = {"kagura": write_kagura_history, "illumo": write_illumo_history}
_LIVES: Final = {"kagura": write_kagura_live, "illumo": write_illumo_live}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Every test of one database is for each kind."""
    return request.param


@contextmanager
def following(stack: Stack, directory: Path, **settings: str) -> Generator[SidecarProcess]:
    """Yield a sidecar, not started, that follows the databases in `directory/databases`."""
    places = {f"{one}_path": str(directory / "databases" / _NAMES[one]) for one in KINDS}
    (directory / "databases").mkdir(exist_ok=True)
    with sidecar_on(directory, stack.collector.endpoint, state_dir=None, **places, **settings) as sidecar:
        yield sidecar


def database(directory: Path, kind: str) -> Path:
    """Return where the sidecar looks for one."""
    return directory / "databases" / _NAMES[kind]


def settle(stack: Stack, sidecar: SidecarProcess, *paths: Path) -> list[str]:
    """Wait until everything of the databases was read, sent and answered; return their instances."""

    def settled() -> bool:
        instances = sidecar.databases().values()
        lines = sum(len(entries_in_loki(stack, one)) for one in instances)
        return lines >= ended_rows(*paths) and not sidecar.waiting_requests()

    wait_for(settled, within_s=SETTLES_WITHIN_S, what="all final rows are told")
    return list(sidecar.databases().values())


def check(stack: Stack, kind: str, sidecar: SidecarProcess, path: Path, *, spans_once: bool = False) -> RowTruth:
    """Compare one database with the back ends; return its truth."""
    truth = _TRUTHS[kind](path)
    check_rows_exact(stack, truth, settle(stack, sidecar, path), spans_once=spans_once)
    return truth


@dataclass(frozen=True)
class Whole:
    """One run over a recorded database and a demo's days, until nothing is left to send."""

    kind: str
    sidecar: SidecarProcess
    paths: tuple[Path, ...]
    instances: list[str]
    secrets: list[str]
    removals: Counter[tuple[str, str]]


@pytest.fixture(scope="module", params=KINDS)
def whole(stack: Stack, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Whole]:
    """Everything read and sent; the sidecar has ended by SIGTERM."""
    kind: str = request.param
    secrets = canaries_of(kind)
    directory = tmp_path_factory.mktemp(f"whole-{kind}")
    before = Counter(stack.collector.removals())
    recorded, demo = directory / "recorded.db", directory / "demo.db"
    shutil.copy(FOLDER / kind / _NAMES[kind], recorded)
    recorded.chmod(0o644)
    settings = DatabaseSettings(start=datetime.now(UTC) - timedelta(days=3))
    _HISTORIES[kind](demo, settings, until=datetime.now(UTC) - timedelta(days=1))
    secrets += {"kagura": kagura_canaries, "illumo": illumo_canaries}[kind](settings)
    path = {f"{kind}_path": f"{recorded}:{demo}"}
    with sidecar_on(directory, stack.collector.endpoint, state_dir=None, **path) as sidecar:
        sidecar.start()
        instances = settle(stack, sidecar, recorded, demo)
        assert sidecar.terminate() == 0
        yield Whole(
            kind,
            sidecar,
            (recorded, demo),
            instances,
            secrets,
            Counter(stack.collector.removals()) - before,
        )


def test_counts_tokens_and_costs_agree_exactly_with_the_database(stack: Stack, whole: Whole) -> None:
    """Of the recorded one and of a fresh one; each line in Loki and each span in Tempo once."""
    assert len(set(whole.instances)) == len(whole.paths)
    check_rows_exact(stack, _TRUTHS[whole.kind](*whole.paths), whole.instances, spans_once=True)


def test_counts_agree_exactly_for_ranges_of_any_length(stack: Stack, whole: Whole) -> None:
    """From a quarter of an hour to two days, ending anywhere: what ended in the range, by its own time."""
    chance = random.Random(5)
    ends = [at for path in whole.paths for at in ended_at(whole.kind, path)]
    metric = {"kagura": "agent_executions_total", "illumo": "agent_flow_node_runs_total"}[whole.kind]
    selector = f'{metric}{{instance=~"{"|".join(whole.instances)}"}}'
    for _ in range(40):
        range_s = chance.choice([900, 3600, 6 * 3600, 86400, 2 * 86400])
        # Points stand at whole milliseconds: an end between two of them cuts no event.
        end_s = round(chance.uniform(min(ends) + range_s / 2, max(ends)), 3)
        (answer,) = stack.prometheus.query(f"sum(increase({selector}[{range_s}s] anchored))", at=end_s) or [None]
        counted = answer.value if answer else 0
        truth = sum(end_s - range_s < at <= end_s for at in ends)
        assert abs(counted - truth) < 1e-6, f"{range_s} s up to {end_s}"


def ended_at(kind: str, path: Path) -> list[float]:
    """Return the whole milliseconds, in seconds, at which executions or nodes ended."""
    with reading(path) as db:
        if kind == "kagura":
            return [int(at * 1000) / 1000 for (at,) in db.execute("SELECT ended_at FROM executions")]
        texts = db.execute("SELECT end_time FROM spans WHERE kind != 'flow' AND end_time IS NOT NULL").fetchall()
    times = (datetime.fromisoformat(text).replace(tzinfo=UTC) for (text,) in texts)
    return [int(at.timestamp() * 1000) / 1000 for at in times]


def test_no_planted_secret_is_anywhere_and_the_second_layer_had_nothing_to_do(stack: Stack, whole: Whole) -> None:
    """Searched in every form, in the state directory, in the sidecar's log and in each back end."""
    assert len(whole.secrets) > 100
    raw = b"".join(path.read_bytes() for path in whole.paths)
    assert len(found(whole.secrets, raw)) > len(whole.secrets) // 2, "the secrets stand in the databases"
    assert not found(whole.secrets, whole.sidecar.state_bytes())
    assert not found(whole.secrets, whole.sidecar.said().encode())
    now_s = time.time()
    assert not found(whole.secrets, stack.loki.everything(now_s - 7 * 86_400, now_s).encode())
    assert not found(whole.secrets, stack.prometheus.everything().encode())
    assert not found(whole.secrets, stack.tempo.raw())
    assert not whole.removals


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_at_a_boundary_nothing_is_lost_and_nothing_counted_twice(
    stack: Stack, tmp_path: Path, boundary: str, kind: str
) -> None:
    """Three lives end at the first, second and fourth crossing; the last one finishes."""
    with following(stack, tmp_path, batch_kib="16") as sidecar:
        settings = DatabaseSettings(start=datetime.now(UTC) - timedelta(hours=9))
        _HISTORIES[kind](database(tmp_path, kind), settings, until=datetime.now(UTC))
        for crossing in CROSSINGS:
            sidecar.launch([sys.executable, "-m", "tests.stack.dying", boundary, str(crossing)])
            assert sidecar.ended(DIES_WITHIN_S) == -signal.SIGKILL, sidecar.said()
        sidecar.start()
        check(stack, kind, sidecar, database(tmp_path, kind))


@contextmanager
def alive(kind: str, path: Path, settings: DatabaseSettings, **how: str) -> Generator[None]:
    """Let the real program's stand-in write into the database meanwhile."""
    stop = threading.Event()
    write = partial(_LIVES[kind], path, settings, stop=stop, **how)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("writing", ["insert", "update", "replace"])
def test_killed_at_random_under_load_each_execution_is_counted_once(stack: Stack, tmp_path: Path, writing: str) -> None:
    """While Kagura writes in whichever way: rows that run, that are updated at the end, that get a new rowid."""
    killed_at_random(stack, tmp_path, "kagura", writing=writing)


def test_killed_at_random_under_load_each_span_is_counted_once(stack: Stack, tmp_path: Path) -> None:
    """While a flow writes: each span twice, at its start and at its end."""
    killed_at_random(stack, tmp_path, "illumo")


def killed_at_random(stack: Stack, directory: Path, kind: str, **how: str) -> None:
    """Kill the sidecar again and again while a program writes; then let it finish, and compare."""
    chance = random.Random(9)
    path = database(directory, kind)
    settings = DatabaseSettings(start=datetime.now(UTC) - timedelta(hours=5), rhythm=False)
    with following(stack, directory, batch_kib="32") as sidecar:
        _HISTORIES[kind](path, settings, until=datetime.now(UTC))
        with alive(kind, path, replace(settings, seed=8, per_hour=7200.0), **how):
            for _ in range(KILLS):
                sidecar.launch()
                assert sidecar.ended(chance.uniform(0.8, 2.5)) is None, sidecar.said()
                sidecar.kill()
        sidecar.start()
        check(stack, kind, sidecar, path)


@pytest.mark.parametrize("server", ["collector", "prometheus", "loki"])
def test_while_a_server_is_away_rows_are_read_and_later_nothing_is_missing(
    stack: Stack, tmp_path: Path, kind: str, server: str
) -> None:
    """What ends meanwhile is in the outbox; when the server is back each count is exact."""
    path = database(tmp_path, kind)
    settings = DatabaseSettings(start=datetime.now(UTC) - timedelta(hours=1), rhythm=False)
    with following(stack, tmp_path) as sidecar:
        _HISTORIES[kind](path, settings, until=datetime.now(UTC))
        sidecar.start()
        settle(stack, sidecar, path)
        away = getattr(stack, server)
        away.stop()
        try:
            with alive(kind, path, replace(settings, seed=8, per_hour=7200.0)):
                wait_for(lambda: sidecar.waiting_requests() > 3, what="rows are read while the server is down")
        finally:
            away.start()
        wait_for(lambda: not sidecar.waiting_requests(), within_s=RETURN_WITHIN_S, what="everything is sent")
        check(stack, kind, sidecar, path, spans_once=server != "collector")


def test_a_database_that_appears_late_is_found_and_a_new_row_is_seen_at_once(
    stack: Stack, tmp_path: Path, kind: str
) -> None:
    """Within seconds; and a deleted and re-made one is another instance."""
    path = database(tmp_path, kind)
    settings = DatabaseSettings(start=datetime.now(UTC) - timedelta(hours=1), rhythm=False)
    metric = {"kagura": "agent_executions_total", "illumo": "agent_flow_runs_total"}[kind]
    with following(stack, tmp_path) as sidecar:
        sidecar.start()
        _HISTORIES[kind](path, settings, until=datetime.now(UTC))
        check(stack, kind, sidecar, path)
        (first,) = sidecar.databases().values()
        before = in_prometheus(stack, metric, [first]).total()
        with alive(kind, path, replace(settings, seed=8, per_hour=7200.0)):
            wait_for(
                lambda: in_prometheus(stack, metric, [first]).total() > before,
                within_s=VISIBLE_WITHIN_S * 10,
                what="what ended is in Prometheus",
            )
        check(stack, kind, sidecar, path)
        for one in path.parent.iterdir():
            one.unlink()
        _HISTORIES[kind](path, replace(settings, seed=3), until=datetime.now(UTC))
        wait_for(lambda: len(sidecar.databases()) == 2, what="the new database is another instance")
        (second,) = set(sidecar.databases().values()) - {first}
        wait_for(
            lambda: in_prometheus(stack, metric, [second]) == _TRUTHS[kind](path).sums[metric],
            within_s=SETTLES_WITHIN_S,
            what="the new database is read",
        )
