"""Workers: who works at what and since when, what waits and for how long, what ended and how. Koubou's tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashgen import frame, runs, task_graphs, task_lines, tasks
from dashgen.colours import (
    CALM,
    CRITICAL,
    ERROR,
    GOOD,
    QUIET,
    SERIES,
    WARNING,
    WORKER_STATES,
    steps,
)
from dashgen.panels import at, heading, lanes, legend, meters, overriding, set_by, tile, words
from dashgen.queries import DATABASE, metric, of, share
from dashgen.tasks import told
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import bargauge, stat, statetimeline
    from grafana_foundation_sdk.builders.dashboard import Row
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

LATE_S: Final = 30
"""Three heartbeats of Koubou's workers."""
LOST_S: Final = 60
"""EGOSCOPE_WORKER_LOST_S, unless it is set otherwise."""
NOT_OFFLINE: Final = f'{s.STATE}!="offline"'
WHAT_TO_DO: Final = f"""
**Nothing above?** This page shows Koubou's tasks and workers. Set `{tasks.SETTING}` to its `koubou.db`, and
`egoscope doctor` tells whether it can be read. Workers that are not Koubou's are counted under **Processes** where
`EGOSCOPE_WORKER_PROCESSES` says by which names or pid files they are found.
"""


def verdict() -> stat.Panel:
    """Return the first that holds: too few workers, one lost, tasks fail, wait too long, at work, silence, idle."""
    says = {
        "0": ("none yet", QUIET),
        "1": ("idle", CALM),
        "2": ("not heard of", WARNING),
        "3": ("at work", "#2E7D9A"),
        "4": ("too slow", WARNING),
        "5": ("failing", WARNING),
        "6": ("worker lost", ERROR),
        "7": ("too few workers", CRITICAL),
    }
    failing = (
        f"{share(told(c.TASKS_ENDED, tasks.ERRED), told(c.TASKS_ENDED, tasks.DONE), '1h')} > {runs.FAILING} "
        f"and {tasks.ended(tasks.DONE, window='1h')} >= {runs.FEWEST}"
    )
    newest = of(c.AGENT_LAST_EVENT, tasks.JOB, DATABASE)
    number = f"""count({tasks.missing()}) * 0 + 7
  or ({tasks.there("lost")} > 0) * 0 + 6
  or ({failing}) * 0 + 5
  or ({tasks.age()} > {tasks.OLD_S}) * 0 + 4
  or (sum({told(c.TASKS_OPEN)}) > 0) * 0 + 3
  or count({tasks.silent()}) * 0 + 2
  or (max(last_over_time({newest}[7d])) > 0) * 0 + 1
  or vector(0)"""
    mapped = ValueMap(
        options={
            value: ValueMappingResult(text=text, color=colour, index=place)
            for place, (value, (text, colour)) in enumerate(says.items())
        }
    )
    return (
        tile(
            "Does it get done?",
            "The first of these that holds: too few workers (on any machine fewer than its settings expect, told "
            f"within half a minute); a worker is lost; failing (more than a fifth of the tasks of the last hour, of at "
            f"least {runs.FEWEST}); too slow (a task has been waiting or in progress for over an hour); at work; not "
            "heard of (a machine's database told something within a week and tells nothing now); idle",
            metric(number, instant=True),
        )
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .mappings([mapped])
        .unit("none")
    )


def several(title: str, text: str, **questions: str) -> stat.Panel:
    """Return a tile of several numbers, each with its name."""
    return (
        tile(
            title,
            text,
            *(
                metric(expression, legend=name, instant=True, ref=ref)
                for ref, (name, expression) in zip("ABCDE", questions.items(), strict=False)
            ),
        )
        .unit("none")
        .decimals(0)
        .orientation(common.VizOrientation.VERTICAL)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(common_builders.VizTextDisplayOptions().title_size(12).value_size(18))
        .thresholds(steps((None, SERIES[0])))
    )


def in_numbers() -> list[Builder[Panel]]:
    """Return the first row: is all well, and how much is there."""
    old = {
        "unit": "s",
        "decimals": 0,
        "thresholds": steps((None, SERIES[0]), (tasks.OLD_S / 4, WARNING), (tasks.OLD_S, ERROR)).build(),
    }
    raised = {name: steps((None, QUIET), (1, colour)).build() for name, colour in (("lost", ERROR), ("failed", ERROR))}
    workers = several(
        "Workers",
        "Koubou's workers as its database has them: all, at a task, without one, and lost: without a heartbeat for "
        f"{LOST_S} s, or what EGOSCOPE_WORKER_LOST_S says",
        total=f"{tasks.there('.+')} or vector(0)",
        busy=f"{tasks.there('busy')} or vector(0)",
        idle=f"{tasks.there('idle')} or vector(0)",
        lost=f"{tasks.there('lost')} or vector(0)",
    )
    queue = several(
        "Queue",
        "Tasks that no worker has taken up, and for how long the oldest of them has been waiting: red beyond an hour",
        waiting=f"sum({told(c.TASKS_OPEN, tasks.PENDING)}) or vector(0)",
        oldest=f"{tasks.age(tasks.PENDING)} or vector(0)",
    )
    progress = several(
        "In progress",
        "Tasks in the hands of a worker, and for how long the first of them has been: red beyond an hour",
        tasks=f"sum({told(c.TASKS_OPEN, tasks.TAKEN)}) or vector(0)",
        longest=f"{tasks.age(tasks.TAKEN)} or vector(0)",
    ).text(common_builders.VizTextDisplayOptions().title_size(12).value_size(15))
    success = (
        tile(
            "Success",
            "Share of the tasks that ended in the chosen time and went well; what was cancelled counts for nothing",
            metric(share(told(c.TASKS_ENDED, tasks.WELL), told(c.TASKS_ENDED, tasks.DONE)), instant=True),
        )
        .unit("percentunit")
        .decimals(1)
        .no_value("none ended")
        .mappings([runs.NONE_ENDED])
        .thresholds(steps((None, ERROR), (1 - runs.FAILING, WARNING), (0.95, GOOD)))
    )
    over = several(
        "Ended",
        "Tasks that ended in the chosen time, exactly as many as the database has",
        completed=f"{tasks.ended(tasks.WELL)} or vector(0)",
        failed=f"{tasks.ended(tasks.ERRED)} or vector(0)",
        cancelled=f"{tasks.ended(tasks.GIVEN_UP)} or vector(0)",
    )
    grey = steps((None, QUIET)).build()
    return [
        at(0, 0, 4, 4, verdict()),
        at(4, 0, 5, 4, overriding(workers, [set_by("byName", "lost", thresholds=raised["lost"])])),
        at(9, 0, 4, 4, overriding(queue, [set_by("byName", "oldest", **old)])),
        at(13, 0, 3, 4, overriding(progress, [set_by("byName", "longest", **old)])),
        at(16, 0, 3, 4, success),
        at(
            19,
            0,
            5,
            4,
            overriding(
                over,
                [
                    set_by("byName", "failed", thresholds=raised["failed"]),
                    set_by("byName", "cancelled", thresholds=grey),
                ],
            ),
        ),
    ]


def timeline() -> statetimeline.Panel:
    """Return a lane for each worker, coloured by its state."""
    numbers = {state: place for place, state in enumerate(WORKER_STATES, start=1)}
    states = {state: told(c.WORKER_STATE, f'{s.STATE}="{state}"') for state in numbers}
    weighed = " or ".join(f"{place} * ({states[state]} == 1)" for state, place in numbers.items())
    mapped = ValueMap(
        options={
            "0": ValueMappingResult(text="none", color="transparent", index=0),
            **{
                str(place): ValueMappingResult(text=state, color=WORKER_STATES[state], index=place)
                for state, place in numbers.items()
            },
        }
    )
    # Grafana 9.4 draws lanes without series as "No data", whatever the panel has for such a case.
    none = f'label_replace(0 * max(up), "{s.WORKER}", "no worker", "", "")'
    return (
        lanes(
            "What each worker was at",
            "A lane for each worker, coloured by its state; a gap: it was not in the database",
            metric(f"max by ({tasks.ONE_WORKER}) ({weighed}) or on () {none}", legend=tasks.NAMED),
        )
        .max_data_points(400)
        .mappings([mapped])
        .legend(legend())
    )


def heartbeats() -> bargauge.Panel:
    """Return how long ago each worker's heartbeat was."""
    # Who has said goodbye gives no sign of life and is not missed.
    known = f"max by ({tasks.ONE_WORKER}) ({told(c.WORKER_STATE, NOT_OFFLINE)}) == 1"
    beat = f"max by ({tasks.ONE_WORKER}) ({told(c.WORKER_HEARTBEAT)})"
    return (
        meters(
            "Heartbeats",
            f"How long ago each worker last gave a sign of life: every ten seconds, as a rule. Beyond {LOST_S} s, "
            "or what EGOSCOPE_WORKER_LOST_S says, it counts as lost",
            metric(f"sort_desc(clamp_min(time() - ({beat} and {known}), 0))", legend=tasks.NAMED, instant=True),
        )
        .unit("s")
        .decimals(0)
        .min(0)
        .max(LOST_S)
        .no_value("no worker is known now")
        .text(common_builders.VizTextDisplayOptions().title_size(12).value_size(12))
        .thresholds(steps((None, GOOD), (LATE_S, WARNING), (LOST_S, ERROR)))
    )


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    panels: list[Builder[Panel] | Row] = [
        *in_numbers(),
        at(0, 4, 14, 8, task_lines.workers_now()),
        at(14, 4, 10, 8, timeline()),
        at(0, 12, 12, 8, task_graphs.standing()),
        at(12, 12, 12, 8, task_graphs.flow()),
        heading(20, "As it comes"),
        at(0, 21, 16, 9, task_lines.live()),
        at(16, 21, 8, 9, heartbeats()),
        heading(30, "How well, and how fast"),
        at(0, 31, 12, 8, task_graphs.how_long()),
        at(12, 31, 12, 8, task_graphs.processes()),
        at(0, 39, 13, 7, task_graphs.each_worker()),
        at(13, 39, 11, 7, task_graphs.each_priority()),
        at(0, 46, 12, 10, task_lines.slow_ones()),
        at(12, 46, 12, 10, task_lines.failed_ones()),
        at(0, 56, 24, 2, words("", WHAT_TO_DO)),
    ]
    return frame.dashboard(
        frame.WORKERS,
        "Workers",
        "Who works at what and since when, what waits and for how long, what ended and how.",
        panels,
        variables=[*tasks.variables(), task_lines.slower()],
        since="now-1h",
        refresh="1s",
        annotated=False,
    )
