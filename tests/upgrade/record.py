"""Have an earlier egoscope make its state file: `python -m tests.upgrade.record REVISION`.

Needs the repository's history. The code of that revision runs as its own process: it reads the first part of a log (and
of a Kagura database, where it knows them), sends it, reads a second part that nobody takes, and dies of kill -9. An SQL
dump of what it leaves is kept, named by the number in it, with a note of what had been sent; and one of its embedded
store, to which the same was sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from egoscope.demo import DatabaseSettings, DemoSettings, write_history, write_kagura_history
from tests.otlp_capture import Capture
from tests.stack.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Generator

HERE: Final = Path(__file__).parent
REPOSITORY: Final = HERE.parents[1]
KEY: Final = REPOSITORY / "tests" / "golden" / "key"
START: Final = datetime(2026, 11, 2, 6, 40, tzinfo=UTC)
LOG_BYTES: Final = 36_000
LOG_NAME: Final = "ego-mcp-2026-11-02.log"
TOTALS: Final = ("ego.calls", "ego.log.lines", "agent.executions")
SERVE: Final = "from egoscope.cli import app; app()"
STORE: Final = """
import sys
from pathlib import Path
from egoscope.otlp.client import Signal
from egoscope.store.sqlite import EmbeddedStore
with EmbeddedStore(Path(sys.argv[1])) as store:
    for line in sys.stdin:
        signal, data = line.split()
        assert type(store.send(Signal(signal), bytes.fromhex(data))).__name__ == "Accepted"
"""


def log() -> bytes:
    """Return the whole log; the same bytes at every call."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = DemoSettings(seed=41, start=START, calls_per_minute=4.0, rhythm=False)
        (path,) = write_history(Path(scratch), settings, max_bytes=LOG_BYTES).files
        return path.read_bytes()


def parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut a log at two ends of lines: what is sent, what is read and waits, what is still to be read."""
    first, second = (content.rindex(b"\n", 0, len(content) * share // 5) + 1 for share in (2, 3))
    return content[:first], content[first:second], content[second:]


def parts_of_rows() -> tuple[list[str], list[str], list[str]]:
    """Return a Kagura database as SQL in the same three parts; the first also makes its tables."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "telemetry.db")
        write_kagura_history(
            path, DatabaseSettings(seed=41, start=START, per_hour=12), until=START + timedelta(hours=1)
        )
        statements = dump(path)
    tables = [one for one in statements if not one.startswith("INSERT")]
    inserts = [one for one in statements if one.startswith("INSERT")]
    first, second = (len(inserts) * share // 5 for share in (2, 3))
    return [*tables, *inserts[:first]], inserts[first:second], inserts[second:]


def dump(path: Path) -> list[str]:
    """Return what makes a database anew; version and application id included."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        numbers = [f"PRAGMA {name} = {db.execute(f'PRAGMA {name}').fetchone()[0]};" for name in PRAGMAS]
        return [*numbers, *db.iterdump()]


PRAGMAS: Final = ("user_version", "application_id")


@contextlib.contextmanager
def code_of(revision: str) -> Generator[Path]:
    """Yield a folder with the package as it was."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = subprocess.run(
            ["git", "archive", revision, "exporter"], cwd=REPOSITORY, check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", scratch], input=archive, check=True)
        yield Path(scratch, "exporter")


def run(code: Path, script: str, *arguments: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a script with that code."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_"))}
    # Before site-packages, where today's package is installed.
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(code)!r})\n{script}", *arguments],
        env={**inherited, **environment},
        stdin=subprocess.PIPE,
    )


def record(revision: str) -> None:
    """Make a state file and an embedded store as that revision did, and keep their dumps."""
    with code_of(revision) as code, tempfile.TemporaryDirectory() as scratch, Capture() as collector:
        home = Path(scratch)
        (home / "logs").mkdir()
        path = home / "logs" / LOG_NAME
        sent, waiting, _ = parts(log())
        path.write_bytes(sent)
        knows_rows = (code / "egoscope" / "sources" / "kagura.py").exists()
        sent_rows, waiting_rows, _ = parts_of_rows()
        if knows_rows:
            write_rows(home / "telemetry.db", sent_rows)
        environment = {
            "EGO_MCP_LOG_PATH": str(home / "logs"),
            "EGOSCOPE_KAGURA_PATH": str(home / "telemetry.db"),
            "EGOSCOPE_STATE_DIR": str(home),
            "EGOSCOPE_KEY_FILE": str(KEY),
            "EGOSCOPE_COLLECTOR_ENDPOINT": collector.endpoint,
            "EGOSCOPE_HEALTH_PORT": "0",
        }
        sidecar = run(code, SERVE, "serve", environment=environment)
        try:
            lines = sent.count(b"\n")
            wait_for(lambda: len(collector.records("ego-mcp")) == lines, what="the first part is sent")
            wait_for(lambda: not _asked(home, "SELECT count(*) FROM outbox")[0], what="nothing waits")
            if knows_rows:
                wait_for(lambda: collector.spans("kagura"), what="executions are sent")
                wait_for(lambda: not _asked(home, "SELECT count(*) FROM outbox")[0], what="nothing waits")
            collector.away = True
            with path.open("ab") as file:
                file.write(waiting)
            if knows_rows:
                write_rows(home / "telemetry.db", waiting_rows)
            kinds = 2 if knows_rows else 1
            waits = "SELECT count(DISTINCT source) FROM outbox WHERE signal = 'logs' AND source != '_sidecar'"
            wait_for(lambda: _asked(home, waits)[0] == kinds, what="the second part waits")
        finally:
            sidecar.kill()
            sidecar.wait()
        version = _asked(home, "PRAGMA user_version")[0]
        _move(home / "state.db", home, "instances" if knows_rows else "files")
        found = HERE / f"state-{version}.sql"
        found.write_text("\n".join(dump(home / "state.db")) + "\n", encoding="utf-8")
        kept = {
            service: {
                "records": sorted(collector.records(service)),
                "spans": sorted(collector.spans(service)),
                "totals": [
                    [metric, *key, values[-1]]
                    for metric in TOTALS
                    for key, values in collector.totals(service, metric).items()
                ],
            }
            for service in ("ego-mcp", "kagura")
        }
        store = _record_store(code, home, collector.requests)
        about = {"rows": knows_rows, "store": store, "sent": kept}
        found.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _record_store(code: Path, home: Path, requests: list[tuple[str, bytes]]) -> int:
    """Have that code store what was sent, and return the version of its tables."""
    text = "".join(f"{signal} {data.hex()}\n" for signal, data in requests)
    storing = run(code, STORE, str(home / "store.db"), environment={})
    storing.communicate(text.encode())
    assert storing.returncode == 0
    with contextlib.closing(sqlite3.connect(home / "store.db")) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    (HERE / f"store-{version}.sql").write_text("\n".join(dump(home / "store.db")) + "\n", encoding="utf-8")
    return version


def write_rows(path: Path, statements: list[str]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("\n".join(statements))


def _move(state: Path, home: Path, table: str) -> None:
    """Name another folder than this machine's temporary one: the paths are those last seen, and nothing more."""
    with contextlib.closing(sqlite3.connect(state)) as db, db:
        moved = "CAST(replace(CAST(checkpoint AS TEXT), ?, '/home/agent') AS BLOB)"
        db.execute(f"UPDATE {table} SET checkpoint = {moved}", (str(home),))


def _asked(home: Path, query: str) -> tuple[int]:
    with contextlib.closing(sqlite3.connect(f"file:{home / 'state.db'}?mode=ro", uri=True, timeout=60)) as db:
        return db.execute(query).fetchone()


if __name__ == "__main__":
    record(sys.argv[1])
