"""How the demo's life looks in ego-mcp's own log: two lines a call and what other loggers say between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from egoscope.demo import words
from egoscope.demo.asking import Asking
from egoscope.demo.lines import (
    ERROR,
    OK,
    PROCESS_START,
    REQUEST,
    SERVER,
    STARTED,
    Call,
    LineKind,
    Stamps,
    date_of,
    quoted,
)
from egoscope.demo.telling import Telling
from egoscope.demo.texts import Texts
from egoscope.demo.tracebacks import Tracebacks

if TYPE_CHECKING:
    from random import Random

    from egoscope.demo.canaries import Canaries
    from egoscope.demo.lines import Entry
    from egoscope.demo.mood import Feeling
    from egoscope.demo.settings import DemoSettings

_HOUR_US: Final = 3_600_000_000
_MIGRATION: Final = LineKind("INFO", "ego_mcp.migrations")
_MIGRATIONS: Final = ("0002_desire_rebalance", "0005_desire_state_split", "0009_notion_meta_fields")
_REJECTED: Final = LineKind("WARNING", SERVER)
_TERMINATED: Final = LineKind("ERROR", "ego_mcp.__main__")
_UNHANDLED: Final = LineKind("ERROR", "ego_mcp.unhandled")
_THREAD_ERRORS: Final = 0.0008
_XML_ARGUMENTS: Final = 0.003


class RealFormat:
    """Writes calls as ego-mcp 1.2 does."""

    def __init__(self, rng: Random, planted: Canaries, settings: DemoSettings) -> None:
        self._random = rng.random
        self._stamp = Stamps().stamp
        texts = Texts(rng, planted)
        self._asking = Asking(rng, planted, texts, settings)
        self._telling = Telling(rng, planted, texts)
        self._tracebacks = Tracebacks(rng, planted)
        self._user = planted.user
        self._feeling = ""
        self._felt_phase = ""
        self._requests = f'"level": "INFO", "logger": "{REQUEST.logger}", "message": "Processing request of type '

    def process_start(self, us: int, *, first: bool) -> list[Entry]:
        """Return the start, the migrations of a first start, and the client asking for the tools."""
        path = f"/home/{self._user}/.ego-mcp/logs/ego-mcp-{date_of(us)}.log"
        entries = [self._message(us, PROCESS_START, '"Logging initialized"', f', "log_path": {quoted(path)}')]
        if first:
            for name in _MIGRATIONS:
                us += 400
                applying = quoted(f"Applying migration: {name} (target: 1.2.0)")
                entries.append(self._message(us, _MIGRATION, applying))
            applied = quoted(f"Applied {len(_MIGRATIONS)} migration(s): {list(_MIGRATIONS)}")
            entries.append(self._message(us + 300, _MIGRATION, applied))
        us += 90_000
        entries.append(self._message(us, REQUEST, '"Processing request of type ListToolsRequest"'))
        return entries

    def crash(self, us: int) -> list[Entry]:
        """Return what the process and its exception hook say on the way down."""
        exception = f", {self._tracebacks.crash()}"
        gone = '"ego-mcp server terminated with an unhandled exception"'
        return [
            self._message(us, _TERMINATED, gone, exception),
            self._message(us + 350, _UNHANDLED, '"Unhandled exception"', exception),
        ]

    def call(self, call: Call) -> list[Entry]:
        """Return request, invocation, what is said on the way, and the end if there is one."""
        tool, us, end = call.tool, call.us, call.us + call.latency_us
        stamp = self._stamp
        request = f'{{"timestamp": "{stamp(us)}", {self._requests}CallToolRequest"}}'
        entries: list[Entry] = [(us, request, REQUEST)]
        if call.outcome == "refused":
            return entries  # the arguments do not fit the schema, so the tool is never invoked
        rand = self._random
        asked = self._asking.ask(tool, us)
        us += 300 + int(1500 * rand())
        phase = words.PHASES[us // _HOUR_US % 24]
        about = f'"tool_name": "{tool}", "tool_args": {asked.args}, "time_phase": "{phase}"'
        invocation = (
            f'{{"timestamp": "{stamp(us)}", "level": "INFO", "logger": "ego_mcp.server",'
            f' "message": "Tool invocation", {about}}}'
        )
        entries.append((us, invocation, STARTED[tool]))
        end = max(end, us + 400)
        if call.outcome == "ok":
            chance = rand()
            told = self._telling.tell(tool, asked, end)
            if told.aside is not None:
                entries.append(self._message(us + (end - us) // 2, *told.aside))
            if chance < _XML_ARGUMENTS:
                rejected = '"Rejected tool call with XML-formatted parameters"'
                entries.append(self._message(end - 200, _REJECTED, rejected, f", {about}"))
            elif chance < _XML_ARGUMENTS + _THREAD_ERRORS:
                exception = f", {self._tracebacks.member(tool, asked.subject)}"
                entries.append(self._message(end - 250, _UNHANDLED, '"Unhandled thread exception"', exception))
            if asked.feeling is not None:
                self._felt_phase = phase
                self._feeling = _emotion(asked.feeling)
            completed = (
                f'{{"timestamp": "{stamp(end)}", "level": "INFO", "logger": "ego_mcp.server",'
                f' "message": "Tool execution completed", "tool_name": "{tool}", {told.output},'
                f' "time_phase": "{self._felt_phase or phase}"{told.before}{self._feeling}{told.after}}}'
            )
            entries.append((end, completed, OK[tool]))
        elif call.outcome == "error":
            failed = (
                f'{{"timestamp": "{stamp(end)}", "level": "ERROR", "logger": "ego_mcp.server",'
                f' "message": "Tool execution failed", {about}, {self._tracebacks.member(tool, asked.subject)}}}'
            )
            entries.append((end, failed, ERROR[tool]))
        return entries

    def _message(self, us: int, kind: LineKind, message: str, more: str = "") -> Entry:
        text = (
            f'{{"timestamp": "{self._stamp(us)}", "level": "{kind.level}", "logger": "{kind.logger}",'
            f' "message": {message}{more}}}'
        )
        return us, text, kind


def _emotion(feeling: Feeling) -> str:
    return (
        f', "emotion_primary": "{feeling.name}", "emotion_intensity": {feeling.intensity},'
        f' "valence": {feeling.valence}, "arousal": {feeling.arousal}'
    )
