"""`python -m examples.multi_agent.chat_bot`: answers one question, or hands it over."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.multi_agent.chat_bot.agents import answered
from examples.multi_agent.chat_bot.flow import STAGES, chat_bot
from examples.multi_agent.chat_bot.handoff import MOST_TURNS, said_by_bot
from examples.multi_agent.chat_bot.knowledge import load_knowledge
from examples.multi_agent.errors import ExampleError
from examples.multi_agent.models import make_model
from examples.multi_agent.running import parser_of, run_main, run_or_tell, say_who_answers, tell_summary, tracer_of
from examples.multi_agent.summary import at
from examples.multi_agent.terminal import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

HERE: Final = Path(__file__).parent
KNOWLEDGE: Final = HERE / "faqs.json"
RECORDINGS: Final = ("known", "unsure", "failing_provider")
QUESTION: Final = "I want my money back: how do I return a cup, and when does the refund arrive?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 where somebody was answered or a ticket was made, 1 where not, 2 for wrong options."""
    return run_main(partial(_run, _parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("chat_bot", "Have agents answer a question, or hand it over to a person.", RECORDINGS)
    parser.add_argument("--question", default=QUESTION, help="what somebody asks (default: about returns)")
    parser.add_argument("--stage", choices=sorted(STAGES), default="development", help="default: %(default)s")
    parser.add_argument("--knowledge", type=Path, default=KNOWLEDGE, help="the knowledge base, JSON")
    parser.add_argument("--webhook", metavar="URL", help="where tickets are posted (default: nowhere)")
    parser.add_argument("--most-turns", type=int, default=MOST_TURNS, help="turns of history that are kept")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.most_turns < 1:
        raise ExampleError("--most-turns: at least 1")
    model = make_model(HERE / "recorded" / options.recorded)
    say_who_answers(model.name, fits=options.question == QUESTION and options.knowledge == KNOWLEDGE)
    with tracer_of(options) as tracer:
        flow = chat_bot(
            load_knowledge(options.knowledge),
            model,
            tracer,
            stage=STAGES[options.stage],
            webhook=options.webhook,
            most_turns=options.most_turns,
        )
        context = run_or_tell(flow, {"chat": {"history": [{"role": "user", "message": options.question}]}}, options)
    if context is None:
        return 1
    print("".join(f"bot: {printable(line)}\n" for said in said_by_bot(context) for line in said.splitlines()))
    tell_summary(context, options)
    return 0 if at(context, "chat.ticket") or answered(context) else 1


if __name__ == "__main__":
    sys.exit(main())
