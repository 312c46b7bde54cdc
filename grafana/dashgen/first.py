"""The first dashboard, grafana/dashboards/now.json: what the agent does and feels at this moment.

    python grafana/dashgen/first.py [--check]

Names of metrics and labels come from egoscope's catalogue, so no panel can ask for what does not exist. Only panels and
options that Grafana 9.4 and 13 both know. `--check` writes nothing and fails where the file is not what this makes.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pieces import LOKI, metric, panel, steps, tile

from egoscope.cli.palette import EMOTIONS, ERROR, GOOD, KIN, WARNING, emotion_colour
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pieces import Json, Panel

FILE: Final = Path(__file__).resolve().parent.parent / "dashboards" / "now.json"

# `anchored` counts exactly where plain increase() extrapolates (Prometheus: promql-extended-range-selectors).
CALLS: Final = c.CALLS.prometheus
DURATION: Final = f"{c.OPERATION_DURATION.prometheus}_bucket"
# Made by the Collector's spanmetrics connector from redacted spans: asked only for its exemplars, the way to a trace.
SPANS: Final = "traces_span_metrics_duration_seconds_bucket"
FAILED: Final = f'{s.LABEL_OUTCOME}!="ok"'
# Of several log files the one that was written last says what is felt now.
NEWEST: Final = f"and on (instance) topk(1, {c.LAST_EVENT.prometheus})"
EMOTION: Final = f'{c.STATE.prometheus}{{{s.PARAMETER}="emotion_primary"}} == 1'


def quantile(share: float, window: str) -> str:
    """Return the query for a quantile of the duration of calls in a window."""
    return f"histogram_quantile({share}, sum by (le) (increase({DURATION}[{window}] anchored)))"


def emotion_colours() -> list[Json]:
    """Give every known emotion the colour it has in the terminal."""
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": emotion_colour(name)}}],
        }
        for name in sorted({*EMOTIONS, *KIN})
    ]


def tiles() -> list[Panel]:
    """Return the row of single numbers on top."""
    calm = steps((None, GOOD))
    failures = steps((None, GOOD), (0.05, WARNING), (0.2, ERROR))
    slow = steps((None, GOOD), (2, WARNING), (10, ERROR))
    silent = steps((None, GOOD), (300, WARNING), (3600, ERROR))
    share = f"sum(increase({CALLS}{{{FAILED}}}[$__range] anchored)) / sum(increase({CALLS}[$__range] anchored))"
    felt = tile(
        "Feels",
        (12, 0, 4, 4),
        metric(f"max by ({s.VALUE}) ({EMOTION} {NEWEST})", legend=f"{{{{{s.VALUE}}}}}", instant=True),
        text="The emotion of the newest event",
        thresholds=calm,
        show_name=True,
    )
    felt["fieldConfig"] = {
        "defaults": {"color": {"mode": "thresholds"}, "thresholds": calm, "noValue": "nothing yet"},
        "overrides": emotion_colours(),
    }
    return [
        tile(
            "Calls a minute",
            (0, 0, 4, 4),
            metric(f"sum(increase({CALLS}[1m] anchored))"),
            text="Tool calls that ended within the last minute",
            thresholds=calm,
            decimals=0,
            noValue="0",
        ),
        tile(
            "Errors",
            (4, 0, 4, 4),
            metric(f"{share} or vector(0)", instant=True),
            text="Share of calls in the chosen time that failed or never ended",
            thresholds=failures,
            unit="percentunit",
            decimals=1,
            max=1,
        ),
        tile(
            "p50",
            (8, 0, 2, 4),
            metric(quantile(0.5, "$__range"), instant=True),
            text="Half of the calls in the chosen time were faster",
            thresholds=slow,
            unit="s",
            noValue="-",
        ),
        tile(
            "p95",
            (10, 0, 2, 4),
            metric(quantile(0.95, "$__range"), instant=True),
            text="95 of 100 calls in the chosen time were faster",
            thresholds=slow,
            unit="s",
            noValue="-",
        ),
        felt,
        tile(
            "Last event",
            (16, 0, 4, 4),
            metric(f"time() - max({c.LAST_EVENT.prometheus})", instant=True),
            text="Time since the newest line of any log",
            thresholds=silent,
            unit="s",
            decimals=0,
            noValue="never",
        ),
        tile(
            "Waiting to be sent",
            (20, 0, 4, 4),
            metric(f"sum({c.OUTBOX_BYTES.prometheus})"),
            text="Bytes in the sidecar's outbox; it grows while a back end is away, and nothing is lost",
            thresholds=calm,
            unit="bytes",
            decimals=0,
            noValue="0",
        ),
    ]


def graphs() -> list[Panel]:
    """Return what happened over time: calls, their duration, emotions."""
    line: Json = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 8, "showPoints": "never", "spanNulls": 60000}
    bars: Json = {"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0, "stacking": {"mode": "normal", "group": "A"}}
    every = {"mode": "multi", "sort": "desc"}
    unseen = "exemplars"
    return [
        panel(
            "Calls by tool",
            "timeseries",
            (0, 4, 14, 9),
            interval="15s",
            maxDataPoints=80,
            targets=[
                metric(f"sum by ({s.TOOL}) (increase({CALLS}[$__interval] anchored)) > 0", legend=f"{{{{{s.TOOL}}}}}")
            ],
            fieldConfig={"defaults": {"custom": bars, "decimals": 0, "min": 0, "unit": "short"}, "overrides": []},
            options={
                "legend": {"displayMode": "table", "placement": "right", "calcs": ["sum"]},
                "tooltip": every,
            },
        ),
        panel(
            "Duration of calls",
            "timeseries",
            (14, 4, 10, 9),
            interval="15s",
            targets=[
                metric(quantile(share, "$__rate_interval"), legend=name, ref=ref)
                for share, name, ref in ((0.5, "p50", "A"), (0.95, "p95", "B"))
            ]
            + [
                metric(
                    f"histogram_quantile(0.95, sum by (le) (rate({SPANS}[$__rate_interval])))",
                    legend=unseen,
                    ref="C",
                    exemplars=True,
                )
            ],
            fieldConfig={
                "defaults": {"custom": line, "min": 0, "unit": "s"},
                "overrides": [
                    {
                        "matcher": {"id": "byName", "options": unseen},
                        "properties": [
                            {"id": "custom.hideFrom", "value": dict.fromkeys(("viz", "legend", "tooltip"), True)}
                        ],
                    }
                ],
            },
            options={"legend": {"displayMode": "list", "placement": "bottom", "calcs": []}, "tooltip": every},
        ),
        panel(
            "Emotions",
            "state-timeline",
            (0, 13, 14, 9),
            interval="15s",
            targets=[metric(f"max by ({s.VALUE}) ({EMOTION})", legend=f"{{{{{s.VALUE}}}}}")],
            fieldConfig={
                "defaults": {"custom": {"fillOpacity": 85, "lineWidth": 0}, "color": {"mode": "palette-classic"}},
                "overrides": emotion_colours(),
            },
            options={
                "mergeValues": True,
                "showValue": "never",
                "rowHeight": 0.8,
                "alignValue": "left",
                "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "single"},
            },
        ),
        panel(
            "Intensity, valence, arousal",
            "timeseries",
            (14, 13, 10, 9),
            interval="15s",
            targets=[
                metric(f"max({metric_.prometheus} {NEWEST})", legend=name, ref=ref)
                for metric_, name, ref in (
                    (c.INTENSITY, "intensity", "A"),
                    (c.VALENCE, "valence", "B"),
                    (c.AROUSAL, "arousal", "C"),
                )
            ],
            fieldConfig={"defaults": {"custom": line, "min": -1, "max": 1, "unit": "short"}, "overrides": []},
            options={"legend": {"displayMode": "list", "placement": "bottom", "calcs": []}, "tooltip": every},
        ),
    ]


def tail() -> Panel:
    """Return the log as it comes; each line of a call leads to its trace."""
    service = re.sub(r"\W", "_", s.SERVICE_NAME)  # as Loki writes an attribute's name
    return panel(
        "Log",
        "logs",
        (0, 22, 24, 10),
        datasource=LOKI,
        targets=[{"refId": "A", "datasource": LOKI, "expr": f'{{{service}=~".+", {service}!="{s.SCOPE_NAME}"}}'}],
        options={
            "showTime": True,
            "wrapLogMessage": False,
            "enableLogDetails": True,
            "sortOrder": "Descending",
            "dedupStrategy": "none",
            "showLabels": False,
            "showCommonLabels": False,
            "prettifyLogMessage": False,
        },
    )


def dashboard() -> dict[str, Json]:
    """Return the whole dashboard; panels are numbered in reading order."""
    panels = [*tiles(), *graphs(), tail()]
    return {
        "uid": "egoscope-now",
        "title": "Now",
        "description": "What the agent does and feels at this moment. Generated by grafana/dashgen: do not edit.",
        "tags": ["egoscope"],
        "schemaVersion": 37,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "",
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "5s",
        "timepicker": {"refresh_intervals": ["1s", "5s", "15s", "1m", "5m"]},
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": [{"id": number, **each} for number, each in enumerate(panels, start=1)],
    }


def main(arguments: Sequence[str]) -> int:
    """Write the file, or with --check say whether it is what would be written."""
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if "--check" in arguments:
        return 0 if FILE.read_text(encoding="utf-8") == text else 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
