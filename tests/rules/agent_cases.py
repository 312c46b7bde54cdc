"""When the alerts about agents fire, and when they do not."""

from __future__ import annotations

from typing import Final

from tests.rules.promtool import Case

CALLS: Final = 'ego_calls_total{job="ego-mcp",instance="a",tool="recall",outcome="%s"}'
OK: Final = CALLS % "ok"
ERROR: Final = CALLS % "error"
UNFINISHED: Final = CALLS % "unfinished"
OTHER_TOOL_OK: Final = OK.replace("recall", "remember")
OTHER_TOOL_ERROR: Final = ERROR.replace("recall", "remember")
NEXT_FILE_OK: Final = OK.replace('"a"', '"b"')
NEXT_FILE_ERROR: Final = ERROR.replace('"a"', '"b"')
LAST_EVENT: Final = 'ego_last_event_time_seconds{job="ego-mcp",instance="a"}'
OPEN: Final = 'ego_calls_open{job="ego-mcp",instance="a"}'
INTENSITY: Final = 'ego_emotion_intensity_ratio{job="ego-mcp",instance="a"}'
DURATION: Final = 'gen_ai_execute_tool_duration_seconds_bucket{job="ego-mcp",instance="a",le="%s"}'
ON_TIME: Final = 'egoscope_lag_time_seconds{job="egoscope",instance="s"}'
AGENT: Final = {"job": "ego-mcp"}
PAST_DAYS: Final = {"against": "past days"}
LAST_HOUR: Final = {"against": "last hour"}
OPEN_CALL: Final = {"because": "a call is open"}
HABIT: Final = {"because": "it talks at this hour"}
# A week of a value every five minutes, and a clock to it.
WEEK: Final = 7 * 288
WEEK_CLOCK: Final = "0+300x2100"

ERRORS: Final = (
    Case(
        id="fast burn: four calls in five fail, for an hour and right now",
        alert="AgentErrorBudgetFast",
        series={OK: "0+1x90", ERROR: "0+4x90"},
        fires={"70m": "ego-mcp: 80% of the calls of the last hour failed, and it goes on"},
        labels=AGENT,
    ),
    Case(
        id="fast burn: not at 14.4 times the budget, only above",
        alert="AgentErrorBudgetFast",
        series={OK: "0+28x90", ERROR: "0+72x90"},
        silent=("10m", "40m", "70m"),
    ),
    Case(
        id="fast burn: nine calls are too few to say",
        alert="AgentErrorBudgetFast",
        series={ERROR: "0+1x9 9x60"},
        silent=("5m", "9m", "20m"),
    ),
    Case(
        id="fast burn: over five minutes after the repair, though the hour is bad still",
        alert="AgentErrorBudgetFast",
        series={OK: "0+1x30 40+10x40", ERROR: "0+4x30 120x40"},
        fires={"30m": "ego-mcp: 80% of the calls of the last hour failed, and it goes on"},
        silent=("38m", "60m"),
        labels=AGENT,
    ),
    Case(
        id="slow burn: a third fails, for six hours and for the last half hour",
        alert="AgentErrorBudgetSlow",
        series={OK: "0+13x400", ERROR: "0+7x400"},
        fires={"6h20m": "ego-mcp: 35% of the calls of the last six hours failed"},
        labels=AGENT,
        evaluated="5m",
    ),
    Case(
        id="slow burn: not at six times the budget, only above",
        alert="AgentErrorBudgetSlow",
        series={OK: "0+7x400", ERROR: "0+3x400"},
        silent=("1h", "6h20m"),
        evaluated="5m",
    ),
    Case(
        id="slow burn: over half an hour after the repair",
        alert="AgentErrorBudgetSlow",
        series={OK: "0+13x120 1580+20x60", ERROR: "0+7x120 840x60"},
        fires={"2h": "ego-mcp: 35% of the calls of the last six hours failed"},
        silent=("2h35m",),
        labels=AGENT,
        evaluated="5m",
    ),
    Case(
        id="errors: a quarter fails",
        alert="AgentErrors",
        series={OK: "0+3x30", ERROR: "0+1x30"},
        fires={"20m": "ego-mcp: 25% of the calls of the last ten minutes failed"},
        labels=AGENT,
    ),
    Case(
        id="errors: a fifth is not yet more than a fifth",
        alert="AgentErrors",
        series={OK: "0+4x30", ERROR: "0+1x30"},
        silent=("5m", "20m", "30m"),
    ),
    Case(
        id="errors: one failure of two calls is none, nor are nine of nine",
        alert="AgentErrors",
        series={OK: "0x20 1x20", ERROR: "0x20 1x20", OTHER_TOOL_ERROR: "0x40 0+1x7 7x20"},
        silent=("21m", "30m", "50m"),
    ),
    Case(
        id="errors: calls that never end are failures",
        alert="AgentErrors",
        series={OK: "0+3x30", UNFINISHED: "0+2x30"},
        fires={"20m": "ego-mcp: 40% of the calls of the last ten minutes failed"},
        labels=AGENT,
    ),
    Case(
        id="errors: over when they are out of the ten minutes, and five more",
        alert="AgentErrors",
        series={OK: "0+3x60", ERROR: "0+1x20 20x40"},
        fires={"20m": "ego-mcp: 25% of the calls of the last ten minutes failed"},
        silent=("40m",),
        labels=AGENT,
    ),
    Case(
        id="errors: a gap in the points neither ends nor makes them",
        alert="AgentErrors",
        series={OK: "0+3x20 _x3 72+3x20", ERROR: "0+1x20 _x3 24+1x20"},
        fires={
            "22m": "ego-mcp: 25% of the calls of the last ten minutes failed",
            "30m": "ego-mcp: 25% of the calls of the last ten minutes failed",
        },
        labels=AGENT,
    ),
    Case(
        id="errors: a gap of an agent that is well makes none",
        alert="AgentErrors",
        series={OK: "0+9x20 _x8 261+9x20", ERROR: "0+1x20 _x8 29+1x20"},
        silent=("20m", "25m", "29m", "30m", "45m"),
    ),
    Case(
        id="errors: they go on in the next file",
        alert="AgentErrors",
        series={
            OK: "0+3x20 stale",
            ERROR: "0+1x20 stale",
            NEXT_FILE_OK: "_x20 0+3x20",
            NEXT_FILE_ERROR: "_x20 0+1x20",
        },
        fires={"25m": "ego-mcp: 25% of the calls of the last ten minutes failed"},
        labels=AGENT,
    ),
    Case(
        id="errors: history that is filled in behind now does not fire",
        alert="AgentErrors",
        series={ERROR: "0+5x60", OK: "0+1x60 _x60 61+1x30"},
        silent=("2h",),
    ),
    Case(
        id="tool: one fails always, the others never",
        alert="AgentToolFailing",
        series={ERROR: "0+1x60", OTHER_TOOL_OK: "0+5x60"},
        fires={
            "40m": "ego-mcp: recall failed in 100% of its calls of the last half hour, while other tools work",
        },
        labels={**AGENT, "tool": "recall"},
    ),
    Case(
        id="tool: just under half of its calls",
        alert="AgentToolFailing",
        series={OK: "0+51x60", ERROR: "0+49x60", OTHER_TOOL_OK: "0+900x60"},
        silent=("20m", "40m"),
    ),
    Case(
        id="tool: not where the others fail as well",
        alert="AgentToolFailing",
        series={ERROR: "0+1x60", OTHER_TOOL_OK: "0+9x60", OTHER_TOOL_ERROR: "0+1x60"},
        silent=("20m", "40m"),
    ),
    Case(
        id="tool: four calls are too few to say",
        alert="AgentToolFailing",
        series={ERROR: "0x5 0+1x4 4x40", OTHER_TOOL_OK: "0+5x60"},
        silent=("10m", "20m", "30m"),
    ),
    Case(
        id="tool: over when it works again",
        alert="AgentToolFailing",
        series={ERROR: "0+1x30 30x60", OK: "0x30 2+2x60", OTHER_TOOL_OK: "0+5x90"},
        fires={"30m": "ego-mcp: recall failed in 100% of its calls of the last half hour, while other tools work"},
        silent=("70m",),
        labels={**AGENT, "tool": "recall"},
    ),
)

LATENCY: Final = (
    Case(
        id="slow: one call in ten takes more than five seconds",
        alert="AgentSlow",
        series={OK: "0+10x60", DURATION % "5": "0+9x60", DURATION % "10": "0+10x60", DURATION % "+Inf": "0+10x60"},
        fires={"20m": "ego-mcp: one call in twenty takes more than 7.5s"},
        labels=AGENT,
    ),
    Case(
        id="slow: not where it is just under one in twenty",
        alert="AgentSlow",
        series={OK: "0+10x60", DURATION % "5": "0+96x60", DURATION % "10": "0+100x60", DURATION % "+Inf": "0+100x60"},
        silent=("20m", "50m"),
    ),
    Case(
        id="slow: tools of other agents that take long are none of its calls",
        alert="AgentSlow",
        series={
            OK: "0+10x60",
            DURATION % "5": "0+10x60",
            DURATION % "+Inf": "0+10x60",
            DURATION.replace("ego-mcp", "kagura") % "5": "0x60",
            DURATION.replace("ego-mcp", "kagura") % "+Inf": "0+50x60",
        },
        silent=("20m", "50m"),
    ),
    Case(
        id="slow: nineteen calls are too few to say",
        alert="AgentSlow",
        series={OK: "0+1x19 19x60", DURATION % "5": "0x60", DURATION % "10": "0+1x60", DURATION % "+Inf": "0+1x60"},
        silent=("10m", "19m", "40m"),
    ),
    Case(
        id="slow: over when the slow ones are out of the ten minutes",
        alert="AgentSlow",
        series={
            OK: "0+10x60",
            DURATION % "5": "0+9x20 190+10x40",
            DURATION % "10": "0+10x60",
            DURATION % "+Inf": "0+10x60",
        },
        fires={"20m": "ego-mcp: one call in twenty takes more than 7.5s"},
        silent=("31m",),
        labels=AGENT,
    ),
)

VOLUME: Final = (
    Case(
        id="surge: five times the calls of the past days at this hour, over when they end",
        alert="AgentSurge",
        series={OK: f"0+5x{WEEK} {5 * WEEK + 25}+25x23 {5 * WEEK + 605}+5x24", LAST_EVENT: WEEK_CLOCK},
        fires={"170h": "ego-mcp: 5.0 times the calls that are usual at this hour"},
        silent=("168h", "172h"),
        labels=AGENT,
        which=PAST_DAYS,
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="surge: four times is not yet more than four times",
        alert="AgentSurge",
        series={OK: f"0+5x{WEEK} {5 * WEEK + 20}+20x40", LAST_EVENT: WEEK_CLOCK},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="surge: 120 calls in an hour that is usually quiet are none",
        alert="AgentSurge",
        series={OK: f"0x{WEEK} 10+10x40", LAST_EVENT: WEEK_CLOCK},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="surge without history: against the hour before, over when that hour was as busy",
        alert="AgentSurge",
        series={OK: "0+2x90 210+30x90", LAST_EVENT: "0+60x200"},
        fires={"100m": "ego-mcp: 15.0 times the calls of the hour before"},
        silent=("90m", "150m"),
        labels=AGENT,
        which=LAST_HOUR,
    ),
    Case(
        id="surge without history: five times is not yet more than five times",
        alert="AgentSurge",
        series={OK: "0+2x90 190+10x90", LAST_EVENT: "0+60x200"},
        silent=("95m", "100m", "110m"),
    ),
    Case(
        id="surge without history: a start is none",
        alert="AgentSurge",
        series={OK: "0+30x90", LAST_EVENT: "0+60x90"},
        silent=("10m", "20m", "40m", "60m"),
    ),
    Case(
        id="surge: after a gap of the pipeline all is as it was",
        alert="AgentSurge",
        series={OK: "0+2x90 _x9 200+2x60", LAST_EVENT: "0+60x90 _x9 6000+60x60"},
        silent=("90m", "99m", "100m", "110m", "130m"),
    ),
    Case(
        id="drop: a fifth of the calls of the past days at this hour, over when they are back",
        alert="AgentDrop",
        series={OK: f"0+5x{WEEK} {5 * WEEK + 1}+1x23 {5 * WEEK + 29}+5x24", LAST_EVENT: WEEK_CLOCK},
        fires={"170h": "ego-mcp: only 20% of the calls that are usual at this hour"},
        silent=("168h", "172h"),
        labels=AGENT,
        which=PAST_DAYS,
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="drop: a quarter is not yet less than a quarter",
        alert="AgentDrop",
        series={OK: f"0+5x{WEEK} {5 * WEEK + 1.25}+1.25x40", LAST_EVENT: WEEK_CLOCK},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="drop: none where few calls are usual",
        alert="AgentDrop",
        series={OK: f"0+2x{WEEK} {2 * WEEK}x40", LAST_EVENT: WEEK_CLOCK},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="drop: none where it was as quiet on this weekday a week ago",
        alert="AgentDrop",
        series={OK: f"0+1x48 53+5x{WEEK - 49} {5 * WEEK - 191}+1x40", LAST_EVENT: WEEK_CLOCK},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="drop without history: next to nothing after a busy hour, over when that is an hour ago",
        alert="AgentDrop",
        series={OK: "0+3x90 270x90", LAST_EVENT: "0+60x200"},
        fires={"125m": "ego-mcp: only 0% of the calls of the hour before"},
        silent=("100m", "117m", "160m"),
        labels=AGENT,
        which=LAST_HOUR,
    ),
    Case(
        id="drop without history: a tenth is not yet less than a tenth",
        alert="AgentDrop",
        series={OK: "0+3x90 270.3+0.3x90", LAST_EVENT: "0+60x200"},
        silent=("118m", "122m"),
    ),
)

SILENCE: Final = (
    Case(
        id="silent: a call is open and no line for more than five minutes, over with the next line",
        alert="AgentSilent",
        series={LAST_EVENT: "0+60x10 600x9 1260+60x20", OPEN: "1x60", ON_TIME: "0x60"},
        fires={
            "17m": "ego-mcp: no line for 7m 0s, though a call began and has no end",
            "20m": "ego-mcp: no line for 10m 0s, though a call began and has no end",
        },
        silent=("15m", "21m", "30m"),
        labels=AGENT,
        which=OPEN_CALL,
    ),
    Case(
        id="silent: also after the call has expired as unfinished",
        alert="AgentSilent",
        series={LAST_EVENT: "0+60x10 600x50", OPEN: "1x25 0x40", UNFINISHED: "0x24 1x40", ON_TIME: "0x60"},
        fires={"30m": "ego-mcp: no line for 20m 0s, though a call began and has no end"},
        labels=AGENT,
        which=OPEN_CALL,
    ),
    Case(
        id="silent: an agent that has ended its calls may be",
        alert="AgentSilent",
        series={LAST_EVENT: "0+60x10 600x50", OPEN: "0x60", OK: "0+1x10 10x50", ON_TIME: "0x60"},
        silent=("20m", "60m"),
    ),
    Case(
        id="silent: what comes late is not",
        alert="AgentSilent",
        series={LAST_EVENT: "0+60x10 600x50", OPEN: "1x60", ON_TIME: "60+60x60"},
        silent=("17m", "40m"),
    ),
    Case(
        id="silent: a sidecar that is away for minutes makes no agent silent",
        alert="AgentSilent",
        series={
            LAST_EVENT: "0+60x20 _x12 1980+60x20",
            OPEN: "1x20 _x12 1x20",
            ON_TIME: "0x20 _x12 0x20",
        },
        silent=("20m", "24m", "25m", "26m", "30m", "33m", "40m"),
    ),
    Case(
        id="silent: it talks at this hour on every day, and not today",
        alert="AgentSilent",
        series={OK: f"0+5x{WEEK} {5 * WEEK}x40", LAST_EVENT: WEEK_CLOCK, ON_TIME: "0x2100"},
        fires={"170h": "ego-mcp: not one call in an hour, where 60 are usual"},
        silent=("168h",),
        labels=AGENT,
        which=HABIT,
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="silent: over with the first call",
        alert="AgentSilent",
        series={OK: f"0+5x{WEEK} {5 * WEEK}x24 {5 * WEEK + 1}x24", LAST_EVENT: WEEK_CLOCK, ON_TIME: "0x2100"},
        fires={"170h": "ego-mcp: not one call in an hour, where 60 are usual"},
        silent=("171h",),
        labels=AGENT,
        which=HABIT,
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="silent: fewer than twelve calls an hour are no habit",
        alert="AgentSilent",
        series={OK: f"0+0.9x{WEEK} {0.9 * WEEK}x40", LAST_EVENT: WEEK_CLOCK, ON_TIME: "0x2100"},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="silent: not on a weekday on which it was silent a week ago",
        alert="AgentSilent",
        series={OK: f"0x48 5+5x{WEEK - 49} {5 * (WEEK - 48)}x40", LAST_EVENT: WEEK_CLOCK, ON_TIME: "0x2100"},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="silent: two days are no habit",
        alert="AgentSilent",
        series={OK: "0+5x576 2880x60", LAST_EVENT: "0+300x640", ON_TIME: "0x640"},
        silent=("49h", "50h", "52h"),
        every="5m",
        evaluated="1h",
    ),
)

FEELING: Final = (
    Case(
        id="intensity: half a point above the hours before, over when it is back",
        alert="AgentIntensityJump",
        series={INTENSITY: "0.3x180 0.8x10 0.3x60", LAST_EVENT: "0+60x250"},
        fires={"186m": "ego-mcp: the intensity of its emotion jumped by +0.50"},
        silent=("180m", "210m"),
        labels={**AGENT, "instance": "a"},
    ),
    Case(
        id="intensity: downwards too",
        alert="AgentIntensityJump",
        series={INTENSITY: "0.9x180 0.5x20", LAST_EVENT: "0+60x250"},
        fires={"186m": "ego-mcp: the intensity of its emotion jumped by -0.40"},
        labels={**AGENT, "instance": "a"},
    ),
    Case(
        id="intensity: just under 0.35",
        alert="AgentIntensityJump",
        series={INTENSITY: "0.3x180 0.64x20", LAST_EVENT: "0+60x250"},
        silent=("185m", "190m"),
    ),
    Case(
        id="intensity: not where it goes up and down all the time",
        alert="AgentIntensityJump",
        series={INTENSITY: f"{'0.1 0.7 ' * 90} 0.9x20", LAST_EVENT: "0+60x250"},
        silent=("185m", "190m", "198m"),
    ),
    Case(
        id="intensity: a value that is only kept alive is none",
        alert="AgentIntensityJump",
        series={INTENSITY: "0.3x180 0.8x20", LAST_EVENT: "0+60x170 10200x80"},
        silent=("186m", "190m"),
    ),
    Case(
        id="intensity: a start or a new file has nothing to jump from",
        alert="AgentIntensityJump",
        series={INTENSITY: "0.3x20 0.9x20", LAST_EVENT: "0+60x250"},
        silent=("25m", "30m"),
    ),
)

CASES: Final = (*ERRORS, *LATENCY, *VOLUME, *SILENCE, *FEELING)
