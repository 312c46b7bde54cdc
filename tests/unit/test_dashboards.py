"""The committed dashboards keep every rule of dashboard_rules.py and dashboard_names.py; each rule can be broken."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

import dashboard_names as names
import dashboard_rules as rules
import pytest

from egoscope.cli.palette import emotion_colour
from egoscope.convert.catalogue import TOOL_DURATION
from tests.stack.panels import FOLDER, Dashboard, dashboards

if TYPE_CHECKING:
    from collections.abc import Callable

RULES: Final = (
    *(rules.identity, rules.refresh, rules.navigation, rules.words, rules.types, rules.sources, rules.units),
    *(rules.queries, rules.grid, rules.emotions, rules.links, rules.variables),
    *(names.metrics, names.constants, names.attributes),
)
PROMETHEUS: Final = {"type": "prometheus", "uid": "prometheus"}
LOKI: Final = {"type": "loki", "uid": "loki"}
TEMPO: Final = {"type": "tempo", "uid": "tempo"}


def panel(number: int, kind: str, title: str, target: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": "Says what it means, in words",
        "datasource": target["datasource"],
        "gridPos": {"x": 8 * ((number - 1) % 3), "y": 8 * ((number - 1) // 3), "w": 8, "h": 8},
        "targets": [{"refId": "A", **target}],
        **more,
    }


CALLS: Final = 'sum by (tool) (increase(ego_calls_total{instance=~"$instance", tool=~"$tool"}[$__range] anchored))'
GOOD: Final[dict[str, Any]] = {
    "uid": "egoscope-now",
    "title": "Now",
    "description": "A dashboard that keeps every rule",
    "tags": ["egoscope"],
    "editable": False,
    "refresh": "5s",
    "time": {"from": "now-30m", "to": "now"},
    "links": [{"type": "dashboards", "tags": ["egoscope"], "keepTime": True, "includeVars": True}],
    "templating": {
        "list": [
            {
                "name": "instance",
                "type": "query",
                "datasource": PROMETHEUS,
                "query": {"query": "label_values(ego_last_event_time_seconds, instance)", "refId": "i"},
                "allValue": ".*",
                "current": {"value": ["$__all"]},
            },
            {
                "name": "tool",
                "type": "query",
                "datasource": PROMETHEUS,
                "query": {"query": 'label_values(ego_calls_total{instance=~"$instance"}, tool)', "refId": "t"},
                "current": {"value": ["$__all"]},
            },
        ]
    },
    "annotations": {
        "list": [
            {"name": "Annotations & Alerts", "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}},
            {"name": "Starts", "datasource": PROMETHEUS, "expr": "increase(ego_process_starts_total[5m] anchored) > 0"},
        ]
    },
    "panels": [
        panel(
            1,
            "stat",
            "Calls",
            {"datasource": PROMETHEUS, "expr": CALLS, "legendFormat": "__auto", "instant": True, "range": False},
            fieldConfig={
                "defaults": {
                    "unit": "short",
                    "links": [{"url": "/d/egoscope-logs?${__url_time_range}&var-tool=${__field.labels.tool}"}],
                    "mappings": [
                        {"type": "value", "options": {"sad": {"text": "sad", "color": emotion_colour("sad")}}},
                    ],
                },
                "overrides": [
                    {
                        "matcher": {"id": "byName", "options": "calm"},
                        "properties": [
                            {"id": "color", "value": {"mode": "fixed", "fixedColor": emotion_colour("calm")}}
                        ],
                    }
                ],
            },
        ),
        panel(
            2,
            "logs",
            "Log",
            {"datasource": LOKI, "expr": '{service_name=~".+", service_instance_id=~"$instance"} | ego_logger="x"'},
        ),
        panel(3, "table", "Slow", {"datasource": TEMPO, "query": "{ span.gen_ai.tool.name = `recall` }"})
        | {"fieldConfig": {"defaults": {"unit": "s"}, "overrides": []}},
    ],
}


def changed(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts another value at a place in the JSON; None takes it away."""

    def change(whole: dict[str, Any]) -> None:
        node: Any = whole
        for step in path[:-1]:
            node = node[step]
        if to is None:
            del node[path[-1]]
        else:
            node[path[-1]] = to

    return change


def asking(promql: str) -> Callable[[dict[str, Any]], None]:
    """Return what makes the first panel ask something else, the variables used still."""
    used = '{instance=~"$instance", tool=~"$tool"}'
    return changed("panels", 0, "targets", 0, "expr", to=f"{promql} and ego_calls_total{used}")


FIRST: Final = ("panels", 0)
TARGET: Final = (*FIRST, "targets", 0)
DEFAULTS: Final = (*FIRST, "fieldConfig", "defaults")
LINK: Final = (*DEFAULTS, "links", 0, "url")
BREAKAGES: Final = (
    pytest.param(rules.identity, changed("uid", to="egoscope-then"), id="a uid that was not agreed on"),
    pytest.param(rules.identity, changed("tags", to=[]), id="no tag"),
    pytest.param(rules.identity, changed("description", to=""), id="a dashboard without a description"),
    pytest.param(rules.refresh, changed("refresh", to=None), id="no refresh"),
    pytest.param(rules.refresh, changed("refresh", to="500ms"), id="a refresh below the least"),
    pytest.param(rules.refresh, changed("refresh", to="1s"), id="a refresh that is not offered"),
    pytest.param(rules.refresh, changed("editable", to=True), id="can be edited"),
    pytest.param(rules.refresh, changed("time", "from", to="2026-11-01"), id="a range that stands still"),
    pytest.param(rules.navigation, changed("links", 0, "keepTime", to=False), id="links lose the time range"),
    pytest.param(rules.navigation, changed("links", 0, "includeVars", to=False), id="links lose the variables"),
    pytest.param(rules.navigation, changed("links", to=[]), id="no links"),
    pytest.param(rules.words, changed(*FIRST, "title", to=""), id="a panel without a title"),
    pytest.param(rules.words, changed(*FIRST, "description", to=None), id="a panel without a description"),
    pytest.param(rules.words, changed(*FIRST, "title", to="Log"), id="two panels of one title"),
    pytest.param(rules.types, changed(*FIRST, "type", to="trend"), id="a panel newer than Grafana 9.4"),
    pytest.param(rules.types, changed(*FIRST, "id", to=2), id="two panels of one id"),
    pytest.param(rules.sources, changed(*TARGET, "datasource", to={"uid": "Prometheus"}), id="an unknown data source"),
    pytest.param(rules.sources, changed(*TARGET, "datasource", to="Prometheus"), id="a data source by name"),
    pytest.param(rules.sources, changed(*TARGET, "datasource", "type", to="loki"), id="a data source's wrong type"),
    pytest.param(rules.sources, changed(*FIRST, "targets", to=[]), id="a panel without a query"),
    pytest.param(rules.units, changed(*DEFAULTS, "unit", to=None), id="numbers without a unit"),
    pytest.param(rules.units, changed(*DEFAULTS, "unit", to="seconds"), id="a unit that Grafana does not know"),
    pytest.param(rules.queries, changed(*TARGET, "refId", to=None), id="a query without a refId"),
    pytest.param(rules.queries, changed(*TARGET, "legendFormat", to=""), id="a query without a legend"),
    pytest.param(rules.queries, changed(*TARGET, "range", to=True), id="a query both instant and a range"),
    pytest.param(rules.queries, changed(*TARGET, "hide", to=True), id="a query that is switched off"),
    pytest.param(rules.queries, asking("increase(ego_calls_open[5m])"), id="a count that is not anchored"),
    pytest.param(rules.queries, asking("sum(rate(ego_calls_total[$__auto]))"), id="$__auto, which 9.4 does not know"),
    pytest.param(rules.grid, changed(*FIRST, "gridPos", "w", to=9), id="a panel on another"),
    pytest.param(rules.grid, changed("panels", 2, "gridPos", "w", to=9), id="a panel beyond the grid"),
    pytest.param(rules.grid, changed(*FIRST, "gridPos", to=None), id="a panel without a place"),
    pytest.param(
        rules.emotions,
        changed(*FIRST, "fieldConfig", "overrides", 0, "properties", 0, "value", "fixedColor", to="#FF0000"),
        id="an emotion's series in another colour",
    ),
    pytest.param(
        rules.emotions,
        changed(*DEFAULTS, "mappings", 0, "options", "sad", "color", to="#FF0000"),
        id="an emotion's word in another colour",
    ),
    pytest.param(rules.links, changed(*LINK, to="/d/nowhere?${__url_time_range}"), id="a link to nowhere"),
    pytest.param(rules.links, changed(*LINK, to="/d/egoscope-logs"), id="a link that loses the time range"),
    pytest.param(rules.links, changed(*LINK, to="http://elsewhere/"), id="a link out of Grafana, unencrypted"),
    pytest.param(rules.variables, changed("panels", 1, "title", to="$level"), id="a variable that is not defined"),
    pytest.param(rules.variables, changed(*TARGET, "expr", to="ego_calls_open"), id="a variable that is not used"),
    pytest.param(names.metrics, asking("ego_cals_total"), id="an unknown metric"),
    pytest.param(names.metrics, asking('ego_calls_total{colour="red"}'), id="a metric matched by an unknown label"),
    pytest.param(names.metrics, asking("sum by (colour) (ego_calls_open)"), id="a metric grouped by an unknown label"),
    pytest.param(
        names.metrics,
        changed("templating", "list", 0, "query", "query", to="label_values(ego_last_event_time_seconds, tool)"),
        id="a variable of an unknown label",
    ),
    pytest.param(names.metrics, changed("annotations", "list", 1, "expr", to="nothing > 0"), id="in an annotation too"),
    pytest.param(names.constants, asking('ego_calls_open{job="ego-mcp"}'), id="a hard-coded job"),
    pytest.param(names.constants, asking('up{instance="127.0.0.1:9090"}'), id="a hard-coded instance"),
    pytest.param(
        names.constants,
        changed("panels", 1, "targets", 0, "expr", to='{service_name="ego-mcp"}'),
        id="a hard-coded job in Loki",
    ),
    pytest.param(
        names.attributes,
        changed("panels", 1, "targets", 0, "expr", to='{service_name=~".+"} | mood="x"'),
        id="an unknown label in Loki",
    ),
    pytest.param(
        names.attributes,
        changed("panels", 1, "targets", 0, "expr", to='{ego_logger=~".+"}'),
        id="a label that streams do not have",
    ),
    pytest.param(
        names.attributes,
        changed("panels", 2, "targets", 0, "query", to="{ span.tool = `recall` }"),
        id="an unknown attribute in TraceQL",
    ),
)


def test_there_are_dashboards() -> None:
    """Each in its own file, by the name that its uid has."""
    found = {one.name for one in dashboards()}
    assert found, f"no dashboard in {FOLDER}"
    assert found <= set(rules.NAMES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda one: one.name)
def test_a_dashboard_keeps_the_rule(dashboard: Dashboard, rule: Callable[[Dashboard], Any]) -> None:
    """The rule's docstring is the rule."""
    assert list(rule(dashboard)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_dashboard_breaks_no_rule(rule: Callable[[Dashboard], Any]) -> None:
    assert list(rule(Dashboard("now", GOOD))) == []


@pytest.mark.parametrize(("rule", "breakage"), BREAKAGES)
def test_a_broken_dashboard_is_caught(
    rule: Callable[[Dashboard], Any], breakage: Callable[[dict[str, Any]], None]
) -> None:
    broken = copy.deepcopy(GOOD)
    broken["panels"] = json.loads(json.dumps(broken["panels"]))  # panels share no dictionary
    breakage(broken)
    assert list(rule(Dashboard("now", broken)))


def test_every_rule_is_tried_by_a_breakage() -> None:
    assert {one.values[0] for one in BREAKAGES} == set(RULES)


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda one: one.name)
def test_tools_are_asked_of_one_program(dashboard: Dashboard) -> None:
    """ego-mcp and Kagura tell of tools by the same metric, and `.*` also matches a label that is not there."""
    asked = [query.text for query in dashboard.queries() if TOOL_DURATION.prometheus in query.text]
    assert [text for text in asked if 'job="' not in text] == []
