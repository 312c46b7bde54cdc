"""What is older than the retention goes, and what is younger stays exact: with real servers and short retentions."""

from __future__ import annotations

import contextlib
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.demo import DemoSettings, write_history
from tests.stack.backends import Loki, Prometheus, Tempo
from tests.stack.collector import Collector, CollectorPorts
from tests.stack.conftest import missing
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import ANSWER_S, PROCESSES, MissingServerError, free_ports, wait_for
from tests.stack.servers import Stack
from tests.stack.sidecar import append, call, sidecar_on
from tests.stack.truth import calls_in_prometheus, contents, truth_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.stack.truth import Truth

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
# Prometheus writes blocks of two hours, once it has three of now, and looks for what to delete each minute: in the test
# blocks are of one minute, from when its history was seen to be there. Loki looks as often as the test says, instead of
# every ten minutes and after two hours.
GONE_WITHIN_S: Final = 900.0
HASTE: Final = (
    "-compactor.compaction-interval=2s",
    "-compactor.retention-delete-delay=1s",
)
# Instead of once an hour.
TEMPO_LOOKS: Final = "-backend-scheduler.provider.workbackend-scheduler.retention-interval=5s"
MINUTES: Final = ("--storage.tsdb.min-block-duration=1m", "--storage.tsdb.max-block-duration=1m")


@dataclass(frozen=True, slots=True)
class Kept:
    """Back ends with a history, read in at once. `now` is the second at which it ends."""

    stack: Stack
    tempo: Tempo | None
    logs: dict[str, bytes]
    truth: Truth
    now: float


@contextlib.contextmanager
def kept_on(
    directory: Path, history_s: float, calls_per_minute: float, kept: str, *, tempo_kept: str = "48h"
) -> Generator[Kept]:
    """Start servers that keep what is as young as `kept`, and let a sidecar send them a history that is longer."""
    port, loki_port, loki_grpc, spans, tempo_http, tempo_grpc, *rest = free_ports(10)
    with contextlib.ExitStack() as until_the_end:
        try:
            prometheus = Prometheus(directory, port, {"prometheus": [f"127.0.0.1:{port}"]}, retention=kept)
            loki = Loki(directory, loki_port, loki_grpc)
            loki.with_options(*HASTE, EGOSCOPE_LOKI_RETENTION=kept)
            tempo = None
            with contextlib.suppress(MissingServerError):
                tempo = Tempo(directory, spans, tempo_http, tempo_grpc)
                tempo.with_options(TEMPO_LOOKS, EGOSCOPE_TEMPO_RETENTION=tempo_kept)
            fake = FakeTempo(spans)
            collector = Collector(
                directory,
                ports=CollectorPorts(*rest),
                prometheus_url=prometheus.url,
                loki_url=loki.url,
                tempo_port=spans,
                way=PROCESSES,
            )
            for server in (prometheus, loki, tempo or fake, collector):
                until_the_end.callback(server.kill)
                server.start()
        except MissingServerError as error:
            missing(str(error))
        wait_for(lambda: prometheus.query("up"), what="Prometheus has scraped something")
        sidecar = until_the_end.enter_context(sidecar_on(directory, collector.endpoint))
        now = datetime.now(UTC)
        start = now - timedelta(seconds=history_s)
        write_history(
            sidecar.logs, DemoSettings(start=start, calls_per_minute=calls_per_minute, rhythm=False), until=now
        )
        # In the first minutes of a day the demo may not have done anything as yet.
        append(sidecar.logs / "ego-mcp-live.log", *call())
        sidecar.start()
        sidecar.wait_until_drained()
        logs = contents(sidecar.instances())
        sidecar.terminate()
        stack = Stack(directory, prometheus, loki, fake, collector)
        yield Kept(stack, tempo, logs, truth_of(*logs.values()), now.timestamp())


def test_old_samples_go_from_prometheus_and_younger_counts_stay_exact(tmp_path: Path) -> None:
    """Whole blocks at a time: what is left begins up to a block before the retention's edge."""
    with kept_on(tmp_path, 3 * HOUR_S, 6, "90m") as kept:

        def oldest() -> float:
            """Return how many minutes back there still is a sample of ours."""
            answer = kept.stack.prometheus.range("count(ego_log_lines_total)", kept.now - 4 * HOUR_S, kept.now, 60)
            return (time.time() - float(answer[0]["values"][0][0])) / 60

        assert oldest() > 150
        kept.stack.prometheus.with_options(*MINUTES)
        kept.stack.prometheus.restart()
        begun = time.monotonic()
        wait_for(lambda: oldest() < 105, within_s=GONE_WITHIN_S, what="old samples are gone")
        print(f"\nPrometheus: after {time.monotonic() - begun:.0f} s the oldest sample is {oldest():.0f} minutes old")
        for minutes in (10, 25, 40):
            calls = calls_in_prometheus(kept.stack, kept.logs, kept.now, minutes * 60)
            ended = {call: count for call, count in calls.items() if call[1] != "unfinished"}
            assert ended == kept.truth.calls(kept.now - minutes * 60, kept.now)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Five days, of which two are kept: Loki keeps a day at least."""
    with kept_on(tmp_path_factory.mktemp("days"), 5 * DAY_S, 0.5, "48h", tempo_kept="1m") as kept:
        yield kept


def test_old_lines_go_from_loki_and_younger_ones_all_stay(days: Kept) -> None:
    """From its storage. Its ingester has a copy of the index, and may answer with it for a while: not waited for."""
    loki = days.stack.loki
    index = days.stack.directory / "loki-data" / "chunks" / "index"

    def lines(from_days: float, to_days: float) -> int:
        selector = '{service_name="ego-mcp"}'
        return loki.count(selector, days.now - from_days * DAY_S, days.now - to_days * DAY_S)

    def indexed() -> list[int]:
        """Return the days, counted back from today, of which the storage has an index."""
        today = int(days.now // DAY_S)
        return sorted(today - int(path.name.removeprefix("index_")) for path in index.glob("index_*"))

    assert lines(6, 3.5) > 500
    with urllib.request.urlopen(urllib.request.Request(f"{loki.url}/flush", method="POST"), timeout=ANSWER_S):
        pass
    loki.restart()  # so that the index is handed over now and not in a quarter of an hour
    begun = time.monotonic()
    wait_for(
        lambda: 0 in indexed() and max(indexed()) <= 3,
        within_s=GONE_WITHIN_S,
        what="old days are gone from Loki's storage",
    )
    print(f"\nLoki: after {time.monotonic() - begun:.0f} s, in the storage: {indexed()} days back")
    young = [at for at, _ in days.truth.lines if at > days.now - 1.9 * DAY_S]
    assert abs(lines(1.9, -0.1) - len(young)) <= 1  # whole seconds


def test_traces_go_from_tempo_with_their_block(days: Kept) -> None:
    """A block goes when its newest span is too old: a history that was read in at once stays together, and goes so."""
    if days.tempo is None:
        pytest.skip("tempo is missing: on PATH or in $EGOSCOPE_STACK_BIN")
    tempo = days.tempo

    def traces() -> int:
        return len(tempo.search("{}", days.now - 6 * DAY_S, days.now - 3 * DAY_S))

    wait_for(traces, within_s=GONE_WITHIN_S, what="old traces are found")
    begun = time.monotonic()
    wait_for(lambda: not traces(), within_s=GONE_WITHIN_S, what="old traces are gone")
    print(f"\nTempo: old traces are gone after {time.monotonic() - begun:.0f} s")
