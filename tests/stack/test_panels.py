"""Every question that the committed dashboards ask, asked of the real servers, filled with a week of the demo's life.

A dashboard that is opened asks all its questions at once, and people wait: each must be answered within LIMIT_S on a
machine that has other work to do, and with data. What is empty while all is well gets some trouble to show first. On a
slow machine that is over when the last questions about a quarter of an hour are asked: they are asked as of then, too.
"""

from __future__ import annotations

import functools
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from tests.stack.conftest import missing
from tests.stack.filled import filled
from tests.stack.interpolation import view
from tests.stack.panels import dashboards, target_of_link
from tests.stack.query_names import named_in
from tests.stack.servers import MissingServerError, get_json
from tests.stack.trouble import make_trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.stack.filled import Filled
    from tests.stack.interpolation import View
    from tests.stack.panels import Dashboard, Query
    from tests.stack.processes import Way

LIMIT_S: Final = 30.0
"""For one answer, on two slow, shared cores. What a quiet machine takes is printed and far below."""
TURNS: Final = 3
"""A machine that was busy with something else is asked again: the quickest answer counts."""
RANGES: Final = {"15m": 900.0, "24h": 86_400.0, "7d": 604_800.0}
# Empty by their nature, though everything works; each with the reason why nothing can be made to stand there.
MAY_BE_EMPTY: Final[Mapping[str, str]] = {
    "tempo_discarded_spans_total": "told only after Tempo has dropped a span, which its limits never make it do",
    "loki_discarded_samples_total": "told only after Loki has dropped a line; what it refuses it refuses whole",
    "loki_compactor_apply_retention": "told only after Loki's first deletion, minutes after its start",
    "predict_linear(egoscope_disk_free_bytes": "a trend is drawn only after half an hour",
    "anchored @ end())) <= ": "starts of the process are marked only over ranges in which they are few",
    "-deriv(egoscope_disk_free_bytes": "a disk that does not fill is never full",
    "system_paging_usage_bytes": "a machine without swap tells of none",
    '| task_outcome="error"': "in a quarter of an hour there may be no task that failed",
    "alertmanager_notifications": "no receiver is switched on here, so nothing is sent; test_alerting.py sends",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One question of one dashboard over one range."""

    dashboard: Dashboard
    query: Query
    range_name: str

    def __str__(self) -> str:
        return f"{self.dashboard.name} / {self.query.what} / {self.range_name}"


def cases() -> list[Case]:
    """Return every question of every dashboard over every range; the shortest first, while the trouble is in it."""
    return [Case(one, query, name) for name in RANGES for one in dashboards() for query in one.queries()]


class Asker:
    """Asks servers what Grafana would ask them, and tells how long each took."""

    def __init__(self, there: Filled) -> None:
        self.there = there
        self.troubled_s = time.time()
        """When there was trouble a moment ago."""
        self.took_s: dict[str, float] = {}
        self._values: dict[tuple[str, float, bool], list[str]] = {}

    def look(self, dashboard: Dashboard, range_s: float, end: float) -> View:
        """Return how the dashboard looks over a range until `end`, its variables found as Grafana finds them."""
        found: dict[str, list[str]] = {}
        looked = view(end - range_s, end, (), found)
        for number, variable in enumerate(dashboard.variables):
            if variable.text:
                (query,) = (one for one in dashboard.queries() if one.what == f"variable {variable.name}")
                text = looked.filled(query)
                key = (text, range_s, end == self.troubled_s)
                if key not in self._values:
                    answers = map(variable.matched, self.values(text, looked))
                    self._values[key] = [one for one in answers if one is not None]
                found[variable.name] = self._values[key]
            elif variable.name == "trace":
                found[variable.name] = [self.trace_id]  # as a link fills it in
            looked = view(end - range_s, end, dashboard.variables[: number + 1], found)
        return looked

    def excused(self, text: str) -> bool:
        """Whether what names this may be empty: by its nature, or for want of a Tempo that tells of itself."""
        return any(name in text for name in MAY_BE_EMPTY) or (self.there.tempo is None and "tempo" in text)

    @functools.cached_property
    def trace_id(self) -> str:
        """The id of a trace of the last minutes."""
        query = '{service_name="ego-mcp"} | ego_outcome="error"'
        lines = self.there.loki.entries(query, self.troubled_s - 900, time.time())
        return str(lines[-1].labels["trace_id"])

    def values(self, text: str, looked: View) -> list[str]:
        """Return the values of a variable."""
        api = f"{self.there.prometheus.url}/api/v1"
        if found := re.fullmatch(r"query_result\((.*)\)", text, re.DOTALL):
            answer = get_json(f"{api}/query", query=found[1], time=looked.end_s)
            return [_as_grafana_writes(one) for one in answer["data"]["result"]]
        found = re.fullmatch(r"label_values\((?:(.*),\s*)?(\w+)\)", text, re.DOTALL)
        assert found, f"no way to ask for {text}"
        narrowed = {"match[]": found[1]} if found[1] else {}
        times = {"start": looked.start_s, "end": looked.end_s}
        return get_json(f"{api}/label/{found[2]}/values", **times, **narrowed)["data"]

    def ask(self, query: Query, looked: View) -> list[Any]:
        """Return what there is as an answer: series that have numbers, log lines or traces."""
        looked = looked.narrowed(query)
        text = looked.filled(query)
        if query.kind == "variable":
            return self.values(text, looked)
        match query.source:
            case "prometheus":
                return _numbers(self._prometheus(text, query, looked)) + self._exemplars(text, query, looked)
            case "loki":
                return self._loki(text, query, looked)
            case "tempo":
                return self._tempo(text, query, looked)
            case other:
                pytest.fail(f"no way to ask {other}")

    def _prometheus(self, text: str, query: Query, looked: View) -> list[Any]:
        api = f"{self.there.prometheus.url}/api/v1"
        if query.instant:
            data = get_json(f"{api}/query", query=text, time=looked.end_s)["data"]
            return [{"values": [data["result"]]}] if data["resultType"] == "scalar" else data["result"]
        times = {"start": looked.start_s, "end": looked.end_s, "step": looked.step_s(query)}
        return get_json(f"{api}/query_range", query=text, **times)["data"]["result"]

    def _exemplars(self, text: str, query: Query, looked: View) -> list[Any]:
        if not query.exemplars:
            return []
        url = f"{self.there.prometheus.url}/api/v1/query_exemplars"
        return get_json(url, query=text, start=looked.start_s, end=looked.end_s)["data"]

    def _loki(self, text: str, query: Query, looked: View) -> list[Any]:
        api = f"{self.there.loki.url}/loki/api/v1"
        if query.instant:
            return get_json(f"{api}/query", query=text, time=int(looked.end_s * 1e9), limit=query.lines)["data"][
                "result"
            ]
        times = {"start": int(looked.start_s * 1e9), "end": int(looked.end_s * 1e9), "step": looked.step_s(query)}
        return get_json(f"{api}/query_range", query=text, limit=query.lines, **times)["data"]["result"]

    def _tempo(self, text: str, query: Query, looked: View) -> list[Any]:
        assert self.there.tempo
        url = f"{self.there.tempo.url}/api/search"
        if re.fullmatch(r"[0-9a-f]+", text):
            trace = self.there.tempo.trace(text)
            return [trace] if trace else []
        times = {"start": int(looked.start_s), "end": int(looked.end_s) + 1}
        return get_json(url, q=text, limit=min(query.lines, 100), **times)["traces"]


def _as_grafana_writes(sample: Any) -> str:
    """Return a sample as the text that a variable's regular expression is matched with."""
    labels = {name: value for name, value in sample["metric"].items() if name != "__name__"}
    written = ",".join(f'{name}="{value}"' for name, value in labels.items())
    at_s, value = sample["value"]
    return f"{sample['metric'].get('__name__', '')}{{{written}}} {value} {at_s * 1000:.0f}"


def _numbers(series: list[Any]) -> list[Any]:
    """Leave out series that have no number: NaN is drawn as nothing."""
    return [
        one
        for one in series
        if any(not math.isnan(float(value)) for _, value in (one.get("values") or [one.get("value") or (0, "nan")]))
        or one.get("histograms")
    ]


@pytest.fixture(scope="module")
def asker(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """Asks about a week of life, some trouble, and life going on; at the end the slowest answers are printed."""
    try:
        with filled(tmp_path_factory.mktemp("filled"), way) as there:
            make_trouble(there)
            made = Asker(there)
            with there.alive():
                yield made
    except MissingServerError as error:
        missing(str(error))
    slowest = sorted(made.took_s.items(), key=lambda one: -one[1])[:5]
    print("\nslowest answers: " + "; ".join(f"{what} {took:.2f} s" for what, took in slowest))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_question_is_answered_with_data_and_in_time(asker: Asker, case: Case) -> None:
    """It parses, it gives something to show, and quickly enough to wait for."""
    if case.query.source == "tempo" and asker.there.tempo is None:
        pytest.skip("tempo is missing: in no registry, so it is only found: on PATH or in $EGOSCOPE_STACK_BIN")
    if case.query.source == "alertmanager":
        pytest.skip("what Alertmanager is asked has no query text")
    looked = asker.look(case.dashboard, RANGES[case.range_name], time.time())
    took, answer = math.inf, []
    for _ in range(TURNS):
        begun = time.monotonic()
        answer = asker.ask(case.query, looked)
        took = min(took, time.monotonic() - begun)
        if took < LIMIT_S:
            break
    asker.took_s[str(case)] = took
    text = looked.filled(case.query)
    if not answer:
        answer = asker.ask(case.query, asker.look(case.dashboard, RANGES[case.range_name], asker.troubled_s))
    assert took < LIMIT_S, f"{took:.1f} s for {text}"
    if not answer and not asker.excused(text):
        pytest.fail(f"nothing to show: {text}")


PROMQL: Final = [
    pytest.param(one, query, id=f"{one.name} / {query.what}")
    for one in dashboards()
    for query in one.queries()
    if query.source == "prometheus" and query.kind != "variable"
]


@pytest.mark.parametrize(("dashboard", "query"), PROMQL)
def test_every_metric_and_label_exists(asker: Asker, dashboard: Dashboard, query: Query) -> None:
    """Prometheus itself says what a query names; the tokenizer of the unit tests reads the same."""
    text = asker.look(dashboard, RANGES["15m"], time.time()).filled(query)
    tree = get_json(f"{asker.there.prometheus.url}/api/v1/parse_query", query=text)["data"]
    named: dict[str, set[str]] = {}
    for metric, labels in _selectors(tree):
        named.setdefault(metric, set()).update(labels)
    assert set(named_in(text).metrics) == set(named), "the tokenizer is wrong"
    for metric, labels in named.items():
        if asker.excused(metric):
            continue
        assert asker.there.prometheus.series(metric, time.time() - RANGES["7d"]), f"no series is called {metric}"
        for label in labels - {"__name__"}:
            found = asker.there.prometheus.series(f'{metric}{{{label}!=""}}', time.time() - RANGES["7d"])
            assert found, f"{metric} has no label {label}"


def _selectors(tree: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield every metric in Prometheus' syntax tree with the labels that it is matched by."""
    if isinstance(tree, list):
        for one in cast("list[Any]", tree):
            yield from _selectors(one)
    if isinstance(tree, dict):
        node = cast("dict[str, Any]", tree)
        if node.get("type") in {"vectorSelector", "matrixSelector"}:
            yield node["name"], {str(one["name"]) for one in node["matchers"]}
        yield from _selectors(list(node.values()))


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda one: one.name)
def test_every_link_hands_on_what_its_target_knows(dashboard: Dashboard) -> None:
    """A variable that is named in a link is one of the dashboard that it leads to."""
    known = {one.uid: {variable.name for variable in one.variables} for one in dashboards()}
    for where, address in dashboard.links():
        if leads := target_of_link(address):
            uid, handed_on = leads
            assert uid in known, f"{where}: no dashboard has the uid {uid}"
            assert set(handed_on) <= known[uid], f"{where}: {uid} does not know all of {handed_on}"
