"""Redaction is an allow-list: what comes out is named by the policy, key and value alike, whatever goes in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from converted import KEY
from hypothesis import given
from hypothesis import strategies as st
from policy_tables import SOURCES, TABLES, names, spelled_out

from egoscope.policies import load_policy
from egoscope.rules import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICIES: Final = {source: load_policy(source, key=KEY) for source in SOURCES}
MADE: Final = re.compile(r"_OTHER|p-[0-9a-f]{16}|[A-Za-z0-9 ,()-]+: REDACTED|REDACTED")
"""Strings that redaction itself makes: the stand-ins of a rule, pseudonyms, and known beginnings of messages."""


def strings_in(value: object) -> Iterator[str]:
    """Yield the strings of a redacted value, the keys of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in cast("dict[object, object]", value).items():
            yield from strings_in(key)
            yield from strings_in(member)
    else:
        assert isinstance(value, (bool, int, float)), type(value)


def json_values(source: str) -> st.SearchStrategy[Any]:
    """Return JSON values that like to use words the policy knows, in places where they do and do not belong."""
    words = st.sampled_from([*spelled_out(TABLES[source]["fields"]), *names(source), "Failed to ", "Applied "])
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), words, st.tuples(words, st.text()).map("".join)
    )
    keys = st.one_of(st.text(), st.sampled_from(names(source)))
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=8)


@st.composite
def records(draw: st.DrawFn, source: str) -> dict[str, Any]:
    """Return the fields of a record: known names and unknown ones with any values."""
    keys = st.one_of(st.sampled_from(names(source)), st.text())
    return draw(st.dictionaries(keys, json_values(source), max_size=12))


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
def test_no_key_and_no_string_outside_the_policy_survives(source: str, data: st.DataObject) -> None:
    """Each key that comes out is a rule's name, each string is spelled out in the policy or made by redaction."""
    kept = POLICIES[source].redact(data.draw(records(source)))
    assert kept.keys() <= TABLES[source]["fields"].keys()
    allowed = {*spelled_out(TABLES[source]["fields"]), *names(source)}
    unknown = [one for value in kept.values() for one in strings_in(value) if one not in allowed]
    assert not [one for one in unknown if not MADE.fullmatch(one)]


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
def test_numbers_that_leave_are_within_the_range_of_their_rule(source: str, data: st.DataObject) -> None:
    """Whatever number a log claims, no series is blown up by it: NaN, infinity and huge integers stay out."""
    for name, value in POLICIES[source].redact(data.draw(records(source))).items():
        rule = TABLES[source]["fields"][name]
        if rule["rule"] == "number":
            assert rule["min"] <= value <= rule["max"]  # type: ignore[operator]


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
def test_every_field_is_audited_once_and_by_a_name_of_the_policy(source: str, data: st.DataObject) -> None:
    """Kept, counted, pseudonymised and dropped add up to the fields read; unknown names are never told."""
    policy = POLICIES[source]
    policy.drain_audit()
    some = data.draw(st.lists(records(source), max_size=4))
    for fields in some:
        policy.redact(fields)
    audit = policy.drain_audit()
    assert sum(count for key, count in audit.items() if "." not in key.field) == sum(map(len, some))
    assert {key.field.partition(".")[0] for key in audit} <= {*names(source), "(unknown)"}
    assert all(key.action in Action and count > 0 for key, count in audit.items())
    assert policy.drain_audit() == {}


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_pseudonym_is_the_same_for_the_same_name_and_says_nothing_of_it(one: str, other: str) -> None:
    """Equal names have equal pseudonyms under one key, and others under another key."""

    def pseudonym(name: str, key: bytes) -> object:
        return load_policy("ego_mcp", key=key).redact({"person_id": name})["person_id"]

    assert (pseudonym(one, KEY) == pseudonym(other, KEY)) == (one == other)
    assert pseudonym(one, KEY) != pseudonym(one, KEY[::-1])
