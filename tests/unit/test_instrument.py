"""Instrumented code does what it did before, and its executions are spans without its content."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from egoscope.convert import semconv as s
from egoscope.errors import ConfigError
from egoscope.instrument import Tracker, instrument, tracker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

PLANTED = "planted-private-text"


class Scene:
    """A tracker with providers of its own, and what they got."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracker = Tracker(tracer_provider=self.provider, meter_provider=meters)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}

    @property
    def only(self) -> ReadableSpan:
        (span,) = self._exporter.get_finished_spans()
        return span

    def metrics(self) -> dict[str, list[Any]]:
        data: Any = self._reader.get_metrics_data()
        found = [metric for one in data.resource_metrics for scope in one.scope_metrics for metric in scope.metrics]
        return {metric.name: list(metric.data.data_points) for metric in found}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_function_is_an_execution_of_an_agent(scene: Scene) -> None:
    @scene.tracker.instrument(attributes={"team": "blue"})
    def translate(text: str, *, to: str) -> str:
        return f"{text} in {to}"

    assert translate(PLANTED, to="fr") == f"{PLANTED} in fr"
    assert scene.only.name == "invoke_agent translate"
    assert attributes(scene.only) == {
        s.GEN_AI_OPERATION_NAME: "invoke_agent",
        s.GEN_AI_AGENT_NAME: "translate",
        s.CODE_FUNCTION_NAME: f"{__name__}.{test_a_function_is_an_execution_of_an_agent.__name__}.<locals>.translate",
        "team": "blue",
    }
    assert PLANTED not in scene.only.to_json()


def test_a_coroutine_function_stays_one_and_its_span_lasts_until_its_end(scene: Scene) -> None:
    @scene.tracker.instrument("agent")
    async def work() -> int:
        await asyncio.sleep(0)
        assert scene.spans == {}
        return 7

    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(work()) == 7
    assert scene.only.name == "invoke_agent agent"


def test_a_generator_takes_what_is_sent_and_thrown_and_returns_as_before(scene: Scene) -> None:
    @scene.tracker.instrument()
    def talk() -> Generator[object, object, str]:
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"
        return "result"

    def outer() -> Generator[object, object, None]:
        result = yield from talk()
        yield result

    talking = outer()
    assert [next(talking), talking.send("sent"), talking.throw(KeyError()), next(talking)] == [
        *("first", "sent", "caught", "result")
    ]
    assert scene.only.status.is_unset


def test_an_asynchronous_generator_takes_what_is_sent_and_thrown(scene: Scene) -> None:
    @scene.tracker.instrument()
    async def talk() -> AsyncGenerator[object, object]:
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"

    async def main() -> list[object]:
        talking = talk()
        said = [await anext(talking), await talking.asend("sent"), await talking.athrow(KeyError())]
        return said + [one async for one in talking]

    assert inspect.isasyncgenfunction(talk)
    assert asyncio.run(main()) == ["first", "sent", "caught"]
    assert scene.only.status.is_unset


def test_a_generator_that_is_left_early_runs_its_finally_and_is_no_failure(scene: Scene) -> None:
    left: list[str] = []

    @scene.tracker.instrument()
    def count() -> Generator[int]:
        try:
            yield from range(100)
        finally:
            left.append("sync")

    @scene.tracker.instrument()
    async def acount() -> AsyncGenerator[int]:
        try:
            for number in range(100):
                yield number
        finally:
            left.append("async")

    async def main() -> None:
        async with contextlib.aclosing(acount()) as numbers:
            assert await anext(numbers) == 0

    numbers = count()
    assert next(numbers) == 0
    numbers.close()
    asyncio.run(main())
    assert left == ["sync", "async"]
    assert [span.status.is_unset for span in scene.spans.values()] == [True, True]


def test_a_generator_is_current_only_while_its_own_code_runs(scene: Scene) -> None:
    seen: list[object] = []

    @scene.tracker.instrument()
    def count() -> Generator[int]:
        for number in range(2):
            seen.append(trace.get_current_span())
            yield number

    for _ in count():
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert len(set(map(id, seen))) == 1
    assert seen[0] is not trace.INVALID_SPAN


def fail() -> None:
    raise KeyError(PLANTED)


def kinds(scene: Scene, **options: Any) -> list[Any]:
    """Each kind of function, failing, as something to call."""

    @scene.tracker.instrument(**options)
    def plain(text: str) -> None:
        fail()

    @scene.tracker.instrument(**options)
    async def coroutine(text: str) -> None:
        fail()

    @scene.tracker.instrument(**options)
    def generator(text: str) -> Generator[int]:
        yield 1
        fail()

    @scene.tracker.instrument(**options)
    async def async_generator(text: str) -> AsyncGenerator[int]:
        yield 1
        fail()

    async def use() -> list[int]:
        return [one async for one in async_generator(PLANTED)]

    return [
        lambda: plain(PLANTED),
        lambda: asyncio.run(coroutine(PLANTED)),
        lambda: list(generator(PLANTED)),
        lambda: asyncio.run(use()),
    ]


@pytest.mark.parametrize("kind", range(4), ids=["function", "coroutine", "generator", "asynchronous generator"])
def test_an_error_passes_through_and_only_its_type_is_kept(scene: Scene, kind: int) -> None:
    with pytest.raises(KeyError, match=PLANTED):
        kinds(scene)[kind]()
    assert attributes(scene.only)[s.ERROR_TYPE] == "KeyError"
    assert not scene.only.status.is_ok
    assert not scene.only.status.is_unset
    assert PLANTED not in scene.only.to_json()


@pytest.mark.parametrize("kind", range(4), ids=["function", "coroutine", "generator", "asynchronous generator"])
def test_content_is_kept_where_it_is_named(scene: Scene, kind: int) -> None:
    with pytest.raises(KeyError):
        kinds(scene, capture=("arguments", "exception"))[kind]()
    assert attributes(scene.only)[s.CONTENT_ARGUMENTS] == repr(PLANTED)
    (event,) = scene.only.events
    assert PLANTED in str((event.attributes or {})["exception.message"])


def test_a_result_is_kept_where_it_is_named_and_cut(scene: Scene) -> None:
    @scene.tracker.instrument("one", capture=["result"])
    def one() -> str:
        return "x" * 10_000

    @scene.tracker.instrument("many", capture=["result"])
    def many() -> Generator[int]:
        yield from (1, 2)

    one()
    list(many())
    results = {name: attributes(span)[s.CONTENT_RESULT] for name, span in scene.spans.items()}
    assert results["invoke_agent many"] == "1, 2"
    assert len(results["invoke_agent one"]) == 4096


def test_an_argument_that_cannot_be_shown_disturbs_nothing(scene: Scene) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    @scene.tracker.instrument(capture=["arguments"])
    def work(odd: Odd) -> int:
        return 1

    assert work(Odd()) == 1
    assert attributes(scene.only)[s.CONTENT_ARGUMENTS] == "<Odd>"


@pytest.mark.parametrize("capture", [["prompt"], "result"])
def test_content_that_is_none_is_refused_where_the_decorator_stands(capture: Any) -> None:
    with pytest.raises(ConfigError, match="arguments, result, exception"):
        instrument(capture=capture)
    with pytest.raises(ConfigError, match="arguments, result, exception"), tracker.span("s", capture=capture):
        pass


def test_the_decorator_without_parentheses_is_named(scene: Scene) -> None:
    with pytest.raises(ConfigError, match=r"@instrument\(\)"):
        instrument(fail)  # pyright: ignore[reportArgumentType]


def test_spans_of_the_application_and_of_the_tracker_are_one_trace(scene: Scene) -> None:
    own = scene.provider.get_tracer("application")

    @scene.tracker.instrument("agent")
    def work() -> None:
        with scene.tracker.span("look up", index="docs"), own.start_as_current_span("query"):
            pass

    with own.start_as_current_span("request"):
        work()
    parents = {name: span.parent.span_id if span.parent else None for name, span in scene.spans.items()}
    ids = {name: span.get_span_context().span_id for name, span in scene.spans.items()}  # pyright: ignore[reportOptionalMemberAccess]
    assert parents == {
        "request": None,
        "invoke_agent agent": ids["request"],
        "look up": ids["invoke_agent agent"],
        "query": ids["look up"],
    }
    assert attributes(scene.spans["look up"]) == {"index": "docs"}


def test_a_span_that_fails_is_told_by_type(scene: Scene) -> None:
    with pytest.raises(KeyError), scene.tracker.span("look up"):
        fail()
    assert attributes(scene.only) == {s.ERROR_TYPE: "KeyError"}
    assert scene.only.events == ()
    assert PLANTED not in scene.only.to_json()


def test_tags_and_metrics_go_to_the_execution_also_from_within_a_span(scene: Scene) -> None:
    @scene.tracker.instrument("agent")
    def work() -> None:
        with scene.tracker.span("inner"):
            scene.tracker.add_tag("language", "fr")
            scene.tracker.record_metric("words", 12, unit="{word}")
            scene.tracker.record_metric("words", 30, unit="{word}")
            scene.tracker.record_metric("calls", 2, kind="counter")
            scene.tracker.record_metric("mood", -0.5, kind="gauge", attributes={"of": "agent"})

    work()
    execution = attributes(scene.spans["invoke_agent agent"])
    assert (execution["agent.tag.language"], execution["agent.metric.words"]) == ("fr", 30)
    assert attributes(scene.spans["inner"]) == {}
    metrics = scene.metrics()
    assert (metrics["words"][0].count, metrics["words"][0].sum) == (2, 42)
    assert (metrics["calls"][0].value, metrics["mood"][0].value) == (2, -0.5)
    assert dict(metrics["mood"][0].attributes) == {s.GEN_AI_AGENT_NAME: "agent", "of": "agent"}


def test_executions_at_the_same_time_keep_their_tags_apart(scene: Scene) -> None:
    """Kagura's collector has one current execution for all."""

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        scene.tracker.add_tag("number", number)

    async def main() -> None:
        agents = [scene.tracker.instrument(f"agent {number}")(work) for number in range(5)]
        await asyncio.gather(*(agent(number) for number, agent in enumerate(agents)))

    asyncio.run(main())
    assert {name: attributes(span)["agent.tag.number"] for name, span in scene.spans.items()} == {
        f"invoke_agent agent {number}": number for number in range(5)
    }


def test_outside_an_execution_tags_and_metrics_go_to_the_current_span_if_any(scene: Scene) -> None:
    scene.tracker.add_tag("lost", 1)
    scene.tracker.record_metric("words", 1)
    with scene.provider.get_tracer("application").start_as_current_span("request"):
        scene.tracker.add_tag("kept", 1)
    assert attributes(scene.only) == {"agent.tag.kept": 1}
    assert dict(scene.metrics()["words"][0].attributes) == {}


def test_a_name_that_the_sdk_refuses_disturbs_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.tracker.record_metric(f"not a name: {PLANTED}", 1)
    assert "a metric was not recorded" in caplog.text
    assert PLANTED not in caplog.text.replace("opentelemetry", "")


def test_where_no_sdk_is_set_up_nothing_happens_and_the_sdk_is_not_loaded() -> None:
    code = """
import sys
from egoscope.instrument import add_tag, instrument, record_metric, tracker
@instrument("agent")
def work():
    with tracker.span("inner"):
        add_tag("a", 1)
        record_metric("m", 1.5)
    return 7
assert work() == 7
print("opentelemetry.sdk" in sys.modules)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_a_provider_that_is_set_later_sees_the_spans_too() -> None:
    """An application decorates at import and sets up the SDK in main."""
    code = """
from egoscope.instrument import instrument, record_metric
@instrument("agent")
def work():
    record_metric("words", 3)
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
work()
print(exporter.get_finished_spans()[0].name, "words" in reader.get_metrics_data().to_json())
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "invoke_agent agent True"
