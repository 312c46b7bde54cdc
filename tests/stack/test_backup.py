"""A backup restored into an empty place: every count is the log's, and stays so when the log goes on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from egoscope.demo import DemoSettings, write_history
from tests.stack.conftest import missing
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import PROCESSES, free_ports, wait_for
from tests.stack.servers import (
    Collector,
    CollectorPorts,
    Loki,
    MissingServerError,
    Prometheus,
    Stack,
    Tempo,
    get_json,
)
from tests.stack.sidecar import append, call, sidecar_on
from tests.stack.truth import calls_in_prometheus, lines_in_prometheus, offsets_in_loki, truth_of
from tools import backup

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.stack.sidecar import SidecarProcess

PAST: Final = DemoSettings(calls_per_minute=4.0, rhythm=False)
TRACES: Final = 1000
SPANS_OF_A_TRACE: Final = 100


@dataclass(frozen=True, slots=True)
class Servers:
    """The back ends with their data under `directory`. Without a real Tempo no spans are kept, nor looked at."""

    directory: Path
    stack: Stack
    tempo: Tempo | None

    @classmethod
    @contextlib.contextmanager
    def on(cls, directory: Path) -> Generator[Servers]:
        """Start them. As plain processes, whose data is a directory; MissingServerError names what is not there."""
        directory.mkdir(exist_ok=True)
        prometheus_port, loki_port, loki_grpc, spans, tempo_http, tempo_grpc, *rest = free_ports(10)
        prometheus = Prometheus(directory, prometheus_port, {"prometheus": [f"127.0.0.1:{prometheus_port}"]})
        loki = Loki(directory, loki_port, loki_grpc)
        tempo = None
        with contextlib.suppress(MissingServerError):
            tempo = Tempo(directory, spans, tempo_http, tempo_grpc)
        fake = FakeTempo(spans)
        collector = Collector(
            directory,
            ports=CollectorPorts(*rest),
            prometheus_url=prometheus.url,
            loki_url=loki.url,
            tempo_port=spans,
            way=PROCESSES,
        )
        with contextlib.ExitStack() as until_the_end:
            for server in (prometheus, loki, tempo or fake, collector):
                until_the_end.callback(server.kill)
                server.start()
            # What a fresh Prometheus is sent before it has scraped can be lost (see filled.py).
            wait_for(lambda: prometheus.query("up"), what="Prometheus has scraped something")
            yield cls(directory, Stack(directory, prometheus, loki, fake, collector), tempo)

    def stop(self) -> None:
        """Stop all of them, so that their data can be copied."""
        for server in (self.stack.collector, self.tempo, self.stack.loki, self.stack.prometheus):
            if server is not None:
                server.stop()

    def places(self) -> list[str]:
        """Return the options that name where their data is."""
        parts = ("prometheus", "loki", *(["tempo"] if self.tempo else []))
        return [f"--{part}={self.directory / f'{part}-data'}" for part in parts]

    def span_ids(self, instance: str) -> set[str]:
        """Return the ids of all spans of an instance that a search of Tempo finds."""
        assert self.tempo is not None
        now = datetime.now(UTC)
        found = get_json(
            f"{self.tempo.url}/api/search",
            q=f'{{ resource.service.instance.id = "{instance}" }}',
            start=int((now - timedelta(days=1)).timestamp()),
            end=int((now + timedelta(hours=1)).timestamp()),
            limit=TRACES,
            spss=SPANS_OF_A_TRACE,
        )["traces"]
        assert len(found) < TRACES, "there may be more traces than one search returns"
        return {span["spanID"] for trace in found for spans in trace["spanSets"] for span in spans["spans"]}

    def check(self, logs: Path, instances: dict[Path, str], *, spans: bool = True) -> None:
        """Compare calls, lines, log records and, where asked for, spans with what the log files hold."""
        logged = {instances[path]: path.read_bytes() for path in sorted(logs.glob("ego-mcp-*.log"))}
        whole = truth_of(*logged.values())
        calls = calls_in_prometheus(self.stack, logged)
        assert {one: count for one, count in calls.items() if one[1] != "unfinished"} == whole.calls()
        assert lines_in_prometheus(self.stack, logged) == whole.by_level()
        for instance, content in logged.items():
            assert offsets_in_loki(self.stack, instance) == truth_of(content).offsets
        if self.tempo and spans:
            wait_for(
                lambda: sum(len(self.span_ids(one)) for one in logged) == calls.total(),
                what=f"Tempo holds {calls.total()} spans",
            )


def live(sidecar: SidecarProcess) -> Path:
    return sidecar.logs / "ego-mcp-live.log"


def test_a_backup_restored_into_an_empty_place_holds_every_count_and_goes_on(tmp_path: Path) -> None:
    """The log grows on throughout: while servers are stopped for the copy, which holds it as unsent, and after that.

    Then the state alone is restored once more, as of before: what was sent already is sent again, and counts stay.
    """
    with contextlib.ExitStack() as until_the_end:
        try:
            before = until_the_end.enter_context(Servers.on(tmp_path / "before"))
        except MissingServerError as error:
            missing(str(error))
        sidecar = until_the_end.enter_context(sidecar_on(tmp_path, before.stack.collector.endpoint))
        now = datetime.now(UTC)
        write_history(sidecar.logs, replace(PAST, start=now - timedelta(minutes=25)), until=now)
        append(live(sidecar), *call("recall"))
        sidecar.start()
        sidecar.wait_until_drained()
        before.check(sidecar.logs, sidecar.instances(), spans=False)  # those of old calls are found a while later

        before.stop()
        append(live(sidecar), *call("remember"), *call("recall"))
        wait_for(lambda: sidecar.has_read() and sidecar.waiting_requests(), what="the new lines wait in the outbox")
        backups = tmp_path / "backups"
        state = f"--state={sidecar.state_dir}"
        assert backup.main(["backup", f"--to={backups}", state, *before.places()]) == 0
        (made,) = backups.glob("egoscope-*Z")

        instances = sidecar.instances()
        sidecar.kill()
        append(live(sidecar), *call("introspect"))
        _restored(tmp_path / "after", made, sidecar.logs, instances, until_the_end)


def _restored(
    directory: Path, made: Path, logs: Path, instances: dict[Path, str], until_the_end: contextlib.ExitStack
) -> None:
    tempo = "tempo" in backup.checked(made)["parts"]
    parts = ("prometheus", "loki", *(["tempo"] if tempo else []))
    places = [f"--{part}={directory / f'{part}-data'}" for part in parts]
    assert backup.main(["restore", f"--from={made}", f"--state={directory / 'state'}", *places]) == 0

    after = until_the_end.enter_context(Servers.on(directory))
    endpoint = after.stack.collector.endpoint
    sidecar = until_the_end.enter_context(sidecar_on(logs.parent, endpoint, state_dir=directory / "state"))
    sidecar.start()
    sidecar.wait_until_drained()
    assert sidecar.instances() == instances, "the same key, so the same ids"
    after.check(logs, instances)

    append(live(sidecar), *call("recall"), *call("remember"))
    sidecar.wait_until_drained()
    after.check(logs, instances)
    sidecar.kill()

    assert backup.main(["restore", f"--from={made}", f"--state={directory / 'state-again'}"]) == 0
    again = until_the_end.enter_context(sidecar_on(logs.parent, endpoint, state_dir=directory / "state-again"))
    again.start()
    again.wait_until_drained()
    after.check(logs, instances)


@pytest.mark.parametrize("part", ["prometheus", "loki"])
def test_a_server_that_runs_is_not_copied(stack: Stack, tmp_path: Path, part: str, capsys: Any) -> None:
    """Its files would be of different moments. The message says what to stop."""
    data = stack.directory / f"{part}-data"
    assert backup.main(["backup", f"--to={tmp_path}", f"--{part}={data}"]) == 1
    said = capsys.readouterr().err
    assert "stop" in said
    assert str(data) in said
    assert not list(tmp_path.iterdir())
