"""Databases of Kagura and illumo, from their rows to the back ends: exact, once, private, through kills and outages."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
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
from tests.recorded import FOLDER, canaries_of
from tests.stack.dying import BOUNDARIES
from tests.stack.hardship import check_nothing_leaked, killed_at_random, outage
from tests.stack.row_truth import (
    check_rows_exact,
    ended_rows,
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

    from egoscope.demo.kagura import Writing
    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

KINDS: Final = ("kagura", "illumo")
CROSSINGS: Final = (1, 2, 4)
_TRUTHS: Final = {"kagura": kagura_truth, "illumo": illumo_truth}
_NAMES: Final = {"kagura": "telemetry.db", "illumo": "illumo_trace.db"}
_HISTORIES: Final = {"kagura": write_kagura_history, "illumo": write_illumo_history}
_ENDS: Final = {
    "kagura": ("agent_executions_total",),
    "illumo": ("agent_flow_runs_total", "agent_flow_node_runs_total"),
}
"""What counts final rows, the one that counts whole executions or runs first."""


class Scene:
    """A sidecar, not started, that follows a database of each kind in one directory."""

    def __init__(self, stack: Stack, sidecar: SidecarProcess, directory: Path) -> None:
        self.stack, self.sidecar = stack, sidecar
        self.paths = {kind: directory / _NAMES[kind] for kind in KINDS}

    def write(self, hours: float, *, seed: int = 7) -> None:
        """Let both programs have run for so long, up to now."""
        now = datetime.now(UTC)
        settings = DatabaseSettings(seed=seed, start=now - timedelta(hours=hours), rhythm=False)
        for kind in KINDS:
            _HISTORIES[kind](self.paths[kind], settings, until=now)

    @contextmanager
    def alive(self, writing: Writing = "update") -> Generator[None]:
        """Let both programs run on meanwhile, far busier than ever."""
        stop = threading.Event()
        settings = DatabaseSettings(seed=8, start=datetime.now(UTC), per_hour=7200.0, rhythm=False)
        writers = [
            threading.Thread(target=partial(write, self.paths[kind], settings, stop=stop))
            for kind, write in (("kagura", partial(write_kagura_live, writing=writing)), ("illumo", write_illumo_live))
        ]
        for writer in writers:
            writer.start()
        try:
            yield
        finally:
            stop.set()
            for writer in writers:
                writer.join()

    def check(self, *, spans_once: bool = False) -> None:
        """Wait until everything was read, sent and answered, and compare it with the databases."""
        for kind, path in self.paths.items():
            instances = settle(self.stack, self.sidecar, kind, path)
            check_rows_exact(self.stack, _TRUTHS[kind](path), instances, spans_once=spans_once)


@contextmanager
def following(stack: Stack, directory: Path, **settings: str) -> Generator[Scene]:
    """Yield a scene in `directory/databases`."""
    databases = directory / "databases"
    databases.mkdir()
    places = {f"{kind}_path": str(databases / _NAMES[kind]) for kind in KINDS}
    with sidecar_on(directory, stack.collector.endpoint, state_dir=None, **places, **settings) as sidecar:
        yield Scene(stack, sidecar, databases)


def settle(stack: Stack, sidecar: SidecarProcess, kind: str, *paths: Path) -> list[str]:
    """Wait until everything of these databases was read, sent and answered; return their instances."""

    def settled() -> bool:
        if sidecar.waiting_requests():
            return False
        counted = sum(in_prometheus(stack, metric, sidecar.databases(kind)).total() for metric in _ENDS[kind])
        return counted >= ended_rows(*paths)

    wait_for(settled, what="all final rows are told")
    wait_for(lambda: not sidecar.waiting_requests(), what="everything is sent")
    return sidecar.databases(kind)


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
    settings = DatabaseSettings(start=datetime.now(UTC) - timedelta(days=3), per_hour=20.0)
    _HISTORIES[kind](demo, settings, until=datetime.now(UTC) - timedelta(days=1))
    secrets += {"kagura": kagura_canaries, "illumo": illumo_canaries}[kind](settings)
    path = {f"{kind}_path": f"{recorded}:{demo}"}
    with sidecar_on(directory, stack.collector.endpoint, state_dir=None, **path) as sidecar:
        sidecar.start()
        instances = settle(stack, sidecar, kind, recorded, demo)
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
    sources = b"".join(path.read_bytes() for path in whole.paths)
    check_nothing_leaked(stack, whole.sidecar, whole.secrets, sources)
    assert not whole.removals


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_at_a_boundary_nothing_is_lost_and_nothing_counted_twice(
    stack: Stack, tmp_path: Path, boundary: str
) -> None:
    """Three lives end at the first, second and fourth crossing; the last one finishes."""
    with following(stack, tmp_path, batch_kib="16") as scene:
        scene.write(hours=6)
        for crossing in CROSSINGS:
            scene.sidecar.launch([sys.executable, "-m", "tests.stack.dying", boundary, str(crossing)])
            assert scene.sidecar.ended() == -signal.SIGKILL, scene.sidecar.said()
        scene.sidecar.start()
        scene.check()


@pytest.mark.parametrize("writing", ["insert", "update", "replace"])
def test_killed_at_random_under_load_each_row_is_counted_once(stack: Stack, tmp_path: Path, writing: Writing) -> None:
    """In whichever way Kagura writes: rows that run, that are updated at the end, that get a new rowid then."""
    with following(stack, tmp_path, batch_kib="32") as scene:
        scene.write(hours=3)
        with scene.alive(writing):
            killed_at_random(scene.sidecar)
        scene.sidecar.start()
        scene.check()


@pytest.mark.parametrize("server", ["collector", "prometheus", "loki"])
def test_while_a_server_is_away_rows_are_read_and_later_nothing_is_missing(
    stack: Stack, tmp_path: Path, server: str
) -> None:
    """What ends meanwhile is in the outbox; when the server is back each count is exact."""
    with following(stack, tmp_path) as scene:
        scene.write(hours=1)
        scene.sidecar.start()
        for kind, path in scene.paths.items():
            settle(stack, scene.sidecar, kind, path)
        with outage(stack, server, scene.sidecar), scene.alive():
            wait_for(lambda: scene.sidecar.waiting_requests() > 3, what="rows are read while the server is down")
        scene.check(spans_once=server == "loki")


def test_a_database_that_appears_late_is_found_and_one_made_anew_is_another(stack: Stack, tmp_path: Path) -> None:
    """Its first rows are told, then each that ends; what stands in its place later is an instance of its own."""
    with following(stack, tmp_path) as scene:
        scene.sidecar.start()
        scene.write(hours=1)
        scene.check()
        first = {kind: scene.sidecar.databases(kind) for kind in KINDS}
        with scene.alive():
            for path in scene.paths.values():
                before = ended_rows(path)
                wait_for(lambda path=path, before=before: ended_rows(path) > before, what="something ends")
        scene.check()
        for path in scene.paths.values():
            for one in path.parent.glob(f"{path.name}*"):
                one.unlink()
        scene.write(hours=1, seed=3)
        for kind, path in scene.paths.items():
            wait_for(lambda kind=kind: len(scene.sidecar.databases(kind)) == 2, what="it is another instance")
            second = set(scene.sidecar.databases(kind)) - set(first[kind])
            metric = _ENDS[kind][0]
            wait_for(
                lambda kind=kind, path=path, second=second, metric=metric: (
                    in_prometheus(stack, metric, second) == _TRUTHS[kind](path).sums[metric]
                ),
                what="the new database is told",
            )
