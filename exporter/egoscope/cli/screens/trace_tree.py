"""A trace's spans as a tree: whose child each is, and in which order. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from egoscope.cli.monitor_text import Glyphs
    from egoscope.query import Trace, TraceSpan

MOST_LEVELS: Final = 8
LAST_LEVELS: Final = 3


@dataclass(frozen=True, slots=True)
class Branch:
    """One span where it stands in the tree."""

    span: TraceSpan
    ending: tuple[bool, ...]
    """For each span above it but the first, and then itself: whether it is the last of its siblings."""

    @property
    def depth(self) -> int:
        """0 for a first span."""
        return len(self.ending)

    def lead(self, glyphs: Glyphs) -> str:
        """Return the lines that lead to the span."""
        if self.depth > MOST_LEVELS:  # so deep the name would find no room: the depth as a number, and the last levels
            above = Branch(self.span, self.ending[-LAST_LEVELS:]).lead(glyphs)
            return f"{self.depth}: {above}"
        through, last, down = ("| ", "`-", "|-") if glyphs.spark.isascii() else ("│ ", "└─", "├─")
        above = "".join("  " if ended else through for ended in self.ending[:-1])
        return above + (last if self.ending[-1] else down) + " " if self.ending else ""


def tree(trace: Trace, *, longest_first: bool = False, only: Collection[str] | None = None) -> list[Branch]:
    """Return the spans, each behind its parent, siblings by start or by duration.

    A span whose parent is not in the trace stands at the top, and so does one whose parents run in a circle. `only`
    are ids of spans to show, with the spans above them; None: all.
    """
    spans = {span.span_id: span for span in trace.spans}
    children: defaultdict[str | None, list[TraceSpan]] = defaultdict(list)
    for span in trace.spans:
        children[span.parent_id if span.parent_id in spans else None].append(span)
    shown = None if only is None else _with_parents(spans, only)
    branches: list[Branch] = []
    placed: set[str] = set()

    def place(siblings: Sequence[TraceSpan], ending: tuple[bool, ...], *, top: bool) -> None:
        # A stack of its own: a trace may be deeper than Python's recursion goes.
        waiting = _branches(siblings, ending, longest_first, shown, top=top)
        while waiting:
            branch = waiting.pop()
            if branch.span.span_id in placed:
                continue
            placed.add(branch.span.span_id)
            branches.append(branch)
            waiting += _branches(children[branch.span.span_id], branch.ending, longest_first, shown, top=False)

    place(children[None], (), top=True)
    for span in trace.spans:  # what is left has parents that run in a circle
        if span.span_id not in placed and (shown is None or span.span_id in shown):
            place([span], (), top=True)
    return branches


def _branches(
    siblings: Sequence[TraceSpan],
    ending: tuple[bool, ...],
    longest_first: bool,  # noqa: FBT001 (passed through)
    shown: set[str] | None,
    *,
    top: bool,
) -> list[Branch]:
    """Return siblings as branches, the first one last: they are taken from the end."""
    kept = [span for span in siblings if shown is None or span.span_id in shown]
    if longest_first:
        kept.sort(key=lambda span: -span.duration_s)
    count = len(kept)
    branches = [Branch(span, () if top else (*ending, number == count - 1)) for number, span in enumerate(kept)]
    return branches[::-1]


def _with_parents(spans: dict[str, TraceSpan], only: Collection[str]) -> set[str]:
    shown: set[str] = set()
    for span_id in only:
        at: str | None = span_id
        while at in spans and at not in shown:
            shown.add(at)
            at = spans[at].parent_id
    return shown
