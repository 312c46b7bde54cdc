"""What the query API asks of the embedded store. `{within}` is where kind, range and agent stand.

All but lists of executions, traces and log lines are answered by the index `spans_by_kind` alone.
"""

from __future__ import annotations

from typing import Final

_WITHIN: Final = "kind = :kind AND counted_ns > :since AND counted_ns <= :until AND "
ONE_AGENT: Final = _WITHIN + "agent = :agent"
ANY_AGENT: Final = _WITHIN + "agent IS NOT NULL"

SUBJECTS: Final = """
    SELECT agent, subject, outcome, duration_ns, input_tokens, output_tokens, cost_nano, counted_ns
    FROM spans INDEXED BY spans_by_kind WHERE {within}
"""
COUNT: Final = "SELECT count(*) FROM spans INDEXED BY spans_by_kind WHERE {within}"
# As many rows as there are agents, however many calls each made.
TOTALS: Final = """
    SELECT agent, count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
           coalesce(sum(cost_nano), 0), sum(cost_nano IS NULL)
    FROM spans INDEXED BY spans_by_kind WHERE {within} GROUP BY agent
"""
EXECUTIONS: Final = """
    SELECT span_id, trace_id, agent, start_ns, end_ns, duration_ns, outcome, input_tokens, output_tokens, cost_nano,
           attributes
    FROM spans INDEXED BY spans_by_kind
    WHERE {within} AND (:outcome IS NULL OR outcome = :outcome) ORDER BY counted_ns DESC
"""
# By trace and parent: what one execution used.
USED: Final = """
    SELECT kind, count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
           coalesce(sum(cost_nano), 0), sum(cost_nano IS NULL)
    FROM spans INDEXED BY spans_by_trace
    WHERE trace_id = ? AND parent_id = ? AND kind IN ('model', 'tool') GROUP BY kind
"""
PROVIDERS: Final = """
    SELECT subject, max(json_extract(attributes, '$."gen_ai.provider.name"')) FROM spans WHERE rowid IN (
        SELECT max(rowid) FROM spans INDEXED BY spans_by_kind WHERE {within} GROUP BY subject
    ) GROUP BY subject
"""
LONGEST: Final = """
    SELECT span_id, trace_id, agent, subject, start_ns, duration_ns, outcome, input_tokens, output_tokens, cost_nano
    FROM spans WHERE rowid IN (
        SELECT rowid FROM spans INDEXED BY spans_by_kind WHERE {within} AND duration_ns IS NOT NULL
        ORDER BY duration_ns DESC LIMIT :limit
    ) ORDER BY duration_ns DESC, span_id
"""
# A day has its first midnight.
COSTS: Final = """
    SELECT counted_ns / 86400000000000, agent, coalesce(subject, '_OTHER'), count(*), coalesce(sum(input_tokens), 0),
           coalesce(sum(output_tokens), 0), coalesce(sum(cost_nano), 0), sum(cost_nano IS NULL)
    FROM spans INDEXED BY spans_by_kind WHERE {within} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
TRACE: Final = """
    SELECT s.span_id, s.parent_id, s.name, s.start_ns, s.end_ns, s.status, i.service, s.attributes, s.events
    FROM spans s LEFT JOIN instances i ON i.instance = s.instance WHERE s.trace_id = ?
"""
LATEST_POINTS: Final = """
    SELECT s.attributes, s.instance, p.value, p.time_ns FROM series s JOIN points p ON p.series = s.id
    WHERE s.name = ?1 AND p.time_ns = (SELECT max(time_ns) FROM points WHERE series = s.id) AND p.time_ns > ?2
"""
ACTIVITY: Final = """
    SELECT l.time_ns, l.severity, i.service, l.body, l.agent, l.trace_id
    FROM logs l INDEXED BY logs_by_time JOIN instances i ON i.instance = l.instance
    WHERE i.service != :own AND l.time_ns > :since ORDER BY l.time_ns DESC, l."offset" DESC LIMIT :limit
"""
ACTIVITY_OF_AGENT: Final = """
    SELECT l.time_ns, l.severity, i.service, l.body, l.agent, l.trace_id
    FROM logs l INDEXED BY logs_by_agent JOIN instances i ON i.instance = l.instance
    WHERE l.agent = :agent AND l.time_ns > :since ORDER BY l.time_ns DESC LIMIT :limit
"""
# Of each instance of a service its newest lines, by the index that keeps them apart.
ACTIVITY_OF_SERVICE: Final = """
    SELECT l.time_ns, l.severity, i.service, l.body, l.agent, l.trace_id
    FROM instances i JOIN logs l ON l.rowid IN (
        SELECT rowid FROM logs n
        WHERE n.instance = i.instance AND n.time_ns > :since AND (:agent IS NULL OR n.agent = :agent)
        ORDER BY n.time_ns DESC LIMIT :limit
    ) WHERE i.service = :service ORDER BY l.time_ns DESC, l.id DESC LIMIT :limit
"""
# What a series told last before the range is what it began with; one that began within it, with its first point.
INCREASES: Final = """
    SELECT s.attributes, s.instance,
        (SELECT value FROM points WHERE series = s.id AND time_ns <= :until ORDER BY time_ns DESC LIMIT 1)
        - coalesce(
            (SELECT value FROM points WHERE series = s.id AND time_ns <= :since ORDER BY time_ns DESC LIMIT 1),
            (SELECT value FROM points WHERE series = s.id AND time_ns > :since ORDER BY time_ns LIMIT 1)
        )
    FROM series s WHERE s.name = :name
"""
GROWTH: Final = """
    SELECT u.sum, u.buckets, b.sum, b.buckets
    FROM series s
    JOIN points u ON u.series = s.id
        AND u.time_ns = (SELECT max(time_ns) FROM points WHERE series = s.id AND time_ns <= :until)
    JOIN points b ON b.series = s.id AND b.time_ns = coalesce(
        (SELECT max(time_ns) FROM points WHERE series = s.id AND time_ns <= :since),
        (SELECT min(time_ns) FROM points WHERE series = s.id AND time_ns > :since)
    )
    WHERE s.name = :name AND u.time_ns >= b.time_ns
"""
DEPTH: Final = """
    SELECT (
        SELECT value FROM points WHERE series = ?1 AND time_ns <= ?2 AND time_ns > ?2 - ?3
        ORDER BY time_ns DESC LIMIT 1
    )
"""
SERIES: Final = "SELECT id, attributes FROM series WHERE name = ?"
TASKS_WITHIN: Final = "kind = 'task' AND counted_ns > :since AND counted_ns <= :until"
TASK_DURATIONS: Final = f"""
    SELECT duration_ns FROM spans INDEXED BY spans_by_kind WHERE {TASKS_WITHIN} AND duration_ns IS NOT NULL
"""  # noqa: S608 (a name of this module)
TASKS: Final = f"""
    SELECT trace_id, start_ns, end_ns, attributes FROM spans INDEXED BY spans_by_kind
    WHERE {TASKS_WITHIN} AND (:worker IS NULL OR agent = :worker) AND (:outcome IS NULL OR outcome = :outcome)
    ORDER BY counted_ns DESC, subject LIMIT :limit
"""  # noqa: S608 (a name of this module)
# The newest line that says since when a worker is as it is.
STATE_OF_WORKER: Final = """
    SELECT attributes FROM logs INDEXED BY logs_by_agent
    WHERE agent = ? AND instance = ? AND attributes LIKE '%"task.worker.since"%' AND time_ns <= ?
    ORDER BY time_ns DESC, id DESC LIMIT 1
"""
