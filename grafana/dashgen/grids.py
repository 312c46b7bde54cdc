"""Tables of several questions: a row for each value of a label, a column for each question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common as common_builders

from dashgen.colours import ERROR, SERIES, WARNING
from dashgen.panels import overriding, rows, set_by, transformed
from dashgen.queries import metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.builders import table
    from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, MatcherConfig

_LETTERS: Final = "ABCDEFGHIJKLMNOP"
USD: Final[Mapping[str, Any]] = {"unit": "currencyUSD", "decimals": 4}
SHARE: Final[Mapping[str, Any]] = {
    "unit": "percentunit",
    "decimals": 1,
    "min": 0,
    "max": 1,
    "thresholds": {"mode": "absolute", "steps": [{"color": SERIES[0], "value": None}]},
    "custom__displayMode": "basic",
    "custom__minWidth": 110,
}


def _rising(*colours: tuple[str, float]) -> dict[str, Any]:
    return {
        "mode": "absolute",
        "steps": [
            {"color": "text", "value": None},
            *({"color": colour, "value": value} for colour, value in colours),
        ],
    }


def seconds(slow_s: float) -> dict[str, Any]:
    """Return the properties of a duration."""
    return {
        "unit": "s",
        "decimals": 1,
        "noValue": "-",
        "thresholds": _rising((WARNING, slow_s)),
        "custom__displayMode": "color-text",
        "custom__minWidth": 75,
    }


def rising(part: float) -> dict[str, Any]:
    """Return the properties of a share that should be small: from `part` on it is a fault."""
    return {
        "unit": "percentunit",
        "decimals": 1,
        "thresholds": _rising((WARNING, part / 4), (ERROR, part)),
        "custom__displayMode": "color-text",
        "custom__minWidth": 75,
    }


def grid(
    title: str,
    text: str,
    labels: Mapping[str, str],
    questions: Mapping[str, str],
    overrides: Sequence[tuple[MatcherConfig, list[DynamicConfigValue]]] = (),
    *,
    empty: str,
    sorted_by: str = "",
) -> table.Panel:
    """Return a table: `labels` name the rows (label to heading), `questions` fill the columns (heading to PromQL).

    Whole numbers unless an override says otherwise; the rows with the most of the first column, or `sorted_by`, first.
    """
    letters = dict(zip(_LETTERS, questions, strict=False))
    shown = dict(labels) | {
        f"Value #{letter}" if len(letters) > 1 else "Value": name for letter, name in letters.items()
    }
    panel = rows(
        title,
        text,
        *(metric(questions[name], ref=letter, instant=True, table=True) for letter, name in letters.items()),
    )
    return overriding(
        panel.unit("none")
        .decimals(0)
        .min_width(60)
        .no_value(empty)
        .with_transformation(transformed("merge"))
        .with_transformation(
            transformed(
                "organize",
                excludeByName={"Time": True},
                indexByName={name: place for place, name in enumerate(shown)},
                renameByName=shown,
            )
        )
        .sort_by([common_builders.TableSortByFieldState().display_name(sorted_by or next(iter(questions))).desc(True)]),
        [set_by("byName", name, noValue="-") for name in questions] + list(overrides),
    )
