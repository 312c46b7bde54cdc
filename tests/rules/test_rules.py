"""Every alert, by `promtool test rules`: fires, not just below, resolves; gaps and restarts leave it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.rules import agent_cases, agents_cases, host_cases, pipeline_cases, tasks_cases
from tests.rules.promtool import Case, alerting_rules, as_file, check_cases, seconds

if TYPE_CHECKING:
    from pathlib import Path

CASES: Final = (*agent_cases.CASES, *agents_cases.CASES, *host_cases.CASES, *pipeline_cases.CASES, *tasks_cases.CASES)
RULES: Final = [pytest.param(rule, id=f"{rule['alert']} {rule['labels']}") for rule in alerting_rules()]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_an_alert(case: Case, tmp_path: Path) -> None:
    """The words of one that fires are compared as well."""
    status, said = check_cases(as_file(case), tmp_path)
    assert status == 0, said


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_case_in_which_it_fires_and_ends(rule: dict[str, dict[str, str]]) -> None:
    """By alert and by the labels that tell its rules apart."""
    own = [case for case in CASES if case.alert == str(rule["alert"]) and case.which.items() <= rule["labels"].items()]

    ends = [
        case for case in own if case.fires and max(map(seconds, case.silent), default=0) > max(map(seconds, case.fires))
    ]
    assert ends


@pytest.mark.parametrize("rule", RULES)
def test_every_alert_has_a_case_in_which_it_never_fires(rule: dict[str, str]) -> None:
    """Just below its threshold, or after a gap."""
    assert [case for case in CASES if case.alert == rule["alert"] and not case.fires]
