"""What the committed dashboards ask: every panel, query, annotation, variable and link, read from their JSON alone."""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FOLDER: Final = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
BUILT_IN: Final = frozenset({"-- Grafana --", "-- Dashboard --", "-- Mixed --", "grafana"})
"""Data sources that are part of Grafana; nothing is asked of a server of ours."""
ALL: Final = "$__all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question to a data source. `what`: where it stands, in words."""

    what: str
    source: str
    """The data source's uid."""
    text: str
    instant: bool = False
    least_step_s: float = 0
    points: int = 1000
    kind: str = "query"
    """`query` of a panel, `annotation` or `variable`."""
    lines: int = 1000
    since: str = ""
    """A panel's own range that stands in place of the dashboard's: `24h`, or `now/d`."""
    shift: str = ""
    """How far back a panel's range is moved: `1d`, or `0d/d` for the whole days it touches."""
    exemplars: bool = False
    """Whether exemplars are asked for too."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a dashboard, in Grafana's JSON."""

    json: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name in `$name`."""
        return self.json["name"]

    @property
    def source(self) -> str:
        """The uid of the data source that gives its values; empty where they stand in the dashboard itself."""
        return uid_of(self.json.get("datasource"))

    @property
    def text(self) -> str:
        """The question that gives its values; empty where they stand in the dashboard itself."""
        if self.json["type"] != "query":
            return ""
        asked = self.json["query"]
        return asked if isinstance(asked, str) else str(asked["query"])

    @property
    def value(self) -> str | list[str]:
        """What is chosen when the dashboard is opened; `$__all` for all."""
        chosen: str | list[str] = part(self.json, "current", "value") or ""
        if isinstance(chosen, list) and ALL in chosen:
            return ALL
        return chosen or ("" if self.text else self.json.get("query", ""))

    def matched(self, answer: str) -> str | None:
        """Return the value that its regular expression takes out of an answer, None where it takes none."""
        given = str(self.json.get("regex") or "")
        if not given:
            return answer
        pattern = re.fullmatch(r"/(.*)/[a-z]*", given, re.DOTALL)
        found = re.search((pattern[1] if pattern else given).replace("(?<", "(?P<"), answer)
        if not found:
            return None
        named = found.groupdict()
        return named.get("value") or named.get("text") or (found[1] if found.groups() else found[0])


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, in Grafana's JSON."""

    json: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> int:
        """Its number on the dashboard."""
        return self.json["id"]

    @property
    def type(self) -> str:
        """The plugin that draws it."""
        return self.json["type"]

    @property
    def title(self) -> str:
        """What stands above it."""
        return str(self.json.get("title", ""))

    @property
    def name(self) -> str:
        """Its title, or what it is called in a test where it has none."""
        return self.title or f"panel {self.json.get('id')}"

    @property
    def targets(self) -> Sequence[Mapping[str, Any]]:
        """Its queries, in Grafana's JSON."""
        return listed(self.json, "targets")

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What holds for all its fields."""
        return part(self.json, "fieldConfig", "defaults") or {}

    @property
    def overrides(self) -> Sequence[Mapping[str, Any]]:
        """What holds for some of its fields."""
        return listed(self.json, "fieldConfig", "overrides")

    def overridden(self, prop: str) -> list[Any]:
        """Return every value that an override gives a property."""
        return [one.get("value") for all_ in self.overrides for one in listed(all_, "properties") if one["id"] == prop]

    def source_of(self, target: Mapping[str, Any]) -> str:
        """Return the uid of the data source a query of it goes to."""
        return uid_of(target.get("datasource")) or uid_of(self.json.get("datasource"))


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard, in Grafana's JSON. `name`: its file's."""

    name: str
    json: Mapping[str, Any] = field(repr=False)

    @property
    def uid(self) -> str:
        """Its uid in Grafana's addresses."""
        return self.json["uid"]

    @property
    def panels(self) -> list[Panel]:
        """All panels, those in folded rows included, rows themselves not."""
        return [panel for panel in map(Panel, _panels(self.json)) if panel.type != "row"]

    @property
    def unfolded(self) -> list[Panel]:
        """The panels that are there when it is opened."""
        return [panel for panel in map(Panel, listed(self.json, "panels")) if panel.type != "row"]

    @property
    def rows(self) -> list[Panel]:
        """The rows that are folded when it is opened."""
        return [panel for panel in map(Panel, listed(self.json, "panels")) if listed(panel.json, "panels")]

    @property
    def variables(self) -> list[Variable]:
        """Its variables, in their order."""
        return [Variable(one) for one in listed(self.json, "templating", "list")]

    @property
    def annotations(self) -> list[Mapping[str, Any]]:
        """What is marked on its graphs; Grafana's own built-in one not."""
        return [
            one for one in listed(self.json, "annotations", "list") if uid_of(one.get("datasource")) not in BUILT_IN
        ]

    def queries(self) -> Iterator[Query]:
        """Yield everything that it asks of a data source of ours."""
        for panel in self.panels:
            for target in panel.targets:
                source = panel.source_of(target)
                if source not in BUILT_IN and not target.get("hide"):
                    yield _of_target(panel, target, source)
        for one in self.annotations:
            yield Query(
                what=f"annotation {one['name']}",
                source=uid_of(one.get("datasource")),
                text=str(one.get("expr", "")),
                least_step_s=seconds(str(one.get("step") or "0s")),
                kind="annotation",
            )
        for variable in self.variables:
            if variable.text:
                yield Query(
                    what=f"variable {variable.name}", source=variable.source, text=variable.text, kind="variable"
                )

    def links(self) -> Iterator[tuple[str, str]]:
        """Yield every link as (where it stands, its address): the dashboard's, the panels' and the fields'."""
        for one in listed(self.json, "links"):
            if one.get("type") == "link":
                yield "dashboard link", str(one["url"])
        for panel in self.panels:
            found = [*listed(panel.json, "links"), *listed(panel.defaults, "links")]
            for value in panel.overridden("links"):
                found += value
            for link in found:
                yield panel.name, str(link["url"])


def dashboards(folder: Path = FOLDER) -> list[Dashboard]:
    """Return all committed dashboards, by name."""
    return [Dashboard(path.stem, json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]


def part(node: Any, *keys: str) -> Any:
    """Return what stands at a path in the JSON, None where the path ends early."""
    found = node
    for key in keys:
        found = found.get(key) if found else None
    return found


def listed(node: Any, *keys: str) -> list[Any]:
    """Return the list at a path in the JSON, empty where there is none."""
    return list(part(node, *keys) or ())


def uid_of(source: Any) -> str:
    """Return a data source reference's uid; empty where there is none."""
    return source if isinstance(source, str) else str(part(source, "uid") or "")


def seconds(duration: str) -> float:
    """Return Grafana's `15s`, `1m`, `500ms` in seconds."""
    found = re.fullmatch(r">?(\d+(?:\.\d+)?)(ms|s|m|h|d|w|)", duration)
    if not found:
        message = f"no duration: {duration}"
        raise ValueError(message)
    units = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return float(found[1]) * units[found[2]]


def target_of_link(address: str) -> tuple[str, list[str]] | None:
    """Return the dashboard's uid and the names of the variables a link hands on; None where it leads elsewhere."""
    found = re.match(r"(?:\$\{__from:raw\})?/d/([\w-]+)", address)
    if not found:
        return None
    # Variables of Grafana's own stand as `${…}` and are no pairs; what is in braces may hold anything.
    plain = re.sub(r"\$\{[^}]*\}", "x", address)
    names = [name for name, _ in urllib.parse.parse_qsl(urllib.parse.urlsplit(plain).query, keep_blank_values=True)]
    return found[1], [name.removeprefix("var-") for name in names if name.startswith("var-")]


def _panels(whole: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in listed(whole, "panels"):
        yield panel
        yield from _panels(panel)


def _of_target(panel: Panel, target: Mapping[str, Any], source: str) -> Query:
    least = target.get("interval") or panel.json.get("interval") or "0s"
    return Query(
        what=f"{panel.name} / {target.get('refId')}",
        source=source,
        text=str(target.get("expr") or target.get("query") or ""),
        instant=bool(target.get("instant")) or target.get("queryType") == "instant",
        least_step_s=seconds(str(least)) if not str(least).startswith("$") else 0,
        points=int(panel.json.get("maxDataPoints") or target.get("maxDataPoints") or 1000),
        lines=int(target.get("maxLines") or target.get("limit") or 1000),
        since=str(panel.json.get("timeFrom") or ""),
        shift=str(panel.json.get("timeShift") or ""),
        exemplars=bool(target.get("exemplar")),
    )
