"""The knowledge base: questions that were asked before, their answers, and which of them fit a new one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from examples.multi_agent.errors import ExampleError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One question with its answer, and the words by which it is found."""

    id: str
    question: str
    answer: str
    words: frozenset[str]


def load_knowledge(path: Path) -> list[Entry]:
    """Read a JSON list of `{id, question, answer, words}`. Raises ExampleError that names what is wrong."""
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        return [
            Entry(str(one["id"]), str(one["question"]), str(one["answer"]), _words(" ".join(map(str, one["words"]))))
            for one in raw
        ]
    except OSError as error:
        raise ExampleError(f"--knowledge: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise ExampleError("--knowledge: a JSON list of objects with id, question, answer and words") from None


def candidates(entries: Sequence[Entry], question: str, most: int = 3) -> list[Entry]:
    """Return the entries that share the most words with a question, the best first; none where none shares any."""
    asked = _words(question)
    shared = [(len(asked & entry.words), entry) for entry in entries]
    ranked = sorted((one for one in shared if one[0]), key=lambda one: (-one[0], one[1].id))
    return [entry for _, entry in ranked[:most]]


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))
