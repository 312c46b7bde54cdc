"""What did not get through, and how long there will be room: the lower half of Pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DashboardRangeMapOptions, RangeMap, ValueMappingResult

from dashgen import frame
from dashgen.colours import CRITICAL, ERROR, GOOD, QUIET, SERIES, SIGNALS, WARNING, by_name, fixed, mapped, steps
from dashgen.panels import at, bars, columns, lines, link, meters, overriding, rows, set_by, tile
from dashgen.queries import counted, grown, metric, own
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Panel

FREE: Final = own(c.DISK_FREE)
# Six hours back: longer than a burst, shorter than a day's rhythm.
FILLING: Final = f"(-deriv({FREE}[6h]) > 0)"
# Half an hour of points, one every 15 s: from less nothing is foretold.
LONG_ENOUGH: Final = f"count_over_time({FREE}[6h]) > 120"
# A database that is not there yet is none, and a copy of another is left out on purpose.
AMISS: Final = f'{s.REASON}!~"no_file|copy"'
NEVER: Final = 1e10
"""Stands for a disk that is not filling."""


def what_was_lost() -> list[Builder[Panel]]:
    """Return what did not get through, wherever it was stopped."""
    limits = {
        "Tempo: discarded spans, {{reason}}": ("tempo_discarded_spans_total", "reason"),
        "Loki: discarded lines, {{reason}}": ("loki_discarded_samples_total", "reason"),
        "Prometheus: out of order": ("prometheus_tsdb_out_of_order_samples_total", ""),
        "Prometheus: too old": ("prometheus_tsdb_too_old_samples_total", ""),
        "Prometheus: out of bounds": ("prometheus_tsdb_out_of_bound_samples_total", ""),
    }
    shown = {s.SIGNAL: "Signal", s.REASON: "Reason", "Value": "Items"}
    return [
        at(
            0,
            24,
            8,
            7,
            overriding(
                rows(
                    "Given up, and why",
                    "Items that a back end refused for good, by signal and reason, in the chosen time. They are lost "
                    "there; the line still stands in the agent's log",
                    metric(f"{counted(own(c.REJECTED), by=f'{s.SIGNAL}, {s.REASON}')} > 0", table=True, instant=True),
                )
                .with_transformation(columns(shown))
                .no_value("everything was accepted")
                .unit("locale")
                .decimals(0),
                [
                    set_by(
                        "byName",
                        "Signal",
                        custom__width=90,
                        custom__displayMode="color-text",
                        mappings=[mapped(SIGNALS)],
                    ),
                    set_by("byName", "Items", custom__width=80),
                ],
            ),
        ),
        at(
            8,
            24,
            8,
            7,
            meters(
                "Dropped by a server's own limits",
                "What Tempo, Loki and Prometheus threw away in the chosen time although it had reached them: none is "
                "right",
                *(
                    metric(f"{grown(name, by=by)}", legend=legend, instant=True, ref=ref)
                    for ref, (legend, (name, by)) in zip("ABCDE", limits.items(), strict=True)
                ),
            )
            .unit("locale")
            .decimals(0)
            .min(0)
            .no_value("-")
            .thresholds(steps((None, GOOD), (1, ERROR))),
        ),
        at(
            16,
            24,
            8,
            7,
            bars(
                "Unreadable lines and databases",
                "Lines and rows that are no record, by reason; each stands in the log as REDACTED. And looks at a "
                "database that failed: one that is locked for a moment is read at the next look",
                metric(f"{counted(own(c.UNPARSABLE), '$__interval', by=s.REASON)} > 0", legend=f"{{{{{s.REASON}}}}}"),
                metric(
                    f"{counted(own(c.SOURCE_PROBLEMS, AMISS), '$__interval', by=f'{s.LABEL_SOURCE}, {s.REASON}')} > 0",
                    legend=f"{{{{{s.LABEL_SOURCE}}}}}: {{{{{s.REASON}}}}}",
                    ref="B",
                ),
                points=60,
            )
            .no_value("everything could be read")
            .data_links([link("What else was unexpected", frame.PRIVACY)]),
        ),
    ]


def how_long() -> list[Builder[Panel]]:
    """Return room, age and the way out of an alert."""
    ahead = "in a day, at this pace"
    never = RangeMap(
        options=DashboardRangeMapOptions(
            from_val=NEVER / 10, to=NEVER, result=ValueMappingResult(text="not filling", color=GOOD, index=0)
        )
    )
    kept = {
        "oldest sample": ("time() - min(prometheus_tsdb_lowest_timestamp_seconds)", "dtdurations"),
        "samples are kept": ("max(prometheus_tsdb_retention_limit_seconds) > 0", "dtdurations"),
        "samples on disk": ("sum(prometheus_tsdb_storage_blocks_bytes)", "bytes"),
        "Loki cleaned up": (
            "time() - max(loki_compactor_apply_retention_last_successful_run_timestamp_seconds > 0)",
            "dtdurations",
        ),
        "Tempo deleted blocks": ("sum(tempodb_retention_deleted_total)", "short"),
    }
    return [
        at(
            0,
            31,
            8,
            7,
            overriding(
                lines(
                    "Disk",
                    "Free space on the sidecar's disk, and what would be left in a day if it went on as in the last "
                    "six hours",
                    metric(f"min({FREE})", legend="free"),
                    metric(
                        f"clamp_min(min(predict_linear({FREE}[6h], 86400) and {LONG_ENOUGH}), 0)", legend=ahead, ref="B"
                    ),
                )
                .unit("bytes")
                .min(0)
                .no_value("nothing was heard from the sidecar"),
                [
                    *by_name({"free": SERIES[0]}),
                    set_by(
                        "byName",
                        ahead,
                        color=fixed(SERIES[1]).value,
                        custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                        custom__fillOpacity=0,
                        custom__lineWidth=1,
                    ),
                ],
            ),
        ),
        at(
            8,
            31,
            3,
            7,
            tile(
                "Full in",
                "When the disk would be full, at the pace of the last six hours",
                metric(f"min({FREE} / {FILLING} and {LONG_ENOUGH}) or vector({NEVER:.0f})", instant=True),
            )
            .unit("dtdurations")
            .mappings([never])
            .thresholds(steps((None, CRITICAL), (14_400, ERROR), (86_400, WARNING), (604_800, GOOD))),
        ),
        at(
            11,
            31,
            7,
            7,
            overriding(
                _ages(kept),
                [set_by("byName", name, unit=unit, noValue="not yet") for name, (_, unit) in kept.items()],
            ),
        ),
        at(
            18,
            31,
            6,
            7,
            overriding(
                bars(
                    "Notifications",
                    "Messages of Alertmanager to webhook, Slack or mail, and those that failed",
                    metric(f"{grown('alertmanager_notifications_total', '$__interval')} > 0", legend="sent"),
                    metric(
                        f"{grown('alertmanager_notifications_failed_total', '$__interval')} > 0",
                        legend="failed",
                        ref="B",
                    ),
                    points=40,
                ).no_value("none was sent"),
                by_name({"sent": GOOD, "failed": ERROR}),
            ),
        ),
    ]


def _ages(kept: dict[str, tuple[str, str]]) -> stat.Panel:
    """Return one number each about what is kept how long."""
    return (
        tile(
            "Retention",
            "How old the oldest data is, how long it is to be kept, and whether the clean-up runs",
            *(
                metric(query, legend=name, instant=True, ref=ref)
                for ref, (name, (query, _)) in zip("ABCDE", kept.items(), strict=True)
            ),
        )
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .no_value("not yet")
        .orientation(common.VizOrientation.HORIZONTAL)
        .text(common_builders.VizTextDisplayOptions().title_size(14).value_size(18))
        .thresholds(steps((None, QUIET)))
    )
