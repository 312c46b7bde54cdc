"""SummaryAgent: what a flow did, for people and for programs, at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from illumo_flow import Node

from examples.multi_agent.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NO_CHANGES: Final = "Nothing was changed."
NO_TESTS: Final = "No tests were run."
NO_ANSWER: Final = "Nobody was answered."
NO_STEPS: Final = "No step is known to have ended."


class SummaryAgent(Node):
    """Writes `ctx.summary.report`, a text, and `ctx.summary.json`: `{title, changes, tests, next_actions}`.

    `summarise` makes the four of the context; what is missing there it says in a sentence. It needs no model, so that a
    flow whose provider is down still tells what it did, and `build_flow` has it run where a `fail_fast` node ends the
    flow before its end too. Run it under a policy that is not `fail_fast`.
    """

    def __init__(self, summarise: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        super().__init__(
            name="summary",
            outputs={"report": "$ctx.summary.report", "json": "$ctx.summary.json"},
            allow_context_access=True,
        )
        self._summarise = summarise

    def run(self, payload: object) -> dict[str, Any]:  # noqa: ARG002 (all of the context is looked at)
        """Summarise."""
        summary = self._summarise(self.request_context())
        return {"report": report_of(summary), "json": summary}


def report_of(summary: Mapping[str, Any]) -> str:
    """Return a summary as a text of four parts."""
    parts = (("Changes", summary["changes"]), ("Tests", summary["tests"]), ("Next", summary["next_actions"]))
    lines = [str(summary["title"]), "=" * len(str(summary["title"]))]
    for name, said in parts:
        lines += ["", f"{name}:", *(f"- {one}" for one in said)]
    return "\n".join(lines) + "\n"


def failures(context: Mapping[str, Any], of: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Return what these nodes failed of: each sentence once, however often it was said."""
    failed = [one for one in context.get("errors") or () if of(one["node_id"])]
    return list(dict.fromkeys(f"{one['node_id']} failed: {printable(one['message'])}" for one in failed))


def at(context: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 (a context holds anything)
    """Return what stands at a dotted path, None where there is nothing."""
    found: Any = context
    for key in path.split("."):
        found = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    return found
