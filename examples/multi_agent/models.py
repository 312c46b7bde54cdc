"""Providers of answers: a local or hosted model by settings, or one that answers from files.

    EXAMPLE_MODEL_URL        the base of an API in OpenAI's form: http://127.0.0.1:11434/v1 for Ollama, for example
    EXAMPLE_MODEL            the model's name there
    EXAMPLE_MODEL_KEY_FILE   a file with the key, where the provider wants one

Without a URL the recorded provider answers: it is no model, reads its answers from files beside the example, and calls
itself `recorded`.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from examples.multi_agent.errors import ModelError
from examples.multi_agent.posting import PRINTABLE, check_url, direct_opener

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORDED: Final = "recorded"
TIMEOUT_S: Final = 60.0
_LONGEST_ANSWER: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and how many tokens that took; None where it does not say."""

    text: str
    tokens: int | None = None


class Model(Protocol):
    """Answers prompts. Raises ModelError where it cannot."""

    @property
    def name(self) -> str:
        """What it calls itself in traces."""
        ...

    def answer(self, role: str, prompt: str) -> Answer:
        """Return the answer to a prompt of the agent with this role."""
        ...


class RecordedModel:
    """Answers from `ROLE.json` in a directory, a list: the first call takes the first entry, the last one repeats.

    An entry is `{"text": …, "tokens": …}`, or `{"error": "unavailable"}` for a provider that does not answer. A `text`
    that is a list is joined by line breaks, and any other object is handed over as the JSON that it is.
    """

    name = RECORDED

    def __init__(self, directory: Path) -> None:
        """Raises ModelError where there are no recorded answers."""
        if not directory.is_dir():
            raise ModelError(f"{directory.name}: no recorded answers of that name; see the example's README")
        self._directory = directory
        self._calls: dict[str, int] = {}

    def answer(self, role: str, prompt: str) -> Answer:  # noqa: ARG002 (it was answered when it was recorded)
        """Return the next recorded answer of this role."""
        path = self._directory / f"{role}.json"
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ModelError(f"{path.name}: no recorded answers for this agent") from None
        at = min(self._calls.get(role, 0), len(entries) - 1)
        self._calls[role] = at + 1
        entry = entries[at]
        if "error" in entry:
            raise ModelError(f"the provider did not answer ({entry['error']})")
        text = entry["text"]
        if isinstance(text, list):
            text = "\n".join(cast("list[str]", text)) + "\n"
        elif not isinstance(text, str):
            text = json.dumps(text)
        return Answer(text, entry.get("tokens"))


class ChatModel:
    """A provider with an API in OpenAI's form. No redirect is followed, for the key would go with it."""

    def __init__(self, url: str, name: str, *, key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """Raises ExampleError for a URL that is none."""
        check_url("EXAMPLE_MODEL_URL", url)
        self.name = name
        self._url, self._timeout_s = f"{url.rstrip('/')}/chat/completions", timeout_s
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._opener = direct_opener()

    def answer(self, role: str, prompt: str) -> Answer:  # noqa: ARG002 (a prompt says who is asked)
        """Ask once; whoever calls has a policy for what fails."""
        asked = {"model": self.name, "messages": [{"role": "user", "content": prompt}], "temperature": 0}
        request = urllib.request.Request(self._url, json.dumps(asked).encode(), self._headers)  # noqa: S310 (checked)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                told = json.loads(response.read(_LONGEST_ANSWER))
        except urllib.error.HTTPError as error:
            error.close()
            raise ModelError(f"the provider answered {error.code}; see EXAMPLE_MODEL_URL and its key") from None
        except (OSError, http.client.HTTPException):
            raise ModelError("the provider did not answer; see EXAMPLE_MODEL_URL") from None
        except ValueError:
            told = None
        return _answer(told)


def make_model(recorded: Path, environ: Mapping[str, str] = os.environ) -> Model:
    """Return the model that the settings name, or the recorded one. Raises ExampleError."""
    url = environ.get("EXAMPLE_MODEL_URL")
    if not url:
        return RecordedModel(recorded)
    name = environ.get("EXAMPLE_MODEL")
    if not name:
        raise ModelError("EXAMPLE_MODEL: set it to the model's name beside EXAMPLE_MODEL_URL")
    key_file = environ.get("EXAMPLE_MODEL_KEY_FILE")
    return ChatModel(url, name, key=_read_key(Path(key_file)) if key_file else None)


def read_json(text: str) -> dict[str, Any]:
    """Return the JSON object in an answer, also where it stands in a fence. Raises ModelError."""
    try:
        found: Any = json.loads(without_fence(text))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ModelError("the model was asked for a JSON object and answered something else")
    return cast("dict[str, Any]", found)


def without_fence(text: str) -> str:
    """Return an answer without the code fence that models like to put around it."""
    lines = text.strip("\n").split("\n")  # other breaks stand within a line of a diff
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1]) + "\n"
    return text


def _answer(told: Any) -> Answer:  # noqa: ANN401 (whatever JSON it is)
    match told:
        case {"choices": [{"message": {"content": str(text)}}, *_], "usage": {"total_tokens": int(tokens)}}:
            return Answer(text, tokens)
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return Answer(text)
        case _:
            raise ModelError("the provider's answer has not OpenAI's form; see EXAMPLE_MODEL_URL")


def _read_key(path: Path) -> str:
    try:
        key = path.read_bytes().decode("ascii", errors="replace").strip()
    except OSError as error:
        raise ModelError(f"EXAMPLE_MODEL_KEY_FILE: cannot be read ({error.strerror})") from None
    if not PRINTABLE.fullmatch(key):
        raise ModelError("EXAMPLE_MODEL_KEY_FILE: the key in ASCII, on one line")
    return key
