"""Policies and their rules: what a user may extend, what is refused at start, and what each rule lets through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from converted import KEY, Converting, scalars
from ego_lines import completed, invoked

from egoscope.errors import ConfigError
from egoscope.feeds import build_format
from egoscope.policies import load_policy
from egoscope.redaction import AuditKey
from egoscope.rules import Action

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.redaction import Policy


def extended(folder: Path, toml: str) -> Policy:
    """Return ego-mcp's policy with a user's file laid over it."""
    (folder / "ego_mcp.toml").write_text(f'source = "ego_mcp"\nschema = 1\n{toml}', encoding="utf-8")
    return load_policy("ego_mcp", key=KEY, extension_dir=folder)


NUMBER = '[fields.x]\nrule = "number"\nmin = -1\nmax = 1'
BOOLEAN = '[fields.x]\nrule = "boolean"'
WORDS = '[fields.x]\nrule = "enumeration"\nvalues = ["a", "b"]'
OTHER_WORDS = f'{WORDS}\notherwise = "_OTHER"'
PATTERN = '[fields.x]\nrule = "pattern"\npattern = ".{1,9}"\nmax_length = 5'
COUNT = '[fields.x]\nrule = "count"'
MEMBERS = """[fields.x]
rule = "mapping"
[fields.x.fields]
a = { rule = "number", min = 0, max = 9 }
b = { rule = "enumeration", values = ["w"] }
"""
FLAG = '[fields.x]\nrule = "flag"'
RAISED = '[fields.x]\nrule = "exception"\nvalues = ["ValueError", "OSError"]'
MESSAGE = '[fields.x]\nrule = "sentence"\nconstants = ["Done"]\nprefixes = ["Failed to "]'
NONE = object()


@pytest.mark.parametrize(
    ("rule", "value", "left"),
    [
        pytest.param(NUMBER, 1, 1, id="number: the bound is included"),
        pytest.param(NUMBER, -0.5, -0.5, id="number: a fraction"),
        pytest.param(NUMBER, 1.01, NONE, id="number: out of range"),
        pytest.param(NUMBER, float("nan"), NONE, id="number: NaN"),
        pytest.param(NUMBER, float("inf"), NONE, id="number: infinity"),
        pytest.param(NUMBER, 10**400, NONE, id="number: huge"),
        pytest.param(NUMBER, True, NONE, id="number: a boolean is none"),
        pytest.param(NUMBER, "1", NONE, id="number: a string is none"),
        pytest.param(NUMBER, [1], NONE, id="number: a list is none"),
        pytest.param(BOOLEAN, False, False, id="boolean"),
        pytest.param(BOOLEAN, 2, NONE, id="boolean: a number is none"),
        pytest.param(BOOLEAN, "true", NONE, id="boolean: a string is none"),
        pytest.param(FLAG, False, False, id="flag: only a clear false is a no"),
        pytest.param(FLAG, None, True, id="flag: null is a yes"),
        pytest.param(FLAG, "", True, id="flag: whatever else is a yes"),
        pytest.param(WORDS, "b", "b", id="enumeration: one of the words"),
        pytest.param(WORDS, "B", NONE, id="enumeration: to the letter"),
        pytest.param(WORDS, ["a"], NONE, id="enumeration: a list of a word is none"),
        pytest.param(WORDS, {"a": 1}, NONE, id="enumeration: an object is none"),
        pytest.param(OTHER_WORDS, "secret", "_OTHER", id="enumeration: what stands for all others"),
        pytest.param(OTHER_WORDS, {}, "_OTHER", id="enumeration: also for what is no string"),
        pytest.param(PATTERN, "abcde", "abcde", id="pattern"),
        pytest.param(PATTERN, "abcdef", NONE, id="pattern: too long"),
        pytest.param(PATTERN, "ab\n", NONE, id="pattern: the whole string, the line's end included"),
        pytest.param(PATTERN, "", NONE, id="pattern: no match"),
        pytest.param(PATTERN, 12, NONE, id="pattern: a number is no string"),
        pytest.param(PATTERN, "a\ud800", NONE, id="pattern: a lone surrogate cannot be sent"),
        pytest.param(COUNT, ["x", "y"], 2, id="count of a list"),
        pytest.param(COUNT, '["x", "y", "z"]', 3, id="count of a list that stands as JSON in a string"),
        pytest.param(COUNT, "[", NONE, id="count: half a list"),
        pytest.param(COUNT, "x", NONE, id="count: a string is no list"),
        pytest.param(COUNT, {"x": 1}, NONE, id="count: an object is no list"),
        pytest.param(MEMBERS, {"a": 1, "b": "w", "c": 2}, {"a": 1, "b": "w"}, id="mapping: only the listed members"),
        pytest.param(MEMBERS, {"a": 99, "b": "w"}, {"b": "w"}, id="mapping: each member by its own rule"),
        pytest.param(MEMBERS, {"a": 1, "b": ["w"]}, {"a": 1}, id="mapping: a bad member costs no other"),
        pytest.param(MEMBERS, [["a", 1]], NONE, id="mapping: a list is no object"),
        pytest.param(RAISED, "Traceback\n  File x\nValueError: secret", "ValueError", id="exception: the last one"),
        pytest.param(RAISED, "a.b.OSError", "OSError", id="exception: with its module"),
        pytest.param(RAISED, "SecretError: x", NONE, id="exception: a class that is not listed"),
        pytest.param(RAISED, "no traceback: ValueError", NONE, id="exception: only where a line begins"),
        pytest.param(MESSAGE, "Done", "Done", id="sentence: a constant"),
        pytest.param(MESSAGE, "Done.", "REDACTED", id="sentence: nothing but the constant"),
        pytest.param(MESSAGE, "Failed to say secret", "Failed to: REDACTED", id="sentence: a beginning"),
        pytest.param(MESSAGE, 5, "REDACTED", id="sentence: a number"),
        pytest.param(NUMBER, None, NONE, id="null is nothing"),
    ],
)
def test_what_a_rule_lets_through(tmp_path: Path, rule: str, value: Any, left: Any) -> None:
    """Each case's id is the rule; asked twice, for an answer that is remembered must be the same answer."""
    policy = extended(tmp_path, rule)
    for _ in range(2):
        kept = policy.redact({"x": value}).get("x", NONE)
        assert kept == left or (kept is left is NONE)


def test_an_extension_adds_replaces_and_takes_away(tmp_path: Path) -> None:
    """Fields of the user's file stand before the packaged ones; `[drop]` takes away; the rest stays."""
    toml = '[fields.mine]\nrule = "boolean"\n[fields.tool_output]\nrule = "count"\n[drop]\nfields = ["person_id"]'
    policy = extended(tmp_path, toml)
    kept = policy.redact({"mine": True, "tool_output": [1], "person_id": "someone", "valence": 0.5, "unheard_of": 1})
    assert kept == {"mine": True, "tool_output": 1, "valence": 0.5}
    assert policy.drain_audit() == {
        AuditKey("(unknown)", Action.DROPPED, "not_in_policy"): 1,
        AuditKey("mine", Action.KEPT, ""): 1,
        AuditKey("person_id", Action.DROPPED, "private_field"): 1,
        AuditKey("tool_output", Action.COUNTED, ""): 1,
        AuditKey("valence", Action.KEPT, ""): 1,
    }


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        pytest.param("[fields.x]", "rule", id="a field without a rule"),
        pytest.param('[fields.x]\nrule = "anything"', "anything", id="a rule nobody knows"),
        pytest.param(f"{NUMBER}\nmaximum = 3", "maximum", id="a word that is no part of the rule"),
        pytest.param('[fields.x]\nrule = "number"\nmin = 2\nmax = 1', "min 2.* is above max 1", id="an empty range"),
        pytest.param('[fields.x]\nrule = "pattern"\npattern = "("\nmax_length = 9', "no regular", id="a bad pattern"),
        pytest.param('[fields.x]\nrule = "pattern"\npattern = "a"\nmax_length = 999', "200", id="a pattern for novels"),
        pytest.param('[fields.x]\nrule = "enumeration"\nvalues = []', "length", id="an enumeration of nothing"),
        pytest.param("[fields", "ego_mcp.toml", id="no TOML"),
        pytest.param("[[fields]]", "ego_mcp.toml", id="fields is a list"),
    ],
)
def test_a_bad_policy_is_refused_at_start_and_named(tmp_path: Path, toml: str, sentence: str) -> None:
    """A rule that is not understood must not be left out, and not be read as something else."""
    with pytest.raises(ConfigError, match=sentence):
        extended(tmp_path, toml)


@pytest.mark.parametrize("head", ['source = "kagura"\nschema = 1', 'source = "ego_mcp"\nschema = 2'])
def test_a_policy_of_another_source_or_schema_is_refused(tmp_path: Path, head: str) -> None:
    """The file's name and what it says must agree."""
    (tmp_path / "ego_mcp.toml").write_text(f"{head}\n[fields]", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"ego_mcp\.toml"):
        load_policy("ego_mcp", key=KEY, extension_dir=tmp_path)


def test_keys_that_a_model_makes_up_do_not_fill_the_memory() -> None:
    """Plans for sets of keys are forgotten when there are too many; what leaves stays the same."""
    policy = load_policy("ego_mcp", key=KEY)
    for number in range(10_000):
        assert policy.redact({f"wish{number}": 1, "valence": 0.5}) == {"valence": 0.5}
    audit = policy.drain_audit()
    assert audit[AuditKey("(unknown)", Action.DROPPED, "not_in_policy")] == 10_000
    assert audit[AuditKey("valence", Action.KEPT, "")] == 10_000


def test_a_field_that_an_extension_brings_leaves_as_an_attribute_of_its_own(tmp_path: Path) -> None:
    """On the call's span and on its log record, under `ego.`; not of a private call."""
    (tmp_path / "ego_mcp.toml").write_text(
        'source = "ego_mcp"\nschema = 1\n[fields.curate_action]\nrule = "enumeration"\nvalues = ["list", "merge"]\n'
    )
    converting = Converting(log_format=build_format(KEY, tmp_path))
    tool = "curate_notions"
    converting.batch([invoked(0, tool), completed(9, tool, curate_action="merge")])
    converting.batch([invoked(20, tool, private=True), completed(29, tool, curate_action="list")])
    shown, hidden = converting.sent.spans
    assert scalars(shown.attributes)["ego.curate_action"] == "merge"
    assert scalars(converting.sent.logs[1].attributes)["ego.curate_action"] == "merge"
    assert "ego.curate_action" not in scalars(hidden.attributes)
    assert "ego.curate_action" not in scalars(converting.sent.logs[3].attributes)


def test_an_extension_may_only_take_away(tmp_path: Path) -> None:
    """It needs no fields of its own to drop one."""
    (tmp_path / "ego_mcp.toml").write_text('source = "ego_mcp"\nschema = 1\n[drop]\nfields = ["valence"]\n')
    assert "valence" not in load_policy("ego_mcp", key=KEY, extension_dir=tmp_path).rules


def test_a_bad_rule_is_named_by_file_and_field(tmp_path: Path) -> None:
    """So that one knows where to look."""
    file = tmp_path / "ego_mcp.toml"
    file.write_text('source = "ego_mcp"\nschema = 1\n[fields.age]\nrule = "number"\nmin = 2\nmax = 1\n')
    with pytest.raises(ConfigError, match=rf"{re.escape(str(file))}: field age: min 2"):
        load_policy("ego_mcp", key=KEY, extension_dir=tmp_path)
