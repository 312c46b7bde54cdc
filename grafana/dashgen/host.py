"""Host: is there room on the machine, how busy was it, and what disks, network and processes are at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashgen import frame, grids
from dashgen import machine as m
from dashgen.colours import CRITICAL, ERROR, QUIET, SERIES, WARNING, by_name, steps
from dashgen.grids import grid
from dashgen.machine import Course, paced, seen
from dashgen.panels import at, heading, lines, link, overriding, set_by, tile, words
from dashgen.queries import metric, own
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table, timeseries
    from grafana_foundation_sdk.builders.dashboard import Row
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

_REST: Final = f'{s.STATE}=~"idle|wait"'
_USED: Final = f'{s.STATE}="used"'
_FREE: Final = f'{s.STATE}="free"'
_NOT_IDLE: Final = f'{s.STATE}!="idle"'
_ALIVE: Final = f'{s.STATE}="alive"'
_UNHEALTHY: Final = f'{s.STATE}="unhealthy"'
_STATES: Final = {
    "user": SERIES[0],
    "nice": SERIES[5],
    "system": SERIES[1],
    "wait": SERIES[3],
    "softirq": SERIES[4],
    "interrupt": SERIES[6],
    "steal": CRITICAL,
}
_PROCESSES: Final = {"running": SERIES[2], "blocked": ERROR, "sleeping": SERIES[0], "idle": QUIET, "zombies": CRITICAL}
WHAT_TO_DO: Final = """
**Nothing above?** The Collector tells of the machine it runs on where it is started with `collector-config/host.yaml`,
too, as docker compose does; `docs/host.md` says how, and what a container cannot see.
"""

CPU: Final = Course(
    title="CPU",
    text="Share of the time of all processors that is not idle; waiting for a disk is idle",
    value=f"1 - sum by ({m.MACHINE}) ({seen(m.CPU, _REST)})",
    unit="percentunit",
    decimals=0,
    most=m.CPU_MOST,
    top=1,
)
MEMORY: Final = Course(
    title="Memory",
    text="Share of the memory that programs cannot have any more; caches that the kernel gives back do not count",
    value=f"max by ({m.MACHINE}) ({seen(m.MEMORY, _USED)})",
    unit="percentunit",
    decimals=0,
    most=m.MEMORY_MOST,
    top=1,
)
DISK: Final = Course(
    title="Disk space",
    text="How full the fullest file system of each machine is",
    value=f"max by ({m.MACHINE}) ({seen(m.FILES)})",
    unit="percentunit",
    decimals=0,
    most=m.DISK_MOST,
    top=1,
)
LOAD: Final = Course(
    title="Load",
    text="How many processes run or want to, in the mean of a minute: more than its processors, and some wait",
    value=f"max by ({m.MACHINE}) ({seen(m.LOAD)})",
    unit="none",
    decimals=1,
    beside={f"{m.NAMED} processors": f"max by ({m.MACHINE}) ({seen(m.CPUS)})"},
)
NETWORK: Final = Course(
    title="Network",
    text="Bytes a second that came in and went out, together",
    value=paced(m.NETWORK),
    unit="Bps",
)
DISKS: Final = Course(
    title="Disk traffic",
    text="Bytes a second that were read from disks and written to them, together",
    value=paced(m.DISK_IO),
    unit="Bps",
)


def verdict() -> stat.Panel:
    """Return the first that holds: what is full, or that there is room."""
    says = {
        "0": ("nothing told", QUIET),
        "1": ("there is room", "#2E7D9A"),
        "2": ("memory is short", WARNING),
        "3": ("a disk is full", CRITICAL),
        "4": ("CPU is busy", CRITICAL),
    }
    lately = "[2m:15s]"
    number = f"""(max(avg_over_time(({CPU.value}){lately})) >= {m.CPU_MOST}) * 0 + 4
  or (max({DISK.value}) >= {m.DISK_MOST}) * 0 + 3
  or (max({MEMORY.value}) >= {m.MEMORY_MOST}) * 0 + 2
  or count({seen(m.MEMORY_SIZE)}) * 0 + 1
  or vector(0)"""
    mapped = ValueMap(
        options={
            value: ValueMappingResult(text=text, color=colour, index=place)
            for place, (value, (text, colour)) in enumerate(says.items())
        }
    )
    return (
        tile(
            "Is there room?",
            f"The first of these that holds of any machine: CPU is busy ({m.CPU_MOST:.0%} over two minutes); a disk is "
            f"full ({m.DISK_MOST:.0%}); memory is short ({m.MEMORY_MOST:.0%}); there is room",
            metric(number, instant=True),
        )
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .mappings([mapped])
        .unit("none")
        .data_links([link("Which alerts", frame.PIPELINE, keep=["host"])])
    )


def _fact(title: str, text: str, expression: str, unit: str, *, none: str = "-") -> stat.Panel:
    return (
        tile(title, text, metric(expression, instant=True))
        .unit(unit)
        .decimals(0)
        .no_value(none)
        .thresholds(steps((None, SERIES[0])))
    )


def in_numbers() -> list[Builder[Panel]]:
    """Return the first row: is there room, and how large is it all."""
    return [
        at(0, 0, 6, 3, verdict()),
        at(6, 0, 3, 3, _fact("Machines", "Machines that are told of now", f"count({seen(m.MEMORY_SIZE)})", "none")),
        at(
            9, 0, 3, 3, _fact("Processors", "Logical processors of all chosen machines", f"sum({seen(m.CPUS)})", "none")
        ),
        at(12, 0, 3, 3, _fact("All memory", "Of all chosen machines", f"sum({seen(m.MEMORY_SIZE)})", "bytes")),
        at(
            15,
            0,
            3,
            3,
            _fact(
                "Swap in use", "Memory that was moved to a disk", f"sum({seen(m.SWAP, _USED)})", "bytes", none="no swap"
            ),
        ),
        at(18, 0, 3, 3, _fact("Processes", "Processes of all chosen machines", f"sum({seen(m.PROCESSES)})", "none")),
        at(21, 0, 3, 3, _heard()),
    ]


def _heard() -> stat.Panel:
    sampled = f"timestamp({seen(m.MEMORY_SIZE)})"
    newest = f"(max({sampled}) or max(max_over_time({sampled}[6h:1m])))"
    return _fact(
        "Last heard", "How long ago the last sample of any machine was taken", f"time() - {newest}", "s", none="never"
    ).thresholds(steps((None, SERIES[0]), (60, WARNING), (180, ERROR)))


def beside_each_other(y: int, *courses: Course) -> list[Builder[Panel]]:
    """Return a row: each history, and its numbers beside it."""
    width = 24 // len(courses)
    return [
        panel
        for place, course in enumerate(courses)
        for panel in (
            at(place * width, y, width - 4, 6, course.history()),
            at((place + 1) * width - 4, y, 4, 6, course.numbers()),
        )
    ]


def file_systems() -> table.Panel:
    """Return a row for each file system."""
    by = f"{m.MACHINE}, {m.MOUNT}"
    used = f"max by ({by}) ({seen(m.FILES)})"
    full = steps((None, SERIES[0]), (m.DISK_MOST * 0.9, WARNING), (m.DISK_MOST, ERROR)).build()
    return grid(
        "File systems",
        "How full each file system is, as `df` says: red from 90 %",
        {m.MACHINE: "Machine", m.MOUNT: "Mounted on"},
        {
            "Used": used,
            "Free": f"sum by ({by}) ({seen(m.FILES_SIZE, _FREE)})",
            "Size": f"sum by ({by}) ({seen(m.FILES_SIZE)})",
        },
        [
            set_by("byName", "Machine", custom__width=110),
            set_by("byName", "Mounted on", custom__width=140),
            set_by("byName", "Used", **{**grids.SHARE, "thresholds": full}),
            set_by("byRegexp", "/^(Free|Size)$/", unit="bytes", decimals=1, custom__width=90),
        ],
        empty=m.EMPTY,
    )


def _stacked(title: str, text: str, expression: str, by: str, colours: dict[str, str]) -> timeseries.Panel:
    return overriding(
        lines(title, text, metric(expression, legend=f"{{{{{by}}}}}"))
        .min(0)
        .max_data_points(400)
        .fill_opacity(45)
        .line_width(1)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .no_value(m.EMPTY),
        by_name(colours),
    )


def _both_ways(title: str, text: str, counter: str, down: str) -> timeseries.Panel:
    """Return rates by device, one direction upwards and the other downwards."""
    rates = paced(counter, m.DEVICE, m.DIRECTION)
    return overriding(
        lines(title, text, metric(rates, legend=f"{m.NAMED} {{{{{m.DEVICE}}}}} {{{{{m.DIRECTION}}}}}"))
        .unit("Bps")
        .max_data_points(400)
        .fill_opacity(25)
        .line_width(1)
        .no_value(m.EMPTY),
        [set_by("byRegexp", f"/ {down}$/", custom__transform="negative-Y")],
    )


def what_it_does(y: int) -> list[Builder[Panel]]:
    """Return what processors, processes, network and disks are at."""
    states = _stacked(
        "What processors do",
        "Share of the time of all processors by what it went to, stacked, without idling; of several machines the mean",
        f"avg by ({s.STATE}) ({seen(m.CPU, _NOT_IDLE)})",
        s.STATE,
        _STATES,
    )
    processes = _stacked(
        "Processes by state",
        "How many processes are in which state, stacked; blocked ones wait for a disk, zombies for their parent",
        f"sum by ({m.STATUS}) ({seen(m.PROCESSES)})",
        m.STATUS,
        _PROCESSES,
    )
    return [
        at(0, y, 12, 8, states.unit("percentunit")),
        at(12, y, 12, 8, processes.unit("none").decimals(0)),
        at(
            0,
            y + 8,
            12,
            7,
            _both_ways(
                "Network by device",
                "Bytes a second by device: what came in upwards, what went out downwards",
                m.NETWORK,
                "transmit",
            ),
        ),
        at(
            12,
            y + 8,
            12,
            7,
            _both_ways(
                "Disks by device",
                "Bytes a second by disk: what was read upwards, what was written downwards",
                m.DISK_IO,
                "write",
            ),
        ),
    ]


def workers() -> table.Panel:
    """Return a row for each group of worker processes."""
    to_workers = link("What they do", frame.WORKERS, keep=["host"])
    return grid(
        "Worker processes",
        "Processes that EGOSCOPE_WORKER_PROCESSES or EGOSCOPE_WORKER_PID_FILES names, by group: found and well, and "
        "those that are there and do nothing; CPU over two minutes, where 100 % is one processor, and resident memory. "
        "Koubou's own workers stand on Workers",
        {s.GROUP: "Group"},
        {
            "Alive": f"sum by ({s.GROUP}) ({own(c.WORKER_PROCESSES, _ALIVE)})",
            "Unhealthy": f"sum by ({s.GROUP}) ({own(c.WORKER_PROCESSES, _UNHEALTHY)})",
            "CPU": f"sum by ({s.GROUP}) (rate({own(c.WORKER_CPU_TIME)}[2m]))",
            "Memory": f"sum by ({s.GROUP}) ({own(c.WORKER_MEMORY)})",
        },
        [
            set_by("byName", "Group", links=[to_workers.build()], custom__minWidth=90),
            set_by(
                "byName",
                "Unhealthy",
                thresholds=steps((None, "text"), (1, ERROR)).build(),
                custom__displayMode="color-text",
                custom__minWidth=90,
            ),
            set_by("byName", "CPU", unit="percentunit", decimals=1),
            set_by("byName", "Memory", unit="bytes", decimals=1, custom__minWidth=90),
        ],
        empty="none is looked for: set EGOSCOPE_WORKER_PROCESSES",
    )


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    panels: list[Builder[Panel] | Row] = [
        *in_numbers(),
        *beside_each_other(3, CPU, MEMORY),
        *beside_each_other(9, DISK, LOAD),
        *beside_each_other(15, NETWORK, DISKS),
        heading(21, "What is on it"),
        at(0, 22, 15, 7, file_systems()),
        at(15, 22, 9, 7, workers()),
        heading(29, "What it does"),
        *what_it_does(30),
        at(0, 45, 24, 2, words("", WHAT_TO_DO)),
    ]
    return frame.dashboard(
        frame.HOST_PAGE,
        "Host",
        "Is there room on the machine, how busy was it, and what are its disks, network and processes at?",
        panels,
        variables=[frame.host()],
        since="now-24h",
        refresh="10s",
        annotated=False,
    )
