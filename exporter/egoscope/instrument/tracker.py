"""Spans, metrics and tags of an application, through the OpenTelemetry API."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace

from egoscope.convert import semconv as s
from egoscope.errors import ConfigError
from egoscope.instrument.execution import Execution, captured, current_execution, fail, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from egoscope.instrument.execution import Attribute, Content, P, R

logger = logging.getLogger(__name__)

Kind = Literal["histogram", "counter", "gauge"]


class Tracker:
    """Spans, metrics and tags of one application, through its providers or the global ones. Thread-safe.

    Nothing here raises into the application for a reason of telemetry; what the OpenTelemetry SDK refuses is logged by
    its type. Only a wrong `capture` is a `ConfigError`, where the decorator stands.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        """Without a provider the global one is taken, whenever the application sets it."""
        self._tracer = trace.get_tracer(s.SCOPE_NAME, tracer_provider=tracer_provider, schema_url=s.SCHEMA_URL)
        self._meter = metrics.get_meter(s.SCOPE_NAME, meter_provider=meter_provider, schema_url=s.SCHEMA_URL)
        self._instruments: dict[tuple[str, str, Kind], Any] = {}
        self._lock = threading.Lock()

    def instrument(
        self,
        name: str | None = None,
        *,
        attributes: Mapping[str, Attribute] | None = None,
        capture: Collection[Content] = (),
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function, a coroutine function, a generator or an asynchronous generator.

        Each execution is a span `invoke_agent {name}`, by default with the function's name; of a generator, from its
        first step to its last. An error passes through: the span gets its type and the status ERROR, no message.
        """
        if callable(name):
            raise ConfigError("instrument: write it with parentheses, @instrument()")
        content = captured(capture)

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            agent = name or getattr(function, "__name__", type(function).__name__)
            described = {
                s.GEN_AI_OPERATION_NAME: s.OPERATION_INVOKE_AGENT,
                s.GEN_AI_AGENT_NAME: agent,
                s.CODE_FUNCTION_NAME: f"{function.__module__}.{getattr(function, '__qualname__', agent)}",
                **(attributes or {}),
            }
            return wrapped(function, functools.partial(Execution, self._tracer, agent, described, content))

        return decorate

    @contextlib.contextmanager
    def span(self, name: str, *, capture: Collection[Content] = (), **attributes: Attribute) -> Generator[Span]:
        """Record what happens within as a span; an error passes through, as with `instrument`."""
        content = captured(capture)
        span = self._tracer.start_span(name, attributes=attributes)
        token = otel_context.attach(trace.set_span_in_context(span))
        try:
            yield span
        except BaseException as error:
            fail(span, error, content)
            raise
        finally:
            otel_context.detach(token)
            span.end()

    def record_metric(
        self,
        name: str,
        value: float,
        *,
        unit: str = "",
        kind: Kind = "histogram",
        attributes: Mapping[str, Attribute] | None = None,
    ) -> None:
        """Record a value, and put it on the execution's span as `agent.metric.{name}`.

        A histogram keeps count, sum and distribution (of values from 0), a counter adds (values from 0), a gauge
        keeps the last value. Within an execution the agent's name is an attribute. Attributes are labels: a few values
        each, never a text of the application's.
        """
        execution = current_execution()
        labels = {**({s.GEN_AI_AGENT_NAME: execution.agent} if execution else {}), **(attributes or {})}
        span = execution.span if execution else trace.get_current_span()
        try:
            instrument = self._instrument(name, unit, kind)
            match kind:
                case "histogram":
                    instrument.record(value, labels)
                case "counter":
                    instrument.add(value, labels)
                case "gauge":
                    instrument.set(value, labels)
            span.set_attribute(f"{s.METRIC_PREFIX}{name}", value)
        except Exception as error:  # noqa: BLE001 (the SDK raises bare Exceptions for names it does not like)
            logger.warning("a metric was not recorded: %s", type(error).__name__)

    def add_tag(self, key: str, value: Attribute) -> None:
        """Put `agent.tag.{key}` on the span of the execution, or where there is none on the current span."""
        execution = current_execution()
        span = execution.span if execution else trace.get_current_span()
        span.set_attribute(f"{s.TAG_PREFIX}{key}", value)

    def _instrument(self, name: str, unit: str, kind: Kind) -> Any:  # noqa: ANN401 (one of three kinds)
        with self._lock:
            found = self._instruments.get((name, unit, kind))
            if found is None:
                make = getattr(self._meter, f"create_{kind}")
                found = self._instruments[name, unit, kind] = make(name, unit)
        return found


tracker: Final = Tracker()
"""The one of the global providers; `instrument`, `record_metric` and `add_tag` are its methods."""
instrument: Final = tracker.instrument
record_metric: Final = tracker.record_metric
add_tag: Final = tracker.add_tag
