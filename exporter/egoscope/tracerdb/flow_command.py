"""`python -m egoscope.tracerdb run FLOW --tracer sqlite --tracer-arg db_path=traces.db …`.

illumo-flow's own command makes only its own tracers and knows no `--tracer-arg`. This one takes these two options away,
gives the tracer to `FlowRuntime`, and leaves everything else to that command; where there is none (0.1.4) it loads and
runs the flow itself.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from egoscope.errors import ConfigError, EgoscopeError
from egoscope.tracerdb.flow_trace import trace_flow
from egoscope.tracerdb.illumo import FlowTracer, OtelTracer, SQLiteTracer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import ModuleType

_TRACERS: Final[dict[str, tuple[Callable[..., FlowTracer], frozenset[str]]]] = {
    "sqlite": (SQLiteTracer, frozenset({"db_path", "capture"})),
    "otel": (OtelTracer, frozenset({"exporter_endpoint", "service_name", "capture"})),
}
_USAGE: Final = 2


def main(argv: Sequence[str]) -> int:
    """Run; return the status: illumo-flow's own, 1 for a flow that failed, 2 for wrong options."""
    options, rest = _parser().parse_known_args(argv)
    try:
        if find_spec("illumo_flow") is None:
            raise ConfigError("illumo-flow is not installed: pip install illumo-flow")
        tracer = make_tracer(options.tracer, options.tracer_arg)
    except EgoscopeError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    try:
        illumo = import_illumo()
        return (
            _run_by_illumo(illumo, rest, tracer) if hasattr(illumo, "FlowRuntime") else _run_here(illumo, rest, tracer)
        )
    finally:
        tracer.close()


def import_illumo() -> ModuleType:
    """Import illumo-flow, also 0.1.5, which Python 3.11 and newer refuse.

    Its `Policy` has dataclasses as defaults, and those are now taken for mutable unless they can be hashed.
    """
    try:
        return import_module("illumo_flow")
    except ValueError as error:
        if "mutable default" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "illumo_flow"]:
        del sys.modules[name]  # imported half
    with _hashable_dataclasses():
        return import_module("illumo_flow")


@contextlib.contextmanager
def _hashable_dataclasses() -> Generator[None]:
    """Let dataclasses that are made within be hashed by identity, as they could be before Python 3.11."""
    original: Any = dataclasses.dataclass

    def dataclass(cls: Any = None, /, **options: Any) -> Any:  # noqa: ANN401 (the signature is the standard library's)
        if cls is None:
            return functools.partial(dataclass, **options)
        made = original(cls, **options)
        if made.__hash__ is None:
            made.__hash__ = object.__hash__
        return made

    dataclasses.dataclass = dataclass
    try:
        yield
    finally:
        dataclasses.dataclass = original


def make_tracer(name: str, arguments: Sequence[str]) -> FlowTracer:
    """Make a tracer from `--tracer` and its `--tracer-arg KEY=VALUE`; `capture` takes names with commas between."""
    make, known = _TRACERS[name]
    values: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in known:
            raise ConfigError(f"--tracer-arg for {name}: KEY=VALUE, with one of {', '.join(sorted(known))} as KEY")
        values[key] = value.split(",") if key == "capture" else value
    return make(**values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m egoscope.tracerdb",
        description="Run a flow of illumo-flow and record it.",
        epilog="All other arguments are illumo-flow's own: run FLOW --context JSON …",
        allow_abbrev=False,
    )
    parser.add_argument("--tracer", choices=sorted(_TRACERS), required=True)
    parser.add_argument("--tracer-arg", action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    return parser


def _run_by_illumo(illumo: Any, arguments: Sequence[str], tracer: FlowTracer) -> int:  # noqa: ANN401 (it has no types)
    illumo.FlowRuntime.configure(tracer=tracer)
    command: Any = import_module("illumo_flow.cli")
    return int(command.main(list(arguments)))


def _run_here(illumo: Any, arguments: Sequence[str], tracer: FlowTracer) -> int:  # noqa: ANN401 (it has no types)
    parser = argparse.ArgumentParser(prog="python -m egoscope.tracerdb", allow_abbrev=False)
    parser.add_argument("command", choices=["run"])
    parser.add_argument("flow", type=Path, help="YAML or JSON")
    parser.add_argument("--context", "-c", default="{}", help="JSON, or @FILE")
    options = parser.parse_args(arguments)
    try:
        context = _context(options.context)
        flow = illumo.Flow.from_config(options.flow)
        trace_flow(flow, tracer)
        result = flow.run(context)
    except Exception as error:  # noqa: BLE001 (as illumo-flow's own command does: any failure of the flow is its status)
        sys.stderr.write(f"Flow failed: {type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(dict(result), ensure_ascii=False, default=str) + "\n")
    return 0


def _context(text: str) -> Mapping[str, Any]:
    source = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    return json.loads(source)
