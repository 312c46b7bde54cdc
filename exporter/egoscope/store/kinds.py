"""What a span of agents, flows or tasks is about, from its attributes. Pure; for the store and all readers of spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from egoscope.convert import semconv as s
from egoscope.convert.pairing import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["agent", "model", "tool", "memory", "flow", "node", "task"]

# The attribute that names what was called, beside each kind. All the values of gen_ai.operation.name that call a model:
# semantic conventions for GenAI v1.41.1.
_BY_OPERATION: Final[dict[str | None, tuple[Kind, str]]] = {
    s.OPERATION_INVOKE_AGENT: ("agent", ""),
    s.OPERATION_EXECUTE_TOOL: ("tool", s.GEN_AI_TOOL_NAME),
    s.OPERATION_CHAT: ("model", s.GEN_AI_REQUEST_MODEL),
    "generate_content": ("model", s.GEN_AI_REQUEST_MODEL),
    "text_completion": ("model", s.GEN_AI_REQUEST_MODEL),
    "embeddings": ("model", s.GEN_AI_REQUEST_MODEL),
}
_FLOW: Final = "flow"
_CALLED: Final = frozenset({"model", "tool", "memory"})
GIVEN_UP: Final = "timeout"
"""`error.type` of what was given up 24 hours after it began."""
CANCELLED: Final = "cancelled"
"""Outcome of a task that somebody called off: unfinished, among the outcomes of all spans."""
NANO: Final = 10**9
"""Costs are whole billionths of a US dollar, so that sums are exact in any order."""


class Subject(msgspec.Struct, frozen=True):
    """What a span is about. `agent`: the agent's, flow's or worker's name; `subject`: what was called, node or task."""

    kind: Kind
    agent: str | None
    subject: str | None
    outcome: Outcome
    end_known: bool
    """False for what was given up: its end is only when that was."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nano: int | None = None
    """Billionths of a US dollar; None where a price is not known."""

    @property
    def is_called(self) -> bool:
        """Whether it is something that an execution used, and belongs to the moment the execution ended."""
        return self.kind in _CALLED


def subject_of(attributes: Mapping[str, object], *, failed: bool) -> Subject | None:
    """Return what a span is about; None for those of no agent, no flow and no task, as ego-mcp's calls."""
    kind_and_subject = _kind_and_subject(attributes)
    if kind_and_subject is None:
        return None
    kind, subject = kind_and_subject
    name = {"flow": s.FLOW_NAME, "node": s.FLOW_NAME, "task": s.TASK_WORKER}.get(kind, s.GEN_AI_AGENT_NAME)
    outcome = outcome_of(attributes, failed=failed)
    return Subject(
        kind=kind,
        agent=_text(attributes.get(name)),
        subject=subject,
        outcome=outcome,
        # What was cancelled is unfinished too, but somebody wrote down when that was.
        end_known=outcome is not Outcome.UNFINISHED or attributes.get(s.ERROR_TYPE) != GIVEN_UP,
        input_tokens=_count(attributes.get(s.GEN_AI_USAGE_INPUT_TOKENS)),
        output_tokens=_count(attributes.get(s.GEN_AI_USAGE_OUTPUT_TOKENS)),
        cost_nano=_nano(attributes.get(s.AGENT_COST_USD)),
    )


def subject_of_line(attributes: Mapping[str, object]) -> str | None:
    """Return the agent, flow or worker that a log line is about."""
    names = (_text(attributes.get(name)) for name in (s.GEN_AI_AGENT_NAME, s.FLOW_NAME, s.TASK_WORKER))
    return next((name for name in names if name), None)


def outcome_of(attributes: Mapping[str, object], *, failed: bool) -> Outcome:
    """Return how what a span is about ended."""
    told = attributes.get(s.AGENT_OUTCOME) or attributes.get(s.OUTCOME) or attributes.get(s.TASK_OUTCOME)
    if told in (Outcome.OK, Outcome.ERROR, Outcome.UNFINISHED):
        return Outcome(told)
    if attributes.get(s.UNFINISHED) is True or attributes.get(s.TASK_OUTCOME) == CANCELLED:
        return Outcome.UNFINISHED
    return Outcome.ERROR if failed else Outcome.OK


def _kind_and_subject(attributes: Mapping[str, object]) -> tuple[Kind, str | None] | None:
    if s.MCP_METHOD_NAME in attributes:
        return None
    found = _BY_OPERATION.get(_text(attributes.get(s.GEN_AI_OPERATION_NAME)))
    if found is None and s.AGENT_MEMORY_OPERATION in attributes:
        found = ("memory", s.AGENT_MEMORY_OPERATION)
    if found is None and s.FLOW_KIND in attributes:
        # A flow, or a node of whatever kind.
        found = ("flow", "") if attributes[s.FLOW_KIND] == _FLOW else ("node", s.FLOW_NODE)
    if found is None and s.TASK_ID in attributes:
        found = ("task", s.TASK_ID)
    return (found[0], _text(attributes.get(found[1]))) if found else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _nano(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 (NaN)
        return None
    return round(value * NANO)
