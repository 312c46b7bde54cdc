"""The chatbot's flow: greet >> faq >> escalate >> audit, or >> human_support >> audit; then the summary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from examples.multi_agent.chat_bot.agents import EscalationRouter, FAQAgent, GreetingAgent, answered
from examples.multi_agent.chat_bot.handoff import MOST_TURNS, AuditNode, HandoffNode
from examples.multi_agent.flows import build_flow
from examples.multi_agent.policy import Policy
from examples.multi_agent.summary import NO_ANSWER, NO_STEPS, SummaryAgent, at, failures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from illumo_flow import Flow

    from egoscope.tracerdb.illumo import FlowTracer
    from examples.multi_agent.chat_bot.knowledge import Entry
    from examples.multi_agent.models import Model

NAME: Final = "chat_bot"
NODES: Final = ("greet", "faq", "escalate", "human_support", "audit")
_GOES_ON: Final = Policy(fail_fast=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the bot runs: the policy of its nodes, and how sure an answer must be."""

    policy: Policy
    threshold: float


STAGES: Final = {
    # Whoever develops wants to see how the flow goes on.
    "development": Stage(Policy(fail_fast=False, retries=2, delay_s=0.2), 0.5),
    # As in production, but a failure is handed to a person instead of ending the conversation.
    "staging": Stage(Policy(fail_fast=False, retries=1, delay_s=0.2, timeout_s=5), 0.7),
    # Nobody waits: what fails ends at once, and what is not sure goes to a person.
    "production": Stage(Policy(fail_fast=True, timeout_s=5), 0.8),
}


def chat_bot(
    entries: Sequence[Entry],
    model: Model,
    tracer: FlowTracer,
    *,
    stage: Stage,
    webhook: str | None = None,
    most_turns: int = MOST_TURNS,
) -> Flow:
    """Return the flow. Its context begins with `chat.history`, a list of `{role, message}`, the question the last."""
    nodes = (
        GreetingAgent(model, tracer),
        FAQAgent(model, tracer, entries),
        EscalationRouter(stage.threshold),
        HandoffNode(webhook),
        AuditNode(most_turns),
        SummaryAgent(summarise),
    )
    edges = (
        *(("greet", "faq"), ("faq", "escalate"), ("escalate", "human_support")),
        *(("escalate", "audit"), ("human_support", "audit"), ("audit", "summary")),
    )
    # A ticket is worth another attempt wherever the bot runs.
    handoff = replace(stage.policy, retries=3, delay_s=0.2)
    policies = {**dict.fromkeys(NODES, stage.policy), "human_support": handoff, "summary": _GOES_ON}
    return build_flow(NAME, nodes, edges, alternatives=("audit",), policies=policies, tracer=tracer)


def summarise(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, changes, tests and what to do next."""
    ticket, audit = at(context, "chat.ticket"), at(context, "chat.audit")
    kept = [f"Of the history {audit['turns']} turns are kept, {audit['left_out']} left out"] if audit else []
    if ticket:
        title = "Handed over to a person"
        if ticket["posted"]:
            change, next_action = f"Ticket {ticket['id']}, posted", "A person answers the ticket."
        else:
            change = f"Ticket {ticket['id']}, not posted: no --webhook"
            next_action = "Nobody got the ticket: name who takes it with --webhook."
    elif answered(context):
        title = "Answered"
        next_action = "Nothing: the question is answered." if audit else "There is no audit: see the trace."
        change = (
            f"From the entry '{at(context, 'chat.entry')}' with a confidence of {at(context, 'chat.confidence'):.2f}"
        )
    else:
        title, next_action = "Not answered", "See the trace for what failed, then ask again."
        change, kept = NO_ANSWER, []
    return {
        "title": title,
        "changes": [change, *kept],
        "tests": failures(context) or ["Every step went well." if audit else NO_STEPS],
        "next_actions": [next_action],
    }
