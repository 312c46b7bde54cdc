"""Now: is the agent well, what does it do, how does it feel? Three columns, one a question, and the log below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashgen import frame
from dashgen.colours import CALM, CRITICAL, ERROR, GOOD, PHASES, QUIET, SERIES, WARNING, by_name, steps
from dashgen.panels import at, bars, emotional, link, log_lines, meters, overriding, tile, words
from dashgen.plane import Plane
from dashgen.queries import CHOSEN, FAILED, NEWEST, counted, label, logs, metric, of, quantile, share, state
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

CALLS: Final = of(c.CALLS, CHOSEN)
FAILURES: Final = of(c.CALLS, CHOSEN, FAILED)
LAST: Final = f"max(last_over_time({of(c.LAST_EVENT, CHOSEN)}[7d]))"
QUIET_S: Final = 900

# The first that holds, told as a number: an alarm, failing, quiet, well, nothing seen.
VERDICT: Final = f"""(count(ALERTS{{alertstate="firing", severity="critical"}}) > 0) * 0 + 4
  or ({share(FAILURES, CALLS, "10m")} >= 0.2) * 0 + 3
  or (time() - {LAST} > {QUIET_S}) * 0 + 2
  or ({LAST} > 0) * 0 + 1
  or vector(0)"""
VERDICTS: Final = {
    "0": ("no agent seen yet", QUIET),
    "1": ("well", "#2E7D9A"),
    "2": ("quiet", CALM),
    "3": ("calls fail", WARNING),
    "4": ("alarm", CRITICAL),
}
EMPTY: Final = """
Nothing was read yet. Where ego-mcp writes its log is said by `EGO_MCP_LOG_DIR` (in `.env` for docker compose);
`docker compose exec sidecar egoscope doctor` tells what it finds there, and `make demo` plays a log to look at.
"""


def is_it_well() -> list[Builder[Panel]]:
    """Return the first column."""
    verdicts = ValueMap(
        options={
            number: ValueMappingResult(text=text, color=colour, index=place)
            for place, (number, (text, colour)) in enumerate(VERDICTS.items())
        }
    )
    return [
        at(0, 0, 8, 1, words("", "#### Is it well?")),
        at(
            0,
            1,
            8,
            4,
            tile(
                "The agent",
                "The first of these that holds: alarm (a critical alert is firing); calls fail (a fifth of those of "
                "the last ten minutes, or more); quiet (no line for a quarter of an hour); well",
                metric(VERDICT, instant=True),
            )
            .color_mode(common.BigValueColorMode.BACKGROUND)
            .mappings([verdicts])
            .unit("none")
            .data_links([link("What was said then", frame.LOGS)]),
        ),
        at(
            0,
            5,
            4,
            4,
            tile(
                "Errors",
                "Share of the calls in the chosen time that failed or never ended",
                metric(share(FAILURES, CALLS), instant=True),
            )
            .unit("percentunit")
            .decimals(1)
            .no_value("no calls")
            .thresholds(steps((None, GOOD), (0.05, WARNING), (0.2, ERROR)))
            .data_links([link("The failed calls", frame.TRACES)]),
        ),
        at(
            4,
            5,
            4,
            4,
            tile(
                "Last event",
                "Time since the newest line of any log; a stopped agent shows here first",
                metric(f"time() - {LAST}", instant=True),
            )
            .unit("dtdurations")
            .decimals(0)
            .no_value("none in 7 days")
            .thresholds(steps((None, GOOD), (QUIET_S, WARNING), (4 * QUIET_S, ERROR))),
        ),
        at(
            0,
            9,
            4,
            4,
            tile(
                "Alerts",
                "Alerts that are firing now; warnings and critical ones",
                metric('count(ALERTS{alertstate="firing"}) or vector(0)', instant=True),
            )
            .unit("short")
            .decimals(0)
            .thresholds(steps((None, GOOD), (1, ERROR)))
            .data_links([link("The way of the data", frame.PIPELINE)]),
        ),
        at(
            4,
            9,
            4,
            4,
            tile(
                "Delivery lag",
                "How long the oldest line has been waiting for the back ends to accept it; nothing is lost meanwhile",
                metric(f"max({c.LAG_TIME.prometheus})", instant=True),
            )
            .unit("s")
            .decimals(1)
            .no_value("no sidecar")
            .thresholds(steps((None, GOOD), (10, WARNING), (60, ERROR)))
            .data_links([link("The way of the data", frame.PIPELINE)]),
        ),
    ]


def what_does_it_do() -> list[Builder[Panel]]:
    """Return the second column."""
    by_tool = link("History of ${__field.labels.tool}", frame.HISTORY, variables="var-tool=${__field.labels.tool}")
    return [
        at(8, 0, 8, 1, words("", "#### What does it do?")),
        at(
            8,
            1,
            4,
            4,
            tile(
                "Calls a minute",
                "Tool calls that ended within the last minute, and how that was over the chosen time",
                metric(f"{counted(CALLS, '1m')} or 0 * {LAST}"),
            )
            .unit("short")
            .decimals(0)
            .no_value("0")
            .graph_mode(common.BigValueGraphMode.AREA)
            .thresholds(steps((None, SERIES[0]))),
        ),
        at(
            12,
            1,
            4,
            4,
            tile(
                "In flight",
                "Calls that have begun and not ended yet",
                metric(f"sum({of(c.CALLS_OPEN, CHOSEN)})", instant=True),
            )
            .unit("short")
            .decimals(0)
            .no_value("0")
            .thresholds(steps((None, SERIES[0]), (10, WARNING))),
        ),
        at(
            8,
            5,
            4,
            4,
            overriding(
                tile(
                    "Latency",
                    "Half of the calls in the chosen time were faster than p50, 95 of 100 faster than p95",
                    metric(quantile(0.5, "$__range"), legend="p50", instant=True),
                    metric(quantile(0.95, "$__range"), legend="p95", instant=True, ref="B"),
                )
                .unit("s")
                .decimals(1)
                .no_value("-")
                .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
                .thresholds(steps((None, GOOD), (5, WARNING), (15, ERROR))),
                [],
            ),
        ),
        at(
            12,
            5,
            4,
            4,
            tile(
                "Calls today",
                "Calls since midnight, and yesterday's until this time of the day",
                metric(f"{counted(CALLS)} or vector(0)", legend="today", instant=True),
                metric(
                    f"{counted(f'{CALLS}', '$__range').replace(' anchored', ' anchored offset 1d')} or vector(0)",
                    legend="yesterday",
                    instant=True,
                    ref="B",
                ),
            )
            .time_from("now/d")
            .unit("short")
            .decimals(0)
            .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
            .thresholds(steps((None, SERIES[0]))),
        ),
        at(
            8,
            9,
            8,
            10,
            bars(
                "Calls by tool",
                "What the agent used, when. A bar is at least 15 seconds",
                metric(f"{counted(CALLS, '$__interval', by=s.TOOL)} > 0", legend=f"{{{{{s.TOOL}}}}}"),
                points=60,
            ).data_links([by_tool]),
        ),
    ]


def how_does_it_feel() -> list[Builder[Panel]]:
    """Return the third column."""
    current = f"max by ({s.VALUE}) ({state('emotion_primary')} {NEWEST})"
    phase = f"max by ({s.VALUE}) ({state('time_phase')} {NEWEST})"
    name = f"{{{{{s.VALUE}}}}}"
    return [
        at(16, 0, 8, 1, words("", "#### How does it feel?")),
        at(
            16,
            1,
            4,
            4,
            emotional(
                tile("Feels", "The emotion of the newest event", metric(current, legend=name, instant=True), name=True)
                .no_value("nothing yet")
                .unit("none")
                .color_mode(common.BigValueColorMode.BACKGROUND)
            ),
        ),
        at(
            20,
            1,
            4,
            4,
            tile(
                "Intensity",
                "How strong the emotion of the newest event is, 0 to 1, and how that was over the chosen time",
                metric(f"max({of(c.INTENSITY, CHOSEN)} {NEWEST})"),
            )
            .unit("percentunit")
            .decimals(0)
            .min(0)
            .max(1)
            .no_value("-")
            .graph_mode(common.BigValueGraphMode.AREA)
            .thresholds(steps((None, SERIES[3]))),
        ),
        at(
            16,
            5,
            4,
            4,
            overriding(
                tile(
                    "Time of day",
                    "The part of the day as the agent sees it",
                    metric(phase, legend=name, instant=True),
                    name=True,
                )
                .no_value("-")
                .unit("none"),
                by_name(PHASES),
            ),
        ),
        at(
            20,
            5,
            4,
            8,
            meters(
                "Desires",
                "How strong each built-in desire is now; desires that the model invented stay private",
                metric(
                    f"sort_desc(max by ({s.DESIRE}) ({of(c.DESIRE, CHOSEN)} {NEWEST}))",
                    legend=f"{{{{{s.DESIRE}}}}}",
                    instant=True,
                ),
            )
            .unit("percentunit")
            .decimals(0)
            .min(0)
            .max(1)
            .no_value("-")
            .thresholds(steps((None, SERIES[2]), (0.5, SERIES[1]), (0.8, SERIES[6]))),
        ),
        at(
            16,
            9,
            4,
            10,
            Plane(
                "Valence and arousal",
                "Where the agent is: unpleasant to pleasant from left to right, calm to excited from bottom to top. "
                "The large point is now, the small ones are the chosen time",
                metric(f"max({of(c.VALENCE, CHOSEN)} {NEWEST})", legend="valence"),
                metric(f"max({of(c.AROUSAL, CHOSEN)} {NEWEST})", legend="arousal", ref="B"),
            ),
        ),
    ]


def what_was_said() -> list[Builder[Panel]]:
    """Return the log as it comes."""
    service = label(s.SERVICE_NAME)
    chosen = f'{{{service}=~".+", {service}!="{s.SCOPE_NAME}", {label(s.SERVICE_INSTANCE_ID)}=~"$instance"}}'
    return [
        at(
            0,
            19,
            24,
            10,
            log_lines(
                "Log",
                "Every line as it comes, without private words; open one to go to its trace",
                logs(chosen, limit=200),
            ),
        ),
    ]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return frame.dashboard(
        frame.NOW,
        "Now",
        "Is the agent well, what does it do, how does it feel?",
        [*is_it_well(), *what_does_it_do(), *how_does_it_feel(), *what_was_said()],
        variables=[frame.instance()],
    )
