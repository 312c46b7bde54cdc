"""What a machine is at, over time: each as a history with its threshold, and beside it four numbers that agree with it.

The Collector tells of the machine past the sidecar (docs/host.md): the names here are those of its receiver. Everything
is looked at every 15 s, whatever the range: so the highest and the lowest of a range are the same, in how many steps it
is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common

from dashgen.colours import ERROR, QUIET, SERIES, WARNING, fixed, steps
from dashgen.panels import EVERY, lines, overriding, set_by, tile
from dashgen.queries import HOST, metric, of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grafana_foundation_sdk.builders import stat, timeseries

JOB: Final = 'job="host"'
MACHINE: Final = "instance"
"""A machine's name, or `local` where it has none."""
NAMED: Final = f"{{{{{MACHINE}}}}}"
EMPTY: Final = "the Collector tells of no machine: see docs/host.md"

CPU: Final = "system_cpu_utilization_ratio"
CPUS: Final = "system_cpu_logical_count"
LOAD: Final = "system_cpu_load_average_1m"
LOADS: Final = {f"{minutes} min": f"system_cpu_load_average_{minutes}m" for minutes in (5, 15)}
MEMORY: Final = "system_memory_utilization_ratio"
MEMORY_SIZE: Final = "system_memory_limit_bytes"
SWAP: Final = "system_paging_usage_bytes"
DISK_IO: Final = "system_disk_io_bytes_total"
DISK_BUSY: Final = "system_disk_io_time_seconds_total"
FILES: Final = "system_filesystem_utilization_ratio"
FILES_SIZE: Final = "system_filesystem_usage_bytes"
NETWORK: Final = "system_network_io_bytes_total"
PROCESSES: Final = "system_processes_count"
CREATED: Final = "system_processes_created_total"
MOUNT: Final = "mountpoint"
DEVICE: Final = "device"
DIRECTION: Final = "direction"
STATUS: Final = "status"

CPU_MOST: Final = 0.9
MEMORY_MOST: Final = 0.85
DISK_MOST: Final = 0.9
"""These three as the alerts have them: prometheus/rules/host.yml."""
RATE: Final = "1m"
"""Six samples, so that one that is late leaves no gap."""
HIGHEST: Final = "highest"
LOWEST: Final = "lowest"


def seen(name: str, *matchers: str) -> str:
    """Return the selector of a metric of the chosen machines."""
    return of(name, JOB, HOST, *matchers)


def paced(name: str, *by: str) -> str:
    """Return what a counter rises by a second, in all of a machine or by more."""
    return f"sum by ({', '.join((MACHINE, *by))}) (rate({seen(name)}[{RATE}]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Something that goes up and down."""

    title: str
    text: str
    value: str
    """PromQL: one value a machine."""
    unit: str
    decimals: int | None = None
    legend: str = NAMED
    most: float | None = None
    """The threshold that an alert has, too."""
    top: float | None = None
    """What is as much as there can be."""
    beside: Mapping[str, str] = field(default_factory=dict[str, str])
    """More lines: name -> PromQL."""

    def _thresholds(self, calm: str) -> list[tuple[float | None, str]]:
        if self.most is None:
            return [(None, calm)]
        return [(None, calm), (self.most * 0.9, WARNING), (self.most, ERROR)]

    def history(self) -> timeseries.Panel:
        """Return its mean over time for each machine, and how far it went up and down between two points."""
        window = f"[$__interval:{EVERY}]"
        asked = {
            self.legend: f"avg_over_time(({self.value}){window})",
            HIGHEST: f"max(max_over_time(({self.value}){window}))",
            LOWEST: f"min(min_over_time(({self.value}){window}))",
            **self.beside,
        }
        panel = (
            lines(
                self.title,
                f"{self.text}. The line is the mean of each step, around it how high and how low it went"
                + ("; at the red line an alert begins" if self.most else ""),
                *(
                    metric(query, legend=name, ref=ref)
                    for ref, (name, query) in zip("ABCDEF", asked.items(), strict=False)
                ),
            )
            .unit(self.unit)
            .min(0)
            .max_data_points(400)
            .fill_opacity(0)
            .no_value(EMPTY)
        )
        if self.top is not None:
            panel.max(self.top)
        if self.most is not None:
            panel.thresholds(steps((None, "transparent"), (self.most, ERROR))).thresholds_style(
                common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE)
            )
        faint = {"custom__lineWidth": 0, "custom__hideFrom": {"legend": True, "tooltip": False, "viz": False}}
        band = {"custom__fillBelowTo": LOWEST, "custom__fillOpacity": 30}
        return overriding(
            panel,
            [
                set_by("byName", HIGHEST, color=fixed(QUIET).value, **faint, **band),
                set_by("byName", LOWEST, color=fixed(QUIET).value, **faint),
            ],
        )

    def numbers(self) -> stat.Panel:
        """Return what it is now, its mean, and the highest and lowest of what the history draws."""
        window = f"[$__range:{EVERY}]"
        asked = {
            "now": f"max({self.value})",
            "average": f"avg(avg_over_time(({self.value}){window}))",
            "maximum": f"max(max_over_time(({self.value}){window}))",
            "minimum": f"min(min_over_time(({self.value}){window}))",
        }
        panel = (
            tile(
                f"{self.title} in figures",
                "Now, and over the chosen time; of several machines the one that has most, and the one that had least",
                *(
                    metric(query, legend=name, instant=True, ref=ref)
                    for ref, (name, query) in zip("ABCD", asked.items(), strict=True)
                ),
            )
            .unit(self.unit)
            .orientation(common.VizOrientation.HORIZONTAL)
            .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
            .text(common_builders.VizTextDisplayOptions().title_size(13).value_size(18))
            .no_value("-")
            .thresholds(steps(*self._thresholds(SERIES[0])))
        )
        return overriding(
            panel if self.decimals is None else panel.decimals(self.decimals),
            [set_by("byName", "minimum", thresholds=steps((None, QUIET)).build())],
        )
