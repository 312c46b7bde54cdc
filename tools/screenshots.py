"""Look at the dashboards, and take pictures of them.

    python -m tools.screenshots up [--days 7]                    the whole stack, filled and alive, until Ctrl-C
    python -m tools.screenshots shot now [--size 1920x1080]      a picture of one dashboard of what `up` runs
    python -m tools.screenshots docs FOLDER                      the pictures for docs/images, out of a test's FOLDER

`up` needs what the stack tests need and a Grafana ($EGOSCOPE_GRAFANA_HOME, $EGOSCOPE_STACK_BIN).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.browser.page import STILL, DashboardPage, browser_on, page_on
from tests.stack.filled import filled
from tests.stack.grafana import ADMIN, PASSWORD, Grafana, api, version_of
from tests.stack.panels import dashboards
from tests.stack.processes import MissingServerError, free_ports
from tests.stack.trouble import make_trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = REPOSITORY / "docs" / "images"
RUNNING: Final = Path(tempfile.gettempdir()) / f"egoscope-look-{os.getuid()}.json"
"""Where `up` says what runs, for `shot`."""
PICTURE_LIMIT: Final = 300_000


def up(options: argparse.Namespace) -> int:
    """Start everything and keep it until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    with contextlib.ExitStack() as until_the_end:
        directory = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="egoscope-look-")))
        begun = time.monotonic()
        print(f"filling {options.days:g} days under {directory} …", flush=True)
        there = until_the_end.enter_context(filled(directory, days=options.days))
        if options.trouble:
            make_trouble(there)
        grafana = Grafana(directory, free_ports(1)[0], there.urls)
        until_the_end.callback(grafana.stop)
        grafana.start()
        until_the_end.enter_context(there.alive())
        about = {"grafana": grafana.url, **there.urls, "log": str(there.sidecar.logs), "servers": str(directory)}
        RUNNING.write_text(json.dumps(about, indent=2))
        until_the_end.callback(RUNNING.unlink, missing_ok=True)
        print(f"after {time.monotonic() - begun:.0f} s; log in as {ADMIN}, password {PASSWORD}")
        for name, what in about.items():
            print(f"  {name:<24} {what}", flush=True)
        for line in grafana.errors():
            print(f"  {line}", file=sys.stderr, flush=True)
        stop.wait()
    return 0


def shot(options: argparse.Namespace) -> int:
    """Take one picture and say what is wrong on it."""
    if not RUNNING.exists():
        print("nothing runs: python -m tools.screenshots up", file=sys.stderr)
        return 1
    url = str(json.loads(RUNNING.read_text())["grafana"])
    api(url, "/api/admin/provisioning/dashboards/reload", method="POST")
    version = version_of(url)
    width, height = map(int, options.size.split("x"))
    (wanted,) = (one for one in dashboards() if options.dashboard in {one.uid, one.name})
    variables = dict(pair.split("=", 1) for pair in options.var)
    with browser_on(url) as context, page_on(context, url, version, width=width, height=height) as page:
        refresh = "" if options.fold else STILL
        page.open(wanted.uid, since=options.since, until=options.until, refresh=refresh, **variables)
        wrong = _picture(page, {panel.id: panel.title for panel in wanted.unfolded}, options)
    print("\n".join(wrong) or "no panel complains")
    return 0


def _picture(page: DashboardPage, panels: dict[int, str], options: argparse.Namespace) -> list[str]:
    if options.fold:
        page.wait_for_answers()
        print(page.shoot(Path(options.out)))
        return page.failed
    page.show_all(panels)
    print(page.shoot(Path(options.out)))
    return [*page.complaints(panels), *page.failed]


def docs(options: argparse.Namespace) -> int:
    """Copy the pictures that the documentation shows; their names are those of the test."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    too_big = False
    for name in (one.name for one in dashboards()):
        picture = Path(options.folder) / f"{name}-1280x800.png"
        if not picture.exists():
            print(f"{picture.name} is missing: was the test skipped? It says why.", file=sys.stderr)
            return 1
        target = IMAGES / f"{name}.png"
        shutil.copyfile(picture, target)
        too_big |= target.stat().st_size > PICTURE_LIMIT
        print(f"{target.relative_to(REPOSITORY)}: {target.stat().st_size / 1000:.0f} kB")
    if too_big:
        print(f"a picture has more than {PICTURE_LIMIT / 1000:.0f} kB", file=sys.stderr)
    return int(too_big)


def main(arguments: Sequence[str]) -> int:
    """Do what is asked; return the exit code."""
    parser = argparse.ArgumentParser(prog="screenshots", description="Look at the dashboards, take pictures of them.")
    commands = parser.add_subparsers(required=True)
    starting = commands.add_parser("up", help="the whole stack, filled and alive, until Ctrl-C")
    starting.add_argument("--days", type=float, default=7.2)
    starting.add_argument("--trouble", action="store_true", help="with a refused, an unparsable and a removed item")
    starting.set_defaults(run=up)
    picture = commands.add_parser("shot", help="a picture of one dashboard")
    picture.add_argument("dashboard", help="now, history, …")
    picture.add_argument("--size", default="1280x800")
    picture.add_argument("--fold", action="store_true", help="only what fits the window; else all of it")
    picture.add_argument("--since", default="", help="now-24h, or milliseconds; default: the dashboard's own")
    picture.add_argument("--until", default="now")
    picture.add_argument("--var", action="append", default=[], metavar="NAME=VALUE")
    picture.add_argument("--out", default="dashboard.png")
    picture.set_defaults(run=shot)
    documentation = commands.add_parser("docs", help="copy a test's pictures to docs/images")
    documentation.add_argument("folder")
    documentation.set_defaults(run=docs)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except MissingServerError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
