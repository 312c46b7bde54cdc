"""Panels as this project draws them: one function a kind, with what all of its kind have in common.

Each returns the SDK's builder, so that what is special to one panel is said where it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    piechart,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import (
    common as common_builders,
)
from grafana_foundation_sdk.builders import (
    heatmap as heatmap_builders,
)
from grafana_foundation_sdk.builders import (
    logs as logs_builders,
)
from grafana_foundation_sdk.builders import (
    table as table_builders,
)
from grafana_foundation_sdk.builders import (
    text as text_builders,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, Row
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    GridPos,
    MatcherConfig,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.piechart import PieChartType
from grafana_foundation_sdk.models.text import TextMode

from dashgen.colours import CALM, by_name, emotions, steps
from dashgen.queries import LOKI, PROMETHEUS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.variants import Dataquery

EVERY: Final = "15s"
"""No bar is narrower: the sidecar keeps a living series alive with a point every 15 s."""


# Between whole numbers Grafana marks nothing on an axis, and would write there what stands for no value.
NO_MARK: Final = SpecialValueMap(
    options=DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL, result=ValueMappingResult(text="", index=0))
)


class _Placeable(Protocol):
    def grid_pos(self, grid_pos: GridPos) -> object: ...


Placed = TypeVar("Placed", bound=_Placeable)


def at(x: int, y: int, width: int, height: int, panel: Placed) -> Placed:
    """Place a panel on the grid of 24 columns; a row is 30 pixels and a gap of 8."""
    panel.grid_pos(GridPos(x=x, y=y, w=width, h=height))
    return panel


def heading(y: int, title: str) -> Row:
    """Return a row's title: it folds what stands below it, down to the next."""
    return at(0, y, 24, 1, Row(title).collapsed(False))


def tile(title: str, text: str, *queries: Builder[Dataquery], name: bool = False) -> stat.Panel:
    """Return a panel of one number, or with `name` of the name of what is so; `text` says what it means."""
    return (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .targets(list(queries))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.NAME if name else common.BigValueTextMode.VALUE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(steps((None, CALM)))
    )


def _graph(title: str, text: str, queries: Sequence[Builder[Dataquery]]) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .interval(EVERY)
        .targets(list(queries))
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    )


def lines(title: str, text: str, *queries: Builder[Dataquery]) -> timeseries.Panel:
    """Return values over time as lines; a gap of more than a minute stays a gap."""
    return (
        _graph(title, text, queries)
        .draw_style(common.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(6)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(60_000)
        .legend(legend())
    )


def bars(
    title: str, text: str, *queries: Builder[Dataquery], points: int = 80, downwards: bool = False
) -> timeseries.Panel:
    """Return counts over time as stacked bars, at most `points` of them; the legend tells the sum.

    `downwards`: some of them are drawn below zero, as an override says.
    """
    stacked = (
        _graph(title, text, queries)
        .max_data_points(points)
        .draw_style(common.GraphDrawStyle.BARS)
        .line_width(0)
        .fill_opacity(85)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .unit("short")
        .decimals(0)
        .mappings([NO_MARK])
        .legend(legend(sums=True))
    )
    return stacked if downwards else stacked.min(0)


def legend(*, sums: bool = False, shown: bool = True) -> common_builders.VizLegendOptions:
    """Return a legend: names below the graph, or a table with the sums beside it."""
    options = common_builders.VizLegendOptions().show_legend(shown)
    if sums:
        return (
            options.display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.RIGHT)
            .calcs(["sum"])
            .sort_by("Total")
            .sort_desc(True)
        )
    return options.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM).calcs([])


def lanes(title: str, text: str, *queries: Builder[Dataquery]) -> statetimeline.Panel:
    """Return states over time, a lane each."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .interval(EVERY)
        .targets(list(queries))
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.85)
        .fill_opacity(90)
        .line_width(0)
        .unit("short")
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(legend(shown=False))
    )


def meters(title: str, text: str, *queries: Builder[Dataquery]) -> bargauge.Panel:
    """Return one horizontal bar a series, filled to its latest value."""
    return (
        bargauge.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .targets(list(queries))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .min_viz_height(10)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(steps((None, CALM)))
    )


def pie(title: str, text: str, *queries: Builder[Dataquery]) -> piechart.Panel:
    """Return shares of a whole as a ring."""
    return (
        piechart.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .targets(list(queries))
        .pie_type(PieChartType.DONUT)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    )


def heat(title: str, text: str, *queries: Builder[Dataquery], scheme: str = "Viridis") -> heatmap_builders.Panel:
    """Return buckets over time, coloured by how much is in each; the buckets come ready from the query."""
    colours = (
        heatmap_builders.HeatmapColorOptions()
        .mode(HeatmapColorMode.SCHEME)
        .scheme(scheme)
        .steps(64)
        .exponent(0.5)
        .min(0)
    )
    return (
        heatmap_builders.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .interval(EVERY)
        .targets(list(queries))
        .calculate(False)
        .color(colours)
        .cell_gap(1)
        .show_legend()
    )


def rows(title: str, text: str, *queries: Builder[Dataquery]) -> table_builders.Panel:
    """Return a table."""
    return (
        table_builders.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .targets(list(queries))
        .show_header(True)
        .thresholds(steps((None, CALM)))
    )


def log_lines(title: str, text: str, *queries: Builder[Dataquery]) -> logs_builders.Panel:
    """Return log lines, newest first; each can be opened to its attributes and leads to its trace."""
    return (
        logs_builders.Panel()
        .title(title)
        .description(text)
        .datasource(LOKI)
        .targets(list(queries))
        .show_time(True)
        .wrap_log_message(False)
        .enable_log_details(True)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .dedup_strategy(common.LogsDedupStrategy.NONE)
        .show_labels(False)
        .show_common_labels(False)
        .prettify_log_message(False)
    )


def words(title: str, markdown: str, *, text: str = "") -> text_builders.Panel:
    """Return a panel of text; without a title it is a heading of its own."""
    return (
        text_builders.Panel()
        .title(title)
        .description(text or ("Words, no data" if title else ""))  # without a title its badge would lie on the words
        .transparent(not title)
        .mode(TextMode.MARKDOWN)
        .content(markdown)
    )


def link(
    title: str, dashboard: str, *, variables: str = "", keep: Sequence[str] | None = None, blank: bool = False
) -> DashboardLink:
    """Return a data link to a dashboard; the time range and the variables of the page go with it.

    `variables`: more of the address, such as `var-tool=${__field.labels.tool}`. `keep`: which of the page's variables
    go along, where one that is set here would else be there twice.
    """
    kept = ["${__all_variables}"] if keep is None else [f"${{{name}:queryparam}}" for name in keep]
    address = "&".join(filter(None, ["${__url_time_range}", *kept, variables]))
    return DashboardLink(title).url(f"/d/{dashboard}?{address}").target_blank(blank)


def transformed(kind: str, **options: object) -> DataTransformerConfig:
    """Return one step of what is done to a query's answer before it is shown."""
    return DataTransformerConfig(id_val=kind, options=options)


def columns(names: Mapping[str, str]) -> DataTransformerConfig:
    """Return the step that puts a table's columns in this order under these names. A query's Time is left out."""
    order = {name: place for place, name in enumerate(names)}
    hidden = {} if "Time" in names else {"Time": True}
    return transformed("organize", excludeByName=hidden, indexByName=order, renameByName=dict(names))


def most_first(field: str = "Value") -> DataTransformerConfig:
    """Return the step that sorts a table by a column, the largest first."""
    return transformed("sortBy", fields={}, sort=[{"field": field, "desc": True}])


def set_by(matcher: str, options: object, **properties: object) -> tuple[MatcherConfig, list[DynamicConfigValue]]:
    """Return an override: properties (`custom__width` stands for custom.width) of the fields a matcher finds."""
    values = [DynamicConfigValue(id_val=name.replace("__", "."), value=value) for name, value in properties.items()]
    return MatcherConfig(id_val=matcher, options=options), values


class _Overridable(Protocol):
    def with_override(self, matcher: MatcherConfig, properties: list[DynamicConfigValue]) -> object: ...
    def mappings(self, mappings: list[ValueMapping]) -> object: ...


Overridden = TypeVar("Overridden", bound=_Overridable)


def overriding(panel: Overridden, overrides: Sequence[tuple[MatcherConfig, list[DynamicConfigValue]]]) -> Overridden:
    """Add overrides to a panel."""
    for matcher, properties in overrides:
        panel.with_override(matcher, properties)
    return panel


def emotional(panel: Overridden) -> Overridden:
    """Give every series that is named after an emotion that emotion's colour."""
    return overriding(panel, by_name(emotions()))
