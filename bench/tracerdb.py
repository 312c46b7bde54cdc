"""TracerDB in SQLite and in Tempo beside the SDK alone and its console: start-up, cost, speed, bytes; in turns."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from bench.report import Row
from tests.stack.fake_tempo import FakeTempo
from tests.stack.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE: Final = Path(__file__).parents[1] / "docs" / "tracerdb.md"
SPANS: Final = 10_000
PROGRAM: Final = Path(__file__).parent / "tracerdb_program.py"
NAMES: Final = {
    "console": "console (the SDK's, into a file)",
    "sqlite": "`SQLiteTracerDB`",
    "tempo": "`TempoTracerDB`",
    "sdk": "the SDK alone, over OTLP",
}
_COLUMNS: Final = ("", "start-up", "a span, for its caller", "spans a second", "bytes a span", "arrived")
_TABLE: Final = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Turn:
    """One program: seconds, spans a second with the last one delivered, and what came of it."""

    start_s: float
    caller_s: float
    spans_s: float
    size: int
    arrived: int


@dataclass(frozen=True, slots=True)
class Found:
    """All turns of all ways."""

    turns: dict[str, list[Turn]]

    def median(self, way: str, value: Callable[[Turn], float]) -> float:
        """Return the median over the turns."""
        return median(value(turn) for turn in self.turns[way])

    def cells(self, way: str) -> tuple[str, ...]:
        """Return a row of the page's table."""
        arrived = self.median(way, lambda turn: turn.arrived)
        return (
            NAMES[way],
            f"{self.median(way, lambda turn: turn.start_s) * 1000:,.0f} ms",
            f"{self.median(way, lambda turn: turn.caller_s) * 1e6:,.0f} µs",
            f"{self.median(way, lambda turn: turn.spans_s):,.0f}",
            f"{self.median(way, lambda turn: turn.size / max(turn.arrived, 1)):,.0f}",
            "all" if arrived == SPANS else f"{arrived / SPANS:.0%}",
        )


def measure(scratch: Path, turns: int) -> Found:
    """Let each way record the same spans, in turns."""
    found = Found({way: [] for way in NAMES})
    for number in range(turns):
        for way in NAMES:
            directory = scratch / f"tracerdb-{way}-{number}"
            directory.mkdir()
            found.turns[way].append(_to_server(way) if way in {"tempo", "sdk"} else _to_file(way, directory))
    return found


def rows_of(found: Found) -> list[Row]:
    """Return the rows of the common table; they have no goal."""
    base = found.median("sdk", lambda turn: turn.caller_s)
    rows: list[Row] = []
    for way in NAMES:
        name, start, caller, speed, size, arrived = found.cells(way)
        text = f"start-up {start}, {caller} a span, {speed} spans/s, {size} bytes a span, {arrived} arrived"
        ratio = found.median(way, lambda turn: turn.caller_s) / base
        rows.append(Row(f"recording spans: {name}", "", text, f"{ratio:.2f}x"))
    return rows


def write_page(found: Found, notes: Sequence[str]) -> None:
    """Write the table of docs/tracerdb.md anew."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (_COLUMNS, ("---",) * len(_COLUMNS))]
    lines += ["| " + " | ".join(found.cells(way)) + " |" for way in NAMES]
    text = "\n".join([*lines, "", *notes])
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page), encoding="utf-8")


def _to_file(way: str, directory: Path) -> Turn:
    path = directory / "spans"
    told = _run(way, str(path))
    if way == "sqlite":
        with closing(sqlite3.connect(path)) as db:
            arrived = int(db.execute("SELECT count(*) FROM spans").fetchone()[0])
    else:
        arrived = path.read_text().count('"trace_id"')
    return Turn(**told, size=sum(one.stat().st_size for one in directory.iterdir()), arrived=arrived)


def _to_server(way: str) -> Turn:
    """Send to a server in this process, which has nothing else to do meanwhile."""
    (port,) = free_ports(1)
    server = FakeTempo(port)
    server.start()
    try:
        told = _run(way, f"http://127.0.0.1:{port}")
        size = sum(request.ByteSize() for request in server.requests())
        return Turn(**told, size=size, arrived=len(server.spans()))
    finally:
        server.stop()


def _run(way: str, target: str) -> dict[str, float]:
    command = [sys.executable, str(PROGRAM), way, target, str(SPANS)]
    return json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True))
