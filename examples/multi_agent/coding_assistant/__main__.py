"""`python -m examples.multi_agent.coding_assistant`: changes the sample program, virtually without `--write`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from examples.multi_agent.coding_assistant.agents import OK
from examples.multi_agent.coding_assistant.flow import coding_assistant
from examples.multi_agent.coding_assistant.testing import ALLOWED
from examples.multi_agent.coding_assistant.writing import show, write
from examples.multi_agent.models import make_model
from examples.multi_agent.running import parser_of, run_main, run_or_tell, say_who_answers, tell_summary, tracer_of
from examples.multi_agent.summary import at

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

HERE: Final = Path(__file__).parent
SAMPLE: Final = HERE / "sample_app"
RECORDINGS: Final = ("good", "second_try", "bad_diff")
REQUEST: Final = "A discount is taken off as cents, not as a share of the price. Make the tests pass."


def main(arguments: Sequence[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Run; return 0 where the change is good, 1 where there is none, 2 for wrong options."""
    options = _parser().parse_args(arguments)
    return run_main(partial(_run, options, ask))


def request_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the flow's context begins with."""
    return {
        "request": {
            "text": options.request,
            "files": [name.as_posix() for name in options.file],
            "write": options.write,
        },
        "tests": {"command": options.tests.split()},
    }


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("coding_assistant", "Have agents change a program, and test what they did.", RECORDINGS)
    parser.add_argument("--request", default=REQUEST, help="what to change (default: the bug of the sample program)")
    parser.add_argument("--workspace", type=Path, default=SAMPLE, help="the program (default: the sample program)")
    parser.add_argument(
        "--file",
        action="append",
        type=PurePosixPath,  # without ./ in it
        default=[],
        help="what may be changed, below the workspace; may be repeated (default: all, and files may be added)",
    )
    tests = [" ".join(one) for one in ALLOWED]
    parser.add_argument("--tests", choices=tests, default=tests[0], help="how they are run (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="show the diff, ask, and write it into the workspace")
    return parser


def _run(options: argparse.Namespace, ask: Callable[[str], str]) -> int:
    model = make_model(HERE / "recorded" / options.recorded)
    say_who_answers(model.name, fits=options.request == REQUEST and options.workspace == SAMPLE)
    with tracer_of(options) as tracer:
        context = run_or_tell(coding_assistant(options.workspace, model, tracer), request_of(options), options)
    if context is None:
        return 1
    tell_summary(context, options)
    if at(context, "review.status") != OK:
        return 1
    files = context["workspace"]["files"]
    if options.write:
        write(options.workspace, files, ask)
    else:
        show(options.workspace, files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
