"""Measures everything of the design's section 7 in one run: `python -m bench`, `python -m bench --full`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import counts, footprint, freshness, log, report, rows, throughput, tracerdb
from bench.programs import Sidecar
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_MB: Final = 1_000_000
_FILE_MB: Final = 100
_SPARE: Final = 3
"""Free disk that is asked for, in sizes of the backlog: the back ends keep it too."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    log_mb: int
    turns: int
    fresh_s: float
    memory_mb: int
    idle_s: float
    backlog_mb: int


QUICK: Final = Sizes(log_mb=107, turns=3, fresh_s=20, memory_mb=200, idle_s=20, backlog_mb=300)
FULL: Final = Sizes(log_mb=107, turns=7, fresh_s=120, memory_mb=1000, idle_s=120, backlog_mb=10_000)


class Bench:
    """One run. Every part adds its rows; `scratch` holds all data and is deleted at the end."""

    def __init__(self, scratch: Path, sizes: Sizes) -> None:
        self._scratch, self._sizes = scratch, sizes
        self._template = log.template(scratch / "template")
        self.rows: list[report.Row] = []
        self.notes = [f"The log: {self._template.origin}."]

    def throughput(self) -> None:
        """Sidecar, filelog and bare parsing in turns."""
        path = self._scratch / "ego-mcp-bench.log"
        written = log.write(path, self._template, start=_days_ago(2), size=self._sizes.log_mb * _MB)
        found = throughput.measure(self._scratch, written, self._sizes.turns)
        self.rows += rows.of_throughput(found)
        turns = ", ".join(
            f"{turn.filelog / turn.sidecar:.2f} and {turn.sidecar / turn.floor:.1f}" for turn in found.turns
        )
        self.notes.append(
            f"{written.lines:,} lines, {written.size / _MB:.0f} MB, {len(found.turns)} turns; ratios to filelog and to "
            f"`orjson.loads`, turn by turn: {turns}. The median is in the table."
        )
        path.unlink()

    def freshness(self) -> None:
        """A live log, with the counts of it and of a history beside it."""
        directory = self._directory("fresh")
        logs = directory / "logs"
        logs.mkdir()
        history = log.write(logs / "ego-mcp-history.log", self._template, start=_days_ago(3), size=1)
        with _stack(directory, logs) as (servers, sidecar):
            wait_for(lambda: sidecar.has_sent(history.size), within_s=60, what="the history is sent")
            found = freshness.measure(servers, sidecar, logs, seconds=self._sizes.fresh_s)
            self.rows += rows.of_freshness(found)
            self.rows.append(rows.of_counts(counts.compare(servers, sorted(logs.iterdir()))))
        self.notes.append(f"Freshness: {found.lines:,} lines at {freshness.LINES_A_SECOND} a second, one tool.")

    def backlog(self) -> None:
        """The same live log while a directory full of older ones is being read."""
        directory = self._directory("backlog")
        wanted = self._sizes.backlog_mb * _MB
        if (free := shutil.disk_usage(directory).free) < wanted * _SPARE:
            text = f"not measured: {wanted * _SPARE / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} GB are free"
            self.rows.append(
                report.Row(f"freshness with {self._sizes.backlog_mb:,} MB in the directory", "as above", text)
            )
            return
        logs = directory / "logs"
        logs.mkdir()
        size, start = 0, _days_ago(25)
        for number in range(max(1, self._sizes.backlog_mb // _FILE_MB)):
            path = logs / f"ego-mcp-old-{number:04}.log"
            written = log.write(path, self._template, start=start, size=_FILE_MB * _MB)
            size, start = size + written.size, written.end
            _age(path, days=2)
        with _stack(directory, logs) as (servers, sidecar):
            wait_for(lambda: sidecar.read_bytes() > 0, what="the backlog is being read")
            found = freshness.measure(servers, sidecar, logs, seconds=self._sizes.fresh_s, backlog=size)
        self.rows += rows.of_freshness(found, while_reading=f"{size / _MB:,.0f} MB of backlog being read")
        self.notes.append(
            f"Of that backlog {found.unread_bytes / _MB:,.0f} MB were unread when the last live line was written."
        )

    def memory(self) -> None:
        """A large log with one huge line."""
        size = self._sizes.memory_mb * _MB
        self.rows.append(rows.of_memory(footprint.measure_memory(self._directory("memory"), self._template, size=size)))

    def idle(self) -> None:
        """One quiet file."""
        found = footprint.measure_idle(self._directory("idle"), self._template, seconds=self._sizes.idle_s)
        self.rows.append(rows.of_idle(found))

    def tracerdb(self) -> None:
        """Spans recorded in code; the table on the page of TracerDB is written anew."""
        found = tracerdb.measure(self._directory("tracerdb"), self._sizes.turns)
        self.rows += tracerdb.rows_of(found)
        note = f"{tracerdb.SPANS:,} spans a turn, {self._sizes.turns} turns, {report.machine()}."
        tracerdb.write_page(found, [note])
        self.notes.append(f"Recording spans: {note}")

    def _directory(self, name: str) -> Path:
        directory = self._scratch / name
        directory.mkdir()
        return directory


@contextlib.contextmanager
def _stack(directory: Path, logs: Path) -> Generator[tuple[freshness.Servers, Sidecar]]:
    """All servers and a sidecar that follows `logs`."""
    servers = freshness.Servers.start(directory)
    try:
        sidecar = Sidecar(directory, logs, servers.collector.endpoint)
        try:
            sidecar.start()
            yield servers, sidecar
        finally:
            sidecar.stop()
    finally:
        servers.stop()


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _age(path: Path, *, days: float) -> None:
    """Make a file look as old as its lines: a file that has just grown counts as live."""
    then = time.time() - days * 86400
    os.utime(path, (then, then))


PARTS: Final[dict[str, Callable[[Bench], None]]] = {
    "throughput": Bench.throughput,
    "freshness": Bench.freshness,
    "backlog": Bench.backlog,
    "memory": Bench.memory,
    "idle": Bench.idle,
    "tracerdb": Bench.tracerdb,
}


def main() -> None:
    """Measure, print the table, and write the page when everything was measured."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the sizes of the design: 1 GB, 10 GB; takes an hour or so")
    parser.add_argument("--turns", type=int, help="how often throughput is measured")
    parser.add_argument("--memory-mb", type=int, help="size of the log for memory")
    parser.add_argument("--backlog-mb", type=int, help="size of the backlog")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; default: all, with the page")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    chosen = {"turns": options.turns, "memory_mb": options.memory_mb, "backlog_mb": options.backlog_mb}
    sizes = replace(FULL if options.full else QUICK, **{key: value for key, value in chosen.items() if value})
    with tempfile.TemporaryDirectory(prefix="egoscope-bench-") as scratch:
        bench = Bench(Path(scratch), sizes)
        for name in options.parts or PARTS:
            begun = time.monotonic()
            print(f"bench: {name} …", end=" ", flush=True)
            PARTS[name](bench)
            print(f"{time.monotonic() - begun:.0f} s", flush=True)
    report.show(bench.rows)
    for note in bench.notes:
        print(f"- {note}")
    if not options.parts:
        report.write_page(bench.rows, bench.notes, date=datetime.now(UTC).date().isoformat())
        print("written: docs/performance.md")


if __name__ == "__main__":
    main()
