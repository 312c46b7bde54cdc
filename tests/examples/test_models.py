"""Providers: one that answers from files, and one with an API in OpenAI's form, here a server on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from scene import SECRET, Server, no_http

from examples.multi_agent.errors import ExampleError, ModelError
from examples.multi_agent.models import RECORDED, Answer, ChatModel, RecordedModel, make_model, read_json, without_fence

if TYPE_CHECKING:
    from pathlib import Path


def told(text: str, **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}], **more}).encode()


def test_a_provider_is_asked_in_openai_s_form_with_its_key(server: Server, tmp_path: Path) -> None:
    server.body = told("hello", usage={"total_tokens": 12})
    (tmp_path / "key").write_text("k-1\n")
    environ = {
        "EXAMPLE_MODEL_URL": server.url,
        "EXAMPLE_MODEL": "small",
        "EXAMPLE_MODEL_KEY_FILE": str(tmp_path / "key"),
    }
    answer = make_model(tmp_path, environ).answer("draft", "say hello")
    assert (answer.text, answer.tokens) == ("hello", 12)
    ((path, headers, asked),) = server.asked
    assert (path, headers["authorization"]) == ("/v1/chat/completions", "Bearer k-1")
    assert asked["model"] == "small"
    assert asked["messages"] == [{"role": "user", "content": "say hello"}]


@pytest.mark.parametrize("more", [{}, {"usage": None}, {"usage": []}, {"usage": {}}, {"usage": {"total_tokens": None}}])
def test_without_a_count_of_tokens_none_is_told(server: Server, more: dict[str, Any]) -> None:
    server.body = told("hello", **more)
    assert ChatModel(server.url, "small").answer("draft", "x") == Answer("hello")


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, b"", "answered 500"),
        (401, SECRET.encode(), "answered 401"),
        (200, SECRET.encode(), "not OpenAI's form"),
        (200, b"{}", "not OpenAI's form"),
        (200, b"[]", "not OpenAI's form"),
        (200, b'{"choices": []}', "not OpenAI's form"),
        (200, b'{"choices": [{"message": {"content": null}}]}', "not OpenAI's form"),
        (200, b'{"choices": [{"message": null}]}', "not OpenAI's form"),
        (200, b"\xff", "not OpenAI's form"),
    ],
)
def test_an_answer_that_is_none_is_an_error_without_its_words(
    server: Server, status: int, body: bytes, says: str
) -> None:
    server.statuses, server.body = [status], body
    with pytest.raises(ModelError, match=says) as caught:
        ChatModel(server.url, "small").answer("draft", "x")
    assert SECRET not in str(caught.value)


def test_a_redirect_is_not_followed_for_the_key_would_go_with_it(server: Server) -> None:
    with Server() as elsewhere:
        elsewhere.body = told("caught")
        server.statuses, server.location = [307], elsewhere.url
        with pytest.raises(ModelError, match="answered 307"):
            ChatModel(server.url, "small", key="k-1").answer("draft", "x")
        assert elsewhere.asked == []
        elsewhere.shutdown()


def test_nobody_at_home_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ModelError, match="did not answer; see EXAMPLE_MODEL_URL"):
        ChatModel("http://127.0.0.1:9/v1", "small", timeout_s=5).answer("draft", "x")


def test_a_provider_that_speaks_no_http_is_an_error_without_its_words() -> None:
    with no_http() as url, pytest.raises(ModelError, match="did not answer; see EXAMPLE_MODEL_URL") as caught:
        ChatModel(url, "small").answer("draft", "x")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"EXAMPLE_MODEL_URL": "http://127.0.0.1:9"}, "EXAMPLE_MODEL: set it"),
        *(
            (
                {"EXAMPLE_MODEL_URL": url, "EXAMPLE_MODEL": "x"},
                "EXAMPLE_MODEL_URL: a URL in ASCII that begins with http",
            )
            for url in (
                "file:///etc/passwd",
                "http://[::1",
                "http://h/é",
                "http://h/a b",
                "http://h:port",
                "http://a..b",
                "http://",
            )
        ),
        (
            {"EXAMPLE_MODEL_URL": "http://127.0.0.1:9", "EXAMPLE_MODEL": "x", "EXAMPLE_MODEL_KEY_FILE": "/none"},
            "EXAMPLE_MODEL_KEY_FILE: cannot be read",
        ),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(ExampleError, match=says):
        make_model(tmp_path, environ)


@pytest.mark.parametrize("content", [b"", b"\xff", b"one\ntwo\n", "schlüssel".encode()])
def test_a_key_file_that_holds_no_key_is_named_without_its_words(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    environ = {
        "EXAMPLE_MODEL_URL": "http://127.0.0.1:9",
        "EXAMPLE_MODEL": "x",
        "EXAMPLE_MODEL_KEY_FILE": str(tmp_path / "key"),
    }
    with pytest.raises(ModelError, match=r"^EXAMPLE_MODEL_KEY_FILE: the key in ASCII, on one line$") as caught:
        make_model(tmp_path, environ)
    assert caught.value.__context__ is None


def test_without_a_url_the_recorded_answers_are_given_in_their_order(tmp_path: Path) -> None:
    entries = [{"text": ["a", "b"]}, {"text": {"id": 1}, "tokens": 3}, {"text": "last"}]
    (tmp_path / "draft.json").write_text(json.dumps(entries))
    model = make_model(tmp_path, {})
    assert model.name == RECORDED
    assert [model.answer("draft", "x").text for _ in range(4)] == ["a\nb\n", '{"id": 1}', "last", "last"]


def test_a_recorded_failure_fails(tmp_path: Path) -> None:
    (tmp_path / "draft.json").write_text('[{"error": "unavailable"}]')
    with pytest.raises(ModelError, match="did not answer"):
        RecordedModel(tmp_path).answer("draft", "x")


def test_what_was_not_recorded_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"draft\.json"):
        RecordedModel(tmp_path).answer("draft", "x")
    with pytest.raises(ModelError, match="none: no recorded answers"):
        RecordedModel(tmp_path / "none")


@pytest.mark.parametrize("text", ['{"a": 1}', '```json\n{"a": 1}\n```', '\n```\n{"a": 1}\n```\n'])
def test_json_is_read_also_in_a_fence(text: str) -> None:
    assert read_json(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "[1]", "7", '{"a": 1} and more', SECRET])
def test_what_is_no_object_is_an_error(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_json(text)
    assert SECRET not in str(caught.value)


def test_a_fence_that_is_not_closed_stays() -> None:
    assert without_fence("```\nx") == "```\nx"
