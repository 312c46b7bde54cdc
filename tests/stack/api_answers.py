"""What the answers to docs/api.md's requests must hold, section by section."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.pages import DOCS
from tests.stack.processes import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stack.filled import Filled

PAGE: Final = DOCS / "api.md"
TAIL: Final = "Live tail"
TOKEN: Final = "A token"
SHELL: Final = ("bash", "-euo", "pipefail", "-c")
SLOW_S: Final = 0.2
TRIAL: Final = "Trial"

Answers = list[Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """Servers that hold some hours of demo, and where a reader would ask them."""

    there: Filled
    addresses: dict[str, str]
    absent: dict[str, str]
    """Why a server is not among the addresses."""

    @property
    def directory(self) -> Path:
        """Where the reader types, with what the page expects there."""
        return self.there.directory

    @property
    def environment(self) -> dict[str, str]:
        """What a reader's shell has after the page's first block: these addresses, and this Python first."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.directory), **self.addresses}

    def run(self, script: str) -> str:
        """Run what the page says and return what it prints; AssertionError where it fails."""
        done = subprocess.run(
            [*SHELL, script],
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def answers_in(text: str) -> Answers:
    """Return the JSON values that stand one behind the other."""
    decoder = json.JSONDecoder()
    found: Answers = []
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def vector(answer: Any) -> list[tuple[dict[str, str], float]]:
    """Return labels and value of each element of Prometheus' answer; it must have some."""
    assert answer["status"] == "success"
    assert answer["data"]["resultType"] == "vector"
    result = answer["data"]["result"]
    assert result
    return [(one["metric"], float(one["value"][1])) for one in result]


def matrix(answer: Any) -> list[tuple[dict[str, str], list[float]]]:
    """Return labels and values of each series of Prometheus' answer; it must have some."""
    assert answer["data"]["resultType"] == "matrix"
    result = answer["data"]["result"]
    assert result
    return [(one["metric"], [float(value) for _, value in one["values"]]) for one in result]


def lines(answer: Any) -> list[tuple[dict[str, str], str]]:
    """Return labels and text of each entry of Loki's answer; it must have some."""
    assert answer["status"] == "success"
    found = [(one["stream"], line) for one in answer["data"]["result"] for _, line in one["values"]]
    assert found
    assert all(stream["service_name"] == "ego-mcp" for stream, _ in found)
    return found


def calls_by_tool(answers: Answers, asked: Asked) -> None:
    (answer,) = answers
    assert all(count.is_integer() for _, count in vector(answer))
    counted = Counter({(one["tool"], one["outcome"]): int(count) for one, count in vector(answer)})
    ended = Counter({call: count for call, count in counted.items() if call[1] != "unfinished"})
    written = asked.there.truth().calls()
    assert ended == written, f"too few: {written - ended}, too many: {ended - written}"


def failures_and_duration(answers: Answers, asked: Asked) -> None:
    ((_, share),), ((_, p95),) = map(vector, answers)
    # The hour of the log has no failure at all now and then; it has moved on a little since the request was made.
    calls = asked.there.truth().calls(time.time() - 3600)
    failed = sum(count for (_, outcome), count in calls.items() if outcome != "ok")
    assert abs(share - failed / calls.total()) < 0.03
    assert 0 < p95 < 300


def history(answers: Answers, asked: Asked) -> None:
    desires, calls = map(matrix, answers)
    assert {"desire"} == {key for labels, _ in desires for key in labels}
    assert max(len(values) for _, values in desires) > 60
    ended = asked.there.truth().calls().total()
    assert sum(sum(values) for _, values in calls) > ended / 2


def metrics(answers: Answers, asked: Asked) -> None:
    """All that are told while nothing is wrong; the page's table names each."""
    (answer,) = answers
    told = {"ego_calls_total", "ego_desire_ratio", "egoscope_files"}
    assert told <= set(answer["data"]), f"not there: {told - set(answer['data'])}"
    page = PAGE.read_text()
    others = ("_sum", "_count", "target_info", "ALERTS", "ALERTS_FOR_STATE")  # a histogram's, Prometheus' own
    ours = {name for name in answer["data"] if ":" not in name and not name.endswith(others)}
    unknown = {name for name in ours if f"| `{name}` |" not in page}
    assert not unknown, f"not in the page's table: {unknown}"


def emotion(answers: Answers, asked: Asked) -> None:
    (answer,) = answers
    current = {one["parameter"]: one["value"] for one, _ in vector(answer)}
    assert {"emotion_primary", "time_phase"} <= set(current)


def feelings(answers: Answers, asked: Asked) -> None:
    (answer,) = answers
    assert len(vector(answer)) == 3
    assert all(-1 <= value <= 1 for _, value in vector(answer))


def desires(answers: Answers, asked: Asked) -> None:
    (answer,) = answers
    assert len(vector(answer)) > 3
    assert all(0 <= value <= 1 for _, value in vector(answer))


def open_calls(answers: Answers, asked: Asked) -> None:
    ((_, calls),), ((_, silent_s),) = map(vector, answers)
    assert calls >= 0
    newest_s = max(at for at, _ in asked.there.truth().lines)
    assert -1 < silent_s < time.time() - newest_s + 60  # and no older one is taken for the newest


def newest_lines(answers: Answers, asked: Asked) -> None:
    (answer,) = answers
    assert 0 < len(lines(answer)) <= 20
    assert all({"detected_level", "ego_logger", "log_file_record_offset"} <= set(stream) for stream, _ in lines(answer))


def filtered_lines(answers: Answers, asked: Asked) -> None:
    by_level, by_logger, by_tool, by_text = map(lines, answers)
    assert {stream["detected_level"] for stream, _ in by_level} == {"error"}
    assert {stream["ego_logger"] for stream, _ in by_logger} == {"ego_mcp.server"}
    assert {(one["gen_ai_tool_name"], one["ego_outcome"]) for one, _ in by_tool} == {("recall", "error")}
    assert all("completed" in line for _, line in by_text)


def trace(answers: Answers, asked: Asked) -> None:
    (answer,) = answers
    spans = [
        span
        for resource in answer["trace"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert [span["name"].startswith("tools/call ") for span in spans] == [True]


def search(answers: Answers, asked: Asked) -> None:
    slow, failed, curious = (answer["traces"] for answer in answers)
    assert slow
    assert all(one["durationMs"] >= SLOW_S * 1000 for one in slow)
    assert failed
    assert {one["rootTraceName"] for one in curious} == {"tools/call recall"}


def rules(answers: Answers, asked: Asked) -> None:
    alerts, known = answers
    assert isinstance(alerts["data"]["alerts"], list)
    names = {rule["name"] for group in known["data"]["groups"] for rule in group["rules"]}
    assert "SecondLayerRemoval" in names


def known_alerts(answers: Answers, asked: Asked) -> None:
    alerts, silences = answers
    assert TRIAL in {alert["labels"]["alertname"] for alert in alerts}
    assert isinstance(silences, list)


def silence(answers: Answers, asked: Asked) -> None:
    """It is there, and ends with the page's other request."""
    (answer,) = answers
    (request,) = re.findall(r"`(curl [^`]+/silence/ID\")`", PAGE.read_text())
    listing = 'curl -s "$ALERTMANAGER/api/v2/silences"'
    states = {one["id"]: one["status"]["state"] for one in answers_in(asked.run(listing))[0]}
    assert states[answer["silenceID"]] == "active"
    asked.run(request.replace("ID", answer["silenceID"]))
    states = {one["id"]: one["status"]["state"] for one in answers_in(asked.run(listing))[0]}
    assert states[answer["silenceID"]] == "expired"


def token(answers: Answers, asked: Asked) -> None:
    """Nothing is shown, and the file is closed to others."""
    assert answers == []
    file = asked.directory / "secrets" / "grafana-api-header"
    assert file.read_text().startswith("Authorization: Bearer gl")
    assert file.stat().st_mode & 0o077 == 0


def through_grafana(answers: Answers, asked: Asked) -> None:
    calls, log, found, alerts = answers
    assert vector(calls)
    assert lines(log)
    assert found["traces"]
    assert TRIAL in {alert["labels"]["alertname"] for alert in alerts}


def shown(answers: Answers, asked: Asked) -> None:
    found, now = answers
    assert "egoscope-now" in {one["uid"] for one in found}
    assert now["dashboard"]["panels"]


CHECKS: Final[dict[str, Callable[[Answers, Asked], None]]] = {
    "Calls by tool": calls_by_tool,
    "Share of failures, duration": failures_and_duration,
    "History of a metric": history,
    "Every metric": metrics,
    "Emotion and time of day": emotion,
    "Intensity, valence, arousal": feelings,
    "Desires": desires,
    "Open calls, time since the last event": open_calls,
    "Newest lines": newest_lines,
    "By level, logger, tool, text": filtered_lines,
    "A trace by its id": trace,
    "Search": search,
    "What fires, and by which rule": rules,
    "What Alertmanager knows": known_alerts,
    "Silence an alert for two hours": silence,
    TOKEN: token,
    "Ask a server": through_grafana,
    "Dashboards": shown,
}
