"""One question of a committed dashboard, and the look at it, to ask it without Grafana."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.stack.interpolation import view
from tests.stack.panels import dashboards

if TYPE_CHECKING:
    from tests.stack.interpolation import View
    from tests.stack.panels import Dashboard, Panel, Query


def named(name: str) -> Dashboard:
    """Return the dashboard of a file."""
    (found,) = (one for one in dashboards() if one.name == name)
    return found


def titled(dashboard: Dashboard, title: str) -> Panel:
    """Return the panel of a title."""
    (found,) = (one for one in dashboard.panels if one.title == title)
    return found


def asked(dashboard: Dashboard, panel: str, legend: str = "") -> Query:
    """Return a panel's question; by its legend where it has several."""
    targets = titled(dashboard, panel).targets
    (letter,) = (one["refId"] for one in targets if not legend or one.get("legendFormat") == legend)
    return lettered(dashboard, panel, letter)


def lettered(dashboard: Dashboard, panel: str, letter: str) -> Query:
    """Return a panel's question by its letter."""
    (query,) = (one for one in dashboard.queries() if one.what == f"{panel} / {letter}")
    return query


def column(dashboard: Dashboard, panel: str, heading: str) -> Query:
    """Return the question whose answers stand under a heading of a table."""
    names = next(
        one["options"]["renameByName"]
        for one in titled(dashboard, panel).json["transformations"]
        if one["id"] == "organize"
    )
    (value,) = (value for value, name in names.items() if name == heading)
    return lettered(dashboard, panel, value.removeprefix("Value #"))


def looked(dashboard: Dashboard, end_s: float, range_s: float, *, host: str = "") -> View:
    """Return the look at a dashboard as it opens, or with a machine chosen."""
    # Numbers that Prometheus would be asked for; any will do.
    found = {one.name: ["3600"] for one in dashboard.variables if one.json.get("hide")}
    opened = view(end_s - range_s, end_s, dashboard.variables, found)
    if not host:
        return opened
    return replace(opened, chosen={**opened.chosen, "host": [host]}, literal=opened.literal - {"host"})
