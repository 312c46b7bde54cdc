"""When the alerts about the machine fire, and when not. Time begins at 0; a value every half minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.rules.promtool import Case

if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE: Final = 'job="host",instance="h",host_name="h"'
NAMELESS: Final = 'job="host",instance="local"'
LABELS: Final = {"job": "host", "instance": "h", "host_name": "h"}
EVERY: Final = "30s"


def cpu(state: str, machine: str = MACHINE) -> str:
    """Return the series of the share of time in a state."""
    return f'system_cpu_utilization_ratio{{{machine},state="{state}"}}'


def memory(state: str, machine: str = MACHINE) -> str:
    """Return the series of the share of memory in a state."""
    return f'system_memory_utilization_ratio{{{machine},state="{state}"}}'


def disk(mountpoint: str, machine: str = MACHINE) -> str:
    """Return the series of the share of a disk that is used."""
    return f'system_filesystem_utilization_ratio{{{machine},mountpoint="{mountpoint}"}}'


def heard(machine: str = MACHINE) -> str:
    """Return a series that every machine has."""
    return f"system_memory_limit_bytes{{{machine}}}"


@dataclass(frozen=True, slots=True)
class Limit:
    """A share with a limit: series as they are below it, at it and not at all there."""

    alert: str
    about: str
    below: Mapping[str, str]
    reached: Mapping[str, str]
    words: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def cases(self) -> tuple[Case, ...]:
        """Return what is alike of all limits."""
        labels = {**LABELS, **self.labels}
        # 10 minutes below, 20 minutes at the limit, 20 minutes below.
        through = {
            name: f"{self.below[name]}x19 {self.reached[name]}x39 {self.below[name]}x39" for name in self.reached
        }
        then_gone = {name: f"{value}x40 _x60" for name, value in self.reached.items()}
        return (
            Case(
                id=f"{self.about}: at its limit for twenty minutes, over five minutes after",
                alert=self.alert,
                series=through,
                fires={"18m": self.words, "29m": self.words},
                silent=("9m", "14m", "39m", "45m"),
                labels=labels,
                every=EVERY,
                evaluated=EVERY,
            ),
            Case(
                id=f"{self.about}: just below",
                alert=self.alert,
                series={name: f"{value}x80" for name, value in self.below.items()},
                silent=("10m", "20m", "40m"),
                every=EVERY,
                evaluated=EVERY,
            ),
            Case(
                id=f"{self.about}: three minutes are a burst, and then a machine that is not heard of",
                alert=self.alert,
                series={name: f"{self.below[name]}x19 {self.reached[name]}x5 _x60" for name in self.reached},
                silent=("10m", "12m", "14m", "16m", "18m", "20m", "30m"),
                every=EVERY,
                evaluated=EVERY,
            ),
            Case(
                id=f"{self.about}: not heard of any more, it is kept until HostMetricsMissing tells, and not for ever",
                alert=self.alert,
                series=then_gone,
                fires={f"{20 + MISSING_AFTER_MIN}m": self.words},
                kept_since="21m30s",
                silent=("33m", "45m"),
                labels=labels,
                every=EVERY,
                evaluated=EVERY,
            ),
            Case(
                id=f"{self.about}: nothing is told of any machine",
                alert=self.alert,
                series={heard(): "1x80"},
                silent=("10m", "40m"),
                every=EVERY,
                evaluated=EVERY,
            ),
        )


# Three minutes without a sample, two of waiting, and half a minute until rules are evaluated.
MISSING_AFTER_MIN: Final = 6

CPU: Final = Limit(
    "HostCpuHigh",
    "cpu",
    # The other states do not matter. What stands here for the limit is a binary number, for 1 - 0.1 is none.
    below={cpu("idle"): "0.09", cpu("wait"): "0.02", cpu("user"): "0.89"},
    reached={cpu("idle"): "0.0625", cpu("wait"): "0.03125", cpu("user"): "0.90625"},
    words="h: its processors are 90.62% busy",
)
MEMORY: Final = Limit(
    "HostMemoryHigh",
    "memory",
    below={memory("used"): "0.849", memory("cached"): "0.95"},
    reached={memory("used"): "0.85", memory("cached"): "0.15"},
    words="h: 85% of its memory are used",
)
DISK: Final = Limit(
    "HostDiskFull",
    "disk",
    below={disk("/data"): "0.899", disk("/"): "0.5"},
    reached={disk("/data"): "0.9", disk("/"): "0.5"},
    words="h: /data is 90% full",
    labels={"mountpoint": "/data"},
)

OTHERS: Final = (
    Case(
        id="cpu: one machine of two; a minute of rest does not end it",
        alert="HostCpuHigh",
        series={
            cpu("idle"): "0.01x24 0.3x2 0.01x40",
            cpu("idle", NAMELESS): "0.5x80",
        },
        fires={"14m": "h: its processors are 91.75% busy"},
        kept_since="12m30s",
        labels=LABELS,
        every=EVERY,
        evaluated=EVERY,
    ),
    Case(
        id="cpu: who waits for a disk is idle",
        alert="HostCpuHigh",
        series={cpu("idle"): "0.02x80", cpu("wait"): "0.9x80"},
        silent=("10m", "20m", "40m"),
        every=EVERY,
        evaluated=EVERY,
    ),
    Case(
        id="disk: a machine without a name",
        alert="HostDiskFull",
        series={disk("/", NAMELESS): "0.95x40", disk("/home", NAMELESS): "0.2x40"},
        fires={"10m": "local: / is 95% full"},
        labels={"job": "host", "instance": "local", "mountpoint": "/"},
        every=EVERY,
        evaluated=EVERY,
    ),
    Case(
        id="host: one that was told of and is no longer, over when it is back",
        alert="HostMetricsMissing",
        series={heard(): "1x20 _x30 1x20", heard(NAMELESS): "1x80"},
        fires={"17m": "h: nothing is heard of this machine any more"},
        silent=("10m", "13m", "14m", "26m", "35m"),
        labels=LABELS,
        every=EVERY,
        evaluated=EVERY,
    ),
    Case(
        id="host: the only one, too; after six hours it is gone for good",
        alert="HostMetricsMissing",
        series={heard(NAMELESS): "1x20 _x800"},
        fires={
            "17m": "local: nothing is heard of this machine any more",
            "300m": "local: nothing is heard of this machine any more",
        },
        silent=("13m", "375m", "400m"),
        labels={"job": "host", "instance": "local"},
        every=EVERY,
        evaluated=EVERY,
    ),
    Case(
        id="host: a restart of four minutes, and nothing that was ever told",
        alert="HostMetricsMissing",
        series={heard(): "1x20 _x8 1x40"},
        silent=("12m", "14m", "15m", "20m", "34m"),
        every=EVERY,
        evaluated=EVERY,
    ),
)

CASES: Final = (*CPU.cases(), *MEMORY.cases(), *DISK.cases(), *OTHERS)
