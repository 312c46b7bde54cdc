"""The demo's log: looks like the real program's, hides what it should, and counts what it wrote."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from egoscope.demo import LINES_PER_CALL, DemoSettings, canaries, generate, write_history, write_live
from egoscope.demo.words import HOURS, TOOLS
from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from egoscope.demo import Summary

DAY = DemoSettings(calls_per_minute=6)
FIELDS_OF_THE_REAL_LOG = {
    "link_memories": set[str](),
    "consider_them": {"person_id", "trust_level", "total_interactions", "shared_episodes_count"},
    "wake_up": {"trust_level", "total_interactions", "shared_episodes_count", "person_id"},
    "attune": {"desire_levels", "absence_band", "absence_person", "attune_person", "active_person_ids", "curiosity"},
    "recall": {
        *("fuzzy_recall_count", "related_person_count", "surfaced_person_ids", "resonant_person_ids"),
        *("involuntary_person_ids", "proust_triggered"),
    },
    "consolidate": {
        *("consolidation_replay_events", "consolidation_new_links", "consolidation_coactivation_updates"),
        *("consolidation_pruned_links", "consolidation_link_types", "ripening_fed_questions", "ripening_deposits"),
    },
    "curate_notions": {"curate_action"},
}
FIELDS_OF_EVERY_ANSWER = {"tool_name", "tool_output", "tool_output_chars", "tool_output_truncated", "time_phase"}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, list[dict[str, Any]], str]:
    """One day of the real format: what was counted, the objects, the text."""
    summary = write_history(tmp_path_factory.mktemp("day"), DAY, days=1)
    text = "".join(path.read_text() for path in summary.files)
    return summary, [json.loads(line) for line in text.splitlines()], text


@pytest.mark.parametrize("documented", [False, True])
def test_equal_settings_give_equal_bytes_and_another_seed_gives_others(tmp_path: Path, documented: bool) -> None:
    written: list[bytes] = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        settings = DemoSettings(seed=seed, documented_format=documented)
        summary = write_history(tmp_path / name, settings, days=0.2)
        written.append(b"".join(path.read_bytes() for path in summary.files))
    assert written[0] == written[1] != written[2]


def test_lines_look_as_json_dumps_writes_them(day: tuple[Summary, list[dict[str, Any]], str]) -> None:
    _, objects, text = day
    for shown, line in zip(objects, text.splitlines(), strict=True):
        assert json.dumps(shown, ensure_ascii=False) == line


@pytest.mark.parametrize("documented", [False, True])
def test_times_never_step_back_and_are_the_lines_own(documented: bool) -> None:
    lines = list(islice(generate(DemoSettings(calls_per_minute=2000, documented_format=documented)), 6000))
    assert all(earlier.time_ns <= later.time_ns for earlier, later in pairwise(lines))
    for line in lines:
        stamp = json.loads(line.line)["ts" if documented else "timestamp"]
        since = datetime.fromisoformat(stamp) - datetime(1970, 1, 1, tzinfo=UTC)
        assert since // timedelta(microseconds=1) * 1000 == line.time_ns


def test_every_planted_secret_stands_in_a_days_log(day: tuple[Summary, list[dict[str, Any]], str]) -> None:
    summary, _, text = day
    assert summary.canaries == canaries(DAY)
    assert len(set(summary.canaries)) == len(summary.canaries) > 100
    assert [token for token in summary.canaries if token not in text] == []


def test_counts_of_the_summary_are_those_of_the_log(day: tuple[Summary, list[dict[str, Any]], str]) -> None:
    summary, objects, text = day
    calls: Counter[tuple[str, str]] = Counter()
    outcomes = {
        "Tool invocation": "started",
        "Tool execution completed": "ok",
        "Tool execution failed": "error",
    }
    for shown in objects:
        if shown["message"] in outcomes:
            calls[shown["tool_name"], outcomes[shown["message"]]] += 1
    for tool in TOOLS:
        unfinished = calls[tool, "started"] - calls[tool, "ok"] - calls[tool, "error"]
        if unfinished:
            calls[tool, "unfinished"] = unfinished
    assert summary.calls == {key: count for key, count in calls.items() if count}
    assert summary.lines == Counter((shown["level"], shown["logger"]) for shown in objects)
    assert summary.total_lines == len(objects)
    assert summary.total_bytes == len(text.encode())
    assert summary.processes == sum(shown["message"] == "Logging initialized" for shown in objects)


def test_answers_have_the_fields_of_the_real_program(day: tuple[Summary, list[dict[str, Any]], str]) -> None:
    _, objects, _ = day
    answers = [shown for shown in objects if shown["message"] == "Tool execution completed"]
    assert {shown["tool_name"] for shown in answers} == set(TOOLS)
    for shown in answers:
        assert shown.keys() >= FIELDS_OF_EVERY_ANSWER | FIELDS_OF_THE_REAL_LOG.get(shown["tool_name"], set())
        assert len(shown["tool_output"]) <= 1200
    levels = [(shown, shown["desire_levels"]) for shown in answers if shown["tool_name"] == "attune"]
    assert all(shown[name] == level for shown, nested in levels for name, level in nested.items())
    assert any(name.startswith("canary_desire_") for _, nested in levels for name in nested)


def test_private_memories_are_masked_only_where_ego_mcp_masks_them(
    day: tuple[Summary, list[dict[str, Any]], str],
) -> None:
    _, objects, _ = day
    private = [shown for shown in objects if "tool_args" in shown and shown["tool_args"].get("private")]
    assert all(shown["tool_args"]["content"] == "[REDACTED_PRIVATE_MEMORY]" for shown in private)
    assert not any("CANARY" in json.dumps(shown["tool_args"]) for shown in private)
    failed = [shown["exception"] for shown in objects if "exception" in shown]
    assert any("CANARY" in exception and exception.count("\n") > 5 for exception in failed)


def test_a_day_has_calls_that_overlap_fail_and_never_end_and_processes_that_die(
    day: tuple[Summary, list[dict[str, Any]], str],
) -> None:
    summary, objects, _ = day
    started = sum(count for (_, outcome), count in summary.calls.items() if outcome == "started")
    failed = sum(count for (_, outcome), count in summary.calls.items() if outcome == "error")
    unfinished = sum(count for (_, outcome), count in summary.calls.items() if outcome == "unfinished")
    assert 0.01 < failed / started < 0.06
    assert 0 < unfinished < 0.02 * started
    assert 0.8 < started / (24 * 60 * DAY.calls_per_minute) < 1.2
    assert summary.total_lines / started == pytest.approx(LINES_PER_CALL, rel=0.02)
    assert ("ERROR", "ego_mcp.unhandled") in summary.lines
    assert {level for level, _ in summary.lines} == {"INFO", "WARNING", "ERROR"}
    messages = [shown["message"] for shown in objects if shown["logger"] == "ego_mcp.server"]
    assert any(one == other == "Tool invocation" for one, other in pairwise(messages))
    assert any("." not in shown["timestamp"] for shown in objects)


@pytest.mark.parametrize(("calls_per_minute", "days"), [(0.5, 14), (60, 0.3), (3000, 0.007)])
def test_the_mean_is_reached_at_any_rate(tmp_path: Path, calls_per_minute: float, days: float) -> None:
    settings = DemoSettings(calls_per_minute=calls_per_minute, rhythm=False)
    summary = write_history(tmp_path, settings, days=days)
    started = sum(count for (_, outcome), count in summary.calls.items() if outcome == "started")
    assert 0.9 < started / (days * 24 * 60 * calls_per_minute) < 1.1


def test_some_processes_die_with_a_call_open_and_some_of_an_exception(
    day: tuple[Summary, list[dict[str, Any]], str],
) -> None:
    summary, objects, _ = day
    lives: list[list[str]] = []
    for shown in objects:
        if shown["message"] == "Logging initialized":
            lives.append([])
        if shown["logger"] in {"ego_mcp.server", "ego_mcp.unhandled"}:
            lives[-1].append(shown["message"])
    assert summary.processes == len(lives) > 3
    last_words = {life[-1] for life in lives[:-1] if life}
    assert {"Tool invocation", "Tool execution completed", "Unhandled exception"} <= last_words


def test_nights_are_quiet(day: tuple[Summary, list[dict[str, Any]], str]) -> None:
    _, objects, _ = day
    hours = Counter(datetime.fromisoformat(shown["timestamp"]).hour for shown in objects)
    assert sum(hours[hour] for hour in range(1, 5)) * 5 < sum(hours[hour] for hour in range(7, 11))
    assert sum(HOURS) == pytest.approx(24)


def test_a_process_that_runs_past_midnight_keeps_yesterdays_file(tmp_path: Path) -> None:
    summary = write_history(tmp_path, DemoSettings(calls_per_minute=1), days=4)
    assert [path.name for path in summary.files] == sorted(path.name for path in summary.files)
    late = 0
    for path in summary.files:
        dates = [json.loads(line)["timestamp"][:10] for line in path.read_text().splitlines()]
        assert f"ego-mcp-{dates[0]}.log" == path.name
        late += sum(date not in path.name for date in dates)
    assert len(summary.files) > 2
    assert late > 0


def test_failure_rate_decides_how_many_calls_fail(tmp_path: Path) -> None:
    for rate, low, high in ((0.0, 0.0, 0.0), (0.2, 0.15, 0.25), (1.0, 1.0, 1.0)):
        settings = DemoSettings(calls_per_minute=60, failure_rate=rate)
        calls = write_history(tmp_path / str(rate), settings, days=0.08).calls
        failed = sum(count for (_, outcome), count in calls.items() if outcome == "error")
        ended = failed + sum(count for (_, outcome), count in calls.items() if outcome == "ok")
        assert low <= failed / ended <= high


def test_max_bytes_stops_at_the_line_that_reaches_it(tmp_path: Path) -> None:
    summary = write_history(tmp_path, DAY, max_bytes=200_000)
    assert summary.total_bytes == sum(path.stat().st_size for path in summary.files)
    assert 200_000 <= summary.total_bytes < 205_000


def test_until_is_the_first_time_that_is_not_written(tmp_path: Path) -> None:
    until = DAY.start + timedelta(minutes=30)
    summary = write_history(tmp_path, DAY, until=until)
    assert summary.total_lines > 100
    assert summary.last_ns < until.timestamp() * 1e9


def test_the_documented_form_has_one_line_a_call_and_some_that_are_newer_or_private(tmp_path: Path) -> None:
    settings = DemoSettings(calls_per_minute=60, documented_format=True)
    summary = write_history(tmp_path, settings, days=0.3)
    objects = [json.loads(line) for path in summary.files for line in path.read_text().splitlines()]
    required = {
        *("ts", "event_type", "tool_name", "duration_ms", "ok", "emotion_primary", "emotion_intensity"),
        *("params", "private", "schema_version"),
    }
    assert all(shown.keys() >= required for shown in objects)
    assert all(isinstance(shown["params"]["mode"], str) for shown in objects)
    assert {shown["schema_version"] for shown in objects} == {1, 2, 3}
    assert {shown["private"] for shown in objects} == {True, False}
    assert any(shown.keys() - required for shown in objects)
    assert summary.calls == Counter((shown["tool_name"], "ok" if shown["ok"] else "error") for shown in objects)
    assert any("CANARY-MEM" in json.dumps(shown) for shown in objects)


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"start": datetime(2026, 1, 1)}, "start"),  # noqa: DTZ001
        ({"calls_per_minute": 0.0}, "calls_per_minute"),
        ({"failure_rate": 1.5}, "failure_rate"),
        ({"private_rate": -0.1}, "private_rate"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        DemoSettings(**wrong)


class Clock:
    """A clock that goes on only while somebody waits, and sets `stop` after some waits."""

    def __init__(self, stop: threading.Event, *, waits: int, start: datetime) -> None:
        self.now_ns = int(start.timestamp()) * 10**9
        self.waits = waits
        self.jump_ns = 0
        self._stop = stop

    def wait(self, seconds: float) -> bool:
        self.now_ns += int(seconds * 1e9) + self.jump_ns
        self.jump_ns = 0
        self.waits -= 1
        if self.waits <= 0:
            self._stop.set()
        return self._stop.is_set()


def live(directory: Path, *, waits: int, start: datetime, jump_at: int = -1) -> Summary:
    stop = threading.Event()
    clock = Clock(stop, waits=waits, start=start)

    def wait(seconds: float) -> bool:
        if clock.waits == jump_at:
            clock.jump_ns = 3600 * 10**9
        return clock.wait(seconds)

    return write_live(directory, DAY, stop=stop, now_ns=lambda: clock.now_ns, wait=wait)


def test_live_lines_come_when_their_time_has_come_and_not_after_stop(tmp_path: Path) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    summary = live(tmp_path, waits=300, start=start)
    lines = (tmp_path / "ego-mcp-2026-11-20.log").read_text().splitlines()
    assert 250 < len(lines) == summary.total_lines < 320
    assert json.loads(lines[0])["timestamp"] == "2026-11-20T12:00:00Z"


def test_a_second_live_run_goes_on_as_a_new_process_without_migrations(tmp_path: Path) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    first = live(tmp_path, waits=200, start=start)
    second = live(tmp_path, waits=200, start=start + timedelta(hours=1))
    shown = [json.loads(line) for line in (tmp_path / "ego-mcp-2026-11-20.log").read_text().splitlines()]
    assert len(shown) == first.total_lines + second.total_lines
    assert shown[first.total_lines]["message"] == "Logging initialized"
    assert ("INFO", "ego_mcp.migrations") in first.lines
    assert ("INFO", "ego_mcp.migrations") not in second.lines


def test_after_a_long_sleep_a_new_process_starts_and_no_line_is_stamped_long_ago(tmp_path: Path) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    summary = live(tmp_path, waits=200, start=start, jump_at=100)
    shown = [json.loads(line) for line in (tmp_path / "ego-mcp-2026-11-20.log").read_text().splitlines()]
    assert summary.processes == 2
    gaps = [
        (datetime.fromisoformat(later["timestamp"]) - datetime.fromisoformat(earlier["timestamp"]), later["message"])
        for earlier, later in pairwise(shown)
    ]
    assert max(gaps)[1] == "Logging initialized"
    assert max(gaps)[0] >= timedelta(hours=1)
