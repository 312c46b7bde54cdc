"""The packaged policies as the files say them, read without the code that is tested with them."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES: Final = ("ego_mcp", "ego_mcp_events")
TABLES: Final[dict[str, dict[str, Any]]] = {
    source: tomllib.loads(resources.files("egoscope.policies").joinpath(f"{source}.toml").read_text())
    for source in SOURCES
}


def spelled_out(table: Any) -> Iterator[str]:
    """Yield every string that a policy file spells out as one that may leave."""
    for rule in table.values():
        yield from rule.get("values", ())
        yield from rule.get("constants", ())
        if "fields" in rule:
            yield from spelled_out(rule["fields"])


def names(source: str) -> list[str]:
    """Return every name in a policy: those that may leave, those of members, those that may not."""
    fields = TABLES[source]["fields"]
    members = [member for rule in fields.values() for member in rule.get("fields", ())]
    return [*fields, *members, *TABLES[source]["drop"]["fields"]]
