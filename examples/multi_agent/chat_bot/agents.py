"""The agents that greet, answer, and decide who goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from illumo_flow import Routing, RoutingNode

from examples.multi_agent.agents import ModelAgent
from examples.multi_agent.chat_bot.knowledge import candidates
from examples.multi_agent.errors import ModelError
from examples.multi_agent.models import read_json
from examples.multi_agent.summary import at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.tracerdb.illumo import FlowTracer
    from examples.multi_agent.chat_bot.knowledge import Entry
    from examples.multi_agent.models import Model


class GreetingAgent(ModelAgent):
    """Greets whoever asks."""

    def __init__(self, model: Model, tracer: FlowTracer) -> None:
        super().__init__(
            model, tracer, name="greet", inputs={"chat": "$ctx.chat"}, outputs={"greeting": "$ctx.chat.greeting"}
        )

    def run(self, payload: object) -> dict[str, Any]:  # noqa: ARG002 (everybody is greeted alike)
        """Greet."""
        return {"greeting": self.ask("Greet somebody who opened a support chat, in one sentence.").text.strip()}


class FAQAgent(ModelAgent):
    """Answers from the knowledge base: which entry fits, and how sure that is, from 0 to 1.

    The answer is the entry's own text, not the model's, so that nothing is promised that nobody wrote down.
    """

    def __init__(self, model: Model, tracer: FlowTracer, entries: Sequence[Entry]) -> None:
        outputs = {name: f"$ctx.chat.{name}" for name in ("entry", "answer", "confidence")}
        super().__init__(model, tracer, name="faq", inputs={"chat": "$ctx.chat"}, outputs=outputs)
        self._entries = entries

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Answer. Raises ModelError where the model does not say which entry, or how sure it is."""
        question = payload["history"][-1]["message"]
        found = {entry.id: entry for entry in candidates(self._entries, question)}
        if not found:
            return {"entry": "", "answer": "", "confidence": 0.0}
        listed = "\n".join(f"{entry.id}: {entry.question}" for entry in found.values())
        told = read_json(
            self.ask(
                'Which of these questions is meant? Answer as JSON: {"id": …, "confidence": from 0 to 1}.'
                f"\n\nAsked: {question}\n\n{listed}"
            ).text
        )
        entry, sure = found.get(str(told.get("id"))), told.get("confidence")
        if entry is None or isinstance(sure, bool) or not isinstance(sure, int | float) or not 0 <= sure <= 1:
            raise ModelError("the model was asked for an id of the list and a confidence and answered something else")
        return {"entry": entry.id, "answer": entry.answer, "confidence": float(sure)}


class EscalationRouter(RoutingNode):
    """Leads to a person where the answer is not sure enough; an answer that failed is sure of nothing."""

    def __init__(self, threshold: float) -> None:
        super().__init__(name="escalate", inputs={"chat": "$ctx.chat"}, allow_context_access=True)
        self._threshold = threshold

    def run(self, payload: Mapping[str, Any]) -> Routing:
        """Choose."""
        confidence = payload.get("confidence") or 0.0
        if confidence >= self._threshold:
            return Routing("audit", confidence=confidence, reason="sure enough")
        return Routing("human_support", confidence=confidence, reason="not sure enough")


def answered(context: Mapping[str, Any]) -> bool:
    """Return whether the router let the answer out; one that it rejected is nobody's, whatever happens then."""
    return any(route["target"] == "audit" for route in at(context, "routing.escalate") or ())
