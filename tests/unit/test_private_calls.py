"""Of a private call only counts survive, in both formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from converted import convert, scalars
from ego_lines import FEELING, START_MS, completed, failed, invoked, reported

if TYPE_CHECKING:
    from collections.abc import Sequence


FELT = {"ego.emotion.primary", "ego.emotion.intensity", "ego.valence", "ego.arousal"}
TELLING = ("ego.emotion.", "ego.valence", "ego.arousal", "ego.state", "ego.desire", "ego.trust", "ego.interactions")
SAYING = {**FEELING, "desire_levels": {"curiosity": 0.3}, "person_id": "a", "trust_level": 0.4}
DOCUMENTED_FEELING = {**FEELING, "params": {"valence": 0.1, "arousal": 0.2, "curiosity": 0.3, "time_phase": "dawn"}}


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([invoked(0, private=True), completed(9, **SAYING)], id="marked at its start"),
        pytest.param([invoked(0, private=True), failed(9, private=True)], id="a failure"),
        pytest.param([failed(9, private=True)], id="a failure whose start is missing"),
        pytest.param([invoked(0, private="true"), completed(9, **SAYING)], id="private is a string"),
        pytest.param([invoked(0, private=1), completed(9, **SAYING)], id="private is a number"),
        pytest.param([invoked(0, private=[]), completed(9, **SAYING)], id="private is a list"),
        pytest.param([reported(9, private=True, **DOCUMENTED_FEELING)], id="documented"),
        pytest.param([reported(9, private="yes", **DOCUMENTED_FEELING)], id="documented: private is a string"),
        pytest.param([reported(9, private=0, **DOCUMENTED_FEELING)], id="documented: private is a number"),
        pytest.param([reported(9, private=None, **DOCUMENTED_FEELING)], id="documented: private is null"),
        pytest.param(
            [reported(9, private=True, event_type="tool_call_failed", ok=False, **DOCUMENTED_FEELING)],
            id="documented: a failure",
        ),
    ],
)
def test_of_a_private_call_only_counts_survive(lines: Sequence[bytes]) -> None:
    """Its tool, times and outcome; no feeling, no state, no class of exception, no sentence."""
    sent = convert(lines)
    (span,) = sent.spans
    assert scalars(span.attributes).get("ego.private") is True
    kept = {name for one in (*sent.spans, *sent.logs) for name in scalars(one.attributes)}
    assert not kept & {*FELT, "ego.time_phase", "ego.person", "ego.trust_level"}
    assert [name for name, _ in sent.points if name.startswith(TELLING)] == []
    assert b"ValueError" not in sent.raw
    assert sent.bodies() == ["REDACTED"] * len(lines)
    assert sent.total("ego.calls") == 1


@pytest.mark.parametrize("private_first", [True, False])
def test_a_guessed_pair_does_not_tell_of_a_private_call(*, private_first: bool) -> None:
    """Two open calls of one tool, one of them private: nobody knows whose end it is, so neither feeling leaves."""
    sent = convert([invoked(0, private=private_first), invoked(5, private=not private_first), completed(9, **SAYING)])
    assert not {name for one in (*sent.spans, *sent.logs) for name in scalars(one.attributes)} & FELT
    assert [name for name, _ in sent.points if name.startswith(TELLING)] == []


def test_a_call_that_is_not_private_tells_its_feeling() -> None:
    """The test above would pass if nothing ever left; this one says that it does."""
    sent = convert([invoked(0, private=False), completed(9, **SAYING)])
    assert scalars(sent.spans[0].attributes).keys() >= FELT
    assert sent.bodies()[1] == "remember completed in 9 ms, feeling curious 0.62"
    assert sent.series("ego.valence") == [(START_MS + 9, 0.375)]
    assert sent.series("ego.state", parameter="emotion_primary", value="curious") == [(START_MS + 9, 1)]
