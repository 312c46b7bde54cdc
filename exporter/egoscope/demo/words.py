"""Tables a demo life is drawn from: tools, latencies, emotions and harmless phrases."""

from __future__ import annotations

from typing import Final

TOOLS: Final = (
    "wake_up",
    "attune",
    "introspect",
    "consider_them",
    "remember",
    "recall",
    "pause",
    "consolidate",
    "forget",
    "link_memories",
    "update_relationship",
    "update_self",
    "get_episode",
    "create_episode",
    "curate_notions",
    "configure_desires",
)

# Weights of what follows the opening of a session.
STEPS: Final = {
    "recall": 300,
    "remember": 290,
    "attune": 100,
    "consider_them": 70,
    "introspect": 55,
    "pause": 45,
    "update_relationship": 28,
    "link_memories": 25,
    "update_self": 20,
    "create_episode": 18,
    "get_episode": 18,
    "curate_notions": 16,
    "forget": 10,
    "configure_desires": 5,
}

# Median in milliseconds and sigma of a log-normal latency.
LATENCY: Final = {
    "wake_up": (55, 0.5),
    "attune": (70, 0.5),
    "introspect": (130, 0.5),
    "consider_them": (28, 0.4),
    "remember": (230, 0.45),
    "recall": (150, 0.5),
    "pause": (11, 0.2),
    "consolidate": (620, 0.4),
    "forget": (40, 0.5),
    "link_memories": (24, 0.4),
    "update_relationship": (18, 0.4),
    "update_self": (17, 0.4),
    "get_episode": (26, 0.4),
    "create_episode": (180, 0.4),
    "curate_notions": (20, 0.4),
    "configure_desires": (15, 0.3),
}

# Calls by hour of the day against the mean: quiet nights, busy mornings and evenings.
HOURS: Final = (
    *(0.25, 0.12, 0.08, 0.06, 0.08, 0.30, 0.80, 1.50),
    *(1.90, 1.80, 1.50, 1.20, 0.90, 1.00, 1.10, 1.00),
    *(1.00, 1.20, 1.60, 1.90, 1.90, 1.50, 0.90, 0.41),
)

PHASES: Final = (
    *("late_night",) * 5,
    *("early_morning",) * 2,
    *("morning",) * 5,
    *("afternoon",) * 5,
    *("evening",) * 4,
    *("night",) * 3,
)

PLEASANT_LIVELY: Final = ("happy", "excited", "curious", "surprised", "hopeful", "moved", "love")
PLEASANT_QUIET: Final = ("calm", "contentment", "peaceful", "grateful", "fulfilled", "warm", "nostalgic", "touched")
UNPLEASANT_LIVELY: Final = ("anxious", "frustrated", "concerned", "afraid", "ashamed", "angry")
UNPLEASANT_QUIET: Final = ("melancholy", "sad", "lonely", "bored", "vulnerable")
BALANCED: Final = ("neutral", "thoughtful", "contemplative")

CATEGORIES: Final = (
    *("daily", "philosophical", "technical", "memory", "observation", "feeling"),
    *("conversation", "introspection", "relationship", "self_discovery", "dream", "lesson"),
)

DESIRES: Final = (
    "information_hunger",
    "social_thirst",
    "cognitive_coherence",
    "pattern_seeking",
    "predictability",
    "recognition",
    "resonance",
    "expression",
    "curiosity",
)

MODES: Final = ("focus", "rest", "explore", "social")
STATES: Final = ("steady", "drifting", "tender", "restless")

# What stands around a planted word: nothing here is private.
PHRASES: Final = (
    "朝の散歩のあとで思い出した",
    "雨の音を聞きながら書いている",
    "the tests went green on the third try",
    "電車の窓から見えた桜",
    "coffee by the window, nobody in a hurry",
    "la fenêtre était restée ouverte",
    "夕方の庭は静かだった",
    "we laughed about the broken build",
    "she asked twice and I had no answer",
    'a line that stayed: "not yet"',
    "音楽を聴いた。少し泣いた",
    "the release notes were kinder than expected 🌱",
    "so many open tabs, one open question",
    "昔の手紙を読み返した",
    "Grüße aus dem Zug",
    "a path of C:\\old\\notes, half remembered",
)
