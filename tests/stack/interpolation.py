"""Fills in Grafana's variables as Grafana does, so that a query can be asked without it.

Models: Grafana 9.4, public/app/features/templating and the Prometheus, Loki and Tempo data sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tests.stack.panels import ALL, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.stack.panels import Query, Variable

SCRAPE_S: Final = 15.0
"""`timeInterval` of the Prometheus data source: no step is shorter, and $__rate_interval is four of it or more."""
_DAY_S: Final = 86_400.0
_STEPS_S: Final = (
    *(1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800),
)
_VARIABLE: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<form>\w+))?\}|\$(?P<plain>\w+)|\[\[(?P<square>\w+)\]\]")


def _alternatives(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"({'|'.join(values)})"


def _escaped(value: str) -> str:
    """Escape what stands in a quoted regular expression of PromQL or LogQL: a backslash is written twice."""
    return re.sub(r"([\\^$*+?.()|{}\[\]])", r"\\\\\1", value)


_FORMS: Final[Mapping[str, Callable[[Sequence[str]], str]]] = {
    "raw": ",".join,
    "csv": ",".join,
    "pipe": "|".join,
    "doublequote": lambda values: ",".join(f'"{one}"' for one in values),
    "regex": lambda values: _alternatives([re.escape(one) for one in values]),
    "glob": lambda values: values[0] if len(values) == 1 else "{" + ",".join(values) + "}",
    "query": lambda values: _alternatives([_escaped(one) for one in values]),
}


class UnknownVariableError(AssertionError):
    """A query uses a variable that its dashboard does not define."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at a dashboard: its time range (seconds since the epoch) and what is chosen at its top."""

    start_s: float
    end_s: float
    chosen: Mapping[str, str | Sequence[str]] = field(default_factory=dict[str, str])
    """Variable -> its value, or all its values where it can have more than one."""
    literal: frozenset[str] = frozenset()
    """Variables whose value stands for itself (an `allValue`), and is not escaped."""

    @property
    def range_s(self) -> float:
        """How long the range is."""
        return self.end_s - self.start_s

    def narrowed(self, query: Query) -> View:
        """Return the look that a panel with a range of its own has."""
        start, end = self.start_s, self.end_s
        if query.since == "now/d":
            start = end - end % _DAY_S
        elif query.since == "now/M":
            start = (
                datetime.fromtimestamp(end, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
            )
        elif query.since:
            start = end - seconds(query.since)
        if query.shift:
            back, _, whole_days = query.shift.partition("/")
            start, end = start - seconds(back), end - seconds(back)
            if whole_days:
                start, end = start - start % _DAY_S, end - end % _DAY_S + _DAY_S
        return replace(self, start_s=start, end_s=end)

    def step_s(self, query: Query) -> float:
        """Return the seconds between two points, as Grafana rounds them."""
        wanted = self.range_s / query.points
        # Grafana takes the step that is nearer, measured from half-way between two.
        rounded = next((low for low, high in pairwise(_STEPS_S) if wanted < (low + high) / 2), _STEPS_S[-1])
        return max(rounded, query.least_step_s or (SCRAPE_S if query.source == "prometheus" else 1.0))

    def filled(self, query: Query) -> str:
        """Return the query's text with every variable filled in."""
        step = self.step_s(query)
        own = self._built_in(step)

        def fill(found: re.Match[str]) -> str:
            name = found["braced"] or found["plain"] or found["square"]
            if name in own:
                return own[name]
            if name.isdigit():  # a group of a regular expression
                return found[0]
            if name not in self.chosen:
                raise UnknownVariableError(f"{query.what}: ${name} is not defined")
            return self._form(name, found["form"] or ("glob" if query.source == "tempo" else "query"))

        return _VARIABLE.sub(fill, query.text)

    def _built_in(self, step_s: float) -> dict[str, str]:
        range_s = round(self.range_s)
        rate_s = max(step_s + SCRAPE_S, 4 * SCRAPE_S)
        return {
            "__interval": f"{step_s:g}s",
            "__interval_ms": f"{step_s * 1000:.0f}",
            "__rate_interval": f"{rate_s:g}s",
            "__range": f"{range_s}s",
            "__range_s": f"{range_s}",
            "__range_ms": f"{range_s * 1000}",
            "__from": f"{self.start_s * 1000:.0f}",
            "__to": f"{self.end_s * 1000:.0f}",
        }

    def _form(self, name: str, form: str) -> str:
        value = self.chosen[name]
        if name in self.literal:
            return str(value)
        values: Sequence[str] = [value] if isinstance(value, str) else list(value)
        if form == "query" and isinstance(value, str):
            return value.replace("\\", "\\\\").replace('"', '\\"')
        if form not in _FORMS:
            raise UnknownVariableError(f"${{{name}:{form}}}: this form is not known here")
        return _FORMS[form](values)


def view(start_s: float, end_s: float, variables: Sequence[Variable], found: Mapping[str, Sequence[str]]) -> View:
    """Return the look at a dashboard as it opens. `found`: the values that each query variable's question gave."""
    chosen: dict[str, str | Sequence[str]] = {}
    literal: set[str] = set()
    for variable in variables:
        value = variable.value
        if value == ALL:
            if every := variable.json.get("allValue"):
                value = str(every)
                literal.add(variable.name)
            else:
                value = list(found.get(variable.name) or ())
        elif (offered := found.get(variable.name)) and value not in offered:
            value = offered[0]  # what was chosen when the file was made is not there any more
        chosen[variable.name] = value
    return View(start_s=start_s, end_s=end_s, chosen=chosen, literal=frozenset(literal))
