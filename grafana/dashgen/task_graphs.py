"""What became of tasks: how many are open, came and ended, how long they took, and by which worker and priority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common

from dashgen import grids, runs, tasks
from dashgen.colours import CRITICAL, ERROR, GOOD, SERIES, TASK_OUTCOMES, TASK_STATES, WARNING, by_name, fixed
from dashgen.grids import grid
from dashgen.panels import EVERY, NO_MARK, bars, lines, overriding, set_by
from dashgen.queries import counted, label, metric, own, quantile_of
from dashgen.tasks import told
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table, timeseries

BUSY: Final = f'{s.STATE}="busy"'
_DATABASE: Final = "Database"


def standing() -> timeseries.Panel:
    """Return the open tasks over time, stacked by state."""
    stacked = (
        lines(
            "Open tasks by state",
            "Tasks that have not ended, stacked: those that wait upon those in progress. What grows is not being done",
            metric(f"sum by ({s.STATE}) ({told(c.TASKS_OPEN)})", legend=f"{{{{{s.STATE}}}}}"),
        )
        .unit("none")
        .decimals(0)
        .min(0)
        .fill_opacity(45)
        .line_width(1)
        .line_interpolation(common.LineInterpolation.STEP_AFTER)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .mappings([NO_MARK])
        .no_value(tasks.EMPTY)
    )
    return overriding(stacked, by_name(TASK_STATES))


def flow() -> timeseries.Panel:
    """Return what came in and what was done with it."""
    created = counted(told(c.TASKS_CREATED), "$__interval")
    started = counted(told(c.TASKS_STARTED), "$__interval")
    done = tasks.ended(by=s.LABEL_OUTCOME, window="$__interval")
    shown = bars(
        "In and out",
        "Tasks that were created upwards, that ended downwards, by outcome, each exactly; the line: tasks that were "
        "taken up. A bar is 15 seconds or more",
        metric(f"{created} > 0", legend="created"),
        metric(started, legend="started", ref="B"),
        metric(f"{done} > 0", legend=f"{{{{{s.LABEL_OUTCOME}}}}}", ref="C"),
        points=80,
        downwards=True,
    )
    line = {
        "custom__drawStyle": "line",
        "custom__showPoints": "never",
        "custom__lineWidth": 1,
        "custom__lineInterpolation": "stepAfter",
        "custom__fillOpacity": 0,
        "custom__stacking": {"mode": "none", "group": "B"},
        "color": fixed(SERIES[4]).value,
    }
    return overriding(
        shown.no_value(tasks.EMPTY),
        [
            *by_name({"created": SERIES[3]}),
            set_by("byName", "started", **line),
            *(
                set_by("byName", outcome, color=fixed(colour).value, custom__transform="negative-Y")
                for outcome, colour in TASK_OUTCOMES.items()
            ),
        ],
    )


def how_long() -> timeseries.Panel:
    """Return p50 and p95 of waiting and of all of a task's life over time."""
    shown = {"waiting": c.TASK_WAIT, "creation to end": c.TASK_DURATION}
    asked = [
        (f"{name} p{part:.0f}", quantile_of(part / 100, told(f"{one.prometheus}_bucket"), "1h"))
        for name, one in shown.items()
        for part in (50, 95)
    ]
    return overriding(
        lines(
            "How long it took",
            "Half of the tasks of the hour before took less than p50, 95 of 100 less than p95: until a worker took "
            "them up, and until their end",
            *(metric(text, legend=name, ref=ref) for ref, (name, text) in zip("ABCD", asked, strict=True)),
        )
        .unit("s")
        .min(0)
        .max_data_points(200)
        .fill_opacity(0)
        .no_value("none ended in this time"),
        [
            *by_name({"waiting p50": WARNING, "waiting p95": WARNING}),
            *by_name({"creation to end p50": GOOD, "creation to end p95": GOOD}),
            set_by("byRegexp", "/p50$/", custom__lineWidth=1, custom__lineStyle={"fill": "dash", "dash": [6, 4]}),
        ],
    )


def each_worker() -> table.Panel:
    """Return a row for each worker."""
    worker = tasks.ONE_WORKER
    # At even steps: a series has a point more at each change, and who changes often would seem busier than they were.
    looks = f"[$__range:{EVERY}]"
    there = f"(sum by ({worker}) (sum_over_time({told(c.WORKER_STATE)}{looks})) > 0)"
    busy = f"sum by ({worker}) (sum_over_time({told(c.WORKER_STATE, BUSY)}{looks})) / {there}"
    ended = f"{counted(told(c.WORKER_TASKS), by=worker)} or 0 * {there}"
    failed = f"{counted(told(c.WORKER_TASKS, tasks.ERRED), by=worker)} or 0 * ({ended})"
    done = f"{counted(told(c.WORKER_TASKS, tasks.DONE), by=worker)} > 0"
    return grid(
        "Each worker",
        "Tasks that ended in the chosen time, by the worker that had them, exactly; and how much of the time that the "
        "database had it for it was busy",
        {s.WORKER: "Worker", label(s.HOST_NAME): "Machine", "instance": _DATABASE},
        {
            "Ended": ended,
            "Failed": failed,
            "Cancelled": f"{counted(told(c.WORKER_TASKS, tasks.GIVEN_UP), by=worker)} or 0 * ({ended})",
            "Failures": f"({failed}) / ({done})",
            "Busy": busy,
        },
        [
            set_by("byName", "Worker", custom__minWidth=160),
            set_by("byName", "Machine", custom__minWidth=90),
            # Two of one machine can have a worker of one name.
            set_by("byName", _DATABASE, custom__hidden=True),
            set_by("byName", "Cancelled", custom__minWidth=85),
            set_by("byName", "Failures", **grids.rising(runs.FAILING)),
            set_by("byName", "Busy", **{**grids.SHARE, "custom__minWidth": 90}),
        ],
        empty=tasks.EMPTY,
    )


def each_priority() -> table.Panel:
    """Return a row for each priority."""
    created = counted(told(c.TASKS_CREATED), by=s.PRIORITY)
    done = f"{tasks.ended(tasks.DONE, by=s.PRIORITY)} > 0"
    failed = f"{tasks.ended(tasks.ERRED, by=s.PRIORITY)} or 0 * {created}"
    return grid(
        "Each priority",
        "Tasks of the chosen time by priority, what of it waits now, and which share failed; the higher number goes "
        "first",
        {s.PRIORITY: "Priority"},
        {
            "Created": created,
            "Waiting": f"sum by ({s.PRIORITY}) ({told(c.TASKS_OPEN, tasks.PENDING)}) or 0 * {created}",
            "Returned": f"{counted(told(c.TASKS_RETURNED), by=s.PRIORITY)} or 0 * {created}",
            "Ended": f"{tasks.ended(by=s.PRIORITY)} or 0 * {created}",
            "Failed": failed,
            "Failures": f"({failed}) / ({done})",
        },
        [
            set_by("byName", "Priority", custom__minWidth=75, custom__align="left"),
            set_by("byName", "Returned", custom__minWidth=75),
            set_by("byName", "Failures", **grids.rising(runs.FAILING)),
        ],
        empty=tasks.EMPTY,
        sorted_by="Priority",
    )


def processes() -> timeseries.Panel:
    """Return how many worker processes there are, against how many there should be."""
    there = f"sum by ({s.GROUP}, {s.STATE}) ({own(c.WORKER_PROCESSES)})"
    should = "expected"
    found = lines(
        "Worker processes",
        "Processes found by name or pid file, by group, and Koubou's workers that are there, against how many of all "
        "together are expected",
        metric(f"{there} > 0", legend=f"{{{{{s.GROUP}}}}} {{{{{s.STATE}}}}}"),
        metric(tasks.there(), legend="Koubou's", ref="B"),
        metric(tasks.expected(), legend=should, ref="C"),
    )
    return overriding(
        found.unit("none")
        .decimals(0)
        .min(0)
        .fill_opacity(35)
        .line_width(1)
        .line_interpolation(common.LineInterpolation.STEP_AFTER)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .mappings([NO_MARK])
        .no_value("none is looked for: set EGOSCOPE_WORKER_PROCESSES"),
        [
            set_by("byRegexp", "/ unhealthy$/", color=fixed(ERROR).value),
            set_by(
                "byName",
                should,
                color=fixed(CRITICAL).value,
                custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                custom__fillOpacity=0,
                custom__lineWidth=2,
                custom__stacking={"mode": "none", "group": "B"},
            ),
        ],
    )
