"""Tasks and the workers that do them."""

from __future__ import annotations

from typing import Final

from egoscope.convert import semconv as s
from egoscope.convert.catalogue.metric import EXECUTION_BOUNDS, Kind, Metric

TASKS_CREATED: Final = Metric(
    name="task.created",
    kind=Kind.COUNTER,
    unit="{task}",
    description="Tasks that were created, by priority",
    attributes=(s.PRIORITY,),
    prometheus="task_created_total",
)
TASKS_STARTED: Final = Metric(
    name="task.started",
    kind=Kind.COUNTER,
    unit="{task}",
    description="Tasks that a worker took up for the first time, by priority",
    attributes=(s.PRIORITY,),
    prometheus="task_started_total",
)
TASKS_RETURNED: Final = Metric(
    name="task.returned",
    kind=Kind.COUNTER,
    unit="{return}",
    description="How often tasks went back from a worker to the queue, by priority",
    attributes=(s.PRIORITY,),
    prometheus="task_returned_total",
)
TASKS_ENDED: Final = Metric(
    name="task.ended",
    kind=Kind.COUNTER,
    unit="{task}",
    description="Tasks that ended, by priority and outcome (ok, error, cancelled)",
    attributes=(s.PRIORITY, s.LABEL_OUTCOME),
    prometheus="task_ended_total",
)
TASKS_OPEN: Final = Metric(
    name="task.open",
    kind=Kind.GAUGE,
    unit="{task}",
    description="Tasks that have not ended, by state (pending, in_progress, processing) and priority",
    attributes=(s.STATE, s.PRIORITY),
    prometheus="task_open",
)
TASKS_OLDEST: Final = Metric(
    name="task.open.oldest",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time since when the longest one of the open tasks in a state is in it; 0 where there is none",
    attributes=(s.STATE,),
    prometheus="task_open_oldest_seconds",
)
TASKS_STORED: Final = Metric(
    name="task.stored",
    kind=Kind.GAUGE,
    unit="{task}",
    description="Tasks in the database as it stands, by state",
    attributes=(s.STATE,),
    prometheus="task_stored",
)
TASK_DURATION: Final = Metric(
    name="task.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Time from a task's creation to its end, by outcome",
    attributes=(s.LABEL_OUTCOME,),
    prometheus="task_duration_seconds",
    bounds=EXECUTION_BOUNDS,
)
TASK_WAIT: Final = Metric(
    name="task.wait.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Time from a task's creation until a worker took it up, of tasks that were seen being taken up",
    prometheus="task_wait_duration_seconds",
    bounds=EXECUTION_BOUNDS,
)
WORKERS: Final = Metric(
    name="task.workers",
    kind=Kind.GAUGE,
    unit="{worker}",
    description="Workers, by state (idle, busy, lost, offline); lost: no heartbeat for longer than the limit",
    attributes=(s.STATE,),
    prometheus="task_workers",
)
WORKER_STATE: Final = Metric(
    name="task.worker.state",
    kind=Kind.GAUGE,
    unit="",
    description="State set of a worker: 1 for the state it is in, 0 for the others",
    attributes=(s.WORKER, s.STATE),
    prometheus="task_worker_state",
)
WORKER_HEARTBEAT: Final = Metric(
    name="task.worker.heartbeat.time",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time of a worker's last heartbeat",
    attributes=(s.WORKER,),
    prometheus="task_worker_heartbeat_time_seconds",
)
WORKER_TASKS: Final = Metric(
    name="task.worker.tasks",
    kind=Kind.COUNTER,
    unit="{task}",
    description="Tasks that ended, by the worker that had them and outcome (ok, error, cancelled)",
    attributes=(s.WORKER, s.LABEL_OUTCOME),
    prometheus="task_worker_tasks_total",
)
WORKER_PROCESSES: Final = Metric(
    name="task.worker.processes",
    kind=Kind.GAUGE,
    unit="{process}",
    description="Worker processes found by name or by pid file, by group and state (alive, unhealthy)",
    attributes=(s.GROUP, s.STATE),
    prometheus="task_worker_processes",
)
WORKER_CPU_TIME: Final = Metric(
    name="task.worker.process.cpu.time",
    kind=Kind.COUNTER,
    unit="s",
    description="CPU time of worker processes found by name or by pid file, by group, since the sidecar's start",
    attributes=(s.GROUP,),
    prometheus="task_worker_process_cpu_time_seconds_total",
)
WORKER_MEMORY: Final = Metric(
    name="task.worker.process.memory.usage",
    kind=Kind.GAUGE,
    unit="By",
    description="Resident memory of worker processes found by name or by pid file, by group",
    attributes=(s.GROUP,),
    prometheus="task_worker_process_memory_usage_bytes",
)
WORKER_PROCESS_METRICS: Final = (WORKER_PROCESSES, WORKER_CPU_TIME, WORKER_MEMORY)
"""What the sidecar finds by itself, whatever is followed; all other metrics of tasks are of a database of theirs."""
