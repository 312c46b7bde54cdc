"""Colours with a meaning, in one place: an emotion looks the same in the terminal and in every dashboard.

The emotions' colours were searched for: any two differ by at least 31 (CIELAB) for normal sight and by at least 15 for
deuteranopia and protanopia as Machado et al. 2009 simulate them, and each has a contrast of 4:1 or more to a dark
background. Hue tells the kind: warm for pleasant and lively, green for at rest, blue for low, violet for looking back.
No colour stands alone: the emotion's name is written beside it.
"""

from __future__ import annotations

from typing import Final

EMOTIONS: Final = {
    "neutral": "#ABABAB",
    "calm": "#008966",
    "contentment": "#B5FF8B",
    "happy": "#FEEF33",
    "excited": "#E39400",
    "moved": "#FE9E91",
    "surprised": "#8DFFE7",
    "curious": "#57D9FF",
    "contemplative": "#B48AFF",
    "nostalgic": "#FB89D8",
    "melancholy": "#027CC7",
    "sad": "#0A6EFF",
    "anxious": "#8F6A95",
    "frustrated": "#D24820",
}
# Nobody tells thirty colours apart: a rarer emotion wears its kin's.
KIN: Final = {
    "thoughtful": "contemplative",
    "content": "contentment",
    "fulfilled": "contentment",
    "peaceful": "calm",
    "touched": "moved",
    "grateful": "moved",
    "love": "moved",
    "warm": "moved",
    "hopeful": "excited",
    "lonely": "melancholy",
    "vulnerable": "sad",
    "concerned": "anxious",
    "afraid": "anxious",
    "ashamed": "anxious",
    "angry": "frustrated",
    "bored": "neutral",
}
UNKNOWN_EMOTION: Final = "#D8D8D8"

ERROR: Final = "#F0602E"
WARNING: Final = "#E69F00"
GOOD: Final = "#56B4E9"
ACCENT: Final = "#57D9FF"

SEVERITIES: Final = {
    "DEBUG": "dim",
    "INFO": GOOD,
    "WARNING": WARNING,
    "ERROR": f"bold {ERROR}",
    "CRITICAL": f"bold reverse {ERROR}",
}


def emotion_colour(name: str) -> str:
    """Return the colour of an emotion as #RRGGBB; one and the same for all names that are not known."""
    return EMOTIONS.get(KIN.get(name, name), UNKNOWN_EMOTION)
