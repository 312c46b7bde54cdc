"""What panels are made of: a query, thresholds, a panel, a tile. Known to Grafana 9.4 and to 13."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
    Panel: TypeAlias = dict[str, Json]
    Place: TypeAlias = tuple[int, int, int, int]

PROMETHEUS: Final = {"type": "prometheus", "uid": "prometheus"}
LOKI: Final = {"type": "loki", "uid": "loki"}


def metric(
    expression: str, *, legend: str = "", instant: bool = False, ref: str = "A", exemplars: bool = False
) -> dict[str, Json]:
    """Return one query to Prometheus."""
    return {
        "refId": ref,
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
        "exemplar": exemplars,
    }


def steps(*pairs: tuple[float | None, str]) -> dict[str, Json]:
    """Return thresholds: from each value on, its colour; None is minus infinity."""
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in pairs]}


def panel(title: str, kind: str, place: Place, **rest: Json) -> Panel:
    """Return a panel at x, y with width and height, in a grid of 24 columns."""
    x, y, width, height = place
    return {
        "title": title,
        "type": kind,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "datasource": PROMETHEUS,
        **rest,
    }


def tile(title: str, place: Place, target: Json, *, text: str, **defaults: Json) -> Panel:
    """Return a panel of one number, or one word, with what it means as its tooltip."""
    words = "name" if defaults.pop("show_name", False) else "value"
    return panel(
        title,
        "stat",
        place,
        description=text,
        targets=[target],
        fieldConfig={"defaults": {"color": {"mode": "thresholds"}, **defaults}, "overrides": []},
        options={
            "colorMode": "value",
            "graphMode": "area" if words == "value" else "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": words,
        },
    )
