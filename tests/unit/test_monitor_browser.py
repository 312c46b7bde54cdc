"""Keys lead from screen to screen, refresh, pause and filter; a slow or a missing back end keeps nobody waiting."""

from __future__ import annotations

import io
import itertools
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_query import NOW, TRACE_ID, FakeQuery, agent, koubou_query, line
from rich.console import Console
from rich.live import Live

from egoscope.cli import monitor_agents
from egoscope.cli.monitor_agents import Browser
from egoscope.cli.monitor_keys import keys_typed
from egoscope.cli.screens.agent import AgentScreen
from egoscope.cli.screens.cost import CostScreen
from egoscope.cli.screens.flow import FlowScreen
from egoscope.cli.screens.overview import OverviewScreen
from egoscope.cli.screens.screen import Target
from egoscope.cli.screens.trace import TraceScreen
from egoscope.cli.screens.workers import WorkersScreen
from egoscope.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from egoscope.cli.screens.screen import Screen


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        pytest.param("q", ["q"], id="a character"),
        pytest.param("jj/ü", ["j", "j", "/", "ü"], id="several at once, none is lost"),
        pytest.param("\x1b[A\x1b[B\x1bOC", ["up", "down", "right"], id="arrows of both modes"),
        pytest.param("\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~", ["page up", "page down", "home", "end", "home"], id="far"),
        pytest.param("\r\n\t\x7f\x1b[Z", ["enter", "enter", "tab", "backspace", "back tab"], id="controls"),
        pytest.param("\x1b", ["escape"], id="escape alone"),
        pytest.param("\x1b[15~x\x1b[1;5Cy", ["x", "y"], id="unknown sequences are left out"),
        pytest.param("\x01\x02a", ["a"], id="unknown controls are left out"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_keys_have_names(typed: str, keys: list[str]) -> None:
    assert keys_typed(typed) == keys


class Typist:
    """Types one key after another, each when what was asked has been answered; then q."""

    def __init__(self, browser: Browser, keys: str | list[str], look: Callable[[], None] | None = None) -> None:
        self._browser = browser
        self._keys = itertools.chain(keys, ["q"])
        self._look = look

    def wait(self, timeout_s: float) -> str:
        if self._browser.is_waiting:
            threading.Event().wait(0.001)
            return ""
        if self._look is not None:
            self._look()
        return next(self._keys)


@dataclass(frozen=True)
class Played:
    """What came of some keys."""

    browser: Browser
    left: str | None
    """What one left for."""
    shown: str
    """All that was written to the terminal."""

    @property
    def screen(self) -> Screen:
        return self.browser.screen


def played(
    keys: str | list[str],
    query: FakeQuery | None = None,
    first: Target | None = None,
    *,
    look: Callable[[], None] | None = None,
    has_life: bool = False,
    budget_usd: float | None = None,
    chart: bool = False,
) -> Played:
    """Type these keys, and a q; `look` is called before each."""
    output = io.StringIO()
    console = Console(width=80, height=24, file=output, force_terminal=True, color_system=None)
    browser = Browser(
        query or FakeQuery(),
        first or Target(kind="agents"),
        console,
        clock=lambda: NOW,
        refresh_s=0.0,
        has_life=has_life,
        budget_usd=budget_usd,
        chart=chart,
    )
    with Live(console=console, auto_refresh=False, screen=True) as live:
        left = browser.run(Typist(browser, keys, look), live)
    browser.close()
    return Played(browser, left, output.getvalue())


class TestKeys:
    """From screen to screen."""

    @pytest.mark.parametrize(
        ("keys", "screen"),
        [
            pytest.param("", OverviewScreen, id="begins with the overview"),
            pytest.param(["enter"], AgentScreen, id="enter opens an agent"),
            pytest.param(["/", *"chat", "enter", "enter"], FlowScreen, id="enter opens a flow"),
            pytest.param(["enter", "enter"], TraceScreen, id="a slow request opens its trace"),
            pytest.param(["tab", "enter"], TraceScreen, id="a log line opens its trace"),
            pytest.param(["enter", "enter", "escape"], AgentScreen, id="escape leads back"),
            pytest.param(["enter", "enter", "a"], OverviewScreen, id="a leads to all agents"),
            pytest.param("c", CostScreen, id="c leads to costs"),
            pytest.param("t", WorkersScreen, id="t leads to tasks and workers"),
            pytest.param("b", CostScreen, id="b leads to costs, with the budget drawn"),
            pytest.param("tt", WorkersScreen, id="and once there is there"),
            pytest.param(["t", "escape"], OverviewScreen, id="escape leads back from there"),
            pytest.param(["c", "tab", "enter"], AgentScreen, id="a cost's agent opens"),
            pytest.param(["escape", "escape"], OverviewScreen, id="there is nothing above the overview"),
            pytest.param(["/", *"qcp", "escape"], OverviewScreen, id="typed into the filter, keys are letters"),
            pytest.param(["?", "c"], OverviewScreen, id="any key closes the list of keys, and does no more"),
        ],
    )
    def test_lead_to_screens(self, keys: list[str], screen: type) -> None:
        assert type(played(keys).screen) is screen

    @pytest.mark.parametrize(
        ("key", "screen"), [("a", OverviewScreen), ("t", WorkersScreen), ("c", CostScreen), ("b", CostScreen)]
    )
    def test_a_key_of_ego_mcps_life_leads_where_it_says_whatever_was_left_before(self, key: str, screen: type) -> None:
        """And from there back to the overview."""
        browser = played(["enter", "enter", "e"], has_life=True).browser
        browser.lead(key)
        assert type(browser.screen) is screen
        browser.obey("escape")
        assert type(browser.screen) is OverviewScreen

    def test_b_draws_the_budget_from_wherever_and_says_where_none_is_set(self) -> None:
        query = FakeQuery()
        assert "this month, added up" in played("b", query, budget_usd=100.0).shown
        assert "this month, added up" in played("b", query, budget_usd=100.0, chart=True).shown
        assert "no budget is set: EGOSCOPE_BUDGET_USD" in played("b", query).shown

    def test_what_began_with_an_agent_has_the_overview_above_it(self) -> None:
        browser = played(["escape"], first=Target(kind="agent", name="support_agent"))
        assert type(browser.screen) is OverviewScreen

    def test_a_line_without_a_trace_says_so(self) -> None:
        browser = played(["tab", "enter"], FakeQuery(lines=[line(trace_id=None)]))
        assert type(browser.screen) is OverviewScreen
        assert "this line belongs to no trace" in browser.shown

    @pytest.mark.parametrize(("key", "left"), [("e", "life"), ("escape", "life"), ("x", None)])
    def test_e_leads_to_ego_mcps_life_where_there_is_one(self, key: str, left: str | None) -> None:
        assert played([key], has_life=True).left == left
        assert played([key]).left is None

    def test_escape_takes_the_filter_away_before_it_leaves(self) -> None:
        browser = played(["/", *"sup", "enter", "escape"], has_life=True)
        assert browser.screen.looking.wanted == ""
        assert browser.left is None

    def test_w_asks_for_another_window(self) -> None:
        query = FakeQuery()
        browser = played("w", query)
        assert browser.screen.looking.window.name == "7 d"
        assert "runs 7 d" in browser.shown


class TestAsking:
    """When is asked, and what happens when there is no answer."""

    def test_paused_nothing_is_asked_until_r(self) -> None:
        query = FakeQuery()
        asked: list[int] = []
        played(["p", "x", "x", "x", "r", "x"], query, look=lambda: asked.append(query.asked.count("running")))
        first, *paused, after = asked[1:]
        assert set(paused[:-1]) == {first}
        assert after == first + 1

    def test_a_trace_that_is_there_is_asked_for_once(self) -> None:
        query = FakeQuery()
        played("xxxx", query, Target(kind="trace", name=TRACE_ID))
        assert query.asked.count("get_trace") == 1

    @pytest.mark.parametrize(
        ("kind", "question", "least", "most"), [("workers", "get_workers", 10, 21), ("agents", "running", 3, 6)]
    )
    def test_workers_are_asked_for_more_often_than_agents(
        self, monkeypatch: pytest.MonkeyPatch, kind: Any, question: str, least: int, most: int
    ) -> None:
        """In ten seconds, while no key is typed: what workers do is to be seen within two seconds on its whole way."""
        query, now_s = koubou_query(), [1000.0]
        monkeypatch.setattr(monitor_agents, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
        console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
        browser = Browser(query, Target(kind=kind), console, clock=lambda: NOW)

        class Nobody:
            def wait(self, timeout_s: float) -> str:
                if browser.is_waiting:
                    threading.Event().wait(0.001)
                    return ""
                now_s[0] += timeout_s
                return "q" if now_s[0] > 1010 else ""

        with Live(console=console, auto_refresh=False, screen=True) as live:
            browser.run(Nobody(), live)
        browser.close()
        assert least <= query.asked.count(question) <= most

    def test_an_error_is_said_and_what_was_known_stays(self) -> None:
        query = FakeQuery()

        def fail() -> None:
            query.error = QueryError("Loki does not answer") if "running" in query.asked else None

        shown = played("xxrx", query, look=fail).shown
        assert "Loki does not answer" in shown
        assert "support_agent" in shown[shown.index("Loki does not answer") - 2000 :]

    def test_a_mistake_in_the_program_is_not_hidden(self) -> None:
        with pytest.raises(ZeroDivisionError):
            played("x", FakeQuery(error=ZeroDivisionError()))

    def test_keys_work_while_a_server_is_slow(self) -> None:
        """A question that is never answered keeps neither keys nor quitting waiting."""
        stop = threading.Event()

        class Slow(FakeQuery):
            def flows(self, since: Any = None, until: Any = None) -> Any:
                stop.wait(30)
                return []

        console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
        browser = Browser(Slow(), Target(kind="agents"), console, clock=lambda: NOW, refresh_s=0.0)
        keys = iter(["/", "x", "escape", "q"])

        class Hasty:
            def wait(self, timeout_s: float) -> str:
                return next(keys)

        began = time.monotonic()
        with Live(console=console, auto_refresh=False, screen=True) as live:
            browser.run(Hasty(), live)
        browser.close()
        assert time.monotonic() - began < 10
        stop.set()

    def test_the_query_is_closed_when_one_leaves(self) -> None:
        query = FakeQuery()
        played("", query)
        assert query.closed


@pytest.fixture
def terminal() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Yield a terminal of 80 by 24 in which a browser over a fake query runs."""
    code = """
import sys
sys.path[:0] = sys.argv[1:3]
from fake_query import FakeQuery
from rich.console import Console
from egoscope.cli.monitor import watch
from egoscope.cli.monitor_agents import Browser
from egoscope.cli.screens.screen import Target
console = Console()
browser = Browser(FakeQuery(), Target(kind="agents"), console)
watch(console, {"agents": browser}, "agents")
browser.close()
"""
    folder = Path(__file__).parent
    main, sub = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-c", code, str(folder), str(folder.parents[1])]
    with subprocess.Popen(command, stdin=sub, stdout=sub, stderr=sub, env=environment) as process:
        yield main, process
        process.kill()
    os.close(main)
    os.close(sub)


def test_a_real_terminal_is_browsed_with_arrows_and_given_back(
    terminal: tuple[int, subprocess.Popen[bytes]],
) -> None:
    main, process = terminal
    before = termios.tcgetattr(main)
    seen = read_until(main, b"research_agent")
    os.write(main, b"\x1b[B\x1b[B\r")  # down, down, enter: the third row is the flow
    seen += read_until(main, b"nodes")
    os.write(main, b"\x1b")
    seen += read_until(main, b"by runs")
    os.write(main, b"c")
    seen += read_until(main, b"cost by day")
    os.write(main, b"q")
    seen += read_until(main, b"\x1b[?1049l")
    assert process.wait(timeout=180) == 0
    assert b"Traceback" not in seen
    assert termios.tcgetattr(main) == before


def read_until(fd: int, wanted: bytes, timeout_s: float = 180) -> bytes:
    """Read from a terminal until it has shown `wanted`."""
    seen = b""
    until = time.monotonic() + timeout_s
    while wanted not in seen:
        left = until - time.monotonic()
        assert left > 0, f"{wanted!r} not seen in {seen[-300:]!r}"
        if select.select([fd], [], [], left)[0]:
            seen += os.read(fd, 65536)
    return seen


def test_the_first_agent_is_the_busiest() -> None:
    query = FakeQuery(all_agents=[agent("calm", executions=1), agent("busy", executions=9)], all_flows=[])
    browser = played(["enter"], query)
    assert isinstance(browser.screen, AgentScreen)
    assert browser.screen.name == "busy"
