"""When the alerts about tasks and workers fire, and when not. Time begins at 0."""

from __future__ import annotations

from typing import Final

from tests.rules.promtool import Case

HOST: Final = 'host_name="h"'
DATABASE: Final = f'job="koubou",instance="k",{HOST}'
SIDECAR: Final = f'job="egoscope",instance="s",{HOST}'
EXPECTED: Final = f"egoscope_workers_expected{{{SIDECAR}}}"
LAG: Final = f"egoscope_lag_time_seconds{{{SIDECAR}}}"
ALIVE: Final = f'task_worker_processes{{{SIDECAR},group="w",state="alive"}}'
UNHEALTHY: Final = ALIVE.replace("alive", "unhealthy")
FAILED_OF_HOST: Final = {"job": "koubou", "host_name": "h"}


def workers(state: str, database: str = DATABASE) -> str:
    """Return the series of Koubou's workers in a state."""
    return f'task_workers{{{database},state="{state}"}}'


def ended(outcome: str, instance: str = "k") -> str:
    """Return the series of tasks that ended so."""
    return f'task_ended_total{{job="koubou",instance="{instance}",{HOST},priority="5",outcome="{outcome}"}}'


def waiting(priority: int = 5) -> str:
    """Return the series of tasks that wait."""
    return f'task_open{{{DATABASE},state="pending",priority="{priority}"}}'


def oldest(state: str) -> str:
    """Return the series of since when the oldest is in a state."""
    return f'task_open_oldest_seconds{{{DATABASE},state="{state}"}}'


def nameless(series: str) -> str:
    """Return the series as of a machine that was not named."""
    return series.replace(f",{HOST}", "")


WORKERS: Final = (
    Case(
        id="workers: two of three, over when the third is back",
        alert="WorkersMissing",
        series={EXPECTED: "3x60", workers("idle"): "1x10 0x20 1x30", workers("busy"): "2x60", LAG: "0x60"},
        fires={"14m": "h: 2 of 3 expected workers are there"},
        silent=("10m", "12m", "34m"),
        labels={"host_name": "h"},
    ),
    Case(
        id="workers: as many as expected, Koubou's and other programs' added",
        alert="WorkersMissing",
        series={EXPECTED: "3x60", workers("idle"): "0x60", workers("busy"): "1x60", ALIVE: "2x60", UNHEALTHY: "1x60"},
        silent=("5m", "30m", "60m"),
    ),
    Case(
        id="workers: one that is lost, offline or unhealthy is not there",
        alert="WorkersMissing",
        series={
            EXPECTED: "3x60",
            workers("idle"): "1x60",
            workers("busy"): "0x60",
            workers("lost"): "1x60",
            workers("offline"): "5x60",
            ALIVE: "1x60",
            UNHEALTHY: "4x60",
        },
        fires={"5m": "h: 2 of 3 expected workers are there", "60m": "h: 2 of 3 expected workers are there"},
        labels={"host_name": "h"},
    ),
    Case(
        id="workers: processes alone, without any of Koubou's; the machine has no name",
        alert="WorkersMissing",
        series={nameless(EXPECTED): "2x60", nameless(ALIVE): "2x20 1x10 2x30"},
        fires={"24m": "1 of 2 expected workers are there"},
        silent=("10m", "20m", "33m"),
    ),
    Case(
        id="workers: of a database that is not heard of any more none is there, for six hours",
        alert="WorkersMissing",
        series={EXPECTED: "3x500", workers("idle"): "3x20 _x480", LAG: "0x500"},
        fires={
            "40m": "h: 0 of 3 expected workers are there",
            "370m": "h: 0 of 3 expected workers are there",
        },
        silent=("30m", "385m", "500m"),
        labels={"host_name": "h"},
    ),
    Case(
        id="workers: a Koubou that was never heard of is not missed, and when it comes it is",
        alert="WorkersMissing",
        series={EXPECTED: "3x60", workers("idle"): "_x20 0x40", LAG: "0x60"},
        fires={"24m": "h: 0 of 3 expected workers are there"},
        silent=("5m", "20m"),
        labels={"host_name": "h"},
    ),
    Case(
        id="workers: where the sidecar begins before they were looked at, after hours",
        alert="WorkersMissing",
        series={EXPECTED: "3x20 _x60 3x30", workers("idle"): "3x20 _x61 3x30", LAG: "0x20 _x60 0x30"},
        silent=("30m", "60m", "80m", "81m", "82m", "83m", "90m"),
    ),
    Case(
        id="workers: none is expected, or nobody said how many",
        alert="WorkersMissing",
        series={EXPECTED: "0x60", nameless(workers("idle")): "0x60", nameless(ALIVE): "0x60"},
        silent=("5m", "30m", "60m"),
    ),
    Case(
        id="workers: a sidecar that is gone is no worker that is",
        alert="WorkersMissing",
        series={EXPECTED: "3x20 _x40", workers("idle"): "3x20 _x40", LAG: "0x20 _x40"},
        silent=("20m", "24m", "28m", "34m", "36m", "45m"),
    ),
    Case(
        id="workers: missing as long as the sidecar is not told to be gone, and not for ever",
        alert="WorkersMissing",
        series={EXPECTED: "3x20 _x40", workers("idle"): "2x20 _x40", LAG: "0x20 _x40"},
        fires={"20m": "h: 2 of 3 expected workers are there", "33m": "h: 2 of 3 expected workers are there"},
        silent=("36m", "60m"),
        labels={"host_name": "h"},
    ),
    Case(
        id="workers: what was not heard of is as it was while the sidecar is late",
        alert="WorkersMissing",
        series={EXPECTED: "3x120", workers("idle"): "3x20 _x60 3x40", LAG: "0x20 60+60x59 0x40"},
        silent=("25m", "40m", "60m", "79m", "90m"),
    ),
    Case(
        id="workers: a sidecar with a new key or a new state expects no more of them",
        alert="WorkersMissing",
        series={
            EXPECTED: "3x20 _x40",
            EXPECTED.replace('"s"', '"t"'): "_x20 3x40",
            workers("idle"): "3x60",
            LAG: "0x20 _x40",
            LAG.replace('"s"', '"t"'): "_x20 0x40",
        },
        silent=("21m", "23m", "25m", "30m", "34m", "37m", "60m"),
    ),
    Case(
        id="workers: of two sidecars of a machine that both tell, what both expect",
        alert="WorkersMissing",
        series={EXPECTED: "2x30", EXPECTED.replace('"s"', '"t"'): "2x30", workers("idle"): "3x30", LAG: "0x30"},
        fires={"10m": "h: 3 of 4 expected workers are there"},
        labels={"host_name": "h"},
    ),
    Case(
        id="workers: a restart of all of them, over within two minutes",
        alert="WorkersMissing",
        series={EXPECTED: "3x60", workers("idle"): "3x10 0 1 3x40", LAG: "0x60"},
        silent=("10m", "11m", "12m", "13m", "14m"),
    ),
    Case(
        id="workers: those of one machine do not stand in for another's",
        alert="WorkersMissing",
        series={
            EXPECTED: "3x30",
            workers("idle"): "2x30",
            EXPECTED.replace('"h"', '"i"').replace('"s"', '"t"'): "3x30",
            workers("idle").replace('"h"', '"i"').replace('"k"', '"l"'): "9x30",
        },
        fires={"10m": "h: 2 of 3 expected workers are there"},
        labels={"host_name": "h"},
    ),
    Case(
        id="lost: two workers without a heartbeat, over when they are cleaned up",
        alert="WorkerLost",
        series={workers("lost"): "0x10 2x20 0x30"},
        fires={"12m": "h: 2 workers of koubou lost: no heartbeat"},
        silent=("10m", "33m"),
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="lost: one, in two databases together; the machine has no name",
        alert="WorkerLost",
        series={
            nameless(workers("lost")): "1x20 0x20",
            nameless(workers("lost")).replace('"k"', '"l"'): "0x40",
        },
        fires={"12m": "1 worker of koubou lost: no heartbeat"},
        silent=("30m",),
        labels={"job": "koubou"},
    ),
    Case(
        id="lost: none; one that is offline said so",
        alert="WorkerLost",
        series={workers("lost"): "0x60", workers("offline"): "2x60"},
        silent=("5m", "60m"),
    ),
    Case(
        id="lost: as long as the sidecar is not told to be gone, and not for ever",
        alert="WorkerLost",
        series={workers("lost"): "1x20 _x60"},
        fires={"33m": "h: 1 worker of koubou lost: no heartbeat"},
        silent=("36m", "70m"),
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="unhealthy: one process of a group, over when it is well",
        alert="WorkerProcessUnhealthy",
        series={ALIVE: "2x60", UNHEALTHY: "0x10 1x20 0x30"},
        fires={"13m": "h: 1 unhealthy process in group w"},
        silent=("10m", "12m", "33m"),
        labels={"host_name": "h", "group": "w"},
    ),
    Case(
        id="unhealthy: one that is just ending, and none",
        alert="WorkerProcessUnhealthy",
        series={UNHEALTHY: "0x10 1 0x50", UNHEALTHY.replace('"w"', '"v"'): "0x60"},
        silent=("11m", "12m", "13m", "60m"),
    ),
)

TASKS: Final = (
    Case(
        id="failures: a quarter, over when they are out of the hour",
        alert="TaskFailureRate",
        series={ended("ok"): "0+3x60 180+4x120", ended("error"): "0+1x60 60x120"},
        fires={"40m": "h: 25% of the tasks of koubou of the last hour failed"},
        silent=("2m", "130m"),
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="failures: a fifth is not yet more than a fifth",
        alert="TaskFailureRate",
        series={ended("ok"): "0+4x90", ended("error"): "0+1x90"},
        silent=("30m", "60m", "90m"),
    ),
    Case(
        id="failures: nine are too few to say",
        alert="TaskFailureRate",
        series={ended("error"): "0+1x9 9x60"},
        silent=("9m", "20m", "60m"),
    ),
    Case(
        id="failures: what was cancelled is neither; the machine has no name",
        alert="TaskFailureRate",
        series={
            nameless(ended("ok")): "0+3x60",
            nameless(ended("error")): "0+1x60",
            nameless(ended("cancelled")): "0+9x60",
        },
        fires={"40m": "25% of the tasks of koubou of the last hour failed"},
        labels={"job": "koubou"},
    ),
    Case(
        id="failures: a gap of the pipeline neither ends nor makes it",
        alert="TaskFailureRate",
        series={ended("ok"): "0+3x40 _x9 150+3x40", ended("error"): "0+1x40 _x9 50+1x40"},
        fires={
            "42m": "h: 25% of the tasks of koubou of the last hour failed",
            "60m": "h: 25% of the tasks of koubou of the last hour failed",
        },
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="failures: it goes on in the next database",
        alert="TaskFailureRate",
        series={
            ended("ok"): "0+3x20 stale",
            ended("error"): "0+1x20 stale",
            ended("ok", "l"): "_x20 0+3x30",
            ended("error", "l"): "_x20 0+1x30",
        },
        fires={"45m": "h: 25% of the tasks of koubou of the last hour failed"},
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="queue: two priorities that grow together, over some twenty minutes after it stopped",
        alert="QueueGrowing",
        series={waiting(5): "5x10 5+1x40 45x60", waiting(1): "3x110"},
        fires={"44m": "h: 41 tasks of koubou wait, and it grows", "50m": "h: 47 tasks of koubou wait, and it grows"},
        silent=("10m", "30m", "75m", "100m"),
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="queue: it is seen to grow for ten minutes after it stopped, and kept for ten more",
        alert="QueueGrowing",
        series={waiting(): "8x10 8+1x40 48x60"},
        fires={"68m": "h: 48 tasks of koubou wait, and it grows"},
        silent=("71m", "100m"),
        labels=FAILED_OF_HOST,
        kept_since="59m",
    ),
    Case(
        id="queue: twenty are not yet more than twenty",
        alert="QueueGrowing",
        series={waiting(): "0+0.25x80 20x30"},
        silent=("40m", "80m", "81m", "100m"),
    ),
    Case(
        id="queue: a batch that is worked off",
        alert="QueueGrowing",
        series={waiting(): "0x30 500-5x99 0x20"},
        silent=("31m", "35m", "45m", "60m", "100m"),
    ),
    Case(
        id="queue: a batch that nobody works off grew once",
        alert="QueueGrowing",
        series={waiting(): "0x30 500x90"},
        silent=("31m", "35m", "45m", "60m", "100m"),
    ),
    Case(
        id="queue: two batches, and rest in between",
        alert="QueueGrowing",
        series={waiting(): "0x20 100x19 200x60"},
        silent=("43m", "45m", "47m", "49m", "55m"),
    ),
    Case(
        id="queue: a sidecar that is away makes none grow",
        alert="QueueGrowing",
        series={waiting(): "50x30 _x20 90x60"},
        silent=("35m", "51m", "60m", "75m", "100m"),
    ),
    Case(
        id="oldest: it waits for over an hour, until it is taken up",
        alert="OldestTaskTooOld",
        series={oldest("pending"): "0x5 300x70 0x30"},
        fires={
            "68m": "h: a task of koubou has been waiting for 1h 3m 0s",
            "75m": "h: a task of koubou has been waiting for 1h 10m 0s",
        },
        silent=("30m", "65m", "77m"),
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="oldest: an hour is not yet more than an hour, and none that waits is no age",
        alert="OldestTaskTooOld",
        series={oldest("pending"): "0x5 300x60 0x60", nameless(oldest("pending")): "0x120"},
        silent=("60m", "65m", "66m", "67m", "120m"),
    ),
    Case(
        id="oldest: nobody waits longer because the sidecar is away",
        alert="OldestTaskTooOld",
        series={oldest("pending"): "0x5 300x58 _x60"},
        silent=("60m", "63m", "66m", "68m", "75m", "90m"),
    ),
    Case(
        id="oldest: as long as the sidecar is not told to be gone, and not for ever",
        alert="OldestTaskTooOld",
        series={oldest("pending"): "0x5 300x65 _x60"},
        fires={"84m": "h: a task of koubou has been waiting for 1h 6m 0s"},
        silent=("90m", "120m"),
        labels=FAILED_OF_HOST,
    ),
    Case(
        id="stuck: in the hands of a worker for over an hour, until it ends",
        alert="TaskStuck",
        series={oldest("in_progress"): "0x5 300x70 0x30", oldest("processing"): "0x105", oldest("pending"): "1x105"},
        fires={"68m": "h: a task of koubou has been in progress for 1h 3m 0s"},
        silent=("30m", "65m", "77m"),
        labels=FAILED_OF_HOST,
        which={"because": "it does not end"},
    ),
    Case(
        id="stuck: `processing` is in the hands of a worker too; the machine has no name",
        alert="TaskStuck",
        series={nameless(oldest("processing")): "0x5 300x70 0x30", nameless(oldest("in_progress")): "0x105"},
        fires={"68m": "a task of koubou has been in progress for 1h 3m 0s"},
        silent=("77m",),
        labels={"job": "koubou"},
    ),
    Case(
        id="stuck: one that waits is not, nor is one of an hour",
        alert="TaskStuck",
        series={oldest("pending"): "1x120", oldest("in_progress"): "0x5 300x60 0x60"},
        silent=("60m", "65m", "66m", "120m"),
    ),
    Case(
        id="stuck: a sidecar that is away makes none stuck that has ended",
        alert="TaskStuck",
        series={oldest("in_progress"): "0x5 300x58 _x12 0x40"},
        silent=("63m", "66m", "68m", "75m", "80m"),
    ),
)

CASES: Final = (*WORKERS, *TASKS)
