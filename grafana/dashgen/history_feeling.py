"""History, second half: what the agent felt and wanted, and how it stands with people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common

from dashgen.colours import CALM, PHASES, QUIET, SERIES, WARNING, by_name, emotions, steps
from dashgen.panels import at, emotional, legend, lines, overriding, rows, set_by, transformed
from dashgen.plane import Plane
from dashgen.queries import CHOSEN_PERSON, metric
from dashgen.states import NAME, by_hour, durations, felt, newest, state, timeline
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table, timeseries
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Panel

EMOTION: Final = "emotion_primary"
PHASE: Final = "time_phase"
ABSENCE: Final = "absence_band"
BANDS: Final = {"usual": SERIES[0], "quiet": CALM, "long": WARNING, "unknown": QUIET}
EMPTY: Final = "Nothing was told in this time: choose a longer one"
REMEMBERED: Final = "1d"
"""How long what was told of a person is taken to hold."""
DESIRES: Final[dict[str, str]] = dict(
    zip(
        (
            *("information_hunger", "social_thirst", "cognitive_coherence", "pattern_seeking", "predictability"),
            *("recognition", "resonance", "expression", "curiosity"),
        ),
        (*SERIES, "#9D7BD8"),
        strict=True,
    )
)
BY_DESIRE: Final = f"{{{{{s.DESIRE}}}}}"
BY_PERSON: Final = f"{{{{{s.LABEL_PERSON}}}}}"
HOURLY: Final = (
    "In percent of what is known of each hour, over all days of the chosen time, drawn on one day by the clock of the "
    "agent's machine"
)


def feeling(y: int) -> list[Builder[Panel]]:
    """Return emotions and the part of the day."""
    moods = lines(
        "Intensity, valence, arousal",
        "How strong, how pleasant (-1 to 1) and how excited (0 to 1) the agent felt",
        metric(felt(c.INTENSITY), legend="intensity"),
        metric(felt(c.VALENCE), legend="valence", ref="B"),
        metric(felt(c.AROUSAL), legend="arousal", ref="C"),
    )
    moods.unit("none").decimals(2).no_value(EMPTY).min(-1).max(1).fill_opacity(0).max_data_points(600)
    coloured = by_name({"intensity": SERIES[3], "valence": SERIES[2], "arousal": SERIES[1]})
    plane = Plane(
        "Valence and arousal",
        "Where the agent was over the chosen time, coloured by its emotion: unpleasant to pleasant from left to right, "
        "calm to excited from bottom to top",
        metric(felt(c.VALENCE), legend="valence"),
        metric(f"{state(EMOTION)} * on () group_left () {felt(c.AROUSAL)}", legend=NAME, ref="B"),
        series=emotions(),
    )
    lanes = timeline("Emotions", "Which emotion the agent had when, a lane each", EMOTION)
    lasted = durations("Time in each emotion", "How long the agent felt what, longest first", EMOTION)
    hours = by_hour("Emotions by hour of the day", f"Which emotion is felt when. {HOURLY}", EMOTION)
    phases = timeline("Time of day", "The part of the day as the agent sees it", PHASE, order=tuple(PHASES))
    phase_hours = by_hour(
        "Time of day by hour", f"What the agent calls each hour. {HOURLY}", PHASE, order=tuple(PHASES)
    )
    return [
        at(
            0,
            y,
            16,
            8,
            overriding(moods, coloured).unit("none").decimals(2).min(-1).max(1).fill_opacity(0).max_data_points(600),
        ),
        at(16, y, 8, 8, plane),
        at(0, y + 8, 16, 14, emotional(lanes)),
        at(16, y + 8, 8, 14, emotional(lasted)),
        at(0, y + 22, 24, 13, hours),
        at(0, y + 35, 12, 7, overriding(phases, by_name(PHASES))),
        at(12, y + 35, 12, 7, phase_hours),
    ]


def desires(y: int) -> list[Builder[Panel]]:
    """Return how strong each desire was."""
    panel = lines(
        "Desires",
        "How strong each built-in desire was, 0 to 1: it grows until it is met; those that the model invented stay "
        "private",
        metric(newest(c.DESIRE, by=s.DESIRE), legend=BY_DESIRE),
    )
    return [
        at(
            0,
            y,
            24,
            9,
            overriding(panel, by_name(DESIRES))
            .unit("percentunit")
            .decimals(1)
            .no_value(EMPTY)
            .min(0)
            .max(1)
            .fill_opacity(0)
            .max_data_points(600)
            .legend(legend(sums=True).calcs(["lastNotNull", "mean", "max"]).sort_by("Last *")),
        )
    ]


def people(y: int) -> list[Builder[Panel]]:
    """Return how the agent stands with people, by pseudonym."""
    trust = lines(
        "Trust",
        "How far the agent trusts each person, 0 to 1; people are keyed pseudonyms",
        metric(newest(c.TRUST, CHOSEN_PERSON, by=s.LABEL_PERSON, window=REMEMBERED), legend=BY_PERSON),
    )
    met = lines(
        "Interactions",
        "Interactions with each person so far",
        metric(newest(c.INTERACTIONS, CHOSEN_PERSON, by=s.LABEL_PERSON, window=REMEMBERED), legend=BY_PERSON),
    )
    bands = timeline(
        "Absence", "How long the person in mind has been away, as the agent sees it", ABSENCE, order=tuple(BANDS)
    )
    hours = by_hour("Absence by hour of the day", f"When absence is felt. {HOURLY}", ABSENCE, order=tuple(BANDS))
    beside = legend(sums=True).calcs([]).display_mode(common.LegendDisplayMode.LIST)
    return [
        at(0, y, 12, 8, _slow(trust).unit("percentunit").max(1).legend(beside)),
        at(12, y, 12, 8, _slow(met).unit("short").legend(beside)),
        at(0, y + 8, 10, 8, each_person()),
        at(10, y + 8, 14, 4, overriding(bands, by_name(BANDS))),
        at(10, y + 12, 14, 4, hours.hide_legend()),
    ]


def _slow(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw what changes seldom."""
    return panel.min(0).fill_opacity(0).max_data_points(400)


def each_person() -> table.Panel:
    """Return a table of how things stood at the end of the range: one row a person."""
    columns = {"Trust": c.TRUST, "Interactions": c.INTERACTIONS, "Shared episodes": c.SHARED_EPISODES}
    letters = dict(zip("ABC", columns, strict=True))
    places = {s.LABEL_PERSON: 0} | {f"Value #{letter}": place for place, letter in enumerate(letters, start=1)}
    names = {s.LABEL_PERSON: "Person"} | {f"Value #{letter}": name for letter, name in letters.items()}
    panel = rows(
        "Each person",
        "How the agent stands with each person at the end of the chosen time, by keyed pseudonym",
        *(
            metric(
                newest(columns[name], CHOSEN_PERSON, by=s.LABEL_PERSON, window="$__range"),
                ref=letter,
                instant=True,
                table=True,
            )
            for letter, name in letters.items()
        ),
    )
    return overriding(
        panel.unit("none")
        .decimals(0)
        .min_width(60)
        .no_value("nobody met")
        .with_transformation(transformed("merge"))
        .with_transformation(
            transformed("organize", excludeByName={"Time": True}, indexByName=places, renameByName=names)
        )
        .sort_by([common_builders.TableSortByFieldState().display_name("Interactions").desc(True)])
        .thresholds(steps((None, SERIES[0]))),
        [
            set_by("byName", "Person", custom__minWidth=175),
            set_by("byName", "Interactions", custom__minWidth=100),
            set_by("byName", "Trust", unit="percentunit", min=0, max=1, custom__displayMode="color-text"),
            set_by("byName", "Shared episodes", custom__minWidth=130),
        ],
    )
