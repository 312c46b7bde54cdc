"""What a reader copies from the pages works as it stands there; what is not run says why."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.pages import COMMANDS, PAGES, ROOT, Block, blocks

EVERY: Final = [block for page in PAGES for block in blocks(page)]
SHELL: Final = ("bash", "-euo", "pipefail", "-c")
RUN_HERE: Final = (
    "docs/configuration.md: Configuration",
    "docs/configuration.md: Where the logs are",
    "docs/configuration.md: Extending a policy",
    "docs/configuration.md: Alert receivers",
    "docs/configuration.md: Token and TLS",
    "docs/getting-started.md: Where is my log?",
    "docs/operations.md: Backup",
    "docs/privacy.md: Privacy: what leaves, and what never does",
)
RUN_ELSEWHERE: Final = {
    "docs/access.md": "tests/stack/test_access_page.py",
    "docs/alerts.md": "tests/stack/test_alerts_page.py",
    "docs/api.md": "tests/stack/test_api_page.py",
    "docs/examples.md": "tests/examples/test_page.py",
    "docs/host.md": "tests/unit/test_worker_processes.py",
    "docs/illumo.md": "tests/unit/test_illumo_page.py",
    "docs/kagura.md": "tests/unit/test_kagura_page.py",
    "docs/koubou.md": "tests/unit/test_koubou_page.py",
    "docs/monitor.md": "tests/unit/test_monitor_page.py",
    "docs/query.md": "tests/unit/test_query_page.py",
    "docs/tracerdb.md": "tests/unit/test_tracerdb_page.py",
}
NOT_RUN: Final = {
    "docs/configuration.md: A trial alert": "needs a Docker engine; test_api_page.py lets amtool do the same",
    "README.md: Start": "starts everything on this machine; .ci/run begins with a clean clone",
    "README.md: Test": "would run this very test",
    "docs/getting-started.md: What you need": "fetches the repository",
    "docs/getting-started.md: Start with Docker": "starts everything; tests/stack/test_compose_up.py does it too",
    "docs/getting-started.md: Start without Docker": "with a Docker engine it starts everything on this machine",
    "docs/operations.md: Health pages": "a fixed port; tests/unit/test_health.py asks the same pages of a free one",
    "docs/operations.md: Restore": "stops everything on this machine; tests/stack/test_compose_backup.py does it apart",
    "docs/operations.md: Disk a day": "takes minutes and all servers",
    "docs/operations.md: Rotate the Collector's token": "test_token_and_tls.py runs its lines under load",
    "docs/scaling.md: Try it": "needs a Docker engine; tests/stack/test_compose_scaling.py does it",
    "docs/operations.md: Upgrade": "fetches a newer version and starts everything",
    "docs/operations.md: Doctor": "asks every server at its fixed port; tests/unit/test_doctor.py",
}
VARYING: Final = re.compile(r"[0-9]+")


def of(place: str) -> list[Block]:
    """Return the blocks of one section."""
    return [block for block in EVERY if block.place == place]


@pytest.fixture(scope="module")
def demo_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of demo."""
    directory = tmp_path_factory.mktemp("demo")
    assert run("egoscope demo --out demo-logs --days 0.02 --no-live", directory)[0] == 0
    return directory / "demo-logs"


@pytest.fixture
def reader(tmp_path: Path, demo_logs: Path) -> Path:
    """A directory with a demo's log, as a reader has who did what the pages say."""
    shutil.copytree(demo_logs, tmp_path / "demo-logs")
    return tmp_path


def run(commands: str, directory: Path, typed: str = "") -> tuple[int, str]:
    """Run commands as a reader would who has `.venv/bin` on PATH; return the status and all that is printed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EGOSCOPE_", "EGO_MCP_", "XDG_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*SHELL, commands],
        env={**own, "PATH": path, "HOME": str(directory)},
        cwd=directory,
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout


def test_every_command_of_the_pages_is_run_by_a_test_or_says_why_not() -> None:
    """And nothing is listed that is on no page."""
    places = {block.place for block in EVERY if block.language in COMMANDS and block.page not in RUN_ELSEWHERE}
    assert places == {*RUN_HERE, *NOT_RUN}
    assert all((ROOT / test).is_file() for test in RUN_ELSEWHERE.values())


def test_every_block_says_its_language() -> None:
    """`sh` or `console` where it holds commands: a bare block is something to look at."""
    bare = [block.code for block in EVERY if not block.language]
    assert [code for code in bare if re.search(r"^(\$ |curl |egoscope [a-z]|make |docker )", code, re.MULTILINE)] == []


def test_a_wrong_setting_is_named_as_the_page_shows(tmp_path: Path) -> None:
    (block,) = of("docs/configuration.md: Configuration")
    _, said = run(block.commands, tmp_path)
    assert f"$ {block.commands}{said}" == block.code


def test_the_place_of_the_page_is_valid(reader: Path) -> None:
    (block,) = of("docs/configuration.md: Where the logs are")
    status, said = run(block.commands, reader)
    assert status == 0, said


def test_what_would_leave_of_a_reader_s_own_log_is_seen_as_the_page_says(reader: Path) -> None:
    """Wherever it is."""
    (reader / "demo-logs").rename(reader / "my own logs")
    (block,) = of("docs/privacy.md: Privacy: what leaves, and what never does")
    status, said = run(f"export EGO_MCP_LOG_DIR='my own logs'\n{block.commands}", reader)
    assert status == 0, said
    assert (reader / "out" / "summary.json").is_file()


def test_the_page_shows_where_a_log_is(reader: Path) -> None:
    (block,) = of("docs/getting-started.md: Where is my log?")
    status, said = run(f"export EGO_MCP_LOG_DIR=demo-logs\n{block.commands}", reader)
    assert status == 0
    assert "demo-logs/ego-mcp-" in said


def test_the_policy_of_the_page_is_valid_and_does_what_the_page_shows(tmp_path: Path) -> None:
    """Word for word, but for how many lines a demo has at this time of the day."""
    policy, console = of("docs/configuration.md: Extending a policy")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "ego_mcp.toml").write_text(policy.code)
    shown = [line for line in console.code.splitlines() if not line.startswith("$ ")]
    status, said = run(console.commands, tmp_path)
    assert status == 0, said
    printed = [line for line in said.splitlines() if "calls in" not in line]  # the demo's own words, to standard error
    assert [VARYING.sub("N", line) for line in printed] == [VARYING.sub("N", line) for line in shown]


def test_the_receiver_of_the_page_is_switched_on(tmp_path: Path) -> None:
    """And a wrong combination is named as the page shows."""
    for folder in ("alertmanager", "secrets/alerting"):  # as in a clone, where nothing is secret yet
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("[!.]*-*"))
    slack, mail = of("docs/configuration.md: Alert receivers")
    address = "https://hooks.slack.example/services/T/B/X"
    status, said = run(slack.commands, tmp_path, typed=f"{address}\n")
    assert status == 0, said
    render = "set -a; . ./.env; python3 alertmanager/render.py --out alerting"
    assert run(render, tmp_path) == (0, "Alerts are shown in Grafana and sent by slack.\n")
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    _, said = run(mail.commands, tmp_path)
    assert f"$ {mail.commands}{said}" == mail.code


def test_the_certificate_of_the_page_can_be_made(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (command, _) = of("docs/configuration.md: Token and TLS")
    status, said = run(command.commands, tmp_path)
    assert status == 0, said
    assert (tmp_path / "collector.crt").is_file()


def test_the_backup_of_the_page_holds_the_key_beside_the_data(reader: Path) -> None:
    """That of plain processes; what the page does with Docker is tests/stack/test_compose_backup.py's."""
    state = reader / ".local" / "state" / "egoscope"
    assert run("EGO_MCP_LOG_PATH=demo-logs egoscope start --once", reader)[0] == 0
    for name in ("prometheus", "loki", "tempo", "grafana"):
        (reader / name).mkdir()
    (_, block) = of("docs/operations.md: Backup")
    status, said = run(f"cd {ROOT}\n{block.commands}", reader)
    assert status == 0, said
    (key,) = (reader / "backups").glob("*.key")
    assert key.read_bytes() == (state / "pseudonym.key").read_bytes()
    assert (key.with_suffix("") / "state.tar.gz").is_file()
