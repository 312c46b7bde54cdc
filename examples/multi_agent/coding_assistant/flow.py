"""The coding assistant's flow: inspect >> draft >> patch >> test >> review >> route >> draft, or >> summary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from examples.multi_agent.coding_assistant.agents import MOST_DRAFTS, OK, DraftAgent, ReviewAgent, RouterAgent
from examples.multi_agent.coding_assistant.patching import PatchNode
from examples.multi_agent.coding_assistant.testing import TIMEOUT_S, TestExecutorNode
from examples.multi_agent.coding_assistant.workspace import WorkspaceInspectorNode
from examples.multi_agent.flows import build_flow
from examples.multi_agent.policy import Policy
from examples.multi_agent.summary import NO_CHANGES, NO_TESTS, SummaryAgent, at, failures
from examples.multi_agent.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from illumo_flow import Flow

    from egoscope.tracerdb.illumo import FlowTracer
    from examples.multi_agent.models import Model

NAME: Final = "coding_assistant"
_GOES_ON: Final = Policy(fail_fast=False)
POLICIES: Final = {
    "draft": replace(_GOES_ON, retries=2, delay_s=0.2, timeout_s=60),
    # A diff that does not fit is tried again, as anything is that may pass; then the review tells the next draft.
    "patch": replace(_GOES_ON, retries=2, delay_s=0.1),
    "test": _GOES_ON,
    "review": replace(_GOES_ON, retries=2, delay_s=0.2, timeout_s=60),
    "summary": _GOES_ON,
}
EDGES: Final = (
    ("inspect", "draft"),
    ("draft", "patch"),
    ("patch", "test"),
    ("test", "review"),
    ("review", "route"),
    ("route", "draft"),
    ("route", "summary"),
)


def coding_assistant(
    root: Path,
    model: Model,
    tracer: FlowTracer,
    *,
    most_drafts: int = MOST_DRAFTS,
    test_timeout_s: float = TIMEOUT_S,
) -> Flow:
    """Return the flow over the program below `root`. Its context begins as `request_of` makes it."""
    nodes = (
        WorkspaceInspectorNode(root=root),
        DraftAgent(model, tracer),
        PatchNode(root=root),
        TestExecutorNode(root=root, timeout_s=test_timeout_s),
        ReviewAgent(model, tracer),
        RouterAgent(most_drafts),
        SummaryAgent(summarise),
    )
    policies = {**POLICIES, "test": replace(_GOES_ON, timeout_s=test_timeout_s)}
    return build_flow(NAME, nodes, EDGES, alternatives=("draft",), policies=policies, tracer=tracer)


def summarise(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, changes, tests and what to do next."""
    good = at(context, "review.status") == OK
    drafts = context.get("drafts", 0)
    return {
        "title": f"{'Changed' if good else 'Not changed'} after {drafts} draft{'' if drafts == 1 else 's'}",
        "changes": [*(_changes(context) if good else (NO_CHANGES, *_failures(context))), *_review(context)],
        "tests": _tests(context),
        "next_actions": [_next(good=good, write=bool(at(context, "request.write")))],
    }


def _changes(context: Mapping[str, Any]) -> list[str]:
    return [f"{one['path']}: +{one['added']} -{one['removed']} lines" for one in at(context, "diff.applied")]


def _failures(context: Mapping[str, Any], *, of_tests: bool = False) -> list[str]:
    """Return why nothing was changed, or why the tests have no result."""
    return failures(context, lambda node_id: (node_id == "test") is of_tests)


def _review(context: Mapping[str, Any]) -> list[str]:
    """Return the review in short: of a long one the first line."""
    review = context.get("review")
    if not review:
        return []
    first, *_ = review["summary"].splitlines() or [""]
    return [printable(f"Review: {review['status']}, risk {review['risk']}: {first}")]


def _tests(context: Mapping[str, Any]) -> list[str]:
    results = at(context, "tests.results")
    if not results:
        return _failures(context, of_tests=True) or [NO_TESTS]
    command = " ".join(at(context, "tests.command"))
    if not results["found"]:
        return [f"{command}: found no test; see --tests"]
    return [f"{command}: {'passed' if results['passed'] else 'failed'} in {results['seconds']:.1f} s"]


def _next(*, good: bool, write: bool) -> str:
    if not good:
        return "Nothing was applied. Ask more precisely, or look at the trace to see what failed."
    if write:
        return "Read the diff, and say whether to write it."
    return "Read the diff, then run again with --write to apply it."
