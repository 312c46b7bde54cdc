"""When the alerts about executions, flows and cost fire, and when not. Time begins with a month of 31 days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.rules.promtool import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE: Final = 'job="kagura",instance="k"'
LAST_EVENT: Final = f"agent_last_event_time_seconds{{{DATABASE}}}"
COST: Final = f'agent_cost_usd_total{{{DATABASE},agent="a",model="m"}}'
MONTH: Final = f'agent_cost_month_usd{{{DATABASE},agent="a"}}'
OTHER_MONTH: Final = MONTH.replace('"a"', '"b"')
UNKNOWN: Final = f'agent_cost_unknown_total{{{DATABASE},agent="a",model="m"}}'
BUDGET: Final = 'egoscope_budget_usd{job="egoscope",instance="s"}'
ON_TIME: Final = 'egoscope_lag_time_seconds{job="egoscope",instance="s"}'
PROBLEMS: Final = 'egoscope_source_problems_total{job="egoscope",instance="s",source="kagura",reason="locked"}'
KAGURA: Final = {"job": "kagura"}
PAST_DAYS: Final = {"against": "past days"}
LAST_HOUR: Final = {"against": "last hour"}
PAST_WEEK: Final = {"against": "past week"}
FIVE_MINUTES: Final = {"against": "five minutes"}
STUCK: Final = {"because": "it does not end"}
# A week of a value every five minutes, and a clock to it.
WEEK: Final = 7 * 288
WEEK_CLOCK: Final = "0+300x2100"
# A month of a value an hour, and a clock to it.
HOURS: Final = "0+3600x800"


@dataclass(frozen=True, slots=True)
class Words:
    """What is alike of agents and flows, and how each calls it."""

    job: str
    label: str
    ended: str
    duration: str
    oldest: str
    failing: str
    slow: str
    stuck: str
    noun: str
    one: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its alerts."""
        return {"job": self.job, self.label: "x"}

    def series(self, name: str, **more: str) -> str:
        """Return a series of its own."""
        labels = {"job": self.job, "instance": "k", self.label: "x", **more}
        matchers = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return f"{name}{{{matchers}}}"


EXECUTIONS: Final = Words(
    "kagura",
    "agent",
    "agent_executions_total",
    "agent_execution_duration_seconds_bucket",
    "agent_running_oldest_seconds",
    "ExecutionsFailing",
    "ExecutionsSlow",
    "ExecutionStuck",
    "executions",
    "an execution",
)
RUNS: Final = Words(
    "illumo",
    "flow",
    "agent_flow_runs_total",
    "agent_flow_duration_seconds_bucket",
    "agent_flow_running_oldest_seconds",
    "FlowsFailing",
    "FlowsSlow",
    "FlowStuck",
    "runs",
    "a run",
)


def failing(of: Words) -> Iterator[Case]:
    """Yield when too many fail."""
    ok, error, lost = (of.series(of.ended, outcome=one) for one in ("ok", "error", "unfinished"))
    quarter = f"x: 25% of its {of.noun} of the last hour failed"
    yield Case(
        id=f"{of.noun}: a quarter fails, over when they are out of the hour",
        alert=of.failing,
        series={ok: "0+3x60 180+4x120", error: "0+1x60 60x120"},
        fires={"40m": quarter},
        silent=("2m", "130m"),
        labels=of.labels,
    )
    yield Case(
        id=f"{of.noun}: a fifth is not yet more than a fifth",
        alert=of.failing,
        series={ok: "0+4x90", error: "0+1x90"},
        silent=("30m", "60m", "90m"),
    )
    yield Case(
        id=f"{of.noun}: nine are too few to say",
        alert=of.failing,
        series={error: "0+1x9 9x60"},
        silent=("9m", "20m", "60m"),
    )
    yield Case(
        id=f"{of.noun}: those that never ended have failed",
        alert=of.failing,
        series={ok: "0+3x60", lost: "0+1x60"},
        fires={"40m": quarter},
        labels=of.labels,
    )
    yield Case(
        id=f"{of.noun}: a gap of the pipeline neither ends nor makes it",
        alert=of.failing,
        series={ok: "0+3x40 _x9 150+3x40", error: "0+1x40 _x9 50+1x40"},
        fires={"42m": quarter, "60m": quarter},
        labels=of.labels,
    )
    next_ok, next_error = (one.replace('"k"', '"l"') for one in (ok, error))
    yield Case(
        id=f"{of.noun}: it goes on in the next database",
        alert=of.failing,
        series={ok: "0+3x20 stale", error: "0+1x20 stale", next_ok: "_x20 0+3x30", next_error: "_x20 0+1x30"},
        fires={"45m": quarter},
        labels=of.labels,
    )


def slow(of: Words) -> Iterator[Case]:
    """Yield when p95 is high. A value every five minutes: two of them each time."""
    ok = of.series(of.ended, outcome="ok")
    quick, usual, longer, every = (of.series(of.duration, le=one) for one in ("5", "10", "60", "+Inf"))
    week, after = 2 * WEEK, 2 * WEEK + 2
    words = f"x: one in twenty of its {of.noun} takes more than 57.5s, over three times the usual"
    yield Case(
        id=f"{of.noun}: over ten times as slow as in the week before, over when the slow ones are out of the hour",
        alert=of.slow,
        series={
            ok: "0+2x2100",
            quick: f"0+2x{WEEK} {week}x24 {after}+2x40",
            usual: f"0+2x{WEEK} {week}x24 {after}+2x40",
            longer: "0+2x2100",
            every: "0+2x2100",
        },
        fires={"170h": words},
        silent=("168h", "172h"),
        labels=of.labels,
        which=PAST_WEEK,
        every="5m",
        evaluated="10m",
    )
    yield Case(
        id=f"{of.noun}: three times as slow is not yet more than three times",
        alert=of.slow,
        series={
            ok: "0+2x2100",
            quick: "0x2100",
            usual: f"0+2x{WEEK} {week}x60",
            longer: "0+2x2100",
            every: "0+2x2100",
            of.series(of.duration, le="29"): f"0+2x{WEEK} {after}+2x60",
        },
        silent=("168h", "169h", "170h"),
        every="5m",
        evaluated="10m",
    )
    yield Case(
        id=f"{of.noun}: three times nothing is nothing yet",
        alert=of.slow,
        series={
            ok: "0+2x2100",
            of.series(of.duration, le="0.1"): f"0+2x{WEEK} {week}x60",
            quick: "0+2x2100",
            usual: "0+2x2100",
            every: "0+2x2100",
        },
        silent=("169h", "170h"),
        every="5m",
        evaluated="10m",
    )
    five, ten, all_ = (of.series(of.duration, le=one) for one in ("300", "600", "+Inf"))
    yield Case(
        id=f"{of.noun} without a week to compare with: over five minutes, over when they are quick",
        alert=of.slow,
        series={ok: "0+0.5x150", five: "0x60 0.5+0.5x90", ten: "0+0.5x150", all_: "0+0.5x150"},
        fires={"50m": f"x: one in twenty of its {of.noun} takes more than 9m 45s"},
        silent=("130m",),
        labels=of.labels,
        which=FIVE_MINUTES,
    )
    yield Case(
        id=f"{of.noun} without a week to compare with: five minutes are not yet more",
        alert=of.slow,
        series={ok: "0+0.5x90", five: "0+0.5x90", ten: "0+0.5x90", all_: "0+0.5x90", quick: "0x90"},
        silent=("50m", "90m"),
    )


def stuck(of: Words) -> Iterator[Case]:
    """Yield when one does not end."""
    oldest = of.series(of.oldest)
    yield Case(
        id=f"{of.one} that does not end, until it does",
        alert=of.stuck,
        series={oldest: "0x5 300x50 0x30", ON_TIME: "0x90"},
        fires={
            "40m": f"x: {of.one} has been going on for 35m 0s",
            "55m": f"x: {of.one} has been going on for 50m 0s",
        },
        silent=("35m", "60m"),
        labels=of.labels,
        which=STUCK,
    )
    yield Case(
        id=f"{of.one} of half an hour, and none at all",
        alert=of.stuck,
        series={oldest: "0x5 300x30 0x60", ON_TIME: "0x100"},
        silent=("20m", "35m", "36m", "90m"),
    )
    yield Case(
        id=f"{of.one} whose end is read late is not stuck",
        alert=of.stuck,
        series={oldest: "0x5 300x90", ON_TIME: "60+60x100"},
        silent=("40m", "80m"),
    )
    yield Case(
        id=f"{of.one}: a sidecar that is away for minutes makes none stuck that has ended",
        alert=of.stuck,
        series={oldest: "0x5 300x20 _x12 0x40", ON_TIME: "0x25 _x12 0x40"},
        silent=("25m", "36m", "38m", "50m"),
    )


MONEY: Final = (
    Case(
        id="budget: half of it after ten days of thirty-one, over when it is raised",
        alert="BudgetSpentEarly",
        series={MONTH: "0+0.2x800", LAST_EVENT: HOURS, BUDGET: "100x300 1000x400"},
        fires={"240h": "48% of the month's budget is spent, and at this pace it will not last"},
        silent=("40h", "310h"),
        every="1h",
        evaluated="1h",
    ),
    Case(
        id="budget: a tenth ahead of its pace is not yet more than a tenth",
        alert="BudgetSpentEarly",
        series={MONTH: "0+0.147x700", LAST_EVENT: HOURS, BUDGET: "100x700"},
        silent=("24h", "100h", "240h", "400h", "670h"),
        every="1h",
        evaluated="1h",
    ),
    Case(
        id="budget: one dear execution in a month's first days is no pace",
        alert="BudgetSpentEarly",
        series={MONTH: "9.9x100", LAST_EVENT: HOURS, BUDGET: "100x100"},
        silent=("2h", "24h", "50h"),
        every="1h",
        evaluated="1h",
    ),
    Case(
        id="budget: no alert without one",
        alert="BudgetSpentEarly",
        series={MONTH: "0+5x200", LAST_EVENT: HOURS},
        silent=("24h", "100h"),
        every="1h",
        evaluated="1h",
    ),
    Case(
        id="budget: all of it, by two agents, over with the month",
        alert="BudgetExceeded",
        series={MONTH: "0+0.1x743 0x50", OTHER_MONTH: "0+0.1x743 0x50", LAST_EVENT: HOURS, BUDGET: "100x800"},
        fires={"510h": "The month's budget is spent: 102% of it"},
        silent=("490h", "750h"),
        every="1h",
        evaluated="1h",
    ),
    Case(
        id="budget: what a silent database cost last month is not this month's",
        alert="BudgetExceeded",
        series={MONTH: "0+0.1x700 70x90", LAST_EVENT: "0+3600x700 2520000x90", BUDGET: "100x744 50x50"},
        silent=("740h", "750h", "780h"),
        every="1h",
        evaluated="1h",
    ),
    Case(
        id="budget: a database that is silent for days has cost what it has",
        alert="BudgetExceeded",
        series={MONTH: "0+2x60", LAST_EVENT: "0+3600x60", BUDGET: "100x200"},
        fires={"100h": "The month's budget is spent: 120% of it"},
        silent=("48h",),
        every="1h",
        evaluated="1h",
    ),
    Case(
        id="cost surge: five times the cost of the past days at this hour, over when it ends",
        alert="CostSurge",
        series={COST: f"0+0.1x{WEEK} {0.1 * WEEK + 0.5}+0.5x23 {0.1 * WEEK + 12.1}+0.1x24", LAST_EVENT: WEEK_CLOCK},
        fires={"170h": "kagura: 5.0 times the cost that is usual at this hour"},
        silent=("168h", "172h"),
        labels=KAGURA,
        which=PAST_DAYS,
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="cost surge: not yet four times",
        alert="CostSurge",
        series={COST: f"0+0.1x{WEEK} {0.1 * WEEK + 0.39}+0.39x40", LAST_EVENT: WEEK_CLOCK},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="cost surge: less than a dollar an hour is none, after however cheap a week",
        alert="CostSurge",
        series={COST: f"0x{WEEK} 0.08+0.08x40", LAST_EVENT: WEEK_CLOCK},
        silent=("169h", "170h"),
        every="5m",
        evaluated="1h",
    ),
    Case(
        id="cost surge without history: against the hour before, over when that hour was as dear",
        alert="CostSurge",
        series={COST: "0+0.01x90 1.1+0.2x90", LAST_EVENT: "0+60x200"},
        fires={"100m": "kagura: 20.0 times the cost of the hour before"},
        silent=("90m", "150m"),
        labels=KAGURA,
        which=LAST_HOUR,
    ),
    Case(
        id="cost surge without history: a start is none",
        alert="CostSurge",
        series={COST: "0+0.5x90", LAST_EVENT: "0+60x90"},
        silent=("10m", "20m", "40m", "60m"),
    ),
    Case(
        id="cost surge: after a gap of the pipeline all is as it was",
        alert="CostSurge",
        series={COST: "0+0.05x90 _x9 5+0.05x60", LAST_EVENT: "0+60x90 _x9 6000+60x60"},
        silent=("90m", "99m", "100m", "110m", "130m"),
    ),
    Case(
        id="price: calls of a model whose price nobody knows, over an hour after the last",
        alert="PriceUnknown",
        series={UNKNOWN: "0x10 1 2 3x100"},
        fires={"20m": "a called m 3 times in an hour, and nobody knows its price"},
        silent=("9m", "75m"),
        labels={**KAGURA, "agent": "a", "model": "m"},
    ),
    Case(
        id="price: none that are unknown",
        alert="PriceUnknown",
        series={COST: "0+0.1x60", UNKNOWN: "5x60"},
        silent=("10m", "50m"),
    ),
)

SOURCES: Final = (
    Case(
        id="source: unreadable again and again, over when it can be read",
        alert="SourceUnreadable",
        series={PROBLEMS: "0x5 120+120x20 2400x30"},
        fires={"20m": "a database of kagura cannot be read: locked"},
        silent=("8m", "40m"),
        labels={"source": "kagura", "reason": "locked"},
        which={"severity": "warning"},
    ),
    Case(
        id="source: that of one machine of two, which is named",
        alert="SourceUnreadable",
        series={
            PROBLEMS.replace("}", ',host_name="m"}'): "0+120x30",
            PROBLEMS.replace("}", ',host_name="n"}'): "0+20x30",
        },
        fires={"20m": "m: a database of kagura cannot be read: locked"},
        labels={"source": "kagura", "reason": "locked", "host_name": "m"},
        which={"severity": "warning"},
    ),
    Case(
        id="source: Koubou's, as loud as what it holds back",
        alert="SourceUnreadable",
        series={PROBLEMS.replace("kagura", "koubou"): "0x5 120+120x20 2400x30"},
        fires={"20m": "a database of koubou cannot be read: locked"},
        silent=("8m", "40m"),
        labels={"source": "koubou", "reason": "locked"},
        which={"severity": "critical"},
    ),
    Case(
        id="source: one that is written all the time, locked at two looks of fifteen",
        alert="SourceUnreadable",
        series={PROBLEMS: "0+40x60"},
        silent=("6m", "10m", "20m", "60m"),
    ),
    Case(
        id="source: one that is not there yet, or a copy of another",
        alert="SourceUnreadable",
        series={PROBLEMS.replace("locked", one): "0+120x40" for one in ("no_file", "copy")},
        silent=("10m", "20m", "40m"),
    ),
    Case(
        id="source: a sidecar that starts anew goes on where it was",
        alert="SourceUnreadable",
        series={PROBLEMS: "7x10 _x9 7x20"},
        silent=("10m", "20m", "30m"),
    ),
)

ALIKE: Final = tuple(case for of in (EXECUTIONS, RUNS) for made in (failing, slow, stuck) for case in made(of))
CASES: Final = (*ALIKE, *MONEY, *SOURCES)
