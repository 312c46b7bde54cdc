"""What the commands of all examples have in common: options for tracers and models, and what is printed."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from egoscope.errors import EgoscopeError
from egoscope.tracerdb.flow_command import make_tracer
from egoscope.tracerdb.illumo import DEFAULT_PATH
from examples.multi_agent.errors import ExampleError
from examples.multi_agent.flows import run_flow
from examples.multi_agent.models import RECORDED
from examples.multi_agent.summary import at

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from illumo_flow import Flow

    from egoscope.tracerdb.illumo import FlowTracer

USAGE: Final = 2
BY_SIGNAL: Final = 128  # shells' number for what a signal ends is its own and this
NOT_READ: Final = BY_SIGNAL + signal.SIGPIPE


class _StoppedError(BaseException):
    """A signal came that ends this process, and what it started."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def parser_of(name: str, description: str, recorded: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser with the options that every example has; the first of `recorded` is the default."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.multi_agent.{name}", description=description)
    parser.add_argument(
        "--recorded",
        choices=recorded,
        default=recorded[0],
        help="which recorded answers to take where EXAMPLE_MODEL_URL names no model (default: %(default)s)",
    )
    parser.add_argument("--tracer", choices=("sqlite", "otel"), default="sqlite", help="default: %(default)s")
    parser.add_argument(
        "--tracer-arg",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"db_path, exporter_endpoint, service_name, capture (default: db_path={DEFAULT_PATH}); may be repeated",
    )
    return parser


def run_main(main: Callable[[], int]) -> int:
    """Run an example's command; what is wrong is said in a sentence, with status 2."""
    try:
        with _stopped_by(signal.SIGTERM, signal.SIGHUP):
            status = main()
        sys.stdout.flush()
    except (KeyboardInterrupt, _StoppedError) as stopped:
        sys.stderr.write("Stopped.\n")
        return BY_SIGNAL + (stopped.number if isinstance(stopped, _StoppedError) else signal.SIGINT)
    except BrokenPipeError:  # as with `| head -1`; what Python still holds goes nowhere, without a traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_READ
    except (ExampleError, EgoscopeError) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    else:
        return status


@contextmanager
def _stopped_by(*numbers: signal.Signals) -> Generator[None]:
    """End by these as by Ctrl-C, in order, so that no test goes on alone; those that are ignored stay so."""

    def stop(number: int, _: object) -> None:
        raise _StoppedError(number)

    is_main = threading.current_thread() is threading.main_thread()  # no other may say what signals do
    ours = [number for number in numbers if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def run_or_tell(flow: Flow, context: dict[str, Any], options: argparse.Namespace) -> dict[str, Any] | None:
    """Run a flow and return its context. Of one that failed, print the summary and a sentence, and return None."""
    try:
        return run_flow(flow, context)
    except ExampleError as error:
        tell_summary(context, options)
        print(f"The flow failed: {error}")
        return None


def tell_summary(context: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Print the report of a flow that ended, which trace is its, and what shows it."""
    print(at(context, "summary.report") or "The summary failed; the trace says why.\n")
    path = dict(one.split("=", 1) for one in options.tracer_arg).get("db_path", DEFAULT_PATH)
    if options.tracer == "sqlite":
        print(f"Trace: {context['trace_id']}, in {path}.")
        print(f"See it: EGOSCOPE_TRACERDB_PATH={shlex.quote(path)} {_egoscope()} start\n")
    else:
        print(f"Trace: {context['trace_id']}.\n")


def _egoscope() -> str:
    """Return how a reader of this terminal calls egoscope: below this directory by its path, as `make` installs it."""
    beside, here = Path(sys.executable).with_name("egoscope"), Path.cwd()
    return str(beside.relative_to(here)) if beside.is_relative_to(here) else "egoscope"


@contextmanager
def tracer_of(options: argparse.Namespace) -> Generator[FlowTracer]:
    """Open the tracer that the options name, and close it."""
    tracer = make_tracer(options.tracer, options.tracer_arg)
    try:
        yield tracer
    finally:
        tracer.close()


def say_who_answers(model_name: str, *, fits: bool) -> None:
    """Say it plainly where no model does, and where something else is asked than what the answers were recorded for."""
    if model_name == RECORDED and not os.environ.get("EXAMPLE_MODEL_URL"):
        print("Answers are recorded: no model is asked. EXAMPLE_MODEL_URL names one.")
        print("" if fits else "They were recorded for what is asked by default, and need not fit this.\n")
