"""The embedded store knows agents and flows: in whatever order they come, and in stores of version 1."""

from __future__ import annotations

import datetime as dt
import itertools
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from egoscope.errors import QueryError, StateError
from egoscope.otlp.client import Accepted, Signal
from egoscope.query import embedded_sql
from egoscope.query.embedded import EmbeddedQuery
from egoscope.store import schema
from egoscope.store.queries import StoreReader
from egoscope.store.sqlite import EmbeddedStore
from tests.query_scene import EXECUTIONS, Scene

if TYPE_CHECKING:
    from pathlib import Path

SCENE: Final = Scene(dt.date(2026, 11, 21))
TABLES_1: Final = """
CREATE TABLE instances (
    instance TEXT PRIMARY KEY, service TEXT NOT NULL, attributes TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE spans (
    span_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    duration_ns INTEGER,
    status TEXT NOT NULL,
    tool TEXT, outcome TEXT,
    emotion TEXT, time_phase TEXT,
    attributes TEXT NOT NULL, events TEXT, instance TEXT NOT NULL
);
CREATE INDEX spans_by_tool ON spans (tool, end_ns, outcome, duration_ns) WHERE tool IS NOT NULL;
CREATE INDEX spans_by_end ON spans (end_ns) WHERE tool IS NOT NULL;
CREATE INDEX spans_by_emotion ON spans (end_ns) WHERE emotion IS NOT NULL;
CREATE INDEX spans_by_phase ON spans (end_ns) WHERE time_phase IS NOT NULL;
CREATE INDEX spans_by_trace ON spans (trace_id);

CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL, time_ns INTEGER NOT NULL,
    identity TEXT NOT NULL,
    "offset" INTEGER,
    severity TEXT NOT NULL, severity_number INTEGER NOT NULL,
    logger TEXT, tool TEXT, body TEXT NOT NULL, trace_id TEXT, span_id TEXT, attributes TEXT NOT NULL,
    UNIQUE (instance, time_ns, identity)
);
CREATE INDEX logs_by_time ON logs (time_ns, "offset");

CREATE TABLE series (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, unit TEXT NOT NULL,
    attributes TEXT NOT NULL, instance TEXT NOT NULL,
    bounds TEXT NOT NULL DEFAULT '',
    UNIQUE (name, instance, attributes, bounds)
);

CREATE TABLE points (
    series INTEGER NOT NULL REFERENCES series (id), time_ns INTEGER NOT NULL, start_ns INTEGER,
    value NUMERIC,
    count INTEGER, sum REAL, buckets TEXT,
    PRIMARY KEY (series, time_ns)
) WITHOUT ROWID;
"""
"""As version 1 of the store was made."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store.db"


def store_scene(path: Path) -> None:
    """Store the scene."""
    with EmbeddedStore(path) as store:
        for request in [*SCENE.requests(), *SCENE.tagged()]:
            assert store.send(request.signal, request.data) == Accepted()


def as_version_1(path: Path, old: Path) -> None:
    """Copy a store into one that version 1 made: its tables, and what its columns held."""
    with closing(sqlite3.connect(old)) as db:
        db.executescript(TABLES_1)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute("ATTACH ? AS new", (str(path),))
        for table in ("instances", "spans", "logs", "series", "points"):
            columns = ", ".join(f'"{row[1]}"' for row in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        # Version 1 took every tool of a span for one of an MCP call, and knew no outcome but of these.
        db.execute(
            "UPDATE spans SET outcome = NULL, duration_ns = end_ns - start_ns,"
            " tool = attributes ->> '$.\"gen_ai.tool.name\"'"
        )
        db.execute("UPDATE spans SET outcome = 'ok' WHERE tool IS NOT NULL")
        db.commit()


def everything(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of the tables, by the names of their columns."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in ("instances", "spans", "logs", "series", "points")
        }


class TestMigration:
    def test_a_store_of_version_1_becomes_what_version_2_would_have_made(self, path: Path, tmp_path: Path) -> None:
        store_scene(path)
        old = tmp_path / "old.db"
        as_version_1(path, old)
        EmbeddedStore(old).close()
        assert everything(old) == everything(path)
        with closing(sqlite3.connect(old)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_indexes_and_columns_are_those_of_a_new_store(self, path: Path, tmp_path: Path) -> None:
        store_scene(path)
        old = tmp_path / "old.db"
        as_version_1(path, old)
        EmbeddedStore(old).close()

        def shape(of: Path) -> tuple[object, ...]:
            with closing(sqlite3.connect(of)) as db:
                indexes = {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
                columns = {
                    table: [row[1:3] for row in db.execute(f"PRAGMA table_info({table})")]
                    for table in ("spans", "logs")
                }
            return indexes, {table: sorted(names) for table, names in columns.items()}

        assert shape(old) == shape(path)

    def test_a_migration_that_is_cut_short_leaves_version_1(self, path: Path, tmp_path: Path) -> None:
        store_scene(path)
        old = tmp_path / "old.db"
        as_version_1(path, old)
        with closing(sqlite3.connect(old)) as db:  # what comes last cannot be made
            db.execute("CREATE INDEX logs_by_agent ON logs (body)")
        before = everything(old)
        with pytest.raises(StateError, match="cannot be opened"):
            EmbeddedStore(old)
        assert everything(old) == before

    def test_a_row_whose_attributes_are_damaged_is_kept_as_it_is(self, path: Path, tmp_path: Path) -> None:
        store_scene(path)
        old = tmp_path / "old.db"
        as_version_1(path, old)
        with closing(sqlite3.connect(old)) as db:
            db.execute("UPDATE spans SET attributes = '{\"gen_ai.operation.name\":' WHERE rowid = 1")
            db.execute("UPDATE logs SET attributes = '{\"gen_ai.agent.name\":' WHERE rowid = 1")
            db.commit()
        EmbeddedStore(old).close()
        spans = everything(old)["spans"]
        assert sum(row["kind"] is None for row in spans) == 1
        assert len(spans) == len(everything(path)["spans"])

    def test_a_reader_says_that_a_store_of_version_1_is_not_up_to_date(self, path: Path, tmp_path: Path) -> None:
        store_scene(path)
        old = tmp_path / "old.db"
        as_version_1(path, old)
        with pytest.raises(StateError, match="brought up to date when"):
            EmbeddedQuery(old)


class TestOrder:
    """What an execution used belongs to the moment it ended, whichever came first."""

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_parts_in_any_order_and_in_requests_of_their_own(self, path: Path, order: tuple[int, ...]) -> None:
        (request,) = (one for one in SCENE.requests() if one.signal is Signal.TRACES and b"kagura" in one.data)
        wanted = SCENE.trace_id(EXECUTIONS[1])
        groups = ExportTraceServiceRequest.FromString(request.data)
        spans = groups.resource_spans[0].scope_spans[0].spans
        parts = [span for span in spans if span.trace_id.hex() == wanted]
        assert len(parts) == len(order)
        with EmbeddedStore(path) as store:
            for place in [*order, order[0]]:
                one = ExportTraceServiceRequest.FromString(request.data)
                del one.resource_spans[0].scope_spans[0].spans[:]
                one.resource_spans[0].scope_spans[0].spans.append(parts[place])
                assert store.send(Signal.TRACES, one.SerializeToString()) == Accepted()
        end_ns = next(span.end_time_unix_nano for span in parts if not span.parent_span_id)
        assert {row["counted_ns"] for row in everything(path)["spans"]} == {end_ns}

    def test_tools_of_agents_are_no_calls_of_ego_mcp(self, path: Path) -> None:
        """The picture of ego-mcp's life is of its own calls."""
        store_scene(path)
        with StoreReader(path) as reader:
            assert reader.picture(wall_ns=0, window_ns=None, minutes=1, log_lines=1).tools == ()


class TestPlans:
    """What is asked about a window touches its rows in the index, and no others."""

    @pytest.mark.parametrize("statement", ["SUBJECTS", "COSTS"])
    @pytest.mark.parametrize("agent", [embedded_sql.ONE_AGENT, embedded_sql.ANY_AGENT])
    def test_answered_by_the_index_alone(self, path: Path, statement: str, agent: str) -> None:
        store_scene(path)
        values = {"kind": "model", "since": 0, "until": 1, "agent": "writer"}
        with closing(sqlite3.connect(path)) as db:
            query = getattr(embedded_sql, statement).replace("{within}", agent)
            (plan, *_) = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        assert "USING COVERING INDEX spans_by_kind (kind=? AND counted_ns>? AND counted_ns<?)" in plan


@pytest.mark.parametrize("nanoseconds", [0, 1, 999])
def test_an_end_as_it_is_told_is_within_the_range_it_ends_and_not_in_the_one_it_begins(
    path: Path, nanoseconds: int
) -> None:
    """Ends are kept to nanoseconds and told to microseconds."""
    (request,) = (one for one in SCENE.requests() if one.signal is Signal.TRACES and b"kagura" in one.data)
    groups = ExportTraceServiceRequest.FromString(request.data)
    for span in groups.resource_spans[0].scope_spans[0].spans:
        span.end_time_unix_nano += nanoseconds
    with EmbeddedStore(path) as store:
        store.send(Signal.TRACES, groups.SerializeToString())
    with EmbeddedQuery(path, now=lambda: SCENE.now) as query:
        newest, before, *_ = query.get_executions()
        assert [one.span_id for one in query.get_executions(since=before.end)] == [newest.span_id]
        assert query.get_metrics(None, "executions", "count", before.end, newest.end) == 1
        assert query.get_metrics(None, "executions", "count", newest.end) == 0


def test_a_store_that_is_locked_or_closed_is_told(path: Path) -> None:
    store_scene(path)
    query = EmbeddedQuery(path)
    query.close()
    query.close()
    with pytest.raises(QueryError, match="cannot be read just now"):
        query.agents()
