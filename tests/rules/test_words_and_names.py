"""What every alert says, and that all it names is there: metrics, jobs, dashboards, sections of the runbooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from egoscope.convert.catalogue import METRICS, Kind
from tests.rules.metrics import OF_SERVERS, OF_THE_HOST
from tests.rules.promtool import RULES, TIME, alerting_rules, rules_of

ROOT: Final = Path(__file__).resolve().parents[2]
DASHBOARDS: Final = {f"egoscope-{file.stem}" for file in (ROOT / "grafana" / "dashboards").glob("*.json")}
EVERY: Final = [rule for file in sorted(RULES.glob("*.yml")) for rule in rules_of(file)]
ALERTS: Final = {rule["alert"] for rule in alerting_rules()}
ALERTMANAGER: Final = ROOT / "alertmanager" / "alertmanager.yml"
SECTION: Final = re.compile(r"^### (\w+)$", re.MULTILINE)
# The words of PromQL that stand where a metric could.
WORDS: Final = {
    "and",
    "bool",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "anchored",
}
AGENTS: Final = {"ego-mcp", "kagura", "illumo", "koubou", "egoscope"}

every_alert = pytest.mark.parametrize(
    "rule", [pytest.param(rule, id=f"{rule['alert']} {rule['labels']}") for rule in alerting_rules()]
)
every_rule = pytest.mark.parametrize("rule", [pytest.param(one, id=one.get("alert") or one["record"]) for one in EVERY])


def metrics_in(expression: str) -> set[str]:
    """Return the names of metrics in PromQL, by leaving out all else."""
    text = re.sub(r'"(\\.|[^"])*"', "", expression)
    text = re.sub(r"#.*", "", text)
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    text = re.sub(r"\boffset\s+\w+|\banchored\b", "", text)
    names = re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()", text)
    return {name for name in names if name not in WORDS and not re.fullmatch(r"e?\d.*|e\d+", name)}


def known_metrics() -> set[str]:
    """Return the catalogue's names, those of the servers, and those that are recorded."""
    histograms = {metric.prometheus for metric in METRICS if metric.kind is Kind.HISTOGRAM}
    own = {metric.prometheus for metric in METRICS} - histograms
    return (
        own
        | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
        | OF_SERVERS
        | OF_THE_HOST
        | {rule["record"] for rule in EVERY if "record" in rule}
    )


def known_jobs() -> set[str]:
    """Return what is scraped, and what tells about itself."""
    targets = yaml.safe_load((ROOT / "prometheus" / "targets" / "compose.yml").read_text(encoding="utf-8"))
    return AGENTS | {group["labels"]["job"] for group in targets}


@every_alert
def test_it_says_how_bad_it_is_and_what_it_is_about(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["labels"]["about"]


@every_alert
def test_it_has_a_summary_and_a_description_in_words(rule: dict[str, Any]) -> None:
    words = rule["annotations"]
    assert len(words["summary"]) < 200
    assert not words["summary"].endswith(".")
    assert words["description"].endswith((".", "?"))
    assert "{{" not in words["description"], "values stand in the summary"


@every_alert
def test_it_leads_to_its_dashboard_at_its_time(rule: dict[str, Any]) -> None:
    link = rule["annotations"]["dashboard_url"]
    uid = re.match(r"\{\{ \$externalLabels\.grafana \}\}/d/([\w-]+)\?", link)
    assert uid is not None
    assert uid[1] in DASHBOARDS
    assert [match[1] for match in TIME.finditer(link)] == ["-", "+"]
    assert re.search(r"from=\{\{.*&to=\{\{", link)


@every_alert
def test_it_leads_to_its_section_of_the_runbooks(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook_url"] == "{{ $externalLabels.runbooks }}#" + rule["alert"].lower()


def test_the_runbooks_have_a_section_for_each_alert_and_for_nothing_else() -> None:
    assert sorted(SECTION.findall((ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8"))) == sorted(ALERTS)


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_its_section_says_what_it_means_how_to_see_it_what_to_do_and_when_it_is_harmless(alert: str) -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    section = text.partition(f"\n### {alert}\n")[2].partition("\n#")[0]
    assert re.findall(r"^\*\*(\w+)\b", section, re.MULTILINE) == ["Means", "See", "Do", "Harmless"]


@every_rule
def test_every_metric_it_names_exists(rule: dict[str, Any]) -> None:
    named = metrics_in(rule["expr"])
    assert named
    assert named - known_metrics() == set()


def test_a_name_that_does_not_exist_would_be_found() -> None:
    """The way names are found is itself tried."""
    expression = 'sum by (job) (increase(gone_total{a="ego_x"}[5m] anchored offset 1d)) > 3e6 and on () b unless c'
    assert metrics_in(expression) == {"gone_total", "b", "c"}


@every_rule
def test_every_job_it_names_exists(rule: dict[str, Any]) -> None:
    named = re.findall(r'job\s*=~?\s*"([^"]*)"', rule["expr"])
    assert {one for names in named for one in names.split("|")} <= known_jobs()


def matchers() -> list[tuple[str, str]]:
    """Return label and values of every matcher of Alertmanager's configuration."""
    configuration = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    every = [
        one for rule in configuration["inhibit_rules"] for key, ones in rule.items() if key != "equal" for one in ones
    ]
    return [(found[1], found[2]) for one in every if (found := re.fullmatch(r'(\w+) =~? "([^"]*)"', one))]


def test_every_alert_and_every_job_that_alertmanager_names_exists() -> None:
    """A name that was changed in the rules would hold back nothing any more."""
    for label, values in matchers():
        for value in values.split("|"):
            if label == "alertname":
                assert any(re.fullmatch(value, alert) for alert in ALERTS), value
            elif label == "job":
                assert value in known_jobs()
