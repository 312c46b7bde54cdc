"""What panels answer, by `promtool test rules`, where the servers of other tests have one machine that is well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.rules.promtool import RULES, check_cases
from tests.rules.questions_cases import QUESTIONS, Question

if TYPE_CHECKING:
    from pathlib import Path


def as_file(question: Question) -> str:
    """Return the question as promtool reads it."""
    test = {
        "name": question.id,
        "interval": question.every,
        "input_series": [{"series": name, "values": values} for name, values in question.series.items()],
        "promql_expr_test": [
            {
                "expr": question.text,
                "eval_time": f"{question.at_s}s",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in question.expected.items()],
            }
        ],
    }
    files = [str(RULES / "tasks.yml")]
    return json.dumps({"rule_files": files, "evaluation_interval": "30s", "tests": [test]}, indent=1)  # JSON is YAML


@pytest.mark.parametrize("question", [pytest.param(one, id=one.id) for one in QUESTIONS])
def test_a_question(question: Question, tmp_path: Path) -> None:
    """The committed dashboard's own, with every choice at its top."""
    status, said = check_cases(as_file(question), tmp_path)
    assert status == 0, said
