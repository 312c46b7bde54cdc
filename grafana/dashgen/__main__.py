"""Write grafana/dashboards/*.json, or with --check say which are not what this makes.

cd grafana && python -m dashgen [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashgen import agents, cost, flows, history, host, logs_page, now, pipeline, privacy, traces, workers

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER: Final = Path(__file__).resolve().parent.parent / "dashboards"
PAGES: Final = {
    "now": now.dashboard,
    "history": history.dashboard,
    "logs": logs_page.dashboard,
    "traces": traces.dashboard,
    "agents": agents.dashboard,
    "cost": cost.dashboard,
    "flows": flows.dashboard,
    "workers": workers.dashboard,
    "host": host.dashboard,
    "privacy": privacy.dashboard,
    "pipeline": pipeline.dashboard,
}


def main(arguments: Sequence[str]) -> int:
    """Write the files that differ; with --check only name them, and say 1."""
    stale: list[Path] = []
    for name, build in PAGES.items():
        file = FOLDER / f"{name}.json"
        text = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(build()) + "\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(file)
            if "--check" not in arguments:
                file.write_text(text, encoding="utf-8")
    strangers = sorted(file for file in FOLDER.glob("*.json") if file.stem not in PAGES)
    for file in stale:
        print(
            f"{file.name}: {'not what dashgen makes: run `make dashboards`' if '--check' in arguments else 'written'}"
        )
    for file in strangers:
        print(f"{file.name}: nothing in dashgen makes it: delete it")
    return int(bool(strangers or (stale and "--check" in arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
