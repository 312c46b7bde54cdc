"""`SpanData` and `EventData` take what every back end can hold, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from typing import Any

import pytest

from egoscope.errors import RecordError
from egoscope.tracerdb import EventData, SpanData
from egoscope.tracerdb.base import checked


def span(**values: Any) -> SpanData:
    given: dict[str, Any] = {"trace_id": "t", "span_id": "s", "name": "n", "start": 1, **values}
    return SpanData(**given)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"span_id": ""}, id="no span id"),
        pytest.param({"trace_id": ""}, id="no trace id"),
        pytest.param({"status": "ok"}, id="a status that is none"),
        pytest.param({"start": 1.5}, id="seconds instead of nanoseconds"),
        pytest.param({"start": -1}, id="before 1970"),
        pytest.param({"end": 2**63}, id="an end beyond 64 bits"),
        pytest.param({"start": True}, id="a bool as a time"),
        pytest.param({"name": 7}, id="a name that is no string"),
        pytest.param({"attributes": {"planted": None}}, id="None as a value"),
        pytest.param({"attributes": {"planted": {"a": 1}}}, id="a dict as a value"),
        pytest.param({"attributes": {"planted": 2**63}}, id="an int beyond 64 bits"),
        pytest.param({"attributes": {"planted": [1, "a"]}}, id="a sequence of different types"),
        pytest.param({"attributes": {"planted": [[1]]}}, id="a nested sequence"),
        pytest.param({"attributes": {"planted": b"bytes"}}, id="bytes"),
        pytest.param({"attributes": {7: "planted"}}, id="a key that is no string"),
    ],
)
def test_what_cannot_be_kept_is_refused_without_its_content(values: dict[str, Any]) -> None:
    with pytest.raises(RecordError) as refused:
        span(**values)
    assert "planted" not in str(refused.value)


def test_an_event_is_checked_too() -> None:
    with pytest.raises(RecordError):
        EventData(name="e", timestamp=1, attributes={"a": object()})  # pyright: ignore[reportArgumentType]


class Colour(StrEnum):
    RED = "red"


class Share(float):
    """As numpy's."""


def test_subclasses_become_the_plain_types_that_every_writer_takes() -> None:
    kept = checked({"colour": Colour.RED, "share": Share(0.5)})
    assert [type(value) for value in kept.values()] == [str, float]


def test_attributes_are_copied() -> None:
    given: dict[str, Any] = {"names": ["a"]}
    recorded = span(attributes=given)
    given["names"].append("b")
    given["more"] = 1
    assert recorded.attributes == {"names": ("a",)}


def test_lone_surrogates_are_replaced() -> None:
    recorded = span(name="a\ud800", attributes={"k": "\udfff"})
    assert (recorded.name, recorded.attributes["k"]) == ("a?", "?")


def test_attributes_have_no_repr() -> None:
    assert "planted" not in repr(span(attributes={"a": "planted"}))


def test_a_span_can_be_hashed() -> None:
    assert len({span(attributes={"a": 1}), span(attributes={"a": 1})}) == 1


def test_importing_it_loads_neither_grpc_nor_the_sdk() -> None:
    code = "import sys, egoscope.tracerdb; print(sorted({'grpc', 'opentelemetry', 'pydantic'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
