"""What a demo's Koubou is asked to do: who hands in which tasks, and when."""

from __future__ import annotations

import json
from heapq import merge
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from egoscope.demo import rhythm, words
from egoscope.demo.canaries import tokens
from egoscope.demo.settings import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from egoscope.demo.settings import DatabaseSettings


class Kind(NamedTuple):
    """A type of task: how often it is asked for, the median of how long it takes, and its usual priority."""

    share: int
    seconds: float
    priority: int


KINDS: Final = {
    "general": Kind(share=4, seconds=30.0, priority=5),
    "code": Kind(share=3, seconds=90.0, priority=6),
    "translation": Kind(share=2, seconds=18.0, priority=4),
    "analysis": Kind(share=1, seconds=150.0, priority=3),
}


class Secrets(msgspec.Struct, frozen=True):
    """Planted tokens by where they stand. `names`: in ids that somebody chose; `clients`: who created a task."""

    prompts: tuple[str, ...]
    results: tuple[str, ...]
    errors: tuple[str, ...]
    names: tuple[str, ...]
    clients: tuple[str, ...]


class Task(NamedTuple):
    """A task as it is handed in.

    `fate`: "" for a worker's; sync where the client does it itself, cancelled or raised where that is asked for while
    it waits.
    """

    us: int
    key: str
    content: str
    priority: int
    client: str
    fate: str = ""


class _Asked(msgspec.Struct, frozen=True):
    """What a worker reads of a task's content."""

    type: str = ""
    prompt: str = ""


class _Client(NamedTuple):
    """Who hands tasks in: a share of all tasks, so many at once, at these hours."""

    name: str
    share: float
    at_once: tuple[int, int]
    hours: tuple[float, ...]


_CLIENTS: Final = (
    _Client("cli", 0.35, (1, 1), rhythm.DAYTIME),
    _Client("mcp", 0.2, (1, 3), rhythm.DAYTIME),
    _Client("graphql", 0.35, (8, 36), rhythm.DAYTIME),
    _Client("nightly", 0.1, (20, 40), rhythm.NIGHTLY),
)


def plant(seed: int) -> Secrets:
    """Return the tokens of one seed; they depend on nothing else."""
    return Secrets(
        prompts=tokens(seed, "TASKPROMPT", 32),
        results=tokens(seed, "TASKRESULT", 32),
        errors=tokens(seed, "TASKERR", 8),
        names=tokens(seed, "TASKNAME", 8),
        clients=tokens(seed, "CLIENT", 4),
    )


def tasks(settings: DatabaseSettings) -> Iterator[Task]:
    """Yield what is handed in, for ever, in order of time."""
    return merge(*(_handed_in(client, settings) for client in _CLIENTS), key=attrgetter("us"))


def retry(task_id: str, content: str, priority: int, us: int) -> Task:
    """Return the task by which a failed one is tried again."""
    return Task(us, f"retry_{task_id}_{moment(us):%H%M%S}", content, priority, "retry")


def result(rng: Random, planted: Secrets, content: str, *, succeeded: bool) -> str:
    """Return a result as a worker writes it: the prompt is in it once more."""
    return json.dumps(
        {
            "success": succeeded,
            "output": f"{rng.choice(words.PHRASES)}: {rng.choice(planted.results)}" if succeeded else "",
            "error": None if succeeded else _error(rng, rng.choice(planted.errors)),
            "files_processed": rng.randrange(3),
            "output_file": None,
            "prompt": _asked(content).prompt,
        }
    )


def kind_of(content: str) -> Kind:
    """Return the type of a task; what is not a demo's counts as general."""
    return KINDS.get(_asked(content).type, KINDS["general"])


def _handed_in(client: _Client, settings: DatabaseSettings) -> Iterator[Task]:
    # Not for secrets: a demo has to be the same each time.
    rng = Random(f"{settings.seed}/{settings.start_us}/{client.name}")  # noqa: S311
    planted = plant(settings.seed)
    fewest, most = client.at_once
    us = 0
    for start_us in rhythm.starts(settings, rng, settings.per_hour * client.share * 2 / (fewest + most), client.hours):
        us = max(us + 1, start_us)
        kind = _kind(rng)
        # One who hands in many wants the same thing of many texts.
        for _ in range(rng.randint(fewest, most)):
            yield _task(client, rng, planted, us, kind)
            us += 2000 + rng.randrange(8000)


def _task(client: _Client, rng: Random, planted: Secrets, us: int, kind: str) -> Task:
    # Most ids are Koubou's own, of either spelling; a few were chosen by somebody, and say what they are about.
    if rng.random() < 0.01:
        key = f"{rng.choice(planted.names)} {moment(us):%m-%d %H:%M:%S.%f}"
    elif client.name == "mcp":
        key = f"task-{moment(us):%Y%m%d-%H%M%S}-{rng.getrandbits(32):08x}"
    else:
        key = f"task_{moment(us):%Y%m%d_%H%M%S_%f}"
    asked: dict[str, object] = {"type": kind, "prompt": f"{rng.choice(words.PHRASES)}: {rng.choice(planted.prompts)}"}
    if rng.random() < 0.2:
        asked["files"] = [f"notes/{rng.choice(planted.prompts)}.md"]
    content = json.dumps(asked, ensure_ascii=rng.random() < 0.5)
    # Somebody who waits for one thing is in more of a hurry than one who hands in thirty.
    hurry = 0 if client.at_once[1] > 3 else 1
    priority = min(10, max(1, KINDS[kind].priority + hurry + rng.choice((-2, -1, 0, 0, 0, 1, 2))))
    chance = rng.random()
    fate = ""
    if client.name == "mcp" and chance < 0.15:
        fate = "sync"
    elif chance > 0.97:
        fate = "cancelled" if chance > 0.985 else "raised"
    return Task(us, key, content, priority, rng.choice(planted.clients) if chance < 0.05 else client.name, fate)


def _asked(content: str) -> _Asked:
    try:
        return msgspec.json.decode(content, type=_Asked)
    except msgspec.DecodeError:
        return _Asked()


def _kind(rng: Random) -> str:
    return rng.choices(tuple(KINDS), [kind.share for kind in KINDS.values()])[0]


def _error(rng: Random, token: str) -> str:
    chance = rng.random()
    if chance < 0.5:
        return f"Gemini CLI failed: model answered nothing about {token!r}"
    if chance < 0.8:
        return f"Security validation failed: notes/{token}.md is outside of the workspace"
    return f"Task timed out after 600 seconds\nlast output: {token}"
