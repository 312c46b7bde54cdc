"""Every request of docs/api.md, run as it stands on the page, answers with what the demo did."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.pages import DOCS, ROOT, blocks
from tests.stack.alertmanager import Alertmanager
from tests.stack.conftest import missing
from tests.stack.filled import Filled, filled
from tests.stack.grafana import PASSWORD, Grafana
from tests.stack.processes import PROCESSES, free_ports
from tests.stack.servers import MissingServerError, wait_for
from tests.stack.sidecar import append, call, now_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stack.processes import Server, Way

PAGE: Final = DOCS / "api.md"
ADDRESSES: Final = "Addresses"
TAIL: Final = "Live tail"
SHELL: Final = ("bash", "-euo", "pipefail", "-c")
ANSWER_S: Final = 60.0
SLOW_S: Final = 0.2
MAY_BE_MISSING: Final = ("TEMPO", "ALERTMANAGER", "GRAFANA")
TOKEN: Final = "A token"
TRIAL: Final = "Trial"
LOKI_LIMIT: Final = (
    """"$LOKI/loki/api/v1/query_range" -d limit={} --data-urlencode 'query={{service_name="ego-mcp"}}'"""
)

Answers = list[Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """Servers that hold some hours of demo, and where a reader would ask them."""

    there: Filled
    addresses: dict[str, str]

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
            timeout=ANSWER_S,
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


def sections() -> dict[str, str]:
    """Return the commands of each section that has some, as one script."""
    scripts: dict[str, str] = {}
    for block in blocks(PAGE):
        if block.language == "sh" and block.section != ADDRESSES:
            scripts[block.section] = scripts.get(block.section, "") + block.code
    return scripts


@pytest.fixture(scope="module")
def asked(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Seven hours of demo up to now, read and sent; Grafana, Alertmanager and Tempo where they are to be had."""
    directory = tmp_path_factory.mktemp("api")
    with contextlib.ExitStack() as until_the_end:
        try:
            there = until_the_end.enter_context(filled(directory, way, days=7 / 24))
        except MissingServerError as error:
            missing(str(error))
        asked = Asked(there, {"PROMETHEUS": there.prometheus.url, "LOKI": there.loki.url})
        if there.tempo:
            asked.addresses["TEMPO"] = there.tempo.url

        def start(server: Server) -> None:
            until_the_end.callback(server.stop)
            server.start()

        alerting, showing = free_ports(2)
        with contextlib.suppress(MissingServerError):
            alertmanager = Alertmanager(directory, alerting, {}, directory / "none", way=way)
            start(alertmanager)
            alertmanager.post({"alertname": TRIAL, "severity": "warning"})
            asked.addresses["ALERTMANAGER"] = alertmanager.url
        with contextlib.suppress(MissingServerError):
            urls = {**there.urls, "EGOSCOPE_ALERTMANAGER_URL": f"http://127.0.0.1:{alerting}"}
            grafana = Grafana(directory, showing, urls)
            start(grafana)
            asked.addresses["GRAFANA"] = grafana.url
            (directory / "secrets").mkdir(mode=0o700)
            (directory / "secrets" / "grafana-admin-password").write_text(PASSWORD)
        yield asked


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
    counted = Counter({(one["tool"], one["outcome"]): int(count) for one, count in vector(answer)})
    ended = Counter({call: count for call, count in counted.items() if call[1] != "unfinished"})
    assert ended == asked.there.truth().calls()


def failures_and_duration(answers: Answers, asked: Asked) -> None:
    ((_, share),), ((_, p95),) = map(vector, answers)
    assert 0 < share < 0.5
    assert 0 < p95 < 300


def history(answers: Answers, asked: Asked) -> None:
    desires, calls = map(matrix, answers)
    assert {"desire"} == {key for labels, _ in desires for key in labels}
    assert max(len(values) for _, values in desires) > 60
    ended = asked.there.truth().calls().total()
    assert sum(sum(values) for _, values in calls) > ended / 2


def metadata(answers: Answers, asked: Asked) -> None:
    known, names = answers
    assert "ego_calls_total" in names["data"]
    assert known["data"]["ego_calls_total"][0]["help"]


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
    assert -1 < silent_s < 600


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


def test_every_section_with_requests_is_checked() -> None:
    """A request that is added to the page needs a check of its answer here."""
    assert set(sections()) == {*CHECKS, TAIL}


def test_the_page_names_the_ports_that_are_published() -> None:
    """What docker-compose.api.yml and docker-compose.yml publish when nothing else is set."""
    published: dict[str, str] = {}
    for file in ("docker-compose.yml", "docker-compose.api.yml"):
        for name, service in yaml.safe_load((ROOT / file).read_text())["services"].items():
            for port in service.get("ports", []):
                published[name.upper()] = f"http://127.0.0.1:{port.split(':-')[1].split('}')[0]}"
    (block,) = [block for block in blocks(PAGE) if block.section == ADDRESSES]
    told = dict(line.removeprefix("export ").split("=") for line in block.code.splitlines())
    assert told == published


@pytest.mark.parametrize("section", [name for name in sections() if name != TAIL])
def test_a_request_of_the_page_answers_with_data_of_the_demo(section: str, asked: Asked) -> None:
    script = sections()[section]
    for name in MAY_BE_MISSING:
        if f"${name}" in script and name not in asked.addresses:
            missing_server(name)
    if "secrets/grafana-api-header" in script and section != TOKEN:
        asked.run(sections()[TOKEN].replace('"api"', '"another"'))

    def answered() -> bool:
        CHECKS[section](answers_in(asked.run(script)), asked)
        return True

    if "/api/search" not in script or section == "Dashboards":
        assert answered()
        return

    def found() -> bool:
        with contextlib.suppress(AssertionError):
            return answered()
        return False

    wait_for(found, within_s=30, what="a trace is found by a search some seconds after it came")


def missing_server(name: str) -> None:
    """Skip, for these are in no registry; the reason is told."""
    try:
        PROCESSES.program(name.lower())
    except MissingServerError as error:
        pytest.skip(str(error))


def test_the_live_tail_of_the_page_shows_a_line_as_it_comes(asked: Asked) -> None:
    """First the last lines, then each new one, without asking again."""
    with subprocess.Popen(
        [*SHELL, sections()[TAIL]], env=asked.environment, cwd=asked.directory, stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        try:
            first = tail.stdout.readline()
            assert first.strip()
            append(
                asked.there.log, now_line("Tool invocation", tool_name="introspect", tool_args={}), *call("introspect")
            )
            before = time.monotonic()
            for line in tail.stdout:
                if "introspect" in line:
                    break
            assert time.monotonic() - before < 10
        finally:
            tail.terminate()


def test_the_trial_alert_of_the_page_is_known_to_alertmanager(asked: Asked) -> None:
    """As amtool sends it from within the container."""
    if "ALERTMANAGER" not in asked.addresses:
        missing_server("ALERTMANAGER")
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed")
    (block,) = [block for block in blocks(DOCS / "configuration.md") if block.section == "A trial alert"]
    command = block.code.removeprefix("docker compose exec alertmanager ")
    asked.run(command.replace("http://127.0.0.1:9093", asked.addresses["ALERTMANAGER"]).replace(TRIAL, "Second"))
    (alerts,) = answers_in(asked.run('curl -s "$ALERTMANAGER/api/v2/alerts"'))
    assert "Second" in {alert["labels"]["alertname"] for alert in alerts}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param('"$PROMETHEUS/api/v1/query_range?query=up&start=0&end=11000&step=1"', 200, id="11,000 points"),
        pytest.param('"$PROMETHEUS/api/v1/query_range?query=up&start=0&end=11001&step=1"', 400, id="one point more"),
        pytest.param(LOKI_LIMIT.format(5000), 200, id="5,000 entries"),
        pytest.param(LOKI_LIMIT.format(5001), 400, id="one entry more"),
    ],
)
def test_the_limits_that_the_page_names_are_the_servers_own(request_: str, status: int, asked: Asked) -> None:
    assert asked.run(f"curl -sG -o answer -w '%{{http_code}}' {request_}") == str(status)
