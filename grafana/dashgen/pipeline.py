"""Pipeline: whether everything arrives, how late, what was refused, and how long there will be room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashgen import frame, limits
from dashgen.colours import (
    CRITICAL,
    ERROR,
    GOOD,
    QUIET,
    SENDS,
    SERIES,
    SEVERITIES,
    SIGNALS,
    WARNING,
    by_name,
    fixed,
    mapped,
    steps,
)
from dashgen.panels import at, bars, columns, lanes, lines, link, overriding, rows, set_by, tile, transformed
from dashgen.queries import counted, grown, metric, of, own
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

LAG: Final = f"max({own(c.LAG_TIME)})"
FULL: Final = f"max({own(c.OUTBOX_BYTES)} / {own(c.OUTBOX_LIMIT)})"
FREE: Final = own(c.DISK_FREE)
FIRES: Final = 'alertstate="firing"'
FIRING: Final = of("ALERTS", FIRES)
NO_SIDECAR: Final = "nothing was heard from the sidecar; `egoscope doctor` tells why"
GRAVITY: Final = {"critical": 3, "warning": 2}
# The Collector counts by signal in three metrics each; its receiver refuses what no exporter could hand on.
ITEMS: Final = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}


def at_a_glance() -> list[Builder[Panel]]:
    """Return the state now, in one row of numbers."""
    up = ValueMap(options={"1": ValueMappingResult(text="all", color=GOOD, index=0)})
    numbers = [
        tile(
            "Lag",
            "How long the oldest line has been waiting for the back ends to accept it; nothing is lost meanwhile",
            metric(LAG, instant=True),
        )
        .unit("s")
        .decimals(1)
        .no_value("no sidecar")
        .thresholds(steps((None, GOOD), (10, WARNING), (60, ERROR))),
        tile(
            "Unread",
            "Bytes in the log files that the sidecar has not read yet",
            metric(f"sum({own(c.LAG_BYTES)})", instant=True),
        )
        .unit("bytes")
        .decimals(0)
        .no_value("no sidecar")
        .thresholds(steps((None, GOOD), (10_000_000, WARNING), (1_000_000_000, ERROR))),
        tile(
            "Outbox",
            "How much of its bound the outbox fills; at 100 % reading stops, and goes on when there is room again",
            metric(FULL, instant=True),
        )
        .unit("percentunit")
        .decimals(1)
        .no_value("no sidecar")
        .thresholds(steps((None, GOOD), (0.5, WARNING), (0.75, ERROR))),
        tile("Files", "Log files and databases that are being followed", metric(f"sum({own(c.FILES)})", instant=True))
        .unit("locale")
        .decimals(0)
        .no_value("no sidecar")
        .thresholds(steps((None, WARNING), (1, SERIES[0])))
        .data_links([link("Their lines", frame.LOGS)]),
        tile(
            "Given up",
            "Spans, points and log records that a back end refused for good, in the chosen time; none is right",
            metric(f"{counted(own(c.REJECTED))} or vector(0)", instant=True),
        )
        .unit("locale")
        .decimals(0)
        .thresholds(steps((None, GOOD), (1, ERROR))),
        tile(
            "Servers up",
            "Share of the scraped servers that answer: Collector, Prometheus, Loki, Tempo, Alertmanager",
            metric("avg(up)", instant=True),
        )
        .unit("percentunit")
        .decimals(0)
        .mappings([up])
        .no_value("-")
        .thresholds(steps((None, CRITICAL), (1, GOOD))),
        tile(
            "Disk left",
            "Free space on the sidecar's disk; in docker compose the back ends lie on the same one",
            metric(f"min({FREE} / {own(c.DISK_SIZE)})", instant=True),
        )
        .unit("percentunit")
        .decimals(0)
        .no_value("no sidecar")
        .thresholds(steps((None, CRITICAL), (0.05, ERROR), (0.1, WARNING), (0.15, GOOD))),
        tile("Alerts", "Alerts that are firing now", metric(f"count({FIRING}) or vector(0)", instant=True))
        .unit("locale")
        .decimals(0)
        .thresholds(steps((None, GOOD), (1, ERROR))),
    ]
    return [at(3 * place, 0, 3, 4, number) for place, number in enumerate(numbers)]


def on_the_way() -> list[Builder[Panel]]:
    """Return how the data flows from the sidecar on."""
    outcome = f"{{{{{s.LABEL_OUTCOME}}}}}"
    limit = "limit of the outbox"
    bytes_waiting = lines(
        "Bytes waiting",
        "Bytes not read yet, bytes of requests in the outbox, and the bound at which reading stops",
        metric(f"sum({own(c.LAG_BYTES)})", legend="not read yet"),
        metric(f"sum({own(c.OUTBOX_BYTES)})", legend="in the outbox", ref="B"),
        metric(f"sum({own(c.OUTBOX_LIMIT)})", legend=limit, ref="C"),
    )
    return [
        at(
            0,
            4,
            8,
            7,
            overriding(
                lines(
                    "Lag over time",
                    "How long the oldest line has been waiting to be accepted: seconds at most, while all is well",
                    metric(LAG, legend="lag"),
                )
                .unit("s")
                .min(0)
                .no_value(NO_SIDECAR)
                .thresholds(steps((None, GOOD), (10, WARNING), (60, ERROR))),
                by_name({"lag": SERIES[0]}),
            ),
        ),
        at(
            8,
            4,
            8,
            7,
            overriding(
                bytes_waiting.unit("bytes").min(0).no_value(NO_SIDECAR),
                [
                    *by_name({"not read yet": SERIES[3], "in the outbox": SERIES[0]}),
                    set_by(
                        "byName",
                        limit,
                        color=fixed(ERROR).value,
                        custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                        custom__fillOpacity=0,
                        custom__lineWidth=1,
                    ),
                ],
            ),
        ),
        at(
            16,
            4,
            8,
            7,
            overriding(
                bars(
                    "Requests",
                    "Requests of the sidecar by what became of them. unavailable: tried again, nothing lost. refused: "
                    "halved, until the bad item stands alone. rejected: given up",
                    metric(f"{counted(own(c.SENDS), '$__interval', by=s.LABEL_OUTCOME)} > 0", legend=outcome),
                    points=60,
                ).no_value("nothing was sent"),
                by_name(SENDS),
            ),
        ),
        at(
            0,
            17,
            8,
            7,
            overriding(
                lines(
                    "Lines a second",
                    "Lines of the agents' logs, at the time they were written",
                    metric(f"{counted(own(c.LOG_LINES), '1m')} / 60", legend="lines"),
                )
                .unit("short")
                .min(0)
                .no_value("no lines"),
                by_name({"lines": SERIES[0]}),
            ),
        ),
        at(
            8,
            17,
            8,
            7,
            overriding(
                bars(
                    "What the Collector refused",
                    "Items that the Collector sent back, by signal: a back end was down or said no, or its memory was "
                    "full. The sidecar tries again",
                    *(
                        metric(
                            f"{grown(f'otelcol_receiver_refused_{items}_total', '$__interval')} > 0",
                            legend=signal,
                            ref=ref,
                        )
                        for ref, (signal, items) in zip("ABC", ITEMS.items(), strict=True)
                    ),
                    points=60,
                ).no_value("nothing was refused"),
                by_name(SIGNALS),
            ),
        ),
        at(
            16,
            17,
            8,
            7,
            lanes(
                "Servers",
                "Whether each server answered when Prometheus asked it, every ten seconds",
                metric("min by (job) (up)", legend="{{job}}"),
            )
            .no_value("Prometheus asked no server in this time")
            .unit("none")
            .mappings(
                [
                    ValueMap(
                        options={
                            "1": ValueMappingResult(text="up", color=GOOD, index=0),
                            "0": ValueMappingResult(text="down", color=CRITICAL, index=1),
                        }
                    )
                ]
            ),
        ),
    ]


def alerts() -> list[Builder[Panel]]:
    """Return what fires, and what fired."""
    shown = {"severity": "Severity", "alertname": "Alert", "Value": "For", "tool": "Tool", "signal": "Signal"}
    severe = {name: f'severity="{name}"' for name in GRAVITY}
    weighed = [f"{weight} * {of('ALERTS', FIRES, severe[name])}" for name, weight in GRAVITY.items()]
    gravity = ValueMap(
        options={
            "0": ValueMappingResult(text="none", color=QUIET, index=0),
            **{
                str(weight): ValueMappingResult(text=name, color=SEVERITIES[name], index=weight)
                for name, weight in {"info": 1, **GRAVITY}.items()
            },
        }
    )
    # Grafana 9.4 draws lanes without series as "No data", whatever the panel has for such a case.
    none = 'label_replace(0 * max(up), "alertname", "none", "", "")'
    firing = rows(
        "Firing now",
        "Alerts that fire now, the one that began last first; docs/runbooks.md says what to do about each",
        metric(
            f"time() - max by ({', '.join(key for key in shown if key != 'Value')}) "
            f"(ALERTS_FOR_STATE and ignoring (alertstate) {FIRING})",
            table=True,
            instant=True,
        ),
    )
    return [
        at(
            0,
            11,
            12,
            6,
            overriding(
                firing.with_transformation(transformed("sortBy", fields={}, sort=[{"field": "Value", "desc": False}]))
                .with_transformation(columns(shown))
                .no_value("no alert is firing")
                .unit("none"),
                [
                    set_by(
                        "byName",
                        "Severity",
                        custom__width=100,
                        custom__displayMode="color-background-solid",
                        mappings=[mapped(SEVERITIES)],
                    ),
                    set_by("byName", "For", custom__width=120, unit="dtdurations"),
                    *(set_by("byName", name, custom__width=120, noValue=" ") for name in ("Tool", "Signal")),
                ],
            ),
        ),
        at(
            12,
            11,
            12,
            6,
            lanes(
                "What fired when",
                "A lane for each alert that fired in the chosen time, and one for the time in which none did",
                metric(
                    f"max by (alertname) ({' or '.join(weighed)} or {FIRING}) or on () {none}", legend="{{alertname}}"
                ),
            )
            .unit("none")
            .no_value("no alert fired")
            .mappings([gravity]),
        ),
    ]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return frame.dashboard(
        frame.PIPELINE,
        "Pipeline",
        "Does everything arrive, how late, what was refused, and how long is there room?",
        [*at_a_glance(), *on_the_way(), *alerts(), *limits.what_was_lost(), *limits.how_long()],
        variables=[frame.host()],
        since="now-1h",
        refresh="5s",
        annotated=False,
    )
