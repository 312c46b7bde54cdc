"""Every command of docs/alerts.md, run as it stands against a real Alertmanager; and the messages that it shows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.pages import COMMANDS, DOCS, blocks
from tests.stack.alertmanager import Alertmanager, Webhook
from tests.stack.conftest import missing
from tests.stack.impatient import without_waiting
from tests.stack.mail_server import MailServer
from tests.stack.processes import ANSWER_S, MissingServerError, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from tests.pages import Block
    from tests.stack.processes import Way

PAGE: Final = DOCS / "alerts.md"
PORT: Final = "127.0.0.1:9093"
ALERT: Final = {"alertname": "WorkersMissing", "severity": "critical", "about": "workers", "host_name": "machine-1"}
WORDS: Final = {
    "summary": "machine-1: 2 of 3 expected workers are there",
    "description": "Fewer workers are there than the settings expect.",
    "dashboard_url": "http://127.0.0.1:3000/d/egoscope-workers",
    "runbook_url": "http://docs.example/runbooks.md#workersmissing",
}
TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+Z)?")
ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def of(section: str) -> list[Block]:
    """Return the blocks of one section."""
    return [block for block in blocks(PAGE) if block.section == section]


def constant(text: str) -> str:
    """Return it without what is another one each time: times, ids, and how wide a column is."""
    lines = (" ".join(line.split()) for line in ID.sub("ID", TIME.sub("TIME", text)).splitlines())
    return "\n".join(lines).strip()


class Reader:
    """Somebody who types what the page says, with the short form of it that needs no Docker."""

    def __init__(self, alertmanager: Alertmanager, directory: Path) -> None:
        *_, form = of("amtool")
        assert form.code.count(f"http://{PORT}") == 1
        self._form = form.code.replace(f"http://{PORT}", alertmanager.url)
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}

    def types(self, commands: str) -> str:
        """Run it and return what is printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._form + commands],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def alertmanager(tmp_path: Path, way: Way) -> Iterator[Alertmanager]:
    """One that knows the alert of the page."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is missing: it comes with Alertmanager")
    try:
        server = Alertmanager(tmp_path, free_ports(1)[0], {}, tmp_path, edit=without_waiting, way=way)
        server.start()
    except MissingServerError as error:
        missing(str(error))
    try:
        server.post(ALERT, annotations=WORDS)
        wait_for(lambda: server.alerts(**ALERT), what="the alert is known")
        yield server
    finally:
        server.stop()


def shown(block: Block, reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield what each command prints, and what the page says it does."""
    for part in block.code.split("$ ")[1:]:
        command, _, said = part.partition("\n")
        yield reader.types(command + "\n"), said


@pytest.mark.parametrize("section", ["What fires", "Who would be told"])
def test_a_question_is_answered_as_the_page_shows(section: str, alertmanager: Alertmanager, tmp_path: Path) -> None:
    reader = Reader(alertmanager, tmp_path)
    for block in of(section):
        if block.language == "console":
            for said, told in shown(block, reader):
                assert constant(said) == constant(told)
        else:
            for command in block.code.splitlines():
                assert "WorkersMissing" in reader.types(command)


def test_a_silence_is_made_and_ended_as_the_page_shows(alertmanager: Alertmanager, tmp_path: Path) -> None:
    reader = Reader(alertmanager, tmp_path)
    console, more, end = of("With amtool")
    for said, told in shown(console, reader):
        assert constant(said) == constant(told)
    (silenced,) = alertmanager.alerts(**ALERT)
    assert silenced["status"]["state"] == "suppressed"
    reader.types(more.code)
    assert len(reader.types("am silence query --quiet").split()) == 3
    reader.types(end.code)
    assert "WorkersMissing" not in reader.types("am silence query")
    assert len(reader.types("am silence query --quiet").split()) == 2


def test_what_is_held_back_is_seen_as_the_page_shows(alertmanager: Alertmanager, tmp_path: Path) -> None:
    """Also where the cause is silenced."""
    reader = Reader(alertmanager, tmp_path)
    (block,) = of("Try it")
    *made, held_back, cause = block.code.split("$ ")[1:]
    for command in made:
        assert reader.types(command) == ""
    for part in (held_back, cause):
        command, _, told = part.partition("\n")
        wait_for(
            lambda command=command, told=told: constant(reader.types(command)) == constant(told),
            what=f"{command} says what the page says",
        )
    reader.types("am silence add alertname=WorkersMissing --comment=trial --author=me")
    wait_for(lambda: alertmanager.alerts(alertname="WorkersMissing")[0]["status"]["silencedBy"], what="it is silenced")
    assert alertmanager.inhibited(alertname="QueueGrowing")


def test_every_section_with_commands_is_run() -> None:
    """The short form for Docker alone is not: it needs an engine; test_compose_up.py has Alertmanager in one."""
    assert {block.section for block in blocks(PAGE) if block.language in COMMANDS} == {
        "amtool", "What fires", "Who would be told", "With amtool", "Try it",
    }  # fmt: skip


def test_webhook_slack_and_mail_get_the_messages_that_the_page_shows(tmp_path: Path, way: Way) -> None:
    """Of the beginning and of the end, through what alertmanager/render.py makes of the settings."""
    with contextlib.ExitStack() as until_the_end:
        posted, slack = (until_the_end.enter_context(Webhook.listening()) for _ in range(2))
        mail = until_the_end.enter_context(MailServer.listening())
        (tmp_path / "webhook-url").write_text(posted.url)
        (tmp_path / "slack-webhook-url").write_text(slack.url)
        settings = {
            "RECEIVERS": "webhook,slack,mail",
            "MAIL_TO": "you@example.com",
            "MAIL_FROM": "egoscope@example.com",
            "MAIL_SMARTHOST": f"127.0.0.1:{mail.port}",
            "MAIL_TLS": "no",
        }
        try:
            server = Alertmanager(tmp_path, free_ports(1)[0], settings, tmp_path, edit=without_waiting, way=way)
            until_the_end.callback(server.stop)
            server.start()
        except MissingServerError as error:
            missing(str(error))
        server.post(ALERT, annotations=WORDS)
        taken = (posted.messages, slack.messages, mail.messages)
        wait_for(lambda: all(taken), what="each is told that it fires")
        server.end(ALERT, annotations=WORDS)
        wait_for(lambda: all(len(messages) > 1 for messages in taken), what="each is told that it is over")

    (as_json,) = of("Webhook")
    told: dict[str, Any] = json.loads(as_json.code)
    message, over_message = posted.messages
    for own, of_page in ((message, told), (message["alerts"][0], told["alerts"][0])):
        assert of_page.keys() <= own.keys()
        same = of_page.keys() - {"alerts", "startsAt"}
        assert {key: own[key] for key in same} == {key: of_page[key] for key in same}
    assert over_message["status"] == "resolved"

    (as_text,) = of("Slack")
    firing, over = (message["attachments"][0] for message in slack.messages)
    links = re.sub(r"<[^|>]*\|([^>]*)>", r"\1", firing["text"])
    assert constant(f"{firing['title']}\n{links}") == constant(as_text.code)
    assert firing["title_link"] == WORDS["dashboard_url"]
    assert (firing["color"], over["color"]) == ("#d32f2f", "#2e7d32")
    assert over["title"] == f"[resolved] {WORDS['summary']}"

    (as_text,) = of("Mail")
    first, last = mail.messages
    assert constant(f"Subject: {first['Subject']}\n\n{text_of(first)}") == constant(as_text.code)
    assert first["To"] == "you@example.com"
    assert last["Subject"] == f"[resolved] {WORDS['summary']}"
    assert "Over: " in text_of(last)


def text_of(message: EmailMessage) -> str:
    """Return the text of a mail."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())
