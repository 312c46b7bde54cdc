"""Now: is the agent well, what does it do, how does it feel? Three columns, one a question, and the log below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashgen import frame
from dashgen.colours import CALM, CRITICAL, ERROR, GOOD, PHASES, QUIET, SERIES, TOOLS, WARNING, by_name, steps
from dashgen.panels import at, bars, emotional, lanes, legend, link, log_lines, meters, overriding, tile
from dashgen.plane import Plane
from dashgen.queries import CHOSEN, FAILED, LOG_FILES_LINES, counted, logs, metric, of, own, quantile, share
from dashgen.states import felt, newest, state
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

CALLS: Final = of(c.CALLS, CHOSEN)
FAILURES: Final = of(c.CALLS, CHOSEN, FAILED)
LAST: Final = f"max(last_over_time({of(c.LAST_EVENT, CHOSEN)}[7d]))"
QUIET_S: Final = 900
SLOW: Final = ((None, GOOD), (5, WARNING), (15, ERROR))
TITLES: Final = common_builders.VizTextDisplayOptions().title_size(13).value_size(22)
"""Two numbers in one tile, each with its name."""

# The first that holds, told as a number: an alarm, calls fail, quiet, well, no agent seen.
VERDICT: Final = f"""(count(ALERTS{{alertstate="firing", severity="critical"}}) > 0) * 0 + 4
  or ({share(FAILURES, CALLS, "10m")} >= 0.2) * 0 + 3
  or (time() - {LAST} > {QUIET_S}) * 0 + 2
  or ({LAST} > 0) * 0 + 1
  or vector(0)"""
VERDICTS: Final = {
    "0": ("no agent seen yet: run `egoscope doctor`", QUIET),
    "1": ("well", "#2E7D9A"),
    "2": ("quiet", CALM),
    "3": ("calls fail", WARNING),
    "4": ("alarm", CRITICAL),
}


def is_it_well() -> list[Builder[Panel]]:
    """Return the first column."""
    verdicts = ValueMap(
        options={
            number: ValueMappingResult(text=text, color=colour, index=place)
            for place, (number, (text, colour)) in enumerate(VERDICTS.items())
        }
    )
    verdict = (
        tile(
            "Is it well?",
            "The first of these that holds: alarm (a critical alert is firing); calls fail (a fifth of those of "
            "the last ten minutes, or more); quiet (no line for a quarter of an hour); well",
            metric(VERDICT, instant=True),
        )
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .mappings([verdicts])
        .unit("none")
        .data_links([link("What was said", frame.LOGS)])
    )
    errors = (
        tile("Errors", "Share of calls that failed or never ended", metric(share(FAILURES, CALLS), instant=True))
        .unit("percentunit")
        .decimals(1)
        .no_value("no calls")
        .thresholds(steps((None, GOOD), (0.05, WARNING), (0.2, ERROR)))
        .data_links([link("The failed calls", frame.TRACES)])
    )
    last = (
        tile(
            "Last event",
            "Time since the newest line of any log; an agent that has stopped shows here first",
            metric(f"time() - {LAST}", instant=True),
        )
        .unit("dtdurations")
        .decimals(0)
        .no_value("none in 7 days")
        .thresholds(steps((None, GOOD), (QUIET_S, WARNING), (4 * QUIET_S, ERROR)))
    )
    alerts = (
        tile(
            "Alerts",
            "Alerts that fire now and ask for somebody: critical ones and warnings",
            metric('count(ALERTS{alertstate="firing", severity!="info"}) or vector(0)', instant=True),
        )
        .unit("none")
        .decimals(0)
        .thresholds(steps((None, GOOD), (1, ERROR)))
        .data_links([link("Which alerts", frame.PIPELINE)])
    )
    lag = (
        tile(
            "Delivery lag",
            "How long the oldest line has been waiting for the back ends to accept it; nothing is lost meanwhile",
            metric(f"max({own(c.LAG_TIME)})", instant=True),
        )
        .unit("s")
        .decimals(1)
        .no_value("no sidecar")
        .thresholds(steps((None, GOOD), (10, WARNING), (60, ERROR)))
        .data_links([link("The way of the data", frame.PIPELINE)])
    )
    return [
        at(0, 0, 6, 4, verdict),
        at(0, 4, 3, 3, errors),
        at(3, 4, 3, 3, last),
        at(0, 7, 3, 3, alerts),
        at(3, 7, 3, 3, lag),
    ]


def what_does_it_do() -> list[Builder[Panel]]:
    """Return the second column."""
    busy = overriding(
        tile(
            "What does it do?",
            "The tool that was called most within the last minute",
            metric(
                f"topk(1, {counted(of(c.CALLS_STARTED, CHOSEN), '1m', by=s.TOOL)} > 0)",
                legend=f"{{{{{s.TOOL}}}}}",
                instant=True,
            ),
            name=True,
        )
        .no_value("nothing")
        .unit("none"),
        by_name(TOOLS),
    )
    pace = (
        tile(
            "Calls a minute",
            "Tool calls that ended within the last minute, and how that was over the chosen time",
            metric(f"{counted(CALLS, '1m')} or 0 * {LAST}"),
        )
        .unit("none")
        .decimals(0)
        .no_value("0")
        .graph_mode(common.BigValueGraphMode.AREA)
        .thresholds(steps((None, SERIES[0])))
    )
    yesterday = f"sum(increase({CALLS}[$__range] anchored offset 1d)) or vector(0)"
    days = (
        tile(
            "Calls since midnight",
            "Calls of today so far, and yesterday's until this time of the day; the log has exactly as many",
            metric(f"{counted(CALLS)} or vector(0)", legend="today", instant=True),
            metric(yesterday, legend="yesterday", instant=True, ref="B"),
        )
        .time_from("now/d")
        .hide_time_override(True)
        .unit("locale")
        .decimals(0)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(TITLES)
        .thresholds(steps((None, SERIES[0])))
    )
    latency = (
        tile(
            "Latency",
            "Half of the calls in the chosen time were faster than p50, 95 of 100 faster than p95",
            metric(quantile(0.5, "$__range"), legend="p50", instant=True),
            metric(quantile(0.95, "$__range"), legend="p95", instant=True, ref="B"),
        )
        .unit("s")
        .decimals(1)
        .no_value("no calls")
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(TITLES)
        .thresholds(steps(*SLOW))
        .data_links([link("Slow calls", frame.TRACES)])
    )
    flying = (
        tile("In flight", "Calls that have begun and not ended yet", metric(f"sum({of(c.CALLS_OPEN, CHOSEN)})"))
        .unit("none")
        .decimals(0)
        .no_value("0")
        .graph_mode(common.BigValueGraphMode.AREA)
        .thresholds(steps((None, SERIES[0]), (10, WARNING)))
    )
    return [
        at(6, 0, 4, 4, busy),
        at(10, 0, 4, 4, pace),
        at(6, 4, 8, 3, days),
        at(6, 7, 5, 3, latency),
        at(11, 7, 3, 3, flying),
    ]


def how_does_it_feel() -> list[Builder[Panel]]:
    """Return the third column."""
    name = f"{{{{{s.VALUE}}}}}"
    emotion, phase = state("emotion_primary"), state("time_phase")
    # "information_hunger" reads "information hunger".
    desires = f"sort_desc({newest(c.DESIRE, by=s.DESIRE)})"
    feels = emotional(
        tile(
            "How does it feel?",
            "The emotion of the newest event",
            metric(emotion, legend=name, instant=True),
            name=True,
        )
        .no_value("nothing yet")
        .unit("none")
        .color_mode(common.BigValueColorMode.BACKGROUND)
    )
    intensity = (
        tile(
            "Intensity",
            "How strong the emotion of the newest event is, and how that was over the chosen time",
            metric(felt(c.INTENSITY)),
        )
        .unit("percentunit")
        .decimals(0)
        .min(0)
        .max(1)
        .no_value("-")
        .graph_mode(common.BigValueGraphMode.AREA)
        .thresholds(steps((None, SERIES[3])))
    )
    day = overriding(
        tile(
            "Time of day",
            "The part of the day as the agent sees it",
            metric(phase, legend=name, instant=True),
            name=True,
        )
        .no_value("-")
        .unit("none"),
        by_name(PHASES),
    )
    wants = (
        meters(
            "Desires",
            "How strong each built-in desire is now; desires that the model invented stay private",
            metric(
                f'label_replace({desires}, "{s.DESIRE}", "$1 $2", "{s.DESIRE}", "(.+)_(.+)")',
                legend=f"{{{{{s.DESIRE}}}}}",
                instant=True,
            ),
        )
        .unit("percentunit")
        .decimals(0)
        .min(0)
        .max(1)
        .no_value("-")
        .text(common_builders.VizTextDisplayOptions().title_size(11).value_size(11))
        .thresholds(steps((None, SERIES[2]), (0.5, SERIES[1]), (0.8, SERIES[6])))
    )
    point = Plane(
        "Valence and arousal",
        "Where the agent is (the large point) and was in the chosen time: unpleasant to pleasant from left to right, "
        "calm to excited upwards",
        metric(felt(c.VALENCE), legend="valence"),
        metric(felt(c.AROUSAL), legend="arousal", ref="B"),
        metric(f"{felt(c.AROUSAL)} and on () (vector(time()) > $__to / 1000 - 15)", legend="now", ref="C"),
        series={"arousal": "#B0769A", "now": "#FFFFFF"},
        large="now",
    )
    return [
        at(14, 0, 4, 4, feels),
        at(18, 0, 3, 4, intensity),
        at(21, 0, 3, 4, day),
        at(14, 4, 4, 6, point),
        at(18, 4, 6, 6, wants),
    ]


def what_happened() -> list[Builder[Panel]]:
    """Return the log as it comes, the tools and the emotions of the chosen time."""
    said = log_lines(
        "Log",
        "Every line as it comes, without private words; open one to go to its trace",
        logs(LOG_FILES_LINES, limit=100),
    )
    used = bars(
        "Calls by tool",
        "What the agent used, when; a bar is 15 seconds or more",
        metric(f"{counted(CALLS, '$__interval', by=s.TOOL)} > 0", legend=f"{{{{{s.TOOL}}}}}"),
        points=60,
    )
    history = link("History of this tool", frame.HISTORY, variables=f"var-{s.TOOL}=${{__field.labels.{s.TOOL}}}")
    felt = lanes(
        "Emotions",
        "Which emotion the newest event of each time had",
        metric(state("emotion_primary"), legend=f"{{{{{s.VALUE}}}}}"),
    )
    return [
        at(0, 10, 14, 8, said),
        at(14, 10, 10, 8, overriding(used.legend(legend()).data_links([history]), by_name(TOOLS))),
        at(0, 18, 24, 7, emotional(felt)),
    ]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return frame.dashboard(
        frame.NOW,
        "Now",
        "Is the agent well, what does it do, how does it feel?",
        [*is_it_well(), *what_does_it_do(), *how_does_it_feel(), *what_happened()],
        variables=[frame.host(), frame.instance()],
    )
