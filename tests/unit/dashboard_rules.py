"""What every dashboard keeps to, in the manner of dashboard-linter. A rule returns, in words, what breaks it.

Each is tried on the committed dashboards and on one broken on purpose, in test_dashboards.py.
"""

from __future__ import annotations

import configparser
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from egoscope.cli.palette import EMOTIONS, KIN, emotion_colour
from tests.stack.panels import BUILT_IN, listed, part, seconds, target_of_link, uid_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.stack.panels import Dashboard, Panel

REPOSITORY: Final = Path(__file__).resolve().parents[2]
NAMES: Final = (
    *("now", "history", "logs", "traces", "privacy", "pipeline", "agents", "cost", "flows"),
    *("workers", "host"),
)
UIDS: Final = frozenset(f"egoscope-{name}" for name in NAMES)
TAG: Final = "egoscope"
SOURCES: Final = {
    "prometheus": "prometheus",
    "loki": "loki",
    "tempo": "tempo",
    "alertmanager": "alertmanager",
}
"""uid of a data source that grafana/provisioning makes -> its type."""
COLUMNS: Final = 24
# public/app/plugins/panel of Grafana 9.4, without what it calls old or internal.
PANEL_TYPES: Final = frozenset(
    (
        *("alertlist", "annolist", "barchart", "bargauge", "candlestick", "canvas", "dashlist", "flamegraph", "gauge"),
        *("geomap", "heatmap", "histogram", "logs", "news", "nodeGraph", "piechart", "row", "stat", "state-timeline"),
        *("status-history", "table", "text", "timeseries", "traces", "xychart"),
    )
)
WITHOUT_QUERY: Final = frozenset({"alertlist", "annolist", "dashlist", "news", "row", "text"})
WITH_NUMBERS: Final = frozenset(
    (
        *("barchart", "bargauge", "gauge", "heatmap", "histogram", "piechart", "stat", "state-timeline"),
        *("status-history", "table", "timeseries", "xychart"),
    )
)
# Ids of @grafana/data's unit formats; another id would be shown as a word behind the number.
UNITS: Final = frozenset(
    (
        *(
            "none",
            "string",
            "short",
            "locale",
            "percent",
            "percentunit",
            "bool",
            "bool_yes_no",
            "bool_on_off",
            "ns",
            "µs",
            "ms",
        ),
        *("s", "m", "h", "d", "dtdurationms", "dtdurations", "dthms", "clocks", "timeticks", "dateTimeFromNow"),
        *("dateTimeAsIso", "dateTimeAsIsoNoDateIfToday", "dateTimeAsLocal", "bytes", "decbytes", "bits", "decbits"),
        *("binBps", "Bps", "binbps", "bps", "pps", "cps", "ops", "reqps", "rps", "wps", "iops", "eps", "mps"),
        *("cpm", "opm", "rpm", "wpm", "epm", "mpm", "currencyUSD", "currencyEUR", "currencyJPY"),
    )
)
# What is offered where a dashboard has no list of its own.
GRAFANAS_REFRESHES: Final = ("5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h", "2h", "1d")
LEAST_WORDS: Final = 3


def identity(dashboard: Dashboard) -> Iterator[str]:
    """The uid is the agreed one, for links lead to it; the title, the tag and a description are there."""
    if dashboard.uid not in UIDS or dashboard.uid != f"{TAG}-{dashboard.name}":
        yield f"uid is {dashboard.uid}"
    if TAG not in listed(dashboard.json, "tags"):
        yield f"no tag {TAG}"
    for key in ("title", "description"):
        if not dashboard.json.get(key):
            yield f"no {key}"
    if dashboard.json.get("id") is not None:
        yield "an id of some database is in the file"


def refresh(dashboard: Dashboard) -> Iterator[str]:
    """It refreshes by itself, and not quicker than grafana.ini lets it."""
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "grafana" / "grafana.ini")
    least = seconds(settings["dashboards"]["min_refresh_interval"])
    chosen = str(dashboard.json.get("refresh") or "")
    if not chosen:
        yield "no refresh"
    elif seconds(chosen) < least:
        yield f"refresh {chosen} is below min_refresh_interval"
    elif chosen not in (listed(dashboard.json, "timepicker", "refresh_intervals") or GRAFANAS_REFRESHES):
        yield f"refresh {chosen} is none of the offered ones: a page's address that names it is not kept to"
    if dashboard.json.get("editable") is not False:
        yield "can be edited, though provisioning would lose it"
    if not str(part(dashboard.json, "time", "from")).startswith("now-"):
        yield "the default range does not end now"


def navigation(dashboard: Dashboard) -> Iterator[str]:
    """It leads to the others, and the time range and the variables go with it."""
    ours = [one for one in listed(dashboard.json, "links") if TAG in listed(one, "tags")]
    if not any(one.get("type") == "dashboards" and one.get("keepTime") and one.get("includeVars") for one in ours):
        yield "no link to the other dashboards that keeps time and variables"


def words(dashboard: Dashboard) -> Iterator[str]:
    """Every panel says what it is and, in a sentence, what it means; a heading of text is its own title."""
    for panel in dashboard.panels:
        if panel.type == "text" and panel.json.get("transparent"):
            continue
        if not panel.title.strip():
            yield f"{panel.name}: no title"
        if len(str(panel.json.get("description", "")).split()) < LEAST_WORDS:
            yield f"{panel.name}: no description"
    titles = Counter(panel.title for panel in dashboard.panels if panel.title)
    yield from (f"two panels are called {title}" for title, count in titles.items() if count > 1)


def types(dashboard: Dashboard) -> Iterator[str]:
    """Only panels that Grafana 9.4 can draw, each with a number of its own."""
    for panel in dashboard.panels:
        if panel.type not in PANEL_TYPES:
            yield f"{panel.name}: Grafana 9.4 knows no panel {panel.type}"
    ids = Counter(panel.json.get("id") for panel in dashboard.panels)
    yield from (f"panel id {one} stands {count} times" for one, count in ids.items() if count > 1 or not one)


def sources(dashboard: Dashboard) -> Iterator[str]:
    """Every query goes to a data source by its uid, and the type beside it is that source's."""
    for panel in dashboard.panels:
        if panel.type not in WITHOUT_QUERY and not panel.targets:
            yield f"{panel.name}: no query"
        references = [panel.json.get("datasource"), *(one.get("datasource") for one in panel.targets)]
        if panel.targets and not all(panel.source_of(one) for one in panel.targets):
            yield f"{panel.name}: a query without a data source"
        for one in filter(None, references):
            yield from (f"{panel.name}: {fault}" for fault in _source_faults(one))
    for one in dashboard.annotations:
        yield from (f"annotation {one.get('name')}: {fault}" for fault in _source_faults(one.get("datasource")))
    for variable in dashboard.variables:
        if variable.text:
            reference = variable.json.get("datasource")
            yield from (f"variable {variable.name}: {fault}" for fault in _source_faults(reference))


def _source_faults(reference: Any) -> Iterator[str]:
    uid = uid_of(reference)
    if not isinstance(reference, dict) or not uid:
        yield "a data source not named by uid"
    elif uid not in BUILT_IN and uid not in SOURCES:
        yield f"no data source has the uid {uid}"
    elif uid in SOURCES and reference.get("type") != SOURCES[uid]:  # pyright: ignore[reportUnknownMemberType]
        yield f"the data source {uid} is of another type"


def units(dashboard: Dashboard) -> Iterator[str]:
    """Where numbers are shown they have a unit that Grafana knows; a row of text needs none."""
    for panel in dashboard.panels:
        given = [panel.defaults.get("unit"), *panel.overridden("unit")]
        if panel.type == "heatmap":
            given.append(part(panel.json, "options", "yAxis", "unit"))
        given = [one for one in given if one]
        if panel.type in WITH_NUMBERS and not given and not _shows_names(panel):
            yield f"{panel.name}: no unit"
        for one in given:
            if one not in UNITS and not re.match(r"(suffix|prefix|si|time|currency|count|bool):", str(one)):
                yield f"{panel.name}: Grafana knows no unit {one}"


def _shows_names(panel: Panel) -> bool:
    return panel.type == "stat" and part(panel.json, "options", "textMode") == "name"


def queries(dashboard: Dashboard) -> Iterator[str]:
    """Every query has a letter of its own and, if it has series, a legend; none is switched off or empty."""
    for panel in dashboard.panels:
        letters = Counter(str(one.get("refId", "")) for one in panel.targets)
        yield from (f"{panel.name}: refId '{one}'" for one, count in letters.items() if count > 1 or not one)
        for target in panel.targets:
            source = panel.source_of(target)
            if source in BUILT_IN:
                continue
            if target.get("hide"):
                yield f"{panel.name}: query {target.get('refId')} is switched off"
            if not (target.get("expr") or target.get("query")):
                yield f"{panel.name}: query {target.get('refId')} is empty"
            if source == "prometheus":
                if not target.get("legendFormat"):
                    yield f"{panel.name}: query {target.get('refId')} has no legend"
                if bool(target.get("instant")) == bool(target.get("range")):
                    yield f"{panel.name}: query {target.get('refId')} must be either instant or a range"
    for one in dashboard.queries():
        if one.source == "prometheus" and re.search(r"\bincrease\((?!.*\banchored\b)", one.text, re.DOTALL):
            yield f"{one.what}: increase() counts exactly only when anchored"
        if "$__auto" in one.text:
            yield f"{one.what}: Grafana 9.4 knows no $__auto"


def grid(dashboard: Dashboard) -> Iterator[str]:
    """Panels lie within the 24 columns and on no other panel."""
    placed = [(panel, _place(panel)) for panel in dashboard.panels]
    for panel, at in placed:
        if not {"x", "y", "w", "h"} <= at.keys() or at["w"] < 1 or at["h"] < 1:
            yield f"{panel.name}: no place on the grid"
            return
        if at["x"] < 0 or at["x"] + at["w"] > COLUMNS:
            yield f"{panel.name}: beyond the {COLUMNS} columns"
    for (one, at), (other, there) in combinations(placed, 2):
        if _meet(at, there):
            yield f"{one.name} lies on {other.name}"


def _place(panel: Panel) -> Mapping[str, int]:
    return part(panel.json, "gridPos") or {}


def _meet(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[length] and other[at] < one[at] + one[length]
        for at, length in (("x", "w"), ("y", "h"))
    )


def emotions(dashboard: Dashboard) -> Iterator[str]:
    """An emotion has one colour everywhere: the palette's, which the terminal uses too."""
    known = {*EMOTIONS, *KIN}
    for panel in dashboard.panels:
        for name, colour in _coloured_words(panel):
            if name in known and colour.upper() != emotion_colour(name).upper():
                yield f"{panel.name}: {name} is {colour}, not {emotion_colour(name)}"


def _coloured_words(panel: Panel) -> Iterator[tuple[str, str]]:
    for override in panel.overrides:
        matched = str(override["matcher"].get("options", "")).strip("/^$")
        for one in override["properties"]:
            if one["id"] == "color" and "fixedColor" in (one.get("value") or {}):
                yield matched, str(one["value"]["fixedColor"])
    mappings = [*listed(panel.defaults, "mappings"), *(one for all_ in panel.overridden("mappings") for one in all_)]
    for mapping in mappings:
        if mapping.get("type") == "value":
            for word, result in mapping["options"].items():
                yield word, str(result.get("color") or "")
                yield str(result.get("text") or ""), str(result.get("color") or "")


def links(dashboard: Dashboard) -> Iterator[str]:
    """A link leads to one of ours by its uid, with the time range; the variables of the page go with it or by name."""
    for where, address in dashboard.links():
        leads = target_of_link(address)
        if leads is None:
            if "/d/" in address or not address.startswith(("/explore", "/alerting", "https://", "${")):
                yield f"{where}: leads to {address}"
            continue
        if leads[0] not in UIDS:
            yield f"{where}: no dashboard has the uid {leads[0]}"
        if "${__url_time_range}" not in address and not re.search(r"[?&]from=.*&to=", address):
            yield f"{where}: the time range is lost"


def variables(dashboard: Dashboard) -> Iterator[str]:
    """Every variable that is used is defined, and every one that is defined is used."""
    text = _asking_text({**dashboard.json, "templating": {"list": []}, "uid": "", "title": ""})
    chained = {one.name: set(_used(_asking_text(dict(one.json)))) - {one.name} for one in dashboard.variables}
    defined, used = set(chained), {*_used(text), *(name for names in chained.values() for name in names)}
    yield from (f"${name} is not defined" for name in sorted(used - defined))
    yield from (f"${name} is never used" for name in sorted(defined - used))
    place = {one.name: at for at, one in enumerate(dashboard.variables)}
    for name, needed in chained.items():
        yield from (f"${name} stands before ${one} that it needs" for one in needed if place.get(one, -1) > place[name])


def _asking_text(node: Any) -> str:
    """Return all text below a node, line by line."""
    if isinstance(node, dict):
        return "\n".join(map(_asking_text, node.values()))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(node, list):
        return "\n".join(map(_asking_text, node))  # pyright: ignore[reportUnknownArgumentType]
    return node if isinstance(node, str) else ""


def _used(text: str) -> Iterator[str]:
    for one in re.finditer(r"\$\{([A-Za-z_]\w*)|\$([A-Za-z_]\w*)|\[\[(\w+)\]\]", text):
        name = one[1] or one[2] or one[3]
        if not name.startswith("__"):
            yield name
