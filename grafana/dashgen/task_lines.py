"""Tasks and workers one by one, out of their lines in Loki: a task's id is no label, so that no counter knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashgen import frame, searches, tasks
from dashgen.colours import CALM, ERROR, GOOD, WARNING, WORKER_STATES, mapped, steps
from dashgen.panels import columns, link, log_lines, most_first, overriding, rows, set_by, transformed
from dashgen.queries import LOKI, label, logs, quantile_of
from dashgen.tasks import told
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import logs as log_builders
    from grafana_foundation_sdk.builders import table
    from grafana_foundation_sdk.builders.dashboard import DashboardLink, QueryVariable

LISTED: Final = 200
TOOK: Final = "took_ms"
ENDED: Final = "ended_ms"
"""Labels made of a line: of a table without rows Grafana 9.4 shows what it has to say only if it has no columns."""
_TRACE: Final = "Trace"
SINCE: Final = "Since"
FOR: Final = "For"
NAME: Final = "worker"
"""A label made of a worker's name and that of its machine, where that has one."""


def _its_lines() -> DashboardLink:
    """Return the way to all that was said of a task, whether it has ended or not."""
    return link(
        "What was said of this task",
        frame.LOGS,
        variables=f"var-search=${{__data.fields.{tasks.TASK_OF}}}",
        keep=["host"],
    )


def workers_now() -> table.Panel:
    """Return a row for each worker: what it is at, and since when. The log tells of each at least twice a day."""
    one = f"{label(s.SERVICE_INSTANCE_ID)}, {NAME}"
    named = f"label_format {NAME}=`{{{{.{tasks.WORKER_OF}}}}} {{{{.{label(s.HOST_NAME)}}}}}`"
    since = f"last_over_time({tasks.WORKER_LINES} | {named} | unwrap {label(s.TASK_WORKER_SINCE)} [24h])"
    newest = f"topk by ({one}) (1, max by ({one}, {tasks.STATE_OF}, {tasks.TASK_OF}) ({since}))"
    shown = {NAME: "Worker", tasks.STATE_OF: "State", tasks.TASK_OF: "Task", SINCE: SINCE, FOR: FOR}
    gone = {"fieldName": tasks.STATE_OF, "config": {"id": "equal", "options": {"value": "gone"}}}
    again = {"left": SINCE, "operator": "+", "right": "0"}
    # A dark blue is well for a lane and too dark for a word.
    colours = WORKER_STATES | {"idle": CALM}
    return overriding(
        rows(
            "Workers now",
            "What each worker is at, since when, and the task it has: told by the log within a second or so",
            logs(f"1000 * {newest}").query_type("instant"),
        )
        .datasource(LOKI)
        .with_transformation(transformed("labelsToFields"))
        .with_transformation(transformed("merge"))
        # 9.4 calls the number `Value #A`, others `Value`.
        .with_transformation(transformed("renameByRegex", regex="^Value.*$", renamePattern=SINCE))
        .with_transformation(transformed("filterByValue", type="exclude", match="any", filters=[gone]))
        .with_transformation(transformed("calculateField", mode="binary", alias=FOR, binary=again))
        .with_transformation(transformed("filterFieldsByName", include={"names": list(shown)}))
        .with_transformation(transformed("sortBy", fields={}, sort=[{"field": tasks.STATE_OF}]))
        .with_transformation(columns(shown))
        .no_value("no worker was heard of for a day"),
        [
            set_by("byName", "Worker", custom__minWidth=130),
            set_by("byName", "State", custom__width=62, custom__displayMode="color-text", mappings=[mapped(colours)]),
            set_by("byName", "Task", custom__minWidth=238, links=[_its_lines().build()], noValue=" "),
            set_by("byName", SINCE, custom__width=75, unit="dateTimeAsIsoNoDateIfToday"),
            set_by("byName", FOR, custom__width=130, unit="dateTimeFromNow"),
        ],
    )


def live() -> log_builders.Panel:
    """Return the newest lines."""
    return log_lines(
        "What happens",
        "Every task that was created, taken up, returned or ended, and every worker that changed, as it comes; open a "
        "line for the way to its trace",
        logs(tasks.STREAMS, limit=100),
    )


def slower() -> QueryVariable:
    """Return from how many seconds on a task is slow."""
    buckets = told(f"{c.TASK_DURATION.prometheus}_bucket")
    return searches.slowest(told(f"{c.TASK_DURATION.prometheus}_count"), lambda rank: quantile_of(rank, buckets))


def _ended(title: str, text: str, *filters: str, sorted_by: str) -> table.Panel:
    took = f"regexp `(?:in|after) (?P<{TOOK}>[0-9]+) ms$`"
    when = f"label_format {ENDED}=`{{{{unixEpochMillis __timestamp__}}}}`"
    asked = " | ".join((tasks.TASK_LINES, f'{tasks.OUTCOME_OF}!=""', took, *filters, when))
    numbers = [{"targetField": one, "destinationType": "number"} for one in (TOOK, ENDED)]
    shown = {
        ENDED: "Ended",
        tasks.TASK_OF: "Task",
        tasks.WORKER_OF: "Worker",
        TOOK: "Took",
        "trace_id": _TRACE,
    }
    to_trace = link(
        "The trace of this task", frame.TRACES, variables=f"{frame.ONE_TRACE}${{__data.fields.trace_id}}", keep=["host"]
    )
    return overriding(
        rows(title, text, logs(asked, limit=LISTED))
        .datasource(LOKI)
        .with_transformation(transformed("extractFields", source="labels"))
        .with_transformation(transformed("filterFieldsByName", include={"names": list(shown)}))
        .with_transformation(transformed("convertFieldType", fields={}, conversions=numbers))
        .with_transformation(most_first(sorted_by))
        .with_transformation(columns(shown))
        .no_value("no such task in this time"),
        [
            set_by("byName", "Ended", custom__width=162, custom__align="left", unit="dateTimeAsIso"),
            set_by("byName", "Task", links=[to_trace.build(), _its_lines().build()], custom__minWidth=215),
            set_by("byName", "Worker", custom__minWidth=110),
            set_by(
                "byName",
                "Took",
                custom__width=85,
                unit="ms",
                decimals=1,
                custom__displayMode="color-text",
                thresholds=steps((None, GOOD), (900_000, WARNING), (3_600_000, ERROR)).build(),
            ),
            set_by("byName", _TRACE, custom__hidden=True),
        ],
    )


def slow_ones() -> table.Panel:
    """Return the tasks that took longest, a row each."""
    return _ended(
        "Slow tasks",
        f"The tasks of the chosen time that took longest, some {searches.SLOWEST} of them. A click leads to the trace "
        "or to the lines of a task",
        f"{TOOK} > ${{slower}}000",
        sorted_by=TOOK,
    )


def failed_ones() -> table.Panel:
    """Return the tasks that failed, a row each."""
    return _ended(
        "Failed tasks",
        f"At most {LISTED} tasks that failed, newest first; with the same links",
        f'{tasks.OUTCOME_OF}="error"',
        sorted_by=ENDED,
    )
