"""The sidecar's own log goes through the second layer like everything else, which lets known sentences through."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# These run within somebody else's program, whose own log their words go to.
ELSEWHERE = {"tracerdb", "instrument"}
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def own_messages() -> list[tuple[str, ast.expr]]:
    """Return where the package logs, and what."""
    found: list[tuple[str, ast.expr]] = []
    for path in sorted((REPOSITORY / "exporter").rglob("*.py")):
        if ELSEWHERE & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=level), args=[message, *_]) if (
                    level in LEVELS
                ):
                    found.append((f"{path.stem}:{node.lineno}", message))
                case _:
                    pass
    return found


MESSAGES = own_messages()


def test_the_package_logs_at_all() -> None:
    """Else the rules below would hold of nothing."""
    assert len(MESSAGES) > 5


@pytest.mark.parametrize(("where", "message"), MESSAGES, ids=[where for where, _ in MESSAGES])
def test_an_own_message_is_a_constant_that_the_second_layer_knows(where: str, message: ast.expr) -> None:
    """No value is formatted into it, for a value could be content; and it would arrive as REDACTED if not listed."""
    assert isinstance(message, ast.Constant), where
    config = (REPOSITORY / "collector-config" / "collector.yaml").read_text()
    patterns = re.findall(r'IsMatch\(cache\["text"\], "(\^[^"]*\$)"\)', config)
    assert any(re.fullmatch(pattern, str(message.value)) for pattern in patterns), message.value
