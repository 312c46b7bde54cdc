"""One trace as a tree with offsets, timings, tokens and costs, and a summary by kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from rich.console import Group
from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import cost, count, money, percent, plain, took
from egoscope.cli.screens.columns import Column, table
from egoscope.cli.screens.figures import OUTCOME_STYLES, cost_text, failed_text, outcome_text
from egoscope.cli.screens.frame import FRAME_COLUMNS, FRAME_ROWS, listing, one_line, page, panel, when
from egoscope.cli.screens.looking import WINDOWS, Looking
from egoscope.cli.screens.screen import Deed, Screen
from egoscope.cli.screens.trace_tree import Branch, tree
from egoscope.convert import semconv as s
from egoscope.errors import ConfigError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from rich.panel import Panel

    from egoscope.cli.screens.frame import Frame
    from egoscope.query import Query, Trace, TraceSpan
    from egoscope.query.answers import SpanKind, Value

KIND_STYLES: Final[dict[SpanKind, str]] = {
    "agent": f"bold {palette.ACCENT}",
    "model": palette.EMOTIONS["contemplative"],
    "tool": palette.EMOTIONS["happy"],
    "memory": palette.EMOTIONS["nostalgic"],
    "flow": f"bold {palette.ACCENT}",
    "node": palette.EMOTIONS["surprised"],
    "task": f"bold {palette.ACCENT}",
    "other": "",
}
SORTS: Final = ("start", "duration")
LEAST_TREE_ROWS: Final = 6
WATERFALL_FROM: Final = 100
MOST_ATTRIBUTE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAnswers:
    """What a trace's screen shows."""

    trace_id: str
    trace: Trace | None


def branches(answers: TraceAnswers, looking: Looking) -> list[Branch]:
    """Return the tree as it is shown: those that match, with what is above them, siblings in order."""
    trace = answers.trace
    if trace is None:
        return []
    only = None
    if looking.wanted:
        only = {s.span_id for s in trace.spans if looking.matches(s.name, s.kind, s.outcome, s.error_type, s.service)}
    return tree(trace, longest_first=SORTS[looking.sort] == "duration", only=only)


def draw_trace(answers: TraceAnswers, looking: Looking, frame: Frame) -> RenderableType:
    """Draw the tree, and the summary by kind or what the selected span says of itself."""
    trace = answers.trace
    if trace is None:
        said = "This trace is not there (any more)."
        return page(frame, Text(f"trace {plain(answers.trace_id)}"), [panel("trace", Text(said))], looking)
    shown = branches(answers, looking)
    at = looking.at([branch.span.span_id for branch in shown]) if frame.live else None
    parts: list[RenderableType] = [_about(trace, frame)]
    room = None if frame.room is None else frame.room - 1
    details = looking.opened and at is not None and shown
    if details and at is not None:
        lines = span_lines(shown[at].span, frame)
        below = len(lines) + FRAME_ROWS
    else:
        lines = []
        below = len(trace.summary) + 1 + FRAME_ROWS
    if room is not None:
        below = min(below, room - max(LEAST_TREE_ROWS, min(len(shown) + 1 + FRAME_ROWS, room // 2)))
    tree_rows = None if room is None else room - (below if below > FRAME_ROWS else 0)
    parts.append(_tree(trace, shown, looking, frame, at, tree_rows))
    if below > FRAME_ROWS:
        height = None if room is None else below
        if details and at is not None:
            kept = lines if height is None else lines[: height - FRAME_ROWS]
            parts.append(panel(plain(shown[at].span.name), Group(*kept), height))
        else:
            parts.append(_summary(trace, frame, height))
    heading = Text.assemble("trace ", (trace.trace_id, "bold"))
    return page(frame, heading, parts, looking)


def _about(trace: Trace, frame: Frame) -> Text:
    first = trace.spans[0]
    services = sorted({span.service for span in trace.spans if span.service})
    called = [span for span in trace.spans if span.kind == "model"]
    unknown = sum(span.cost_usd is None for span in called)
    usd = sum(summary.cost_usd for summary in trace.summary if summary.kind == "model")
    text = Text.assemble(" ", outcome_text(first.outcome, first.error_type), f" in {took(trace.duration_s)}")
    words = [
        ", ".join(plain(service) for service in services),
        f"{count(len(trace.spans))} spans" if len(trace.spans) > 1 else "1 span",
    ]
    if called:
        tokens = sum((span.input_tokens or 0) + (span.output_tokens or 0) for span in called)
        words.append(f"{count(tokens)} tokens")
        words.append(cost(usd, unknown) + (f" ({count(unknown)} call{'s' * (unknown > 1)} unknown)" if unknown else ""))
    words.append(f"at {when(first.start, frame.now)}")
    for word in words:
        if word:
            text.append(f" {frame.glyphs.separator} {word}")
    return one_line(text, frame)


def _tree(
    trace: Trace, shown: Sequence[Branch], looking: Looking, frame: Frame, at: int | None, height: int | None
) -> Panel:
    waterfall = 32 if frame.width >= WATERFALL_FROM else 0
    specification = (
        Column("span", left=True),
        Column("", waterfall, 9, left=True),
        Column("offset", 7),
        Column("took", 6),
        Column("tokens", 6, 5),
        Column("cost", 7, 6),
        Column("how", 2, 3, left=True),
    )
    cells = [
        (
            Text.assemble((branch.lead(frame.glyphs), "dim"), (plain(branch.span.name), _style(branch.span))),
            _waterfall(branch.span, trace, waterfall, frame),
            _offset(branch.span),
            _took(branch.span),
            span_tokens(branch.span),
            span_cost(branch.span),
            _how(branch.span, frame),
        )
        for branch in shown
    ]
    lines = table(specification, cells, frame.width - FRAME_COLUMNS, frame.glyphs, selected=at, selectable=frame.live)
    listed, which = listing(lines, at, None if height is None else height - FRAME_ROWS)
    words = ("spans", f"by {SORTS[looking.sort]}", which)
    title = f" {frame.glyphs.separator} ".join(word for word in words if word)
    return panel(title, listed if shown else Text("no span is called so", "dim"), height)


def _style(span: TraceSpan) -> str:
    return OUTCOME_STYLES["error"] if span.outcome == "error" else KIND_STYLES[span.kind]


def _how(span: TraceSpan, frame: Frame) -> Text:
    """Tell how a span ended, and of a node also what its policy did: a failure that was handled is no error of it."""
    how = outcome_text(span.outcome, span.error_type)
    retries = sum(event.name == s.EVENT_NODE_RETRY for event in span.events)
    told = [f"{retries} {'retry' if retries == 1 else 'retries'}"] if retries else []
    if span.outcome == "ok" and any(event.name == s.EVENT_NODE_ERROR for event in span.events):
        told.append("gave up")
    return Text.assemble(how, (f" {frame.glyphs.separator} ".join(("", *told)), palette.WARNING)) if told else how


def _waterfall(span: TraceSpan, trace: Trace, width: int, frame: Frame) -> Text:
    """Draw when in the trace the span was; at least one cell, for it was."""
    whole_s = trace.duration_s
    if not width:
        return Text()
    first = min(width - 1, int(span.offset_s / whole_s * width)) if whole_s else 0
    cells = max(1, min(width - first, round(span.duration_s / whole_s * width))) if whole_s else width
    ascii_only = frame.glyphs.spark.isascii()
    return Text(" " * first + ("=" if ascii_only else "━") * cells, _style(span))


def _offset(span: TraceSpan) -> str:
    return "0" if span.offset_s == 0 else f"+{took(span.offset_s)}"


def _took(span: TraceSpan) -> str:
    return "?" if span.outcome == "unfinished" and not span.duration_s else took(span.duration_s)


def span_tokens(span: TraceSpan) -> str:
    """Write a span's tokens, prompt and completion; nothing where it has none."""
    if span.input_tokens is None and span.output_tokens is None:
        return ""
    return f"{count(span.input_tokens or 0)}+{count(span.output_tokens or 0)}"


def span_cost(span: TraceSpan) -> Text:
    """Write a span's cost: a question mark where a model's price is not known, nothing for what costs nothing."""
    if span.cost_usd is None:
        has_price = span.kind == "model" or (span.kind == "agent" and span.input_tokens)
        return Text("?", palette.WARNING) if has_price else Text()
    return Text(money(span.cost_usd))


def _summary(trace: Trace, frame: Frame, height: int | None) -> Panel:
    specification = (
        Column("kind", left=True),
        Column("spans", 5),
        Column("fail", 4, 3),
        Column("took", 6),
        Column("share", 5, 2),
        Column("tokens", 9, 1),
        Column("cost", 7),
    )
    whole_s = trace.duration_s
    cells: list[tuple[Text | str, ...]] = []
    for one in trace.summary:
        of_kind = [span for span in trace.spans if span.kind == one.kind]
        unknown = sum(span.cost_usd is None for span in of_kind) if one.kind == "model" else 0
        if one.kind == "agent":
            unknown = sum(span.cost_usd is None and bool(span.input_tokens) for span in of_kind)
        costs = one.kind in ("agent", "model")
        cells.append(
            (
                Text(one.kind, KIND_STYLES[one.kind]),
                count(one.spans),
                failed_text(one.errors, 0),
                took(one.duration_s),
                percent(one.duration_s / whole_s if whole_s else None) if one.duration_s <= whole_s else "",
                f"{count(one.input_tokens)}+{count(one.output_tokens)}" if costs else "",
                cost_text(one.cost_usd, unknown) if costs else Text(),
            )
        )
    lines = table(specification, cells, frame.width - FRAME_COLUMNS, frame.glyphs)
    listed, _ = listing(lines, None, None if height is None else height - FRAME_ROWS)
    title = f"by kind {frame.glyphs.separator} an agent's tokens and cost are those of its calls"
    has_agent = any(one.kind == "agent" for one in trace.summary)
    return panel(title if has_agent and frame.width > len(title) + FRAME_COLUMNS else "by kind", listed, height)


def span_lines(span: TraceSpan, frame: Frame) -> list[Text]:
    """Return all that a span says of itself, one line each: ids, times, attributes and events."""
    told: list[tuple[str, str]] = [
        ("span", span.span_id),
        ("service", span.service),
        ("began", span.start.astimezone().isoformat(sep=" ", timespec="milliseconds")),
        ("took", f"{span.duration_s:.6f} s"),
    ]
    told += [(name, said(value)) for name, value in sorted(span.attributes.items())]
    for event in span.events:
        about = ", ".join(f"{name}={said(value)}" for name, value in sorted(event.attributes.items()))
        after = took(max(0.0, (event.time - span.start).total_seconds()))
        told.append((f"event +{after}", f"{event.name} {about}"))
    width = min(34, max(len(name) for name, _ in told))
    inner = frame.width - FRAME_COLUMNS
    return [
        one_line(Text.assemble((f"{plain(name):<{width}} ", "dim"), plain(value)), frame, inner) for name, value in told
    ]


def said(value: Value) -> str:
    """Write an attribute's value on one line."""
    return str(value)[:MOST_ATTRIBUTE]


class TraceScreen(Screen):
    """One trace."""

    windows: ClassVar = WINDOWS[:1]
    sorts: ClassVar = SORTS
    footer: ClassVar = "q quit  esc back  enter details  / filter  s sort  r refresh  ? keys"

    def __init__(self, trace_id: str, looking: Looking | None = None) -> None:
        """Look at the trace of that id."""
        super().__init__(looking or Looking())
        self.trace_id = trace_id
        self.answers: TraceAnswers | None = None

    def ask(self, query: Query, now: dt.datetime) -> Callable[[], None]:
        """Ask for the trace."""
        del now
        try:
            answers = TraceAnswers(trace_id=self.trace_id, trace=query.get_trace(self.trace_id))
        except ConfigError:  # an id of another form, from a log line: there is no such trace
            answers = TraceAnswers(trace_id=self.trace_id, trace=None)
        return lambda: setattr(self, "answers", answers)

    @property
    def is_found(self) -> bool:
        """Whether the trace is there; then it stays as it is."""
        return self.answers is not None and self.answers.trace is not None

    def draw(self, frame: Frame) -> RenderableType:
        """Draw what was answered."""
        assert self.answers is not None  # noqa: S101 (drawn only when asked)
        return draw_trace(self.answers, self.looking, frame)

    def row_keys(self) -> Sequence[str]:
        """Return the spans."""
        return [branch.span.span_id for branch in branches(self.answers, self.looking)] if self.answers else ()

    def own_key(self, key: str) -> Deed | None:
        """Open and close a span's details."""
        if key not in ("enter", "right") or not self.row_keys():
            return None
        self.looking = replace(self.looking, opened=not self.looking.opened)
        return Deed.NOTHING
