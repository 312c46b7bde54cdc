"""One execution of an instrumented function: its span, current while its code runs, and what is kept of its content."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, cast, get_args

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from egoscope.convert import semconv as s
from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

P = ParamSpec("P")
R = TypeVar("R")
Content = Literal["arguments", "result", "exception"]
"""What `capture` may name: all arguments; what is returned or yielded; an error's message and traceback."""
Attribute = str | bool | int | float

LONGEST: Final = 4096
"""Of captured text: characters."""
_EXECUTION: Final = otel_context.create_key("egoscope-execution")


class Execution:
    """One call of an instrumented function. The span is current only while its code runs, not while it is suspended."""

    def __init__(
        self,
        tracer: trace.Tracer,
        agent: str,
        attributes: Mapping[str, Attribute],
        content: frozenset[str],
        arguments: Callable[[], str],
    ) -> None:
        self.agent, self._content, self._results = agent, content, list[str]()
        self.span = tracer.start_span(
            f"{s.OPERATION_INVOKE_AGENT} {agent}", kind=SpanKind.INTERNAL, attributes=attributes
        )
        if "arguments" in content and self.span.is_recording():
            self.span.set_attribute(s.CONTENT_ARGUMENTS, arguments())

    @contextlib.contextmanager
    def current(self) -> Generator[None]:
        """Run a part of the code within the span."""
        token = otel_context.attach(self._context())
        try:
            yield
        finally:
            otel_context.detach(token)

    @contextlib.contextmanager
    def ended(self) -> Generator[None]:
        """End the span behind the last part, whatever comes of it."""
        try:
            yield
        except GeneratorExit:  # whoever asked for values has enough: no failure
            raise
        except BaseException as error:
            fail(self.span, error, self._content)
            raise
        finally:
            if self._results:
                self.span.set_attribute(s.CONTENT_RESULT, ", ".join(self._results)[:LONGEST])
            self.span.end()

    def result(self, value: R) -> R:
        """Keep a result where that was asked for; return it."""
        if "result" in self._content and sum(map(len, self._results)) < LONGEST:
            self._results.append(_text(value))
        return value

    def _context(self) -> Context:
        return otel_context.set_value(_EXECUTION, self, trace.set_span_in_context(self.span))


def wrapped(function: Callable[P, R], start: Callable[[Callable[[], str]], Execution]) -> Callable[P, R]:
    """Wrap a function of any of the four kinds; `start` begins an execution, given a way to describe the arguments."""
    anything = cast("Callable[..., Any]", function)

    @functools.wraps(function)
    def plain(*args: P.args, **kwargs: P.kwargs) -> R:
        execution = start(lambda: _arguments(args, kwargs))
        with execution.ended(), execution.current():
            return execution.result(function(*args, **kwargs))

    @functools.wraps(function)
    async def coroutine(*args: P.args, **kwargs: P.kwargs) -> object:
        execution = start(lambda: _arguments(args, kwargs))
        with execution.ended(), execution.current():
            return execution.result(await anything(*args, **kwargs))

    @functools.wraps(function)
    def generator(*args: P.args, **kwargs: P.kwargs) -> Generator[object, Any, object]:
        execution = start(lambda: _arguments(args, kwargs))
        with execution.ended():
            return (yield from _steps(anything(*args, **kwargs), execution))

    @functools.wraps(function)
    async def async_generator(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[object, Any]:
        execution = start(lambda: _arguments(args, kwargs))
        with execution.ended():
            source = cast("AsyncGenerator[object, Any]", anything(*args, **kwargs))
            step: Callable[[], Any] = source.__anext__
            while True:
                try:
                    with execution.current():
                        value = execution.result(await step())
                except StopAsyncIteration:
                    return
                try:
                    sent = yield value
                except GeneratorExit:
                    with execution.current():
                        await source.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 (thrown in by the caller: the source's affair)
                    step = functools.partial(source.athrow, error)
                else:
                    step = functools.partial(source.asend, sent)

    made: Any = plain
    if inspect.isasyncgenfunction(function):
        made = async_generator
    elif inspect.isgeneratorfunction(function):
        made = generator
    elif inspect.iscoroutinefunction(function):
        made = coroutine
    return made


def _steps(source: Generator[object, Any, object], execution: Execution) -> Generator[object, Any, object]:
    """Yield what the source yields, and hand back what is sent or thrown; the span is current within each step."""
    step: Callable[[], object] = functools.partial(next, source)
    while True:
        try:
            with execution.current():
                value = execution.result(step())
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield value
        except GeneratorExit:
            with execution.current():
                source.close()
            raise
        except BaseException as error:  # noqa: BLE001 (as above)
            step = functools.partial(source.throw, error)
        else:
            step = functools.partial(source.send, sent)


def current_execution() -> Execution | None:
    """Return the innermost execution that this code runs in."""
    return cast("Execution | None", otel_context.get_value(_EXECUTION))


def fail(span: Span, error: BaseException, content: frozenset[str]) -> None:
    """Mark a span as failed, by the error's type; its text only where that was asked for."""
    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute(s.ERROR_TYPE, type(error).__qualname__)
    if "exception" in content:
        span.record_exception(error)


def captured(capture: Collection[str]) -> frozenset[str]:
    """Check what `capture` names; a `ConfigError` says what it may name."""
    if isinstance(capture, str) or not frozenset(get_args(Content)).issuperset(capture):
        raise ConfigError(f"capture: a collection of the names {', '.join(get_args(Content))}")
    return frozenset(capture)


def _arguments(args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
    texts = [_text(value) for value in args] + [f"{key}={_text(value)}" for key, value in kwargs.items()]
    return ", ".join(texts)[:LONGEST]


def _text(value: object) -> str:
    try:
        return repr(value)[:LONGEST]
    except Exception:  # noqa: BLE001 (somebody's __repr__)
        return f"<{type(value).__name__}>"
