"""Which metrics, labels and attributes a query names, read off its text without a server.

A tokenizer, not a parser: what is no metric in valid PromQL is known by what stands beside it. The stack tests ask
Prometheus itself for the same, so an error here cannot hide one there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)"""
    r"""|(?P<window>\[[^\]]*\])"""
    r"""|(?P<number>\b\d[\w.]*)"""
    r"""|(?P<name>[A-Za-z_:][\w:]*)"""
    r"""|(?P<sign>[{}(),]|=~|!~|!=|[^\s])""",
)
_LISTS: Final = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS: Final = {
    *_LISTS,
    *("and", "or", "unless", "offset", "bool", "anchored", "smoothed", "inf", "nan", "start", "end", "atan2"),
    *("sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile"),
    *("limitk", "limit_ratio"),
}


@dataclass(frozen=True, slots=True)
class Named:
    """What a PromQL expression names. `made`: labels that it makes itself (label_replace, label_join, count_values)."""

    metrics: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Metric -> the labels it is matched by."""
    matchers: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """(label, operator, value)."""
    grouped: set[str] = field(default_factory=set[str])
    made: set[str] = field(default_factory=set[str])


def named_in(promql: str) -> Named:
    """Return what an expression names; Grafana's variables must have been filled in."""
    found = Named()
    tokens = [(one.lastgroup or "", one.group()) for one in _TOKEN.finditer(promql)]
    place = 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        if kind == "name" and text.lower() in _LISTS and following == "(":
            place = _list_end(tokens, place + 1, found.grouped)
        elif text in {"label_replace", "label_join", "count_values"}:
            found.made.add(_made(tokens, place))
        elif text == "{":
            place = _matchers(tokens, place, _before(tokens, place), found)
        elif kind == "name" and text.lower() not in _WORDS and following != "(":
            found.metrics.setdefault(text, set())
        place += 1
    return found


def _before(tokens: list[tuple[str, str]], place: int) -> str:
    return tokens[place - 1][1] if place and tokens[place - 1][0] == "name" else ""


def _list_end(tokens: list[tuple[str, str]], place: int, into: set[str]) -> int:
    while tokens[place][1] != ")":
        if tokens[place][0] == "name":
            into.add(tokens[place][1])
        place += 1
    return place


def _matchers(tokens: list[tuple[str, str]], place: int, metric: str, found: Named) -> int:
    while tokens[place][1] != "}":
        if tokens[place][0] == "name":
            label, operator, value = tokens[place][1], tokens[place + 1][1], tokens[place + 2][1]
            found.matchers.append((label, operator, value[1:-1]))
            if label == "__name__":
                metric = value[1:-1]
            else:
                found.metrics.setdefault(metric, set()).add(label)
            place += 2
        place += 1
    return place


def _made(tokens: list[tuple[str, str]], place: int) -> str:
    """Return the label that a function makes: the first string among its arguments after the expression's own."""
    depth = 0
    for kind, text in tokens[place + 1 :]:
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(text, 0)
        if depth == 1 and kind == "text":
            return text[1:-1]
    return ""


def stream_labels(logql: str) -> list[tuple[str, str, str]]:
    """Return the matchers of LogQL's stream selectors: (label, operator, value)."""
    selectors = re.findall(r"\{([^{}]*)\}", _without_templates(logql))
    pairs = (re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*(?:"((?:\\.|[^"])*)"|`([^`]*)`)', one) for one in selectors)
    return [(label, operator, quoted or ticked) for found in pairs for label, operator, quoted, ticked in found]


def filtered_labels(logql: str) -> set[str]:
    """Return the labels that LogQL filters, keeps or groups by, stream selectors aside."""
    plain = re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`', '""', re.sub(r"\{[^{}]*\}", "", _without_templates(logql)))
    found = set(re.findall(r"(?:\||\band\b|\bor\b|,)\s*(\w+)\s*(?:=~|!~|!=|==|>=|<=|=|>|<)", plain))
    for listed in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", plain):
        found |= set(re.findall(r"\w+", listed))
    for listed in re.findall(r"\|\s*(?:keep|drop)\s+([\w, ]+)", plain):
        found |= set(re.findall(r"\w+", listed))
    return found


def made_labels(logql: str) -> set[str]:
    """Return the labels that LogQL makes itself: by label_format, or by a named group of a pattern."""
    return {*re.findall(r"\|\s*label_format\s+(\w+)=", logql), *re.findall(r"\(\?P<(\w+)>", logql)}


def span_attributes(traceql: str) -> set[str]:
    """Return the attributes that TraceQL names, without their scope."""
    plain = re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`', '""', traceql)
    return set(re.findall(r"(?:span|resource|event)\.([A-Za-z_][\w.]*)", plain))


def _without_templates(logql: str) -> str:
    """Leave out line_format's templates, whose braces are no selectors."""
    return re.sub(r"\{\{.*?\}\}", "", logql)
