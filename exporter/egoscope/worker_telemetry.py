"""What the sidecar tells of other programs' worker processes: numbers by group, looked up as metrics are collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.own_telemetry import LabelledValue
from egoscope.sources.worker_processes import WorkerProcesses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from egoscope.config import Settings
    from egoscope.own_telemetry import Gauge
    from egoscope.sources.worker_processes import Use


def worker_gauges(settings: Settings) -> dict[c.Metric, Gauge]:
    """Return what to ask for each metric of worker processes; nothing where the settings name none.

    They are asked in this order, and the first one looks for all of them.
    """
    if not settings.worker_processes and not settings.worker_pid_files:
        return {}
    told = _Told(WorkerProcesses(settings.worker_processes, settings.worker_pid_files, proc=settings.proc_path))
    return {c.WORKER_PROCESSES: told.look, c.WORKER_CPU_TIME: told.cpu_time, c.WORKER_MEMORY: told.memory}


class _Told:
    """One look, told as several metrics."""

    def __init__(self, workers: WorkerProcesses) -> None:
        self._workers = workers
        self._uses: Mapping[str, Use] = {}

    def look(self) -> Iterator[LabelledValue]:
        self._uses = {}
        try:
            found = self._workers.look()
        except OSError:  # doctor says so
            return
        self._uses = found.uses
        for group, healths in found.counts.items():
            for health, number in healths.items():
                yield LabelledValue({s.GROUP: group, s.STATE: health.value}, number)

    def cpu_time(self) -> Iterator[LabelledValue]:
        for group, use in self._uses.items():
            yield LabelledValue({s.GROUP: group}, use.cpu_s)

    def memory(self) -> Iterator[LabelledValue]:
        for group, use in self._uses.items():
            yield LabelledValue({s.GROUP: group}, use.memory_bytes)
