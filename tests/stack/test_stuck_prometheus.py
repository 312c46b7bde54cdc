"""A Prometheus of the tests that hangs by a race of its own is restarted, as an operator would."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.stack.backends import REPOSITORY, STUCK, Prometheus
from tests.stack.processes import free_ports, log_of, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.processes import Way


def test_it_is_restarted_once_where_it_says_so(way: Way, tmp_path: Path) -> None:
    prometheus = Prometheus(tmp_path, free_ports(1)[0], {}, way=way)
    prometheus.start()
    try:
        first = prometheus.pid
        with log_of(prometheus.name, tmp_path).open("ab") as log:
            log.write(b'msg="panic while serving request" err="' + STUCK + b' to have sequence:offset 1:8, got 2:8"\n')

        def another() -> int | None:
            with contextlib.suppress(AssertionError):  # between two lives there is none
                return prometheus.pid if prometheus.pid != first else None
            return None

        second = wait_for(another, what="another one runs")
        prometheus.wait_until_ready()
        prometheus.restart()
        assert prometheus.pid != second
        assert prometheus.query("1")[0].value == 1
    finally:
        prometheus.stop()


def test_the_runbook_says_what_is_done_here() -> None:
    runbooks = (REPOSITORY / "docs" / "runbooks.md").read_text(encoding="utf-8")
    assert f"`{STUCK.decode()}`" in runbooks.partition("### SendingUnavailable")[2].partition("###")[0]
