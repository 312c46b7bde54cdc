"""The agents that draft a change, review it, and decide whether it is good enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from illumo_flow import Routing, RoutingNode

from examples.multi_agent.agents import ModelAgent
from examples.multi_agent.errors import ModelError
from examples.multi_agent.models import read_json, without_fence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from egoscope.tracerdb.illumo import FlowTracer
    from examples.multi_agent.models import Model

OK: Final = "OK"
NG: Final = "NG"
MOST_DRAFTS: Final = 3
_MOST_TOLD: Final = 4000
"""Characters of the tests' output that a model is shown."""


class DraftAgent(ModelAgent):
    """Proposes a change as a unified diff, knowing what became of the draft before it."""

    def __init__(self, model: Model, tracer: FlowTracer) -> None:
        inputs = {"request": "$ctx.request", "structure": "$ctx.workspace.structure", "before": "$ctx.review"}
        super().__init__(model, tracer, name="draft", inputs=inputs, outputs={"proposed": "$ctx.diff.proposed"})

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a diff."""
        # What an earlier draft became must not be taken for what becomes of this one.
        context = self.request_context()
        for bucket, key in (("diff", "applied"), ("workspace", "files"), ("tests", "results")):
            context.get(bucket, {}).pop(key, None)
        parts = [
            "Change the program below as asked. Answer with a unified diff (--- a/PATH, +++ b/PATH) and nothing else.",
            f"Asked: {payload['request']['text']}",
        ]
        if payload.get("before"):
            parts.append(f"The draft before this one was refused: {payload['before']['summary']}")
        parts += [f"{one['path']}:\n{one.get('text', one['preview'])}" for one in payload["structure"]]
        return {"proposed": without_fence(self.ask("\n\n".join(parts)).text)}


class ReviewAgent(ModelAgent):
    """Judges a change by its diff and its tests: a summary, how risky it is, and OK or NG.

    A change that was not applied, or whose tests fail, is NG whatever the model says; then it is not even asked.
    """

    def __init__(self, model: Model, tracer: FlowTracer) -> None:
        inputs = {"diff": "$ctx.diff", "tests": "$ctx.tests", "request": "$ctx.request", "errors": "$ctx.errors"}
        outputs = {"summary": "$ctx.review.summary", "risk": "$ctx.review.risk", "status": "$ctx.review.status"}
        super().__init__(model, tracer, name="review", inputs=inputs, outputs=outputs)

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Review. Raises ModelError where the model's answer is none."""
        diff, results = payload["diff"], payload["tests"].get("results")
        if not diff.get("applied"):
            return _ng("The diff could not be applied", _last_of(payload["errors"]))
        if not results:
            return _ng("There is no result of the tests", _last_of(payload["errors"]))
        if not results["found"]:
            return _ng("No test was found", "The change must leave the tests where --tests finds them.")
        if not results["passed"]:
            return _ng("The tests fail with it", f"{results['stdout']}\n{results['stderr']}"[-_MOST_TOLD:], risk="high")
        found = read_json(
            self.ask(
                'Review this change. Answer as JSON: {"summary": a sentence, "risk": low|medium|high, "status": OK|NG}.'
                f"\n\nAsked: {payload['request']['text']}\n\n{diff['proposed']}\n\nThe tests pass."
            ).text
        )
        if found.get("status") not in (OK, NG):
            raise ModelError("the model was asked for a status of OK or NG and answered something else")
        return {
            "summary": str(found.get("summary", "")),
            "risk": str(found.get("risk", "unknown")),
            "status": found["status"],
        }


def _ng(summary: str, why: str, risk: str = "unknown") -> dict[str, Any]:
    return {"summary": f"{summary}.\n{why}", "risk": risk, "status": NG}


def _last_of(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return what the node said that failed last."""
    return errors[-1]["message"] if errors else "the trace says why"


class RouterAgent(RoutingNode):
    """Leads on after an OK, back to the draft after an NG, and on all the same after `most_drafts` of them."""

    def __init__(self, most_drafts: int = MOST_DRAFTS) -> None:
        super().__init__(name="route", inputs={"review": "$ctx.review"}, allow_context_access=True)
        self._most_drafts = most_drafts

    def run(self, payload: Mapping[str, Any] | None) -> Routing:
        """Choose. The first draft counts as one."""
        context = self.request_context()
        drafts = context["drafts"] = context.get("drafts", 0) + 1
        if not payload or payload.get("status") not in (OK, NG):
            payload = context["review"] = _ng("There was no review", _last_of(context["errors"]))
        if payload["status"] == OK:
            return Routing("summary", reason="the review is OK")
        if drafts >= self._most_drafts:
            return Routing("summary", reason=f"no draft was good enough within {self._most_drafts}")
        return Routing("draft", reason="the review is NG")
