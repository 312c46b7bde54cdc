"""Flows and nodes of illumo: ids and parents kept, counts as in the database, each node under its flow."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from converted import scalars
from illumo_rows import SECOND_NS, START_NS, Row, Telling, event, hex_id, illumo_format, rows, rows_of, span
from recorded import FOLDER

from egoscope.convert.flows import MAX_FLOWS, FlowState
from egoscope.convert.ids import otlp_id
from egoscope.convert.series import SeriesRow
from egoscope.sources.row_format import Times

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from converted import Sent, Value
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from egoscope.sources.illumo import IllumoFormat

DAY_NS = 86_400 * SECOND_NS
RUN = {"fail_fast": True, "retry": {"max_attempts": 2}}


@pytest.fixture(scope="module")
def recorded() -> Path:
    """The recorded database."""
    path = FOLDER / "illumo" / "illumo_trace.db"
    if not path.exists():
        pytest.skip("the recorded database is not beside the repository")
    return path


@pytest.fixture(scope="module")
def told(recorded: Path) -> Sent:
    """Everything that a back end is told of it."""
    telling = Telling()
    telling.tell(rows_of(recorded, telling.format))
    assert not telling.unparsable
    return telling.sent


def in_sql(path: Path, query: str) -> Counter[tuple[str, ...]]:
    """Return the last column by the ones before it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return Counter({tuple(row[:-1]): row[-1] for row in db.execute(query)})


def totals(sent: Sent, metric: str) -> Counter[tuple[str, ...]]:
    """Return what each series of a counter says last, by its labels in the order of their names."""
    last = {labels: points[-1][1] for (name, labels), points in sent.points.items() if name == metric}
    return Counter({tuple(str(value) for _, value in labels): value for labels, value in last.items()})  # type: ignore[misc]


def counts(sent: Sent, metric: str) -> Counter[tuple[str, ...]]:
    """Return how many observations each series of a histogram has, by its labels."""
    last = {labels: points[-1][1] for (name, labels), points in sent.points.items() if name == metric}
    return Counter(
        {
            tuple(str(value) for _, value in labels): sum(distribution[1])
            for labels, distribution in last.items()
            if isinstance(distribution, tuple)
        }
    )


def spans(sent: Sent) -> dict[str, Span]:
    """Return spans by name; a name stands once."""
    found = {one.name: one for one in sent.spans}
    assert len(found) == len(sent.spans)
    return found


def end_ns(illumo: IllumoFormat, row: Row) -> int:
    """Return when a final row ended."""
    times = illumo.times(row[0], row[2])
    assert isinstance(times, Times)
    assert times.end_ns is not None
    return times.end_ns


def last(points: Sequence[tuple[int, Value]]) -> Value:
    return points[-1][1]


NODES = """
    WITH RECURSIVE flow_of(span_id, flow) AS (
        SELECT span_id, name FROM spans WHERE kind = 'flow'
        UNION ALL SELECT spans.span_id, flow FROM spans JOIN flow_of ON parent_span_id = flow_of.span_id
        WHERE spans.kind <> 'flow')
    SELECT {} FROM spans JOIN flow_of USING (span_id) {} WHERE kind <> 'flow' GROUP BY {}
"""


class TestRecorded:
    """The recorded run of the real program."""

    @pytest.mark.parametrize(
        ("metric", "query"),
        [
            (
                "agent.flow.runs",
                "SELECT name, iif(status = 'OK', 'ok', 'error'), count(*) FROM spans WHERE kind = 'flow' GROUP BY 1, 2",
            ),
            (
                "agent.flow.node.runs",
                NODES.format("flow, name, iif(status = 'OK', 'ok', 'error'), count(*)", "", "1, 2, 3"),
            ),
            (
                "agent.flow.events",
                NODES.format("flow, name, event_type, count(*)", "JOIN events USING (span_id)", "1, 2, 3"),
            ),
            (
                "agent.flow.tokens",
                NODES.format(
                    "flow, name, sum(replace(events.attributes, '''', '\"') ->> 'tokens')",
                    "JOIN events ON events.span_id = spans.span_id AND events.attributes LIKE '%tokens%'",
                    "1, 2",
                ),
            ),
            (
                "agent.flow.transitions",
                NODES.format(
                    "flow, before, name, count(*)",
                    "JOIN (SELECT span_id, lag(name) OVER (PARTITION BY parent_span_id ORDER BY start_time, rowid)"
                    " AS before FROM spans WHERE kind <> 'flow') USING (span_id)",
                    "1, 2, 3 HAVING before IS NOT NULL",
                ),
            ),
        ],
    )
    def test_counts_are_what_plain_sql_counts(self, metric: str, query: str, told: Sent, recorded: Path) -> None:
        expected = in_sql(recorded, query)
        assert expected.total() > 0
        assert totals(told, metric) == expected

    def test_every_run_has_its_duration(self, told: Sent, recorded: Path) -> None:
        flows = in_sql(recorded, "SELECT name, count(*) FROM spans WHERE kind = 'flow' GROUP BY 1")
        assert counts(told, "agent.flow.duration") == flows
        assert counts(told, "agent.flow.node.duration") == in_sql(
            recorded, NODES.format("flow, name, count(*)", "", "1, 2")
        )

    def test_ids_parents_names_kinds_and_times_are_illumos_own(self, told: Sent, recorded: Path) -> None:
        """A span id is 16 bytes there: it leaves as TempoTracerDB derives it, and stands beside that."""
        with closing(sqlite3.connect(f"file:{recorded}?mode=ro", uri=True)) as db:
            table = db.execute(
                "SELECT span_id, trace_id, parent_span_id, name, kind, start_time, end_time FROM spans"
            ).fetchall()
        illumo = illumo_format()
        sent = {scalars(one.attributes)["egoscope.recorded.span_id"]: one for one in told.spans}
        assert len(sent) == len(told.spans) == len(table)
        for span_id, trace_id, parent_id, name, kind, start, end in table:
            one = sent[span_id]
            times = illumo.times("spans", {"start_time": start, "end_time": end})
            assert one.trace_id.hex() == trace_id
            assert one.span_id.hex() == otlp_id(span_id, 8)
            assert one.parent_span_id.hex() == (otlp_id(parent_id, 8) if parent_id else "")
            assert (one.name, scalars(one.attributes)["agent.flow.kind"]) == (name, kind)
            assert (one.start_time_unix_nano, one.end_time_unix_nano) == (times.start_ns, times.end_ns)  # type: ignore[union-attr]

    def test_events_stand_on_their_spans(self, told: Sent, recorded: Path) -> None:
        query = "SELECT span_id, event_type, count(*) FROM events GROUP BY 1, 2"
        found = Counter(
            (str(scalars(one.attributes)["egoscope.recorded.span_id"]), happened.name)
            for one in told.spans
            for happened in one.events
        )
        assert found == in_sql(recorded, query)

    def test_every_flow_and_node_has_a_log_record_in_its_trace(self, told: Sent) -> None:
        assert {(one.trace_id, one.span_id) for one in told.logs} == {(one.trace_id, one.span_id) for one in told.spans}
        assert len(told.logs) == len(told.spans)

    @pytest.mark.parametrize("size", [3, 64])
    def test_reading_it_in_parts_with_restarts_tells_the_same(self, size: int, told: Sent, recorded: Path) -> None:
        """What was read up to some moment is told up to that moment; the state file has the rest."""
        everything = rows_of(recorded, illumo_format())
        telling = Telling()
        sent, told_ns = telling.sent, 0
        ends = {one[:2]: end_ns(telling.format, one) for one in everything}
        moments = sorted(ends.values())
        for until_ns in [*moments[size - 1 :: size], moments[-1]]:
            telling.tell([one for one in everything if ends[one[:2]] > told_ns], until_ns)
            told_ns = until_ns
            telling = restarted(telling)
            telling.sent = sent
        assert {one.span_id: one for one in sent.spans} == {one.span_id: one for one in told.spans}
        assert len(sent.spans) == len(told.spans)
        assert {one.span_id: one for one in sent.logs} == {one.span_id: one for one in told.logs}
        for metric in ("runs", "node.runs", "events", "tokens", "transitions"):
            assert totals(sent, f"agent.flow.{metric}") == totals(told, f"agent.flow.{metric}")


def restarted(telling: Telling) -> Telling:
    """Return a new one that goes on from what a state file keeps."""
    state = msgspec.json.decode(msgspec.json.encode(telling.conversion.state), type=FlowState)
    series = msgspec.json.decode(msgspec.json.encode(list(telling.series.values())), type=list[SeriesRow])
    after = Telling(state, series)
    after.running = telling.running
    return after


def tell(*batches: list[Row]) -> Sent:
    """Return what a back end is told of these rows, batch by batch."""
    telling = Telling()
    for batch in batches:
        telling.tell(batch)
    return telling.sent


class TestFlowOfANode:
    """A node is counted under the nearest flow above it."""

    def test_a_flow_whose_row_ends_later_in_the_same_batch_is_known(self) -> None:
        sent = tell(rows(spans=[span("chat", 0, 3, kind="flow"), span("draft", 1, 2, parent="chat")]))
        assert totals(sent, "agent.flow.node.runs") == {("chat", "draft", "ok"): 1}

    def test_a_flow_that_still_runs_is_known(self) -> None:
        sent = tell(rows(spans=[span("chat", 0, None, kind="flow"), span("draft", 1, 2, parent="chat")]))
        assert totals(sent, "agent.flow.node.runs") == {("chat", "draft", "ok"): 1}
        assert [one.name for one in sent.spans] == ["draft"]

    def test_a_flow_whose_row_stands_behind_its_nodes_is_known(self) -> None:
        """Somebody else's tracer may write rows when they end; also a whole line of parents the wrong way round."""
        turned = [
            span("draft", 1, 2, parent="inner"),
            span("inner", 1, 3, parent="chat"),
            span("chat", 1, 4, kind="flow"),
        ]
        assert totals(tell(rows(spans=turned)), "agent.flow.node.runs") == {
            ("chat", "draft", "ok"): 1,
            ("chat", "inner", "ok"): 1,
        }

    def test_a_flow_within_a_node_has_nodes_of_its_own(self) -> None:
        tree = [
            span("chat", 0, 9, kind="flow"),
            span("call", 1, 8, parent="chat"),
            span("sub", 2, 7, parent="call", kind="flow"),
            span("draft", 3, 6, parent="sub"),
            span("search", 4, 5, parent="draft", kind="tool"),
        ]
        sent = tell(rows(spans=tree))
        assert totals(sent, "agent.flow.runs") == {("chat", "ok"): 1, ("sub", "ok"): 1}
        assert totals(sent, "agent.flow.node.runs") == {
            ("chat", "call", "ok"): 1,
            ("sub", "draft", "ok"): 1,
            ("sub", "search", "ok"): 1,
        }
        assert scalars(spans(sent)["search"].attributes)["agent.flow.kind"] == "tool"

    @pytest.mark.parametrize(
        "lost",
        [
            pytest.param([span("draft", 1, 2, parent="chat")], id="its parent is in no row"),
            pytest.param([span("draft", 1, 2)], id="it has no parent"),
            pytest.param([span("draft", 1, 2, parent="draft")], id="it is its own parent"),
        ],
    )
    def test_a_node_whose_flow_is_not_known_is_one_of_another(self, lost: list[dict[str, Any]]) -> None:
        sent = tell(rows(spans=lost))
        assert totals(sent, "agent.flow.node.runs") == {("_OTHER", "draft", "ok"): 1}
        assert scalars(sent.spans[0].attributes)["agent.flow.name"] == "_OTHER"

    def test_parents_in_a_circle_are_survived(self) -> None:
        sent = tell(rows(spans=[span("a", 1, 2, parent="b"), span("b", 1, 2, parent="a")]))
        assert totals(sent, "agent.flow.node.runs").total() == 2

    def test_a_node_that_ends_after_its_flow_still_belongs_to_it(self) -> None:
        late = rows(spans=[span("chat", 0, 3, kind="flow")]), rows(spans=[span("draft", 1, 4, parent="chat")])
        assert totals(tell(*late), "agent.flow.node.runs") == {("chat", "draft", "ok"): 1}


class TestTransitions:
    """One node is followed by the next under the same parent, in the order of their starts."""

    def steps(self, *nodes: dict[str, Any]) -> Counter[tuple[str, ...]]:
        sent = tell(rows(spans=[span("chat", 0, 99, kind="flow"), *nodes]))
        return totals(sent, "agent.flow.transitions")

    def test_a_loop_is_told(self) -> None:
        visits = [span(name, at, at + 0.5, parent="chat", id=f"{name}{at}") for at, name in enumerate("abab", 1)]
        assert self.steps(*visits) == {("chat", "a", "b"): 2, ("chat", "b", "a"): 1}

    def test_of_nodes_at_the_same_time_the_start_decides(self) -> None:
        nodes = [
            span("slow", 1, 9, parent="chat"),
            span("fast", 2, 3, parent="chat"),
            span("last", 4, 5, parent="chat"),
        ]
        assert self.steps(*nodes) == {("chat", "slow", "fast"): 1, ("chat", "fast", "last"): 1}

    def test_it_is_counted_where_the_later_one_ends(self) -> None:
        sent = tell(rows(spans=[span("chat", 0, None, kind="flow"), span("a", 1, 2, parent="chat")]))
        assert totals(sent, "agent.flow.transitions") == {}
        telling = Telling()
        flow, a = span("chat", 0, None, kind="flow"), span("a", 1, 2, parent="chat")
        telling.tell(rows(spans=[flow, a, span("b", 3, None, parent="chat")]))
        assert totals(telling.sent, "agent.flow.transitions") == {}
        telling = restarted(telling)
        telling.tell([("spans", 3, span("b", 3, 7, parent="chat"))])
        (points,) = [points for (name, _), points in telling.sent.points.items() if name == "agent.flow.transitions"]
        assert points == [((START_NS + 7 * SECOND_NS) // 10**6 - 1, 0), ((START_NS + 7 * SECOND_NS) // 10**6, 1)]

    def test_a_row_that_comes_late_follows_nothing_that_began_after_it(self) -> None:
        early = rows(spans=[span("chat", 0, None, kind="flow"), span("b", 5, 6, parent="chat")])
        sent = tell(early, rows(spans=[span("a", 3, 7, parent="chat"), span("c", 8, 9, parent="chat")]))
        assert totals(sent, "agent.flow.transitions") == {("chat", "b", "c"): 1}

    def test_nodes_of_different_runs_do_not_follow_one_another(self) -> None:
        runs = [span("chat", at, at + 3, kind="flow", id=f"run{at}") for at in (0, 10)]
        nodes = [span("a", at + 1, at + 2, parent=f"run{at}", id=f"a{at}") for at in (0, 10)]
        assert totals(tell(rows(spans=[*runs, *nodes])), "agent.flow.transitions") == {}


class TestEvents:
    """Events are span events of what was open when they happened, and counted in any case."""

    def test_an_event_says_its_level_model_and_tokens(self) -> None:
        happened = event("draft", 1.5, level="warning", attributes="{'model': 'gpt-4.1-nano', 'tokens': 592}")
        sent = tell(rows(spans=[span("draft", 1, 2)], events=[happened]))
        (found,) = sent.spans[0].events
        assert found.name == "agent_response"
        assert found.time_unix_nano == START_NS + SECOND_NS * 3 // 2
        assert scalars(found.attributes) == {
            "level": "WARNING",
            "gen_ai.request.model": "gpt-4.1-nano",
            "agent.flow.tokens": 592,
        }

    def test_more_than_a_span_keeps_are_counted_as_dropped(self) -> None:
        many = [event("draft", 1 + place / 100) for place in range(40)]
        telling = Telling()
        telling.tell(rows(spans=[span("draft", 1, None)], events=many[:20]))
        telling = restarted(telling)
        telling.tell([("events", 20 + place, one) for place, one in enumerate(many[20:])])
        telling.tell([("spans", 1, span("draft", 1, 2))])
        (found,) = telling.sent.spans
        assert (len(found.events), found.dropped_events_count) == (32, 8)
        assert totals(telling.sent, "agent.flow.events").total() == 40

    def test_an_event_of_the_very_moment_of_its_spans_end_is_its_own(self) -> None:
        sent = tell(rows(spans=[span("draft", 1, 2)], events=[event("draft", 2)]))
        assert len(sent.spans[0].events) == 1

    def test_an_event_after_its_spans_end_is_none_of_the_span(self) -> None:
        """Also where both are read at once."""
        sent = tell(rows(spans=[span("draft", 1, 2)], events=[event("draft", 2.5)]))
        assert len(sent.spans[0].events) == 0
        assert totals(sent, "agent.flow.events") == {("_OTHER", "draft", "agent_response"): 1}

    def test_an_event_of_a_closed_span_is_counted_where_it_belongs(self) -> None:
        tree = rows(spans=[span("chat", 0, 3, kind="flow"), span("draft", 1, 2, parent="chat")])
        sent = tell(tree, rows(events=[event("draft", 5, attributes="{'tokens': 7}")]))
        assert totals(sent, "agent.flow.events") == {("chat", "draft", "agent_response"): 1}
        assert totals(sent, "agent.flow.tokens") == {("chat", "draft"): 7}
        assert [len(one.events) for one in sent.spans] == [0, 0]

    @pytest.mark.parametrize("span_id", [hex_id("nobody"), None, 7, "somebody"])
    def test_an_event_of_an_unknown_span_is_counted_as_one_of_another(self, span_id: object) -> None:
        sent = tell(rows(events=[event("draft", 1, span_id=span_id, event_type="two words")]))
        assert totals(sent, "agent.flow.events") == {("_OTHER", "_OTHER", "_OTHER"): 1}

    def test_an_event_of_a_flow_itself_has_no_node(self) -> None:
        sent = tell(rows(spans=[span("chat", 0, 3, kind="flow")], events=[event("chat", 1, "routing.empty")]))
        assert sent.series("agent.flow.events", flow="chat", type="routing.empty") != []


class TestRunning:
    """What runs is told while it does, and given up after a day."""

    def running(self, sent: Sent) -> tuple[Value, Value]:
        number, oldest = (
            sent.series("agent.flow.running", flow="chat"),
            sent.series("agent.flow.running.oldest", flow="chat"),
        )
        return last(number), last(oldest)

    def test_a_running_flow_is_told_and_is_no_run_until_it_ends(self) -> None:
        telling = Telling()
        telling.tell(rows(spans=[span("chat", 0, None, kind="flow"), span("chat", 5, None, kind="flow", id="second")]))
        assert self.running(telling.sent) == (2, START_NS / 1e9)
        assert telling.sent.spans == []
        assert telling.conversion.waits
        telling = restarted(telling)
        telling.tell([("spans", 1, span("chat", 0, 8, kind="flow"))])
        assert self.running(telling.sent) == (1, START_NS / 1e9 + 5)
        telling.tell([("spans", 2, span("chat", 5, 9, kind="flow", id="second"))])
        assert self.running(telling.sent) == (0, 0)
        assert totals(telling.sent, "agent.flow.runs") == {("chat", "ok"): 2}
        assert not telling.conversion.waits

    def test_a_flow_that_is_gone_is_counted_nowhere(self) -> None:
        telling = Telling()
        telling.tell(rows(spans=[span("chat", 0, None, kind="flow")]))
        (key,) = telling.running
        telling.conversion.gone(key)
        telling.drain()
        assert self.running(telling.sent) == (0, 0)
        assert (telling.sent.spans, telling.conversion.state.open) == ([], [])

    def test_what_runs_for_a_day_is_unfinished_and_not_told_of_twice(self) -> None:
        telling = Telling()
        telling.tell(rows(spans=[span("chat", 0, None, kind="flow"), span("draft", 1, None, parent="chat")]))
        telling.conversion.expire(START_NS + DAY_NS - 1)
        assert not telling.conversion.has_new
        telling.conversion.expire(START_NS + 2 * DAY_NS)
        telling.drain()
        found = spans(telling.sent)
        assert found["chat"].end_time_unix_nano == START_NS + DAY_NS
        assert (
            scalars(found["draft"].attributes).items()
            >= {
                "agent.outcome": "unfinished",
                "error.type": "timeout",
                "agent.flow.name": "chat",
            }.items()
        )
        assert telling.sent.bodies() == ["chat unfinished", "draft unfinished"]
        assert totals(telling.sent, "agent.flow.runs") == {("chat", "unfinished"): 1}
        assert counts(telling.sent, "agent.flow.duration") == {}
        assert self.running(telling.sent) == (0, 0)
        telling.tell([("spans", 1, span("chat", 0, 2 * 86_400 + 1, kind="flow"))])
        assert len(telling.sent.spans) == 2


@pytest.mark.parametrize(
    ("columns", "outcome", "error"),
    [
        pytest.param({"status": "OK"}, "ok", None, id="OK"),
        pytest.param({"status": "OK", "error": "x"}, "ok", None, id="OK stands above a text"),
        pytest.param({"status": None}, "ok", None, id="no status and no error"),
        pytest.param({"status": None, "error": "x"}, "error", "_OTHER", id="no status but an error"),
        pytest.param({"status": "ERROR", "error": "KeyError: x"}, "error", "KeyError", id="a text that names a class"),
        pytest.param(
            {"status": "ERROR", "error": "x", "attributes": "{'failure_type': 'TimeoutError'}"},
            "error",
            "TimeoutError",
            id="the class that illumo tells",
        ),
        pytest.param(
            {"status": "ERROR", "error": "x", "attributes": "{'failure_type': 'MyError'}"},
            "error",
            "_OTHER",
            id="a class that is not well known",
        ),
        pytest.param({"status": "CANCELLED by Zoë"}, "error", "_OTHER", id="a status that nobody knows"),
    ],
)
def test_how_a_node_ended_is_told_alike_in_span_log_and_metric(
    columns: dict[str, Any], outcome: str, error: str | None
) -> None:
    sent = tell(rows(spans=[span("draft", 1, 1.0244, **columns)]))
    (one,), (log,) = sent.spans, sent.logs
    assert (scalars(one.attributes)["agent.outcome"], scalars(one.attributes).get("error.type")) == (outcome, error)
    assert (one.status.code == one.status.STATUS_CODE_ERROR) == (outcome == "error")
    assert one.status.message == ""
    good = outcome == "ok"
    assert log.body.string_value == ("draft completed in 24 ms" if good else "draft failed after 24 ms")
    assert log.severity_text == ("INFO" if good else "ERROR")
    told: dict[str, object] = {"ego.logger": "illumo", "agent.flow.name": "_OTHER", "agent.flow.node": "draft"}
    told["agent.outcome"] = outcome
    assert scalars(log.attributes) == told | ({"error.type": error} if error else {})
    assert totals(sent, "agent.flow.node.runs") == {("_OTHER", "draft", outcome): 1}


def test_policy_and_timeout_are_attributes() -> None:
    """From their columns, or from the attributes where an older database has no such columns."""
    row = span("draft", 1, 2, policy_snapshot=repr(RUN), timeout=1)
    old = span("old", 1, 2, attributes=repr({"node_type": "Agent", "policy_snapshot": RUN}))
    del old["policy_snapshot"], old["timeout"]
    sent = spans(tell(rows(spans=[row, old])))
    policy = {"agent.flow.policy.fail_fast": True, "agent.flow.policy.max_attempts": 2}
    assert scalars(sent["draft"].attributes).items() >= {**policy, "agent.flow.timeout": True}.items()
    assert scalars(sent["old"].attributes).items() >= {**policy, "agent.flow.node_type": "Agent"}.items()
    assert "agent.flow.timeout" not in scalars(sent["old"].attributes)


def test_an_id_that_fits_is_sent_as_it_is() -> None:
    sent = tell(rows(spans=[span("draft", 1, 2, span_id="a1" * 8, parent_span_id="b2" * 8)]))
    assert (sent.spans[0].span_id.hex(), sent.spans[0].parent_span_id.hex()) == ("a1" * 8, "b2" * 8)
    assert "egoscope.recorded.span_id" not in scalars(sent.spans[0].attributes)


def test_a_span_without_ids_gets_derived_ones_and_its_parents_trace() -> None:
    tree = [span("chat", 0, 3, kind="flow"), span("draft", 1, 2, parent="chat", trace_id=None)]
    sent = spans(tell(rows(spans=[*tree, span("lone", 1, 2, span_id=None, trace_id=None)])))
    assert sent["draft"].trace_id == sent["chat"].trace_id
    assert (len(sent["lone"].trace_id), len(sent["lone"].span_id)) == (16, 8)


def test_attributes_that_could_not_be_read_are_told_on_the_log_record() -> None:
    sent = tell(rows(spans=[span("draft", 1, 2, attributes="<secret>")]))
    assert scalars(sent.logs[0].attributes)["egoscope.unparsable"] == "malformed_literal"


def test_labels_are_bounded_but_spans_have_every_name() -> None:
    """Also across a restart: a flow keeps its label, and a new one gets none."""
    telling = Telling()
    many = [span(f"flow{number}", number, number + 1, kind="flow") for number in range(MAX_FLOWS + 2)]
    telling.tell(rows(spans=many[:-1]))
    names = {one.name for one in telling.sent.spans}
    telling = restarted(telling)
    telling.tell([("spans", 100, many[-1]), ("spans", 101, span("flow0", 200, 201, kind="flow", id="again"))])
    assert names == {f"flow{number}" for number in range(MAX_FLOWS + 1)}
    assert [one.name for one in telling.sent.spans] == [f"flow{MAX_FLOWS + 1}", "flow0"]
    assert totals(telling.sent, "agent.flow.runs") == {("_OTHER", "ok"): 2, ("flow0", "ok"): 2}


def test_every_series_goes_forward_in_time() -> None:
    """Also where runs of one flow overlap: otherwise Prometheus would take it for a reset."""
    runs = [span("chat", at, at + 30, kind="flow", id=f"run{at}") for at in range(20)]
    nodes = [span("a", at + 1, at + 25 - at % 3, parent=f"run{at}", id=f"a{at}") for at in range(20)]
    sent = tell(rows(spans=[*runs, *nodes]))
    for points in sent.points.values():
        assert all(before[0] < after[0] for before, after in pairwise(points))
    assert totals(sent, "agent.flow.node.runs") == {("chat", "a", "ok"): 20}
    ends_ms = {(START_NS + (at + 25 - at % 3) * SECOND_NS) // 10**6 for at in range(20)}
    times = {time_ms for time_ms, _ in sent.series("agent.flow.node.runs", flow="chat", node="a", outcome="ok")}
    assert ends_ms <= times


def test_a_row_that_is_no_record_stands_in_the_log_as_redacted() -> None:
    telling = Telling()
    telling.tell(rows(spans=[span("draft", 1, 2), span("other", 1, 2, start_time="soon")]))
    assert telling.unparsable == {"no_time": 1}
    assert sorted(telling.sent.bodies()) == ["REDACTED", "draft completed in 1000 ms"]
