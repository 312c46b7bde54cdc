"""Bring an embedded store of an older version up to date. Rows are kept; all or nothing, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from egoscope.store.kinds import subject_of, subject_of_line

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

# Version 2: what agents and flows did can be asked for.
_COLUMNS_2: Final = (
    "ALTER TABLE spans ADD COLUMN kind TEXT",
    "ALTER TABLE spans ADD COLUMN agent TEXT",
    "ALTER TABLE spans ADD COLUMN subject TEXT",
    "ALTER TABLE spans ADD COLUMN counted_ns INTEGER",
    "ALTER TABLE spans ADD COLUMN input_tokens INTEGER",
    "ALTER TABLE spans ADD COLUMN output_tokens INTEGER",
    "ALTER TABLE spans ADD COLUMN cost_nano INTEGER",
    "ALTER TABLE logs ADD COLUMN agent TEXT",
)
# Looked for in the text first: reading a million JSON objects takes seconds.
_SPANS_2: Final = """
    SELECT rowid, attributes, status, end_ns FROM spans
    WHERE attributes LIKE '%"gen_ai.operation.name":%' AND attributes NOT LIKE '%"mcp.method.name":%'
       OR attributes LIKE '%"agent.%'
"""
_LOGS_2: Final = """
    SELECT rowid, attributes FROM logs
    WHERE attributes LIKE '%"gen_ai.agent.name":%' OR attributes LIKE '%"agent.flow.name":%'
"""
_FILL_SPAN_2: Final = """
    UPDATE spans SET kind = ?2, agent = ?3, subject = ?4, outcome = ?5, counted_ns = ?6, input_tokens = ?7,
    output_tokens = ?8, cost_nano = ?9, tool = NULL,
    duration_ns = CASE WHEN ?10 THEN end_ns - start_ns END
    WHERE rowid = ?1
"""
_FILL_LOG_2: Final = "UPDATE logs SET agent = ?2 WHERE rowid = ?1"
_COUNT_2: Final = """
    UPDATE spans SET (counted_ns, agent) = (SELECT e.end_ns, coalesce(spans.agent, e.agent) FROM spans e
                                            WHERE e.span_id = spans.parent_id AND e.kind = 'agent')
    WHERE kind IN ('model', 'tool', 'memory') AND parent_id IN (SELECT span_id FROM spans WHERE kind = 'agent')
"""
_INDEXES_2: Final = (
    """
    CREATE INDEX spans_by_kind ON spans (
        kind, counted_ns, agent, subject, outcome, duration_ns, input_tokens, output_tokens, cost_nano
    ) WHERE kind IS NOT NULL
    """,
    "CREATE INDEX logs_by_agent ON logs (agent, time_ns) WHERE agent IS NOT NULL",
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring a store of version 1 to version 2; nothing if another process was faster. Raises `sqlite3.Error`."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] == 1:
            _to_2(db)
            db.execute("PRAGMA user_version = 2")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _to_2(db: sqlite3.Connection) -> None:
    for statement in _COLUMNS_2:
        db.execute(statement)
    db.executemany(_FILL_SPAN_2, _spans_of_agents(db))
    db.executemany(_FILL_LOG_2, _logs_of_agents(db))
    db.execute(_COUNT_2)
    for statement in _INDEXES_2:
        db.execute(statement)


def _spans_of_agents(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    # Read to its end first: a cursor over rows that are being changed may see them twice.
    for rowid, text, status, end_ns in db.execute(_SPANS_2).fetchall():
        about = subject_of(_read(text), failed=status == "ERROR")
        if about is not None:
            yield (
                rowid,
                about.kind,
                about.agent,
                about.subject,
                str(about.outcome),
                end_ns,
                about.input_tokens,
                about.output_tokens,
                about.cost_nano,
                about.end_known,
            )


def _logs_of_agents(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    for rowid, text in db.execute(_LOGS_2).fetchall():
        attributes = _read(text)
        name = subject_of_line(attributes)
        if name is not None:
            yield rowid, name


def _read(text: str) -> dict[str, object]:
    """Return attributes; none of a damaged row, which stays as it is."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
