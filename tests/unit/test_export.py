"""`egoscope export`: every row once, in constant memory; the file is there whole or not at all."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
from fake_query import FakeQuery
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from egoscope.cli import app, export
from egoscope.cli.export_formats import COLUMNS, Format, What, writing
from egoscope.cli.export_names import not_there
from egoscope.errors import ConfigError
from egoscope.query import Execution
from egoscope.query.embedded import EmbeddedQuery
from egoscope.query.times import EPOCH, MICROSECOND
from egoscope.store.sqlite import EmbeddedStore
from tests.query_scene import EXECUTIONS, RUNS, Scene
from tests.task_scene import TASKS, TaskScene

if TYPE_CHECKING:
    from pathlib import Path

SCENE: Final = Scene(dt.date(2026, 11, 21))
WORK: Final = TaskScene(dt.date(2026, 11, 21))
ENDED: Final = sorted((task for task in TASKS if task.ended is not None), key=lambda task: task.ended or 0)
THERE: Final = "agents: critic, writer; flows: triage (--what flows)"
NOW: Final = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that holds the scene."""
    path = tmp_path / "store.db"
    with EmbeddedStore(path) as opened:
        for request in [*SCENE.requests(), *SCENE.tagged(), *WORK.requests()]:
            opened.send(request.signal, request.data)
    return path


def run(store: Path, *arguments: str) -> tuple[int, str, Path]:
    """Run the command; return its status, all it said, and its file."""
    out = store.parent / "out" / "file"
    out.parent.mkdir(exist_ok=True)
    done = CliRunner().invoke(app, ["export", "--store", str(store), "--out", str(out), *arguments])
    return done.exit_code, done.output, out


class TestFormats:
    def test_csv_has_a_row_an_execution_oldest_end_first(self, store: Path) -> None:
        status, said, out = run(store, "--format", "csv")
        assert (status, said.partition(";")[0]) == (0, f"{len(EXECUTIONS)} executions in {out}")
        rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8"))))
        assert [row["trace_id"] for row in rows] == [SCENE.trace_id(ran) for ran in EXECUTIONS]
        assert list(rows[0]) == list(COLUMNS["executions"])
        assert rows[0]["end"] == "2026-11-18T01:00:00Z"
        assert (rows[0]["cost_usd"], rows[0]["input_tokens"]) == ("0.009000003", "1500")
        assert (rows[3]["cost_usd"], rows[4]["duration_s"], rows[0]["tags"]) == ("", "", "")
        assert json.loads(rows[5]["tags"]) == {"draft": True, "language": "fr"}

    def test_json_is_one_array_with_null_for_what_is_not_known(self, store: Path) -> None:
        _, _, out = run(store, "--format", "json")
        rows = json.loads(out.read_text("utf-8"))
        assert len(rows) == len(EXECUTIONS)
        assert (rows[3]["cost_usd"], rows[4]["duration_s"], rows[5]["tags"]) == (
            None,
            None,
            {"draft": True, "language": "fr"},
        )
        assert rows[0]["start"] == "2026-11-18T00:59:50Z"

    def test_parquet_has_types(self, store: Path) -> None:
        parquet: Any = pytest.importorskip("pyarrow.parquet")
        _, _, out = run(store, "--format", "parquet")
        table = parquet.read_table(out)
        assert table.column("cost_usd").to_pylist()[3] is None
        assert table.column("end").to_pylist() == [SCENE.time(ran.at) for ran in EXECUTIONS]
        assert str(table.schema.field("end").type) == "timestamp[us, tz=UTC]"
        assert str(table.schema.field("input_tokens").type) == "int64"

    @pytest.mark.parametrize("file_format", list(Format))
    def test_nothing_is_an_empty_file_that_can_be_read(self, store: Path, file_format: str) -> None:
        status, said, out = run(store, "--format", file_format, "--until", "2020-01-01")
        assert (status, said.split()[0]) == (0, "0")
        if file_format == "json":
            assert json.loads(out.read_text("utf-8")) == []
        elif file_format == "csv":
            assert out.read_text("utf-8").split() == [",".join(COLUMNS["executions"])]

    def test_costs_are_a_row_a_day_agent_and_model(self, store: Path) -> None:
        _, _, out = run(store, "--what", "costs", "--since", "2026-11-19", "--until", "2026-11-20")
        (row,) = csv.DictReader(io.StringIO(out.read_text("utf-8")))
        assert row == {
            "day": "2026-11-19",
            "agent": "writer",
            "model": "claude-sonnet",
            "calls": "1",
            "input_tokens": "9999",
            "output_tokens": "1",
            "cost_usd": "0.029997015",
            "calls_of_unknown_price": "0",
        }

    def test_tasks_are_a_row_each_oldest_end_first(self, store: Path) -> None:
        status, said, out = run(store, "--what", "tasks")
        assert (status, said) == (0, f"{len(ENDED)} tasks in {out}\n")
        rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8"))))
        assert [row["trace_id"] for row in rows] == [WORK.trace_id(task) for task in ENDED]
        assert rows[1] == {
            "task_id": "task_00002",
            "trace_id": WORK.trace_id(TASKS[1]),
            "worker": "worker_1",
            "priority": "1",
            "outcome": "error",
            "created": "2026-11-19T02:00:00Z",
            "ended": "2026-11-19T02:10:00Z",
            "duration_s": "600.0",
        }
        assert rows[2]["worker"] == ""

    def test_tasks_of_one_worker(self, store: Path) -> None:
        assert run(store, "--what", "tasks", "--worker", "worker_1")[1].startswith("3 tasks")

    def test_workers_are_a_row_each(self, store: Path) -> None:
        status, said, out = run(store, "--what", "workers", "--format", "json", "--since", "2026-11-19")
        assert (status, said) == (0, f"4 workers in {out}\n")
        rows = json.loads(out.read_text("utf-8"))
        assert sorted((row["name"], row["completed"], row["failed"]) for row in rows) == [
            ("gemini_worker_77", 1, 0),
            ("worker_1", 1, 0),
            ("worker_1", 1, 1),
            ("worker_2", 1, 0),
        ]
        assert list(rows[0]) == list(COLUMNS["workers"])

    def test_flows_are_a_row_a_run_oldest_end_first(self, store: Path) -> None:
        status, said, out = run(store, "--what", "flows")
        assert (status, said) == (0, f"{len(RUNS)} runs of flows in {out}\n")
        rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8"))))
        assert [row["trace_id"] for row in rows] == [SCENE.trace_id(ran) for ran in RUNS]
        assert list(rows[0]) == list(COLUMNS["flows"])
        assert rows[1] == {
            "trace_id": SCENE.trace_id(RUNS[1]),
            "span_id": SCENE.span_id(RUNS[1]),
            "flow": "triage",
            "start": "2026-11-19T07:58:00Z",
            "end": "2026-11-19T08:00:00Z",
            "duration_s": "120.0",
            "outcome": "error",
            "error_type": "",
        }

    @pytest.mark.parametrize("file_format", ["json", "parquet"])
    def test_flows_in_the_other_formats(self, store: Path, file_format: str) -> None:
        if file_format == "parquet":
            pytest.importorskip("pyarrow")
        status, _, out = run(store, "--what", "flows", "--format", file_format)
        assert (status, out.stat().st_size > 0) == (0, True)

    def test_flows_of_one_name(self, store: Path) -> None:
        assert run(store, "--what", "flows", "--agent", "triage")[1].startswith("2 runs of flows")

    def test_executions_say_that_runs_of_flows_are_another_export(self, store: Path) -> None:
        said = run(store)[1]
        assert said.endswith("file; 2 runs of flows are not in it: --what flows\n")
        assert "flows" not in run(store, "--agent", "writer")[1]
        assert "flows" not in run(store, "--since", "2026-11-20")[1]

    def test_one_agent(self, store: Path) -> None:
        _, said, _ = run(store, "--agent", "critic")
        assert said.startswith("4 executions")


class TestNotThere:
    """As `egoscope monitor --agent` has it: a sentence with the names that are, and status 1."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            pytest.param(
                ("--agent", "nosuch"),
                f"--agent nosuch: there is no such agent; there are {THERE}",
                id="an agent",
            ),
            pytest.param(
                ("--agent", "triage"),
                f"--agent triage: there is no such agent; there are {THERE}",
                id="a flow is no agent",
            ),
            pytest.param(
                ("--what", "flows", "--agent", "writer"),
                "--agent writer: there is no such flow; there are flows: triage",
                id="an agent is no flow",
            ),
            pytest.param(
                ("--what", "tasks", "--worker", "nosuch"),
                "--worker nosuch: there is no such worker; there are workers: gemini_worker_77, worker_1, worker_2",
                id="a worker",
            ),
        ],
    )
    def test_says_which_are(self, store: Path, arguments: tuple[str, ...], said: str) -> None:
        status, told, out = run(store, *arguments)
        assert (status, told, out.exists()) == (1, f"egoscope: {said}\n", False)

    def test_where_there_is_none_at_all(self, tmp_path: Path) -> None:
        EmbeddedStore(tmp_path / "store.db").close()
        status, told, _ = run(tmp_path / "store.db", "--agent", "nosuch")
        assert (status, told) == (1, "egoscope: --agent nosuch: there is no such agent, and no other yet\n")

    def test_one_that_did_nothing_in_the_range_is_there(self, store: Path) -> None:
        assert run(store, "--agent", "writer", "--until", "2020-01-01")[:2][0] == 0

    def test_one_that_is_found_but_not_counted_is_there(self) -> None:
        """As over the stack executions of instrumented code: nothing counts them in Prometheus."""
        query = FakeQuery(all_agents=[], all_flows=[])
        assert query.executions
        assert not_there(query, What.EXECUTIONS, "support_agent", None) is None


class TestWhole:
    def test_nothing_is_left_where_it_fails_half_way(self, tmp_path: Path) -> None:
        out = tmp_path / "file.csv"
        out.write_text("before")

        def fail_half_way() -> None:
            with writing(Format.CSV, out, COLUMNS["costs"]) as write:
                write([dict.fromkeys(COLUMNS["costs"], 1)])
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail_half_way()
        assert out.read_text("utf-8") == "before"
        assert list(tmp_path.iterdir()) == [out]

    def test_a_directory_that_is_not_there_is_named(self, store: Path) -> None:
        done = CliRunner().invoke(app, ["export", "--store", str(store), "--out", str(store.parent / "no" / "x.csv")])
        assert done.exit_code == 2
        assert "cannot be written (No such file or directory); name a file in a directory that is there" in done.output

    def test_without_pyarrow_the_sentence_says_what_to_install(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        status, said, out = run(store, "--format", "parquet")
        assert status == 2
        assert said == "egoscope: --format parquet: needs pyarrow; install it with pip install 'egoscope[parquet]'\n"
        assert list(out.parent.iterdir()) == []


class TestPages:
    @pytest.mark.parametrize("page", [1, 2, 4, 100])
    def test_every_execution_comes_once_and_never_more_than_a_page_at_once(self, store: Path, page: int) -> None:
        with EmbeddedQuery(store, now=lambda: NOW) as query:
            told = list(export.pages(query, None, EPOCH, NOW, page))
        assert [one.end for some in told for one in some] == [SCENE.time(ran.at) for ran in EXECUTIONS]
        assert max(map(len, told)) <= page

    @pytest.mark.parametrize("page", [1, 2, 100])
    def test_every_task_comes_once_too(self, store: Path, page: int) -> None:
        with EmbeddedQuery(store, now=lambda: NOW) as query:
            told = list(export.task_pages(query, None, EPOCH, NOW, page))
        assert [one.trace_id for some in told for one in some] == [WORK.trace_id(task) for task in ENDED]
        assert max(map(len, told)) <= page

    @given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 5))
    def test_any_ends_also_many_at_one_moment(self, ends: list[int], page: int) -> None:
        query = Listed(sorted(ends))
        told = [
            (one.end - EPOCH) // MICROSECOND
            for some in export.pages(query, None, EPOCH, EPOCH + 50 * MICROSECOND, page)  # type: ignore[arg-type]
            for one in some
        ]
        assert told == [end for end in sorted(ends) if end > 0]


class Listed:
    """Executions that ended so many microseconds after the epoch; as Prometheus, it counts only half of them."""

    def __init__(self, ends: list[int]) -> None:
        self._ends = ends

    def get_metrics(self, agent: None, kind: str, aggregation: str, since: dt.datetime, until: dt.datetime) -> float:
        """Count."""
        return len(self._within(since, until)) // 2

    def get_executions(self, agent: None, since: dt.datetime, until: dt.datetime, *, limit: int) -> list[Execution]:
        """List, newest first."""
        return [_ended(end) for end in reversed(self._within(since, until))][:limit]

    def _within(self, since: dt.datetime, until: dt.datetime) -> list[int]:
        return [end for end in self._ends if since < EPOCH + end * MICROSECOND <= until]


def _ended(at: int) -> Execution:
    return Execution(
        trace_id="",
        span_id="",
        agent="",
        start=EPOCH,
        end=EPOCH + at * MICROSECOND,
        duration_s=0,
        outcome="ok",
        error_type=None,
        input_tokens=0,
        output_tokens=0,
        cost_usd=0,
        model_calls=0,
        tool_calls=0,
    )


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "when"),
        [
            ("2026-11-19", dt.datetime(2026, 11, 19, tzinfo=dt.UTC) - MICROSECOND),
            ("2026-11-19T01:30", dt.datetime(2026, 11, 19, 1, 30, tzinfo=dt.UTC)),
            ("2026-11-19T01:30+02:00", dt.datetime(2026, 11, 18, 23, 30, tzinfo=dt.UTC)),
            ("90m", NOW - dt.timedelta(minutes=90)),
            ("4w", NOW - dt.timedelta(weeks=4)),
        ],
    )
    def test_a_time(self, text: str, when: dt.datetime) -> None:
        assert export.time_option("--since", text, NOW) == when

    @pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "7", "999999w"])
    def test_what_is_no_time_is_told_what_is(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"--since: a date \(2026-11-01\)"):
            export.time_option("--since", text, NOW)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--since", "2026-11-02", "--until", "2026-11-01"), "--until: is not after --since"),
            (
                ("--what", "costs", "--agent", "writer"),
                "--agent: is for executions and flows; leave it out with --what costs",
            ),
            (
                ("--what", "tasks", "--agent", "writer"),
                "--agent: is for executions and flows; leave it out with --what tasks",
            ),
            (("--worker", "worker_1"), "--worker: is for tasks; leave it out with --what executions"),
            (("--stack",), "--store: with --stack no store is read"),
        ],
    )
    def test_what_does_not_fit_together_is_named(self, store: Path, arguments: tuple[str, ...], said: str) -> None:
        status, told, out = run(store, *arguments)
        assert (status, out.exists()) == (2, False)
        assert said in told


def test_progress_is_shown_on_a_terminal_only(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()

    def terminal(*, stderr: bool) -> Console:
        assert stderr
        return Console(file=drawn, force_terminal=True, width=80)

    monkeypatch.setattr(export, "Console", terminal)
    run(store)
    assert f"{len(EXECUTIONS)}/{len(EXECUTIONS)}" in drawn.getvalue()
