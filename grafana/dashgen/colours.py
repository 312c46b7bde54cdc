"""Colours with a meaning: what stands for an emotion, an outcome or a level does so everywhere, terminal included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    MatcherConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from egoscope.cli.palette import EMOTIONS, ERROR, GOOD, KIN, UNKNOWN_EMOTION, WARNING, emotion_colour

if TYPE_CHECKING:
    from collections.abc import Iterable

CALM: Final = "#7F8FA6"
QUIET: Final = "#8E8E8E"
CRITICAL: Final = "#C4162A"
# Parts of the day from night through noon to night: dark, light, dark.
PHASES: Final = {
    "late_night": "#2B3A67",
    "early_morning": "#4F6D9A",
    "dawn": "#C98B6B",
    "morning": "#E9C46A",
    "noon": "#FFE8A3",
    "afternoon": "#F4A261",
    "evening": "#A56C8C",
    "night": "#3D4A7A",
    "unknown": QUIET,
}
LEVELS: Final = {
    "DEBUG": QUIET,
    "INFO": GOOD,
    "WARNING": WARNING,
    "ERROR": ERROR,
    "CRITICAL": CRITICAL,
    "_OTHER": UNKNOWN_EMOTION,
}
OUTCOMES: Final = {"ok": GOOD, "error": ERROR, "unfinished": WARNING}
# What becomes of a task, and what a worker is at.
TASK_OUTCOMES: Final = {"ok": GOOD, "error": ERROR, "cancelled": QUIET}
TASK_STATES: Final = {"pending": WARNING, "in_progress": GOOD, "processing": "#0072B2", "_OTHER": UNKNOWN_EMOTION}
WORKER_STATES: Final = {
    "busy": GOOD,
    "idle": "#3F5A6B",
    "lost": ERROR,
    "offline": QUIET,
    "_OTHER": UNKNOWN_EMOTION,
}
# What redaction did with a value.
ACTIONS: Final = {"kept": GOOD, "pseudonymised": "#CC79A7", "counted": "#009E73", "dropped": QUIET}
# What became of a request to the back ends.
SENDS: Final = {"accepted": GOOD, "unavailable": WARNING, "refused": ERROR, "rejected": CRITICAL}
SIGNALS: Final = {"traces": "#CC79A7", "metrics": "#E69F00", "logs": "#009E73"}
SEVERITIES: Final = {"critical": CRITICAL, "warning": WARNING, "info": GOOD}
# Okabe and Ito's, for lines that are told apart by name: safe for colour-blind eyes.
SERIES: Final = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#ABABAB")

# A tool keeps its colour from panel to panel: the most used ones have the clearest, their paler kin the rarer.
TOOLS: Final = {
    "recall": SERIES[0],
    "remember": SERIES[1],
    "attune": SERIES[2],
    "consider_them": SERIES[3],
    "introspect": SERIES[4],
    "wake_up": SERIES[5],
    "consolidate": SERIES[6],
    "pause": SERIES[7],
    "update_relationship": "#A9D8F3",
    "link_memories": "#F3D08A",
    "update_self": "#80CEB9",
    "create_episode": "#E8C3D7",
    "get_episode": "#A8A02F",
    "curate_notions": "#7FB5DA",
    "forget": "#EBAF82",
    "configure_desires": "#737373",
    "_OTHER": "#D8D8D8",
}


def emotions() -> dict[str, str]:
    """Return every known emotion's colour."""
    return {name: emotion_colour(name) for name in sorted({*EMOTIONS, *KIN})} | {"_OTHER": UNKNOWN_EMOTION}


def fixed(colour: str) -> DynamicConfigValue:
    """Return the property that gives a field one colour."""
    return DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def by_name(colours: dict[str, str]) -> list[tuple[MatcherConfig, list[DynamicConfigValue]]]:
    """Return overrides that give each named series its colour."""
    return [(MatcherConfig(id_val="byName", options=name), [fixed(colour)]) for name, colour in colours.items()]


def mapped(colours: dict[str, str]) -> ValueMap:
    """Return the value mapping that gives each word its colour, in tables and lanes of strings."""
    words = {
        word: ValueMappingResult(text=word, color=colour, index=place)
        for place, (word, colour) in enumerate(colours.items())
    }
    return ValueMap(options=words)


def steps(*pairs: tuple[float | None, str]) -> ThresholdsConfig:
    """Return thresholds: from each value on, its colour; None is minus infinity."""
    every: Iterable[Threshold] = (Threshold(value=value, color=colour) for value, colour in pairs)
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(list(every))
