"""The terminal's picture shows the right figures, at every size, and ends well."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from otlp_requests import (
    SECOND,
    T0,
    gauge,
    log_request,
    metric_request,
    record,
    span,
    trace_request,
)
from rich.console import Console
from rich.live import Live

from egoscope.cli import monitor_text, palette
from egoscope.cli.monitor import KEYS_THAT_LEAD, Life, run_monitor
from egoscope.cli.monitor_text import ASCII, UNICODE
from egoscope.cli.monitor_view import View
from egoscope.errors import ConfigError
from egoscope.otlp.client import Signal
from egoscope.store.queries import MINUTE_NS, Desire, Emotion, LogLine, Picture, StoreReader, Tool
from egoscope.store.sqlite import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PICTURE = Picture(
    as_of_ns=T0,
    history=False,
    last_event_ns=T0 - 3 * SECOND,
    services=("ego-mcp",),
    window_ns=60 * MINUTE_NS,
    calls_by_minute=(*([0] * 100), 4, 0, 9, 7),
    calls=71,
    errors=3,
    unfinished=1,
    tools=tuple(
        Tool(
            name=f"tool_{n}",
            calls=20 - n,
            errors=n % 2,
            unfinished=0,
            p50_s=0.041,
            p95_s=1.234,
            last_ns=T0 - n * SECOND,
        )
        for n in range(15)
    ),
    in_flight=2,
    emotion=Emotion(name="contemplative", intensity=0.52, valence=-0.3, arousal=0.41, time_ns=T0),
    time_phase="late_night",
    desires=tuple(Desire(f"desire_{n}", 1 - n / 10) for n in range(9)),
    log=tuple(
        LogLine(time_ns=T0 + n, severity="INFO", logger="ego_mcp.server", body=f"remember completed in {n} ms")
        for n in range(100)
    ),
)


def drawn(picture: Picture = PICTURE, *, width: int = 80, height: int | None = 24, **options: object) -> str:
    """Return what a terminal of that size shows, without colour."""
    console = Console(record=True, width=width, height=height or 50, file=io.StringIO(), color_system=None)
    view = View(picture=picture, wall_ns=T0, window_name="1 h", height=height, keys="q quit")
    console.print(msgspec.structs.replace(view, **options), end="")
    return console.export_text()


class TestPicture:
    """What stands where."""

    @pytest.mark.parametrize(
        "figure",
        [
            pytest.param("working · ego-mcp · late_night", id="state, agent and time of day"),
            pytest.param("7  peak 9", id="calls in the last minute and their peak"),
            pytest.param("▅▁█▇", id="the sparkline ends at now, a minute without calls lies on the ground"),
            pytest.param("4.2%", id="error rate"),
            pytest.param("3 of 71", id="errors of calls"),
            pytest.param("● contemplative 0.52", id="latest emotion and intensity"),
            pytest.param("val -0.30  aro 0.41", id="valence and arousal"),
            pytest.param("3 s ago", id="time since the last event"),
            pytest.param("2 in flight", id="calls in flight"),
            pytest.param("desire 3 ██████████▌     0.70", id="a desire as a bar"),
            pytest.param("tool_1", id="tools by name"),
            pytest.param("19   1  41 ms 1.23 s", id="a tool's calls, errors, p50 and p95"),
            pytest.param("8 of 15", id="how many tools found no room"),
            pytest.param("INFO  remember completed in 99 ms", id="the newest line of the log"),
        ],
    )
    def test_shows_at_80_columns_without_colour(self, figure: str) -> None:
        assert figure in drawn()

    @pytest.mark.parametrize(
        ("width", "height"), [(80, 24), (140, 45), (100, 30), (300, 90), (60, 18), (45, 12), (20, 5), (1, 1)]
    )
    def test_fills_the_terminal_and_no_more(self, width: int, height: int) -> None:
        lines = drawn(width=width, height=height).splitlines()
        assert max(map(len, lines)) <= width
        if height >= 12:
            assert len(lines) == height

    def test_a_large_terminal_shows_all_tools_and_more_of_each(self) -> None:
        text = drawn(width=140, height=45)
        assert "8 of 15" not in text
        assert "1.23 s   14 s" in text
        assert "valence -0.30  arousal 0.41" in text
        assert "3 of 71, 1 unfinished" in text
        assert "ego_mcp.server" in text

    def test_an_old_log_is_shown_as_of_its_last_event(self) -> None:
        text = drawn(msgspec.structs.replace(PICTURE, history=True), wall_ns=T0 + 19 * 3600 * SECOND)
        assert f"as of {monitor_text.date_and_clock(T0)}" in text
        assert "silent" in text
        assert "19 h ago" in text

    @pytest.mark.parametrize(
        ("history", "active", "said"),
        [
            pytest.param(True, (), "silent · ego-mcp, kagura, koubou · late_night", id="all silent"),
            pytest.param(True, ("kagura",), "silent · ego-mcp, koubou · kagura active", id="another one is active"),
            pytest.param(True, ("illumo", "kagura"), "silent · ego-mcp, koubou · illumo, kagura active", id="two are"),
            pytest.param(
                False, ("kagura", "koubou"), "working · ego-mcp, kagura, koubou · late_night", id="all active"
            ),
            pytest.param(
                False, ("kagura",), "working · ego-mcp, kagura · koubou silent · late_night", id="one is silent"
            ),
        ],
    )
    def test_the_state_is_ego_mcps_and_who_is_otherwise_stands_apart(
        self, history: bool, active: tuple[str, ...], said: str
    ) -> None:
        picture = msgspec.structs.replace(
            PICTURE,
            history=history,
            services=("ego-mcp", *sorted({"kagura", "koubou", *active})),
            active=active,
        )
        first = drawn(picture, wall_ns=T0 + (19 * 3600 * SECOND if history else 0)).splitlines()[0]
        assert f"● {said} " in first
        assert len(first) <= 80
        if history:
            assert monitor_text.date_and_clock(T0)[5:16] in first

    def test_an_old_feeling_says_how_old_it_is(self) -> None:
        assert "─ feeling ─" in drawn()
        assert PICTURE.emotion is not None
        felt = msgspec.structs.replace(PICTURE.emotion, time_ns=T0 - 59 * 60 * SECOND)
        old = msgspec.structs.replace(PICTURE, emotion=felt)
        assert "─ feeling 59 min ago ─" in drawn(old)
        assert "─ feeling ─" in drawn(old, width=60)

    @pytest.mark.usefixtures("utc")
    def test_lines_of_another_day_carry_the_date_in_the_log(self) -> None:
        """Else yesterday's evening above today's morning reads as the future."""
        ages = (8 * 86_400, 86_400, 60)
        lines = tuple(
            LogLine(time_ns=T0 - age * SECOND, severity="INFO", logger="ego_mcp.server", body="x" * 90) for age in ages
        )
        text = drawn(msgspec.structs.replace(PICTURE, log=lines))
        stamps = [line[2:19] for line in text.splitlines() if "xxx" in line]
        today = monitor_text.clock(T0 - 60 * SECOND)
        assert stamps == ["11-10 11:06 INFO ", "11-17 11:06 INFO ", f"{today}    INFO "]
        assert all(len(line) <= 80 for line in text.splitlines())

    def test_todays_lines_carry_none(self) -> None:
        assert f"│ {monitor_text.clock(T0)} INFO  remember" in drawn()

    def test_history_that_is_still_arriving_is_called_catching_up(self) -> None:
        old = msgspec.structs.replace(PICTURE, history=True)
        assert "catching up" in drawn(old, catching_up=True)
        assert "catching up" not in drawn(catching_up=True)

    def test_a_long_name_does_not_touch_what_stands_at_the_right(self) -> None:
        """It is cut before it, also while an old log is shown; of its time the date goes first."""
        many = msgspec.structs.replace(PICTURE, history=True, services=("ego-mcp", "illumo", "kagura", "koubou"))
        for width in (60, 50):
            header = drawn(many, width=width).splitlines()[0]
            assert f"… as of {monitor_text.clock(T0)}" in header

    @pytest.mark.parametrize("window", ["1 h", "24 h", "all", "5 min", "15 min"])
    @pytest.mark.parametrize("width", [80, 60, 100, 140])
    def test_no_title_is_cut(self, window: str, width: int) -> None:
        """Where there is no room for the window, the tools' title says it."""
        titles = drawn(width=width, window_name=window).splitlines()[1]
        assert len(titles) == width
        assert f"errors {window} ─" in titles or (width < 80 and "─ errors ─" in titles)

    def test_what_is_in_the_way_takes_one_line_under_the_header(self) -> None:
        """A path that is too long loses its middle, never the reason; the rest is for doctor."""
        place = f"/home/{'long/' * 30}telemetry.db"
        text = drawn(hindrances=(f"{place}: is no SQLite database", "/x: is damaged"))
        lines = text.splitlines()
        assert (len(lines), max(map(len, lines))) == (24, 80)
        assert lines[1].startswith(" ! /home/long")
        assert lines[1].endswith("metry.db: is no SQLite database (and 1 more: egoscope doctor)"[-50:])

    def test_a_demo_is_marked_where_no_width_cuts_it_off(self) -> None:
        many = msgspec.structs.replace(PICTURE, history=True, services=("ego-mcp", "illumo", "kagura", "koubou"))
        for width in (140, 80, 60):
            assert drawn(many, width=width, mark="DEMO").startswith("egoscope   DEMO ")

    def test_says_when_it_is_paused_and_what_went_wrong(self) -> None:
        text = drawn(paused=True, notice="the embedded store cannot be read just now (SQLITE_BUSY)")
        assert "PAUSED" in text
        assert "SQLITE_BUSY" in text

    def test_a_picture_without_calls_draws_dashes(self) -> None:
        empty = msgspec.structs.replace(
            PICTURE, calls=0, errors=0, tools=(), emotion=None, desires=(), log=(), in_flight=0, calls_by_minute=()
        )
        text = drawn(empty)
        assert "no calls in this window" in text
        assert "none in flight" in text
        assert "no lines yet" in text

    def test_nothing_a_line_says_is_obeyed_by_the_terminal(self) -> None:
        hostile = LogLine(time_ns=T0, severity="IN\x1b[2J", logger="\x9b", body="\x1b]0;title\x07[red]x[/red]\r\n")
        text = drawn(msgspec.structs.replace(PICTURE, log=(hostile,)))
        assert "?]0;title?[red]x[/red]??" in text
        assert not set(text) & {"\x1b", "\x9b", "\x07", "\r"}

    def test_a_terminal_without_unicode_is_sent_ascii_alone(self) -> None:
        output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")  # raises on anything else
        console = Console(file=output, width=80, height=24)
        console.print(View(picture=PICTURE, wall_ns=T0, window_name="1 h"))
        output.seek(0)
        assert "* contemplative 0.52" in output.read()

    def test_equal_looks_need_no_redraw_and_a_new_figure_does(self) -> None:
        view = View(picture=PICTURE, wall_ns=T0, window_name="1 h")
        later = msgspec.structs.replace(PICTURE, as_of_ns=T0 + 1)
        assert msgspec.structs.replace(view, picture=later, wall_ns=T0 + 1).looks() == view.looks()
        busier = msgspec.structs.replace(PICTURE, in_flight=3)
        assert msgspec.structs.replace(view, picture=busier).looks() != view.looks()
        assert msgspec.structs.replace(view, wall_ns=T0 + SECOND).looks() != view.looks()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(monitor_text.duration(None), "-", id="no duration"),
        pytest.param(monitor_text.duration(0.0004), "0.4 ms", id="less than a millisecond"),
        pytest.param(monitor_text.duration(0.9994), "999 ms", id="below a second"),
        pytest.param(monitor_text.duration(0.9996), "1.00 s", id="rounds up to a second"),
        pytest.param(monitor_text.duration(99.9), "99.9 s", id="below a hundred seconds"),
        pytest.param(monitor_text.duration(754), "12 min", id="minutes"),
        pytest.param(monitor_text.age(59.9 * SECOND), "59 s", id="seconds ago"),
        pytest.param(monitor_text.age(47 * 3600 * SECOND), "47 h", id="hours ago"),
        pytest.param(monitor_text.age(48 * 3600 * SECOND), "2 d", id="days ago"),
        pytest.param(monitor_text.age(-SECOND), "0 s", id="a clock that stepped back"),
        pytest.param(monitor_text.count(99_999), "99999", id="a count in full"),
        pytest.param(monitor_text.count(123_456), "123k", id="a large count"),
        pytest.param(
            monitor_text.short_name("mcp.server.lowlevel.server", 24), "server.lowlevel.server", id="a logger"
        ),
        pytest.param(monitor_text.sparkline([0, 1, 8, 4], 3, UNICODE), "▂█▅", id="one call is not nothing"),
        pytest.param(monitor_text.sparkline([0, 0], 5, UNICODE), "▁▁", id="all quiet"),
        pytest.param(monitor_text.sparkline([1], 0, UNICODE), "", id="no room"),
        pytest.param(monitor_text.bar(0.5, 3, UNICODE), "█▌ ", id="half a cell"),
        pytest.param(monitor_text.bar(7, 3, UNICODE), "███", id="a bar never leaves its place"),
        pytest.param(monitor_text.bar(-1, 3, ASCII), "...", id="nor does it on the left"),
    ],
)
def test_numbers_as_text(said: str, expected: str) -> None:
    assert said == expected


def test_every_emotion_has_one_colour_and_no_two_of_the_fourteen_share_it() -> None:
    assert len(set(palette.EMOTIONS.values())) == len(palette.EMOTIONS) == 14
    assert set(palette.KIN.values()) <= set(palette.EMOTIONS)
    assert not set(palette.KIN) & set(palette.EMOTIONS)
    assert palette.emotion_colour("afraid") == palette.emotion_colour("anxious") == palette.EMOTIONS["anxious"]
    assert palette.emotion_colour("_OTHER") == palette.UNKNOWN_EMOTION


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Yield a store with one call, a moment ago."""
    path = tmp_path / "store.db"
    now = time.time_ns()
    with EmbeddedStore(path) as store:
        felt: dict[str, str | float] = {"ego__emotion__primary": "curious", "ego__emotion__intensity": 0.52}
        store.send(Signal.TRACES, trace_request([span(1, end=now, said=felt)]))
        store.send(Signal.LOGS, log_request([record(0, time=now, body="remember completed in 40 ms")]))
        store.send(Signal.METRICS, metric_request([gauge("ego.desire", 0.25, time=now, desire="curiosity")]))
        yield path


class TestKeysOfLife:
    """On the first screen keys do what they do everywhere."""

    def left_by(self, path: Path, keys: list[str], lead: Callable[[str], None] | None) -> tuple[str | None, str]:
        """Type keys, then q; return what it is left for, and all that was shown."""
        output = io.StringIO()
        console = Console(width=80, height=24, file=output, force_terminal=True, color_system=None)
        typed = iter([*keys, "q", "q"])

        class Typist:
            def wait(self, timeout_s: float) -> str:
                return next(typed)

        with StoreReader(path) as reader, Live(console=console, auto_refresh=False, screen=True) as live:
            life = Life(reader, console, [], lead=lead)
            left = life.run(Typist(), live)
        return left, output.getvalue()

    @pytest.mark.parametrize("key", ["a", "t", "c", "b"])
    def test_keys_lead_to_agents_tasks_and_costs(self, path: Path, key: str) -> None:
        """To the screen that the key names, whichever was left last."""
        asked: list[str] = []
        assert self.left_by(path, [key], asked.append)[0] == "agents"
        assert asked == [key]

    def test_a_question_mark_lists_the_keys_and_any_key_closes_the_list(self, path: Path) -> None:
        asked: list[str] = []
        left, shown = self.left_by(path, ["?", "a", "w"], asked.append)
        assert (left, asked) == (None, [])
        assert "any key closes this" in shown
        assert "windows: 1 h, 24 h, all, 5 min, 15 min" in shown
        assert "tools · 24 h" in shown

    def test_the_footer_names_them_within_80_columns(self, path: Path) -> None:
        _, shown = self.left_by(path, [], lambda _key: None)
        assert KEYS_THAT_LEAD in shown
        assert len(KEYS_THAT_LEAD) <= 80


class TestCommand:
    """`egoscope monitor`."""

    @pytest.mark.parametrize("once", [True, False])
    def test_prints_one_picture_where_there_is_no_terminal(self, path: Path, once: bool) -> None:
        console = Console(record=True, width=80, file=io.StringIO())
        run_monitor(path, once=once, console=console)
        text = console.export_text()
        for figure in ("1  peak 1", "0.0%", "0 of 1", "curious 0.52", "curiosity", "0.25", "40 ms", "none in flight"):
            assert figure in text
        assert "q quit" not in text

    def test_an_empty_store_says_where_it_looks_and_what_to_do(self, tmp_path: Path) -> None:
        EmbeddedStore(tmp_path / "empty.db").close()
        console = Console(record=True, width=80, file=io.StringIO())
        run_monitor(tmp_path / "empty.db", once=True, console=console, log_places=["~/.ego-mcp/logs"])
        text = console.export_text()
        for words in ("No events yet", "~/.ego-mcp/logs", "egoscope demo"):
            assert words in text

    def test_a_missing_store_is_a_setting_to_correct(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"--store .*: no such file"):
            run_monitor(tmp_path / "none.db", once=True)

    @pytest.mark.parametrize("ending", ["q", "Ctrl-C"])
    def test_a_real_terminal_shows_it_live_and_gets_everything_back(self, path: Path, ending: str) -> None:
        # Tests may run in the background, where SIGINT is ignored and stays so in every child.
        code = "import pathlib, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code += "; from egoscope.cli.monitor import run_monitor as run; run(pathlib.Path(sys.argv[1]), once=False)"
        command = [sys.executable, "-c", code, str(path)]
        main, sub = pty.openpty()
        before = termios.tcgetattr(sub)
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        with subprocess.Popen(command, stdin=sub, stdout=sub, stderr=sub, env=environment) as process:
            try:
                seen = _read_until(main, b"curious")
                os.write(main, b"p")
                seen += _read_until(main, b"PAUSED")
                if ending == "q":
                    os.write(main, b"q")
                else:
                    process.send_signal(signal.SIGINT)
                seen += _read_until(main, b"\x1b[?1049l")
                assert process.wait(timeout=180) == 0
            finally:
                process.kill()
        assert b"\x1b[?1049h" in seen  # drawn on the alternate screen, which was left: what was there before is back
        assert b"Traceback" not in seen
        assert termios.tcgetattr(sub) == before
        os.close(main)
        os.close(sub)


def _read_until(fd: int, wanted: bytes, timeout_s: float = 180) -> bytes:
    """Read from a terminal until it has shown `wanted`."""
    seen = b""
    until = time.monotonic() + timeout_s
    while wanted not in seen:
        left = until - time.monotonic()
        assert left > 0, f"{wanted!r} not seen in {seen[-300:]!r}"
        if select.select([fd], [], [], left)[0]:
            seen += os.read(fd, 65536)
    return seen
