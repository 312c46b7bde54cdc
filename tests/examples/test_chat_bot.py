"""The chatbot: who answers, who is asked instead, what is kept, and what each stage does with a failure."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from scene import SECRET, Scripted, Server, Traces, no_http

from examples.multi_agent.chat_bot.__main__ import HERE, RECORDINGS, main
from examples.multi_agent.chat_bot.flow import STAGES, Stage, chat_bot, summarise
from examples.multi_agent.chat_bot.handoff import HANDED_OVER, NOBODY
from examples.multi_agent.chat_bot.knowledge import candidates, load_knowledge
from examples.multi_agent.errors import DeliveryError, ExampleError, ModelError
from examples.multi_agent.flows import run_flow
from examples.multi_agent.models import RecordedModel
from examples.multi_agent.policy import Policy
from examples.multi_agent.summary import at

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from examples.multi_agent.models import Model

KNOWLEDGE = load_knowledge(HERE / "faqs.json")
QUESTION = "How do I return a cup?"
QUICK = Stage(Policy(fail_fast=True), 0.8)


def chat(
    model: Model, traces: Traces, *, stage: Stage = QUICK, question: str = QUESTION, **options: Any
) -> dict[str, Any]:
    flow = chat_bot(KNOWLEDGE, model, traces.tracer, stage=stage, **options)
    return run_flow(flow, asked(question))


def asked(question: str = QUESTION) -> dict[str, Any]:
    """Return what the flow's context begins with."""
    return {"chat": {"history": [{"role": "user", "message": question}]}}


def sure(confidence: float) -> Scripted:
    """A model that greets, and is this sure of returns."""
    return Scripted("Hello.", json.dumps({"id": "returns", "confidence": confidence}))


def test_a_sure_answer_is_the_knowledge_base_s_own(traces: Traces) -> None:
    context = chat(sure(0.8), traces)
    assert traces.nodes() == ["greet", "faq", "escalate", "audit", "summary"]
    assert context["chat"]["history"] == [
        {"role": "user", "message": QUESTION},
        {"role": "bot", "message": "Hello."},
        {"role": "bot", "message": KNOWLEDGE[0].answer},
    ]
    assert context["summary"]["json"]["title"] == "Answered"
    assert context["routing"]["escalate"] == [{"target": "audit", "confidence": 0.8, "reason": "sure enough"}]


def test_below_the_threshold_a_person_is_asked(traces: Traces, server: Server) -> None:
    context = chat(sure(0.79), traces, webhook=server.url)
    assert traces.nodes() == ["greet", "faq", "escalate", "human_support", "audit", "summary"]
    ((_, headers, ticket),) = server.asked
    assert headers["idempotency-key"] == ticket["id"] == context["chat"]["ticket"]["id"]
    assert ticket["history"] == [{"role": "user", "message": QUESTION}]
    assert context["chat"]["history"][-1]["message"] == HANDED_OVER
    assert context["chat"]["audit"] == {"turns": 3, "left_out": 0, "escalated": True}


@pytest.mark.usefixtures("no_delays")
def test_a_ticket_is_posted_again_under_the_same_id(traces: Traces, server: Server) -> None:
    server.statuses = [503, 503, 503, 201]
    chat(sure(0), traces, webhook=server.url)
    assert len(server.asked) == 4
    assert len({one.headers["idempotency-key"] for one in server.asked}) == 1
    assert [name for name, _ in traces.events("human_support")] == ["node.retry"] * 3


@pytest.mark.usefixtures("no_delays")
def test_a_desk_that_takes_nothing_fails_the_flow_in_production_and_is_told_elsewhere(
    traces: Traces, server: Server
) -> None:
    server.statuses = [503]
    with pytest.raises(DeliveryError, match="answered 503; see --webhook"):
        chat(sure(0), traces, webhook=server.url, stage=STAGES["production"])
    context = chat(sure(0), traces, webhook=server.url, stage=STAGES["staging"])
    assert not context["chat"]["ticket"]
    assert context["summary"]["json"]["tests"] == ["human_support failed: the webhook answered 503; see --webhook"]


@pytest.mark.usefixtures("no_delays")
@pytest.mark.parametrize("stage", ["development", "staging"])
@pytest.mark.parametrize(
    "answer", ['{"id": "delivery", "confidence": 0.41}', ModelError("down")], ids=["an unsure answer", "no answer"]
)
def test_where_no_desk_takes_the_ticket_the_bot_says_so_and_gives_no_answer_that_the_router_rejected(
    traces: Traces, server: Server, answer: str | Exception, stage: str
) -> None:
    server.statuses = [503]
    context = chat(Scripted(answer), traces, webhook=server.url, stage=STAGES[stage])
    assert context["chat"]["history"][-1]["message"] == NOBODY
    assert context["summary"]["json"]["title"] == "Not answered"
    assert context["summary"]["json"]["changes"] == ["Nobody was answered."]


@contextmanager
def dripping() -> Generator[str]:
    """Return the URL of a desk whose answer never ends, and is never quiet for long."""
    ended = threading.Event()

    class Drips(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.02):
                self.request.sendall(b"X-More: 1\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drips) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        ended.set()
        server.shutdown()


def test_a_desk_that_drips_is_not_waited_for_longer_than_its_stage_allows(traces: Traces) -> None:
    with dripping() as url, pytest.raises(TimeoutError, match="longer than 2 s"):
        chat(sure(0), traces, webhook=url, stage=Stage(Policy(timeout_s=2), 0.8))
    ((name, told),) = traces.events("human_support")
    assert (name, told["agent.flow.timeout"]) == ("node.error", True)


@pytest.mark.usefixtures("no_delays")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_ticket_that_is_sent_elsewhere_is_not_posted(traces: Traces, server: Server, status: int) -> None:
    """Followed, the POST would become a GET without the ticket, and count as posted."""
    with Server() as elsewhere:
        server.statuses, server.location = [status], elsewhere.url
        with pytest.raises(DeliveryError, match=f"answered {status}; see --webhook"):
            chat(sure(0), traces, webhook=server.url, stage=STAGES["production"])
        assert elsewhere.asked == []
        elsewhere.shutdown()


@pytest.mark.usefixtures("no_delays")
def test_where_a_webhook_redirects_to_is_not_even_read(traces: Traces, server: Server) -> None:
    server.statuses, server.location = [302], "http://[nowhere"
    with pytest.raises(DeliveryError, match="answered 302; see --webhook"):
        chat(sure(0), traces, webhook=server.url, stage=STAGES["production"])


@pytest.mark.usefixtures("no_delays")
def test_a_webhook_that_speaks_no_http_is_an_error_without_its_words(traces: Traces) -> None:
    with no_http() as url, pytest.raises(DeliveryError, match="did not answer; see --webhook") as caught:
        chat(sure(0), traces, webhook=url, stage=STAGES["production"])
    assert SECRET not in str(caught.value)


@pytest.mark.usefixtures("no_delays")
@pytest.mark.parametrize(
    ("stage", "greetings", "flow", "title"),
    [
        ("development", 3, "OK", "Handed over to a person"),
        ("staging", 2, "OK", "Handed over to a person"),
        ("production", 1, "ERROR", None),
    ],
)
def test_what_each_stage_does_with_a_provider_that_is_down(
    traces: Traces, stage: str, greetings: int, flow: str, title: str | None
) -> None:
    """The table in the documentation says the same."""
    model = Scripted(ModelError("down"))
    context: dict[str, Any] = {}
    if title is None:
        with pytest.raises(ModelError):
            chat(model, traces, stage=STAGES[stage])
    else:
        context = chat(model, traces, stage=STAGES[stage])
    assert [role for role, _ in model.prompts].count("greet") == greetings
    assert traces.spans()[0] == ("chat_bot", flow)
    assert at(context, "summary.json.title") == title


def test_a_flow_that_ends_early_has_its_summary_too(traces: Traces) -> None:
    context = asked()
    flow = chat_bot(KNOWLEDGE, Scripted(ModelError("down")), traces.tracer, stage=STAGES["production"])
    with pytest.raises(ModelError):
        run_flow(flow, context)
    assert context["summary"]["json"] == {
        "title": "Not answered",
        "changes": ["Nobody was answered."],
        "tests": ["greet failed: down"],
        "next_actions": ["See the trace for what failed, then ask again."],
    }
    assert "greet failed: down" in context["summary"]["report"]
    assert traces.spans() == [("chat_bot", "ERROR"), ("greet", "ERROR"), ("summary", "OK")]


def test_a_summary_that_fails_changes_nothing_about_a_flow_that_ends_early(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> dict[str, Any]:
        raise KeyError(SECRET)

    monkeypatch.setattr("examples.multi_agent.chat_bot.flow.summarise", fail)
    with pytest.raises(ModelError, match="down"):
        chat(Scripted(ModelError("down")), traces, stage=STAGES["production"])
    assert traces.spans()[0] == ("chat_bot", "ERROR")


def test_a_model_that_takes_longer_than_its_stage_allows_is_not_waited_for(traces: Traces) -> None:
    ended = threading.Event()

    def never(_: str) -> str:
        ended.wait()
        return "late"

    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"):
        chat(Scripted(never), traces, stage=Stage(Policy(timeout_s=0.05), 0.8))
    ended.set()
    assert STAGES["production"].policy == Policy(fail_fast=True, timeout_s=5)


def test_a_flow_that_takes_longer_than_its_stage_allows_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()

    def never(_: str) -> str:
        ended.wait()
        return "late"

    def model(_: object) -> Model:
        return Scripted(never)

    monkeypatch.setattr("examples.multi_agent.chat_bot.__main__.make_model", model)
    monkeypatch.setitem(STAGES, "production", Stage(Policy(timeout_s=0.05), 0.8))
    assert main(["--stage", "production", "--tracer-arg", f"db_path={tmp_path / 'traces.db'}"]) == 1
    ended.set()
    assert "The flow failed: took longer than 0.05 s, the time limit of its policy" in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [
        '{"id": "none", "confidence": 1}',
        '{"id": "returns", "confidence": true}',
        '{"id": "returns"}',
        '{"id": "returns", "confidence": 2}',
        "yes",
        "[]",
    ],
)
def test_an_answer_that_is_none_is_sure_of_nothing(traces: Traces, answer: str) -> None:
    context = chat(Scripted("Hello.", answer), traces, stage=Stage(Policy(fail_fast=False), 0.5))
    assert context["chat"]["ticket"]["turns"] == 1
    assert context["errors"][0]["exception"] == "ModelError"


def test_a_question_that_nothing_fits_goes_to_a_person_unasked(traces: Traces) -> None:
    model = Scripted("Hello.")
    context = chat(model, traces, question="Qu'est-ce?")
    assert [role for role, _ in model.prompts] == ["greet"]
    assert context["chat"]["ticket"]


@pytest.mark.parametrize(("most", "left_out"), [(1, 4), (3, 2), (5, 0), (20, 0)])
def test_the_audit_keeps_the_last_turns(traces: Traces, most: int, left_out: int) -> None:
    flow = chat_bot(KNOWLEDGE, sure(1), traces.tracer, stage=QUICK, most_turns=most)
    history = [{"role": "user", "message": f"{turn} return"} for turn in range(3)]
    context = run_flow(flow, {"chat": {"history": history}})
    assert len(context["chat"]["history"]) == min(most, 5)
    assert context["chat"]["history"][-1]["role"] == "bot"
    assert context["chat"]["audit"] == {"turns": min(most, 5), "left_out": left_out, "escalated": False}


def test_no_word_of_a_conversation_stands_in_a_trace_unless_it_is_asked_for(tmp_path: Path) -> None:
    for name, capture, found in (("a.db", (), False), ("b.db", ("message",), True)):
        traces = Traces(tmp_path / name, capture)
        chat(sure(0.9), traces, question=f"return: {SECRET}")
        assert traces.holds(SECRET) is found
        traces.tracer.close()


def test_a_summary_says_what_is_missing() -> None:
    assert summarise({}) == {
        "title": "Not answered",
        "changes": ["Nobody was answered."],
        "tests": ["No step is known to have ended."],
        "next_actions": ["See the trace for what failed, then ask again."],
    }


def test_a_summary_does_not_promise_a_person_who_got_no_ticket(traces: Traces, server: Server) -> None:
    posted, made = chat(sure(0), traces, webhook=server.url), chat(sure(0), traces)
    ticket = made["chat"]["ticket"]["id"]
    assert posted["summary"]["json"]["next_actions"] == ["A person answers the ticket."]
    assert made["summary"]["json"]["changes"][0] == f"Ticket {ticket}, not posted: no --webhook"
    assert made["summary"]["json"]["next_actions"] == ["Nobody got the ticket: name who takes it with --webhook."]


def test_after_an_answer_there_is_nothing_to_do_and_what_is_kept_is_no_action(traces: Traces) -> None:
    summary = chat(sure(1), traces, most_turns=2)["summary"]["json"]
    assert summary["changes"] == [
        "From the entry 'returns' with a confidence of 1.00",
        "Of the history 2 turns are kept, 1 left out",
    ]
    assert summary["next_actions"] == ["Nothing: the question is answered."]


def test_a_summary_says_that_every_step_went_well_only_where_it_did(traces: Traces) -> None:
    assert chat(sure(1), traces)["summary"]["json"]["tests"] == ["Every step went well."]


def test_entries_are_ranked_by_the_words_they_share() -> None:
    assert [one.id for one in candidates(KNOWLEDGE, "Where is the tracking of my ORDER? I have no invoice")] == [
        "delivery",
        "invoice",
    ]
    assert candidates(KNOWLEDGE, "?!") == []


def test_words_are_found_however_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "faqs.json"
    path.write_text('[{"id": "vat", "question": "?", "answer": "!", "words": ["VAT", "Sign-in"]}]')
    assert [len(candidates(load_knowledge(path), asked)) for asked in ("what is vat", "my Vat", "SIGN", "else")] == [
        *(1, 1, 1, 0)
    ]


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"id": "a"}]'])
def test_a_knowledge_base_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "faqs.json"
    with pytest.raises(ExampleError, match="--knowledge: cannot be read"):
        load_knowledge(path)
    path.write_text(content)
    if content != "{}":
        with pytest.raises(ExampleError, match="--knowledge: a JSON list"):
            load_knowledge(path)


@pytest.mark.parametrize("recording", RECORDINGS)
def test_the_command_answers_or_hands_over(recording: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recorded", recording, "--tracer-arg", f"db_path={tmp_path / 'traces.db'}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Answers are recorded: no model is asked.")
    assert (HANDED_OVER in said) == (recording != "known")
    assert ("bot: Hello" in said) == (recording != "failing_provider")


def test_a_greeting_cannot_speak_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def model(_: object) -> Model:
        return Scripted("Hello.\r\x1b[2K\nBye.", '{"id": "returns", "confidence": 1}')

    monkeypatch.setattr("examples.multi_agent.chat_bot.__main__.make_model", model)
    assert main(["--tracer-arg", f"db_path={tmp_path / 'traces.db'}"]) == 0
    assert "bot: Hello.\nbot: \\x1b[2K\nbot: Bye.\n" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "fits"), [((), True), (("--question", "Where is my invoice?"), False)])
def test_recorded_answers_are_not_passed_off_as_answers_to_a_question_of_one_s_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str], fits: bool
) -> None:
    main([*options, "--tracer-arg", f"db_path={tmp_path / 'traces.db'}"])
    said = "They were recorded for what is asked by default, and need not fit this.\n"
    assert (said in capsys.readouterr().out) is not fits


@pytest.mark.usefixtures("no_delays")
@pytest.mark.parametrize("recording", ["unsure", "failing_provider"])
def test_the_command_fails_where_nobody_was_answered_and_no_ticket_taken(
    recording: str, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.statuses = [503]
    trace = ["--tracer-arg", f"db_path={tmp_path / 'traces.db'}"]
    assert main(["--recorded", recording, "--webhook", server.url, *trace]) == 1
    said = capsys.readouterr().out
    assert NOBODY in said
    assert not [entry.id for entry in KNOWLEDGE if entry.answer in said]


def test_what_is_wrong_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = ["--tracer-arg", f"db_path={tmp_path / 'traces.db'}"]
    webhooks = ("ftp://x", "http://[::1", "http://127.0.0.1:9/é")
    assert [main(["--webhook", url, "--stage", "production", *trace]) for url in webhooks] == [2, 2, 2]
    assert main(["--most-turns", "0", *trace]) == 2
    assert main(["--recorded", "failing_provider", "--stage", "production", *trace]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        *["--webhook: a URL in ASCII that begins with http:// or https://"] * len(webhooks),
        "--most-turns: at least 1",
    ]
    assert "The flow failed: the provider did not answer (unavailable)" in out
    assert "Not answered\n" in out
    assert "- greet failed: the provider did not answer (unavailable)\n" in out


def test_recorded_answers_fit_the_knowledge_base() -> None:
    for recording in ("known", "unsure"):
        model = RecordedModel(HERE / "recorded" / recording)
        assert json.loads(model.answer("faq", "").text)["id"] in {entry.id for entry in KNOWLEDGE}
