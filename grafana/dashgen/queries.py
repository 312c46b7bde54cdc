"""Queries, apart from the panels that show them. Names of metrics and labels come from egoscope's own catalogue.

`anchored` counts exactly where plain increase() extrapolates (Prometheus: promql-extended-range-selectors).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import loki as loki_builders
from grafana_foundation_sdk.builders import prometheus as prometheus_builders
from grafana_foundation_sdk.builders import tempo as tempo_builders
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from egoscope.convert.catalogue import Metric

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
LOKI: Final = DataSourceRef(type_val="loki", uid="loki")
TEMPO: Final = DataSourceRef(type_val="tempo", uid="tempo")

# Made by the Collector, not by the sidecar: see collector-config/collector.yaml.
REMOVALS: Final = "egoscope_second_layer_removals_total"
SPAN_DURATION: Final = "traces_span_metrics_duration_seconds"


def label(attribute: str) -> str:
    """Return an attribute's name as Prometheus and Loki write it."""
    return re.sub(r"\W", "_", attribute)


# What the variables at the top of a dashboard leave of a metric.
HOST: Final = f'{label(s.HOST_NAME)}=~"$host"'
"""All of them by `.*`, which what has no such label matches, too: everything, where nobody named a machine."""
CHOSEN: Final = f'instance=~"$instance", {HOST}'
CHOSEN_TOOL: Final = f'{s.TOOL}=~"$tool"'
CHOSEN_PERSON: Final = f'{s.LABEL_PERSON}=~"$person"'
CHOSEN_AGENT: Final = f'{s.AGENT}=~"$agent"'
CHOSEN_MODEL: Final = f'{s.MODEL}=~"$model"'
DATABASE: Final = f'instance=~"$database", {HOST}'
"""Of agents and flows: each database is an instance, as each log file is."""
FAILED: Final = f'{s.LABEL_OUTCOME}!="ok"'
SERVED_TOOL: Final = f'{label(s.GEN_AI_TOOL_NAME)}=~"$tool"'


# The agents' lines, not the sidecar's own: its audit has a service name of its own.
AGENTS_LINES: Final = (
    f'{{{label(s.SERVICE_NAME)}=~".+", {label(s.SERVICE_NAME)}!="{s.SCOPE_NAME}", '
    f'{label(s.SERVICE_INSTANCE_ID)}=~"$instance"}} | {HOST}'
)


# Without the lines that stand for rows of databases.
LOG_FILES_LINES: Final = AGENTS_LINES.replace(f'!="{s.SCOPE_NAME}"', f'!~"{s.SCOPE_NAME}|kagura|illumo|koubou"')
# A span without a name of its machine matches no pattern, not even `.*`. The order matters: Tempo 3 finds nothing where
# the comparison of two constants stands first. In backquotes a pattern's backslashes need no other.
HOST_SPANS: Final = f'(resource.{s.HOST_NAME} =~ `${{host:regex}}` || `${{host:regex}}` = ".*")'


def of(metric: Metric | str, *matchers: str) -> str:
    """Return the selector of a metric: `name{a="b", c=~"d"}`."""
    name = metric if isinstance(metric, str) else metric.prometheus
    return f"{name}{{{', '.join(matchers)}}}" if matchers else name


def own(metric: Metric, *matchers: str) -> str:
    """Return the selector of what the sidecars of the chosen machines tell of themselves."""
    return of(metric, HOST, *matchers)


def counted(selector: str, window: str = "$__range", *, by: str = "") -> str:
    """Return how much counters rose within a window, exactly; by labels (comma-separated) or in all."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (increase({selector}[{window}] anchored))"


def grown(selector: str, window: str = "$__range", *, by: str = "") -> str:
    """Return how much a scraped counter rose that may not be there before it has something to count.

    Such a counter appears with its first value and no zero before it: then all it holds is its rise.
    """
    grouping = f" by ({by})" if by else ""
    new = f"last_over_time({selector}[{window}]) unless {selector} offset {window}"
    return f"sum{grouping} (({new}) or increase({selector}[{window}] anchored))"


def share(part: str, whole: str, window: str = "$__range") -> str:
    """Return what share of one counter's rise another's is: nothing while there is no whole."""
    return f"({counted(part, window)} or vector(0)) / ({counted(whole, window)} > 0)"


def quantile(fraction: float | str, window: str, *matchers: str, by: str = "") -> str:
    """Return a quantile of the duration of calls, in seconds."""
    return quantile_of(fraction, of(f"{c.OPERATION_DURATION.prometheus}_bucket", CHOSEN, *matchers), window, by=by)


def quantile_of(fraction: float | str, buckets: str, window: str = "$__range", *, by: str = "") -> str:
    """Return a quantile of what a histogram holds; `buckets` selects its buckets."""
    return f"histogram_quantile({fraction}, {counted(buckets, window, by=', '.join(filter(None, ('le', by))))})"


def relabelled(expression: str, **sources: str) -> str:
    """Return the same under other labels: `to=label` each; what has one set of labels in the end is added up."""
    for to, source in sources.items():
        expression = f'label_replace({expression}, "{to}", "$1", "{source}", "(.*)")'
    return f"sum by ({', '.join(sources)}) ({expression})"


def metric(
    expression: str,
    *,
    legend: str = "__auto",
    instant: bool = False,
    ref: str = "A",
    exemplars: bool = False,
    table: bool = False,
    heatmap: bool = False,
    interval: str = "",
) -> prometheus_builders.Dataquery:
    """Return a query to Prometheus: a range of values, or with `instant` those at the end of the range."""
    query = (
        prometheus_builders.Dataquery()
        .ref_id(ref)
        .datasource(PROMETHEUS)
        .editor_mode(QueryEditorMode.CODE)
        .expr(expression)
        .legend_format(legend)
        .exemplar(exemplars)
    )
    if table or heatmap:
        query.format(PromQueryFormat.TABLE if table else PromQueryFormat.HEATMAP)
    if interval:
        query.interval(interval)
    return query.instant() if instant else query.range()


def logs(expression: str, *, ref: str = "A", legend: str = "", limit: int = 0) -> loki_builders.Dataquery:
    """Return a query to Loki: lines, or a metric over lines."""
    query = loki_builders.Dataquery().ref_id(ref).datasource(LOKI).expr(expression).query_type("range")
    if legend:
        query.legend_format(legend)
    return query.max_lines(limit) if limit else query


def traces(traceql: str, *, ref: str = "A", limit: int = 50) -> tempo_builders.Dataquery:
    """Return a TraceQL search; a bare trace id shows that trace."""
    return tempo_builders.Dataquery().ref_id(ref).datasource(TEMPO).query_type("traceql").query(traceql).limit(limit)
