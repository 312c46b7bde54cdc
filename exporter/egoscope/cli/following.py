"""What the user named to be followed, and what is in the way of it, in the words of `egoscope doctor`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from egoscope.doctor.databases import check_databases
from egoscope.doctor.finding import Finding, Mark
from egoscope.doctor.places import check_places, check_problems
from egoscope.errors import EgoscopeError
from egoscope.feeds import NO_KEY, build_row_format, database_patterns
from egoscope.sources.discovery import Discovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from egoscope.config import Settings

LOOK_AGAIN_S: Final = 5.0


def named_logs(settings: Settings) -> tuple[str, ...]:
    """Return where the user said that ego-mcp logs; nothing where only its default is left."""
    named = bool(settings.log_path) or "log_dir" in settings.model_fields_set
    return settings.patterns if named else ()


def hindrances(settings: Settings) -> list[str]:
    """Return a sentence for each place that was named and is not read: what is wrong there, or not there yet."""
    found = [*_of_logs(settings), *_of_databases(settings)]
    return [one.sentence if one.subject in one.sentence else f"{one.subject}: {one.sentence}" for one in found]


def _of_logs(settings: Settings) -> Iterator[Finding]:
    for pattern in named_logs(settings):
        survey = Discovery([pattern]).look()
        problems = check_problems(survey.problems)
        if survey.files:
            yield from (one for one in problems if one.mark is Mark.FAIL)
        else:
            yield from problems
            yield from check_places([pattern], time.time())


def _of_databases(settings: Settings) -> Iterator[Finding]:
    for source, patterns in database_patterns(settings).items():
        if not patterns:
            continue
        try:
            row_format = build_row_format(source, settings, NO_KEY)
            found = list(check_databases(f"EGOSCOPE_{source.upper()}_PATH", patterns, row_format, time.time()))
        except (EgoscopeError, OSError):
            continue  # a policy or a price list: who follows it says so
        one_is_read = any(one.mark is Mark.OK for one in found)
        yield from (one for one in found if one.mark is Mark.FAIL or (one.mark is Mark.SKIP and not one_is_read))


class Hindrances:
    """What is in the way, looked at again as long as something is."""

    def __init__(self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Look for the first time."""
        self._settings, self._monotonic = settings, monotonic
        self._found, self._looked_s = tuple(hindrances(settings)), monotonic()

    def __call__(self) -> tuple[str, ...]:
        """Return the sentences of `hindrances`, at most some seconds old where there are any."""
        if self._found and self._monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._found, self._looked_s = tuple(hindrances(self._settings)), self._monotonic()
        return self._found


def nothing_hinders() -> tuple[str, ...]:
    """Return nothing: of servers, and of a demo, nobody named a place."""
    return ()
