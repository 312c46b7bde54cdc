"""The valence/arousal map: Grafana's XY chart, in the form of its 9.4; later ones migrate it themselves.

The SDK knows only the newer form, so options and field settings are written out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    DashboardFieldConfigSourceOverrides,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldConfig,
    FieldConfigSource,
    GridPos,
    MatcherConfig,
    Panel,
)

from dashgen.colours import SERIES
from dashgen.panels import EVERY
from dashgen.queries import PROMETHEUS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from grafana_foundation_sdk.cog.variants import Dataquery

X: Final = "valence"
Y: Final = "arousal"
SMALL: Final = 5
LARGE: Final = 16


class Plane(Builder[Panel]):
    """Points in a plane, of two queries whose legends are X and Y: where the agent was, and where it is."""

    def __init__(
        self,
        title: str,
        text: str,
        *queries: Builder[Dataquery],
        series: Mapping[str, str] | None = None,
        large: str = "",
    ) -> None:
        """Take the queries of both axes.

        `series`: where Y comes in several, what they are called and their colours. `large`: whose points stand out.
        """
        sides = [(X, -1, "pleasant →", SERIES[3])]
        sides += [(name, 0, "excited →", colour) for name, colour in (series or {Y: SERIES[3]}).items()]
        self._panel = Panel(
            type_val="xychart",
            title=title,
            description=text,
            datasource=PROMETHEUS,
            interval=EVERY,
            max_data_points=200,
            targets=[query.build() for query in queries],
            transformations=[DataTransformerConfig(id_val="joinByField", options={"byField": "Time", "mode": "outer"})],
            options={
                "seriesMapping": "auto",
                "dims": {"frame": 0, "x": X},
                "series": [],
                "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
                "tooltip": {"mode": "single", "sort": "none"},
            },
            field_config=FieldConfigSource(
                defaults=FieldConfig(
                    unit="none",
                    decimals=2,
                    custom={"show": "points", "pointSize": {"fixed": 5}, "axisGridShow": True},
                ),
                overrides=[
                    DashboardFieldConfigSourceOverrides(
                        matcher=MatcherConfig(id_val="byName", options=name),
                        properties=[
                            DynamicConfigValue(id_val="min", value=low),
                            DynamicConfigValue(id_val="max", value=1),
                            DynamicConfigValue(id_val="custom.axisLabel", value=words),
                            DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour}),
                            DynamicConfigValue(
                                id_val="custom.pointSize.fixed", value=LARGE if name == large else SMALL
                            ),
                        ],
                    )
                    for name, low, words, colour in sides
                ],
            ),
        )

    def grid_pos(self, grid_pos: GridPos) -> Self:
        """Place the panel."""
        self._panel.grid_pos = grid_pos
        return self

    def build(self) -> Panel:
        """Return the panel."""
        return self._panel
