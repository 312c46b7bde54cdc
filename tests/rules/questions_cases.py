"""What panels answer where there is more than one machine or log file, or one is silent. Time begins at 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.stack.questions import asked, column, looked, named, titled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stack.panels import Query

VERDICT: Final = "Does it get done?"
STATES: Final = ("idle", "busy", "lost", "offline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A panel's question, asked at `at` of the hour before, and its answers: labels to value.

    `says`: instead of a number, the word that the panel has for it. `legend` or `heading`: which of its questions.
    """

    id: str
    series: Mapping[str, str]
    dashboard: str = "workers"
    panel: str = VERDICT
    legend: str = ""
    heading: str = ""
    at_s: int = 3600
    says: str = ""
    answers: Mapping[str, float] = field(default_factory=dict[str, float])
    host: str = ""
    every: str = "1m"

    @property
    def query(self) -> Query:
        """The question."""
        dashboard = named(self.dashboard)
        if self.heading:
            return column(dashboard, self.panel, self.heading)
        return asked(dashboard, self.panel, self.legend)

    @property
    def text(self) -> str:
        """The question with the choices at the top filled in."""
        return looked(named(self.dashboard), self.at_s, 3600, host=self.host).filled(self.query)

    @property
    def expected(self) -> Mapping[str, float]:
        """Labels to value, in numbers alone."""
        if not self.says:
            return self.answers
        (words,) = titled(named(self.dashboard), self.panel).defaults["mappings"]
        (number,) = (value for value, shown in words["options"].items() if shown["text"] == self.says)
        return {"{}": float(number)}


def of(labels: str, host: str = "") -> str:
    """Return labels, with that of a machine where it has a name."""
    return f'{labels},host_name="{host}"' if host else labels


def koubou(host: str = "", *, idle: str = "_", busy: str = "_", instance: str = "k") -> dict[str, str]:
    """Return what is told of a database: its workers that are idle or busy, and as many tasks in progress."""
    labels = of(f'job="koubou",instance="{instance}{host}"', host)
    told = busy if idle == "_" else idle
    times = told.partition("x")[2]
    return {
        f'task_workers{{{labels},state="idle"}}': idle,
        f'task_workers{{{labels},state="busy"}}': busy,
        f'task_open{{{labels},state="in_progress",priority="5"}}': busy,
        f'task_stored{{{labels},state="completed"}}': told,
        # It stays what it was, and so does nothing where nothing is told.
        f"agent_last_event_time_seconds{{{labels}}}": f"1x{times}",
    }


def sidecar(host: str = "", *, expected: str, instance: str = "s") -> dict[str, str]:
    """Return what a sidecar tells of itself."""
    labels = of(f'job="egoscope",instance="{instance}{host}"', host)
    return {
        f"egoscope_workers_expected{{{labels}}}": expected,
        f"egoscope_lag_time_seconds{{{labels}}}": "0x" + expected.partition("x")[2],
    }


def worker(host: str = "", *, name: str = "worker_0", **states: str) -> dict[str, str]:
    """Return a worker's states: 1 in the one it is in."""
    labels = of(f'job="koubou",instance="k{host}",worker="{name}"', host)
    return {f'task_worker_state{{{labels},state="{state}"}}': states.get(state, "0x60") for state in STATES}


VERDICTS: Final = (
    Question(
        id="verdict: of two machines one has too few workers, however many the other has",
        series={
            **koubou("a", idle="5x60"),
            **sidecar("a", expected="3x60"),
            **koubou("b", idle="1x60"),
            **sidecar("b", expected="3x60"),
        },
        says="too few workers",
    ),
    Question(
        id="verdict: the machine that has enough, alone",
        series={
            **koubou("a", idle="5x60"),
            **sidecar("a", expected="3x60"),
            **koubou("b", idle="1x60"),
            **sidecar("b", expected="3x60"),
        },
        host="a",
        says="idle",
    ),
    Question(
        id="verdict: two sidecars under one name, or none, expect as many as both say",
        series={
            **koubou(idle="4x60"),
            **sidecar(expected="3x60"),
            **sidecar(expected="3x60", instance="other"),
        },
        says="too few workers",
    ),
    Question(
        id="verdict: of a database that is not heard of any more no worker is there, as the alert has it",
        series={**koubou("h", idle="3x20"), **sidecar("h", expected="3x60")},
        says="too few workers",
    ),
    Question(
        id="verdict: whoever expects none does not hear of its database",
        series={**koubou("h", idle="0x20"), **sidecar("h", expected="0x60")},
        says="not heard of",
    ),
    Question(
        id="verdict: a sidecar that is away is not idle, for days",
        series={**koubou("h", idle="3x20"), **sidecar("h", expected="3x20")},
        at_s=5 * 86_400,
        says="not heard of",
    ),
    Question(
        id="verdict: one of two machines is not heard of, the other is idle",
        series={
            **koubou("a", idle="3x60"),
            **sidecar("a", expected="3x60"),
            **koubou("b", idle="3x20"),
            **sidecar("b", expected="3x20"),
        },
        says="not heard of",
    ),
    Question(
        id="verdict: the machine that is heard of, alone",
        series={
            **koubou("a", idle="3x60"),
            **sidecar("a", expected="3x60"),
            **koubou("b", idle="3x20"),
            **sidecar("b", expected="3x20"),
        },
        host="a",
        says="idle",
    ),
    Question(
        id="verdict: one of two machines is not heard of, the other is at work",
        series={
            **koubou("a", idle="2x60", busy="1x60"),
            **sidecar("a", expected="3x60"),
            **koubou("b", idle="3x20"),
            **sidecar("b", expected="3x20"),
        },
        says="at work",
    ),
    Question(
        id="verdict: another database before, on the same machine, is not missed",
        series={
            **koubou("h", idle="3x20", instance="before"),
            **koubou("h", idle="3x60"),
            **sidecar("h", expected="3x60"),
        },
        says="idle",
    ),
    Question(id="verdict: nothing was ever heard of", series=sidecar(expected="0x60"), says="none yet"),
)

PANELS: Final = (
    Question(
        id="worker processes: two sidecars under no name expect as many as both say",
        panel="Worker processes",
        legend="expected",
        series={**sidecar(expected="3x60"), **sidecar(expected="3x60", instance="other")},
        answers={"{}": 6},
    ),
    Question(
        id="each worker: of one name on two machines they are two, each as busy as it was",
        panel="Each worker",
        heading="Busy",
        series={**worker("a", busy="1x60"), **worker("b", idle="1x60")},
        answers={
            '{instance="ka", worker="worker_0", host_name="a"}': 1,
            '{instance="kb", worker="worker_0", host_name="b"}': 0,
        },
    ),
    Question(
        id="each worker: tasks are counted for each machine",
        panel="Each worker",
        heading="Ended",
        series={
            **worker("a", busy="1x60"),
            **worker("b", idle="1x60"),
            'task_worker_tasks_total{instance="ka",worker="worker_0",host_name="a",outcome="ok"}': "0 3x59",
        },
        answers={
            '{instance="ka", worker="worker_0", host_name="a"}': 3,
            '{instance="kb", worker="worker_0", host_name="b"}': 0,
        },
    ),
    Question(
        id="each worker: one that was busy for ten minutes and then deleted was busy for all of its time",
        panel="Each worker",
        heading="Busy",
        series=worker("h", busy="1x9 0x50"),
        answers={'{instance="kh", worker="worker_0", host_name="h"}': 1},
    ),
    Question(
        id="each worker: one that was deleted before has no row",
        panel="Each worker",
        heading="Ended",
        series=worker("h"),
    ),
    Question(
        id="each worker: a quarter of its time",
        panel="Each worker",
        heading="Busy",
        series=worker(busy="0x44 1x15", idle="1x44 0x15"),
        at_s=3585,
        answers={'{instance="k", worker="worker_0"}': 0.25},
    ),
    Question(
        id="load: beside each machine's stand its own processors",
        dashboard="host",
        panel="Load",
        legend="{{instance}} processors",
        series={
            f'system_cpu_logical_count{{job="host",instance="{host}",host_name="{host}"}}': f"{count}x60"
            for host, count in (("a", 4), ("b", 8))
        },
        answers={'{instance="a"}': 4, '{instance="b"}': 8},
    ),
)


def felt(instance: str, *, emotion: str = "", heard: str) -> dict[str, str]:
    """Return what is told of a log file whose newest event was at `heard`, and of what is felt there, if anything."""
    labels = f'job="ego-mcp",instance="{instance}"'
    event = {f"ego_last_event_time_seconds{{{labels}}}": heard}
    if not emotion:
        return event
    others = {
        f'ego_state{{{labels},parameter="emotion_primary",value="{value}"}}': f"{int(value == emotion)}x60"
        for value in ("calm", "curious")
    }
    return {**event, **others, f"ego_emotion_intensity_ratio{{{labels}}}": f"{0.25 if emotion == 'calm' else 0.75}x60"}


BEFORE: Final = felt("before", emotion="calm", heard="1x60")
FEELINGS: Final = (
    Question(
        id="feeling: of two log files the one that was written last says it",
        dashboard="now",
        panel="How does it feel?",
        legend="{{value}}",
        series={**BEFORE, **felt("today", emotion="curious", heard="_x59 3500")},
        answers={'{value="curious"}': 1},
    ),
    Question(
        id="feeling: it lasts while a new day's log file knows of none as yet",
        dashboard="now",
        panel="How does it feel?",
        legend="{{value}}",
        series={**BEFORE, **felt("today", heard="_x59 3500")},
        answers={'{value="calm"}': 1},
    ),
    Question(
        id="intensity: it lasts while a new day's log file knows of none as yet",
        dashboard="now",
        panel="Intensity",
        series={**BEFORE, **felt("today", heard="_x59 3500")},
        answers={"{}": 0.25},
    ),
)

QUESTIONS: Final = (*VERDICTS, *PANELS, *FEELINGS)
