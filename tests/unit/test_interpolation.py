"""tests/stack/interpolation.py fills in variables as Grafana does; cases read off Grafana 9.4's own tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.stack.interpolation import UnknownVariableError, View, view
from tests.stack.panels import Query, Variable, seconds, target_of_link

HOUR = 3600.0
LOOK = View(
    start_s=1_000_000.0,
    end_s=1_000_000.0 + 6 * HOUR,
    chosen={"tool": ["recall", "wake.up"], "one": ["wake.up"], "text": 'a "b"', "every": ".*"},
    literal=frozenset({"every"}),
)


def asked(text: str, **more: Any) -> Query:
    whole: dict[str, Any] = {"what": "a panel", "source": "prometheus", "text": text, **more}
    return Query(**whole)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        pytest.param("x[$__range]", "x[21600s]", id="the range, in seconds"),
        pytest.param("x * $__range_s", "x * 21600", id="the range as a number"),
        pytest.param("x[$__interval]", "x[20s]", id="the interval is rounded to one that people read"),
        pytest.param("x[${__interval}]", "x[20s]", id="in braces it is the same"),
        pytest.param("x[$__rate_interval]", "x[60s]", id="the rate interval is four scrapes at the least"),
        pytest.param("$__from $__to", "1000000000 1021600000", id="the ends, in milliseconds"),
        pytest.param('{t=~"$tool"}', r'{t=~"(recall|wake\\.up)"}', id="several values are alternatives, dots escaped"),
        pytest.param('{t=~"$one"}', r'{t=~"wake\\.up"}', id="one of several values stands alone"),
        pytest.param('{t=~"$every"}', '{t=~".*"}', id="an allValue stands as it is"),
        pytest.param('{t="$text"}', r'{t="a \"b\""}', id="quotes are escaped"),
        pytest.param("${tool:regex}", r"(recall|wake\.up)", id="regex"),
        pytest.param("${tool:pipe}", "recall|wake.up", id="pipe"),
        pytest.param("${tool:csv}", "recall,wake.up", id="csv"),
        pytest.param("${text:raw}", 'a "b"', id="raw"),
        pytest.param('label_replace(x, "a", "$1", "b", "(.*)$")', 'label_replace(x, "a", "$1", "b", "(.*)$")', id="$1"),
    ],
)
def test_a_variable_is_filled_in(text: str, filled: str) -> None:
    assert LOOK.filled(asked(text)) == filled


@pytest.mark.parametrize(
    ("range_s", "more", "step_s"),
    [
        pytest.param(900, {}, 15, id="no step below the scrape interval of the data source"),
        pytest.param(900, {"source": "loki"}, 1, id="Loki has none"),
        pytest.param(86_400, {}, 60, id="a day: one minute"),
        pytest.param(604_800, {}, 600, id="a week: ten minutes"),
        pytest.param(86_400, {"points": 60}, 1200, id="fewer points, longer steps"),
    ],
)
def test_the_step_is_grafanas(range_s: float, more: dict[str, Any], step_s: float) -> None:
    assert View(start_s=0, end_s=range_s).step_s(asked("x", **more)) == step_s


def test_an_undefined_variable_is_an_error() -> None:
    with pytest.raises(UnknownVariableError, match="level"):
        LOOK.filled(asked("$level"))


def test_a_panels_own_range_stands_in_place_of_the_dashboards() -> None:
    now = 1_700_000_000.0
    look = View(start_s=now - HOUR, end_s=now)
    assert look.narrowed(asked("x", since="24h")).range_s == 86_400
    assert look.narrowed(asked("x", since="now/d")).start_s % 86_400 == 0
    assert look.narrowed(asked("x", shift="1d")).end_s == now - 86_400
    month = look.narrowed(asked("x", since="now/M"))
    assert datetime.fromtimestamp(month.start_s, UTC) == datetime(2023, 11, 1, tzinfo=UTC)
    today = look.narrowed(asked("x", since="1h", shift="0d/d"))
    assert (today.start_s % 86_400, today.range_s) == (0, 86_400)
    assert today.start_s < now < today.end_s


def test_all_is_the_allvalue_or_every_value_there_is() -> None:
    every = Variable({"name": "a", "type": "query", "current": {"value": ["$__all"]}, "allValue": ".*"})
    listed = Variable({"name": "b", "type": "query", "current": {"value": "$__all"}})
    look = view(0, 1, [every, listed], {"b": ["x", "y"]})
    assert look.filled(asked("$a $b")) == ".* (x|y)"


def test_durations_and_links_are_read() -> None:
    assert [seconds(one) for one in ("15s", "1m", "500ms", "1d", ">1m")] == [15, 60, 0.5, 86_400, 60]
    assert target_of_link("/d/egoscope-logs?${__url_time_range}&var-tool=${__field.labels.tool}&x=1") == (
        "egoscope-logs",
        ["tool"],
    )
    assert target_of_link("https://example.org/") is None
