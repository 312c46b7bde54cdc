"""Privacy: what redaction kept, what it dropped and why, and whether the second layer ever had to step in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import piechart as pie_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult
from grafana_foundation_sdk.models.piechart import PieChartLegendValues

from dashgen import frame
from dashgen.colours import ACTIONS, CRITICAL, GOOD, QUIET, SERIES, WARNING, by_name, fixed, mapped, steps
from dashgen.panels import (
    at,
    bars,
    columns,
    link,
    log_lines,
    meters,
    most_first,
    overriding,
    pie,
    rows,
    set_by,
    tile,
    words,
)
from dashgen.queries import HOST, LOKI, REMOVALS, counted, grown, label, logs, metric, own
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

ALL: Final = own(c.REDACTIONS)
UNKNOWN: Final = own(c.REDACTIONS, f'{s.FIELD}="(unknown)"')
AGENTS: Final = f'{{{label(s.SERVICE_NAME)}=~".+", {label(s.SERVICE_NAME)}!="{s.SCOPE_NAME}"}} | {HOST}'
AUDIT: Final = f'{{{label(s.SERVICE_NAME)}="{s.SCOPE_NAME}"}} | {HOST} | {label(s.LOGGER)}="{s.SCOPE_NAME}.redaction"'

EXPLAINED: Final = """
**1 · On the agent's machine**, before anything is stored or sent: an allow-list names every field that may leave, and
in what form. A value is *kept* (a number, a known word), *pseudonymised* (a person: a keyed hash), *counted* (only how
many there were) or *dropped*: all that no rule names, whatever it is.

**2 · In the Collector**, with a list of its own: whatever should not have come this far is removed, and counted here.
**0 is the answer you want**; anything else is an alarm about the first layer, and no private word went past the second.
"""


def _number(title: str, text: str, query: str) -> stat.Panel:
    return (
        tile(title, text, metric(f"{query} or vector(0)", instant=True))
        .unit("locale")
        .decimals(0)
        .thresholds(steps((None, SERIES[0])))
    )


def is_it_tight() -> list[Builder[Panel]]:
    """Return the answer first: what slipped through the first layer, and what nobody knows yet."""
    nothing = ValueMap(options={"0": ValueMappingResult(text="nothing", color=GOOD, index=0)})
    private = f'sum(count_over_time({AGENTS} | {label(s.PRIVATE)}="true" [$__range]))'
    return [
        at(
            0,
            0,
            5,
            5,
            tile(
                "Removed by the second layer",
                "What the Collector had to remove in the chosen time. Nothing is right; "
                "anything else is an alarm about the first layer",
                metric(f"{grown(REMOVALS)} or vector(0)", instant=True),
            )
            .unit("locale")
            .decimals(0)
            .color_mode(common.BigValueColorMode.BACKGROUND)
            .mappings([nothing])
            .thresholds(steps((None, GOOD), (1, CRITICAL)))
            .data_links([link("The way of the data", frame.PIPELINE)]),
        ),
        at(
            5,
            0,
            4,
            5,
            _number(
                "Unknown keys",
                "Values under keys that no policy names, a newer ego-mcp's for instance: dropped, and counted without "
                "their names, for a name can be private too",
                counted(UNKNOWN),
            ),
        ),
        at(
            9,
            0,
            4,
            5,
            _number(
                "Unreadable lines",
                "Lines that are no record: each stands in the log as REDACTED, with the reason",
                counted(own(c.UNPARSABLE)),
            ).thresholds(steps((None, QUIET), (1, WARNING))),
        ),
        at(
            13,
            0,
            4,
            5,
            tile(
                "Private lines",
                "Lines of calls that the agent marked as private: only counts are left of them",
                logs(private).query_type("instant"),
            )
            .datasource(LOKI)
            .unit("locale")
            .decimals(0)
            .no_value("none")
            .thresholds(steps((None, SERIES[3]))),
        ),
        at(17, 0, 7, 11, words("Two layers", EXPLAINED)),
    ]


def what_was_done() -> list[Builder[Panel]]:
    """Return what the first layer did, over time and in shares."""
    name = f"{{{{{s.ACTION}}}}}"
    return [
        at(
            0,
            5,
            10,
            6,
            overriding(
                bars(
                    "What was done",
                    "Values by what redaction did with them, when",
                    metric(f"{counted(ALL, '$__interval', by=s.ACTION)} > 0", legend=name),
                ).no_value("nothing was read yet, or only since the last bar"),
                by_name(ACTIONS),
            ),
        ),
        at(
            10,
            5,
            7,
            6,
            overriding(
                pie(
                    "Shares",
                    "Values by what redaction did with them, in the chosen time",
                    metric(f"{counted(ALL, by=s.ACTION)} > 0", legend=name, instant=True),
                )
                .unit("locale")
                .decimals(0)
                .no_value("nothing read")
                .legend(
                    pie_builders.PieChartLegendOptions()
                    .show_legend(True)
                    .display_mode(common.LegendDisplayMode.TABLE)
                    .placement(common.LegendPlacement.RIGHT)
                    .values([PieChartLegendValues.PERCENT])
                ),
                by_name(ACTIONS),
            ),
        ),
    ]


def field_by_field() -> list[Builder[Panel]]:
    """Return every field, and the reasons."""
    shown = {s.LABEL_SOURCE: "Source", s.FIELD: "Field", s.ACTION: "Action", s.REASON: "Reason", "Value": "Values"}
    coloured = set_by(
        "byName",
        "Action",
        custom__width=130,
        custom__displayMode="color-text",
        custom__filterable=True,
        mappings=[mapped(ACTIONS)],
    )
    every = f"{counted(ALL, by=', '.join(list(shown)[:4]))} > 0"
    dropped = own(c.REDACTIONS, f'{s.ACTION}="dropped"')
    why = f"{counted(dropped, by=s.REASON)} > 0"
    return [
        at(
            0,
            11,
            15,
            15,
            overriding(
                rows(
                    "Field by field",
                    "Every field of every source: what was done with its values in the chosen time, how often, and "
                    "why where it was dropped. Fields without a rule are one: (unknown)",
                    metric(every, table=True, instant=True),
                )
                .no_value("nothing was read in this time; where nothing ever was, `egoscope doctor` tells why")
                .with_transformation(most_first())
                .with_transformation(columns(shown))
                .unit("locale")
                .decimals(0),
                [
                    coloured,
                    set_by("byName", "Source", custom__width=130, custom__filterable=True),
                    set_by("byName", "Field", custom__filterable=True),
                    set_by("byName", "Reason", custom__width=130, custom__filterable=True),
                    set_by("byName", "Values", custom__width=110),
                ],
            ),
        ),
        at(
            15,
            11,
            9,
            6,
            meters(
                "Why values were dropped",
                "private_field: known to be private. not_in_policy: no rule names it. The others: a rule names the "
                "field, but this value was not of the form that may leave",
                metric(f"sort_desc({why})", legend=f"{{{{{s.REASON}}}}}", instant=True),
            )
            .unit("locale")
            .decimals(0)
            .min(0)
            .no_value("nothing was dropped")
            .thresholds(steps((None, QUIET))),
        ),
        at(
            15,
            17,
            9,
            5,
            overriding(
                rows(
                    "What the second layer removed",
                    "By signal and place, in the chosen time. The places are those of the OTLP message; what "
                    "was removed is not kept",
                    metric(f"{grown(REMOVALS, by=f'{s.SIGNAL}, place')} > 0", table=True, instant=True),
                )
                .with_transformation(columns({s.SIGNAL: "Signal", "place": "Place", "Value": "Removed"}))
                .no_value("nothing: the first layer let nothing slip")
                .unit("locale")
                .decimals(0),
                [
                    set_by("byName", "Signal", custom__width=90),
                    set_by(
                        "byName",
                        "Removed",
                        custom__width=90,
                        custom__displayMode="color-text",
                        color=fixed(CRITICAL).value,
                    ),
                ],
            ),
        ),
        at(
            15,
            22,
            9,
            4,
            meters(
                "Why lines were unreadable",
                "Lines that are no record, by reason, in the chosen time",
                metric(
                    f"sort_desc({counted(own(c.UNPARSABLE), by=s.REASON)} > 0)",
                    legend=f"{{{{{s.REASON}}}}}",
                    instant=True,
                ),
            )
            .unit("locale")
            .decimals(0)
            .min(0)
            .no_value("every line could be read")
            .thresholds(steps((None, WARNING))),
        ),
    ]


def over_time() -> list[Builder[Panel]]:
    """Return what is not expected, over time, and the sidecar's own account."""
    return [
        at(
            0,
            26,
            12,
            7,
            overriding(
                bars(
                    "What nobody expected",
                    "Values under unknown keys and unreadable lines, when. A step after an update of the agent means "
                    "that its log has new keys: they stay here until a rule names them",
                    metric(f"{counted(UNKNOWN, '$__interval')} > 0", legend="unknown keys"),
                    metric(f"{counted(own(c.UNPARSABLE), '$__interval')} > 0", legend="unreadable lines", ref="B"),
                ).no_value("nothing unexpected"),
                by_name({"unknown keys": SERIES[3], "unreadable lines": WARNING}),
            ),
        ),
        at(
            12,
            26,
            12,
            7,
            log_lines(
                "The sidecar's own account",
                "What redaction did since the sidecar's state began, as it writes it into the log itself",
                logs(AUDIT, limit=100),
            ).no_value("no account in this time: nothing was read"),
        ),
    ]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return frame.dashboard(
        frame.PRIVACY,
        "Privacy",
        "What left the agent's machine, in what form, what did not, and why.",
        [*is_it_tight(), *what_was_done(), *field_by_field(), *over_time()],
        variables=[frame.host()],
        since="now-6h",
        refresh="30s",
        annotated=False,
    )
