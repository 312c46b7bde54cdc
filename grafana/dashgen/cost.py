"""Cost: what agents' model calls cost, against the budget, by model and agent, and what has no known price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common

from dashgen import frame, grids, runs
from dashgen.agents import AGENT_OF, MODEL_OF, TYPE_OF
from dashgen.colours import CALM, CRITICAL, ERROR, GOOD, SERIES, WARNING, fixed, steps
from dashgen.grids import USD, grid
from dashgen.kinds import EXECUTIONS
from dashgen.panels import at, bars, legend, lines, link, meters, overriding, set_by, tile, words
from dashgen.queries import CHOSEN_AGENT, CHOSEN_MODEL, DATABASE, counted, metric, of, relabelled
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
    from grafana_foundation_sdk.builders.dashboard import QueryVariable
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

COST: Final = of(c.COST, DATABASE, CHOSEN_AGENT, CHOSEN_MODEL)
UNKNOWN: Final = of(c.COST_UNKNOWN, DATABASE, CHOSEN_AGENT, CHOSEN_MODEL)
MODEL_CALLS: Final = of(
    f"{c.MODEL_DURATION.prometheus}_count", DATABASE, f'{AGENT_OF}=~"$agent"', f'{MODEL_OF}=~"$model"'
)
BUDGET: Final = f"max({c.BUDGET.prometheus})"
TITLES: Final = common_builders.VizTextDisplayOptions().title_size(13).value_size(22)
# Today's for all of the month: it may have been set just now. A range ends at a whole step, hours before that.
BUDGET_THEN: Final = f"max(last_over_time({c.BUDGET.prometheus}[2d] @ end() offset -1d))"

# The month as agents' cost counts it, in UTC.
DAY_S: Final = 86_400
BEGAN: Final = f"(time() - time() % {DAY_S} - (day_of_month() - 1) * {DAY_S})"
ELAPSED: Final = f"((time() - {BEGAN}) / (days_in_month() * {DAY_S}))"
LONGEST_MONTH: Final = "32d"
EMPTY: Final = (
    "nothing was spent in this time: choose a longer one; where nothing was ever read, set EGOSCOPE_KAGURA_PATH"
)
WHAT_TO_DO: Final = """
**Nothing above?** Cost comes from Kagura's model calls: set `EGOSCOPE_KAGURA_PATH`, and `EGOSCOPE_BUDGET_USD` to what a
month may cost. **Price unknown** means that a call told no cost and its model is in no price list: it is in no sum here
until `EGOSCOPE_PRICE_FILE` names its price.
"""


def spent(window: str = LONGEST_MONTH) -> str:
    """Return what this month has cost so far: a database that was written last month has cost nothing in this one."""
    newest = of(c.AGENT_LAST_EVENT, EXECUTIONS.job, DATABASE)
    month = of(c.COST_MONTH, DATABASE, CHOSEN_AGENT)
    written = f"last_over_time({newest}[{window}]) >= scalar({BEGAN})"
    return f"sum(last_over_time({month}[{window}]) and on (job, instance) ({written}))"


def _usd(title: str, text: str, expression: str, *, none: str = "nothing yet") -> stat.Panel:
    return (
        tile(title, text, metric(expression, instant=True))
        .unit("currencyUSD")
        .decimals(2)
        .no_value(none)
        .thresholds(steps((None, SERIES[0])))
    )


def in_numbers() -> list[Builder[Panel]]:
    """Return the first row: what it costs, and whether it may."""
    today = (
        _usd("Today", "Since midnight, by the clock of this page", f"{counted(COST)} or vector(0)")
        .time_from("now/d")
        .hide_time_override(True)
    )
    month = _usd(
        "This month so far",
        "Since the first of the month in UTC, of all models of the chosen agents",
        f"{spent()} or vector(0)",
    )
    even = f"{spent()} / {ELAPSED}"
    lately = f"sum(increase({of(c.COST, DATABASE, CHOSEN_AGENT)}[7d] anchored)) / 7"
    rest = f"(1 - {ELAPSED}) * days_in_month()"
    month_end = (
        tile(
            "At the month's end",
            "What the month will have cost. As so far: what was spent, divided by the share of the month that is over. "
            "As lately: what was spent, and for each day that is left the mean of the last seven. Both are "
            "guesses, and wild ones in a month's first days",
            metric(f"sum({even})", legend="as so far", instant=True),
            metric(f"sum({spent()}) + sum({lately} * on () {rest})", legend="as lately", instant=True, ref="B"),
        )
        .unit("currencyUSD")
        .decimals(2)
        .no_value("nothing yet")
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(TITLES)
        .thresholds(steps((None, SERIES[1])))
    )
    share = (
        tile(
            "Budget spent",
            "Share of the month's budget (EGOSCOPE_BUDGET_USD) that is spent, and how much of the month is over: ahead "
            "of it, the budget will not last",
            metric(f"({spent()} or vector(0)) / {BUDGET}", legend="spent", instant=True),
            metric(f"{ELAPSED} and on () {BUDGET}", legend="of the month", instant=True, ref="B"),
        )
        .unit("percentunit")
        .decimals(0)
        .no_value("no budget set")
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(TITLES)
    )
    unknown = (
        tile(
            "Price unknown",
            "Model calls of the chosen time that are in no sum here: they told no cost, and their model is in no price "
            "list. Not free",
            metric(f"{counted(UNKNOWN)} or vector(0)", instant=True),
        )
        .unit("suffix: calls")
        .decimals(0)
        .thresholds(steps((None, CALM), (1, WARNING)))
    )
    chosen = _usd(
        "In the chosen time", "What the executions that ended in the chosen time cost", f"{counted(COST)} or vector(0)"
    )
    return [
        at(0, 0, 3, 4, today),
        at(3, 0, 4, 4, month),
        at(7, 0, 5, 4, month_end),
        at(
            12,
            0,
            5,
            4,
            overriding(
                share.thresholds(steps((None, GOOD), (0.8, WARNING), (1, CRITICAL))),
                [set_by("byName", "of the month", thresholds=steps((None, CALM)).build())],
            ),
        ),
        at(17, 0, 4, 4, chosen),
        at(21, 0, 3, 4, unknown),
    ]


def by_day(title: str, text: str, question: str, legend_: str) -> timeseries.Panel:
    """Return a bar for each day, at its beginning; today's grows."""
    # A day is counted from its beginning on: the window ends a day after the point.
    counts = question.replace(" anchored", " anchored offset -1d")
    return (
        bars(title, text, metric(f"{counts} > 0", legend=legend_, interval="1d"), points=62)
        .interval("1d")
        .legend(legend(sums=True))
        .no_value("nothing was spent in this time")
    )


def this_month() -> timeseries.Panel:
    """Return this month against its budget."""
    dashed = {"fill": "dash", "dash": [8, 6]}
    return overriding(
        lines(
            "This month against the budget",
            "What was spent since the first of the month (UTC), the budget, and its even pace: above that line the "
            "budget will not last. Without EGOSCOPE_BUDGET_USD there is no line",
            metric(spent("2d"), legend="spent"),
            metric(f"{BUDGET_THEN}", legend="budget", ref="B"),
            metric(f"{BUDGET_THEN} * on () {ELAPSED}", legend="even pace", ref="C"),
        )
        .time_from("now/M")
        .hide_time_override(True)
        .max_data_points(300)
        .unit("currencyUSD")
        .decimals(2)
        .min(0)
        .span_nulls(86_400_000)
        .no_value("nothing was spent yet"),
        [
            set_by("byName", "spent", color=fixed(SERIES[0]).value),
            set_by("byName", "budget", color=fixed(ERROR).value, custom__fillOpacity=0),
            set_by(
                "byName", "even pace", color=fixed(SERIES[1]).value, custom__fillOpacity=0, custom__lineStyle=dashed
            ),
        ],
    )


def tokens(kind: str, *, by: str, window: str = "$__range") -> str:
    """Return tokens by labels; `kind`: input, output, or a pattern of both."""
    matchers = (f'{AGENT_OF}=~"$agent"', f'{MODEL_OF}=~"$model"', f'{TYPE_OF}=~"{kind}"')
    return counted(of(f"{c.TOKENS.prometheus}_sum", DATABASE, *matchers), window, by=by)


def who_and_with_what() -> table.Panel:
    """Return a row for each agent and model."""
    both = f"{AGENT_OF}, {MODEL_OF}"
    pair = {s.AGENT: AGENT_OF, s.MODEL: MODEL_OF}
    calls = f"{relabelled(counted(MODEL_CALLS, by=both), **pair)} > 0"
    known = f"{counted(COST, by=f'{s.AGENT}, {s.MODEL}')} > 0"
    only = link("This agent alone", frame.COST, variables="var-agent=${__value.text}", keep=("database", "model"))
    does = link("What this agent does", frame.AGENTS, variables="var-agent=${__value.text}", keep=("database",))
    return grid(
        "Each agent and model",
        "Calls, tokens and cost of the chosen time: exactly as much as the database has. A model whose price nobody "
        "knows has no cost here, which does not mean that it is free",
        {s.AGENT: "Agent", s.MODEL: "Model"},
        {
            "Cost": known,
            "Share": f"({known}) / scalar({counted(COST)})",
            "Calls": calls,
            "Tokens in": relabelled(tokens(s.INPUT, by=both), **pair),
            "Tokens out": relabelled(tokens(s.OUTPUT, by=both), **pair),
            "Cost a call": f"({known}) / ({calls})",
            "Price unknown": f"{counted(UNKNOWN, by=f'{s.AGENT}, {s.MODEL}')} > 0",
        },
        [
            set_by("byName", "Agent", links=[only.build(), does.build()], custom__minWidth=165),
            set_by("byName", "Model", custom__minWidth=235),
            set_by("byName", "Cost", noValue="price unknown", custom__minWidth=125, **USD),
            set_by("byName", "Share", **grids.SHARE),
            set_by("byRegexp", "/^(Calls|Tokens in|Tokens out)$/", unit="locale"),
            set_by("byName", "Cost a call", unit="currencyUSD", decimals=5),
            set_by(
                "byName",
                "Price unknown",
                unit="suffix: calls",
                custom__displayMode="color-text",
                custom__minWidth=125,
                thresholds=steps((None, "text"), (1, WARNING)).build(),
            ),
        ],
        empty=EMPTY,
    )


def an_execution() -> bargauge.Panel:
    """Return what one execution costs on average, by agent."""
    ended = f"{counted(EXECUTIONS.ends(), by=s.AGENT)} > 0"
    return (
        meters(
            "Cost of one execution",
            "What an execution cost on average in the chosen time, by agent, failed ones included; of known prices",
            metric(f"sort_desc({counted(COST, by=s.AGENT)} / ({ended}))", legend=f"{{{{{s.AGENT}}}}}", instant=True),
        )
        .unit("currencyUSD")
        .decimals(5)
        .min(0)
        .no_value("nothing was spent")
        .thresholds(steps((None, SERIES[0])))
    )


def model() -> QueryVariable:
    """Return the choice of models, those without a price included."""
    calls = of(f"{c.MODEL_DURATION.prometheus}_count", DATABASE)
    return frame.chosen_from(
        "model", "Model", "Models that were called in the chosen time", f"label_values({calls}, {MODEL_OF})"
    )


def variables() -> list[QueryVariable]:
    """Return what can be chosen at the top."""
    return [*runs.variables(EXECUTIONS, "Agent"), model()]


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    by_model, by_agent = f"{{{{{s.MODEL}}}}}", f"{{{{{s.AGENT}}}}}"
    dear = by_day("Cost by model", "What each day cost, by model", counted(COST, "1d", by=s.MODEL), by_model)
    whose = by_day("Cost by agent", "What each day cost, by agent", counted(COST, "1d", by=s.AGENT), by_agent)
    used = by_day(
        "Tokens by model",
        "Input and output tokens of each day, by model, those of unknown price included",
        tokens(f"{s.INPUT}|{s.OUTPUT}", by=f"{MODEL_OF}, {TYPE_OF}", window="1d"),
        f"{{{{{MODEL_OF}}}}} {{{{{TYPE_OF}}}}}",
    )
    return frame.dashboard(
        frame.COST,
        "Cost",
        "What agents cost today, this month and by its end, against the budget, by model and agent.",
        [
            *in_numbers(),
            at(0, 4, 12, 8, this_month()),
            at(12, 4, 12, 8, dear.unit("currencyUSD").decimals(2)),
            at(0, 12, 24, 9, who_and_with_what()),
            at(0, 21, 9, 8, whose.unit("currencyUSD").decimals(2)),
            at(9, 21, 9, 8, used.no_value("no tokens in this time")),
            at(18, 21, 6, 8, an_execution()),
            at(0, 29, 24, 2, words("", WHAT_TO_DO)),
        ],
        variables=variables(),
        since="now-7d",
        refresh="1m",
        annotated=False,
    )
