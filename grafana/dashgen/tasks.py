"""Tasks and workers: of which metrics and lines they are, and what is asked of them more than once. For workers.py.

A database is an instance. Two machines can have a worker of the same name: both are shown, with the name of the machine
where it has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashgen import frame
from dashgen.queries import DATABASE, HOST, counted, label, of
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import QueryVariable

    from egoscope.convert.catalogue import Metric

SERVICE: Final = "koubou"
JOB: Final = f'job="{SERVICE}"'
SETTING: Final = "EGOSCOPE_KOUBOU_PATH"
EMPTY: Final = f"nothing in this time: choose a longer one; where nothing was ever read, set {SETTING}"
LOGGER: Final = f"{SERVICE}.tasks"
WORKERS_LOGGER: Final = f"{SERVICE}.workers"

THERE_OF_HOST: Final = "host:task_workers_there:sum"
EXPECTED_OF_HOST: Final = "host:task_workers_expected:sum"
"""Both recorded, for an alert: prometheus/rules/tasks.yml."""

OLD_S: Final = 3600
"""A task that waits, or is in progress, for longer is too old: prometheus/rules/tasks.yml has the same."""

PENDING: Final = f'{s.STATE}="pending"'
TAKEN: Final = f'{s.STATE}=~"in_progress|processing"'
WELL: Final = f'{s.LABEL_OUTCOME}="ok"'
ERRED: Final = f'{s.LABEL_OUTCOME}="error"'
GIVEN_UP: Final = f'{s.LABEL_OUTCOME}="cancelled"'
DONE: Final = f'{s.LABEL_OUTCOME}!="cancelled"'
"""What went well or failed: somebody who changes their mind makes nothing better or worse."""
NAMED: Final = f"{{{{{s.WORKER}}}}} {{{{{label(s.HOST_NAME)}}}}}"
"""A legend: a worker, and its machine where that has a name."""
ONE_WORKER: Final = f"{label(s.HOST_NAME)}, instance, {s.WORKER}"

TASK_OF: Final = label(s.TASK_ID)
WORKER_OF: Final = label(s.TASK_WORKER)
STATE_OF: Final = label(s.TASK_WORKER_STATE)
OUTCOME_OF: Final = label(s.TASK_OUTCOME)
PRIORITY_OF: Final = label(s.TASK_PRIORITY)
STREAMS: Final = f'{{{label(s.SERVICE_NAME)}="{SERVICE}", {label(s.SERVICE_INSTANCE_ID)}=~"$database"}} | {HOST}'
TASK_LINES: Final = f'{STREAMS} | {label(s.LOGGER)}="{LOGGER}"'
WORKER_LINES: Final = f'{STREAMS} | {label(s.LOGGER)}="{WORKERS_LOGGER}"'


def told(metric: Metric | str, *matchers: str) -> str:
    """Return the selector of a metric of tasks or workers, as chosen at the top."""
    return of(metric, DATABASE, *matchers)


def ended(*matchers: str, by: str = "", window: str = "$__range") -> str:
    """Return how many tasks ended, exactly."""
    return counted(told(c.TASKS_ENDED, *matchers), window, by=by)


def age(*matchers: str) -> str:
    """Return for how long the oldest task has been in its state, in seconds; nothing where none is."""
    return f"time() - min({told(c.TASKS_OLDEST, *matchers)} > 0)"


def there(state: str = "idle|busy") -> str:
    """Return how many workers are in a state."""
    selector = told(c.WORKERS, f'{s.STATE}=~"{state}"')
    return f"sum({selector})"


def expected() -> str:
    """Return how many workers there should be, as the alert counts them."""
    return f"sum({of(EXPECTED_OF_HOST, HOST)})"


def missing() -> str:
    """Return the machines, by name, on which fewer workers are there than there should be: those of the alert."""
    return f"{of(THERE_OF_HOST, HOST)} < {EXPECTED_OF_HOST}"


def silent() -> str:
    """Return the machines whose databases were heard of within a week and are not now."""
    host, newest = label(s.HOST_NAME), told(c.AGENT_LAST_EVENT, JOB)
    return f"max by ({host}) (last_over_time({newest}[7d])) unless max by ({host}) ({told(c.TASKS_STORED)})"


def variables() -> list[QueryVariable]:
    """Return what can be chosen at the top."""
    known = f"label_values({of(c.AGENT_LAST_EVENT, JOB, HOST)}, instance)"
    return [frame.host(), frame.chosen_from("database", "Database", "Every database is an instance", known)]
