"""One case of an alert, as a file for `promtool test rules`, and how that is run.

Time begins at 0, so `0+60xN`, one value a minute, is a clock. Values are in promtool's notation: `a+bxn` is n further
samples, `_xn` n that are missing, `stale` the end of a series.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.stack.conftest import missing
from tests.stack.processes import PROCESSES, MissingServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

RULES: Final = Path(__file__).resolve().parents[2] / "prometheus" / "rules"
FEATURES: Final = "--enable-feature=promql-extended-range-selectors"
GRAFANA: Final = "http://grafana.example"
RUNBOOKS: Final = "http://docs.example/runbooks.md"
TIME: Final = re.compile(r'\{\{ query "\(time\(\) ([-+]) (\d+)\) \* 1000" \| first \| value \| printf "%.0f" \}\}')
WHERE_NAMED: Final = re.compile(r"\{\{ with \$labels\.(\w+) \}\}(.*?)\{\{ end \}\}")
UNITS: Final = {"s": 1, "m": 60, "h": 3600}

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What happens, and when the alert fires and when it does not.

    `fires`: time to summary, the alert's only one at that time. `labels`: those that it has from the series.
    `which`: labels of the rule that tell it from another one of the same name. `kept_since`: when its condition was
    last true, where it fires only because it is kept: then its words and link are of that time.
    """

    id: str
    alert: str
    series: Mapping[str, str]
    fires: Mapping[str, str] = field(default_factory=dict[str, str])
    silent: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    which: Mapping[str, str] = field(default_factory=dict[str, str])
    every: str = "1m"
    evaluated: str = "1m"
    kept_since: str = ""


def alerting_rules() -> list[Rule]:
    """Return every alerting rule, as its file has it."""
    return [rule for file in sorted(RULES.glob("*.yml")) for rule in rules_of(file) if "alert" in rule]


def rules_of(file: Path) -> list[Rule]:
    """Return the rules of a file."""
    return [rule for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def as_file(case: Case) -> str:
    """Return the case as promtool reads it."""
    files = [
        file for file in sorted(RULES.glob("*.yml")) if any(rule.get("alert") == case.alert for rule in rules_of(file))
    ]
    if case.alert.startswith("Agent"):
        files = [RULES / "recording.yml", *files]
    groups = [group["name"] for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    test: dict[str, Any] = {
        "name": case.id,
        "interval": case.every,
        "external_labels": {"grafana": GRAFANA, "runbooks": RUNBOOKS},
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            *({"eval_time": at, "alertname": case.alert, "exp_alerts": [expected(case, at)]} for at in case.fires),
            *({"eval_time": at, "alertname": case.alert, "exp_alerts": []} for at in case.silent),
        ],
    }
    whole: dict[str, Any] = {
        "rule_files": [str(file) for file in files],
        "evaluation_interval": case.evaluated,
        "group_eval_order": groups,
        "tests": [test],
    }
    return json.dumps(whole, indent=1)  # JSON is YAML


def expected(case: Case, at: str) -> dict[str, Any]:
    """Return the alert with all its words as it has to be at that time."""
    rule = next(
        rule
        for rule in alerting_rules()
        if rule["alert"] == case.alert and case.which.items() <= rule["labels"].items()
    )
    labels = {**rule["labels"], **case.labels}
    annotations = {
        "summary": case.fires[at],
        "description": rule["annotations"]["description"],
        "runbook_url": f"{RUNBOOKS}#{case.alert.lower()}",
        "dashboard_url": dashboard_url(rule["annotations"]["dashboard_url"], seconds(case.kept_since or at), labels),
    }
    return {"exp_labels": labels, "exp_annotations": annotations}


def dashboard_url(template: str, now_s: int, labels: Mapping[str, str]) -> str:
    """Return the link that a rule's template makes at that time."""

    def filled(match: re.Match[str]) -> str:
        offset_s = int(match[2]) if match[1] == "+" else -int(match[2])
        return str((now_s + offset_s) * 1000)

    link = TIME.sub(filled, template).replace("{{ $externalLabels.grafana }}", GRAFANA)
    link = WHERE_NAMED.sub(lambda one: one[2].replace("{{ . }}", labels[one[1]]) if one[1] in labels else "", link)
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], link)


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as 1h30m."""
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)([smh])", duration))


def check_cases(cases: str, directory: Path) -> tuple[int, str]:
    """Run test cases, as promtool reads them; return its exit status and what it said."""
    try:
        promtool = PROCESSES.program("rule-tester")
    except MissingServerError as error:
        missing(str(error))
    file = directory / "cases.yml"
    file.write_text(cases)
    return PROCESSES.check([promtool, "test", "rules", FEATURES, file], {}, directory)
