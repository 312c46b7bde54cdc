"""Write the tables of all settings into docs/configuration.md and that of all metrics into docs/api.md.

    python tools/settings_page.py [--check]

The sidecar's settings come from their class, docker compose's from .env.example (which tests/stack/test_compose_file.py
compares with the compose files), metrics from the catalogue. A table stands between two marks; the rest of a page is
written by hand. `--check` writes nothing and fails where a table is not what this makes.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
CONFIGURATION: Final = REPOSITORY / "docs" / "configuration.md"
API: Final = REPOSITORY / "docs" / "api.md"
EXAMPLE: Final = REPOSITORY / ".env.example"
END: Final = "<!-- end of {} -->"
BEGIN: Final = "<!-- {}: made by tools/settings_page.py -->"

_METRICS_HEAD: Final = ("| Metric | Labels | What it is |", "| --- | --- | --- |")
_COMPOSE_HEAD: Final = ("| Setting | Default | What it is |", "| --- | --- | --- |")
_NO_DEFAULT: Final = ("_DIR", "COMPOSE_FILE")  # the example shows what it could be
_SECTION: Final = re.compile(r"# -+ (.+?) -+")
_VARIABLE: Final = re.compile(r"#(\w+)=(.*)")
_HEAD: Final = ("| Setting | Default | Allowed | What it is |", "| --- | --- | --- | --- |")


def table() -> str:
    """Return the table: a row a setting, in the order of the class."""
    os.environ.pop("XDG_STATE_HOME", None)  # the default as it is where nobody changed it
    from egoscope.config import Settings  # noqa: PLC0415 (its defaults are made at import)

    # By alias: the two settings that have ego-mcp's own names.
    properties: dict[str, dict[str, Any]] = Settings.model_json_schema()["properties"]
    return "\n".join([*_HEAD, *(_row(name, spec) for name, spec in properties.items())])


def compose_table() -> str:
    """Return docker compose's settings: a row each, with the comment above it, or above the first of its kind."""
    rows: list[str] = []
    comment = previous = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if section := _SECTION.fullmatch(line):
            comment = ""
            rows.append(f"| **{section[1]}** | | |")
        elif variable := _VARIABLE.fullmatch(line):
            name, value = variable.groups()
            value = value.replace("|", r"\|")
            default, about = f"`{value}`" if value else "empty", comment.replace("|", r"\|")
            if name.endswith(_NO_DEFAULT):
                default, about = "not set", f"{comment.rstrip('.')}; for example `{value}`"
            rows.append(f"| `{name}` | {default} | {about} |".replace("|  |", "| |"))
            comment = "as above" if comment else ""
        elif line.startswith("# "):
            comment = f"{comment} {line[2:]}" if previous.startswith("# ") and comment else line[2:]
        else:
            comment = ""
        previous = line
    return "\n".join([*_COMPOSE_HEAD, *rows])


def metrics_table() -> str:
    """Return all metrics by their names in Prometheus; a histogram's is the beginning of three."""
    from egoscope.convert.catalogue import METRICS, Kind  # noqa: PLC0415 (as above)

    rows: list[str] = []
    for metric in METRICS:
        name = f"{metric.prometheus}_bucket" if metric.kind is Kind.HISTOGRAM else metric.prometheus
        labels = ", ".join("`" + re.sub(r"\W", "_", label) + "`" for label in metric.attributes)
        rows.append(f"| `{name}` | {labels} | {metric.description} |")
    return "\n".join([*_METRICS_HEAD, *rows]).replace("|  |", "| |")


def _row(name: str, spec: dict[str, Any]) -> str:
    option = name if name.startswith("EGO_MCP_") else f"EGOSCOPE_{name.upper()}"
    cells = (f"`{option}`", _default(spec.get("default")), _allowed(spec), spec["description"])
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _default(value: object) -> str:
    match value:
        case None | [] | ():
            return "not set"
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def _allowed(spec: dict[str, Any]) -> str:
    """Say what a value must be, in words."""
    # An optional setting has its kind beside "null".
    kinds: list[dict[str, Any]] = [one for one in spec.get("anyOf", [spec]) if one.get("type") != "null"]
    (kind,) = kinds
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if "pattern" in kind:
        return f"matches `{kind['pattern']}`"
    words = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "array": "list"}
    allowed = words.get(kind["type"], "path" if kind.get("format") == "path" else "text")
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    return " ".join([allowed, *(f"{word} {kind[name]:g}" for name, word in bounds.items() if name in kind)])


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` only compare; return the exit status."""
    pages = {
        CONFIGURATION: (("settings", table), ("compose settings", compose_table)),
        API: (("metrics", metrics_table),),
    }
    status = 0
    for file, tables in pages.items():
        page = fresh = file.read_text(encoding="utf-8")
        for name, rows in tables:
            before, begin, rest = fresh.partition(BEGIN.format(name))
            _, end, after = rest.partition(END.format(name))
            if not begin or not end:
                print(f"{file.name}: the marks of the table of {name} are missing", file=sys.stderr)
                return 1
            fresh = f"{before}{begin}\n{rows()}\n{end}{after}"
        if "--check" not in arguments:
            file.write_text(fresh, encoding="utf-8")
        elif fresh != page:
            print(f"docs/{file.name} is not what this makes: run python tools/settings_page.py", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
