"""Prometheus, Loki and Tempo with the repository's own configuration files, and what can be asked of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.stack.processes import ANSWER_S, PROCESSES, Server, Way, log_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.stack.processes import Running

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LOKI_PAGE: Final = 5000
# The flags beside addresses and paths; prometheus/prometheus.yml says why each is there.
PROMETHEUS_FLAGS: Final = (
    "--web.enable-otlp-receiver",
    "--enable-feature=exemplar-storage,promql-extended-range-selectors",
)
STUCK: Final = b"expected newly cut file"
"""What Prometheus says before it hangs: seldom, of a race in its Truncate of head chunks, while it is new."""
# What the links of alerts begin with.
GRAFANA_URL: Final = "http://grafana.example:3000"
RUNBOOKS_URL: Final = "http://docs.example/runbooks.md"


def get_json(url: str, **parameters: str | float) -> Any:
    """GET an address and return its JSON answer."""
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}?{query}" if query else url, timeout=ANSWER_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        error.add_note(f"{url}?{query}: {error.read().decode(errors='replace')[:500]}")
        raise


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector."""

    labels: Mapping[str, str]
    time_s: float
    value: float


class Prometheus(Server):
    """Prometheus on `port`, scraping `targets` (job to addresses) every second.

    `edit` may change the copy of its configuration. A target with the job `alertmanager` gets the alerts.
    """

    name = "prometheus"

    def __init__(
        self,
        directory: Path,
        port: int,
        targets: Mapping[str, list[str]],
        *,
        edit: Callable[[Path], None] | None = None,
        retention: str = "100y",
        way: Way = PROCESSES,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ready_url = f"{self.url}/-/ready"
        # Paths in the configuration are relative to it, so it stands here beside the targets of this very run.
        configuration = directory / "prometheus"
        shutil.copytree(REPOSITORY / "prometheus", configuration, ignore=shutil.ignore_patterns("targets"))
        (configuration / "targets").mkdir()
        groups = [
            {"targets": addresses, "labels": {"job": job, "__scrape_interval__": "1s", "__scrape_timeout__": "1s"}}
            for job, addresses in targets.items()
        ]
        (configuration / "targets" / "processes.yml").write_text(json.dumps(groups))  # JSON is YAML
        if edit is not None:
            edit(configuration)
        environment = {"EGOSCOPE_GRAFANA_URL": GRAFANA_URL, "EGOSCOPE_RUNBOOKS_URL": RUNBOOKS_URL}
        command = [
            way.program("prometheus"),
            f"--config.file={configuration / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'prometheus-data'}",
            f"--storage.tsdb.retention.time={retention}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            *PROMETHEUS_FLAGS,
        ]
        super().__init__(command, directory, environment, way=way)

    def start(self) -> None:
        """Start it, and restart it where it hangs by itself, as the runbook of SendingUnavailable says: no count may
        suffer from that.
        """
        log = log_of(self.name, self.directory)
        said_before = log.stat().st_size if log.exists() else 0
        super().start()
        if self._life is not None:
            threading.Thread(target=self._watch, args=(self._life, said_before), daemon=True).start()

    def _watch(self, life: Running, said_before: int) -> None:
        """Never raise: whatever test of this process runs at that moment would have failed."""
        between_looks = threading.Event()
        while self._life is life:
            with contextlib.suppress(OSError, AssertionError):  # the latter where a test ended it meanwhile
                if life.has_exited():
                    return
                if STUCK in log_of(self.name, self.directory).read_bytes()[said_before:]:
                    self.kill()
                    self.start()
                    return
            between_looks.wait(0.5)

    def query(self, promql: str, at: float | None = None) -> list[Sample]:
        """Evaluate at one time (seconds, default now) and return the instant vector (a scalar: one sample)."""
        answer = get_json(f"{self.url}/api/v1/query", query=promql, time=time.time() if at is None else at)
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][0]), float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][0]), float(one["value"][1])) for one in data["result"]]

    def value(self, promql: str, at: float | None = None) -> float | None:
        """Return the one value of a query, None where it has none."""
        samples = self.query(promql, at)
        if len(samples) > 1:
            message = f"{promql} has {len(samples)} values"
            raise AssertionError(message)
        return samples[0].value if samples else None

    def range(self, promql: str, start: float, end: float, step_s: float) -> list[Any]:
        """Evaluate over a range and return the API's matrix."""
        url = f"{self.url}/api/v1/query_range"
        return get_json(url, query=promql, start=start, end=end, step=step_s)["data"]["result"]

    def series(self, selector: str, since_s: float = 0) -> list[dict[str, str]]:
        """Return the labels of every series that has a sample since then."""
        window: dict[str, Any] = {"start": since_s, "end": time.time() + 86400}
        return get_json(f"{self.url}/api/v1/series", **{"match[]": selector, **window})["data"]

    def exemplars(self, selector: str) -> list[Any]:
        """Return the exemplars of the series, in the API's form."""
        return get_json(f"{self.url}/api/v1/query_exemplars", query=selector, start=0, end=time.time() + 86400)["data"]

    def everything(self) -> str:
        """Return all series, metadata and exemplars as text, to search for what must not be there."""
        every = '{__name__=~".+"}'
        parts = [self.series(every), get_json(f"{self.url}/api/v1/metadata"), self.exemplars(every)]
        return json.dumps(parts, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry. `labels` are the stream's and the entry's structured metadata together."""

    time_ns: int
    line: str
    labels: Mapping[str, str]


class Loki(Server):
    """Loki on `port`."""

    name = "loki"

    def __init__(self, directory: Path, port: int, grpc_port: int, *, way: Way = PROCESSES) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ready_url = f"{self.url}/ready"
        environment = {
            "EGOSCOPE_LOKI_PORT": str(port),
            "EGOSCOPE_LOKI_GRPC_PORT": str(grpc_port),
            "EGOSCOPE_LOKI_DIR": str(directory / "loki-data"),
        }
        command = [way.program("loki"), f"-config.file={REPOSITORY / 'loki' / 'loki.yaml'}", "-config.expand-env=true"]
        super().__init__(command, directory, environment, way=way)

    def entries(self, logql: str, start_s: float, end_s: float) -> list[Entry]:
        """Return all entries from start to end (seconds), oldest first, past the limit of one answer."""
        found: dict[tuple[int, str, str], int] = {}
        begin, end = int(start_s * 1e9), int(end_s * 1e9)
        while True:
            page = self._page(logql, begin, end)
            # The next page starts at this one's last timestamp, for entries of one time can lie on both.
            counts: dict[tuple[int, str, str], int] = {}
            for entry in page:
                key = (entry.time_ns, entry.line, json.dumps(entry.labels, sort_keys=True))
                counts[key] = counts.get(key, 0) + 1
            for key, count in counts.items():
                found[key] = max(found.get(key, 0), count)
            if len(page) < LOKI_PAGE:
                break
            if page[-1].time_ns == begin:
                message = f"more than {LOKI_PAGE} entries at one nanosecond"
                raise AssertionError(message)
            begin = page[-1].time_ns
        ordered = sorted(found.items())
        return [Entry(ns, line, json.loads(labels)) for (ns, line, labels), count in ordered for _ in range(count)]

    def count(self, logql: str, start_s: float, end_s: float) -> int:
        """Return the number of entries from start to end (seconds) without fetching them."""
        span_s = max(1, int(end_s - start_s + 1))
        query = f"sum(count_over_time({logql}[{span_s}s]))"
        result = get_json(f"{self.url}/loki/api/v1/query", query=query, time=int((end_s + 1) * 1e9))["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    def everything(self, start_s: float, end_s: float) -> str:
        """Return every entry with all its labels as text, to search for what must not be there."""
        entries = self.entries('{service_name=~".+"}', start_s, end_s)
        return json.dumps([[entry.line, dict(entry.labels)] for entry in entries], ensure_ascii=False)

    def _page(self, logql: str, begin_ns: int, end_ns: int) -> list[Entry]:
        url = f"{self.url}/loki/api/v1/query_range"
        answer = get_json(url, query=logql, start=begin_ns, end=end_ns, limit=LOKI_PAGE, direction="forward")
        streams = answer["data"]["result"]
        entries = [Entry(int(ns), line, one["stream"]) for one in streams for ns, line in one["values"]]
        return sorted(entries, key=lambda entry: entry.time_ns)


class Tempo(Server):
    """A real Tempo; spans come back one trace at a time, so tests that want them all use FakeTempo."""

    name = "tempo"

    def __init__(self, directory: Path, port: int, http_port: int, grpc_port: int, *, way: Way = PROCESSES) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{http_port}"
        self.ready_url = f"{self.url}/ready"
        environment = {
            "EGOSCOPE_TEMPO_OTLP_LISTEN": f"127.0.0.1:{port}",
            "EGOSCOPE_TEMPO_PORT": str(http_port),
            "EGOSCOPE_TEMPO_GRPC_PORT": str(grpc_port),
            "EGOSCOPE_TEMPO_DIR": str(directory / "tempo-data"),
        }
        command = [
            way.program("tempo"),
            f"-config.file={REPOSITORY / 'tempo' / 'tempo.yaml'}",
            "-config.expand-env=true",
        ]
        super().__init__(command, directory, environment, way=way)

    def trace(self, trace_id: str) -> Any:
        """Return a trace by its id (hex) as OTLP/JSON, None where there is none."""
        with contextlib.suppress(urllib.error.HTTPError):
            return get_json(f"{self.url}/api/v2/traces/{trace_id}").get("trace")
        return None

    def search(self, traceql: str, start_s: float, end_s: float) -> list[Any]:
        """Return the traces a TraceQL search finds."""
        answer = get_json(f"{self.url}/api/search", q=traceql, start=int(start_s), end=int(end_s), limit=1000)
        return answer["traces"]
