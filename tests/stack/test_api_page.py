"""Every request of docs/api.md, run as it stands on the page, answers with what the demo did."""

from __future__ import annotations

import base64
import contextlib
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from tests.pages import DOCS, ROOT, blocks
from tests.stack.alertmanager import Alertmanager
from tests.stack.api_answers import CHECKS, PAGE, SHELL, TAIL, TOKEN, TRIAL, Asked, answers_in
from tests.stack.conftest import missing
from tests.stack.filled import filled
from tests.stack.grafana import ADMIN, PASSWORD, Grafana
from tests.stack.processes import free_ports
from tests.stack.servers import MissingServerError, wait_for
from tests.stack.sidecar import append, call, now_line
from tools import stack as programs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.stack.filled import Filled
    from tests.stack.processes import Server, Way

ADDRESSES: Final = "Addresses"
TAIL_S: Final = 30.0
ASKS_ALL: Final = "Ask a server"
LATER: Final = {
    "Every metric": "the sidecar tells of itself every 15 s",
    "Search": "a trace is found by a search some seconds after it came",
    ASKS_ALL: "a trace is found by a search some seconds after it came",
}
LOKI_LIMIT: Final = (
    """"$LOKI/loki/api/v1/query_range" -d limit={} --data-urlencode 'query={{service_name="ego-mcp"}}'"""
)


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
        asked = Asked(there, {"PROMETHEUS": there.prometheus.url, "LOKI": there.loki.url}, {})
        if there.tempo:
            asked.addresses["TEMPO"] = there.tempo.url
        else:
            asked.absent["TEMPO"] = f"tempo is missing: {programs.why_missing(programs.SERVERS['tempo'])}"

        def start(server: Server) -> None:
            until_the_end.callback(server.stop)
            server.start()

        alerting, showing = free_ports(2)
        try:
            alertmanager = Alertmanager(directory, alerting, {}, directory / "none", way=way)
            start(alertmanager)
            alertmanager.post({"alertname": TRIAL, "severity": "warning"})
            asked.addresses["ALERTMANAGER"] = alertmanager.url
        except MissingServerError as error:
            asked.absent["ALERTMANAGER"] = str(error)
        try:
            urls = {**there.urls, "EGOSCOPE_ALERTMANAGER_URL": f"http://127.0.0.1:{alerting}"}
            grafana = Grafana(directory, showing, urls)
            start(grafana)
            asked.addresses["GRAFANA"] = grafana.url
            (directory / "secrets").mkdir(mode=0o700)
            (directory / "secrets" / "grafana-admin-password").write_text(PASSWORD)
        except MissingServerError as error:
            asked.absent["GRAFANA"] = str(error)
        recall_curiously_and_in_vain(there)
        yield asked


def recall_curiously_and_in_vain(there: Filled) -> None:
    """Let what the page looks for by name have happened: in six hours of a demo there may be none of it."""
    begun = now_line(ahead_s=-2.0, tool_name="recall", tool_args={})
    felt = {"emotion_primary": "curious", "emotion_intensity": 0.6, "valence": 0.4, "arousal": 0.6}
    ended = now_line("Tool execution completed", ahead_s=-1.0, tool_name="recall", time_phase="morning", **felt)
    failed = now_line("Tool execution failed", level="ERROR", tool_name="recall", exception="ValueError: 1")
    append(there.log, begun, ended, now_line(ahead_s=-0.5, tool_name="recall", tool_args={}), failed)
    there.sidecar.wait_until_drained()


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
    needed = [name for name in asked.absent if f"${name}" in script]
    skip_without(needed if section != ASKS_ALL else asked.absent, asked)
    header = asked.directory / "secrets" / "grafana-api-header"
    if f"secrets/{header.name}" in script and section != TOKEN and not header.exists():
        asked.run(sections()[TOKEN])

    def answered() -> None:
        CHECKS[section](answers_in(asked.run(script)), asked)

    if section in LATER:  # what is asserted then is told by the last attempt

        def good() -> bool:
            with contextlib.suppress(AssertionError):
                answered()
                return True
            return False

        with contextlib.suppress(AssertionError):
            wait_for(good, what=LATER[section])
    answered()


def skip_without(names: Iterable[str], asked: Asked) -> None:
    """Skip where one of these servers is not to be had here, and tell why."""
    for name in names:
        if name in asked.absent:
            pytest.skip(asked.absent[name])


def tail_shows_a_new_line(script: str, asked: Asked) -> None:
    """Run a tail and let the log grow; AssertionError where the line does not come, with its level."""
    with subprocess.Popen(
        [*SHELL, script], env=asked.environment, cwd=asked.directory, stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        try:
            assert tail.stdout.readline().strip()
            append(asked.there.log, *call("introspect"))
            before = time.monotonic()
            new = next(line for line in tail.stdout if "introspect" in line)
            assert new.startswith("info ")
            assert time.monotonic() - before < TAIL_S
        finally:
            tail.terminate()


def test_the_live_tail_of_the_page_shows_a_line_as_it_comes(asked: Asked) -> None:
    """First the last lines, then each new one, without asking again."""
    tail_shows_a_new_line(sections()[TAIL], asked)


def test_the_live_tail_of_the_page_works_through_grafana_as_it_says(asked: Asked) -> None:
    """With another address and one more header."""
    skip_without(["GRAFANA"], asked)
    (address,) = re.findall(r"`(LOKI=\$GRAFANA[^`]+)`", PAGE.read_text())
    key = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    script = sections()[TAIL].replace("additional_headers={", f'additional_headers={{"Authorization": "Basic {key}", ')
    tail_shows_a_new_line(f"export {address}\n{script}", asked)


def test_the_trial_alert_of_the_page_is_known_to_alertmanager(asked: Asked) -> None:
    """As amtool sends it from within the container."""
    skip_without(["ALERTMANAGER"], asked)
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
