"""What the agents of all flows have in common: they ask a model, and tell the tracer that they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from illumo_flow import Node

from egoscope.tracerdb import trace_event

if TYPE_CHECKING:
    from egoscope.tracerdb.illumo import FlowTracer
    from examples.multi_agent.models import Answer, Model


class ModelAgent(Node):
    """A node that asks a model. What is asked and answered is told as events, named as illumo-flow names them.

    Their texts are kept only by a tracer whose `capture` names `message`; the model's name and the tokens always are.
    """

    def __init__(self, model: Model, tracer: FlowTracer, *, name: str, inputs: Any, outputs: Any) -> None:  # noqa: ANN401 (illumo-flow has no types)
        super().__init__(name=name, inputs=inputs, outputs=outputs, allow_context_access=True)
        self._model, self._tracer = model, tracer

    def ask(self, prompt: str) -> Answer:
        """Ask as the agent of this name. Raises ModelError."""
        model = {"model": self._model.name}
        trace_event(self._tracer, "agent_instruction", message=prompt, attributes=model)
        answer = self._model.answer(self.name, prompt)
        tokens = {} if answer.tokens is None else {"tokens": answer.tokens}
        trace_event(self._tracer, "agent_response", message=answer.text, attributes={**model, **tokens})
        return answer
